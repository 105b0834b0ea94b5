//! Keys, and tokens written by hand, so that they can be as wrong as an attacker wants.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key of an issuer.
pub(crate) enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(crate) static RSA: LazyLock<Key> = LazyLock::new(rsa);
pub(crate) static RSA_OTHER: LazyLock<Key> = LazyLock::new(rsa);
pub(crate) static P256: LazyLock<Key> = LazyLock::new(p256);
pub(crate) static P256_OTHER: LazyLock<Key> = LazyLock::new(p256);
pub(crate) static P384: LazyLock<Key> =
    LazyLock::new(|| Key::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()));
pub(crate) static ED: LazyLock<Key> = LazyLock::new(|| Key::Ed(Ed25519KeyPair::generate().unwrap()));

fn rsa() -> Key {
    Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

pub(crate) fn p256() -> Key {
    Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    /// The public half as a JWK with a name.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let (n, e) = rsa_numbers(key.public_key().as_ref());
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": b64(n), "e": b64(e)})
            }
            Self::P256(key) => {
                let point = &key.public_key().as_ref()[1..];
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(&point[..32]), "y": b64(&point[32..])})
            }
            Self::P384(key) => {
                let point = &key.public_key().as_ref()[1..];
                json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": b64(&point[..48]), "y": b64(&point[48..])})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(key.public_key().as_ref())})
            }
        }
    }

    /// Signs as `alg` says.
    pub(crate) fn sign(&self, alg: &str, message: &str) -> Vec<u8> {
        let rng = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding =
                    if alg == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                key.sign(padding, &rng, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::P256(key) | Self::P384(key) => {
                key.sign(&rng, message.as_bytes()).unwrap().as_ref().to_vec()
            }
            Self::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        }
    }

    /// A P-256 signature in the form of X.509, which JWS does not use.
    pub(crate) fn sign_der(&self, message: &str) -> Vec<u8> {
        let Self::P256(key) = self else { panic!("only P-256 is needed") };
        let pkcs8 = key.to_pkcs8v1().unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        key.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
    }

    /// Everything that an attacker could take for a shared secret.
    pub(crate) fn public_forms(&self) -> Vec<Vec<u8>> {
        let Self::Rsa(key) = self else { panic!("only RSA is needed") };
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let lines: Vec<String> = STANDARD
            .encode(spki.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|c| String::from_utf8(c.to_vec()).unwrap())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let (n, _) = rsa_numbers(key.public_key().as_ref());
        vec![
            pem.trim_end().as_bytes().to_vec(),
            pem.into_bytes(),
            spki.as_ref().to_vec(),
            key.public_key().as_ref().to_vec(),
            n,
        ]
    }
}

/// A token of which the header, the claims and the signature go together, whatever they say.
pub(crate) fn token(key: &Key, header: &str, claims: &str) -> String {
    let alg = serde_json::from_str::<Value>(header).ok().and_then(|h| h["alg"].as_str().map(str::to_owned));
    let input = format!("{}.{}", b64(header), b64(claims));
    let signature = key.sign(&alg.unwrap_or_default(), &input);
    format!("{input}.{}", b64(signature))
}

/// The numbers of a PKCS #1 `RSAPublicKey`.
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (sequence, _) = element(der);
    let (n, rest) = element(sequence);
    let (e, _) = element(rest);
    let bare = |i: &[u8]| i.iter().copied().skip_while(|b| *b == 0).collect::<Vec<u8>>();
    (bare(n), bare(e))
}

/// The content of the first DER element, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        long => {
            let octets = usize::from(long & 0x7f);
            (der[2..2 + octets].iter().fold(0, |n, b| n << 8 | usize::from(*b)), 2 + octets)
        }
    };
    (&der[start..start + length], &der[start + length..])
}
