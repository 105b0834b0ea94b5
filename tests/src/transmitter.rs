//! A transmitter of security events (SSF 1.0), on this machine: its configuration document, how a stream is
//! configured and stands, verifications, and events that are fetched (RFC 8936).
//!
//! It signs nothing: the test says what waits to be fetched, and pushes what is pushed. What was asked of it
//! is kept, and it can be told to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What it calls its one stream.
pub const STREAM_ID: &str = "stream-1";
/// The token that it knows the gateway by.
pub const TOKEN: &str = "token-of-the-gateway-0123456789";

/// A transmitter that runs until it is dropped.
pub struct Transmitter {
    url: String,
    inner: Arc<Inner>,
    serving: JoinHandle<()>,
}

struct Inner {
    desk: Mutex<Desk>,
    news: Notify,
}

/// A status, headers, and a body.
pub type Instead = (u16, Vec<(&'static str, String)>, String);

/// What it answers, and what was asked of it.
pub struct Desk {
    /// Members of the document that are others than usual; `null`: left out.
    pub document: Value,
    /// Members of the stream's configuration that are others than usual.
    pub configuration: Value,
    /// How the stream stands.
    pub status: Value,
    /// The keys that it publishes, as a JWK set.
    pub keys: Value,
    /// What is answered in place of the usual, by path.
    pub instead: BTreeMap<&'static str, Instead>,
    /// How long a request for events is held.
    pub holds: Duration,
    /// Events that wait to be fetched, by their ids.
    pub waiting: BTreeMap<String, String>,
    /// How many of them one answer has, at most.
    pub at_once: usize,
    /// The bodies of requests for verifications.
    pub asked: Vec<Value>,
    /// The bodies of requests for events.
    pub polled: Vec<Value>,
    /// The ids of events that were acknowledged, in order.
    pub acknowledged: Vec<String>,
    /// What was said to be wrong with events, by their ids.
    pub errors: BTreeMap<String, Value>,
    /// What was asked without the token, or with another.
    pub strangers: Vec<String>,
    /// Every path and query, in order.
    pub paths: Vec<String>,
}

// === impl Transmitter ===

impl Transmitter {
    /// Starts one.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let desk = Desk {
            document: json!({}),
            configuration: json!({}),
            status: json!({"stream_id": STREAM_ID, "status": "enabled"}),
            keys: json!({"keys": []}),
            instead: BTreeMap::new(),
            holds: Duration::ZERO,
            waiting: BTreeMap::new(),
            at_once: 100,
            asked: Vec::new(),
            polled: Vec::new(),
            acknowledged: Vec::new(),
            errors: BTreeMap::new(),
            strangers: Vec::new(),
            paths: Vec::new(),
        };
        let inner = Arc::new(Inner { desk: Mutex::new(desk), news: Notify::new() });
        let of = |base: &str| (Arc::clone(&inner), base.to_owned());
        let router = Router::new()
            .route("/.well-known/ssf-configuration", get(document))
            .route("/keys", get(keys))
            .route("/ssf/streams", get(configuration))
            .route("/ssf/status", get(status))
            .route("/ssf/verify", post(verify))
            .route("/ssf/poll", post(poll))
            .with_state(of(&url));
        let serving = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Self { url, inner, serving }
    }

    /// What it calls itself, and where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it answers and was asked.
    ///
    /// # Panics
    /// Never, unless a test panicked before.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.inner.desk.lock().unwrap()
    }

    /// Puts an event where it can be fetched.
    pub fn queue(&self, id: &str, set: String) {
        self.desk().waiting.insert(id.to_owned(), set);
        self.inner.news.notify_waiters();
    }

    /// The `state` of the last verification that it was asked for.
    #[must_use]
    pub fn last_state(&self) -> Option<String> {
        let desk = self.desk();
        desk.asked.last().and_then(|asked| asked["state"].as_str()).map(str::to_owned)
    }

    /// Stops answering: nobody listens any more.
    pub fn stop(&self) {
        self.serving.abort();
    }
}

