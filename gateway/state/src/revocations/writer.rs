//! The one thread of a process that writes the log.
//!
//! Whatever waits goes into one transaction, up to a bound: the disk is asked to flush once for
//! all of them. What could not be written is tried again, with growing pauses, until it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_model::limits::{REVOCATION_POLL_MILLIS, REVOCATION_RETRY_MILLIS_MAX};
use doorward_model::{Entry, Target, UnixMillis};
use uuid::Uuid;

use crate::change::{Action, Ended, Receipt};
use crate::error::StoreError;
use crate::revocations::forgetting::Forgetting;
use crate::revocations::halts::flagged;
use crate::revocations::queue::{Pending, Saved, Wake};
use crate::revocations::shared::{Shared, join};
use crate::store::{NewRow, Row, Seq, Store};

const RETRY_MILLIS_MIN: u64 = 100;
const IDLE: Duration = Duration::from_secs(60);
/// After a change, the file that a backup copies is brought up to date when nothing came for so
/// long, and every so often when changes never cease.
const QUIET: Duration = Duration::from_secs(1);
const SETTLE_BEATS_MAX: u64 = 10_000 / REVOCATION_POLL_MILLIS;
const PRUNE_ROWS_MAX: usize = 1000;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    /// The last row that this thread has seen.
    seen: Seq,
    retry: Duration,
    forgetting: Forgetting,
    /// Since which beat there is something that the main file lacks.
    unsettled: Option<u64>,
    /// That it could not be brought up to date was said.
    settling_fails: bool,
}

impl Writer {
    /// `newest` is when the last row was recorded.
    pub(crate) fn new(shared: Arc<Shared>, store: Store, seen: Seq, newest: UnixMillis) -> Self {
        let retry = Duration::from_millis(RETRY_MILLIS_MIN);
        // What a process before left in the write-ahead log, if it was killed.
        let unsettled = Some(0);
        Self {
            shared,
            store,
            seen,
            retry,
            forgetting: Forgetting::new(newest),
            unsettled,
            settling_fails: false,
        }
    }

