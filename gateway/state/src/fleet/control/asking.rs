//! Asking every node how far it has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::UnixMillis;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::fleet::roll::{self, Present};
use crate::fleet::script::Scripts;
use crate::fleet::{EntryId, NodeAnswer, NodeReport, Position};
use crate::revocations::lease::Lease;

/// How often the roll is read while somebody waits for it.
const ROLL_EVERY: Duration = Duration::from_millis(5);
const ROLL_EVERY_MAX: Duration = Duration::from_millis(50);
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// Asks the fleet how far it has come, beside everything else.
pub(super) struct Asking {
    pub(super) connection: MultiplexedConnection,
    pub(super) scripts: Arc<Scripts>,
    pub(super) lease: Arc<Lease>,
    pub(super) turns: Arc<Semaphore>,
    /// Since when this process knows the epoch that the log had when it was asked.
    pub(super) epoch: Option<(Uuid, Duration)>,
}

impl Asking {
    /// Asks until all have come so far, or the time is over.
    ///
    /// Whoever has a lease of this epoch is on the roll: a node writes itself there with the poll that
    /// renews it, or before. Whoever has one of the epoch before may not be, where Redis lost the
    /// roll too; so before such a lease is over a roll on which all have applied it proves nothing.
    pub(super) async fn until_reached(
        mut self,
        position: Position,
        deadline: Duration,
    ) -> Result<Vec<NodeReport>, String> {
        match self.ask(position, deadline).await {
            Ok(Some(reports)) => Ok(reports),
            Ok(None) => {
                Err("Redis was compared with the directory a moment ago, and nodes that had a lease \
                             before may not have said yet that they are there"
                    .to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// What the nodes say when all have come so far, or when the time is over. `None`: all who are there
    /// have, and others may come.
    async fn ask(
        &mut self,
        position: Position,
        deadline: Duration,
    ) -> Result<Option<Vec<NodeReport>>, RedisError> {
        let began = self.lease.now();
        let mut floor: Option<Position> = None;
        let mut pause = ROLL_EVERY;
        let turns = Arc::clone(&self.turns);
        let _turn = turns.acquire().await;
        let keys = self.scripts.keys().clone();
        let mut asked: Option<Duration> = None;
        loop {
            // Again now and then: a push may be lost, and a node may connect anew.
            let now = self.lease.now();
            if asked.is_none_or(|at| now.saturating_sub(at) >= ASK_AGAIN) {
                asked = Some(now);
                let mut command = redis::cmd("SPUBLISH");
                command.arg(&keys.channel).arg("report");
                command.exec_async(&mut self.connection).await?;
            }
            let (present, _, now) = read_roll(&mut self.connection, &keys.roll).await?;
            let head: (Option<String>, Option<String>) = redis::cmd("HMGET")
                .arg(&keys.meta)
                .arg("e")
                .arg("l")
                .query_async(&mut self.connection)
                .await?;
            // Blessed anew since: whoever has come to where that log ended when it was first seen
            // has everything.
            let mut settled = false;
            if let (Some(epoch), Some(last)) = head
                && let Some((epoch, id)) = Uuid::parse_str(&epoch).ok().zip(EntryId::parse(&last))
            {
                settled = self.is_settled(epoch);
                if ![Some(position.epoch), floor.map(|at| at.epoch)].contains(&Some(epoch)) {
                    floor = Some(Position { epoch, id });
                }
            }
            let reports: Vec<NodeReport> = present
                .iter()
                .filter(|p| !p.is_gone(now))
                .map(|p| p.tell(p.answer(position, floor, now)))
                .collect();
            let is = |wanted: fn(&NodeAnswer) -> bool| reports.iter().all(|r| wanted(&r.answer));
            let over = self.lease.now().saturating_sub(began) >= deadline;
            // This node writes itself there, too.
            let complete = settled && !reports.is_empty();
            if (complete && is(|answer| !matches!(answer, NodeAnswer::Behind { .. }))) || over {
                let proven = complete || !is(|answer| matches!(answer, NodeAnswer::Applied { .. }));
                return Ok(proven.then_some(reports));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ROLL_EVERY_MAX);
        }
    }

    /// Whether nobody has a lease of an epoch before this one any more.
    fn is_settled(&mut self, epoch: Uuid) -> bool {
        let now = self.lease.now();
        match self.epoch {
            Some((known, since)) if known == epoch => now.saturating_sub(since) >= self.lease.length(),
            Some(_) | None => {
                self.epoch = Some((epoch, now));
                false
            }
        }
    }
}

/// Who is there, the fields that make no sense, and the server's time.
pub(super) type Roll = (Vec<Present>, Vec<Vec<u8>>, UnixMillis);

pub(super) async fn read_roll(connection: &mut MultiplexedConnection, key: &str) -> Result<Roll, RedisError> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("HGETALL").arg(key).cmd("TIME");
    let (lines, (seconds, micros)): (HashMap<Vec<u8>, Vec<u8>>, (i64, i64)) =
        pipeline.query_async(connection).await?;
    let now = UnixMillis(seconds.saturating_mul(1000).saturating_add(micros / 1000));
    let (present, unreadable) = roll::read(lines);
    Ok((present, unreadable, now))
}
