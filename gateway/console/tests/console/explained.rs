//! `POST /api/v1/policies/explain`.

use serde_json::json;

use crate::fixture::{Gateway, run};

const VISITOR: &str = r#"{"v":1,"who":"visitor","does":"GET","route":{"id":"wiki/all","tier":"public"},"place":{"ip":"192.0.2.1"},"now":0,"local":0,"weekday":"mon","host":"","path":"/"}"#;

#[test]
fn a_situation_is_explained_by_the_policies_in_force() {
    run(async {
        let gateway = Gateway::start().await;
        let answer = gateway.send("POST", "/api/v1/policies/explain", json!({ "situation": VISITOR })).await;
        let told = answer.json();
        assert_eq!(answer.status, 200, "{told}");
        let bundle = gateway.policies.bundle();
        let situation = doorward_policy::record::read(VISITOR).unwrap();
        assert_eq!(told["revision"], bundle.revision().to_string());
        assert_eq!(told["decision"], bundle.decide(&situation.question()).decision.as_str());
        assert!(told["policies"].is_array() && told["unasked"].is_null(), "{told}");
    });
}

#[test]
fn what_is_no_situation_is_told_as_a_mistake() {
    run(async {
        let gateway = Gateway::start().await;
        for body in [
            json!({}),
            json!({ "situation": "x" }),
            json!({ "situation": VISITOR.replace("\"v\":1", "\"v\":2") }),
            json!({ "situation": { "v": 1 } }),
            json!({ "situation": VISITOR, "more": 1 }),
            json!({ "situation": "[".repeat(20_000) }),
        ] {
            let answer = gateway.send("POST", "/api/v1/policies/explain", body).await;
            let told = answer.json();
            assert_eq!((answer.status, &told["code"]), (400, &json!("bad_request")), "{told}");
        }
        assert_eq!(gateway.call("POST", "/api/v1/policies/explain", &[], "{}").await.status, 401);
    });
}
