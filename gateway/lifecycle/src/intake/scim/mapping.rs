//! What a SCIM user means here: profile, roles and sign-ins (RFC 7643 §4.1, §4.3).
//!
//! | SCIM | here |
//! |---|---|
//! | `userName` | `user_name` |
//! | `displayName`, else `name.formatted`, else given and family name | `name` |
//! | `emails` | `emails`; of type `work`, or primary without a type, they count as verified |
//! | `userType` `Employee`, `Contractor`, `Partner` | `employment` |
//! | `addresses.country`, of type `work` or primary before others | `home_country` |
//! | enterprise `department` | `department` |
//! | enterprise `costCenter`, `division`, `organization`, `employeeNumber`; `title` | tags of these names |
//! | `roles.value` | roles, given by the source: those that the connection may give |
//! | the attribute that the connection names | the subject of the sign-in at its issuer |
//!
//! A source that an operator connected speaks for the addresses by which it reaches its people, within the
//! mail domains of the connection or of its issuer: not for a private address that somebody typed in, and not
//! for one in a domain of another issuer.

use std::collections::{BTreeMap, BTreeSet};

use doorward_model::directory::{Email, PersonId, Profile, RoleName};
use doorward_model::place::CountryCode;
use doorward_model::{Employment, MailDomain, SubjectId, UserId};
use serde_json::Value;

use crate::intake::connection::{Connection, SubjectAttribute};
use crate::machine::Rules;
use crate::scim::schema::ENTERPRISE_USER;
use crate::scim::{Document, ErrorKind, ScimError};

/// What a document says about a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Meant {
    /// The profile.
    pub profile: Profile,
    /// The roles that the source gives.
    pub roles: BTreeSet<RoleName>,
    /// How many more it names, which the connection may not give.
    pub not_given: usize,
    /// The sign-ins that follow from it: none, while the attribute has no value.
    pub links: BTreeSet<UserId>,
    /// Whether the source says that they belong here.
    pub active: bool,
}

/// Attributes that become tags, and the names of these.
const TAGS: [&str; 4] = ["costCenter", "division", "organization", "employeeNumber"];

/// Reads a user's document.
///
/// # Errors
/// `InvalidValue`, when a value cannot mean what it has to: a subject that is too long, a role name
/// with control characters.
pub(crate) fn meant(
    document: &Document,
    id: PersonId,
    connection: &Connection,
    rules: &Rules,
) -> Result<Meant, ScimError> {
    let user_name = document.user_name().unwrap_or_default();
    let enterprise = |name: &str| text(document, &format!("{}:{name}", ENTERPRISE_USER.id));
    let mut tags: BTreeMap<String, String> =
        TAGS.iter().filter_map(|name| Some(((*name).to_owned(), enterprise(name)?))).collect();
    tags.extend(text(document, "title").map(|title| ("title".to_owned(), title)));
    let employment = text(document, "userType")
        .map_or(Employment::Unknown, |word| Employment::parse(&word.trim().to_ascii_lowercase()));
    let profile = Profile {
        name: name(document),
        emails: emails(document, |address| counts(connection, rules, address)),
        department: enterprise("department"),
        employment,
        home_country: country(document),
        tags,
        ..Profile::named(user_name.to_owned())
    };
    let named = roles(document)?;
    // Those that it may not give stay in its document, and are nobody's.
    let roles = named.iter().filter(|role| connection.terms.gives(role)).cloned().collect();
    Ok(Meant {
        profile,
        not_given: named.difference(&roles).count(),
        roles,
        links: link(document, id, connection)?.into_iter().collect(),
        active: document.active(),
    })
}

/// The attribute that is the subject of the sign-in, if a client may leave it out of a PUT without meaning
/// that there is no such sign-in any more: Okta's PUT has no `externalId`.
pub(crate) const fn kept(subject: SubjectAttribute) -> Option<&'static str> {
    match subject {
        SubjectAttribute::ExternalId => Some("externalId"),
        SubjectAttribute::WorkEmail => Some("emails"),
        SubjectAttribute::UserName | SubjectAttribute::Id => None,
    }
}

fn text(document: &Document, name: &str) -> Option<String> {
    document.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

fn name(document: &Document) -> Option<String> {
    let part = |key: &str| document.get("name")?.get(key)?.as_str().filter(|text| !text.trim().is_empty());
    text(document, "displayName").or_else(|| part("formatted").map(str::to_owned)).or_else(|| {
        let parts: Vec<&str> = [part("givenName"), part("familyName")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    })
}

/// The elements of a list of objects.
fn elements<'a>(document: &'a Document, name: &str) -> impl Iterator<Item = &'a Value> {
    document.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn is_of_work(element: &Value) -> bool {
    element.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("work"))
}

fn is_primary(element: &Value) -> bool {
    element.get("primary").and_then(Value::as_bool).unwrap_or(false)
}

