//! Three gateway processes on one Redis, their issuers, the app that streams, and everybody who may say
//! that somebody leaves.
//!
//! The control node has the directory, the intake of people and the intake of signals; two gateway nodes
//! learn from Redis. [`Party`] is somebody with everything that can act in their name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::{Port, Redis, Setup};
use doorward_tests::company::sample;
use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::h2::H2;
use doorward_tests::issuer::Issuer;
use doorward_tests::live::{Kind, Live, NotOpen};
use doorward_tests::wire::{self, now};
use serde_json::{Value, json};

use crate::cells::LEASE_MILLIS;
use crate::client::Provider;
use crate::senders::Senders;

/// The host of everything that streams.
pub(crate) const HOST: &str = "build.test";
/// The host of another app of the same people.
pub(crate) const OTHER: &str = "other.test";
/// How often streams count.
const TICK: Duration = Duration::from_millis(50);
/// How long a service account and an agent may work.
const MACHINE_MILLIS: i64 = 24 * 3_600_000;

const POLICY: &str = r#"
@id("role") permit (principal is User in Role::"engineer", action, resource in AppGroup::"engineering");
@id("group") permit (principal is User in Group::"team", action, resource in AppGroup::"engineering");
@id("machine") permit (principal is ServiceAccount, action, resource in AppGroup::"engineering")
when { principal.scopes.contains("build:run") };
@id("agent") permit (principal is Agent, action, resource in AppGroup::"engineering")
when {
  (principal.onBehalfOf in Role::"engineer" || principal.onBehalfOf in Group::"team") &&
  principal.scopes.contains("build:run")
};
"#;

/// Whose word counts about who people are, on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// What their tokens say.
    Token,
    /// What the directory says, which gateway nodes have from Redis.
    Known,
}

/// What acts in somebody's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Credential {
    /// Their bearer token: the session, the token and the device that the intakes name.
    Own,
    /// A second sign-in of theirs, on another device.
    Elsewhere,
    /// A service account that they answer for.
    Account,
    /// An agent that acts for them (RFC 8693), in a session of its own.
    Agent,
    /// A token of ours of that service account.
    Key,
}

/// Somebody.
pub(crate) struct Party {
    pub(crate) name: String,
    /// The id of the directory.
    pub(crate) id: String,
    /// The ids of their service account and their agent.
    pub(crate) account: String,
    pub(crate) agent: String,
    /// A token of their service account, and how it is named.
    pub(crate) key: String,
    pub(crate) key_name: String,
}

/// All of it. Dropped, it is ended.
pub(crate) struct House {
    pub(crate) word: Word,
    issuer: Issuer,
    robots: Issuer,
    /// The control node first.
    pub(crate) nodes: Vec<Gateway>,
    pub(crate) provider: Provider,
    pub(crate) senders: Senders,
    _folder: tempfile::TempDir,
    _redis: Redis,
}

// === impl Credential ===

impl Credential {
    pub(crate) const ALL: [Self; 5] = [Self::Own, Self::Elsewhere, Self::Account, Self::Agent, Self::Key];
}

// === impl House ===

impl House {
    pub(crate) async fn new(word: Word) -> Self {
        let redis = Redis::start(&Setup::default());
        let (issuer, robots) = (Issuer::start().await, Issuer::named("robots").await);
        let folder = tempfile::tempdir().unwrap();
        let app = sample(SampleApp::Build, Pace { tick: TICK, piece_bytes: 4096 }).await;
        let mut config = Config::new();
        config.issuer(&issuer).add("issuer", of_robots(&robots));
        apps(&mut config, app);
        config
            .set("policy.dir", json!(policies(folder.path())))
            .set("revocation.redis", json!({"addresses": [redis.address().to_string()], "tls": false}))
            .set("revocation.redis.lease_millis", json!(LEASE_MILLIS))
            // A slow machine must not end what a test has open.
            .set("limits.body_idle_seconds_max", json!(600))
            .set("limits.keepalive_seconds_max", json!(600))
            .set("limits.h2_idle_seconds_max", json!(600))
            .set("limits.connections_per_address_max", json!(10_000))
            .set("directory.people", json!(word.configured()));
        let (intake, senders) = (Port::take(), Senders::new());
        let mut control = config.clone();
        senders.configure(&mut control, &intake);
        control.set("gateway.node", json!("control"));
        let mut nodes = vec![Gateway::start(control).await];
        for name in ["gw-1", "gw-2"] {
            let mut config = config.clone();
            config.set("gateway.node", json!(name)).set("revocation.directory", json!("none"));
            nodes.push(Gateway::start(config).await);
        }
        let provider = connect(&nodes[0], &intake).await;
        let senders = senders.at(intake, issuer.url());
        Self { word, issuer, robots, nodes, provider, senders, _folder: folder, _redis: redis }
    }

