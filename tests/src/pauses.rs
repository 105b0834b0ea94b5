//! When the machine stood still.
//!
//! A node knows who was cut off for as long as its lease lasts, which is a second, and takes the next one in time where
//! it runs at all. What it says at the end of a pause of the whole machine is no evidence against it.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// How often it is looked.
const BEAT: Duration = Duration::from_millis(50);
/// A beat that is so late tells of a pause: half of the shortest lease of a test.
const LATE: Duration = Duration::from_millis(500);
/// How long after a pause what it broke may be broken: connections are made anew, and then a lease is asked for.
const AFTER: Duration = Duration::from_secs(3);

/// Looks at the clock until it is dropped.
pub struct Pauses {
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    /// When it was looked last.
    looked: Instant,
    /// From the last look before each pause to the first one after.
    pauses: Vec<(Instant, Instant)>,
}

impl Pauses {
    /// Begins to look.
    #[must_use]
    pub fn watch() -> Self {
        let seen = Arc::new(Mutex::new(Seen { looked: Instant::now(), pauses: Vec::new() }));
        let watched = Arc::downgrade(&seen);
        std::thread::spawn(move || look(&watched));
        Self { seen }
    }

    /// Whether the machine stood still at some moment of this time, or a little before.
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    #[must_use]
    pub fn touch(&self, from: Instant, to: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap();
        // Whoever asks may run before whoever looks does.
        seen.look();
        seen.pauses.iter().any(|(begun, over)| *begun <= to && from <= *over + AFTER)
    }
}

impl Seen {
    fn look(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.looked) > BEAT + LATE {
            self.pauses.push((self.looked, now));
        }
        self.looked = now;
    }
}

fn look(watched: &Weak<Mutex<Seen>>) {
    while let Some(seen) = watched.upgrade() {
        seen.lock().unwrap().look();
        drop(seen);
        std::thread::sleep(BEAT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_in_a_pause_or_soon_after_is_told_apart() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let seen = Seen { looked: began, pauses: vec![(at(100), at(105))] };
        let pauses = Pauses { seen: Arc::new(Mutex::new(seen)) };
        for (from, to, expected) in [
            (90, 99, false),
            (99, 101, true),
            (101, 102, true),
            (104, 110, true),
            (107, 110, true),
            (109, 110, false),
        ] {
            assert_eq!(pauses.touch(at(from), at(to)), expected, "{from} to {to}");
        }
    }

    #[test]
    fn whoever_asks_finds_a_pause_that_nobody_has_looked_at() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        let pauses = Pauses { seen: Arc::new(Mutex::new(Seen { looked: long_ago, pauses: Vec::new() })) };
        assert!(pauses.touch(Instant::now(), Instant::now()));
    }
}
