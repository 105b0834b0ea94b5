//! Where people with a browser sign in: a page that asks who they want to be, and with what they want to prove it.
//! The provider's side of OpenID Connect Core 1.0 §3.1 (code flow) and §12, with PKCE (RFC 7636, S256 alone),
//! `iss` in the answer (RFC 9207), rotating refresh tokens, revocation (RFC 7009) and RP-Initiated Logout 1.0.
//!
//! ```text
//!   asked    what the browser is sent here with, checked
//!   page     what it shows
//!   memory   codes, sign-ins and refresh tokens: bounded, and gone with the process
//!   tokens   what the client gets for a code or a refresh token
//!   http     which address is which
//! ```
//!
//! Invariants:
//! * It has one client, whose secret is made at the start, and sends browsers to that client's two addresses only.
//! * The ID token says what the person chose, never what was asked for. So a visitor of the demo can see what
//!   happens when a provider proves less than a policy wants.
//! * A browser that signs in again as the same person keeps its session here (`sid`); as somebody else it gets another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use doorward_model::UnixMillis;
use serde_json::{Value, json};

use super::{Provider, ProviderError, random_id};

mod asked;
mod http;
mod memory;
mod page;
mod tokens;

use memory::Memory;

/// What the desk calls the gateway; the `aud` of ID tokens.
pub const CLIENT_ID: &str = "doorward-browser";

/// With what somebody proves who they are. Nobody is asked for any of it: the visitor says what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// A password.
    Password,
    /// A password, and a code from a phone.
    Mfa,
    /// A password, and a security key.
    Key,
}

/// The desk of a provider. Clones share what it remembers.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    provider: Provider,
    secret: String,
    redirect_uri: String,
    signed_out_uri: String,
    memory: Mutex<Memory>,
}

// === impl Proof ===

impl Proof {
    /// From the weakest to the strongest.
    pub const ALL: [Self; 3] = [Self::Password, Self::Mfa, Self::Key];

    /// The word for it in `acr` and `acr_values`.
    #[must_use]
    pub const fn acr(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Mfa => "mfa",
            Self::Key => "key",
        }
    }

    /// The words for it in `amr` (RFC 8176 §2).
    #[must_use]
    pub const fn amr(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["pwd"],
            Self::Mfa => &["pwd", "otp", "mfa"],
            Self::Key => &["pwd", "hwk", "mfa"],
        }
    }

    /// The words for it on a page.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Password => "a password only",
            Self::Mfa => "a password and a code from the phone",
            Self::Key => "a password and a security key",
        }
    }
}

// === impl Desk ===

impl Desk {
    /// A desk for the gateway whose people sign in at `origin`, such as `https://login.localhost:8443`.
    ///
    /// # Errors
    /// When the system gives no randomness for the client's secret.
    pub fn new(provider: Provider, origin: &str) -> Result<Self, ProviderError> {
        let inner = Inner {
            secret: format!("{}{}", random_id()?, random_id()?),
            redirect_uri: format!("{origin}/.doorward/callback/{}", super::ISSUER_ID),
            signed_out_uri: format!("{origin}/.doorward/signed-out"),
            memory: Mutex::default(),
            provider,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What the gateway proves itself with as [`CLIENT_ID`].
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.inner.secret
    }

    /// The pages of the provider and of the desk; see the [module](self).
    pub fn router(&self) -> Router {
        super::http::behind_local_names(
            super::http::routes(self.inner.provider.clone(), self.discovery())
                .merge(http::routes(self.clone())),
        )
    }

    /// The provider's document, with what a browser needs.
    #[must_use]
    pub fn discovery(&self) -> Value {
        let mut document = self.inner.provider.discovery();
        let issuer = self.issuer();
        let more = json!({
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/oidc/token"),
            "revocation_endpoint": format!("{issuer}/oidc/revoke"),
            "end_session_endpoint": format!("{issuer}/sign-out"),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "acr_values_supported": Proof::ALL.map(Proof::acr),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": true,
        });
        if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
            document.extend(more);
        }
        document
    }

    fn issuer(&self) -> &str {
        self.inner.provider.issuer()
    }

    fn now(&self) -> UnixMillis {
        (self.inner.provider.inner.clock)()
    }

    /// Nothing here leaves half a change behind, so a poisoned lock is as good as any.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the secret.
impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("redirect_uri", &self.inner.redirect_uri).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
