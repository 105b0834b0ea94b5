//! HTTP/2 that would be two requests once it is written down in HTTP/1.1.

use std::time::Duration;

use doorward_tests::frames::{Frame, Frames, Outcome};

use super::super::talk::{Ask, Http};
use super::{House, WIKI, framed_once};

/// Names and values, whatever they are.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Header blocks that would be two requests if they were written down as they are.
fn downgrades(second: &str) -> Vec<(String, Fields)> {
    let mut all = Vec::new();
    let mut add = |name: &str, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        all.push((name.to_owned(), fields));
    };
    for (name, end) in [("CRLF", "\r\n"), ("LF", "\n"), ("CR", "\r"), ("NUL", "\0"), ("CRLFCRLF", "\r\n\r\n")]
    {
        add(&format!("{name} in a value"), &[("x", &format!("a{end}{second}"))]);
        add(
            &format!("{name} and TE in a value"),
            &[("x", &format!("a{end}transfer-encoding: chunked{end}y: b"))],
        );
        add(&format!("{name} in a name"), &[(&format!("x: a{end}y"), "b")]);
        add(&format!("{name} in the path"), &[(":path", &format!("/ HTTP/1.1{end}{second}"))]);
        add(&format!("{name} in the method"), &[(":method", &format!("GET / HTTP/1.1{end}{second}"))]);
        add(&format!("{name} in the authority"), &[(":authority", &format!("{WIKI}{end}x: y"))]);
        add(&format!("{name} in the scheme"), &[(":scheme", &format!("http{end}x: y"))]);
        add(&format!("{name} in a cookie"), &[("cookie", &format!("a=1{end}x: y"))]);
    }
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding ", "chunked"),
        ("transfer-encoding:", "chunked"),
        (" transfer-encoding", "chunked"),
        ("connection", "transfer-encoding"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("content-length", "x"),
        ("content-length", "+0"),
        ("content-length", "-1"),
        ("content-length", "0, 0"),
        ("content-length", ""),
        ("content-length", "0 "),
        ("content-length:", "0"),
        ("x y", "1"),
        ("x:y", "1"),
        ("", "a"),
        (":x", "a"),
        (":status", "200"),
        (":path", "/again"),
        (":method", "PUT"),
        (":authority", "payroll.test"),
        (":scheme", "https"),
        ("host", "payroll.test"),
        ("host", "wiki.test, payroll.test"),
    ] {
        add(&format!("{name:?}: {value:?}"), &[(name, value)]);
    }
    // Malformed by RFC 9113 §8.2.1, and the same to every parser of HTTP/1.1.
    for value in [" a", "a\t", " ", "\t"] {
        add(&format!("harmless: {value:?}"), &[("x", value)]);
    }
    add("content-length twice", &[("content-length", "0"), ("content-length", "9")]);
    add("content-length twice the same", &[("content-length", "5"), ("content-length", "5")]);
    for path in
        ["/ HTTP/1.1", "/a b", "", "*", "a", "http://payroll.test/", "//payroll.test/", "/\u{7f}", "/\u{e9}"]
    {
        add(&format!("path {path:?}"), &[(":path", path)]);
    }
    for method in ["GET ", " GET", "GET /smuggled", "G\tT", "", "CONNECT", "GET\u{7f}"] {
        add(&format!("method {method:?}"), &[(":method", method)]);
    }
    all
}

