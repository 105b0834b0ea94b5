//! Every bound of `[limits]`, seen from a client that goes beyond it.

use std::time::Duration;

use doorward_tests::company::{Company, bearer, connect_from};
use doorward_tests::frames::{Frame, Frames, Outcome, SETTINGS, ordinary};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1::{self, H1, request};
use doorward_tests::h2::{Gone, H2};
use doorward_tests::h2_upstream::{self, H2Upstream};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::tls::{Authority, Hello};
use doorward_tests::wire::{self, Ending, within};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

const QUIET: Duration = Duration::from_secs(15);

async fn start(limits: serde_json::Value) -> (Issuer, Gateway, RawUpstream) {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company.config.set("limits", limits);
    let (issuer, gateway) = company.start().await;
    (issuer, gateway, upstream)
}

#[tokio::test]
async fn a_header_that_is_too_large_is_431() {
    let (issuer, gateway, upstream) = start(json!({})).await;
    let auth = bearer(&issuer.token("bob"));
    let address = gateway.address();
    let many: Vec<String> = (0..101).map(|i| format!("x-{i}")).collect();
    let many: Vec<(&str, &str)> =
        many.iter().map(|n| (n.as_str(), "v")).chain([("authorization", auth.as_str())]).collect();
    let long = "v".repeat(40 * 1024);
    let long = [("authorization", auth.as_str()), ("x-long", long.as_str())];
    let target = format!("/{}", "p".repeat(9 * 1024));
    for (what, target, fields) in
        [("many lines", "/", &many[..]), ("long", "/", &long), ("target", &target, &long[..1])]
    {
        let answer = h1::ask(address, "GET", "build.test", target, fields).await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (431, Some("header_too_large")),
            "{what}"
        );
        // HTTP/2 may refuse the stream before there is anybody to answer.
        let h2 = H2::connect(address).await;
        match h2.ask("GET", "build.test", target, fields, b"").await {
            Ok(answer) => assert_eq!(answer.status, 431, "{what}"),
            Err(Gone::Reset(_) | Gone::GoAway(_)) => {}
            Err(other) => panic!("{what}: {other:?}"),
        }
    }
    // Far beyond every buffer, also by who reads only when all is sent (a proxy that asks would take a reset
    // connection for a gateway that is down).
    for size in [200 * 1024, 2 * 1024 * 1024].into_iter().cycle().take(10) {
        let mut client = H1::connect(address).await;
        let huge = "v".repeat(size);
        client.send(request("GET", "build.test", "/", &[("x-huge", &huge)], b"")).await;
        let answer = client.response("GET").await;
        let told = answer.json()["code"].as_str().map(str::to_owned);
        assert_eq!((answer.status(), told.as_deref()), (431, Some("header_too_large")), "{size}");
        let (more, ending) = client.drain(QUIET).await;
        assert_eq!((more.len(), ending != Ending::StillOpen), (0, true), "{size}");
    }
    assert!(upstream.requests().is_empty());
    // Up to the bound everything is fine.
    let fits: Vec<(&str, &str)> =
        many[..90].iter().copied().chain([("authorization", auth.as_str())]).collect();
    assert_eq!(h1::ask(address, "GET", "build.test", "/", &fits).await.status(), 200);
}

