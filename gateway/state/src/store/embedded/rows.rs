//! How the rows of the log lie in the embedded store, and what its errors mean.

use std::path::Path;

use doorward_model::{Entry, EntryKind, Target, UnixMillis};
use rusqlite::{Connection, ErrorCode, Transaction, params};
use uuid::Uuid;

use crate::change::Action;
use crate::error::{StoreError, Where};
use crate::store::{NewRow, Row, Seq, checksum};

pub(super) const COLUMNS: &str = "seq, receipt, kind, id, action, not_before, version, disabled, recorded_at, cause, actor, request_id, \
     checksum";

/// The number of the last row that there ever was.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<Seq> {
    let query = "SELECT max(coalesce((SELECT max(seq) FROM rev_log), 0),
                            coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'rev_log'), 0))";
    connection.query_row(query, [], |row| row.get(0)).map(Seq)
}

/// False when a row of this id is there.
pub(super) fn insert(tx: &Transaction<'_>, seq: Seq, row: &NewRow, sum: i64) -> rusqlite::Result<bool> {
    let receipt = row.id.to_string();
    // Asked first: the database counts an attempt as a number that was used.
    if tx.prepare_cached("SELECT 1 FROM rev_log WHERE receipt = ?1")?.exists(params![receipt])? {
        return Ok(false);
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO rev_log
             (seq, receipt, kind, id, action, not_before, version, disabled, recorded_at, cause, actor,
              request_id, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    insert.execute(params![
        seq.0,
        receipt,
        row.target.kind().as_str(),
        row.target.id(),
        row.action.as_str(),
        row.entry.not_before.0,
        i64::try_from(row.entry.version).unwrap_or(i64::MAX),
        row.entry.disabled,
        row.recorded_at.0,
        row.cause,
        row.actor,
        row.request_id,
        sum,
    ])?;
    Ok(true)
}

/// Reads rows. One that makes no sense is damage: to leave it out could let someone in.
pub(super) fn read(
    connection: &Connection,
    file: &Path,
    filter: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<Row>, StoreError> {
    let fail = |e: rusqlite::Error| explain(file, "read", &e);
    let query = format!("SELECT {COLUMNS} FROM rev_log {filter}");
    let mut select = connection.prepare_cached(&query).map_err(fail)?;
    let mut found = select.query(params).map_err(fail)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(fail)? {
        rows.push(whole(row, file)?);
    }
    Ok(rows)
}

/// A row of [`COLUMNS`], if it is as it was written.
pub(super) fn whole(row: &rusqlite::Row<'_>, file: &Path) -> Result<Row, StoreError> {
    let fail = |e: rusqlite::Error| explain(file, "read", &e);
    let seq: i64 = row.get(0).map_err(fail)?;
    let sum: Option<i64> = row.get(12).map_err(fail)?;
    let row = parse(row).map_err(fail)?.ok_or_else(|| damaged(file, &format!("row {seq}")))?;
    // None was written by an older version that runs beside this one.
    if sum.is_some_and(|sum| sum != checksum::of_read(&row)) {
        let found = format!("row {seq} does not match its checksum");
        return Err(StoreError::Corrupt { file: file.into(), found });
    }
    Ok(row)
}

fn parse(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Row>> {
    let (receipt, kind, id): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let action: String = row.get(4)?;
    let version: i64 = row.get(6)?;
    let (Ok(receipt), Some(target), Some(action), Ok(version)) =
        (Uuid::parse_str(&receipt), target(&kind, &id), Action::parse(&action), u64::try_from(version))
    else {
        return Ok(None);
    };
    Ok(Some(Row {
        seq: Seq(row.get(0)?),
        id: receipt,
        target,
        action,
        entry: Entry { not_before: UnixMillis(row.get(5)?), version, disabled: row.get(7)? },
        recorded_at: UnixMillis(row.get(8)?),
        cause: row.get(9)?,
        actor: row.get(10)?,
        request_id: row.get(11)?,
    }))
}

pub(super) fn target(kind: &str, id: &str) -> Option<Target> {
    Target::parse(EntryKind::parse(kind)?, id).ok()
}

pub(super) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn damaged(file: &Path, what: &str) -> StoreError {
    StoreError::Corrupt { file: file.into(), found: format!("{what} cannot be understood") }
}

/// What an error of the database means for whoever runs the gateway.
pub(super) fn explain(file: &Path, doing: &'static str, error: &rusqlite::Error) -> StoreError {
    let file = Where::from(file);
    let message = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt { file, found: message }
        }
        Some(ErrorCode::DiskFull) => StoreError::Full { file },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { file },
        // A value that is not of its column's type.
        None if nonsense(error) => StoreError::Corrupt { file, found: message },
        // Every other code, and errors of the binding itself.
        Some(_) | None => StoreError::Database { file, doing, message },
    }
}

const fn nonsense(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}
