use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::loopback::Loopback;
use crate::provider::encode;
use crate::provider::tests::{NOW, part, verifies};

const VERIFIER: &str = "a-verifier-of-43-characters-0123456789abcdef";
const CALLBACK: &str = "https://login.localhost:8443/.doorward/callback/demo";
const SIGNED_OUT: &str = "https://login.localhost:8443/.doorward/signed-out";

struct Served {
    desk: Desk,
    address: std::net::SocketAddr,
    seconds: Arc<AtomicI64>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// A parameter of where the browser is sent.
    fn sent(&self, name: &str) -> Option<&str> {
        let (_, query) = self.header("location")?.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

impl Served {
    async fn new() -> Self {
        let loopback = Loopback::port(0).await.unwrap();
        let (address, seconds) = (loopback.address(), Arc::new(AtomicI64::new(NOW)));
        let reads = Arc::clone(&seconds);
        let clock = Arc::new(move || UnixMillis::from_seconds(reads.load(Ordering::Relaxed)));
        let provider = Provider::new(format!("http://{address}"), clock).unwrap();
        let desk = Desk::new(provider, "https://login.localhost:8443").unwrap();
        tokio::spawn(loopback.serve(desk.router()));
        Self { desk, address, seconds }
    }

    async fn ask(&self, method: &str, target: &str, lines: &str, body: &str) -> Answer {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer { status: head[9..12].parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
    }

    /// Somebody presses their name.
    async fn presses(&self, target: &str, cookie: &str, person: &str, proof: Proof) -> Answer {
        let line = format!("cookie: a=b; {cookie}\r\n");
        self.ask("POST", target, &line, &format!("person={person}&proof={}", proof.acr())).await
    }

    async fn tokens(&self, form: &str) -> Answer {
        let pair = STANDARD.encode(format!("{CLIENT_ID}:{}", self.desk.secret()));
        self.ask("POST", "/oidc/token", &format!("authorization: Basic {pair}\r\n"), form).await
    }

    /// Signs in; what the token endpoint says, and the browser's cookie.
    async fn signs_in(&self, cookie: &str, person: &str) -> (Value, String) {
        let pressed = self.presses(&asks(""), cookie, person, Proof::Mfa).await;
        let cookie = pressed.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let answer = self.tokens(&redeems(pressed.sent("code").unwrap())).await;
        (answer.json(), cookie)
    }

    fn refreshes(answer: &Value) -> String {
        format!("grant_type=refresh_token&refresh_token={}", answer["refresh_token"].as_str().unwrap())
    }
}

/// What the gateway sends a browser here with.
fn asks(more: &str) -> String {
    let challenge = encode(digest(&SHA256, VERIFIER.as_bytes()));
    format!(
        "/authorize?response_type=code&client_id={CLIENT_ID}&redirect_uri={CALLBACK}&scope=openid%20offline_access\
         &state=s%201&nonce=n1&code_challenge={challenge}&code_challenge_method=S256{more}"
    )
}

fn redeems(code: &str) -> String {
    format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}")
}

#[tokio::test]
async fn a_browser_signs_in_and_the_token_says_who_and_with_what() {
    let served = Served::new().await;
    let page = served.ask("GET", &asks("&acr_values=key"), "", "").await;
    assert_eq!(page.status, 200);
    for says in ["Alice Adler", "Dana Dietz", "a security key</strong>", "<option value=\"key\" selected>"] {
        assert!(page.body.contains(says), "{says}\n{}", page.body);
    }
    assert!(!page.body.contains("Erin"), "{}", page.body);

    // A policy wants a key, and she has none: what was asked for proves nothing.
    let pressed = served.presses(&asks("&acr_values=key"), "", "alice", Proof::Password).await;
    assert_eq!(pressed.status, 303);
    assert!(pressed.header("location").unwrap().starts_with(&format!("{CALLBACK}?")));
    assert_eq!(pressed.sent("state"), Some("s%201"));
    assert_eq!(
        pressed.sent("iss"),
        Some(format!("http%3A%2F%2F127.0.0.1%3A{}", served.address.port()).as_str())
    );
    served.seconds.fetch_add(3, Ordering::Relaxed);
    let form = redeems(pressed.sent("code").unwrap());
    let answer = served.tokens(&form).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let id_token = answer.json()["id_token"].as_str().unwrap().to_owned();
    assert!(verifies(&id_token, &served.desk.inner.provider.key_set()));
    assert_eq!(part(&id_token, 0)["typ"], "JWT");
    let claims = part(&id_token, 1);
    for (claim, value) in [
        ("aud", json!(CLIENT_ID)),
        ("sub", json!("alice")),
        ("nonce", json!("n1")),
        ("acr", json!("password")),
        ("amr", json!(["pwd"])),
        ("auth_time", json!(NOW)),
        ("iat", json!(NOW + 3)),
        ("roles", json!(["employee", "hr"])),
        ("client_id", Value::Null),
    ] {
        assert_eq!(claims.get(claim).unwrap_or(&Value::Null), &value, "{claim}");
    }
    let again = served.tokens(&form).await;
    assert_eq!((again.status, &again.json()["error"]), (400, &json!("invalid_grant")), "used twice");
}

#[tokio::test]
async fn a_code_is_for_who_asked_for_it_and_for_a_minute() {
    let served = Served::new().await;
    let code = async || {
        let pressed = served.presses(&asks(""), "", "bob", Proof::Key).await;
        redeems(pressed.sent("code").unwrap())
    };
    let form = code().await;
    let stranger = served.ask("POST", "/oidc/token", "authorization: Basic eDp5\r\n", &form).await;
    assert_eq!((stranger.status, &stranger.json()["error"]), (401, &json!("invalid_client")));
    assert_eq!(served.tokens(&form).await.status, 200, "a stranger used it up");
    for (from, to) in
        [(VERIFIER, "another-verifier-of-43-characters-0123456789"), (CALLBACK, "https://x.localhost/")]
    {
        let refused = served.tokens(&code().await.replace(from, to)).await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_grant")), "{from}");
    }
    let late = code().await;
    served.seconds.fetch_add(61, Ordering::Relaxed);
    assert_eq!(served.tokens(&late).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_browser_is_sent_to_the_gateway_or_nowhere() {
    let served = Served::new().await;
    let good = asks("");
    for (from, to) in [
        (CALLBACK, "https://evil.example/"),
        (CALLBACK, "https://login.localhost:8443/.doorward/callback/demo/x"),
        (CLIENT_ID, "somebody"),
        ("&state=", "&client_id=x&state="),
    ] {
        let target = good.replace(from, to);
        for answer in
            [served.ask("GET", &target, "", "").await, served.presses(&target, "", "bob", Proof::Mfa).await]
        {
            assert_eq!((answer.status, answer.header("location")), (400, None), "{target}");
        }
    }
    for (from, to, error) in [
        ("response_type=code", "response_type=token", "unsupported_response_type"),
        ("code_challenge_method=S256", "code_challenge_method=plain", "invalid_request"),
        ("&code_challenge=", "&code_challenges=", "invalid_request"),
        ("nonce=n1", "nonce=", "invalid_request"),
        ("scope=openid", "scope=x", "invalid_scope"),
        ("nonce=n1", "nonce=n1&prompt=none", "login_required"),
    ] {
        let answer = served.ask("GET", &good.replace(from, to), "", "").await;
        assert_eq!((answer.status, answer.sent("error")), (303, Some(error)), "{from} {to}");
    }
    let cancelled = served.ask("POST", &good, "", "cancel=yes&proof=mfa").await;
    assert_eq!((cancelled.sent("error"), cancelled.sent("code")), (Some("access_denied"), None));
    for form in [
        "person=mallory&proof=mfa",
        "person=erin&proof=mfa",
        "person=bob",
        "person=bob&person=dana&proof=mfa",
        "",
    ] {
        let answer = served.ask("POST", &good, "", form).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{form}");
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_until_the_person_signs_out() {
    let served = Served::new().await;
    let sid =
        |answer: &Value| part(answer["id_token"].as_str().unwrap(), 1)["sid"].as_str().unwrap().to_owned();
    let (first, cookie) = served.signs_in("", "alice").await;
    let second = served.tokens(&Served::refreshes(&first)).await.json();
    assert_eq!(sid(&first), sid(&second));
    let claims = part(second["id_token"].as_str().unwrap(), 1);
    assert_eq!((&claims["acr"], claims.get("nonce")), (&json!("mfa"), None));
    assert_eq!(
        served.tokens(&Served::refreshes(&first)).await.json()["error"],
        "invalid_grant",
        "used twice"
    );

    let (stronger, cookie) = served.signs_in(&cookie, "alice").await;
    assert_eq!(sid(&first), sid(&stronger), "the same person with the same browser");
    let (other, cookie) = served.signs_in(&cookie, "bob").await;
    assert_ne!(sid(&first), sid(&other));

    let line = format!("cookie: {cookie}\r\n");
    let out = served
        .ask("GET", &format!("/sign-out?post_logout_redirect_uri={SIGNED_OUT}&state=x"), &line, "")
        .await;
    assert_eq!(out.header("location"), Some(format!("{SIGNED_OUT}?state=x").as_str()));
    assert_eq!(
        served.tokens(&Served::refreshes(&other)).await.json()["error"],
        "invalid_grant",
        "signed out"
    );
    let elsewhere =
        served.ask("GET", "/sign-out?post_logout_redirect_uri=https://evil.example/", "", "").await;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (200, None));
}

#[tokio::test]
async fn a_refresh_token_that_was_given_back_is_good_for_nothing() {
    let served = Served::new().await;
    let (answer, _) = served.signs_in("", "dana").await;
    let token = answer["refresh_token"].as_str().unwrap();
    let form = format!("token={token}");
    assert_eq!(served.ask("POST", "/oidc/revoke", "", &form).await.status, 401);
    let pair = STANDARD.encode(format!("{CLIENT_ID}:{}", served.desk.secret()));
    let line = format!("authorization: Basic {pair}\r\n");
    assert_eq!(served.ask("POST", "/oidc/revoke", &line, &form).await.status, 200);
    assert_eq!(served.tokens(&Served::refreshes(&answer)).await.json()["error"], "invalid_grant");
    assert!(!format!("{:?}", served.desk).contains(served.desk.secret()));
}
