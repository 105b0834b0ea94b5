//! Records in the embedded store.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::Embedded;
use super::rows::{bound, damaged, explain};
use crate::error::StoreError;
use crate::records::{
    Address, Holder, Known, Plan, Present, Record, RecordGroup, RecordKind, RecordsAfter, UniqueKey, Version,
    joined, plan, split,
};
use crate::store::directory::{Counts, Row, private_kinds};
use crate::store::mark::Mark;
use crate::store::{Seq, checksum};

const COLUMNS: &str = "version, kind, id, keys, body, checksum";

/// Decides what the groups do, while nobody else can write.
pub(super) fn planned(
    tx: &Transaction<'_>,
    file: &Path,
    groups: &[RecordGroup<'_>],
) -> Result<Plan, StoreError> {
    let present = present(tx, groups).map_err(|e| explain(file, "read", &e))?;
    Ok(plan(present, groups))
}

/// Reads what is there of all that the groups touch.
fn present(tx: &Transaction<'_>, groups: &[RecordGroup<'_>]) -> rusqlite::Result<Present> {
    let mut present = Present::default();
    if groups.is_empty() {
        return Ok(present);
    }
    (present.end, present.held) =
        tx.query_row("SELECT last, held FROM record_end", [], |row| Ok((Version(row.get(0)?), row.get(1)?)))?;
    let mut proof = tx.prepare_cached("SELECT 1 FROM rev_log WHERE receipt = ?1")?;
    let mut record =
        tx.prepare_cached("SELECT version, body IS NOT NULL, keys FROM record WHERE kind = ?1 AND id = ?2")?;
    let mut holder = tx.prepare_cached("SELECT kind, id FROM record_key WHERE key = ?1")?;
    for group in groups {
        if let Some(id) = group.proof
            && proof.exists(params![id.to_string()])?
        {
            present.already.insert(id);
        }
        for write in group.writes {
            let known = record.query_row(params![write.kind.as_str(), &*write.id], |row| {
                let keys: String = row.get(2)?;
                Ok(Known { version: Version(row.get(0)?), live: row.get(1)?, keys: split(&keys) })
            });
            if let Some(known) = known.optional()? {
                present.records.insert(Address::of(write), known);
            }
            for key in &write.keys {
                let found = holder.query_row(params![key.as_str()], |row| {
                    Ok(Holder { kind: row.get(0)?, id: row.get(1)? })
                });
                if let Some(found) = found.optional()? {
                    present.holders.insert(key.clone(), found);
                }
            }
        }
    }
    Ok(present)
}

