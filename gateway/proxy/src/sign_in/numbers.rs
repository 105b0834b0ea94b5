//! The numbers of sign-ins (names in `docs/reference/metrics.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use doorward_model::{RefusalCode, UnixMillis};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// What may be so at each request is told no more often than this.
const TOLD_EVERY: Duration = Duration::from_secs(60);
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What became of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A session began.
    Begun,
    /// More was proved for a session.
    Raised,
    /// There was a session already, and it went on to an app.
    Known,
    /// It was refused.
    Refused(RefusalCode),
}

/// What became of a refresh token that is of no use any more. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenBack {
    /// The provider took it.
    Taken,
    /// The provider takes none.
    NotTaken,
    /// The provider could not be told.
    Failed,
}

/// What came of asking a provider whether a sign-in stands. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It stands.
    Stands,
    /// Another request, host or node had asked.
    Shared,
    /// It does not.
    Refused,
    /// The provider could not say.
    ProviderUnavailable,
    /// The store could not be asked.
    StoreUnavailable,
    /// There is nothing to ask with.
    NoToken,
}

/// Counters and histograms of sign-ins. Clones count together.
#[derive(Clone, Debug)]
pub struct SignInNumbers {
    outcomes: Family<Labels, Counter>,
    took: Histogram,
    given_back: Family<Labels, Counter>,
    asked: Family<Labels, Counter>,
    pub(super) outgrown: Counter,
    outgrown_told_at: Arc<AtomicI64>,
    unsealed_told_at: Arc<AtomicI64>,
}

// === impl Outcome ===

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Raised => "raised",
            Self::Known => "known",
            Self::Refused(code) => code.as_str(),
        }
    }
}

// === impl GivenBack ===

impl GivenBack {
    const ALL: [Self; 3] = [Self::Taken, Self::NotTaken, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::NotTaken => "not_taken",
            Self::Failed => "failed",
        }
    }
}

// === impl Asked ===

impl Asked {
    const ALL: [Self; 6] = [
        Self::Stands,
        Self::Shared,
        Self::Refused,
        Self::ProviderUnavailable,
        Self::StoreUnavailable,
        Self::NoToken,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Shared => "shared",
            Self::Refused => "refused",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::NoToken => "no_token",
        }
    }
}

// === impl SignInNumbers ===

impl SignInNumbers {
    /// Registers everything, with what is not refused at zero.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let numbers = Self {
            outcomes: Family::default(),
            took: Histogram::new(SECONDS),
            given_back: Family::default(),
            asked: Family::default(),
            outgrown: Counter::default(),
            outgrown_told_at: Arc::default(),
            unsealed_told_at: Arc::default(),
        };
        for outcome in Asked::ALL {
            let _ = numbers.asked.get_or_create(&Labels { outcome: outcome.as_str() });
        }
        for outcome in GivenBack::ALL {
            let _ = numbers.given_back.get_or_create(&Labels { outcome: outcome.as_str() });
        }
        for outcome in [Outcome::Begun, Outcome::Raised, Outcome::Known] {
            let _ = numbers.outcomes.get_or_create(&Labels { outcome: outcome.as_str() });
        }
        registry.register("doorward_sign_ins", "Sign-ins by what became of them", numbers.outcomes.clone());
        registry.register_with_unit(
            "doorward_sign_in_duration",
            "Time from when a browser comes back from its provider to the answer",
            Unit::Seconds,
            numbers.took.clone(),
        );
        registry.register(
            "doorward_refresh_tokens_given_back",
            "Refresh tokens of sessions that ended, by what the provider did with them",
            numbers.given_back.clone(),
        );
        registry.register(
            "doorward_session_validations",
            "Sessions of which the provider was asked whether they stand, by what it said",
            numbers.asked.clone(),
        );
        registry.register(
            "doorward_session_cookies_outgrown",
            "Cookies of sessions into which what is known by now does not fit",
            numbers.outgrown.clone(),
        );
        numbers
    }

    /// Counts a cookie into which what is known by now does not fit; whether that is to be told.
    pub(crate) fn outgrown(&self, now: UnixMillis) -> bool {
        self.outgrown.inc();
        is_told_anew(&self.outgrown_told_at, now)
    }

    /// A cookie was not sealed anew at all; whether that is to be told.
    pub(crate) fn unsealed(&self, now: UnixMillis) -> bool {
        is_told_anew(&self.unsealed_told_at, now)
    }

    pub(super) fn came_to(&self, outcome: Outcome) {
        self.outcomes.get_or_create(&Labels { outcome: outcome.as_str() }).inc();
    }

    pub(super) fn asked(&self, asked: Asked) {
        self.asked.get_or_create(&Labels { outcome: asked.as_str() }).inc();
    }

    pub(super) fn gave_back(&self, outcome: GivenBack) {
        self.given_back.get_or_create(&Labels { outcome: outcome.as_str() }).inc();
    }

    pub(super) fn took(&self, time: Duration) {
        self.took.observe(time.as_secs_f64());
    }
}

/// Whether it was last told a minute ago or more, or in the future; it is told now then.
fn is_told_anew(told_at: &AtomicI64, now: UnixMillis) -> bool {
    let last = UnixMillis(told_at.load(Ordering::Relaxed));
    let due = last > now || now.since(last) >= TOLD_EVERY;
    due && told_at.compare_exchange(last.0, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}
