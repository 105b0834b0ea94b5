use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread::JoinHandle;

use serde_json::json;

use super::*;
use crate::cli::ConfigArg;

/// Answers one request with fixed bytes and gives back what was asked.
fn answers(answer: impl Into<Vec<u8>>) -> (String, JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .to_lowercase()
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length: ").map(|n| n.parse::<usize>().unwrap()));
                if body.len() >= length.unwrap_or(0) {
                    stream.write_all(&answer).unwrap();
                    return text;
                }
            }
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "the request ended early: {text}");
            request.extend_from_slice(&piece[..n]);
        }
    });
    (base, asked)
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn operator(base: &str) -> Operator {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "0123456789abcdefghijklmnopqrstuv").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let args = OperatorArgs {
        operator: Some(base.to_owned()),
        token_file: Some(file),
        config: ConfigArg { config: Some(dir.path().join("absent.toml")) },
    };
    Operator::find(&args).unwrap()
}

fn request() -> RevocationRequest {
    RevocationRequest {
        target: TargetName { kind: "user".to_owned(), id: "corp:alice".to_owned() },
        action: "revoke",
        cause: "left".to_owned(),
        wait: None,
        wait_millis_max: None,
    }
}

#[test]
fn a_revocation_is_posted_with_the_token_and_its_receipt_read() {
    let (base, asked) = answers(http("200 OK", r#"{"id":"r-1","durable_at":5,"ended":{"websocket":2}}"#));
    let Revoked::Durable(answer) = operator(&base).revoke(&request()).unwrap() else { panic!("not durable") };
    let receipt = Receipt::read(&answer);
    assert_eq!((receipt.id.as_deref(), receipt.durable_at), (Some("r-1"), Some(5)));
    assert_eq!(receipt.ended.unwrap().get("websocket"), Some(&2));
    let asked = asked.join().unwrap();
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/v1/revocations HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer 0123456789abcdefghijklmnopqrstuv"), "{head}");
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({ "target": { "kind": "user", "id": "corp:alice" }, "action": "revoke", "cause": "left" })
    );
}

#[test]
fn who_waits_for_the_fleet_says_so() {
    let (base, asked) =
        answers(http("201 Created", r#"{"enforced_everywhere":false,"nodes":[{"node":"gw-2"}]}"#));
    let request = RevocationRequest { wait: Some("fleet"), wait_millis_max: Some(500), ..request() };
    let Revoked::Durable(answer) = operator(&base).revoke(&request).unwrap() else { panic!("not durable") };
    let receipt = Receipt::read(&answer);
    assert_eq!((receipt.enforced_everywhere, receipt.nodes.map(|n| n.len())), (Some(false), Some(1)));
    let asked = asked.join().unwrap();
    assert!(asked.ends_with(r#""wait":"fleet","wait_millis_max":500}"#), "{asked}");
}

#[test]
fn a_debt_is_settled_by_its_id() {
    let (base, asked) = answers(http("200 OK", r#"{"settled_at":5}"#));
    operator(&base).settle(Uuid::from_u128(1), "it \"is\" well").unwrap();
    let asked = asked.join().unwrap();
    let line = "POST /api/v1/debts/00000000-0000-0000-0000-000000000001/settle HTTP/1.1\r\n";
    assert!(asked.starts_with(line) && asked.ends_with(r#"{"how":"it \"is\" well"}"#), "{asked}");
    let gone =
        http("404 Not Found", r#"{"code":"no_open_debt","detail":"there is no open debt of this id"}"#);
    let (base, _asked) = answers(gone);
    let e = operator(&base).settle(Uuid::from_u128(1), "x").unwrap_err();
    assert!(e.to_string().contains("no open debt"), "{e}");
}

#[test]
fn a_filter_is_part_of_the_address_and_cannot_break_out_of_it() {
    let (base, asked) = answers(http("200 OK", "{}"));
    operator(&base).inflight(&[("user", "corp:a&app=x\r\nevil: 1")]).unwrap();
    let asked = asked.join().unwrap();
    let line = asked.lines().next().unwrap();
    assert_eq!(line, "GET /api/v1/inflight?user=corp%3Aa%26app%3Dx%0D%0Aevil%3A+1 HTTP/1.1");
}

/// What the gateway answers to a revocation, and what that means.
#[test]
fn every_answer_has_its_meaning() {
    for (answer, want) in [
        (http("401 Unauthorized", ""), "does not accept the token"),
        (http("403 Forbidden", "no"), "does not accept the token"),
        (
            http(
                "503 Service Unavailable",
                r#"{"enforced":true,"ended":{"http2":1},"detail":"the disk is full"}"#,
            ),
            "in force only: the disk is full",
        ),
        (
            http("503 Service Unavailable", r#"{"title":"overloaded"}"#),
            "the gateway answered 503 Service Unavailable: overloaded",
        ),
        (
            http("500 Internal Server Error", r#"{"enforced":true}"#),
            "the gateway answered 500 Internal Server Error",
        ),
        (
            http("422 Unprocessable Content", r#"{"title":"t","detail":"`x` is\u001b[2J not a user"}"#),
            "`x` is\\u{1b}[2J not a user",
        ),
        (
            http("404 Not Found", "<html>nginx</html>"),
            "the gateway answered 404 Not Found: <html>nginx</html>",
        ),
        (http("302 Found\r\nlocation: http://127.0.0.1:9/", ""), "the gateway answered 302 Found"),
        (http("200 OK", "hello"), "cannot be read"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(), "does not answer"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "does not answer"),
    ] {
        let (base, asked) = answers(answer.clone());
        let got = match operator(&base).revoke(&request()) {
            Ok(Revoked::Durable(_)) => "durable".to_owned(),
            Ok(Revoked::InForceOnly { detail, .. }) => format!("in force only: {detail}"),
            Err(e) => e.to_string(),
        };
        assert!(got.contains(want), "{answer:?}: {got}");
        assert!(!got.contains("ghijkl"), "the token is shown: {got}");
        asked.join().unwrap();
    }
}

#[test]
fn an_endless_answer_is_cut() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(ANSWER_BYTES_MAX + 1000, b'[');
    let (base, asked) = answers(answer);
    let e = operator(&base).status().unwrap_err();
    assert!(e.to_string().contains("larger than"), "{e}");
    // The server may see its last bytes refused.
    let _ = asked.join();
}

/// A command that asks again and again, or turns many pages, outlives a connection.
#[test]
fn every_call_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut asked = Vec::new();
            let mut piece = [0; 4096];
            while !asked.ends_with(b"\r\n\r\n") {
                let n = stream.read(&mut piece).unwrap();
                asked.extend_from_slice(&piece[..n]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            // A second request on it is never answered: it is read, and the connection ends.
            let _ = stream.read(&mut piece);
        }
    });
    let operator = operator(&base);
    for _ in 0..2 {
        assert_eq!(operator.fleet().unwrap(), json!({}));
    }
    answering.join().unwrap();
}

#[test]
fn nobody_listening_is_told_with_the_address() {
    // Bound, so that no other test gets the port, and never listened on.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = taken.local_addr().unwrap();
    let e = operator(&format!("http://{free}")).status().unwrap_err();
    assert!(matches!(e, ApiError::Unreachable { .. }), "{e}");
    assert!(e.to_string().contains(&format!("http://{free}/")), "{e}");
    assert!(e.help().unwrap().contains("is the gateway running?"));
}

/// The gateway has the call, and goes away or takes its time: it may be done all the same.
#[test]
fn a_change_of_policies_without_an_answer_may_be_made() {
    for is_cut in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut operator = operator(&format!("http://{}", listener.local_addr().unwrap()));
        let (over, until) = std::sync::mpsc::channel::<()>();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let n = stream.read(&mut [0; 4096]).unwrap();
            assert!(n > 0);
            if !is_cut {
                let _ = until.recv();
            }
        });
        if !is_cut {
            operator.policies_max = Duration::from_secs(2);
        }
        let e = operator.post(&["policies", "back"], &json!({})).unwrap_err();
        assert!(matches!(e, ApiError::Unsure { .. }), "{e}");
        assert!(e.to_string().contains("nobody knows whether it was done"), "{e}");
        assert!(e.help().unwrap().contains("doorward policy rollout status"));
        drop(over);
        asked.join().unwrap();
    }
    // Where nobody listens, nothing was done.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let e = operator(&format!("http://{}", taken.local_addr().unwrap()))
        .delete(&["policies", "shadow"])
        .unwrap_err();
    assert!(matches!(e, ApiError::Unreachable { .. }), "{e}");
    assert!(POLICIES_MAX.as_secs() > 2 * POLICY_VET_SECONDS_MAX && ANSWER_MAX < POLICIES_MAX);
}

#[test]
fn addresses_are_plain_and_a_wildcard_means_this_machine() {
    for (written, want) in [
        ("http://127.0.0.1:9180", Some("http://127.0.0.1:9180/")),
        ("https://ops.corp.example/gw", Some("https://ops.corp.example/gw/")),
        ("127.0.0.1:9180", None),
        ("ftp://x", None),
        ("http://user@x/", None),
        ("http://x/?a", None),
        ("", None),
    ] {
        assert_eq!(parse_base(written).ok().map(|u| u.to_string()).as_deref(), want, "{written}");
    }
    for secret in
        ["http://me:hunter2@x/", "http://x/?token=hunter2", "http://me:hunter2@[", "http://x/#hunter2"]
    {
        let told = parse_base(secret).unwrap_err().to_string();
        assert!(!told.contains("hunter2") && told.contains("not the address"), "{told}");
    }
    for (listener, want) in [
        ("0.0.0.0:9180", "http://127.0.0.1:9180/"),
        ("[::]:9180", "http://[::1]:9180/"),
        ("10.0.0.1:1", "http://10.0.0.1:1/"),
    ] {
        assert_eq!(base_of(listener.parse().unwrap()).unwrap().as_str(), want);
    }
}