#[tokio::test]
async fn who_says_nothing_or_too_slowly_is_closed() {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (chain, key) = authority.certificate(&["build.test"]).write(folder.path(), "c");
    let mut company = Company::new(upstream.address()).await;
    company.config.set("limits.header_seconds_max", json!(1)).listen_tls(&chain, &key);
    let (_issuer, gateway) = company.start().await;
    for (what, first) in [
        ("silence", ""),
        ("half a line", "GET / HT"),
        ("half a header", "GET / HTTP/1.1\r\nhost: build.test\r\n"),
    ] {
        let mut client = H1::connect(gateway.address()).await;
        client.send(first).await;
        let (seen, ending) = client.drain(QUIET).await;
        assert!(!seen.starts_with(b"HTTP/1.1 2"), "{what}: {}", String::from_utf8_lossy(&seen));
        assert_ne!(ending, Ending::StillOpen, "{what}");
    }
    // A byte now and then is no header in time either.
    let mut drip = H1::connect(gateway.address()).await;
    let dripped = within("a slow header to be cut off", async {
        drip.try_send("GET / HTTP/1.1\r\nhost: build.test\r\nx-slow: ").await;
        loop {
            if !drip.try_send("a").await
                || drip.drain(Duration::from_millis(100)).await.1 != Ending::StillOpen
            {
                return;
            }
        }
    });
    dripped.await;
    // An HTTP/2 preface alone, with its settings, and with a header block that never ends.
    let mut bare = wire::connect(gateway.address()).await;
    bare.write_all(doorward_tests::frames::PREFACE).await.unwrap();
    assert_ne!(wire::drain(&mut bare, QUIET).await.1, Ending::StillOpen, "a bare preface");
    let block = doorward_tests::frames::header_block(&ordinary("GET", "build.test", "/"));
    for header in [None, Some(Frame::new(doorward_tests::frames::HEADERS, 0, 1, block))] {
        let mut frames = Frames::connect(gateway.address()).await;
        if let Some(header) = &header {
            frames.send(header).await;
        }
        let outcome = frames.outcome(1, QUIET).await;
        assert!(matches!(outcome, Outcome::Closed | Outcome::GoAway(_)), "{header:?}: {outcome:?}");
    }
    // TLS: nobody waits for a handshake that does not come, or comes by the byte.
    let mut silent = wire::connect(gateway.listener(1)).await;
    assert_ne!(wire::drain(&mut silent, QUIET).await.1, Ending::StillOpen, "a silent TLS connection");
    let mut drip = wire::connect(gateway.listener(1)).await;
    within("a slow handshake to be broken off", async {
        // The head of a record that is said to be long (RFC 8446 §5.1).
        let _ = drip.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
        while drip.write_all(&[7]).await.is_ok() {
            if wire::drain(&mut drip, Duration::from_millis(100)).await.1 != Ending::StillOpen {
                return;
            }
        }
    })
    .await;
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn who_speaks_in_time_may_rest() {
    // What must come in time comes in time on a machine that stands still for a while, too.
    const HEADER_SECONDS: u64 = 6;
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (chain, key) = authority.certificate(&["build.test"]).write(folder.path(), "c");
    let mut company = Company::new(upstream.address()).await;
    company.config.set("limits.header_seconds_max", json!(HEADER_SECONDS)).listen_tls(&chain, &key);
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let h2 = H2::connect(gateway.address()).await;
    let mut h1 = H1::connect_tls(gateway.listener(1), &authority, "build.test").await;
    for round in 0..3 {
        if round > 0 {
            tokio::time::sleep(Duration::from_secs(HEADER_SECONDS + 1)).await;
        }
        // Neither one that had a stream nor one that shook hands is cut off by that deadline.
        assert_eq!(h2.get("build.test", "/", &fields).await.status, 200);
        assert_eq!(h1.ask("GET", "build.test", "/", &fields).await.status(), 200);
    }
    assert_eq!(upstream.requests().len(), 6);
}

#[tokio::test]
async fn a_handshake_counts_as_a_connection() {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (chain, key) = authority.certificate(&["build.test"]).write(folder.path(), "c");
    let mut company = Company::new(upstream.address()).await;
    company
        .config
        .set("limits.connections_per_address_max", json!(3))
        .set("limits.header_seconds_max", json!(6))
        .listen_tls(&chain, &key);
    let (_issuer, gateway) = company.start().await;
    let address = gateway.listener(1);
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(wire::connect(address).await);
    }
    within("the fourth to be refused", async {
        while authority.try_connect(address, &Hello::new("build.test", &["h2"])).await.is_ok() {}
    })
    .await;
    gateway.wait_log("too many are open").await;
    // When they are broken off there is room again, and the count is right.
    within("room", async {
        while authority.try_connect(address, &Hello::new("build.test", &["h2"])).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    drop(silent);
    within("the count to come back to none", async {
        while gateway.metrics().await["doorward_connections_open"] != 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let (issuer, gateway, upstream) = start(json!({"body_idle_seconds_max": 1})).await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str()), ("content-length", "10")];
    let mut client = H1::connect(gateway.address()).await;
    client.send(request("POST", "build.test", "/", &fields, b"")).await;
    client.send("01234").await;
    let answer = client.response("POST").await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (408, Some("request_timeout")));
    assert_ne!(client.drain(QUIET).await.1, Ending::StillOpen);

    let h2 = H2::connect(gateway.address()).await;
    let mut stream =
        h2.open(h2.request("POST", "build.test", "/", &[("authorization", &auth)]), false).await.unwrap();
    // On a slow machine it is given up before it begins.
    let _ = stream.send_data(b"01234", false).await;
    match stream.head().await {
        Ok((status, _)) => assert_eq!(status, 408),
        Err(gone) => assert!(matches!(gone, Gone::Reset(_)), "{gone:?}"),
    }
    assert!(upstream.requests().iter().all(|r| !r.whole), "no half body looks whole to the app");
}

#[tokio::test]
async fn an_app_that_never_answers_is_given_up_whatever_the_deadline_of_a_header() {
    let mute = H2Upstream::start(|_| h2_upstream::Answer::default().mute()).await;
    let mut company = Company::new(mute.address()).await;
    let upstream = json!({"upstream": {"response_seconds_max": 1, "protocol": "h2"}});
    company.engineering("mute", mute.address(), upstream);
    company.config.set("limits.header_seconds_max", json!(60));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut client = H1::connect(gateway.address()).await;
    client.send(request("POST", "mute.test", "/", &[("authorization", &auth)], b"upload")).await;
    let (seen, ending) = client.drain(QUIET).await;
    assert!(!seen.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&seen));
    assert_ne!(ending, Ending::StillOpen);
}

