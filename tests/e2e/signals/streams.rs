//! Streams that the gateway fetches from and looks after, against a transmitter that speaks HTTP, through the
//! real process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::Port;
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::{Config, Gateway, Signal};
use doorward_tests::h1::{self, H1};
use doorward_tests::issuer::Issuer;
use doorward_tests::keys::{Algorithm, TestKey};
use doorward_tests::live::{BUILD, Kind, Site, Via};
use doorward_tests::tls::Authority;
use doorward_tests::transmitter::{STREAM_ID, TOKEN, Transmitter};
use doorward_tests::wire::{now, until};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::{CUT_WITHIN, keep, status_of};

const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

/// A transmitter, what it signs with, and where it pushes to.
struct Far {
    transmitter: Transmitter,
    key: TestKey,
    intake: Port,
    folder: tempfile::TempDir,
}

impl Far {
    async fn new() -> Self {
        let transmitter = Transmitter::start().await;
        transmitter.desk().holds = Duration::from_secs(20);
        let key = TestKey::named(Algorithm::Es256, "k1");
        transmitter.desk().keys = json!({"keys": [key.jwk()]});
        Self { transmitter, key, intake: Port::take(), folder: tempfile::tempdir().unwrap() }
    }

    /// Has the gateway know the stream, with these keys more. Its keys are discovered.
    fn configure(&self, config: &mut Config, more: &Value) {
        let token = keep(self.folder.path(), "transmitter.token", TOKEN);
        let mut stream = json!({"id": "live", "issuer": self.transmitter.url(), "audiences": ["door"],
            "algorithms": ["ES256"], "people": ["demo"], "token_file": token});
        for (name, value) in more.as_object().unwrap() {
            stream[name] = value.clone();
        }
        config
            .set("intake", json!({"address": self.intake.address().to_string()}))
            .set("signals", json!({"stream": [stream]}));
    }

    fn signed(&self, id: &str, subject: &Value, address: &str, payload: &Value) -> String {
        let header = json!({"typ": "secevent+jwt", "alg": "ES256", "kid": "k1"});
        let claims = json!({"iss": self.transmitter.url(), "aud": "door", "iat": now().seconds(), "jti": id,
            "sub_id": subject, "events": {address: payload}});
        self.key.sign(&header.to_string(), &claims.to_string())
    }

    fn about(&self, id: &str, address: &str, (issuer, name): (&Issuer, &str)) -> String {
        self.signed(id, &json!({"format": "iss_sub", "iss": issuer.url(), "sub": name}), address, &json!({}))
    }

    fn of_stream(&self, id: &str, kind: &str, payload: &Value) -> String {
        let subject = json!({"format": "opaque", "id": STREAM_ID});
        self.signed(id, &subject, &format!("{SSF}{kind}"), payload)
    }

    async fn push(&self, set: &str) -> (u16, String) {
        let mut client = H1::connect(self.intake.address()).await;
        let fields = [("content-type", "application/secevent+jwt")];
        client.send(h1::request("POST", "door.test", "/signals/events/live", &fields, set.as_bytes())).await;
        let answer = client.response("POST").await;
        (answer.status(), answer.text())
    }

    async fn acknowledged(&self, id: &str) {
        let known = || self.transmitter.desk().acknowledged.iter().any(|known| known == id).then_some(());
        until(&format!("`{id}` to be acknowledged"), known).await;
    }
}

