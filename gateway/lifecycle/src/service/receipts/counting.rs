//! How many sessions of browsers somebody has when their access is taken away.
//!
//! It is counted while that is done, and nobody waits for it: what is left of the sessions is cleared up seconds later.

use std::pin::Pin;
use std::sync::Arc;

use doorward_model::{Target, UserId};
use tokio::sync::watch;

use super::Witness;
use super::pending::Pend;

/// What is kept of somebody's sessions of browsers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptSessions {
    /// Their records.
    pub sessions: u64,
    /// Those with a refresh token.
    pub refresh_tokens: u64,
}

/// Counts what is kept of some sign-ins, within seconds; the error is why it is not known.
pub type CountSessions = Arc<
    dyn Fn(Vec<UserId>) -> Pin<Box<dyn Future<Output = Result<KeptSessions, String>> + Send>> + Send + Sync,
>;

/// What a receipt says of it.
#[derive(Clone, Debug)]
pub(super) enum Counted {
    Known(KeptSessions),
    Unknown,
    /// It is on its way.
    Counting(watch::Receiver<Option<KeptSessions>>),
}

// === impl Counted ===

impl Counted {
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Known(_) | Self::Unknown => true,
            Self::Counting(counting) => counting.borrow().is_some() || counting.has_changed().is_err(),
        }
    }

    /// None when it is not known.
    pub(super) fn count(&self) -> Option<KeptSessions> {
        match self {
            Self::Known(kept) => Some(*kept),
            Self::Unknown => None,
            Self::Counting(counting) => *counting.borrow(),
        }
    }

    /// What there is of it in a process that did not take the call.
    pub(super) fn taken_up(targets: &[Target], witness: &Witness) -> Self {
        match (&witness.sessions, named(targets)) {
            (None, _) => Self::Known(KeptSessions::default()),
            (Some(_), Some(people)) if people.is_empty() => Self::Known(KeptSessions::default()),
            (Some(_), Some(_) | None) => Self::Unknown,
        }
    }

    /// Begins to count.
    fn begin(targets: &[Target], witness: &Witness) -> Self {
        let Some(count) = &witness.sessions else { return Self::Known(KeptSessions::default()) };
        let Some(people) = named(targets) else { return Self::Unknown };
        if people.is_empty() {
            return Self::Known(KeptSessions::default());
        }
        let (told, counting) = watch::channel(None);
        let counted = count(people);
        tokio::spawn(async move {
            match counted.await {
                Ok(kept) => _ = told.send_replace(Some(kept)),
                Err(why) => tracing::debug!(why, "how many sessions a receipt tells of is not known"),
            }
        });
        Self::Counting(counting)
    }
}

/// Whose sessions end. None where targets end sessions, and do not say whose.
fn named(targets: &[Target]) -> Option<Vec<UserId>> {
    let mut people = Vec::new();
    for target in targets {
        match target {
            Target::User(user) => people.push(user.clone()),
            Target::Session(_) | Target::Token(_) | Target::Device(_) => return None,
            // They go on at other apps.
            Target::UserAtApp(..) => {}
        }
    }
    Some(people)
}

// === impl Pend ===

impl Pend {
    /// Counts the sessions that it tells of, from now on.
    pub(super) fn counting(mut self, witness: &Witness) -> Self {
        self.sessions = Counted::begin(&self.pending.targets(), witness);
        self
    }
}
