//! Reading the records of a store, whichever it is.

use std::sync::Arc;

use crate::error::StoreError;
use crate::records::{Record, RecordKind, RecordsAfter, UniqueKey, Version};
use crate::store::Store;

/// A row that is as it was written, of whatever kind.
pub(in crate::store) struct Row {
    pub(in crate::store) version: Version,
    pub(in crate::store) kind: String,
    pub(in crate::store) id: String,
    pub(in crate::store) keys: String,
    pub(in crate::store) body: Option<Vec<u8>>,
}

impl Row {
    /// As a record, if its kind is known here.
    pub(in crate::store) fn known(self) -> Option<Record> {
        let kind = RecordKind::parse(&self.kind)?;
        let body = self.body.map(Arc::from);
        Some(Record { kind, id: self.id.into(), version: self.version, body })
    }
}

impl Store {
    /// Makes sure that there are as many records as were written, and none from the future.
    ///
    /// # Errors
    /// When there are not, or the store cannot be read.
    pub fn check_records(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.check_records(),
            Self::Postgres(store) => store.check_records(),
        }
    }

    /// The records of published kinds whose newest write comes after `seen`, tombstones included, in
    /// the order of their versions, at most `limit`. Whoever goes on from
    /// [`up_to`](RecordsAfter::up_to) misses none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn records_after(&mut self, seen: Version, limit: usize) -> Result<RecordsAfter, StoreError> {
        match self {
            Self::Embedded(store) => store.records_after(seen, limit),
            Self::Postgres(store) => store.records_after(seen, limit),
        }
    }

    /// A record, a tombstone too.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn record(&mut self, kind: RecordKind, id: &str) -> Result<Option<Record>, StoreError> {
        match self {
            Self::Embedded(store) => store.record(kind, id),
            Self::Postgres(store) => store.record(kind, id),
        }
    }

    /// The record that has a key; of one of a kind that only a later version knows, none.
    ///
    /// # Errors
    /// When the store cannot be read, or the record does not know of the key.
    pub fn record_by_key(&mut self, key: &UniqueKey) -> Result<Option<Record>, StoreError> {
        match self {
            Self::Embedded(store) => store.record_by_key(key),
            Self::Postgres(store) => store.record_by_key(key),
        }
    }

    /// The records of a kind that are there, in the order of their ids, byte by byte: behind the id
    /// `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn record_page(
        &mut self,
        kind: RecordKind,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        match self {
            Self::Embedded(store) => store.record_page(kind, after, limit),
            Self::Postgres(store) => store.record_page(kind, after, limit),
        }
    }
}

/// The kinds of which nobody but the store needs to know, for a query.
pub(super) fn private_kinds() -> Vec<&'static str> {
    RecordKind::ALL.into_iter().filter(|kind| !kind.is_published()).map(RecordKind::as_str).collect()
}

/// What the counts of a store say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Rows in the table.
    pub(super) rows: i64,
    /// The highest version in it.
    pub(super) highest: i64,
    /// How many there should be.
    pub(super) held: i64,
    /// The last version that was drawn.
    pub(super) last: i64,
}

impl Counts {
    /// What is wrong, if anything is.
    pub(super) fn wrong(self) -> Option<String> {
        let Self { rows, highest, held, last } = self;
        if rows != held {
            return Some(format!("it has {rows} records of the directory, and {held} were written"));
        }
        (highest > last)
            .then(|| format!("it has a record of version {highest}, and the last one written is {last}"))
    }
}
