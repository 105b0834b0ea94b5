//! Whether a stream is alive (SSF 1.0 §8.1.4).
//!
//! A stream that is silent and one that has nothing to say look alike. So the gateway asks, in every
//! interval, for a verification with a `state` that only it knows, and the transmitter repeats it in an
//! event. Two intervals without an answer make the stream unhealthy: an alert, and control debt. Of a
//! transmitter that cannot be asked it can be told how long it may be silent.
//!
//! ```text
//!  ask ──▶ expected ──answer──▶ heard ──interval──▶ ask …
//!              │ interval
//!              ▼
//!          missed once ── interval ──▶ missed twice: unhealthy ── answer ──▶ heard
//! ```
//!
//! What is known is kept in the store, so that it outlives the process, and so that any process of the
//! store takes the answer to what another asked.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use doorward_identity::message::{Rejected, Rejection};
use doorward_model::UnixMillis;

use super::config::Stream;
use super::decide::OfStream;
use super::event::StreamStatus;

/// How many intervals without an answer make a stream unhealthy.
const MISSED_MAX: u32 = 2;
/// For how long fetching may fail before somebody is told.
pub const UNFETCHED_MAX: Duration = Duration::from_mins(15);

/// How often a stream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// From one question to the next. Not shorter than the transmitter's `min_verification_interval`.
    pub interval: Duration,
}

/// By what it is noticed that a stream is silent. With none of it nobody notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// It is asked for verifications.
    pub asked: bool,
    /// For how long it may say nothing at all.
    pub silent_max: Option<Duration>,
    /// Its events are fetched, which must work.
    pub fetched: bool,
}

/// What is known of one stream's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Since when it is looked after.
    pub(crate) since: UnixMillis,
    /// The question that is not answered yet.
    pub(crate) asked: Option<Question>,
    /// When it last answered.
    pub(crate) heard_at: Option<UnixMillis>,
    /// How many questions it did not answer since.
    pub(crate) missed: u32,
    /// When the last good message of it was taken, whatever it said.
    pub(crate) event_at: Option<UnixMillis>,
    /// When something could last be fetched from it.
    pub(crate) fetched_at: Option<UnixMillis>,
    /// What its transmitter says of it, when the newest event about that happened, and why.
    pub(crate) status: StreamStatus,
    pub(crate) status_at: Option<UnixMillis>,
    pub(crate) reason: Option<String>,
    /// Since when an operator must be told, if so.
    pub(crate) alarmed_at: Option<UnixMillis>,
}

/// A question that is not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The SHA-256 of its `state`.
    pub(crate) sum: [u8; 32],
    pub(crate) at: UnixMillis,
}

/// How a stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It was never heard of, and is not overdue.
    New,
    /// It answers, or speaks.
    Healthy {
        /// When it last did.
        heard_at: UnixMillis,
    },
    /// One question was not answered in its time.
    Late,
    /// It does not answer.
    Unhealthy {
        /// How many questions it did not answer.
        missed: u32,
        /// When it last did.
        heard_at: Option<UnixMillis>,
    },
    /// It said nothing for longer than it may.
    Silent {
        /// Since when.
        since: UnixMillis,
    },
    /// Nothing can be fetched from it.
    Unreachable {
        /// Since when.
        since: UnixMillis,
    },
    /// The transmitter holds back.
    Paused {
        /// Why, if it says.
        reason: Option<String>,
    },
    /// The transmitter sends no more.
    Disabled {
        /// Why, if it says.
        reason: Option<String>,
    },
}

/// What there is to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing for so long.
    Wait(Duration),
    /// Ask for a verification, with a fresh state ([`Health::ask`]).
    Ask,
}

/// What began or ended for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Everything is as it was.
    None,
    /// Somebody must look at the stream.
    Alarm,
    /// It is well again.
    AllClear,
}

// === impl Watch ===

impl Watch {
    /// Whether it is noticed at all when the stream is silent.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.asked || self.silent_max.is_some()
    }
}

// === impl Condition ===

