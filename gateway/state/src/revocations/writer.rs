//! The one thread of a process that writes the log.
//!
//! Whatever waits goes into one transaction, up to a bound: the disk is asked to flush once for
//! all of them. What could not be written is tried again, with growing pauses, until it is. A batch
//! with records that are not as expected is refused alone, and the others are written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_model::limits::{REVOCATION_PAGE_ROWS_MAX, REVOCATION_POLL_MILLIS, REVOCATION_RETRY_MILLIS_MAX};
use doorward_model::{Entry, Target, UnixMillis};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::change::{Action, Ended};
use crate::error::StoreError;
use crate::fleet::Committed;
use crate::records::{Record, RecordGroup, Refusal, Verdict, Version};
use crate::revocations::forgetting::Forgetting;
use crate::revocations::halts::flagged;
use crate::revocations::queue::{Ask, Distribution, Pending, Saved, SavedChange, Suspect, Unsaved, Wake};
use crate::revocations::shared::{Shared, join};
use crate::store::{NewRow, Reach, Row, Seq, Store, Written};

const RETRY_MILLIS_MIN: u64 = 100;
const IDLE: Duration = Duration::from_secs(60);
/// After a change, the file that a backup copies is brought up to date when nothing came for so
/// long, and every so often when changes never cease.
const QUIET: Duration = Duration::from_secs(1);
const SETTLE_BEATS_MAX: u64 = 10_000 / REVOCATION_POLL_MILLIS;
const PRUNE_ROWS_MAX: usize = 1000;
/// Whoever has not written for so long first reads what others wrote. A second.
const BEHIND_BEATS_MAX: u64 = 1000 / REVOCATION_POLL_MILLIS;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    /// The last row that this thread has seen.
    seen: Seq,
    /// At which beat there was none after it.
    caught_up: u64,
    retry: Duration,
    forgetting: Forgetting,
    /// Since which beat there is something that the main file lacks.
    unsettled: Option<u64>,
    /// That it could not be brought up to date was said.
    settling_fails: bool,
    /// The last record of a kind that is published which this thread wrote.
    records: Version,
    /// Takes what is committed to the fleet, if there is one.
    courier: Option<mpsc::UnboundedSender<Committed>>,
}

