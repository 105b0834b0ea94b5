//! Notices a writer that does not come back from the disk.
//!
//! A disk that hangs returns no error: the writer waits in `fdatasync`, and nothing that it would
//! say is said. So it leaves a mark with every step, and a second thread, which does no I/O,
//! counts beats since the last one. Beats and not the clock: a clock can be set.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::config::STALL_SECONDS_MAX;

/// How often the thread looks.
const BEAT: Duration = Duration::from_millis(100);
/// So many beats without a step mean that the disk hangs.
const BEATS_MAX: u32 = STALL_SECONDS_MAX * 10;

/// The steps of the writer, and the beats since the last one.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    at_work: AtomicBool,
    missed: AtomicU32,
}

impl Pulse {
    /// The writer begins something that may hang.
    pub(crate) fn step(&self) {
        self.missed.store(0, Ordering::Release);
        self.at_work.store(true, Ordering::Release);
    }

    /// The writer has nothing to do.
    pub(crate) fn rest(&self) {
        self.at_work.store(false, Ordering::Release);
        self.missed.store(0, Ordering::Release);
    }

    /// Whether the writer has been in one step for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.missed.load(Ordering::Acquire) > BEATS_MAX
    }

    fn beat(&self) {
        if self.at_work.load(Ordering::Acquire) {
            // One thread adds; a step in between is at worst counted one beat late.
            let missed = self.missed.load(Ordering::Acquire);
            let _ = self.missed.compare_exchange(
                missed,
                missed.saturating_add(1),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
    }

    /// Beats until `stop` is closed. `stalled` is called with every beat while the disk hangs.
    pub(crate) fn watch(&self, stop: &Receiver<()>, stalled: impl Fn()) {
        let mut told = false;
        while stop.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            self.beat();
            match (self.is_stalled(), told) {
                (true, false) => {
                    let seconds = STALL_SECONDS_MAX;
                    tracing::error!(
                        seconds,
                        "the audit disk does not answer: grants are refused until it does"
                    );
                }
                (false, true) => tracing::info!("the audit disk answers again"),
                (true, true) | (false, false) => {}
            }
            told = self.is_stalled();
            if told {
                stalled();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_takes_no_step_has_stalled_and_one_that_rests_has_not() {
        let pulse = Pulse::default();
        (0..1000).for_each(|_| pulse.beat());
        assert!(!pulse.is_stalled(), "nothing to do is no stall");
        pulse.step();
        (0..BEATS_MAX).for_each(|_| pulse.beat());
        assert!(!pulse.is_stalled());
        pulse.beat();
        assert!(pulse.is_stalled());
        pulse.step();
        assert!(!pulse.is_stalled(), "it came back");
        (0..1000).for_each(|_| pulse.beat());
        pulse.rest();
        assert!(!pulse.is_stalled());
    }
}
