//! Who asks, when, and by which rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use doorward_model::directory::{ConnectionId, Hand, HoldOrigin, Machine, Origin, RoleName, StreamName};
use doorward_model::{IssuerId, UnixMillis};

/// Who asks for a change of someone's standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// An operator of this name.
    Operator(Arc<str>),
    /// A SCIM connection.
    Source(ConnectionId),
    /// A stream of signals.
    Signal(StreamName),
    /// The person.
    Person,
    /// The gateway itself: a date came, a threshold was passed.
    System,
}

impl Actor {
    /// The kind, which the table asks for.
    #[must_use]
    pub const fn kind(&self) -> ActorKind {
        match self {
            Self::Operator(_) => ActorKind::Operator,
            Self::Source(_) => ActorKind::Source,
            Self::Signal(_) => ActorKind::Signal,
            Self::Person => ActorKind::Person,
            Self::System => ActorKind::System,
        }
    }

    /// Whose hand it is, whoever moves it.
    #[must_use]
    pub fn hand(&self) -> Hand {
        match self {
            Self::Operator(_) => Hand::Operator,
            Self::Source(connection) => Hand::Source(connection.clone()),
            Self::Signal(stream) => Hand::Signal(stream.clone()),
            Self::Person => Hand::Person,
            Self::System => Hand::System,
        }
    }

    /// The name for the log.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Operator(name) => name,
            Self::Source(connection) => connection.as_str(),
            Self::Signal(stream) => stream.as_str(),
            Self::Person => "person",
            Self::System => "doorward",
        }
    }

    /// As whom it holds someone back. None where it cannot.
    pub(super) fn hold_origin(&self) -> Option<HoldOrigin> {
        match self {
            Self::Operator(_) => Some(HoldOrigin::Operator),
            Self::Signal(stream) => Some(HoldOrigin::Signal(stream.clone())),
            Self::Source(_) | Self::Person | Self::System => None,
        }
    }

    /// Whether it may take what rests on this origin: an operator anything, a source its own.
    pub(super) fn may_take(&self, origin: &Origin) -> bool {
        match self {
            Self::Operator(_) => true,
            Self::Source(connection) => matches!(origin, Origin::Source(of) if of == connection),
            Self::Signal(_) | Self::Person | Self::System => false,
        }
    }

    /// On whose word its grants rest. None where it gives none.
    pub(super) fn grant_origin(&self) -> Option<Origin> {
        match self {
            Self::Operator(name) => Some(Origin::Operator(Arc::clone(name))),
            Self::Source(connection) => Some(Origin::Source(connection.clone())),
            Self::Signal(_) | Self::Person | Self::System => None,
        }
    }
}

/// The kind of an [`Actor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorKind {
    /// See [`Actor::Operator`].
    Operator,
    /// See [`Actor::Source`].
    Source,
    /// See [`Actor::Signal`].
    Signal,
    /// See [`Actor::Person`].
    Person,
    /// See [`Actor::System`].
    System,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Operator, Self::Source, Self::Signal, Self::Person, Self::System];

    /// The word for it in logs and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Source => "source",
            Self::Signal => "signal",
            Self::Person => "person",
            Self::System => "system",
        }
    }
}

/// What one issuer may say of people who are not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerRule {
    /// The mail domains that it may speak for, in lower case: its word that an address is verified
    /// counts for these and for no others.
    pub domains: BTreeSet<String>,
    /// Whoever has a verified address in one of them becomes a person by signing in.
    pub first_sign_in: bool,
}

/// What the organization allows when people join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Anybody with an address in one of these domains, in lower case, may sign up. Empty: nobody.
    pub sign_up_domains: BTreeSet<String>,
    /// What each issuer may say. One that is not named makes nobody known.
    pub issuers: BTreeMap<IssuerId, IssuerRule>,
    /// The roles of everybody who joins without a connection, also when they return.
    pub default_roles: BTreeSet<RoleName>,
    /// How long an invitation stands.
    pub invitation: Duration,
    /// How long a sign-up stands without a proved address.
    pub verification: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            sign_up_domains: BTreeSet::new(),
            issuers: BTreeMap::new(),
            default_roles: BTreeSet::new(),
            invitation: Duration::from_secs(7 * DAY),
            verification: Duration::from_secs(7 * DAY),
        }
    }
}

impl Rules {
    /// Whether a source whose people sign in at `issuer` may say that `address` is one of theirs. It is in a domain
    /// of the source's own, if that has some (`listed`); else of that issuer, if that has some; and never in one
    /// for which only other issuers speak.
    pub(crate) fn may_vouch(&self, issuer: &IssuerId, address: &str, listed: Option<bool>) -> bool {
        let speaks = self.speaks_for(issuer, address);
        let has_domains = self.issuers.get(issuer).is_some_and(|rule| !rule.domains.is_empty());
        let nobodys = !self.issuers.values().any(|rule| is_in(&rule.domains, address));
        match listed {
            Some(listed) => listed && (speaks || nobodys),
            None => speaks || (!has_domains && nobodys),
        }
    }

    /// Whether this issuer's word counts that `address` is verified.
    pub(crate) fn speaks_for(&self, issuer: &IssuerId, address: &str) -> bool {
        self.issuers.get(issuer).is_some_and(|rule| is_in(&rule.domains, address))
    }
}

/// Whether the address is in one of the domains.
pub(super) fn is_in(domains: &BTreeSet<String>, address: &str) -> bool {
    let domain = address.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
    domain.is_some_and(|domain| domains.contains(&domain))
}

/// Under which circumstances a command comes.
#[derive(Clone, Debug)]
pub struct Circumstances<'a> {
    /// Now.
    pub now: UnixMillis,
    /// When the hand that asks says that it happened, by its own clock: the `event_timestamp` of a
    /// signal. None where requests count in the order of their arrival, as with SCIM.
    pub asserted_at: Option<UnixMillis>,
    /// Who asks.
    pub actor: Actor,
    /// Why, in their words.
    pub cause: Arc<str>,
    /// What the organization allows.
    pub rules: &'a Rules,
    /// The machines that the person answers for.
    pub owned: &'a [Machine],
}
