//! When it is safe to forget what is old.
//!
//! To forget is to let in: a clock that is a year ahead for a minute would make every revoked
//! session look old. So the clock is compared with the beats of the pulse, which no clock moves,
//! and one that leaps is believed when it has stood by its word for a day of beats.

use doorward_model::UnixMillis;
use doorward_model::limits::REVOCATION_POLL_MILLIS;

const DAY_MILLIS: u64 = 24 * 3600 * 1000;
/// How far the clock may be ahead of what is expected.
const LEAP_MILLIS_MAX: i64 = 24 * 3600 * 1000;
const BEATS_OF_DAY: u64 = DAY_MILLIS / REVOCATION_POLL_MILLIS;
/// How often there is something to forget: every hour.
const EVERY_BEATS: u64 = BEATS_OF_DAY / 24;

pub(crate) struct Forgetting {
    /// The last time that was believed, and the beat at which it was.
    believed: (UnixMillis, u64),
    /// Since which beat the clock says something that is not believed.
    leapt_at: Option<u64>,
    /// The beat at which everything old had been forgotten.
    done_at: Option<u64>,
}

impl Forgetting {
    /// Believes the newest row of the log at first.
    pub(crate) const fn new(newest: UnixMillis) -> Self {
        Self { believed: (newest, 0), leapt_at: None, done_at: None }
    }

    /// Whether it is time again.
    pub(crate) fn is_due(&self, beat: u64) -> bool {
        self.done_at.is_none_or(|at| beat.saturating_sub(at) >= EVERY_BEATS)
    }

    /// Whether the quiet moment that it waits for does not come.
    pub(crate) fn is_overdue(&self, beat: u64) -> bool {
        beat.saturating_sub(self.done_at.unwrap_or(0)) >= 2 * EVERY_BEATS
    }

    pub(crate) const fn done(&mut self, beat: u64) {
        self.done_at = Some(beat);
    }

    /// Looks at the clock, and says whether it may be believed. Must be asked now and then.
    pub(crate) fn believes(&mut self, now: UnixMillis, beat: u64) -> bool {
        let (time, at) = self.believed;
        let passed = beat.saturating_sub(at).saturating_mul(REVOCATION_POLL_MILLIS);
        let expected = time.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        let leapt = now.0.saturating_sub(expected) > LEAP_MILLIS_MAX;
        if leapt {
            let since = *self.leapt_at.get_or_insert_with(|| {
                tracing::warn!(
                    "the clock is more than a day ahead of the newest revocation: old sessions and tokens \
                     are not forgotten before it has said so for a day"
                );
                beat
            });
            if beat.saturating_sub(since) < BEATS_OF_DAY {
                return false;
            }
        }
        self.leapt_at = None;
        self.believed = (now, beat);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    #[test]
    fn a_clock_that_leaps_is_believed_after_a_day_of_saying_so() {
        let mut forgetting = Forgetting::new(UnixMillis(1000 * DAY));
        for (day, beat, believed) in [
            (1000, 0, true),
            // A year ahead for some minutes, and back.
            (1400, 600, false),
            (1400, 1200, false),
            (1000, 1800, true),
            // Ahead again: the first time does not count.
            (1400, BEATS_OF_DAY, false),
            (1400, 2 * BEATS_OF_DAY - 1, false),
            (1401, 2 * BEATS_OF_DAY, true),
            (1401, 2 * BEATS_OF_DAY + 1, true),
            // Time that passes is not a leap, and a clock that is set back is no danger.
            (1431, 32 * BEATS_OF_DAY, true),
            (900, 32 * BEATS_OF_DAY, true),
        ] {
            assert_eq!(forgetting.believes(UnixMillis(day * DAY), beat), believed, "day {day}, beat {beat}");
        }
    }

    #[test]
    fn it_is_due_every_hour_of_beats() {
        let mut forgetting = Forgetting::new(UnixMillis(0));
        assert!(forgetting.is_due(0));
        forgetting.done(5);
        assert!(!forgetting.is_due(6) && !forgetting.is_due(4));
        assert!(!forgetting.is_overdue(2 * EVERY_BEATS) && forgetting.is_overdue(5 + 2 * EVERY_BEATS));
        assert!(!forgetting.is_due(5 + EVERY_BEATS - 1) && forgetting.is_due(5 + EVERY_BEATS));
    }
}
