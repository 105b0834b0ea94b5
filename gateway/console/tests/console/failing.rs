//! The audit log or the store cannot take it: revocations bite, nobody gets anything.

use doorward_model::{Entry, EntryKind, Target};
use serde_json::json;

use crate::fixture::{Gateway, policy, run};

fn alice(gateway: &Gateway) -> Option<Entry> {
    gateway.revocations.lookup(&Target::parse(EntryKind::User, "corp:alice").unwrap())
}

#[test]
fn without_audit_a_revocation_is_in_force_and_the_answer_says_that_it_is_not_recorded() {
    run(async {
        let gateway = Gateway::start().await;
        let audit = gateway.audit.clone();
        tokio::task::spawn_blocking(move || audit.close()).await.unwrap().unwrap();
        let answer = gateway.revoke("disable", "user", "corp:alice").await;
        let told = answer.json();
        assert_eq!((answer.status, &told["code"]), (503, &json!("audit_unavailable")));
        assert_eq!((&told["enforced"], &told["durable"]), (&json!(true), &json!(true)));
        assert_eq!(told["ended"]["websocket"], 2, "the receipt comes along: {told}");
        assert_eq!(answer.body.matches("\"request_id\"").count(), 1, "{}", answer.body);
        assert!(alice(&gateway).unwrap().disabled);
        assert_eq!(gateway.revocations.list(None, 10, None).await.unwrap().len(), 1);
    });
}

#[test]
fn without_audit_nothing_is_given_back_and_no_policy_is_loaded() {
    run(async {
        let gateway = Gateway::start().await;
        assert_eq!(gateway.revoke("disable", "user", "corp:alice").await.status, 201);
        let audit = gateway.audit.clone();
        tokio::task::spawn_blocking(move || audit.close()).await.unwrap().unwrap();

        let answer = gateway.revoke("reactivate", "user", "corp:alice").await;
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["code"], &told["enforced"]),
            (503, &json!("audit_unavailable"), &json!(false))
        );
        assert_eq!(alice(&gateway).map(|e| (e.version, e.disabled)), Some((1, true)));

        let before = gateway.policies.bundle().revision();
        std::fs::write(gateway.dir.path().join("policies/two.cedar"), policy("two")).unwrap();
        let answer = gateway.post("/api/v1/policies/reload", "").await;
        assert_eq!((answer.status, &answer.json()["enforced"]), (503, &json!(false)));
        assert_eq!(gateway.policies.bundle().revision(), before);

        // Looking is still possible, and says what is wrong.
        assert_eq!(gateway.get("/api/v1/inflight").await.status, 200);
        assert_eq!(gateway.get("/api/v1/status").await.json()["audit"]["state"], "closed");
        let ready = gateway.call("GET", "/readyz", &[], "").await;
        assert_eq!((ready.status, &ready.json()["missing"]), (503, &json!(["audit"])));
    });
}

#[test]
fn without_the_store_a_revocation_is_in_force_and_the_answer_says_that_it_is_not_saved() {
    run(async {
        let gateway = Gateway::start().await;
        assert_eq!(gateway.revoke("disable", "user", "corp:bob").await.status, 201);
        let file = gateway.dir.path().join("revocations.sqlite3");
        let away = gateway.dir.path().join("away");
        std::fs::rename(&file, &away).unwrap();

        let answer = gateway.revoke("disable", "user", "corp:alice").await;
        let told = answer.json();
        assert_eq!((answer.status, &told["code"]), (503, &json!("not_durable")), "{told}");
        assert_eq!(
            (&told["enforced"], &told["durable"], &told["kept"]),
            (&json!(true), &json!(false), &json!(true))
        );
        assert!(alice(&gateway).unwrap().disabled);
        let calls = gateway.events("operator.call").await;
        let last = calls.last().unwrap();
        assert_eq!(
            (&last["api"]["operation"], &last["api"]["response"]["code"]),
            (&json!("disable.user"), &json!(503))
        );

        let answer = gateway.revoke("reactivate", "user", "corp:bob").await;
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("grants_refused")));
        assert_eq!(gateway.get("/api/v1/status").await.json()["revocations"]["writable"], false);
        assert_eq!(gateway.get("/api/v1/revocations").await.status, 503);
        let missing = async || gateway.call("GET", "/readyz", &[], "").await.json()["missing"].clone();
        for _ in 0..1200 {
            if missing().await != json!([]) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(missing().await, json!(["revocations"]), "what is known grows stale");

        std::fs::rename(&away, &file).unwrap();
        for _ in 0..1200 {
            if gateway.revocations.health().unsaved == 0 && gateway.revocations.health().writable {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let rows = gateway.get("/api/v1/revocations").await.json();
        assert_eq!(rows["revocations"][0]["target"]["id"], "corp:alice", "saved when it could be: {rows}");
        assert_eq!(gateway.revoke("reactivate", "user", "corp:bob").await.status, 201);
    });
}

#[test]
fn a_load_that_panicked_is_not_called_unchanged() {
    run(async {
        let gateway = Gateway::start().await;
        gateway.reload_panics.store(true, std::sync::atomic::Ordering::SeqCst);
        let answer = gateway.post("/api/v1/policies/reload", "").await;
        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("internal")));
        gateway.reload_panics.store(false, std::sync::atomic::Ordering::SeqCst);
        let answer = gateway.post("/api/v1/policies/reload", "").await;
        assert_eq!((answer.status, &answer.json()["outcome"]), (200, &json!("unchanged")));
    });
}

#[test]
fn a_session_is_never_given_back() {
    run(async {
        let gateway = Gateway::start().await;
        let answer = gateway.revoke("reactivate", "session", "corp:s-1").await;
        let told = answer.json();
        assert_eq!((answer.status, &told["code"]), (422, &json!("never_returns")));
        assert_eq!(told["errors"][0]["field"], "target.kind");
    });
}
