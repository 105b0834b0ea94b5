//! Thousands of WebSockets against an app that answers at once: none is lost after its 101
//! (cloudflare/pingora#946, docs/decisions/0002-no-work-stealing.md). Beside them, pages of the same
//! app are asked for, so that there are connections to the app that could be used again, made by
//! every thread of the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorward_tests::h1::H1;
use doorward_tests::live::{BUILD, Site, Via};
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::wire::within;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const OPENS: usize = 4000;
const AT_ONCE: usize = 32;
/// One in so many comes by TLS.
const TLS_EVERY: usize = 8;
const GREETING: &[u8] = b"\x81\x02hi";
/// A masked text, as a client sends it; this app sends it back as it is.
const SAID: &[u8] = b"\x81\x85\x01\x02\x03\x04igohn";

/// So many clients ask for pages meanwhile.
const READERS: usize = 6;

/// Asks for pages until it is told to stop.
async fn read_pages(site: Arc<Site>, token: String, stop: Arc<AtomicBool>) -> usize {
    let bearer = format!("Bearer {token}");
    let mut client = H1::over(site.wire(Via::Plain, BUILD, "http/1.1").await);
    let mut pages = 0;
    while !stop.load(Ordering::SeqCst) {
        let page = client.ask("GET", BUILD, "/fast/page", &[("authorization", &bearer)]).await;
        assert_eq!(page.status(), 200);
        pages += 1;
    }
    pages
}

/// Opens one, and says something to prove that both ways work.
async fn open(site: &Site, via: Via, token: &str) -> Result<(), String> {
    let mut client = H1::over(site.wire(via, BUILD, "http/1.1").await);
    let request = format!(
        "GET /fast HTTP/1.1\r\nhost: {BUILD}\r\nauthorization: Bearer {token}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    client.send(request).await;
    let head = client.head().await.ok_or("the connection ended before the 101")?;
    if head.status() != Some(101) {
        return Err(head.text());
    }
    let (mut wire, mut seen) = client.into_wire();
    within("a greeting", async {
        while seen.len() < GREETING.len() {
            if wire.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                return Err(format!("lost after its 101, with {seen:?}"));
            }
        }
        wire.write_all(SAID).await.map_err(|e| format!("lost after its greeting: {e}"))?;
        while seen.len() < GREETING.len() + SAID.len() {
            if wire.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                return Err(format!("lost after {seen:?}"));
            }
        }
        if seen == [GREETING, SAID].concat() { Ok(()) } else { Err(format!("{seen:?} came")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_websocket_is_lost_after_its_101() {
    // Head and first frame in one piece: as fast as an app can be.
    let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let answer = Answer::bytes([head, GREETING].concat()).then(Step::Echo);
    let upstream =
        RawUpstream::start(
            move |head| {
                if head.target() == "/fast/page" { Answer::ok("a page") } else { answer.clone() }
            },
        )
        .await;
    let site = Site::start(Duration::from_millis(10), |config| {
        let more = json!({"groups": ["engineering"], "path_prefix": "/fast"});
        config.app("fast", BUILD, upstream.address(), more).set("gateway.threads", json!(2));
    })
    .await;
    let site = Arc::new(site);
    let token = site.issuer.token_of("opener");
    let (next, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(read_pages(Arc::clone(&site), token.clone(), Arc::clone(&stop)));
    }
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (site, token, next) = (Arc::clone(&site), token.clone(), Arc::clone(&next));
        openers.spawn(async move {
            let mut lost = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::SeqCst);
                if i >= OPENS {
                    return lost;
                }
                let via = if i % TLS_EVERY == 0 { Via::Tls } else { Via::Plain };
                if let Err(how) = open(&site, via, &token).await {
                    lost.push(how);
                }
            }
        });
    }
    let mut lost = Vec::new();
    while let Some(some) = openers.join_next().await {
        lost.extend(some.unwrap());
    }
    stop.store(true, Ordering::SeqCst);
    let mut pages = 0;
    while let Some(read) = readers.join_next().await {
        pages += read.unwrap();
    }
    assert!(pages > OPENS / 10, "only {pages} pages were read beside {OPENS} WebSockets");
    assert!(lost.is_empty(), "{} of {OPENS}: {lost:?}", lost.len());
    site.wait_inflight(None, 0).await;
}
