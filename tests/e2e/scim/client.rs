//! A provider's client: it has a token, and speaks HTTP to the intake.

use std::net::SocketAddr;
use std::time::Duration;

use doorward_servers::Port;
use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::h1::{H1, Response, request};
use doorward_tests::live::Site;
use serde_json::{Value, json};

/// A gateway with everything that streams behind it, and an intake of people.
pub(crate) struct House {
    pub(crate) site: Site,
    pub(crate) intake: Port,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(&json!({})).await
    }

    /// With more settings of the intake.
    pub(crate) async fn with(more: &Value) -> Self {
        let intake = Port::take();
        let change = |config: &mut Config| {
            listen(config, &intake);
            for (name, value) in more.as_object().unwrap() {
                config.set(&format!("intake.{name}"), value.clone());
            }
        };
        let site = Site::start(Duration::from_millis(20), change).await;
        Self { site, intake }
    }
}

pub(crate) fn listen(config: &mut Config, intake: &Port) {
    config.set("intake", json!({"address": intake.address().to_string()}));
}

pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Provider {
    /// Connects a provider whose people sign in at `demo` under their `userName`.
    pub(crate) async fn connect(gateway: &Gateway, intake: &Port, name: &str) -> Self {
        let body = json!({"name": name, "issuer": "demo", "subject": "userName"});
        let answer = gateway.api("POST", "/api/v1/connections", Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let made: Value = serde_json::from_str(&answer.text).unwrap();
        Self { address: intake.address(), token: made["token"].as_str().unwrap().to_owned() }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let mut client = H1::connect(self.address).await;
        client.send(self.request(method, path, body)).await;
        client.response(method).await
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.token);
        let body = body.map(ToString::to_string).unwrap_or_default();
        let mut fields = vec![("authorization", bearer.as_str()), ("user-agent", "Okta SCIM Client 1.0.0")];
        if !body.is_empty() {
            fields.push(("content-type", "application/scim+json; charset=utf-8"));
        }
        request(method, "scim.test", &format!("/scim/v2{path}"), &fields, body.as_bytes())
    }

    /// Somebody joins; their id.
    pub(crate) async fn hire(&self, name: &str) -> String {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "active": true,
            "emails": [{"value": format!("{name}@corp.test"), "type": "work", "primary": true}],
        });
        let answer = self.ask("POST", "/Users", Some(&body)).await;
        assert_eq!(answer.status(), 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// As Okta's integrations say it.
    pub(crate) async fn say_active(&self, id: &str, active: &Value, path: Option<&str>) -> Response {
        let operation = match path {
            None => json!({"op": "replace", "value": {"active": active}}),
            Some(path) => json!({"op": "Replace", "path": path, "value": active}),
        };
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation],
        });
        self.ask("PATCH", &format!("/Users/{id}"), Some(&body)).await
    }
}
