//! Who signs bundles: Ed25519 (RFC 8032), in PEM as OpenSSL writes it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What DSSE calls the type of the payload: a signature for something else is none for a manifest.
const PAYLOAD: &str = "application/vnd.doorward.policy-bundle.manifest.v1+json";
/// What stands before an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// No file with one key is longer.
const PEM_BYTES_MAX: usize = 16 * 1024;
const PEM_LINE_CHARS: usize = 64;

/// The name of a key: the SHA-256 of its public half (DER), as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

/// The public half: who signed?
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; ED25519_PUBLIC_KEY_LEN]);

/// Both halves. Its `Debug` shows the name only.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// Why something is no key. It never quotes what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// It is no PEM of this kind.
    #[error("this is not a {0} in PEM")]
    NotPem(&'static str),
    /// It is the other half.
    #[error("this is a private key, and a public one is asked for")]
    Private,
    /// It is no Ed25519 key.
    #[error("this is not an Ed25519 key")]
    NotEd25519,
    /// The system has no randomness.
    #[error("the system could not make a key")]
    NoKey,
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What is signed: the pre-authentication encoding of DSSE 1.0.
fn encoded(content: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), content.len()).into_bytes();
    bytes.extend_from_slice(content);
    bytes
}

// === impl KeyId ===

impl KeyId {
    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 16 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl PublicKey ===

impl PublicKey {
    /// Reads the public half (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyRefused> {
        let der = match pem(text, PUBLIC) {
            Some(der) => der,
            None if pem(text, PRIVATE).is_some() => return Err(KeyRefused::Private),
            None => return Err(KeyRefused::NotPem("public key")),
        };
        let raw = der.strip_prefix(SPKI.as_slice()).ok_or(KeyRefused::NotEd25519)?;
        raw.try_into().map(Self).map_err(|_| KeyRefused::NotEd25519)
    }

    /// As PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        to_pem(PUBLIC, &self.der())
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(hex(digest(&SHA256, &self.der()).as_ref()))
    }

    pub(super) fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&encoded(content), signature).is_ok()
    }

    fn der(&self) -> Vec<u8> {
        [SPKI.as_slice(), self.0.as_slice()].concat()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id().short())
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, KeyRefused> {
        Ed25519KeyPair::generate().map_err(|_| KeyRefused::NoKey).and_then(Self::new)
    }

    /// Reads the private half (`-----BEGIN PRIVATE KEY-----`, PKCS #8).
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyRefused> {
        let der = pem(text, PRIVATE).ok_or(KeyRefused::NotPem("private key"))?;
        Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyRefused::NotEd25519).and_then(Self::new)
    }

    fn new(pair: Ed25519KeyPair) -> Result<Self, KeyRefused> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyRefused::NotEd25519)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// As PEM. It is for a file that only its owner can read.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn to_pem(&self) -> Result<String, KeyRefused> {
        // Version 1, which OpenSSL reads too.
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyRefused::NoKey)?;
        Ok(to_pem(PRIVATE, der.as_ref()))
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, content: &[u8]) -> Vec<u8> {
        self.pair.sign(&encoded(content)).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id().short())
    }
}

// === PEM (RFC 7468) ===

/// The one key of this kind in the text. What stands before and after it does not matter.
fn pem(text: &[u8], label: &str) -> Option<Vec<u8>> {
    if text.len() > PEM_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(body).ok()
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (i, c) in body.chars().enumerate() {
        if i > 0 && i % PEM_LINE_CHARS == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}
