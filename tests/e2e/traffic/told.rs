//! What an app is told: the assertion and the key that verifies it, our headers, and nothing that
//! a client made up or that is ours alone.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_tests::company::{Company, bearer};
use doorward_tests::h1;
use doorward_tests::h2::H2;
use doorward_tests::h2_upstream::{self, H2Upstream};
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire;
use serde_json::{Value, json};

fn part(token: &str, i: usize) -> Value {
    let part = token.split('.').nth(i).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Verifies as an app would, with nothing but what the key set says.
fn verifies(token: &str, jwks: &Value) -> bool {
    let kid = &part(token, 0)["kid"];
    let keys = jwks["keys"].as_array().unwrap();
    let Some(jwk) = keys.iter().find(|k| k["kid"] == *kid) else { return false };
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], bytes("x"), bytes("y")].concat();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(message.as_bytes(), &signature).is_ok()
}

#[tokio::test]
async fn the_assertion_names_its_app_lives_a_minute_and_verifies() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company.engineering("other", upstream.address(), json!({}));
    let (issuer, gateway) = company.start().await;
    let jwks = gateway.api("GET", "/.well-known/jwks.json", None).await;
    // Apps have no token of the operator's.
    let open =
        h1::ask(gateway.operator(), "GET", &gateway.operator().to_string(), "/.well-known/jwks.json", &[])
            .await;
    assert_eq!((open.status(), open.text()), (200, jwks.text.clone()));
    let jwks: Value = serde_json::from_str(&jwks.text).unwrap();
    assert!(!jwks.to_string().contains("\"d\""), "only the public half");

    let dana = bearer(&issuer.token("dana"));
    for (host, app) in [("build.test", "build"), ("other.test", "other"), ("wiki.test", "wiki")] {
        let now = wire::now().seconds();
        assert_eq!(
            h1::ask(gateway.address(), "GET", host, "/", &[("authorization", &dana)]).await.status(),
            200
        );
        let seen = upstream.requests().pop().unwrap().head;
        let assertion = seen.value("x-doorward-assertion").unwrap();
        assert!(verifies(&assertion, &jwks), "{assertion}");
        assert_eq!(part(&assertion, 0)["alg"], "ES256");
        let claims = part(&assertion, 1);
        assert_eq!((&claims["aud"], &claims["iss"]), (&json!(app), &json!("http://gateway.test")));
        assert_eq!((&claims["sub"], &claims["kind"]), (&json!("demo:dana"), &json!("User")));
        assert_eq!(claims["email"], "dana@demo.example");
        let set = |v: &Value| v.as_array().unwrap().iter().map(|g| g.as_str().unwrap().to_owned()).collect();
        let groups: BTreeSet<String> = set(&claims["groups"]);
        assert_eq!(groups, BTreeSet::from(["eng-team".to_owned(), "platform-team".to_owned()]));
        let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        // However long the request took, it was made before now.
        assert!(exp - iat <= 60 && exp > now && iat <= wire::now().seconds(), "{claims}");
        // Any change breaks it.
        let forged = assertion.replacen('.', ".e30", 1);
        assert!(!verifies(&forged, &jwks));
    }
    // The key outlives a restart, so that apps need not fetch in a hurry.
    let gateway = gateway.restart(doorward_tests::gateway::Signal::SIGKILL).await;
    let again: Value =
        serde_json::from_str(&gateway.api("GET", "/.well-known/jwks.json", None).await.text).unwrap();
    assert_eq!(again, jwks);
}

