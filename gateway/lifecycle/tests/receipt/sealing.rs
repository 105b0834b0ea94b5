//! What is sealed opens, and nothing else does.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use doorward_lifecycle::receipt::{OpenError, RECEIPT_BYTES_MAX, Signer, open};
use serde_json::Value;

use crate::fixture::{known_key, receipt};

fn signer() -> (tempfile::TempDir, Signer) {
    let dir = tempfile::tempdir().unwrap();
    let signer = known_key(dir.path());
    (dir, signer)
}

/// Signs whatever it is given with the key of the receipts, by another implementation of JOSE.
fn signed(header: &str, payload: &[u8], dir: &std::path::Path) -> String {
    let key = std::fs::read(dir.join(doorward_lifecycle::receipt::KEY_FILE)).unwrap();
    let text = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(payload));
    let key = jsonwebtoken::EncodingKey::from_ed_der(&key);
    let signature =
        jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::EdDSA).unwrap();
    format!("{text}.{signature}\n")
}

fn header(signer: &Signer) -> String {
    format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"doorward-receipt"}}"#, signer.kid())
}

fn payload(sealed: &str) -> String {
    let part = sealed.split('.').nth(1).unwrap();
    String::from_utf8(BASE64URL.decode(part).unwrap()).unwrap()
}

#[test]
fn what_is_sealed_opens_and_says_the_same() {
    let (_dir, signer) = signer();
    let sealed = signer.seal(&receipt()).unwrap();
    let opened = open(sealed.as_bytes(), signer.public_keys()).unwrap();
    assert_eq!((opened.receipt, opened.kid.as_str()), (receipt(), signer.kid()));
    // An editor may have taken the line feed away.
    assert!(open(sealed.trim_end().as_bytes(), signer.public_keys()).is_ok());
    assert_eq!(signer.seal(&receipt()).unwrap(), sealed);
}

#[test]
fn every_bit_counts() {
    let (_dir, signer) = signer();
    let sealed = signer.seal(&receipt()).unwrap().into_bytes();
    for byte in 0..sealed.len() {
        for bit in 0..8 {
            let mut altered = sealed.clone();
            altered[byte] ^= 1 << bit;
            let opened = open(&altered, signer.public_keys());
            assert!(opened.is_err(), "byte {byte}, bit {bit}");
        }
    }
}

#[test]
fn what_is_cut_or_added_to_does_not_open() {
    let (_dir, signer) = signer();
    let sealed = signer.seal(&receipt()).unwrap();
    let bytes = sealed.trim_end().as_bytes();
    for cut in 0..bytes.len() {
        assert!(open(&bytes[..cut], signer.public_keys()).is_err(), "{cut}");
    }
    for more in ["\n\n", " ", ".", "A", "=", "\r\n"] {
        let longer = [bytes, more.as_bytes()].concat();
        assert!(open(&longer, signer.public_keys()).is_err(), "{more:?}");
    }
}

