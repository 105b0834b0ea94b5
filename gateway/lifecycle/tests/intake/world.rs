//! A service on a store of its own, and a client that speaks HTTP to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use doorward_audit::{Audit, AuditConfig, AuditSection, Identity};
use doorward_lifecycle::intake::connection::{
    Connection, ConnectionToken, Connections, SubjectAttribute, Terms,
};
use doorward_lifecycle::intake::scim::{Scim, router};
use doorward_lifecycle::machine::Rules;
use doorward_lifecycle::service::{CaseTerms, GuardTerms, Lifecycle, Ports, Settings};
use doorward_model::directory::ConnectionId;
use doorward_model::time::{Clock, Clocks};
use doorward_model::{IssuerId, KeyPath, UnixMillis};
use doorward_state::{DebtTerms, RevocationSection, Revocations};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::witness::{Says, make_receipts};

/// Where the clock begins: 2026-11-21T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_262_400_000;

pub(crate) struct World {
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) wall: Arc<AtomicI64>,
    pub(crate) store: Revocations,
    pub(crate) lives: Lifecycle,
    pub(crate) connections: Connections,
    address: std::net::SocketAddr,
}

/// One connection's client.
#[derive(Clone)]
pub(crate) struct Client {
    address: std::net::SocketAddr,
    pub(crate) token: String,
    pub(crate) agent: &'static str,
    pub(crate) media: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// A runtime for one test.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test)
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::guarded(GuardTerms { percent_max: 100, ..GuardTerms::default() }).await
    }

    pub(crate) async fn guarded(guard: GuardTerms) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::in_folder(dir, "audit", guard).await
    }

    /// Another process that serves the same people.
    pub(crate) async fn beside(&self) -> Self {
        let guard = GuardTerms { percent_max: 100, ..GuardTerms::default() };
        Self::in_folder(Arc::clone(&self.dir), "audit-beside", guard).await
    }

    async fn in_folder(dir: Arc<tempfile::TempDir>, log: &str, guard: GuardTerms) -> Self {
        let wall = Arc::new(AtomicI64::new(NOON));
        let mut complaints = Vec::new();
        let config = RevocationSection::default()
            .check(&KeyPath::top(), dir.path(), dir.path(), "gw-1", &mut complaints)
            .expect("a valid section");
        let clock: Clock = {
            let wall = Arc::clone(&wall);
            Arc::new(move || UnixMillis(wall.load(Ordering::SeqCst)))
        };
        #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
        let began = std::time::Instant::now();
        let clocks = Clocks { wall: Arc::clone(&clock), uptime: Arc::new(move || began.elapsed()) };
        let store = Revocations::open(&config, clocks).unwrap().0;
        let section = AuditSection { dir: Some(dir.path().join(log)), ..AuditSection::default() };
        let config = AuditConfig::check(&section, &KeyPath::top(), dir.path(), dir.path(), &mut complaints);
        let identity = Identity { node: "gw-1".to_owned(), version: "0.1.0".to_owned() };
        let audit = Audit::open(config.expect("a valid section"), identity, Arc::clone(&clock)).unwrap().0;
        let ports = Ports {
            revocations: store.clone(),
            audit,
            clock: Arc::clone(&clock),
            ids: Arc::new(uuid::Uuid::now_v7),
            revision: Arc::new(|| None),
        };
        let settings = Settings {
            rules: Rules::default(),
            debts: DebtTerms { owner: "security".to_owned(), due: Duration::from_hours(72) },
            guard,
            cases: CaseTerms::default(),
        };
        let lives = Lifecycle::open(ports, settings).await.unwrap();
        make_receipts(&lives, Says::nothing().witness(dir.path())).await;
        let scim = Scim::new(lives.clone(), store.clone(), clock, None, false).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(scim)).await });
        let connections = Connections::new(store.clone());
        Self { dir, wall, store, lives, connections, address }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    pub(crate) fn pass(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }

    /// A connection, and a client with its token. People sign in under their `userName`.
    pub(crate) async fn connect(&self, name: &str) -> Client {
        self.connect_by(name, SubjectAttribute::UserName).await
    }

    /// The same, under another attribute. It may give every role.
    pub(crate) async fn connect_by(&self, name: &str, subject: SubjectAttribute) -> Client {
        let terms = Terms::read(None, &["*".to_owned()], None).unwrap();
        self.connect_on(name, subject, terms).await
    }

    pub(crate) async fn connect_on(&self, name: &str, subject: SubjectAttribute, terms: Terms) -> Client {
        let token = ConnectionToken::from_random(*blake(name));
        let id = ConnectionId::new(name).unwrap();
        let issuer = IssuerId::new(&format!("{name}-idp")).unwrap();
        let made: Connection =
            self.connections.create_on(terms, (id, issuer, subject), &token, self.now()).await.unwrap();
        assert_eq!(made.tokens.len(), 1);
        self.client(token.expose())
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        Client {
            address: self.address,
            token: token.to_owned(),
            agent: "test",
            media: "application/scim+json",
        }
    }
}

