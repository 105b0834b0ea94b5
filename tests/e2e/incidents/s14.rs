//! S14, JWT validation (CVE-2026-25537, GHSA-wcvh-g65p-v576): a token is what the issuer's pinned
//! algorithm and published key signed, for us, for now, for access. Everything else is nothing.

use std::sync::Arc;

use doorward_demo::provider::encode;
use doorward_tests::gateway::Signal;
use doorward_tests::issuer::Issuer;
use doorward_tests::keys::{Algorithm, TestKey, sign_hs256, unsigned};
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::now;
use serde_json::{Value, json};

use super::house::{House, WIKI};
use super::talk::{Ask, BOTH, Http};

const BAD: &str = "invalid_credential";
const OLD: &str = "expired_credential";

/// A token under a name that says what is wrong with it, and what becomes of it.
type Vector = (String, String, &'static str);

fn vector(name: &str, token: String, code: &'static str) -> Vector {
    (name.to_owned(), token, code)
}

/// Headers that say something else than the key that signed.
fn headers(key: &TestKey, alg: &str, payload: &str) -> Vec<Vector> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut header = key.header();
        change(&mut header);
        key.sign(&header.to_string(), payload)
    };
    let set = |name: &'static str, value: Value| {
        let shown = format!("{name} {value}");
        (shown, with(&move |h| h[name] = value.clone()), BAD)
    };
    let unset = |name: &str| {
        vector(&format!("no {name}"), with(&|h| drop(h.as_object_mut().unwrap().remove(name))), BAD)
    };
    let jwk = TestKey::generate(Algorithm::Es256).jwk();
    let mut all = vec![
        unset("alg"),
        unset("typ"),
        set("alg", json!("none")),
        set("alg", json!("None")),
        set("alg", json!("HS256")),
        set("alg", json!("")),
        set("alg", json!(alg.to_lowercase())),
        set("alg", json!([alg])),
        set("alg", json!(null)),
        set("typ", json!("JWT")),
        set("typ", json!("logout+jwt")),
        set("typ", json!("secevent+jwt")),
        set("typ", json!("id_token")),
        set("typ", json!("at+jwt; x")),
        set("typ", json!("application/x/at+jwt")),
        set("typ", json!(1)),
        set("typ", json!("")),
        set("kid", json!("")),
        set("kid", json!("unknown-to-anybody")),
        set("kid", json!("../../../../dev/null")),
        set("kid", json!("x' OR '1'='1")),
        set("kid", json!("x\u{0}")),
        set("kid", json!("k".repeat(300))),
        set("kid", json!([key.kid()])),
        set("kid", json!({"kid": key.kid()})),
        set("kid", json!(null)),
        set("crit", json!(["exp"])),
        set("crit", json!([])),
        set("crit", json!(null)),
        set("b64", json!(false)),
        set("b64", json!(true)),
        set("jku", json!("http://127.0.0.1:1/keys")),
        set("x5u", json!("http://127.0.0.1:1/cert")),
        set("x5c", json!(["MIIB"])),
        set("jwk", jwk),
        set("zip", json!("DEF")),
        set("cty", json!("JWT")),
        set("enc", json!("A128GCM")),
    ];
    for other in Algorithm::ALL.iter().map(|a| a.name()).filter(|a| *a != alg) {
        all.push(set("alg", json!(other)));
    }
    let kid = key.kid();
    for (name, header) in [
        ("kid twice", format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"x","kid":"{kid}"}}"#)),
        ("alg twice", format!(r#"{{"typ":"at+jwt","alg":"none","alg":"{alg}","kid":"{kid}"}}"#)),
        ("no JSON", "x".to_owned()),
        ("a list", "[]".to_owned()),
        ("a text", r#""at+jwt""#.to_owned()),
        ("two objects", format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"{kid}"}}{{}}"#)),
        (
            "deep",
            format!(
                r#"{{"typ":"at+jwt","alg":"{alg}","kid":"{kid}","x":{}1{}}}"#,
                "[".repeat(500),
                "]".repeat(500)
            ),
        ),
        ("nothing", String::new()),
    ] {
        all.push(vector(name, key.sign(&header, payload), BAD));
    }
    all
}

