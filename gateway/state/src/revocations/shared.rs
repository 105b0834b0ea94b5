//! What the handle, the writer and the follower of one process share.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use doorward_model::limits::{REVOCATION_POLL_MILLIS, REVOCATION_STALE_MILLIS_MAX};
use doorward_model::{Entry, Target, UnixMillis};
use uuid::Uuid;

use crate::change::{Action, Applied, Change, Ended, Receipt};
use crate::fleet::Telling;
use crate::records::RecordMemory;
use crate::revocations::halts::Halts;
use crate::revocations::lease::Lease;
use crate::revocations::looks::Looks;
use crate::revocations::marktime::MarkTime;
use crate::revocations::queue::{Pending, Queue, Saved};
use crate::revocations::reads::{Lines, Reads};
use crate::revocations::replica::Replica;
use crate::standing::Freshness;
use crate::store::Row;

/// Told of every change that takes effect here, before the change is acknowledged. It ends what
/// runs and says how much that was. It must not block.
pub type Subscriber = Arc<dyn Fn(&Applied) -> Ended + Send + Sync>;

/// Told of a change that was saved after its caller had been told that it was not, or had gone
/// away. It must not block.
pub type LateSubscriber = Arc<dyn Fn(&Change, &Receipt) + Send + Sync>;

const LINES: Lines = Lines {
    fails: "the store of revocations cannot be read: requests will be refused soon",
    works: "the store of revocations can be read again",
};
const MISSED_MAX: u64 = REVOCATION_STALE_MILLIS_MAX / REVOCATION_POLL_MILLIS;

pub(crate) struct Shared {
    pub(crate) replica: Replica,
    pub(crate) halts: Halts,
    pub(crate) time: MarkTime,
    pub(crate) queue: Queue,
    pub(crate) retention: Duration,
    subscribers: RwLock<Vec<Subscriber>>,
    late: RwLock<Vec<LateSubscriber>>,
    /// What this process tells the fleet besides how far it has come.
    telling: OnceLock<Telling>,
    pub(crate) writes: Writes,
    reads: Reads,
    /// All beats of the pulse so far.
    beats: AtomicU64,
    /// The follower was told to end.
    over: AtomicBool,
    /// What the directory holds.
    pub(crate) records: RecordMemory,
    pub(crate) looks: Looks,
    /// What stands for the reading of a store where a fleet is followed instead.
    pub(crate) lease: Option<Arc<Lease>>,
}

/// How writing goes.
pub(crate) struct Writes {
    working: AtomicBool,
    /// The thread that writes died.
    dead: AtomicBool,
    pub(crate) failures: AtomicU64,
    pub(crate) saved: AtomicU64,
    pub(crate) bytes: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(
        replica: Replica,
        time: MarkTime,
        retention: Duration,
        bytes: u64,
        lease: Option<Arc<Lease>>,
    ) -> Arc<Self> {
        let as_of = time.clock();
        Arc::new(Self {
            replica,
            halts: Halts::default(),
            time,
            queue: Queue::default(),
            retention,
            subscribers: RwLock::default(),
            late: RwLock::default(),
            telling: OnceLock::new(),
            writes: Writes {
                working: AtomicBool::new(true),
                dead: AtomicBool::new(false),
                failures: AtomicU64::new(0),
                saved: AtomicU64::new(0),
                bytes: AtomicU64::new(bytes),
                last_error: Mutex::default(),
            },
            reads: Reads::new(LINES, as_of),
            beats: AtomicU64::new(0),
            over: AtomicBool::new(false),
            records: RecordMemory::new(as_of),
            looks: Looks::default(),
            lease,
        })
    }

    /// From now on this is told besides. Only the first counts.
    pub(crate) fn tell_with(&self, telling: Telling) {
        let _first = self.telling.set(telling);
    }

    /// What is told besides. A panic there must not end the thread that keeps the node current.
    pub(crate) fn tells(&self) -> String {
        let Some(telling) = self.telling.get() else { return String::new() };
        catch_unwind(AssertUnwindSafe(|| telling())).unwrap_or_default()
    }

