//! What the handle, the writer and the follower of one process share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use doorward_model::limits::{REVOCATION_POLL_MILLIS, REVOCATION_STALE_MILLIS_MAX};
use doorward_model::{Target, UnixMillis};

use crate::change::{Applied, Ended};
use crate::revocations::marktime::MarkTime;
use crate::revocations::queue::Queue;
use crate::revocations::replica::{Merged, Replica};
use crate::standing::Freshness;
use crate::store::Row;

/// Told of every change that takes effect here, before the change is acknowledged. It ends what
/// runs and says how much that was. It must not block.
pub type Subscriber = Arc<dyn Fn(&Applied) -> Ended + Send + Sync>;

const MISSED_MAX: u64 = REVOCATION_STALE_MILLIS_MAX / REVOCATION_POLL_MILLIS;

pub(crate) struct Shared {
    pub(crate) replica: Replica,
    pub(crate) time: MarkTime,
    pub(crate) queue: Queue,
    pub(crate) retention: Duration,
    subscribers: RwLock<Vec<Subscriber>>,
    pub(crate) writes: Writes,
    reads: Reads,
}

/// How writing goes.
pub(crate) struct Writes {
    working: AtomicBool,
    pub(crate) failures: AtomicU64,
    pub(crate) saved: AtomicU64,
    pub(crate) bytes: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// How reading goes. `missed` counts the beats of the pulse since the follower last read the
/// store to its end; no clock is asked, so that a clock that jumps makes nothing stale.
struct Reads {
    missed: AtomicU32,
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
            time,
            queue: Queue::default(),
            retention,
            subscribers: RwLock::default(),
            writes: Writes {
                working: AtomicBool::new(true),
                failures: AtomicU64::new(0),
                saved: AtomicU64::new(0),
                bytes: AtomicU64::new(bytes),
                last_error: Mutex::default(),
            },
            reads: Reads {
                missed: AtomicU32::new(0),
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

    /// Takes in rows of the log, and ends what they cut off. Rows that are known change nothing.
    pub(crate) fn absorb(&self, rows: &[Row]) {
        for row in rows {
            let merged = self.replica.merge(&row.target, row.entry);
            self.announce_if_new(&row.target, merged);
        }
    }

    pub(crate) fn announce_if_new(&self, target: &Target, merged: Merged) -> Ended {
        if !merged.changed {
            return Ended::default();
        }
        let applied = Applied { target: target.clone(), entry: merged.entry, at: self.time.clock() };
        self.announce(&applied)
    }

    /// The follower has read everything that was in the store at `as_of`.
    pub(crate) fn read_succeeded(&self, as_of: UnixMillis) {
        self.reads.as_of.store(as_of.0, Ordering::Release);
        if self.reads.missed.swap(0, Ordering::AcqRel) > 0 {
            let error = self.reads.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
            if error.is_some() {
                tracing::info!("the store of revocations can be read again");
            }
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
        let _before =
            self.reads.missed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_add(1));
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

impl Writes {
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
