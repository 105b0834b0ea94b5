//! What the files say of one address.

use std::fmt;
use std::sync::Arc;

/// Two upper-case ASCII letters: a country of ISO 3166-1, or a continent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alpha2([u8; 2]);

impl Alpha2 {
    /// Reads two letters in either case; anything else is `None`.
    #[must_use]
    pub const fn new(code: &str) -> Option<Self> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// Reads a country. Codes that files use for "somewhere" are `None`: `ZZ` and `XX` (unknown),
    /// the regions `EU` and `AP`, and `AN`, which ceased to be a country in 2010 and became five.
    #[must_use]
    pub fn country(code: &str) -> Option<Self> {
        Self::new(code).filter(|c| !matches!(&c.0, b"ZZ" | b"XX" | b"EU" | b"AP" | b"AN"))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The bytes are ASCII letters by construction, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }
}

impl fmt::Display for Alpha2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Alpha2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the files say of one address; `None` where none of them says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Where the address is used. MaxMind's `registered_country`, the country of the company that
    /// holds the range, does not stand in for it: a rule that admits one country would then admit a
    /// satellite link or an anycast range from anywhere. Without `country`, it is unknown.
    pub country: Option<Alpha2>,
    /// The continent, in MaxMind's codes: `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`.
    pub continent: Option<Alpha2>,
    /// The number of the autonomous system that announces the range.
    pub asn: Option<u32>,
    /// Who runs that autonomous system.
    pub organization: Option<Arc<str>>,
    /// The address belongs to a VPN, a proxy, Tor or a hosting range. `Some(false)` only where a
    /// file that is made to answer this question does not list the address.
    pub anonymizer: Option<bool>,
    /// The point, which city editions tell.
    pub point: Option<Point>,
}

/// A point on the earth, and how far off it may be. In whole thousandths of a degree, about 100 m, so that it
/// is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// North of the equator, in thousandths of a degree: -90000 to 90000.
    pub latitude_milli: i32,
    /// East of Greenwich, in thousandths of a degree: -180000 to 180000.
    pub longitude_milli: i32,
    /// Within how many kilometers the address is, by the file's own word. A file that gives a point and no
    /// word is taken to mean [`RADIUS_KM`](Point::RADIUS_KM).
    pub radius_km: u16,
}

impl Point {
    /// How far off a point may be where the file does not say.
    pub const RADIUS_KM: u16 = 200;

    /// Reads degrees; what is on no globe is `None`.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64, radius_km: Option<u16>) -> Option<Self> {
        let milli = |degrees: f64, max: f64| {
            let fits = degrees.is_finite() && degrees.abs() <= max;
            #[expect(clippy::cast_possible_truncation, reason = "at most 180000")]
            fits.then(|| (degrees * 1000.0).round() as i32)
        };
        Some(Self {
            latitude_milli: milli(latitude, 90.0)?,
            longitude_milli: milli(longitude, 180.0)?,
            radius_km: radius_km.unwrap_or(Self::RADIUS_KM),
        })
    }
}

impl Facts {
    /// Adds what `later` knows and this lacks, but nothing that could contradict what is known.
    /// One fact is not first come, first served: where any file says that the address hides
    /// someone, it does.
    pub(crate) fn fill_from(&mut self, later: &Self) {
        // So does a point, and nothing is gained by one without a country.
        if self.country.is_none() || self.country == later.country {
            self.point = self.point.or(later.point);
        }
        // A continent goes with its country: it comes from a file that told this country, or from
        // the first that told one where no file told a country.
        match (self.country, later.country) {
            (None, Some(_)) => (self.country, self.continent) = (later.country, later.continent),
            (first, second) if first == second => self.continent = self.continent.or(later.continent),
            (_, _) => {}
        }
        // A name goes with its number in the same way.
        match (self.asn, later.asn) {
            (None, Some(_)) => {
                self.asn = later.asn;
                self.organization.clone_from(&later.organization);
            }
            (first, second) if first == second && self.organization.is_none() => {
                self.organization.clone_from(&later.organization);
            }
            (_, _) => {}
        }
        self.anonymizer = match (self.anonymizer, later.anonymizer) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (first, second) => first.or(second),
        };
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_letters_are_a_code() {
        for (text, code) in [
            ("DE", Some("DE")),
            ("de", Some("DE")),
            ("", None),
            ("D", None),
            ("DEU", None),
            ("D1", None),
            ("É", None),
        ] {
            assert_eq!(Alpha2::new(text).map(|c| c.to_string()).as_deref(), code, "{text}");
        }
        for nowhere in ["ZZ", "zz", "XX", "EU", "AP", "AN"] {
            assert_eq!(Alpha2::country(nowhere), None);
        }
        assert!(Alpha2::country("XK").is_some(), "Kosovo is in wide use");
    }

