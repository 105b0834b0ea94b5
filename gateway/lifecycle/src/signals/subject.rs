//! Whom a message is about: subject identifiers (RFC 9493), the further formats of SSF 1.0 §3, and
//! the older form that Google's events have (`subject_type` within the event).
//!
//! ```text
//!  Subject ── Name      one identifier, of somebody or something
//!          ── Aliases   several identifiers of one
//!          ── Complex   user AND device AND session … : what all of them name together
//! ```
//!
//! A format that nobody here knows is kept as [`Name::Other`]: it names no one. A known format that
//! lacks what it must have is an error.

use std::collections::BTreeMap;
use std::net::IpAddr;

use doorward_identity::shown;
use serde_json::{Map, Value};

/// The longest text of an identifier, in bytes.
const NAME_BYTES_MAX: usize = 1024;
/// The most identifiers of one `aliases`.
const ALIASES_MAX: usize = 32;
/// The most addresses of one `ip-addresses`.
const ADDRESSES_MAX: usize = 32;
/// The most members of a complex subject that are not known here.
const UNKNOWN_MEMBERS_MAX: usize = 16;

/// Whom a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By one identifier.
    Name(Name),
    /// By several, each of which means the same (RFC 9493 §3.2.8).
    Aliases(Vec<Name>),
    /// By what several subjects have in common (SSF 1.0 §3.3).
    Complex(Complex),
}

/// One identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `acct:user@host` (RFC 9493 §3.2.1, RFC 7565).
    Account(String),
    /// An e-mail address, as sent (RFC 9493 §3.2.2). Whoever compares it ignores case.
    Email(String),
    /// Issuer and subject (RFC 9493 §3.2.3).
    IssSub {
        /// The claim `iss` of that person's tokens.
        iss: String,
        /// The claim `sub` of that person's tokens.
        sub: String,
    },
    /// Something that the sender and we both know (RFC 9493 §3.2.4).
    Opaque(String),
    /// `+` and digits (RFC 9493 §3.2.5, E.164).
    Phone(String),
    /// A decentralized identifier (RFC 9493 §3.2.6).
    Did(String),
    /// Any URI (RFC 9493 §3.2.7).
    Uri(String),
    /// One token (SSF 1.0 §3.4.1).
    JwtId {
        /// Who made the token.
        iss: String,
        /// Its `jti`.
        jti: String,
    },
    /// One SAML assertion (SSF 1.0 §3.4.2).
    SamlAssertion {
        /// Who made it.
        issuer: String,
        /// Its id.
        id: String,
    },
    /// Addresses from which somebody came (SSF 1.0 §3.4.3).
    Addresses(Vec<IpAddr>),
    /// A format that is not known here, by its name.
    Other(String),
}

/// A member of a complex subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A person.
    User,
    /// A device.
    Device,
    /// A sign-in.
    Session,
    /// An app.
    Application,
    /// A tenant of the sender.
    Tenant,
    /// A part of an organization.
    OrgUnit,
    /// A group of people.
    Group,
}

/// What several subjects have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complex {
    members: BTreeMap<Member, Vec<Name>>,
    unknown: Vec<String>,
}

/// Why a subject cannot be read. It quotes names of members and formats, never their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// A member that the format must have.
    #[error("a subject of the format `{format}` needs the {what} `{member}`")]
    Member {
        /// Which format.
        format: &'static str,
        /// Which member of it.
        member: &'static str,
        /// What it should be.
        what: &'static str,
    },
    /// Neither a format nor members.
    #[error("the subject is not an object with a `format`")]
    NoFormat,
    /// A part of a subject that may not have parts.
    #[error("`{0}` holds a subject that has parts itself")]
    Nested(&'static str),
    /// None, or more than anybody needs.
    #[error("`{member}` holds {found} entries, not 1 to {max}")]
    Count {
        /// Where.
        member: &'static str,
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// A complex subject of nothing that is known here.
    #[error("the complex subject has no member that is known here")]
    Empty,
}

// === impl Member ===

impl Member {
    /// Every member, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::User,
        Self::Device,
        Self::Session,
        Self::Application,
        Self::Tenant,
        Self::OrgUnit,
        Self::Group,
    ];

    /// The name of the member (SSF 1.0 §3.3).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Device => "device",
            Self::Session => "session",
            Self::Application => "application",
            Self::Tenant => "tenant",
            Self::OrgUnit => "org_unit",
            Self::Group => "group",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == name)
    }
}

