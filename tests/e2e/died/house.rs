//! A gateway that asks its directory, and a provider that fills it.

use doorward_servers::Port;
use doorward_tests::company::bearer;
use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::h1::{self, H1};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Whoever is let in at all may ask, so an answer says whether they are; `/team` is for a group.
const POLICY: &str = r#"
@id("anybody") permit (principal is User, action, resource) when { principal.lifecycle == Lifecycle::"active" }
unless { resource == Route::"wiki/team" };
@id("team") permit (principal is User in Group::"everybody", action, resource == Route::"wiki/team");
"#;

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) people: Issuer,
    pub(crate) provider: Client,
    _app: RawUpstream,
    intake: Port,
    _policies: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        let (people, app, intake) = (Issuer::start().await, RawUpstream::ok().await, Port::take());
        let policies = tempfile::tempdir().unwrap();
        let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
        std::fs::copy(schema, policies.path().join("schema.cedarschema")).unwrap();
        std::fs::write(policies.path().join("all.cedar"), POLICY).unwrap();
        let mut config = Config::new();
        config.set("policy.dir", json!(policies.path())).set("directory.people", json!("known"));
        // A sync that begins anew again and again takes a lot away.
        config.set("intake", json!({"address": intake.address().to_string(), "loss_percent_max": 100}));
        let team = json!({"id": "team", "path": "/team"});
        config.issuer(&people).app("wiki", "wiki.test", app.address(), json!({"route": [team]}));
        let gateway = Gateway::start(config).await;
        let provider = connect(&gateway, &intake, "okta").await;
        Self { gateway, people, provider, _app: app, intake, _policies: policies }
    }

    /// One more provider.
    pub(crate) async fn connect(&self, name: &str) -> Client {
        connect(&self.gateway, &self.intake, name).await
    }

    pub(crate) fn operator(&self) -> Client {
        let address = self.gateway.operator();
        Client { address, host: address.to_string(), token: bearer(self.gateway.token()) }
    }

    /// What a request of theirs is told: `200`, or the code of the refusal.
    pub(crate) async fn told(&self, token: &str) -> String {
        self.told_at("/", token).await
    }

    /// The same of another path.
    pub(crate) async fn told_at(&self, path: &str, token: &str) -> String {
        let authorization = bearer(token);
        let fields = [("authorization", authorization.as_str()), ("accept", "application/json")];
        let answer = h1::ask(self.gateway.address(), "GET", "wiki.test", path, &fields).await;
        match answer.status() {
            200 => "200".to_owned(),
            _ => answer.json()["code"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

async fn connect(gateway: &Gateway, intake: &Port, name: &str) -> Client {
    let body = json!({"name": name, "issuer": "demo", "subject": "userName"});
    let made = gateway.api("POST", "/api/v1/connections", Some(&body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made: Value = serde_json::from_str(&made.text).unwrap();
    let token = bearer(made["token"].as_str().unwrap());
    Client { address: intake.address(), host: "scim.test".to_owned(), token }
}

/// Somebody who asks with a token, one connection for each question.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    host: String,
    token: String,
}

impl Client {
    /// The answer; none when the process died before it was whole.
    pub(crate) async fn try_ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let mut client = H1::over(Box::new(TcpStream::connect(self.address).await.ok()?));
        self.try_ask_on(&mut client, method, path, body).await
    }

    /// The same on a connection that is kept.
    pub(crate) async fn try_ask_on(
        &self,
        client: &mut H1,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let kind = if self.host == "scim.test" { "application/scim+json" } else { "application/json" };
        let mut fields = vec![("authorization", self.token.as_str())];
        let text = body.map(ToString::to_string).unwrap_or_default();
        if !text.is_empty() {
            fields.push(("content-type", kind));
        }
        let request = h1::request(method, &self.host, path, &fields, text.as_bytes());
        if !client.try_send(request).await {
            return None;
        }
        let answer = client.try_response(method).await.filter(|answer| answer.whole)?;
        Some((answer.status(), serde_json::from_str(&answer.text()).unwrap_or_default()))
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = self.try_ask(method, path, body).await;
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }
}
