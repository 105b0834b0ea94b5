//! S7, malformed input that becomes a yes (CVE-2021-32637, CVE-2026-25748). The endpoint for other
//! proxies comes later; the same holds on the data path now: a success means that the app was told
//! who asks, that a policy allowed it, and that the log says so.

use doorward_tests::h1::H1;

use super::house::{House, WIKI, outcome};
use super::random::Random;
use super::talk::{Ask, BOTH, Http, Said};

const METHODS: &[&str] = &[
    "GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "get", "Get", "gET", "TRACE", "TRACK",
    "CONNECT", "PRI", "PROPFIND", "MKCOL", "PURGE", "X", "GET1", "GETGET", "G-E-T", "!", "_", "M-SEARCH",
];

const HOSTS: &[&str] = &[
    "wiki.test",
    "WIKI.test",
    "wiki.test:80",
    "wiki.test:8080",
    "wiki.test.",
    "wiki.test:",
    "wiki.test:x",
    ".wiki.test",
    "wiki..test",
    "a.wiki.test",
    "wiki.test.evil.test",
    "evil.test",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "[::1",
    "wiki.test,evil.test",
    "evil.test,wiki.test",
    "wiki.test@evil.test",
    "evil@wiki.test",
    "wiki.test/x",
    "wiki.test\\x",
    "wiki%2etest",
    "wiki.test%00",
    "xn--wiki-.test",
    "_",
    "wiki_test",
    "*",
    "",
];

const TARGETS: &[&str] = &[
    "/",
    "/page",
    "/page?a=b",
    "/?",
    "/%",
    "/%zz",
    "/%00",
    "/a%0d%0ab",
    "/a/../b",
    "//",
    "/;",
    "/\\",
    "/a%2fb",
    "/caf%C3%A9",
    "/%ff",
    "/a#b",
    "*",
    "/?\u{e9}",
    "/?%",
    "/?a=%00",
    "/{x}",
    "/<x>",
    "/|",
    "/~",
    "/.",
    "/..",
];

fn cookie(random: &mut Random) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..random.below(6) {
        value.extend_from_slice(random.one_of::<[u8]>(&[
            b"a=1",
            b"=",
            b";",
            b"; ",
            b"\"",
            b"__Host-doorward-session=",
            b"__Host-doorward-session=AAAA.BBBB.CCCC",
            b"__host-doorward",
            b"%00",
            b"\xff\xfe",
            b"\xc3\x28",
            b"{}",
            b"a=\"b;c\"",
            b",",
            b"$Version=1",
            b"====",
            b"a=b=c",
            b"eyJhbGciOiJub25lIn0.e30.",
        ]));
    }
    if random.below(40) == 0 {
        value.extend(vec![b'x'; 20_000]);
    }
    value
}

fn ask(random: &mut Random, token: &str) -> Ask {
    // Mostly right in all but one respect, so that each respect is met alone.
    let odd = random.below(6);
    let host = if odd == 0 || odd == 5 { random.one_of(HOSTS) } else { WIKI };
    let target = if odd == 1 || odd == 5 { random.one_of(TARGETS) } else { "/page" };
    let method = if odd == 2 || odd == 5 { random.one_of(METHODS) } else { "GET" };
    let mut ask = Ask::get(host, target).method(method);
    if odd >= 3 {
        for _ in 0..=random.below(3) {
            ask = ask.field("cookie", cookie(random));
        }
    }
    match random.below(8) {
        0 => {}
        1 => ask = ask.field("authorization", [b"Bearer ", cookie(random).as_slice()].concat()),
        2 => ask = ask.token(token).token(token),
        3 => ask = ask.token(&token[..random.below(token.len())]),
        _ => ask = ask.token(token),
    }
    ask
}

