//! Waiting for every node, on a node that has no fleet.

use serde_json::{Value, json};

use crate::fixture::{Gateway, run};

fn body(action: &str, more: &str) -> String {
    format!(r#"{{"target":{{"kind":"user","id":"corp:alice"}},"action":"{action}"{more}}}"#)
}

#[test]
fn without_a_fleet_this_node_is_everywhere() {
    run(async {
        let gateway = Gateway::start().await;
        for (action, more) in [
            ("disable", r#","wait":"fleet""#),
            ("reactivate", r#","wait":"fleet","wait_millis_max":30000"#),
            ("revoke", r#","wait":"fleet","wait_millis_max":1"#),
        ] {
            let answer = gateway.post("/api/v1/revocations", &body(action, more)).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let told = answer.json();
            assert_eq!((&told["enforced_everywhere"], &told["nodes"]), (&json!(true), &json!([])), "{told}");
            assert!(told["nodes_unknown"].is_null() && told["published_at"].is_null(), "{told}");
            // Who is let in again late is nothing that anybody owes.
            let debts = if action == "reactivate" { Value::Null } else { json!([]) };
            assert_eq!(told["debts"], debts, "{action}");
        }
        assert_eq!(gateway.get("/api/v1/debts").await.json()["debts"], json!([]));
    });
}

#[test]
fn who_does_not_wait_for_the_fleet_is_told_nothing_of_it() {
    run(async {
        let gateway = Gateway::start().await;
        for more in ["", r#","wait":"node""#] {
            let told = gateway.post("/api/v1/revocations", &body("revoke", more)).await.json();
            assert_eq!(told["durable"], true, "{told}");
            for member in ["enforced_everywhere", "nodes", "debts", "position", "published_at"] {
                assert!(told.get(member).is_none(), "{member}: {told}");
            }
        }
    });
}

#[test]
fn what_cannot_be_waited_for_is_refused_before_anything_is_done() {
    run(async {
        let gateway = Gateway::start().await;
        for (more, field) in [
            (r#","wait":"everybody""#, "wait"),
            (r#","wait":7"#, "wait"),
            (r#","wait":"fleet","wait_millis_max":0"#, "wait_millis_max"),
            (r#","wait":"fleet","wait_millis_max":30001"#, "wait_millis_max"),
            (r#","wait":"fleet","wait_millis_max":"2000""#, "wait_millis_max"),
            (r#","wait":"fleet","wait_millis_max":1.5"#, "wait_millis_max"),
            (r#","wait_millis_max":2000"#, "wait_millis_max"),
            (r#","wait":"node","wait_millis_max":2000"#, "wait_millis_max"),
        ] {
            let answer = gateway.post("/api/v1/revocations", &body("revoke", more)).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!(field)), "{more}");
        }
        assert_eq!(gateway.revocations.list(None, 10, None).await.unwrap().len(), 0);
    });
}

#[test]
fn a_node_alone_has_no_fleet_to_tell_of() {
    run(async {
        let gateway = Gateway::start().await;
        let told = gateway.get("/api/v1/fleet").await;
        assert_eq!(told.status, 200);
        assert_eq!(told.json(), json!({ "fleet": null, "nodes": [], "nodes_unknown": null }));
        assert_eq!(gateway.get("/api/v1/fleet?wait_millis_max=30000").await.status, 200);
        for bad in ["?wait_millis_max=0", "?wait_millis_max=30001", "?wait_millis_max=x", "?wait=fleet"] {
            assert_eq!(gateway.get(&format!("/api/v1/fleet{bad}")).await.status, 400, "{bad}");
        }
        assert!(gateway.get("/api/v1/status").await.json()["fleet"].is_null());
        let ready = gateway.call("GET", "/readyz", &[], "").await.json();
        let named: Vec<_> =
            ready["conditions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
        assert!(!named.contains(&json!("fleet")), "{named:?}");
        assert_eq!(gateway.call("GET", "/api/v1/fleet", &[], "").await.status, 401, "not without the token");
        let calls = gateway.events("operator.call").await;
        assert!(calls.iter().any(|c| c["api"]["operation"] == "fleet.show"));
    });
}
