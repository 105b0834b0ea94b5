//! A token taken apart, and its JOSE header (RFC 7515) read strictly.
//!
//! Nothing here is proved yet. Reading is strict all the same: the library that checks the
//! signature ignores `crit`, reads any `typ`, and would follow no key that a stranger put into
//! the token only because we never hand it one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::limits::{KEY_ID_BYTES_MAX, TOKEN_BYTES_MAX};
use doorward_model::{IssuerId, Refusal};
use serde_json::{Map, Value};

use crate::algorithm::SigningAlgorithm;
use crate::claims::Claims;
use crate::config::Issuer;
use crate::json;
use crate::words::{refuse, shown};

/// Header parameters that change how a token must be read, or bring a key along. A token that
/// has one is refused, whatever its value.
const REFUSED: [&str; 9] = ["crit", "b64", "zip", "cty", "enc", "jku", "jwk", "x5u", "x5c"];

/// A token taken apart. Whoever made it may be anyone.
pub(crate) struct Opened<'a> {
    /// What is signed: the first two segments and the dot between them.
    pub(crate) signing_input: &'a str,
    /// The third segment, still in base64url.
    pub(crate) signature: &'a str,
    /// The first segment.
    header: Map<String, Value>,
    /// The second segment.
    pub(crate) claims: Claims,
}

/// What the header says the token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Access: `at+jwt` (RFC 9068), or another type that is configured and says more than `JWT`.
    Access,
    /// `JWT` or nothing, as ID tokens have it too.
    NotSaid,
}

/// How the header says that the token is signed, found to be within what the issuer is configured
/// to use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// How it is signed.
    pub(crate) algorithm: SigningAlgorithm,
    /// The name of the key.
    pub(crate) key_id: Option<String>,
}

/// Takes a token apart: exactly three segments, each in canonical base64url without padding,
/// the first two of them JSON objects.
pub(crate) fn open(token: &str) -> Result<Opened<'_>, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return refuse("the token is longer than the limit");
    }
    let mut segments = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return refuse("the token does not have three segments");
    };
    let Some((signing_input, _)) = token.rsplit_once('.') else {
        return refuse("the token does not have three segments");
    };
    decode(signature, "signature")?;
    let header = match json::object(&decode(header, "header")?) {
        Ok(header) => header,
        Err(e) => return refuse(format!("the header of the token: {e}")),
    };
    for name in REFUSED {
        if header.contains_key(name) {
            return refuse(format!("the header of the token has `{name}`"));
        }
    }
    let claims = match json::object(&decode(claims, "claims")?) {
        Ok(claims) => Claims(claims),
        Err(e) => return refuse(format!("the claims of the token: {e}")),
    };
    Ok(Opened { signing_input, signature, header, claims })
}

/// The value of `typ` in the form in which values are compared: case does not count, and
/// `application/` may be left out (RFC 7515 §4.1.9).
pub(crate) fn token_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(rest) if !rest.contains('/') => rest.to_owned(),
        Some(_) | None => lower,
    }
}

/// Decodes one segment. The engine refuses padding, white space, and last bits that are not zero.
fn decode(segment: &str, what: &str) -> Result<Vec<u8>, Refusal> {
    if segment.is_empty() {
        return refuse(format!("the token has no {what}"));
    }
    URL_SAFE_NO_PAD
        .decode(segment)
        .or_else(|_| refuse(format!("the {what} of the token is not canonical base64url")))
}

// === impl Opened ===

impl Opened<'_> {
    /// How the token is signed, by the rules of one issuer.
    pub(crate) fn header_for(
        &self,
        issuer: &IssuerId,
        accepted: &[SigningAlgorithm],
    ) -> Result<Header, Refusal> {
        let Some(alg) = self.text("alg")? else {
            return refuse("the header of the token has no `alg`");
        };
        let Some(algorithm) = SigningAlgorithm::parse(alg).filter(|a| accepted.contains(a)) else {
            return refuse(format!("`{issuer}` signs with other algorithms than `{}`", shown(alg, 40)));
        };
        let key_id = self.text("kid")?;
        if key_id.is_some_and(|k| k.is_empty() || k.len() > KEY_ID_BYTES_MAX) {
            return refuse("the `kid` of the token is empty or too long");
        }
        Ok(Header { algorithm, key_id: key_id.map(str::to_owned) })
    }

    /// What the token is for, when one issuer's access tokens may be of its type.
    pub(crate) fn purpose_for(&self, issuer: &Issuer) -> Result<Purpose, Refusal> {
        let typ = self.token_type()?;
        if !issuer.token_types.contains(&typ) {
            return refuse(match typ.as_str() {
                "" => format!("the token does not say its `typ`, which `{}` must", issuer.id),
                typ => format!("the token is of type `{}`, not one for access", shown(typ, 40)),
            });
        }
        Ok(match typ.as_str() {
            "" | "jwt" => Purpose::NotSaid,
            _ => Purpose::Access,
        })
    }

    /// The value of `typ` as [`token_type`] writes it; empty when there is none.
    pub(crate) fn token_type(&self) -> Result<String, Refusal> {
        Ok(token_type(self.text("typ")?.unwrap_or("")))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => refuse(format!("`{name}` in the header of the token is not text")),
        }
    }
}
