//! Which keys of a set are taken. A key that is left out refuses the token that it signed.

use doorward_identity::config::{IssuerSection, check};
use doorward_model::{KeyPath, RefusalCode};
use serde_json::{Value, json};

use crate::mint::{ED, Key, P256, P384, RSA, b64};
use crate::world::*;

/// What the check of the configuration says of a key file, or what verifying a token says.
async fn outcome(algorithm: &str, body: &str, key: &Key) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys"), body).unwrap();
    let section = IssuerSection {
        id: Some("corp".into()),
        issuer: Some(CORP.into()),
        audiences: Some(vec!["doorward".into()]),
        algorithms: Some(vec![algorithm.into()]),
        jwks_file: Some("keys".into()),
        ..IssuerSection::default()
    };
    let mut complaints = Vec::new();
    let issuers = check(&[section], &KeyPath::top(), folder.path(), &mut complaints);
    if let Some(complaint) = complaints.first() {
        return Err(format!("{} {}", complaint.message, complaint.help.as_deref().unwrap_or("")));
    }
    let verifier = doorward_identity::Verifier::new(issuers, client(), TIMES);
    match verifier.verify(&signed(key, algorithm, &claims(CORP)), NOW).await {
        Ok(_) => Ok(()),
        Err(refusal) => {
            assert_eq!(refusal.code, RefusalCode::InvalidCredential);
            Err(refusal.detail)
        }
    }
}

