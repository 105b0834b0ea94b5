//! A JSON Web Key Set (RFC 7517): which of its keys are taken.
//!
//! A key that does not fit is left out, which can only refuse tokens. A set in which two usable
//! keys have one name is refused as a whole, because a token could then mean either.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::limits::{JWKS_BYTES_MAX, JWKS_KEYS_MAX, KEY_ID_BYTES_MAX};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::algorithm::{KeyFamily, SigningAlgorithm};
use crate::json;
use crate::words::shown;

/// The keys of one issuer at one time.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<PublicKey>,
    /// Why keys were left out, for the operator.
    left_out: Vec<String>,
}

/// One key, and which signatures it may check.
pub(crate) struct PublicKey {
    id: Option<String>,
    algorithms: Vec<SigningAlgorithm>,
    /// The key itself, to see whether a set has changed.
    material: Vec<u8>,
    key: DecodingKey,
}

/// The answer to: which key signed this?
pub(crate) enum Found<'a> {
    /// This one.
    Key(&'a PublicKey),
    /// There is a key of that name, but not for that algorithm.
    NotForThat,
    /// The token names no key, and there are several.
    Ambiguous,
    /// There is none.
    Nothing,
}

/// Why a set is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    /// It is larger than any set needs to be.
    #[error("the key set is larger than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    /// It is not what it should be.
    #[error("the key set cannot be read: {0}")]
    Unreadable(String),
    /// It has more keys than any set needs.
    #[error("the key set has {0} keys, more than {JWKS_KEYS_MAX}")]
    TooMany(usize),
    /// A name that means two keys.
    #[error("the key set has two usable keys with the `kid` `{0}`")]
    Twice(String),
}

// === impl KeySet ===

impl KeySet {
    /// Reads a set and keeps the keys that fit at least one of `accepted`.
    pub(crate) fn read(body: &[u8], accepted: &[SigningAlgorithm]) -> Result<Self, SetError> {
        if body.len() > JWKS_BYTES_MAX {
            return Err(SetError::TooLarge);
        }
        let mut document = json::object(body).map_err(|e| SetError::Unreadable(e.to_string()))?;
        let Some(Value::Array(written)) = document.remove("keys") else {
            return Err(SetError::Unreadable("it has no list `keys`".to_owned()));
        };
        if written.len() > JWKS_KEYS_MAX {
            return Err(SetError::TooMany(written.len()));
        }
        let mut set = Self::default();
        for (i, value) in written.iter().enumerate() {
            let read = match value {
                Value::Object(jwk) => PublicKey::read(jwk, accepted),
                _ => Err("is not an object".to_owned()),
            };
            match read {
                Ok(key) => set.keys.push(key),
                Err(why) => set.left_out.push(format!("keys[{i}] {why}")),
            }
        }
        set.keys.sort_by(|a, b| a.id.cmp(&b.id));
        let twice =
            set.keys.iter().zip(set.keys.iter().skip(1)).find(|(a, b)| a.id.is_some() && a.id == b.id);
        if let Some((key, _)) = twice {
            return Err(SetError::Twice(shown(key.id.as_deref().unwrap_or(""), 40)));
        }
        Ok(set)
    }

    /// How many keys can be used.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// No key can be used.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Why keys were left out.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Why no key can be used.
    pub(crate) fn why_empty(&self) -> String {
        match self.left_out.as_slice() {
            [] => "the key set has no keys".to_owned(),
            reasons => reasons.join("; "),
        }
    }

    /// The same keys, for the same use.
    pub(crate) fn same_keys(&self, other: &Self) -> bool {
        let facts = |k: &PublicKey| (k.id.clone(), k.algorithms.clone(), k.material.clone());
        self.keys.iter().map(facts).eq(other.keys.iter().map(facts))
    }

    /// The key that a token names. A token that names none means the only key there is
    /// (OpenID Connect Core §10.1).
    pub(crate) fn find(&self, id: Option<&str>, algorithm: SigningAlgorithm) -> Found<'_> {
        let fits = |k: &&PublicKey| k.algorithms.contains(&algorithm);
        let Some(id) = id else {
            let mut fitting = self.keys.iter().filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Found::Key(key),
                (Some(_), Some(_)) => Found::Ambiguous,
                (None, _) => Found::Nothing,
            };
        };
        match self.keys.iter().find(|k| k.id.as_deref() == Some(id)) {
            Some(key) if fits(&key) => Found::Key(key),
            Some(_) => Found::NotForThat,
            None => Found::Nothing,
        }
    }
}

// === impl PublicKey ===