impl Condition {
    /// Every word for one.
    pub const WORDS: [&'static str; 8] =
        ["new", "healthy", "late", "unhealthy", "silent", "unreachable", "paused", "disabled"];

    /// Whether an operator must be told.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        match self {
            Self::New | Self::Healthy { .. } | Self::Late => false,
            Self::Unhealthy { .. }
            | Self::Silent { .. }
            | Self::Unreachable { .. }
            | Self::Paused { .. }
            | Self::Disabled { .. } => true,
        }
    }

    /// The word for it in metrics and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Healthy { .. } => "healthy",
            Self::Late => "late",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Silent { .. } => "silent",
            Self::Unreachable { .. } => "unreachable",
            Self::Paused { .. } => "paused",
            Self::Disabled { .. } => "disabled",
        }
    }

    /// What it means, for operators.
    #[must_use]
    pub fn told(&self) -> String {
        let because = |reason: &Option<String>| {
            reason.as_deref().map(|why| format!(", because of `{why}`")).unwrap_or_default()
        };
        match self {
            Self::New => "it was not heard of yet".to_owned(),
            Self::Healthy { .. } => "it speaks".to_owned(),
            Self::Late => "it did not answer the last verification in time".to_owned(),
            Self::Unhealthy { missed, .. } => {
                format!("it did not answer {missed} verifications: what happens there is not known here")
            }
            Self::Silent { .. } => "it said nothing for longer than it may".to_owned(),
            Self::Unreachable { .. } => "nothing can be fetched from its transmitter".to_owned(),
            Self::Paused { reason } => format!("its transmitter paused it{}", because(reason)),
            Self::Disabled { reason } => format!("its transmitter disabled it{}", because(reason)),
        }
    }
}

// === impl Health ===

impl Health {
    /// A stream that is looked after from now on.
    #[must_use]
    pub const fn new(now: UnixMillis) -> Self {
        Self {
            since: now,
            asked: None,
            heard_at: None,
            missed: 0,
            event_at: None,
            fetched_at: None,
            status: StreamStatus::Enabled,
            status_at: None,
            reason: None,
            alarmed_at: None,
        }
    }

    /// What there is to do. A question that was not answered in its time counts as missed, and is
    /// asked anew. A clock that is set back asks at once.
    pub fn due(&mut self, now: UnixMillis, rhythm: Rhythm) -> Due {
        let waited = |since: UnixMillis| if since > now { rhythm.interval } else { now.since(since) };
        let Some(asked) = &self.asked else {
            let Some(heard_at) = self.heard_at else { return Due::Ask };
            let waited = waited(heard_at);
            return if waited >= rhythm.interval { Due::Ask } else { Due::Wait(rhythm.interval - waited) };
        };
        let waited = waited(asked.at);
        if waited < rhythm.interval {
            return Due::Wait(rhythm.interval - waited);
        }
        self.asked = None;
        self.missed = self.missed.saturating_add(1);
        Due::Ask
    }

    /// Notes that a verification was asked for. `state` is random, of at least 128 bits. To be called
    /// before the question goes out: its answer may be faster than the answer to the call. A question
    /// that the transmitter did not even take is missed like one that it did not answer. Asked once more
    /// before the time of the first is over, that time stays.
    pub fn ask(&mut self, state: &str, now: UnixMillis) {
        let at = self.asked.as_ref().map_or(now, |asked| asked.at.min(now));
        self.asked = Some(Question { sum: sum(state), at });
    }

    /// Whether this is the question that waits for its answer.
    #[must_use]
    pub fn awaits(&self, state: &str) -> bool {
        self.asked.as_ref().is_some_and(|asked| same(&asked.sum, &sum(state)))
    }

    /// Takes a verification. One without a state is the transmitter's own (§8.1.4.1): a sign of life,
    /// and no answer.
    ///
    /// # Errors
    /// `invalid_state` when it repeats another state than was asked for, or nothing was asked.
    pub fn verified(&mut self, state: Option<&str>, now: UnixMillis) -> Result<(), Rejected> {
        let Some(state) = state else { return Ok(()) };
        if self.awaits(state) {
            self.asked = None;
            self.missed = 0;
            self.heard_at = Some(now);
            return Ok(());
        }
        let why = match self.asked {
            Some(_) => "the verification repeats another `state`",
            None => "no verification is awaited",
        };
        Err(Rejected::new(Rejection::InvalidState, why))
    }