impl Drop for Transmitter {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Of = (Arc<Inner>, String);

/// Notes who asks for what; the answer, where it is not the usual one.
fn came(
    (inner, _): &Of,
    path: &'static str,
    query: Option<&str>,
    headers: Option<&HeaderMap>,
) -> Option<Response> {
    let mut desk = inner.desk.lock().unwrap();
    desk.paths.push(query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")));
    if let Some(headers) = headers {
        let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if shown != format!("Bearer {TOKEN}") {
            let stranger = format!("{path} {shown}");
            desk.strangers.push(stranger);
            return Some(StatusCode::UNAUTHORIZED.into_response());
        }
    }
    if let Some((status, fields, body)) = desk.instead.get(path).cloned() {
        let mut answer = (StatusCode::from_u16(status).unwrap(), body).into_response();
        for (name, value) in fields {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        return Some(answer);
    }
    None
}

fn with(mut usual: Value, other: &Value) -> Value {
    let members = usual.as_object_mut().unwrap();
    for (name, value) in other.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    usual
}

async fn document(State(of): State<Of>) -> Response {
    if let Some(answer) = came(&of, "/.well-known/ssf-configuration", None, None) {
        return answer;
    }
    let (inner, url) = of;
    let usual = json!({
        "spec_version": "1_0", "issuer": url, "jwks_uri": format!("{url}/keys"),
        "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
        "configuration_endpoint": format!("{url}/ssf/streams"),
        "status_endpoint": format!("{url}/ssf/status"),
        "verification_endpoint": format!("{url}/ssf/verify"),
    });
    let desk = inner.desk.lock().unwrap();
    Json(with(usual, &desk.document)).into_response()
}

async fn keys(State(of): State<Of>) -> Response {
    if let Some(answer) = came(&of, "/keys", None, None) {
        return answer;
    }
    Json(of.0.desk.lock().unwrap().keys.clone()).into_response()
}

async fn configuration(State(of): State<Of>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if let Some(answer) = came(&of, "/ssf/streams", query.as_deref(), Some(&headers)) {
        return answer;
    }
    let (inner, url) = of;
    let usual = json!({"stream_id": STREAM_ID, "iss": url, "aud": ["door"],
        "delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": format!("{url}/ssf/poll")}});
    let desk = inner.desk.lock().unwrap();
    Json(with(usual, &desk.configuration)).into_response()
}

async fn status(State(of): State<Of>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if let Some(answer) = came(&of, "/ssf/status", query.as_deref(), Some(&headers)) {
        return answer;
    }
    Json(of.0.desk.lock().unwrap().status.clone()).into_response()
}

async fn verify(State(of): State<Of>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(answer) = came(&of, "/ssf/verify", None, Some(&headers)) {
        return answer;
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(asked["stream_id"], STREAM_ID);
    of.0.desk.lock().unwrap().asked.push(asked);
    StatusCode::NO_CONTENT.into_response()
}

async fn poll(State(of): State<Of>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(answer) = came(&of, "/ssf/poll", None, Some(&headers)) {
        return answer;
    }
    let inner = of.0;
    let request: Value = serde_json::from_slice(&body).unwrap();
    let now = request["returnImmediately"] == true;
    let holds = {
        let mut desk = inner.desk.lock().unwrap();
        for id in request["ack"].as_array().into_iter().flatten() {
            let id = id.as_str().unwrap().to_owned();
            desk.waiting.remove(&id);
            desk.acknowledged.push(id);
        }
        for (id, error) in request["setErrs"].as_object().into_iter().flatten() {
            desk.waiting.remove(id);
            desk.errors.insert(id.clone(), error.clone());
        }
        desk.polled.push(request);
        desk.holds
    };
    if !now {
        let news = inner.news.notified();
        if inner.desk.lock().unwrap().waiting.is_empty() {
            let _held = tokio::time::timeout(holds, news).await;
        }
    }
    let desk = inner.desk.lock().unwrap();
    let sets: BTreeMap<_, _> = desk.waiting.iter().take(desk.at_once).collect();
    Json(json!({"sets": sets, "moreAvailable": desk.waiting.len() > desk.at_once})).into_response()
}
