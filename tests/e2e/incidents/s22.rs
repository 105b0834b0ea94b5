//! S22, a control plane that lets itself be told who asks (CVE-2025-49825): the operator API has an
//! address of its own and answers nobody without its token, whatever else they show.

use doorward_tests::frames::{Frame, PREFACE, SETTINGS};
use doorward_tests::h1::{H1, Response, request};
use doorward_tests::wire::Ending;
use serde_json::json;

use super::house::{House, WIKI};
use super::talk::{Ask, BOTH};

/// Everything that the API can do, and what it cannot.
const CALLS: &[(&str, &str)] = &[
    ("GET", "/api/v1/revocations"),
    ("POST", "/api/v1/revocations"),
    ("GET", "/api/v1/inflight"),
    ("GET", "/api/v1/status"),
    ("GET", "/api/v1/policies"),
    ("POST", "/api/v1/policies/reload"),
    ("DELETE", "/api/v1/revocations"),
    ("PUT", "/api/v1/policies"),
    ("OPTIONS", "/api/v1/status"),
    ("HEAD", "/api/v1/status"),
    ("TRACE", "/api/v1/status"),
    ("GET", "/api/v1"),
    ("GET", "/api/v1/"),
    ("GET", "/api/v1/nothing"),
    ("GET", "/api"),
    ("GET", "/"),
    ("GET", "/debug/pprof/"),
    ("GET", "/healthz/../api/v1/status"),
    ("GET", "/healthz/%2e%2e/api/v1/status"),
    ("GET", "//api/v1/status"),
    ("GET", "/API/v1/status"),
    ("GET", "/api/v1/status/"),
    ("GET", "/api/v1/status;x"),
    ("GET", "/api/v1/status?token=x"),
    ("GET", "/healthz/api/v1/status"),
    ("GET", "/metrics/../api/v1/status"),
];

const REVOKE_BOB: &str = r#"{"target":{"kind":"user","id":"demo:bob"},"action":"disable","cause":"attack"}"#;

/// An event of a call without the token.
fn is_refusal(event: &serde_json::Value) -> bool {
    event["api"]["operation"] == "operator.refused" && event["http_response"]["code"] == 401
}

async fn call(house: &House, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
    let host = house.gateway.operator().to_string();
    let mut client = H1::connect(house.gateway.operator()).await;
    let body = if method == "POST" { REVOKE_BOB.as_bytes() } else { b"" };
    let fields = [&[("connection", "close"), ("content-type", "application/json")], fields].concat();
    client.send(request(method, &host, path, &fields, body)).await;
    client.response(method).await
}

