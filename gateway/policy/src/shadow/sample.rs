//! Which share of the requests is asked about.

use std::fmt;
use std::str::FromStr;

/// A share of all requests: more than none, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample(u32);

/// All of them.
const WHOLE: u32 = 1_000_000;

/// The digits behind the point that a percentage may have.
const DIGITS: usize = 4;

/// What is left of 2^32 by the golden ratio: multiples of it, without what is above 2^32, lie as evenly as can be.
const GOLDEN: u64 = 2_654_435_769;

impl Sample {
    /// All requests.
    pub const ALL: Self = Self(WHOLE);

    /// The share as a percentage.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE / 100)
    }

    /// Whether the request with this number is among them. Of any run of numbers it is about the share, also
    /// where every tenth request is of one kind.
    pub(super) const fn takes(self, number: u64) -> bool {
        let spread = number.wrapping_mul(GOLDEN) & 0xFFFF_FFFF;
        (spread * WHOLE as u64) >> 32 < self.0 as u64
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

/// Why a text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSample;

impl fmt::Display for NoSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a percentage of more than 0 and at most 100, such as `10%` or `0.5%`")
    }
}

impl std::error::Error for NoSample {}

/// `10%`, `0.5%`, `10`.
impl FromStr for Sample {
    type Err = NoSample;

    fn from_str(text: &str) -> Result<Self, NoSample> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !digits(whole, 3) || !digits(part, DIGITS) {
            return Err(NoSample);
        }
        let millionths: u32 = format!("{whole}{part:0<DIGITS$}").parse().map_err(|_| NoSample)?;
        (1..=WHOLE).contains(&millionths).then_some(Self(millionths)).ok_or(NoSample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage() {
        for (text, millionths) in [
            ("100%", 1_000_000),
            ("100", 1_000_000),
            ("10%", 100_000),
            ("0.5%", 5000),
            ("12.25", 122_500),
            ("0.0001%", 1),
        ] {
            let sample: Sample = text.parse().unwrap();
            assert_eq!(sample.0, millionths, "{text}");
            assert_eq!(sample.to_string().parse(), Ok(sample));
        }
        for bad in [
            "", "%", "0", "0%", "0.00001%", "100.1%", "101", "-1", "1e1", "1.", ".5", "1 %", "10%%", "9999",
            "٣",
        ] {
            assert_eq!(bad.parse::<Sample>(), Err(NoSample), "{bad}");
        }
    }

    /// Also of every tenth request, and of any stretch of them.
    #[test]
    fn the_share_is_what_is_taken() {
        for (text, share) in [("100%", 1.0), ("50%", 0.5), ("10%", 0.1), ("1%", 0.01)] {
            let sample: Sample = text.parse().unwrap();
            for (first, step) in [(0, 1), (12_345, 1), (3, 10), (u64::from(u32::MAX) - 5000, 7)] {
                let taken = (0..10_000).filter(|n| sample.takes(first + n * step)).count();
                let expect = share * 10_000.0;
                assert!((taken as f64 - expect).abs() <= 30.0, "{text} from {first} by {step}: {taken}");
            }
        }
    }
}
