//! The embedded store: SQLite in one file on a local disk.
//!
//! Write-ahead log with `synchronous = FULL`: a commit returns after the log was flushed to the
//! disk. The file is made under another name and moved into place when it is complete, so an
//! empty or half-made file at its path is damage, not a beginning.
//!
//! Three things find damage: the database's own check of pages and indexes, a checksum of each
//! row, and the mark beside the file, which knows where the log must end.

mod debts;
mod guard;
mod outbox;
mod records;
mod rows;
mod schema;

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::{Target, UnixMillis};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::config::EmbeddedConfig;
use crate::error::StoreError;
use crate::records::RecordGroup;
use crate::store::mark::{Mark, MarkFile};
use crate::store::{Appended, Decide, Handle, Row, Seq, Written, checksum};

use guard::Guard;
pub use guard::Lock;
use rows::{bound, damaged, explain, insert, last, read, target};

const BUSY: Duration = Duration::from_secs(2);
/// Moving the log waits less for others: it comes again.
const BUSY_WHILE_SETTLING: Duration = Duration::from_millis(100);
const SEALED_ROWS_MAX: usize = 1000;
const PAGE_BYTES: u64 = 4096;

/// One connection.
#[derive(Debug)]
pub struct Embedded {
    connection: Connection,
    file: PathBuf,
    bytes_max: u64,
    /// Device and number of the file, to notice when it is replaced.
    identity: (u64, u64),
    /// Which store it is.
    epoch: String,
    mark: MarkFile,
    records_mark: MarkFile,
}

