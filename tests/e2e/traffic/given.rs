//! What was decided is what is given: of a WebSocket, of a late answer, of a long one, and to a
//! client behind a proxy.

use std::time::Duration;

use doorward_tests::company::{Company, bearer};
use doorward_tests::frames::{Frame, Frames, Outcome, ordinary};
use doorward_tests::h1::{self, H1};
use doorward_tests::h2::H2;
use doorward_tests::h2_upstream::{self, H2Upstream};
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::wire::{Ending, until, within};
use serde_json::{Value, json};

const WEBSOCKET: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test]
async fn an_app_that_ignores_an_upgrade_gives_nothing_away() {
    // The policies were asked whether a WebSocket may be opened, not whether a page may be fetched.
    let app = RawUpstream::start(|head| match head.target().as_str() {
        "/wrong" => Answer::upgrade_and_echo("connection: upgrade\r\nupgrade: websocket\r\n"),
        "/moved" => Answer::bytes("HTTP/1.1 302 Found\r\nlocation: /secret\r\ncontent-length: 0\r\n\r\n"),
        "/no" => Answer::bytes("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"),
        _ => Answer::ok("a page that nobody decided about"),
    })
    .await;
    let h2_app = H2Upstream::start(|_| h2_upstream::Answer::ok("a page")).await;
    let mut company = Company::new(app.address()).await;
    company.engineering("h2", h2_app.address(), json!({"upstream": {"protocol": "h2"}}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let upgrade = [&[("authorization", auth.as_str())][..], &WEBSOCKET].concat();
    for (path, status) in [("/secret", 502), ("/moved", 502), ("/no", 404)] {
        let answer = h1::ask(gateway.address(), "GET", "build.test", path, &upgrade).await;
        assert_eq!(answer.status(), status, "{path}: {}", answer.text());
        assert!(!answer.text().contains("nobody decided"), "{}", answer.text());
        assert_eq!(answer.head.value("location"), None);
    }
    let answer = h1::ask(gateway.address(), "GET", "h2.test", "/secret", &upgrade).await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (400, Some("bad_request")));
    assert!(h2_app.requests().is_empty());
    // Nor does a plain request become a tunnel.
    let plain = [("authorization", auth.as_str())];
    let answer = h1::ask(gateway.address(), "GET", "build.test", "/wrong", &plain).await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_unavailable")));
    let answer = h1::ask(gateway.address(), "GET", "build.test", "/page", &plain).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_bound_on_bodies_is_none_on_a_websocket() {
    let app = RawUpstream::start(|_| {
        Answer::upgrade_and_echo("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n")
    })
    .await;
    let mut company = Company::new(app.address()).await;
    company.engineering("bounded", app.address(), json!({"request_body_bytes_max": 1000}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut client = H1::connect(gateway.address()).await;
    let fields = [&[("authorization", auth.as_str())][..], &WEBSOCKET].concat();
    client.send(h1::request("GET", "bounded.test", "/", &fields, b"")).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status(), Some(101), "{head:?}");
    let (mut wire, rest) = client.into_wire();
    assert!(rest.is_empty());
    // A binary frame of 5000 zeros with a mask of zeros.
    let frame = [&[0x82, 0xfe, 0x13, 0x88, 0, 0, 0, 0][..], &[0; 5000]].concat();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    wire.write_all(&frame).await.unwrap();
    let mut echo = vec![1; frame.len()];
    within("the echo", wire.read_exact(&mut echo)).await.unwrap();
    assert_eq!(echo, frame);
    let answer = h1::ask(gateway.address(), "GET", "bounded.test", "/", &[("authorization", &auth)]).await;
    assert_eq!(answer.status(), 502, "and a plain request does not become one");
}

#[tokio::test]
async fn a_bound_on_bodies_is_none_on_grpc_to_an_app_that_can_speak_it() {
    let h1_app = RawUpstream::ok().await;
    let h2_app = H2Upstream::start(|_| {
        let answer = h2_upstream::Answer::status(200).header("content-type", "application/grpc");
        answer.await_body().trailers(&[("grpc-status", "0")])
    })
    .await;
    let mut company = Company::new(h1_app.address()).await;
    company.engineering("old", h1_app.address(), json!({"request_body_bytes_max": 1000})).engineering(
        "new",
        h2_app.address(),
        json!({"request_body_bytes_max": 1000, "upstream": {"protocol": "h2"}}),
    );
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let grpc = [("authorization", auth.as_str()), ("content-type", "application/grpc")];
    let client = H2::connect(gateway.address()).await;
    let ask = async |host: &str, fields: &[(&str, &str)]| {
        let mut stream = client.open(client.request("POST", host, "/x", fields), false).await.unwrap();
        let _ = stream.send_data(&[0; 2000], true).await;
        stream.reply().await.unwrap()
    };
    let answer = ask("new.test", &grpc).await;
    assert_eq!((answer.status, answer.trailer("grpc-status").as_deref()), (200, Some("0")));
    assert_eq!(ask("new.test", &grpc[..1]).await.status, 413, "what is not gRPC has the bound");
    assert_eq!(ask("old.test", &grpc[..1]).await.status, 413);
    let answer = ask("old.test", &grpc).await;
    assert_eq!(
        answer.header("grpc-status").as_deref(),
        Some("8"),
        "gRPC is a word that any client may write"
    );
    // It was the gateway that would not go on, and not the client that went.
    let id = answer.header("x-doorward-request-id").unwrap();
    let event =
        until("the event", || gateway.events().into_iter().find(|e| e["metadata"]["correlation_uid"] == *id))
            .await;
    assert_eq!(event["unmapped"]["doorward"]["ending"]["how"], "refused", "{event}");
    assert_eq!(event["unmapped"]["doorward"]["decision"]["reason_code"], "body_too_large", "{event}");
}

#[tokio::test]
async fn the_bound_on_an_answer_is_one_on_its_begin() {
    // Each pause is longer than the bound that is none on it, and seconds away from the one that is: what stands
    // still on a busy machine is none of them. So all of it happens side by side.
    let (begin_seconds_max, page_pause, idle_seconds_max, events_pause) = (5, 6, 11, 14);
    let app = RawUpstream::start(move |head| {
        let chunked = |kind: &str| {
            Answer::bytes(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
            ))
        };
        let rest = "4\r\nlast\r\n0\r\n\r\n";
        match head.target().as_str() {
            "/late" => Answer::default().then(Step::Hang),
            "/page" => chunked("text/plain").wait(Duration::from_secs(page_pause)).send(rest),
            "/events" => chunked("text/event-stream").wait(Duration::from_secs(events_pause)).send(rest),
            _ => chunked("text/plain").then(Step::Hang),
        }
    })
    .await;
    let mut company = Company::new(app.address()).await;
    company.config.set("limits.body_idle_seconds_max", json!(idle_seconds_max));
    company
        .engineering("app", app.address(), json!({"upstream": {"response_seconds_max": begin_seconds_max}}))
        .engineering("late", app.address(), json!({"upstream": {"response_seconds_max": 1}}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let both = [("authorization", auth.as_str()), ("accept", "application/json, text/event-stream")];
    let h2 = H2::connect(gateway.address()).await;
    // A late begin is a 504, whatever was asked for, by either protocol.
    let late = async {
        for (method, fields) in [("GET", &fields[..]), ("GET", &both), ("POST", &both)] {
            let answer = h1::ask(gateway.address(), method, "late.test", "/late", fields).await;
            assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
            let answer = h2.ask(method, "late.test", "/late", fields, b"").await.unwrap();
            assert_eq!((answer.status, answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
        }
        let upgrade = [&fields[..], &WEBSOCKET].concat();
        let answer = h1::ask(gateway.address(), "GET", "late.test", "/late", &upgrade).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
    };
    // A pause is none; events may pause for longer, whether or not they were asked for by name.
    let pauses = async |path: &str, fields: &[(&str, &str)]| {
        let (by_h1, by_h2) = tokio::join!(
            h1::ask(gateway.address(), "GET", "app.test", path, fields),
            h2.ask("GET", "app.test", path, fields, b""),
        );
        assert_eq!((by_h1.status(), by_h1.text().as_str(), by_h1.whole), (200, "firstlast", true), "{path}");
        let by_h2 = by_h2.unwrap();
        assert_eq!((by_h2.status, by_h2.text().as_str()), (200, "firstlast"), "{path}");
        assert!(by_h2.gone.is_none(), "{path}: {by_h2:?}");
    };
    // What stands still for ever is given up, although events would have been welcome.
    let stalls = async {
        let mut client = H1::connect(gateway.address()).await;
        client.send(h1::request("GET", "app.test", "/stalls", &both, b"")).await;
        let answer = client.response("GET").await;
        assert_eq!((answer.status(), answer.whole), (200, false));
    };
    // An upload has the bound of an upload, whatever its client wants to read.
    let upload = async {
        let mut client = H1::connect(gateway.address()).await;
        let fields = [both[0], both[1], ("content-length", "80")];
        client.send(h1::request("POST", "app.test", "/page", &fields, b"")).await;
        let (_, ending) = client.drain(Duration::from_secs(60)).await;
        assert_ne!(ending, Ending::StillOpen);
    };
    tokio::join!(
        late,
        pauses("/page", &fields),
        pauses("/events", &fields),
        pauses("/events", &both),
        stalls,
        upload
    );
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_known_by_its_own_address_and_scheme() {
    let app = RawUpstream::ok().await;
    let mut company = Company::new(app.address()).await;
    company.config.trust_local_proxy();
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let from = ("x-forwarded-for", "203.0.113.9");
    for (fields, status) in
        [(vec![from], 401), (vec![from, ("authorization", "Bearer nonsense")], 401), (vec![from], 404)]
    {
        let host = if status == 404 { "nobody.test" } else { "build.test" };
        let answer = h1::ask(gateway.address(), "GET", host, "/", &fields).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        let id = answer.head.value("x-doorward-request-id").unwrap();
        let event = until("the event", || {
            gateway.events().into_iter().find(|e| e["metadata"]["correlation_uid"] == *id)
        })
        .await;
        assert_eq!(event["src_endpoint"]["ip"], "203.0.113.9", "{event}");
    }
    for (said, told) in [
        (vec![], "http"),
        (vec!["https"], "https"),
        (vec!["HTTPS"], "https"),
        (vec!["http"], "http"),
        (vec!["https,http"], "http"),
        (vec!["https", "https"], "http"),
        (vec!["wss"], "http"),
    ] {
        let mut fields = vec![("authorization", auth.as_str()), from];
        fields.extend(said.iter().map(|scheme| ("x-forwarded-proto", *scheme)));
        let answer = h1::ask(gateway.address(), "GET", "build.test:8443", "/", &fields).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let seen = app.requests().pop().unwrap().head;
        assert_eq!(seen.values("x-forwarded-proto"), [told], "{said:?}");
        assert_eq!(seen.values("x-forwarded-host"), ["build.test:8443"]);
        assert_eq!(seen.values("x-forwarded-for"), ["203.0.113.9"]);
    }
}

#[tokio::test]
async fn cookies_and_scheme_of_http2_arrive_as_an_app_reads_them() {
    let h1_app = RawUpstream::ok().await;
    let h2_app = H2Upstream::start(|_| h2_upstream::Answer::ok("ok")).await;
    let mut company = Company::new(h1_app.address()).await;
    company.engineering("h2", h2_app.address(), json!({"upstream": {"protocol": "h2"}}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let crumbs = [
        ("authorization", auth.as_str()),
        ("cookie", "a=1"),
        ("cookie", "__Host-doorward-session=secret"),
        ("cookie", "b=2"),
    ];
    let client = H2::connect(gateway.address()).await;
    for host in ["build.test", "h2.test"] {
        assert_eq!(client.get(host, "/", &crumbs).await.status, 200);
    }
    assert_eq!(h1_app.requests().pop().unwrap().head.values("cookie"), ["a=1; b=2"]);
    let seen = h2_app.requests().pop().unwrap();
    let cookies: Vec<_> = seen.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
    for (scheme, status) in [("https", 200), ("http", 200), ("ftp", 400), ("javascript", 400)] {
        let mut fields = ordinary("GET", "h2.test", "/");
        fields[1].1 = scheme.as_bytes();
        fields.push((b"authorization", auth.as_bytes()));
        let before = h2_app.requests().len();
        let mut frames = Frames::connect(gateway.address()).await;
        frames.send(&Frame::headers(1, true, &fields)).await;
        let outcome = frames.outcome(1, Duration::from_secs(10)).await;
        assert_eq!(outcome, Outcome::Status(status), "{scheme}");
        let seen = h2_app.requests().split_off(before);
        assert_eq!(seen.len(), usize::from(status == 200), "{scheme}");
        assert!(seen.iter().all(|r| r.uri.scheme_str() == Some("http")), "{scheme}: {seen:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_no_success_whatever_the_client_calls_its_body() {
    let app = RawUpstream::ok().await;
    let (_issuer, gateway) = Company::new(app.address()).await.start().await;
    let fields = [("content-type", "application/grpc")];
    for method in ["GET", "POST"] {
        let answer = h1::ask(gateway.address(), method, "build.test", "/", &fields).await;
        assert_eq!(answer.status(), 401, "{method}");
        assert_eq!(answer.head.value("x-doorward-refusal").as_deref(), Some("unauthenticated"));
    }
    let client = H2::connect(gateway.address()).await;
    let answer = client.ask("GET", "build.test", "/", &fields, b"").await.unwrap();
    assert_eq!(answer.status, 401);
    let answer = client.ask("POST", "build.test", "/", &fields, b"").await.unwrap();
    assert_eq!((answer.status, answer.header("grpc-status").as_deref()), (200, Some("16")));
    assert_eq!(answer.header("x-doorward-refusal").as_deref(), Some("unauthenticated"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    assert!(answer.header("x-doorward-request-id").is_some());
}

#[tokio::test]
async fn a_long_download_is_in_the_log_and_in_the_numbers_before_it_ends() {
    const BYTES: usize = 20 * 1024 * 1024;
    let app = RawUpstream::start(|_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BYTES + 1);
        Answer::bytes(head).send(vec![b'x'; BYTES]).then(Step::Hang)
    })
    .await;
    let (issuer, gateway) = Company::new(app.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut client = H1::connect(gateway.address()).await;
    client.send(h1::request("GET", "build.test", "/big", &[("authorization", &auth)], b"")).await;
    let reading = tokio::spawn(async move { client.response("GET").await });
    let is = |e: &Value, code: &str| e["metadata"]["event_code"] == code;
    until("the decision", || gateway.events().into_iter().find(|e| is(e, "access.request.allowed"))).await;
    let counted = r#"doorward_authz_decisions_total{route="build/all",decision="allow",reason="permitted"}"#;
    let numbers = gateway.metrics().await;
    assert_eq!(numbers.get(counted), Some(&1.0), "{numbers:?}");
    assert!(!reading.is_finished());
    assert!(!gateway.events().iter().any(|e| is(e, "access.exchange.ended")));
    app.stop();
    assert!(!reading.await.unwrap().whole);
    let ended =
        until("the end", || gateway.events().into_iter().find(|e| is(e, "access.exchange.ended"))).await;
    assert_eq!(ended["http_request"]["url"]["path"], "/big");
    assert_eq!(gateway.metrics().await.get(counted), Some(&1.0), "counted once");
}
