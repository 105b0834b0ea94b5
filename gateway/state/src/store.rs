//! The stores that revocations can be kept in: a closed set behind one contract.
//!
//! The contract, which `tests/contract` holds for every backend:
//! * rows get rising numbers, and a reader that asks for what comes after a number misses none;
//! * a batch is on the disk wholly or not at all, and when `append` says so it survives a crash;
//! * whoever appends has seen every row that others wrote before, in the same atomic step;
//! * what cannot be read whole is an error, never an empty answer;
//! * a log that ends before a row that was acknowledged is an error, never an older truth.

mod checksum;
mod embedded;
mod guard;
mod mark;
mod rows;
mod schema;

use std::path::PathBuf;

use doorward_model::{Entry, Target, UnixMillis};
use uuid::Uuid;

use crate::change::Action;
use crate::config::StoreConfig;
use crate::error::StoreError;

use embedded::Embedded;
pub use guard::Lock;

/// The number of a row in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

impl Seq {
    /// Before the first row.
    pub const START: Self = Self(0);
}

/// A row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// The receipt's id.
    pub id: Uuid,
    /// Whom it hits.
    pub target: Target,
    /// What was asked for.
    pub action: Action,
    /// What holds for the target from then on.
    pub entry: Entry,
    /// When it was written.
    pub recorded_at: UnixMillis,
    /// Why.
    pub cause: String,
    /// Who asked.
    pub actor: String,
    /// The request that carried it.
    pub request_id: String,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub seq: Seq,
    /// The receipt's id.
    pub id: Uuid,
    /// Whom it hits.
    pub target: Target,
    /// What was asked for.
    pub action: Action,
    /// What holds for the target from then on.
    pub entry: Entry,
    /// When it was written.
    pub recorded_at: UnixMillis,
    /// Why.
    pub cause: String,
    /// Who asked.
    pub actor: String,
    /// The request that carried it.
    pub request_id: String,
}

/// What an append left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The last row of the log.
    pub last: Seq,
    /// The size of the store.
    pub bytes: u64,
}

/// What goes with an open store.
#[derive(Debug)]
pub struct Handle {
    /// The file.
    pub file: PathBuf,
    /// It was made just now.
    pub created: bool,
    /// Its mode was too open, and was put right.
    pub tightened: bool,
    /// Another process of this node has it open.
    pub shared: bool,
    /// It was there, and nothing said how far its log went: it is taken as it is.
    pub unmarked: bool,
    /// The bound of its size.
    pub bytes_max: u64,
    /// Keeps other gateways out as long as it lives.
    pub lock: Lock,
}

/// One connection to a store. Every method blocks.
#[derive(Debug)]
pub enum Store {
    /// SQLite in a file.
    Embedded(Embedded),
}

impl Store {
    /// Opens a store, makes it where there never was one, and checks it.
    ///
    /// # Errors
    /// When it is not certain that everything ever written to it can be read.
    pub fn open(config: &StoreConfig) -> Result<(Self, Handle), StoreError> {
        match config {
            StoreConfig::Embedded(embedded) => {
                let (store, handle) = Embedded::open(embedded)?;
                Ok((Self::Embedded(store), handle))
            }
        }
    }

    /// Another connection to the same store.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn again(&self) -> Result<Self, StoreError> {
        match self {
            Self::Embedded(store) => store.again().map(Self::Embedded),
        }
    }

    /// Adds rows in one atomic step. `decide` is shown every row after `seen`, while nobody else
    /// can write, and returns what is to be added; it may be called more than once. A row whose
    /// id is in the log already is not added again: an append that failed may have been written.
    ///
    /// # Errors
    /// When nothing of it is sure to be on the disk.
    pub fn append(
        &mut self,
        seen: Seq,
        decide: &mut dyn FnMut(&[Row]) -> Vec<NewRow>,
    ) -> Result<Appended, StoreError> {
        match self {
            Self::Embedded(store) => store.append(seen, decide),
        }
    }

    /// The rows after `seen`, in the order of their numbers, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read_after(&mut self, seen: Seq, limit: usize) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Embedded(store) => store.read_after(seen, limit),
        }
    }

    /// The rows before `before`, the newest first, at most `limit`: of one target or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest(
        &mut self,
        of: Option<&Target>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Embedded(store) => store.newest(of, before, limit),
        }
    }

    /// Deletes at most `limit` rows of sessions and tokens that were recorded before `than`, and
    /// returns whom they named. Users and devices stay for ever.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn prune(&mut self, than: UnixMillis, limit: usize) -> Result<Vec<Target>, StoreError> {
        match self {
            Self::Embedded(store) => store.prune(than, limit),
        }
    }

    /// Writes something of no meaning, to see whether writing works.
    ///
    /// # Errors
    /// When it does not.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.probe(),
        }
    }

    /// Moves everything into the one file that a backup copies. False when somebody who reads
    /// the store is in the way.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn settle(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => store.settle(),
        }
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count(&mut self) -> Result<usize, StoreError> {
        match self {
            Self::Embedded(store) => store.count(),
        }
    }

    /// The size, in bytes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn bytes(&mut self) -> Result<u64, StoreError> {
        match self {
            Self::Embedded(store) => store.bytes(),
        }
    }
}
