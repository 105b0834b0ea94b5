//! Signed receipts over the operator API: what is asked for wrongly, and what is not there. What is there is
//! shown with the whole gateway, in `tests/e2e/receipts`.

use serde_json::json;

use crate::fixture::{Gateway, run};

#[test]
fn a_list_says_what_is_wrong_with_its_question_and_is_empty_where_none_was_made() {
    run(async {
        let gateway = Gateway::start().await;
        let none = gateway.get("/api/v1/receipts").await;
        assert_eq!((none.status, none.json()), (200, json!({"receipts": [], "next": null})));
        for (path, field) in [
            ("/api/v1/receipts?person=alice", "person"),
            ("/api/v1/receipts?after=1", "after"),
            ("/api/v1/receipts?limit=0", "limit"),
            ("/api/v1/receipts?whose=alice", "whose"),
            ("/api/v1/receipts/alice", "id"),
            ("/api/v1/receipts/00000000-0000-7000-8000-000000000000?wait_millis_max=0", "wait_millis_max"),
        ] {
            let refused = gateway.get(path).await;
            assert_eq!(
                (refused.status, &refused.json()["errors"][0]["field"]),
                (400, &json!(field)),
                "{path}"
            );
        }
        for path in ["/api/v1/receipts/00000000-0000-7000-8000-000000000000", "/api/v1/receipt-keys"] {
            let missing = gateway.get(path).await;
            assert_eq!((missing.status, &missing.json()["code"]), (404, &json!("not_known")), "{path}");
        }
    });
}

#[test]
fn a_node_without_a_directory_has_none() {
    run(async {
        let gateway = Gateway::with(|ports| ports.lifecycle = None).await;
        for path in [
            "/api/v1/receipts",
            "/api/v1/receipts/00000000-0000-7000-8000-000000000000",
            "/api/v1/receipt-keys",
        ] {
            let refused = gateway.get(path).await;
            assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("not_here")), "{path}");
        }
    });
}