    /// Runs until the queue is closed and empty. Returns how many changes could not be saved.
    pub(crate) fn run(mut self) -> usize {
        loop {
            match self.shared.queue.take(self.pause()) {
                Wake::Closed => {
                    self.settle();
                    return 0;
                }
                Wake::Batch(batch) => {
                    if !self.save(batch) && self.shared.queue.is_closing() {
                        let unsaved = self.shared.queue.len();
                        tracing::error!(unsaved, "closing with revocations that could not be saved");
                        return unsaved;
                    }
                    let beat = self.shared.beats();
                    self.tidy(self.forgetting.is_overdue(beat));
                    if self.unsettled.is_some_and(|since| beat.saturating_sub(since) > SETTLE_BEATS_MAX) {
                        self.settle();
                    }
                }
                Wake::Idle => {
                    self.idle();
                    self.tidy(self.forgetting.is_due(self.shared.beats()));
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        if !self.shared.writes.working() {
            self.retry
        } else if self.unsettled.is_some() || self.forgetting.is_due(self.shared.beats()) {
            QUIET
        } else {
            IDLE
        }
    }

    /// Nothing waits: see whether a store that failed works again, or bring the file up to date.
    fn idle(&mut self) {
        if self.shared.writes.working() {
            return self.settle();
        }
        match self.store.probe() {
            Ok(()) => self.shared.writes.succeeded(),
            Err(error) => self.failed(&error),
        }
    }

    /// Moves everything into the file that a backup copies. What was acknowledged is durable
    /// without it, so that a failure is told and tried again later.
    fn settle(&mut self) {
        if self.unsettled.is_none() {
            return;
        }
        match self.store.settle() {
            Ok(true) => {
                self.unsettled = None;
                self.settling_fails = false;
            }
            // Somebody reads: again after the next quiet moment.
            Ok(false) => self.unsettled = Some(self.shared.beats()),
            Err(error) => {
                if !std::mem::replace(&mut self.settling_fails, true) {
                    tracing::warn!(%error, "a copy of the store of revocations would lack the latest changes");
                }
                self.unsettled = Some(self.shared.beats());
            }
        }
    }

    /// Forgets what is old when it is time, one batch for each wake.
    fn tidy(&mut self, due: bool) {
        let (now, beat) = (self.shared.time.clock(), self.shared.beats());
        let believed = self.forgetting.believes(now, beat);
        if !due || !self.shared.writes.working() {
            return;
        }
        if !believed {
            return self.forgetting.done(beat);
        }
        match self.prune(now) {
            Ok(forgotten) if forgotten >= PRUNE_ROWS_MAX => {}
            Ok(_) => self.forgetting.done(beat),
            // Another process of this node writes: later.
            Err(StoreError::Busy { .. }) => {}
            Err(error) => self.failed(&error),
        }
    }

    /// Forgets some revoked sessions and tokens that are too old to matter, and returns how many.
    fn prune(&mut self, now: UnixMillis) -> Result<usize, StoreError> {
        let than = now.minus(self.shared.retention);
        let forgotten = self.store.prune(than, PRUNE_ROWS_MAX)?;
        for target in &forgotten {
            self.shared.replica.forget(target, than);
        }
        if !forgotten.is_empty() {
            self.unsettled.get_or_insert(self.shared.beats());
        }
        Ok(forgotten.len())
    }

    /// Makes room in a full store, if there is anything old, and the clock can be believed.
    fn make_room(&mut self) -> bool {
        let now = self.shared.time.clock();
        let believed = self.forgetting.believes(now, self.shared.beats());
        believed && self.prune(now).is_ok_and(|forgotten| forgotten > 0)
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
            decided = decide(&shared, &batch, others);
            rows(&batch, &decided, shared.time.clock())
        });
        if let Err(StoreError::Full { .. }) = &attempt
            && self.make_room()
        {
            attempt = self.store.append(self.seen, &mut |others: &[Row]| {
                shared.absorb(others);
                decided = decide(&shared, &batch, others);
                rows(&batch, &decided, shared.time.clock())
            });
        }
        match attempt {
            Ok(appended) => {
                self.seen = appended.last;
                self.shared.writes.bytes.store(appended.bytes, Ordering::Relaxed);
                self.unsettled.get_or_insert(self.shared.beats());
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
        let mut last: HashMap<&Target, (Entry, Uuid)> = HashMap::new();
        let mut halts: HashMap<&Target, usize> = HashMap::new();
        for (pending, entry) in batch.iter().zip(decided) {
            let (target, action) = (&pending.change.target, pending.change.action);
            join(&mut last, target, *entry, (pending.id, action));
            if action == Action::Disable {
                *halts.entry(target).or_default() += 1;
            }
        }
        let mut ended: HashMap<Target, Ended> = HashMap::new();
        for (target, said) in last {
            let saved = halts.get(target).copied().unwrap_or_default();
            ended.insert(target.clone(), self.shared.take_in(target, said, saved));
        }
        // Before anybody is answered: who asks then finds nothing unsaved.
        self.shared.queue.written();
        for (pending, entry) in batch.into_iter().zip(decided) {
            // What the merge ended is counted once, for the first change of that target.
            let ended = ended.remove(&pending.change.target).unwrap_or_default();
            let applied_at = pending.enforced_at.unwrap_or(durable_at);
            let saved = Saved { entry: *entry, applied_at, durable_at, ended };
            if pending.ack.is_some_and(|ack| ack.send(Ok(saved)).is_ok()) {
                continue;
            }
            let (id, target) = (pending.id, pending.change.target.clone());
            let receipt = Receipt { id, target, entry: *entry, applied_at, durable_at, ended };
            self.shared.announce_late(&pending.change, &receipt);
        }
    }
}

/// The entry that each change of a batch writes, decided while the store is locked and the rows
/// of every other process are taken in: the order of rows in the log is the order of decisions
/// (rules R2, R3). What an attempt before wrote, though it failed afterwards, is decided.
fn decide(shared: &Shared, batch: &[Pending], others: &[Row]) -> Vec<Entry> {
    let mut so_far: HashMap<&Target, Entry> = HashMap::new();
    let mut entries = Vec::with_capacity(batch.len());
    for pending in batch {
        let target = &pending.change.target;
        let in_force = shared.replica.get(target).unwrap_or_default();
        let known = so_far.get(target).map_or(in_force, |earlier| in_force.merge(*earlier));
        if let Some(row) = others.iter().find(|row| row.id == pending.id) {
            entries.push(row.entry);
            continue;
        }
        let entry = match pending.change.action {
            // In force since before it came here, so `known` holds its mark.
            Action::Revoke => known,
            Action::Disable if known.disabled => known,
            // Somebody was reactivated between the enforcement and now; this change is later.
            Action::Disable => flagged(known, true, known.not_before),
            Action::Reactivate => flagged(known, false, shared.time.now()),
        };
        so_far.insert(target, entry);
        entries.push(entry);
    }
    entries
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
