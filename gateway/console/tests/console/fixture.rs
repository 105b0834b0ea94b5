//! A console with a store, an audit log and policies of its own, and a client that speaks plain
//! bytes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_audit::{Audit, AuditConfig, Identity, Protocol};
use doorward_console::{
    About, Aftermath, Condition, Hosts, Inflight, InflightFilter, Ports, ReleaseRefused, ReloadPanicked,
    Running, Service, Token, router, serve,
};
use doorward_lifecycle::machine::Rules;
use doorward_lifecycle::service::{self, CaseTerms, GuardTerms, Lifecycle, Settings};
use doorward_model::time::{Clock, Clocks};
use doorward_model::{AppId, KeyPath, RouteId, UnixMillis};
use doorward_policy::Policies;
use doorward_state::{DebtTerms, Ended, RevocationSection, Revocations};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::reviews::access;

pub(crate) const TOKEN: &str = "a-token-of-thirty-two-characters-and-more";
pub(crate) const NOON: i64 = 1_795_262_400_400;
const WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Gateway {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) revocations: Revocations,
    pub(crate) lives: Lifecycle,
    pub(crate) audit: Audit,
    pub(crate) policies: Arc<Policies>,
    pub(crate) token: Arc<Mutex<Option<Token>>>,
    pub(crate) conditions: Arc<Mutex<Vec<Condition>>>,
    /// How long the ended exchanges take to say goodbye.
    pub(crate) goodbye_millis: Arc<AtomicU64>,
    /// Whether loading policies panics.
    pub(crate) reload_panics: Arc<AtomicBool>,
    pub(crate) stop: Option<tokio::sync::oneshot::Sender<()>>,
    pub(crate) served: tokio::task::JoinHandle<()>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.head, self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.head.lines().filter_map(|line| line.split_once(": "));
        found.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

/// This time of day, and time that passes as it does.
fn clocks(wall: &Clock) -> Clocks {
    #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
    let began = std::time::Instant::now();
    Clocks { wall: Arc::clone(wall), uptime: Arc::new(move || began.elapsed()) }
}

/// A runtime for one test.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.unwrap() })
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Ports)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Every reading is a millisecond later.
        let now = Arc::new(AtomicI64::new(NOON));
        let clock: Clock = Arc::new(move || UnixMillis(now.fetch_add(1, Ordering::SeqCst)));
        let policy_dir = dir.path().join("policies");
        std::fs::create_dir(&policy_dir).unwrap();
        let schema = include_str!("../../../../policies/schema.cedarschema");
        std::fs::write(policy_dir.join("schema.cedarschema"), schema).unwrap();
        std::fs::write(policy_dir.join("one.cedar"), policy("one")).unwrap();
        let policies = Arc::new(Policies::open(&policy_dir, None, UnixMillis(NOON)).unwrap());
        let identity = Identity { node: "gw-1".to_owned(), version: "0.1.0".to_owned() };
        let audit = AuditConfig::in_dir(dir.path().join("audit"));
        let (audit, _) = Audit::open(audit, identity, Arc::clone(&clock)).unwrap();
        let mut complaints = Vec::new();
        let config = RevocationSection::default().check(
            &KeyPath::top(),
            dir.path(),
            dir.path(),
            "gw-1",
            &mut complaints,
        );
        let (revocations, _) = Revocations::open(&config.unwrap(), clocks(&clock)).unwrap();
        revocations.subscribe(Arc::new(|_| Ended { websocket: 2, grpc: 1, ..Ended::default() }));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let token = Arc::new(Mutex::new(Token::new(TOKEN)));
        let conditions: Arc<Mutex<Vec<Condition>>> = Arc::default();
        let goodbye_millis = Arc::new(AtomicU64::new(0));
        let reload_panics = Arc::new(AtomicBool::new(false));
        let debts = DebtTerms { owner: "security".to_owned(), due: Duration::from_secs(72 * 3600) };
        let lives = lives(&revocations, &audit, &clock, &debts).await;
        let mut ports = Ports {
            about: About {
                node: "gw-1".to_owned(),
                version: "0.1.0".to_owned(),
                started_at: UnixMillis(NOON - 65_000),
                issuers: vec!["corp".to_owned()],
            },
            clock: Arc::clone(&clock),
            hosts: Hosts::new(address, ["doorward.internal".to_owned()]),
            token: {
                let token = Arc::clone(&token);
                Arc::new(move |()| {
                    let token = token.lock().unwrap().clone();
                    Box::pin(async move { token })
                })
            },
            revocations: revocations.clone(),
            debts,
            lifecycle: Some(lives.clone()),
            streams: None,
            ids: ids(),
            random: {
                let next = AtomicU64::new(1);
                Arc::new(move || Some([u8::try_from(next.fetch_add(1, Ordering::SeqCst)).unwrap(); 32]))
            },
            audit: audit.clone(),
            policies: Arc::clone(&policies),
            reload: {
                let (policies, panics) = (Arc::clone(&policies), Arc::clone(&reload_panics));
                Arc::new(move |_actor| {
                    let (policies, panics) = (Arc::clone(&policies), panics.load(Ordering::SeqCst));
                    Box::pin(async move {
                        if panics {
                            return Err(ReloadPanicked);
                        }
                        let load = move || policies.reload(UnixMillis(NOON));
                        Ok(tokio::task::spawn_blocking(load).await.unwrap())
                    })
                })
            },
            access: Arc::new(|ask| Box::pin(async move { access(ask) })),
            releases: Arc::new(|(call, _actor)| {
                Box::pin(async move {
                    Err(ReleaseRefused::Conflict(format!("{call:?}").chars().take(200).collect()))
                })
            }),
            inflight: Arc::new(inflight),
            sessions: None,
            aftermath: {
                let goodbye_millis = Arc::clone(&goodbye_millis);
                Arc::new(move |_target| {
                    let goodbye = Duration::from_millis(goodbye_millis.load(Ordering::SeqCst));
                    let ended_at = Some(UnixMillis(NOON + 900));
                    Box::pin(async move {
                        tokio::time::sleep(goodbye).await;
                        Aftermath { remaining: 1, ended_at, took_micros: Some(812) }
                    })
                })
            },
            conditions: {
                let conditions = Arc::clone(&conditions);
                Arc::new(move || conditions.lock().unwrap().clone())
            },
            metrics: Arc::new(|| "# EOF\n".to_owned()),
            jwks: Arc::new(|| r#"{"keys":[]}"#.to_owned()),
        };
        change(&mut ports);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let served = tokio::spawn(serve(Service::OPERATORS, listener, router(ports), async move {
            let _gone = stopped.await;
        }));
        Self {
            dir,
            address,
            revocations,
            lives,
            audit,
            policies,
            token,
            conditions,
            goodbye_millis,
            reload_panics,
            stop: Some(stop),
            served,
        }
    }

    /// Sends bytes, and reads until the other side closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // The other side may close before it has read everything.
            let _early = stream.write_all(request).await;
            let mut answer = Vec::new();
            let _reset = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = tokio::time::timeout(WAIT, exchange).await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A call with these header lines and no others but `Host` and what closes the connection.
    pub(crate) async fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.raw(request.as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[&bearer()], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let json = "Content-Type: application/json";
        let headers: &[&str] = if body.is_empty() { &[&bearer()] } else { &[&bearer(), json] };
        self.call("POST", path, headers, body).await
    }

    /// A call with a body that is JSON.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let json = "Content-Type: application/json";
        self.call(method, path, &[&bearer(), json], &body.to_string()).await
    }

    pub(crate) async fn revoke(&self, action: &str, kind: &str, id: &str) -> Answer {
        let body = serde_json::json!({
            "target": { "kind": kind, "id": id }, "action": action, "cause": "left the company",
        });
        self.post("/api/v1/revocations", &body.to_string()).await
    }

    /// Every event in the audit log that has this code, after what waits was written.
    pub(crate) async fn events(&self, code: &str) -> Vec<Value> {
        // Decisions may wait a second.
        let mut found = Vec::new();
        for _ in 0..600 {
            found.clear();
            for entry in std::fs::read_dir(self.dir.path().join("audit")).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "jsonl") {
                    let text = std::fs::read_to_string(path).unwrap();
                    let events = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
                    found.extend(events.filter(|e| e["metadata"]["event_code"] == code));
                }
            }
            if !found.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        found
    }
}

