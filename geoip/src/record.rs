//! One record as the files write it: MaxMind's nested layout and the flat one.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::facts::{Alpha2, Facts, Point};

/// Every field of every layout that this crate reads. Fields of another type than expected count
/// as absent, because layouts use one name for different things.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    // GeoLite2 and GeoIP2, Country and City; flat files write plain text.
    country: Option<Place>,
    continent: Option<Place>,
    traits: Option<Traits>,
    // GeoLite2 and GeoIP2, City.
    location: Option<Spot>,
    // Flat.
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
    country_code: Option<Scalar>,
    continent_code: Option<Scalar>,
    asn: Option<Scalar>,
    as_name: Option<Scalar>,
    as_organization: Option<Scalar>,
    // GeoLite2 ASN, and flat.
    autonomous_system_number: Option<Scalar>,
    autonomous_system_organization: Option<Scalar>,
    // GeoIP2 Anonymous IP.
    is_anonymous: Option<Scalar>,
    is_anonymous_vpn: Option<Scalar>,
    is_hosting_provider: Option<Scalar>,
    is_public_proxy: Option<Scalar>,
    is_residential_proxy: Option<Scalar>,
    is_tor_exit_node: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Place {
    /// First, because a list would otherwise be taken for the fields of [`Nested`] in order.
    List(#[expect(dead_code, reason = "only its kind matters")] Vec<IgnoredAny>),
    Nested(Nested),
    Text(String),
    Other(IgnoredAny),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Nested {
    iso_code: Option<Scalar>,
    code: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Traits {
    List(#[expect(dead_code, reason = "only its kind matters")] Vec<IgnoredAny>),
    Nested(Box<TraitFields>),
    Other(IgnoredAny),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TraitFields {
    autonomous_system_number: Option<Scalar>,
    autonomous_system_organization: Option<Scalar>,
    is_anonymous: Option<Scalar>,
    is_anonymous_proxy: Option<Scalar>,
    is_anonymous_vpn: Option<Scalar>,
    is_hosting_provider: Option<Scalar>,
    is_public_proxy: Option<Scalar>,
    is_residential_proxy: Option<Scalar>,
    is_tor_exit_node: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Spot {
    List(#[expect(dead_code, reason = "only its kind matters")] Vec<IgnoredAny>),
    Nested(SpotFields),
    Other(IgnoredAny),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpotFields {
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
    accuracy_radius: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Degrees {
    Number(f64),
    Text(String),
    Other(IgnoredAny),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Number(u64),
    Text(String),
    Other(IgnoredAny),
}

// === impl Record ===

impl Record {
    /// What it says.
    pub(crate) fn facts(self) -> Facts {
        let point = self.point();
        let traits = match self.traits {
            Some(Traits::Nested(fields)) => *fields,
            Some(Traits::List(_) | Traits::Other(_)) | None => TraitFields::default(),
        };
        let country = self.country.as_ref().and_then(Place::text);
        let continent = self.continent.as_ref().and_then(Place::text);
        let numbers = [&self.autonomous_system_number, &self.asn, &traits.autonomous_system_number];
        let names = [
            &self.autonomous_system_organization,
            &self.as_organization,
            &self.as_name,
            &traits.autonomous_system_organization,
        ];
        let flags = [
            &self.is_anonymous,
            &self.is_anonymous_vpn,
            &self.is_hosting_provider,
            &self.is_public_proxy,
            &self.is_residential_proxy,
            &self.is_tor_exit_node,
            &traits.is_anonymous,
            &traits.is_anonymous_proxy,
            &traits.is_anonymous_vpn,
            &traits.is_hosting_provider,
            &traits.is_public_proxy,
            &traits.is_residential_proxy,
            &traits.is_tor_exit_node,
        ];
        let hides = flags.into_iter().flatten().any(|f| matches!(f, Scalar::Flag(true)));
        // Only the general flag of the record itself says no, and only when nothing beside it is
        // unreadable. MaxMind leaves false flags out; but that an address is listed without a flag
        // that we know is no reason to trust it, even in a file that lists nothing but anonymizers:
        // the flag may be newer than we are.
        let unreadable = flags.into_iter().flatten().any(|f| !matches!(f, Scalar::Flag(_)));
        let says_no = matches!(self.is_anonymous, Some(Scalar::Flag(false))) && !unreadable;
        Facts {
            country: country
                .and_then(Alpha2::country)
                .or_else(|| text(self.country_code.as_ref()).and_then(Alpha2::country)),
            continent: continent
                .and_then(Alpha2::new)
                .or_else(|| text(self.continent_code.as_ref()).and_then(Alpha2::new)),
            asn: numbers.into_iter().flatten().find_map(Scalar::as_number),
            organization: names.into_iter().find_map(|n| text(n.as_ref())).map(organization),
            anonymizer: if hides {
                Some(true)
            } else if says_no {
                Some(false)
            } else {
                None
            },
            point,
        }
    }

    /// Both degrees, from one layout.
    fn point(&self) -> Option<Point> {
        let (latitude, longitude, radius) = match &self.location {
            Some(Spot::Nested(spot)) => (&spot.latitude, &spot.longitude, spot.accuracy_radius.as_ref()),
            Some(Spot::List(_) | Spot::Other(_)) | None => (&self.latitude, &self.longitude, None),
        };
        let radius = radius.and_then(Scalar::as_kilometers);
        Point::new(latitude.as_ref()?.as_number()?, longitude.as_ref()?.as_number()?, radius)
    }
}

// === impl Degrees ===

impl Degrees {
    fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(degrees) => Some(*degrees),
            Self::Text(text) => text.parse().ok(),
            Self::Other(_) => None,
        }
    }
}

// === impl Place ===

impl Place {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Nested(nested) => text(nested.iso_code.as_ref().or(nested.code.as_ref())),
            Self::Text(text) => Some(text),
            Self::List(_) | Self::Other(_) => None,
        }
    }
}

// === impl Scalar ===

impl Scalar {
    /// An ASN: `64496`, `"64496"` or `"AS64496"`. Zero is nobody's number (RFC 7607).
    fn as_number(&self) -> Option<u32> {
        let number = match self {
            Self::Number(n) => u32::try_from(*n).ok(),
            Self::Text(text) => {
                let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
                digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
            }
            Self::Flag(_) | Self::Other(_) => None,
        };
        number.filter(|n| *n != 0)
    }

    /// A radius; what is larger than the earth is as large as it.
    fn as_kilometers(&self) -> Option<u16> {
        match self {
            Self::Number(n) => Some(u16::try_from(*n).unwrap_or(u16::MAX)),
            Self::Text(_) | Self::Flag(_) | Self::Other(_) => None,
        }
    }
}

fn text(scalar: Option<&Scalar>) -> Option<&str> {
    match scalar {
        Some(Scalar::Text(text)) if !text.is_empty() => Some(text),
        Some(Scalar::Text(_) | Scalar::Flag(_) | Scalar::Number(_) | Scalar::Other(_)) | None => None,
    }
}

/// Names are free text from a registry: control characters out, and not longer than a line.
fn organization(name: &str) -> Arc<str> {
    name.chars().filter(|c| !c.is_control()).take(128).collect::<String>().into()
}