    pub(crate) fn subscribe(&self, subscriber: Subscriber) {
        self.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    /// Tells every subscriber. One that panics must neither spare the others nor keep the change
    /// from being written.
    pub(crate) fn announce(&self, applied: &Applied) -> Ended {
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ended = Ended::default();
        for subscriber in subscribers {
            match catch_unwind(AssertUnwindSafe(|| subscriber(applied))) {
                Ok(more) => ended += more,
                Err(_) => tracing::error!(
                    target_kind = applied.target.kind().as_str(),
                    "a subscriber panicked: exchanges of a revoked target may still run"
                ),
            }
        }
        ended
    }

    pub(crate) fn subscribe_late(&self, subscriber: LateSubscriber) {
        self.late.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    /// A change was saved, and nobody was there to read the receipt.
    pub(crate) fn announce_late(&self, change: &Change, receipt: &Receipt) {
        let subscribers = self.late.read().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers {
            if catch_unwind(AssertUnwindSafe(|| subscriber(change, receipt))).is_err() {
                tracing::error!(id = %receipt.id, "a subscriber panicked: a late receipt is not on record");
            }
        }
    }

    /// Tells whoever asked for changes what became of them. Where nobody is there any more, those who
    /// listen for that.
    pub(crate) fn answer(&self, pending: Pending, saved: Saved) {
        let Pending { asks, ack, .. } = pending;
        let told = match ack {
            Some(ack) => ack.send(Ok(saved.clone())).is_ok(),
            None => false,
        };
        if !told {
            let receipts = saved.receipts(asks.iter().map(|ask| (ask.id, ask.change.target.clone())));
            for (ask, receipt) in asks.iter().zip(&receipts) {
                self.announce_late(&ask.change, receipt);
            }
        }
    }

    /// Takes in rows of the log, and ends what they cut off. Rows that are known change nothing.
    pub(crate) fn absorb(&self, rows: &[Row]) {
        // Only what holds after all of them is shown, as in `Writer::saved`.
        let mut last: HashMap<&Target, (Entry, Uuid)> = HashMap::new();
        for row in rows {
            join(&mut last, &row.target, row.entry, (row.id, row.action));
        }
        for (target, said) in last {
            self.take_in(target, said, 0);
        }
    }

    /// Takes in what the log says of a target, of which `saved` switch-offs that waited here are
    /// now in it, and ends what that cuts off.
    pub(crate) fn take_in(&self, target: &Target, said: (Entry, Uuid), saved: usize) -> Ended {
        let (merged, id) = self.halts.merge(&self.replica, target, said, saved);
        if !merged.changed {
            return Ended::default();
        }
        let applied = Applied { id, target: target.clone(), entry: merged.entry, at: self.time.clock() };
        self.announce(&applied)
    }

    /// The follower is about to read. What it must hand to [`read_succeeded`](Self::read_succeeded):
    /// the lease counts from the question, as the answer may be long in coming.
    pub(crate) fn read_begins(&self) -> u32 {
        self.reads.begins()
    }

    /// The follower has read everything that was in the store at `as_of`, when it had missed
    /// `asked` beats.
    pub(crate) fn read_succeeded(&self, as_of: UnixMillis, asked: u32) {
        self.reads.succeeded(as_of, asked);
    }

    pub(crate) fn read_failed(&self, error: String) {
        self.reads.failed(error);
    }

    /// One beat of the pulse went by.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.reads.beat();
        self.records.reads.beat();
    }

    /// How many beats there were.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// For how long the store has not been read, or since when there is no newer proof.
    pub(crate) fn unread_for(&self) -> Duration {
        if self.over.load(Ordering::Acquire) {
            return Duration::MAX;
        }
        if let Some(lease) = &self.lease {
            return lease.age().unwrap_or(Duration::MAX);
        }
        let missed = u64::from(self.reads.missed());
        Duration::from_millis(missed * REVOCATION_POLL_MILLIS)
    }

    /// How old the newest proof is that no record is missing.
    pub(crate) fn records_unread_for(&self) -> Duration {
        if self.is_over() {
            return Duration::MAX;
        }
        if let Some(lease) = &self.lease {
            return lease.age().unwrap_or(Duration::MAX);
        }
        let missed = u64::from(self.records.reads.missed());
        Duration::from_millis(missed.saturating_mul(REVOCATION_POLL_MILLIS))
    }

    /// For how long records may be without a newer proof until nobody is judged by them.
    pub(crate) fn records_unread_max(&self) -> Duration {
        let of_store = Duration::from_millis(REVOCATION_STALE_MILLIS_MAX);
        self.lease.as_ref().map_or(of_store, |lease| lease.length())
    }

    /// Nobody follows the store any more: what is known here is of no use from now on.
    pub(crate) fn no_longer_current(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(crate) fn freshness(&self) -> Freshness {
        let over = self.is_over();
        if let Some(lease) = &self.lease {
            let stale_for = if over { None } else { lease.over_for() };
            let fresh = !over && !lease.left().is_zero();
            return Freshness { fresh, stale_for, as_of: lease.as_of() };
        }
        let missed = u64::from(self.reads.missed());
        let late = missed.saturating_sub(MISSED_MAX).saturating_mul(REVOCATION_POLL_MILLIS);
        Freshness {
            fresh: missed <= MISSED_MAX && !over,
            stale_for: (!over).then(|| Duration::from_millis(late)),
            as_of: self.reads.as_of(),
        }
    }

    pub(crate) fn read_error(&self) -> Option<String> {
        self.reads.error()
    }
}

/// Adds a row to what holds after a run of rows. It is named after the last row that takes
/// access away, if there is one: that is what ends exchanges.
pub(crate) fn join<'a>(
    last: &mut HashMap<&'a Target, (Entry, Uuid)>,
    target: &'a Target,
    entry: Entry,
    (id, action): (Uuid, Action),
) {
    let (joined, name) = last.entry(target).or_insert((entry, id));
    *joined = joined.merge(entry);
    if !action.is_grant() {
        *name = id;
    }
}

impl Writes {
    /// The thread that writes died: nothing is saved any more.
    pub(crate) fn died(&self) {
        self.dead.store(true, Ordering::Release);
        self.failed("the thread that saves revocations died; restart the gateway");
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    pub(crate) fn working(&self) -> bool {
        self.working.load(Ordering::Acquire)
    }

    pub(crate) fn succeeded(&self) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.take().is_some() {
            tracing::info!("revocations can be saved again");
        }
        self.working.store(true, Ordering::Release);
    }

