//! The gateway's no.
//!
//! A closed list: each kind has a code that never changes, an HTTP status, a gRPC status, and
//! one sentence for the person at the door. What the operator reads is kept apart, in
//! [`Refusal::detail`], and never leaves the house. The crate `proxy` turns a refusal into an
//! answer, in one file.

use std::fmt;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCode {
    /// The request is not well-formed, or could be read in two ways.
    BadRequest,
    /// The method is not one that the gateway forwards.
    MethodNotAllowed,
    /// The header is larger than the limit.
    HeaderTooLarge,
    /// The body is larger than the route allows.
    BodyTooLarge,
    /// The request took too long to arrive.
    RequestTimeout,
    /// The host of the request is not the one that the TLS handshake named (RFC 9110 §15.5.20).
    Misdirected,
    /// No app lives at this host and path.
    NoRoute,
    /// The address of the client cannot be told, though a trusted proxy said something.
    ClientAddress,
    /// Nothing was presented that says who asks.
    Unauthenticated,
    /// What was presented is not valid.
    InvalidCredential,
    /// What was presented has expired.
    ExpiredCredential,
    /// The keys of the issuer cannot be had, so nothing can be checked.
    KeysUnavailable,
    /// The access was taken away.
    Revoked,
    /// The person or machine was cut off until further notice.
    Disabled,
    /// It cannot be proved that the revocations known here are fresh.
    StaleRevocations,
    /// The policies say no: a forbid applies.
    PolicyForbids,
    /// The policies say no: nothing permits it.
    NoPermit,
    /// A policy could not be evaluated.
    PolicyError,
    /// A WebSocket was asked for by a page of another origin.
    ForeignOrigin,
    /// The decision cannot be recorded.
    AuditUnavailable,
    /// The app does not answer.
    UpstreamUnavailable,
    /// The app does not answer in time.
    UpstreamTimeout,
    /// The gateway has too much to do.
    Overloaded,
    /// The gateway failed.
    Internal,
}

impl RefusalCode {
    /// Every code.
    pub const ALL: [Self; 24] = [
        Self::BadRequest,
        Self::MethodNotAllowed,
        Self::HeaderTooLarge,
        Self::BodyTooLarge,
        Self::RequestTimeout,
        Self::Misdirected,
        Self::NoRoute,
        Self::ClientAddress,
        Self::Unauthenticated,
        Self::InvalidCredential,
        Self::ExpiredCredential,
        Self::KeysUnavailable,
        Self::Revoked,
        Self::Disabled,
        Self::StaleRevocations,
        Self::PolicyForbids,
        Self::NoPermit,
        Self::PolicyError,
        Self::ForeignOrigin,
        Self::AuditUnavailable,
        Self::UpstreamUnavailable,
        Self::UpstreamTimeout,
        Self::Overloaded,
        Self::Internal,
    ];

    /// The code in logs, metrics, answers and docs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::HeaderTooLarge => "header_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::ClientAddress => "client_address",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidCredential => "invalid_credential",
            Self::ExpiredCredential => "expired_credential",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::StaleRevocations => "stale_revocations",
            Self::PolicyForbids => "policy_forbids",
            Self::NoPermit => "no_permit",
            Self::PolicyError => "policy_error",
            Self::ForeignOrigin => "foreign_origin",
            Self::AuditUnavailable => "audit_unavailable",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status (RFC 9110 §15).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::ClientAddress => 400,
            Self::Unauthenticated
            | Self::InvalidCredential
            | Self::ExpiredCredential
            | Self::Revoked
            | Self::Disabled => 401,
            Self::PolicyForbids | Self::NoPermit | Self::PolicyError | Self::ForeignOrigin => 403,
            Self::NoRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::Misdirected => 421,
            Self::HeaderTooLarge => 431,
            Self::Internal => 500,
            Self::UpstreamUnavailable => 502,
            Self::KeysUnavailable | Self::StaleRevocations | Self::AuditUnavailable | Self::Overloaded => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The gRPC status code (`doc/statuscodes.md` of the gRPC project).
    #[must_use]
    pub const fn grpc_status(self) -> u8 {
        match self {
            Self::BadRequest | Self::ClientAddress | Self::HeaderTooLarge | Self::Misdirected => 3,
            Self::RequestTimeout | Self::UpstreamTimeout => 4,
            Self::NoRoute | Self::MethodNotAllowed => 12,
            Self::PolicyForbids | Self::NoPermit | Self::PolicyError | Self::ForeignOrigin => 7,
            Self::BodyTooLarge => 8,
            Self::Internal => 13,
            Self::KeysUnavailable
            | Self::StaleRevocations
            | Self::AuditUnavailable
            | Self::UpstreamUnavailable
            | Self::Overloaded => 14,
            Self::Unauthenticated
            | Self::InvalidCredential
            | Self::ExpiredCredential
            | Self::Revoked
            | Self::Disabled => 16,
        }
    }

