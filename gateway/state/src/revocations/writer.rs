//! The one thread of a process that writes the log.
//!
//! Whatever waits goes into one transaction, up to a bound: the disk is asked to flush once for
//! all of them. What could not be written is tried again, with growing pauses, until it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_model::limits::REVOCATION_RETRY_MILLIS_MAX;
use doorward_model::{Entry, Target, UnixMillis};

use crate::change::Action;
use crate::error::StoreError;
use crate::revocations::queue::{Pending, Saved, Wake};
use crate::revocations::shared::Shared;
use crate::store::{NewRow, Row, Seq, Store};

const RETRY_MILLIS_MIN: u64 = 100;
const IDLE: Duration = Duration::from_secs(60);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const PRUNE_ROWS_MAX: usize = 1000;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    /// The last row that this thread has seen.
    seen: Seq,
    retry: Duration,
    pruned_at: Option<UnixMillis>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, store: Store, seen: Seq) -> Self {
        Self { shared, store, seen, retry: Duration::from_millis(RETRY_MILLIS_MIN), pruned_at: None }
    }

    /// Runs until the queue is closed and empty. Returns how many changes could not be saved.
    pub(crate) fn run(mut self) -> usize {
        loop {
            let pause = if self.shared.writes.working() { IDLE } else { self.retry };
            match self.shared.queue.take(pause) {
                Wake::Closed => return 0,
                Wake::Batch(batch) => {
                    if !self.save(batch) && self.shared.queue.is_closing() {
                        let unsaved = self.shared.queue.len();
                        tracing::error!(unsaved, "closing with revocations that could not be saved");
                        return unsaved;
                    }
                }
                Wake::Idle => self.idle(),
            }
        }
    }

    /// Nothing waits: see whether a store that failed works again, and forget what is old.
    fn idle(&mut self) {
        if !self.shared.writes.working() {
            match self.store.probe() {
                Ok(()) => self.shared.writes.succeeded(),
                Err(error) => self.failed(&error),
            }
            return;
        }
        let now = self.shared.time.clock();
        if self.pruned_at.is_some_and(|last| now.since(last) < PRUNE_EVERY && last <= now) {
            return;
        }
        self.pruned_at = Some(now);
        if let Err(error) = self.prune(now) {
            self.failed(&error);
        }
    }

    /// Forgets revoked sessions and tokens that are too old to matter, and returns how many.
    fn prune(&mut self, now: UnixMillis) -> Result<usize, StoreError> {
        let than = now.minus(self.shared.retention);
        let mut count = 0;
        loop {
            let forgotten = self.store.prune(than, PRUNE_ROWS_MAX)?;
            for target in &forgotten {
                self.shared.replica.forget(target, than);
            }
            count += forgotten.len();
            if forgotten.len() < PRUNE_ROWS_MAX {
                return Ok(count);
            }
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.shared.writes.failed(&error.to_string());
        self.retry = (self.retry * 2).min(Duration::from_millis(REVOCATION_RETRY_MILLIS_MAX));
    }

    /// Writes a batch and answers everyone who waits. False when that failed.
    fn save(&mut self, batch: Vec<Pending>) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut decided = Vec::new();
        let mut attempt = self.store.append(self.seen, &mut |others: &[Row]| {
            shared.absorb(others);
            decided = decide(&shared, &batch);
            rows(&batch, &decided, shared.time.clock())
        });
        if let Err(StoreError::Full { .. }) = &attempt {
            // What is too old to matter makes room, if there is any.
            if self.prune(self.shared.time.clock()).is_ok_and(|forgotten| forgotten > 0) {
                attempt = self.store.append(self.seen, &mut |others: &[Row]| {
                    shared.absorb(others);
                    decided = decide(&shared, &batch);
                    rows(&batch, &decided, shared.time.clock())
                });
            }
        }
        match attempt {
            Ok(appended) => {
                self.seen = appended.last;
                self.shared.writes.bytes.store(appended.bytes, Ordering::Relaxed);
                self.saved(batch, &decided);
                true
            }
            Err(error) => {
                // First known, then told: whoever is told may ask for a grant the next moment.
                self.failed(&error);
                self.shared.queue.put_back(batch, &error.to_string());
                false
            }
        }
    }

    /// The batch is on the disk: make grants visible, and answer.
    fn saved(&mut self, batch: Vec<Pending>, decided: &[Entry]) {
        self.retry = Duration::from_millis(RETRY_MILLIS_MIN);
        self.shared.writes.succeeded();
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.shared.writes.saved.fetch_add(count, Ordering::Relaxed);
        let durable_at = self.shared.time.clock();

        // Only what holds after the whole batch is shown: a grant that a later change of the
        // same batch takes back never comes into force.
        let mut last: HashMap<&Target, Entry> = HashMap::new();
        for (pending, entry) in batch.iter().zip(decided) {
            let joined = last.entry(&pending.change.target).or_insert(*entry);
            *joined = joined.merge(*entry);
        }
        let mut ended: HashMap<Target, _> = HashMap::new();
        for (target, entry) in last {
            let merged = self.shared.replica.merge(target, entry);
            ended.insert(target.clone(), self.shared.announce_if_new(target, merged));
        }
        for (pending, entry) in batch.into_iter().zip(decided) {
            let Some(ack) = pending.ack else { continue };
            // What the merge ended is counted once, for the first change of that target.
            let ended = ended.remove(&pending.change.target).unwrap_or_default();
            let applied_at = pending.enforced_at.unwrap_or(durable_at);
            // An error here means that the caller went away: nobody to tell.
            let _gone = ack.send(Ok(Saved { entry: *entry, applied_at, durable_at, ended }));
        }
    }
}

/// The entry that each change of a batch writes, decided while the store is locked and the rows
/// of every other process are taken in: the order of rows in the log is the order of decisions
/// (rules R2, R3).
fn decide(shared: &Shared, batch: &[Pending]) -> Vec<Entry> {
    let mut so_far: HashMap<&Target, Entry> = HashMap::new();
    let mut entries = Vec::with_capacity(batch.len());
    for pending in batch {
        let target = &pending.change.target;
        let in_force = shared.replica.get(target).unwrap_or_default();
        let known = so_far.get(target).map_or(in_force, |earlier| in_force.merge(*earlier));
        let entry = match pending.change.action {
            // In force since before it came here, so `known` holds its mark.
            Action::Revoke => known,
            Action::Disable if known.disabled => known,
            // Somebody was reactivated between the enforcement and now; this change is later.
            Action::Disable => next(known, true, known.not_before),
            Action::Reactivate => next(known, false, shared.time.now()),
        };
        so_far.insert(target, entry);
        entries.push(entry);
    }
    entries
}

/// The entry after a change of the flag.
pub(crate) fn next(known: Entry, disabled: bool, mark: UnixMillis) -> Entry {
    Entry { not_before: known.not_before.max(mark), version: known.version.saturating_add(1), disabled }
}

fn rows(batch: &[Pending], decided: &[Entry], recorded_at: UnixMillis) -> Vec<NewRow> {
    let row = |(pending, entry): (&Pending, &Entry)| NewRow {
        id: pending.id,
        target: pending.change.target.clone(),
        action: pending.change.action,
        entry: *entry,
        recorded_at,
        cause: pending.change.cause.clone(),
        actor: pending.change.actor.clone(),
        request_id: pending.change.request_id.clone(),
    };
    batch.iter().zip(decided).map(row).collect()
}