/// Claims that say something else than a token for us and for now.
fn claims(key: &TestKey, good: &Value) -> Vec<Vector> {
    let header = key.header().to_string();
    let but = |name: &str, value: Option<Value>| {
        let mut claims = good.clone();
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        key.sign(&header, &claims.to_string())
    };
    let mut all = Vec::new();
    for name in ["iss", "aud", "sub", "exp", "iat"] {
        all.push(vector(&format!("no {name}"), but(name, None), BAD));
        for value in [json!(null), json!({}), json!([]), json!(true), json!("")] {
            all.push(vector(&format!("{name} {value}"), but(name, Some(value)), BAD));
        }
    }
    let later = now().seconds() + 600;
    for (name, value, code) in [
        ("exp", json!(later.to_string()), BAD),
        ("exp", json!("never"), BAD),
        ("exp", json!(-1), BAD),
        ("exp", json!(1e300), BAD),
        ("exp", json!(u64::MAX), BAD),
        ("exp", json!([later]), BAD),
        ("exp", json!(0), OLD),
        ("exp", json!(1), OLD),
        ("exp", json!(now().seconds() - 1), OLD),
        ("nbf", json!(later), BAD),
        ("nbf", json!("0"), BAD),
        ("nbf", json!(true), BAD),
        ("nbf", json!(-1), BAD),
        ("nbf", json!([0]), BAD),
        ("iat", json!(later), BAD),
        ("iat", json!("0"), BAD),
        ("aud", json!("another"), BAD),
        ("aud", json!(["another"]), BAD),
        ("aud", json!("doorward "), BAD),
        ("aud", json!("Doorward"), BAD),
        ("aud", json!("doorward,another"), BAD),
        ("aud", json!([["doorward"]]), BAD),
        ("aud", json!(["doorward", 1]), BAD),
        ("aud", json!({"doorward": true}), BAD),
        ("iss", json!("http://evil.test"), BAD),
        ("iss", json!(format!("{}/", good["iss"].as_str().unwrap())), BAD),
        ("iss", json!(good["iss"].as_str().unwrap().to_uppercase()), BAD),
        ("iss", json!([good["iss"]]), BAD),
        ("sub", json!(1), BAD),
        ("sub", json!(["bob"]), BAD),
        ("sub", json!("b\u{0}b"), BAD),
        ("sub", json!("bob\r\nx-doorward-user: demo:dana"), BAD),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}}), BAD),
        ("at_hash", json!("x"), BAD),
        ("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), BAD),
        ("cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}), BAD),
        // Longer than its revocation would be remembered.
        ("exp", json!(now().seconds() + 401 * 86_400), BAD),
        ("typ", json!("ID"), BAD),
        ("typ", json!("Logout"), BAD),
        ("token_use", json!("id"), BAD),
        ("_claim_names", json!({"groups": "src1"}), BAD),
    ] {
        // Groups that are elsewhere are asked for only when there are none here.
        let mut claims = good.clone();
        if name == "_claim_names" {
            claims.as_object_mut().unwrap().remove("groups");
        }
        claims[name] = value.clone();
        all.push(vector(&format!("{name} {value}"), key.sign(&header, &claims.to_string()), code));
    }
    let text = good.to_string();
    let rest = text.strip_prefix('{').unwrap();
    for (name, payload) in [
        ("exp 1e400", text.replace(&format!("\"exp\":{}", good["exp"]), "\"exp\":1e400")),
        ("sub twice", format!("{{\"sub\":\"dana\",{rest}")),
        ("iss twice", format!("{{\"iss\":\"http://evil.test\",{rest}")),
        ("exp twice", format!("{{\"exp\":99999999999,{rest}")),
        ("no JSON", "x".to_owned()),
        ("a list", format!("[{text}]")),
        ("deep", format!("{{\"x\":{}1{},{rest}", "[".repeat(400), "]".repeat(400))),
        ("cut", text[..text.len() - 1].to_owned()),
        ("a tail", format!("{text} x")),
        ("a mark before", format!("\u{feff}{text}")),
    ] {
        all.push(vector(name, key.sign(&header, &payload), BAD));
    }
    all
}

