//! Records in PostgreSQL. Versions are drawn under the lock on the log's end, as numbers of rows are.

use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::rows::{Head, Param, bound, damaged};
use super::{ANSWER, Postgres, WHOLE_LOG};
use crate::error::StoreError;
use crate::records::{
    Address, Holder, Known, Plan, Present, Record, RecordGroup, RecordKind, RecordsAfter, UniqueKey, Version,
    joined, split,
};
use crate::store::directory::{Counts, Row, private_kinds};
use crate::store::{Seq, checksum};

/// Reads what is there of all that the groups touch. The caller holds the lock on the log's end.
pub(super) async fn present(
    client: &Client,
    head: &Head,
    groups: &[RecordGroup<'_>],
) -> Result<Present, tokio_postgres::Error> {
    let mut present = Present { end: head.records, held: head.records_held, ..Present::default() };
    let writes = || groups.iter().flat_map(|group| group.writes);
    if groups.is_empty() {
        return Ok(present);
    }
    let proofs: Vec<Uuid> = groups.iter().filter_map(|group| group.proof).collect();
    let kinds: Vec<&str> = writes().map(|write| write.kind.as_str()).collect();
    let ids: Vec<&str> = writes().map(|write| &*write.id).collect();
    let keys: Vec<&str> = writes().flat_map(|write| &write.keys).map(UniqueKey::as_str).collect();
    let proof = "SELECT receipt FROM doorward.rev_log WHERE receipt = ANY($1)";
    let record = "SELECT r.kind, r.id, r.version, r.body IS NOT NULL, r.keys
        FROM unnest($1, $2) AS w(kind, id) JOIN doorward.record r ON r.kind = w.kind AND r.id = w.id";
    let holder = "SELECT key, kind, id FROM doorward.record_key WHERE key = ANY($1)";
    let (proof_of, named, wanted): ([Param<'_>; 1], [Param<'_>; 2], [Param<'_>; 1]) = (
        [(&proofs, Type::UUID_ARRAY)],
        [(&kinds, Type::TEXT_ARRAY), (&ids, Type::TEXT_ARRAY)],
        [(&keys, Type::TEXT_ARRAY)],
    );
    let (proofs, records, holders) = tokio::join!(
        biased;
        client.query_typed(proof, &proof_of),
        client.query_typed(record, &named),
        client.query_typed(holder, &wanted),
    );
    for row in proofs? {
        present.already.insert(row.try_get(0)?);
    }
    for row in records? {
        let (kind, id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        // It was asked for by a word of ours.
        let Some(kind) = RecordKind::parse(kind) else { continue };
        let (version, live) = (Version(row.try_get(2)?), row.try_get(3)?);
        let known = Known { version, live, keys: split(row.try_get(4)?) };
        present.records.insert(Address { kind, id: id.into() }, known);
    }
    for row in holders? {
        let holder = Holder { kind: row.try_get(1)?, id: row.try_get(2)? };
        present.holders.insert(UniqueKey::read(row.try_get(0)?), holder);
    }
    Ok(present)
}

/// Writes what is planned, and says where the records end, if they have grown.
pub(super) async fn write(client: &Client, plan: &Plan) -> Result<Option<(Seq, i64)>, tokio_postgres::Error> {
    if plan.is_empty() {
        return Ok(None);
    }
    if !plan.released.is_empty() {
        let keys: Vec<&str> = plan.released.iter().map(UniqueKey::as_str).collect();
        let release = "DELETE FROM doorward.record_key WHERE key = ANY($1)";
        client.execute_typed(release, &[(&keys, Type::TEXT_ARRAY)]).await?;
    }
    if !plan.removed.is_empty() {
        let kinds: Vec<&str> = plan.removed.iter().map(|address| address.kind.as_str()).collect();
        let ids: Vec<&str> = plan.removed.iter().map(|address| &*address.id).collect();
        let remove = "DELETE FROM doorward.record r USING unnest($1, $2) AS w(kind, id)
            WHERE r.kind = w.kind AND r.id = w.id";
        client.execute_typed(remove, &[(&kinds, Type::TEXT_ARRAY), (&ids, Type::TEXT_ARRAY)]).await?;
    }
    let end = replace(client, plan).await?;
    if !plan.claimed.is_empty() {
        let keys: Vec<&str> = plan.claimed.iter().map(|(key, _)| key.as_str()).collect();
        let kinds: Vec<&str> = plan.claimed.iter().map(|(_, address)| address.kind.as_str()).collect();
        let ids: Vec<&str> = plan.claimed.iter().map(|(_, address)| &*address.id).collect();
        let claim = "INSERT INTO doorward.record_key (key, kind, id) SELECT * FROM unnest($1, $2, $3)";
        let params: [Param<'_>; 3] =
            [(&keys, Type::TEXT_ARRAY), (&kinds, Type::TEXT_ARRAY), (&ids, Type::TEXT_ARRAY)];
        client.execute_typed(claim, &params).await?;
    }
    let update = "UPDATE doorward.head SET records = $1, records_held = $2";
    client.execute_typed(update, &[(&plan.end.0, Type::INT8), (&plan.held, Type::INT8)]).await?;
    Ok(Some((Seq(plan.end.0), end)))
}

/// Writes the records themselves, in one statement. The checksum of the last one, if it is the end.
async fn replace(client: &Client, plan: &Plan) -> Result<i64, tokio_postgres::Error> {
    let rows = &plan.written;
    let versions: Vec<i64> = rows.iter().map(|row| row.version.0).collect();
    let kinds: Vec<&str> = rows.iter().map(|row| row.address.kind.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|row| &*row.address.id).collect();
    let keys: Vec<String> = rows.iter().map(|row| joined(&row.keys)).collect();
    let bodies: Vec<Option<&[u8]>> = rows.iter().map(|row| row.body.as_deref()).collect();
    let sums: Vec<i64> = rows
        .iter()
        .zip(&keys)
        .map(|(row, keys)| {
            let Address { kind, id } = &row.address;
            checksum::of_record(row.version.0, kind.as_str(), id, keys, row.body.as_deref())
        })
        .collect();
    let insert = "INSERT INTO doorward.record (version, kind, id, keys, body, checksum)
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
        ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, keys = excluded.keys,
            body = excluded.body, checksum = excluded.checksum";
    let params: [Param<'_>; 6] = [
        (&versions, Type::INT8_ARRAY),
        (&kinds, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&keys, Type::TEXT_ARRAY),
        (&bodies, Type::BYTEA_ARRAY),
        (&sums, Type::INT8_ARRAY),
    ];
    client.execute_typed(insert, &params).await?;
    let last = rows.last().is_some_and(|row| row.version == plan.end);
    Ok(sums.last().copied().filter(|_| last).unwrap_or(0))
}

/// Records, with the end of the log and of the records of the same moment.
struct Read {
    head: Head,
    rows: Vec<Row>,
}

/// Reads the records that `filter` leaves, in `order`. Asked in one statement: whoever gets none must
/// know that it was this store that had none.
async fn read(
    client: &Client,
    url: &str,
    (filter, order): (&str, &str),
    params: &[Param<'_>],
) -> Result<Read, Fault> {
    let query = format!(
        "SELECT h.epoch, h.last, h.records, h.records_held, r.version, r.kind, r.id, r.keys, r.body, r.checksum
         FROM doorward.head h LEFT JOIN LATERAL (SELECT l.* FROM doorward.record l {filter}) r ON true
         WHERE h.one ORDER BY {order}"
    );
    let found = client.query_typed(&query, params).await?;
    let Some(first) = found.first() else {
        return Err(corrupt(url, "`doorward.head` is empty".to_owned()).into());
    };
    let head = Head {
        epoch: first.try_get(0)?,
        last: Seq(first.try_get(1)?),
        records: Version(first.try_get(2)?),
        records_held: first.try_get(3)?,
    };
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        // Without a record, the join has one of nothing.
        if row.try_get::<_, Option<i64>>(4)?.is_some() {
            rows.push(whole(row, url)?);
        }
    }
    Ok(Read { head, rows })
}

fn whole(row: &tokio_postgres::Row, url: &str) -> Result<Row, Fault> {
    let (version, kind, id): (i64, String, String) = (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
    let (keys, body, sum): (String, Option<Vec<u8>>, i64) =
        (row.try_get(7)?, row.try_get(8)?, row.try_get(9)?);
    if sum != checksum::of_record(version, &kind, &id, &keys, body.as_deref()) {
        return Err(corrupt(url, format!("record {version} does not match its checksum")).into());
    }
    Ok(Row { version: Version(version), kind, id, keys, body })
}

impl Postgres {
    /// Reads records of this store, of which the end is where it should be.
    fn select_records(
        &mut self,
        filter: (&str, &str),
        params: &[Param<'_>],
    ) -> Result<(Head, Vec<Row>), StoreError> {
        self.run("read", ANSWER, async |client, server| {
            let (url, known) = (server.way.url(), server.records.known());
            let Read { head, rows } = read(client, url, filter, params).await?;
            server.records.check(known.as_ref(), &head, url)?;
            Ok((head, rows))
        })
    }

    pub(in crate::store) fn check_records(&mut self) -> Result<(), StoreError> {
        self.run("read", WHOLE_LOG, async |client, server| {
            client.batch_execute("BEGIN READ ONLY; SET LOCAL statement_timeout = 0").await?;
            let query = "SELECT (SELECT count(*) FROM doorward.record),
                (SELECT coalesce(max(version), 0) FROM doorward.record), records_held, records
                FROM doorward.head";
            let row = client.query_typed_one(query, &[]).await?;
            client.batch_execute("COMMIT").await?;
            let counts = Counts {
                rows: row.try_get(0)?,
                highest: row.try_get(1)?,
                held: row.try_get(2)?,
                last: row.try_get(3)?,
            };
            match counts.wrong() {
                None => Ok(()),
                Some(found) => Err(corrupt(server.way.url(), found).into()),
            }
        })
    }

    pub(in crate::store) fn records_after(
        &mut self,
        seen: Version,
        limit: usize,
    ) -> Result<RecordsAfter, StoreError> {
        let (kinds, limit_rows) = (private_kinds(), bound(limit));
        let filter = "WHERE l.version > $1 AND l.kind <> ALL($2) ORDER BY l.version LIMIT $3";
        let params: [Param<'_>; 3] =
            [(&seen.0, Type::INT8), (&kinds, Type::TEXT_ARRAY), (&limit_rows, Type::INT8)];
        let (head, rows) = self.select_records((filter, "r.version"), &params)?;
        let more = rows.len() >= limit;
        let highest = rows.last().map_or(seen, |row| row.version);
        let up_to = if more { highest } else { highest.max(head.records) };
        Ok(RecordsAfter { records: rows.into_iter().filter_map(Row::known).collect(), up_to, more })
    }

    pub(in crate::store) fn record(
        &mut self,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        let kind = kind.as_str();
        let filter = ("WHERE l.kind = $1 AND l.id = $2", "r.version");
        let (_, rows) = self.select_records(filter, &[(&kind, Type::TEXT), (&id, Type::TEXT)])?;
        Ok(rows.into_iter().find_map(Row::known))
    }

    pub(in crate::store) fn record_by_key(&mut self, key: &UniqueKey) -> Result<Option<Record>, StoreError> {
        let text = key.as_str();
        self.run("read", ANSWER, async |client, server| {
            let (url, known) = (server.way.url(), server.records.known());
            // One snapshot of both.
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let holder = "SELECT kind, id FROM doorward.record_key WHERE key = $1";
            let holder = client.query_typed(holder, &[(&text, Type::TEXT)]).await?;
            let (kind, id): (&str, &str) = match holder.first() {
                Some(row) => (row.try_get(0)?, row.try_get(1)?),
                // Asked all the same: of which store this is.
                None => ("", ""),
            };
            let filter = ("WHERE l.kind = $1 AND l.id = $2", "r.version");
            let found = read(client, url, filter, &[(&kind, Type::TEXT), (&id, Type::TEXT)]).await?;
            client.batch_execute("COMMIT").await?;
            server.records.check(known.as_ref(), &found.head, url)?;
            match found.rows.into_iter().next() {
                _ if holder.is_empty() => Ok(None),
                Some(row) if row.body.is_some() && split(&row.keys).contains(key) => Ok(row.known()),
                Some(_) | None => Err(damaged(url, &format!("a key of {kind} `{id}`")).into()),
            }
        })
    }

    pub(in crate::store) fn record_page(
        &mut self,
        kind: RecordKind,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (kind, limit) = (kind.as_str(), bound(limit));
        let filter = "WHERE l.kind = $1 AND l.id > $2 AND l.body IS NOT NULL ORDER BY l.id LIMIT $3";
        let params: [Param<'_>; 3] = [(&kind, Type::TEXT), (&after, Type::TEXT), (&limit, Type::INT8)];
        let (_, rows) = self.select_records((filter, "r.id"), &params)?;
        Ok(rows.into_iter().filter_map(Row::known).collect())
    }
}