    #[test]
    fn a_later_file_adds_and_never_overrides() {
        let mut first = Facts { country: Alpha2::new("DE"), anonymizer: Some(false), ..Facts::default() };
        let later = Facts {
            country: Alpha2::new("FR"),
            continent: Alpha2::new("EU"),
            asn: Some(64_496),
            organization: Some("Example".into()),
            anonymizer: Some(true),
            point: Point::new(48.8566, 2.3522, Some(20)),
        };
        first.fill_from(&later);
        assert_eq!(first, Facts { country: Alpha2::new("DE"), continent: None, point: None, ..later });
    }

    /// A point in France is not where somebody in Germany is.
    #[test]
    fn a_point_goes_with_its_country() {
        let at = |country: &str, latitude: f64| Facts {
            country: Alpha2::new(country),
            point: Point::new(latitude, 8.0, None),
            ..Facts::default()
        };
        let no_point = |country: &str| Facts { country: Alpha2::new(country), ..Facts::default() };
        for (mut first, later, latitude) in [
            (no_point("DE"), at("DE", 50.0), Some(50_000)),
            (no_point("DE"), at("FR", 50.0), None),
            (no_point(""), at("FR", 50.0), Some(50_000)),
            (no_point("DE"), at("", 50.0), None),
            (at("DE", 51.0), at("DE", 50.0), Some(51_000)),
        ] {
            first.fill_from(&later);
            assert_eq!(first.point.map(|p| p.latitude_milli), latitude);
        }
    }

    #[test]
    fn what_is_on_no_globe_is_no_point() {
        assert_eq!(
            Point::new(-33.86785, 151.20732, Some(5)),
            Some(Point { latitude_milli: -33_868, longitude_milli: 151_207, radius_km: 5 })
        );
        assert_eq!(Point::new(0.0, 0.0, None).map(|p| p.radius_km), Some(Point::RADIUS_KM));
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.1), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Point::new(latitude, longitude, None), None);
        }
    }

    /// Brazil is not in Europe, and the name of one network is not that of another.
    #[test]
    fn what_is_merged_does_not_contradict_itself() {
        let two = |country: &str, continent: &str| Facts {
            country: Alpha2::new(country),
            continent: Alpha2::new(continent),
            ..Facts::default()
        };
        for (first, later, both) in [
            (("BR", ""), ("DE", "EU"), ("BR", "")),
            (("BR", ""), ("BR", "SA"), ("BR", "SA")),
            (("BR", "SA"), ("DE", "EU"), ("BR", "SA")),
            (("BR", ""), ("", "EU"), ("BR", "")),
            (("", "EU"), ("BR", ""), ("BR", "")),
            (("", "EU"), ("BR", "SA"), ("BR", "SA")),
            (("", ""), ("", "EU"), ("", "EU")),
            (("", "SA"), ("", "EU"), ("", "SA")),
        ] {
            let mut facts = two(first.0, first.1);
            facts.fill_from(&two(later.0, later.1));
            assert_eq!(facts, two(both.0, both.1), "{first:?} {later:?}");
        }
        let net = |asn: u32, name: &str| Facts {
            asn: Some(asn).filter(|n| *n != 0),
            organization: Some(name).filter(|n| !n.is_empty()).map(Arc::from),
            ..Facts::default()
        };
        for (first, later, both) in [
            ((64_496, ""), (64_497, "Other"), (64_496, "")),
            ((64_496, ""), (64_496, "Example"), (64_496, "Example")),
            ((64_496, ""), (0, "Other"), (64_496, "")),
            ((0, "Other"), (64_496, "Example"), (64_496, "Example")),
            ((0, "Other"), (64_496, ""), (64_496, "")),
            ((0, ""), (0, "Example"), (0, "Example")),
            ((0, "First"), (0, "Later"), (0, "First")),
        ] {
            let mut facts = net(first.0, first.1);
            facts.fill_from(&net(later.0, later.1));
            assert_eq!(facts, net(both.0, both.1), "{first:?} {later:?}");
        }
    }

    #[test]
    fn a_no_never_hides_a_yes() {
        for (first, later, both) in [
            (Some(true), Some(false), Some(true)),
            (Some(false), Some(true), Some(true)),
            (None, Some(false), Some(false)),
            (Some(false), None, Some(false)),
            (None, None, None),
        ] {
            let mut facts = Facts { anonymizer: first, ..Facts::default() };
            facts.fill_from(&Facts { anonymizer: later, ..Facts::default() });
            assert_eq!(facts.anonymizer, both);
        }
    }
}