/// Signatures that are none, or of somebody else.
fn signatures(key: &TestKey, payload: &str) -> Vec<Vector> {
    let header = key.header();
    let mut all = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let mut header = header.clone();
        header["alg"] = alg.into();
        all.push(vector(&format!("unsigned, {alg}"), unsigned(&header.to_string(), payload), BAD));
        // Without the last dot's segment, and with something in it.
        all.push(vector("unsigned, filled", format!("{}AA", unsigned(&header.to_string(), payload)), BAD));
    }
    all.push(vector("unsigned, real algorithm", unsigned(&header.to_string(), payload), BAD));
    // The public key as the secret of HS256, in each form in which somebody may hold it.
    let jwk = key.jwk();
    let pem = key.public_pem();
    for secret in [
        pem.clone(),
        pem.trim_end().to_owned(),
        jwk.to_string(),
        jwk["x"].as_str().unwrap_or("").into(),
        String::new(),
    ] {
        for kid in [key.kid(), "x"] {
            let header = json!({"typ": "at+jwt", "alg": "HS256", "kid": kid}).to_string();
            all.push(vector(
                "HS256 with the public key",
                sign_hs256(secret.as_bytes(), &header, payload),
                BAD,
            ));
        }
        all.push(vector(
            "HS256 as another",
            sign_hs256(secret.as_bytes(), &header.to_string(), payload),
            BAD,
        ));
    }
    // Another key under the same name.
    for algorithm in Algorithm::ALL {
        let other = TestKey::named(algorithm, key.kid());
        all.push(vector("another key", other.sign(&header.to_string(), payload), BAD));
        all.push(vector("another key and algorithm", other.sign(&other.header().to_string(), payload), BAD));
    }
    let good = key.sign(&header.to_string(), payload);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let zeros = encode(vec![0; 64]);
    for bad in
        ["", "A", "AA", "=", zeros.as_str(), &signature[..signature.len() - 2], &format!("{signature}AA")]
    {
        all.push(vector("a mended signature", format!("{message}.{bad}"), BAD));
    }
    for bad in [
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.x"),
        format!("{good}.{signature}.x"),
        good.replace('.', ".."),
        good.replace('.', ""),
        message.to_owned(),
        format!("{message}="),
        format!("{good}=="),
        good.replacen('.', "=.", 1),
        "a.b.c".to_owned(),
        "...".to_owned(),
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkExMjhHQ00ifQ.AA.AA.AA.AA".to_owned(),
    ] {
        all.push(vector("another form", bad, BAD));
    }
    // A claim changed after signing.
    let forged = payload.replace("\"bob\"", "\"dana\"");
    all.push(vector(
        "changed",
        format!("{}.{}.{signature}", encode(header.to_string()), encode(forged)),
        BAD,
    ));
    all
}

async fn refused(house: &House, vectors: &[Vector]) {
    for http in BOTH {
        let mut talk = house.talk(http);
        let mut said = Vec::new();
        for (name, token, code) in vectors {
            let answer = talk.say(&Ask::get(WIKI, "/").token(token)).await;
            assert_eq!((answer.status, answer.refusal()), (401, Some(*code)), "{name}: {answer:?}");
            // RFC 6750 §3: the client is told that it was the token, and not why.
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            said.push((answer, *code));
        }
        house.recorded(&said.iter().map(|(s, c)| (s, *c)).collect::<Vec<_>>()).await;
    }
    assert_eq!(house.reached(), 0);
}

/// Publishes keys before the gateway starts, as it fetches them once.
async fn published(algorithms: &[Algorithm], allowed: &[&str]) -> (House, Vec<Arc<TestKey>>) {
    let issuer = Issuer::start().await;
    let keys = algorithms.iter().map(|a| issuer.add_key(*a)).collect();
    let house = House::of(issuer, RawUpstream::ok().await, |config| {
        config.set("issuer.0.algorithms", json!(allowed));
    })
    .await;
    (house, keys)
}

