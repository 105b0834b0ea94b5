//! Comparing a Redis server with the directory, and blessing it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use super::outgoing::{has_row, lacking, mark_of};
use super::{End, LOCK_MILLIS, PATIENCE, Session, is_damage};
use crate::fleet::ledger::{Ledger, Snapshot};
use crate::fleet::link::Trouble;
use crate::fleet::locate::is_elected;
use crate::fleet::script::{Basis, Hold, Written};
use crate::fleet::snapshot::{Writing, discard};
use crate::fleet::status::count;
use crate::records::Version;
use crate::store::{Generation, Reach, Store};

const PAGE_TARGETS: usize = 1000;
const PAGE_RECORDS: usize = 1000;
/// How long a piece of a snapshot, or the blessing of all, may take. Less than the lock lasts.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// A log whose generation is so much higher than the directory's is not believed.
const RAISED_MAX: u64 = 1000;

impl Session<'_> {
    /// Takes the lock of those who write snapshots, or finds that it has it since a former attempt.
    /// False: another control node has it.
    ///
    /// The token is another for each attempt: a script of an attempt that was given up may still arrive,
    /// and must not find the lock of the next one.
    pub(super) async fn lock(&mut self) -> Result<bool, End> {
        let token = Uuid::new_v4().as_simple().to_string();
        let before = std::mem::replace(&mut self.control.token, token);
        let control = &*self.control;
        let mut command = redis::cmd("SET");
        command.arg(&control.scripts.keys().lock).arg(&control.token);
        command.arg("NX").arg("GET").arg("PX").arg(LOCK_MILLIS);
        let had: Option<String> = match command.query_async(&mut self.link.connection).await {
            Ok(had) => had,
            Err(e) if is_damage(&e) => {
                let lock = self.control.scripts.keys().lock.clone();
                self.remove(&lock).await?;
                return Ok(false);
            }
            Err(e) => return Err(self.said(&e)),
        };
        match had {
            None => Ok(true),
            // If it is over at this moment and another one has it, that one's script is refused, and it
            // comes again.
            Some(had) if had == before => {
                let mut command = redis::cmd("SET");
                command.arg(&self.control.scripts.keys().lock).arg(&self.control.token);
                command.arg("PX").arg(LOCK_MILLIS);
                command.exec_async(&mut self.link.connection).await.map_err(|e| self.said(&e))?;
                Ok(true)
            }
            Some(_) => {
                self.control.token = before;
                Ok(false)
            }
        }
    }

    /// Removes a key that holds something else than a gateway writes there.
    pub(super) async fn remove(&mut self, key: &str) -> Result<(), End> {
        tracing::warn!(server = self.link.address, key, "somebody wrote something else there: it is removed");
        let removed = redis::cmd("DEL").arg(key).exec_async(&mut self.link.connection).await;
        removed.map_err(|e| self.said(&e))
    }

    /// Compares the server with the directory, and blesses it as it was before.
    pub(super) async fn reconcile(&mut self) -> Result<(), End> {
        if !self.lock().await? {
            return Ok(());
        }
        // A control node that is cut off from the others must not fence those who are not.
        self.must_be_elected().await?;
        let token = self.control.token.clone();
        let lineage = self.lineage().await?;
        let log_has = self.look().await?.ledger.map_or(0, |ledger| ledger.generation);
        let mut generation = self.control.directory(Store::raise_generation).await?.0;
        for _ in 0..RAISED_MAX {
            if generation > log_has {
                break;
            }
            generation = self.control.directory(Store::raise_generation).await?.0;
        }
        // Nobody reconciles so often: somebody wrote that there.
        self.damaged |= generation <= log_has;
        let hold = Hold { generation, lineage, token };
        // Read after the generation was raised: nobody publishes what is committed from now on before
        // the blessing, and what was committed before is read.
        let ledger = self.look().await?.ledger;
        let blessed = match &ledger {
            Some(ledger) if !self.damaged => match self.go_on(&hold, ledger).await? {
                Some(written) => written,
                None => self.begin_anew(&hold, Some(ledger)).await?,
            },
            Some(_) | None => self.begin_anew(&hold, ledger.as_ref()).await?,
        };
        match blessed {
            Written::Done(reach) => {
                self.damaged = false;
                self.control.floor = Reach::default();
                count(&self.control.status.blessings);
                // What was read is out with the blessing. Another generation may have begun since.
                let generation = Generation(generation);
                let _other = self.control.directory(move |store| store.published(reach, generation)).await?;
                // What was committed after the reading goes out now.
                Box::pin(self.publish()).await
            }
            // A piece of the snapshot is gone.
            Written::ChunkLost => {
                self.damaged = true;
                Ok(())
            }
            Written::Alone => Err(self.alone()),
            // Somebody else was faster, or the server is another one: the next round tells.
            Written::Unblessed | Written::Outdated => Ok(()),
        }
    }

    /// Blesses the log as it is, with what it lacks: so nodes go on where they are. How far the log goes
    /// then; `None` when that is not worth it, or the log is of another directory.
    async fn go_on(&mut self, hold: &Hold, ledger: &Ledger) -> Result<Option<Written<Reach>>, End> {
        if !self.is_whole(ledger).await? {
            return Ok(None);
        }
        let log = ledger.clone();
        let added = self.control.directory(move |store| {
            let provenance = store.provenance()?;
            if provenance.history != log.history || log.records > provenance.end || !has_row(store, log.mark)?
            {
                return Ok(None);
            }
            lacking(store, &log)
        });
        let Some(added) = added.await? else { return Ok(None) };
        if !self.may_bless(hold).await? {
            return Ok(Some(Written::Outdated));
        }
        let mut patient = self.patient();
        let written = self.control.scripts.go_on(&mut patient, hold, Uuid::new_v4(), ledger, &added).await;
        if written.as_ref().is_err_and(is_damage) {
            return Ok(None);
        }
        let written = written.map_err(|e| self.said(&e))?;
        if let Written::Done(_) = written {
            tracing::info!(
                server = self.link.address,
                generation = hold.generation,
                lacked = added.entries.len(),
                "Redis was compared with the directory: nodes go on where they were"
            );
        }
        Ok(Some(written.up_to(Reach { row: added.last.row, records: added.records })))
    }

    /// Writes all that the directory holds, and blesses that. How far that goes at least.
    async fn begin_anew(&mut self, hold: &Hold, before: Option<&Ledger>) -> Result<Written<Reach>, End> {
        // Before all that follows: what is written meanwhile may be in the snapshot or not, and goes out.
        let read_from = self.control.directory(|store| {
            let newest = store.newest(None, None, 1)?;
            Ok((newest.first().map(mark_of).unwrap_or_default(), store.provenance()?))
        });
        let (mark, provenance) = read_from.await?;
        let snapshot = self.write_snapshot(false).await?;
        if !self.may_bless(hold).await? {
            self.discard(&snapshot).await?;
            return Ok(Written::Outdated);
        }
        let mut patient = self.patient();
        let before = before.map(|ledger| &ledger.snapshot);
        let epoch = Uuid::new_v4();
        let (records, history) = (provenance.end, provenance.history.as_str());
        let basis = Basis { snapshot: &snapshot, mark, records, history };
        let blessed = self.control.scripts.bless(&mut patient, hold, epoch, basis, before).await;
        let blessed = blessed.map_err(|e| self.said(&e))?;
        if let Written::Done(_) = blessed {
            tracing::info!(
                server = self.link.address,
                generation = hold.generation,
                entries = snapshot.entries,
                "the directory was written to Redis: nodes read it and go on from there"
            );
        } else {
            self.discard(&snapshot).await?;
        }
        Ok(blessed.up_to(Reach { row: mark.row, records }))
    }

    /// Whether this server may be blessed: first those who elect the primary name it, and then the
    /// generation is still the one that was begun here. In this order: who finds both was elected when
    /// nobody had begun another, and whoever begins another later reads all that is published here.
    async fn may_bless(&mut self, hold: &Hold) -> Result<bool, End> {
        self.must_be_elected().await?;
        Ok(self.control.directory(Store::generation).await?.0 == hold.generation)
    }

    async fn must_be_elected(&mut self) -> Result<(), End> {
        let control = &*self.control;
        if is_elected(&control.config, &control.scripts.keys().meta, &self.link.address).await {
            return Ok(());
        }
        Err(Trouble::NotElected { server: self.link.address.clone() }.into())
    }

    /// What the server is. It must not change between the reading of the directory and the blessing.
    async fn lineage(&mut self) -> Result<String, End> {
        let info: String = redis::cmd("INFO")
            .arg("replication")
            .query_async(&mut self.link.connection)
            .await
            .map_err(|e| self.said(&e))?;
        // It was a primary when this connected to it.
        if !info.lines().any(|line| line.trim() == "role:master") {
            return Err(Trouble::NotPrimary { server: self.link.address.clone() }.into());
        }
        let lineage = info.lines().find_map(|line| line.strip_prefix("master_replid:"));
        let lineage = lineage.map(str::trim).filter(|id| !id.is_empty());
        lineage.map(str::to_owned).ok_or_else(|| {
            let what = "INFO has no master_replid".to_owned();
            Trouble::Said { server: self.link.address.clone(), what }.into()
        })
    }

    /// The connection, for what is not to be begun anew because the server stalls for a moment: the
    /// larger a directory is, the surer it would while all of it is written.
    pub(super) fn patient(&self) -> MultiplexedConnection {
        let mut connection = self.link.connection.clone();
        connection.set_response_timeout(WRITE_PATIENCE);
        connection
    }

    /// Writes what the directory holds. What is committed meanwhile can go out if the log is good.
    pub(super) async fn write_snapshot(&mut self, publishing: bool) -> Result<Snapshot, End> {
        let (mut writing, mut patient) = (Writing::new(), self.patient());
        let mut after = None;
        loop {
            let from = after.take();
            let page =
                self.control.directory(move |store| store.held_after(from.as_ref(), PAGE_TARGETS)).await?;
            let keys = self.control.scripts.keys();
            writing.add(&mut patient, keys, &page).await.map_err(|e| self.said(&e))?;
            self.stay_locked(&mut patient).await?;
            if page.len() < PAGE_TARGETS {
                break;
            }
            self.between_pages(publishing).await?;
            after = page.into_iter().next_back().map(|held| held.target);
        }
        let mut seen = Version::START;
        loop {
            let page = self.control.directory(move |store| store.records_after(seen, PAGE_RECORDS)).await?;
            let keys = self.control.scripts.keys();
            writing.add_records(&mut patient, keys, &page.records).await.map_err(|e| self.said(&e))?;
            self.stay_locked(&mut patient).await?;
            if !page.more {
                break;
            }
            self.between_pages(publishing).await?;
            seen = page.up_to;
        }
        let keys = self.control.scripts.keys();
        writing.finish(&mut patient, keys).await.map_err(|e| self.said(&e))
    }

    /// The lock lasts as long as this goes on; what proves that it did is the token.
    async fn stay_locked(&mut self, patient: &mut MultiplexedConnection) -> Result<(), End> {
        let mut command = redis::cmd("PEXPIRE");
        command.arg(&self.control.scripts.keys().lock).arg(LOCK_MILLIS);
        command.exec_async(patient).await.map_err(|e| self.said(&e))
    }

    /// Keeps everything else going while a snapshot is written.
    async fn between_pages(&mut self, publishing: bool) -> Result<(), End> {
        if *self.stop.borrow() {
            return Err(End::Closed);
        }
        if publishing {
            Box::pin(self.publish()).await?;
        } else {
            while let Ok(committed) = self.control.committed.try_recv() {
                self.control.waiting.take(committed, self.control.lease.now());
            }
        }
        self.control.tell_the_impatient(PATIENCE);
        Ok(())
    }

    /// Lets go what was written in vain.
    pub(super) async fn discard(&mut self, snapshot: &Snapshot) -> Result<(), End> {
        let keys = self.control.scripts.keys();
        let discarded = discard(&mut self.link.connection, keys, snapshot).await;
        discarded.map_err(|e| self.said(&e))
    }
}
