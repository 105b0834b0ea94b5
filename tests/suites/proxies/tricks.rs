//! What a client may try so that the app gets another request than was decided about.

use doorward_tests::h1::{Head, Response, request};
use serde_json::json;

use super::front::{Front, Kind, LOGIN};
use super::house::{FETCHES, OPENS, WIKI};

/// What the app got since it had got so many requests.
fn since(front: &Front, passed: usize) -> Vec<Head> {
    front.house.app.requests().into_iter().skip(passed).map(|request| request.head).collect()
}

/// What the app got must be what was decided about: the same path and host, whoever says so.
async fn was_decided(front: &Front, head: &Head) {
    let id = head.value("x-doorward-request-id").unwrap_or_else(|| panic!("undecided: {}", head.text()));
    let event = front.house.decision(&id).await;
    assert_eq!(event["unmapped"]["doorward"]["decision"]["outcome"], json!("allow"), "{event}");
    let target = head.target();
    let path = target.split_once('?').map_or(target.as_str(), |(path, _)| path);
    assert_eq!(event["http_request"]["url"]["path"], json!(path), "{}", head.text());
    let host = head.value("host").unwrap().to_lowercase();
    let (name, port) = host.split_once(':').unwrap_or((&host, ""));
    assert!(name == WIKI && port.bytes().all(|b| b.is_ascii_digit()), "{}", head.text());
}

/// Sends bytes on a connection of their own; none when it is closed without an answer.
async fn send(front: &Front, method: &str, bytes: &[u8]) -> Option<Response> {
    let mut connection = front.connect().await;
    // Whoever says no to a long line need not read it to its end.
    let _taken = connection.try_send(bytes).await;
    connection.try_response(method).await
}

const FORGED: &str = "corp:forged";

pub(crate) async fn nobody_says_who_they_are(front: &Front) {
    let cookie = front.house.cookie(&front.house.bob(), WIKI);
    let passed = front.passed();
    for name in ["user", "groups", "email", "on-behalf-of", "assertion", "request-id", "cookie", "location"] {
        for name in [
            format!("x-doorward-{name}"),
            format!("X-DOORWARD-{}", name.to_uppercase()),
            format!("x_doorward_{}", name.replace('-', "_")),
            format!("X-Doorward_{name}"),
            format!("x.doorward.{name}"),
        ] {
            for (what, cookie) in [(("GET", "/page"), cookie.as_str()), (("GET", "/welcome"), "")] {
                front.ask(what, cookie, &[(&name, FORGED), (&name, FORGED)]).await;
            }
        }
    }
    // What a client says of its connection is not said to the app.
    for names in
        ["x-doorward-user, x-doorward-assertion", "close, cookie", "keep-alive, x-doorward-on-behalf-of"]
    {
        let answer = front.ask(("GET", "/nominated"), &cookie, &[("connection", names)]).await;
        // Envoy takes away what is nominated (RFC 9110 §7.6.1), a cookie too.
        let cookie_gone = front.kind == Kind::Envoy && names.contains("cookie");
        assert_eq!(answer.status(), if cookie_gone { 401 } else { 200 }, "{names}");
    }
    let got = since(front, passed);
    assert!(got.len() >= 3);
    for head in got {
        assert!(!head.text().contains(FORGED), "{}", head.text());
        let user = if head.target() == "/welcome" { "" } else { "corp:bob" };
        assert_eq!(head.values("x-doorward-user").join("|"), user, "{}", head.text());
        let connection = head.values("connection").join(",").to_lowercase();
        assert!(!connection.contains("doorward") && !connection.contains("cookie"), "{connection}");
    }
}

pub(crate) async fn nothing_else_is_decided_about(front: &Front) {
    let passed = front.passed();
    let said = |path: &str| {
        let of = |name: &'static str, value: String| (name, value);
        vec![
            of("x-original-url", path.to_owned()),
            of("x-original-url", format!("https://{WIKI}{path}")),
            of("x-original-uri", path.to_owned()),
            of("x-original-host", LOGIN.to_owned()),
            of("x-original-method", "OPTIONS".to_owned()),
            of("x_original_url", path.to_owned()),
            of("x-rewrite-url", path.to_owned()),
            of("x-forwarded-uri", path.to_owned()),
            of("x-forwarded-path", path.to_owned()),
            of("x-forwarded-prefix", path.to_owned()),
            of("x-forwarded-method", "OPTIONS".to_owned()),
            of("x-forwarded-host", LOGIN.to_owned()),
            of("x-forwarded-port", "1".to_owned()),
            of("x-forwarded-server", LOGIN.to_owned()),
            of("forwarded", format!("for=192.0.2.9;host={LOGIN}")),
            of("x-forwarded-proto", "http".to_owned()),
            of("x-http-method-override", "OPTIONS".to_owned()),
        ]
    };
    // Nobody may see the page, whatever they say that they asked for.
    for (name, value) in said("/welcome") {
        let answer = front.ask(("GET", "/page"), "", &[(name, &value)]).await;
        assert!(matches!(answer.status(), 400..=404), "{name}: {}", answer.status());
    }
    let all = said("/welcome");
    let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(matches!(front.ask(("GET", "/page"), "", &all).await.status(), 400..=404));
    assert_eq!(front.passed(), passed);
    // Everybody may see the welcome, and no app is told that they asked for something else.
    for (name, value) in said("/page?told") {
        front.ask(("GET", "/welcome"), "", &[(name, &value)]).await;
    }
    for head in since(front, passed) {
        was_decided(front, &head).await;
        let steering = ["uri", "path", "prefix", "url", "override", "method", "port", "server", "forwarded"];
        let lines = head.fields().into_iter().map(|(name, value)| (name.to_lowercase(), value));
        for (_, value) in lines.filter(|(name, _)| steering.iter().any(|word| name.ends_with(word))) {
            assert!(value.is_empty(), "{}", head.text());
        }
        assert!(!head.text().contains(LOGIN), "{}", head.text());
    }
}