#[tokio::test]
async fn an_app_is_told_who_asks_and_sees_no_credential() {
    let h1_app = RawUpstream::ok().await;
    let h2_app = H2Upstream::start(|_| h2_upstream::Answer::ok("ok")).await;
    let mut company = Company::new(h1_app.address()).await;
    company.engineering("h2", h2_app.address(), json!({"upstream": {"protocol": "h2"}})).engineering(
        "passes",
        h1_app.address(),
        json!({"pass_token": true}),
    );
    let (issuer, gateway) = company.start().await;
    let token = issuer.token_but("bob", &json!({"groups": ["eng-team", "a,b \"c\" é"]}));
    let auth = bearer(&token);
    let fields = [
        ("authorization", auth.as_str()),
        ("cookie", "a=1; __Host-doorward-session=secret; b=2"),
        ("x-request-id", "theirs"),
        ("x-doorward-user", "demo:dana"),
        ("x-custom", "kept"),
    ];
    let client = H2::connect(gateway.address()).await;
    for host in ["build.test", "h2.test"] {
        let answer = h1::ask(gateway.address(), "GET", host, "/a/b?c=d%20e", &fields).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(client.get(host, "/a/b?c=d%20e", &fields).await.status, 200);
    }
    let mut told: Vec<(String, Vec<(String, String)>)> = h1_app
        .requests()
        .iter()
        .map(|r| {
            (r.head.target(), r.head.fields().into_iter().map(|(n, v)| (n.to_ascii_lowercase(), v)).collect())
        })
        .collect();
    told.extend(h2_app.requests().iter().map(|r| {
        let fields = r
            .headers
            .iter()
            .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
        (r.uri.path_and_query().unwrap().to_string(), fields.collect())
    }));
    assert_eq!(told.len(), 4);
    for (target, fields) in &told {
        let value = |name: &str| {
            let mut values = fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
            let first = values.next();
            assert_eq!(values.next(), None, "`{name}` twice");
            first
        };
        assert_eq!(target, "/a/b?c=d%20e");
        assert_eq!(value("x-doorward-user"), Some("demo:bob"));
        assert_eq!(value("x-doorward-email"), Some("bob@demo.example"));
        let groups: BTreeSet<_> = value("x-doorward-groups").unwrap().split(',').collect();
        assert_eq!(groups, BTreeSet::from(["eng-team", "a%2Cb%20%22c%22%20%C3%A9"]));
        assert!(value("x-doorward-assertion").is_some());
        assert_eq!(value("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(value("x-forwarded-proto"), Some("http"));
        assert_eq!(value("x-custom"), Some("kept"));
        assert_eq!(value("x-request-id"), Some("theirs"));
        assert_eq!(value("authorization"), None);
        assert_eq!(value("cookie").map(|c| c.replace(' ', "")), Some("a=1;b=2".into()));
        assert!(fields.iter().all(|(_, v)| !v.contains("secret") && !v.contains(&token)));
    }
    // Every request has an id of its own, and the app's answer does not show it unless the app does.
    let ids: BTreeSet<_> = told
        .iter()
        .map(|(_, f)| f.iter().find(|(n, _)| n == "x-doorward-request-id").unwrap().1.clone())
        .collect();
    assert_eq!(ids.len(), 4);
    // Where the configuration says so, the app sees the token.
    assert_eq!(h1::ask(gateway.address(), "GET", "passes.test", "/", &fields).await.status(), 200);
    assert_eq!(h1_app.requests().pop().unwrap().head.value("authorization"), Some(auth.clone()));
}

#[tokio::test]
async fn a_visitor_is_nobody_to_the_app() {
    let upstream = RawUpstream::ok().await;
    let (_issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let made_up =
        [("x-doorward-user", "demo:dana"), ("X_Doorward_Assertion", "x.y.z"), ("remote-user", "dana")];
    let answer = h1::ask(gateway.address(), "GET", "wiki.test", "/welcome", &made_up).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = upstream.requests().pop().unwrap().head;
    for (name, value) in seen.fields() {
        let name = name.to_ascii_lowercase();
        assert!(!name.contains("user") && !name.contains("assertion"), "{name}: {value}");
    }
}

#[tokio::test]
async fn the_path_that_was_matched_is_the_path_that_is_sent_and_recorded() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let h2 = H2::connect(gateway.address()).await;
    let mut sent = Vec::new();
    for (asked, normal) in [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/%61%62c", "/abc"),
        ("/a//b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/%c3%a9?q=%2e%2e/x", "/%C3%A9?q=%2e%2e/x"),
    ] {
        let answer =
            h1::ask(gateway.address(), "GET", "build.test", asked, &[("authorization", &auth)]).await;
        let other = h2.get("build.test", asked, &[("authorization", &auth)]).await;
        assert_eq!(answer.status(), other.status, "{asked}: both protocols agree");
        if answer.status() != 200 {
            assert_eq!(answer.status(), 400, "{asked}: passed or refused, nothing between");
            continue;
        }
        let seen = upstream.requests();
        assert_eq!(seen[seen.len() - 2].head.target(), normal, "{asked}");
        assert_eq!(seen[seen.len() - 1].head.target(), normal, "{asked}");
        sent.push(normal.split('?').next().unwrap());
    }
    assert!(!sent.is_empty());
    wire::within("the events", async {
        while !sent.iter().all(|path| {
            gateway.events().iter().filter(|e| e["http_request"]["url"]["path"] == *path).count() >= 2
        }) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}
