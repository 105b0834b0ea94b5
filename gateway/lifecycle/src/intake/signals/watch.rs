//! Looking after streams: asking for verifications (SSF 1.0 §8.1.4.2), hearing how the transmitter says a
//! stream stands (§8.1.2.1), and telling operators when one is silent, as an alert and a control debt.
//!
//! Every process of the store looks; what each knows lies in one record, and whoever writes the question
//! into it asks. So there is one question in an interval, whichever process takes its answer.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_state::StateError;

use super::line::{Line, StreamState, Untaken};
use super::pulse::Pulse;
use super::transmitter::{AskError, Configuration, Document};
use super::{ATTEMPTS_MAX, Signals};
use crate::service::Silent;
use crate::signals::Health;
use crate::signals::health::{Condition, Due, Rhythm, Turn};

/// How often it is looked, at least.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// When it is looked again where another process was faster, or the store slower.
const SOON: Duration = Duration::from_secs(1);
/// How long a transmitter's document is believed.
const DOCUMENT_MAX: Duration = Duration::from_hours(24);
/// The pauses before a question goes out anew that was not taken.
const ANEW_MIN: Duration = Duration::from_secs(10);
const ANEW_MAX: Duration = Duration::from_mins(10);

/// Why a stream was not asked now.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no such stream.
    #[error("there is no stream of this name")]
    Unknown,
    /// Its configuration does not say how.
    #[error("this stream has no `verify_minutes`, so its transmitter is not asked")]
    NotAsked,
    /// The question cannot be kept, so that nobody would know the answer.
    #[error("the question cannot be kept: {0}")]
    NotKept(StateError),
    /// The transmitter did not take the question.
    #[error("the transmitter did not take the question: {0}")]
    NotTaken(String),
}