/// Writes what is planned, and says where the records end, if they have grown.
pub(super) fn write(tx: &Transaction<'_>, plan: &Plan) -> rusqlite::Result<Option<(Seq, i64)>> {
    if plan.is_empty() {
        return Ok(None);
    }
    let mut release = tx.prepare_cached("DELETE FROM record_key WHERE key = ?1")?;
    for key in &plan.released {
        release.execute(params![key.as_str()])?;
    }
    let mut remove = tx.prepare_cached("DELETE FROM record WHERE kind = ?1 AND id = ?2")?;
    for Address { kind, id } in &plan.removed {
        remove.execute(params![kind.as_str(), &**id])?;
    }
    // The row moves to the end of the table.
    let mut replace = tx.prepare_cached(
        "INSERT OR REPLACE INTO record (version, kind, id, keys, body, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut end = 0;
    for row in &plan.written {
        let (kind, id, keys) = (row.address.kind.as_str(), &*row.address.id, joined(&row.keys));
        end = checksum::of_record(row.version.0, kind, id, &keys, row.body.as_deref());
        replace.execute(params![row.version.0, kind, id, keys, row.body.as_deref(), end])?;
    }
    let mut claim = tx.prepare_cached("INSERT INTO record_key (key, kind, id) VALUES (?1, ?2, ?3)")?;
    for (key, Address { kind, id }) in &plan.claimed {
        claim.execute(params![key.as_str(), kind.as_str(), &**id])?;
    }
    tx.execute("UPDATE record_end SET last = ?1, held = ?2", params![plan.end.0, plan.held])?;
    let last = plan.written.last().is_some_and(|row| row.version == plan.end);
    Ok(Some((Seq(plan.end.0), if last { end } else { 0 })))
}

impl Embedded {
    /// Refuses records that end before the mark, or that went another way.
    pub(super) fn compare_records(&self, mark: &Mark) -> Result<(), StoreError> {
        let rewound = |found| StoreError::Rewound {
            file: self.file.clone().into(),
            mark: self.records_mark.path().to_owned(),
            found,
        };
        if mark.epoch != self.epoch {
            return Err(rewound("it is another store".to_owned()));
        }
        let last = self.records_end()?;
        if last.0 < mark.seq.0 {
            let missing = mark.seq.0.saturating_sub(last.0);
            return Err(rewound(format!(
                "its directory ends at write {}, and {missing} more were acknowledged",
                last.0
            )));
        }
        let query = "SELECT checksum FROM record WHERE version = ?1";
        let sum =
            self.connection.query_row(query, params![mark.seq.0], |row| row.get::<_, i64>(0)).optional();
        match sum.map_err(|e| explain(&self.file, "read", &e))? {
            Some(sum) if mark.checksum != 0 && sum != mark.checksum => Err(rewound(format!(
                "write {} of its directory is not the one that was acknowledged",
                mark.seq.0
            ))),
            // It may have been written over since.
            Some(_) | None => Ok(()),
        }
    }

    /// Nothing says how far the records went: from now on something does, if there are any. They may have
    /// been put back: then nodes know more of them than there is.
    pub(super) fn mark_records_end(&mut self) -> Result<(), StoreError> {
        let last = self.records_end()?;
        if last > Version::START {
            self.begin_history()?;
            self.remember(&self.records_mark, Some((Seq(last.0), 0)));
            self.records_mark.flush()?;
        }
        Ok(())
    }

    fn records_end(&self) -> Result<Version, StoreError> {
        let last = self.connection.query_row("SELECT last FROM record_end", [], |row| row.get(0));
        last.map(Version).map_err(|e| explain(&self.file, "read", &e))
    }

    pub(in crate::store) fn check_records(&mut self) -> Result<(), StoreError> {
        self.still_there()?;
        let query = "SELECT (SELECT count(*) FROM record), (SELECT coalesce(max(version), 0) FROM record),
                            held, last FROM record_end";
        let counts = self.connection.query_row(query, [], |row| {
            Ok(Counts { rows: row.get(0)?, highest: row.get(1)?, held: row.get(2)?, last: row.get(3)? })
        });
        match counts.map_err(|e| explain(&self.file, "read", &e))?.wrong() {
            None => Ok(()),
            Some(found) => Err(StoreError::Corrupt { file: self.file.clone().into(), found }),
        }
    }

    pub(in crate::store) fn records_after(
        &mut self,
        seen: Version,
        limit: usize,
    ) -> Result<RecordsAfter, StoreError> {
        self.still_there()?;
        // Asked first: what is written in between comes with the rows, or with those of the next time.
        let last = self.records_end()?;
        if last <= seen {
            return Ok(RecordsAfter { records: Vec::new(), up_to: seen, more: false });
        }
        let kinds = private_kinds().join("', '");
        let filter = format!("WHERE version > ?1 AND kind NOT IN ('{kinds}') ORDER BY version LIMIT ?2");
        let rows = select(&self.connection, &self.file, &filter, params![seen.0, bound(limit)])?;
        let more = rows.len() >= limit;
        let highest = rows.last().map_or(seen, |row| row.version);
        let up_to = if more { highest } else { highest.max(last) };
        Ok(RecordsAfter { records: rows.into_iter().filter_map(Row::known).collect(), up_to, more })
    }

    pub(in crate::store) fn record(
        &mut self,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        self.still_there()?;
        let filter = "WHERE kind = ?1 AND id = ?2";
        let rows = select(&self.connection, &self.file, filter, params![kind.as_str(), id])?;
        Ok(rows.into_iter().find_map(Row::known))
    }

    pub(in crate::store) fn record_by_key(&mut self, key: &UniqueKey) -> Result<Option<Record>, StoreError> {
        self.still_there()?;
        let file = self.file.clone();
        let fail = |e: rusqlite::Error| explain(&file, "read", &e);
        // One snapshot of both.
        let tx = self.connection.transaction().map_err(fail)?;
        let query = "SELECT kind, id FROM record_key WHERE key = ?1";
        let holder = tx
            .query_row(query, params![key.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .optional();
        let Some((kind, id)) = holder.map_err(fail)? else { return Ok(None) };
        let rows = select(&tx, &file, "WHERE kind = ?1 AND id = ?2", params![kind, id])?;
        match rows.into_iter().next() {
            Some(row) if row.body.is_some() && split(&row.keys).contains(key) => Ok(row.known()),
            Some(_) | None => Err(damaged(&file, &format!("a key of {kind} `{id}`"))),
        }
    }

    pub(in crate::store) fn record_page(
        &mut self,
        kind: RecordKind,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.still_there()?;
        let filter = "WHERE kind = ?1 AND id > ?2 AND body IS NOT NULL ORDER BY id LIMIT ?3";
        let params = params![kind.as_str(), after, bound(limit)];
        let rows = select(&self.connection, &self.file, filter, params)?;
        Ok(rows.into_iter().filter_map(Row::known).collect())
    }
}

fn select(
    connection: &Connection,
    file: &Path,
    filter: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<Row>, StoreError> {
    let fail = |e: rusqlite::Error| explain(file, "read", &e);
    let query = format!("SELECT {COLUMNS} FROM record {filter}");
    let mut select = connection.prepare_cached(&query).map_err(fail)?;
    let mut found = select.query(params).map_err(fail)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(fail)? {
        rows.push(whole(row, file)?);
    }
    Ok(rows)
}

fn whole(row: &rusqlite::Row<'_>, file: &Path) -> Result<Row, StoreError> {
    let read = || {
        let sum: i64 = row.get(5)?;
        let (version, kind, id) = (Version(row.get(0)?), row.get(1)?, row.get(2)?);
        rusqlite::Result::Ok((sum, Row { version, kind, id, keys: row.get(3)?, body: row.get(4)? }))
    };
    let (sum, row) = read().map_err(|e| explain(file, "read", &e))?;
    if sum != checksum::of_record(row.version.0, &row.kind, &row.id, &row.keys, row.body.as_deref()) {
        let found = format!("record {} does not match its checksum", row.version.0);
        return Err(StoreError::Corrupt { file: file.into(), found });
    }
    Ok(row)
}
