use http::StatusCode;
use pingora::http::ResponseHeader;
use proptest::prelude::*;
use prost::Message as _;

use super::check::{Address, HeaderMap as Lines, HeaderValue as Line, Peer, Request, SocketAddress};
use super::*;

const LINES: &[(&str, &str)] = &[
    (":authority", "Wiki.test:8443"),
    (":path", "/a?b=c"),
    (":method", "POST"),
    (":scheme", "https"),
    ("cookie", "a=1; __Host-doorward-session=secret"),
    ("authorization", "Bearer secret"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-proto", "http"),
    ("x_doorward_user", "corp:alice"),
    ("content-length", "3"),
    ("connection", "x-doorward-user"),
    ("te", "trailers"),
];

fn line(name: &str, value: &str) -> Line {
    Line { key: name.into(), value: value.into(), raw_value: vec![] }
}

fn raw(name: &str, value: &[u8]) -> Line {
    Line { key: name.into(), value: String::new(), raw_value: value.to_vec() }
}

fn asked() -> CheckRequest {
    let http = HttpRequest {
        method: vec!["POST".into()],
        headers: LINES.iter().map(|(name, value)| line(name, value)).collect(),
        path: vec!["/a?b=c".into()],
        host: vec!["Wiki.test:8443".into()],
        scheme: vec!["https".into()],
        header_map: vec![],
    };
    let address = SocketAddress { address: vec!["192.0.2.7".into()] };
    let address = Address { socket_address: vec![address] };
    let attributes = AttributeContext {
        source: vec![Peer { address: vec![address] }],
        request: vec![Request { http: vec![http] }],
    };
    CheckRequest { attributes: vec![attributes] }
}

fn http(asked: &mut CheckRequest) -> &mut HttpRequest {
    &mut asked.attributes[0].request[0].http[0]
}

fn address(asked: &mut CheckRequest) -> &mut Vec<String> {
    &mut asked.attributes[0].source[0].address[0].socket_address[0].address
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn body(asked: &CheckRequest) -> Vec<u8> {
    framed(&asked.encode_to_vec())
}

fn raised(asked: &mut CheckRequest) {
    let http = http(asked);
    let lines = std::mem::take(&mut http.headers);
    let headers = lines.into_iter().map(|line| raw(&line.key, line.value.as_bytes())).collect();
    http.header_map = vec![Lines { headers }];
}

#[test]
fn what_envoy_tells_becomes_the_request_that_it_was_asked() {
    let mut by_line = asked();
    raised(&mut by_line);
    for asked in [asked(), by_line] {
        let question = Question::read(&body(&asked)).unwrap();
        let (request, sent) = question.becomes(ClientAddressHeader::XForwardedFor).unwrap();
        assert_eq!((request.method.as_str(), request.uri.to_string().as_str()), ("POST", "/a?b=c"));
        let all = |name: &str| request.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("host"), ["wiki.test:8443"]);
        assert_eq!(all("x-forwarded-proto"), ["https"]);
        assert_eq!(all("x-forwarded-for"), ["1.2.3.4", "192.0.2.7"], "the other end of Envoy's comes last");
        assert_eq!(all("authorization"), ["Bearer secret"]);
        assert_eq!(request.version, http::Version::HTTP_11);
        for name in ["content-length", "connection", "te"] {
            assert!(all(name).is_empty() && !sent.contains_key(name), "{name}");
        }
        assert_eq!((&sent["x-forwarded-proto"], sent.len()), (&HeaderValue::from_static("http"), 5));
    }
    let mut v6 = asked();
    *address(&mut v6) = vec!["2001:db8::1".into()];
    let (request, _) = Question::read(&body(&v6)).unwrap().becomes(ClientAddressHeader::Forwarded).unwrap();
    assert_eq!(request.headers["forwarded"], "for=\"[2001:db8::1]\"");
}

#[test]
fn a_line_is_what_it_was_byte_by_byte_and_may_stand_twice_only_where_lines_are_not_joined() {
    let mut question = asked();
    raised(&mut question);
    http(&mut question).header_map[0].headers.extend([raw("x-a", b"\xff\xe9"), raw("x-a", b"2")]);
    let (request, _) =
        Question::read(&body(&question)).unwrap().becomes(ClientAddressHeader::XForwardedFor).unwrap();
    let lines: Vec<_> = request.headers.get_all("x-a").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(lines, [&b"\xff\xe9"[..], b"2"]);
}

/// A change, the code of the refusal, and what its text names.
type Case = (fn(&mut CheckRequest), RefusalCode, &'static str);

const BAD: RefusalCode = RefusalCode::BadRequest;

#[test]
fn what_tells_no_request_or_two_is_refused_by_name() {
    let cases: &[Case] = &[
        (|q| q.attributes.clear(), BAD, "`attributes`"),
        (|q| q.attributes.push(AttributeContext::default()), BAD, "`attributes`"),
        (|q| q.attributes[0].request.clear(), BAD, "attributes.request"),
        (|q| q.attributes[0].request.push(Request::default()), BAD, "attributes.request"),
        (|q| q.attributes[0].request[0].http.clear(), BAD, "attributes.request.http"),
        (|q| q.attributes[0].request[0].http.push(HttpRequest::default()), BAD, "attributes.request.http"),
        (|q| http(q).method.clear(), BAD, "http.method"),
        (|q| http(q).method.push("GET".into()), BAD, "http.method"),
        (|q| http(q).method = vec!["GE T".into()], BAD, "header"),
        (|q| http(q).path.push("/".into()), BAD, "http.path"),
        (|q| http(q).path.clear(), BAD, "http.path"),
        (|q| http(q).path = vec![String::new()], BAD, "http.path"),
        (|q| http(q).path = vec!["/other".into()], BAD, "another request"),
        (|q| http(q).host = vec!["payroll.test".into()], BAD, "another request"),
        (|q| http(q).host.clear(), BAD, "http.host"),
        (|q| http(q).host.push("wiki.test".into()), BAD, "http.host"),
        (|q| http(q).scheme.clear(), BAD, "http.scheme"),
        (|q| http(q).scheme = vec!["http".into()], BAD, "another request"),
        (|q| http(q).headers.push(line("host", "payroll.test")), BAD, "another request"),
        (|q| http(q).headers.push(line(":protocol", "websocket")), BAD, "another request"),
        (|q| http(q).headers.push(line(":", "")), BAD, "another request"),
        (|q| http(q).headers.push(line("upgrade", "h2c")), BAD, "Upgrade"),
        (|q| http(q).headers.push(line("Sec-WebSocket-Key", "x")), BAD, "WebSocket"),
        (|q| http(q).headers.push(line("cookie", "b=2")), BAD, "`cookie`"),
        (
            |q| http(q).headers[4].value = "a=1,__Host-doorward-session=secret".into(),
            BAD,
            "encode_raw_headers",
        ),
        (
            |q| http(q).headers[4].value = "a=1, b=2 , __host-Doorward-x=secret".into(),
            BAD,
            "encode_raw_headers",
        ),
        (|q| http(q).headers.push(line("x y", "1")), BAD, "none of HTTP"),
        (|q| http(q).headers.push(line("", "1")), BAD, "none of HTTP"),
        (|q| http(q).headers.push(line("x", "1\r\nx-b: 2")), BAD, "none of HTTP"),
        (|q| http(q).headers[4].raw_value = b"x".to_vec(), BAD, "raw_value"),
        (|q| http(q).header_map.push(Lines { headers: vec![] }), BAD, "header_map"),
        (|q| http(q).header_map = vec![Lines::default(), Lines::default()], BAD, "header_map"),
        (|q| q.attributes[0].source.clear(), RefusalCode::ClientAddress, "attributes.source"),
        (|q| q.attributes[0].source.push(Peer::default()), RefusalCode::ClientAddress, "attributes.source"),
        (|q| address(q).push("192.0.2.8".into()), RefusalCode::ClientAddress, "attributes.source"),
        (|q| *address(q) = vec!["/run/envoy.sock".into()], RefusalCode::ClientAddress, "attributes.source"),
    ];
    for (i, (change, code, named)) in cases.iter().enumerate() {
        let mut asked = asked();
        change(&mut asked);
        let refusal = Question::read(&body(&asked)).err().unwrap_or_else(|| panic!("case {i}, {named}"));
        assert_eq!(refusal.code, *code, "case {i}: {}", refusal.detail);
        assert!(refusal.detail.contains(named), "case {i}, {named}: {}", refusal.detail);
        assert!(!refusal.detail.contains("secret"), "{}", refusal.detail);
    }
    // The same without `:path` and the like in the header, where the fields alone are looked at.
    for (path, host, scheme, method) in [
        ("a", "wiki.test", "https", "GET"),
        ("https://payroll.test/", "wiki.test", "https", "GET"),
        ("/a#b", "wiki.test", "https", "GET"),
        ("/a b", "wiki.test", "https", "GET"),
        ("/\u{e9}", "wiki.test", "https", "GET"),
        ("/", "a@wiki.test", "https", "GET"),
        ("/", "wiki.test/x", "https", "GET"),
        ("/", "wiki.test", "ws", "GET"),
        ("/", "wiki.test", "https", "GE T"),
    ] {
        let mut asked = asked();
        let fields = http(&mut asked);
        fields.headers.clear();
        fields.path = vec![path.into()];
        (fields.host, fields.scheme, fields.method) =
            (vec![host.into()], vec![scheme.into()], vec![method.into()]);
        let refusal = Question::read(&body(&asked)).err().unwrap_or_else(|| panic!("{path} {host}"));
        assert_eq!(refusal.code, BAD);
    }
}

#[test]
fn bytes_that_are_no_question_are_none() {
    let whole = body(&asked());
    assert!(Question::read(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(Question::read(&whole[..end]).is_err(), "cut off at {end}");
        // The same with a length that is right.
        if let Some(message) = whole[..end].get(5..) {
            assert!(Question::read(&framed(message)).is_err(), "cut off at {end}");
        }
    }
    let compressed = [&[1][..], &whole[1..]].concat();
    let twice = [&whole[..], &whole].concat();
    let longer = [&whole[..], b"x"].concat();
    let vast = [&[0, 0xff, 0xff, 0xff, 0xff][..], &whole[5..]].concat();
    // A length of 2^63 within, a tag of no type, the wrong type, text that is not UTF-8, groups without an end.
    let within: [&[u8]; 6] = [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x0f",
        b"\x08\x01",
        b"\x0a\x06\x22\x04\x12\x02\x12\xff",
        &[0x0b; 4096],
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ];
    for bytes in [compressed, twice, longer, vast].into_iter().chain(within.into_iter().map(framed)) {
        assert!(Question::read(&bytes).is_err(), "{:?}", &bytes[..bytes.len().min(40)]);
    }
    // What is not known is skipped.
    let mut message = whole[5..].to_vec();
    message.extend_from_slice(b"\x9a\x06\x03new\xf8\x07\x01");
    assert!(Question::read(&framed(&message)).is_ok());
}

#[test]
fn a_header_of_very_many_lines_is_refused_and_breaks_nothing() {
    let mut asked = asked();
    http(&mut asked).headers = (0..40_000).map(|i| line(&format!("x{i:x}"), "")).collect();
    let refusal = Question::read(&body(&asked)).err().unwrap();
    assert_eq!(refusal.code, RefusalCode::HeaderTooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Question::read(&bytes).is_err());
        prop_assert!(Question::read(&framed(&bytes)).is_err());
    }

    /// Whatever is turned around in a good question: it is refused, or it is a question about one request.
    #[test]
    fn what_is_damaged_is_refused_or_read_in_one_way(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut message = asked().encode_to_vec();
        for (at, byte) in flips {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Ok((request, sent)) =
            Question::read(&framed(&message)).and_then(|q| q.becomes(ClientAddressHeader::XForwardedFor))
        {
            prop_assert!(request.uri.path().starts_with('/'));
            prop_assert_eq!(request.headers.get_all("host").iter().count(), 1);
            prop_assert!(!sent.contains_key("host") && !sent.contains_key("connection"));
        }
    }
}

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn written(options: &[HeaderValueOption]) -> Vec<(String, String, i32)> {
    let each = |o: &HeaderValueOption| {
        let header = o.header.clone().unwrap();
        (header.key, header.value, o.append_action)
    };
    let mut all: Vec<_> = options.iter().map(each).collect();
    all.sort();
    all
}

fn words(list: &[(&str, &str, i32)]) -> Vec<(String, String, i32)> {
    list.iter().map(|(name, value, action)| ((*name).into(), (*value).into(), *action)).collect()
}

#[test]
fn what_the_app_may_not_get_is_taken_away_and_what_it_gets_is_written_over() {
    let sent = map(&[
        ("accept", "a"),
        ("accept", "b"),
        ("authorization", "Bearer x"),
        ("cookie", "a=1; ours=2"),
        ("x-doorward-user", "corp:alice"),
        ("x-doorward-groups", "admins"),
        ("x_doorward_user", "corp:alice"),
        ("x-forwarded-for", "1.2.3.4"),
    ]);
    let told = map(&[
        ("host", "wiki.test"),
        ("accept", "a"),
        ("accept", "b"),
        ("cookie", "a=1"),
        ("x-doorward-user", "corp:bob"),
        ("x-doorward-assertion", "s"),
        ("x-forwarded-for", "192.0.2.7"),
    ]);
    let renewed = map(&[("set-cookie", "c"), ("cache-control", "private, no-store")]);
    let answer = passes(&sent, &told, &renewed);
    assert_eq!((answer.status.unwrap().code, answer.denied.is_none()), (0, true));
    let ok = answer.ok.unwrap();
    let set = words(&[
        ("cookie", "a=1", 2),
        ("x-doorward-assertion", "s", 2),
        ("x-doorward-user", "corp:bob", 2),
        ("x-forwarded-for", "192.0.2.7", 2),
    ]);
    assert_eq!(written(&ok.headers), set);
    let mut removed = ok.headers_to_remove;
    removed.sort();
    let gone = [
        "authorization",
        "x-doorward-email",
        "x-doorward-groups",
        "x-doorward-on-behalf-of",
        "x_doorward_user",
    ];
    assert_eq!(removed, gone, "what was not shown to us goes, too");
    assert!(set.iter().all(|(name, ..)| !removed.contains(name)), "Envoy removes last");
    // What the app says of caches goes, and its cookies stay.
    let added = words(&[("cache-control", "private, no-store", 2), ("set-cookie", "c", 0)]);
    assert_eq!(written(&ok.response_headers_to_add), added);
}

#[test]
fn no_refusal_is_a_yes() {
    for status in 100..=599_u16 {
        let mut head = ResponseHeader::build(StatusCode::from_u16(status).unwrap(), None).unwrap();
        for (name, value) in [("content-length", "2"), ("set-cookie", "a"), ("set-cookie", "b")] {
            head.append_header(name, value).unwrap();
        }
        let said = refuses(&Answer { head, body: b"no".to_vec() });
        assert!(said.ok.is_none());
        let code = match status {
            300..=399 | 401 => 16,
            500.. => 14,
            _ => 7,
        };
        assert_eq!(said.status.unwrap().code, code);
        let denied = said.denied.unwrap();
        assert_eq!((denied.status.unwrap().code, denied.body.as_str()), (i32::from(status), "no"));
        assert_eq!(written(&denied.headers), words(&[("set-cookie", "a", 2), ("set-cookie", "b", 0)]));
    }
}

#[test]
fn an_answer_is_one_message_and_shows_nothing() {
    let answer = passes(&HeaderMap::new(), &map(&[("x-doorward-assertion", "secret")]), &HeaderMap::new());
    let bytes = answer.write();
    assert_eq!(bytes[..5], framed(&answer.encode_to_vec())[..5]);
    assert!(CheckResponse::decode(&bytes[5..]).unwrap() == answer);
    assert!(!format!("{answer:?} {:?}", asked()).contains("secret"));
}
