//! We prove to a provider that we are its client (OpenID Connect Core §9).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward_model::UnixMillis;
use jsonwebtoken::Header;
use serde_json::json;

use super::form;
use crate::config::{Assertion, ClientAuth, SignInTerms};
use crate::secret::Secret;

/// How long an assertion is good for, in seconds.
const ASSERTION_SECONDS: i64 = 60;
/// What a body says when a signature proves who we are (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request says to prove who we are.
pub(super) struct Proof {
    /// The value of `Authorization`.
    pub(super) header: Option<Secret>,
    /// The secret itself, where the header has it encoded.
    pub(super) secret: Option<Secret>,
    /// Further pairs of the body.
    pub(super) pairs: Vec<(&'static str, Secret)>,
}

/// Proves who we are to the endpoint at `token_endpoint` of `issuer`. `random` names the assertion.
pub(super) fn prove(
    terms: &SignInTerms,
    issuer: &str,
    token_endpoint: &str,
    random: [u8; 16],
    now: UnixMillis,
) -> Result<Proof, String> {
    let id = || ("client_id", Secret::new(terms.client_id.as_str()));
    match &terms.client {
        ClientAuth::Basic(secret) => {
            // Both are form-encoded first (RFC 6749 §2.3.1).
            let pair = format!("{}:{}", form::encoded(&terms.client_id), form::encoded(secret.expose()));
            let header = Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))));
            Ok(Proof { header, secret: Some(secret.clone()), pairs: Vec::new() })
        }
        ClientAuth::Post(secret) => {
            let pairs = vec![id(), ("client_secret", secret.clone())];
            Ok(Proof { header: None, secret: None, pairs })
        }
        ClientAuth::Key(assertion) => {
            let audience = if assertion.for_issuer { issuer } else { token_endpoint };
            let signed = signed(assertion, &terms.client_id, audience, random, now)?;
            let pairs = vec![
                id(),
                ("client_assertion_type", Secret::new(ASSERTION_TYPE)),
                ("client_assertion", Secret::new(signed)),
            ];
            Ok(Proof { header: None, secret: None, pairs })
        }
    }
}

/// A JWT by which the client speaks for itself (RFC 7523 §3).
fn signed(
    assertion: &Assertion,
    client_id: &str,
    audience: &str,
    random: [u8; 16],
    now: UnixMillis,
) -> Result<String, String> {
    let mut header = Header::new(assertion.algorithm);
    header.kid.clone_from(&assertion.key_id);
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": now.seconds(),
        "exp": now.seconds().saturating_add(ASSERTION_SECONDS),
        "jti": URL_SAFE_NO_PAD.encode(random),
    });
    jsonwebtoken::encode(&header, &claims, &assertion.key)
        .map_err(|_| "the key of this gateway does not sign".to_owned())
}