#[tokio::test]
async fn s16_http2_that_becomes_two_requests_when_written_down() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let second = format!("GET /smuggled HTTP/1.1\r\nhost: {WIKI}\r\nauthorization: {bearer}\r\n\r\n");
    let ordinary: [(&str, &str); 5] = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", WIKI),
        (":path", "/try"),
        ("authorization", &bearer),
    ];
    for (name, odd) in downgrades(&second) {
        for body in [false, true] {
            // A pseudo-field takes the place of the ordinary one, except where it comes again.
            let replaces = |n: &[u8]| {
                odd.iter().any(|(o, v)| {
                    o == n
                        && n.starts_with(b":")
                        && v != b"/again"
                        && v != b"PUT"
                        && v != b"payroll.test"
                        && v != b"https"
                })
            };
            let mut fields: Vec<(&[u8], &[u8])> = ordinary
                .iter()
                .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
                .filter(|(n, _)| !replaces(n))
                .collect();
            let pseudo = odd.iter().filter(|(n, _)| n.starts_with(b":"));
            let rest = odd.iter().filter(|(n, _)| !n.starts_with(b":"));
            let at = fields.len() - 1;
            for (n, v) in pseudo {
                fields.insert(at, (n, v));
            }
            fields.extend(rest.map(|(n, v)| (n.as_slice(), v.as_slice())));
            let before = house.reached();
            let mut frames = Frames::connect(house.gateway.address()).await;
            frames.send(&Frame::headers(1, !body, &fields)).await;
            if body {
                frames.send(&Frame::data(1, true, format!("0\r\n\r\n{second}").as_bytes())).await;
            }
            let outcome = frames.outcome(1, Duration::from_secs(10)).await;
            let refused = matches!(
                outcome,
                Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed | Outcome::Status(400..=499)
            );
            if name.starts_with("harmless") {
                // One request or none; which of both is not the point.
                let seen = house.wiki.requests().split_off(before);
                assert!(refused && seen.is_empty() || seen.len() == 1, "{name}, body {body}: {outcome:?}");
                seen.iter().for_each(framed_once);
                continue;
            }
            assert!(refused, "{name}, body {body}: {outcome:?}");
            assert_eq!(house.reached(), before, "{name}, body {body}: {outcome:?}");
        }
    }
    assert_eq!(house.say(Http::Two, &Ask::get(WIKI, "/").field("authorization", &bearer)).await.status, 200);
}

#[tokio::test]
async fn s16_http2_bodies_are_framed_by_the_gateway_alone() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let second = format!("GET /smuggled HTTP/1.1\r\nhost: {WIKI}\r\nauthorization: {bearer}\r\n\r\n");
    let smuggled = format!("0\r\n\r\n{second}");
    let exact = smuggled.len().to_string();
    let attempts = [
        (None, true),
        (Some(exact.as_str()), true),
        (Some("0"), false),
        (Some("5"), false),
        (Some("99999"), false),
    ];
    for (i, (length, whole)) in attempts.iter().enumerate() {
        let path = format!("/try-{i}");
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", WIKI.as_bytes()),
            (b":path", path.as_bytes()),
            (b"authorization", bearer.as_bytes()),
        ];
        if let Some(length) = length {
            fields.push((b"content-length", length.as_bytes()));
        }
        let mut frames = Frames::connect(house.gateway.address()).await;
        frames.send(&Frame::headers(1, false, &fields)).await;
        frames.send(&Frame::data(1, true, smuggled.as_bytes())).await;
        let outcome = frames.outcome(1, Duration::from_secs(10)).await;
        assert_eq!(outcome == Outcome::Status(200), *whole, "{length:?}: {outcome:?}");
    }
    for i in 0..10 {
        let ask = Ask::get(WIKI, format!("/after-{i}")).field("authorization", &bearer);
        assert_eq!(house.say(Http::Two, &ask).await.body, "ok");
    }
    let seen = house.wiki.requests();
    for (i, (length, whole)) in attempts.iter().enumerate() {
        let mine: Vec<_> = seen.iter().filter(|r| r.head.target() == format!("/try-{i}")).collect();
        assert!(mine.len() <= 1, "{length:?}: {mine:?}");
        for request in mine {
            framed_once(request);
            let all = request.whole && request.body == smuggled.as_bytes();
            // What came of a body whose length was a lie is never a whole one for the app; that of
            // length 0 had none before the lie came out.
            let none = request.body.is_empty() && *length == Some("0");
            assert!(if *whole { all } else { !request.whole || none }, "{length:?}: {request:?}");
        }
    }
    assert!(seen.iter().all(|r| !r.head.target().contains("smuggled")));
}
