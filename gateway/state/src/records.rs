//! What the directory holds: people, memberships, groups, devices and the papers about them.
//!
//! The directory does not know what a person is. It keeps *records*: a kind, an id, a version and a
//! body, or the *tombstone* of what was deleted. What a body means is said elsewhere
//! (`doorward-lifecycle`); here it is bytes. Provisioning by SCIM (RFC 7644) ends in records.
//!
//! ```text
//!  commit(Batch) ─┬─ changes ─1─► in force in memory, exchanges end      (as every revocation)
//!                 └─ all ──────► queue ─► writer ─2─► one transaction: rows of the log, records, keys
//!                                                        │
//!   Records (published kinds, in memory) ◄──3────────────┤
//!   followers: other processes, other control nodes ◄────┘ version > seen
//! ```
//!
//! The cast:
//! * [`Record`] is what is kept; [`RecordKind`] says of what kind, and whether gateways need it.
//! * [`Write`] is what somebody wants kept, if the record is as [`Expected`]; [`UniqueKey`] is a name
//!   that one record alone may have.
//! * [`Batch`] is writes, and the changes of the log that follow from them; [`Committed`] is the
//!   acknowledgment, [`CommitError`] the refusal.
//! * [`Records`] is the copy in memory that requests are judged by.
//!
//! Invariants:
//! * A batch is on the disk wholly or not at all, its rows of the log included.
//! * Versions come from one counter of the store, drawn in the order of commits. Of two versions of
//!   a record the higher one holds, so that it does not matter in which order they become known.
//! * A record is written only over the one that the writer knew.
//! * What takes access away bites before the disk is asked. What is refused afterwards takes nothing
//!   back: it stays in force in this process (see [`CommitError::Conflict`]).
//! * A record is seen after it is on the disk; in the process that commits it, before a grant of the
//!   same batch is. Elsewhere both come within a poll, one after the other: access needs both.
//! * An id of a kind that [never returns](RecordKind::never_returns) is used once.
//! * Records that cannot be read, or that are too few, are damage, and never an empty directory.
//!
//! What it never does: look into a body, or decide who may have access.

mod batch;
mod error;
mod kind;
mod memory;
mod plan;

use std::fmt;
use std::sync::Arc;

pub use batch::{
    BATCH_BYTES_MAX, BATCH_CHANGES_MAX, BATCH_WRITES_MAX, Batch, Committed, Expected, RECORD_BYTES_MAX,
    RECORD_ID_BYTES_MAX, RECORD_KEYS_MAX, UNIQUE_KEY_BYTES_MAX, UniqueKey, Write,
};
pub use error::{CommitError, Found, Refusal};
pub use kind::RecordKind;
pub(crate) use memory::RecordMemory;
pub use memory::{RecordSubscriber, Records, RecordsHealth};
pub(crate) use plan::{Address, Holder, Known, Plan, Present, joined, plan, split};
pub use plan::{RecordGroup, Verdict};

/// The number of a write, from one counter of the store that only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i64);

impl Version {
    /// Before the first write.
    pub const START: Self = Self(0);
}

/// A record, as the newest write left it.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub kind: RecordKind,
    /// Which one of its kind.
    pub id: Arc<str>,
    /// Of which write.
    pub version: Version,
    /// What it says, as JSON; `None` is a tombstone.
    pub body: Option<Arc<[u8]>>,
}

impl Record {
    /// Whether it is there, and not deleted.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.body.is_some()
    }

    /// How it stands, for whoever expected something else.
    pub(crate) const fn found(&self) -> Found {
        if self.is_live() { Found::At(self.version) } else { Found::Deleted(self.version) }
    }
}

/// A body is personal, or a secret's hash: it is counted, not shown.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("version", &self.version)
            .field("body_bytes", &self.body.as_ref().map(|body| body.len()))
            .finish()
    }
}

/// A run of records, in the order of their versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsAfter {
    /// The records of published kinds, tombstones included.
    pub records: Vec<Record>,
    /// Everything up to here was read: what to ask for next.
    pub up_to: Version,
    /// There may be more behind it.
    pub more: bool,
}