// === impl Name ===

impl Name {
    /// The format, as RFC 9493 and SSF name it.
    #[must_use]
    pub fn format(&self) -> &str {
        match self {
            Self::Account(_) => "account",
            Self::Email(_) => "email",
            Self::IssSub { .. } => "iss_sub",
            Self::Opaque(_) => "opaque",
            Self::Phone(_) => "phone_number",
            Self::Did(_) => "did",
            Self::Uri(_) => "uri",
            Self::JwtId { .. } => "jwt_id",
            Self::SamlAssertion { .. } => "saml_assertion_id",
            Self::Addresses(_) => "ip-addresses",
            Self::Other(format) => format,
        }
    }

    /// Issuer and subject.
    #[must_use]
    pub fn iss_sub(&self) -> Option<(&str, &str)> {
        if let Self::IssSub { iss, sub } = self { Some((iss, sub)) } else { None }
    }

    /// What sender and receiver both know.
    #[must_use]
    pub fn opaque(&self) -> Option<&str> {
        if let Self::Opaque(id) = self { Some(id) } else { None }
    }

    /// Issuer and name of a token.
    #[must_use]
    pub fn jwt_id(&self) -> Option<(&str, &str)> {
        if let Self::JwtId { iss, jti } = self { Some((iss, jti)) } else { None }
    }

    fn read(format: &str, of: &Map<String, Value>) -> Result<Self, SubjectError> {
        let text = |format, member| text(of, format, member);
        Ok(match format {
            "account" => Self::Account(starting("acct:", text("account", "uri")?, "account", "uri")?),
            "email" => {
                let email = text("email", "email")?;
                let at = email.split('@').filter(|part| !part.is_empty()).count() == 2;
                Self::Email(only_if(at, email, "email", "email", "e-mail address")?)
            }
            "iss_sub" => Self::IssSub { iss: text("iss_sub", "iss")?, sub: text("iss_sub", "sub")? },
            "opaque" => Self::Opaque(text("opaque", "id")?),
            "phone_number" => {
                let phone = text("phone_number", "phone_number")?;
                let digits = phone.strip_prefix('+').unwrap_or("");
                let good = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                Self::Phone(only_if(good, phone, "phone_number", "phone_number", "E.164 number")?)
            }
            "did" => Self::Did(starting("did:", text("did", "url")?, "did", "url")?),
            "uri" => Self::Uri(text("uri", "uri")?),
            "jwt_id" => Self::JwtId { iss: text("jwt_id", "iss")?, jti: text("jwt_id", "jti")? },
            "saml_assertion_id" => Self::SamlAssertion {
                issuer: text("saml_assertion_id", "issuer")?,
                id: text("saml_assertion_id", "assertion_id")?,
            },
            "ip-addresses" => Self::Addresses(addresses(of)?),
            other => Self::Other(shown(other, 40)),
        })
    }
}

// === impl Complex ===

impl Complex {
    /// The identifiers of one member; none when it is not there, several when they mean the same.
    #[must_use]
    pub fn get(&self, member: Member) -> Option<&[Name]> {
        self.members.get(&member).map(Vec::as_slice)
    }

    /// The members that are known here and there.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.members.keys().copied()
    }

    /// The names of the members that are not known here.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    fn read(of: &Map<String, Value>) -> Result<Self, SubjectError> {
        let mut complex = Self::default();
        for (name, value) in of.iter().filter(|(name, _)| *name != "format") {
            let Some(member) = Member::parse(name) else {
                complex.unknown.push(shown(name, 40));
                continue;
            };
            let Value::Object(part) = value else { return Err(SubjectError::NoFormat) };
            let names = match Subject::read(part)? {
                Subject::Name(name) => vec![name],
                Subject::Aliases(names) => names,
                Subject::Complex(_) => return Err(SubjectError::Nested(member.as_str())),
            };
            complex.members.insert(member, names);
        }
        if complex.members.is_empty() {
            return Err(SubjectError::Empty);
        }
        count("the complex subject", complex.unknown.len().max(1), UNKNOWN_MEMBERS_MAX)?;
        Ok(complex)
    }
}

