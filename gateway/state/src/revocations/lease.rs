//! For how long this process may believe that it knows everything.
//!
//! A lease counts from the moment the question was *sent*: the answer says what was true when the
//! server ran it, which may have been at once, however long the answer took (rule R8). It counts on
//! a clock that goes on while the machine sleeps; one that stands still would let a machine that
//! wakes up believe what it knew before.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::time::Uptime;

/// No poll ever succeeded.
const NEVER: u64 = u64::MAX;

pub(crate) struct Lease {
    uptime: Uptime,
    length: Duration,
    /// Nanoseconds of uptime at which the last poll that succeeded was sent.
    proven: AtomicU64,
    /// The time of day at that moment.
    as_of: AtomicI64,
}

impl Lease {
    pub(crate) fn new(uptime: Uptime, length: Duration) -> Self {
        Self { uptime, length, proven: AtomicU64::new(NEVER), as_of: AtomicI64::new(0) }
    }

    /// What the clock of the lease says.
    pub(crate) fn now(&self) -> Duration {
        (self.uptime)()
    }

    pub(crate) const fn length(&self) -> Duration {
        self.length
    }

    /// A poll that was sent at `sent`, when the time of day was `as_of`, showed that nothing is
    /// missing here. Only the line calls this.
    pub(crate) fn renew(&self, sent: Duration, as_of: UnixMillis) {
        let sent = u64::try_from(sent.as_nanos()).unwrap_or(NEVER - 1).min(NEVER - 1);
        self.as_of.store(as_of.0, Ordering::Release);
        self.proven.store(sent, Ordering::Release);
    }

    /// How old the newest proof is. `None`: there never was one.
    pub(crate) fn age(&self) -> Option<Duration> {
        match self.proven.load(Ordering::Acquire) {
            NEVER => None,
            nanos => Some(self.now().saturating_sub(Duration::from_nanos(nanos))),
        }
    }

    /// How long it still lasts.
    pub(crate) fn left(&self) -> Duration {
        self.age().map_or(Duration::ZERO, |age| self.length.saturating_sub(age))
    }

    /// By how much it is over: zero while it lasts, `None` when there never was one.
    pub(crate) fn over_for(&self) -> Option<Duration> {
        self.age().map(|age| age.saturating_sub(self.length))
    }

    /// Everything acknowledged before this moment is known.
    pub(crate) fn as_of(&self) -> UnixMillis {
        UnixMillis(self.as_of.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_counts_from_the_sending_of_the_question() {
        let millis = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&millis);
        let uptime: Uptime = Arc::new(move || Duration::from_millis(read.load(Ordering::SeqCst)));
        let lease = Lease::new(uptime, Duration::from_secs(1));
        assert_eq!((lease.age(), lease.left(), lease.over_for()), (None, Duration::ZERO, None));
        millis.store(5_000, Ordering::SeqCst);
        let sent = lease.now();
        // The answer takes its time.
        millis.store(5_900, Ordering::SeqCst);
        lease.renew(sent, UnixMillis(7));
        assert_eq!(lease.left(), Duration::from_millis(100));
        assert_eq!((lease.over_for(), lease.as_of()), (Some(Duration::ZERO), UnixMillis(7)));
        millis.store(6_000, Ordering::SeqCst);
        assert_eq!(lease.left(), Duration::ZERO, "the last moment is over");
        millis.store(9_000, Ordering::SeqCst);
        assert_eq!(lease.over_for(), Some(Duration::from_secs(3)));
    }
}
