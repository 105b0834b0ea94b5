//! What a provider or a tool says of somebody ends what they have open, through the real process.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

#[path = "signals/streams.rs"]
mod streams;

use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::Port;
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::{Config, Gateway, Signal};
use doorward_tests::h1::{self, H1, Response};
use doorward_tests::issuer::Issuer;
use doorward_tests::keys::{Algorithm, TestKey};
use doorward_tests::live::{BUILD, Kind, Live, Site, Via};
use doorward_tests::wire::now;
use serde_json::{Value, json};

/// From the message to the last byte of what ends by it, on a machine that may stand still for a while: the
/// benchmarks measure it. Less than a request for events is held.
const CUT_WITHIN: Duration = Duration::from_secs(15);
const ISSUER: &str = "https://transmitter.test";
const SECRET: [u8; 32] = [7; 32];
const PUSH_TOKEN: &str = "push-token-of-the-stream-0123456789abcdef";
const KINDS: [Kind; 3] = [Kind::WsTicking, Kind::Sse, Kind::GrpcWatch];

/// Who sends, and where to.
struct Senders {
    intake: Port,
    key: TestKey,
    folder: tempfile::TempDir,
}

struct House {
    site: Site,
    senders: Senders,
}

fn keep(folder: &Path, name: &str, text: &str) -> Value {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    json!(file)
}

impl Senders {
    fn new() -> Self {
        let (intake, folder) = (Port::take(), tempfile::tempdir().unwrap());
        Self { intake, key: TestKey::named(Algorithm::Es256, "k1"), folder }
    }

    /// Has the gateway take what they send.
    fn configure(&self, config: &mut Config) {
        let folder = self.folder.path();
        let jwks = keep(folder, "keys.jwks", &json!({ "keys": [self.key.jwk()] }).to_string());
        let token = keep(folder, "push.token", PUSH_TOKEN);
        let secret = keep(folder, "soar.key", &format!("whsec_{}", STANDARD.encode(SECRET)));
        let sender = json!({"id": "okta", "issuer": ISSUER, "audiences": ["door"], "algorithms": ["ES256"],
            "jwks_file": jwks, "people": ["demo"]});
        let mut stream = sender.clone();
        stream["push_token_files"] = json!([token]);
        let webhook = json!({"id": "soar", "secret_files": [secret], "may_hold": true});
        let signals = json!({"stream": [stream], "logout": [sender], "webhook": [webhook]});
        config.set("intake", json!({"address": self.intake.address().to_string()})).set("signals", signals);
    }