impl Embedded {
    pub(super) fn open(config: &EmbeddedConfig) -> Result<(Self, Handle), StoreError> {
        let file = config.file.clone();
        let mut guard = Guard::take(&file, &config.node)?;
        let created = match std::fs::symlink_metadata(&file) {
            Ok(_) => false,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if guard.was_made()? || !guard.is_alone() {
                    return Err(guard.missing());
                }
                MarkFile::beside(&file).remove()?;
                MarkFile::of_records(&file).remove()?;
                create(&file)?;
                true
            }
            Err(source) => return Err(StoreError::Io { file, doing: "look at", source }),
        };
        let tightened = tighten(&file)?;
        // Read before the store: another process of this node may write both meanwhile.
        let mark = MarkFile::beside(&file).read()?;
        let records_mark = MarkFile::of_records(&file).read()?;
        let mut store = Self::connect(&file, config.bytes_max)?;
        store.verify()?;
        match &mark {
            Some(mark) => store.compare(mark)?,
            None => store.mark_end()?,
        }
        match &records_mark {
            Some(mark) => store.compare_records(mark)?,
            None => store.mark_records_end()?,
        }
        let shared = !guard.is_alone();
        let lock = guard.settle()?;
        let (unmarked, bytes_max) = (!created && mark.is_none(), config.bytes_max);
        Ok((store, Handle { file, created, tightened, shared, unmarked, bytes_max, lock }))
    }

    pub(super) fn again(&self) -> Result<Self, StoreError> {
        self.still_there()?;
        let again = Self::connect(&self.file, self.bytes_max)?;
        Ok(Self { epoch: self.epoch.clone(), ..again })
    }

    /// Connects to a file that exists. Never makes one.
    fn connect(file: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(file, flags)?;
            connection.busy_timeout(BUSY)?;
            settings(&connection)?;
            // Only ever limits growth: a store that is larger already stays readable.
            connection.pragma_update(
                None,
                "max_page_count",
                i64::try_from(bytes_max / PAGE_BYTES).unwrap_or(i64::MAX),
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|e| explain(file, "open", &e))?;
        let identity = identity(file)?;
        let (mark, records_mark) = (MarkFile::beside(file), MarkFile::of_records(file));
        let (file, epoch) = (file.to_owned(), String::new());
        Ok(Self { connection, file, bytes_max, identity, epoch, mark, records_mark })
    }

    /// Refuses whatever is not wholly the store that this program knows.
    fn verify(&mut self) -> Result<(), StoreError> {
        let file = self.file.clone();
        let fail = |e: rusqlite::Error| explain(&file, "read", &e);
        if std::fs::metadata(&file).is_ok_and(|m| m.len() == 0) {
            return Err(StoreError::Corrupt { file: file.into(), found: "the file is empty".to_owned() });
        }
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let application = pragma("application_id").map_err(fail)?;
        if application != schema::APPLICATION_ID {
            return Err(StoreError::Foreign { file: file.into() });
        }
        let version = pragma("user_version").map_err(fail)?;
        if version > schema::VERSION {
            return Err(StoreError::Newer { file: file.into(), found: version, known: schema::VERSION });
        }
        let verdict: String =
            self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(fail)?;
        if verdict != "ok" {
            return Err(StoreError::Corrupt { file: file.into(), found: verdict });
        }
        // A backup that `VACUUM INTO` made comes back in another mode.
        self.connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        if version < schema::VERSION {
            schema::migrate(&mut self.connection).map_err(|e| explain(&file, "upgrade", &e))?;
        }
        self.epoch = self.connection.query_row("SELECT id FROM epoch", [], |row| row.get(0)).map_err(fail)?;
        match self.seal() {
            // There is no room for checksums: they are made another time.
            Ok(()) | Err(StoreError::Full { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives a checksum to the rows that an older version wrote.
    fn seal(&mut self) -> Result<(), StoreError> {
        let file = self.file.clone();
        let fail = |e: rusqlite::Error| explain(&file, "upgrade", &e);
        loop {
            let tx =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
            let rows = read(
                &tx,
                &file,
                "WHERE checksum IS NULL ORDER BY seq LIMIT ?1",
                params![bound(SEALED_ROWS_MAX)],
            )?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                let update = "UPDATE rev_log SET checksum = ?2 WHERE seq = ?1";
                let sum = checksum::of_read(row);
                tx.prepare_cached(update)
                    .and_then(|mut u| u.execute(params![row.seq.0, sum]))
                    .map_err(fail)?;
            }
            tx.commit().map_err(fail)?;
        }
    }

    /// Refuses a log that ends before the mark, or that went another way.
    fn compare(&self, mark: &Mark) -> Result<(), StoreError> {
        let rewound = |found| StoreError::Rewound {
            file: self.file.clone().into(),
            mark: self.mark.path().to_owned(),
            found,
        };
        if mark.epoch != self.epoch {
            return Err(rewound("it is another store".to_owned()));
        }
        let last = last(&self.connection).map_err(|e| explain(&self.file, "read", &e))?;
        if last < mark.seq {
            let missing = mark.seq.0.saturating_sub(last.0);
            return Err(rewound(format!(
                "its log ends at change {}, and {missing} more were acknowledged",
                last.0
            )));
        }
        let rows = read(&self.connection, &self.file, "WHERE seq = ?1", params![mark.seq.0])?;
        match rows.first() {
            Some(row) if checksum::of_read(row) != mark.checksum => {
                Err(rewound(format!("its change {} is not the one that was acknowledged", mark.seq.0)))
            }
            // It may have been a session that was pruned since.
            Some(_) | None => Ok(()),
        }
    }

    /// Nothing says how far the log went: from now on something does.
    fn mark_end(&self) -> Result<(), StoreError> {
        let last = last(&self.connection).map_err(|e| explain(&self.file, "read", &e))?;
        let rows = read(&self.connection, &self.file, "WHERE seq = ?1", params![last.0])?;
        self.remember(&self.mark, Some((last, rows.first().map_or(0, checksum::of_read))));
        self.mark.flush()
    }

    /// The log has grown: the mark follows. A mark that lags notices less and harms nothing, so
    /// a failure here takes nothing back.
    fn remember(&self, file: &MarkFile, row: Option<(Seq, i64)>) {
        let Some((seq, checksum)) = row else { return };
        let mark = Mark { epoch: self.epoch.clone(), seq, checksum };
        if let Err(error) = file.advance(&mark) {
            tracing::warn!(%error, "it is not noted how far the log of revocations goes");
        }
    }

    /// Whether the file at the path is still the one that is open. If it is not, whatever is
    /// written is lost with the old one.
    fn still_there(&self) -> Result<(), StoreError> {
        match identity(&self.file) {
            Ok(found) if found == self.identity => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::Replaced { file: self.file.clone() }),
        }
    }

    pub(super) fn commit(
        &mut self,
        seen: Seq,
        groups: &[RecordGroup<'_>],
        decide: &mut Decide<'_>,
    ) -> Result<Written, StoreError> {
        self.still_there()?;
        let file = self.file.clone();
        let fail = |e: rusqlite::Error| explain(&file, "write", &e);
        // Dropping the transaction on the way out rolls it back.
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        let others = read(&tx, &file, "WHERE seq > ?1 ORDER BY seq", params![seen.0])?;
        let mut end = others.last().map(|row| (row.seq, checksum::of_read(row)));
        // Counted here, as the checksum needs the number. Nobody else can write now, and a number
        // is never used again, even when its row is gone.
        let mut next = last(&tx).map_err(fail)?.0;
        let planned = records::planned(&tx, &file, groups)?;
        for row in decide(&others, &planned.verdicts) {
            next = next.saturating_add(1);
            let sum = checksum::of_new(Seq(next), &row);
            if insert(&tx, Seq(next), &row, sum).map_err(fail)? {
                end = Some((Seq(next), sum));
            } else {
                next = next.saturating_sub(1);
            }
        }
        let records_end = records::write(&tx, &planned).map_err(fail)?;
        let pages: i64 = tx.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(fail)?;
        tx.commit().map_err(fail)?;
        self.still_there()?;
        self.remember(&self.mark, end);
        self.remember(&self.records_mark, records_end);
        let last = end.map_or(seen, |(seq, _)| seq);
        let appended = Appended { last, bytes: u64::try_from(pages).unwrap_or(0).saturating_mul(PAGE_BYTES) };
        Ok(Written { appended, verdicts: planned.verdicts })
    }

    pub(super) fn settle(&mut self) -> Result<bool, StoreError> {
        self.still_there()?;
        let fail = |e: rusqlite::Error| explain(&self.file, "write", &e);
        self.connection.busy_timeout(BUSY_WHILE_SETTLING).map_err(fail)?;
        let blocked =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(BUSY).map_err(fail)?;
        self.mark.flush()?;
        self.records_mark.flush()?;
        match blocked.map_err(fail) {
            Ok(blocked) => Ok(blocked == 0),
            Err(StoreError::Busy { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn read_after(&mut self, seen: Seq, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.still_there()?;
        read(
            &self.connection,
            &self.file,
            "WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            params![seen.0, bound(limit)],
        )
    }

    pub(super) fn newest(
        &mut self,
        of: Option<&Target>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.still_there()?;
        let before = before.map_or(i64::MAX, |seq| seq.0);
        let limit = bound(limit);
        match of {
            None => read(
                &self.connection,
                &self.file,
                "WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
                params![before, limit],
            ),
            Some(target) => read(
                &self.connection,
                &self.file,
                "WHERE kind = ?3 AND id = ?4 AND seq < ?1 ORDER BY seq DESC LIMIT ?2",
                params![before, limit, target.kind().as_str(), target.id()],
            ),
        }
    }

    pub(super) fn prune(&mut self, than: UnixMillis, limit: usize) -> Result<Vec<Target>, StoreError> {
        self.still_there()?;
        let file = self.file.clone();
        let fail = |e: rusqlite::Error| explain(&file, "write", &e);
        let mut delete = self
            .connection
            .prepare_cached(
                "DELETE FROM rev_log WHERE seq IN (
                     SELECT seq FROM rev_log
                     WHERE kind IN ('session', 'token') AND recorded_at < ?1 ORDER BY recorded_at LIMIT ?2
                 ) RETURNING kind, id",
            )
            .map_err(fail)?;
        let rows = delete.query_map(params![than.0, bound(limit)], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        let mut targets = Vec::new();
        for row in rows.map_err(fail)? {
            let (kind, id) = row.map_err(fail)?;
            targets
                .push(target(&kind, &id).ok_or_else(|| damaged(&file, &format!("a row of {kind} `{id}`")))?);
        }
        Ok(targets)
    }

    pub(super) fn probe(&mut self) -> Result<(), StoreError> {
        self.still_there()?;
        let written = self.connection.execute("UPDATE probe SET writes = writes + 1", []);
        written.map(|_| ()).map_err(|e| explain(&self.file, "write", &e))
    }

    pub(super) fn count(&mut self) -> Result<usize, StoreError> {
        let count = self.connection.query_row("SELECT count(*) FROM rev_log", [], |row| row.get::<_, i64>(0));
        let count = count.map_err(|e| explain(&self.file, "read", &e))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub(super) fn bytes(&mut self) -> Result<u64, StoreError> {
        let pages = self.connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
        let pages = pages.map_err(|e| explain(&self.file, "read", &e))?;
        Ok(u64::try_from(pages).unwrap_or(0).saturating_mul(PAGE_BYTES))
    }
}

fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where the system can flush through the disk's own cache, do so.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "journal_size_limit", 8 * 1024 * 1024)
}

/// Makes a complete, empty store beside its path and moves it there.
fn create(file: &Path) -> Result<(), StoreError> {
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let io = |doing| {
        let file = draft.clone();
        move |source| StoreError::Io { file, doing, source }
    };
    match std::fs::remove_file(&draft) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(io("remove")(source)),
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    drop(made.map_err(io("create"))?);
    let fill = || {
        let mut connection = Connection::open_with_flags(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "page_size", i64::try_from(PAGE_BYTES).unwrap_or(4096))?;
        connection.pragma_update(None, "journal_mode", "DELETE")?;
        settings(&connection)?;
        schema::migrate(&mut connection)?;
        // The last change: closing leaves the whole store in one file.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.close().map_err(|(_, e)| e)
    };
    fill().map_err(|e| explain(&draft, "fill", &e))?;
    File::open(&draft).and_then(|f| f.sync_all()).map_err(io("flush"))?;
    std::fs::rename(&draft, file).map_err(io("move into place"))?;
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(io("flush the folder of"))
}

/// Leaves the file to its owner alone. True when it was not so before.
fn tighten(file: &Path) -> Result<bool, StoreError> {
    let io = |doing| move |source| StoreError::Io { file: file.to_owned(), doing, source };
    let mode = std::fs::metadata(file).map_err(io("look at"))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).map_err(io("set the mode of"))?;
    Ok(true)
}

fn identity(file: &Path) -> Result<(u64, u64), StoreError> {
    let found = std::fs::metadata(file);
    let found = found.map_err(|source| StoreError::Io { file: file.to_owned(), doing: "look at", source })?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_waits_for_the_disk() {
        // What no kill of a process can show: the page cache survives it.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.sqlite3");
        let config = EmbeddedConfig { file, node: "gw-1".to_owned(), bytes_max: 1 << 20 };
        let (store, _handle) = Embedded::open(&config).unwrap();
        for store in [&store, &store.again().unwrap()] {
            let get = |name| store.connection.pragma_query_value(None, name, |r| r.get::<_, i64>(0)).unwrap();
            assert_eq!((get("synchronous"), get("max_page_count")), (2, 256));
            let journal =
                store.connection.pragma_query_value(None, "journal_mode", |r| r.get::<_, String>(0));
            assert_eq!(journal.unwrap(), "wal");
        }
    }
}
