//! An identity provider whose claims, keys, clock and faults the test chooses.
//!
//! It is the demo's provider with a door of its own in front, which counts who fetches keys and
//! can be told to fail.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use doorward_demo::loopback::Loopback;
use doorward_demo::provider::{AUDIENCE, Provider, SignIn};
use doorward_model::UnixMillis;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::keys::{Algorithm, TestKey};
use crate::wire;

/// How the issuer answers who asks for its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAnswer {
    /// With its keys.
    Keys,
    /// With this status and body.
    Instead(u16, Vec<u8>),
    /// With its keys, but late.
    After(Duration),
    /// Not at all; the connection stays open.
    Never,
}

/// An issuer that runs until it is dropped.
pub struct Issuer {
    id: String,
    provider: Provider,
    front: Arc<Front>,
    serving: JoinHandle<()>,
}

struct Front {
    provider: Provider,
    extra: Mutex<Vec<Arc<TestKey>>>,
    answer: Mutex<KeysAnswer>,
    offset_millis: AtomicI64,
    fetched: AtomicU64,
}

// === impl Issuer ===

impl Issuer {
    /// Starts one that the configuration calls `demo`, like the demo's: Alice is `demo:alice`.
    pub async fn start() -> Self {
        Self::named("demo").await
    }

    /// Starts one with another short name.
    ///
    /// # Panics
    /// When no port or no key can be had.
    pub async fn named(id: &str) -> Self {
        let loopback = Loopback::port(0).await.unwrap();
        let url = format!("http://{}", loopback.address());
        let front = Arc::new_cyclic(|weak: &std::sync::Weak<Front>| {
            let weak = weak.clone();
            let clock = move || {
                let offset = weak.upgrade().map_or(0, |f| f.offset_millis.load(Ordering::SeqCst));
                UnixMillis(wire::now().0 + offset)
            };
            Front {
                provider: Provider::new(url, Arc::new(clock)).unwrap(),
                extra: Mutex::default(),
                answer: Mutex::new(KeysAnswer::Keys),
                offset_millis: AtomicI64::new(0),
                fetched: AtomicU64::new(0),
            }
        });
        let router: Router =
            front.provider.router().layer(middleware::from_fn_with_state(Arc::clone(&front), door));
        let serving = tokio::spawn(loopback.serve(router));
        Self { id: id.to_owned(), provider: front.provider.clone(), front, serving }
    }

