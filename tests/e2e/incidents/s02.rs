//! S2, hop-by-hop stripping of our headers (CVE-2024-45410, CVE-2022-31813, CVE-2026-105299): a
//! client cannot have our word taken away on the way to the app, nor one hop later.

use doorward_tests::frames::{Frame, Frames, Outcome, ordinary};
use doorward_tests::raw::Recorded;

use super::house::{GRPC, House, WIKI};
use super::talk::{Ask, Http};

const OURS: [&str; 8] = [
    "x-doorward-user",
    "x-doorward-groups",
    "x-doorward-email",
    "x-doorward-assertion",
    "x-doorward-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "traceparent",
];

/// Values of `Connection`, each a list of lines.
fn nominations() -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = Vec::new();
    for name in OURS.iter().chain(&["x-forwarded-host", "cookie", "authorization", "te", "upgrade", "host"]) {
        all.push(vec![format!("close, {name}")]);
        all.push(vec![name.to_ascii_uppercase()]);
        all.push(vec![format!("keep-alive,{name} ,close")]);
        all.push(vec!["close".to_owned(), (*name).to_owned()]);
        all.push(vec![format!(",, {name},,"), "keep-alive".to_owned(), name.to_ascii_uppercase()]);
    }
    all.push(vec!["close, X-Doorward-Assertion, X-Doorward-User, X-Doorward-Groups".to_owned()]);
    all.push(vec![format!("close, {}", OURS.join(", "))]);
    all.push(OURS.iter().map(|n| (*n).to_owned()).collect());
    all.push(vec!["content-length, transfer-encoding, x-doorward-user".to_owned()]);
    all.push(vec!["Keep-Alive, TE, Upgrade, Cookie, Authorization, X-Doorward-User".to_owned()]);
    all.push(vec!["x_doorward_user, x.doorward.user, x-doorward-user".to_owned()]);
    all.push(vec!["\"x-doorward-user\"".to_owned()]);
    all.push(vec!["x-doorward-user;q=1".to_owned()]);
    all
}

/// What the next hop passes on, if it does what RFC 9110 §7.6.1 says.
fn second_hop(seen: &Recorded) -> Vec<(String, String)> {
    let nominated: Vec<String> = seen
        .head
        .values("connection")
        .iter()
        .flat_map(|v| v.split(','))
        .map(|t| t.trim().to_ascii_lowercase())
        .collect();
    let hop =
        ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"];
    let kept = |n: &str| !nominated.contains(&n.to_owned()) && !hop.contains(&n);
    seen.head.fields().into_iter().filter(|(n, _)| kept(&n.to_ascii_lowercase())).collect()
}

#[tokio::test]
async fn s2_a_client_cannot_nominate_our_headers_away() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    let (mut passed, mut refused) = (0, Vec::new());
    for (i, lines) in nominations().iter().enumerate() {
        let mut ask = Ask::get(WIKI, format!("/{i}")).token(&token).field("keep-alive", "timeout=5");
        for line in lines {
            ask = ask.field(if i % 2 == 0 { "Connection" } else { "cONNECTION" }, line);
        }
        let before = house.wiki.requests().len();
        let said = house.say(Http::One, &ask).await;
        if said.status != 200 {
            assert_eq!((said.status, house.wiki.requests().len()), (400, before), "{lines:?}: {said:?}");
            refused.push(said);
            continue;
        }
        passed += 1;
        let seen = &house.wiki.wait_requests(before + 1).await[before];
        let text = seen.head.text();
        for name in ["keep-alive", "te", "upgrade", "proxy-connection", "authorization"] {
            assert!(seen.head.values(name).is_empty(), "{lines:?}: {text}");
        }
        let left = second_hop(seen);
        for name in OURS {
            let count = left.iter().filter(|(n, v)| n.eq_ignore_ascii_case(name) && !v.is_empty()).count();
            assert_eq!(count, 1, "{name} after {lines:?}: {text}");
        }
        assert_eq!(seen.head.value("x-doorward-user").as_deref(), Some("demo:bob"), "{text}");
    }
    assert!(passed >= 20, "{passed} passed");
    // What is refused without a word of ours would be refused without an event too.
    let refused: Vec<_> = refused.iter().map(|said| (said, "bad_request")).collect();
    house.recorded(&refused).await;
}

#[tokio::test]
async fn s2_nor_on_the_way_to_an_app_behind_http2() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    for lines in ["close, X-Doorward-Assertion", "x-doorward-user, x-doorward-groups", "TE, x-doorward-user"]
    {
        let before = house.grpc.requests().len();
        let said = house.say(Http::One, &Ask::get(GRPC, "/").token(&token).field("Connection", lines)).await;
        assert_eq!(said.status, 200, "{lines}: {said:?}");
        let seen = &house.grpc.wait_requests(before + 1).await[before];
        for name in OURS {
            assert_eq!(seen.headers.get_all(name).iter().count(), 1, "{name}: {seen:?}");
        }
        assert!(!seen.headers.contains_key("connection"), "{seen:?}");
    }
}

#[tokio::test]
async fn s2_http2_has_no_hop_by_hop_fields() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    for (name, value) in [
        ("connection", "x-doorward-assertion"),
        ("connection", "close, x-doorward-user"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "x-doorward-user"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "x-doorward-user"),
    ] {
        let mut frames = Frames::connect(house.gateway.address()).await;
        let fields = [
            &ordinary("GET", WIKI, "/")[..],
            &[(&b"authorization"[..], bearer.as_bytes()), (name.as_bytes(), value.as_bytes())],
        ];
        frames.send(&Frame::headers(1, true, &fields.concat())).await;
        let outcome = frames.outcome(1, std::time::Duration::from_secs(10)).await;
        assert!(
            matches!(
                outcome,
                Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed | Outcome::Status(400..)
            ),
            "{name}: {outcome:?}"
        );
    }
    assert_eq!(house.reached(), 0);
    // The same without them passes, so it was they.
    assert_eq!(house.say(Http::Two, &Ask::get(WIKI, "/").field("authorization", &bearer)).await.status, 200);
}
