//! A request, or a sign-in, as a history sees it.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use doorward_model::{Assurance, CountryCode, DeviceId, Location, Place, UnixMillis};

use super::terms::Terms;

/// How much of a `User-Agent` tells kinds of browsers apart, in bytes.
const AGENT_BYTES_MAX: usize = 256;

/// A request, or a sign-in, of a person: from where, by what, and what their sign-in has proved.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// When.
    pub at: UnixMillis,
    /// What names the sign-in: the issuer's session, or else the token.
    pub session: &'a str,
    /// From where.
    pub place: &'a Place,
    /// The device, where somebody vouches for it.
    pub device: Option<&'a DeviceId>,
    /// `User-Agent`, which anybody can write.
    pub agent: Option<&'a str>,
    /// What the sign-in has proved.
    pub assurance: &'a Assurance,
    /// Failures from the same address (of IPv6, the same /64) by whoever it was, within 15 minutes.
    pub failures_here: u8,
}

/// Whole seconds since 1970; what lies before or too far after counts as the nearest that fits.
pub(crate) type Seconds = u32;

/// What the marks of one person are made with: whoever does not know it cannot look for another text of the same mark.
/// It is kept with the history, for as long as that lives. Its `Debug` shows nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Salt(pub(crate) [u8; Salt::BYTES]);

/// A number that stands for a text in one history: the first 64 bits of a SHA-256 of its salt and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(pub(crate) u64);

/// A device, or else a kind of browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) mark: Mark,
    /// Somebody vouches for it.
    pub(crate) named: bool,
}

// === impl Sighting ===

impl Sighting<'_> {
    pub(crate) fn seconds(&self) -> Seconds {
        seconds(self.at)
    }

    /// The second factor that the sign-in has proved, if it has: when, no later than now.
    pub(crate) fn proved_at(&self) -> Option<Seconds> {
        let at = self.assurance.mfa_at.filter(|_| self.assurance.mfa)?;
        Some(seconds(at).min(self.seconds()))
    }

    pub(crate) fn session_mark(&self, salt: &Salt) -> Mark {
        Mark::of(salt, &[self.session.as_bytes()])
    }

    /// Browsers are told apart by their kind, not by their version: digits do not count. Whoever sends no
    /// `User-Agent` is of one kind, too.
    pub(crate) fn agent_mark(&self, salt: &Salt) -> Mark {
        let agent = self.agent.unwrap_or_default().as_bytes();
        let agent = agent.get(..AGENT_BYTES_MAX).unwrap_or(agent);
        let kind: Vec<u8> = agent.iter().copied().filter(|b| !b.is_ascii_digit() && *b != b'.').collect();
        Mark::of(salt, &[b"agent", &kind])
    }

    pub(crate) fn device(&self, salt: &Salt) -> Device {
        match self.device {
            Some(id) => Device { mark: Mark::of(salt, &[b"device", id.as_str().as_bytes()]), named: true },
            None => Device { mark: self.agent_mark(salt), named: false },
        }
    }

    /// The sign-in at a place by a device. Where an address lies counts, not the address: those of one network
    /// at one place are the same, and so is whatever no database knows.
    pub(crate) fn mark(&self, salt: &Salt, terms: &Terms) -> Mark {
        let place = self.place;
        let point = place.location.map_or([0; 8], |l| {
            let [a, b, c, d] = l.latitude_milli.to_be_bytes();
            let [e, f, g, h] = l.longitude_milli.to_be_bytes();
            [a, b, c, d, e, f, g, h]
        });
        let known = [u8::from(terms.is_known(place)), u8::from(place.location.is_some())];
        let asn = place.asn.unwrap_or(0).to_be_bytes();
        let session = self.session.as_bytes();
        let device = self.device(salt).mark.0.to_be_bytes();
        Mark::of(salt, &[session, place.country.as_str().as_bytes(), &asn, &point, &known, &device])
    }
}

// === impl Salt ===

impl Salt {
    /// How many bytes it has.
    pub const BYTES: usize = 16;

    /// One of these bytes, which nobody should be able to guess.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

// === impl Mark ===

impl Mark {
    /// Of several texts, none of which can be taken for two.
    fn of(salt: &Salt, parts: &[&[u8]]) -> Self {
        let mut sum = Context::new(&SHA256);
        sum.update(&salt.0);
        for part in parts {
            sum.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            sum.update(part);
        }
        let sum = sum.finish();
        Self(sum.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
    }
}

pub(crate) fn seconds(at: UnixMillis) -> Seconds {
    u32::try_from(at.seconds().max(0)).unwrap_or(u32::MAX)
}

/// The network operator or, where nobody knows it, the country: whether both are known and differ.
pub(crate) fn is_elsewhere(a: (Option<u32>, CountryCode), b: (Option<u32>, CountryCode)) -> bool {
    match (a, b) {
        ((Some(a), _), (Some(b), _)) => a != b,
        ((_, a), (_, b)) => a != CountryCode::UNKNOWN && b != CountryCode::UNKNOWN && a != b,
    }
}

/// The shortest way over the earth between two places, less how far off both may be, in whole kilometers.
pub(crate) fn kilometers(a: Location, b: Location) -> u32 {
    const EARTH_KM: f64 = 6371.0;
    let radians = |milli: i32| (f64::from(milli) / 1000.0).to_radians();
    let (lat_a, lat_b) = (radians(a.latitude_milli), radians(b.latitude_milli));
    let half_lat = (lat_b - lat_a) / 2.0;
    let half_long = (radians(b.longitude_milli) - radians(a.longitude_milli)) / 2.0;
    let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_long.sin().powi(2);
    let way = 2.0 * EARTH_KM * h.clamp(0.0, 1.0).sqrt().asin();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to half the way round the earth"
    )]
    let way = way.round() as u32;
    way.saturating_sub(u32::from(a.radius_km)).saturating_sub(u32::from(b.radius_km))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude_milli: i32, longitude_milli: i32, radius_km: u16) -> Location {
        Location { latitude_milli, longitude_milli, radius_km }
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        let (berlin, tokyo) = (at(52_520, 13_405, 0), at(35_690, 139_692, 0));
        let (west, east) = (at(0, -179_900, 0), at(0, 179_900, 0));
        for (a, b, expect) in [
            (berlin, berlin, 0),
            (berlin, tokyo, 8916),
            (tokyo, berlin, 8916),
            (west, east, 22),
            (at(90_000, 0, 0), at(-90_000, 77_000, 0), 20_015),
            (at(52_520, 13_405, 100), at(35_690, 139_692, 200), 8616),
            (at(52_520, 13_405, u16::MAX), tokyo, 0),
        ] {
            assert_eq!(kilometers(a, b), expect, "{a:?} {b:?}");
        }
    }

    /// Kept for months: no version may call the same thing otherwise.
    #[test]
    fn marks_never_change() {
        let salt = Salt::new(*b"0123456789abcdef");
        // printf '0123456789abcdef\0\0\0\6device\0\0\0\10laptop-1' | sha256sum
        assert_eq!(Mark::of(&salt, &[b"device", b"laptop-1"]), Mark(0x3152_a2f7_8e4f_6949));
        assert_ne!(Mark::of(&salt, &[b"a", b"bc"]), Mark::of(&salt, &[b"ab", b"c"]));
        assert_ne!(Mark::of(&salt, &[b"a"]), Mark::of(&Salt::default(), &[b"a"]), "each history has its own");
        assert_eq!(format!("{salt:?}"), "Salt(..)");
    }
}
