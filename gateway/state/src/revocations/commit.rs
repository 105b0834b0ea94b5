//! From the wish to the acknowledgment: what happens before the queue, and after the writer.
//!
//! A single change and a batch with records go the same way. What takes access away is in force
//! before the first await; what gives it, and every record, is on the disk before it is seen.

use std::time::Duration;

use doorward_model::limits::REVOCATION_WRITE_SECONDS_MAX;
use doorward_model::{Entry, Target, UnixMillis};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::change::{Action, Applied, Change, Ended, Receipt};
use crate::error::StateError;
use crate::records::{Batch, CommitError, Committed, Record, RecordKind, Records, Refusal, UniqueKey, Write};
use crate::revocations::Revocations;
use crate::revocations::follower::catch_up_records;
use crate::revocations::halts::flagged;
use crate::revocations::queue::{Ask, Distribution, Pending, Saved, Unsaved};

/// Records of one page, at most.
const PAGE_RECORDS_MAX: usize = 1000;

/// Why something was not done.
enum Undone {
    State(StateError),
    Refused { refusal: Refusal, enforced: bool },
}

/// What is in the queue.
struct Sent {
    /// Each change, in their order.
    named: Vec<(Uuid, Target)>,
    /// What each ended here.
    ended: Vec<Ended>,
    /// Something of it is in force.
    enforced: bool,
    answer: oneshot::Receiver<Result<Saved, Unsaved>>,
}

/// What is saved, and why it is not distributed, if it is not.
type Done = (Committed, Option<String>);

impl Revocations {
    /// Makes a change. A revocation is in force, and what it ends has been told to end, before
    /// the first await; the answer comes when it is on the disk. Dropping the future takes
    /// nothing back. A grant is on the disk first.
    ///
    /// # Errors
    /// See [`StateError`]; [`StateError::enforced`] says whether the change is in force anyway.
    pub async fn apply(&self, change: Change) -> Result<Receipt, StateError> {
        if self.inner.reader.is_none() {
            return Err(StateError::NotHere);
        }
        change.check()?;
        let (committed, why) = match self.ask(vec![change], Vec::new()).await {
            Ok(done) => done,
            Err(Undone::State(error)) => return Err(error),
            Err(Undone::Refused { refusal, enforced }) => {
                let why = format!("the directory refuses it ({})", refusal.as_str());
                return Err(StateError::NotDurable { enforced, kept: false, why });
            }
        };
        let Some(receipt) = committed.receipts.into_iter().next() else {
            return Err(StateError::Interrupted);
        };
        match why {
            None => Ok(receipt),
            Some(why) => Err(StateError::NotPublished { receipt: Box::new(receipt), why }),
        }
    }

