//! The provider itself, by plain HTTP: that it proves what somebody showed, and fails as it is told.

use std::collections::BTreeMap;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward_demo::loopback::Loopback;
use doorward_tests::provider::{CLIENT_ID, Factor, OpenIdProvider, PASSWORD, claims};
use doorward_tests::tls::Authority;
use doorward_tests::visitor::{Page, Visitor, percent};
use serde_json::{Value, json};

/// A PKCE verifier; nobody guesses at it here.
const VERIFIER: &str = "0123456789012345678901234567890123456789012";

/// Where the provider sends people back to, and how it is known there.
struct Client {
    provider: OpenIdProvider,
    callback: String,
}

impl Client {
    async fn new() -> Self {
        let loopback = Loopback::port(0).await.unwrap();
        let callback = format!("http://{}/callback", loopback.address());
        tokio::spawn(loopback.serve(Router::new().route("/callback", get(async || "back"))));
        let people = BTreeMap::from([
            (
                "alice".to_owned(),
                json!({"email": "alice@corp.example", "email_verified": true, "groups": ["hr"]}),
            ),
            ("carol".to_owned(), json!({"email": "carol@corp.example", "email_verified": false})),
        ]);
        let client = json!({"redirect_uris": [callback], "backchannel_logout_uri": callback});
        Self { provider: OpenIdProvider::start(client, &people).await, callback }
    }

    fn begin(&self, more: &str) -> String {
        let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
        format!(
            "{}/auth?client_id={CLIENT_ID}&response_type=code&scope=openid%20email%20offline_access&state=s&nonce=n\
             &redirect_uri={}&code_challenge_method=S256&code_challenge={}{more}",
            self.provider.url(),
            percent(&self.callback),
            URL_SAFE_NO_PAD.encode(challenge),
        )
    }

    /// What the token endpoint answers to the code of this address, or to a refresh token.
    async fn token(&self, visitor: &mut Visitor<'_>, body: &str) -> (u16, Value) {
        let proof = STANDARD.encode(format!("{CLIENT_ID}:{}", self.provider.secret()));
        let proof = format!("Basic {proof}");
        let fields =
            [("content-type", "application/x-www-form-urlencoded"), ("authorization", proof.as_str())];
        let url = format!("{}/token", self.provider.url());
        let answer = visitor.ask("POST", &url, &fields, body.as_bytes()).await.unwrap();
        (answer.status(), serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn redeem(&self, visitor: &mut Visitor<'_>, back: &Page) -> Value {
        let code = query(&back.url, "code");
        let body = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={}&code_verifier={VERIFIER}",
            percent(&self.callback)
        );
        let (status, tokens) = self.token(visitor, &body).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }
}

fn query(url: &str, name: &str) -> String {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("no `{name}` in {url}")).to_owned()
}

fn filled(name: &str, factor: Factor) -> [(&str, &str); 4] {
    [("user", name), ("password", PASSWORD), ("factor", factor.value()), ("go", "in")]
}

fn id_token(tokens: &Value) -> Value {
    claims(tokens["id_token"].as_str().unwrap())
}