    fn signed(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"typ": typ, "alg": "ES256", "kid": self.key.kid()});
        self.key.sign(&header.to_string(), &claims.to_string())
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Response {
        let mut client = H1::connect(self.intake.address()).await;
        let path = format!("/signals/{path}");
        client.send(h1::request("POST", "door.test", &path, fields, body.as_bytes())).await;
        client.response("POST").await
    }

    async fn push(&self, id: &str, event: &str, (issuer, name): (&Issuer, &str)) -> Response {
        let claims = json!({"iss": ISSUER, "aud": "door", "iat": now().seconds(), "jti": id,
            "sub_id": {"format": "iss_sub", "iss": issuer.url(), "sub": name},
            "events": {format!("https://schemas.openid.net/secevent/{event}"): {}}});
        let bearer = format!("Bearer {PUSH_TOKEN}");
        let fields = [("content-type", "application/secevent+jwt"), ("authorization", bearer.as_str())];
        self.post("events/okta", &fields, &self.signed("secevent+jwt", &claims)).await
    }

    async fn log_out(&self, id: &str, sid: &str) -> Response {
        let at = now().seconds();
        let claims = json!({"iss": ISSUER, "aud": "door", "iat": at, "exp": at + 120, "jti": id, "sid": sid,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        let body = format!("logout_token={}", self.signed("logout+jwt", &claims));
        self.post("logout/okta", &[("content-type", "application/x-www-form-urlencoded")], &body).await
    }

    async fn kill(&self, id: &str, action: &str, name: &str) -> Response {
        let subject = json!({"format": "iss_sub", "iss": "demo", "sub": name});
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
        self.post("webhook/soar", &fields, &body).await
    }
}

impl House {
    async fn new() -> Self {
        let senders = Senders::new();
        let site = Site::start(Duration::from_millis(20), |config| senders.configure(config)).await;
        Self { site, senders }
    }

    async fn open(&self, token: &str) -> Vec<Live> {
        let mut all = Vec::new();
        for kind in KINDS {
            all.push(self.site.open(kind, Via::Tls, token).await.unwrap());
        }
        all
    }

    /// All of it ended soon after `began`, and the same token opens nothing any more.
    async fn is_cut(&self, what: &str, all: Vec<Live>, token: &str, began: Instant) {
        for live in all {
            let kind = live.kind();
            let ended = live.ended().await;
            assert!(kind.is_cut_off_by(&ended.how), "{what}, {kind:?}: {:?}", ended.how);
            let after = ended.at.saturating_duration_since(began);
            assert!(after < CUT_WITHIN, "{what}, {kind:?}: {after:?}");
        }
        assert_eq!(status_of(&self.site.gateway, BUILD, token).await, 401, "{what}");
    }
}

async fn status_of(gateway: &Gateway, host: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str())];
    h1::ask(gateway.address(), "GET", host, "/", &fields).await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_cut_by_a_logout_by_an_event_and_by_a_webhook() {
    let house = House::new().await;
    let bob = house.site.issuer.token_of("bob");
    let stays = house.open(&bob).await;

    let alice = house.site.issuer.token_but("bob", &json!({"sub": "alice", "sid": "s-alice"}));
    let open = house.open(&alice).await;
    let began = Instant::now();
    assert_eq!(house.senders.log_out("l-1", "s-alice").await.status(), 200);
    house.is_cut("logout", open, &alice, began).await;

    let carol = house.site.issuer.token_of("carol");
    let open = house.open(&carol).await;
    let began = Instant::now();
    assert_eq!(
        house
            .senders
            .push("e-1", "caep/event-type/session-revoked", (&house.site.issuer, "carol"))
            .await
            .status(),
        202
    );
    house.is_cut("session-revoked", open, &carol, began).await;

    let dave = house.site.issuer.token_of("dave");
    let open = house.open(&dave).await;
    let began = Instant::now();
    assert_eq!(house.senders.kill("k-1", "revoke", "dave").await.status(), 200);
    house.is_cut("webhook", open, &dave, began).await;

    for live in &stays {
        assert!(live.is_running(), "{:?} of somebody else", live.kind());
    }
    assert_eq!(status_of(&house.site.gateway, BUILD, &bob).await, 200);
    let events = house.site.gateway.events();
    let taken: Vec<_> = events.iter().filter(|e| e["metadata"]["event_code"] == "signal.taken").collect();
    let senders: Vec<_> = taken.iter().map(|e| e["entity"]["uid"].as_str().unwrap()).collect();
    assert_eq!(senders, ["okta", "okta", "soar"]);
    // Each says what it ended.
    for event in taken {
        assert_eq!(event["unmapped"]["doorward"]["lifecycle"]["connections_closed"], 3, "{event}");
    }
    let log = house.site.gateway.log();
    assert!(!log.contains(PUSH_TOKEN) && !log.contains(&alice), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_held_stays_out_after_a_crash_and_no_message_counts_twice() {
    let senders = Senders::new();
    let mut company = Company::new(sample(SampleApp::Build, Pace::default()).await).await;
    senders.configure(&mut company.config);
    let (issuer, gateway) = company.start().await;
    let erin = (&issuer, "erin");
    assert_eq!(status_of(&gateway, BUILD, &issuer.token_of("erin")).await, 200);
    let disabled = "risc/event-type/account-disabled";
    assert_eq!(senders.push("e-1", disabled, erin).await.status(), 202);

    let gateway = gateway.restart(Signal::SIGKILL).await;
    // A new sign-in does not help.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(status_of(&gateway, BUILD, &issuer.token_of("erin")).await, 401);
    assert_eq!(senders.push("e-1", disabled, erin).await.status(), 202);
    let events = gateway.events();
    let taken = events.iter().filter(|e| e["metadata"]["event_code"] == "signal.taken").count();
    assert_eq!(taken, 1, "the message that came again has no effect");
    // Nobody is told anything about whom they do not know.
    assert_eq!(senders.post("events/other", &[], "x").await.status(), 404);
    assert_eq!(status_of(&gateway, BUILD, &issuer.token_of("bob")).await, 200);
}
