//! The time that marks are made of: the clock, which may be set back, made to rise.

use std::sync::atomic::{AtomicI64, Ordering};

use doorward_model::UnixMillis;
use doorward_model::limits::CLOCK_STEP_MILLIS_MAX;
use doorward_model::time::Clock;

/// Rule R1, for the whole process: a mark is not earlier than any mark before it.
///
/// If it were, a clock that is set back for a while would make marks that lie before tokens
/// which are already out. A clock that is set back by more than an hour was wrong before or is
/// wrong now, and to stand still for that long would lock everyone out who signs in anew after
/// a revocation; then the clock is followed, loudly.
pub(crate) struct MarkTime {
    clock: Clock,
    highest: AtomicI64,
}

impl MarkTime {
    pub(crate) const fn new(clock: Clock, highest: UnixMillis) -> Self {
        Self { clock, highest: AtomicI64::new(highest.0) }
    }

    /// What the clock says.
    pub(crate) fn clock(&self) -> UnixMillis {
        (self.clock)()
    }

    /// The time for a mark.
    pub(crate) fn now(&self) -> UnixMillis {
        let read = self.clock().0;
        let highest = self.highest.fetch_max(read, Ordering::AcqRel);
        let back = highest.saturating_sub(read);
        if back <= 0 {
            return UnixMillis(read);
        }
        if back <= CLOCK_STEP_MILLIS_MAX {
            return UnixMillis(highest);
        }
        let followed = self.highest.compare_exchange(highest, read, Ordering::AcqRel, Ordering::Acquire);
        if followed.is_ok() {
            tracing::error!(
                back_millis = back,
                "the clock was set back by more than an hour: revocations follow it; revoke once more whom \
                 you cut off while it was wrong"
            );
        }
        UnixMillis(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn time_stands_still_for_small_steps_back_and_follows_large_ones() {
        let wall = Arc::new(AtomicI64::new(10_000_000));
        let read = Arc::clone(&wall);
        let clock: Clock = Arc::new(move || UnixMillis(read.load(Ordering::Relaxed)));
        let time = MarkTime::new(clock, UnixMillis(0));
        let day = 24 * 3_600_000;
        for (wall_says, mark) in [
            (10_000_000, 10_000_000),
            (9_999_000, 10_000_000),
            (10_000_000 - CLOCK_STEP_MILLIS_MAX, 10_000_000),
            (10_000_001, 10_000_001),
            (10_000_001 - day, 10_000_001 - day),
            (10_000_000 - day, 10_000_001 - day),
        ] {
            wall.store(wall_says, Ordering::Relaxed);
            assert_eq!(time.now(), UnixMillis(mark), "clock at {wall_says}");
        }
    }
}
