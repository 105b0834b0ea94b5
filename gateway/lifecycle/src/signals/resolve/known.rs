//! What is asked of the directory about the names of others, and for whom.

use doorward_identity::Sender;
use doorward_model::directory::{PersonId, StreamName};
use doorward_model::{AppId, DeviceId, IssuerId, SessionId, UserId};

use crate::signals::config::Webhook;
use crate::signals::subject::Member;

/// A person, as far as the sender can name one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whom {
    /// The person in the directory. None: only a sign-in is known by name.
    pub person: Option<PersonId>,
    /// Their sign-ins.
    pub links: Vec<UserId>,
}

/// What somebody or something here is called by others, where it is neither a sign-in of an issuer
/// of ours nor a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called<'a> {
    /// A verified e-mail address; case does not count.
    Email(&'a str),
    /// A verified phone number.
    Phone(&'a str),
    /// What the sender and the directory both know: the directory's id, or the one that the sender
    /// provisioned.
    Opaque(&'a str),
    /// An `acct:` address, a DID or another URI.
    Uri(&'a str),
}

/// An answer that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell<T> {
    /// It is so.
    Known(T),
    /// It is of somebody or something else.
    Other,
    /// Nobody here can tell.
    CannotTell,
}

/// Who speaks of people: what they may name is bounded by it.
#[derive(Clone, Copy, Debug)]
pub enum Voice<'a> {
    /// A transmitter, or a caller of global token revocation.
    Sender(&'a Sender),
    /// A workflow tool.
    Webhook(&'a Webhook),
}

/// Whom the directory knows. Answers come from memory: nothing waits.
pub trait Known {
    /// The person with that sign-in.
    fn by_sign_in(&self, user: &UserId) -> Option<Whom>;
    /// The person who is called so. None also where several are: an e-mail address that two people
    /// have names neither.
    fn by_name(&self, voice: Voice<'_>, called: Called<'_>) -> Option<Whom>;
    /// Whose sign-in it is.
    fn session_owner(&self, session: &SessionId) -> Tell<PersonId>;
    /// Whose device it is.
    fn device_owner(&self, device: &DeviceId) -> Tell<PersonId>;
    /// Which app of ours is called so. `Other`: an app that is not behind this gateway.
    fn app(&self, voice: Voice<'_>, called: Called<'_>) -> Tell<AppId>;
    /// Whether a tenant or a part of an organization is ours.
    fn is_ours(&self, voice: Voice<'_>, member: Member, called: Called<'_>) -> Tell<()>;
    /// Whether somebody is in a group.
    fn in_group(&self, voice: Voice<'_>, whom: &Whom, called: Called<'_>) -> Tell<()>;
}

// === impl Voice ===

impl<'a> Voice<'a> {
    /// Whose it is, by name.
    #[must_use]
    pub const fn name(self) -> &'a StreamName {
        match self {
            Self::Sender(sender) => sender.id(),
            Self::Webhook(webhook) => webhook.id(),
        }
    }

    /// The issuer that an `iss` means, when its people may be spoken of.
    #[must_use]
    pub fn speaks_of(self, issuer: &str) -> Option<&'a IssuerId> {
        match self {
            Self::Sender(sender) => sender.speaks_of(issuer),
            Self::Webhook(webhook) => webhook.speaks_of(issuer),
        }
    }

    /// Whether people of this issuer may be spoken of.
    #[must_use]
    pub fn may_name(self, issuer: &IssuerId) -> bool {
        match self {
            Self::Sender(sender) => sender.people().any(|id| id == issuer),
            Self::Webhook(webhook) => webhook.people().any(|id| id == issuer),
        }
    }

    /// The issuer whose people may be spoken of, when that is only one.
    #[must_use]
    pub fn sole_people(self) -> Option<&'a IssuerId> {
        match self {
            Self::Sender(sender) => sender.sole_people(),
            Self::Webhook(webhook) => webhook.sole_people(),
        }
    }
}