fn emails(document: &Document, counts: impl Fn(&str) -> bool) -> Vec<Email> {
    let email = |element: &Value| {
        let address = element.get("value")?.as_str()?.to_owned();
        let primary = is_primary(element);
        let reached = is_of_work(element) || (primary && element.get("type").is_none());
        Some(Email { verified: reached && counts(&address), address, primary })
    };
    elements(document, "emails").filter_map(email).collect()
}

/// Whether the word of a connection counts that an address is one of its people's: in its own domains, or
/// where it has none, in those that its issuer speaks for; never in one of another issuer alone.
fn counts(connection: &Connection, rules: &Rules, address: &str) -> bool {
    let listed = connection.terms.email_domains.as_ref().map(|domains| {
        let domain = address.rsplit_once('@').and_then(|(_, domain)| MailDomain::new(domain).ok());
        domain.is_some_and(|domain| domains.contains(&domain))
    });
    rules.may_vouch(&connection.issuer, address, listed)
}

fn country(document: &Document) -> CountryCode {
    let mut places: Vec<&Value> = elements(document, "addresses").collect();
    places.sort_by_key(|place| (!is_of_work(place), !is_primary(place)));
    let code = |place: &&Value| CountryCode::new(place.get("country")?.as_str()?.trim()).ok();
    places.iter().find_map(code).unwrap_or(CountryCode::UNKNOWN)
}

fn roles(document: &Document) -> Result<BTreeSet<RoleName>, ScimError> {
    let names = elements(document, "roles").filter_map(|element| element.get("value")?.as_str());
    names
        .map(|name| {
            RoleName::new(name).map_err(|_| {
                let detail = "`roles.value` must have 1 to 255 bytes and no control characters";
                ScimError::new(ErrorKind::InvalidValue, detail)
            })
        })
        .collect()
}

fn link(document: &Document, id: PersonId, connection: &Connection) -> Result<Option<UserId>, ScimError> {
    let subject = match connection.subject {
        SubjectAttribute::ExternalId => document.external_id().map(str::to_owned),
        SubjectAttribute::UserName => document.user_name().map(str::to_owned),
        SubjectAttribute::Id => Some(id.to_string()),
        SubjectAttribute::WorkEmail => elements(document, "emails")
            .find(|element| is_of_work(element))
            .and_then(|element| element.get("value")?.as_str())
            .map(str::to_owned),
    };
    let Some(subject) = subject.filter(|subject| !subject.is_empty()) else { return Ok(None) };
    let subject = SubjectId::new(&subject).map_err(|_| {
        let detail = format!(
            "`{}` is the subject of the sign-in and must have 1 to 255 bytes without control characters",
            connection.subject.as_str()
        );
        ScimError::new(ErrorKind::InvalidValue, detail)
    })?;
    Ok(Some(UserId::new(connection.issuer.clone(), subject)))
}

#[cfg(test)]
mod tests {
    use doorward_model::UnixMillis;
    use doorward_model::directory::ConnectionId;

    use super::*;
    use crate::intake::connection::Terms;
    use crate::machine::IssuerRule;
    use crate::scim::{ResourceType, json, write};

    fn okta(subject: SubjectAttribute) -> Connection {
        Connection {
            id: ConnectionId::new("okta").unwrap(),
            issuer: doorward_model::IssuerId::new("corp").unwrap(),
            subject,
            terms: Terms::read(None, &["eng*".to_owned()], None).unwrap(),
            created_at: UnixMillis(1),
            tokens: Vec::new(),
        }
    }

    fn read(body: &str, subject: SubjectAttribute) -> Result<Meant, ScimError> {
        let body = json::object(body.as_bytes()).unwrap();
        let written = write::create(ResourceType::User, body).unwrap();
        meant(&written.document, PersonId::from_u128(7), &okta(subject), &Rules::default())
    }

