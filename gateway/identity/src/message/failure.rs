//! Why a message is not taken, in the words of RFC 8935 §2.4 and SSF 1.0.

use std::fmt;

use doorward_model::{Refusal, RefusalCode};

/// What is told to the sender: a closed list of codes, each with one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// It cannot be read, or is not what it should be.
    InvalidRequest,
    /// The key, the algorithm or the signature.
    InvalidKey,
    /// The sender of this address is another one.
    InvalidIssuer,
    /// It was made for somebody else.
    InvalidAudience,
    /// The caller did not prove who it is.
    AuthenticationFailed,
    /// The caller may not send this here.
    AccessDenied,
    /// The `state` of a verification is not the one that was asked for (SSF 1.0 §8.1.4).
    InvalidState,
}

/// A message that is not taken, and never will be.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What the sender is told.
    pub code: Rejection,
    /// What the operator reads. Never leaves the house.
    pub detail: String,
}

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The message is not good. To send it again is of no use.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// We could not tell. The sender should try again.
    #[error("the keys of the sender cannot be had: {detail}")]
    KeysUnavailable {
        /// What the operator reads.
        detail: String,
    },
}

// === impl Rejection ===

impl Rejection {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::InvalidRequest,
        Self::InvalidKey,
        Self::InvalidIssuer,
        Self::InvalidAudience,
        Self::AuthenticationFailed,
        Self::AccessDenied,
        Self::InvalidState,
    ];

    /// The value of `err`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidKey => "invalid_key",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::AuthenticationFailed => "authentication_failed",
            Self::AccessDenied => "access_denied",
            Self::InvalidState => "invalid_state",
        }
    }

    /// The value of `description`: always the same for one code, so that it tells a stranger
    /// nothing about this house.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest => "the message cannot be read, or lacks or has what it must not",
            Self::InvalidKey => "no key that is accepted here made this signature",
            Self::InvalidIssuer => "the issuer is not the one that sends to this address",
            Self::InvalidAudience => "the message was made for another audience",
            Self::AuthenticationFailed => "the caller did not prove who it is",
            Self::AccessDenied => "the caller may not send this here",
            Self::InvalidState => "the state is not the one that was asked for",
        }
    }

    /// Makes a refusal of the strict layer one of this code.
    pub(super) fn with(self) -> impl Fn(Refusal) -> Rejected {
        move |refusal| Rejected::new(self, refusal.detail)
    }
}

// === impl Rejected ===

impl Rejected {
    /// A rejection with what the operator reads.
    #[must_use]
    pub fn new(code: Rejection, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("code", &self.code.as_str()).field("detail", &self.detail).finish()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Rejected {}

// === impl MessageError ===

impl MessageError {
    /// What the search for a key came to.
    pub(super) fn of_keys(refusal: Refusal) -> Self {
        if refusal.code == RefusalCode::KeysUnavailable {
            return Self::KeysUnavailable { detail: refusal.detail };
        }
        Rejected::new(Rejection::InvalidKey, refusal.detail).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_a_word_of_the_standard_with_a_sentence() {
        let words: Vec<&str> = Rejection::ALL.map(Rejection::as_str).into();
        assert_eq!(
            words,
            [
                "invalid_request",
                "invalid_key",
                "invalid_issuer",
                "invalid_audience",
                "authentication_failed",
                "access_denied",
                "invalid_state"
            ]
        );
        for code in Rejection::ALL {
            assert!(!code.description().is_empty() && !code.description().ends_with('.'), "{code:?}");
        }
    }
}