#[tokio::test]
async fn connections_are_capped_by_address_and_in_all() {
    let (issuer, gateway, _upstream) =
        start(json!({"connections_per_address_max": 3, "connections_max": 5})).await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = H1::connect(gateway.address()).await;
        assert_eq!(client.ask("GET", "build.test", "/", &fields).await.status(), 200);
        held.push(client);
    }
    let mut fourth = H1::connect(gateway.address()).await;
    fourth.try_send(request("GET", "build.test", "/", &fields, b"")).await;
    assert_eq!(fourth.try_response("GET").await, None, "the fourth of one address is closed");
    // Another address has its own share, up to the whole.
    let other = [127, 0, 0, 2].into();
    for _ in 0..2 {
        let mut client = H1::over(Box::new(connect_from(other, gateway.address()).await));
        assert_eq!(client.ask("GET", "build.test", "/", &fields).await.status(), 200);
        held.push(client);
    }
    let mut sixth = H1::over(Box::new(connect_from(other, gateway.address()).await));
    sixth.try_send(request("GET", "build.test", "/", &fields, b"")).await;
    assert_eq!(sixth.try_response("GET").await, None, "the sixth in all is closed");
    gateway.wait_log("too many are open").await;
    // Who leaves makes room.
    drop(held);
    within("room for a connection", async {
        loop {
            let mut client = H1::connect(gateway.address()).await;
            client.try_send(request("GET", "build.test", "/", &fields, b"")).await;
            if client.try_response("GET").await.is_some_and(|r| r.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_larger_than_its_app_allows_is_413() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company.engineering("small", upstream.address(), json!({"request_body_bytes_max": 1000}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let post = |fields: &[(&str, &str)], body: &[u8]| request("POST", "small.test", "/", fields, body);
    let mut fits = H1::connect(gateway.address()).await;
    fits.send(post(&fields, &[b'x'; 1000])).await;
    assert_eq!(fits.response("POST").await.status(), 200);
    // A length that says too much is refused before a byte is read.
    let mut told = H1::connect(gateway.address()).await;
    told.send(post(&[fields[0], ("content-length", "1001")], b"")).await;
    let answer = told.response("POST").await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (413, Some("body_too_large")));
    // Chunks, and a body of HTTP/2 without a length, as soon as it is too much.
    let mut chunked = H1::connect(gateway.address()).await;
    chunked.send(post(&[fields[0], ("transfer-encoding", "chunked")], b"")).await;
    for _ in 0..4 {
        chunked.try_send(format!("190\r\n{}\r\n", "x".repeat(400))).await;
    }
    let answer = chunked.response("POST").await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (413, Some("body_too_large")));
    let h2 = H2::connect(gateway.address()).await;
    let answer = h2.ask("POST", "small.test", "/", &fields, &[b'x'; 4000]).await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")));
    assert_eq!(h2.ask("POST", "small.test", "/", &fields, &[b'x'; 1000]).await.unwrap().status, 200);
    let whole: Vec<usize> = upstream.requests().iter().filter(|r| r.whole).map(|r| r.body.len()).collect();
    assert_eq!(whole, [1000, 1000], "the app never saw a whole body that is too large");
}

#[tokio::test]
async fn streams_of_one_connection_are_capped() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company.config.set("limits.h2_streams_max", json!(7));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut frames = Frames::connect(gateway.address()).await;
    let settings = loop {
        let frame = frames.next().await.unwrap();
        if frame.kind == SETTINGS && frame.flags == 0 {
            break frame.payload;
        }
    };
    // RFC 9113 §6.5.2: SETTINGS_MAX_CONCURRENT_STREAMS is 3.
    let said = settings.chunks(6).find(|s| s[..2] == [0, 3]).map(|s| s[2..].to_vec());
    assert_eq!(said, Some(vec![0, 0, 0, 7]));
    // Streams that stay open, more than are allowed: the last one is refused.
    let mut request = ordinary("POST", "build.test", "/");
    request.push((b"authorization", auth.as_bytes()));
    for i in 0..8_u32 {
        frames.send(&Frame::headers(2 * i + 1, false, &request)).await;
    }
    let outcome = frames.outcome(15, QUIET).await;
    assert!(matches!(outcome, Outcome::Reset(7 | 1) | Outcome::GoAway(_)), "{outcome:?}");
}