/// Ids in the order in which they are asked for.
fn ids() -> service::Ids {
    let next = AtomicU64::new(1);
    Arc::new(move || {
        let n = u128::from(next.fetch_add(1, Ordering::SeqCst));
        uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n)
    })
}

async fn lives(revocations: &Revocations, audit: &Audit, clock: &Clock, debts: &DebtTerms) -> Lifecycle {
    let ports = service::Ports {
        revocations: revocations.clone(),
        audit: audit.clone(),
        clock: Arc::clone(clock),
        ids: ids(),
        revision: Arc::new(|| None),
    };
    let settings = Settings {
        rules: Rules::default(),
        debts: debts.clone(),
        guard: GuardTerms::default(),
        cases: CaseTerms::default(),
    };
    Lifecycle::open(ports, settings).await.unwrap()
}

pub(crate) fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}")
}

pub(crate) fn policy(id: &str) -> String {
    format!(
        "@id(\"{id}\")\n@title(\"Nobody in particular\")\n@owner(\"it\")\n\
         permit (principal is User, action in Action::\"read\", resource in App::\"wiki\");\n"
    )
}

fn inflight(filter: &InflightFilter) -> Inflight {
    let app = AppId::new("wiki").unwrap();
    let all: Vec<Running> = ["alice", "bob", "carol"]
        .iter()
        .enumerate()
        .map(|(i, name)| Running {
            user: Some(format!("corp:{name}").parse().unwrap()),
            session: format!("corp:s-{name}").parse().ok(),
            route: RouteId::new(app.clone(), "all").unwrap(),
            protocol: Protocol::ALL[i],
            started_at: UnixMillis(NOON),
            client: [203, 0, 113, 7].into(),
            path: "/page".to_owned(),
            request_id: format!("r-{i}").into(),
        })
        .collect();
    let wanted = |r: &Running| {
        filter.user.as_ref().is_none_or(|u| r.user.as_ref() == Some(u))
            && filter.app.as_ref().is_none_or(|a| r.route.app() == a)
    };
    let matching: Vec<Running> = all.into_iter().filter(wanted).collect();
    Inflight { total: matching.len(), exchanges: matching }
}
