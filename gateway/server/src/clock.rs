//! The only place that looks at a clock. Everything else is told what time it is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use doorward_model::UnixMillis;
use doorward_model::time::{Clock, Clocks, Uptime};

/// The time of day. A clock that stands before 1970 counts as 1970, which makes every credential
/// come from the future and so be refused.
#[must_use]
pub fn now() -> UnixMillis {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that others are given")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

/// [`now`] in the form that other crates take.
#[must_use]
pub fn system() -> Clock {
    Arc::new(now)
}

/// How long the machine has been up, suspend included (`CLOCK_BOOTTIME`), in the form that other
/// crates take.
#[must_use]
pub fn uptime() -> Uptime {
    Arc::new(|| {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = Duration::from_secs(u64::try_from(up.tv_sec).unwrap_or(0));
        seconds + Duration::from_nanos(u64::try_from(up.tv_nsec).unwrap_or(0))
    })
}

/// Both clocks.
#[must_use]
pub fn clocks() -> Clocks {
    Clocks { wall: system(), uptime: uptime() }
}

/// Measures how long something takes; not moved by corrections of the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[must_use]
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that others are given")]
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_after_this_was_written_and_does_not_run_backwards() {
        let first = now();
        assert!(first > UnixMillis(1_767_225_600_000), "{first:?}");
        assert!(system()() >= first);
        let up = uptime();
        let before = up();
        assert!(before > Duration::ZERO && up() >= before);
        assert!(Stopwatch::start().elapsed() < Duration::from_secs(60));
    }
}