    pub(crate) fn failed(&self, error: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        self.working.store(false, Ordering::Release);
        if last.as_deref() != Some(error) {
            tracing::error!(
                error,
                "revocations cannot be saved: they are in force here, and nobody is reactivated"
            );
        }
        *last = Some(error.to_owned());
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_counts_from_the_question_not_from_the_answer() {
        let time = MarkTime::new(Arc::new(|| UnixMillis(1)), UnixMillis(0));
        let shared = Shared::new(Replica::with_capacity([7; 16], 0), time, Duration::from_secs(1), 0, None);
        let asked = shared.read_begins();
        // The disk hangs, and then answers what was true when it was asked.
        for _ in 0..=MISSED_MAX {
            shared.beat();
        }
        assert!(!shared.freshness().fresh);
        shared.read_succeeded(UnixMillis(1), asked);
        assert!(!shared.freshness().fresh, "what it answers is as old as the question");
        assert!(shared.unread_for() > Duration::from_millis(REVOCATION_STALE_MILLIS_MAX));
        let asked = shared.read_begins();
        shared.beat();
        shared.read_succeeded(UnixMillis(2), asked);
        assert!(shared.freshness().fresh);
        assert_eq!(shared.unread_for(), Duration::from_millis(REVOCATION_POLL_MILLIS));
        assert_eq!(shared.beats(), MISSED_MAX + 2);
        shared.no_longer_current();
        assert!(!shared.freshness().fresh && shared.unread_for() == Duration::MAX);
    }
}
