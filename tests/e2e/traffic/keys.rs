//! The issuer changes its keys while the gateway runs.

use doorward_tests::company::{Company, bearer};
use doorward_tests::h1;
use doorward_tests::keys::{Algorithm, TestKey};
use doorward_tests::raw::RawUpstream;
use serde_json::json;

#[tokio::test]
async fn a_new_key_is_taken_when_it_first_signs_and_the_old_one_goes_on() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let status = async |token: &str| {
        h1::ask(gateway.address(), "GET", "build.test", "/", &[("authorization", &bearer(token))])
            .await
            .status()
    };
    let old = issuer.token("bob");
    assert_eq!(status(&old).await, 200);
    let fetched = issuer.keys_fetched();
    issuer.provider().rotate_key().unwrap();
    let new = issuer.token("bob");
    assert_eq!(status(&new).await, 200, "an unknown key id makes the gateway look");
    assert_eq!(issuer.keys_fetched(), fetched + 1);
    for _ in 0..5 {
        assert_eq!((status(&old).await, status(&new).await), (200, 200));
    }
    assert_eq!(status(&issuer.token("bob")).await, 200);
    assert_eq!(issuer.keys_fetched(), fetched + 1);
}

#[tokio::test]
async fn keys_that_nobody_has_cause_one_fetch_and_no_more() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let good = issuer.token("bob");
    let fetched = issuer.keys_fetched();
    let claims = issuer.claims_but("bob", &json!({})).to_string();
    let mut asked = Vec::new();
    for _ in 0..12 {
        let stranger = TestKey::generate(Algorithm::Es256);
        let token = bearer(&stranger.sign(&stranger.header().to_string(), &claims));
        let address = gateway.address();
        asked.push(tokio::spawn(async move {
            h1::ask(address, "GET", "build.test", "/", &[("authorization", &token)]).await
        }));
    }
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (401, Some("invalid_credential")));
    }
    assert_eq!(issuer.keys_fetched(), fetched + 1, "a stranger cannot make the gateway hammer the issuer");
    let answer =
        h1::ask(gateway.address(), "GET", "build.test", "/", &[("authorization", &bearer(&good))]).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_key_that_was_taken_back_signs_nothing_after_the_next_fetch() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let status = async |token: &str| {
        h1::ask(gateway.address(), "GET", "build.test", "/", &[("authorization", &bearer(token))])
            .await
            .status()
    };
    let first = issuer.provider().signing_key().kid().to_owned();
    let old = issuer.token("bob");
    assert_eq!(status(&old).await, 200);
    issuer.provider().rotate_key().unwrap();
    assert!(issuer.provider().drop_key(&first));
    // The new key makes the gateway fetch, and what it fetches has no old key. The token that was
    // verified and remembered goes with its key.
    assert_eq!(status(&issuer.token("bob")).await, 200);
    assert_eq!(status(&old).await, 401);
}

#[tokio::test]
async fn every_algorithm_that_is_pinned_verifies_and_no_other() {
    let upstream = RawUpstream::ok().await;
    let families: [(&str, &[Algorithm]); 3] = [
        ("rsa", &[Algorithm::Rs256, Algorithm::Ps256]),
        ("ec", &[Algorithm::Es256, Algorithm::Es384]),
        ("ed", &[Algorithm::EdDsa]),
    ];
    let mut company = Company::new(upstream.address()).await;
    let mut issuers = Vec::new();
    for (id, algorithms) in families {
        let issuer = doorward_tests::issuer::Issuer::named(id).await;
        let mut section = issuer.section();
        section["algorithms"] = json!(algorithms.iter().map(|a| a.name()).collect::<Vec<_>>());
        company.config.add("issuer", section);
        let keys: Vec<_> = Algorithm::ALL.iter().map(|a| (*a, issuer.add_key(*a))).collect();
        issuers.push((issuer, algorithms, keys));
    }
    let (_demo, gateway) = company.start().await;
    for (issuer, algorithms, keys) in &issuers {
        for (algorithm, key) in keys {
            let claims = issuer.claims_but("bob", &json!({})).to_string();
            let token = bearer(&key.sign(&key.header().to_string(), &claims));
            let answer =
                h1::ask(gateway.address(), "GET", "build.test", "/", &[("authorization", &token)]).await;
            let expected = if algorithms.contains(algorithm) { 200 } else { 401 };
            assert_eq!(answer.status(), expected, "{} {algorithm:?}: {}", issuer.id(), answer.text());
        }
    }
    let users: std::collections::BTreeSet<String> =
        upstream.requests().iter().filter_map(|r| r.head.value("x-doorward-user")).collect();
    assert_eq!(users.into_iter().collect::<Vec<_>>(), ["ec:bob", "ed:bob", "rsa:bob"]);
}
