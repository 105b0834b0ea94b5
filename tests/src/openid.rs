//! An OpenID provider for people with a browser, whose people, proofs and faults the test chooses.
//!
//! Its door is a function: [`OpenId::answer`] takes the address that a gateway sent a browser to, and says
//! where the provider sends it back. Codes are redeemed and tokens refreshed by HTTP, as from any provider
//! (OpenID Connect Core §3.1, RFC 7636, RFC 9207).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_demo::loopback::Loopback;
use doorward_demo::provider::{encode, random_id};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::keys::{Algorithm, TestKey};
use crate::wire;

/// The gateway's name at the provider.
pub const CLIENT: &str = "doorward";
/// Its secret there.
pub const SECRET: &str = "a-secret-of-the-testbed-that-nobody-else-has";
/// For how many seconds an ID token is good.
const TOKEN_SECONDS: i64 = 300;

/// How a person proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A password.
    Password,
    /// A password and a code.
    Code,
    /// A security key.
    Key,
}

/// How the provider answers the gateway's own calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// So late.
    Slow(Duration),
    /// Not at all: 503.
    Down,
}

/// A provider that runs until it is dropped.
pub struct OpenId {
    url: String,
    desk: Arc<Desk>,
    serving: JoinHandle<()>,
}

struct Desk {
    url: String,
    keys: Mutex<Vec<Arc<TestKey>>>,
    codes: Mutex<BTreeMap<String, Signed>>,
    refreshes: Mutex<BTreeMap<String, Signed>>,
    /// Who is not let in any more.
    gone: Mutex<BTreeSet<String>>,
    groups: Mutex<BTreeMap<String, Vec<String>>>,
    mood: Mutex<Mood>,
    redeemed: AtomicU64,
    refreshed: AtomicU64,
}

/// A sign-in that was begun.
#[derive(Clone)]
struct Signed {
    who: String,
    proof: Proof,
    at: i64,
    sid: String,
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

// === impl OpenId ===

impl OpenId {
    /// Starts one.
    ///
    /// # Panics
    /// When no port or no key can be had.
    pub async fn start() -> Self {
        let loopback = Loopback::port(0).await.unwrap();
        let url = format!("http://{}", loopback.address());
        let desk = Arc::new(Desk {
            url: url.clone(),
            keys: Mutex::new(vec![Arc::new(TestKey::generate(Algorithm::Es256))]),
            codes: Mutex::default(),
            refreshes: Mutex::default(),
            gone: Mutex::default(),
            groups: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            redeemed: AtomicU64::new(0),
            refreshed: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&desk));
        Self { url, desk, serving: tokio::spawn(loopback.serve(router)) }
    }

    /// What it calls itself, and where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its table `[[issuer]]`, whose secret stands in `secret_file`.
    #[must_use]
    pub fn section(&self, id: &str, secret_file: &str) -> Value {
        json!({
            "id": id, "issuer": self.url, "audiences": ["doorward-api"],
            "algorithms": ["ES256"], "token_types": ["at+jwt"], "email_domains": ["corp.example"],
            "assurance": {"mfa_amr": ["mfa"], "phishing_resistant_amr": ["hwk"]},
            "sign_in": {"client_id": CLIENT, "client_secret_file": secret_file},
        })
    }

    /// Somebody signs in there: where the browser is sent with the answer to what it was sent with.
    ///
    /// # Panics
    /// When the gateway did not ask as it should.
    #[must_use]
    pub fn answer(&self, sent_to: &str, who: &str, proof: Proof) -> String {
        let asked =
            query(sent_to.strip_prefix(&format!("{}/authorize?", self.url)).expect("our own address"));
        let of = |name: &str| asked.get(name).cloned().unwrap_or_else(|| panic!("no `{name}` in {sent_to}"));
        assert_eq!((of("client_id").as_str(), of("response_type").as_str()), (CLIENT, "code"));
        assert_eq!(of("code_challenge_method"), "S256");
        assert!(of("scope").split(' ').any(|scope| scope == "openid"), "{sent_to}");
        let (redirect_uri, state) = (of("redirect_uri"), of("state"));
        let back = |more: &str| {
            format!("{redirect_uri}?{more}&state={}&iss={}", escaped(&state), escaped(&self.url))
        };
        if self.desk.gone.lock().unwrap().contains(who) {
            return back("error=access_denied");
        }
        let code = random_id().unwrap();
        let signed = Signed {
            who: who.to_owned(),
            proof,
            at: wire::now().seconds(),
            sid: random_id().unwrap(),
            nonce: of("nonce"),
            challenge: of("code_challenge"),
            redirect_uri: redirect_uri.clone(),
        };
        self.desk.codes.lock().unwrap().insert(code.clone(), signed);
        back(&format!("code={code}"))
    }

    /// Lets somebody in no more: neither by signing in nor by refreshing. Or does again.
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    pub fn lets_in(&self, who: &str, yes: bool) {
        let mut gone = self.desk.gone.lock().unwrap();
        let _ = if yes { gone.remove(who) } else { gone.insert(who.to_owned()) };
    }