impl Signals {
    /// How every stream stands, in the order of the configuration.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamState> {
        let now = (self.clock)();
        self.streams.iter().map(|desk| desk.of.state(now)).collect()
    }

    /// How a stream stands. None: there is no such stream.
    #[must_use]
    pub fn condition(&self, stream: &str) -> Option<Condition> {
        self.line(stream).map(|line| line.state((self.clock)()).condition)
    }

    fn line(&self, name: &str) -> Option<&Line> {
        self.streams.iter().map(|desk| &desk.of).find(|line| line.name().as_str() == name)
    }

    /// Asks the transmitter of a stream for a verification now, and says when. Its answer comes as an event.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify_now(&self, name: &str) -> Result<UnixMillis, VerifyError> {
        let line = self.line(name).ok_or(VerifyError::Unknown)?;
        if line.stream.contact().verify().is_none() {
            return Err(VerifyError::NotAsked);
        }
        for _ in 0..ATTEMPTS_MAX {
            let now = (self.clock)();
            let mut pulse = Pulse::read(&self.store, line.name(), now).await.map_err(VerifyError::NotKept)?;
            let state = self.fresh_state().ok_or(VerifyError::NotKept(StateError::Interrupted))?;
            pulse.health.ask(&state, now);
            if pulse.keep(&self.store).await.map_err(VerifyError::NotKept)? {
                line.life().health = pulse.health;
                let taken = self.ask(line, Untaken { state, tries: 0, not_before: now }).await;
                return taken.map(|()| now).map_err(|error| VerifyError::NotTaken(error.to_string()));
            }
        }
        Err(VerifyError::NotKept(StateError::Interrupted))
    }

    /// Looks after one stream once, and says when to look again. None: there is no such stream.
    pub async fn look_after(&self, name: &str) -> Option<Duration> {
        Some(self.look(self.line(name)?).await)
    }

    pub(super) async fn watch(self: Arc<Self>, i: usize) {
        let Some(desk) = self.streams.get(i) else { return };
        while let Some(pause) = self.look_after(desk.of.name().as_str()).await {
            let _nudged = tokio::time::timeout(pause, desk.of.nudge.notified()).await;
        }
    }

    async fn look(&self, line: &Line) -> Duration {
        let now = (self.clock)();
        let mut pulse = match Pulse::read(&self.store, line.name(), now).await {
            Ok(pulse) => pulse,
            Err(error) => {
                tracing::debug!(stream = %line.name(), %error, "what is known of a stream cannot be read");
                return LOOK_EVERY;
            }
        };
        let before = pulse.health.clone();
        line.life().adds_what_counts(&mut pulse.health);
        let (question, wait) = self.question(line, &mut pulse.health, now).await;
        let condition = pulse.health.condition(now, line.stream.contact().watch());
        let alarmed_at = pulse.health.alarmed_at;
        let turn = pulse.health.turn(&condition, now);
        if pulse.is_new() || pulse.health != before {
            match pulse.keep(&self.store).await {
                Ok(true) => {}
                Ok(false) => return SOON,
                Err(error) => {
                    tracing::debug!(stream = %line.name(), %error, "what is known of a stream cannot be kept");
                    return LOOK_EVERY;
                }
            }
        }
        let missed = u64::from(pulse.health.missed.saturating_sub(before.missed));
        let since = pulse.health.alarmed_at.or(alarmed_at);
        {
            let mut life = line.life();
            life.counts.missed += missed;
            life.health = pulse.health;
            life.begun = true;
        }
        self.turn(line, &condition, turn, since).await;
        if let Some(untaken) = question {
            // Why it was not taken is told there, and it goes out anew.
            let _told = self.ask(line, untaken).await;
        }
        wait.clamp(SOON, LOOK_EVERY)
    }

    /// The question that is to go out, noted as asked, and how long there is nothing to do.
    async fn question(
        &self,
        line: &Line,
        health: &mut Health,
        now: UnixMillis,
    ) -> (Option<Untaken>, Duration) {
        let Some(every) = line.stream.contact().verify() else { return (None, LOOK_EVERY) };
        let due = health.due(now, Rhythm { interval: line.interval(every) });
        let (open, begun) = {
            let life = line.life();
            (life.open.clone().filter(|open| health.awaits(&open.state)), life.begun)
        };
        let wait = match due {
            Due::Ask => Duration::ZERO,
            // A process that has just begun finds out whether the transmitter still answers.
            Due::Wait(_) if !begun && health.asked.is_none() => Duration::ZERO,
            Due::Wait(wait) => match open {
                Some(open) if open.not_before <= now => return (Some(open), SOON),
                Some(open) => return (None, open.not_before.since(now)),
                None => return (None, wait),
            },
        };
        let Some(state) = self.fresh_state() else { return (None, SOON) };
        if let Ok(Some((status, reason))) = self.standing(line).await {
            health.updated(status, reason, None);
        }
        health.ask(&state, now);
        (Some(Untaken { state, tries: 0, not_before: now }), wait)
    }

    /// 128 random bits, as text.
    fn fresh_state(&self) -> Option<String> {
        let bytes = (self.random)();
        if bytes.is_none() {
            tracing::error!("the system has no randomness, so no stream is asked");
        }
        bytes.map(|bytes| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }

    async fn standing(
        &self,
        line: &Line,
    ) -> Result<Option<(crate::signals::event::StreamStatus, Option<String>)>, AskError> {
        let (document, _) = self.where_to(line).await?;
        line.transmitter.status(&document).await
    }

    /// Sends a question that is kept.
    async fn ask(&self, line: &Line, untaken: Untaken) -> Result<(), AskError> {
        let Untaken { state, tries, .. } = untaken;
        let asked = async {
            let (document, configuration) = self.where_to(line).await?;
            line.transmitter.verify(&document, &state).await?;
            Ok::<_, AskError>(configuration)
        };
        let outcome = asked.await;
        let now = (self.clock)();
        let mut life = line.life();
        match outcome {
            Ok(configuration) => {
                life.counts.asked += 1;
                life.open = None;
                life.ask_error = configuration.remark;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(stream = %line.name(), %error, "a transmitter did not take a verification");
                let pause = error.retry_after().unwrap_or_else(|| self.back_off(tries, ANEW_MIN, ANEW_MAX));
                life.counts.not_taken += 1;
                life.ask_error = Some(error.to_string());
                // Perhaps it is asked elsewhere by now.
                life.where_to = None;
                let not_before = now.plus(pause);
                life.open = Some(Untaken { state, tries: tries.saturating_add(1), not_before });
                Err(error)
            }
        }
    }

    /// Where the transmitter is asked, and what it says of the stream.
    async fn where_to(&self, line: &Line) -> Result<(Document, Configuration), AskError> {
        let now = (self.clock)();
        let known = line.life().where_to.clone();
        if let Some((document, configuration, at)) = known
            && at <= now
            && now.since(at) < DOCUMENT_MAX
        {
            return Ok((document, configuration));
        }
        let document = line.transmitter.document().await?;
        // Whoever may ask for verifications need not be allowed to read.
        let configuration = match line.transmitter.configuration(&document).await {
            Ok(told) => told.unwrap_or_default(),
            Err(error) => Configuration { remark: Some(error.to_string()), ..Configuration::default() },
        };
        if let Some(remark) = &configuration.remark {
            tracing::warn!(stream = %line.name(), remark, "what a transmitter says of a stream needs a look");
        }
        line.life().where_to = Some((document.clone(), configuration.clone(), now));
        Ok((document, configuration))
    }

    /// Half of a pause that grows with each try, and a random part of the other half.
    pub(super) fn back_off(&self, tries: u32, min: Duration, max: Duration) -> Duration {
        let pause = min.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(max);
        let random = (self.random)().and_then(|bytes| bytes.first().copied()).unwrap_or(u8::MAX);
        pause / 2 + pause.mul_f64(f64::from(random) / 512.0)
    }

    /// Tells operators what began or ended. A process that has just begun makes sure that what is owed
    /// agrees with what is known: the one before may have ended in between.
    async fn turn(&self, line: &Line, condition: &Condition, turn: Turn, since: Option<UnixMillis>) {
        let (stream, told) = (line.name(), condition.told());
        let owed = std::mem::replace(&mut line.life().owed, true);
        match (turn, since) {
            (Turn::Alarm, Some(since)) => {
                tracing::warn!(%stream, condition = condition.as_str(), told, "a stream of signals needs a look");
                self.lives.owe_silence(Silent::Stream(stream), since, told).await;
            }
            (Turn::None, Some(since)) if !owed => {
                self.lives.owe_silence(Silent::Stream(stream), since, told).await
            }
            (Turn::AllClear, _) => {
                tracing::info!(%stream, condition = condition.as_str(), "a stream of signals is well again");
                self.lives.settle_silence(Silent::Stream(stream)).await;
            }
            (Turn::Alarm | Turn::None, None) if !owed => {
                self.lives.settle_silence(Silent::Stream(stream)).await
            }
            (Turn::Alarm | Turn::None, _) => {}
        }
    }
}
