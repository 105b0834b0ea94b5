//! The stores that revocations can be kept in: a closed set behind one contract.
//!
//! The contract, which `tests/contract` holds for every backend:
//! * rows get rising numbers, and a reader that asks for what comes after a number misses none;
//! * a batch is on the disk wholly or not at all, and when `append` says so it survives a crash;
//! * whoever appends has seen every row that others wrote before, in the same atomic step;
//! * what cannot be read whole is an error, never an empty answer;
//! * a log that ends before a row that was acknowledged is an error, never an older truth;
//! * records are written with the rows of their batch or not at all, over what was expected only, and
//!   get rising numbers of their own, as rows do;
//! * a row is in the outbox from the moment it is in the log, until it is noted as published under
//!   the generation that holds then, and so is a record of a published kind from its write on;
//! * a store that was made anew, or put back, has another history than before.

mod checksum;
mod directory;
mod embedded;
mod fold;
mod mark;
mod postgres;

use std::path::PathBuf;

use doorward_model::{Entry, Target, UnixMillis};
use uuid::Uuid;

use crate::change::Action;
use crate::config::StoreConfig;
use crate::debt::{Debt, NewDebt};
use crate::error::StoreError;
use crate::records::{RecordGroup, Verdict, Version};

use embedded::Embedded;
pub use embedded::Lock;
use postgres::Postgres;

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

/// Counts who speaks for the store to those that it is published to. Whoever takes over raises it,
/// and from then on what is published under a lower one does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// How far something goes: the last row of the log, and the last write of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reach {
    /// The row.
    pub row: Seq,
    /// The write.
    pub records: Version,
}

/// Rows that are not noted as published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    /// The rows, in the order of their numbers.
    pub rows: Vec<Row>,
    /// Records are noted as published up to this write: those after it are read with
    /// [`records_after`](Store::records_after).
    pub records: Version,
    /// The generation that held when they were read.
    pub generation: Generation,
}

/// What tells the records of a store from those of another one, and from what they were before it was
/// put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// A random word, drawn anew for each store and whenever it was put back.
    pub history: String,
    /// The last write.
    pub end: Version,
}

/// What holds for one target, after every row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whom it hits.
    pub target: Target,
    /// All its rows, merged.
    pub entry: Entry,
    /// The receipt's id of the last row that took access away, or else of the first row.
    pub id: Uuid,
}

/// What an append left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The last row of the log.
    pub last: Seq,
    /// The size of the store.
    pub bytes: u64,
}

/// Decides which rows are added, of what others wrote meanwhile and of what became of the records.
pub type Decide<'a> = dyn FnMut(&[Row], &[Verdict]) -> Vec<NewRow> + 'a;

/// What a commit left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Of the log.
    pub appended: Appended,
    /// What became of each group of records, in their order.
    pub verdicts: Vec<Verdict>,
}

/// What goes with an open store.
#[derive(Debug)]
pub struct Handle {
    /// The file; of a server, the URL of the database.
    pub file: PathBuf,
    /// It was made just now.
    pub created: bool,
    /// Its mode was too open, and was put right.
    pub tightened: bool,
    /// Another process of this node has it open.
    pub shared: bool,
    /// It was there, and nothing said how far its log went: it is taken as it is.
    pub unmarked: bool,
    /// The bound of its size; the highest number where it has none.
    pub bytes_max: u64,
    /// Keeps other gateways out as long as it lives.
    pub lock: Lock,
}

