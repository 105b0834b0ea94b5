//! The proof that a credential stands, and the answer when it does not.

use std::time::Duration;

use doorward_model::{EntryKind, Presented, RefusalCode, Standing, UnixMillis};

use crate::revocations::replica::Replica;

/// Proof that nothing that a request presents was cut off. Built here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrevoked {
    as_of: UnixMillis,
    generation: u64,
    stale_for: Duration,
}

impl Unrevoked {
    /// By how much the proof is older than it should be: zero but where an app is configured to go
    /// on for a while without.
    #[must_use]
    pub const fn stale_for(self) -> Duration {
        self.stale_for
    }

    /// Every revocation that was acknowledged anywhere before this instant was considered.
    #[must_use]
    pub const fn as_of(self) -> UnixMillis {
        self.as_of
    }

    /// How many changes this process had seen. While
    /// [`Revocations::generation`](crate::Revocations::generation) says the same, the proof
    /// still holds.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.generation
    }
}

/// Why a credential does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was made at or before the mark of a target.
    MadeBefore {
        /// Which kind of target.
        kind: EntryKind,
        /// The mark.
        not_before: UnixMillis,
    },
    /// A target is switched off until further notice.
    Disabled {
        /// Which kind of target.
        kind: EntryKind,
    },
    /// Nothing known cuts it off, but what is known may be old: the store cannot be read.
    Stale {
        /// Until when everything is known.
        as_of: UnixMillis,
    },
}

impl Refused {
    /// The refusal that the person at the door gets.
    #[must_use]
    pub const fn code(self) -> RefusalCode {
        match self {
            Self::MadeBefore { .. } => RefusalCode::Revoked,
            Self::Disabled { .. } => RefusalCode::Disabled,
            Self::Stale { .. } => RefusalCode::StaleRevocations,
        }
    }

    /// Which kind of target was cut off, if one was.
    #[must_use]
    pub const fn kind(self) -> Option<EntryKind> {
        match self {
            Self::MadeBefore { kind, .. } | Self::Disabled { kind } => Some(kind),
            Self::Stale { .. } => None,
        }
    }
}

/// How current the replica is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    pub(crate) fresh: bool,
    /// For how long it is not; `None` when nothing was ever known, or will be.
    pub(crate) stale_for: Option<Duration>,
    pub(crate) as_of: UnixMillis,
}

/// Judges what a request presents. Of several reasons the most final one is told: whoever is
/// switched off is not asked to sign in again.
pub(crate) fn judge(
    replica: &Replica,
    presented: &Presented,
    skew: Duration,
    (freshness, stale_max): (Freshness, Duration),
) -> Result<Unrevoked, Refused> {
    // The caller registered the exchange before it asks. A revoker writes the replica, passes
    // such a fence, and then looks for registered exchanges: one of the two sees the other.
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    // Read before the lookups: a change that comes in between makes the proof look older.
    let generation = replica.generation();
    if generation > 0 {
        let mut made_before = None;
        for target in presented.answering() {
            if replica.get(&target).is_some_and(|entry| entry.disabled) {
                return Err(Refused::Disabled { kind: target.kind() });
            }
        }
        for target in presented.made() {
            let Some(entry) = replica.get(&target) else { continue };
            let kind = target.kind();
            match entry.standing_of(kind, presented.session.issued_at, skew) {
                Standing::Good => {}
                Standing::Disabled => return Err(Refused::Disabled { kind }),
                Standing::MadeBefore(not_before) => {
                    made_before.get_or_insert(Refused::MadeBefore { kind, not_before });
                }
            }
        }
        if let Some(refused) = made_before {
            return Err(refused);
        }
    }
    if freshness.fresh {
        return Ok(Unrevoked { as_of: freshness.as_of, generation, stale_for: Duration::ZERO });
    }
    match freshness.stale_for {
        Some(stale_for) if stale_for < stale_max => {
            Ok(Unrevoked { as_of: freshness.as_of, generation, stale_for })
        }
        Some(_) | None => Err(Refused::Stale { as_of: freshness.as_of }),
    }
}
