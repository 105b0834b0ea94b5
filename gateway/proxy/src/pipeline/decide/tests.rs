use super::*;

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

const NGINX: &[(&str, &str)] =
    &[("x-original-url", "https://Wiki.test:8443/a?b=c"), ("x-original-method", "POST")];
const TRAEFIK: &[(&str, &str)] = &[
    ("x-forwarded-method", "POST"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "wiki.test:8443"),
    ("x-forwarded-uri", "/a?b=c"),
];

#[test]
fn both_manners_tell_the_same_request() {
    for (lines, manner) in [(NGINX, Manner::Original), (TRAEFIK, Manner::Forwarded)] {
        let read = Original::read(&map(lines)).unwrap();
        assert_eq!((read.manner, read.method.as_str(), read.https), (manner, "POST", true));
        assert_eq!((read.authority.as_str(), read.target.as_str()), ("wiki.test:8443", "/a?b=c"));
        let mut request = RequestHeader::build("GET", b"/question", None).unwrap();
        request.append_header("host", "gateway.test").unwrap();
        request.append_header("content-length", "3").unwrap();
        request.set_version(Version::HTTP_2);
        read.becomes(&mut request).unwrap();
        assert_eq!((request.method.as_str(), request.uri.to_string().as_str()), ("POST", "/a?b=c"));
        assert_eq!(request.headers.get_all("host").iter().collect::<Vec<_>>(), ["wiki.test:8443"]);
        assert_eq!(request.headers["x-forwarded-proto"], "https");
        assert!(!request.headers.contains_key("content-length"));
        assert_eq!(request.version, Version::HTTP_11);
    }
}

#[test]
fn what_tells_no_request_or_two_is_refused_by_name() {
    let url = |url: &'static str| vec![("x-original-url", url), ("x-original-method", "GET")];
    let part = |name: &'static str, value: &'static str| {
        let mut lines = TRAEFIK.to_vec();
        lines.retain(|(n, _)| *n != name);
        lines.push((name, value));
        lines
    };
    let also = |lines: &[(&'static str, &'static str)], name, value| [lines, &[(name, value)]].concat();
    for (lines, named) in [
        (vec![], "x-original-url"),
        (vec![("x-original-url", "https://wiki.test/")], "x-original-method"),
        (NGINX[1..].to_vec(), "x-original-url"),
        (also(NGINX, "x-original-url", "https://wiki.test/"), "x-original-url"),
        (also(NGINX, "x-original-method", "GET"), "x-original-method"),
        (also(NGINX, "x-forwarded-uri", "/"), "x-forwarded-uri"),
        (also(NGINX, "x-forwarded-method", "GET"), "x-forwarded-method"),
        (also(TRAEFIK, "x-original-url", "https://wiki.test/"), "x-original"),
        (also(TRAEFIK, "x-forwarded-host", "wiki.test"), "x-forwarded-host"),
        (also(TRAEFIK, "x-forwarded-proto", "https"), "x-forwarded-proto"),
        (TRAEFIK[1..].to_vec(), "x-forwarded-method"),
        (TRAEFIK[..3].to_vec(), "x-forwarded-uri"),
        (TRAEFIK[1..3].to_vec(), "nothing says"),
        (part("x-forwarded-proto", "ws"), "scheme"),
        (part("x-forwarded-proto", ""), "x-forwarded-proto"),
        (part("x-forwarded-host", "a@wiki.test"), "host"),
        (part("x-forwarded-host", "wiki.test/x"), "host"),
        (part("x-forwarded-uri", "a"), "target"),
        (part("x-forwarded-uri", "https://payroll.test/"), "target"),
        (part("x-forwarded-uri", "/a#b"), "target"),
        (part("x-forwarded-uri", "/a b"), "target"),
        (part("x-forwarded-uri", "/\u{e9}"), "x-forwarded-uri"),
        (part("x-forwarded-method", "GE T"), "method"),
        (url("https://wiki.test"), "x-original-url"),
        (url("wiki.test/"), "x-original-url"),
        (url("ftp://wiki.test/"), "scheme"),
        (url("https://bob@wiki.test/"), "host"),
        (url("https://wiki.test?x=/"), "host"),
        (url("https://wiki.test\\/"), "host"),
        (url("https:///"), "host"),
        (also(NGINX, "X_DoorWard.User", "corp:alice"), "x_doorward.user"),
        (also(NGINX, "x-doorward-request-id", "1"), "x-doorward-request-id"),
        (also(NGINX, "sec-websocket-key", "x"), "WebSocket"),
        (also(NGINX, "upgrade", "h2c, WebSocket"), "WebSocket"),
        (also(TRAEFIK, "upgrade", "h2c"), "Upgrade"),
        (also(NGINX, "X_Rewrite-URL", "/admin"), "x_rewrite-url"),
        (also(TRAEFIK, "x-http-method-override", "DELETE"), "x-http-method-override"),
        (also(TRAEFIK, "X-Method_Override", "DELETE"), "x-method_override"),
        (also(TRAEFIK, "X_Original_URL", "/admin"), "x_original_url"),
        (also(NGINX, "x-forwarded.uri", "/admin"), "x-forwarded.uri"),
        (also(NGINX, "X-Original-URI", "/admin"), "x-original-uri"),
        (also(TRAEFIK, "X-Original-Host", "payroll.test"), "x-original-host"),
        (also(NGINX, "X-Forwarded-Path", "/admin"), "x-forwarded-path"),
        (also(TRAEFIK, "X-Forwarded-Prefix", "/admin"), "x-forwarded-prefix"),
        (also(NGINX, "X-Forwarded_For", "192.0.2.9"), "x-forwarded_for"),
    ] {
        let refusal = Original::read(&map(&lines)).expect_err(&format!("{lines:?}"));
        assert_eq!(refusal.code, RefusalCode::BadRequest);
        assert!(
            refusal.detail.to_lowercase().contains(&named.to_lowercase()),
            "{lines:?}: {}",
            refusal.detail
        );
    }
}

#[test]
fn what_balancers_tell_besides_is_no_second_request() {
    for lines in [NGINX, TRAEFIK] {
        for name in ["X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Server", "Forwarded", "X-Real-IP"] {
            assert!(Original::read(&map(&[lines, &[(name, "1")]].concat())).is_ok(), "{name}");
        }
    }
}

#[test]
fn no_refusal_is_a_yes() {
    for sent in 100..=599 {
        let sent = StatusCode::from_u16(sent).unwrap();
        for manner in [Manner::Original, Manner::Forwarded] {
            let told = status(manner, sent).as_u16();
            assert!(told >= 300, "{manner:?} {sent}");
            if manner == Manner::Original {
                assert!(matches!(told, 401 | 403 | 500..), "{sent}");
            }
        }
    }
    for (sent, original, forwarded) in
        [(401, 401, 401), (403, 403, 403), (404, 403, 404), (302, 401, 302), (503, 503, 503), (200, 403, 403)]
    {
        let of = |manner| status(manner, StatusCode::from_u16(sent).unwrap()).as_u16();
        assert_eq!((of(Manner::Original), of(Manner::Forwarded)), (original, forwarded));
    }
}
