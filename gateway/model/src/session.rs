//! A sign-in and what it proved.

use std::fmt;
use std::sync::Arc;

use crate::principal::{IdError, IssuerId};
use crate::time::UnixMillis;

/// Checks the text of an identifier that others chose: 1 to 255 visible bytes.
pub(crate) fn visible(value: &str, what: &'static str) -> Result<Arc<str>, IdError> {
    if value.is_empty() || value.len() > 255 || !value.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(IdError::Other {
            value: value.chars().take(40).collect(),
            what,
            rule: "use 1 to 255 visible ASCII characters",
        });
    }
    Ok(value.into())
}

/// An identifier that is unique within one issuer, such as a session (`sid`) or a token (`jti`).
macro_rules! issued_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            issuer: IssuerId,
            id: Arc<str>,
        }

        impl $name {
            /// Checks and takes an identifier.
            ///
            /// # Errors
            /// When it is empty, longer than 255 bytes, or not visible ASCII.
            pub fn new(issuer: IssuerId, id: &str) -> Result<Self, IdError> {
                Ok(Self { issuer, id: visible(id, $what)? })
            }

            /// Who gave it out.
            #[must_use]
            pub const fn issuer(&self) -> &IssuerId {
                &self.issuer
            }

            /// The identifier itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.id
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", self.issuer, self.id)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(s: &str) -> Result<Self, IdError> {
                let (issuer, id) = s.split_once(':').ok_or_else(|| IdError::NoIssuer(s.to_owned()))?;
                Self::new(IssuerId::new(issuer)?, id)
            }
        }
    };
}

issued_id!(
    /// One sign-in at one issuer: the claim `sid` (OpenID Connect Back-Channel Logout §2.1).
    SessionId,
    "a session id"
);
issued_id!(
    /// One token of one issuer: the claim `jti` (RFC 7519 §4.1.7).
    TokenId,
    "a token id"
);

impl TokenId {
    /// The name of a token that was made here for a machine. Unlike the claim `jti` it is ours, so it always fits.
    pub(crate) fn of_machine(issuer: IssuerId, name: &str) -> Self {
        Self { issuer, id: format!("dwsa-{name}").into() }
    }

    /// The name of a browser's session that was made here: `dws-` and its 128 random bits in base64url
    /// (RFC 4648 §5). It is ours, so it always fits.
    #[must_use]
    pub fn of_browser(issuer: IssuerId, bits: u128) -> Self {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = |six: u128| char::from(LETTERS.get((six & 63) as usize).copied().unwrap_or(b'A'));
        let last = letter(bits << 4);
        let id: String =
            "dws-".chars().chain((0..21).map(|i| letter(bits >> (122 - 6 * i)))).chain([last]).collect();
        Self { issuer, id: id.into() }
    }
}

/// A sign-in and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSession {
    /// Who vouches for it.
    pub issuer: IssuerId,
    /// The session at the issuer, when the token names it.
    pub session: Option<SessionId>,
    /// The token, when it has a name.
    pub token: Option<TokenId>,
    /// When the credential was made (`iat`), to the second for a JWT.
    pub issued_at: UnixMillis,
    /// When it ends (`exp`).
    pub expires_at: UnixMillis,
}