// === impl Subject ===

impl Subject {
    /// Reads a subject with a `format`, or the older kinds: with `subject_type`, or a complex one
    /// that only has members.
    ///
    /// # Errors
    /// When a known format lacks what it must have, or parts nest deeper than they may.
    pub fn read(of: &Map<String, Value>) -> Result<Self, SubjectError> {
        match (of.get("format"), of.get("subject_type")) {
            (Some(Value::String(format)), None) => Self::of_format(format, of),
            (None, Some(Value::String(older))) => Self::of_format(today(older), of),
            (None, None) => Ok(Self::Complex(Complex::read(of)?)),
            (Some(_), _) | (None, Some(_)) => Err(SubjectError::NoFormat),
        }
    }

    fn of_format(format: &str, of: &Map<String, Value>) -> Result<Self, SubjectError> {
        match format {
            "complex" => Ok(Self::Complex(Complex::read(of)?)),
            "aliases" => {
                let Some(Value::Array(list)) = of.get("identifiers") else {
                    return Err(SubjectError::Member {
                        format: "aliases",
                        member: "identifiers",
                        what: "list",
                    });
                };
                count("identifiers", list.len(), ALIASES_MAX)?;
                list.iter().map(alias).collect::<Result<_, _>>().map(Self::Aliases)
            }
            format => Name::read(format, of).map(Self::Name),
        }
    }
}

fn alias(value: &Value) -> Result<Name, SubjectError> {
    let Value::Object(of) = value else { return Err(SubjectError::NoFormat) };
    match Subject::read(of)? {
        Subject::Name(name) => Ok(name),
        Subject::Aliases(_) | Subject::Complex(_) => Err(SubjectError::Nested("identifiers")),
    }
}

/// The format of today for a `subject_type` of the drafts.
fn today(older: &str) -> &str {
    match older {
        // Google's `id_token_claims` holds `iss`, `sub` and `email`; the e-mail address never says
        // who someone is.
        "iss-sub" | "id_token_claims" => "iss_sub",
        "phone" | "phone-number" => "phone_number",
        "jwt-id" => "jwt_id",
        "saml-assertion-id" => "saml_assertion_id",
        same => same,
    }
}

fn text(of: &Map<String, Value>, format: &'static str, member: &'static str) -> Result<String, SubjectError> {
    match of.get(member) {
        Some(Value::String(text))
            if !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control) =>
        {
            Ok(text.clone())
        }
        Some(_) | None => Err(SubjectError::Member { format, member, what: "text" }),
    }
}

fn starting(
    prefix: &'static str,
    text: String,
    format: &'static str,
    member: &'static str,
) -> Result<String, SubjectError> {
    let good = text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    only_if(good && text.len() > prefix.len(), text, format, member, "address")
}

fn only_if(
    good: bool,
    text: String,
    format: &'static str,
    member: &'static str,
    what: &'static str,
) -> Result<String, SubjectError> {
    if good { Ok(text) } else { Err(SubjectError::Member { format, member, what }) }
}

fn addresses(of: &Map<String, Value>) -> Result<Vec<IpAddr>, SubjectError> {
    let wrong =
        SubjectError::Member { format: "ip-addresses", member: "ip-addresses", what: "list of addresses" };
    let Some(Value::Array(list)) = of.get("ip-addresses") else { return Err(wrong) };
    count("ip-addresses", list.len(), ADDRESSES_MAX)?;
    let read = |v: &Value| v.as_str().and_then(|s| s.parse().ok());
    list.iter().map(read).collect::<Option<_>>().ok_or(wrong)
}

fn count(member: &'static str, found: usize, max: usize) -> Result<(), SubjectError> {
    if (1..=max).contains(&found) { Ok(()) } else { Err(SubjectError::Count { member, found, max }) }
}
