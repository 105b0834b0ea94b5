//! Control debt: what the gateway promised and did not do in time, and who answers for it.
//!
//! A debt is opened by the gateway itself, owned by a named person or team, due at an instant, and
//! settled by an act that says how. It stays on record when it is settled.

use doorward_model::UnixMillis;
use uuid::Uuid;

/// What was not done in time. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DebtKind {
    /// A node did not confirm a revocation within the time that was promised for it.
    MissedRevocation,
    /// A source overrode what an operator did by hand: somebody should see whether that is right.
    Override,
    /// The source says that somebody belongs here, and somebody here says that they must not get in.
    Disagreement,
    /// A service account or an agent has nobody who answers for it.
    OrphanMachine,
    /// A source wanted to take away too much at once, and waits for somebody's word.
    MassChange,
    /// An account at an app outside of the gateway is still to be removed.
    ManualDeprovisioning,
    /// A sign-in, a stream or a token is still there, or it is not known whether it is.
    UnprovenEnd,
    /// A device is still bound.
    BoundDevice,
    /// A stream of signals is silent: what happens there is not known here.
    SilentStream,
    /// A source of people did not come for longer than it may: who leaves there is not known here.
    SilentSource,
    /// Policies are in force though a red line is broken, or not proved.
    UnprovenPolicies,
}

impl DebtKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::MissedRevocation,
        Self::Override,
        Self::Disagreement,
        Self::OrphanMachine,
        Self::MassChange,
        Self::ManualDeprovisioning,
        Self::UnprovenEnd,
        Self::BoundDevice,
        Self::SilentStream,
        Self::SilentSource,
        Self::UnprovenPolicies,
    ];

    /// The word for it in the API, the store and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissedRevocation => "missed_revocation",
            Self::Override => "override",
            Self::Disagreement => "hold_vs_source",
            Self::OrphanMachine => "orphan_machine",
            Self::MassChange => "mass_change",
            Self::ManualDeprovisioning => "manual_deprovisioning",
            Self::UnprovenEnd => "unproven_end",
            Self::BoundDevice => "bound_device",
            Self::SilentStream => "silent_stream",
            Self::SilentSource => "silent_source",
            Self::UnprovenPolicies => "unproven_policies",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }
}

/// A debt to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDebt {
    /// Names it. A debt whose id is known already is not opened again.
    pub id: Uuid,
    /// What was not done.
    pub kind: DebtKind,
    /// What it is about: a receipt, a node.
    pub about: String,
    /// Who answers for it.
    pub owner: String,
    /// How it came to be.
    pub cause: String,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// By when it is to be settled.
    pub due_at: UnixMillis,
}

/// A debt on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Its number: later debts have higher ones.
    pub seq: i64,
    /// Names it.
    pub id: Uuid,
    /// What was not done.
    pub kind: DebtKind,
    /// What it is about: a receipt, a node.
    pub about: String,
    /// Who answers for it.
    pub owner: String,
    /// How it came to be.
    pub cause: String,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// By when it is to be settled.
    pub due_at: UnixMillis,
    /// When it was settled, and how. None while it is open.
    pub settled: Option<(UnixMillis, String)>,
}
