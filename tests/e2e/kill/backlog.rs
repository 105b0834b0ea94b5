//! A client that does not read: what was on its way to it is thrown away, not delivered later.
//!
//! The app sends without end and counts what the gateway took. Once that stands still, every
//! buffer between app and client is full, megabytes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorward_tests::gateway::Config;
use doorward_tests::h2::Gone;
use doorward_tests::h2_upstream::{self, H2Upstream};
use doorward_tests::live::{BUILD, End, Kind, Site, Via};
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::tls::Hello;
use doorward_tests::wire::{self, Ending, Wire, within};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

/// What a client that did not read may still get: what its own kernel held already, and what TLS had
/// sealed.
const LATE_BYTES_MAX: usize = 200_000;
/// The client's receive buffer; the kernel doubles it.
const RECEIVE_BYTES: u32 = 32 * 1024;
/// When the app could send nothing for so long, everything is full.
const STANDSTILL: Duration = Duration::from_millis(400);

/// An app that answers with a head and then sends the same piece for ever.
struct Endless {
    address: SocketAddr,
    taken: Arc<AtomicU64>,
}

impl Endless {
    async fn start(head: &'static str, piece: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(AtomicU64::new(0));
        let (count, piece) = (Arc::clone(&taken), Arc::new(piece));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (count, piece) = (Arc::clone(&count), Arc::clone(&piece));
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    if stream.write_all(head.as_bytes()).await.is_err() {
                        return;
                    }
                    while let Ok(n) = stream.write(&piece).await {
                        count.fetch_add(n as u64, Ordering::SeqCst);
                        // A write that took less would shift the frames of a WebSocket.
                        if n < piece.len() && stream.write_all(&piece[n..]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, taken }
    }

    /// Waits until the gateway takes nothing more.
    async fn wait_standstill(&self) {
        within("a standstill", async {
            let mut before = 0;
            loop {
                tokio::time::sleep(STANDSTILL).await;
                let now = self.taken.load(Ordering::SeqCst);
                if now == before && now > 0 {
                    return;
                }
                before = now;
            }
        })
        .await;
    }
}

/// A connection whose kernel holds little.
async fn small_wire(site: &Site, via: Via) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
    let listener = if via == Via::Plain { 0 } else { 1 };
    let stream = socket.connect(site.gateway.listener(listener)).await.unwrap();
    match via {
        Via::Plain => Box::new(stream),
        Via::Tls => {
            let hello = Hello::new(BUILD, &["http/1.1"]);
            Box::new(site.authority.handshake(stream, &hello).await.unwrap())
        }
    }
}

const WS_FIELDS: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn get(path: &str, token: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {BUILD}\r\nauthorization: Bearer {token}\r\n{fields}\r\n")
}

