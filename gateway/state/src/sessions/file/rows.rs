//! The tables, and what is done with them.

use std::collections::BTreeSet;

use doorward_model::limits::SESSIONS_PER_PERSON_MAX;
use doorward_model::{AppId, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::sessions::pack::{self, Head};
use crate::sessions::record::{Held, OnceKind, SessionRecord, Touch};

/// Of form 1. The columns are the head of a record (`sessions/pack.rs`); the form of the body stands beside it.
pub(super) const TABLES: &str = "
    CREATE TABLE session (
        person       TEXT    NOT NULL,
        id           TEXT    NOT NULL,
        form         TEXT    NOT NULL,
        version      INTEGER NOT NULL CHECK (version > 0),
        seen_at      INTEGER NOT NULL,
        expires_at   INTEGER NOT NULL,
        signed_in_at INTEGER NOT NULL,
        apps         TEXT    NOT NULL,
        body         BLOB    NOT NULL,
        UNIQUE (person, id)
    ) STRICT;
    CREATE INDEX session_end ON session (expires_at);
    CREATE TABLE once (
        kind  TEXT    NOT NULL,
        id    TEXT    NOT NULL,
        bytes BLOB    NOT NULL,
        until INTEGER NOT NULL,
        UNIQUE (kind, id)
    ) STRICT;
    CREATE INDEX once_end ON once (until);
    CREATE TABLE lock (
        name   TEXT    PRIMARY KEY,
        holder TEXT    NOT NULL,
        until  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE fence (last INTEGER NOT NULL) STRICT;
    INSERT INTO fence VALUES (0);
    CREATE TABLE memory (
        person  TEXT    PRIMARY KEY,
        version INTEGER NOT NULL CHECK (version > 0),
        bytes   BLOB    NOT NULL,
        until   INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX memory_end ON memory (until);";

const COLUMNS: &str = "id, form, version, seen_at, expires_at, signed_in_at, apps, body";
/// So many rows of a table are deleted at once.
const SWEPT_ROWS_MAX: i64 = 10_000;

type Done<T> = rusqlite::Result<T>;

// === sessions ===

/// Its id, and the record if it can be read.
fn whole(row: &Row<'_>, person: &UserId) -> Done<(String, Option<SessionRecord>)> {
    let (id, form): (String, String) = (row.get(0)?, row.get(1)?);
    let apps: String = row.get(6)?;
    let version: i64 = row.get(2)?;
    let times = (row.get(3)?, row.get(4)?, row.get(5)?);
    let body: Vec<u8> = row.get(7)?;
    let read = || {
        if form != pack::form() {
            return None;
        }
        let (seen_at, expires_at, signed_in_at) = times;
        let head = Head {
            version: u64::try_from(version).ok()?,
            seen_at: UnixMillis(seen_at),
            expires_at: UnixMillis(expires_at),
            signed_in_at: UnixMillis(signed_in_at),
            apps: pack::unpack_apps(&apps)?,
        };
        head.with(person, &id, &body)
    };
    let record = read();
    Ok((id, record))
}

/// Outside: whether there is one. Inside: whether it can be read.
pub(super) fn get(connection: &Connection, person: &UserId, id: &str) -> Done<Option<Option<SessionRecord>>> {
    let query = format!("SELECT {COLUMNS} FROM session WHERE person = ?1 AND id = ?2");
    let mut select = connection.prepare_cached(&query)?;
    let found = select.query_row(params![person.to_string(), id], |row| whole(row, person)).optional()?;
    Ok(found.map(|(_, record)| record))
}

pub(super) fn of(connection: &Connection, person: &UserId) -> Done<Vec<SessionRecord>> {
    let query = format!("SELECT {COLUMNS} FROM session WHERE person = ?1");
    let mut select = connection.prepare_cached(&query)?;
    let mut rows = select.query(params![person.to_string()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match whole(row, person)? {
            (_, Some(record)) => found.push(record),
            (id, None) => crate::sessions::left_out(&id),
        }
    }
    Ok(found)
}

/// The names of people behind `after`, in their order.
pub(super) fn people(connection: &Connection, after: Option<&str>, limit: usize) -> Done<Vec<String>> {
    let query = "SELECT DISTINCT person FROM session WHERE person > ?1 ORDER BY person LIMIT ?2";
    let mut select = connection.prepare_cached(query)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let names = select.query_map(params![after.unwrap_or_default(), limit], |row| row.get(0))?;
    names.collect()
}

pub(super) fn create(
    tx: &Transaction<'_>,
    record: &SessionRecord,
    now: UnixMillis,
) -> Done<Option<SessionRecord>> {
    let person = record.person.to_string();
    if let Some(Some(known)) = get(tx, &record.person, &record.id)?
        && known.expires_at > now
    {
        return Ok(None);
    }
    remove(tx, &record.person, &record.id)?;
    let count = |tx: &Transaction<'_>| {
        let mut count = tx.prepare_cached("SELECT count(*) FROM session WHERE person = ?1")?;
        count.query_row(params![person], |row| row.get::<_, i64>(0))
    };
    let most = i64::try_from(SESSIONS_PER_PERSON_MAX).unwrap_or(i64::MAX);
    let mut gone = None;
    if count(tx)? >= most {
        tx.prepare_cached("DELETE FROM session WHERE person = ?1 AND expires_at <= ?2")?
            .execute(params![person, now.0])?;
        if count(tx)? >= most {
            let oldest = "SELECT id FROM session WHERE person = ?1 ORDER BY signed_in_at, id LIMIT 1";
            let oldest: String = tx.query_row(oldest, params![person], |row| row.get(0))?;
            gone = get(tx, &record.person, &oldest)?.flatten();
            remove(tx, &record.person, &oldest)?;
        }
    }
    put(tx, record)?;
    Ok(gone)
}

fn put(tx: &Transaction<'_>, record: &SessionRecord) -> Done<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO session (person, id, form, version, seen_at, expires_at, signed_in_at, apps, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (person, id) DO UPDATE SET form = excluded.form, version = excluded.version,
             seen_at = excluded.seen_at, expires_at = excluded.expires_at,
             signed_in_at = excluded.signed_in_at, apps = excluded.apps, body = excluded.body",
    )?;
    insert.execute(params![
        record.person.to_string(),
        &*record.id,
        pack::form(),
        i64::try_from(record.version).unwrap_or(i64::MAX),
        record.seen_at.0,
        record.expires_at.0,
        record.signed_in_at.0,
        pack::apps(&record.apps),
        pack::body(record),
    ])?;
    Ok(())
}

pub(super) fn replace(
    tx: &Transaction<'_>,
    record: &SessionRecord,
    expected: u64,
    now: UnixMillis,
) -> Done<bool> {
    let Some(Some(known)) = get(tx, &record.person, &record.id)? else { return Ok(false) };
    if known.version != expected || known.expires_at <= now {
        return Ok(false);
    }
    let mut record = record.clone();
    record.keep(&known);
    put(tx, &record)?;
    Ok(true)
}

pub(super) fn touch(tx: &Transaction<'_>, seen: &[Touch]) -> Done<()> {
    let mut select = tx.prepare_cached("SELECT seen_at, apps FROM session WHERE person = ?1 AND id = ?2")?;
    let update = "UPDATE session SET seen_at = ?3, apps = ?4 WHERE person = ?1 AND id = ?2";
    let mut update = tx.prepare_cached(update)?;
    for touch in seen {
        let person = touch.person.to_string();
        let known = select
            .query_row(params![person, &*touch.id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let Some((seen_at, text)) = known else { continue };
        // What cannot be read stays as it is.
        let Some(mut apps) = pack::unpack_apps(&text) else { continue };
        add(&mut apps, touch.app.as_ref());
        let seen_at = touch.seen_at.max(UnixMillis(seen_at));
        update.execute(params![person, &*touch.id, seen_at.0, pack::apps(&apps)])?;
    }
    Ok(())
}

fn add(apps: &mut BTreeSet<AppId>, app: Option<&AppId>) {
    if let Some(app) = app {
        crate::sessions::record::add_app(apps, app);
    }
}

pub(super) fn remove(tx: &Transaction<'_>, person: &UserId, id: &str) -> Done<bool> {
    let mut delete = tx.prepare_cached("DELETE FROM session WHERE person = ?1 AND id = ?2")?;
    Ok(delete.execute(params![person.to_string(), id])? > 0)
}

pub(super) fn remove_all(tx: &Transaction<'_>, person: &UserId) -> Done<u64> {
    let mut delete = tx.prepare_cached("DELETE FROM session WHERE person = ?1")?;
    Ok(u64::try_from(delete.execute(params![person.to_string()])?).unwrap_or(u64::MAX))
}

// === what can be taken once ===

pub(super) fn put_once(
    tx: &Transaction<'_>,
    (kind, id): (OnceKind, &str),
    bytes: &[u8],
    (until, now): (UnixMillis, UnixMillis),
) -> Done<bool> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO once (kind, id, bytes, until) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (kind, id) DO UPDATE SET bytes = excluded.bytes, until = excluded.until
         WHERE once.until <= ?5",
    )?;
    Ok(insert.execute(params![kind.as_str(), id, bytes, until.0, now.0])? > 0)
}

pub(super) fn take_once(
    tx: &Transaction<'_>,
    (kind, id): (OnceKind, &str),
    now: UnixMillis,
) -> Done<Option<Vec<u8>>> {
    let mut delete =
        tx.prepare_cached("DELETE FROM once WHERE kind = ?1 AND id = ?2 RETURNING bytes, until")?;
    let taken = delete
        .query_row(params![kind.as_str(), id], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    Ok(taken.filter(|(_, until)| *until > now.0).map(|(bytes, _)| bytes))
}

// === locks ===

pub(super) fn lock(
    tx: &Transaction<'_>,
    (name, holder): (&str, &str),
    until: UnixMillis,
    now: UnixMillis,
) -> Done<Option<Held>> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO lock (name, holder, until) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
         WHERE lock.until <= ?4",
    )?;
    if insert.execute(params![name, holder, until.0, now.0])? == 0 {
        return Ok(None);
    }
    // In microseconds, so that a file that was begun anew does not count from one again.
    let mut raise = tx.prepare_cached("UPDATE fence SET last = max(last + 1, ?1) RETURNING last")?;
    let fencing: i64 = raise.query_row(params![now.0.saturating_mul(1000)], |row| row.get(0))?;
    Ok(Some(Held { fencing: u64::try_from(fencing).unwrap_or(0) }))
}

pub(super) fn renew(
    tx: &Transaction<'_>,
    (name, holder): (&str, &str),
    until: UnixMillis,
    now: UnixMillis,
) -> Done<bool> {
    let update = "UPDATE lock SET until = ?3 WHERE name = ?1 AND holder = ?2 AND until > ?4";
    Ok(tx.prepare_cached(update)?.execute(params![name, holder, until.0, now.0])? > 0)
}

pub(super) fn unlock(tx: &Transaction<'_>, (name, holder): (&str, &str), now: UnixMillis) -> Done<bool> {
    let delete = "DELETE FROM lock WHERE name = ?1 AND holder = ?2 RETURNING until";
    let until: Option<i64> =
        tx.prepare_cached(delete)?.query_row(params![name, holder], |row| row.get(0)).optional()?;
    Ok(until.is_some_and(|until| until > now.0))
}

// === what is remembered of a person ===

pub(super) fn memory(
    connection: &Connection,
    person: &UserId,
    now: UnixMillis,
) -> Done<Option<(u64, Vec<u8>)>> {
    let select = "SELECT version, bytes FROM memory WHERE person = ?1 AND until > ?2";
    let found = connection
        .prepare_cached(select)?
        .query_row(params![person.to_string(), now.0], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.map(|(version, bytes)| (u64::try_from(version).unwrap_or(0), bytes)))
}

pub(super) fn put_memory(
    tx: &Transaction<'_>,
    (person, bytes): (&UserId, &[u8]),
    expected: u64,
    (until, now): (UnixMillis, UnixMillis),
) -> Done<bool> {
    let known = memory(tx, person, now)?.map_or(0, |(version, _)| version);
    if known != expected {
        return Ok(false);
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO memory (person, version, bytes, until) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (person) DO UPDATE SET version = excluded.version, bytes = excluded.bytes,
             until = excluded.until",
    )?;
    let version = i64::try_from(expected.saturating_add(1)).unwrap_or(i64::MAX);
    insert.execute(params![person.to_string(), version, bytes, until.0])?;
    Ok(true)
}

// === what is over ===

/// Deletes it, up to a bound: what is left goes the next time.
pub(super) fn sweep(tx: &Transaction<'_>, now: UnixMillis) -> Done<()> {
    for (table, end) in [("session", "expires_at"), ("once", "until"), ("lock", "until"), ("memory", "until")]
    {
        let delete = format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {end} <= ?1 LIMIT ?2)"
        );
        tx.prepare_cached(&delete)?.execute(params![now.0, SWEPT_ROWS_MAX])?;
    }
    Ok(())
}
