//! What a browser is sent here with (OpenID Connect Core 1.0 §3.1.2.1).

use super::{CLIENT_ID, Desk, Proof};

/// The most parameters that are looked at.
const PAIRS_MAX: usize = 32;

/// A request that is the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) state: String,
    pub(super) nonce: String,
    /// `code_challenge` of S256.
    pub(super) challenge: String,
    /// The weakest proof that the client says it would take.
    pub(super) wanted: Option<Proof>,
    /// The sign-in is to be recent, which it always is here.
    pub(super) recent: bool,
    /// The person is to be asked nothing (`prompt=none`).
    pub(super) silent: bool,
    /// A refresh token is wanted.
    pub(super) offline: bool,
}

/// Why a request is not answered as it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not known whose it is, so the browser is sent nowhere.
    Stranger(&'static str),
    /// The client hears of it (RFC 6749 §4.1.2.1).
    Told { state: String, error: &'static str, description: &'static str },
}

/// Pairs of a query or a form.
pub(super) type Pairs = Vec<(String, String)>;

/// The one value of a name; an error when it is there twice.
pub(super) fn one<'a>(pairs: &'a Pairs, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(()),
    }
}

impl Desk {
    pub(super) fn asked(&self, pairs: &Pairs) -> Result<Asked, Wrong> {
        if pairs.len() > PAIRS_MAX {
            return Err(Wrong::Stranger("it has too many parameters"));
        }
        let first = |name: &str| one(pairs, name).map_err(|()| Wrong::Stranger("it has a parameter twice"));
        if first("client_id")? != Some(CLIENT_ID) {
            return Err(Wrong::Stranger("its `client_id` is not that of the demo's gateway"));
        }
        if first("redirect_uri")? != Some(self.inner.redirect_uri.as_str()) {
            return Err(Wrong::Stranger("its `redirect_uri` is not that of the demo's gateway"));
        }
        let state = first("state")?.unwrap_or_default().to_owned();
        let told = |error, description| Wrong::Told { state: state.clone(), error, description };
        if first("response_type")? != Some("code") {
            return Err(told("unsupported_response_type", "only codes are given"));
        }
        let scopes: Vec<&str> = first("scope")?.unwrap_or_default().split(' ').collect();
        if !scopes.contains(&"openid") {
            return Err(told("invalid_scope", "the scope openid is missing"));
        }
        let challenge = first("code_challenge")?.unwrap_or_default();
        if first("code_challenge_method")? != Some("S256") || challenge.len() != 43 {
            return Err(told("invalid_request", "PKCE with S256 is required"));
        }
        let nonce = first("nonce")?.unwrap_or_default();
        if nonce.is_empty() || state.is_empty() {
            return Err(told("invalid_request", "state and nonce are required"));
        }
        let acr_values = first("acr_values")?.unwrap_or_default();
        let wanted = Proof::ALL.into_iter().find(|proof| acr_values.split(' ').any(|acr| acr == proof.acr()));
        let prompt = first("prompt")?.unwrap_or_default();
        Ok(Asked {
            nonce: nonce.to_owned(),
            challenge: challenge.to_owned(),
            wanted,
            recent: first("max_age")?.is_some() || prompt == "login",
            silent: prompt == "none",
            offline: scopes.contains(&"offline_access"),
            state,
        })
    }
}