impl Writer {
    /// `newest` is when the last row was recorded.
    pub(crate) fn new(
        shared: Arc<Shared>,
        store: Store,
        (seen, newest): (Seq, UnixMillis),
        courier: Option<mpsc::UnboundedSender<Committed>>,
    ) -> Self {
        let retry = Duration::from_millis(RETRY_MILLIS_MIN);
        // What a process before left in the write-ahead log, if it was killed.
        let unsettled = Some(0);
        let caught_up = shared.beats();
        Self {
            shared,
            store,
            seen,
            caught_up,
            retry,
            forgetting: Forgetting::new(newest),
            unsettled,
            settling_fails: false,
            records: Version::START,
            courier,
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
            // So that there is little to read before the next change. It is tried again then.
            let _behind = self.catch_up(&[], &mut Vec::new());
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

    /// Reads what others wrote, as long as nobody has to wait for that: while a batch is written
    /// everybody does, and there is time for a few rows, not for those of a week. Rows of the batch
    /// itself, which an attempt before wrote though it failed, are put into `written`.
    fn catch_up(&mut self, batch: &[Pending], written: &mut Vec<Row>) -> Result<(), StoreError> {
        let beat = self.shared.beats();
        if beat.saturating_sub(self.caught_up) < BEHIND_BEATS_MAX {
            return Ok(());
        }
        loop {
            let rows = self.store.read_after(self.seen, REVOCATION_PAGE_ROWS_MAX)?;
            self.shared.absorb(&rows);
            let (all, last) = (rows.len() < REVOCATION_PAGE_ROWS_MAX, rows.last().map(|row| row.seq));
            self.seen = last.unwrap_or(self.seen);
            written.extend(rows.into_iter().filter(|row| batch.iter().any(|p| p.has(row.id))));
            if all {
                self.caught_up = beat;
                return Ok(());
            }
        }
    }

    /// Writes a batch, and says which entries that made. `written` are rows of it that are in the log.
    fn append(
        &mut self,
        batch: &[Pending],
        written: &mut Vec<Row>,
    ) -> Result<(Written, Vec<Decided>), StoreError> {
        self.catch_up(batch, written)?;
        let shared = Arc::clone(&self.shared);
        let groups: Vec<RecordGroup<'_>> = batch.iter().filter_map(group).collect();
        let mut decided = Vec::new();
        let done = self.store.commit(self.seen, &groups, &mut |others: &[Row], verdicts: &[Verdict]| {
            shared.absorb(others);
            decided = decide(&shared, (batch, verdicts), written, others);
            rows(batch, &decided, shared.time.clock())
        })?;
        Ok((done, decided))
    }

    /// Writes a batch and answers everyone who waits. False when that failed.
    fn save(&mut self, batch: Vec<Pending>) -> bool {
        let mut written = Vec::new();
        let mut attempt = self.append(&batch, &mut written);
        if let Err(StoreError::Full { .. }) = &attempt
            && self.make_room()
        {
            attempt = self.append(&batch, &mut written);
        }
        match attempt {
            Ok((Written { appended, verdicts }, decided)) => {
                self.seen = appended.last;
                self.caught_up = self.shared.beats();
                self.shared.writes.bytes.store(appended.bytes, Ordering::Relaxed);
                self.unsettled.get_or_insert(self.shared.beats());
                self.saved(batch, &decided, verdicts);
                true
            }
            Err(error) => {
                // First known, then told: whoever is told may ask for a grant the next moment.
                self.failed(&error);
                self.shared.queue.put_back(batch, &error.to_string(), suspect(&error));
                false
            }
        }
    }

    /// The batch is on the disk: make records and grants visible, and answer.
    fn saved(&mut self, batch: Vec<Pending>, decided: &[Decided], verdicts: Vec<Verdict>) {
        self.retry = Duration::from_millis(RETRY_MILLIS_MIN);
        self.shared.writes.succeeded();
        let count: usize = decided.iter().flatten().map(Vec::len).sum();
        self.shared.writes.saved.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        let durable_at = self.shared.time.clock();
        show_records(&self.shared, &batch, &verdicts);
        let mut ended = take_in(&self.shared, &batch, decided);
        // Before anybody is answered: who asks then finds nothing unsaved.
        self.shared.queue.written();
        let (mut changes, mut verdicts) = (Vec::with_capacity(batch.len()), verdicts.into_iter());
        for (pending, entries) in batch.into_iter().zip(decided) {
            let verdict = if pending.writes.is_empty() { None } else { verdicts.next() };
            let (versions, refusal) = match verdict {
                None | Some(Verdict::Already) => (Vec::new(), None),
                Some(Verdict::Written(versions)) => {
                    let published =
                        pending.writes.iter().zip(&versions).filter(|(w, _)| w.kind.is_published());
                    self.records = published.map(|(_, version)| *version).fold(self.records, Version::max);
                    (versions, None)
                }
                Some(Verdict::Refused(refusal)) => (Vec::new(), Some(refusal)),
            };
            match (entries, refusal) {
                (None, Some(refusal)) => refuse(&self.shared, pending, refusal),
                (entries, refusal) => {
                    if let Some(refusal) = refusal {
                        tracing::error!(
                            refused = refusal.as_str(),
                            "a change of the directory that was kept while the store could not be written \
                             conflicts by now: its revocations are saved without it"
                        );
                    }
                    let each = pending.asks.iter().zip(entries.iter().flatten()).map(|(ask, entry)| {
                        // What the merge ended is counted once, for the first change of that target.
                        let ended = ended.remove(&ask.change.target).unwrap_or_default();
                        let applied_at = ask.enforced_at.unwrap_or(durable_at);
                        SavedChange { entry: *entry, applied_at, ended }
                    });
                    let distribution = Distribution::Alone;
                    let saved = Saved { each: each.collect(), versions, durable_at, distribution };
                    changes.push((pending, saved));
                }
            }
        }
        self.send(changes);
    }

    /// Answers whoever waits, or lets the fleet know first.
    fn send(&self, changes: Vec<(Pending, Saved)>) {
        let (outbound, alone): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|(pending, _)| self.courier.is_some() && goes_out(pending));
        for (pending, saved) in alone {
            self.shared.answer(pending, saved);
        }
        let Some(courier) = self.courier.as_ref().filter(|_| !outbound.is_empty()) else { return };
        // Acknowledged when it has gone out to the fleet.
        let up_to = Reach { row: self.seen, records: self.records };
        if let Err(unsent) = courier.send(Committed { up_to, changes: outbound }) {
            let why = "the thread that publishes changes died; restart the gateway";
            for (pending, saved) in unsent.0.changes {
                let distribution = Distribution::Waiting(why.to_owned());
                self.shared.answer(pending, Saved { distribution, ..saved });
            }
        }
    }
}

/// Which batches may be the reason why the store says this.
const fn suspect(error: &StoreError) -> Suspect {
    match error {
        StoreError::Full { .. } | StoreError::Database { .. } => Suspect::Any,
        StoreError::Silent { .. } => Suspect::Large,
        StoreError::Corrupt { .. }
        | StoreError::Missing { .. }
        | StoreError::Rewound { .. }
        | StoreError::MarkDamaged { .. }
        | StoreError::Newer { .. }
        | StoreError::Foreign { .. }
        | StoreError::InUse { .. }
        | StoreError::Replaced { .. }
        | StoreError::Busy { .. }
        | StoreError::NoDirectory
        | StoreError::NoRandomness
        | StoreError::Io { .. }
        | StoreError::Unreachable { .. }
        | StoreError::Untrusted { .. }
        | StoreError::Refused { .. }
        | StoreError::ReadOnly { .. } => Suspect::None,
    }
}

/// The entry of each change of what waited together; `None` where nothing of it is written.
type Decided = Option<Vec<Entry>>;

/// Whether other nodes have to know of it. Records of kinds that are not published concern nobody else.
fn goes_out(pending: &Pending) -> bool {
    !pending.asks.is_empty() || pending.writes.iter().any(|write| write.kind.is_published())
}

/// What of it is records. What waited since an attempt that failed may be written.
fn group(pending: &Pending) -> Option<RecordGroup<'_>> {
    let proof = pending.asks.first().filter(|_| pending.kept).map(|ask| ask.id);
    (!pending.writes.is_empty()).then_some(RecordGroup { writes: &pending.writes, proof })
}