    /// The groups of somebody, from the next token on.
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    pub fn set_groups(&self, who: &str, groups: &[&str]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.desk.groups.lock().unwrap().insert(who.to_owned(), groups);
    }

    /// How it answers the gateway's own calls, from now on.
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    pub fn set_mood(&self, mood: Mood) {
        *self.desk.mood.lock().unwrap() = mood;
    }

    /// Signs with a new key from now on. The old one is published for as long as `keep` says.
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    pub fn rotate(&self, keep: bool) {
        let mut keys = self.desk.keys.lock().unwrap();
        keys.insert(0, Arc::new(TestKey::generate(Algorithm::Es256)));
        if !keep {
            keys.truncate(1);
        }
    }

    /// Codes that were redeemed, and tokens that were refreshed.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        (self.desk.redeemed.load(Ordering::SeqCst), self.desk.refreshed.load(Ordering::SeqCst))
    }
}

impl Drop for OpenId {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

// === impl Desk ===

impl Desk {
    /// Waits, or says no, as it was told.
    async fn mood(&self) -> Result<(), Response> {
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Well => Ok(()),
            Mood::Slow(late) => {
                tokio::time::sleep(late).await;
                Ok(())
            }
            Mood::Down => Err(StatusCode::SERVICE_UNAVAILABLE.into_response()),
        }
    }

    /// What a sign-in is worth: tokens, and a new one to refresh with.
    fn tokens(&self, signed: &Signed, nonce: Option<&str>) -> Value {
        let now = wire::now().seconds();
        let (amr, acr) = match signed.proof {
            Proof::Password => (json!(["pwd"]), "one"),
            Proof::Code => (json!(["pwd", "otp", "mfa"]), "two"),
            Proof::Key => (json!(["hwk", "mfa"]), "phr"),
        };
        let groups = self.groups.lock().unwrap().get(&signed.who).cloned();
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT, "sub": signed.who, "iat": now, "exp": now + TOKEN_SECONDS,
            "auth_time": signed.at, "amr": amr, "acr": acr, "sid": signed.sid,
            "name": format!("{} of Corp", signed.who), "email": format!("{}@corp.example", signed.who),
            "email_verified": true, "employment": "employee", "groups": groups.unwrap_or_default(),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        let key = Arc::clone(&self.keys.lock().unwrap()[0]);
        let mut header = key.header();
        header["typ"] = "JWT".into();
        let refresh = random_id().unwrap();
        self.refreshes.lock().unwrap().insert(refresh.clone(), signed.clone());
        json!({
            "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "access_token": random_id().unwrap(),
            "refresh_token": refresh, "id_token": key.sign(&header.to_string(), &claims.to_string()),
        })
    }
}

async fn discovery(State(desk): State<Arc<Desk>>) -> Response {
    if let Err(no) = desk.mood().await {
        return no;
    }
    let at = |path: &str| format!("{}{path}", desk.url);
    Json(json!({
        "issuer": desk.url, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"), "end_session_endpoint": at("/end"), "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
    .into_response()
}

async fn keys(State(desk): State<Arc<Desk>>) -> Response {
    if let Err(no) = desk.mood().await {
        return no;
    }
    let keys: Vec<_> = desk.keys.lock().unwrap().iter().map(|key| key.jwk()).collect();
    Json(json!({ "keys": keys })).into_response()
}

async fn token(State(desk): State<Arc<Desk>>, headers: axum::http::HeaderMap, body: String) -> Response {
    if let Err(no) = desk.mood().await {
        return no;
    }
    let no = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let proof = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
    if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&proof) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    let asked = query(&body);
    let of = |name: &str| asked.get(name).map_or("", String::as_str);
    match of("grant_type") {
        "authorization_code" => {
            let Some(signed) = desk.codes.lock().unwrap().remove(of("code")) else {
                return no("invalid_grant");
            };
            let verifier = digest::digest(&digest::SHA256, of("code_verifier").as_bytes());
            if encode(verifier.as_ref()) != signed.challenge || of("redirect_uri") != signed.redirect_uri {
                return no("invalid_grant");
            }
            desk.redeemed.fetch_add(1, Ordering::SeqCst);
            Json(desk.tokens(&signed, Some(&signed.nonce))).into_response()
        }
        "refresh_token" => {
            let known = desk.refreshes.lock().unwrap().remove(of("refresh_token"));
            let Some(signed) = known.filter(|signed| !desk.gone.lock().unwrap().contains(&signed.who)) else {
                return no("invalid_grant");
            };
            desk.refreshed.fetch_add(1, Ordering::SeqCst);
            Json(desk.tokens(&signed, None)).into_response()
        }
        _ => no("unsupported_grant_type"),
    }
}

/// The fields of a form, or of a query.
pub(crate) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn escaped(text: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let each = |byte: u8| if keeps(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_reads_what_it_writes() {
        let text = "a b&c=d%/\u{e9}+";
        let form = format!("x={}&y=1+2", escaped(text));
        assert_eq!(
            query(&form),
            [("x".to_owned(), text.to_owned()), ("y".to_owned(), "1 2".to_owned())].into()
        );
    }
}
