//! Connections: who may provision people here, as whom these people sign in, and with which tokens
//! the client shows who it is (RFC 6750, RFC 7644 §2).
//!
//! ```text
//!  operator ─► Connections ─ create, rotate, revoke, remove ─► record `connection` ─ key for each token
//!  client ──── token ─ SHA-256 ─► by key ──────────────────────────┘ read anew for every request
//! ```
//!
//! What it may say beside that stands in its [`Terms`]: for which addresses its word counts, which roles it
//! gives (none, unless an operator named them), and what stands before the names of its groups, so that no
//! other source makes a group that policies take for one of its own.
//!
//! A connection has at most [`TOKENS_MAX`] tokens, so that a client gets a new one before the old one
//! ends. Nothing of it is in memory: a token that is revoked is refused by every process at its next
//! request.

mod form;
mod silence;
mod store;
mod terms;
mod token;

use doorward_model::directory::ConnectionId;
use doorward_model::{IssuerId, UnixMillis};

pub use silence::Listener;
pub(super) use store::is_due;
pub use store::{ConnectionError, Connections};
pub use terms::{BadTerm, GROUP_PREFIX_BYTES_MAX, GroupPrefix, ROLE_RULES_MAX, RoleRule, Terms};
pub use token::{ConnectionToken, TOKEN_PREFIX, TOKEN_RANDOM_BYTES, TokenHash};

/// The most tokens of one connection that are good at once.
pub const TOKENS_MAX: usize = 2;
/// The most connections.
pub const CONNECTIONS_MAX: usize = 100;
/// How exactly it is known when a token was last used: what is written at most so often. Seconds.
pub const LAST_USED_SECONDS: u64 = 600;

/// Which attribute of a person is the subject (`sub`) of their sign-in at the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectAttribute {
    /// `externalId`: what the source calls the person for itself.
    ExternalId,
    /// `userName`.
    UserName,
    /// `id`: what we call the person.
    Id,
    /// The e-mail address of the type `work`.
    WorkEmail,
}

/// A token of a connection, as far as it is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownToken {
    /// What is kept of it.
    pub hash: TokenHash,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last used, give or take [`LAST_USED_SECONDS`]. `None`: never yet.
    pub last_used_at: Option<UnixMillis>,
}

/// A source that provisions people by SCIM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Where its people sign in.
    pub issuer: IssuerId,
    /// As whom they do.
    pub subject: SubjectAttribute,
    /// What it may say.
    pub terms: Terms,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Its tokens, the oldest first.
    pub tokens: Vec<KnownToken>,
}

// === impl SubjectAttribute ===

impl SubjectAttribute {
    /// Every attribute.
    pub const ALL: [Self; 4] = [Self::ExternalId, Self::UserName, Self::Id, Self::WorkEmail];

    /// The word for it in commands, the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExternalId => "externalId",
            Self::UserName => "userName",
            Self::Id => "id",
            Self::WorkEmail => "emails.work",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.as_str() == word)
    }
}
