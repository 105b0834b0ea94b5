//! S18, cross-site WebSocket hijack (CVE-2026-85183, CVE-2026-59804): a page of another origin
//! cannot open a WebSocket with the rights of the person in front of it.

use doorward_tests::frames::{Frame, Frames, Outcome};
use doorward_tests::raw::{Answer, RawUpstream};
use doorward_tests::tls::Authority;
use doorward_tests::wire::until;
use doorward_tests::ws::{Refused, Ws};
use serde_json::json;

use super::house::{BUILD, House, outcome};

/// What foreign pages, sandboxed ones and liars say.
const FOREIGN: &[&str] = &[
    "http://evil.test",
    "https://evil.test",
    "http://evil.test:80",
    "null",
    "",
    "file://",
    "http://",
    "http://build.test.evil.test",
    "http://evilbuild.test",
    "http://evil-build.test",
    "http://sub.build.test",
    "http://test",
    "http://build",
    "http://build.test@evil.test",
    "http://evil.test@build.test",
    "http://evil.test/build.test",
    "http://build.test/",
    "http://build.test/x",
    "http://build.test?x",
    "http://build.test#x",
    "http://build.test evil.test",
    "http://build.test, http://evil.test",
    "http://evil.test, http://build.test",
    "http://build.test.",
    "http://build.test:99999",
    "http://build.test:",
    "http://build.test:8080",
    "ws://build.test",
    "ftp://build.test",
    "chrome-extension://build.test",
    "build.test",
    "//build.test",
    "http:build.test",
    "http:/build.test",
    "http:\\\\build.test",
    "http://127.0.0.1",
    "http://wiki.test",
    "http://xn--build-.test",
];

async fn house(change: impl FnOnce(&mut doorward_tests::gateway::Config)) -> (House, RawUpstream) {
    let sockets = RawUpstream::start(|head| match head.value("upgrade") {
        Some(_) => Answer::upgrade_and_echo(
            // The sample of RFC 6455 §1.3 is not what a client checks here: the echo computes nothing.
            &format!(
                "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n",
                accept(head)
            ),
        ),
        None => Answer::ok("ok"),
    })
    .await;
    let address = sockets.address();
    let house = House::with(|config| {
        config.set("app.2.upstream.addresses", json!([address.to_string()]));
        change(config);
    })
    .await;
    (house, sockets)
}

/// RFC 6455 §4.2.2.
fn accept(head: &doorward_tests::h1::Head) -> String {
    use base64::Engine as _;
    let key = head.value("sec-websocket-key").unwrap_or_default();
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest.as_ref())
}

/// How many bytes of WebSockets the app heard.
fn heard(sockets: &RawUpstream) -> usize {
    sockets.requests().iter().map(|r| r.body.len()).sum()
}

fn code(refused: &Refused) -> Option<&str> {
    refused.headers.get("x-doorward-refusal").and_then(|v| v.to_str().ok())
}

async fn recorded(house: &House, refused: &[Refused]) {
    let ids: Vec<String> =
        refused.iter().map(|r| r.headers["x-doorward-request-id"].to_str().unwrap().to_owned()).collect();
    for event in house.decisions(&ids).await.values() {
        if ids.iter().any(|id| event["metadata"]["correlation_uid"] == id.as_str()) {
            assert_eq!(outcome(event), ("deny", "foreign_origin"), "{event}");
        }
    }
}

