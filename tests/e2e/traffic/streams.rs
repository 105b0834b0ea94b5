//! What streams: WebSocket, server-sent events and gRPC of every kind, plain and by TLS.

use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::frames::{END_STREAM, Frame, Frames, HEADERS, ordinary};
use doorward_tests::gateway::Gateway;
use doorward_tests::grpc::{self, Call};
use doorward_tests::h1::{H1, Piece, request};
use doorward_tests::h2::H2;
use doorward_tests::h2_upstream::{self, H2Upstream};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::tls::Authority;
use doorward_tests::ws::{Next, Ws};
use serde_json::json;

struct Streams {
    issuer: Issuer,
    gateway: Gateway,
    authority: Authority,
    _folder: tempfile::TempDir,
}

/// The demo's builds behind a plain listener (0) and one with TLS (1).
async fn start() -> Streams {
    let app = sample(SampleApp::Build, Pace { tick: Duration::from_millis(5), ..Pace::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (chain, key) = authority.certificate(&["build.test"]).write(folder.path(), "c");
    let mut company = Company::new(app).await;
    company.config.listen_tls(&chain, &key).app(
        "build-grpc",
        "build.test",
        app,
        json!({
            "groups": ["engineering"], "path_prefix": "/doorward.demo.Build",
            "upstream": {"protocol": "h2"},
        }),
    );
    let (issuer, gateway) = company.start().await;
    Streams { issuer, gateway, authority, _folder: folder }
}

#[tokio::test]
async fn a_websocket_echoes_plain_and_by_tls() {
    let s = start().await;
    let auth = bearer(&s.issuer.token("bob"));
    let (plain, tls) = (s.gateway.listener(0), s.gateway.listener(1));
    let own_origin = [("authorization", auth.as_str()), ("origin", "https://build.test")];
    let path = "/logs?every_millis=0";
    let sockets = [
        Ws::open(plain, "build.test", path, &[("authorization", &auth)]).await.unwrap(),
        Ws::open_tls(tls, &s.authority, "build.test", path, &own_origin).await.unwrap(),
    ];
    for mut ws in sockets {
        assert_eq!(ws.next().await, Next::Text("build log for demo:bob".into()));
        // Frames of every length form of RFC 6455 §5.2.
        for len in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
            let text = "x".repeat(len);
            assert!(ws.send(&text).await);
            assert_eq!(ws.next().await, Next::Text(format!("echo: {text}")), "{len}");
        }
        ws.close().await;
        assert!(matches!(ws.ending().await, Next::Closed(1005, _) | Next::Ended));
    }
    // Without a sign-in there is no 101.
    let Err(refused) = Ws::open(plain, "build.test", path, &[]).await else { panic!("granted") };
    assert_eq!(refused.status, 401);
    let foreign = [("authorization", auth.as_str()), ("origin", "https://evil.test")];
    let Err(refused) = Ws::open(plain, "build.test", path, &foreign).await else { panic!("granted") };
    assert_eq!(refused.status, 403);
    // An app that answers with a page gives it to nobody: the page was not asked for.
    let Err(refused) = Ws::open(plain, "build.test", "/whoami", &[("authorization", &auth)]).await else {
        panic!("granted")
    };
    assert_eq!(refused.status, 502);
}

#[tokio::test]
async fn no_websocket_is_lost_after_its_101() {
    // The 101 and the end of the empty request body may be seen in either order: see
    // docs/decisions/0002-no-work-stealing.md.
    let s = start().await;
    let auth = bearer(&s.issuer.token("bob"));
    for i in 0..300 {
        let path = "/logs?every_millis=0";
        let opened = Ws::open(s.gateway.address(), "build.test", path, &[("authorization", &auth)]).await;
        let mut ws = opened.unwrap_or_else(|refused| panic!("WebSocket {i}: {refused:?}"));
        assert!(ws.send("hello").await, "WebSocket {i}");
        assert_eq!(ws.until("hello").await, "echo: hello", "WebSocket {i} was lost");
    }
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one() {
    let s = start().await;
    let auth = bearer(&s.issuer.token("bob"));
    let fields = [("authorization", auth.as_str()), ("accept", "text/event-stream")];
    let mut h1 = H1::connect(s.gateway.address()).await;
    h1.send(request("GET", "build.test", "/clock", &fields, b"")).await;
    let mut events = h1.streaming("GET").await;
    assert_eq!(events.head.status(), Some(200));
    let mut seen = String::new();
    for tick in 1..=20 {
        while !seen.contains(&format!("data: {tick}\n")) {
            match events.next().await {
                Piece::Bytes(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
                end => panic!("{end:?} after {seen}"),
            }
        }
    }
    let h2 = H2::connect_tls(s.gateway.listener(1), &s.authority, "build.test").await;
    let mut stream = h2.open(h2.request("GET", "build.test", "/clock", &fields), true).await.unwrap();
    let (status, head) = stream.head().await.unwrap();
    assert_eq!((status, head["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    let mut seen = String::new();
    while !seen.contains("data: 20\n") {
        seen.push_str(&String::from_utf8_lossy(&stream.data().await.unwrap().unwrap()));
    }
}

#[tokio::test]
async fn grpc_calls_of_every_kind_with_their_trailers() {
    let s = start().await;
    let auth = bearer(&s.issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let plain = H2::connect(s.gateway.listener(0)).await;
    let tls = H2::connect_tls(s.gateway.listener(1), &s.authority, "build.test").await;
    for h2 in [plain, tls] {
        let one = grpc::call(&h2, "build.test", "/doorward.demo.Build/Status", &fields, "fix").await.unwrap();
        assert_eq!((one.http_status, one.status), (200, Some(0)));
        assert_eq!(one.texts, ["fix is green, demo:bob"]);
        let many = grpc::call(&h2, "build.test", "/doorward.demo.Build/Watch", &fields, "25").await.unwrap();
        assert_eq!((many.texts.len(), many.status), (25, Some(0)));
        let mut both =
            Call::open(&h2, "build.test", "/doorward.demo.Build/Echo", &fields, "0", false).await.unwrap();
        for i in 0..20 {
            assert_eq!(both.next().await, grpc::Next::Text(i.to_string()), "an echo before the next is sent");
            both.send(&(i + 1).to_string(), i == 19).await.unwrap();
        }
        assert_eq!(both.next().await, grpc::Next::Text("20".into()));
        assert_eq!(both.next().await, grpc::Next::Status(Some(0)));
        // Ours and theirs look alike: status in the head, no body.
        let refused = grpc::call(&h2, "build.test", "/doorward.demo.Build/Status", &[], "fix").await.unwrap();
        assert_eq!((refused.http_status, refused.status, refused.texts.len()), (200, Some(16), 0));
    }
}

#[tokio::test]
async fn a_refusal_of_a_call_is_a_head_that_ends_the_stream() {
    let s = start().await;
    let mut frames = Frames::connect(s.gateway.address()).await;
    let mut request = ordinary("POST", "build.test", "/doorward.demo.Build/Status");
    request.extend([(&b"content-type"[..], &b"application/grpc"[..]), (b"te", b"trailers")]);
    frames.send(&Frame::headers(1, false, &request)).await;
    loop {
        let frame = frames.next().await.unwrap();
        if frame.kind == HEADERS && frame.stream == 1 {
            // gRPC over HTTP/2: "Trailers-Only". A client takes a status for one only here.
            assert_eq!(frame.flags & END_STREAM, END_STREAM, "{frame:?}");
            return;
        }
    }
}

#[tokio::test]
async fn trailers_and_errors_of_a_grpc_app_arrive_as_sent() {
    let upstream = H2Upstream::start(|request| match request.uri().path() {
        "/x.X/Fails" => h2_upstream::Answer::status(200)
            .header("content-type", "application/grpc")
            .data(doorward_demo::apps::grpc::frame("half"))
            .trailers(&[("grpc-status", "9"), ("grpc-message", "not now"), ("x-detail-bin", "AAEC")]),
        "/x.X/HeadOnly" => h2_upstream::Answer::status(200)
            .header("content-type", "application/grpc")
            .header("grpc-status", "5")
            .header("grpc-message", "no such thing"),
        "/x.X/Cut" => h2_upstream::Answer::status(200)
            .header("content-type", "application/grpc")
            .data(doorward_demo::apps::grpc::frame("half"))
            .reset(h2::Reason::INTERNAL_ERROR),
        _ => h2_upstream::Answer::status(200)
            .header("content-type", "application/grpc")
            .await_body()
            .trailers(&[("grpc-status", "0")]),
    })
    .await;
    let app = RawUpstream::ok().await;
    let mut company = Company::new(app.address()).await;
    company.engineering("grpc", upstream.address(), json!({"upstream": {"protocol": "h2"}}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str()), ("content-type", "application/grpc"), ("te", "trailers")];
    let h2 = H2::connect(gateway.address()).await;
    let answer = h2.ask("POST", "grpc.test", "/x.X/Fails", &fields, b"\0\0\0\0\0").await.unwrap();
    assert_eq!(answer.trailer("grpc-status").as_deref(), Some("9"));
    assert_eq!(answer.trailer("grpc-message").as_deref(), Some("not now"));
    assert_eq!(answer.trailer("x-detail-bin").as_deref(), Some("AAEC"));
    assert_eq!(answer.body, doorward_demo::apps::grpc::frame("half"));
    let answer = h2.ask("POST", "grpc.test", "/x.X/HeadOnly", &fields, b"\0\0\0\0\0").await.unwrap();
    assert_eq!(answer.header("grpc-status").as_deref(), Some("5"));
    let cut = h2.ask("POST", "grpc.test", "/x.X/Cut", &fields, b"\0\0\0\0\0").await.unwrap();
    assert!(cut.gone.is_some() && cut.trailers.is_none(), "what breaks off must not look whole: {cut:?}");
    // A client's end reaches the app, also one that is told by trailers of its own. No call of gRPC
    // has such, and the gateway passes none on.
    for trailers in [false, true] {
        let mut stream = h2.open(h2.request("POST", "grpc.test", "/x.X/Up", &fields), false).await.unwrap();
        stream.send_data(b"\0\0\0\0\0", false).await.unwrap();
        if trailers {
            stream.send_trailers(&[("x-of-the-client", "1"), ("x-doorward-user", "demo:dana")]).unwrap();
        } else {
            stream.send_data(b"", true).await.unwrap();
        }
        let reply = stream.reply().await.unwrap();
        assert_eq!(reply.trailer("grpc-status").as_deref(), Some("0"), "trailers {trailers}");
        let last = upstream.requests().pop().unwrap();
        assert_eq!((last.end, last.body.as_slice()), (h2_upstream::RequestEnd::Whole, &b"\0\0\0\0\0"[..]));
        assert_eq!((last.headers["te"].to_str().unwrap(), last.trailers), ("trailers", None));
        assert!(!last.headers.contains_key("authorization"));
    }
}
