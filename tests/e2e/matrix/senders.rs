//! Who sends signals of people, in the forms that they have on the wire: security events (RFC 8417, pushed
//! by RFC 8935), logout tokens (OpenID Connect Back-Channel Logout 1.0), calls of global token revocation
//! (Okta's Universal Logout), and the signed kill webhook.

use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_servers::Port;
use doorward_tests::gateway::Config;
use doorward_tests::h1::{H1, Response, request};
use doorward_tests::keys::{Algorithm, TestKey};
use doorward_tests::wire::now;
use serde_json::{Value, json};

const ISSUER: &str = "https://transmitter.test";
const AUDIENCE: &str = "door";
const CLIENT: &str = "0oa1";
const SECRET: [u8; 32] = [7; 32];
const PUSH_TOKEN: &str = "push-token-of-the-stream-0123456789abcdef";

/// All of them: one key, one stream, one provider, one caller, one webhook.
pub(crate) struct Senders {
    key: TestKey,
    folder: tempfile::TempDir,
    at: Option<(Port, String)>,
}

fn keep(folder: &Path, name: &str, text: &str) -> Value {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    json!(file)
}

// === impl Senders ===

impl Senders {
    pub(crate) fn new() -> Self {
        let key = TestKey::named(Algorithm::Es256, "k1");
        Self { key, folder: tempfile::tempdir().unwrap(), at: None }
    }

    /// Has a gateway take what they send.
    pub(crate) fn configure(&self, config: &mut Config, intake: &Port) {
        let folder = self.folder.path();
        let jwks = keep(folder, "keys.jwks", &json!({ "keys": [self.key.jwk()] }).to_string());
        let sender = json!({"id": "okta", "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["ES256"],
            "jwks_file": jwks, "people": ["demo"]});
        let (mut stream, mut caller) = (sender.clone(), sender.clone());
        stream["push_token_files"] = json!([keep(folder, "push.token", PUSH_TOKEN)]);
        caller["client"] = json!(CLIENT);
        let secret = keep(folder, "soar.key", &format!("whsec_{}", STANDARD.encode(SECRET)));
        let webhook = json!({"id": "soar", "secret_files": [secret], "may_hold": true});
        config.set("intake", json!({"address": intake.address().to_string()})).set(
            "signals",
            json!({"stream": [stream], "logout": [sender], "revocation": [caller], "webhook": [webhook]}),
        );
    }

    /// They send to this port, of people who sign in at this issuer.
    pub(crate) fn at(mut self, intake: Port, people: &str) -> Self {
        self.at = Some((intake, people.to_owned()));
        self
    }

    /// Somebody, by their sign-in (RFC 9493 §3.2.3).
    pub(crate) fn subject(&self, name: &str) -> Value {
        let (_, people) = self.at.as_ref().unwrap();
        json!({"format": "iss_sub", "iss": people, "sub": name})
    }

    fn signed(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"typ": typ, "alg": "ES256", "kid": self.key.kid()});
        self.key.sign(&header.to_string(), &claims.to_string())
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Response {
        let (intake, _) = self.at.as_ref().unwrap();
        let mut client = H1::connect(intake.address()).await;
        let path = format!("/signals/{path}");
        client.send(request("POST", "door.test", &path, fields, body.as_bytes())).await;
        client.response("POST").await
    }

    /// Pushes one event: the end of its address, its members, and of whom.
    pub(crate) async fn push(&self, jti: &str, event: &str, said: Value, subject: &Value) {
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "iat": now().seconds(), "jti": jti,
            "sub_id": subject, "events": {format!("https://schemas.openid.net/secevent/{event}"): said}});
        let bearer = format!("Bearer {PUSH_TOKEN}");
        let fields = [("content-type", "application/secevent+jwt"), ("authorization", bearer.as_str())];
        let answer = self.post("events/okta", &fields, &self.signed("secevent+jwt", &claims)).await;
        assert_eq!(answer.status(), 202, "{event}: {}", answer.text());
    }

    /// Sends a logout token with `sub` or `sid`.
    pub(crate) async fn log_out(&self, jti: &str, whom: Value) {
        let at = now().seconds();
        let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "iat": at, "exp": at + 120, "jti": jti,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        claims.as_object_mut().unwrap().extend(whom.as_object().unwrap().clone());
        let body = format!("logout_token={}", self.signed("logout+jwt", &claims));
        let fields = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.post("logout/okta", &fields, &body).await;
        assert_eq!(answer.status(), 200, "logout of {whom}: {}", answer.text());
    }

    /// Calls for the revocation of everything of somebody.
    pub(crate) async fn call(&self, jti: &str, subject: &Value) {
        let at = now().seconds();
        let claims =
            json!({"iss": ISSUER, "aud": AUDIENCE, "iat": at, "exp": at + 120, "jti": jti, "sub": CLIENT});
        let bearer = format!("Bearer {}", self.signed("global-token-revocation+jwt", &claims));
        let fields = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let body = json!({ "sub_id": subject }).to_string();
        let answer = self.post("revocation/okta", &fields, &body).await;
        assert_eq!(answer.status(), 204, "{}", answer.text());
    }

    /// Calls the webhook: `revoke` or `hold`.
    pub(crate) async fn kill(&self, id: &str, action: &str, subject: &Value) {
        let body = json!({"action": action, "subject": subject, "reason": "case 4711"}).to_string();
        let stamp = now().seconds().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
        let tag = hmac::sign(&key, format!("{id}.{stamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(tag.as_ref()));
        let fields = [
            ("content-type", "application/json"),
            ("webhook-id", id),
            ("webhook-timestamp", stamp.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        let answer = self.post("webhook/soar", &fields, &body).await;
        assert_eq!(answer.status(), 200, "{action}: {}", answer.text());
    }
}
