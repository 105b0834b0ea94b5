//! Plain listeners: both protocols on one port, only the one that was asked for, connections that
//! are used again, and nothing of the operator's on a client's port.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_tests::company::{Company, bearer};
use doorward_tests::frames::{Frame, Frames, Outcome, ordinary};
use doorward_tests::h1::{self, H1};
use doorward_tests::h2::H2;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::{Ending, within};
use serde_json::json;

const QUIET: Duration = Duration::from_secs(10);

#[tokio::test]
async fn http1_and_http2_share_a_plain_port_and_connections_are_used_again() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut h1 = H1::connect(gateway.address()).await;
    for i in 0..5 {
        let answer = h1.ask("GET", "build.test", &format!("/one/{i}"), &[("authorization", &auth)]).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    }
    let h2 = H2::connect(gateway.address()).await;
    for i in 0..5 {
        let answer = h2.get("build.test", &format!("/two/{i}"), &[("authorization", &auth)]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    let seen = upstream.requests();
    let targets: Vec<String> = seen.iter().map(|r| r.head.target()).collect();
    let asked = (0..5).map(|i| format!("/one/{i}")).chain((0..5).map(|i| format!("/two/{i}")));
    assert_eq!(targets, asked.collect::<Vec<_>>());
    let connections: BTreeSet<usize> = seen.iter().map(|r| r.connection).collect();
    assert_eq!(connections.len(), 1, "one connection to the app does for all: {connections:?}");
    // HTTP/1.0 and a client that wants to close get what they want.
    let mut old = H1::connect(gateway.address()).await;
    old.send(format!("GET / HTTP/1.0\r\nhost: build.test\r\nauthorization: {auth}\r\n\r\n")).await;
    assert_eq!(old.response("GET").await.status(), 200);
    assert_eq!(old.drain(QUIET).await.1, Ending::Closed);
    let mut once = H1::connect(gateway.address()).await;
    let fields = [("authorization", auth.as_str()), ("connection", "close")];
    assert_eq!(once.ask("GET", "build.test", "/", &fields).await.status(), 200);
    assert_eq!(once.drain(QUIET).await.1, Ending::Closed);
}

#[tokio::test]
async fn a_listener_speaks_only_what_it_was_told() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company.config.set("listen.0.protocols", json!(["h1"])).add("listen", json!({"protocols": ["h2"]}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let (only_h1, only_h2) = (gateway.listener(0), gateway.listener(1));
    assert_eq!(h1::ask(only_h1, "GET", "build.test", "/", &fields).await.status(), 200);
    assert_eq!(H2::connect(only_h2).await.get("build.test", "/", &fields).await.status, 200);
    let before = upstream.requests().len();

    let mut frames = Frames::connect(only_h1).await;
    let mut request = ordinary("GET", "build.test", "/");
    request.push((b"authorization", auth.as_bytes()));
    frames.send(&Frame::headers(1, true, &request)).await;
    // A server of HTTP/1.1 answers the preface with 400, which is no frame, or closes.
    let (seen, ending) = frames_raw(only_h1, &auth).await;
    assert!(!seen.starts_with(&[0, 0]), "HTTP/2 was spoken: {seen:?}");
    assert_ne!(ending, Ending::StillOpen);

    let mut client = H1::connect(only_h2).await;
    client.send(h1::request("GET", "build.test", "/", &fields, b"")).await;
    let (seen, ending) = client.drain(QUIET).await;
    assert!(!seen.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&seen));
    assert_ne!(ending, Ending::StillOpen);
    assert_eq!(upstream.requests().len(), before, "nothing reached the app");
}

/// The preface and a request in frames; what came back, byte for byte.
async fn frames_raw(address: std::net::SocketAddr, auth: &str) -> (Vec<u8>, Ending) {
    let mut client = H1::connect(address).await;
    let mut request = ordinary("GET", "build.test", "/");
    request.push((b"authorization", auth.as_bytes()));
    let settings = Frame::new(doorward_tests::frames::SETTINGS, 0, 0, []).encode();
    let headers = Frame::headers(1, true, &request).encode();
    client.try_send([doorward_tests::frames::PREFACE, &settings, &headers].concat()).await;
    client.drain(QUIET).await
}

#[tokio::test]
async fn nothing_of_the_operators_is_on_a_clients_port() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let operator = bearer(gateway.token());
    for path in ["/healthz", "/readyz", "/metrics", "/.well-known/jwks.json", "/api/v1/status"] {
        // At an app's host the path is the app's; nobody else's answer comes.
        let answer = h1::ask(gateway.address(), "GET", "build.test", path, &[("authorization", &auth)]).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{path}");
        let nowhere = gateway.operator().to_string();
        for host in ["unknown.test", &nowhere] {
            let answer = h1::ask(gateway.address(), "GET", host, path, &[("authorization", &operator)]).await;
            assert_eq!((answer.status(), answer.json()["code"].as_str()), (404, Some("no_route")), "{path}");
        }
    }
    assert_eq!(gateway.api("GET", "/healthz", None).await.status, 200);
    assert_eq!(gateway.api("GET", "/readyz", None).await.status, 200);
    // The operator's listener is no way to an app.
    let answer = h1::ask(gateway.operator(), "GET", "build.test", "/", &[("authorization", &auth)]).await;
    assert!(answer.status() >= 400 && answer.text() != "ok", "{answer:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_its_time() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    // A connection of HTTP/2 is idle before its first stream, too, which a slow client has to open in time.
    company.config.set("limits.keepalive_seconds_max", json!(1)).set("limits.h2_idle_seconds_max", json!(7));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut h1 = H1::connect(gateway.address()).await;
    assert_eq!(h1.ask("GET", "build.test", "/", &[("authorization", &auth)]).await.status(), 200);
    let (seen, ending) = h1.drain(QUIET).await;
    assert_eq!((seen.len(), ending), (0, Ending::Closed));

    let mut frames = Frames::connect(gateway.address()).await;
    let mut request = ordinary("GET", "build.test", "/");
    request.push((b"authorization", auth.as_bytes()));
    frames.send(&Frame::headers(1, true, &request)).await;
    assert_eq!(frames.outcome(1, QUIET).await, Outcome::Status(200));
    within("an idle HTTP/2 connection to be closed", async { while frames.next().await.is_some() {} }).await;
}
