//! The form of the embedded store, and the steps from older forms to it.
//!
//! While an upgrade runs, an old and a new process share the file. So a step may only add what
//! the version before does not look at; what it must not misread needs two releases.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// "DwRv": tells the file from other databases.
pub(super) const APPLICATION_ID: i64 = 0x4477_5276;

/// One step for each version; the file's `user_version` says how many were taken.
const STEPS: [&str; 5] = [
    // The log. `AUTOINCREMENT` keeps a number from being used again after its row was deleted:
    // a reader that asks for what comes after it would miss the new row.
    "CREATE TABLE rev_log (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        receipt     TEXT    NOT NULL UNIQUE,
        kind        TEXT    NOT NULL CHECK (kind IN ('user', 'session', 'token', 'device', 'user_at_app')),
        id          TEXT    NOT NULL,
        action      TEXT    NOT NULL CHECK (action IN ('revoke', 'disable', 'reactivate')),
        not_before  INTEGER NOT NULL,
        version     INTEGER NOT NULL CHECK (version >= 0),
        disabled    INTEGER NOT NULL CHECK (disabled IN (0, 1)),
        recorded_at INTEGER NOT NULL,
        cause       TEXT    NOT NULL,
        actor       TEXT    NOT NULL,
        request_id  TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX rev_log_target ON rev_log (kind, id);
    CREATE INDEX rev_log_age ON rev_log (recorded_at) WHERE kind IN ('session', 'token');
    CREATE TABLE probe (writes INTEGER NOT NULL) STRICT;
    INSERT INTO probe VALUES (0);",
    // A row without a checksum was written by version 1; it gets one when the store is opened.
    // The epoch tells this store from another one that was made for the same gateway.
    "ALTER TABLE rev_log ADD COLUMN checksum INTEGER;
    CREATE TABLE epoch (id TEXT NOT NULL) STRICT;
    INSERT INTO epoch VALUES (lower(hex(randomblob(16))));",
    // The rows after `published` are the outbox: a change and its place there are one row. An older
    // process that shares the file writes rows as before, so that they are published too.
    "CREATE TABLE outbox (
        generation INTEGER NOT NULL CHECK (generation > 0),
        published  INTEGER NOT NULL CHECK (published >= 0)
    ) STRICT;
    INSERT INTO outbox VALUES (1, 0);
    CREATE TABLE debt (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT    NOT NULL UNIQUE,
        kind        TEXT    NOT NULL,
        about       TEXT    NOT NULL,
        owner       TEXT    NOT NULL,
        cause       TEXT    NOT NULL,
        opened_at   INTEGER NOT NULL,
        due_at      INTEGER NOT NULL,
        settled_at  INTEGER,
        settled_how TEXT,
        CHECK ((settled_at IS NULL) = (settled_how IS NULL))
    ) STRICT;
    CREATE INDEX debt_open ON debt (seq) WHERE settled_at IS NULL;",
    // The directory. The number of a record's newest write is its place in the table: whoever asks for
    // what comes after a number reads on from there. A record without a body is a tombstone. A process
    // of the version before looks at none of it; what it writes of the log goes on as before.
    "CREATE TABLE record (
        version  INTEGER PRIMARY KEY,
        kind     TEXT    NOT NULL,
        id       TEXT    NOT NULL,
        keys     TEXT    NOT NULL,
        body     BLOB,
        checksum INTEGER NOT NULL,
        UNIQUE (kind, id)
    ) STRICT;
    CREATE TABLE record_key (
        key  TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        id   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE record_end (
        last INTEGER NOT NULL CHECK (last >= 0),
        held INTEGER NOT NULL CHECK (held >= 0)
    ) STRICT;
    INSERT INTO record_end VALUES (0, 0);",
    // Records are published, too, and from which history they are. The version before leaves both alone.
    "ALTER TABLE outbox ADD COLUMN records INTEGER NOT NULL DEFAULT 0 CHECK (records >= 0);
    ALTER TABLE outbox ADD COLUMN history TEXT NOT NULL DEFAULT '';
    UPDATE outbox SET history = lower(hex(randomblob(16)));",
];

/// The version that this program writes, and the newest that it reads.
pub(super) const VERSION: i64 = 5;
const _: () = assert!(STEPS.len() == 5 && VERSION == 5, "VERSION counts STEPS");

/// Takes the steps that are missing, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let tx = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let taken: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in STEPS.iter().skip(usize::try_from(taken).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}
