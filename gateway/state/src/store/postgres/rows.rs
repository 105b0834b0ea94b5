//! How the rows of the log lie in PostgreSQL.

use std::collections::HashSet;

use doorward_model::{Entry, EntryKind, Target, UnixMillis};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use crate::change::Action;
use crate::error::StoreError;
use crate::records::Version;
use crate::store::{NewRow, Row, Seq, checksum};

/// A parameter and its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// The end of the log, as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) epoch: String,
    pub(super) last: Seq,
    /// The last version of a record.
    pub(super) records: Version,
    /// How many records there are, tombstones included.
    pub(super) records_held: i64,
}

/// Rows, with the end of the log and the generation of the same moment. Asked in one statement:
/// whoever gets no rows must know that it was this store that had none.
pub(super) struct Read {
    pub(super) head: Head,
    pub(super) generation: i64,
    /// Records are noted as published up to this write.
    pub(super) records_out: Version,
    pub(super) history: String,
    pub(super) rows: Vec<Row>,
}

/// Reads the rows that `filter` leaves, in `order`.
pub(super) async fn read(
    client: &Client,
    url: &str,
    filter: &str,
    order: &str,
    params: &[Param<'_>],
) -> Result<Read, Fault> {
    let query = format!(
        "SELECT h.epoch, h.last, o.generation, r.seq, r.receipt, r.kind, r.id, r.action, r.not_before,
                r.version, r.disabled, r.recorded_at, r.cause, r.actor, r.request_id, r.checksum,
                h.records, h.records_held, o.records, o.history
         FROM doorward.head h CROSS JOIN doorward.outbox o
         LEFT JOIN LATERAL (SELECT l.* FROM doorward.rev_log l {filter}) r ON true
         WHERE h.one AND o.one ORDER BY {order}"
    );
    let found = client.query_typed(&query, params).await?;
    let Some(first) = found.first() else {
        return Err(corrupt(url, "`doorward.head` or `doorward.outbox` is empty".to_owned()).into());
    };
    let head = Head {
        epoch: first.try_get(0)?,
        last: Seq(first.try_get(1)?),
        records: Version(first.try_get(16)?),
        records_held: first.try_get(17)?,
    };
    let (generation, history) = (first.try_get(2)?, first.try_get(19)?);
    let records_out = Version(first.try_get(18)?);
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        // Without a row of the log, the join has one of nothing.
        if row.try_get::<_, Option<i64>>(3)?.is_some() {
            rows.push(whole(row, url)?);
        }
    }
    Ok(Read { head, generation, records_out, history, rows })
}

/// A row, if it is as it was written.
fn whole(row: &tokio_postgres::Row, url: &str) -> Result<Row, Fault> {
    let seq: i64 = row.try_get(3)?;
    let sum: i64 = row.try_get(15)?;
    let row = parse(row)?.ok_or_else(|| damaged(url, &format!("row {seq}")))?;
    if sum != checksum::of_read(&row) {
        return Err(corrupt(url, format!("row {seq} does not match its checksum")).into());
    }
    Ok(row)
}

fn parse(row: &tokio_postgres::Row) -> Result<Option<Row>, tokio_postgres::Error> {
    let (kind, id, action): (&str, &str, &str) = (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
    let version: i64 = row.try_get(9)?;
    let (Some(target), Some(action), Ok(version)) =
        (target(kind, id), Action::parse(action), u64::try_from(version))
    else {
        return Ok(None);
    };
    Ok(Some(Row {
        seq: Seq(row.try_get(3)?),
        id: row.try_get(4)?,
        target,
        action,
        entry: Entry { not_before: UnixMillis(row.try_get(8)?), version, disabled: row.try_get(10)? },
        recorded_at: UnixMillis(row.try_get(11)?),
        cause: row.try_get(12)?,
        actor: row.try_get(13)?,
        request_id: row.try_get(14)?,
    }))
}

pub(super) fn target(kind: &str, id: &str) -> Option<Target> {
    Target::parse(EntryKind::parse(kind)?, id).ok()
}

pub(super) fn damaged(url: &str, what: &str) -> StoreError {
    corrupt(url, format!("{what} cannot be understood"))
}

pub(super) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// New rows with their numbers, turned by a quarter: one array for each column, so that one
/// statement writes them all.
#[derive(Default)]
pub(super) struct Numbered {
    seq: Vec<i64>,
    receipt: Vec<Uuid>,
    kind: Vec<&'static str>,
    id: Vec<String>,
    action: Vec<&'static str>,
    not_before: Vec<i64>,
    version: Vec<i64>,
    disabled: Vec<bool>,
    recorded_at: Vec<i64>,
    cause: Vec<String>,
    actor: Vec<String>,
    request_id: Vec<String>,
    checksum: Vec<i64>,
}

impl Numbered {
    /// Numbers the rows that are not in the log yet, from `last` on. The caller holds the lock on
    /// the log's end.
    pub(super) async fn new(
        client: &Client,
        last: Seq,
        rows: &[NewRow],
    ) -> Result<Self, tokio_postgres::Error> {
        let mut numbered = Self::default();
        if rows.is_empty() {
            return Ok(numbered);
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let known = "SELECT receipt FROM doorward.rev_log WHERE receipt = ANY($1)";
        let known = client.query_typed(known, &[(&ids, Type::UUID_ARRAY)]).await?;
        let mut known: HashSet<Uuid> = known.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let mut end = last.0;
        for row in rows {
            if known.insert(row.id) {
                end = end.saturating_add(1);
                numbered.push(Seq(end), row);
            }
        }
        Ok(numbered)
    }

    /// The last of them and its checksum.
    pub(super) fn end(&self) -> Option<(Seq, i64)> {
        Some((Seq(*self.seq.last()?), *self.checksum.last()?))
    }

    fn push(&mut self, seq: Seq, row: &NewRow) {
        self.seq.push(seq.0);
        self.receipt.push(row.id);
        self.kind.push(row.target.kind().as_str());
        self.id.push(row.target.id());
        self.action.push(row.action.as_str());
        self.not_before.push(row.entry.not_before.0);
        self.version.push(i64::try_from(row.entry.version).unwrap_or(i64::MAX));
        self.disabled.push(row.entry.disabled);
        self.recorded_at.push(row.recorded_at.0);
        self.cause.push(row.cause.clone());
        self.actor.push(row.actor.clone());
        self.request_id.push(row.request_id.clone());
        self.checksum.push(checksum::of_new(seq, row));
    }

    pub(super) async fn write(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let insert = "INSERT INTO doorward.rev_log
                (seq, receipt, kind, id, action, not_before, version, disabled, recorded_at, cause, actor,
                 request_id, checksum)
            SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let params: [Param<'_>; 13] = [
            (&self.seq, Type::INT8_ARRAY),
            (&self.receipt, Type::UUID_ARRAY),
            (&self.kind, Type::TEXT_ARRAY),
            (&self.id, Type::TEXT_ARRAY),
            (&self.action, Type::TEXT_ARRAY),
            (&self.not_before, Type::INT8_ARRAY),
            (&self.version, Type::INT8_ARRAY),
            (&self.disabled, Type::BOOL_ARRAY),
            (&self.recorded_at, Type::INT8_ARRAY),
            (&self.cause, Type::TEXT_ARRAY),
            (&self.actor, Type::TEXT_ARRAY),
            (&self.request_id, Type::TEXT_ARRAY),
            (&self.checksum, Type::INT8_ARRAY),
        ];
        client.execute_typed(insert, &params).await?;
        Ok(())
    }
}
