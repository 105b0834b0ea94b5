//! Keeping the log whole and short, and the roll true.

use std::time::Duration;

use super::asking::{Roll, read_roll};
use super::{End, Session, is_damage};
use crate::fleet::ledger::Ledger;
use crate::fleet::script::Written;
use crate::fleet::snapshot::CHUNK_BYTES;

/// A log is shortened when it has more entries than this, and than half of the snapshot,
const LOG_ENTRIES_MIN: u64 = 20_000;
/// or is longer than this, in bytes, and than half of the snapshot.
const LOG_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Nodes that find the log not whole are believed so often.
const MENDED_EVERY: Duration = Duration::from_secs(30);

impl Session<'_> {
    /// Looks whether the log is whole, shortens it when it is long, and strikes off who is gone.
    pub(super) async fn tidy(&mut self, ledger: &Ledger) -> Result<(), End> {
        let whole = self.is_whole(ledger).await?;
        if !whole {
            tracing::warn!(server = self.link.address, "entries are missing in the log: it is written anew");
            self.damaged = true;
            return self.reconcile().await;
        }
        let length: u64 = redis::cmd("XLEN")
            .arg(&self.control.scripts.keys().log)
            .query_async(&mut self.link.connection)
            .await
            .map_err(|e| self.said(&e))?;
        let snapshot_bytes =
            ledger.snapshot.chunks.saturating_mul(u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX));
        if length > LOG_ENTRIES_MIN.max(ledger.snapshot.entries / 2)
            || ledger.bytes > LOG_BYTES_MIN.max(snapshot_bytes / 2)
        {
            self.compact(ledger).await?;
        }
        let (present, unreadable, now) = self.roll().await?;
        let current = Some(&ledger.snapshot.name);
        let finds_missing = present.iter().any(|p| p.report.missing.as_ref() == current);
        let at = self.control.lease.now();
        if finds_missing && self.mended_at.is_none_or(|before| at.saturating_sub(before) >= MENDED_EVERY) {
            self.mended_at = Some(at);
            tracing::warn!(
                server = self.link.address,
                "a node finds the snapshot or the log not whole: both are written anew"
            );
            self.damaged = true;
            return self.reconcile().await;
        }
        for gone in present.iter().filter(|p| p.is_gone(now)) {
            tracing::warn!(node = gone.report.node, "a node is gone: it is struck off the roll");
        }
        let gone = present.iter().filter(|p| p.is_gone(now)).map(|p| p.instance.as_simple().to_string());
        let strike: Vec<Vec<u8>> = gone.map(String::into_bytes).chain(unreadable).collect();
        if !strike.is_empty() {
            let mut command = redis::cmd("HDEL");
            command.arg(&self.control.scripts.keys().roll).arg(strike);
            command.exec_async(&mut self.link.connection).await.map_err(|e| self.said(&e))?;
        }
        Ok(())
    }

    /// Whether the log begins where the snapshot ends, and ends where it says.
    pub(super) async fn is_whole(&mut self, ledger: &Ledger) -> Result<bool, End> {
        type Fields = Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>;
        let log = &self.control.scripts.keys().log;
        let mut pipeline = redis::pipe();
        pipeline.cmd("XRANGE").arg(log).arg("-").arg("+").arg("COUNT").arg(1);
        let (first,): (Fields,) = match pipeline.query_async(&mut self.link.connection).await {
            Ok(first) => first,
            // Somebody put something else there.
            Err(e) if is_damage(&e) => return Ok(false),
            Err(e) => return Err(self.said(&e)),
        };
        // Others may have written or compacted since: then the next time tells.
        let now = self.look().await?.ledger;
        if now.as_ref().map(|now| (now.epoch, now.base)) != Some((ledger.epoch, ledger.base)) {
            return Ok(true);
        }
        let follows = first.first().map(|(_, fields)| {
            fields.iter().any(|(name, value)| name == b"p" && *value == ledger.base.to_string().into_bytes())
        });
        Ok(follows.unwrap_or_else(|| now.is_some_and(|now| now.last == ledger.base)))
    }

    /// Puts a new snapshot in the place of the old one and of the log so far.
    async fn compact(&mut self, ledger: &Ledger) -> Result<(), End> {
        if !self.lock().await? {
            return Ok(());
        }
        let token = self.control.token.clone();
        // The base is read before the directory: what is published later stands in the log.
        let Some(before) = self.look().await?.ledger else { return Ok(()) };
        if before.epoch != ledger.epoch {
            return Ok(());
        }
        let snapshot = self.write_snapshot(true).await?;
        let mut patient = self.patient();
        let compacted = self.control.scripts.compact(&mut patient, &token, &before, &snapshot).await;
        match compacted.map_err(|e| self.said(&e))? {
            Written::Done(_) => {
                tracing::info!(entries = snapshot.entries, "the log in Redis was shortened");
                Ok(())
            }
            Written::Alone | Written::Unblessed | Written::Outdated | Written::ChunkLost => {
                self.discard(&snapshot).await
            }
        }
    }

    async fn roll(&mut self) -> Result<Roll, End> {
        let keys = self.control.scripts.keys();
        match read_roll(&mut self.link.connection, &keys.roll).await {
            Ok(roll) => Ok(roll),
            Err(e) if is_damage(&e) => {
                let roll = self.control.scripts.keys().roll.clone();
                self.remove(&roll).await?;
                Ok(Roll::default())
            }
            Err(e) => Err(self.said(&e)),
        }
    }
}