/// One connection to a store. Every method blocks.
#[derive(Debug)]
pub enum Store {
    /// SQLite in a file.
    Embedded(Embedded),
    /// PostgreSQL.
    Postgres(Postgres),
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
            StoreConfig::Postgres(postgres) => {
                let (store, handle) = Postgres::open(postgres)?;
                Ok((Self::Postgres(store), handle))
            }
            StoreConfig::None => Err(StoreError::NoDirectory),
        }
    }

    /// Another connection to the same store.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn again(&self) -> Result<Self, StoreError> {
        match self {
            Self::Embedded(store) => store.again().map(Self::Embedded),
            Self::Postgres(store) => store.again().map(Self::Postgres),
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
        self.commit(seen, &[], &mut |others, _| decide(others)).map(|written| written.appended)
    }

    /// As [`append`](Self::append), with records in the same atomic step. Each group is written whole
    /// or refused whole, one after the other; `decide` is shown what became of them, and leaves out
    /// the rows of those that are refused.
    ///
    /// # Errors
    /// When nothing of it is sure to be on the disk.
    pub fn commit(
        &mut self,
        seen: Seq,
        groups: &[RecordGroup<'_>],
        decide: &mut Decide<'_>,
    ) -> Result<Written, StoreError> {
        match self {
            Self::Embedded(store) => store.commit(seen, groups, decide),
            Self::Postgres(store) => store.commit(seen, groups, decide),
        }
    }

    /// The rows after `seen`, in the order of their numbers, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read_after(&mut self, seen: Seq, limit: usize) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Embedded(store) => store.read_after(seen, limit),
            Self::Postgres(store) => store.read_after(seen, limit),
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
            Self::Postgres(store) => store.newest(of, before, limit),
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
            Self::Postgres(store) => store.prune(than, limit),
        }
    }

    /// Writes something of no meaning, to see whether writing works.
    ///
    /// # Errors
    /// When it does not.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.probe(),
            Self::Postgres(store) => store.probe(),
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
            Self::Postgres(store) => store.settle(),
        }
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count(&mut self) -> Result<usize, StoreError> {
        match self {
            Self::Embedded(store) => store.count(),
            Self::Postgres(store) => store.count(),
        }
    }

    /// The size, in bytes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn bytes(&mut self) -> Result<u64, StoreError> {
        match self {
            Self::Embedded(store) => store.bytes(),
            Self::Postgres(store) => store.bytes(),
        }
    }

    /// Under which generation the log is to be published. It is 1 in a new store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn generation(&mut self) -> Result<Generation, StoreError> {
        match self {
            Self::Embedded(store) => store.generation(),
            Self::Postgres(store) => store.generation(),
        }
    }

    /// Begins another generation and returns it; it is on the disk by then.
    ///
    /// # Errors
    /// When that is not sure.
    pub fn raise_generation(&mut self) -> Result<Generation, StoreError> {
        match self {
            Self::Embedded(store) => store.raise_generation(),
            Self::Postgres(store) => store.raise_generation(),
        }
    }

    /// The rows that are not noted as published, in the order of their numbers, at most `limit`,
    /// and the generation of the same moment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unpublished(&mut self, limit: usize) -> Result<Unpublished, StoreError> {
        match self {
            Self::Embedded(store) => store.unpublished(limit),
            Self::Postgres(store) => store.unpublished(limit),
        }
    }

    /// Notes that everything up to `up_to` is published under `generation`. False when the store
    /// has another generation; then nothing is noted. What is noted is never taken back.
    ///
    /// # Errors
    /// When it is not sure that it is noted.
    pub fn published(&mut self, up_to: Reach, generation: Generation) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => store.published(up_to, generation),
            Self::Postgres(store) => store.published(up_to, generation),
        }
    }

    /// How far log and records go.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn reach(&mut self) -> Result<Reach, StoreError> {
        let row = self.newest(None, None, 1)?.first().map_or(Seq::START, |row| row.seq);
        Ok(Reach { row, records: self.provenance()?.end })
    }

    /// Whether everything up to there is noted as published.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn is_published(&mut self, up_to: Reach) -> Result<bool, StoreError> {
        let waiting = self.unpublished(1)?;
        if waiting.rows.first().is_some_and(|row| row.seq <= up_to.row) {
            return Ok(false);
        }
        if waiting.records >= up_to.records {
            return Ok(true);
        }
        // What is between may be of kinds that are not published.
        let next = self.records_after(waiting.records, 1)?;
        Ok(next.records.first().is_none_or(|record| record.version > up_to.records))
    }

    /// Whose the records are, and how far they go.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn provenance(&mut self) -> Result<Provenance, StoreError> {
        match self {
            Self::Embedded(store) => store.provenance(),
            Self::Postgres(store) => store.provenance(),
        }
    }

    /// Begins another history: what others know of the records of this one is not to be believed. It is
    /// on the disk by then.
    ///
    /// # Errors
    /// When that is not sure.
    pub fn begin_history(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.begin_history(),
            Self::Postgres(store) => store.begin_history(),
        }
    }

    /// What holds for each target, in the order of the words of kind and id, byte by byte: of the
    /// targets behind `after`, at most `limit`. Needs no more memory for a target of many rows.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn held_after(&mut self, after: Option<&Target>, limit: usize) -> Result<Vec<Held>, StoreError> {
        match self {
            Self::Embedded(store) => store.held_after(after, limit),
            Self::Postgres(store) => store.held_after(after, limit),
        }
    }

    /// Puts a debt on record. One whose id is there already stays as it is.
    ///
    /// # Errors
    /// When it is not sure to be on the disk.
    pub fn open_debt(&mut self, debt: &NewDebt) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.open_debt(debt),
            Self::Postgres(store) => store.open_debt(debt),
        }
    }

    /// Settles a debt. False when no open debt has this id.
    ///
    /// # Errors
    /// When it is not sure to be on the disk.
    pub fn settle_debt(&mut self, id: Uuid, at: UnixMillis, how: &str) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => store.settle_debt(id, at, how),
            Self::Postgres(store) => store.settle_debt(id, at, how),
        }
    }

    /// Debts of lower numbers than `before`, the newest first, at most `limit`: all, or only those
    /// that are open.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn debts(
        &mut self,
        open_only: bool,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Debt>, StoreError> {
        match self {
            Self::Embedded(store) => store.debts(open_only, before, limit),
            Self::Postgres(store) => store.debts(open_only, before, limit),
        }
    }
}
