//! A gateway that asks its directory, with everything that streams behind it, a provider that changes
//! people, and policies that a test may write anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_servers::{Port, Redis};
use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::h1::{self, H1};
use doorward_tests::issuer::Issuer;
use doorward_tests::live::{BUILD, End, Kind, Live, NotOpen, Site, Via};
use doorward_tests::wire::{now, until, within};
use serde_json::{Value, json};

/// Streams count so often.
pub(crate) const TICK: Duration = Duration::from_millis(20);
const DAY_MILLIS: i64 = 86_400_000;

/// One of everything that streams.
pub(crate) const KINDS: [Kind; 10] = [
    Kind::WsIdle,
    Kind::WsTicking,
    Kind::WsEcho,
    Kind::Sse,
    Kind::Download,
    Kind::Upload,
    Kind::H2Sse,
    Kind::H2Download,
    Kind::GrpcWatch,
    Kind::GrpcEcho,
];

/// What the provider may give.
const ROLES: [&str; 5] = ["engineer", "seller", "lead", "temp", "odd"];

/// Who may what, unless a test writes something else.
pub(crate) const POLICY: &str = r#"
@id("engineers") permit (principal is User in Role::"engineer", action, resource);
@id("team") permit (principal is User in Group::"team", action, resource);
@id("granted") permit (principal is User, action, resource) when { context.granted };
@id("agents") permit (principal is Agent, action, resource) when { principal.onBehalfOf in Role::"engineer" };
@id("robots") permit (principal is ServiceAccount, action, resource)
when { principal.owner.lifecycle == Lifecycle::"active" };
"#;

/// What the client of a stream reads that may not go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) close_reason: &'static str,
    pub(crate) grpc_status: u16,
}

/// The policies say no.
pub(crate) const CHANGED: Word = Word { close_reason: "Your access has changed", grpc_status: 7 };
/// The token is over.
pub(crate) const EXPIRED: Word = Word { close_reason: "Your sign-in has expired", grpc_status: 16 };

pub(crate) struct House {
    pub(crate) site: Site,
    robots: Issuer,
    intake: Port,
    /// The token of the provider.
    provider: String,
    policies: PathBuf,
    _folder: tempfile::TempDir,
}

/// Somebody whom the directory knows.
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) id: String,
}

// === impl Word ===

impl Word {
    /// Whether a stream of this kind ends so when its client is told this.
    pub(crate) fn ends(self, kind: Kind, how: &End) -> bool {
        match how {
            End::Goodbye(status, reason) => {
                kind.is_cut_off_by(how) && *status == 1008 && reason == self.close_reason
            }
            End::Status(status) => *status == Some(self.grpc_status),
            End::Whole | End::Cut | End::Gone(_) | End::Answered(_) | End::Early | End::Wrong(_) => {
                kind.is_cut_off_by(how)
            }
        }
    }
}

// === impl House ===