pub(crate) async fn the_app_gets_the_path_that_was_decided_about(front: &Front) {
    let cookie = front.house.cookie(&front.house.bob(), WIKI);
    let (host, passed) = (front.authority(), front.passed());
    let long = format!("/page?{}", "x".repeat(200_000));
    let lines = [FETCHES, &[("cookie", cookie.as_str())]].concat();
    for target in [
        "//page",
        "/page//",
        "/./page",
        "/page/.",
        "/a/../page",
        "/a/%2e%2e/page",
        "/a/.%2E/page",
        "/..;/page",
        "/a;/../page",
        "/p%61ge",
        "/a%2fpage",
        "/a%5cpage",
        "/a\\page",
        "/a\\..\\page",
        "/%252e/page",
        "/page%00",
        "/page\0",
        "/page%",
        "/page%zz",
        "/page%3fx",
        "/page#/../admin",
        "/welcome/../admin",
        "/welcome/..%2fadmin",
        "/welcome/%2e%2e%2fadmin",
        "/admin/../page",
        "/.doorward/../page",
        "/.doorward/%2e%2e/admin",
        "/.doorward\\..\\page",
        "/x/../.doorward/",
        "*",
        "page",
        "?page",
        &long,
    ] {
        let answer = send(front, "GET", &request("GET", &host, target, &lines, b"")).await;
        let status = answer.map_or(400, |answer| answer.status());
        let got = since(front, passed);
        let shown: String = target.chars().take(40).collect();
        assert!(got.is_empty(), "{shown}: {status}, and the app got {}", got[0].text());
        assert!((400..500).contains(&status), "{shown}: {status}");
    }
    // What may be read in one way alone may pass, and then as it was read.
    for (target, host) in [
        ("/p%C3%A9?q=%2e%2e/;", host.as_str()),
        ("/pag\u{e9}", &host),
        ("/page?%00", &host),
        ("/page?", &host),
        ("/.DOORWARD/", &host),
        (&format!("https://{host}/page"), &host),
        (&format!("https://{host}/page"), LOGIN),
        (&format!("https://{LOGIN}/page"), &host),
        ("https://payroll.test/page", &host),
        (&format!("http://{host}/page"), &host),
        (&format!("https://{host}"), &host),
        (&format!("https:{host}/page"), &host),
        ("/page", "WIKI.test"),
        ("/page", "wiki.test."),
        ("/page", "wiki.test:1"),
        ("/page", "payroll.test"),
        ("/page", LOGIN),
        ("/page", "payroll.test,wiki.test"),
        ("/page", "wiki.test, payroll.test"),
        ("/page", "wiki.test:@payroll.test"),
        ("/page", "payroll.test@wiki.test"),
    ] {
        let answer = send(front, "GET", &request("GET", host, target, &lines, b"")).await;
        let passed = answer.is_some_and(|answer| answer.status() == 200);
        assert!(passed || !target.starts_with("/p%C3%A9"), "{target}");
    }
    let got = since(front, passed);
    assert!(!got.is_empty());
    for head in got {
        was_decided(front, &head).await;
    }
}

pub(crate) async fn http2_is_no_way_past(front: &Front) {
    let Some(wire) = front.connect_h2().await else { return };
    let (house, host, passed) = (&front.house, front.authority(), front.passed());
    let bob = house.cookie(&house.bob(), WIKI);
    let asked =
        async |host: &str, path: &str, lines: &[(&str, &str)]| wire.get(host, path, lines).await.status;
    let forged = [("cookie", bob.as_str()), ("x-doorward-user", FORGED)];
    assert_eq!(asked(&host, "/page?h2", &forged[..1]).await, 200);
    assert_eq!(asked(&host, "/page", &[]).await, 401);
    asked(&host, "/page", &forged).await;
    for path in ["//page", "/a/../page", "/welcome/..%2fadmin", "/a%2fpage"] {
        assert!(asked(&host, path, &forged[..1]).await >= 400, "{path}");
    }
    for other in [LOGIN, "payroll.test", "WIKI.test"] {
        asked(other, "/page", &forged[..1]).await;
    }
    let got = since(front, passed);
    assert_eq!(got[0].values("x-doorward-user"), ["corp:bob"]);
    for head in got {
        assert!(!head.text().contains(FORGED), "{}", head.text());
        was_decided(front, &head).await;
    }
}

pub(crate) async fn nothing_becomes_a_tunnel(front: &Front) {
    let cookie = front.house.cookie(&front.house.bob(), WIKI);
    let passed = front.passed();
    let socket = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = front.ask(("GET", "/logs"), &cookie, &socket).await;
    assert!(matches!(answer.status(), 400 | 403), "{}", answer.status());
    assert_eq!(front.passed(), passed);
    let h2c = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ];
    for (cookie, target) in [(cookie.as_str(), "/page"), ("", "/welcome")] {
        let answer = front.ask(("GET", target), cookie, &h2c).await;
        assert!(matches!(answer.status(), 200 | 400 | 403), "{}", answer.status());
    }
    for head in since(front, passed) {
        assert_eq!(head.value("upgrade").unwrap_or_default(), "", "{}", head.text());
    }
    let passed = front.passed();
    let lines = [OPENS, &[("cookie", cookie.as_str())]].concat();
    let host = front.authority();
    let answer = send(front, "CONNECT", &request("CONNECT", &host, &host, &lines, b"")).await;
    assert!(answer.is_none_or(|answer| answer.status() >= 300));
    assert_eq!(front.passed(), passed);
}
