//! Keys of every algorithm that an issuer may use, and tokens that no library would make.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_demo::provider::{encode, random_id};
use serde_json::{Value, json};

/// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5.
    Rs256,
    /// RSA, PSS.
    Ps256,
    /// P-256.
    Es256,
    /// P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// A key and its name.
pub struct TestKey {
    kid: String,
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// Its name in a header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

// === impl TestKey ===

impl TestKey {
    /// Makes a key with a name that nobody guesses.
    ///
    /// # Panics
    /// When the library makes none.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        Self::named(algorithm, &random_id().unwrap())
    }

    /// Makes a key with this name.
    ///
    /// # Panics
    /// When the library makes none.
    #[must_use]
    pub fn named(algorithm: Algorithm, kid: &str) -> Self {
        let pair = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
            }
            Algorithm::Es256 => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Algorithm::Es384 => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            Algorithm::EdDsa => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
        };
        Self { kid: kid.to_owned(), algorithm, pair }
    }

    /// Its name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The header of an ordinary access token of this key.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": self.algorithm.name(), "kid": self.kid})
    }

    /// Signs a header and a payload as they are, JSON or not.
    ///
    /// # Panics
    /// When the library does not sign.
    #[must_use]
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(payload));
        let (bytes, random) = (message.as_bytes(), SystemRandom::new());
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match self.algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, bytes, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(bytes).as_ref().to_vec(),
        };
        format!("{message}.{}", encode(signature))
    }

    /// The public half.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let (n, e) = modulus_and_exponent(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            Pair::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())}),
        };
        jwk["kid"] = self.kid.clone().into();
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The public half in PEM (RFC 7468 §13): what somebody would use as the secret of an HS256
    /// token, hoping that the verifier takes it for one.
    ///
    /// # Panics
    /// When the library does not write it.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Pair::Ec(pair) => pair.public_key().as_der().unwrap(),
            Pair::Ed(pair) => pair.public_key().as_der().unwrap(),
        };
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

/// Signs with a secret (HS256).
#[must_use]
pub fn sign_hs256(secret: &[u8], header: &str, payload: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag))
}

/// A token without a signature (`alg: none`, RFC 7518 §3.6).
#[must_use]
pub fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}.", encode(header), encode(payload))
}

/// Reads the two numbers of an RSA key of 2048 bits (RFC 8017 §A.1.1).
fn modulus_and_exponent(der: &[u8]) -> (&[u8], &[u8]) {
    // SEQUENCE of 0x10a bytes: INTEGER of 0x101 bytes, the first 0; INTEGER of 3 bytes.
    let rest = der.strip_prefix(&[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00]).unwrap();
    let (n, rest) = rest.split_at(256);
    (n, rest.strip_prefix(&[0x02, 0x03]).unwrap())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    };
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// Checks a token with what the key set says, as a gateway would.
    fn verifies(token: &str, jwk: &Value) -> bool {
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (message, signature) = (message.as_bytes(), URL_SAFE_NO_PAD.decode(signature).unwrap());
        let rsa = || RsaPublicKeyComponents { n: bytes("n"), e: bytes("e") };
        let point = || [vec![4], bytes("x"), bytes("y")].concat();
        match jwk["alg"].as_str().unwrap() {
            "RS256" => rsa().verify(&RSA_PKCS1_2048_8192_SHA256, message, &signature),
            "PS256" => rsa().verify(&RSA_PSS_2048_8192_SHA256, message, &signature),
            "ES256" => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()).verify(message, &signature),
            "ES384" => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()).verify(message, &signature),
            _ => UnparsedPublicKey::new(&ED25519, bytes("x")).verify(message, &signature),
        }
        .is_ok()
    }

    #[test]
    fn each_algorithm_signs_what_its_published_key_verifies() {
        for algorithm in Algorithm::ALL {
            let (key, other) = (TestKey::generate(algorithm), TestKey::generate(algorithm));
            let token = key.sign(&key.header().to_string(), r#"{"sub":"x"}"#);
            assert!(verifies(&token, &key.jwk()), "{algorithm:?}");
            assert!(!verifies(&token, &other.jwk()), "{algorithm:?}");
            assert!(!key.jwk().to_string().contains("\"d\""), "{algorithm:?}");
            assert!(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\nM"), "{algorithm:?}");
        }
    }

    #[test]
    fn what_no_library_makes() {
        let secret = sign_hs256(b"s", r#"{"alg":"HS256"}"#, "not json");
        let tag = URL_SAFE_NO_PAD.decode(secret.rsplit('.').next().unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s");
        assert!(hmac::verify(&key, secret.rsplit_once('.').unwrap().0.as_bytes(), &tag).is_ok());
        assert_eq!(unsigned("a", "b"), "YQ.Yg.");
    }
}
