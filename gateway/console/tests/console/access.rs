//! Who gets in.

use doorward_console::Token;

use crate::fixture::{Gateway, TOKEN, bearer, run};

/// Everything that exists, and some things that do not.
const PATHS: &[(&str, &str, Need)] = &[
    ("GET", "/healthz", Need::Nothing),
    ("GET", "/readyz", Need::Nothing),
    ("GET", "/metrics", Need::Nothing),
    ("GET", "/.well-known/jwks.json", Need::Nothing),
    ("GET", "/api/v1/revocations", Need::Token(200)),
    ("GET", "/api/v1/inflight", Need::Token(200)),
    ("GET", "/api/v1/status", Need::Token(200)),
    ("GET", "/api/v1/policies", Need::Token(200)),
    ("POST", "/api/v1/revocations", Need::Token(415)),
    ("POST", "/api/v1/policies/explain", Need::Token(415)),
    ("POST", "/api/v1/policies/reload", Need::Token(200)),
    ("POST", "/api/v1/status", Need::Token(405)),
    ("DELETE", "/api/v1/revocations", Need::Token(405)),
    ("OPTIONS", "/api/v1/revocations", Need::Token(405)),
    ("GET", "/api/v1/policies/reload", Need::Token(405)),
    ("GET", "/", Need::Token(404)),
    ("GET", "/api/v1", Need::Token(404)),
    ("GET", "/api/v2/status", Need::Token(404)),
    ("GET", "/api/v1/status/", Need::Token(404)),
    ("GET", "/healthz/", Need::Token(404)),
    ("GET", "/healthz/../api/v1/status", Need::Token(404)),
    ("GET", "//api/v1/status", Need::Token(404)),
    ("GET", "/%61pi/v1/status", Need::Token(404)),
    ("GET", "/.well-known/jwks.json/x", Need::Token(404)),
];

#[derive(Clone, Copy)]
enum Need {
    Nothing,
    /// The token; with it the answer has this status.
    Token(u16),
}

#[test]
fn without_the_token_nothing_answers_not_even_whether_it_exists() {
    run(async {
        let gateway = Gateway::start().await;
        let short = &TOKEN[..TOKEN.len() - 1];
        let wrong = [
            String::new(),
            format!("Authorization: Bearer {short}"),
            format!("Authorization: Bearer {TOKEN}x"),
            format!("Authorization: Bearer  {TOKEN}"),
            format!("Authorization: Bearer {}", TOKEN.to_uppercase()),
            format!("Authorization: Basic {TOKEN}"),
            format!("Authorization: {TOKEN}"),
            "Authorization: Bearer".to_owned(),
            "Authorization: Bearer ".to_owned(),
            "Authorization: ".to_owned(),
            format!("Cookie: token={TOKEN}"),
            format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}"),
            format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer wrong"),
        ];
        for (method, path, need) in PATHS {
            for shown in &wrong {
                let headers: Vec<&str> = if shown.is_empty() { vec![] } else { vec![shown] };
                let answer = gateway.call(method, path, &headers, "").await;
                let want = if matches!(need, Need::Nothing) { 200 } else { 401 };
                assert_eq!(answer.status, want, "{method} {path} {shown:?}");
                if want == 401 {
                    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"doorward operator\""));
                    assert_eq!(answer.json()["code"], "unauthorized");
                }
            }
            let answer = gateway.call(method, path, &[&bearer()], "").await;
            let want = if let Need::Token(status) = need { *status } else { 200 };
            assert_eq!(answer.status, want, "{method} {path} with the token: {}", answer.body);
        }
        // A query is no way in, and a token in one is none.
        let answer = gateway.call("GET", &format!("/api/v1/status?access_token={TOKEN}"), &[], "").await;
        assert_eq!(answer.status, 401);
        assert!(gateway.call("GET", "/api/v1/status", &[&bearer().to_lowercase()], "").await.status == 200);
    });
}

#[test]
fn a_token_can_be_exchanged_and_taken_away_while_it_runs() {
    run(async {
        let gateway = Gateway::start().await;
        let next = "another-token-of-thirty-two-characters";
        assert_eq!(gateway.get("/api/v1/status").await.status, 200);
        *gateway.token.lock().unwrap() = Token::new(next);
        assert_eq!(gateway.get("/api/v1/status").await.status, 401);
        let shown = format!("Authorization: Bearer {next}");
        assert_eq!(gateway.call("GET", "/api/v1/status", &[&shown], "").await.status, 200);
        *gateway.token.lock().unwrap() = None;
        for shown in [shown, bearer(), "Authorization: Bearer ".to_owned()] {
            assert_eq!(gateway.call("GET", "/api/v1/status", &[&shown], "").await.status, 401, "{shown}");
        }
    });
}

