//! A small identity provider for development: anybody gets a token for anybody, without a
//! password. It speaks what the gateway needs of OpenID Connect Discovery 1.0 and RFC 7517, and
//! its access tokens follow RFC 9068. People with a browser go to its [`Desk`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use doorward_model::time::Clock;
use serde_json::{Value, json};

mod claims;
mod desk;
mod http;
mod key;
mod people;

pub use claims::{SignIn, Switch};
pub use desk::{CLIENT_ID, Desk, Proof};
pub use key::{KeyError, SigningKey, encode, random_id};
pub use people::{PEOPLE, Person};

/// The audience of every token: the gateway's demo configuration asks for it.
pub const AUDIENCE: &str = "doorward";
/// The short name of this provider in the demo's configuration; people are `demo:<name>`.
pub const ISSUER_ID: &str = "demo";
/// The short name of the provider of those whom the directory knows; their tokens say who they are and
/// nothing more that counts.
pub const CORP_ID: &str = "corp";
/// The longest life of a token, in minutes.
pub const TOKEN_MINUTES_MAX: i64 = 12 * 60;

/// The identity provider. Clones share keys.
#[derive(Clone)]
pub struct Provider {
    inner: Arc<Inner>,
}

struct Inner {
    issuer: String,
    clock: Clock,
    keys: Mutex<Keys>,
}

/// What signs, and what is published; the two differ after [`Provider::drop_key`].
struct Keys {
    signing: Arc<SigningKey>,
    published: Vec<Arc<SigningKey>>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nobody has that name.
    #[error("nobody here is called `{name}`: choose one of {known}", known = people::names())]
    NoSuchPerson {
        /// The name that was asked for.
        name: String,
    },
    /// A life that is not between a minute and [`TOKEN_MINUTES_MAX`].
    #[error("a token cannot live for `{0}` minutes: choose 1 to {TOKEN_MINUTES_MAX}")]
    Minutes(i64),
    /// The key could not be made or did not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Provider {
    /// A provider that calls itself `issuer` (the claim `iss`, a URL without a slash at its end) and
    /// has made one key.
    ///
    /// # Errors
    /// When the system gives no randomness for the key.
    pub fn new(issuer: impl Into<String>, clock: Clock) -> Result<Self, ProviderError> {
        let first = Arc::new(SigningKey::generate()?);
        let keys = Keys { signing: Arc::clone(&first), published: vec![first] };
        let inner = Inner { issuer: issuer.into(), clock, keys: Mutex::new(keys) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What it calls itself.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// Its pages; see the [module](self).
    pub fn router(&self) -> Router {
        http::behind_local_names(http::routes(self.clone(), self.discovery()))
    }

    /// A token for a person.
    ///
    /// # Errors
    /// When nobody has that name, or the life is out of bounds.
    pub fn sign_in(&self, how: &SignIn) -> Result<String, ProviderError> {
        self.issue(&self.claims(how)?)
    }

    /// The claims that [`Provider::sign_in`] would sign: a test changes one and calls
    /// [`Provider::issue`].
    ///
    /// # Errors
    /// As [`Provider::sign_in`].
    pub fn claims(&self, how: &SignIn) -> Result<Value, ProviderError> {
        claims::claims(how, &self.inner.issuer, (self.inner.clock)())
    }

    /// A token with any claims at all, signed by the current key.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn issue(&self, claims: &Value) -> Result<String, ProviderError> {
        self.signed("at+jwt", claims)
    }

    /// A token of a type (`typ`, RFC 7515 §4.1.9).
    fn signed(&self, token_type: &str, claims: &Value) -> Result<String, ProviderError> {
        let key = self.signing_key();
        let header = json!({"typ": token_type, "alg": "ES256", "kid": key.kid()});
        Ok(key.sign(&header.to_string(), &claims.to_string())?)
    }

    /// The key that signs now.
    #[must_use]
    pub fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.keys().signing)
    }

    /// Makes a new key, which signs from now on; the old ones stay published. Answers its id.
    ///
    /// # Errors
    /// When the system gives no randomness for the key.
    pub fn rotate_key(&self) -> Result<String, ProviderError> {
        let fresh = Arc::new(SigningKey::generate()?);
        let kid = fresh.kid().to_owned();
        let mut keys = self.keys();
        keys.published.push(Arc::clone(&fresh));
        keys.signing = fresh;
        Ok(kid)
    }

    /// Takes a key out of the published set; false when it was not there. A signing key goes on
    /// signing, so that a test can show a token of a key that nobody vouches for.
    pub fn drop_key(&self, kid: &str) -> bool {
        let mut keys = self.keys();
        let before = keys.published.len();
        keys.published.retain(|k| k.kid() != kid);
        keys.published.len() < before
    }

    /// The ids of the published keys.
    #[must_use]
    pub fn key_ids(&self) -> BTreeSet<String> {
        self.keys().published.iter().map(|k| k.kid().to_owned()).collect()
    }

    /// The published key set (RFC 7517 §5).
    #[must_use]
    pub fn key_set(&self) -> Value {
        let keys: Vec<Value> = self.keys().published.iter().map(|k| k.jwk()).collect();
        json!({ "keys": keys })
    }

    /// Where to find what (OpenID Connect Discovery 1.0 §3).
    #[must_use]
    pub fn discovery(&self) -> Value {
        let issuer = &self.inner.issuer;
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/keys"),
            "token_endpoint": format!("{issuer}/token"),
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// Nothing here leaves half a change behind, so a poisoned lock is as good as any.
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.inner.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