#[tokio::test]
async fn it_proves_what_somebody_showed_and_asks_for_more_when_it_is_told() {
    let (client, authority) = (Client::new().await, Authority::new());
    let mut alice = Visitor::new(&authority);
    let form = alice.go(&client.begin("")).await.unwrap();
    assert!(form.response.text().contains("Corp identity provider"), "{}", form.response.text());
    let wrong = alice.submit(&form, &[("user", "alice"), ("password", "guessed")]).await.unwrap();
    assert_eq!(wrong.response.status(), 403);

    let back = alice.submit(&form, &filled("alice", Factor::None)).await.unwrap();
    assert!(back.url.starts_with(&client.callback), "{}", back.url);
    assert_eq!(query(&back.url, "iss"), percent(&client.provider.url()));
    let weak = id_token(&client.redeem(&mut alice, &back).await);
    assert_eq!((&weak["sub"], &weak["amr"]), (&json!("alice"), &json!(["pwd"])));
    assert_eq!((&weak["acr"], &weak["nonce"]), (&json!(Factor::None.acr()), &json!("n")));
    assert_eq!((&weak["email_verified"], &weak["groups"]), (&json!(true), &json!(["hr"])));
    assert!(weak["sid"].is_string() && weak["auth_time"].is_i64(), "{weak}");

    // The provider knows them: no form for as much as they showed, and one for more.
    let again = alice.go(&client.begin("")).await.unwrap();
    assert!(again.url.starts_with(&client.callback), "{}", again.url);
    let asked = format!("&acr_values={}", percent(Factor::Otp.acr()));
    let form = alice.go(&client.begin(&asked)).await.unwrap();
    assert!(form.url.contains("/interaction/"), "{}", form.url);
    let back = alice.submit(&form, &filled("alice", Factor::Webauthn)).await.unwrap();
    let strong = id_token(&client.redeem(&mut alice, &back).await);
    assert_eq!(
        (&strong["acr"], &strong["amr"]),
        (&json!(Factor::Webauthn.acr()), &json!(["hwk", "user", "mfa"]))
    );
    let enough = alice.go(&client.begin(&asked)).await.unwrap();
    assert!(enough.url.starts_with(&client.callback), "more than was asked for is enough: {}", enough.url);
    let new = alice.go(&client.begin("&max_age=0")).await.unwrap();
    assert!(new.url.contains("/interaction/"), "{}", new.url);

    // As providers do that know nothing of `acr_values`.
    client.provider.faults(json!({"ignore_acr_values": true})).await;
    let mut weak = Visitor::new(&authority);
    let form = weak.go(&client.begin(&asked)).await.unwrap();
    let back = weak.submit(&form, &filled("carol", Factor::None)).await.unwrap();
    let proof = id_token(&client.redeem(&mut weak, &back).await);
    assert_eq!((&proof["acr"], &proof["email_verified"]), (&json!(Factor::None.acr()), &json!(false)));
    let other = weak.go(&client.begin("&prompt=select_account")).await.unwrap();
    let switch = weak.submit(&other, &filled("alice", Factor::Otp)).await.unwrap();
    // A page whose script sends its form at once, as the provider forgets carol first.
    let back = weak.submit(&switch, &[]).await.unwrap();
    assert_eq!(id_token(&client.redeem(&mut weak, &back).await)["sub"], "alice");
    let form = weak.go(&client.begin("&prompt=login")).await.unwrap();
    let cancelled = weak.submit(&form, &[("go", "cancel")]).await.unwrap();
    assert_eq!(query(&cancelled.url, "error"), "access_denied");
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let (client, authority) = (Client::new().await, Authority::new());
    let mut alice = Visitor::new(&authority);
    let form = alice.go(&client.begin("")).await.unwrap();
    let back = alice.submit(&form, &filled("alice", Factor::Otp)).await.unwrap();
    let tokens = client.redeem(&mut alice, &back).await;
    let refresh = |tokens: &Value| {
        format!("grant_type=refresh_token&refresh_token={}", tokens["refresh_token"].as_str().unwrap())
    };

    // What is said of somebody may change, what they showed does not.
    client.provider.people(&BTreeMap::from([("alice".to_owned(), json!({"groups": ["eng"]}))])).await;
    let (status, tokens) = client.token(&mut alice, &refresh(&tokens)).await;
    assert_eq!((status, &id_token(&tokens)["groups"]), (200, &json!(["eng"])));
    assert_eq!(id_token(&tokens)["acr"], Factor::Otp.acr());

    client.provider.faults(json!({"refuse": true, "only": "/token"})).await;
    assert_eq!(client.token(&mut alice, &refresh(&tokens)).await.0, 503);
    let keys = format!("{}/jwks", client.provider.url());
    let kid = async |visitor: &mut Visitor<'_>| {
        let set = visitor.ask("GET", &keys, &[], b"").await.unwrap();
        assert_eq!(set.status(), 200);
        set.json()["keys"][0]["kid"].clone()
    };
    let before = kid(&mut alice).await;
    client.provider.faults(json!({"refuse": false, "slow_millis": 300})).await;
    let begin = std::time::Instant::now();
    let (status, tokens) = client.token(&mut alice, &refresh(&tokens)).await;
    assert!(status == 200 && begin.elapsed().as_millis() >= 300);
    client.provider.faults(json!({"slow_millis": 0, "only": null})).await;
    client.provider.rotate_keys(true).await;
    assert_ne!(kid(&mut alice).await, before);

    client.provider.down().await;
    assert!(alice.ask("GET", &keys, &[], b"").await.is_err());
    client.provider.up().await;
    client.provider.disable("alice", true).await;
    let (status, refused) = client.token(&mut alice, &refresh(&tokens)).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    let form = alice.go(&client.begin("&prompt=login")).await.unwrap();
    assert_eq!(alice.submit(&form, &filled("alice", Factor::Otp)).await.unwrap().response.status(), 403);
    client.provider.disable("alice", false).await;
    assert_eq!(client.provider.count("/token").await, 5);
}
