//! A stream, and what this process knows of it beyond what is kept.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::directory::StreamName;
use tokio::sync::Notify;

use super::pulse::EXACT;
use super::transmitter::{Configuration, Document, Transmitter, TransmitterClient, VERIFY_MIN_MAX};
use crate::signals::health::Condition;
use crate::signals::{Health, Stream};

/// How often it is asked, at least.
const INTERVAL_MIN: Duration = Duration::from_mins(1);

/// A stream.
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) transmitter: Transmitter,
    /// There is something to look at.
    pub(super) nudge: Notify,
    life: Mutex<Life>,
}

/// What this process knows of a stream.
pub(super) struct Life {
    /// As it was last read or written.
    pub(super) health: Health,
    /// When this process took the last good message.
    heard_at: Option<UnixMillis>,
    /// When this process could last fetch.
    fetched_at: Option<UnixMillis>,
    /// A question that the transmitter did not take yet.
    pub(super) open: Option<Untaken>,
    /// Where it is asked, how, and as of when.
    pub(super) where_to: Option<(Document, Configuration, UnixMillis)>,
    /// Why the last question was not taken.
    pub(super) ask_error: Option<String>,
    /// Why nothing could be fetched.
    pub(super) fetch_error: Option<String>,
    /// It was asked since this process began.
    pub(super) begun: bool,
    /// What is owed agrees with what is known.
    pub(super) owed: bool,
    pub(super) counts: Counts,
}

/// A question that the transmitter did not take yet.
#[derive(Clone)]
pub(super) struct Untaken {
    pub(super) state: String,
    pub(super) tries: u32,
    pub(super) not_before: UnixMillis,
}

/// What happened since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions that the transmitter took.
    pub asked: u64,
    /// Questions that it answered, to this process.
    pub answered: u64,
    /// Questions that it did not answer in time.
    pub missed: u64,
    /// Questions that it did not take.
    pub not_taken: u64,
    /// Times that could be fetched.
    pub polls: u64,
    /// Times that could not.
    pub poll_failures: u64,
}

/// How a stream stands, for operators.
#[derive(Clone, Debug)]
pub struct StreamState {
    /// Its name.
    pub name: StreamName,
    /// Its transmitter.
    pub issuer: String,
    /// Its events are fetched; else they are pushed.
    pub is_fetched: bool,
    /// How often it is asked for a verification. None: never.
    pub verify: Option<Duration>,
    /// For how long it may say nothing. None: for ever.
    pub silent_max: Option<Duration>,
    /// How it stands.
    pub condition: Condition,
    /// When the last good message of it was taken.
    pub event_at: Option<UnixMillis>,
    /// When it last answered a verification.
    pub verified_at: Option<UnixMillis>,
    /// Since when an answer is awaited.
    pub asked_at: Option<UnixMillis>,
    /// How many questions it did not answer since it last did.
    pub missed: u32,
    /// When something could last be fetched.
    pub fetched_at: Option<UnixMillis>,
    /// Why its transmitter could not be asked, or nothing be fetched.
    pub error: Option<String>,
    /// What happened since the process began.
    pub counts: Counts,
}

// === impl Line ===

impl Line {
    pub(super) fn new(stream: Stream, client: &TransmitterClient, now: UnixMillis) -> Self {
        let life = Life {
            health: Health::new(now),
            heard_at: None,
            fetched_at: None,
            open: None,
            where_to: None,
            ask_error: None,
            fetch_error: None,
            begun: false,
            owed: false,
            counts: Counts::default(),
        };
        let transmitter = Transmitter::new(client.clone(), stream.clone());
        Self { stream, transmitter, nudge: Notify::new(), life: Mutex::new(life) }
    }

    pub(super) const fn name(&self) -> &StreamName {
        self.stream.sender().id()
    }

    pub(super) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A good message was taken.
    pub(super) fn heard(&self, now: UnixMillis) {
        self.life().heard_at = Some(now);
    }

    /// It was heard of the stream itself: whoever looks after it should look.
    pub(super) fn lives(&self, health: Health) {
        let mut life = self.life();
        if health.heard_at != life.health.heard_at {
            life.counts.answered += 1;
        }
        life.health = health;
        drop(life);
        self.nudge.notify_one();
    }

    /// Something could be fetched, or why not.
    pub(super) fn fetched(&self, outcome: Result<UnixMillis, String>) {
        let mut life = self.life();
        match outcome {
            Ok(now) => {
                life.fetched_at = Some(now);
                life.fetch_error = None;
                life.counts.polls += 1;
            }
            Err(why) => {
                life.fetch_error = Some(why);
                life.counts.poll_failures += 1;
            }
        }
    }

    /// How often it is asked: as configured, as the transmitter allows within bounds, and often enough that it
    /// does not take this gateway for gone (SSF 1.0 §8.1.1).
    pub(super) fn interval(&self, every: Duration) -> Duration {
        let life = self.life();
        let Some((_, told, _)) = &life.where_to else { return every };
        let often = told.inactive_max.map_or(every, |max| every.min(max / 2));
        let allowed = told.verify_min.unwrap_or_default().min(VERIFY_MIN_MAX);
        often.max(allowed).max(INTERVAL_MIN)
    }

    pub(super) fn state(&self, now: UnixMillis) -> StreamState {
        let life = self.life();
        let contact = self.stream.contact();
        let mut health = life.health.clone();
        life.adds_to(&mut health, Duration::ZERO);
        StreamState {
            name: self.name().clone(),
            issuer: self.stream.sender().url().to_owned(),
            is_fetched: contact.poll().is_some(),
            verify: contact.verify(),
            silent_max: contact.watch().silent_max,
            condition: health.condition(now, contact.watch()),
            event_at: health.event_at,
            verified_at: health.heard_at,
            asked_at: health.asked.as_ref().map(|asked| asked.at),
            missed: health.missed,
            fetched_at: health.fetched_at,
            error: life.fetch_error.clone().or_else(|| life.ask_error.clone()),
            counts: life.counts,
        }
    }
}

// === impl Life ===

impl Life {
    /// Adds what this process heard, where that is news by more than `exact`.
    fn adds_to(&self, health: &mut Health, exact: Duration) {
        let is_news = |at: UnixMillis, known: Option<UnixMillis>| {
            known.is_none_or(|known| at > known && at.since(known) >= exact)
        };
        if let Some(at) = self.heard_at.filter(|at| is_news(*at, health.event_at)) {
            health.heard(at);
        }
        if let Some(at) = self.fetched_at.filter(|at| is_news(*at, health.fetched_at)) {
            health.fetched(at);
        }
    }

    /// The same, as exactly as it is kept. What ends an alarm is news at once.
    pub(super) fn adds_what_counts(&self, health: &mut Health) {
        let exact = if health.alarmed_at.is_some() { Duration::ZERO } else { EXACT };
        self.adds_to(health, exact);
    }
}