#[tokio::test]
async fn s22_without_the_token_nothing_answers() {
    let house = House::open().await;
    let token = house.gateway.token().to_owned();
    let dana = house.issuer.token("dana");
    let own = format!("Bearer {token}");
    let basic = format!("Basic {}", doorward_demo::provider::encode(format!("operator:{token}")));
    let shown: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![("authorization", "Bearer".into())],
        vec![("authorization", "Bearer ".into())],
        vec![("authorization", String::new())],
        vec![("authorization", format!("Bearer {}", &token[..token.len() - 1]))],
        vec![("authorization", format!("Bearer {token}x"))],
        vec![("authorization", format!("Bearer {}", token.to_uppercase()))],
        vec![("authorization", format!("Bearer  {token}"))],
        vec![("authorization", format!("Bearer {token}, Bearer {token}"))],
        vec![("authorization", format!("Bearer \"{token}\""))],
        vec![("authorization", format!("Token {token}"))],
        vec![("authorization", basic)],
        vec![("authorization", token.clone())],
        vec![("authorization", own.clone()), ("authorization", own.clone())],
        vec![("authorization", "Bearer x".into()), ("authorization", own.clone())],
        // A user's token, an admin's even.
        vec![("authorization", format!("Bearer {dana}"))],
        // Where a token may stand elsewhere.
        vec![("cookie", format!("token={token}"))],
        vec![("x-api-key", token.clone())],
        vec![("proxy-authorization", own.clone())],
        vec![("x-doorward-token", token.clone())],
        // Somebody else's word for who asks.
        vec![("x-doorward-user", "demo:dana".into()), ("x-doorward-groups", "platform-team".into())],
        vec![("x-doorward-assertion", dana.clone())],
        vec![("x-forwarded-user", "operator".into()), ("x-forwarded-for", "127.0.0.1".into())],
        vec![("x-remote-user", "operator".into()), ("remote-user", "operator".into())],
        vec![
            ("x-auth-request-user", "operator".into()),
            ("x-auth-request-email", "operator@corp.test".into()),
        ],
        vec![("forwarded", "for=127.0.0.1;by=operator".into()), ("x-real-ip", "127.0.0.1".into())],
        vec![("impersonate-user", "operator".into()), ("x-original-url", "/healthz".into())],
        vec![("x-forwarded-client-cert", "Subject=\"CN=operator\"".into())],
        vec![("origin", "http://localhost".into()), ("sec-fetch-site", "same-origin".into())],
    ];
    for (method, path) in CALLS {
        for fields in &shown {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let answer = call(&house, method, path, &fields).await;
            // Not even whether a path exists.
            assert_eq!(answer.status(), 401, "{method} {path} with {fields:?}: {answer:?}");
            assert!(answer.head.values("access-control-allow-origin").is_empty(), "{answer:?}");
            assert!(!answer.text().contains(&token), "{answer:?}");
        }
    }
    // Nothing happened.
    for http in BOTH {
        let said = house.say(http, &Ask::get(WIKI, "/").token(&house.issuer.token("bob"))).await;
        assert_eq!(said.status, 200, "{said:?}");
    }
    let listed = house.gateway.api("GET", "/api/v1/revocations", None).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    assert!(!listed.text.contains("demo:bob"), "{listed:?}");
    // It was seen: one event a second tells of all of them.
    let begin = std::time::Instant::now();
    while !house.gateway.events().iter().any(is_refusal) {
        assert!(begin.elapsed().as_secs() < 60, "no event tells of calls without the token");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn s22_the_token_opens_only_what_is_there() {
    let house = House::open().await;
    let own = format!("Bearer {}", house.gateway.token());
    for (method, path) in CALLS.iter().filter(|(m, _)| *m != "POST") {
        let answer = call(&house, method, path, &[("authorization", &own)]).await;
        let known = matches!(
            (*method, path.split('?').next().unwrap()),
            (
                "GET" | "HEAD",
                "/api/v1/revocations" | "/api/v1/inflight" | "/api/v1/status" | "/api/v1/policies"
            )
        );
        assert_eq!(answer.status() == 200, known, "{method} {path}: {answer:?}");
        assert!(known || matches!(answer.status(), 400..=499), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn s22_a_page_of_another_site_cannot_use_a_browser() {
    let house = House::open().await;
    let own = format!("Bearer {}", house.gateway.token());
    // A name that an attacker owns and points here (DNS rebinding).
    for host in
        ["evil.test", "operator.evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "wiki.test", ""]
    {
        for path in ["/api/v1/status", "/metrics", "/readyz"] {
            let mut client = H1::connect(house.gateway.operator()).await;
            client
                .send(request("GET", host, path, &[("authorization", &own), ("connection", "close")], b""))
                .await;
            let answer = client.response("GET").await;
            assert!((400..500).contains(&answer.status()), "{host:?} {path}: {answer:?}");
            assert!(!answer.text().contains("doorward_"), "{host:?} {path}");
        }
    }
    let preflight = [
        ("origin", "http://evil.test"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = call(&house, "OPTIONS", "/api/v1/revocations", &preflight).await;
    assert!(answer.head.fields().iter().all(|(n, _)| !n.to_ascii_lowercase().starts_with("access-control")));
}

#[tokio::test]
async fn s22_a_user_is_no_operator_and_an_operator_no_user() {
    let house = House::open().await;
    // The operator's token opens nothing at the clients' door.
    let mut refused = Vec::new();
    for http in BOTH {
        let said = house.say(http, &Ask::get(WIKI, "/").token(house.gateway.token())).await;
        refused.push((said, "invalid_credential"));
        // Nor does a client reach the operator's paths through it, with any name.
        for host in [house.gateway.operator().to_string(), "localhost".into()] {
            let ask = Ask::get(&host, "/api/v1/revocations").method("POST").body(REVOKE_BOB);
            refused.push((house.say(http, &ask.token(house.gateway.token())).await, "no_route"));
        }
    }
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
    // An app that forwards to the operator's address has no token to show: the gateway takes it off.
    let operator = house.gateway.operator();
    let House { gateway, issuer, wiki, payroll, build, grpc } = house;
    let gateway = gateway
        .restart_with(doorward_tests::gateway::Signal::SIGKILL, |config| {
            config.set("app.0.upstream.addresses", json!([operator.to_string()]));
        })
        .await;
    let house = House { gateway, issuer, wiki, payroll, build, grpc };
    for http in BOTH {
        for path in ["/api/v1/status", "/api/v1/revocations"] {
            let ask = Ask::get(WIKI, path).token(&house.issuer.token("bob"));
            let begin = std::time::Instant::now();
            let mut said = house.say(http, &ask).await;
            // The new process looks at its apps before it listens itself; it looks again soon.
            while said.status == 502 && begin.elapsed().as_secs() < 60 {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                said = house.say(http, &ask).await;
            }
            assert!(matches!(said.status, 401 | 421), "{said:?}");
        }
    }
}

#[tokio::test]
async fn s22_http2_is_no_other_way_in() {
    let house = House::open().await;
    let own = format!("Bearer {}", house.gateway.token());
    let host = house.gateway.operator().to_string();
    for shown in [None, Some(&own)] {
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", host.as_bytes()),
            (b":path", b"/api/v1/revocations"),
            (b"content-type", b"application/json"),
        ];
        fields.extend(shown.map(|own| (&b"authorization"[..], own.as_bytes())));
        let attack = [
            PREFACE.to_vec(),
            Frame::new(SETTINGS, 0, 0, []).encode(),
            Frame::headers(1, false, &fields).encode(),
            Frame::data(1, true, REVOKE_BOB.as_bytes()).encode(),
        ];
        // As prior knowledge, and after an upgrade that HTTP/2 once had.
        let upgrade = format!(
            "GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
             http2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
        );
        for (before, successes) in [("", 0), (upgrade.as_str(), 1)] {
            let mut client = H1::connect(house.gateway.operator()).await;
            client.try_send(before).await;
            client.try_send(attack.concat()).await;
            let (seen, ending) = client.drain(std::time::Duration::from_secs(15)).await;
            let told = seen.escape_ascii().to_string();
            assert_ne!(ending, Ending::StillOpen, "{told}");
            // HTTP/1.1 says its status in words, HTTP/2 in a frame of headers after one of settings.
            assert_eq!(told.matches("HTTP/1.1 2").count(), successes, "{told}");
            assert!(!told.contains("HTTP/1.1 101"), "{told}");
            let frames = seen.get(3).is_some_and(|kind| *kind == SETTINGS) && seen.first() == Some(&0);
            assert!(!frames, "it speaks HTTP/2: {told}");
        }
    }
    let said = house.say(BOTH[0], &Ask::get(WIKI, "/").token(&house.issuer.token("bob"))).await;
    assert_eq!(said.status, 200, "nobody was revoked: {said:?}");
    assert_eq!(house.gateway.api("GET", "/api/v1/status", None).await.status, 200);
}
