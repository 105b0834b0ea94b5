//! Why a batch was not committed.

use crate::error::StateError;
use crate::records::batch::Committed;
use crate::records::{RecordKind, UniqueKey, Version};

/// How a record was found by whoever expected something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Absent,
    /// It is there.
    At(Version),
    /// It was deleted.
    Deleted(Version),
}

/// What a batch was refused for, by what is in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A record is not as it was expected.
    Conflict {
        /// Of which kind.
        kind: RecordKind,
        /// Which one.
        id: String,
        /// How it was found.
        found: Found,
    },
    /// Another record has a key.
    KeyTaken {
        /// The key.
        key: UniqueKey,
        /// The kind of who has it, in the word of the store.
        holder_kind: String,
        /// Who has it.
        holder_id: String,
    },
}

impl Refusal {
    /// The word for it in logs.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::KeyTaken { .. } => "key_taken",
        }
    }
}

/// Why a batch was not committed, one variant for each thing that a caller does differently.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record is not as it was expected; nothing of the batch was written. Read it and decide anew.
    ///
    /// What the batch takes away may be in force in this process already, and then it stays so until
    /// the process ends, or somebody reactivates whom it hit. Whoever asks again as a rule takes the
    /// same away, for good; whoever decides otherwise then reactivates.
    #[error("{kind} `{id}` {}; read it again and decide anew{}", told(*found), in_force(*enforced))]
    Conflict {
        /// Of which kind.
        kind: RecordKind,
        /// Which one.
        id: String,
        /// How it was found.
        found: Found,
        /// What the batch takes away is in force in this process all the same.
        enforced: bool,
    },
    /// Another record has a key; nothing of the batch was written. As for a conflict, what it takes
    /// away may be in force.
    #[error(
        "`{}` is taken by {holder_kind} `{holder_id}`; use another, or take it from that one first{}",
        key.as_str(), in_force(*enforced)
    )]
    KeyTaken {
        /// The key.
        key: UniqueKey,
        /// The kind of who has it, in the word of the store.
        holder_kind: String,
        /// Who has it.
        holder_id: String,
        /// What the batch takes away is in force in this process all the same.
        enforced: bool,
    },
    /// The batch could never be written; nothing happened.
    #[error("`{field}` {what}")]
    BadBatch {
        /// What of it.
        field: &'static str,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// It is on the disk and in force here, and the other nodes do not have it yet.
    #[error(
        "the batch is saved and in force here, but not distributed yet: {why}; it is as soon as that is possible"
    )]
    NotPublished {
        /// What was saved.
        committed: Box<Committed>,
        /// What Redis said.
        why: String,
    },
    /// As for a single change. Where the error says that it is kept, so are the records, unless a
    /// grant stands beside them, they conflict by then, or they alone are what the store has no room
    /// or no time for; what takes access away is saved in any case.
    #[error(transparent)]
    State(#[from] StateError),
}

impl CommitError {
    /// Whether what the batch takes away is in force in this process although this error was returned.
    #[must_use]
    pub const fn enforced(&self) -> bool {
        match self {
            Self::Conflict { enforced, .. } | Self::KeyTaken { enforced, .. } => *enforced,
            Self::BadBatch { .. } => false,
            Self::NotPublished { .. } => true,
            Self::State(error) => error.enforced(),
        }
    }

    pub(crate) fn refused(refusal: Refusal, enforced: bool) -> Self {
        match refusal {
            Refusal::Conflict { kind, id, found } => Self::Conflict { kind, id, found, enforced },
            Refusal::KeyTaken { key, holder_kind, holder_id } => {
                Self::KeyTaken { key, holder_kind, holder_id, enforced }
            }
        }
    }
}

const fn told(found: Found) -> &'static str {
    match found {
        Found::Absent => "is not there",
        Found::At(_) => "is there in another version",
        Found::Deleted(_) => "was deleted",
    }
}

const fn in_force(enforced: bool) -> &'static str {
    if enforced { " (what the batch takes away is in force here until this process ends)" } else { "" }
}