#[tokio::test]
async fn s7_a_success_is_an_identity_and_an_allow_in_the_log() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    let mut random = Random::seeded(7);
    let (mut successes, mut refused) = (Vec::new(), Vec::new());
    for (http, count) in [(Http::One, 800), (Http::Two, 800)] {
        let mut talk = house.talk(http);
        for _ in 0..count {
            let ask = ask(&mut random, &token);
            let before = house.wiki.requests().len();
            let said = talk.say(&ask).await;
            let seen = house.wiki.requests().split_off(before);
            if said.status == 200 {
                assert_eq!(seen.len(), 1, "{ask:?}");
                let head = &seen[0].head;
                assert_eq!(head.value("x-doorward-user").as_deref(), Some("demo:bob"), "{ask:?}");
                assert_eq!(head.value("x-doorward-assertion").unwrap().split('.').count(), 3, "{ask:?}");
                successes.push(head.value("x-doorward-request-id").unwrap());
            } else {
                assert!(said.status == 0 || said.status >= 400, "{ask:?}: {said:?}");
                assert!(seen.is_empty(), "{ask:?} was refused and reached the app: {said:?}");
                if let (Some(code), Some(_)) = (said.refusal().map(ToOwned::to_owned), said.request_id()) {
                    refused.push((said, code));
                } else {
                    // Over HTTP/1.1 even what is no request is answered by us alone; over HTTP/2 the
                    // protocol has words of its own.
                    assert!(said.status == 0 || http == Http::Two, "{ask:?}: {said:?}");
                }
            }
        }
    }
    assert!(successes.len() > 200 && refused.len() > 400, "{} and {}", successes.len(), refused.len());
    let decisions = house.decisions(&successes).await;
    for id in &successes {
        assert_eq!(outcome(&decisions[id]).0, "allow", "{}", decisions[id]);
        assert_eq!(decisions[id]["actor"]["user"]["uid"], "demo:bob");
    }
    house.recorded(&refused.iter().map(|(said, code)| (said, code.as_str())).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn s7_bytes_that_are_no_request_reach_nobody_and_are_recorded() {
    let house = House::open().await;
    let bearer = format!("authorization: Bearer {}\r\n", house.issuer.token("bob"));
    let mut refused = Vec::new();
    for (line, fields) in [
        ("GET / HTTP/1.1", "host: wiki.test\r\nx: a\0b\r\n"),
        ("GET / HTTP/1.1", "host: wiki.test\r\nx: a\rb\r\n"),
        ("GET / HTTP/1.1", "host: wiki.test\r\n: empty\r\n"),
        ("GET / HTTP/1.1", "host: wiki.test\r\nx y: 1\r\n"),
        ("GET / HTTP/1.1", "host: wiki.test\r\nno colon\r\n"),
        ("GET / HTTP/1.1", "host: wiki.test\r\nx: 1\r\n folded\r\n"),
        ("GET / HTTP/1.1", " host: wiki.test\r\n"),
        ("GET / HTTP/1.1", "host : wiki.test\r\n"),
        ("GET / HTTP/1.1", "host: wiki.test\r\nhost: wiki.test\r\n"),
        ("GET / HTTP/1.1", "host: wiki.test\r\nhost: evil.test\r\n"),
        ("GET / HTTP/1.1", "host: user@wiki.test\r\n"),
        ("GET / HTTP/1.1", "x: no host at all\r\n"),
        ("GET / HTTP/3.0", "host: wiki.test\r\n"),
        ("GET / HTTP/0.9", "host: wiki.test\r\n"),
        ("GET / HTTP/1.2", "host: wiki.test\r\n"),
        ("GET / http/1.1", "host: wiki.test\r\n"),
        ("GET /", "host: wiki.test\r\n"),
        ("GET", "host: wiki.test\r\n"),
        (" GET / HTTP/1.1", "host: wiki.test\r\n"),
        ("GET\t/\tHTTP/1.1", "host: wiki.test\r\n"),
        ("G\0T / HTTP/1.1", "host: wiki.test\r\n"),
        ("\u{16}\u{3}\u{1} / HTTP/1.1", "host: wiki.test\r\n"),
    ] {
        let mut client = H1::connect(house.gateway.address()).await;
        client.try_send(format!("{line}\r\n{fields}{bearer}\r\n")).await;
        let Some(answer) = client.try_response("GET").await else { panic!("{line:?} {fields:?}: no answer") };
        let (told, status) = (format!("{line:?} {fields:?}: {answer:?}"), answer.status());
        let closes = answer.head.values("connection").iter().any(|v| v.eq_ignore_ascii_case("close"));
        assert!(status == 400 && closes, "{told}");
        assert!(!answer.head.text().to_ascii_lowercase().contains("pingora"), "{told}");
        let fields = answer.head.fields();
        refused.push(Said { status, fields, body: answer.text() });
    }
    assert_eq!(house.reached(), 0);
    // Each is an event, whoever found the mistake.
    house.recorded(&refused.iter().map(|said| (said, "bad_request")).collect::<Vec<_>>()).await;
    for http in BOTH {
        let token = house.issuer.token("bob");
        assert_eq!(house.say(http, &Ask::get(WIKI, "/").token(&token)).await.status, 200);
    }
}
