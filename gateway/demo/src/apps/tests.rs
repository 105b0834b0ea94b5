use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

use super::*;
use crate::client::{Answer, fetch};
use crate::loopback::Loopback;
use crate::watch::{Ending, watch};

const PACE: Pace = Pace { tick: Duration::from_millis(5), piece_bytes: 1000 };

async fn served(app: SampleApp) -> std::net::SocketAddr {
    let loopback = Loopback::port(0).await.unwrap();
    let address = loopback.address();
    tokio::spawn(loopback.serve(app.router(PACE)));
    address
}

async fn get_path(app: SampleApp, path: &str) -> Answer {
    fetch("GET", &format!("http://{}{path}", served(app).await)).await.unwrap()
}

#[tokio::test]
async fn every_page_says_which_app_it_is() {
    use SampleApp::{Build, Payroll, Wiki};
    for (app, path, status, says) in [
        (Wiki, "/", 200, "This is the app wiki. The gateway says that you are nobody."),
        (Wiki, "/welcome", 200, "public"),
        (Wiki, "/admin", 200, "Wiki administration"),
        (Wiki, "/nothing", 404, "wiki: there is no `/nothing` here"),
        (Payroll, "/", 200, r#""app":"payroll""#),
        (Payroll, "/runs", 200, r#""month":"2026-01""#),
        (Payroll, "/admin", 200, r#""app":"payroll""#),
        (Build, "/", 200, r#""app":"build""#),
        (Build, "/logs", 426, "WebSocket"),
        (Build, "/clock?every_millis=x", 400, ""),
        (Build, "/doorward.demo.Build/Nothing", 404, "build:"),
    ] {
        let answer = get_path(app, path).await;
        assert_eq!(answer.status, status, "{app:?} {path}");
        assert!(answer.text().contains(says), "{app:?} {path}: {}", answer.text());
    }
    let edited = fetch("POST", &format!("http://{}/", served(Wiki).await)).await.unwrap();
    assert_eq!((edited.status, edited.text().as_str()), (200, "Saved.\n"));
    for app in SampleApp::ALL {
        assert_eq!(get_path(app, "/healthz").await.text(), "ok\n");
        let who: Value = serde_json::from_slice(&get_path(app, "/whoami?x=1").await.body).unwrap();
        assert_eq!((who["app"].as_str(), who["path"].as_str()), (Some(app.id()), Some("/whoami?x=1")));
    }
}

#[test]
fn an_app_sees_what_the_gateway_says_but_shows_no_assertion() {
    let mut headers = HeaderMap::new();
    headers.append("x-doorward-user", "demo:alice".parse().unwrap());
    headers.append("x-doorward-user", "demo:mallory".parse().unwrap());
    headers.insert("x-doorward-assertion", "eyJhbGciOi".parse().unwrap());
    headers.insert("x-other", "x".parse().unwrap());
    let seen = Value::from(identity(&headers));
    assert_eq!(
        seen,
        json!({"x-doorward-user": ["demo:alice", "demo:mallory"], "x-doorward-assertion": ["(10 bytes)"]})
    );
}

/// An HTTP/2 connection by prior knowledge.
async fn h2<B>(address: std::net::SocketAddr) -> hyper::client::conn::http2::SendRequest<B>
where
    B: hyper::body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn post(address: std::net::SocketAddr, path: &str) -> http::request::Builder {
    http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-doorward-user", "demo:bob")
}

/// A whole gRPC answer: the texts, and the status in the trailers.
async fn call(path: &str, body: Bytes) -> (Vec<String>, String) {
    let address = served(SampleApp::Build).await;
    let mut sender = h2(address).await;
    let request = post(address, path).body(Full::new(body)).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let whole = response.into_body().collect().await.unwrap();
    let status = whole.trailers().unwrap()["grpc-status"].to_str().unwrap().to_owned();
    let mut unframer = grpc::Unframer::default();
    unframer.push(&whole.to_bytes());
    let texts = std::iter::from_fn(|| unframer.text().unwrap()).collect();
    (texts, status)
}

#[tokio::test]
async fn grpc_answers_with_messages_and_trailers() {
    let text = |t: &str| grpc::frame(t);
    let both = Bytes::from([text("one"), text("two")].concat());
    for (path, body, texts, status) in [
        ("Status", text(""), vec!["main is green, demo:bob"], "0"),
        ("Status", text("fix"), vec!["fix is green, demo:bob"], "0"),
        ("Status", Bytes::new(), vec![], "3"),
        ("Status", Bytes::from_static(&[1, 0, 0, 0, 0]), vec![], "3"),
        ("Watch?every_millis=1", text("3"), vec!["tick 1", "tick 2", "tick 3"], "0"),
        ("Watch", text("0"), vec![], "0"),
        ("Echo", both, vec!["one", "two"], "0"),
        ("Echo", Bytes::from_static(&[0, 0]), vec![], "3"),
    ] {
        let (found, found_status) = call(&format!("/doorward.demo.Build/{path}"), body).await;
        assert_eq!(
            (found, found_status.as_str()),
            (texts.iter().map(ToString::to_string).collect(), status),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_echo_answers_before_the_call_ends() {
    let address = served(SampleApp::Build).await;
    let mut sender = h2(address).await;
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<Result<Frame<Bytes>, std::io::Error>>();
    let texts = futures_util::stream::unfold(receive, |mut r| async { r.recv().await.map(|f| (f, r)) });
    let request = post(address, "/doorward.demo.Build/Echo").body(StreamBody::new(Box::pin(texts))).unwrap();
    let mut response = sender.send_request(request).await.unwrap().into_body();
    for text in ["one", "two"] {
        send.send(Ok(Frame::data(grpc::frame(text)))).unwrap();
        let frame = response.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, grpc::frame(text));
    }
    drop(send);
    let trailers = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn one_address_speaks_both_versions() {
    let address = served(SampleApp::Wiki).await;
    assert_eq!(fetch("GET", &format!("http://{address}/welcome")).await.unwrap().status, 200);
    let mut sender = h2(address).await;
    let request =
        http::Request::get(format!("http://{address}/welcome")).body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
}

#[tokio::test]
async fn downloads_and_uploads_keep_every_byte() {
    let address = served(SampleApp::Build).await;
    for query in ["bytes=123457&every_millis=0", "bytes=3500&every_millis=1"] {
        let answer = fetch("GET", &format!("http://{address}/artifact?{query}")).await.unwrap();
        assert!(pattern::Reader::default().read(&answer.body).is_ok(), "{query}");
        assert!(query.contains(&answer.body.len().to_string()), "{query}: {}", answer.body.len());
    }
    let mut sender = h2(address).await;
    for (body, is_pattern) in [(pattern::pattern(0, 100_000), true), (Bytes::from(vec![1; 100_000]), false)] {
        let request = post(address, "/upload").body(Full::new(body)).unwrap();
        let answer = sender.send_request(request).await.unwrap().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((&answer["bytes"], &answer["is_pattern"]), (&json!(100_000), &json!(is_pattern)));
    }
}

/// Reads from a raw HTTP/1.1 connection until it holds `until`.
async fn read_until(stream: &mut TcpStream, until: &str) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(until) {
            let mut piece = [0; 4096];
            let n = stream.read(&mut piece).await.unwrap();
            assert!(n > 0, "ended before `{until}`: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

async fn open_streams(address: std::net::SocketAddr) -> Value {
    serde_json::from_slice(&fetch("GET", &format!("http://{address}/open")).await.unwrap().body).unwrap()
}

#[tokio::test]
async fn streams_tick_and_are_counted_while_they_run() {
    use tokio::io::AsyncWriteExt as _;
    let address = served(SampleApp::Build).await;
    let mut clock = TcpStream::connect(address).await.unwrap();
    clock.write_all(b"GET /clock HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let seen = read_until(&mut clock, "data: 3").await;
    assert!(seen.contains("content-type: text/event-stream"), "{seen}");
    assert!(seen.contains("event: tick\nid: 1\ndata: 1\n\n"), "{seen}");
    let mut download = TcpStream::connect(address).await.unwrap();
    download.write_all(b"GET /artifact HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut download, "octet-stream").await;
    let running = open_streams(address).await;
    assert_eq!(
        (&running["clock"], &running["artifact"], &running["logs"]),
        (&json!(1), &json!(1), &json!(0))
    );
    drop((clock, download));
    for _ in 0..3000 {
        let running = open_streams(address).await;
        if (&running["clock"], &running["artifact"]) == (&json!(0), &json!(0)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("streams that ended are still counted: {}", open_streams(address).await);
}

#[tokio::test]
async fn an_upload_may_ask_first() {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = TcpStream::connect(served(SampleApp::Build).await).await.unwrap();
    let head = "PUT /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 100 Continue"));
    stream.write_all(&[0; 8]).await.unwrap();
    assert!(read_until(&mut stream, "}").await.contains(r#""bytes":8,"is_pattern":true"#));
}

#[tokio::test]
async fn a_silent_log_echoes_and_a_loud_one_counts() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let address = served(SampleApp::Build).await;
    let url = format!("ws://{address}/logs?every_millis=0");
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("build log for nobody"));
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("echo: hello"));
    socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(vec![1, 2, 3]));

    let stream = TcpStream::connect(address).await.unwrap();
    let (mut loud, _) =
        tokio_tungstenite::client_async(format!("ws://{address}/logs"), stream).await.unwrap();
    for expected in ["build log for nobody", "line 1", "line 2", "line 3"] {
        assert_eq!(loud.next().await.unwrap().unwrap(), Message::text(expected));
    }
}

/// A WebSocket server that says what it is told to.
async fn scripted(ends: &'static str) -> String {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        match ends {
            "policy" => {
                let frame = CloseFrame { code: 1008.into(), reason: "access revoked".into() };
                socket.close(Some(frame)).await.unwrap();
            }
            "no code" => socket.close(None).await.unwrap(),
            _ => {}
        }
    });
    url
}

#[tokio::test]
async fn a_watcher_tells_how_it_ended() {
    for (ends, told) in
        [("policy", "closed: 1008 access revoked"), ("no code", "closed: 1005 "), ("reset", "broken: ")]
    {
        let mut shown = vec![];
        let ending = watch(&scripted(ends).await, None, |m| shown.push(m.to_owned())).await.unwrap();
        assert!(ending.to_string().starts_with(told), "{ends}: {ending}");
        assert_eq!(shown, ["hello"], "{ends}");
    }
    let url = format!("ws://{}/welcome", served(SampleApp::Wiki).await);
    let ending = watch(&url, Some("token"), |_| {}).await.unwrap();
    assert!(matches!(ending, Ending::Refused { status: 200, .. }), "{ending}");
}

#[tokio::test]
async fn runs_are_added_up_to_a_bound() {
    let address = served(SampleApp::Payroll).await;
    let mut sender = h2(address).await;
    let mut last = 0;
    for _ in 0..100 {
        let request = http::Request::post(format!("http://{address}/runs"))
            .header("content-type", "application/json")
            .header("x-doorward-user", "demo:alice")
            .body(Full::new(Bytes::from_static(br#"{"month":"2026-02"}"#)))
            .unwrap();
        last = sender.send_request(request).await.unwrap().status().as_u16();
    }
    assert_eq!(last, 507);
    let runs = fetch("GET", &format!("http://{address}/runs")).await.unwrap();
    let runs: Value = serde_json::from_slice(&runs.body).unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 100);
    assert_eq!(runs["runs"][99], json!({"month": "2026-02", "by": "demo:alice"}));
}