/// Lets requests see what is on the disk.
fn show_records(shared: &Shared, batch: &[Pending], verdicts: &[Verdict]) {
    let groups = batch.iter().filter(|pending| !pending.writes.is_empty());
    let mut records = Vec::new();
    for (pending, verdict) in groups.zip(verdicts) {
        // What an attempt before wrote comes in as what others write does.
        let Verdict::Written(versions) = verdict else { continue };
        records.extend(pending.writes.iter().zip(versions).map(|(write, version)| Record {
            kind: write.kind,
            id: Arc::clone(&write.id),
            version: *version,
            body: write.body.clone(),
        }));
    }
    shared.records.merge(records);
}

/// Lets requests see what holds for each target after the batch, and says what that ended. Only what
/// holds after all of it is shown: a grant that a later change of the same batch takes back never
/// comes into force.
fn take_in(shared: &Shared, batch: &[Pending], decided: &[Decided]) -> HashMap<Target, Ended> {
    let mut last: HashMap<&Target, (Entry, Uuid)> = HashMap::new();
    let mut halts: HashMap<&Target, usize> = HashMap::new();
    for (ask, entry) in batch.iter().zip(decided).flat_map(written_of) {
        let (target, action) = (&ask.change.target, ask.change.action);
        join(&mut last, target, *entry, (ask.id, action));
        if action == Action::Disable {
            *halts.entry(target).or_default() += 1;
        }
    }
    let mut ended: HashMap<Target, Ended> = HashMap::new();
    for (target, said) in last {
        let saved = halts.get(target).copied().unwrap_or_default();
        ended.insert(target.clone(), shared.take_in(target, said, saved));
    }
    ended
}

fn written_of<'a>(
    (pending, entries): (&'a Pending, &'a Decided),
) -> impl Iterator<Item = (&'a Ask, &'a Entry)> {
    pending.asks.iter().zip(entries.iter().flatten())
}

/// The directory is not as the batch expected: nothing of it was written. What bites already goes on
/// to do so: nothing that was dead lives, but in this process only, as if the queue had had no room.
fn refuse(shared: &Shared, pending: Pending, refusal: Refusal) {
    for ask in pending.asks.iter().filter(|ask| ask.change.action == Action::Disable) {
        shared.halts.not_kept(&ask.change.target);
    }
    let enforced = pending.asks.iter().any(|ask| ask.enforced_at.is_some());
    let told = pending.ack.is_some_and(|ack| ack.send(Err(Unsaved::Refused(refusal))).is_ok());
    if !told && enforced {
        tracing::warn!("a batch was refused after its caller went away: it is in force in this process only");
    }
}

/// The entry that each change of a batch writes, decided while the store is locked and the rows
/// of every other process are taken in: the order of rows in the log is the order of decisions
/// (rules R2, R3). What an attempt before wrote, though it failed afterwards, is decided. Where
/// records are refused the changes are not written, but those that somebody was told are kept.
fn decide(
    shared: &Shared,
    (batch, verdicts): (&[Pending], &[Verdict]),
    written: &[Row],
    others: &[Row],
) -> Vec<Decided> {
    let mut so_far: HashMap<&Target, Entry> = HashMap::new();
    let mut verdicts = verdicts.iter();
    let mut decided = Vec::with_capacity(batch.len());
    for pending in batch {
        let verdict = if pending.writes.is_empty() { None } else { verdicts.next() };
        if matches!(verdict, Some(Verdict::Refused(_))) && !pending.kept {
            decided.push(None);
            continue;
        }
        let mut entries = Vec::with_capacity(pending.asks.len());
        for Ask { id, change, .. } in &pending.asks {
            let target = &change.target;
            let in_force = shared.replica.get(target).unwrap_or_default();
            let known = so_far.get(target).map_or(in_force, |earlier| in_force.merge(*earlier));
            if let Some(row) = written.iter().chain(others).find(|row| row.id == *id) {
                entries.push(row.entry);
                continue;
            }
            let entry = match change.action {
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
        decided.push(Some(entries));
    }
    decided
}

fn rows(batch: &[Pending], decided: &[Decided], recorded_at: UnixMillis) -> Vec<NewRow> {
    let row = |(ask, entry): (&Ask, &Entry)| NewRow {
        id: ask.id,
        target: ask.change.target.clone(),
        action: ask.change.action,
        entry: *entry,
        recorded_at,
        cause: ask.change.cause.clone(),
        actor: ask.change.actor.clone(),
        request_id: ask.change.request_id.clone(),
    };
    batch.iter().zip(decided).flat_map(written_of).map(row).collect()
}

#[cfg(test)]
mod tests;