    /// Its short name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it calls itself, and where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.provider.issuer()
    }

    /// The demo's provider behind it: rotate keys, drop keys.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Its table `[[issuer]]`.
    #[must_use]
    pub fn section(&self) -> Value {
        json!({
            "id": self.id, "issuer": self.url(), "audiences": [AUDIENCE],
            "algorithms": ["ES256"], "token_types": ["at+jwt"],
            "assurance": {"mfa_amr": ["mfa"], "phishing_resistant_amr": ["hwk"]},
        })
    }

    /// An ordinary token of one of the demo's people.
    ///
    /// # Panics
    /// When nobody has that name.
    #[must_use]
    pub fn token(&self, person: &str) -> String {
        self.provider.sign_in(&SignIn::of(person)).unwrap()
    }

    /// A token of one of the demo's people with other claims; `null` takes a claim away.
    ///
    /// # Panics
    /// When nobody has that name.
    #[must_use]
    pub fn token_but(&self, person: &str, changes: &Value) -> String {
        self.provider.issue(&self.claims_but(person, changes)).unwrap()
    }

    /// A token of an engineer of any name, for tests with many people.
    #[must_use]
    pub fn token_of(&self, name: &str) -> String {
        let device = format!("{name}-laptop");
        self.token_but("bob", &json!({"sub": name, "email": format!("{name}@x.test"), "device_id": device}))
    }

    /// The claims of an ordinary token with some changed; `null` takes a claim away.
    ///
    /// # Panics
    /// When nobody has that name.
    #[must_use]
    pub fn claims_but(&self, person: &str, changes: &Value) -> Value {
        let mut claims = self.provider.claims(&SignIn::of(person)).unwrap();
        let map = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(map.remove(name)),
                value => drop(map.insert(name.clone(), value.clone())),
            }
        }
        claims
    }

    /// Publishes one more key, of any algorithm; sign with it by [`TestKey::sign`].
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    pub fn add_key(&self, algorithm: Algorithm) -> Arc<TestKey> {
        let key = Arc::new(TestKey::generate(algorithm));
        self.front.extra.lock().unwrap().push(Arc::clone(&key));
        key
    }

    /// How it answers who asks for its keys, from now on.
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    pub fn answer_keys(&self, answer: KeysAnswer) {
        *self.front.answer.lock().unwrap() = answer;
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn keys_fetched(&self) -> u64 {
        self.front.fetched.load(Ordering::SeqCst)
    }

    /// Its clock runs ahead of the machine's by this, or behind if below zero.
    pub fn set_clock_ahead(&self, millis: i64) {
        self.front.offset_millis.store(millis, Ordering::SeqCst);
    }

    /// Stops listening. Tokens can still be made.
    pub fn stop(&self) {
        self.serving.abort();
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn door(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    if request.uri().path() != "/keys" {
        return next.run(request).await;
    }
    front.fetched.fetch_add(1, Ordering::SeqCst);
    let answer = front.answer.lock().unwrap().clone();
    match answer {
        KeysAnswer::Keys => {}
        KeysAnswer::Instead(status, body) => {
            return (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        KeysAnswer::After(late) => tokio::time::sleep(late).await,
        KeysAnswer::Never => std::future::pending().await,
    }
    let mut set = front.provider.key_set();
    let extra = front.extra.lock().unwrap().iter().map(|k| k.jwk()).collect::<Vec<_>>();
    set["keys"].as_array_mut().unwrap().extend(extra);
    axum::Json(set).into_response()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use doorward_demo::client::fetch;

    use super::*;

    fn claims(token: &str) -> Value {
        let payload = token.split('.').nth(1).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn keys(issuer: &Issuer) -> (u16, Value) {
        let answer = fetch("GET", &format!("{}/keys", issuer.url())).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_test_chooses_every_claim() {
        let issuer = Issuer::named("corp").await;
        assert_eq!(issuer.section()["id"], "corp");
        let changed = claims(&issuer.token_but("alice", &json!({"aud": ["x"], "jti": null, "exp": "soon"})));
        assert_eq!((&changed["aud"], &changed["exp"]), (&json!(["x"]), &json!("soon")));
        assert!(changed.get("jti").is_none() && changed["sub"] == "alice");
        let many = claims(&issuer.token_of("u17"));
        assert_eq!((&many["sub"], &many["device_id"]), (&json!("u17"), &json!("u17-laptop")));
        issuer.set_clock_ahead(3_600_000);
        let ahead = claims(&issuer.token("bob"))["iat"].as_i64().unwrap() - wire::now().seconds();
        assert!((3599..=3601).contains(&ahead), "{ahead}");
    }

    #[tokio::test]
    async fn keys_are_counted_extended_and_broken() {
        let issuer = Issuer::start().await;
        let key = issuer.add_key(Algorithm::EdDsa);
        let (status, set) = keys(&issuer).await;
        let kids: Vec<_> =
            set["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap()).collect();
        assert_eq!((status, kids), (200, vec![issuer.provider().signing_key().kid(), key.kid()]));
        issuer.answer_keys(KeysAnswer::Instead(500, b"{}".to_vec()));
        assert_eq!(keys(&issuer).await.0, 500);
        issuer.answer_keys(KeysAnswer::After(Duration::from_millis(50)));
        assert_eq!(keys(&issuer).await.0, 200);
        issuer.answer_keys(KeysAnswer::Never);
        let url = format!("{}/keys", issuer.url());
        let mut silence = std::pin::pin!(fetch("GET", &url));
        let asked = wire::until("the last question", || (issuer.keys_fetched() == 4).then_some(()));
        tokio::select! {
            _ = &mut silence => panic!("it answered"),
            () = asked => {}
        }
        assert!(tokio::time::timeout(Duration::from_millis(200), silence).await.is_err());
        let discovery = fetch("GET", &format!("{}/.well-known/openid-configuration", issuer.url())).await;
        assert_eq!(discovery.unwrap().status, 200);
        issuer.stop();
        wire::within("the port to close", async {
            while fetch("GET", &url.replace("/keys", "/")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}
