//! What a provider is asked: the authorization request (OpenID Connect Core §3.1.2.1).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::demand::{Demand, Strength};
use doorward_model::limits::CLAIM_BYTES_MAX;
use doorward_model::{IssuerId, UnixMillis};
use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::config::SignInTerms;

/// What a provider is asked. State, nonce and verifier are random, new for each attempt, and of visible
/// ASCII characters; the verifier has 43 to 128 of those of RFC 7636 §4.1.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Where the browser comes back to, exactly as the provider has it registered.
    pub redirect_uri: &'a str,
    /// What ties the answer to the browser that asked.
    pub state: &'a str,
    /// What ties the ID token to this attempt.
    pub nonce: &'a str,
    /// What only who asked can redeem the code with.
    pub code_verifier: &'a str,
    /// What the sign-in must prove.
    pub demand: Demand,
    /// Who is expected to sign in, by their address; left out where it is longer than a claim may be.
    pub login_hint: Option<&'a str>,
    /// What the provider shows the person in any case.
    pub prompt: Option<Prompt>,
}

/// What is remembered of a sign-in that was begun, to hold the answer against it.
#[derive(Clone, Copy)]
pub struct Begun<'a> {
    /// Whom we asked.
    pub issuer: &'a IssuerId,
    /// As in [`Ask::redirect_uri`].
    pub redirect_uri: &'a str,
    /// As in [`Ask::nonce`].
    pub nonce: &'a str,
    /// As in [`Ask::code_verifier`].
    pub code_verifier: &'a str,
    /// As in [`Ask::demand`].
    pub demand: Demand,
    /// When we asked.
    pub asked_at: UnixMillis,
}

/// What the provider shows the person though it need not (`prompt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// To sign in again.
    Login,
    /// To choose who they are.
    SelectAccount,
}

// === impl Ask ===

/// Without what only this browser and we know.
impl fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("redirect_uri", &self.redirect_uri)
            .field("demand", &self.demand)
            .field("prompt", &self.prompt)
            .finish_non_exhaustive()
    }
}

// === impl Begun ===

/// Without what only this browser and we know.
impl fmt::Debug for Begun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun")
            .field("issuer", &self.issuer)
            .field("redirect_uri", &self.redirect_uri)
            .field("demand", &self.demand)
            .field("asked_at", &self.asked_at)
            .finish_non_exhaustive()
    }
}

// === impl Prompt ===

impl Prompt {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::SelectAccount => "select_account",
        }
    }
}

/// The address of the request. `endpoint` may have a query of its own (RFC 6749 §3.1).
pub(super) fn address(endpoint: &Url, terms: &SignInTerms, ask: &Ask<'_>) -> String {
    let mut url = endpoint.clone();
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, ask.code_verifier.as_bytes()));
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &terms.client_id)
            .append_pair("redirect_uri", ask.redirect_uri)
            .append_pair("scope", &terms.scopes.join(" "))
            .append_pair("state", ask.state)
            .append_pair("nonce", ask.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let acr_values = match ask.demand.strength {
            Strength::Any => &[][..],
            Strength::Mfa => &terms.mfa_acr_values,
            Strength::PhishingResistant => &terms.phishing_resistant_acr_values,
        };
        if !acr_values.is_empty() {
            query.append_pair("acr_values", &acr_values.join(" "));
        }
        if let Some(max_age) = ask.demand.max_age {
            query.append_pair("max_age", &max_age.as_secs().to_string());
        }
        let again = ask.demand.max_age.is_some() && terms.prompt_login_on_max_age;
        if let Some(prompt) = if again { Some(Prompt::Login) } else { ask.prompt } {
            query.append_pair("prompt", prompt.as_str());
        }
        if let Some(claims) = claims(terms, &ask.demand) {
            query.append_pair("claims", &claims);
        }
        if let Some(hint) = ask.login_hint.filter(|h| h.len() <= CLAIM_BYTES_MAX) {
            query.append_pair("login_hint", hint);
        }
        for (name, value) in &terms.parameters {
            query.append_pair(name, value);
        }
    }
    url.into()
}

/// The parameter `claims` (OpenID Connect Core §5.5): for providers whose words for a strong sign-in, or whose
/// time of it, stand in the token only when they are asked for by name.
fn claims(terms: &SignInTerms, demand: &Demand) -> Option<String> {
    let mut wanted = Map::new();
    if terms.claims_auth_time {
        wanted.insert("auth_time".to_owned(), json!({"essential": true}));
    }
    let context = match demand.strength {
        Strength::Any => None,
        Strength::Mfa => terms.claims_acrs.mfa.as_deref(),
        Strength::PhishingResistant => terms.claims_acrs.phishing_resistant.as_deref(),
    };
    if let Some(context) = context {
        wanted.insert("acrs".to_owned(), json!({"essential": true, "value": context}));
    }
    (!wanted.is_empty()).then(|| json!({"id_token": Value::Object(wanted)}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_about_an_attempt_is_never_shown() {
        let issuer = IssuerId::new("corp").unwrap();
        let ask = Ask {
            redirect_uri: "https://login.corp.example/.doorward/callback/corp",
            state: "s3cret-state",
            nonce: "s3cret-nonce",
            code_verifier: "s3cret-verifier",
            demand: Demand::default(),
            login_hint: Some("s3cret@corp.example"),
            prompt: None,
        };
        let begun = Begun {
            issuer: &issuer,
            redirect_uri: ask.redirect_uri,
            nonce: ask.nonce,
            code_verifier: ask.code_verifier,
            demand: ask.demand,
            asked_at: UnixMillis::default(),
        };
        let shown = format!("{ask:?} {begun:?}");
        assert!(shown.contains("callback/corp") && !shown.contains("s3cret"), "{shown}");
    }
}
