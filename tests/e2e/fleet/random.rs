//! Numbers that look random and are the same in every run, so that a failure can be repeated.

use std::ops::Range;
use std::time::Duration;

/// A generator (`splitmix64`).
pub(crate) struct Random(u64);

impl Random {
    /// The one of a seed, another for each name.
    pub(crate) fn seeded(name: &str, seed: u64) -> Self {
        let named = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(named.wrapping_add(seed))
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of these.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// So many milliseconds.
    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// The number of one of so many things.
    pub(crate) fn one_of(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}
