//! Programs that have an account here, and the person who answers for each.

use std::collections::BTreeSet;

use super::id::{MachineId, PersonId};
use super::token::MachineToken;
use crate::lifecycle::LifecycleStage;
use crate::principal::UserId;
use crate::time::UnixMillis;

/// The kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineKind {
    /// Acts for itself; see [`crate::ServiceAccount`].
    ServiceAccount,
    /// Acts for a person who is named in the token (RFC 8693 §4.1); see [`crate::Agent`].
    Agent,
}

impl MachineKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::ServiceAccount, Self::Agent];

    /// The word for it in commands, the API and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service_account",
            Self::Agent => "agent",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Why a machine does not work any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopCause {
    /// The person who answered for it left, and nobody took it over before.
    OwnerLeft,
    /// An operator or its owner stopped it, or its time was over.
    Halted,
}

impl StopCause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::OwnerLeft, Self::Halted];

    /// The word for it in the API, the store and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnerLeft => "owner_left",
            Self::Halted => "halted",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// It may work, while its owner is admitted and it is not out of date.
    Active,
    /// It may not, until somebody takes it over or starts it again.
    Stopped {
        /// Why.
        cause: StopCause,
        /// Since when.
        since: UnixMillis,
    },
    /// It is gone for ever; its id is not used again.
    Deleted,
}

impl MachineState {
    /// The state without what belongs to it.
    #[must_use]
    pub const fn kind(&self) -> MachineStateKind {
        match self {
            Self::Active => MachineStateKind::Active,
            Self::Stopped { .. } => MachineStateKind::Stopped,
            Self::Deleted => MachineStateKind::Deleted,
        }
    }
}

/// The name of a [`MachineState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineStateKind {
    /// See [`MachineState::Active`].
    Active,
    /// See [`MachineState::Stopped`].
    Stopped,
    /// See [`MachineState::Deleted`].
    Deleted,
}

impl MachineStateKind {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Stopped, Self::Deleted];

    /// The word for it in the API, the store and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A registered service account or agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id in the directory.
    pub id: MachineId,
    /// Under which name it signs in.
    pub user: UserId,
    /// The kind.
    pub kind: MachineKind,
    /// A name to show.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// The person who answers for it.
    pub owner: PersonId,
    /// What it may be used for, at most.
    pub scopes: BTreeSet<String>,
    /// Where it stands.
    pub state: MachineState,
    /// When it stops working by itself.
    pub expires_at: UnixMillis,
    /// When it was registered.
    pub created_at: UnixMillis,
    /// The tokens with which it shows who it is, if it has any of ours: at most
    /// [`MACHINE_TOKENS_MAX`](super::MACHINE_TOKENS_MAX), the oldest first.
    pub tokens: Vec<MachineToken>,
}

impl Machine {
    /// Whether it may work: it is active, not out of date, and its owner has access.
    #[must_use]
    pub fn admitted(&self, now: UnixMillis, owner_admitted: bool) -> bool {
        self.state == MachineState::Active && now < self.expires_at && owner_admitted
    }

    /// Its stage, in the words of policies.
    #[must_use]
    pub fn stage(&self, now: UnixMillis, owner_admitted: bool) -> LifecycleStage {
        match self.state {
            MachineState::Deleted => LifecycleStage::Deactivated,
            MachineState::Stopped { cause: StopCause::OwnerLeft, .. } => LifecycleStage::Deactivated,
            MachineState::Stopped { cause: StopCause::Halted, .. } => LifecycleStage::Suspended,
            MachineState::Active if now >= self.expires_at => LifecycleStage::Deactivated,
            MachineState::Active if owner_admitted => LifecycleStage::Active,
            MachineState::Active => LifecycleStage::Suspended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_works_exactly_in_the_stage_active() {
        let since = UnixMillis(3);
        let states = [
            MachineState::Active,
            MachineState::Stopped { cause: StopCause::OwnerLeft, since },
            MachineState::Stopped { cause: StopCause::Halted, since },
            MachineState::Deleted,
        ];
        let mut works = 0;
        for state in states {
            let machine = Machine {
                id: MachineId::from_u128(1),
                user: "corp:robot".parse().unwrap(),
                kind: MachineKind::ServiceAccount,
                name: "robot".to_owned(),
                purpose: "to test".to_owned(),
                owner: PersonId::from_u128(2),
                scopes: BTreeSet::new(),
                state,
                expires_at: UnixMillis(10),
                created_at: UnixMillis(1),
                tokens: Vec::new(),
            };
            for (now, owner) in [(9, true), (9, false), (10, true)] {
                let now = UnixMillis(now);
                let admitted = machine.admitted(now, owner);
                assert_eq!(
                    admitted,
                    machine.stage(now, owner) == LifecycleStage::Active,
                    "{state:?} {now:?}"
                );
                works += usize::from(admitted);
            }
        }
        assert_eq!(works, 1);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for kind in MachineKind::ALL {
            assert_eq!(MachineKind::parse(kind.as_str()), Some(kind));
        }
        for cause in StopCause::ALL {
            assert_eq!(StopCause::parse(cause.as_str()), Some(cause));
        }
        for kind in MachineStateKind::ALL {
            assert_eq!(MachineStateKind::parse(kind.as_str()), Some(kind));
        }
    }
}
