//! What is answered when all is well.

use std::time::Duration;

use doorward_console::{Condition, ConditionState};
use doorward_model::{EntryKind, Target};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Gateway, NOON, bearer, policy, run};

#[test]
fn a_revocation_is_in_force_saved_and_on_record_when_it_is_answered() {
    run(async {
        let gateway = Gateway::start().await;
        let answer = gateway.revoke("disable", "user", "corp:alice").await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let told = answer.json();
        assert_eq!(told["target"], json!({ "kind": "user", "id": "corp:alice" }));
        assert_eq!(told["entry"]["disabled"], true);
        assert_eq!(
            told["ended"],
            json!({ "http1": 0, "http2": 0, "websocket": 2, "event_stream": 0, "grpc": 1 })
        );
        assert_eq!((&told["remaining"], &told["took_micros"]), (&json!(1), &json!(812)));
        assert_eq!((&told["enforced"], &told["durable"]), (&json!(true), &json!(true)));
        assert!(told["durable_at"].as_i64() >= told["applied_at"].as_i64());
        assert_eq!(told["request_id"].as_str(), answer.header("x-request-id"));

        let alice = Target::parse(EntryKind::User, "corp:alice").unwrap();
        assert!(gateway.revocations.lookup(&alice).unwrap().disabled);
        // Read at once: it was durable before it was answered.
        let recorded = gateway.events("revocation.user").await;
        assert_eq!(recorded.len(), 1);
        assert!(recorded[0].to_string().contains(told["id"].as_str().unwrap()));
        assert!(recorded[0].to_string().contains("left the company"));
        let call = gateway.events("operator.call").await;
        assert_eq!(call.len(), 1, "one call, one event");
        assert_eq!(call[0]["api"]["operation"], "disable.user");
        assert!(call[0].to_string().contains("127.0.0.1"), "where it came from");

        let page = gateway.get("/api/v1/revocations?kind=user&id=corp:alice").await.json();
        assert_eq!(page["revocations"][0]["id"], told["id"]);
        assert_eq!(page["revocations"][0]["cause"], "left the company");
        assert_eq!(page["in_force"]["disabled"], true);
    });
}

#[test]
fn giving_back_is_on_record_before_it_happens() {
    run(async {
        let gateway = Gateway::start().await;
        gateway.revoke("disable", "user", "corp:alice").await;
        let answer = gateway.revoke("reactivate", "user", "corp:alice").await;
        assert_eq!((answer.status, &answer.json()["entry"]["version"]), (201, &json!(2)));
        let calls = gateway.events("operator.call").await;
        let told: Vec<_> = calls
            .iter()
            .map(|c| (c["api"]["operation"].as_str(), c["api"]["response"]["code"].as_u64()))
            .collect();
        let back = Some("reactivate.user");
        assert_eq!(told, [(Some("disable.user"), Some(201)), (back, Some(202)), (back, Some(201))]);
        assert_eq!(gateway.events("revocation.user").await.len(), 1, "a return is no revocation");
    });
}

#[test]
fn the_log_of_revocations_is_read_page_by_page() {
    run(async {
        let gateway = Gateway::start().await;
        for id in ["corp:a", "corp:b", "corp:c"] {
            gateway.revoke("revoke", "session", id).await;
        }
        let first = gateway.get("/api/v1/revocations?limit=2").await.json();
        let next = first["next"].as_i64().unwrap();
        let rest = gateway.get(&format!("/api/v1/revocations?limit=2&after={next}")).await.json();
        let ids: Vec<_> = [&first, &rest]
            .iter()
            .flat_map(|p| p["revocations"].as_array().unwrap().iter().map(|r| r["target"]["id"].clone()))
            .collect();
        assert_eq!(ids, ["corp:c", "corp:b", "corp:a"]);
        assert!(rest["next"].is_null());
        let nobody = gateway.get("/api/v1/revocations?kind=user&id=corp:nobody").await.json();
        assert_eq!((&nobody["revocations"], nobody["in_force"].is_null()), (&json!([]), true));
    });
}

#[test]
fn what_runs_is_listed_by_user_and_app() {
    run(async {
        let gateway = Gateway::start().await;
        for (query, users, total) in [
            ("", vec!["corp:alice", "corp:bob", "corp:carol"], 3),
            ("?user=corp:bob", vec!["corp:bob"], 1),
            ("?user=corp%3Abob&app=wiki", vec!["corp:bob"], 1),
            ("?app=payroll", vec![], 0),
            ("?limit=2", vec!["corp:alice", "corp:bob"], 3),
        ] {
            let page = gateway.get(&format!("/api/v1/inflight{query}")).await.json();
            let listed: Vec<_> =
                page["exchanges"].as_array().unwrap().iter().map(|e| e["user"].as_str().unwrap()).collect();
            assert_eq!((listed, &page["total"]), (users, &json!(total)), "{query}");
        }
        let one = &gateway.get("/api/v1/inflight?user=corp:alice").await.json()["exchanges"][0];
        assert_eq!(
            *one,
            json!({
                "user": "corp:alice", "session": "corp:s-alice", "app": "wiki", "route": "wiki/all", "protocol": "http1",
                "started_at": NOON, "client": "203.0.113.7", "path": "/page", "request_id": "r-0",
            })
        );
    });
}

