//! Where a request comes from.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::principal::IdError;

/// A country by its ISO 3166-1 alpha-2 code; `ZZ` where it is not known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Not known. ISO 3166-1 keeps `ZZ` free for such use.
    pub const UNKNOWN: Self = Self(*b"ZZ");

    /// Reads a code in either case.
    ///
    /// # Errors
    /// When it is not two ASCII letters.
    pub fn new(code: &str) -> Result<Self, IdError> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(IdError::Other {
                value: code.chars().take(40).collect(),
                what: "a country code",
                rule: "use the two letters of ISO 3166-1, such as `DE`",
            }),
        }
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether something is so, where "nobody knows" is a third answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// No source says.
    #[default]
    Unknown,
}

/// A point on the earth, and how far off it may be. In whole thousandths of a degree, about 100 m, so that
/// it is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// North of the equator, in thousandths of a degree.
    pub latitude_milli: i32,
    /// East of Greenwich, in thousandths of a degree.
    pub longitude_milli: i32,
    /// Within how many kilometers the address is, by the database's own word.
    pub radius_km: u16,
}

/// Where a request comes from, as far as the gateway can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address of the client, behind the proxies that are trusted.
    pub ip: IpAddr,
    /// The named networks that hold the address.
    pub networks: BTreeSet<String>,
    /// The country.
    pub country: CountryCode,
    /// The continent's two letters, if known.
    pub continent: Option<String>,
    /// The number of the autonomous system, if known.
    pub asn: Option<u32>,
    /// The address belongs to a VPN, a proxy, Tor or a hosting range.
    pub anonymizer: Presence,
    /// The point, where a database tells one.
    pub location: Option<Location>,
}
