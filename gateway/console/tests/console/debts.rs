//! What somebody owes, and how it is settled.

use doorward_model::UnixMillis;
use doorward_state::{DebtKind, NewDebt};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Gateway, NOON, run};

async fn owe(gateway: &Gateway, number: u128, due_at: i64) -> String {
    let id = Uuid::from_u128(number);
    let debt = NewDebt {
        id,
        kind: DebtKind::MissedRevocation,
        about: format!("gw-{number} did not confirm a revocation"),
        owner: "security".to_owned(),
        cause: "it polls, and had not applied it".to_owned(),
        opened_at: UnixMillis(NOON),
        due_at: UnixMillis(due_at),
    };
    gateway.revocations.open_debt(debt).await.unwrap();
    id.to_string()
}

#[test]
fn a_debt_is_listed_until_it_is_settled_and_that_is_on_record() {
    run(async {
        let gateway = Gateway::start().await;
        let late = owe(&gateway, 1, NOON - 1).await;
        let open = owe(&gateway, 2, NOON + 3_600_000).await;
        let listed = gateway.get("/api/v1/debts?open=true").await.json();
        let told: Vec<_> = listed["debts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| (d["id"].as_str().unwrap().to_owned(), d["overdue"] == true))
            .collect();
        assert_eq!(told, [(open.clone(), false), (late.clone(), true)], "the newest first");
        let one = &listed["debts"][1];
        assert_eq!(
            (&one["kind"], &one["owner"], &one["settled_at"], &one["how"]),
            (&json!("missed_revocation"), &json!("security"), &json!(null), &json!(null))
        );

        let how = r#"{"how":"gw-1 was taken out of service"}"#;
        let answer = gateway.post(&format!("/api/v1/debts/{late}/settle"), how).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(late)), "{}", answer.body);
        // Read at once: it was durable before it was answered.
        let settled = gateway.events("control_debt.settled").await;
        assert_eq!(settled.len(), 1);
        let block = &settled[0]["unmapped"]["doorward"]["debt"];
        assert_eq!((&block["id"], &block["step"]), (&json!(late), &json!("settled")));
        assert_eq!(settled[0]["metadata"]["correlation_uid"].as_str(), answer.header("x-request-id"));
        let calls = gateway.events("operator.call").await;
        let codes: Vec<_> = calls
            .iter()
            .filter(|c| c["api"]["operation"] == "debts.settle")
            .map(|c| c["api"]["response"]["code"].as_u64().unwrap())
            .collect();
        assert_eq!(codes, [202, 200], "what it is meant to do is in the log before it is done");

        let listed = gateway.get("/api/v1/debts?open=true").await.json();
        assert_eq!(listed["debts"].as_array().unwrap().len(), 1);
        let all = gateway.get("/api/v1/debts").await.json();
        assert_eq!(all["debts"][1]["how"], "gw-1 was taken out of service");
        assert_eq!(all["debts"][1]["overdue"], false, "it is settled");

        let again = gateway.post(&format!("/api/v1/debts/{late}/settle"), how).await;
        assert_eq!((again.status, &again.json()["code"]), (404, &json!("no_open_debt")));
        let never = gateway.post(&format!("/api/v1/debts/{}/settle", Uuid::from_u128(9)), how).await;
        assert_eq!(never.status, 404);
    });
}

#[test]
fn debts_are_read_page_by_page() {
    run(async {
        let gateway = Gateway::start().await;
        for number in 1..=3 {
            owe(&gateway, number, NOON).await;
        }
        let first = gateway.get("/api/v1/debts?limit=2").await.json();
        let next = first["next"].as_i64().unwrap();
        let rest = gateway.get(&format!("/api/v1/debts?limit=2&after={next}")).await.json();
        let about: Vec<_> = [&first, &rest]
            .iter()
            .flat_map(|p| p["debts"].as_array().unwrap().iter().map(|d| d["about"].clone()))
            .collect();
        let named = |n| json!(format!("gw-{n} did not confirm a revocation"));
        assert_eq!(about, [named(3), named(2), named(1)]);
        assert!(rest["next"].is_null());
        for bad in ["?open=yes", "?limit=0", "?limit=1001", "?after=x", "?closed=true"] {
            assert_eq!(gateway.get(&format!("/api/v1/debts{bad}")).await.status, 400, "{bad}");
        }
    });
}

#[test]
fn a_debt_is_settled_only_with_words_and_only_on_record() {
    run(async {
        let gateway = Gateway::start().await;
        let id = owe(&gateway, 1, NOON).await;
        let path = format!("/api/v1/debts/{id}/settle");
        let long = format!(r#"{{"how":"{}"}}"#, "x".repeat(513));
        for (path, body, field) in [
            (path.as_str(), "{}", "how"),
            (path.as_str(), r#"{"how":""}"#, "how"),
            (path.as_str(), r#"{"how":"  "}"#, "how"),
            (path.as_str(), r#"{"how":"a\u0000b"}"#, "how"),
            (path.as_str(), r#"{"how":5}"#, "how"),
            (path.as_str(), long.as_str(), "how"),
            (path.as_str(), r#"{"how":"x","by":"me"}"#, "by"),
            ("/api/v1/debts/1/settle", r#"{"how":"x"}"#, "id"),
        ] {
            let answer = gateway.post(path, body).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!(field)), "{body}");
        }
        assert_eq!(gateway.get(&path).await.status, 405);
        assert_eq!(gateway.call("POST", &path, &[], "").await.status, 401);

        let audit = gateway.audit.clone();
        tokio::task::spawn_blocking(move || audit.close()).await.unwrap().unwrap();
        let answer = gateway.post(&path, r#"{"how":"it is well"}"#).await;
        assert_eq!(
            (answer.status, &answer.json()["code"], &answer.json()["enforced"]),
            (503, &json!("audit_unavailable"), &json!(false))
        );
        let listed = gateway.get("/api/v1/debts?open=true").await.json();
        assert_eq!(listed["debts"].as_array().unwrap().len(), 1, "what cannot be recorded does not happen");
    });
}
