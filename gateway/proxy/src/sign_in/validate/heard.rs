//! What is remembered of what providers said, and of who is being asked about.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_identity::BrowserSession;
use doorward_identity::session::SessionKey;
use doorward_model::{IssuerId, UnixMillis};
use tokio::sync::{Semaphore, watch};

/// How many are asked about at once.
pub(in crate::sign_in) const AT_ONCE: usize = 16;
/// How often those are forgotten that nobody uses any more.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How long a provider that cannot be asked is left alone at first, and at most.
pub(super) const PAUSE: Duration = Duration::from_secs(2);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the providers said of sessions, and who is being asked about.
pub struct Validation {
    heard: Mutex<HashMap<SessionKey, Heard>>,
    troubles: Mutex<HashMap<IssuerId, Trouble>>,
    pub(in crate::sign_in) places: Arc<Semaphore>,
    /// When the memory was last cleared of what nobody needs, in milliseconds since 1970.
    swept_at: AtomicI64,
}

/// What is known of one session.
#[derive(Default)]
pub(super) struct Heard {
    /// The session as of the provider's last word.
    pub(super) said: Option<Arc<BrowserSession>>,
    pub(super) state: State,
}

#[derive(Clone)]
pub(super) enum State {
    /// Nobody asks. Nobody does before this instant.
    Quiet(UnixMillis),
    /// Somebody asks, since this time of the monotonic clock. The channel closes when there is an answer.
    Asking(Duration, watch::Receiver<()>),
    /// It has ended.
    Ended,
}

/// A provider that cannot be asked.
struct Trouble {
    failures: u32,
    until: UnixMillis,
}

/// What came of asking.
pub(super) enum Came {
    /// It stands.
    Stands(Box<BrowserSession>),
    /// It has ended.
    Ended,
    /// Nobody can tell; asked again after this.
    Unknown(Duration),
}

// === impl State ===

impl Default for State {
    fn default() -> Self {
        Self::Quiet(UnixMillis::default())
    }
}

// === impl Validation ===

impl Default for Validation {
    fn default() -> Self {
        Self {
            heard: Mutex::default(),
            troubles: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            swept_at: AtomicI64::default(),
        }
    }
}

impl Validation {
    pub(super) fn heard(&self) -> MutexGuard<'_, HashMap<SessionKey, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> MutexGuard<'_, HashMap<IssuerId, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last time is a minute ago, or lies in the future; this is one then.
    pub(super) fn is_time_to_sweep(&self, now: UnixMillis) -> bool {
        let last = UnixMillis(self.swept_at.load(Ordering::Relaxed));
        let due = last > now || now.since(last) >= SWEEP_EVERY;
        if due {
            self.swept_at.store(now.0, Ordering::Relaxed);
        }
        due
    }

    /// Takes down what the record of a session knows, while somebody asks: that may take long, and come to nothing.
    pub(super) fn read(&self, session: BrowserSession) {
        if let Some(heard) = self.heard().get_mut(&session.id)
            && heard.said.as_ref().is_none_or(|said| said.validated_at < session.validated_at)
        {
            heard.said = Some(Arc::new(session));
        }
    }

    /// Takes an answer down.
    pub(super) fn came(&self, id: SessionKey, came: Came, now: UnixMillis) {
        let mut all = self.heard();
        let heard = all.entry(id).or_default();
        heard.state = match came {
            Came::Stands(session) => {
                heard.said = Some(Arc::from(session));
                State::Quiet(now)
            }
            Came::Ended => {
                heard.said = None;
                State::Ended
            }
            Came::Unknown(pause) => State::Quiet(now.plus(pause)),
        };
    }

    /// For how long a provider is left alone still.
    pub(super) fn pause(&self, provider: &IssuerId, now: UnixMillis) -> Option<Duration> {
        let until = self.troubles().get(provider)?.until;
        Some(until.since(now)).filter(|left| !left.is_zero())
    }

    /// It could not be asked. `share`, between 0 and 1, spreads those who ask again.
    pub(super) fn failed(&self, provider: &IssuerId, why: &str, share: f64, now: UnixMillis) -> Duration {
        let mut all = self.troubles();
        let trouble = all.entry(provider.clone()).or_insert(Trouble { failures: 0, until: now });
        if trouble.failures == 0 {
            tracing::warn!(provider = %provider, why, "a provider cannot say whether sign-ins stand: sessions go on to their limits");
        }
        // Those who asked at the same time are one failure.
        if trouble.until <= now {
            trouble.failures = trouble.failures.saturating_add(1);
            let pause = PAUSE.saturating_mul(1 << trouble.failures.min(6).saturating_sub(1)).min(PAUSE_MAX);
            trouble.until = now.plus(pause.mul_f64(0.5 + share / 2.0));
        }
        trouble.until.since(now)
    }

    pub(super) fn answered(&self, provider: &IssuerId) {
        if self.troubles().remove(provider).is_some() {
            tracing::info!(provider = %provider, "the provider says again whether sign-ins stand");
        }
    }
}
