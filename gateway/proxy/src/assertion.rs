//! The signed word of the gateway to an app: who asks (RFC 7519, ES256).
//!
//! A header can be forged by whoever reaches the app past the gateway; a signature cannot. The
//! assertion names one app in `aud` and lives for a minute, so it is worth nothing elsewhere or
//! later. Apps find the key at `/.well-known/jwks.json` of the operator listener.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use doorward_model::{AppId, Principal, UnixMillis, limits};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use quick_cache::sync::Cache;
use serde::Serialize;

/// An assertion is used for half of its life, so that what an app gets is good for the other half.
const REUSE_SECONDS_MAX: i64 = limits::ASSERTION_SECONDS_MAX / 2;
const CACHE_ENTRIES_MAX: usize = 10_000;

/// Signs assertions with a key that stays in `data_dir`.
pub struct Signer {
    key: EncodingKey,
    header: Header,
    issuer: String,
    jwks: String,
    recent: Cache<(usize, AppId), Recent>,
}

/// An assertion that may be used again, and the principal that it is about. Holding the
/// principal keeps its address, which is part of the key, from being given to another.
#[derive(Clone)]
struct Recent {
    principal: Arc<Principal>,
    text: Arc<str>,
    until_seconds: i64,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file is there and is not a key.
    #[error("`{file}` is not an ECDSA P-256 key in PKCS #8: restore it, or delete it to have a new one made")]
    NotAKey {
        /// Which file.
        file: String,
    },
    /// The file cannot be read or written.
    #[error("`{file}` cannot be used: {source}")]
    Io {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    groups: Vec<&'a str>,
    roles: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
}

impl Signer {
    /// Takes the key in `file`, or makes one there that only its owner can read.
    ///
    /// # Errors
    /// See [`SignerError`].
    pub fn open(file: &Path, issuer: &str) -> Result<Self, SignerError> {
        let name = || file.display().to_string();
        let pkcs8 = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                make_key(file).map_err(|source| SignerError::Io { file: name(), source })?
            }
            Err(source) => return Err(SignerError::Io { file: name(), source }),
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| SignerError::NotAKey { file: name() })?;
        // An uncompressed point: 0x04, X, Y (SEC 1 §2.3.3).
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(SignerError::NotAKey { file: name() });
        };
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 §3.2: the members in this order, without white space.
        let thumbprint = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes(),
        );
        let kid = BASE64_URL_SAFE_NO_PAD.encode(thumbprint.as_ref());
        let jwks = serde_json::json!({
            "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y }]
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid);
        header.typ = Some("doorward-assertion+jwt".to_owned());
        Ok(Self {
            key: EncodingKey::from_ec_der(&pkcs8),
            header,
            issuer: issuer.to_owned(),
            jwks: jwks.to_string(),
            recent: Cache::new(CACHE_ENTRIES_MAX),
        })
    }

    /// The public key, as apps fetch it (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// An assertion about `principal` for `app`. None for a visitor, and when signing fails.
    #[must_use]
    pub fn assertion(&self, principal: &Arc<Principal>, app: &AppId, now: UnixMillis) -> Option<Arc<str>> {
        let seconds = now.seconds();
        let key = (Arc::as_ptr(principal).addr(), app.clone());
        if let Some(recent) = self.recent.get(&key)
            && Arc::ptr_eq(&recent.principal, principal)
            && (recent.until_seconds - REUSE_SECONDS_MAX..recent.until_seconds).contains(&seconds)
        {
            return Some(recent.text);
        }
        let claims = self.claims(principal, app, seconds)?;
        let text: Arc<str> = match jsonwebtoken::encode(&self.header, &claims, &self.key) {
            Ok(text) => text.into(),
            Err(e) => {
                tracing::error!(error = %e, "an assertion cannot be signed");
                return None;
            }
        };
        let until_seconds = seconds + REUSE_SECONDS_MAX;
        self.recent
            .insert(key, Recent { principal: Arc::clone(principal), text: Arc::clone(&text), until_seconds });
        Some(text)
    }

    fn claims<'a>(&'a self, principal: &'a Principal, app: &'a AppId, now: i64) -> Option<Claims<'a>> {
        let person = match principal {
            Principal::User(user) => Some(user),
            Principal::Agent(agent) => Some(&agent.on_behalf_of),
            Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
        };
        let on_behalf_of = match principal {
            Principal::Agent(agent) => Some(agent.on_behalf_of.id.to_string()),
            Principal::User(_) | Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
        };
        Some(Claims {
            iss: &self.issuer,
            sub: principal.id()?.to_string(),
            aud: app.as_str(),
            iat: now,
            nbf: now,
            exp: now + limits::ASSERTION_SECONDS_MAX,
            kind: principal.kind(),
            email: person.and_then(|p| p.email.as_deref()),
            name: person.and_then(|p| p.name.as_deref()),
            groups: person.iter().flat_map(|p| p.groups.iter().map(String::as_str)).collect(),
            roles: person.iter().flat_map(|p| p.roles.iter().map(String::as_str)).collect(),
            on_behalf_of,
        })
    }
}

/// Makes a key and writes it so that another process which does the same at the same moment
/// does not end with another key: whoever comes second reads the first one's.
fn make_key(file: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let no_key = |_| std::io::Error::other("the system could not make a key");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(no_key)?;
    let bytes = pair.to_pkcs8v1().map_err(no_key)?.as_ref().to_vec();
    let fresh = file.with_extension(format!("new-{}", std::process::id()));
    let mut out =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    out.write_all(&bytes).and_then(|()| out.sync_all())?;
    // A hard link fails where the name is taken, a rename would replace it.
    let linked = std::fs::hard_link(&fresh, file);
    let _ = std::fs::remove_file(&fresh);
    match linked {
        Ok(()) => Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => std::fs::read(file),
        Err(e) => Err(e),
    }
}
