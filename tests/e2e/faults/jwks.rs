//! Keys that cannot be had: at the start, later, and coming back.

use std::time::Duration;

use doorward_tests::company::Company;
use doorward_tests::gateway::Gateway;
use doorward_tests::issuer::{Issuer, KeysAnswer};
use doorward_tests::raw::RawUpstream;
use serde_json::json;

use crate::seen;

#[tokio::test]
async fn without_keys_at_the_start_tokens_are_refused_until_there_are_some() {
    // Side by side, as what takes time is the gateway's patience.
    tokio::join!(
        without_keys("an error", KeysAnswer::Instead(500, b"{}".to_vec())),
        without_keys("garbage", KeysAnswer::Instead(200, b"<html>".to_vec())),
        without_keys("no keys", KeysAnswer::Instead(200, br#"{"keys":[]}"#.to_vec())),
        without_keys("silence", KeysAnswer::Never),
    );
}

async fn without_keys(what: &str, answer: KeysAnswer) {
    let upstream = RawUpstream::ok().await;
    let company = Company::new(upstream.address()).await;
    company.issuer.answer_keys(answer);
    let (issuer, gateway) = (company.issuer, Gateway::start_unready(company.config).await);
    let bob = issuer.token_but("bob", &json!({"exp": doorward_tests::wire::now().seconds() + 3600}));
    seen::comes_to(&gateway, "build.test", &bob, (503, "keys_unavailable")).await;
    let refused = seen::get(&gateway, "build.test", &bob).await;
    assert_eq!(refused.json()["title"], "Sign-ins cannot be checked right now", "{what}");
    assert_eq!(refused.head.value("retry-after").as_deref(), Some("5"), "{what}");
    assert!(!refused.text().contains(issuer.url()), "{what}: {}", refused.text());
    let condition = seen::condition_comes_to(&gateway, "issuer_keys", 503, "missing").await;
    assert!(condition["detail"].as_str().unwrap().contains("demo"), "{what}: {condition}");
    gateway.wait_log("the keys of an issuer cannot be had").await;
    // Who needs no key is not refused for it.
    let visitor = doorward_tests::h1::ask(gateway.address(), "GET", "wiki.test", "/welcome", &[]).await;
    assert_eq!(visitor.status(), 200, "{what}");
    let nonsense = seen::told(&gateway, "build.test", "nonsense").await;
    assert_eq!(nonsense, (401, "invalid_credential".into()), "{what}");

    // A key set without keys is an answer, and believed for a minute before anybody asks again.
    if what == "no keys" {
        return;
    }
    issuer.answer_keys(KeysAnswer::Keys);
    seen::comes_to(&gateway, "build.test", &bob, (200, "")).await;
    seen::condition_comes_to(&gateway, "issuer_keys", 200, "holds").await;
}

#[tokio::test]
async fn one_issuer_without_keys_makes_its_own_people_wait_and_nobody_else() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    let partners = Issuer::named("partners").await;
    partners.answer_keys(KeysAnswer::Instead(500, Vec::new()));
    company.config.issuer(&partners);
    // Started means ready.
    let (issuer, gateway) = company.start().await;
    assert_eq!(seen::told(&gateway, "build.test", &issuer.token("bob")).await.0, 200);
    let theirs = partners.token("bob");
    seen::comes_to(&gateway, "build.test", &theirs, (503, "keys_unavailable")).await;
    let ready = gateway.api("GET", "/readyz", None).await;
    let said: serde_json::Value = serde_json::from_str(&ready.text).unwrap();
    assert_eq!((ready.status, &said["missing"]), (200, &json!([])), "{said}");
    let keys: Vec<_> =
        said["conditions"].as_array().unwrap().iter().filter(|c| c["name"] == "issuer_keys").collect();
    assert_eq!((&keys[0]["state"], &keys[1]["state"]), (&json!("holds"), &json!("degraded")), "{said}");
    let detail = keys[1]["detail"].as_str().unwrap();
    assert!(detail.starts_with("partners: 0 keys; the last try failed: "), "{detail}");
    assert!(detail.contains("500"), "{detail}");
    issuer.stop();
}

#[tokio::test]
async fn an_issuer_that_is_down_later_is_not_missed_while_its_keys_are_known() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let old = issuer.token("bob");
    assert_eq!(seen::told(&gateway, "build.test", &old).await.0, 200);
    issuer.answer_keys(KeysAnswer::Instead(503, Vec::new()));
    // New tokens of known keys, and old ones, go on.
    for _ in 0..5 {
        assert_eq!(seen::told(&gateway, "build.test", &issuer.token("dana")).await.0, 200);
    }
    // A new key cannot be looked for: that is not the client's fault, and is said so.
    issuer.provider().rotate_key().unwrap();
    let new = issuer.token("bob");
    assert_eq!(seen::told(&gateway, "build.test", &new).await, (503, "keys_unavailable".into()));
    gateway.wait_log("keys cannot be fetched").await;
    assert!(gateway.log().contains("answers 503"), "{}", gateway.log());
    assert_eq!(seen::told(&gateway, "build.test", &old).await.0, 200);
    let event = seen::event(&gateway, "access.request.denied").await;
    assert_eq!(event["unmapped"]["doorward"]["decision"]["reason_code"], "keys_unavailable", "{event}");
    assert_eq!(event["http_response"]["code"], 503);
    // The port closed for good makes no difference to what is known.
    issuer.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(seen::told(&gateway, "build.test", &old).await.0, 200);
}

#[tokio::test]
async fn keys_from_a_file_need_nobody() {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let mut company = Company::new(upstream.address()).await;
    let file = folder.path().join("keys.json");
    std::fs::write(&file, company.issuer.provider().key_set().to_string()).unwrap();
    company.config.set("issuer.0.jwks_file", json!(file));
    company.issuer.answer_keys(KeysAnswer::Never);
    let (issuer, gateway) = company.start().await;
    assert_eq!(seen::told(&gateway, "build.test", &issuer.token("bob")).await.0, 200);
    assert_eq!(issuer.keys_fetched(), 0);
}
