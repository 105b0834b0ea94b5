//! Debts in PostgreSQL.

use doorward_model::UnixMillis;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::{Param, bound, damaged};
use super::{ANSWER, Fault, Postgres};
use crate::debt::{Debt, DebtKind, NewDebt};
use crate::error::StoreError;

impl Postgres {
    pub(in crate::store) fn open_debt(&mut self, debt: &NewDebt) -> Result<(), StoreError> {
        let kind = debt.kind.as_str();
        let params: [Param<'_>; 7] = [
            (&debt.id, Type::UUID),
            (&kind, Type::TEXT),
            (&debt.about, Type::TEXT),
            (&debt.owner, Type::TEXT),
            (&debt.cause, Type::TEXT),
            (&debt.opened_at.0, Type::INT8),
            (&debt.due_at.0, Type::INT8),
        ];
        let insert = "INSERT INTO doorward.debt (id, kind, about, owner, cause, opened_at, due_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
        self.run("write", ANSWER, async |client, _| {
            client.execute_typed(insert, &params).await?;
            Ok(())
        })
    }

    pub(in crate::store) fn settle_debt(
        &mut self,
        id: Uuid,
        at: UnixMillis,
        how: &str,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE doorward.debt SET settled_at = $2, settled_how = $3
            WHERE id = $1 AND settled_at IS NULL";
        let params: [Param<'_>; 3] = [(&id, Type::UUID), (&at.0, Type::INT8), (&how, Type::TEXT)];
        self.run("write", ANSWER, async |client, _| Ok(client.execute_typed(update, &params).await? > 0))
    }

    pub(in crate::store) fn debts(
        &mut self,
        open_only: bool,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Debt>, StoreError> {
        let open = if open_only { "AND settled_at IS NULL" } else { "" };
        let query = format!(
            "SELECT seq, id, kind, about, owner, cause, opened_at, due_at, settled_at, settled_how
             FROM doorward.debt WHERE seq < $1 {open} ORDER BY seq DESC LIMIT $2"
        );
        let (before, limit) = (before.unwrap_or(i64::MAX), bound(limit));
        self.run("read", ANSWER, async |client, server| {
            let found = client.query_typed(&query, &[(&before, Type::INT8), (&limit, Type::INT8)]).await?;
            found.iter().map(|row| debt(row, server.way.url())).collect()
        })
    }
}

fn debt(row: &tokio_postgres::Row, url: &str) -> Result<Debt, Fault> {
    let seq: i64 = row.try_get(0)?;
    let kind = DebtKind::parse(row.try_get(2)?).ok_or_else(|| damaged(url, &format!("debt {seq}")))?;
    let at: Option<i64> = row.try_get(8)?;
    let how: Option<String> = row.try_get(9)?;
    Ok(Debt {
        seq,
        id: row.try_get(1)?,
        kind,
        about: row.try_get(3)?,
        owner: row.try_get(4)?,
        cause: row.try_get(5)?,
        opened_at: UnixMillis(row.try_get(6)?),
        due_at: UnixMillis(row.try_get(7)?),
        settled: at.map(|at| (UnixMillis(at), how.unwrap_or_default())),
    })
}
