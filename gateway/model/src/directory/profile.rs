//! What is said of a person, apart from their standing.

use std::collections::BTreeMap;

use crate::lifecycle::Employment;
use crate::place::CountryCode;
use crate::time::UnixMillis;

/// An e-mail address. Says where to write to, never who someone is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Email {
    /// The address, as it was sent.
    pub address: String,
    /// Somebody who may speak for its domain proved that it is this person's.
    pub verified: bool,
    /// The one to write to.
    pub primary: bool,
}

impl Email {
    /// Whether it is the same mailbox as `address`, as far as ASCII case goes.
    #[must_use]
    pub fn is(&self, address: &str) -> bool {
        self.address.eq_ignore_ascii_case(address)
    }

    /// What stands behind the last `@`; empty where there is none.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// What is said of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What the source calls them (RFC 7643 §4.1.1, `userName`). Unique within a source; compared
    /// without regard to case.
    pub user_name: String,
    /// A name to show, never to decide on.
    pub name: Option<String>,
    /// Their addresses.
    pub emails: Vec<Email>,
    /// The department, if anybody says.
    pub department: Option<String>,
    /// The kind of contract.
    pub employment: Employment,
    /// The first day. Before it a person who joins is only staged.
    pub starts_at: Option<UnixMillis>,
    /// When the contract ends.
    pub contract_end: Option<UnixMillis>,
    /// The country that the person works from; `ZZ` when unknown.
    pub home_country: CountryCode,
    /// Further facts that policies may ask for, by name.
    pub tags: BTreeMap<String, String>,
}

impl Profile {
    /// A profile of which nothing but the name in the source is known.
    #[must_use]
    pub const fn named(user_name: String) -> Self {
        Self {
            user_name,
            name: None,
            emails: Vec::new(),
            department: None,
            employment: Employment::Unknown,
            starts_at: None,
            contract_end: None,
            home_country: CountryCode::UNKNOWN,
            tags: BTreeMap::new(),
        }
    }

    /// The address to show: the verified one, the primary before others.
    #[must_use]
    pub fn verified_email(&self) -> Option<&str> {
        let mut verified = self.emails.iter().filter(|email| email.verified);
        let primary = verified.clone().find(|email| email.primary);
        primary.or_else(|| verified.next()).map(|email| email.address.as_str())
    }

    /// The fields in which both differ, in order.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<ProfileField> {
        ProfileField::ALL.into_iter().filter(|field| !field.is_equal(self, other)).collect()
    }
}

/// One field of a [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileField {
    /// See [`Profile::user_name`].
    UserName,
    /// See [`Profile::name`].
    Name,
    /// See [`Profile::emails`].
    Emails,
    /// See [`Profile::department`].
    Department,
    /// See [`Profile::employment`].
    Employment,
    /// See [`Profile::starts_at`].
    StartsAt,
    /// See [`Profile::contract_end`].
    ContractEnd,
    /// See [`Profile::home_country`].
    HomeCountry,
    /// See [`Profile::tags`].
    Tags,
}

impl ProfileField {
    /// Every field.
    pub const ALL: [Self; 9] = [
        Self::UserName,
        Self::Name,
        Self::Emails,
        Self::Department,
        Self::Employment,
        Self::StartsAt,
        Self::ContractEnd,
        Self::HomeCountry,
        Self::Tags,
    ];

    /// The word for it in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserName => "user_name",
            Self::Name => "name",
            Self::Emails => "emails",
            Self::Department => "department",
            Self::Employment => "employment",
            Self::StartsAt => "starts_at",
            Self::ContractEnd => "contract_end",
            Self::HomeCountry => "home_country",
            Self::Tags => "tags",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == word)
    }

    /// The field's value in words, for the log. Empty where nothing is said.
    #[must_use]
    pub fn text(self, profile: &Profile) -> String {
        let instant = |at: Option<UnixMillis>| at.map_or_else(String::new, |at| at.0.to_string());
        match self {
            Self::UserName => profile.user_name.clone(),
            Self::Name => profile.name.clone().unwrap_or_default(),
            Self::Emails => {
                let email = |e: &Email| {
                    let (verified, primary) = (e.verified, e.primary);
                    let words = [(verified, " (verified)"), (primary, " (primary)")];
                    let words = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word);
                    [e.address.as_str()].into_iter().chain(words).collect::<String>()
                };
                profile.emails.iter().map(email).collect::<Vec<_>>().join(", ")
            }
            Self::Department => profile.department.clone().unwrap_or_default(),
            Self::Employment => profile.employment.as_str().to_owned(),
            Self::StartsAt => instant(profile.starts_at),
            Self::ContractEnd => instant(profile.contract_end),
            Self::HomeCountry => profile.home_country.to_string(),
            Self::Tags => profile
                .tags
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    fn is_equal(self, a: &Profile, b: &Profile) -> bool {
        match self {
            Self::UserName => a.user_name == b.user_name,
            Self::Name => a.name == b.name,
            Self::Emails => a.emails == b.emails,
            Self::Department => a.department == b.department,
            Self::Employment => a.employment == b.employment,
            Self::StartsAt => a.starts_at == b.starts_at,
            Self::ContractEnd => a.contract_end == b.contract_end,
            Self::HomeCountry => a.home_country == b.home_country,
            Self::Tags => a.tags == b.tags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(address: &str, verified: bool, primary: bool) -> Email {
        Email { address: address.to_owned(), verified, primary }
    }

    #[test]
    fn only_a_verified_address_is_shown() {
        let mut profile = Profile::named("alice".to_owned());
        profile.emails = vec![email("a@home.example", true, false), email("a@corp.example", false, true)];
        assert_eq!(profile.verified_email(), Some("a@home.example"));
        profile.emails.push(email("alice@corp.example", true, true));
        assert_eq!(profile.verified_email(), Some("alice@corp.example"));
        assert_eq!(email("x", true, true).domain(), "");
        assert!(email("Alice@Corp.example", true, true).is("alice@corp.EXAMPLE"));
    }

    #[test]
    fn every_field_is_compared_and_told() {
        let old = Profile::named("alice".to_owned());
        let new = Profile {
            user_name: "alice2".to_owned(),
            name: Some("Alice".to_owned()),
            emails: vec![email("a@corp.example", true, true)],
            department: Some("sales".to_owned()),
            employment: Employment::Employee,
            starts_at: Some(UnixMillis(1)),
            contract_end: Some(UnixMillis(2)),
            home_country: CountryCode::new("DE").unwrap(),
            tags: BTreeMap::from([("cost".to_owned(), "42".to_owned())]),
        };
        assert_eq!(old.differences(&new), ProfileField::ALL);
        assert_eq!(new.differences(&new), []);
        for field in ProfileField::ALL {
            assert_ne!(field.text(&old), field.text(&new), "{field:?}");
            assert_eq!(ProfileField::parse(field.as_str()), Some(field));
        }
        assert_eq!(ProfileField::Emails.text(&new), "a@corp.example (verified) (primary)");
    }
}
