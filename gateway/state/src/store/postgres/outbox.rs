//! What of the log and of the records was published, and under which generation; and what holds for each target.

use doorward_model::Target;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::rows::{Param, Read, bound, read};
use super::{ANSWER, Postgres, ROWS, WHOLE_LOG, corrupt};
use crate::error::StoreError;
use crate::store::fold::Fold;
use crate::store::{Generation, Held, Provenance, Reach, Unpublished};

impl Postgres {
    pub(in crate::store) fn generation(&mut self) -> Result<Generation, StoreError> {
        self.run("read", ANSWER, async |client, server| {
            let rows = client.query_typed("SELECT generation FROM doorward.outbox", &[]).await?;
            only(&rows, server.way.url())
        })
    }

    pub(in crate::store) fn raise_generation(&mut self) -> Result<Generation, StoreError> {
        self.run("write", ANSWER, async |client, server| {
            let update = "UPDATE doorward.outbox SET generation = generation + 1 RETURNING generation";
            let rows = client.query_typed(update, &[]).await?;
            only(&rows, server.way.url())
        })
    }

    pub(in crate::store) fn unpublished(&mut self, limit: usize) -> Result<Unpublished, StoreError> {
        self.run("read", ANSWER, async |client, server| {
            let (url, known) = (server.way.url(), server.memory.known());
            let filter = "WHERE l.seq > o.published ORDER BY l.seq LIMIT $1";
            let found = read(client, url, filter, "r.seq", &[(&bound(limit), Type::INT8)]).await?;
            server.memory.check(known.as_ref(), &found.head, url)?;
            let Read { rows, records_out, generation: raised, .. } = found;
            Ok(Unpublished { rows, records: records_out, generation: generation(raised) })
        })
    }

    pub(in crate::store) fn published(
        &mut self,
        up_to: Reach,
        under: Generation,
    ) -> Result<bool, StoreError> {
        let under = i64::try_from(under.0).unwrap_or(i64::MAX);
        self.run("write", ANSWER, async |client, _| {
            // Never back, and never beyond the end: what comes later would not be published.
            let update = "UPDATE doorward.outbox
                SET published = greatest(published, least($1, (SELECT last FROM doorward.head))),
                    records = greatest(records, least($3, (SELECT h.records FROM doorward.head h)))
                WHERE generation = $2";
            let params: [Param<'_>; 3] =
                [(&up_to.row.0, Type::INT8), (&under, Type::INT8), (&up_to.records.0, Type::INT8)];
            let noted = client.execute_typed(update, &params).await?;
            Ok(noted > 0)
        })
    }

    pub(in crate::store) fn provenance(&mut self) -> Result<Provenance, StoreError> {
        self.run("read", ANSWER, async |client, server| {
            let (url, known) = (server.way.url(), server.records.known());
            // Nothing of the log is asked for but its end.
            let found = read(client, url, "WHERE false", "r.seq", &[]).await?;
            server.records.check(known.as_ref(), &found.head, url)?;
            Ok(Provenance { history: found.history, end: found.head.records })
        })
    }

    pub(in crate::store) fn begin_history(&mut self) -> Result<(), StoreError> {
        self.run("write", ANSWER, async |client, _| {
            client.execute_typed("UPDATE doorward.outbox SET history = gen_random_uuid()::text", &[]).await?;
            Ok(())
        })
    }

    pub(in crate::store) fn held_after(
        &mut self,
        after: Option<&Target>,
        limit: usize,
    ) -> Result<Vec<Held>, StoreError> {
        let (mut kind, mut id) =
            after.map_or((String::new(), String::new()), |t| (t.kind().as_str().to_owned(), t.id()));
        self.run("read", WHOLE_LOG, async |client, server| {
            let (url, known) = (server.way.url(), server.memory.known());
            // One snapshot for all that is asked.
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let (mut fold, mut seq) = (Fold::new(limit), i64::MAX);
            'full: loop {
                let filter =
                    "WHERE (l.kind, l.id, l.seq) > ($1, $2, $3) ORDER BY l.kind, l.id, l.seq LIMIT $4";
                let params: [Param<'_>; 4] =
                    [(&kind, Type::TEXT), (&id, Type::TEXT), (&seq, Type::INT8), (&ROWS, Type::INT8)];
                let found = read(client, url, filter, "r.kind, r.id, r.seq", &params).await?;
                server.memory.check(known.as_ref(), &found.head, url)?;
                let more = bound(found.rows.len()) == ROWS;
                for row in found.rows {
                    (kind, id, seq) = (row.target.kind().as_str().to_owned(), row.target.id(), row.seq.0);
                    if !fold.take(row) {
                        break 'full;
                    }
                }
                if !more {
                    break;
                }
            }
            client.batch_execute("COMMIT").await?;
            Ok(fold.done())
        })
    }
}

fn generation(n: i64) -> Generation {
    Generation(u64::try_from(n).unwrap_or(0))
}

fn only(rows: &[Row], url: &str) -> Result<Generation, super::Fault> {
    let [row] = rows else {
        return Err(corrupt(url, format!("`doorward.outbox` has {} rows", rows.len())).into());
    };
    Ok(generation(row.try_get(0)?))
}
