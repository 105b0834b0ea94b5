//! What a log says of itself.

use uuid::Uuid;

use crate::fleet::{EntryId, Position};
use crate::records::Version;
use crate::store::{Reach, Seq};

/// No directory is reconciled so often. A higher one could never be outdone.
const GENERATION_MAX: u64 = (1 << 48) - 1;

/// A snapshot of more pieces, or of more than it has entries, was not written by a gateway.
const CHUNKS_MAX: u64 = 100_000;

/// The head of a log, in one Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Which blessing it began with.
    pub(crate) epoch: Uuid,
    /// The generation of the directory that it was blessed under.
    pub(crate) generation: u64,
    /// The last entry; `0-0` when there never was one.
    pub(crate) last: EntryId,
    /// The last entry that the snapshot covers; the first in the log follows it.
    pub(crate) base: EntryId,
    pub(crate) snapshot: Snapshot,
    /// Where the epoch before ended that this one goes on from. Up to there the two are one.
    pub(crate) before: Option<Position>,
    /// Every row of the directory up to this one stands in the snapshot or in the log, and if it
    /// came after the snapshot that everyone read, in the log.
    pub(crate) mark: Mark,
    /// Every record of the directory up to this write does, too, or a newer write of it.
    pub(crate) records: Version,
    /// From which history of a directory its records are.
    pub(crate) history: String,
    /// How much was added to the log since the snapshot, in bytes.
    pub(crate) bytes: u64,
}

/// A row of the directory. The receipt tells it from a row of another directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) row: Seq,
    /// `None` before the first row.
    pub(crate) receipt: Option<Uuid>,
}

/// What the directory held at some moment, in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    pub(crate) chunks: u64,
    pub(crate) entries: u64,
}

impl Ledger {
    /// Reads the fields in the order in which the script gives them.
    pub(crate) fn read(fields: &[String]) -> Option<Self> {
        let [epoch, generation, last, base, name, chunks, entries, before, until, marks @ ..] = fields else {
            return None;
        };
        let [row, receipt, records, history, bytes] = marks else { return None };
        let before = if before.is_empty() {
            None
        } else {
            Some(Position { epoch: Uuid::parse_str(before).ok()?, id: EntryId::parse(until)? })
        };
        let generation = generation.parse().ok().filter(|generation| *generation <= GENERATION_MAX)?;
        let (chunks, entries) = (chunks.parse().ok()?, entries.parse().ok()?);
        if chunks > entries || chunks > CHUNKS_MAX {
            return None;
        }
        Some(Self {
            epoch: Uuid::parse_str(epoch).ok()?,
            generation,
            last: EntryId::parse(last)?,
            base: EntryId::parse(base)?,
            snapshot: Snapshot { name: name.clone(), chunks, entries },
            before,
            mark: Mark { row: Seq(row.parse().ok()?), receipt: Uuid::parse_str(receipt).ok() },
            records: Version(records.parse().ok().filter(|version| *version >= 0)?),
            history: Some(history.clone()).filter(|history| !history.is_empty())?,
            bytes: bytes.parse().ok()?,
        })
    }

    /// How far it goes.
    pub(crate) const fn reach(&self) -> Reach {
        Reach { row: self.mark.row, records: self.records }
    }

    /// Where a position of this epoch, or of the one that it goes on from, stands in this one.
    pub(crate) fn place(&self, at: Position) -> Option<EntryId> {
        let goes_on = self.before.is_some_and(|end| end.epoch == at.epoch && at.id <= end.id);
        (at.epoch == self.epoch || goes_on).then_some(at.id)
    }
}
