//! The gateway's no.
//!
//! A closed list: each kind has a code that never changes, an HTTP status, a gRPC status, and
//! one sentence for the person at the door. What the operator reads is kept apart, in
//! [`Refusal::detail`], and never leaves the house. The crate `proxy` turns a refusal into an
//! answer, in one file.

use std::fmt;
use std::sync::Arc;

use crate::demand::Demand;

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
    /// The directory does not know who asks.
    UnknownPrincipal,
    /// What the directory says of who asks cannot be read, or not be followed to its end.
    DirectoryError,
    /// It cannot be proved that what is known of people here is fresh.
    StaleDirectory,
    /// The policies say no: a forbid applies.
    PolicyForbids,
    /// The policies say no: nothing permits it.
    NoPermit,
    /// A policy could not be evaluated.
    PolicyError,
    /// The policies say no, and a stronger or more recent sign-in would help (RFC 9470).
    StepUp,
    /// The app wants the certificate of a device, and there is none, or one that proves nothing.
    DeviceCertificate,
    /// A WebSocket was asked for by a page of another origin.
    ForeignOrigin,
    /// A page of another site asked, in somebody's name, for something to be done.
    CrossSite,
    /// A sign-in came back to another browser than it began in, too late, or a second time.
    SignInLost,
    /// Whoever vouches for people says no to a sign-in, or what it says of one cannot be trusted.
    SignInRefused,
    /// A sign-in does not prove what was demanded of it.
    WeakSignIn,
    /// What is said of a person does not fit into their session.
    SessionTooLarge,
    /// Whoever vouches for people cannot be asked.
    ProviderUnavailable,
    /// What is kept of sign-ins cannot be read or written.
    SessionsUnavailable,
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
    pub const ALL: [Self; 36] = [
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
        Self::UnknownPrincipal,
        Self::DirectoryError,
        Self::StaleDirectory,
        Self::PolicyForbids,
        Self::NoPermit,
        Self::PolicyError,
        Self::StepUp,
        Self::DeviceCertificate,
        Self::ForeignOrigin,
        Self::CrossSite,
        Self::SignInLost,
        Self::SignInRefused,
        Self::WeakSignIn,
        Self::SessionTooLarge,
        Self::ProviderUnavailable,
        Self::SessionsUnavailable,
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
            Self::UnknownPrincipal => "unknown_principal",
            Self::DirectoryError => "directory_error",
            Self::StaleDirectory => "stale_directory",
            Self::PolicyForbids => "policy_forbids",
            Self::NoPermit => "no_permit",
            Self::PolicyError => "policy_error",
            Self::StepUp => "step_up",
            Self::DeviceCertificate => "device_certificate",
            Self::ForeignOrigin => "foreign_origin",
            Self::CrossSite => "cross_site",
            Self::SignInLost => "sign_in_lost",
            Self::SignInRefused => "sign_in_refused",
            Self::WeakSignIn => "weak_sign_in",
            Self::SessionTooLarge => "session_too_large",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::SessionsUnavailable => "sessions_unavailable",
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
            Self::BadRequest | Self::ClientAddress | Self::SignInLost => 400,
            Self::Unauthenticated
            | Self::InvalidCredential
            | Self::ExpiredCredential
            | Self::Revoked
            | Self::Disabled
            | Self::StepUp => 401,
            Self::UnknownPrincipal
            | Self::DirectoryError
            | Self::PolicyForbids
            | Self::NoPermit
            | Self::PolicyError
            | Self::DeviceCertificate
            | Self::ForeignOrigin
            | Self::CrossSite
            | Self::SignInRefused
            | Self::WeakSignIn
            | Self::SessionTooLarge => 403,
            Self::NoRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::Misdirected => 421,
            Self::HeaderTooLarge => 431,
            Self::Internal => 500,
            Self::UpstreamUnavailable => 502,
            Self::KeysUnavailable
            | Self::StaleRevocations
            | Self::StaleDirectory
            | Self::ProviderUnavailable
            | Self::SessionsUnavailable
            | Self::AuditUnavailable
            | Self::Overloaded => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The gRPC status code (`doc/statuscodes.md` of the gRPC project).
    #[must_use]
    pub const fn grpc_status(self) -> u8 {
        match self {
            Self::BadRequest
            | Self::ClientAddress
            | Self::HeaderTooLarge
            | Self::Misdirected
            | Self::SignInLost => 3,
            Self::RequestTimeout | Self::UpstreamTimeout => 4,
            Self::NoRoute | Self::MethodNotAllowed => 12,
            Self::UnknownPrincipal
            | Self::DirectoryError
            | Self::PolicyForbids
            | Self::NoPermit
            | Self::PolicyError
            | Self::DeviceCertificate
            | Self::ForeignOrigin
            | Self::CrossSite
            | Self::SignInRefused
            | Self::WeakSignIn
            | Self::SessionTooLarge => 7,
            Self::BodyTooLarge => 8,
            Self::Internal => 13,
            Self::KeysUnavailable
            | Self::StaleRevocations
            | Self::StaleDirectory
            | Self::ProviderUnavailable
            | Self::SessionsUnavailable
            | Self::AuditUnavailable
            | Self::UpstreamUnavailable
            | Self::Overloaded => 14,
            Self::Unauthenticated
            | Self::InvalidCredential
            | Self::ExpiredCredential
            | Self::Revoked
            | Self::Disabled
            | Self::StepUp => 16,
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
            Self::StaleRevocations | Self::StaleDirectory => "Access cannot be checked right now",
            Self::UnknownPrincipal => "You are not known here",
            Self::PolicyForbids | Self::NoPermit => "You do not have access",
            Self::DirectoryError | Self::PolicyError => "Access cannot be decided",
            Self::StepUp => "Please confirm that it is you",
            Self::DeviceCertificate => "Your device could not prove which one it is",
            Self::ForeignOrigin => "This connection was refused",
            Self::CrossSite => "This came from another site",
            Self::SignInLost => "This sign-in cannot be finished",
            Self::SignInRefused => "You were not signed in",
            Self::WeakSignIn => "A stronger sign-in is needed",
            Self::SessionTooLarge => "You are in too many groups",
            Self::ProviderUnavailable | Self::SessionsUnavailable => "Nobody can sign in right now",
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
            Self::SignInLost => {
                "It was begun in another browser, too long ago, or was finished already. Open the app again."
            }
            Self::Revoked | Self::SignInRefused => {
                "Sign in again. If you cannot, ask the people who manage accounts."
            }
            Self::WeakSignIn => {
                "Sign in with a second factor, such as a security key. If you have none, ask the people who manage accounts."
            }
            Self::SessionTooLarge => {
                "A sign-in cannot hold them all. Tell the people who run this gateway: `people = \"known\"` in `[directory]` keeps groups elsewhere."
            }
            Self::Disabled => "Ask the people who manage accounts.",
            Self::UnknownPrincipal => {
                "Ask the people who manage accounts to add you, and give them the request id below."
            }
            Self::KeysUnavailable
            | Self::StaleRevocations
            | Self::StaleDirectory
            | Self::ProviderUnavailable
            | Self::SessionsUnavailable
            | Self::AuditUnavailable
            | Self::UpstreamUnavailable
            | Self::UpstreamTimeout
            | Self::Overloaded => "Wait a moment and try again.",
            Self::PolicyForbids | Self::NoPermit => {
                "If you need this for your work, ask the owner of the app and give them the request id below."
            }
            Self::DirectoryError | Self::PolicyError | Self::Internal => {
                "Tell the people who run this gateway and give them the request id below."
            }
            Self::StepUp => "Sign in again, in the way that is asked for.",
            Self::DeviceCertificate => {
                "Close the browser, open it again and choose the certificate of your device when you are asked. If you \
                 are not, ask the people who look after your device."
            }
            Self::ForeignOrigin | Self::CrossSite => "Open the app itself and try again from there.",
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
    /// The sign-in that would help, where nothing else stands in the way.
    pub demand: Option<Demand>,
    /// What failed, and what would help: of a refusal at the door. Boxed, because few have one.
    pub explained: Option<Box<Explained>>,
    /// For the operator's log only. Never holds a secret: no token, cookie or key.
    pub detail: String,
}

/// What in the policies failed, and what would help.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// What the person can do about it there and then, in fixed sentences: with all of it they would pass.
    pub next: Vec<&'static str>,
    /// For the operator's log only: what in the policies failed.
    pub clauses: Vec<FailedClause>,
}

/// A part of a policy that failed. It names facts, and has the value of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedClause {
    /// The policy.
    pub policy: Arc<str>,
    /// The bytes of the part in the policy's own text: its beginning and its end.
    pub span: Option<(usize, usize)>,
    /// The facts that it reads, as policies call them.
    pub facts: Vec<String>,
}

impl Refusal {
    /// A refusal with a note for the operator.
    #[must_use]
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { code, reason: None, advice: Vec::new(), demand: None, explained: None, detail }
    }

    /// What the person can do about it; nothing where nobody looked.
    #[must_use]
    pub fn next(&self) -> &[&'static str] {
        self.explained.as_ref().map_or(&[], |e| &e.next)
    }

    /// What in the policies failed; nothing where nobody looked.
    #[must_use]
    pub fn clauses(&self) -> &[FailedClause] {
        self.explained.as_ref().map_or(&[], |e| &e.clauses)
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
