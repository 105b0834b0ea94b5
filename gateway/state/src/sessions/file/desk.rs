//! The file, open: made, looked at, and set aside when it is damaged.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::limits::SESSION_STORE_BYTES_MAX;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::rows;
use crate::sessions::SessionsError;

/// "DwSe": tells the file from other databases.
const APPLICATION_ID: i64 = 0x4477_5365;
/// The form of the tables. A file of another form is set aside.
const VERSION: i64 = 1;
const BUSY: Duration = Duration::from_secs(1);
const PAGE_BYTES: u64 = 4096;

/// One connection.
pub(super) struct Desk {
    file: PathBuf,
    /// None only while the file is made anew.
    connection: Option<Connection>,
    /// Device and number of the file, to notice when it is replaced.
    identity: (u64, u64),
}

/// Why the file is not one to go on with.
enum Unfit {
    /// The content is of no use.
    Damaged(String),
    /// The system, or another program, stands in the way.
    Barred(SessionsError),
}

impl Desk {
    pub(super) fn open(file: &Path) -> Result<Self, SessionsError> {
        let (connection, identity) = begin(file, None)?;
        Ok(Self { file: file.to_owned(), connection: Some(connection), identity })
    }

    /// One change.
    pub(super) fn write<T>(
        &mut self,
        work: impl Fn(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, SessionsError> {
        self.with(|connection| {
            // Dropping the transaction on the way out rolls it back.
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        })
    }

    pub(super) fn read<T>(
        &mut self,
        work: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SessionsError> {
        self.with(|connection| work(connection))
    }

    /// Deletes what is over.
    pub(super) fn sweep(&mut self, now: UnixMillis) -> Result<(), SessionsError> {
        self.write(|tx| rows::sweep(tx, now))
    }

    /// Works on the file. Where that shows that it is damaged, works on a new one.
    fn with<T>(&mut self, work: impl Fn(&mut Connection) -> rusqlite::Result<T>) -> Result<T, SessionsError> {
        if self.connection.is_none() || identity(&self.file) != Some(self.identity) {
            self.again(None)?;
        }
        match self.attempt(&work) {
            Err(error) if is_damage(&error) => {
                self.again(Some(&error.to_string()))?;
                self.attempt(&work).map_err(|e| explain(&self.file, &e))
            }
            result => result.map_err(|e| explain(&self.file, &e)),
        }
    }

    fn attempt<T>(&mut self, work: impl Fn(&mut Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.connection.as_mut().map_or(Err(rusqlite::Error::QueryReturnedNoRows), work)
    }

    /// Opens the file anew. `found` says what is damaged in the one that is open.
    fn again(&mut self, found: Option<&str>) -> Result<(), SessionsError> {
        self.connection = None;
        let damaged = found.map(|found| (self.identity, found));
        let (connection, identity) = begin(&self.file, damaged)?;
        (self.connection, self.identity) = (Some(connection), identity);
        Ok(())
    }
}

type Identity = (u64, u64);

/// Opens the file, or makes it. One process at a time does.
fn begin(file: &Path, damaged: Option<(Identity, &str)>) -> Result<(Connection, Identity), SessionsError> {
    let _lock = lock(file)?;
    // Another process of this node may have set it aside already.
    if let Some((which, found)) = damaged
        && identity(file) == Some(which)
    {
        set_aside(file, found)?;
    }
    match connect(file) {
        Ok(connection) => Ok(connection),
        Err(Unfit::Barred(error)) => Err(error),
        Err(Unfit::Damaged(found)) => {
            set_aside(file, &found)?;
            connect(file).map_err(|unfit| match unfit {
                Unfit::Barred(error) => error,
                Unfit::Damaged(why) => failed(file, "make", &why),
            })
        }
    }
}

fn lock(file: &Path) -> Result<File, SessionsError> {
    let path = beside(file, ".lock");
    let taken =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = taken.map_err(|e| failed(&path, "open", &e))?;
    lock.lock().map_err(|e| failed(&path, "lock", &e))?;
    Ok(lock)
}

/// Connects to the file, made if it is not there, and sees that it is whole.
fn connect(file: &Path) -> Result<(Connection, Identity), Unfit> {
    let barred = |doing: &'static str| move |e: std::io::Error| Unfit::Barred(failed(file, doing, &e));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(barred("make")(e)),
    }
    let found = std::fs::metadata(file).map_err(barred("look at"))?;
    if found.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "others than its owner could read the sessions; they no longer can");
        std::fs::set_permissions(file, Permissions::from_mode(0o600)).map_err(barred("set the mode of"))?;
    }
    let opened = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(BUSY)?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let fresh = (application, version, tables) == (0, 0, 0);
        if !fresh && (application, version) != (APPLICATION_ID, VERSION) {
            return Ok(Err(format!("it is not a file of sessions of form {VERSION}")));
        }
        settings(&connection)?;
        if fresh {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute_batch(rows::TABLES)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", VERSION)?;
            tx.commit()?;
        }
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok(if verdict == "ok" { Ok(connection) } else { Err(verdict) })
    };
    match opened() {
        Ok(Ok(connection)) => Ok((connection, (found.dev(), found.ino()))),
        Ok(Err(found)) => Err(Unfit::Damaged(found)),
        Err(error) if is_damage(&error) => Err(Unfit::Damaged(error.to_string())),
        Err(error) => Err(Unfit::Barred(explain(file, &error))),
    }
}

fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "journal_size_limit", 8 * 1024 * 1024)?;
    // Only ever limits growth.
    let pages = i64::try_from(SESSION_STORE_BYTES_MAX / PAGE_BYTES).unwrap_or(i64::MAX);
    connection.pragma_update(None, "max_page_count", pages)
}

/// Moves the file away, in the place of the one that was moved away before, with what belongs to it.
fn set_aside(file: &Path, found: &str) -> Result<(), SessionsError> {
    let aside = beside(file, ".damaged");
    tracing::error!(
        file = %file.display(),
        aside = %aside.display(),
        %found,
        "the sessions cannot be read: they are set aside, and a new file is begun. People stay signed in; their lists \
         of sessions begin anew, and what a provider has to confirm is asked by a new sign-in"
    );
    for part in ["-wal", "-shm", ""] {
        let (from, to) = (beside(file, part), beside(&aside, part));
        match std::fs::rename(&from, &to) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                // Of the file before nothing must stay that does not belong to this one.
                let _gone = std::fs::remove_file(&to);
            }
            Err(e) => return Err(failed(&from, "set aside", &e)),
        }
    }
    Ok(())
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(end);
    PathBuf::from(path)
}

fn identity(file: &Path) -> Option<Identity> {
    std::fs::metadata(file).ok().map(|found| (found.dev(), found.ino()))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn failed(file: &Path, doing: &'static str, why: &impl ToString) -> SessionsError {
    SessionsError::Open { file: file.to_owned(), doing, why: why.to_string() }
}

/// What an error of the database means for whoever runs the gateway.
fn explain(file: &Path, error: &rusqlite::Error) -> SessionsError {
    let shown = file.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => SessionsError::Full {
            why: format!(
                "`{shown}` has reached {SESSION_STORE_BYTES_MAX} bytes, or the disk has no room; make room"
            ),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SessionsError::Unavailable {
            why: format!("`{shown}` is locked by another program; end that program's transaction"),
        },
        // Every other code, and errors of the binding itself.
        Some(_) | None => SessionsError::Unavailable { why: format!("`{shown}`: {error}") },
    }
}
