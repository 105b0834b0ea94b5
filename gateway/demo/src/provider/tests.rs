use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::UnixMillis;

use super::*;
use crate::client::fetch;
use crate::loopback::Loopback;

pub(super) const NOW: i64 = 1_800_000_000;

fn provider() -> Provider {
    Provider::new("http://127.0.0.1:9181", Arc::new(|| UnixMillis::from_seconds(NOW))).unwrap()
}

pub(super) fn part(token: &str, i: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(i).unwrap()).unwrap()).unwrap()
}

/// Checks a token against a published key set, with other code than made it.
pub(super) fn verifies(token: &str, key_set: &Value) -> bool {
    let kid = part(token, 0)["kid"].clone();
    let Some(jwk) = key_set["keys"].as_array().unwrap().iter().find(|k| k["kid"] == kid) else {
        return false;
    };
    let coordinate = |c: &str| URL_SAFE_NO_PAD.decode(jwk[c].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let (message, signature) = token.rsplit_once('.').unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .is_ok()
}

#[test]
fn a_token_says_who_and_how() {
    let provider = provider();
    let token = provider.sign_in(&SignIn::of("alice")).unwrap();
    assert!(verifies(&token, &provider.key_set()));
    assert_eq!((&part(&token, 0)["typ"], &part(&token, 0)["alg"]), (&json!("at+jwt"), &json!("ES256")));
    let claims = part(&token, 1);
    for (claim, value) in [
        ("iss", json!("http://127.0.0.1:9181")),
        ("aud", json!("doorward")),
        ("sub", json!("alice")),
        ("iat", json!(NOW)),
        ("exp", json!(NOW + 600)),
        ("auth_time", json!(NOW)),
        ("amr", json!(["pwd", "hwk", "mfa"])),
        ("roles", json!(["employee", "hr"])),
        ("groups", json!(["hr-team"])),
        ("employment", json!("employee")),
        ("country", json!("DE")),
        ("email", json!("alice@demo.example")),
        ("email_verified", json!(true)),
        ("device_managed", json!(true)),
        ("device_compliant", json!(true)),
        ("contract_end", Value::Null),
        ("stage", Value::Null),
        ("risk", Value::Null),
    ] {
        assert_eq!(claims.get(claim).unwrap_or(&Value::Null), &value, "{claim}");
    }
}

#[test]
fn every_word_of_a_query_changes_its_claim() {
    let provider = provider();
    let (on, off) = (Some(Switch::On), Some(Switch::Off));
    let base = SignIn::of("carol");
    for (how, claim, value) in [
        (base.clone(), "contract_end", json!(NOW + 30 * 86_400)),
        (SignIn { contract_days: Some(-1), ..base.clone() }, "contract_end", json!(NOW - 86_400)),
        (SignIn { mfa: off, ..base.clone() }, "amr", json!(["pwd"])),
        (SignIn { mfa: on, ..base.clone() }, "amr", json!(["pwd", "hwk", "mfa"])),
        (SignIn { minutes: Some(1), ..base.clone() }, "exp", json!(NOW + 60)),
        (SignIn { signed_in_minutes_ago: Some(20), ..base.clone() }, "auth_time", json!(NOW - 1200)),
        (SignIn { country: Some("FR".into()), ..base.clone() }, "country", json!("FR")),
        (SignIn { device_managed: off, ..base.clone() }, "device_managed", json!(false)),
        (SignIn { device_compliant: off, ..base.clone() }, "device_compliant", json!(false)),
        (SignIn { device_id: Some("d9".into()), ..base.clone() }, "device_id", json!("d9")),
        (SignIn { stage: Some("leave".into()), ..base.clone() }, "stage", json!("leave")),
        (SignIn { risk: Some(90), ..base.clone() }, "risk", json!(90)),
        (SignIn { session: Some("s1".into()), ..base.clone() }, "sid", json!("s1")),
    ] {
        assert_eq!(provider.claims(&how).unwrap()[claim], value, "{claim}");
    }
}

#[test]
fn tokens_have_their_own_names() {
    let provider = provider();
    let [a, b] = [0, 1].map(|_| provider.claims(&SignIn::of("bob")).unwrap());
    assert_ne!(a["jti"], b["jti"]);
    assert_ne!(a["sid"], b["sid"]);
}

#[test]
fn a_token_that_cannot_be_is_refused() {
    let provider = provider();
    let nobody = provider.sign_in(&SignIn::of("mallory")).unwrap_err().to_string();
    assert_eq!(
        nobody,
        "nobody here is called `mallory`: choose one of `alice`, `bob`, `carol`, `dana`, `erin`"
    );
    for minutes in [i64::MIN, -1, 0, TOKEN_MINUTES_MAX + 1, i64::MAX] {
        let how = SignIn { minutes: Some(minutes), ..SignIn::of("bob") };
        assert!(matches!(provider.sign_in(&how), Err(ProviderError::Minutes(m)) if m == minutes));
    }
    // Arithmetic at the edge saturates.
    let how =
        SignIn { contract_days: Some(i64::MIN), signed_in_minutes_ago: Some(u32::MAX), ..SignIn::of("bob") };
    assert!(provider.sign_in(&how).is_ok());
}

#[test]
fn keys_rotate_and_vanish() {
    let provider = provider();
    let (old_kid, old) =
        (provider.signing_key().kid().to_owned(), provider.sign_in(&SignIn::of("bob")).unwrap());
    let new_kid = provider.rotate_key().unwrap();
    let new = provider.sign_in(&SignIn::of("bob")).unwrap();
    assert_eq!(provider.key_ids(), BTreeSet::from([old_kid.clone(), new_kid.clone()]));
    assert!(verifies(&old, &provider.key_set()) && verifies(&new, &provider.key_set()));
    assert!(provider.drop_key(&old_kid) && !provider.drop_key(&old_kid));
    assert!(!verifies(&old, &provider.key_set()) && verifies(&new, &provider.key_set()));
    assert!(provider.drop_key(&new_kid));
    assert!(!verifies(&provider.sign_in(&SignIn::of("bob")).unwrap(), &provider.key_set()));
}

#[test]
fn time_is_the_clock_s() {
    let now = Arc::new(AtomicI64::new(5_000));
    let reads = Arc::clone(&now);
    let provider =
        Provider::new("http://x", Arc::new(move || UnixMillis(reads.load(Ordering::Relaxed)))).unwrap();
    now.store(9_999, Ordering::Relaxed);
    assert_eq!(provider.claims(&SignIn::of("bob")).unwrap()["iat"], 9);
}

#[test]
fn no_key_in_debug_output() {
    let provider = provider();
    let shown = format!("{provider:?} {:?}", provider.signing_key());
    assert!(shown.len() < 200 && !shown.contains("EcdsaKeyPair"), "{shown}");
}

async fn served() -> (Provider, String) {
    let loopback = Loopback::port(0).await.unwrap();
    let base = format!("http://{}", loopback.address());
    let provider = Provider::new(base.clone(), Arc::new(|| UnixMillis::from_seconds(NOW))).unwrap();
    tokio::spawn(loopback.serve(provider.router()));
    (provider, base)
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let (provider, base) = served().await;
    let found = fetch("GET", &format!("{base}/.well-known/openid-configuration")).await.unwrap();
    let found: Value = serde_json::from_slice(&found.body).unwrap();
    assert_eq!(found["issuer"], base);
    let keys = fetch("GET", found["jwks_uri"].as_str().unwrap()).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&keys.body).unwrap(), provider.key_set());
    let private: Vec<_> = ["\"d\"", "PRIVATE"].into_iter().filter(|s| keys.text().contains(s)).collect();
    assert!(private.is_empty(), "{private:?}");
}