fn with(mut jwk: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

#[tokio::test]
async fn a_key_is_taken_when_everything_about_it_fits() {
    let (rsa, p256) = (RSA.jwk("k1"), P256.jwk("k1"));
    for (algorithm, key, jwk) in [
        ("RS256", &*RSA, rsa.clone()),
        ("PS256", &*RSA, rsa.clone()),
        (
            "RS256",
            &*RSA,
            with(rsa.clone(), json!({"alg": "RS256", "x5c": ["ignored"], "key_ops": ["verify"]})),
        ),
        ("ES256", &*P256, with(p256.clone(), json!({"use": "sig", "unknown": {"a": 1}}))),
        ("ES384", &*P384, P384.jwk("k1")),
        ("EdDSA", &*ED, ED.jwk("k1")),
    ] {
        assert_eq!(outcome(algorithm, &json!({"keys": [jwk]}).to_string(), key).await, Ok(()), "{jwk:.200}");
    }
    // Beside keys of kinds that we do not know, or for another use, under the same name even.
    let others = [
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "k0", "pub": "AA"}),
        json!({"kty": "oct", "kid": "k1", "k": "AAAA"}),
        with(rsa.clone(), json!({"use": "enc"})),
        json!("not a key"),
        p256,
        rsa,
    ];
    assert_eq!(outcome("RS256", &json!({"keys": others}).to_string(), &RSA).await, Ok(()));
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_left_out() {
    let (rsa, p256, ed) = (RSA.jwk("k1"), P256.jwk("k1"), ED.jwk("k1"));
    let short = b64([&[0x80][..], &[0; 126], &[1]].concat());
    let odd_2048 = b64([&[0x80][..], &[0; 254], &[1]].concat());
    let even_2048 = b64([&[0x80][..], &[0; 255]].concat());
    let odd_8200 = b64([&[0x80][..], &[0; 1023], &[1]].concat());
    let flipped = |text: &Value| {
        let text = text.as_str().unwrap();
        format!("{}{}", if text.starts_with('A') { "B" } else { "A" }, &text[1..])
    };
    for (algorithm, jwk, says) in [
        ("RS256", with(rsa.clone(), json!({"use": "enc"})), "use `enc`"),
        ("RS256", with(rsa.clone(), json!({"use": 1})), "`use` that is not text"),
        ("RS256", with(rsa.clone(), json!({"alg": "RSA-OAEP"})), "does not fit"),
        ("RS256", with(rsa.clone(), json!({"alg": "PS256"})), "does not fit"),
        ("RS256", with(rsa.clone(), json!({"alg": "HS256"})), "does not fit"),
        ("PS256", with(rsa.clone(), json!({"alg": "RS256"})), "does not fit"),
        ("RS256", with(rsa.clone(), json!({"key_ops": ["encrypt"]})), "key_ops"),
        ("RS256", with(rsa.clone(), json!({"key_ops": "verify"})), "key_ops"),
        ("RS256", with(rsa.clone(), json!({"d": "AQAB"})), "secret"),
        ("RS256", with(rsa.clone(), json!({"kty": "oct", "k": "AAAA"})), "secret"),
        ("RS256", with(rsa.clone(), json!({"kty": "oct"})), "unknown `kty`"),
        ("RS256", with(rsa.clone(), json!({"kty": "rsa"})), "unknown `kty`"),
        ("RS256", with(rsa.clone(), json!({"kid": ""})), "`kid`"),
        ("RS256", with(rsa.clone(), json!({"kid": "k".repeat(256)})), "`kid`"),
        ("RS256", with(rsa.clone(), json!({"kid": 1})), "`kid`"),
        ("RS256", with(rsa.clone(), json!({"n": short})), "1024 bits"),
        ("RS256", with(rsa.clone(), json!({"n": odd_8200})), "8200 bits"),
        ("RS256", with(rsa.clone(), json!({"n": even_2048})), "even"),
        ("RS256", with(rsa.clone(), json!({"n": ""})), "0 bits"),
        ("RS256", with(rsa.clone(), json!({"n": odd_2048, "e": "AQ"})), "exponent"),
        ("RS256", with(rsa.clone(), json!({"e": "Aw"})), "exponent"),
        ("RS256", with(rsa.clone(), json!({"e": "AQAA"})), "exponent"),
        ("RS256", with(rsa.clone(), json!({"e": ""})), "exponent"),
        ("RS256", with(rsa.clone(), json!({"e": b64([1; 9])})), "exponent"),
        ("RS256", with(rsa.clone(), json!({"n": "!"})), "base64url"),
        ("RS256", json!({"kty": "RSA", "kid": "k1", "e": "AQAB"}), "no `n`"),
        ("RS256", p256.clone(), "does not fit"),
        ("ES256", rsa.clone(), "does not fit"),
        ("ES256", P384.jwk("k1"), "does not fit"),
        ("ES384", p256.clone(), "does not fit"),
        ("EdDSA", p256.clone(), "does not fit"),
        ("ES256", with(p256.clone(), json!({"crv": "secp256k1"})), "curve"),
        ("ES256", with(p256.clone(), json!({"crv": "P-384"})), "wrong length"),
        ("ES256", with(p256.clone(), json!({"x": "AAAA"})), "wrong length"),
        ("ES256", with(p256.clone(), json!({"x": flipped(&p256["x"])})), "not a point"),
        ("EdDSA", with(ed.clone(), json!({"crv": "X25519"})), "curve"),
        ("EdDSA", with(ed, json!({"x": "AAAA"})), "not an Ed25519 key"),
        ("RS256", json!([rsa]), "not an object"),
        ("RS256", json!({}), "no `kty`"),
    ] {
        let key = if algorithm.starts_with("ES") { &*P256 } else { &*RSA };
        let got = outcome(algorithm, &json!({"keys": [jwk]}).to_string(), key).await;
        let detail = got.expect_err(&jwk.to_string());
        assert!(detail.contains(says), "{says}: {detail}");
    }
}

#[tokio::test]
async fn a_set_that_is_no_set_is_refused_as_a_whole() {
    let rsa = RSA.jwk("k1");
    let many: Vec<Value> = (0..51).map(|n| RSA.jwk(&n.to_string())).collect();
    let twice = json!({"keys": [rsa, crate::mint::RSA_OTHER.jwk("k1")]}).to_string();
    let large = json!({"keys": [rsa], "x": "x".repeat(64 * 1024)}).to_string();
    for (body, says) in [
        (twice.as_str(), "two usable keys with the `kid` `k1`"),
        (&json!({"keys": [rsa, rsa]}).to_string(), "two usable keys"),
        (&json!({"keys": many}).to_string(), "51 keys"),
        (&large, "more than 65536 bytes"),
        ("", "cannot be read"),
        ("<html>", "cannot be read"),
        ("[]", "not a JSON object"),
        ("{}", "no list `keys`"),
        ("{\"keys\":{}}", "no list `keys`"),
        ("{\"keys\":[],\"keys\":[]}", "comes twice"),
        ("{\"keys\":[]}", "has no keys"),
    ] {
        let detail = outcome("RS256", body, &RSA).await.expect_err(says);
        assert!(detail.contains(says), "{says}: {detail}");
    }
}