    /// What the person at the door reads first.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "This request cannot be understood",
            Self::MethodNotAllowed => "This kind of request is not allowed",
            Self::HeaderTooLarge => "The request is too large",
            Self::BodyTooLarge => "The upload is too large",
            Self::RequestTimeout => "The request took too long",
            Self::Misdirected => "Wrong door",
            Self::NoRoute => "There is nothing here",
            Self::ClientAddress => "We cannot tell where you connect from",
            Self::Unauthenticated => "Please sign in",
            Self::InvalidCredential => "Your sign-in is not valid",
            Self::ExpiredCredential => "Your sign-in has expired",
            Self::KeysUnavailable => "Sign-ins cannot be checked right now",
            Self::Revoked => "Your access was ended",
            Self::Disabled => "Your account is not active",
            Self::StaleRevocations => "Access cannot be checked right now",
            Self::PolicyForbids | Self::NoPermit => "You do not have access",
            Self::PolicyError => "Access cannot be decided",
            Self::ForeignOrigin => "This connection was refused",
            Self::AuditUnavailable => "Access cannot be recorded right now",
            Self::UpstreamUnavailable => "The app is not available",
            Self::UpstreamTimeout => "The app takes too long to answer",
            Self::Overloaded => "Too busy right now",
            Self::Internal => "Something went wrong",
        }
    }

    /// What the person at the door can do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BadRequest | Self::Misdirected => "Check the address and try again.",
            Self::MethodNotAllowed => "Use the app's own pages to do this.",
            Self::HeaderTooLarge => "Clear the cookies of this site and try again.",
            Self::BodyTooLarge => "Send a smaller file.",
            Self::RequestTimeout => "Check your connection and try again.",
            Self::NoRoute => "Check the address. If it should work, tell the people who run this gateway.",
            Self::ClientAddress => {
                "Try again without a proxy. If that does not help, tell the people who run this gateway."
            }
            Self::Unauthenticated => "Sign in with your company account, then open this page again.",
            Self::InvalidCredential | Self::ExpiredCredential => "Sign in again.",
            Self::Revoked => "Sign in again. If you cannot, ask the people who manage accounts.",
            Self::Disabled => "Ask the people who manage accounts.",
            Self::KeysUnavailable
            | Self::StaleRevocations
            | Self::AuditUnavailable
            | Self::UpstreamUnavailable
            | Self::UpstreamTimeout
            | Self::Overloaded => "Wait a moment and try again.",
            Self::PolicyForbids | Self::NoPermit => {
                "If you need this for your work, ask the owner of the app and give them the request id below."
            }
            Self::PolicyError | Self::Internal => {
                "Tell the people who run this gateway and give them the request id below."
            }
            Self::ForeignOrigin => "Open the app itself and try again from there.",
        }
    }

    /// Whether trying the same again may help soon.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self.status(), 503)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: the code, what the policies want the person to read, and what only the operator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// A sentence for the person, from the deciding policy's annotation `@reason`.
    pub reason: Option<String>,
    /// What would help, from the deciding policies' annotation `@advice`, such as `step-up:mfa`.
    pub advice: Vec<String>,
    /// For the operator's log only. Never holds a secret: no token, cookie or key.
    pub detail: String,
}

impl Refusal {
    /// A refusal with a note for the operator.
    #[must_use]
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { code, reason: None, advice: Vec::new(), detail: detail.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            f.write_str(self.code.as_str())
        } else {
            write!(f, "{}: {}", self.code, self.detail)
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_words() {
        let words: std::collections::BTreeSet<_> = RefusalCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(words.len(), RefusalCode::ALL.len());
        assert!(words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn nothing_that_is_refused_looks_like_success() {
        assert!(RefusalCode::ALL.iter().all(|c| c.status() >= 400 && c.grpc_status() != 0));
    }
}
