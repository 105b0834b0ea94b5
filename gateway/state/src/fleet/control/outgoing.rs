//! What a directory has to say to a log: what the log lacks, and whether it is of this directory.

use crate::error::StoreError;
use crate::fleet::ledger::{Ledger, Mark};
use crate::fleet::pack::{pack_records, pack_rows, packed_bytes};
use crate::fleet::script::Call;
use crate::records::{Record, Version};
use crate::store::{Generation, Provenance, Reach, Row, Seq, Store, Unpublished};

/// Rows and records of one call.
pub(super) const BATCH_ROWS: usize = 1000;
/// Records of one call, in bytes: what Redis takes in a few milliseconds.
const CALL_BYTES_MAX: usize = 1024 * 1024;
/// A log that lacks more rows or records than this is begun anew,
const LACKING_MAX: usize = 10_000;
/// and one that lacks more bytes of records.
const LACKING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What waits to go out, as much as one call takes.
pub(super) struct Outgoing {
    rows: Vec<Row>,
    records: Vec<Record>,
    /// Nothing more of records waits up to this write.
    pub(super) up_to: Version,
    pub(super) generation: Generation,
}

impl Outgoing {
    /// Reads it. Of what was written up to `idle` it is known that nothing waits.
    ///
    /// Rows come first, as they cut off; records are read after them. In whichever order a node gets the
    /// two, it lets nobody in whom either keeps out.
    pub(super) fn read(store: &mut Store, idle: Version) -> Result<Self, StoreError> {
        let Unpublished { rows, records: noted, generation } = store.unpublished(BATCH_ROWS)?;
        let from = noted.max(idle);
        if rows.len() >= BATCH_ROWS {
            return Ok(Self { rows, records: Vec::new(), up_to: from, generation });
        }
        let page = store.records_after(from, BATCH_ROWS)?;
        let (mut records, mut up_to, mut bytes) = (page.records, page.up_to, 0);
        let fits = |record: &&Record| {
            bytes += packed_bytes(record);
            bytes <= CALL_BYTES_MAX
        };
        let fitting = records.iter().take_while(fits).count().max(1);
        if fitting < records.len() {
            records.truncate(fitting);
            up_to = records.last().map_or(from, |record| record.version);
        }
        Ok(Self { rows, records, up_to, generation })
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.rows.len() + self.records.len()).unwrap_or(u64::MAX)
    }

    /// As a call.
    pub(super) fn call(&self) -> Call {
        let mut entries = pack_rows(&self.rows);
        entries.extend(pack_records(&self.records));
        let last = self.rows.last().map(mark_of).unwrap_or_default();
        Call { entries, last, records: self.up_to }
    }
}

/// What a log lacks of what the directory has. `None` when that is much.
pub(super) fn lacking(store: &mut Store, ledger: &Ledger) -> Result<Option<Call>, StoreError> {
    let rows = store.read_after(ledger.mark.row, LACKING_MAX)?;
    let (mut records, mut up_to, mut bytes) = (Vec::new(), ledger.records, 0);
    loop {
        let page = store.records_after(up_to, BATCH_ROWS)?;
        bytes += page.records.iter().map(packed_bytes).sum::<usize>();
        records.extend(page.records);
        up_to = page.up_to;
        if rows.len() >= LACKING_MAX || records.len() >= LACKING_MAX || bytes >= LACKING_BYTES_MAX {
            return Ok(None);
        }
        if !page.more {
            break;
        }
    }
    let last = rows.last().map_or(ledger.mark, mark_of);
    let mut entries = pack_rows(&rows);
    entries.extend(pack_records(&records));
    Ok(Some(Call { entries, last, records: up_to }))
}

/// What the directory says beside a log.
pub(super) struct Beside {
    pub(super) generation: u64,
    /// What is published goes so far.
    pub(super) published: Reach,
    /// It has the row that the log goes up to: the log is of this directory.
    pub(super) has_mark: bool,
    pub(super) provenance: Provenance,
}

impl Beside {
    /// Reads it, after the log was looked at.
    pub(super) fn read(store: &mut Store, mark: Option<Mark>) -> Result<Self, StoreError> {
        // In this order: what was the newest row and does not wait a moment later is published.
        let newest = store.newest(None, None, 1)?;
        let waiting = store.unpublished(1)?;
        let published = match waiting.rows.first() {
            Some(first) => store.newest(None, Some(first.seq), 1)?,
            None => newest,
        };
        let row = published.first().map_or(Seq::START, |row| row.seq);
        Ok(Self {
            generation: waiting.generation.0,
            published: Reach { row, records: waiting.records },
            has_mark: mark.map_or(Ok(false), |mark| has_row(store, mark))?,
            provenance: store.provenance()?,
        })
    }

    /// The log has writes of records that the directory, though it is the same, has not: it was put back.
    pub(super) fn was_put_back(&self, ledger: &Ledger) -> bool {
        self.provenance.history == ledger.history && ledger.records > self.provenance.end
    }

    /// The log was written from this directory, as it is, and under its generation.
    pub(super) fn owns(&self, ledger: &Ledger) -> bool {
        ledger.generation == self.generation && self.has_mark && self.provenance.history == ledger.history
    }
}

/// Whether something goes as far as `wanted` in both.
pub(super) fn covers(reach: Reach, wanted: Reach) -> bool {
    reach.row >= wanted.row && reach.records >= wanted.records
}

/// The further of two in each.
pub(super) fn furthest(one: Reach, other: Reach) -> Reach {
    Reach { row: one.row.max(other.row), records: one.records.max(other.records) }
}

/// Whether the directory has this very row. Another directory, or one that was put back, has another
/// in its place, or none.
pub(super) fn has_row(store: &mut Store, mark: Mark) -> Result<bool, StoreError> {
    let before = Seq(mark.row.0.saturating_sub(1));
    Ok(mark.row <= Seq::START || store.read_after(before, 1)?.first().map(mark_of) == Some(mark))
}

pub(super) fn mark_of(row: &Row) -> Mark {
    Mark { row: row.seq, receipt: Some(row.id) }
}
