//! The key that signs receipts, and those with which they are checked.
//!
//! The private key is `receipt.key`, for the owner only. Every public key that ever belonged to it stands in
//! `receipt.jwks` (RFC 7517), the newest first, and stays there: what was sealed with a key that has been
//! replaced since must open for as long as it is kept.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use super::{RECEIPT_BYTES_MAX, RECEIPT_KEYS_MAX, wire};

/// The private key, in `data_dir`.
pub const KEY_FILE: &str = "receipt.key";
/// Every public key that ever belonged to it, beside it.
pub const PUBLIC_KEYS_FILE: &str = "receipt.jwks";

const OWNER_ONLY: u32 = 0o600;
const EVERYBODY_READS: u32 = 0o644;

/// Seals receipts with a key that stays in `data_dir`.
pub struct Signer {
    pub(super) pair: Ed25519KeyPair,
    pub(super) kid: String,
    keys: PublicKeys,
}

/// Public keys by their thumbprints (RFC 7638).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys {
    by_thumbprint: BTreeMap<String, PublicKey>,
    /// Thumbprints, the newest first.
    order: Vec<String>,
}

/// An Ed25519 public key (RFC 8032 §5.1.5).
pub(super) type PublicKey = [u8; ED25519_PUBLIC_KEY_LEN];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there and is not a private key.
    #[error("`{file}` is not an Ed25519 key in PKCS #8: restore it, or delete it to have a new one made")]
    NotAKey {
        /// Which file.
        file: String,
    },
    /// The file is there and is not a set of public keys.
    #[error("`{file}` is not a JWK set with Ed25519 keys: {why}")]
    NotAKeySet {
        /// Which file.
        file: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("`{file}` cannot be used: {source}")]
    Io {
        /// Which file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The system has no randomness, or no Ed25519.
    #[error("the system could not make a key")]
    NoKey,
}

// === impl Signer ===

impl Signer {
    /// Takes the key in `data_dir`, or makes one there that only its owner can read, and sees to it that
    /// its public half is published.
    ///
    /// # Errors
    /// See [`KeyError`]. A set of public keys that cannot be read is never written over: it may be the
    /// only proof of old receipts.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let _held = hold(data_dir)?;
        Self::open_held(data_dir)
    }

    /// Replaces the key. What the old one sealed still opens: its public half stays. The new one is
    /// published before it is used.
    ///
    /// # Errors
    /// See [`KeyError`]; then the old key is in use.
    pub fn rotate(data_dir: &Path) -> Result<Self, KeyError> {
        let _held = hold(data_dir)?;
        Self::open_held(data_dir)?;
        let (pair, bytes) = new_pair()?;
        let signer = Self::publish(data_dir, pair)?;
        place(&data_dir.join(KEY_FILE), &bytes, OWNER_ONLY)?;
        Ok(signer)
    }

    fn open_held(data_dir: &Path) -> Result<Self, KeyError> {
        let file = data_dir.join(KEY_FILE);
        let pair = match std::fs::read(&file) {
            Ok(bytes) => Ed25519KeyPair::from_pkcs8(&bytes)
                .map_err(|_| KeyError::NotAKey { file: file.display().to_string() })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (pair, bytes) = new_pair()?;
                place(&file, &bytes, OWNER_ONLY)?;
                pair
            }
            Err(source) => return Err(unusable(&file, source)),
        };
        Self::publish(data_dir, pair)
    }

    fn publish(data_dir: &Path, pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let file = data_dir.join(PUBLIC_KEYS_FILE);
        let mut keys = match PublicKeys::load(&file) {
            Ok(keys) => keys,
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                PublicKeys::default()
            }
            Err(error) => return Err(error),
        };
        let mut public: PublicKey = [0; ED25519_PUBLIC_KEY_LEN];
        for (to, from) in public.iter_mut().zip(pair.public_key().as_ref()) {
            *to = *from;
        }
        let kid = thumbprint(&public);
        if keys.order.first() != Some(&kid) {
            keys.order.retain(|known| *known != kid);
            if keys.order.len() >= RECEIPT_KEYS_MAX {
                let why =
                    format!("it has {RECEIPT_KEYS_MAX} keys: move it away, and keep it for old receipts");
                return Err(KeyError::NotAKeySet { file: file.display().to_string(), why });
            }
            keys.order.insert(0, kid.clone());
            keys.by_thumbprint.insert(kid.clone(), public);
            let text = format!("{}\n", keys.jwks());
            place(&file, text.as_bytes(), EVERYBODY_READS)?;
        }
        Ok(Self { pair, kid, keys })
    }

    /// The name of the key: its thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Every public key that ever belonged to this place, the newest first.
    #[must_use]
    pub const fn public_keys(&self) -> &PublicKeys {
        &self.keys
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn new_pair() -> Result<(Ed25519KeyPair, Vec<u8>), KeyError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::NoKey)?;
    // Version 1, which OpenSSL reads too.
    let bytes = pair.to_pkcs8v1().map_err(|_| KeyError::NoKey)?.as_ref().to_vec();
    Ok((pair, bytes))
}

fn unusable(file: &Path, source: io::Error) -> KeyError {
    KeyError::Io { file: file.display().to_string(), source }
}

/// Keeps other processes from the keys: two that begin at the same moment take the same one, and none
/// forgets what the other published.
fn hold(data_dir: &Path) -> Result<File, KeyError> {
    let folder = File::open(data_dir).map_err(|source| unusable(data_dir, source))?;
    folder.lock().map_err(|source| unusable(data_dir, source))?;
    Ok(folder)
}

