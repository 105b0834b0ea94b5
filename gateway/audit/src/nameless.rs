//! Refusals of nobody in particular: no sign-in, no such route, a header that cannot be read.
//!
//! Whoever reaches the gateway can cause as many as they like, and the disk that they would fill
//! may be the one on which revocations are kept. So they are written one by one only up to a
//! rate (a token bucket); what is beyond is counted, and told in one event. Nothing is lost by
//! that which the log would owe, and grants go on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_model::UnixMillis;

use crate::event::RefusalSummary;

/// How long is gathered before what was counted is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// A token is this many parts, so that it can be filled in by the millisecond.
const PARTS: u64 = 1000;

/// The bucket, and what found no token in it.
#[derive(Debug)]
pub(crate) struct Nameless {
    per_second: u64,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    parts: u64,
    filled_at: Option<UnixMillis>,
    counted: Option<RefusalSummary>,
}

impl Nameless {
    /// So many in a second, and so many at once.
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        let inside = Inside { parts: per_second.saturating_mul(PARTS), filled_at: None, counted: None };
        Self { per_second, inside: Mutex::new(inside) }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Whatever is half done is a number that is a little off.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this one may be written. If not, it has been counted.
    pub(crate) fn admit(&self, reason: &'static str, now: UnixMillis) -> bool {
        let mut inside = self.lock();
        // A clock that is set back fills nothing in, and is believed from there on.
        let passed = now.since(inside.filled_at.unwrap_or(now)).as_millis();
        let more = self.per_second.saturating_mul(u64::try_from(passed).unwrap_or(u64::MAX));
        inside.parts = inside.parts.saturating_add(more).min(self.per_second.saturating_mul(PARTS));
        inside.filled_at = Some(now);
        if let Some(left) = inside.parts.checked_sub(PARTS) {
            inside.parts = left;
            return true;
        }
        let summary = inside.counted.get_or_insert_with(|| RefusalSummary {
            first_at: now,
            last_at: now,
            by_reason: BTreeMap::new(),
        });
        summary.last_at = now;
        let count = summary.by_reason.entry(reason).or_insert(0);
        *count = count.saturating_add(1);
        false
    }

    /// What was counted, when it is time to tell of it, or when it is the last time.
    pub(crate) fn take(&self, now: UnixMillis, last: bool) -> Option<RefusalSummary> {
        let mut inside = self.lock();
        let begun = inside.counted.as_ref()?.first_at;
        (last || now < begun || now.since(begun) >= TOLD_EVERY).then(|| inside.counted.take()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(nameless: &Nameless, tries: usize, at: i64) -> usize {
        (0..tries).filter(|_| nameless.admit("no_route", UnixMillis(at))).count()
    }

    #[test]
    fn the_bucket_fills_with_time_and_never_over() {
        let nameless = Nameless::new(500);
        assert_eq!(admitted(&nameless, 800, 0), 500, "a burst of one second");
        assert_eq!(admitted(&nameless, 800, 10), 5);
        assert_eq!(admitted(&nameless, 800, 11), 0, "half a token is none");
        assert_eq!(admitted(&nameless, 800, 12), 1);
        assert_eq!(admitted(&nameless, 800, 1_000_000), 500, "a long rest is one burst");
        assert_eq!(admitted(&nameless, 800, 500_000), 0, "a clock that is set back fills nothing");
        assert_eq!(admitted(&nameless, 800, 500_100), 50, "and is believed from there on");
    }

    #[test]
    fn what_is_beyond_is_counted_and_told_once() {
        let nameless = Nameless::new(1);
        assert_eq!(nameless.take(UnixMillis(0), true), None);
        assert!(nameless.admit("unauthenticated", UnixMillis(100)));
        assert!(!nameless.admit("unauthenticated", UnixMillis(200)));
        assert!(!nameless.admit("no_route", UnixMillis(300)));
        assert!(!nameless.admit("unauthenticated", UnixMillis(400)));
        assert_eq!(nameless.take(UnixMillis(1199), false), None, "not yet");
        let summary = nameless.take(UnixMillis(1200), false).unwrap();
        let by_reason = [("no_route", 1), ("unauthenticated", 2)].into();
        assert_eq!(summary.total(), 3);
        let (first_at, last_at) = (UnixMillis(200), UnixMillis(400));
        assert_eq!(summary, RefusalSummary { first_at, last_at, by_reason });
        assert_eq!(nameless.take(UnixMillis(9999), true), None);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_the_summary() {
        let nameless = Nameless::new(0);
        assert!(!nameless.admit("no_route", UnixMillis(5000)));
        assert!(nameless.take(UnixMillis(4999), false).is_some());
    }
}