    /// Takes an event about the stream that happened at `at`.
    ///
    /// # Errors
    /// As [`verified`](Self::verified); `invalid_request` when it names another stream than `stream`.
    pub fn take(
        &mut self,
        event: &OfStream,
        stream: &Stream,
        at: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), Rejected> {
        match event {
            OfStream::Verification { state, stream_id } => {
                if let (Some(ours), Some(named)) = (stream.stream_id(), stream_id)
                    && ours != named
                {
                    let detail = format!(
                        "the verification names another stream than that of `{}`",
                        stream.sender().id()
                    );
                    return Err(Rejected::new(Rejection::InvalidRequest, detail));
                }
                // Of a stream that this gateway does not ask, others may: their state is not ours to know.
                let state = state.as_deref().filter(|_| stream.contact().watch().asked);
                self.verified(state, now)
            }
            OfStream::Updated { status, reason } => {
                self.updated(*status, reason.clone(), Some(at));
                Ok(())
            }
        }
    }

    /// Takes what the transmitter says of the stream: in an event, that it was so at `at`, by its clock; or
    /// when it is asked, that it is so. An event that is older than the newest one says nothing any more,
    /// and of two of the same moment the one that stops the stream is believed.
    pub fn updated(&mut self, status: StreamStatus, reason: Option<String>, at: Option<UnixMillis>) {
        let goes_on = match status {
            StreamStatus::Enabled => true,
            StreamStatus::Paused | StreamStatus::Disabled => false,
        };
        if let (Some(at), Some(newest)) = (at, self.status_at)
            && (newest > at || (newest == at && goes_on))
        {
            return;
        }
        self.status = status;
        self.status_at = self.status_at.max(at);
        self.reason = reason;
    }

    /// A good message of the stream was taken.
    pub fn heard(&mut self, at: UnixMillis) {
        self.event_at = self.event_at.max(Some(at));
    }

    /// Something could be fetched, if only that there is nothing.
    pub fn fetched(&mut self, at: UnixMillis) {
        self.fetched_at = self.fetched_at.max(Some(at));
    }

    /// How the stream stands.
    #[must_use]
    pub fn condition(&self, now: UnixMillis, watch: Watch) -> Condition {
        match self.status {
            StreamStatus::Paused => return Condition::Paused { reason: self.reason.clone() },
            StreamStatus::Disabled => return Condition::Disabled { reason: self.reason.clone() },
            StreamStatus::Enabled => {}
        }
        let since = |known: Option<UnixMillis>| known.map_or(self.since, |at| at.max(self.since));
        let fetched = since(self.fetched_at);
        if watch.fetched && now.since(fetched) >= UNFETCHED_MAX {
            return Condition::Unreachable { since: fetched };
        }
        let spoke = self.event_at.max(self.heard_at);
        if watch.silent_max.is_some_and(|max| now.since(since(spoke)) >= max) {
            return Condition::Silent { since: since(spoke) };
        }
        let heard_at = if watch.asked { self.heard_at } else { spoke };
        match (self.missed, heard_at) {
            (0, None) => Condition::New,
            (0, Some(heard_at)) => Condition::Healthy { heard_at },
            (missed, _) if missed < MISSED_MAX => Condition::Late,
            (missed, heard_at) => Condition::Unhealthy { missed, heard_at },
        }
    }

    /// Notes how the stream stands for operators, and tells when that has changed.
    pub fn turn(&mut self, condition: &Condition, now: UnixMillis) -> Turn {
        match (condition.is_alarming(), self.alarmed_at) {
            (true, None) => {
                self.alarmed_at = Some(now);
                Turn::Alarm
            }
            (false, Some(_)) => {
                self.alarmed_at = None;
                Turn::AllClear
            }
            (true, Some(_)) | (false, None) => Turn::None,
        }
    }

    /// When the stream was first looked after.
    #[must_use]
    pub const fn since(&self) -> UnixMillis {
        self.since
    }
}

fn sum(state: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest(&SHA256, state.as_bytes()).as_ref()) {
        *to = *from;
    }
    bytes
}

/// Compares in constant time.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests;