/// Writes a file as a whole, durably, or leaves it as it was.
fn place(file: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    let fresh = fresh_name(file);
    // Left by a process that died; nobody else writes now.
    let _ = std::fs::remove_file(&fresh);
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        std::fs::rename(&fresh, file)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|source| {
        // Whatever is left of it is nothing that anybody reads.
        let _ = std::fs::remove_file(&fresh);
        unusable(file, source)
    })
}

fn fresh_name(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    file.with_file_name(name)
}

// === impl PublicKeys ===

impl PublicKeys {
    /// Reads a JWK set. Keys of other kinds in it are passed over (RFC 7517 §5).
    ///
    /// # Errors
    /// What is wrong with it, and what to do. A private key in it is a mistake: it must not be shown.
    pub fn parse(text: &str) -> Result<Self, String> {
        let set: Value = serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?;
        let list = set.get("keys").and_then(Value::as_array).ok_or("it has no array `keys`")?;
        if list.len() > RECEIPT_KEYS_MAX {
            return Err(format!("it has {} keys, more than {RECEIPT_KEYS_MAX}", list.len()));
        }
        let mut keys = Self::default();
        for (i, key) in list.iter().enumerate() {
            let member = |name: &str| key.get(name).and_then(Value::as_str);
            if key.get("d").is_some() {
                return Err(format!(
                    "`keys[{i}]` is a private key: give the public half only, and replace it"
                ));
            }
            if member("kty") != Some("OKP") || member("crv") != Some("Ed25519") {
                continue;
            }
            let x = member("x").ok_or_else(|| format!("`keys[{i}].x` is missing"))?;
            let public = BASE64URL.decode(x).ok().and_then(|bytes| PublicKey::try_from(bytes).ok());
            let public = public.ok_or_else(|| {
                format!("`keys[{i}].x` is not {ED25519_PUBLIC_KEY_LEN} bytes in base64url (RFC 8037 §2)")
            })?;
            let kid = thumbprint(&public);
            if let Some(named) = member("kid").filter(|named| *named != kid) {
                let named = wire::cut(named);
                return Err(format!("`keys[{i}].kid` is `{named}`, and the key's thumbprint is `{kid}`"));
            }
            if keys.by_thumbprint.insert(kid.clone(), public).is_none() {
                keys.order.push(kid);
            }
        }
        if keys.order.is_empty() {
            return Err("it has no Ed25519 key".to_owned());
        }
        Ok(keys)
    }

    /// Reads a file with a JWK set.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn load(file: &Path) -> Result<Self, KeyError> {
        let bytes_max = u64::try_from(RECEIPT_BYTES_MAX).unwrap_or(u64::MAX);
        let mut text = String::new();
        let read = File::open(file)
            .and_then(|open| open.take(bytes_max.saturating_add(1)).read_to_string(&mut text));
        read.map_err(|source| unusable(file, source))?;
        let wrong = |why: String| KeyError::NotAKeySet { file: file.display().to_string(), why };
        if text.len() > RECEIPT_BYTES_MAX {
            return Err(wrong(format!("it is larger than {RECEIPT_BYTES_MAX} bytes")));
        }
        Self::parse(&text).map_err(wrong)
    }

    pub(super) fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.by_thumbprint.get(kid)
    }

    /// The thumbprints, the newest first.
    pub fn thumbprints(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// The set, as others read it (RFC 7517 §5, RFC 8037 §2).
    #[must_use]
    pub fn jwks(&self) -> String {
        let key = |kid: &String| {
            let x = BASE64URL.encode(self.by_thumbprint.get(kid)?);
            Some(json!({ "alg": "EdDSA", "crv": "Ed25519", "kid": kid, "kty": "OKP", "use": "sig", "x": x }))
        };
        let keys: Vec<Value> = self.order.iter().filter_map(key).collect();
        json!({ "keys": keys }).to_string()
    }
}

/// RFC 7638 §3.2 and RFC 8037 §2: the members in this order, without white space.
fn thumbprint(public: &PublicKey) -> String {
    let x = BASE64URL.encode(public);
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64URL.encode(digest(&SHA256, members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.2 and A.3.
    #[test]
    fn the_thumbprint_is_that_of_the_standard() {
        let set = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},
            {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let keys = PublicKeys::parse(set).unwrap();
        assert_eq!(keys.thumbprints().collect::<Vec<_>>(), ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
        assert_eq!(PublicKeys::parse(&keys.jwks()).unwrap(), keys);
    }

    #[test]
    fn a_set_that_is_wrong_says_how() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for (set, why) in [
            ("{", "it is not JSON"),
            ("[]", "no array `keys`"),
            (r#"{"keys":[]}"#, "no Ed25519 key"),
            (r#"{"keys":[{"kty":"OKP","crv":"X25519","x":"AA"}]}"#, "no Ed25519 key"),
            (r#"{"keys":[{"kty":"OKP","crv":"Ed25519"}]}"#, "`keys[0].x` is missing"),
            (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"#, "`keys[0].x` is not 32 bytes"),
            (&format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"AA"}}]}}"#), "a private key"),
            (
                &format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"k"}}]}}"#),
                "`k`, and the key's",
            ),
        ] {
            let error = PublicKeys::parse(set).unwrap_err();
            assert!(error.contains(why), "{set}: {error}");
        }
    }

    #[test]
    fn a_signer_shows_no_secret() {
        let (pair, bytes) = new_pair().unwrap();
        let signer = Signer { kid: "k".to_owned(), pair, keys: PublicKeys::default() };
        assert_eq!(format!("{signer:?}"), r#"Signer { kid: "k", .. }"#);
        // The seed is the end of the document (RFC 8410 §7).
        assert!(bytes.len() > 32);
    }
}
