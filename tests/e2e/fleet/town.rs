//! Three nodes that ask the directory who people are, and a provider that changes them at the control node.

use std::time::{Duration, Instant};

use doorward_servers::{Port, Redis, Setup};
use doorward_tests::company::bearer;
use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::h1::{self, Response};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use serde_json::json;

use crate::client::{Provider, listen};
use crate::servers::standalone;

/// How long a lease lasts by default: N of the promise.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// What a node says that cannot know.
pub(crate) const STALE: [&str; 2] = ["stale_directory", "stale_revocations"];
/// How long anything may take that comes at last, on a busy machine.
const AT_LAST: Duration = Duration::from_secs(60);

const POLICY: &str = r#"
@id("team") permit (principal is User in Group::"engineers", action, resource in App::"wiki");
"#;

pub(crate) struct Town {
    pub(crate) issuer: Issuer,
    /// The control node first.
    pub(crate) nodes: Vec<Gateway>,
    pub(crate) provider: Provider,
    pub(crate) redis: Redis,
    /// The group that is let in.
    engineers: String,
    _app: RawUpstream,
    _intake: Port,
    _policies: tempfile::TempDir,
}

impl Town {
    pub(crate) async fn new() -> Self {
        let (redis, issuer, app) =
            (Redis::start(&Setup::default()), Issuer::start().await, RawUpstream::ok().await);
        let policies = tempfile::tempdir().unwrap();
        let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
        std::fs::copy(schema, policies.path().join("schema.cedarschema")).unwrap();
        std::fs::write(policies.path().join("all.cedar"), POLICY).unwrap();
        let mut config = Config::new();
        config.issuer(&issuer).app("wiki", "wiki.test", app.address(), json!({}));
        config
            .set("policy.dir", json!(policies.path()))
            .set("directory.people", json!("known"))
            .set("revocation.redis", standalone(redis.address()));
        let (intake, mut control) = (Port::take(), config.clone());
        listen(&mut control, &intake);
        control.set("gateway.node", json!("control"));
        let mut nodes = vec![Gateway::start(control).await];
        for name in ["gw-1", "gw-2"] {
            let mut config = config.clone();
            config.set("gateway.node", json!(name)).set("revocation.directory", json!("none"));
            nodes.push(Gateway::start(config).await);
        }
        let provider = Provider::connect(&nodes[0], &intake, "okta").await;
        let group = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "engineers",
        });
        let made = provider.ask("POST", "/Groups", Some(&group)).await;
        assert_eq!(made.status(), 201, "{}", made.text());
        let engineers = made.json()["id"].as_str().unwrap().to_owned();
        Self { issuer, nodes, provider, redis, engineers, _app: app, _intake: intake, _policies: policies }
    }

    /// Somebody joins, and is let in or not; their id.
    pub(crate) async fn hire(&self, name: &str, engineer: bool) -> String {
        let id = self.provider.hire(name).await;
        if engineer {
            let answer = self.promote(&id, true).await;
            assert!(matches!(answer.status(), 200 | 204), "{name}: {}", answer.text());
        }
        id
    }

    /// The provider puts somebody into the group that is let in, or takes them out.
    pub(crate) async fn promote(&self, id: &str, engineer: bool) -> Response {
        let operation = if engineer {
            json!({"op": "add", "path": "members", "value": [{ "value": id }]})
        } else {
            json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")})
        };
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation],
        });
        self.provider.ask("PATCH", &format!("/Groups/{}", self.engineers), Some(&body)).await
    }

    /// What one request is told at a node: `200`, the code of the refusal, or that it was cut off.
    pub(crate) async fn told(&self, node: usize, token: &str) -> String {
        told(self.nodes[node].address(), token).await
    }

    /// The same of a node that knows: one whose lease is over, as it is when the machine stood still for a second, says
    /// so and is asked again.
    pub(crate) async fn told_by_knowledge(&self, node: usize, token: &str) -> String {
        let began = Instant::now();
        loop {
            let told = self.told(node, token).await;
            if !STALE.contains(&told.as_str()) {
                return told;
            }
            assert!(began.elapsed() < AT_LAST, "node {node}: `{told}` and no end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks until it is told so; how long that took.
    pub(crate) async fn comes_to(&self, node: usize, token: &str, wanted: &str) -> Duration {
        let began = Instant::now();
        loop {
            let told = self.told(node, token).await;
            if told == wanted {
                return began.elapsed();
            }
            assert!(began.elapsed() < AT_LAST, "node {node}: `{told}` and not `{wanted}`");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

pub(crate) async fn told(address: std::net::SocketAddr, token: &str) -> String {
    let fields = [("authorization", &*bearer(token))];
    let Some(response) = h1::try_ask(address, "GET", "wiki.test", "/", &fields).await else {
        return "cut off".to_owned();
    };
    let code = response.head.value("x-doorward-refusal");
    code.unwrap_or_else(|| response.status().to_string())
}