#[tokio::test]
async fn s18_a_foreign_page_opens_no_websocket() {
    let (house, sockets) = house(|_| {}).await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let mut refusals = Vec::new();
    for origin in FOREIGN {
        let fields = [("authorization", bearer.as_str()), ("origin", origin), ("cookie", "session=1")];
        let Err(refused) = Ws::open(house.gateway.address(), BUILD, "/ws", &fields).await else {
            panic!("{origin:?} opened a WebSocket")
        };
        assert_eq!(
            (refused.status, code(&refused)),
            (403, Some("foreign_origin")),
            "{origin:?}: {refused:?}"
        );
        refusals.push(refused);
    }
    let two = [
        ("authorization", bearer.as_str()),
        ("origin", "http://build.test"),
        ("origin", "http://build.test"),
    ];
    let Err(refused) = Ws::open(house.gateway.address(), BUILD, "/ws", &two).await else {
        panic!("two origins opened a WebSocket")
    };
    assert_eq!(code(&refused), Some("foreign_origin"));
    refusals.push(refused);
    assert!(sockets.requests().is_empty());
    recorded(&house, &refusals).await;
    // The app's own pages do, and programs, which say nothing.
    for origin in [Some("http://build.test"), Some("http://BUILD.test"), Some("http://build.test:80"), None] {
        let mut fields = vec![("authorization", bearer.as_str())];
        fields.extend(origin.map(|o| ("origin", o)));
        let mut ws = Ws::open(house.gateway.address(), BUILD, "/ws", &fields)
            .await
            .unwrap_or_else(|r| panic!("{origin:?}: {r:?}"));
        let before = heard(&sockets);
        assert!(ws.send("hello").await);
        until("the app to hear it", || (heard(&sockets) > before).then_some(())).await;
    }
}

#[tokio::test]
async fn s18_only_what_is_listed_may_more() {
    let (house, sockets) = house(|config| {
        config.set("app.2.websocket_origins", json!(["https://portal.test", "http://dev.test:8080"]));
    })
    .await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    for (origin, opens) in [
        ("https://portal.test", true),
        ("http://dev.test:8080", true),
        ("http://portal.test", false),
        ("https://portal.test:8443", false),
        ("https://portal.test.evil.test", false),
        ("https://sub.portal.test", false),
        ("http://dev.test", false),
        ("http://dev.test:80801", false),
        ("http://evil.test", false),
    ] {
        let before = sockets.requests().len();
        let fields = [("authorization", bearer.as_str()), ("origin", origin)];
        let opened = Ws::open(house.gateway.address(), BUILD, "/ws", &fields).await;
        assert_eq!(opened.is_ok(), opens, "{origin}");
        assert_eq!(sockets.requests().len() - before, usize::from(opens), "{origin}");
    }
}

#[tokio::test]
async fn s18_over_tls_the_page_must_be_of_https() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = authority.certificate(&[BUILD]).write(folder.path(), "build");
    let (house, sockets) = house(|config| {
        config.listen_tls(&chain, &key);
    })
    .await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    for (origin, opens) in [
        ("https://build.test", true),
        ("http://build.test", false),
        ("https://evil.test", false),
        ("null", false),
    ] {
        let fields = [("authorization", bearer.as_str()), ("origin", origin)];
        let opened = Ws::open_tls(house.gateway.listener(1), &authority, BUILD, "/ws", &fields).await;
        match (opened, opens) {
            (Ok(mut ws), true) => {
                let before = heard(&sockets);
                assert!(ws.send("hello").await);
                until("the app to hear it", || (heard(&sockets) > before).then_some(())).await;
            }
            (Err(refused), false) => assert_eq!(code(&refused), Some("foreign_origin"), "{origin}"),
            (other, _) => panic!("{origin}: {:?}", other.map(|_| "opened")),
        }
    }
    assert_eq!(sockets.requests().len(), 1);
}

#[tokio::test]
async fn s18_http2_offers_no_websocket_at_all() {
    let (house, sockets) = house(|_| {}).await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    for origin in ["http://evil.test", "http://build.test"] {
        let fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"CONNECT"),
            (b":protocol", b"websocket"),
            (b":scheme", b"http"),
            (b":authority", BUILD.as_bytes()),
            (b":path", b"/ws"),
            (b"authorization", bearer.as_bytes()),
            (b"origin", origin.as_bytes()),
            (b"sec-websocket-version", b"13"),
        ];
        let mut frames = Frames::connect(house.gateway.address()).await;
        frames.send(&Frame::headers(1, false, &fields)).await;
        let outcome = frames.outcome(1, std::time::Duration::from_secs(10)).await;
        assert!(
            matches!(
                outcome,
                Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed | Outcome::Status(400..)
            ),
            "{origin}: {outcome:?}"
        );
    }
    assert!(sockets.requests().is_empty());
}
