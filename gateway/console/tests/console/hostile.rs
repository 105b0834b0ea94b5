//! Bodies, queries and connections that mean no good.

use doorward_model::{EntryKind, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Gateway, bearer, run};

#[test]
fn a_body_that_is_wrong_is_told_so_field_by_field_and_does_nothing() {
    run(async {
        let gateway = Gateway::start().await;
        for (body, fields) in [
            (r#"[]"#.to_owned(), vec!["body"]),
            (r#"{"#.to_owned(), vec!["body"]),
            (r#"{}"#.to_owned(), vec!["target", "action"]),
            (r#"{"target":"corp:alice","action":"revoke"}"#.to_owned(), vec!["target"]),
            (r#"{"target":{},"action":"revoke"}"#.to_owned(), vec!["target.kind", "target.id"]),
            (
                r#"{"target":{"kind":"person","id":"corp:alice"},"action":"revoke"}"#.to_owned(),
                vec!["target.kind"],
            ),
            (
                r#"{"target":{"kind":"user","id":"alice"},"action":"ban"}"#.to_owned(),
                vec!["target.id", "action"],
            ),
            (
                r#"{"target":{"kind":"user","id":"corp:a\u0000b"},"action":"revoke"}"#.to_owned(),
                vec!["target.id"],
            ),
            (
                r#"{"target":{"kind":"user","id":["corp:alice"]},"action":"revoke"}"#.to_owned(),
                vec!["target.id"],
            ),
            (
                r#"{"target":{"kind":"user","id":"corp:alice"},"action":"revoke","force":true}"#.to_owned(),
                vec!["force"],
            ),
            (
                r#"{"target":{"kind":"user","id":"corp:alice","id":"corp:bob"},"action":"revoke"}"#
                    .to_owned(),
                vec!["body"],
            ),
            (
                r#"{"target":{"kind":"user","id":"corp:alice"},"action":"revoke","action":"reactivate"}"#
                    .to_owned(),
                vec!["body"],
            ),
            (
                r#"{"target":{"kind":"user","id":"corp:alice"},"action":"revoke","cause":"a\nb"}"#.to_owned(),
                vec!["cause"],
            ),
            (
                format!(
                    r#"{{"target":{{"kind":"user","id":"corp:alice"}},"action":"revoke","cause":"{}"}}"#,
                    "x".repeat(513)
                ),
                vec!["cause"],
            ),
            (
                format!(
                    r#"{{"target":{{"kind":"user","id":"corp:{}"}},"action":"revoke"}}"#,
                    "x".repeat(256)
                ),
                vec!["target.id"],
            ),
        ] {
            let answer = gateway.post("/api/v1/revocations", &body).await;
            assert_eq!(answer.status, 400, "{body}: {}", answer.body);
            let told = answer.json();
            let named: Vec<_> =
                told["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
            assert_eq!(named, fields, "{body}");
            assert!(answer.body.len() < 4096, "{body}: the answer is small");
        }
        assert_eq!(gateway.revocations.generation(), 0, "nothing was done");
        let alice = Target::parse(EntryKind::User, "corp:alice").unwrap();
        assert_eq!(gateway.revocations.lookup(&alice), None);
    });
}

#[test]
fn only_plain_json_is_read() {
    run(async {
        let gateway = Gateway::start().await;
        let body = r#"{"target":{"kind":"user","id":"corp:alice"},"action":"revoke"}"#;
        for (kind, status) in [
            ("Content-Type: application/json", 201),
            ("Content-Type: application/json; charset=utf-8", 201),
            ("Content-Type: text/plain", 415),
            ("Content-Type: application/x-www-form-urlencoded", 415),
            ("Content-Type: application/jsonx", 415),
            ("Content-Type: application/json\r\nContent-Type: text/plain", 415),
            ("Content-Type: application/json\r\nContent-Encoding: gzip", 415),
            ("X-Nothing: 1", 415),
        ] {
            let answer = gateway.call("POST", "/api/v1/revocations", &[&bearer(), kind], body).await;
            assert_eq!(answer.status, status, "{kind}");
        }
    });
}

#[test]
fn a_body_has_a_size() {
    run(async {
        let gateway = Gateway::start().await;
        let large = format!(r#"{{"cause":"{}"}}"#, "x".repeat(64 * 1024));
        let answer = gateway.post("/api/v1/revocations", &large).await;
        assert_eq!((answer.status, &answer.json()["code"]), (413, &"body_too_large".into()));
        let chunked = format!(
            "POST /api/v1/revocations HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n11000\r\n{}\r\n0\r\n\r\n",
            bearer(),
            " ".repeat(0x11000)
        );
        assert_eq!(gateway.raw(chunked.as_bytes()).await.status, 413);
        // Nobody without the token has a body read at all.
        let answer = gateway.call("POST", "/api/v1/revocations", &[], &large).await;
        assert_eq!(answer.status, 401);
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    run(async {
        let gateway = Gateway::start().await;
        let head = format!(
            "POST /api/v1/revocations HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: application/json\r\n\
             Content-Length: 50\r\nConnection: close\r\n\r\n{{",
            bearer()
        );
        let answer = gateway.raw(head.as_bytes()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (408, &"request_timeout".into()));
    });
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    run(async {
        let gateway = Gateway::start().await;
        let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: local").await.unwrap();
        let waits = tokio::spawn(async move {
            let mut rest = Vec::new();
            tokio::time::timeout(std::time::Duration::from_secs(60), stream.read_to_end(&mut rest))
                .await
                .is_ok()
        });
        for long in [33_000, 40_000, 400_000] {
            let long = "x".repeat(long);
            let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n");
            let status = gateway.raw(request.as_bytes()).await.status;
            // Whoever sends on and on may find the connection gone before the answer.
            assert!(status == 431 || (status == 0 && long.len() == 400_000), "{status}");
        }
        let many = "X-Many: 1\r\n".repeat(200);
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
        assert_eq!(gateway.raw(request.as_bytes()).await.status, 431);
        assert!(waits.await.unwrap(), "the connection was closed");
    });
}

#[test]
fn connections_that_show_no_token_keep_no_operator_out() {
    run(async {
        let gateway = Gateway::start().await;
        let bound = doorward_model::limits::OPERATOR_CONNECTIONS_MAX;
        let mut idle = Vec::new();
        for i in 0..bound + 50 {
            // Some say nothing, some begin to, some ask and do not read.
            let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
            let said =
                ["", "GET /healthz HTTP/1.1\r\nHo", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"];
            let _gone = stream.write_all(said[i % said.len()].as_bytes()).await;
            idle.push(stream);
        }
        // Sooner than they would go by themselves.
        let in_time = std::time::Duration::from_secs(doorward_model::limits::HEADER_SECONDS_MAX - 1);
        for _ in 0..3 {
            let call = gateway.revoke("revoke", "user", "corp:alice");
            let answer = tokio::time::timeout(in_time, call).await;
            assert_eq!(answer.unwrap().status, 201);
        }
    });
}

#[test]
fn a_query_that_is_wrong_is_told_so() {
    run(async {
        let gateway = Gateway::start().await;
        for (path, fields) in [
            ("/api/v1/inflight?user=alice", vec!["user"]),
            ("/api/v1/inflight?app=UPPER&limit=0", vec!["app", "limit"]),
            ("/api/v1/inflight?limit=10001", vec!["limit"]),
            ("/api/v1/inflight?usr=corp:alice", vec!["usr"]),
            ("/api/v1/inflight?user=corp:a&user=corp:b", vec!["user"]),
            ("/api/v1/revocations?kind=user", vec!["kind"]),
            ("/api/v1/revocations?id=corp:alice", vec!["kind"]),
            ("/api/v1/revocations?kind=person&id=corp:alice", vec!["kind"]),
            ("/api/v1/revocations?kind=user&id=alice&after=x", vec!["id", "after"]),
            ("/api/v1/revocations?limit=1001", vec!["limit"]),
        ] {
            let answer = gateway.get(path).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            let told = answer.json();
            let named: Vec<_> =
                told["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
            assert_eq!(named, fields, "{path}");
        }
    });
}
