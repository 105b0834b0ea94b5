//! The ID token (OpenID Connect Core §2, §3.1.3.7): the strict layer of all tokens, and what only this kind
//! has to say.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::limits::ID_TOKEN_AGE_SECONDS_MAX;
use doorward_model::{Refusal, SubjectId, UnixMillis};
use serde_json::Value;

use crate::algorithm::SigningAlgorithm;
use crate::claims::Claims;
use crate::config::Issuer;
use crate::header;
use crate::keys::KeyRing;
use crate::secret::Secret;
use crate::times::TokenTimes;
use crate::words::{refuse, shown};

/// What the token must belong to.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) ring: &'a Arc<KeyRing>,
    pub(super) client_id: &'a str,
    /// None for the token of a refresh, which answers no sign-in.
    pub(super) nonce: Option<&'a str>,
    /// The code that it was given for.
    pub(super) code: Option<&'a Secret>,
    /// The access token that came with it.
    pub(super) access: Option<&'a Secret>,
    /// The sign-in was asked to be recent, so that the provider must say when it was (Core §2).
    pub(super) must_say_when: bool,
    pub(super) times: TokenTimes,
    pub(super) now: UnixMillis,
}

/// An ID token that was found good.
#[derive(Debug)]
pub(super) struct IdToken {
    pub(super) claims: Claims,
    pub(super) subject: SubjectId,
    /// `iat`, to the second.
    pub(super) issued_at: UnixMillis,
}

/// Kinds of token that some providers name in a claim: Keycloak (`typ`), Cognito (`token_use`).
const OTHER_KINDS: [(&str, &[&str]); 2] =
    [("typ", &["Bearer", "Refresh", "Offline", "Logout"]), ("token_use", &["access"])];

/// Verifies an ID token that came straight from the token endpoint.
pub(super) async fn verify(token: &Secret, expected: &Expected<'_>) -> Result<IdToken, Refusal> {
    let opened = header::open(token.expose())?;
    let typ = opened.token_type()?;
    if !matches!(typ.as_str(), "" | "jwt") {
        return refuse(format!("the token is of type `{}`, not an ID token", shown(&typ, 40)));
    }
    let issuer = expected.issuer;
    let says = opened.claims.issuer()?;
    if says != issuer.url {
        return refuse(format!("the token is of `{}`, not of `{}`", shown(says, 100), issuer.id));
    }
    let header = opened.header_for(&issuer.id, &issuer.algorithms)?;
    expected.ring.epoch_that_signed(&opened, &header, expected.now).await?;
    // From here on the claims are the issuer's own words.
    let claims = opened.claims;
    is_id_token(&claims)?;
    audience(&claims, expected.client_id)?;
    let lifetime = claims.lifetime(&expected.times, expected.now)?;
    if expected.now.since(lifetime.issued_at) > Duration::from_secs(ID_TOKEN_AGE_SECONDS_MAX) {
        return refuse("`iat` is too long ago for a token that was just given");
    }
    nonce(&claims, expected.nonce)?;
    for (name, of) in [("at_hash", expected.access), ("c_hash", expected.code)] {
        hash(&claims, name, of, header.algorithm)?;
    }
    if expected.must_say_when && claims.date("auth_time")?.is_none() {
        return refuse(
            "the token does not say when the person signed in (`auth_time`), though that was asked",
        );
    }
    let subject = claims.subject(&issuer.subject_claim)?;
    Ok(IdToken { claims, subject, issued_at: lifetime.issued_at })
}

/// Refuses what is plainly a token of another kind, where `typ` of the header does not tell.
fn is_id_token(claims: &Claims) -> Result<(), Refusal> {
    if claims.0.contains_key("events") {
        return refuse("the token has `events`, so it is a message, not an ID token");
    }
    if claims.0.contains_key("act") {
        return refuse("the token has `act`, but a person signs in for themselves");
    }
    for (name, kinds) in OTHER_KINDS {
        if let Some(Value::String(kind)) = claims.0.get(name)
            && kinds.iter().any(|k| k.eq_ignore_ascii_case(kind))
        {
            return refuse(format!("the claim `{name}` says `{kind}`, so the token is not an ID token"));
        }
    }
    Ok(())
}

/// We are the audience, and where there are several, or it is said at all, it was made for us (`azp`).
fn audience(claims: &Claims, client_id: &str) -> Result<(), Refusal> {
    claims.audience(&[client_id.to_owned()])?;
    let several = claims.0.get("aud").and_then(Value::as_array).is_some_and(|list| list.len() > 1);
    match claims.0.get("azp") {
        None if several => {
            refuse("the token has several audiences and does not say for whom it was made (`azp`)")
        }
        None => Ok(()),
        Some(Value::String(party)) if party == client_id => Ok(()),
        Some(Value::String(_)) => refuse("the token was made for another client (`azp`)"),
        Some(_) => refuse("`azp` is not text"),
    }
}

fn nonce(claims: &Claims, expected: Option<&str>) -> Result<(), Refusal> {
    // In the token of a refresh it is of a sign-in whose nonce nobody keeps (Core §12.2).
    let Some(expected) = expected else { return Ok(()) };
    match claims.0.get("nonce") {
        Some(Value::String(says)) if same(says, expected) => Ok(()),
        Some(Value::String(_)) => refuse("the token answers another sign-in (`nonce`)"),
        Some(_) => refuse("`nonce` is not text"),
        None => refuse("the token does not say which sign-in it answers (`nonce`)"),
    }
}

/// The left half of the digest of what came along, by the algorithm of the token (Core §3.1.3.6, §3.3.2.11).
fn hash(
    claims: &Claims,
    name: &str,
    of: Option<&Secret>,
    algorithm: SigningAlgorithm,
) -> Result<(), Refusal> {
    let says = match claims.0.get(name) {
        None => return Ok(()),
        Some(Value::String(says)) => says,
        Some(_) => return refuse(format!("`{name}` is not text")),
    };
    let Some(of) = of else {
        return refuse(format!("the token has `{name}`, and what it is the digest of did not come along"));
    };
    let by = match algorithm {
        SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 | SigningAlgorithm::Es256 => &SHA256,
        SigningAlgorithm::Es384 => &SHA384,
        SigningAlgorithm::EdDsa => &SHA512,
    };
    let sum = digest(by, of.expose().as_bytes());
    let half = sum.as_ref().get(..sum.as_ref().len() / 2).unwrap_or_default();
    if same(says, &URL_SAFE_NO_PAD.encode(half)) {
        return Ok(());
    }
    refuse(format!("`{name}` is not the digest of what came with the token"))
}

fn same(a: &str, b: &str) -> bool {
    verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}
