//! What an operator says of a person, as JSON.

use std::collections::BTreeMap;

use doorward_model::directory::{Email, Profile};
use doorward_model::{CountryCode, Employment, UnixMillis};

use crate::problem::Mistake;
use crate::strict::Fields;

/// The longest text of one field, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 512;
/// The longest user name, in bytes. It is kept apart from others with its source before it.
pub(crate) const USER_NAME_BYTES_MAX: usize = 256;
/// The longest e-mail address, in bytes (RFC 5321 §4.5.3.1).
pub(crate) const EMAIL_BYTES_MAX: usize = 320;
/// The most tags of one person.
pub(crate) const TAGS_MAX: usize = 64;
/// The most addresses of one person.
pub(crate) const EMAILS_MAX: usize = 20;

/// What is to be set. A field that is not named stays; an inner `None` clears it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    user_name: Option<String>,
    name: Option<Option<String>>,
    emails: Option<Vec<String>>,
    department: Option<Option<String>>,
    employment: Option<Employment>,
    starts_at: Option<Option<UnixMillis>>,
    contract_end: Option<Option<UnixMillis>>,
    home_country: Option<CountryCode>,
    tags: Option<BTreeMap<String, String>>,
}

/// A new profile: the name in the source must be there, and an address to write to.
pub(super) fn whole(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Profile> {
    let changes = changes(fields, mistakes)?;
    let Some(user_name) = changes.user_name.clone() else {
        mistakes.push(Mistake::new("user_name", "is missing", r#"write {"user_name":"alice", ...}"#));
        return None;
    };
    let mut profile = Profile::named(user_name);
    changes.apply(&mut profile);
    Some(profile)
}

/// What a body changes.
pub(super) fn changes(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Changes> {
    let wrong = mistakes.len();
    let changes = Changes {
        user_name: text(fields, "user_name", USER_NAME_BYTES_MAX, mistakes),
        name: clearable(fields, "name", mistakes),
        emails: emails(fields, mistakes),
        department: clearable(fields, "department", mistakes),
        employment: employment(fields, mistakes),
        starts_at: instant(fields, "starts_at", mistakes),
        contract_end: instant(fields, "contract_end", mistakes),
        home_country: country(fields, mistakes),
        tags: tags(fields, mistakes),
    };
    (mistakes.len() == wrong).then_some(changes)
}

fn text(fields: &mut Fields, field: &str, bytes_max: usize, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let text = fields.optional(field, mistakes)?;
    if text.trim().is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        let message = format!("must have 1 to {bytes_max} bytes and no control characters");
        mistakes.push(Mistake::new(field, message, ""));
        return None;
    }
    Some(text)
}

fn clearable(fields: &mut Fields, field: &str, mistakes: &mut Vec<Mistake>) -> Option<Option<String>> {
    if fields.cleared(field) { Some(None) } else { text(fields, field, TEXT_BYTES_MAX, mistakes).map(Some) }
}

fn instant(fields: &mut Fields, field: &str, mistakes: &mut Vec<Mistake>) -> Option<Option<UnixMillis>> {
    if fields.cleared(field) {
        return Some(None);
    }
    // The end of the year 9999.
    let millis = fields.number(field, 253_402_300_799_999, mistakes)?;
    i64::try_from(millis).ok().map(|millis| Some(UnixMillis(millis)))
}

fn emails(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Vec<String>> {
    let emails = fields.texts("emails", mistakes)?;
    let is_address = |text: &String| {
        let halves = text.rsplit_once('@');
        let plain =
            text.len() <= EMAIL_BYTES_MAX && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        plain && halves.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
    };
    if emails.len() > EMAILS_MAX || !emails.iter().all(is_address) {
        let message = format!("has more than {EMAILS_MAX}, or something that is no address");
        mistakes.push(Mistake::new("emails", message, r#"write ["alice@corp.example"]"#));
        return None;
    }
    Some(emails)
}

fn employment(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Employment> {
    let word = fields.optional("employment", mistakes)?;
    let known = Employment::ALL.into_iter().find(|kind| kind.as_str() == word);
    if known.is_none() {
        let message = "is not a kind of employment";
        mistakes.push(Mistake::new("employment", message, "use employee, contractor, partner or unknown"));
    }
    known
}

fn country(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<CountryCode> {
    if fields.cleared("home_country") {
        return Some(CountryCode::UNKNOWN);
    }
    let code = fields.optional("home_country", mistakes)?;
    CountryCode::new(&code).map_err(|e| mistakes.push(Mistake::new("home_country", e.to_string(), ""))).ok()
}

fn tags(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<BTreeMap<String, String>> {
    let tags = fields.named_texts("tags", mistakes)?;
    let fits = |text: &String| text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    if tags.len() > TAGS_MAX || !tags.iter().all(|(name, value)| fits(name) && fits(value)) {
        let message = format!("has more than {TAGS_MAX}, or one that is longer than {TEXT_BYTES_MAX} bytes");
        mistakes.push(Mistake::new("tags", message, ""));
        return None;
    }
    Some(tags)
}

impl Changes {
    /// Sets what is to be set. An address that was proved stays so; a new one is not.
    pub(super) fn apply(&self, profile: &mut Profile) {
        if let Some(user_name) = &self.user_name {
            profile.user_name.clone_from(user_name);
        }
        if let Some(name) = &self.name {
            profile.name.clone_from(name);
        }
        if let Some(addresses) = &self.emails {
            let known = std::mem::take(&mut profile.emails);
            let email = |(i, address): (usize, &String)| {
                let verified = known.iter().any(|email| email.is(address) && email.verified);
                Email { address: address.clone(), verified, primary: i == 0 }
            };
            profile.emails = addresses.iter().enumerate().map(email).collect();
        }
        if let Some(department) = &self.department {
            profile.department.clone_from(department);
        }
        if let Some(employment) = self.employment {
            profile.employment = employment;
        }
        if let Some(starts_at) = self.starts_at {
            profile.starts_at = starts_at;
        }
        if let Some(contract_end) = self.contract_end {
            profile.contract_end = contract_end;
        }
        if let Some(home_country) = self.home_country {
            profile.home_country = home_country;
        }
        if let Some(tags) = &self.tags {
            profile.tags.clone_from(tags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Changes>, Vec<String>) {
        let mut mistakes = Vec::new();
        let changes = changes(&mut crate::strict::tests_only(text), &mut mistakes);
        (changes, mistakes.into_iter().map(|mistake| mistake.field).collect())
    }

    #[test]
    fn what_is_not_named_stays_and_null_clears() {
        let mut profile = Profile::named("alice".to_owned());
        profile.department = Some("sales".to_owned());
        profile.contract_end = Some(UnixMillis(9));
        let address = "Alice@corp.example".to_owned();
        profile.emails = vec![Email { address, verified: true, primary: true }];
        let (changes, mistakes) = read(
            r#"{"name":"Alice","contract_end":null,"emails":["a@x.example","alice@corp.example"],"home_country":"de"}"#,
        );
        assert!(mistakes.is_empty(), "{mistakes:?}");
        changes.unwrap().apply(&mut profile);
        assert_eq!((profile.user_name.as_str(), profile.name.as_deref()), ("alice", Some("Alice")));
        assert_eq!((profile.department.as_deref(), profile.contract_end), (Some("sales"), None));
        let told: Vec<_> =
            profile.emails.iter().map(|e| (e.address.as_str(), e.verified, e.primary)).collect();
        assert_eq!(told, [("a@x.example", false, true), ("alice@corp.example", true, false)]);
        assert_eq!(profile.home_country.as_str(), "DE");
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (text, field) in [
            (r#"{"user_name":" "}"#, "user_name"),
            (&format!(r#"{{"user_name":"{}"}}"#, "x".repeat(USER_NAME_BYTES_MAX + 1)), "user_name"),
            (&format!(r#"{{"emails":["{}@x"]}}"#, "x".repeat(EMAIL_BYTES_MAX)), "emails"),
            (r#"{"name":7}"#, "name"),
            (r#"{"emails":["x"]}"#, "emails"),
            (r#"{"emails":"a@b"}"#, "emails"),
            (r#"{"employment":"boss"}"#, "employment"),
            (r#"{"starts_at":"tomorrow"}"#, "starts_at"),
            (r#"{"contract_end":-1}"#, "contract_end"),
            (r#"{"home_country":"Germany"}"#, "home_country"),
            (r#"{"tags":{"a":1}}"#, "tags"),
        ] {
            assert_eq!(read(text), (None, vec![field.to_owned()]), "{text}");
        }
    }
}
