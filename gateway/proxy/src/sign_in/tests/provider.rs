//! A provider on loopback at which everybody signs in as the test says (OpenID Connect Core §3.1, RFC 9207).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::forms::field;

/// How a person proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Password,
    Mfa,
}

pub(super) struct Provider {
    pub(super) url: String,
    desk: Arc<Desk>,
    serving: JoinHandle<()>,
}

struct Desk {
    url: String,
    key: EncodingKey,
    jwks: String,
    /// By code: the claims, and the challenge that the verifier must fit.
    codes: Mutex<BTreeMap<String, (Value, String)>>,
    count: AtomicU64,
    redeemed: AtomicU64,
    /// By refresh token: the claims of the sign-in.
    refreshes: Mutex<BTreeMap<String, Value>>,
    refreshed: AtomicU64,
    /// What it says of everybody from now on, beside what it said when they signed in.
    news: Mutex<Value>,
    given_back: Mutex<Vec<String>>,
    /// How many were brought back while it was down.
    turned_away: AtomicU64,
    down: Mutex<bool>,
    /// What it says to every code, good or not, in the place of what it should.
    to_codes: Mutex<Option<&'static str>>,
    /// Whether its answers to refresh tokens are on hold.
    holds: watch::Sender<bool>,
}

impl Provider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        let desk = Arc::new(Desk {
            url: url.clone(),
            key: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            jwks: json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "x": x, "y": y}]})
                .to_string(),
            codes: Mutex::default(),
            count: AtomicU64::new(0),
            redeemed: AtomicU64::new(0),
            refreshes: Mutex::default(),
            refreshed: AtomicU64::new(0),
            news: Mutex::new(json!({})),
            given_back: Mutex::default(),
            turned_away: AtomicU64::new(0),
            down: Mutex::new(false),
            to_codes: Mutex::default(),
            holds: watch::Sender::new(false),
        });
        let shared = Arc::clone(&desk);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _hung_up = serve(stream, &desk).await;
                });
            }
        });
        Self { url, desk, serving }
    }

    /// Somebody signs in there: where the browser is sent back to.
    pub(super) fn answer(&self, sent_to: &str, who: &str, proof: Proof, at: i64) -> String {
        self.answer_with(sent_to, json!({"sub": who, "amr": amr(proof), "auth_time": at}), at)
    }

    /// The same with other claims, or more of them.
    pub(super) fn answer_with(&self, sent_to: &str, claims: Value, at: i64) -> String {
        let asked = query(sent_to);
        let of = |name: &str| asked.get(name).cloned().unwrap_or_default();
        assert_eq!((of("response_type").as_str(), of("code_challenge_method").as_str()), ("code", "S256"));
        let code = format!("code-{:016}", self.desk.count.fetch_add(1, Ordering::SeqCst));
        let mut all = json!({
            "iss": self.url, "aud": "doorward", "nonce": of("nonce"), "iat": at, "exp": at + 300,
            "email_verified": true, "sid": "op-1",
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.desk.codes.lock().unwrap().insert(code.clone(), (all, of("code_challenge")));
        self.back(sent_to, &format!("code={code}"))
    }

    /// The provider says no.
    pub(super) fn refuse(&self, sent_to: &str, error: &str) -> String {
        self.back(sent_to, &format!("error={error}"))
    }

    fn back(&self, sent_to: &str, said: &str) -> String {
        let asked = query(sent_to);
        format!("{}?{said}&state={}&iss={}", asked["redirect_uri"], asked["state"], escaped(&self.url))
    }

    pub(super) fn redeemed(&self) -> u64 {
        self.desk.redeemed.load(Ordering::SeqCst)
    }

    /// How often somebody brought a refresh token, good or not.
    pub(super) fn refreshed(&self) -> u64 {
        self.desk.refreshed.load(Ordering::SeqCst)
    }

    pub(super) fn goes_down(&self) {
        *self.desk.down.lock().unwrap() = true;
    }

    pub(super) fn comes_back(&self) {
        *self.desk.down.lock().unwrap() = false;
    }

    /// What is wrong with it: the `error` that it has for every code from now on (RFC 6749 §5.2).
    pub(super) fn says_to_codes(&self, error: Option<&'static str>) {
        *self.desk.to_codes.lock().unwrap() = error;
    }

    /// From now on it takes refresh tokens and does not answer, until it is released.
    pub(super) fn holds(&self) {
        self.desk.holds.send_replace(true);
    }

    pub(super) fn releases(&self) {
        self.desk.holds.send_replace(false);
    }

    /// The refresh tokens that are good there.
    pub(super) fn good(&self) -> Vec<String> {
        self.desk.refreshes.lock().unwrap().keys().cloned().collect()
    }

    /// Waits until somebody brought so many refresh tokens in all.
    pub(super) async fn has_refreshed(&self, count: u64) {
        for _ in 0..3000 {
            if self.refreshed() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} of {count} came", self.refreshed());
    }

    /// No sign-in stands there any more.
    pub(super) fn ends_everything(&self) {
        self.desk.refreshes.lock().unwrap().clear();
    }

    pub(super) fn says_from_now_on(&self, news: Value) {
        *self.desk.news.lock().unwrap() = news;
    }

    /// The refresh tokens that it was given back.
    pub(super) fn given_back(&self) -> Vec<String> {
        self.desk.given_back.lock().unwrap().clone()
    }

    /// How many of them were brought while it was down.
    pub(super) fn turned_away(&self) -> u64 {
        self.desk.turned_away.load(Ordering::SeqCst)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn amr(proof: Proof) -> Value {
    match proof {
        Proof::Password => json!(["pwd"]),
        Proof::Mfa => json!(["pwd", "otp", "mfa"]),
    }
}

async fn serve(mut stream: TcpStream, desk: &Desk) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let (status, answer) = match path.as_str() {
        _ if *desk.down.lock().unwrap() => {
            desk.turned_away.fetch_add(u64::from(path == "/revoke"), Ordering::SeqCst);
            ("503 Service Unavailable", String::new())
        }
        "/.well-known/openid-configuration" => ("200 OK", document(&desk.url)),
        "/keys" => ("200 OK", desk.jwks.clone()),
        "/token" if field(&body, "grant_type").as_deref() == Some("refresh_token") => refresh(desk, &body),
        "/token" => token(desk, &body),
        "/revoke" => {
            desk.given_back.lock().unwrap().push(field(&body, "token").unwrap_or_default());
            ("200 OK", String::new())
        }
        _ => ("404 Not Found", String::new()),
    };
    if path == "/token" && field(&body, "grant_type").as_deref() == Some("refresh_token") {
        let mut held = desk.holds.subscribe();
        let _gone = held.wait_for(|holds| !*holds).await.is_err();
    }
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn document(url: &str) -> String {
    json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "end_session_endpoint": format!("{url}/end"), "revocation_endpoint": format!("{url}/revoke"),
        "jwks_uri": format!("{url}/keys"), "authorization_response_iss_parameter_supported": true,
    })
    .to_string()
}

fn token(desk: &Desk, body: &[u8]) -> (&'static str, String) {
    let says = |error: &str| ("400 Bad Request", json!({"error": error}).to_string());
    if let Some(error) = *desk.to_codes.lock().unwrap() {
        return says(error);
    }
    let refused = says("invalid_grant");
    let Some(code) = field(body, "code") else { return refused };
    let Some((claims, challenge)) = desk.codes.lock().unwrap().remove(&code) else { return refused };
    let verifier = field(body, "code_verifier").unwrap_or_default();
    if URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) != challenge {
        return refused;
    }
    desk.redeemed.fetch_add(1, Ordering::SeqCst);
    tokens(desk, claims)
}