fn under(config: &mut Config, id: &str, upstream: SocketAddr) {
    let more = json!({"groups": ["engineering"], "path_prefix": format!("/{id}")});
    config.app(id, BUILD, upstream, more);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_gets_little_more() {
    let body = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let frame = |len: u16| [&[0x82, 126][..], &len.to_be_bytes(), &vec![7; usize::from(len)]].concat();
    let piece = vec![7; 64 * 1024];
    let chunk = [b"10000\r\n", &piece[..], b"\r\n"].concat();
    let apps = [
        ("length", "", Endless::start(body, piece).await),
        ("chunked", "", Endless::start(chunked, chunk).await),
        ("frames-small", WS_FIELDS, Endless::start(upgrade, frame(200)).await),
        ("frames-large", WS_FIELDS, Endless::start(upgrade, frame(60_000)).await),
    ];
    let site = Site::start(Duration::from_millis(5), |config| {
        for (id, _, app) in &apps {
            under(config, id, app.address);
        }
    })
    .await;
    let mut faults = Vec::new();
    for (id, fields, app) in &apps {
        for via in Via::ALL {
            let leaver = format!("{id}-{via:?}").to_lowercase();
            let token = site.issuer.token_of(&leaver);
            let mut wire = small_wire(&site, via).await;
            wire.write_all(get(&format!("/{id}"), &token, fields).as_bytes()).await.unwrap();
            let mut some = [0; 1000];
            within("the first bytes", wire.read_exact(&mut some)).await.unwrap();
            app.wait_standstill().await;
            site.wait_inflight(Some(&format!("demo:{leaver}")), 1).await;
            site.gateway.revoke("user", &format!("demo:{leaver}")).await;
            site.wait_inflight(Some(&format!("demo:{leaver}")), 0).await;
            let (late, ending) = wire::drain(&mut wire, Duration::from_secs(15)).await;
            if late.len() > LATE_BYTES_MAX || ending == Ending::StillOpen {
                faults
                    .push(format!("{id} {via:?}: {} bytes came after the kill, then {ending:?}", late.len()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The other way round: the app does not read, and everything between client and app is full. Nobody
/// is polling the client's side then, so a goodbye is not owed; the end is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_whose_app_does_not_read_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // It hears the question before it answers; after that it hears nothing. A health check is
            // gone before.
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                if !matches!(stream.read_buf(&mut question).await, Ok(n) if n > 0) {
                    break;
                }
            }
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            let _ = stream.write_all(head).await;
            kept.push(stream);
        }
    });
    let site = Site::start(Duration::from_millis(5), |config| under(config, "deaf", app)).await;
    let frame = [&[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0][..], &[7; 0xffff]].concat();
    for via in Via::ALL {
        let leaver = format!("deaf-{via:?}").to_lowercase();
        let id = format!("demo:{leaver}");
        let mut wire = small_wire(&site, via).await;
        wire.write_all(get("/deaf", &site.issuer.token_of(&leaver), WS_FIELDS).as_bytes()).await.unwrap();
        let mut head = Vec::new();
        within("a 101", async {
            while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                assert_ne!(wire.read_buf(&mut head).await.unwrap(), 0);
            }
        })
        .await;
        // Every buffer on the way to the app fills first, which takes a while on a busy machine.
        let filling = async {
            while let Ok(written) = tokio::time::timeout(STANDSTILL, wire.write_all(&frame)).await {
                written.unwrap_or_else(|e| panic!("{via:?}: it ended before it was revoked: {e}"));
            }
        };
        tokio::time::timeout(Duration::from_secs(120), filling).await.unwrap();
        site.wait_inflight(Some(&id), 1).await;
        let receipt = site.gateway.revoke("user", &id).await;
        assert_eq!(receipt["remaining"], 0, "{receipt}");
        let (_, ending) = wire::drain(&mut wire, Duration::from_secs(15)).await;
        assert_ne!(ending, Ending::StillOpen, "{via:?}");
        site.wait_inflight(None, 0).await;
    }
}

/// There is no honest close frame inside of another frame: the connection ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_in_the_middle_of_a_large_frame_just_ends() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let part = [head.as_bytes(), &[0x82, 127, 0, 0, 0, 0, 0, 16, 0, 0], &[7; 5000][..]].concat();
    let part_len = part.len();
    let upstream = RawUpstream::start(move |_| Answer::bytes(&part).then(Step::Hang)).await;
    let site =
        Site::start(Duration::from_millis(5), |config| under(config, "middle", upstream.address())).await;
    for via in Via::ALL {
        let leaver = format!("middle-{via:?}").to_lowercase();
        let token = site.issuer.token_of(&leaver);
        let mut wire = small_wire(&site, via).await;
        wire.write_all(get("/middle", &token, WS_FIELDS).as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        within("part of a frame", async {
            while !seen.ends_with(&[7; 5000]) {
                assert_ne!(wire.read_buf(&mut seen).await.unwrap(), 0, "{seen:?}");
            }
        })
        .await;
        assert!(seen.len() >= part_len, "{} of {part_len} bytes", seen.len());
        site.gateway.revoke("user", &format!("demo:{leaver}")).await;
        let (late, ending) = wire::drain(&mut wire, Duration::from_secs(15)).await;
        assert_eq!(late, b"", "{via:?}: nothing may follow within the frame");
        assert_ne!(ending, Ending::StillOpen, "{via:?}");
    }
    site.wait_inflight(None, 0).await;
}

/// Over HTTP/2 the client's window holds the app back. The stream ends, others of the connection do
/// not, and after the word of the protocol nothing comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_read_ends_too() {
    const BODY_BYTES: usize = 4 << 20;
    let body = vec![7; BODY_BYTES];
    let plain = H2Upstream::start(move |request| {
        let kind = if request.uri().path().starts_with("/calls") { "application/grpc" } else { "text/plain" };
        h2_upstream::Answer::status(200).header("content-type", kind).data(&body).hang()
    })
    .await;
    let site = Site::start(Duration::from_millis(5), |config| {
        for id in ["calls", "bodies"] {
            let more = json!({
                "groups": ["engineering"], "path_prefix": format!("/{id}"), "upstream": {"protocol": "h2"},
            });
            config.app(id, BUILD, plain.address(), more);
        }
    })
    .await;
    for via in Via::ALL {
        for (id, grpc) in [("calls", true), ("bodies", false)] {
            let leaver = format!("{id}-{via:?}").to_lowercase();
            let bearer = format!("Bearer {}", site.issuer.token_of(&leaver));
            let h2 = site.h2(via, BUILD).await;
            let stays = site.open_on(&h2, Kind::H2Sse, &site.issuer.token_of("stays")).await.unwrap();
            let kind = if grpc { "application/grpc" } else { "text/plain" };
            let fields = [("authorization", bearer.as_str()), ("content-type", kind)];
            let method = if grpc { "POST" } else { "GET" };
            let request = h2.request(method, BUILD, &format!("/{id}/x"), &fields);
            let mut stream = h2.open(request, true).await.unwrap();
            assert_eq!(stream.head().await.unwrap().0, 200);
            // The others are served while nobody reads this one.
            stays.wait_units(20).await;
            site.gateway.revoke("user", &format!("demo:{leaver}")).await;
            site.wait_inflight(Some(&format!("demo:{leaver}")), 0).await;
            let mut seen = 0;
            let end = loop {
                match stream.data().await {
                    Ok(Some(bytes)) => seen += bytes.len(),
                    Ok(None) => break stream.trailers().await,
                    Err(gone) => break Err(gone),
                }
            };
            assert!(seen < BODY_BYTES, "{via:?} {id}: all of it came");
            match (grpc, end) {
                (true, Ok(Some(trailers))) => assert_eq!(trailers["grpc-status"], "16"),
                (false, Err(Gone::Reset(::h2::Reason::CANCEL))) => {}
                (_, other) => panic!("{via:?} {id} ended with {other:?} after {seen} bytes"),
            }
            stays.wait_units(stays.units() + 3).await;
            assert_eq!(stays.finish().await.how, End::Whole);
        }
    }
    site.wait_inflight(None, 0).await;
}
