//! SIGTERM: what runs comes to its end, nothing new begins, and the exit code says that all is well.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_demo::apps::pattern::Reader;
use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::Signal;
use doorward_tests::grpc::{self, Call};
use doorward_tests::h1::{H1, Piece, request};
use doorward_tests::h2::H2;
use doorward_tests::wire::{Ending, within};
use doorward_tests::ws::{Next, Ws};
use serde_json::{Value, json};

fn codes(events: &[Value]) -> Vec<String> {
    events.iter().filter_map(|e| e["metadata"]["event_code"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_download_comes_to_its_end_and_nothing_new_begins() {
    let pace = Pace { tick: Duration::from_millis(20), piece_bytes: 64 * 1024 };
    let app = sample(SampleApp::Build, pace).await;
    let mut company = Company::new(app).await;
    company.config.set("limits.drain_seconds_max", json!(60));
    let (issuer, mut gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let bytes = 100 * pace.piece_bytes as u64;
    let path = format!("/artifact?bytes={bytes}&every_millis=20");

    let mut h1 = H1::connect(gateway.address()).await;
    h1.send(request("GET", "build.test", &path, &fields, b"")).await;
    let mut h1 = h1.streaming("GET").await;
    let h2 = H2::connect(gateway.address()).await;
    let mut stream = h2.open(h2.request("GET", "build.test", &path, &fields), true).await.unwrap();
    assert_eq!(stream.head().await.unwrap().0, 200);
    let mut idle = H1::connect(gateway.address()).await;
    assert_eq!(idle.ask("GET", "build.test", "/", &fields).await.status(), 200);

    assert_eq!(gateway.api("GET", "/readyz", None).await.status, 200);
    gateway.signal(Signal::SIGTERM);
    within("the port to close", async {
        while tokio::net::TcpStream::connect(gateway.address()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(gateway.is_running(), "it waits for what runs");
    // The operator still reaches it: a revocation must bite to the very end. Who sends clients hears
    // that none are wanted.
    assert_eq!(gateway.api("GET", "/healthz", None).await.status, 200);
    let ready = gateway.api("GET", "/readyz", None).await;
    assert_eq!(ready.status, 503, "{}", ready.text);
    assert!(ready.text.contains("draining"), "{}", ready.text);
    assert_eq!(
        idle.drain(Duration::from_secs(15)).await.1,
        Ending::Closed,
        "nobody waits for an idle connection"
    );

    let mut reader = Reader::default();
    loop {
        match h1.next().await {
            Piece::Bytes(piece) => reader.read(&piece).unwrap(),
            Piece::End => break,
            Piece::CutOff => panic!("cut off after {} of {bytes} bytes", reader.offset()),
        }
    }
    assert_eq!(reader.offset(), bytes);
    let mut reader = Reader::default();
    while let Some(piece) = stream.data().await.unwrap() {
        reader.read(&piece).unwrap();
    }
    assert_eq!(reader.offset(), bytes);
    drop(h2);
    let status = gateway.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
    let all = gateway.events();
    let codes = codes(&all);
    assert_eq!(&codes[codes.len() - 1], "gateway.stopped", "{codes:?}");
    assert!(codes.contains(&"gateway.draining".to_owned()), "{codes:?}");
    assert_eq!(all.last().unwrap()["unmapped"]["doorward"]["gateway"]["cut_off"], 0);
}

#[tokio::test]
async fn a_drain_has_an_end_and_a_revocation_bites_during_it() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    // Long enough that a slow machine gets as far as the revocation.
    company.config.set("limits.drain_seconds_max", json!(12)).app(
        "build-grpc",
        "build.test",
        app,
        json!({
            "groups": ["engineering"], "path_prefix": "/doorward.demo.Build",
            "upstream": {"protocol": "h2"},
        }),
    );
    let (issuer, mut gateway) = company.start().await;
    let open = async |person: &str| {
        let auth = bearer(&issuer.token(person));
        let fields = [("authorization", auth.as_str())];
        let mut ws = Ws::open(gateway.address(), "build.test", "/logs", &fields).await.unwrap();
        ws.until("line 1").await;
        ws
    };
    let (mut bob, mut dana) = (open("bob").await, open("dana").await);
    let auth = bearer(&issuer.token("dana"));
    let fields = [("authorization", auth.as_str())];
    let h2 = H2::connect(gateway.address()).await;
    let mut call =
        Call::open(&h2, "build.test", "/doorward.demo.Build/Watch", &fields, "", true).await.unwrap();
    assert_eq!(call.next().await, grpc::Next::Text("tick 1".into()));
    let mut download = H1::connect(gateway.address()).await;
    download.send(request("GET", "build.test", "/artifact?every_millis=20", &fields, b"")).await;
    let mut download = download.streaming("GET").await;
    assert!(matches!(download.next().await, Piece::Bytes(_)));

    gateway.signal(Signal::SIGTERM);
    gateway.wait_log("draining").await;
    gateway.revoke("user", "demo:bob").await;
    assert!(matches!(bob.ending().await, Next::Closed(1008, _)), "the right ending, drain or not");
    dana.until("line 5").await;
    // Who does not end is ended when the time is up, in the protocol's own way: WebSocket 1001 "going
    // away" (RFC 6455 §7.4.1), gRPC UNAVAILABLE, a body that is cut off.
    assert!(matches!(dana.ending().await, Next::Closed(1001, _)), "a client may connect again elsewhere");
    let ending = loop {
        match call.next().await {
            grpc::Next::Text(_) => {}
            end => break end,
        }
    };
    assert_eq!(ending, grpc::Next::Status(Some(14)));
    let ending = loop {
        match download.next().await {
            Piece::Bytes(_) => {}
            end => break end,
        }
    };
    assert_eq!(ending, Piece::CutOff, "half a download must not look whole");
    let status = gateway.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
    // All of it is in the log, and the log is whole.
    let all = gateway.events();
    assert_eq!(all.last().unwrap()["unmapped"]["doorward"]["gateway"]["cut_off"], 3, "{:?}", all.last());
    let drained = all.iter().filter(|e| e["unmapped"]["doorward"]["ending"]["how"] == "drained");
    let paths: BTreeSet<&str> = drained.filter_map(|e| e["http_request"]["url"]["path"].as_str()).collect();
    assert_eq!(paths, BTreeSet::from(["/artifact", "/doorward.demo.Build/Watch", "/logs"]));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company.config.set("limits.drain_seconds_max", json!(600));
    let (issuer, mut gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut ws =
        Ws::open(gateway.address(), "build.test", "/logs", &[("authorization", &auth)]).await.unwrap();
    ws.until("line 1").await;
    gateway.signal(Signal::SIGTERM);
    gateway.wait_log("draining").await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit().await.code(), Some(0));
}