#[test]
fn a_page_of_another_site_cannot_use_a_browser_to_get_in() {
    run(async {
        let gateway = Gateway::start().await;
        let port = gateway.address.port();
        for (host, good) in [
            (format!("127.0.0.1:{port}"), true),
            (format!("localhost:{port}"), true),
            ("doorward.internal".to_owned(), true),
            (format!("evil.example:{port}"), false),
            ("127.0.0.1.evil.example".to_owned(), false),
            ("169.254.169.254".to_owned(), false),
            (String::new(), false),
        ] {
            for path in ["/api/v1/status", "/readyz", "/metrics", "/nothing"] {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\n{}\r\nConnection: close\r\n\r\n",
                    bearer()
                );
                let answer = gateway.raw(request.as_bytes()).await;
                assert_eq!(answer.status == 421, !good, "{host} {path}: {}", answer.status);
            }
            // Nothing secret is here, and probes call by whatever name they like.
            let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            assert_eq!(gateway.raw(request.as_bytes()).await.status, 200, "{host}");
        }
        for head in [
            "GET /api/v1/status HTTP/1.1\r\n".to_owned(),
            format!("GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nHost: localhost:{port}\r\n"),
            "GET http://evil.example/api/v1/status HTTP/1.1\r\nHost: localhost\r\n".to_owned(),
            "GET http://localhost/api/v1/status HTTP/1.1\r\nHost: evil.example\r\n".to_owned(),
            "GET /api/v1/status HTTP/1.0\r\n".to_owned(),
        ] {
            let request = format!("{head}{}\r\nConnection: close\r\n\r\n", bearer());
            let answer = gateway.raw(request.as_bytes()).await;
            assert!([400, 421].contains(&answer.status), "{head}: {}", answer.status);
        }
        let origin = "Origin: https://evil.example";
        let asks = "Access-Control-Request-Method: POST";
        let asks = gateway.call("OPTIONS", "/api/v1/revocations", &[origin, asks], "").await;
        assert_eq!(asks.status, 401);
        let answer = gateway.call("GET", "/api/v1/status", &[&bearer(), origin], "").await;
        for answer in [asks, answer] {
            assert!(!answer.head.to_lowercase().contains("access-control"), "no CORS: {}", answer.head);
        }
    });
}

#[test]
fn every_answer_is_for_its_caller_alone() {
    run(async {
        let gateway = Gateway::start().await;
        for (method, path, _) in PATHS {
            for headers in [vec![], vec![bearer()]] {
                let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                let answer = gateway.call(method, path, &headers, "").await;
                for (name, value) in [
                    ("x-content-type-options", "nosniff"),
                    ("x-frame-options", "DENY"),
                    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
                    ("referrer-policy", "no-referrer"),
                    ("cross-origin-resource-policy", "same-origin"),
                ] {
                    assert_eq!(answer.header(name), Some(value), "{method} {path}");
                }
                assert_eq!(answer.header("x-request-id").map(str::len), Some(36), "{method} {path}");
                let kept = if path.ends_with("jwks.json") { "public, max-age=300" } else { "no-store" };
                assert_eq!(answer.header("cache-control"), Some(kept), "{method} {path}");
                if answer.status >= 400 {
                    let told = answer.json();
                    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
                    assert_eq!(told["status"], answer.status);
                    assert_eq!(told["request_id"].as_str(), answer.header("x-request-id"));
                }
            }
        }
    });
}

#[test]
fn whoever_knocks_without_the_token_is_recorded_but_cannot_fill_the_log() {
    run(async {
        let gateway = Gateway::start().await;
        // The clock of this gateway goes on by a millisecond or two with each call.
        for _ in 0..200 {
            gateway.call("GET", "/api/v1/status?secret=1", &[], "").await;
        }
        let events = gateway.events("operator.call").await;
        assert!((1..=3).contains(&events.len()), "{} events", events.len());
        assert_eq!(events[0]["api"]["operation"], "operator.refused");
        assert!(!events[0].to_string().contains("secret"));
    });
}
