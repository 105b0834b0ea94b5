//! Bodies: large ones in both directions with a gateway that holds little of them, and
//! `Expect: 100-continue`.

use std::time::Duration;

use doorward_demo::apps::pattern::{Reader, pattern};
use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1::{H1, Piece, request};
use doorward_tests::h2::H2;
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::wire::Ending;
use serde_json::{Value, json};

const BODY_BYTES: usize = 64 * 1024 * 1024;
const PIECE_BYTES: usize = 1024 * 1024;
/// What a body of 64 MiB may add to the gateway's memory: windows and buffers, not the body.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

async fn start() -> (Issuer, Gateway) {
    let app = sample(SampleApp::Build, Pace { tick: Duration::ZERO, piece_bytes: 64 * 1024 }).await;
    let mut company = Company::new(app).await;
    company.config.app(
        "build-h2",
        "build-h2.test",
        app,
        json!({"groups": ["engineering"], "upstream": {"protocol": "h2"}}),
    );
    company.start().await
}

/// A line of `/proc/<pid>/status`, in KiB: `VmRSS` is what is held now, `VmHWM` the most so far.
fn memory_kib(gateway: &Gateway, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let value = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
    value.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs a large exchange and sees that the gateway does not hold it.
async fn bounded(gateway: &Gateway, what: &str, exchange: impl Future<Output = ()>) {
    let before = memory_kib(gateway, "VmRSS");
    exchange.await;
    let most = memory_kib(gateway, "VmHWM");
    assert!(most.saturating_sub(before) < GROWTH_KIB_MAX, "{what}: from {before} KiB to {most} KiB");
}

/// With huge pages a buffer that waits for its first byte holds all of its memory.
#[tokio::test]
async fn a_buffer_that_waits_holds_no_huge_page() {
    let (_issuer, gateway) = start().await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    assert!(status.contains("THP_enabled:\t0\n"), "{status}");
}

fn received(answer: &Value) -> (Option<u64>, Option<bool>) {
    (answer["bytes"].as_u64(), answer["is_pattern"].as_bool())
}

#[tokio::test]
async fn an_upload_of_64_mib_streams_through() {
    let (issuer, gateway) = start().await;
    let auth = bearer(&issuer.token("bob"));
    let whole = (Some(BODY_BYTES as u64), Some(true));
    bounded(&gateway, "HTTP/1.1 with a length", async {
        let mut client = H1::connect(gateway.address()).await;
        let length = BODY_BYTES.to_string();
        let fields = [("authorization", auth.as_str()), ("content-length", &length)];
        client.send(request("POST", "build.test", "/upload", &fields, b"")).await;
        for i in 0..BODY_BYTES / PIECE_BYTES {
            client.send(pattern((i * PIECE_BYTES) as u64, PIECE_BYTES)).await;
        }
        assert_eq!(received(&client.response("POST").await.json()), whole);
    })
    .await;
    bounded(&gateway, "HTTP/1.1 in chunks", async {
        let mut client = H1::connect(gateway.address()).await;
        let fields = [("authorization", auth.as_str()), ("transfer-encoding", "chunked")];
        client.send(request("PUT", "build.test", "/upload", &fields, b"")).await;
        for i in 0..BODY_BYTES / PIECE_BYTES {
            client.send(format!("{PIECE_BYTES:x}\r\n")).await;
            client.send(pattern((i * PIECE_BYTES) as u64, PIECE_BYTES)).await;
            client.send("\r\n").await;
        }
        client.send("0\r\n\r\n").await;
        assert_eq!(received(&client.response("PUT").await.json()), whole);
    })
    .await;
    for host in ["build.test", "build-h2.test"] {
        bounded(&gateway, &format!("HTTP/2 to {host}"), async {
            let h2 = H2::connect(gateway.address()).await;
            let request = h2.request("POST", host, "/upload", &[("authorization", &auth)]);
            let mut stream = h2.open(request, false).await.unwrap();
            for i in 0..BODY_BYTES / PIECE_BYTES {
                let last = i == BODY_BYTES / PIECE_BYTES - 1;
                stream.send_data(&pattern((i * PIECE_BYTES) as u64, PIECE_BYTES), last).await.unwrap();
            }
            assert_eq!(received(&stream.reply().await.unwrap().json()), whole);
        })
        .await;
    }
}

#[tokio::test]
async fn a_download_of_64_mib_streams_through() {
    let (issuer, gateway) = start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let path = format!("/artifact?bytes={BODY_BYTES}&every_millis=0");
    bounded(&gateway, "HTTP/1.1", async {
        let mut client = H1::connect(gateway.address()).await;
        client.send(request("GET", "build.test", &path, &fields, b"")).await;
        let mut body = client.streaming("GET").await;
        let mut reader = Reader::default();
        loop {
            match body.next().await {
                Piece::Bytes(bytes) => reader.read(&bytes).unwrap(),
                Piece::End => break,
                Piece::CutOff => panic!("cut off after {} bytes", reader.offset()),
            }
        }
        assert_eq!(reader.offset(), BODY_BYTES as u64);
    })
    .await;
    for host in ["build.test", "build-h2.test"] {
        bounded(&gateway, &format!("HTTP/2 from {host}"), async {
            let h2 = H2::connect(gateway.address()).await;
            let mut stream = h2.open(h2.request("GET", host, &path, &fields), true).await.unwrap();
            assert_eq!(stream.head().await.unwrap().0, 200);
            let mut reader = Reader::default();
            while let Some(bytes) = stream.data().await.unwrap() {
                reader.read(&bytes).unwrap();
            }
            assert_eq!(reader.offset(), BODY_BYTES as u64);
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_little() {
    let (issuer, gateway) = start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    // No end: whatever does not wait for the client grows without bound.
    let path = "/artifact?every_millis=0";
    let before = memory_kib(&gateway, "VmRSS");
    let mut clients = Vec::new();
    for host in ["build.test", "build-h2.test"] {
        let mut h1 = H1::connect(gateway.address()).await;
        h1.send(request("GET", host, path, &fields, b"")).await;
        let h1 = h1.streaming("GET").await;
        let h2 = H2::connect(gateway.address()).await;
        let mut stream = h2.open(h2.request("GET", host, path, &fields), true).await.unwrap();
        stream.head().await.unwrap();
        clients.push((h1, h2, stream));
    }
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = memory_kib(&gateway, "VmRSS");
        assert!(now.saturating_sub(before) < GROWTH_KIB_MAX, "from {before} KiB to {now} KiB");
    }
    assert_eq!(clients.len(), 2);
}

#[tokio::test]
async fn expect_100_continue_waits_for_the_door() {
    // The app itself says when it wants the body.
    let app = RawUpstream::start(|head| {
        let end = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
        if head.value("expect").is_some() {
            Answer::bytes("HTTP/1.1 100 Continue\r\n\r\n").then(Step::ReadBody).send(end).early()
        } else {
            Answer::bytes(end)
        }
    })
    .await;
    let (issuer, gateway) = Company::new(app.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let expecting = |token: &str| {
        let fields = [
            ("authorization", token.to_owned()),
            ("expect", "100-continue".into()),
            ("content-length", "10".into()),
        ];
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        request("POST", "build.test", "/upload", &fields, b"")
    };

    let mut allowed = H1::connect(gateway.address()).await;
    allowed.send(expecting(&auth)).await;
    let interim = allowed.head().await.unwrap();
    assert_eq!(interim.status(), Some(100), "{}", interim.text());
    allowed.send("0123456789").await;
    let answer = allowed.response("POST").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    let seen = app.wait_requests(1).await;
    assert_eq!((seen[0].body.as_slice(), seen[0].whole), (&b"0123456789"[..], true));

    // Refused: the answer comes at once, no 100 invites the body, and none is waited for.
    for (token, status) in [("Bearer nonsense".to_owned(), 401), (bearer(&issuer.token("alice")), 403)] {
        let mut denied = H1::connect(gateway.address()).await;
        denied.send(expecting(&token)).await;
        let head = denied.head().await.unwrap();
        assert_eq!(head.status(), Some(status), "{}", head.text());
        let (_, ending) = denied.drain(Duration::from_secs(15)).await;
        assert_ne!(ending, Ending::StillOpen, "what was not read must not become the next request");
    }
    assert_eq!(app.requests().len(), 1, "nothing refused reached the app");
}

#[tokio::test]
async fn a_refused_upload_is_not_taken_for_the_next_request() {
    let app = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(app.address()).await.start().await;
    let smuggled =
        request("GET", "build.test", "/smuggled", &[("authorization", &bearer(&issuer.token("bob")))], b"");
    let alice = bearer(&issuer.token("alice"));
    let mut client = H1::connect(gateway.address()).await;
    client.send(request("POST", "build.test", "/upload", &[("authorization", &alice)], &smuggled)).await;
    assert_eq!(client.response("POST").await.status(), 403);
    let (rest, ending) = client.drain(Duration::from_secs(15)).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert_ne!(ending, Ending::StillOpen);
    assert!(app.requests().is_empty());
}

#[tokio::test]
async fn a_slow_upload_is_not_a_slow_app() {
    // The bound on the app's answer counts from the end of the upload, not from its begin. It is long enough for an
    // app on a machine that stands still for a while, and each upload takes longer; so all of them run side by side.
    const ANSWER_SECONDS: u64 = 6;
    const PAUSE: Duration = Duration::from_millis(1000 * (ANSWER_SECONDS + 2) / 10);
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company
        .engineering("patient", app, json!({"upstream": {"response_seconds_max": ANSWER_SECONDS}}))
        .engineering(
            "patient-h2",
            app,
            json!({"upstream": {"response_seconds_max": ANSWER_SECONDS, "protocol": "h2"}}),
        );
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let by_h1 = async |host: &str| {
        let mut client = H1::connect(gateway.address()).await;
        let fields = [("authorization", auth.as_str()), ("content-length", "80")];
        client.send(request("POST", host, "/upload", &fields, b"")).await;
        for i in 0..10 {
            client.send(pattern(i * 8, 8)).await;
            tokio::time::sleep(PAUSE).await;
        }
        let answer = client.response("POST").await;
        assert_eq!(answer.status(), 200, "{host} by HTTP/1.1: {}", answer.text());
        assert_eq!(received(&answer.json()), (Some(80), Some(true)), "{host}");
    };
    let by_h2 = async |host: &str| {
        let h2 = H2::connect(gateway.address()).await;
        let request = h2.request("POST", host, "/upload", &[("authorization", &auth)]);
        let mut stream = h2.open(request, false).await.unwrap();
        for i in 0..10 {
            stream.send_data(&pattern(i * 8, 8), i == 9).await.unwrap();
            tokio::time::sleep(PAUSE).await;
        }
        let answer = stream.reply().await.unwrap();
        assert_eq!(answer.status, 200, "{host} by HTTP/2: {}", answer.text());
    };
    tokio::join!(
        by_h1("patient.test"),
        by_h2("patient.test"),
        by_h1("patient-h2.test"),
        by_h2("patient-h2.test")
    );
}
