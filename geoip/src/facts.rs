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
}

impl Facts {
    /// Adds what `later` knows and this lacks. One fact is not first come, first served: where any
    /// file says that the address hides someone, it does.
    pub(crate) fn fill_from(&mut self, later: &Self) {
        self.country = self.country.or(later.country);
        self.continent = self.continent.or(later.continent);
        // Number and name come from one file, so that they speak of the same network.
        if self.asn.is_none() && self.organization.is_none() {
            self.asn = later.asn;
            self.organization.clone_from(&later.organization);
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
        };
        first.fill_from(&later);
        assert_eq!(first, Facts { country: Alpha2::new("DE"), ..later.clone() });

        let mut numbered = Facts { asn: Some(64_500), ..Facts::default() };
        numbered.fill_from(&later);
        assert_eq!((numbered.asn, numbered.organization), (Some(64_500), None), "a name of another network");
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