    const ADA: &str = r#"{
        "userName": "ada@corp.example", "externalId": "00u1", "active": true, "userType": "Contractor",
        "name": {"givenName": "Ada", "familyName": "Lovelace"}, "title": "Analyst",
        "emails": [{"value": "ada@corp.example", "type": "work", "primary": true},
                   {"value": "ada@home.example", "type": "home"}],
        "addresses": [{"country": "FR", "type": "home"}, {"country": "gb", "type": "work"}],
        "roles": [{"value": "engineer"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            {"department": "Engines", "costCenter": "42"}
    }"#;

    #[test]
    fn a_user_is_a_profile_roles_and_a_sign_in() {
        let ada = read(ADA, SubjectAttribute::ExternalId).unwrap();
        let profile = &ada.profile;
        assert_eq!(profile.user_name, "ada@corp.example");
        assert_eq!(profile.name.as_deref(), Some("Ada Lovelace"));
        assert_eq!(profile.verified_email(), Some("ada@corp.example"));
        assert_eq!(profile.emails.iter().filter(|e| e.verified).count(), 1, "not the private one");
        assert_eq!(profile.department.as_deref(), Some("Engines"));
        assert_eq!(profile.employment, Employment::Contractor);
        assert_eq!(profile.home_country.as_str(), "GB");
        assert_eq!(profile.tags["costCenter"], "42");
        assert_eq!(profile.tags["title"], "Analyst");
        assert_eq!(ada.roles.iter().map(RoleName::as_str).collect::<Vec<_>>(), ["engineer"]);
        assert!(ada.active);
    }

    #[test]
    fn the_connection_says_which_attribute_is_the_subject() {
        let id = PersonId::from_u128(7).to_string();
        for (subject, want) in [
            (SubjectAttribute::ExternalId, "corp:00u1"),
            (SubjectAttribute::UserName, "corp:ada@corp.example"),
            (SubjectAttribute::WorkEmail, "corp:ada@corp.example"),
            (SubjectAttribute::Id, &format!("corp:{id}")),
        ] {
            let links = read(ADA, subject).unwrap().links;
            assert_eq!(links.iter().map(UserId::to_string).collect::<Vec<_>>(), [want]);
            assert_eq!(SubjectAttribute::parse(subject.as_str()), Some(subject));
        }
        // Whoever has no value yet cannot sign in yet.
        assert!(read(r#"{"userName":"b"}"#, SubjectAttribute::ExternalId).unwrap().links.is_empty());
        let long = format!(r#"{{"userName":"{}"}}"#, "x".repeat(256));
        assert_eq!(read(&long, SubjectAttribute::UserName).unwrap_err().kind(), ErrorKind::InvalidValue);
    }

    /// Whether an address is verified that a connection of `corp` sends. `lab` speaks for `lab.example`.
    fn is_verified(corp: &[&str], connection: Option<&[&str]>, email: &str) -> bool {
        let owned = |domains: &[&str]| domains.iter().map(|domain| (*domain).to_owned()).collect::<Vec<_>>();
        let of = |domains: &[&str]| IssuerRule {
            domains: owned(domains).into_iter().collect(),
            first_sign_in: false,
        };
        let issuer = |name: &str| doorward_model::IssuerId::new(name).unwrap();
        let issuers = [(issuer("corp"), of(corp)), (issuer("lab"), of(&["lab.example"]))];
        let rules = Rules { issuers: issuers.into(), ..Rules::default() };
        let domains = connection.map(owned);
        let terms = Terms::read(domains.as_deref(), &[], None).unwrap();
        let connection = Connection { terms, ..okta(SubjectAttribute::UserName) };
        let body = format!(r#"{{"userName":"b","emails":[{email}]}}"#);
        let document = write::create(ResourceType::User, json::object(body.as_bytes()).unwrap()).unwrap();
        let meant = meant(&document.document, PersonId::from_u128(7), &connection, &rules).unwrap();
        meant.profile.emails[0].verified
    }

    #[test]
    fn a_source_speaks_for_addresses_of_its_own_or_of_its_issuer() {
        let work = |address: &str| format!(r#"{{"value":"{address}","type":"work"}}"#);
        let corp: &[&str] = &["corp.example"];
        for (of_issuer, of_connection, address, want) in [
            (corp, None, "b@corp.example", true),
            (corp, None, "b@CORP.example", true),
            (corp, None, "b@sub.corp.example", false),
            (corp, None, "b@nobody.example", false),
            (corp, None, "b@lab.example", false),
            (&[][..], None, "b@nobody.example", true),
            (&[], None, "b@lab.example", false),
            (&[], None, "b@Lab.Example", false),
            (corp, Some(&["new.example"][..]), "b@new.example", true),
            (corp, Some(&["new.example"]), "b@corp.example", false),
            (corp, Some(&["corp.example", "new.example"]), "b@Corp.example", true),
            (corp, Some(&["lab.example"]), "b@lab.example", false),
            (&[], Some(&[]), "b@nobody.example", false),
            (&[], Some(&["new.example"]), "b@nobody.example", false),
        ] {
            let verified = is_verified(of_issuer, of_connection, &work(address));
            assert_eq!(verified, want, "{address}: {of_issuer:?} {of_connection:?}");
        }
        for (email, want) in [
            (r#"{"value":"b@corp.example","primary":true}"#, true),
            (r#"{"value":"b@corp.example","type":"Work"}"#, true),
            (r#"{"value":"b@corp.example","type":"home","primary":true}"#, false),
            (r#"{"value":"b@corp.example"}"#, false),
        ] {
            assert_eq!(is_verified(corp, None, email), want, "{email}");
        }
    }

    #[test]
    fn a_source_gives_the_roles_that_it_may_give() {
        let body = r#"{"userName":"b","roles":[{"value":"engineer"},{"value":"admin"}]}"#;
        let b = read(body, SubjectAttribute::UserName).unwrap();
        assert_eq!(b.roles.iter().map(RoleName::as_str).collect::<Vec<_>>(), ["engineer"]);
        assert_eq!(b.not_given, 1);
    }

    #[test]
    fn who_says_nothing_is_nobody_special() {
        let nobody = read(r#"{"userName":"b"}"#, SubjectAttribute::UserName).unwrap();
        assert_eq!(nobody.profile, Profile::named("b".to_owned()));
        assert!(!nobody.active && nobody.roles.is_empty());
    }
}