#[tokio::test]
async fn both_token_pages_answer() {
    let (provider, base) = served().await;
    let json = fetch("POST", &format!("{base}/token?person=alice&mfa=off&minutes=5")).await.unwrap();
    let json: Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((&json["token_type"], &json["expires_in"]), (&json!("Bearer"), &json!(300)));
    let token = json["access_token"].as_str().unwrap();
    assert!(verifies(token, &provider.key_set()));
    assert_eq!(part(token, 1)["amr"], json!(["pwd"]));

    let text = fetch("GET", &format!("{base}/token/bob?country=FR")).await.unwrap();
    assert_eq!(text.status, 200);
    assert!(verifies(&text.text(), &provider.key_set()));
    assert_eq!(part(&text.text(), 1)["country"], "FR");
    assert!(fetch("GET", &base).await.unwrap().text().contains("/token/dana"));
}

#[tokio::test]
async fn a_wrong_question_gets_no_token() {
    let (_, base) = served().await;
    for (method, path, status) in [
        ("GET", "/token/mallory", 404),
        ("GET", "/token/alice?mfa=maybe", 400),
        ("GET", "/token/alice?mfaa=off", 400),
        ("GET", "/token/alice?minutes=0", 400),
        ("GET", "/token/alice?risk=300", 400),
        ("POST", "/token", 400),
        ("POST", "/token?person=mallory", 400),
        ("GET", "/token?person=alice", 405),
    ] {
        let answer = fetch(method, &format!("{base}{path}")).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(!answer.text().contains("eyJ"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_name_that_was_bent_to_this_machine_is_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (_, base) = served().await;
    let address = base.strip_prefix("http://").unwrap().to_owned();
    for (host, status) in [
        ("evil.example", "421"),
        ("localhost.evil.example:9181", "421"),
        ("192.0.2.1", "421"),
        ("", "421"),
        ("localhost:9181", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:9181", "200"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!("GET /token/alice HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
}