#[test]
fn the_status_tells_how_it_does() {
    run(async {
        let gateway = Gateway::start().await;
        let status = gateway.get("/api/v1/status").await.json();
        assert_eq!((&status["node"], &status["issuers"]), (&json!("gw-1"), &json!(["corp"])));
        assert_eq!(status["uptime_seconds"], 65);
        assert_eq!(
            (&status["audit"]["state"], &status["audit"]["accepts_grants"]),
            (&json!("healthy"), &json!(true))
        );
        assert_eq!(
            (&status["revocations"]["writable"], &status["revocations"]["fresh"]),
            (&json!(true), &json!(true))
        );
        let revision = gateway.policies.bundle().revision().to_string();
        assert_eq!(
            (&status["policies"]["revision"], &status["policies"]["policies"]),
            (&json!(revision), &json!(1))
        );
        assert_eq!(gateway.get("/api/v1/policies").await.json()["revision"], revision);
    });
}

#[test]
fn policies_are_loaded_anew_with_a_named_outcome() {
    run(async {
        let gateway = Gateway::start().await;
        let reload = async || gateway.post("/api/v1/policies/reload", "").await;
        let before = gateway.policies.bundle().revision().to_string();
        let same = reload().await;
        assert_eq!((same.status, same.json()), (200, json!({ "outcome": "unchanged", "revision": before })));

        let file = gateway.dir.path().join("policies/two.cedar");
        std::fs::write(&file, "permit (principal, action, resource").unwrap();
        let broken = reload().await;
        assert_eq!(broken.status, 422, "{}", broken.body);
        let told = broken.json();
        assert_eq!((&told["outcome"], &told["revision"]), (&json!("rejected"), &json!(before)));
        assert_eq!(told["findings"][0]["file"], "two.cedar");
        assert!(told["findings"][0]["line"].is_u64(), "{told}");
        assert_eq!(gateway.policies.bundle().revision().to_string(), before, "the old ones stay");

        std::fs::write(&file, policy("two")).unwrap();
        let swapped = reload().await.json();
        assert_eq!((&swapped["outcome"], &swapped["previous"]), (&json!("swapped"), &json!(before)));
        assert_eq!(swapped["revision"], gateway.policies.bundle().revision().to_string());
        assert_eq!(gateway.post("/api/v1/policies/reload", "{}").await.status, 400, "no body has a meaning");
        let calls = gateway.events("operator.call").await;
        assert!(calls.iter().filter(|c| c["api"]["operation"] == "policies.reload").count() >= 3);
    });
}

#[test]
fn readiness_names_what_is_missing() {
    run(async {
        let gateway = Gateway::start().await;
        let ready = gateway.call("GET", "/readyz", &[], "").await;
        assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)));
        let condition = |name, state| Condition { name, state, detail: "d".to_owned() };
        *gateway.conditions.lock().unwrap() =
            vec![condition("geoip", ConditionState::Degraded), condition("drain", ConditionState::Holds)];
        let ready = gateway.call("GET", "/readyz", &[], "").await;
        assert_eq!(ready.status, 200, "somebody should look, and clients may come");
        gateway.conditions.lock().unwrap().push(condition("issuer_keys", ConditionState::Missing));
        let ready = gateway.call("GET", "/readyz", &[], "").await;
        assert_eq!((ready.status, &ready.json()["missing"]), (503, &json!(["issuer_keys"])));
        assert_eq!(gateway.call("GET", "/healthz", &[], "").await.status, 200, "it is up all the same");
        assert_eq!(gateway.get("/api/v1/status").await.json()["ready"], false);
    });
}

#[test]
fn metrics_and_keys_have_their_types() {
    run(async {
        let gateway = Gateway::start().await;
        let metrics = gateway.call("GET", "/metrics", &[], "").await;
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!((metrics.header("content-type"), metrics.body.as_str()), (Some(kind), "# EOF\n"));
        let keys = gateway.call("GET", "/.well-known/jwks.json", &[], "").await;
        assert_eq!(
            (keys.header("content-type"), &keys.json()["keys"]),
            (Some("application/jwk-set+json"), &json!([]))
        );
    });
}

#[test]
fn a_caller_who_goes_away_stops_nothing() {
    run(async {
        let gateway = Gateway::start().await;
        gateway.goodbye_millis.store(500, std::sync::atomic::Ordering::SeqCst);
        let body = r#"{"target":{"kind":"user","id":"corp:alice"},"action":"disable"}"#;
        let request = format!(
            "POST /api/v1/revocations HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            bearer(),
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let alice = Target::parse(EntryKind::User, "corp:alice").unwrap();
        while gateway.revocations.lookup(&alice).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(stream);
        assert_eq!(gateway.events("revocation.user").await.len(), 1);
        assert_eq!(gateway.revocations.list(None, 10, None).await.unwrap().len(), 1);
    });
}

#[test]
fn stopping_lets_a_call_come_to_its_end() {
    run(async {
        let mut gateway = Gateway::start().await;
        let body = r#"{"target":{"kind":"user","id":"corp:alice"},"action":"disable"}"#;
        let head = format!(
            "POST /api/v1/revocations HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            bearer(),
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The call is under way when its body is asked for; one that was not read yet may be closed.
        let mut asked = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        gateway.stop.take().unwrap().send(()).unwrap();
        let nobody_gets_in = async {
            while tokio::net::TcpStream::connect(gateway.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), nobody_gets_in).await.expect("nobody new gets in");
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        gateway.served.await.unwrap();
    });
}

#[test]
fn a_goodbye_that_takes_long_is_not_waited_for() {
    run(async {
        let gateway = Gateway::start().await;
        gateway.goodbye_millis.store(60_000, std::sync::atomic::Ordering::SeqCst);
        let told = gateway.revoke("revoke", "user", "corp:alice").await.json();
        assert_eq!((&told["remaining"], told["took_micros"].is_null()), (&json!(3), true), "{told}");
    });
}