impl House {
    pub(crate) async fn new(more: impl FnOnce(&mut Config)) -> Self {
        let (intake, robots) = (Port::take(), Issuer::named("robots").await);
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
        std::fs::copy(schema, policies.join("schema.cedarschema")).unwrap();
        std::fs::write(policies.join("all.cedar"), POLICY).unwrap();
        let site = Site::start(TICK, |config| {
            let mut of_robots = robots.section();
            of_robots["subjects"] = json!("service_accounts");
            of_robots["claims"] = json!({"owner": "owner"});
            config
                .add("issuer", of_robots)
                .set("policy.dir", json!(policies))
                .set("directory.people", json!("known"))
                .set("intake", json!({"address": intake.address().to_string(), "loss_percent_max": 100}));
            more(config);
        })
        .await;
        let body = json!({"name": "okta", "issuer": "demo", "subject": "userName", "roles": ROLES});
        let answer = site.gateway.api("POST", "/api/v1/connections", Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let made: Value = serde_json::from_str(&answer.text).unwrap();
        let provider = made["token"].as_str().unwrap().to_owned();
        Self { site, robots, intake, provider, policies, _folder: folder }
    }

    /// Asks the intake, as a provider does; the answer must be a good one.
    pub(crate) async fn scim(&self, method: &str, path: &str, body: &Value) -> Value {
        let bearer = format!("Bearer {}", self.provider);
        let fields = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
        let mut client = H1::connect(self.intake.address()).await;
        let body = body.to_string();
        client
            .send(h1::request(method, "scim.test", &format!("/scim/v2{path}"), &fields, body.as_bytes()))
            .await;
        let answer = client.response(method).await;
        assert!(matches!(answer.status(), 200 | 201 | 204), "{method} {path}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Asks the operator API; the answer must be a good one.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.site.gateway.api(method, path, Some(&body)).await;
        assert!(matches!(answer.status, 200 | 201), "{method} {path} {body}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// Somebody is hired by SCIM, with these roles.
    pub(crate) async fn hire(&self, name: &str, roles: &[&str]) -> Person {
        let roles: Vec<_> = roles.iter().map(|role| json!({ "value": role })).collect();
        let made =
            self.scim("POST", "/Users", &json!({"userName": name, "active": true, "roles": roles})).await;
        Person { name: name.to_owned(), id: made["id"].as_str().unwrap().to_owned() }
    }

    /// SCIM says which roles they have from now on.
    pub(crate) async fn move_to(&self, person: &Person, roles: &[&str]) {
        let roles: Vec<_> = roles.iter().map(|role| json!({ "value": role })).collect();
        let operation = json!({"op": "replace", "path": "roles", "value": roles});
        self.patch(&format!("/Users/{}", person.id), operation).await;
    }

    /// SCIM makes a group with these members; its id.
    pub(crate) async fn group(&self, name: &str, members: &[&Person]) -> String {
        let members: Vec<_> = members.iter().map(|person| json!({ "value": person.id })).collect();
        let made = self.scim("POST", "/Groups", &json!({"displayName": name, "members": members})).await;
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn patch(&self, path: &str, operation: Value) {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"];
        self.scim("PATCH", path, &json!({"schemas": schemas, "Operations": [operation]})).await;
    }

    pub(crate) fn token(&self, person: &Person) -> String {
        self.site.issuer.token_of(&person.name)
    }

    /// A token that lives for so many seconds.
    pub(crate) fn short_token(&self, person: &Person, seconds: i64) -> String {
        let exp = now().0 / 1000 + seconds;
        self.site.issuer.token_but("bob", &json!({"sub": person.name, "device_id": null, "exp": exp}))
    }

    /// Registers a program for which somebody answers; its id.
    pub(crate) async fn register(&self, kind: &str, user: &str, owner: &Person, expires_at: i64) -> String {
        let body = json!({
            "user": user, "name": user, "purpose": "to test", "owner": owner.id, "scopes": ["build:run"],
            "expires_at": expires_at,
        });
        let made = self.operate("POST", &format!("/api/v1/{kind}"), body).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Another node of the same fleet, which learns from Redis who people are.
    pub(crate) async fn node(&self, redis: &Redis) -> Gateway {
        let mut config = Config::new();
        let engineering = json!({"groups": ["engineering"]});
        let grpc = json!({"path_prefix": "/doorward.demo.Build", "upstream": {"protocol": "h2"}});
        config
            .issuer(&self.site.issuer)
            .app("build", BUILD, self.site.app, engineering)
            .app("build-grpc", BUILD, self.site.app, grpc)
            .set("gateway.node", json!("elsewhere"))
            .set("limits.body_idle_seconds_max", json!(600))
            .set("policy.dir", json!(self.policies))
            .set("directory.people", json!("known"))
            .set("revocation.directory", json!("none"))
            .set("revocation.redis", redis_at(redis));
        Gateway::start(config).await
    }

    /// In a day, for whatever is to outlive the test.
    pub(crate) fn tomorrow() -> i64 {
        now().0 + DAY_MILLIS
    }

    pub(crate) fn robot_token(&self, owner: &Person) -> String {
        let claims = json!({"sub": "backup", "owner": format!("demo:{}", owner.name), "scope": "build:run",
            "device_id": null});
        self.robots.token_but("bob", &claims)
    }

    pub(crate) fn agent_token(&self, person: &Person) -> String {
        let claims = json!({"sub": person.name, "scope": "build:run", "act": {"sub": "copilot"},
            "device_id": null});
        self.site.issuer.token_but("bob", &claims)
    }

    /// Opens one stream of each kind.
    pub(crate) async fn open_all(&self, token: &str) -> Vec<Live> {
        let mut open = Vec::new();
        for (i, kind) in KINDS.into_iter().enumerate() {
            open.push(self.site.open(kind, Via::ALL[i % 2], token).await.unwrap());
        }
        open
    }

    pub(crate) async fn open(&self, kind: Kind, token: &str) -> Result<Live, NotOpen> {
        self.site.open(kind, Via::Plain, token).await
    }

    /// What a plain request is told now: its status, and the code of a refusal.
    pub(crate) async fn told(&self, token: &str) -> (u16, Option<String>) {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        let answer = h1::ask(self.site.gateway.address(), "GET", BUILD, "/", &fields).await;
        (answer.status(), answer.head.value("x-doorward-refusal"))
    }

    pub(crate) async fn is_refused(&self, token: &str, code: &str) {
        let (status, told) = self.told(token).await;
        assert_eq!(told.as_deref(), Some(code), "{status}");
    }

    /// Writes the policies anew, and has them loaded.
    pub(crate) async fn write_policies(&self, text: &str) -> u16 {
        std::fs::write(self.policies.join("all.cedar"), text).unwrap();
        self.site.gateway.api("POST", "/api/v1/policies/reload", None).await.status
    }

    /// The ends of what was decided anew, as they were recorded, once there are so many.
    pub(crate) async fn withdrawn(&self, count: usize) -> Vec<Value> {
        let found = until("an event for each stream that was withdrawn", || {
            let mut events = self.site.gateway.events();
            events.retain(|e| e["metadata"]["event_code"] == "access.exchange.withdrawn");
            (events.len() >= count).then_some(events)
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// Waits until a number is at least so high.
    pub(crate) async fn counts_to(&self, name: &str, least: f64) {
        within(&format!("`{name}` to be {least}"), async {
            while self.metric(name).await < least {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        *self.site.gateway.metrics().await.get(name).unwrap_or_else(|| panic!("there is no `{name}`"))
    }
}

/// With a lease that is longer than a machine stands still: whose lease is over refuses everybody.
pub(crate) fn redis_at(redis: &Redis) -> Value {
    json!({"addresses": [redis.address().to_string()], "tls": false, "lease_millis": 10_000})
}

/// All of them end, each with the word of its protocol.
pub(crate) async fn all_end(open: Vec<Live>, word: Word) {
    let mut faults = Vec::new();
    for live in open {
        let kind = live.kind();
        let ended = live.ended().await;
        if !word.ends(kind, &ended.how) {
            faults.push(format!("{kind:?} ended with {:?} after {} units", ended.how, ended.units));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// All of them run, and miss nothing until the test ends them.
pub(crate) async fn all_go_on(open: Vec<Live>) {
    for live in open {
        let kind = live.kind();
        assert!(live.is_running(), "{kind:?} of somebody else ended");
        if kind.is_busy() {
            live.wait_units(live.units() + 2).await;
        }
        assert_eq!(live.finish().await.how, End::Whole, "{kind:?} missed something");
    }
}