impl PublicKey {
    /// Whether this key made the signature. `signature` is in base64url.
    pub(crate) fn signed(&self, input: &str, signature: &str, algorithm: SigningAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(
                signature,
                input.as_bytes(),
                &self.key,
                algorithm.in_jsonwebtoken(),
            )
            .unwrap_or(false)
    }

    fn read(jwk: &Map<String, Value>, accepted: &[SigningAlgorithm]) -> Result<Self, String> {
        let id = text(jwk, "kid")?.map(str::to_owned);
        if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > KEY_ID_BYTES_MAX) {
            return Err("has a `kid` that is empty or too long".to_owned());
        }
        if jwk.contains_key("d") || jwk.contains_key("k") {
            return Err("holds a secret, so anyone could have signed with it".to_owned());
        }
        if let Some(other) = text(jwk, "use")?.filter(|u| *u != "sig") {
            return Err(format!("is for the use `{}`, not for signatures", shown(other, 40)));
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => {}
            Some(_) => return Err("has `key_ops` without `verify`".to_owned()),
        }
        let kty = text(jwk, "kty")?.ok_or("has no `kty`")?;
        let (able, material, key) = match kty {
            "RSA" => rsa(jwk)?,
            "EC" => ec(jwk)?,
            "OKP" => ed(jwk)?,
            other => return Err(format!("has the unknown `kty` `{}`", shown(other, 40))),
        };
        let pinned = text(jwk, "alg")?;
        let algorithms: Vec<_> = able
            .into_iter()
            .filter(|a| accepted.contains(a) && pinned.is_none_or(|p| p == a.as_str()))
            .collect();
        if algorithms.is_empty() {
            return Err(format!(
                "does not fit the algorithms of the issuer (`kty` `{kty}`, `alg` `{}`)",
                shown(pinned.unwrap_or(""), 40)
            ));
        }
        Ok(Self { id, algorithms, material, key })
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

type Sound = (Vec<SigningAlgorithm>, Vec<u8>, DecodingKey);

fn able(family: KeyFamily) -> Vec<SigningAlgorithm> {
    SigningAlgorithm::ALL.into_iter().filter(|a| a.family() == family).collect()
}

/// 2048 to 8192 bits, and an exponent as FIPS 186-5 §5.4 wants it: odd and above 2^16.
fn rsa(jwk: &Map<String, Value>) -> Result<Sound, String> {
    let n = bytes(jwk, "n")?;
    let e = bytes(jwk, "e")?;
    let n = without_zeros(&n);
    let e = without_zeros(&e);
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(format!("is an RSA key of {bits} bits, not of 2048 to 8192"));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|b| b & 1 == 1);
    if !odd(n) {
        return Err("is not an RSA key: its modulus is even".to_owned());
    }
    if !odd(e) || e.len() < 3 || e.len() > 8 {
        return Err("is an RSA key with an unsafe exponent".to_owned());
    }
    let material = [n, b"/", e].concat();
    Ok((able(KeyFamily::Rsa), material, DecodingKey::from_rsa_raw_components(n, e)))
}

fn ec(jwk: &Map<String, Value>) -> Result<Sound, String> {
    let (algorithm, octets, check) = match text(jwk, "crv")? {
        Some("P-256") => (SigningAlgorithm::Es256, 32, &ECDSA_P256_SHA256_FIXED),
        Some("P-384") => (SigningAlgorithm::Es384, 48, &ECDSA_P384_SHA384_FIXED),
        other => {
            return Err(format!("has the curve `{}`, not P-256 or P-384", shown(other.unwrap_or(""), 40)));
        }
    };
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != octets || y.len() != octets {
        return Err("has coordinates of the wrong length".to_owned());
    }
    let point = [&[4_u8][..], &x, &y].concat();
    if ParsedPublicKey::new(check, &point).is_err() {
        return Err("is not a point on its curve".to_owned());
    }
    let key = DecodingKey::from_ec_der(&point);
    Ok((vec![algorithm], point, key))
}

fn ed(jwk: &Map<String, Value>) -> Result<Sound, String> {
    if text(jwk, "crv")? != Some("Ed25519") {
        return Err("has another curve than Ed25519".to_owned());
    }
    let x = bytes(jwk, "x")?;
    if x.len() != 32 || ParsedPublicKey::new(&ED25519, &x).is_err() {
        return Err("is not an Ed25519 key".to_owned());
    }
    let key = DecodingKey::from_ed_der(&x);
    Ok((able(KeyFamily::Ed), x, key))
}

/// Some issuers write numbers with a zero octet in front, which RFC 7518 §6.3.1.1 forbids and
/// which changes nothing.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("has a `{name}` that is not text")),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let text = text(jwk, name)?.ok_or_else(|| format!("has no `{name}`"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("has a `{name}` that is not base64url"))
}