/// Another 32 bytes for every name.
fn blake(name: &str) -> Box<[u8; 32]> {
    let mut bytes = [7_u8; 32];
    bytes.iter_mut().zip(name.bytes().cycle().take(29)).for_each(|(to, from)| *to ^= from);
    Box::new(bytes)
}

impl Client {
    pub(crate) fn like_okta(mut self) -> Self {
        (self.agent, self.media) = ("Okta SCIM Client 1.0.0", "application/scim+json; charset=utf-8");
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[], Some(&body.to_string())).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &[], Some(&body.to_string())).await
    }

    pub(crate) async fn patch(&self, path: &str, operations: &Value) -> Reply {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
        });
        self.send("PATCH", path, &[], Some(&body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], None).await
    }

    /// Sends one request, exactly as it is told, on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Reply {
        let mut request = format!(
            "{method} /scim/v2{path} HTTP/1.1\r\nHost: scim.example\r\nUser-Agent: {}\r\nConnection: close\r\n",
            self.agent
        );
        if !self.token.is_empty() {
            request.push_str(&format!("Authorization: Bearer {}\r\n", self.token));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            request.push_str(&format!("Content-Type: {}\r\nContent-Length: {}\r\n", self.media, body.len()));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        if let Some(body) = body {
            // The server may have answered and closed before all of it was sent.
            let _sent = stream.write_all(body.as_bytes()).await;
        }
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer).await;
        Reply::read(&String::from_utf8(answer).unwrap())
    }
}

impl Reply {
    fn read(answer: &str) -> Self {
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        };
        let headers = lines.map(header).collect();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() };
        Self { status, headers, body, text: text.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        if status >= 400 {
            assert_eq!(
                self.body["schemas"],
                json!(["urn:ietf:params:scim:api:messages:2.0:Error"]),
                "{}",
                self.text
            );
            assert_eq!(self.body["status"], json!(status.to_string()));
            assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", self.text);
        }
        if !self.text.is_empty() {
            assert_eq!(self.header("content-type"), Some("application/scim+json"));
        }
        self
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("{}", self.text)).to_owned()
    }

    #[track_caller]
    pub(crate) fn total(&self) -> u64 {
        self.body["totalResults"].as_u64().unwrap_or_else(|| panic!("{}", self.text))
    }

    /// The ids of a list, in its order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let list = self.body["Resources"].as_array().unwrap_or_else(|| panic!("{}", self.text));
        list.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn scim_type(&self) -> &str {
        self.body["scimType"].as_str().unwrap_or_default()
    }
}

/// A user as Okta makes one.
pub(crate) fn user(name: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": name, "type": "work"}],
        "displayName": "Test User", "locale": "en-US", "externalId": format!("00u{name}"),
        "groups": [], "password": "1mz050nq", "active": true,
    })
}

pub(crate) fn group(name: &str, members: &[&str]) -> Value {
    let members: Vec<_> = members.iter().map(|id| json!({"value": id})).collect();
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members,
    })
}

impl World {
    pub(crate) async fn connect_and(self, name: &str) -> (Self, Client) {
        let client = self.connect(name).await;
        (self, client)
    }

    /// Everything that was written to disk: the store and the log.
    pub(crate) fn kept(&self) -> Vec<u8> {
        fn of(folder: &std::path::Path, all: &mut Vec<u8>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    of(&path, all);
                } else {
                    all.extend(std::fs::read(&path).unwrap());
                }
            }
        }
        let mut all = Vec::new();
        of(self.dir.path(), &mut all);
        all
    }

    /// The newest event of this code in the log, once there is one: it may still be on its way.
    pub(crate) async fn until_recorded(&self, code: &str) -> String {
        let quoted = format!("\"{code}\"");
        for _ in 0..12_000 {
            let kept = self.kept();
            let lines = kept.split(|byte| *byte == b'\n').rev();
            let mut events = lines.filter(|line| line.starts_with(b"{")).map(String::from_utf8_lossy);
            if let Some(event) = events.find(|event| event.contains(&quoted)) {
                return event.into_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("`{code}` was not recorded");
    }

    /// Whether whoever signs in so is kept out.
    pub(crate) fn is_cut(&self, sign_in: &str) -> bool {
        let target = doorward_model::Target::User(sign_in.parse().unwrap());
        self.store.lookup(&target).is_some_and(|entry| entry.disabled)
    }
}