#[tokio::test]
async fn s14_every_vector_of_an_elliptic_key() {
    let (house, keys) = published(&[Algorithm::Es256], &["ES256"]).await;
    let key = &keys[0];
    let good = house.issuer.claims_but("bob", &json!({}));
    let mut vectors = headers(key, "ES256", &good.to_string());
    // A name may be left out where only one key fits, and two fit here.
    vectors.push(vector("no kid", key.sign(r#"{"typ":"at+jwt","alg":"ES256"}"#, &good.to_string()), BAD));
    vectors.extend(claims(key, &good));
    vectors.extend(signatures(key, &good.to_string()));
    assert!(vectors.len() > 180, "{}", vectors.len());
    refused(&house, &vectors).await;
    let token = key.sign(&key.header().to_string(), &good.to_string());
    for http in BOTH {
        assert_eq!(house.say(http, &Ask::get(WIKI, "/").token(&token)).await.status, 200);
    }
}

#[tokio::test]
async fn s14_every_vector_of_an_rsa_key() {
    let (house, keys) = published(&[Algorithm::Rs256, Algorithm::Es256], &["RS256"]).await;
    let (key, elliptic) = (&keys[0], &keys[1]);
    let good = house.issuer.claims_but("bob", &json!({}));
    let payload = good.to_string();
    let mut vectors = headers(key, "RS256", &payload);
    vectors.extend(signatures(key, &payload));
    // The algorithm is pinned: a good signature of a published key of another kind is none.
    vectors.push(vector(
        "published, not pinned",
        elliptic.sign(&elliptic.header().to_string(), &payload),
        BAD,
    ));
    vectors.push(vector("the provider's own", house.issuer.token("bob"), BAD));
    refused(&house, &vectors).await;
    let token = key.sign(&key.header().to_string(), &payload);
    for http in BOTH {
        assert_eq!(house.say(http, &Ask::get(WIKI, "/").token(&token)).await.status, 200);
    }
}

#[tokio::test]
async fn s14_unknown_keys_do_not_make_the_gateway_fetch() {
    let (house, key) = (House::open().await, TestKey::generate(Algorithm::Es256));
    let before = house.issuer.keys_fetched();
    let payload = house.issuer.claims_but("bob", &json!({})).to_string();
    for http in BOTH {
        let mut talk = house.talk(http);
        for i in 0..50 {
            let stranger = TestKey::named(Algorithm::Es256, &format!("unknown-{i}"));
            let token = stranger.sign(&stranger.header().to_string(), &payload);
            let said = talk.say(&Ask::get(WIKI, "/").token(&token)).await;
            assert_eq!(said.refusal(), Some(BAD), "{said:?}");
        }
        let token = key.sign(&key.header().to_string(), &payload);
        let said = talk.say(&Ask::get(WIKI, "/").token(&token)).await;
        assert_eq!(said.refusal(), Some(BAD));
    }
    let fetched = house.issuer.keys_fetched() - before;
    assert!(fetched <= 1, "{fetched} fetches for unknown keys");
    assert_eq!(house.reached(), 0);
}

#[tokio::test]
async fn s14_where_else_a_token_may_stand_it_is_not_read() {
    let house = House::open().await;
    let bob = house.issuer.token("bob");
    let bearer = format!("Bearer {bob}");
    let mut said = Vec::new();
    for http in BOTH {
        let mut talk = house.talk(http);
        let get = || Ask::get(WIKI, "/");
        for ask in [
            Ask::get(WIKI, format!("/?access_token={bob}")),
            get().field("cookie", format!("token={bob}")),
            get().field("cookie", format!("__Host-doorward-session={bob}")),
            get().field("x-access-token", &bob),
            get().field("proxy-authorization", &bearer),
            get().field("x-authorization", &bearer),
            get().field("x-forwarded-access-token", &bob),
            get()
                .method("POST")
                .field("content-type", "application/x-www-form-urlencoded")
                .body(format!("access_token={bob}")),
        ] {
            said.push((talk.say(&ask).await, "unauthenticated"));
        }
        for value in [
            format!("Bearer  {bob}"),
            format!("Bearer {bob}, Bearer {bob}"),
            format!("Bearer, {bob}"),
            format!("Bearer\t{bob}"),
            format!("Token {bob}"),
            format!("DPoP {bob}"),
            format!("Basic {bob}"),
            bob.clone(),
            format!("Bearer {}", bob.repeat(40)),
        ] {
            let answer = talk.say(&get().field("authorization", &value)).await;
            // A header that is too long altogether is refused before anybody reads it.
            // A header that is too long altogether is refused before anybody reads it; over HTTP/2
            // by the protocol itself, without a request.
            let too_long = value.len() > 32 * 1024;
            assert_eq!(answer.status, if too_long { 431 } else { 401 }, "{answer:?}");
            if too_long && http == Http::Two {
                continue;
            }
            let code = if too_long { "header_too_large" } else { BAD };
            said.push((answer, code));
        }
        said.push((talk.say(&get().token(&bob).token(&bob)).await, "bad_request"));
        said.push((talk.say(&get().token(&bob).field("authorization", "Basic eDp5")).await, "bad_request"));
    }
    house.recorded(&said.iter().map(|(s, c)| (s, *c)).collect::<Vec<_>>()).await;
    assert_eq!(house.reached(), 0);
}

/// A key that leaked is gone when the operator says so, long before its time is over.
#[tokio::test]
async fn s14_a_withdrawn_key_ends_with_a_signal() {
    let house = House::open().await;
    let provider = house.issuer.provider();
    let (leaked, forged) = (provider.signing_key().kid().to_owned(), house.issuer.token("bob"));
    provider.rotate_key().unwrap();
    let good = house.issuer.token("bob");
    let status = async |token: &str| house.say(Http::One, &Ask::get(WIKI, "/").token(token)).await;
    assert_eq!((status(&forged).await.status, status(&good).await.status), (200, 200));
    assert!(provider.drop_key(&leaked));
    let fetched = house.issuer.keys_fetched();
    assert_eq!(status(&forged).await.status, 200, "nobody has said anything");
    house.gateway.signal(Signal::SIGHUP);
    let begin = std::time::Instant::now();
    let refused = loop {
        let said = status(&forged).await;
        // One that is under way when the key goes may be cut off.
        if ![0, 200].contains(&said.status) {
            break said;
        }
        assert!(begin.elapsed().as_secs() < 60, "a withdrawn key lives on");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    house.recorded(&[(&refused, BAD)]).await;
    assert_eq!(status(&good).await.status, 200);
    assert_eq!(house.issuer.keys_fetched(), fetched + 1);
}