#[test]
fn another_implementation_of_jose_opens_it() {
    let (_dir, signer) = signer();
    let sealed = signer.seal(&receipt()).unwrap();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&signer.public_keys().jwks()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(set.find(signer.kid()).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let token = jsonwebtoken::decode::<Value>(sealed.trim_end(), &key, &rules).unwrap();
    assert_eq!(token.claims["facts"]["person"]["user_name"], "alice@corp.example");
    assert_eq!(token.header.typ.as_deref(), Some("doorward-receipt"));
}

#[test]
fn what_is_signed_by_others_with_our_key_opens_only_if_it_is_written_as_ours() {
    let (dir, signer) = signer();
    let ours = payload(&signer.seal(&receipt()).unwrap());
    let good = signed(&header(&signer), ours.as_bytes(), dir.path());
    assert!(open(good.as_bytes(), signer.public_keys()).is_ok());
    let changed = |from: &str, to: &str| {
        assert!(ours.contains(from), "{from}");
        ours.replacen(from, to, 1)
    };
    let begins = |error: &OpenError| error.to_string().chars().take(60).collect::<String>();
    for (payload, why) in [
        (changed("{\"form\"", "{ \"form\""), "its content is not that of a receipt: it can be"),
        (changed("Alice Example", "Alice \\u0045xample"), "its content is not that of a receipt: it can be"),
        (changed("{\"form\"", "{\"more\":1,\"form\""), "its content is not that of a receipt: unknown field"),
        (changed("\"cause\":", "\"because\":"), "its content is not that of a receipt: unknown field"),
        (changed("\"segment\":null,", ""), "its content is not that of a receipt: it can be"),
        (
            changed("\"is\":\"stopped\"", "\"is\":\"stopped\",\"x\":1"),
            "its content is not that of a receipt: unknown",
        ),
        (
            changed("\"answer\":\"silent\"", "\"answer\":\"sleepy\""),
            "its content is not that of a receipt: `sleepy`",
        ),
        (
            changed("\"is\":\"asked\",", "\"is\":\"asked\",\"is\":\"asked\","),
            "its content is not that of a receipt",
        ),
        (changed("doorward-receipt/1", "doorward-receipt/2"), "it is of the form `doorward-receipt/2`"),
        (
            changed("\"enforced_everywhere\":false", "\"enforced_everywhere\":true"),
            "it contradicts itself: `summary",
        ),
        (
            changed("\"nothing_runs\":false", "\"nothing_runs\":true"),
            "it contradicts itself: `summary.nothing",
        ),
        (changed("\"applied\":2", "\"applied\":3"), "it contradicts itself: `summary.nodes`"),
        (changed("\"ended\":4", "\"ended\":3"), "it contradicts itself: `summary.exchanges`"),
        (changed("\"clock\":\"steady\"", "\"clock\":\"set_back\""), "it contradicts itself: `summary.clock`"),
        (
            changed("\"enforced_here_millis\":3", "\"enforced_here_millis\":2"),
            "it contradicts itself: `summary",
        ),
        (
            changed("\"enforced_everywhere_millis\":null", "\"enforced_everywhere_millis\":1"),
            "it contradicts itself: `summary",
        ),
        ("null".to_owned(), "its content is not that of a receipt"),
        (String::new(), "its content is not that of a receipt"),
    ] {
        let document = signed(&header(&signer), payload.as_bytes(), dir.path());
        let error = open(document.as_bytes(), signer.public_keys()).unwrap_err();
        assert!(error.to_string().starts_with(why), "{} is not {why}", begins(&error));
    }
}

#[test]
fn headers_that_others_fell_for_are_refused() {
    let (dir, signer) = signer();
    let ours = payload(&signer.seal(&receipt()).unwrap());
    let kid = signer.kid();
    for (header, why) in [
        (r#"{"alg":"none","kid":KID,"typ":"doorward-receipt"}"#, "its header says `alg` is `none`"),
        (r#"{"alg":"HS256","kid":KID,"typ":"doorward-receipt"}"#, "its header says `alg` is `HS256`"),
        (r#"{"alg":"EdDSA","kid":KID,"typ":"JWT"}"#, "its header says `typ` is `JWT`"),
        (r#"{"alg":"EdDSA","typ":"doorward-receipt"}"#, "it is not a receipt"),
        (r#"{"alg":"EdDSA","kid":KID,"typ":"doorward-receipt","crit":["b64"]}"#, "it is not a receipt"),
        (r#"{"alg":"EdDSA","kid":KID,"typ":"doorward-receipt","jwk":{}}"#, "it is not a receipt"),
        (r#"{"kid":KID,"alg":"EdDSA","typ":"doorward-receipt"}"#, "it is not a receipt"),
        (r#"{"alg":"EdDSA","kid":KID,"typ":"doorward-receipt"} "#, "it is not a receipt"),
        (r#"{"alg":"EdDSA","kid":"other","typ":"doorward-receipt"}"#, "it was sealed with the key `other`"),
    ] {
        let header = header.replace("KID", &format!("\"{kid}\""));
        let document = signed(&header, ours.as_bytes(), dir.path());
        let error = open(document.as_bytes(), signer.public_keys()).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error} is not {why}");
    }
}

#[test]
fn what_is_too_large_is_neither_sealed_nor_read() {
    let (_dir, signer) = signer();
    let error = open(&vec![b'A'; RECEIPT_BYTES_MAX + 1], signer.public_keys()).unwrap_err();
    assert_eq!(error, OpenError::TooLarge);
}
