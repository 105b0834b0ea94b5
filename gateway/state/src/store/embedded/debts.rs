//! Debts in the embedded store.

use std::path::Path;

use doorward_model::UnixMillis;
use rusqlite::params;
use uuid::Uuid;

use super::Embedded;
use super::rows::{bound, damaged, explain};
use crate::debt::{Debt, DebtKind, NewDebt};
use crate::error::StoreError;

impl Embedded {
    pub(in crate::store) fn open_debt(&mut self, debt: &NewDebt) -> Result<(), StoreError> {
        self.still_there()?;
        let opened = self.connection.execute(
            "INSERT INTO debt (id, kind, about, owner, cause, opened_at, due_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
            params![
                debt.id.to_string(),
                debt.kind.as_str(),
                debt.about,
                debt.owner,
                debt.cause,
                debt.opened_at.0,
                debt.due_at.0
            ],
        );
        opened.map_err(|e| explain(&self.file, "write", &e))?;
        self.still_there()
    }

    pub(in crate::store) fn settle_debt(
        &mut self,
        id: Uuid,
        at: UnixMillis,
        how: &str,
    ) -> Result<bool, StoreError> {
        self.still_there()?;
        let settled = self.connection.execute(
            "UPDATE debt SET settled_at = ?2, settled_how = ?3 WHERE id = ?1 AND settled_at IS NULL",
            params![id.to_string(), at.0, how],
        );
        let settled = settled.map_err(|e| explain(&self.file, "write", &e))?;
        self.still_there()?;
        Ok(settled > 0)
    }

    pub(in crate::store) fn debts(
        &mut self,
        open_only: bool,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Debt>, StoreError> {
        self.still_there()?;
        let fail = |e: rusqlite::Error| explain(&self.file, "read", &e);
        let open = if open_only { "AND settled_at IS NULL" } else { "" };
        let query = format!(
            "SELECT seq, id, kind, about, owner, cause, opened_at, due_at, settled_at, settled_how
             FROM debt WHERE seq < ?1 {open} ORDER BY seq DESC LIMIT ?2"
        );
        let mut select = self.connection.prepare_cached(&query).map_err(fail)?;
        let mut found = select.query(params![before.unwrap_or(i64::MAX), bound(limit)]).map_err(fail)?;
        let mut debts = Vec::new();
        while let Some(row) = found.next().map_err(fail)? {
            debts.push(debt(row, &self.file)?);
        }
        Ok(debts)
    }
}

fn debt(row: &rusqlite::Row<'_>, file: &Path) -> Result<Debt, StoreError> {
    let fail = |e: rusqlite::Error| explain(file, "read", &e);
    let seq: i64 = row.get(0).map_err(fail)?;
    let (id, kind): (String, String) = (row.get(1).map_err(fail)?, row.get(2).map_err(fail)?);
    let at: Option<i64> = row.get(8).map_err(fail)?;
    let how: Option<String> = row.get(9).map_err(fail)?;
    let (Ok(id), Some(kind)) = (Uuid::parse_str(&id), DebtKind::parse(&kind)) else {
        return Err(damaged(file, &format!("debt {seq}")));
    };
    Ok(Debt {
        seq,
        id,
        kind,
        about: row.get(3).map_err(fail)?,
        owner: row.get(4).map_err(fail)?,
        cause: row.get(5).map_err(fail)?,
        opened_at: UnixMillis(row.get(6).map_err(fail)?),
        due_at: UnixMillis(row.get(7).map_err(fail)?),
        settled: at.map(|at| (UnixMillis(at), how.unwrap_or_default())),
    })
}