    /// Asks the operator API of the control node, with a body if it is not null; the answer must be a good one.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.nodes[0].api(method, path, (!body.is_null()).then_some(&body)).await;
        assert!(matches!(answer.status, 200 | 201), "{method} {path} {body}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// Somebody is hired, and is given a service account and an agent.
    pub(crate) async fn hire(&self, name: &str, role: Option<&str>) -> Party {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "active": true,
            "roles": role.iter().map(|role| json!({ "value": role })).collect::<Vec<_>>(),
        });
        let answer = self.provider.ask("POST", "/Users", Some(&body)).await;
        assert_eq!(answer.status(), 201, "{name}: {}", answer.text());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let account = self.register("service-accounts", &format!("robots:r-{name}"), &id).await;
        let agent = self.register("agents", &format!("demo:a-{name}"), &id).await;
        let body = json!({"label": "test", "expires_at": now().0 + MACHINE_MILLIS});
        let made = self.operate("POST", &format!("/api/v1/service-accounts/{account}/tokens"), body).await;
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let (key, key_name) = (text(&made["token"]), text(&made["tokens"][0]["name"]));
        Party { name: name.to_owned(), id, account, agent, key, key_name }
    }

    async fn register(&self, kind: &str, user: &str, owner: &str) -> String {
        let body = json!({
            "user": user, "name": user, "purpose": "to test", "owner": owner, "scopes": ["build:run"],
            "expires_at": now().0 + MACHINE_MILLIS,
        });
        let made = self.operate("POST", &format!("/api/v1/{kind}"), body).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// A token of theirs. `session` tells sign-ins of one credential from each other.
    pub(crate) fn token(&self, party: &Party, credential: Credential, session: &str) -> String {
        let name = &party.name;
        let own = |word: &str| format!("{word}-{name}{session}");
        let signed_in = |word: &str| {
            json!({"sub": name, "sid": own(&format!("s{word}")), "jti": own(&format!("t{word}")),
                "device_id": own(&format!("d{word}"))})
        };
        match credential {
            Credential::Own => self.issuer.token_but("bob", &signed_in("")),
            Credential::Elsewhere => self.issuer.token_but("bob", &signed_in("2")),
            Credential::Account => {
                let claims = json!({"sub": format!("r-{name}"), "owner": format!("demo:{name}"),
                    "scope": "build:run", "sid": own("s3"), "device_id": null});
                self.robots.token_but("bob", &claims)
            }
            Credential::Key => party.key.clone(),
            Credential::Agent => {
                let mut claims = signed_in("4");
                claims["scope"] = json!("build:run");
                claims["act"] = json!({"sub": format!("a-{name}")});
                self.issuer.token_but("bob", &claims)
            }
        }
    }

    /// Opens a stream at a node: of HTTP/2 on `h2`, any other on a connection of its own.
    pub(crate) async fn open(&self, node: usize, h2: &H2, kind: Kind, token: &str) -> Result<Live, NotOpen> {
        if kind.is_h2() {
            return Live::on(h2, HOST, kind, TICK, token).await;
        }
        let wire = Box::new(wire::connect(self.nodes[node].address()).await);
        Live::over(wire, HOST, kind, TICK, token).await
    }

    /// Returns when every node has applied whatever was acknowledged before.
    pub(crate) async fn all_have_it(&self) {
        let body = json!({"target": {"kind": "user", "id": "demo:nobody"}, "action": "revoke", "cause": "test",
            "wait": "fleet", "wait_millis_max": 10_000});
        let told = self.operate("POST", "/api/v1/revocations", body).await;
        assert_eq!(told["enforced_everywhere"], json!(true), "{told}");
    }
}

// === impl Word ===

impl Word {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Token => "people are who their tokens say",
            Self::Known => "people are who the directory says",
        }
    }

    const fn configured(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Known => "known",
        }
    }
}

/// A provider whose people sign in at `demo` under their `userName`, and which may give the role of engineers.
async fn connect(control: &Gateway, intake: &Port) -> Provider {
    let body = json!({"name": "okta", "issuer": "demo", "subject": "userName", "roles": ["engineer"]});
    let answer = control.api("POST", "/api/v1/connections", Some(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let made: Value = serde_json::from_str(&answer.text).unwrap();
    Provider { address: intake.address(), token: made["token"].as_str().unwrap().to_owned() }
}

/// The issuer of service accounts, which names who answers for each.
fn of_robots(robots: &Issuer) -> Value {
    let mut section = robots.section();
    section["subjects"] = json!("service_accounts");
    section["claims"] = json!({"owner": "owner"});
    section
}

fn apps(config: &mut Config, app: SocketAddr) {
    let engineering = json!({"groups": ["engineering"]});
    let grpc = json!({
        "groups": ["engineering"], "path_prefix": "/doorward.demo.Build", "upstream": {"protocol": "h2"},
    });
    config.app("build", HOST, app, engineering.clone()).app("other", OTHER, app, engineering).app(
        "build-grpc",
        HOST,
        app,
        grpc,
    );
}

fn policies(folder: &Path) -> PathBuf {
    let to = folder.join("policies");
    std::fs::create_dir(&to).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    std::fs::copy(schema, to.join("schema.cedarschema")).unwrap();
    std::fs::write(to.join("all.cedar"), POLICY).unwrap();
    to
}