/// Each refresh token is good once.
fn refresh(desk: &Desk, body: &[u8]) -> (&'static str, String) {
    desk.refreshed.fetch_add(1, Ordering::SeqCst);
    let asked = field(body, "refresh_token").unwrap_or_default();
    let Some(mut claims) = desk.refreshes.lock().unwrap().remove(&asked) else {
        return ("400 Bad Request", json!({"error": "invalid_grant"}).to_string());
    };
    for (name, value) in desk.news.lock().unwrap().as_object().unwrap() {
        claims[name] = value.clone();
    }
    tokens(desk, claims)
}

fn tokens(desk: &Desk, claims: Value) -> (&'static str, String) {
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES256) };
    let id_token = jsonwebtoken::encode(&header, &claims, &desk.key).unwrap();
    let refresh = format!("refresh-{}", desk.count.fetch_add(1, Ordering::SeqCst));
    desk.refreshes.lock().unwrap().insert(refresh.clone(), claims);
    ("200 OK", json!({"id_token": id_token, "access_token": "a-token", "token_type": "Bearer", "refresh_token": refresh}).to_string())
}

/// The query of an address.
pub(super) fn query(address: &str) -> BTreeMap<String, String> {
    let pairs = address.split_once('?').unwrap().1;
    let name = |pair: &str| pair.split('=').next().unwrap().to_owned();
    pairs.split('&').map(|pair| (name(pair), field(pairs.as_bytes(), &name(pair)).unwrap())).collect()
}

pub(super) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
