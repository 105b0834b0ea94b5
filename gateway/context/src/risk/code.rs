//! A history as bytes. The first byte is the version; each part has its count before it.

use doorward_model::{CountryCode, Location, RiskLevel};

use super::history::{
    COUNTRIES_MAX, DEVICES_MAX, FAILURES_MAX, History, Known, Last, NETWORKS_MAX, SIGN_INS_MAX, SPOTS_MAX,
    SignIn, Spot,
};
use super::sighting::{Device, Mark, Salt};

/// The most bytes of an encoded history: sealed it fits into the 4 KiB that the store takes.
pub const BYTES_MAX: usize = 4032;

/// The version that is written, and the only one that is read. Its marks were another kind in version 1.
const VERSION: u8 = 2;

/// Bytes that are no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no history of a person's risk, or of another version")]
pub struct Unreadable;

struct Reader<'a>(&'a [u8]);

struct Writer(Vec<u8>);

// === impl History ===

impl History {
    /// The bytes, at most [`BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(vec![VERSION]);
        out.bytes(self.salt.0);
        out.flag(self.damaged);
        out.bytes(self.successes.to_be_bytes());
        out.option(self.last.as_ref(), |out, last| {
            out.number(last.at);
            out.country(last.country);
            out.option(last.location.as_ref(), |out, at| {
                out.bytes(at.latitude_milli.to_be_bytes());
                out.bytes(at.longitude_milli.to_be_bytes());
                out.bytes(at.radius_km.to_be_bytes());
            });
        });
        out.list(&self.countries.0, |out, (country, at)| {
            out.country(*country);
            out.number(*at);
        });
        out.list(&self.networks.0, |out, (asn, at)| {
            out.number(*asn);
            out.number(*at);
        });
        out.list(&self.devices.0, |out, (device, at)| {
            out.mark(device.mark);
            out.flag(device.named);
            out.number(*at);
        });
        out.list(&self.failures, |out, at| out.number(*at));
        out.option(self.told.as_ref(), |out, (level, at)| {
            out.flag(*level == RiskLevel::High);
            out.number(*at);
        });
        out.number(self.told_low_at);
        out.list(&self.sign_ins, Writer::sign_in);
        out.list(&self.spots, Writer::spot);
        out.0
    }

    /// Reads them back.
    ///
    /// # Errors
    /// When they are not what [`encode`](Self::encode) writes, in any way.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > BYTES_MAX {
            return Err(Unreadable);
        }
        let mut from = Reader(bytes);
        let history = from.history().filter(|_| from.0.is_empty());
        // One way of writing each: whatever is read would be written the same.
        history.filter(|history| history.encode() == bytes).ok_or(Unreadable)
    }
}

// === impl Writer ===

impl Writer {
    fn bytes<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.extend_from_slice(&bytes);
    }

    fn number(&mut self, number: u32) {
        self.bytes(number.to_be_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn mark(&mut self, mark: Mark) {
        self.bytes(mark.0.to_be_bytes());
    }

    fn country(&mut self, country: CountryCode) {
        self.0.extend_from_slice(country.as_str().as_bytes());
    }

    fn option<T>(&mut self, some: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.flag(some.is_some());
        if let Some(some) = some {
            write(self, some);
        }
    }

    fn list<T>(&mut self, list: &[T], write: impl Fn(&mut Self, &T)) {
        // Every list is bounded far below.
        self.0.push(u8::try_from(list.len()).unwrap_or(u8::MAX));
        list.iter().take(usize::from(u8::MAX)).for_each(|one| write(self, one));
    }

    fn sign_in(&mut self, one: &SignIn) {
        self.mark(one.mark);
        self.option(one.asn.as_ref(), |out, asn| out.number(*asn));
        self.country(one.country);
        self.mark(one.agent);
        self.flag(one.counted);
    }

    fn spot(&mut self, one: &Spot) {
        self.mark(one.mark);
        self.number(one.at);
        self.number(one.odd);
        let flags = [one.first, one.confirmed, one.learned, one.settled];
        self.0.push(flags.into_iter().rev().fold(0, |all, flag| all << 1 | u8::from(flag)));
        self.option(one.proved_at.as_ref(), |out, at| out.number(*at));
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn history(&mut self) -> Option<History> {
        if self.bytes()? != [VERSION] {
            return None;
        }
        Some(History {
            salt: Salt(self.bytes()?),
            damaged: self.flag()?,
            successes: u16::from_be_bytes(self.bytes()?),
            last: self.option(Self::last)?,
            countries: Known(self.list(COUNTRIES_MAX, |from| Some((from.country()?, from.number()?)))?),
            networks: Known(self.list(NETWORKS_MAX, |from| Some((from.number()?, from.number()?)))?),
            devices: Known(self.list(DEVICES_MAX, |from| {
                Some((Device { mark: from.mark()?, named: from.flag()? }, from.number()?))
            })?),
            failures: self.list(FAILURES_MAX, Self::number)?,
            told: self.option(|from| {
                let level = if from.flag()? { RiskLevel::High } else { RiskLevel::Medium };
                Some((level, from.number()?))
            })?,
            told_low_at: self.number()?,
            sign_ins: self.list(SIGN_INS_MAX, Self::sign_in)?,
            spots: self.list(SPOTS_MAX, Self::spot)?,
        })
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.bytes()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }

    fn mark(&mut self) -> Option<Mark> {
        self.bytes().map(u64::from_be_bytes).map(Mark)
    }

    fn country(&mut self) -> Option<CountryCode> {
        let letters: [u8; 2] = self.bytes()?;
        CountryCode::new(std::str::from_utf8(&letters).ok()?).ok()
    }

    /// None at all is what could not be read; one none inside is that there is none.
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    fn list<T>(&mut self, max: usize, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let [count] = self.bytes()?;
        let count = usize::from(count);
        if count > max { None } else { (0..count).map(|_| read(self)).collect() }
    }

    fn last(&mut self) -> Option<Last> {
        Some(Last {
            at: self.number()?,
            country: self.country()?,
            location: self.option(|from| {
                Some(Location {
                    latitude_milli: i32::from_be_bytes(from.bytes()?),
                    longitude_milli: i32::from_be_bytes(from.bytes()?),
                    radius_km: u16::from_be_bytes(from.bytes()?),
                })
            })?,
        })
    }

    fn sign_in(&mut self) -> Option<SignIn> {
        Some(SignIn {
            mark: self.mark()?,
            asn: self.option(Self::number)?,
            country: self.country()?,
            agent: self.mark()?,
            counted: self.flag()?,
        })
    }

    fn spot(&mut self) -> Option<Spot> {
        let (mark, at, odd) = (self.mark()?, self.number()?, self.number()?);
        let [flags] = self.bytes()?;
        let proved_at = self.option(Self::number)?;
        let [first, confirmed, learned, settled] = [1, 2, 4, 8].map(|bit| flags & bit != 0);
        Some(Spot { mark, at, odd, first, confirmed, proved_at, learned, settled })
    }
}
