//! Keys that end before their time: a clock that is set back, a key that is withdrawn or replaced.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::RefusalCode;
use serde_json::json;

use crate::key_sources::{DAY, ISSUER, by_address, clock, code, keys, token};
use crate::mint::{self, Key, P256, P256_OTHER};
use crate::site::{Answer, Site, until};
use crate::world::{NOW, claims_with, verifier};

/// The keys are as old as the clock says, and a clock that was set back says nothing of them.
#[tokio::test]
async fn a_clock_that_is_set_back_makes_keys_due_and_not_fresh_for_ever() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let late = NOW.plus(DAY * 30);
    let old = token(&P256, "k1", ISSUER);
    assert_eq!(code(&verifier, &old, late).await, None);
    assert!(!verifier.key_status(late)[0].stale);
    assert!(verifier.key_status(NOW)[0].stale, "keys from the future are not fresh");

    // The issuer rotates, and takes the old key back.
    site.set("/keys", keys(&[(&P256_OTHER, "k2")]));
    let hits = site.hits("/keys");
    let task = tokio::spawn(Arc::clone(&verifier).keep_fresh(clock(NOW)));
    site.wait_for_hits("/keys", hits + 1).await;
    until("the keys are fresh", || !verifier.key_status(NOW)[0].stale).await;
    task.abort();
    assert_eq!(verifier.key_status(NOW)[0].fetched_at, Some(NOW));
    assert_eq!(code(&verifier, &token(&P256_OTHER, "k2", ISSUER), NOW).await, None);
    assert_eq!(code(&verifier, &old, NOW).await, Some(RefusalCode::InvalidCredential));
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_fetches_on_demand() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let late = NOW.plus(DAY * 30);
    assert_eq!(
        code(&verifier, &token(&P256, "k1", ISSUER), late).await,
        None,
        "the one fetch of that minute"
    );
    site.set("/keys", keys(&[(&P256, "k1"), (&P256_OTHER, "k2")]));
    assert_eq!(code(&verifier, &token(&P256_OTHER, "k2", ISSUER), NOW).await, None);
    assert_eq!(site.hits("/keys"), 2);
}

#[tokio::test]
async fn keys_from_the_future_are_given_up_too_when_their_issuer_is_away() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let good = token(&P256, "k1", ISSUER);
    assert_eq!(code(&verifier, &good, NOW.plus(DAY * 30)).await, None);
    site.set("/keys", Answer { status: "503 Service Unavailable", ..Answer::ok("") });
    verifier.refresh_all(NOW).await;
    assert_eq!(code(&verifier, &good, NOW).await, None, "the issuer is away for a moment");
    let status = &verifier.key_status(NOW)[0];
    assert!(status.stale && status.last_error.is_some(), "{status:?}");
    assert_eq!(code(&verifier, &good, NOW.plus(DAY)).await, None);
    let after = NOW.plus(DAY).plus(Duration::from_millis(1));
    assert!(verifier.cached(&good, after).is_none());
    assert_eq!(code(&verifier, &good, after).await, Some(RefusalCode::KeysUnavailable));
}

/// An operator who knows that a key was withdrawn need not wait until the keys are due.
#[tokio::test]
async fn a_withdrawn_key_goes_at_once_when_an_operator_says_so() {
    let site = Site::start().await;
    let answer = keys(&[(&P256, "k1"), (&P256_OTHER, "k2")]);
    site.set("/keys", Answer { headers: "cache-control: max-age=86400\r\n".into(), ..answer });
    let by_address = by_address(&site);
    let folder = tempfile::tempdir().unwrap();
    let write = |keys: &[serde_json::Value]| {
        std::fs::write(folder.path().join("keys"), json!({ "keys": keys }).to_string()).unwrap();
    };
    write(&[P256.jwk("k1"), P256_OTHER.jwk("k2")]);
    let toml = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{ISSUER}'\naudiences = ['doorward']\nalgorithms = ['ES256']\njwks_file = 'keys'"
    );
    let by_file = Arc::new(verifier(&toml, folder.path()));
    let (withdrawn, stays) = (token(&P256, "k1", ISSUER), token(&P256_OTHER, "k2", ISSUER));
    for verifier in [&by_address, &by_file] {
        assert_eq!(code(verifier, &withdrawn, NOW).await, None);
        assert_eq!(code(verifier, &stays, NOW).await, None);
    }
    site.set("/keys", keys(&[(&P256_OTHER, "k2")]));
    write(&[P256_OTHER.jwk("k2")]);
    for verifier in [&by_address, &by_file] {
        assert_eq!(code(verifier, &withdrawn, NOW).await, None, "nobody has said anything");
        verifier.refresh_all(NOW).await;
        assert!(verifier.cached(&withdrawn, NOW).is_none());
        assert_eq!(code(verifier, &withdrawn, NOW).await, Some(RefusalCode::InvalidCredential));
        assert_eq!(code(verifier, &stays, NOW).await, None);
    }
}

/// A bad signature looks for another key of that name, at most once a minute.
#[tokio::test]
async fn a_key_that_was_replaced_under_its_name_is_found() {
    for kid in [Some("k1"), None] {
        let site = Site::start().await;
        site.set("/keys", keys(&[(&P256, "k1")]));
        let verifier = by_address(&site);
        let of = |key: &Key, sub: &str| {
            let mut header = json!({"alg": "ES256", "typ": "at+jwt"});
            if let Some(kid) = kid {
                header["kid"] = json!(kid);
            }
            mint::token(key, &header.to_string(), &claims_with(ISSUER, json!({"sub": sub})).to_string())
        };
        let (old, new) = (of(&P256, "a"), of(&P256_OTHER, "a"));
        assert_eq!(code(&verifier, &old, NOW).await, None);
        assert_eq!(site.hits("/keys"), 1);
        site.set("/keys", keys(&[(&P256_OTHER, "k1")]));
        // Within the minute of the first fetch nothing is fetched.
        let soon = NOW.plus(Duration::from_secs(59));
        assert_eq!(code(&verifier, &new, soon).await, Some(RefusalCode::InvalidCredential));
        assert_eq!(site.hits("/keys"), 1);
        let now = NOW.plus(Duration::from_secs(60));
        assert_eq!(code(&verifier, &new, now).await, None, "{kid:?}");
        assert!(verifier.cached(&old, now).is_none() && verifier.cached(&new, now).is_some());
        assert_eq!(site.hits("/keys"), 2);
        for n in 0..100 {
            let forged = of(&P256, &format!("forged-{n}"));
            assert_eq!(code(&verifier, &forged, now).await, Some(RefusalCode::InvalidCredential));
        }
        assert_eq!(site.hits("/keys"), 2, "a flood fetches nothing more");
    }
}
