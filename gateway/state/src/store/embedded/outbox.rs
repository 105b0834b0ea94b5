//! What of the log and of the records was published, and under which generation; and what holds for each target.

use std::path::Path;

use doorward_model::Target;
use rusqlite::{Connection, TransactionBehavior, params};

use super::Embedded;
use super::rows::{COLUMNS, bound, explain, last, read, whole};
use crate::error::StoreError;
use crate::records::Version;
use crate::store::fold::Fold;
use crate::store::{Generation, Held, Provenance, Reach, Unpublished};

impl Embedded {
    pub(in crate::store) fn generation(&mut self) -> Result<Generation, StoreError> {
        self.still_there()?;
        generation(&self.connection, &self.file)
    }

    pub(in crate::store) fn raise_generation(&mut self) -> Result<Generation, StoreError> {
        self.still_there()?;
        let fail = |e: rusqlite::Error| explain(&self.file, "write", &e);
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        tx.execute("UPDATE outbox SET generation = generation + 1", []).map_err(fail)?;
        let raised = generation(&tx, &self.file)?;
        tx.commit().map_err(fail)?;
        self.still_there()?;
        Ok(raised)
    }

    pub(in crate::store) fn unpublished(&mut self, limit: usize) -> Result<Unpublished, StoreError> {
        self.still_there()?;
        let fail = |e: rusqlite::Error| explain(&self.file, "read", &e);
        // One snapshot of both.
        let tx = self.connection.transaction().map_err(fail)?;
        let rows = read(
            &tx,
            &self.file,
            "WHERE seq > (SELECT published FROM outbox) ORDER BY seq LIMIT ?1",
            params![bound(limit)],
        )?;
        let generation = generation(&tx, &self.file)?;
        let records = tx.query_row("SELECT records FROM outbox", [], |row| row.get(0)).map_err(fail)?;
        Ok(Unpublished { rows, records: Version(records), generation })
    }

    pub(in crate::store) fn published(
        &mut self,
        up_to: Reach,
        under: Generation,
    ) -> Result<bool, StoreError> {
        self.still_there()?;
        let fail = |e: rusqlite::Error| explain(&self.file, "write", &e);
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        if generation(&tx, &self.file)? != under {
            return Ok(false);
        }
        // Never beyond the end: what comes later would not be published.
        let row = up_to.row.min(last(&tx).map_err(fail)?);
        let update = "UPDATE outbox SET published = max(published, ?1),
                records = max(records, min(?2, (SELECT last FROM record_end)))
            WHERE published < ?1 OR records < min(?2, (SELECT last FROM record_end))";
        let moved = tx.execute(update, params![row.0, up_to.records.0]).map_err(fail)?;
        if moved > 0 {
            tx.commit().map_err(fail)?;
            self.still_there()?;
        }
        Ok(true)
    }

    pub(in crate::store) fn provenance(&mut self) -> Result<Provenance, StoreError> {
        self.still_there()?;
        let query = "SELECT history, last FROM outbox, record_end";
        let read = self
            .connection
            .query_row(query, [], |row| Ok(Provenance { history: row.get(0)?, end: Version(row.get(1)?) }));
        read.map_err(|e| explain(&self.file, "read", &e))
    }

    pub(in crate::store) fn begin_history(&mut self) -> Result<(), StoreError> {
        self.still_there()?;
        let drawn = self.connection.execute("UPDATE outbox SET history = lower(hex(randomblob(16)))", []);
        drawn.map_err(|e| explain(&self.file, "write", &e))?;
        self.still_there()
    }

    pub(in crate::store) fn held_after(
        &mut self,
        after: Option<&Target>,
        limit: usize,
    ) -> Result<Vec<Held>, StoreError> {
        self.still_there()?;
        let fail = |e: rusqlite::Error| explain(&self.file, "read", &e);
        let (kind, id) = after.map_or(("", String::new()), |t| (t.kind().as_str(), t.id()));
        // The index on (kind, id) gives the rows in this order, one at a time.
        let query =
            format!("SELECT {COLUMNS} FROM rev_log WHERE (kind, id) > (?1, ?2) ORDER BY kind, id, seq");
        let mut select = self.connection.prepare_cached(&query).map_err(fail)?;
        let mut found = select.query(params![kind, id]).map_err(fail)?;
        let mut fold = Fold::new(limit);
        while let Some(row) = found.next().map_err(fail)? {
            if !fold.take(whole(row, &self.file)?) {
                break;
            }
        }
        Ok(fold.done())
    }
}

fn generation(connection: &Connection, file: &Path) -> Result<Generation, StoreError> {
    let read = connection.query_row("SELECT generation FROM outbox", [], |row| row.get::<_, i64>(0));
    let read = read.map_err(|e| explain(file, "read", &e))?;
    Ok(Generation(u64::try_from(read).unwrap_or(0)))
}