async fn listed(gateway: &Gateway) -> Value {
    let answer = gateway.api("GET", "/api/v1/streams", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str::<Value>(&answer.text).unwrap()["streams"][0].clone()
}

/// Waits until the stream stands so.
async fn stands(gateway: &Gateway, word: &str) -> Value {
    let began = Instant::now();
    loop {
        let stream = listed(gateway).await;
        if stream["condition"] == word {
            return stream;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "not {word}: {stream}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn open_debts(gateway: &Gateway) -> Vec<Value> {
    let answer = gateway.api("GET", "/api/v1/debts?open=true", None).await;
    serde_json::from_str::<Value>(&answer.text).unwrap()["debts"].as_array().unwrap().clone()
}

fn polled(far: &Far) -> Value {
    json!({"poll_url": format!("{}/ssf/poll", far.transmitter.url()), "silent_hours": 24})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_cut_by_an_event_that_is_fetched() {
    let far = Far::new().await;
    let site = Site::start(Duration::from_millis(20), |config| far.configure(config, &polled(&far))).await;
    let (carol, bob) = (site.issuer.token_of("carol"), site.issuer.token_of("bob"));
    let stays = site.open(Kind::Sse, Via::Tls, &bob).await.unwrap();
    let mut open = Vec::new();
    for kind in super::KINDS {
        open.push(site.open(kind, Via::Tls, &carol).await.unwrap());
    }
    // A request is held by now, and brings the event as soon as it is there.
    until("a request for events", || (!far.transmitter.desk().polled.is_empty()).then_some(())).await;
    let began = Instant::now();
    far.transmitter.queue("e-1", far.about("e-1", REVOKED, (&site.issuer, "carol")));
    for live in open {
        let kind = live.kind();
        let ended = live.ended().await;
        assert!(kind.is_cut_off_by(&ended.how), "{kind:?}: {:?}", ended.how);
        let after = ended.at.saturating_duration_since(began);
        assert!(after < CUT_WITHIN, "{kind:?}: {after:?}");
    }
    assert_eq!(status_of(&site.gateway, BUILD, &carol).await, 401);
    far.acknowledged("e-1").await;
    assert!(stays.is_running() && status_of(&site.gateway, BUILD, &bob).await == 200);
    assert_eq!(far.push(&far.about("e-2", REVOKED, (&site.issuer, "bob"))).await.0, 404);
    let log = site.gateway.log();
    assert!(!log.contains(TOKEN) && !log.contains(&carol), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_before_a_crash_is_fetched_again_and_counts_once() {
    let far = Far::new().await;
    let mut company = Company::new(sample(SampleApp::Build, Pace::default()).await).await;
    far.configure(&mut company.config, &polled(&far));
    let (issuer, gateway) = company.start().await;
    let set = far.about("e-1", DISABLED, (&issuer, "erin"));
    far.transmitter.queue("e-1", set.clone());
    far.acknowledged("e-1").await;
    assert_eq!(status_of(&gateway, BUILD, &issuer.token_of("erin")).await, 401);
    // The transmitter forgot the acknowledgment, and the gateway is killed.
    let down = gateway.end(Signal::SIGKILL).await;
    far.transmitter.desk().acknowledged.clear();
    far.transmitter.queue("e-1", set);
    let gateway = down.start().await;
    far.acknowledged("e-1").await;
    let events = gateway.events();
    assert_eq!(events.iter().filter(|e| e["metadata"]["event_code"] == "signal.taken").count(), 1);
    assert_eq!(status_of(&gateway, BUILD, &issuer.token_of("erin")).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_verified_and_one_that_is_stopped_is_seen_everywhere_until_it_goes_on() {
    let far = Far::new().await;
    let mut company = Company::new(sample(SampleApp::Build, Pace::default()).await).await;
    far.configure(&mut company.config, &json!({"stream_id": STREAM_ID, "verify_minutes": 60}));
    let (_issuer, gateway) = company.start().await;
    // It is asked when it begins.
    until("a question", || far.transmitter.last_state()).await;
    let (status, body) = far.push(&far.of_stream("v-1", "verification", &json!({"state": "guessed"}))).await;
    assert!(status == 400 && body.contains("invalid_state"), "{status} {body}");
    assert_eq!(listed(&gateway).await["condition"], "new");
    let state = json!({"state": far.transmitter.last_state().unwrap()});
    assert_eq!(far.push(&far.of_stream("v-2", "verification", &state)).await.0, 202);
    let stream = stands(&gateway, "healthy").await;
    assert_eq!((&stream["delivery"], &stream["verify_seconds"]), (&json!("push"), &json!(3600)));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics["doorward_signal_stream_condition{stream=\"live\",condition=\"healthy\"}"], 1.0);
    assert_eq!(metrics["doorward_signal_verifications_total{stream=\"live\",outcome=\"answered\"}"], 1.0);
    assert!(metrics["doorward_signal_stream_event_age_seconds{stream=\"live\"}"] < 60.0);

    let paused = json!({"status": "paused", "reason": "license"});
    assert_eq!(far.push(&far.of_stream("u-1", "stream-updated", &paused)).await.0, 202);
    stands(&gateway, "paused").await;
    let readiness = gateway.as_operator().ready().await.unwrap();
    let (state, detail) = readiness.condition("signal_streams");
    assert_eq!(
        (readiness.status, state),
        (200, "degraded"),
        "a stream is no cause to send anybody elsewhere"
    );
    assert!(detail.starts_with("live: its transmitter paused it"), "{detail}");
    until("the warning", || gateway.log().contains("a stream of signals needs a look").then_some(())).await;
    let debts = wait_for_debts(&gateway, 1).await;
    assert_eq!(debts[0]["kind"], "silent_stream");
    let told = gateway.command(&["stream", "list"]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("paused") && told.stdout.contains("`license`"), "{told:?}");

    let enabled = json!({"status": "enabled"});
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(far.push(&far.of_stream("u-2", "stream-updated", &enabled)).await.0, 202);
    stands(&gateway, "healthy").await;
    wait_for_debts(&gateway, 0).await;

    // An operator asks, and is told why that cannot be done.
    let before = far.transmitter.last_state();
    let asked = gateway.command(&["stream", "verify", "live"]).await;
    assert!(asked.code == Some(0) && asked.stdout.starts_with("Asked live"), "{asked:?}");
    assert_ne!(far.transmitter.last_state(), before);
    let nobody = gateway.command(&["stream", "verify", "nobody"]).await;
    assert!(nobody.code == Some(1) && nobody.stderr.contains("there is no stream `nobody`"), "{nobody:?}");
    far.transmitter.desk().instead.insert("/ssf/verify", (429, vec![], String::new()));
    let refused = gateway.command(&["stream", "verify", "live"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("answers 429"), "{refused:?}");
    let calls = || gateway.events().iter().filter(|e| e.to_string().contains("streams.verify")).count();
    until("the three calls to be in the log", || (calls() >= 3).then_some(())).await;
    assert_eq!(calls(), 3);
}

async fn wait_for_debts(gateway: &Gateway, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let debts = open_debts(gateway).await;
        if debts.len() == count {
            return debts;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{debts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Speaks TLS in front of a transmitter, with a certificate of this authority for `localhost`.
async fn in_front(authority: &Authority, of: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = authority.certificate(&["localhost"]).acceptor(&["http/1.1"]);
    let behind = of.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(stream).await else { return };
                let mut far = TcpStream::connect(behind).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transmitter_proves_who_it_is_before_it_is_shown_the_token() {
    let far = Far::new().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let trusted = in_front(&authority, far.transmitter.url()).await;
    let untrusted = in_front(&stranger, far.transmitter.url()).await;
    let start = async |at: SocketAddr, host: &str, ca: &Path| {
        let mut company = Company::new(sample(SampleApp::Build, Pace::default()).await).await;
        let url = format!("https://{host}:{}/ssf/poll", at.port());
        far.configure(&mut company.config, &json!({"poll_url": url, "silent_hours": 24}));
        company.config.env("SSL_CERT_FILE", ca.to_str().unwrap());
        company.start().await
    };
    let ca = far.folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    // Of another authority, or for another name: nothing is asked.
    for (at, host) in [(untrusted, "localhost"), (trusted, "other.localhost")] {
        let (_issuer, gateway) = start(at, host, &ca).await;
        let began = Instant::now();
        let error = loop {
            if let Some(error) = listed(&gateway).await["error"].as_str() {
                break error.to_owned();
            }
            assert!(began.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(error.to_lowercase().contains("certificate"), "{host}: {error}");
        // Its keys it may fetch: they are no secret, and elsewhere.
        let asked = far.transmitter.desk().paths.clone();
        assert!(!asked.iter().any(|path| path == "/ssf/poll"), "{host}: {asked:?}");
    }
    let (issuer, gateway) = start(trusted, "localhost", &ca).await;
    let carol = issuer.token_of("carol");
    far.transmitter.queue("e-1", far.about("e-1", REVOKED, (&issuer, "carol")));
    far.acknowledged("e-1").await;
    assert_eq!(status_of(&gateway, BUILD, &carol).await, 401);
}
