//! Service accounts and agents by an operator's hand.

use serde_json::{Value, json};

use crate::fixture::{Gateway, NOON, run};
use crate::people::hire;

fn robot(owner: &str) -> Value {
    json!({
        "user": "corp:backup", "name": "Backup", "purpose": "copies files", "owner": owner,
        "scopes": ["files:read"], "expires_at": NOON + 1_000_000,
    })
}

#[test]
fn a_machine_is_registered_stopped_started_handed_over_and_deleted() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await.to_string();
        let bob = hire(&gateway, 2, "bob").await.to_string();
        let made = gateway.send("POST", "/api/v1/service-accounts", robot(&alice)).await;
        let told = made.json();
        assert_eq!(
            (made.status, &told["admitted"], &told["on_record"]),
            (201, &json!(true), &json!(true)),
            "{told}"
        );
        let id = told["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/service-accounts/{id}");
        for query in
            ["", "?named=backup", "?named=corp:backup", &format!("?named={id}"), &format!("?owner={alice}")]
        {
            let listed = gateway.get(&format!("/api/v1/service-accounts{query}")).await.json();
            assert_eq!(listed["service_accounts"][0]["id"], id.as_str(), "{query}: {listed}");
        }
        assert_eq!(gateway.get("/api/v1/agents").await.json()["agents"], json!([]), "it is none");
        assert_eq!(gateway.get(&format!("/api/v1/agents/{id}")).await.status, 404);
        // Verb, body, the state afterwards, whether it may work, how many revocations.
        for (verb, body, state, admitted, receipts) in [
            ("stop", json!({ "cause": "runs wild" }), "stopped", false, 1),
            ("stop", json!({}), "stopped", false, 0),
            ("start", json!({}), "active", true, 1),
            ("hand-over", json!({ "owner": bob }), "active", true, 0),
            ("delete", json!({}), "deleted", false, 1),
        ] {
            let answer = gateway.send("POST", &format!("{path}/{verb}"), body).await;
            let told = answer.json();
            assert_eq!(
                (answer.status, &told["state"], &told["admitted"]),
                (200, &json!(state), &json!(admitted)),
                "{verb}: {told}"
            );
            assert_eq!(told["receipts"].as_array().unwrap().len(), receipts, "{verb}: {told}");
        }
        assert_eq!(gateway.get(&path).await.status, 404);
    });
}

#[test]
fn a_machine_needs_an_owner_who_has_access_and_a_date() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await.to_string();
        let answer =
            gateway.send("POST", "/api/v1/agents", json!({ "user": "backup", "owner": "alice" })).await;
        let fields: Vec<Value> =
            answer.json()["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
        assert_eq!(fields, ["user", "owner", "name", "purpose", "expires_at"]);
        let mut old = robot(&alice);
        old["expires_at"] = json!(NOON - 1);
        assert_eq!(
            gateway.send("POST", "/api/v1/agents", old).await.json()["errors"][0]["field"],
            "expires_at"
        );
        gateway.post(&format!("/api/v1/users/{alice}/suspend"), "").await;
        let answer = gateway.send("POST", "/api/v1/agents", robot(&alice)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("refused")), "{}", answer.body);
        assert!(answer.json()["help"].is_string());
        assert_eq!(gateway.get("/api/v1/agents").await.json()["agents"], json!([]));
        let person_of = json!({ "user": "corp:alice", "name": "x", "purpose": "y", "owner": alice, "expires_at": NOON + 1_000_000 });
        gateway.post(&format!("/api/v1/users/{alice}/unsuspend"), "").await;
        let answer = gateway.send("POST", "/api/v1/agents", person_of).await;
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("taken")), "a person signs in so");
    });
}
