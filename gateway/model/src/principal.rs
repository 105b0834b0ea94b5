//! Who acts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::lifecycle::{Employment, LifecycleStage};
use crate::place::CountryCode;
use crate::time::UnixMillis;

/// The short name that the configuration gives to one token issuer, such as `corp`.
///
/// Lower-case letters, digits and `-`; never a URL, so that it can stand in a [`UserId`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerId(Arc<str>);

impl IssuerId {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the name is empty, longer than 64 bytes, or has other characters than `a-z 0-9 -`.
    pub fn new(name: &str) -> Result<Self, IdError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(IdError::Issuer(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an issuer calls someone: the JWT claim `sub` (RFC 7519 §4.1.2). Opaque and
/// case-sensitive; unique within its issuer only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(Arc<str>);

impl SubjectId {
    /// Checks and takes a subject.
    ///
    /// # Errors
    /// When it is empty, longer than 255 bytes (OpenID Connect Core §2), or holds a control character.
    pub fn new(subject: &str) -> Result<Self, IdError> {
        if subject.is_empty() || subject.len() > 255 || subject.chars().any(char::is_control) {
            return Err(IdError::Subject);
        }
        Ok(Self(subject.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One person or machine, for ever: the pair of issuer and subject. Never an e-mail address,
/// which is reassigned when people leave. Written `issuer:subject`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId {
    issuer: IssuerId,
    subject: SubjectId,
}

impl UserId {
    /// The pair.
    #[must_use]
    pub const fn new(issuer: IssuerId, subject: SubjectId) -> Self {
        Self { issuer, subject }
    }

    /// Who vouches for the subject.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    /// What that issuer calls it.
    #[must_use]
    pub const fn subject(&self) -> &SubjectId {
        &self.subject
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer.0, self.subject.0)
    }
}

impl FromStr for UserId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        let (issuer, subject) = s.split_once(':').ok_or_else(|| IdError::NoIssuer(s.to_owned()))?;
        Ok(Self::new(IssuerId::new(issuer)?, SubjectId::new(subject)?))
    }
}

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An issuer's short name with other characters than allowed.
    #[error("`{0}` is not an issuer name: use 1 to 64 of a-z, 0-9 and `-`")]
    Issuer(String),
    /// A subject that is empty, too long, or has control characters.
    #[error("a subject has 1 to 255 bytes and no control characters")]
    Subject,
    /// A user without the issuer in front.
    #[error("`{0}` does not say which issuer: write `issuer:subject`, such as `corp:alice`")]
    NoIssuer(String),
    /// Any other identifier that is empty, too long, or has characters that do not belong there.
    #[error("`{value}` is not {what}: {rule}")]
    Other {
        /// What was refused.
        value: String,
        /// What it should have been, with its article.
        what: &'static str,
        /// The rule it broke.
        rule: &'static str,
    },
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// A name to show, never to decide on.
    pub name: Option<String>,
    /// The e-mail address, present only when the issuer says that it is verified.
    pub email: Option<String>,
    /// Groups, as the issuer names them.
    pub groups: BTreeSet<String>,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Where the person stands between joining and leaving.
    pub stage: LifecycleStage,
    /// The kind of contract.
    pub employment: Employment,
    /// When the contract ends, if that is known.
    pub contract_end: Option<UnixMillis>,
    /// The country that the person works from; `ZZ` when unknown.
    pub home_country: CountryCode,
    /// The department, if the issuer says.
    pub department: Option<String>,
    /// Further claims that the configuration asks for, by name.
    pub tags: BTreeMap<String, String>,
}

/// A program with an account of its own. It has an owner and stops when the owner does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Which account.
    pub id: UserId,
    /// The person who answers for it.
    pub owner: UserId,
    /// What it may be used for.
    pub scopes: BTreeSet<String>,
    /// Where the account itself stands.
    pub stage: LifecycleStage,
}

/// A program that acts for a person who is present in the token (RFC 8693 §4.1, claim `act`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Which agent: the `sub` of the outermost `act`, at the issuer of the token. That is who acts
    /// now; actors nested in it acted before (RFC 8693 §4.1).
    pub id: UserId,
    /// The person it acts for.
    pub on_behalf_of: User,
    /// What it may be used for.
    pub scopes: BTreeSet<String>,
}

/// Someone who presented nothing. Reaches only routes that the configuration calls public, and
/// those only when a policy permits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor;

/// Who acts in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person.
    User(User),
    /// A program with its own account.
    ServiceAccount(ServiceAccount),
    /// A program that acts for a person.
    Agent(Agent),
    /// Nobody in particular, on a public route.
    Visitor(Visitor),
}

impl Principal {
    /// The identifier under which the principal acts; none for a visitor.
    #[must_use]
    pub const fn id(&self) -> Option<&UserId> {
        match self {
            Self::User(u) => Some(&u.id),
            Self::ServiceAccount(s) => Some(&s.id),
            Self::Agent(a) => Some(&a.id),
            Self::Visitor(Visitor) => None,
        }
    }

    /// Everyone whose removal must stop this principal: itself, and the person behind it.
    #[must_use]
    pub fn answerable(&self) -> Vec<&UserId> {
        match self {
            Self::User(u) => vec![&u.id],
            Self::ServiceAccount(s) => vec![&s.id, &s.owner],
            Self::Agent(a) => vec![&a.id, &a.on_behalf_of.id],
            Self::Visitor(Visitor) => vec![],
        }
    }

    /// Where the principal stands between joining and leaving. A visitor stands nowhere.
    #[must_use]
    pub const fn stage(&self) -> LifecycleStage {
        match self {
            Self::User(u) => u.stage,
            Self::ServiceAccount(s) => s.stage,
            Self::Agent(a) => a.on_behalf_of.stage,
            Self::Visitor(Visitor) => LifecycleStage::Unknown,
        }
    }

    /// The word for the kind of principal in logs and policies.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "User",
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::Agent(_) => "Agent",
            Self::Visitor(Visitor) => "Visitor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_reads_what_it_writes() {
        let id: UserId = "corp:https://x/a:b".parse().unwrap();
        assert_eq!(id.issuer().as_str(), "corp");
        assert_eq!(id.subject().as_str(), "https://x/a:b");
        assert_eq!(id.to_string().parse::<UserId>().unwrap(), id);
    }

    #[test]
    fn an_id_without_issuer_says_how_to_write_it() {
        let e = "alice".parse::<UserId>().unwrap_err().to_string();
        assert!(e.contains("corp:alice"), "{e}");
        for bad in ["", ":", "corp:", "Corp:a", "co rp:a", "corp:a\n"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad:?}");
        }
    }
}
