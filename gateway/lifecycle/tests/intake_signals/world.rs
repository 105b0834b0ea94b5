//! A node that takes signals, in a folder that outlives it, and senders who speak HTTP to it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_identity::KeyClient;
use doorward_identity::message::MessageKind;
use doorward_lifecycle::intake::signals::{Ports, Senders, Signals, TransmitterClient, router};
use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::Whom;
use doorward_model::directory::{HoldOrigin, PersonId, Profile};
use doorward_model::{AppId, DeviceId, Target};
use doorward_state::directory::form::Member;
use doorward_state::{Batch, Expected, RecordKind, Write};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::{House, Running, asker, okta, person, profile};
use crate::town::{CORP, NOW, NOW_SECONDS, PUSH_TOKEN, SOAR_KEY, configured, event, folder, sign};

const SENDERS: &str = r#"
    [[stream]]
    id = "okta"
    issuer = "https://idp.corp.example"
    audiences = ["door"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"
    stream_id = "stream-1"
    push_token_files = ["push.token"]
    effects = { "session-seen" = "alert", "credential-updated" = "step-up" }

    [[stream]]
    id = "second"
    issuer = "https://idp.corp.example"
    audiences = ["second"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"
    effects = { "device-not-compliant" = "revoke", "claims-changed" = "revoke", "risk-medium" = "step-up" }

    [[logout]]
    id = "corp"
    issuer = "https://idp.corp.example"
    audiences = ["door"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"

    [[revoke]]
    id = "caller"
    issuer = "https://idp.corp.example"
    audiences = ["https://door.corp.example/revoke"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"

    [[webhook]]
    id = "soar"
    secret_files = ["soar.key"]
    may_hold = true
"#;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";
pub(crate) const SET: &str = "application/secevent+jwt";

pub(crate) struct World {
    pub(crate) house: House,
    pub(crate) running: Running,
    pub(crate) signals: Arc<Signals>,
    /// How risky people look, as it was told.
    pub(crate) risks: Risks,
    keys: TempDir,
    senders: String,
    address: SocketAddr,
}

#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// How risky people look, as whoever remembers it was told.
pub(crate) type Risks = Arc<Mutex<Vec<String>>>;

async fn serve(
    house: &House,
    running: &Running,
    keys: &TempDir,
    senders: &str,
    risks: &Risks,
) -> (Arc<Signals>, SocketAddr) {
    let (streams, webhooks, senders, said) = configured(keys.path(), senders);
    assert_eq!(said, Vec::<String>::new());
    let of = |kind| senders.iter().filter(|s| s.kind() == kind).cloned().collect();
    let senders = Senders {
        streams,
        logouts: of(MessageKind::Logout),
        callers: of(MessageKind::RevocationCall),
        postures: of(MessageKind::DevicePosture),
        webhooks,
    };
    let risks = Arc::clone(risks);
    // Questions that differ, and no two pauses alike.
    let drawn = AtomicU8::new(0);
    let ports = Ports {
        lives: running.service.clone(),
        store: running.revocations.clone(),
        clock: house.clock(),
        random: Arc::new(move || Some([drawn.fetch_add(1, Ordering::SeqCst); 16])),
        keys: KeyClient::new().unwrap(),
        transmitters: TransmitterClient::new().unwrap(),
        risks: Some(Arc::new(move |user, level, at| {
            risks.lock().unwrap().push(format!("{user} {} at {}", level.as_str(), at.0));
        })),
    };
    let signals = Arc::new(Signals::new(senders, BTreeSet::from([AppId::new("wiki").unwrap()]), ports));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router(Arc::clone(&signals));
    tokio::spawn(async move { axum::serve(listener, service).await });
    (signals, address)
}

impl World {
    pub(crate) async fn new() -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let _another_test_was_first = provider.install_default();
        let house = House::new();
        // People join before the first message comes.
        house.wall.store(NOW.0 - 3_600_000, Ordering::SeqCst);
        Self::at(house, folder(), SENDERS.to_owned()).await
    }

    /// One with another configuration of senders, which begins at [`NOW`].
    pub(crate) async fn of(keys: TempDir, senders: String) -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let _another_test_was_first = provider.install_default();
        let house = House::new();
        house.wall.store(NOW.0, Ordering::SeqCst);
        Self::at(house, keys, senders).await
    }

    async fn at(house: House, keys: TempDir, senders: String) -> Self {
        let running = house.open().await;
        let risks = Risks::default();
        let (signals, address) = serve(&house, &running, &keys, &senders, &risks).await;
        Self { house, running, signals, risks, keys, senders, address }
    }

    /// A second node on the same store: nobody makes it wait for the first.
    pub(crate) async fn twin(&self) -> (Arc<Signals>, SocketAddr) {
        serve(&self.house, &self.running, &self.keys, &self.senders, &self.risks).await
    }

    /// The same node after a restart: memory is empty, the disk is not.
    pub(crate) async fn restarted(self) -> Self {
        let Self { house, running, keys, senders, .. } = self;
        running.close().await;
        Self::at(house, keys, senders).await
    }

    /// Somebody who joined an hour ago, with one sign-in `corp:<name>`.
    pub(crate) async fn hire(&self, n: u128, name: &str) -> PersonId {
        self.join(n, profile(name), &[&format!("corp:{name}")]).await
    }

    /// Somebody who joined an hour ago, with these sign-ins.
    pub(crate) async fn join(&self, n: u128, profile: Profile, links: &[&str]) -> PersonId {
        let links = links.iter().map(|link| link.parse().unwrap()).collect();
        let create = Command::ScimCreate { id: person(n), profile: profile.into(), active: true, links };
        self.running.service.ask(Whom::New, create, asker(&okta())).await.unwrap();
        person(n)
    }

    /// Writes something over what the store has of somebody's groups that nobody can read.
    pub(crate) async fn damage(&self, person: PersonId) {
        let write = Write {
            kind: RecordKind::Membership,
            id: Member::Person(person).record_id().into(),
            expected: Expected::Absent,
            body: Some(b"[".to_vec().into()),
            keys: Vec::new(),
        };
        self.running.revocations.commit(Batch { writes: vec![write], changes: Vec::new() }).await.unwrap();
    }

    /// Sends one request, exactly as it is told, on a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Told {
        self.send_to(self.address, method, path, headers, body).await
    }

    async fn send_to(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Told {
        self.house.wall.fetch_max(NOW.0, Ordering::SeqCst);
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // The server may have answered and closed before all of it was sent.
        let _sent = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Told { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// A connection on which nothing was said yet.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Pushes a security event to a stream.
    pub(crate) async fn push(&self, stream: &str, claims: &Value) -> Told {
        self.push_to(self.address, stream, claims).await
    }

    /// The same, to another node.
    pub(crate) async fn push_to(&self, node: SocketAddr, stream: &str, claims: &Value) -> Told {
        let token = format!("Bearer {PUSH_TOKEN}");
        let headers = [("content-type", SET), ("authorization", &*token)];
        let path = format!("/signals/events/{stream}");
        self.send_to(node, "POST", &path, &headers, sign("secevent+jwt", claims).as_bytes()).await
    }

    pub(crate) async fn log_out(&self, claims: &Value) -> Told {
        let body = format!("logout_token={}", sign("logout+jwt", claims));
        self.send("POST", "/signals/logout/corp", &[("content-type", FORM)], body.as_bytes()).await
    }

    pub(crate) async fn call(&self, jti: &str, subject: &Value) -> Told {
        let claims = json!({"iss": CORP, "aud": "https://door.corp.example/revoke", "iat": NOW_SECONDS,
            "exp": NOW_SECONDS + 300, "jti": jti, "sub": "0oa1"});
        let token = format!("Bearer {}", sign("global-token-revocation+jwt", &claims));
        let headers = [("content-type", JSON), ("authorization", &*token)];
        let body = json!({ "sub_id": subject }).to_string();
        self.send("POST", "/signals/revocation/caller", &headers, body.as_bytes()).await
    }

    pub(crate) async fn kill(&self, id: &str, action: &str, subject: &Value) -> Told {
        let body = json!({"action": action, "subject": subject, "reason": "case 4711"}).to_string();
        let stamp = NOW_SECONDS.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SOAR_KEY);
        let tag = hmac::sign(&key, format!("{id}.{stamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(tag.as_ref()));
        let headers = [
            ("content-type", JSON),
            ("webhook-id", id),
            ("webhook-timestamp", &*stamp),
            ("webhook-signature", &*signature),
        ];
        self.send("POST", "/signals/webhook/soar", &headers, body.as_bytes()).await
    }

    /// How a target stands: nothing was done, it is `revoked`, or `disabled`.
    pub(crate) fn stands(&self, target: &str) -> &'static str {
        match self.running.revocations.lookup(&aim(target)) {
            None => "untouched",
            Some(entry) if entry.disabled => "disabled",
            // Whoever joined before has a mark from then.
            Some(entry) if entry.not_before < NOW => "untouched",
            Some(_) => "revoked",
        }
    }

    /// The folder with keys and tokens.
    pub(crate) fn keys(&self) -> &std::path::Path {
        self.keys.path()
    }

    /// The streams that hold somebody.
    pub(crate) async fn holds(&self, person: PersonId) -> Vec<String> {
        let person = self.running.known(person).await.unwrap();
        let name = |origin: &HoldOrigin| match origin {
            HoldOrigin::Operator => "operator".to_owned(),
            HoldOrigin::Signal(stream) => stream.to_string(),
        };
        person.holds.iter().map(|hold| name(&hold.origin)).collect()
    }

    /// What the log has of signals: the code, what it came down to and what came of it.
    pub(crate) fn log(&self) -> Vec<String> {
        let signals = self.house.events().into_iter().filter_map(|event| {
            let code = event["metadata"]["event_code"].as_str()?.strip_prefix("signal.")?.to_owned();
            let told = &event["unmapped"]["doorward"]["lifecycle"];
            let outcome = told["changes"].as_array()?.iter().find(|c| c["what"] == "outcome")?;
            Some(format!("{code} {} {}", told["command"].as_str()?, outcome["after"].as_str()?))
        });
        signals.collect()
    }
}

/// `user corp:alice`, `session corp:s-1`, `user_at_app corp:alice wiki`.
fn aim(text: &str) -> Target {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["user", id] => Target::User(id.parse().unwrap()),
        ["session", id] => Target::Session(id.parse().unwrap()),
        ["token", id] => Target::Token(id.parse().unwrap()),
        ["device", id] => Target::Device(DeviceId::new(id).unwrap()),
        ["user_at_app", id, app] => Target::UserAtApp(id.parse().unwrap(), AppId::new(app).unwrap()),
        other => panic!("{other:?}"),
    }
}

impl Told {
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }
}

/// An event of a stream that happened so many seconds ago.
pub(crate) fn ago(id: &str, seconds: i64, subject: &Value, address: &str) -> Value {
    event(id, subject, address, &json!({"event_timestamp": NOW_SECONDS - seconds}))
}

/// The same for the second stream.
pub(crate) fn to_second(mut claims: Value) -> Value {
    claims["aud"] = json!("second");
    claims
}
