//! One ES256 key (RFC 7518 §3.4): made in memory, never written.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key and its name.
pub struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
}

/// The system gave no randomness, or the key did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptography library failed: {0}")]
pub struct KeyError(&'static str);

/// Base64url without padding (RFC 7515 §2), as every part of a token is written.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An identifier that nobody guesses: 128 bits.
///
/// # Errors
/// When the system gives no randomness.
pub fn random_id() -> Result<String, KeyError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError("no randomness"))?;
    Ok(encode(bytes))
}

impl SigningKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| KeyError("a key was not made"))?;
        Ok(Self { kid: random_id()?, pair })
    }

    /// Its name, the header `kid`.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs a header and a payload as they are, JSON or not (RFC 7515 §7.1).
    ///
    /// # Errors
    /// When the library does not sign.
    pub fn sign(&self, header: &str, payload: &str) -> Result<String, KeyError> {
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message.as_bytes())
            .map_err(|_| KeyError("the key did not sign"))?;
        Ok(format!("{message}.{}", encode(signature)))
    }

    /// The public half (RFC 7518 §6.2.1).
    #[must_use]
    pub fn jwk(&self) -> Value {
        // SEC 1 §2.3.3: 0x04, then both coordinates of 32 bytes each.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": encode(x), "y": encode(y),
        })
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}