    /// Writes records, and the changes that follow from them, in one transaction. Revocations of the
    /// batch are in force before the first await, as those of [`apply`](Self::apply); records and
    /// grants are seen when they are on the disk. Dropping the future takes no revocation back, nor
    /// the records beside it; a batch that takes nothing away does not happen then, if it is not
    /// written yet.
    ///
    /// # Errors
    /// See [`CommitError`]; [`CommitError::enforced`] says whether what it takes away is in force anyway.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        if self.inner.reader.is_none() {
            return Err(StateError::NotHere.into());
        }
        batch.check()?;
        let foreseen = self.inner.shared.records.foresee(&batch);
        foreseen.map_err(|refusal| CommitError::refused(refusal, false))?;
        let Batch { writes, changes } = batch;
        match self.ask(changes, writes).await {
            Ok((committed, None)) => Ok(committed),
            Ok((committed, Some(why))) => {
                Err(CommitError::NotPublished { committed: Box::new(committed), why })
            }
            Err(Undone::State(error)) => Err(error.into()),
            Err(Undone::Refused { refusal, enforced }) => Err(CommitError::refused(refusal, enforced)),
        }
    }

    /// Whether this process has the directory, and takes changes. A gateway node learns of them only.
    #[must_use]
    pub fn has_directory(&self) -> bool {
        self.inner.reader.is_some()
    }

    /// The published records, in memory. On a gateway node they come through Redis: there are none before
    /// the first lease, and [`Records::health`] says so.
    #[must_use]
    pub fn records(&self) -> Records {
        Records { shared: std::sync::Arc::clone(&self.inner.shared) }
    }

    /// Comes back when [`records`](Self::records) has every batch that was committed anywhere before
    /// this call. Whoever decides that there is nothing to do must know that: a batch that writes
    /// nothing meets no conflict.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn catch_up(&self) -> Result<(), StateError> {
        let shared = std::sync::Arc::clone(&self.inner.shared);
        self.with_reader(move |store| {
            let mut seen = shared.records.followed();
            catch_up_records(&shared, store, &mut seen)
        })
        .await
    }

    /// A record of any kind as it is in the store, a tombstone too. Reads the disk, off the runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, StateError> {
        let id = id.to_owned();
        self.with_reader(move |store| store.record(kind, &id)).await
    }

    /// The record that has a key. Reads the disk, off the runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record_by_key(&self, key: &UniqueKey) -> Result<Option<Record>, StateError> {
        let key = key.clone();
        self.with_reader(move |store| store.record_by_key(&key)).await
    }

    /// Records of a kind that are there, in the order of their ids, byte by byte: those behind `after`,
    /// at most `limit`. Reads the disk, off the runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record_page(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StateError> {
        let (after, limit) = (after.unwrap_or_default().to_owned(), limit.min(PAGE_RECORDS_MAX));
        self.with_reader(move |store| store.record_page(kind, &after, limit)).await
    }

    async fn ask(&self, changes: Vec<Change>, writes: Vec<Write>) -> Result<Done, Undone> {
        let Sent { named, ended, enforced, answer } = self.send(changes, writes)?;
        let saved = hear(answer, enforced).await?;
        let (why, published) = match &saved.distribution {
            Distribution::Waiting(why) => (Some(why.clone()), None),
            Distribution::Published(published) => (None, Some(*published)),
            Distribution::Alone => (None, None),
        };
        let mut receipts = saved.receipts(named.into_iter());
        for (receipt, ends) in receipts.iter_mut().zip(ended) {
            receipt.ended += ends;
        }
        Ok((Committed { records: saved.versions, receipts, published }, why))
    }

    /// Puts into force what takes access away, and everything into the queue.
    fn send(&self, changes: Vec<Change>, writes: Vec<Write>) -> Result<Sent, Undone> {
        let shared = &self.inner.shared;
        if changes.iter().any(|change| change.action.is_grant()) && !shared.writes.working() {
            return Err(Undone::State(StateError::GrantsRefused { why: self.last_error() }));
        }
        let (mut asks, mut named) = (Vec::with_capacity(changes.len()), Vec::with_capacity(changes.len()));
        let (mut ended, mut off) = (Vec::with_capacity(changes.len()), Vec::new());
        for change in changes {
            let (id, target) = (Uuid::new_v4(), change.target.clone());
            let (enforced_at, ends) = match change.action {
                Action::Revoke | Action::Disable => self.enforce(&change, id),
                Action::Reactivate => {
                    shared.halts.overruled(&target);
                    (None, Ended::default())
                }
            };
            if change.action == Action::Disable {
                off.push(target.clone());
            }
            asks.push(Ask { id, change, enforced_at });
            named.push((id, target));
            ended.push(ends);
        }
        let enforced = asks.iter().any(|ask| ask.enforced_at.is_some());
        let (ack, answer) = oneshot::channel();
        if !shared.queue.push(Pending { asks, writes, kept: false, ack: Some(ack) }) {
            off.iter().for_each(|target| shared.halts.not_kept(target));
            let why = "too many changes wait for the disk, or the store is closed".to_owned();
            return Err(Undone::State(StateError::NotDurable { enforced, kept: false, why }));
        }
        Ok(Sent { named, ended, enforced, answer })
    }

    /// Puts a revocation into force in this process.
    fn enforce(&self, change: &Change, id: Uuid) -> (Option<UnixMillis>, Ended) {
        let shared = &self.inner.shared;
        let now = shared.time.now();
        if change.action == Action::Disable {
            shared.halts.enter(&change.target, id);
        }
        let merged = shared.replica.change(&change.target, |known| {
            if change.action == Action::Disable {
                flagged(known, true, now)
            } else {
                Entry { not_before: known.not_before.max(now), ..known }
            }
        });
        let applied = Applied { id, target: change.target.clone(), entry: merged.entry, at: now };
        // Told even when nothing changed (twice in one millisecond): the caller asked for an end.
        (Some(now), shared.announce(&applied))
    }
}

/// Waits for the writer's answer, as long as anybody waits for the disk.
async fn hear(
    mut answer: oneshot::Receiver<Result<Saved, Unsaved>>,
    enforced: bool,
) -> Result<Saved, Undone> {
    let seconds = REVOCATION_WRITE_SECONDS_MAX;
    let told = match tokio::time::timeout(Duration::from_secs(seconds), &mut answer).await {
        Ok(told) => told,
        // What is not answered by now is answered to those who are told of late receipts.
        Err(_) => {
            answer.close();
            match answer.try_recv() {
                Ok(told) => Ok(told),
                Err(_) => return Err(Undone::State(StateError::Unanswered { enforced, seconds })),
            }
        }
    };
    match told {
        Ok(Ok(saved)) => Ok(saved),
        Ok(Err(Unsaved::Failed(why))) => {
            Err(Undone::State(StateError::NotDurable { enforced, kept: enforced, why }))
        }
        Ok(Err(Unsaved::Refused(refusal))) => Err(Undone::Refused { refusal, enforced }),
        Err(_) => {
            let why = "the store is closed".to_owned();
            Err(Undone::State(StateError::NotDurable { enforced, kept: false, why }))
        }
    }
}
