//! What the handle, the writer and the follower of one process share.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use doorward_model::limits::{REVOCATION_POLL_MILLIS, REVOCATION_STALE_MILLIS_MAX};
use doorward_model::{Entry, Target, UnixMillis};
use uuid::Uuid;

use crate::change::{Action, Applied, Change, Ended, Receipt};
use crate::revocations::halts::Halts;
use crate::revocations::marktime::MarkTime;
use crate::revocations::queue::Queue;
use crate::revocations::replica::Replica;
use crate::standing::Freshness;
use crate::store::Row;

/// Told of every change that takes effect here, before the change is acknowledged. It ends what
/// runs and says how much that was. It must not block.
pub type Subscriber = Arc<dyn Fn(&Applied) -> Ended + Send + Sync>;

/// Told of a change that was saved after its caller had been told that it was not, or had gone
/// away. It must not block.
pub type LateSubscriber = Arc<dyn Fn(&Change, &Receipt) + Send + Sync>;

const MISSED_MAX: u64 = REVOCATION_STALE_MILLIS_MAX / REVOCATION_POLL_MILLIS;

pub(crate) struct Shared {
    pub(crate) replica: Replica,
    pub(crate) halts: Halts,
    pub(crate) time: MarkTime,
    pub(crate) queue: Queue,
    pub(crate) retention: Duration,
    subscribers: RwLock<Vec<Subscriber>>,
    late: RwLock<Vec<LateSubscriber>>,
    pub(crate) writes: Writes,
    reads: Reads,
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

/// How reading goes. `missed` counts the beats of the pulse since the follower last *began* to
/// read the store to its end; no clock is asked, so that a clock that jumps makes nothing stale.
struct Reads {
    missed: AtomicU32,
    /// All beats so far.
    beats: AtomicU64,
    /// The follower was told to end.
    over: AtomicBool,
    as_of: AtomicI64,
    last_error: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(replica: Replica, time: MarkTime, retention: Duration, bytes: u64) -> Arc<Self> {
        let as_of = time.clock();
        Arc::new(Self {
            replica,
            halts: Halts::default(),
            time,
            queue: Queue::default(),
            retention,
            subscribers: RwLock::default(),
            late: RwLock::default(),
            writes: Writes {
                working: AtomicBool::new(true),
                dead: AtomicBool::new(false),
                failures: AtomicU64::new(0),
                saved: AtomicU64::new(0),
                bytes: AtomicU64::new(bytes),
                last_error: Mutex::default(),
            },
            reads: Reads {
                missed: AtomicU32::new(0),
                beats: AtomicU64::new(0),
                over: AtomicBool::new(false),
                as_of: AtomicI64::new(as_of.0),
                last_error: Mutex::default(),
            },
        })
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
        self.reads.missed.load(Ordering::Acquire)
    }

    /// The follower has read everything that was in the store at `as_of`, when it had missed
    /// `asked` beats.
    pub(crate) fn read_succeeded(&self, as_of: UnixMillis, asked: u32) {
        self.reads.as_of.store(as_of.0, Ordering::Release);
        // Only the follower subtracts, so there is never less than it saw.
        self.reads.missed.fetch_sub(asked, Ordering::AcqRel);
        let error = self.reads.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        if error.is_some() {
            tracing::info!("the store of revocations can be read again");
        }
    }

    pub(crate) fn read_failed(&self, error: String) {
        let mut last = self.reads.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none() {
            tracing::error!(error, "the store of revocations cannot be read: requests will be refused soon");
        }
        *last = Some(error);
    }

    /// One beat of the pulse went by.
    pub(crate) fn beat(&self) {
        self.reads.beats.fetch_add(1, Ordering::Relaxed);
        let _before =
            self.reads.missed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_add(1));
    }

    /// How many beats there were.
    pub(crate) fn beats(&self) -> u64 {
        self.reads.beats.load(Ordering::Relaxed)
    }

    /// For how long the store has not been read.
    pub(crate) fn unread_for(&self) -> Duration {
        if self.reads.over.load(Ordering::Acquire) {
            return Duration::MAX;
        }
        let missed = u64::from(self.reads.missed.load(Ordering::Acquire));
        Duration::from_millis(missed * REVOCATION_POLL_MILLIS)
    }

    /// Nobody follows the store any more: what is known here is of no use from now on.
    pub(crate) fn no_longer_current(&self) {
        self.reads.over.store(true, Ordering::Release);
    }

    pub(crate) fn freshness(&self) -> Freshness {
        let missed = u64::from(self.reads.missed.load(Ordering::Acquire));
        Freshness {
            fresh: missed <= MISSED_MAX && !self.reads.over.load(Ordering::Acquire),
            as_of: UnixMillis(self.reads.as_of.load(Ordering::Acquire)),
        }
    }

    pub(crate) fn read_error(&self) -> Option<String> {
        self.reads.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let shared = Shared::new(Replica::with_capacity([7; 16], 0), time, Duration::from_secs(1), 0);
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
