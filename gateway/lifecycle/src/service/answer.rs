//! Who asks, and what they are told.

use std::sync::Arc;

use doorward_model::directory::{MachineId, NestingError, Person, PersonId};
use doorward_model::{UnixMillis, UserId};
use doorward_state::{CommitError, Ended, Receipt, RecordKind, StateError, UniqueKey, Version};
use uuid::Uuid;

use super::guard::Halt;
use crate::machine::{Actor, Denied};

/// Whom a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Somebody who is not known yet; the command has the new id.
    New,
    /// The person of this id.
    Person(PersonId),
    /// Whoever signs in so.
    SignIn(UserId),
}

/// Who asks for something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Who.
    pub actor: Actor,
    /// When it happened by the word of a sender who says so (`event_timestamp` of a signal).
    pub asserted_at: Option<UnixMillis>,
    /// Why, in their words.
    pub cause: Arc<str>,
    /// The request that carried it, for logs.
    pub request_id: Arc<str>,
    /// Do it only if the record is of this version (`If-Match`, RFC 7644 §3.14).
    pub if_version: Option<Version>,
}

/// What was done. It is in force here and on the disk.
#[derive(Clone, Debug)]
pub struct Done {
    /// The person from now on.
    pub person: Arc<Person>,
    /// The version of their record. Of somebody who was deleted, that of the tombstone.
    pub version: Version,
    /// The rows of the table that were taken, in order.
    pub edges: Vec<&'static str>,
    /// Something was written. False where everything was so already.
    pub changed: bool,
    /// The acknowledgments of the revocations, in order.
    pub receipts: Vec<Receipt>,
    /// What they ended on this node.
    pub ended: Ended,
    /// The machines that stopped.
    pub stopped: Vec<MachineId>,
    /// The offboarding case that was opened or ended.
    pub case: Option<Uuid>,
    /// The signed receipt that is made of it, if it took access away and receipts are made.
    pub receipt: Option<Uuid>,
    /// Why other nodes do not have the revocations yet, if they do not.
    pub unpublished: Option<String>,
    /// The audit log has all of it. Otherwise standard error has it.
    pub on_record: bool,
}

/// Why something was not done, one variant for each thing that a caller does differently.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The table has no edge for it. SCIM: 404 for somebody deleted, else 409 or 403.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// One of the members of a group cannot be put in or taken out, so nothing was done.
    #[error("member `{member}`: {denied}")]
    Member {
        /// The id of the member.
        member: String,
        /// What stands in the way.
        denied: Denied,
    },
    /// There is none of this id. SCIM: 404.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// What.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// Somebody else has a name that must be unique. SCIM: 409, `uniqueness`.
    #[error("`{field}` is taken by {holder_kind} `{holder_id}`: use another, or take it from there first")]
    Taken {
        /// Which field.
        field: &'static str,
        /// Who has it: the kind of record.
        holder_kind: String,
        /// The id of who has it.
        holder_id: String,
        /// What was to be taken away is in force on this node all the same.
        enforced: bool,
    },
    /// It is not of the version any more that the caller knows. SCIM: 412.
    #[error("{kind} `{id}` has changed since it was read: read it again")]
    Changed {
        /// What.
        kind: RecordKind,
        /// Which.
        id: String,
    },
    /// Others changed the same all the time.
    #[error("others change the same all the time: ask again")]
    Busy {
        /// What was to be taken away is in force on this node all the same.
        enforced: bool,
    },
    /// Somebody would be in too many groups, or groups too deep in one another.
    #[error("it would not be known who is in which group: {0}")]
    Nesting(NestingError),
    /// A case does not go on so.
    #[error(transparent)]
    Case(#[from] crate::offboarding::Denied),
    /// A connection takes away too much at once, and waits for an operator.
    #[error(transparent)]
    Halted(Box<Halt>),
    /// A rule of groups, machines or cases says no.
    #[error("{what}: {help}")]
    Refused {
        /// What stands in the way.
        what: &'static str,
        /// What can be done about it.
        help: &'static str,
    },
    /// It asks for too much at once.
    #[error("`{what}` would be {count}, and at most {max} are changed at once: send them in parts")]
    TooMany {
        /// What of it.
        what: &'static str,
        /// How many.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// Something in it cannot be written.
    #[error("`{field}`: {what}")]
    Bad {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// Access is not given while that cannot be recorded; nothing was done.
    #[error("nothing was done, because the audit log could not have it: {0}")]
    NotOnRecord(String),
    /// What the directory has of it cannot be read.
    #[error("what is stored of {kind} `{id}` cannot be read: {why}")]
    Damaged {
        /// What.
        kind: RecordKind,
        /// Which.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// The store says no. [`StateError::enforced`] tells whether what is taken away is in force anyway.
    #[error(transparent)]
    State(#[from] StateError),
    /// The process ends.
    #[error("the gateway is closing")]
    Interrupted,
}

impl Failed {
    /// Whether the same may be done a moment later: nothing but the time was wrong.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Changed { .. }
            | Self::Busy { .. }
            | Self::NotOnRecord(_)
            | Self::State(_)
            | Self::Interrupted => true,
            Self::Denied(_)
            | Self::Member { .. }
            | Self::NotFound { .. }
            | Self::Taken { .. }
            | Self::Nesting(_)
            | Self::Case(_)
            | Self::Halted(_)
            | Self::Refused { .. }
            | Self::TooMany { .. }
            | Self::Bad { .. }
            | Self::Damaged { .. } => false,
        }
    }

    /// Whether what was to be taken away is in force on this node although this was answered.
    #[must_use]
    pub const fn enforced(&self) -> bool {
        match self {
            Self::Taken { enforced, .. } | Self::Busy { enforced } => *enforced,
            Self::State(error) => error.enforced(),
            Self::Denied(_)
            | Self::Member { .. }
            | Self::NotFound { .. }
            | Self::Changed { .. }
            | Self::Nesting(_)
            | Self::Case(_)
            | Self::Halted(_)
            | Self::Refused { .. }
            | Self::TooMany { .. }
            | Self::Bad { .. }
            | Self::NotOnRecord(_)
            | Self::Damaged { .. }
            | Self::Interrupted => false,
        }
    }

    /// A commit that nobody repeats.
    pub(super) fn of(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { kind, id, .. } => Self::Changed { kind, id },
            CommitError::KeyTaken { key, holder_kind, holder_id, enforced } => {
                Self::Taken { field: field_of(&key), holder_kind, holder_id, enforced }
            }
            CommitError::BadBatch { field, what } => Self::Bad { field, what },
            // What is committed is not an error here; whoever asks has looked for it.
            CommitError::NotPublished { .. } => Self::Interrupted,
            CommitError::State(error) => Self::State(error),
        }
    }
}

/// What a key is for, without what it says.
fn field_of(key: &UniqueKey) -> &'static str {
    match key.as_str().split(':').next() {
        Some("link") => "sign_in",
        Some("name") => "user_name",
        Some("group") => "display_name",
        Some("device-certificate") => "thumbprint",
        Some(_) | None => "key",
    }
}
