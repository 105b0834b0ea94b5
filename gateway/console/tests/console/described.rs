//! What the document says of every call alike: where it is served, how lists end, and how a no is told.

use serde_json::{Value, json};

use crate::fixture::{Gateway, run};
use crate::people::hire;

#[test]
fn the_document_is_served_to_whoever_shows_the_token() {
    run(async {
        let gateway = Gateway::start().await;
        let answer = gateway.get("/api/v1/openapi.json").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let document = answer.json();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["paths"]["/api/v1/users"]["get"]["operationId"], "users.list");
        let calls = document["paths"].as_object().unwrap().len();
        assert!(calls > 40, "{calls}");
        assert_eq!(gateway.call("GET", "/api/v1/openapi.json", &[], "").await.status, 401);
    });
}

#[test]
fn a_page_that_is_the_last_one_says_so_also_when_it_is_full() {
    run(async {
        let gateway = Gateway::start().await;
        for (n, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
            hire(&gateway, n, name).await;
            gateway.send("POST", "/api/v1/groups", json!({ "name": format!("group of {name}") })).await;
            let body = json!({ "name": format!("with-{name}"), "issuer": "corp" });
            assert_eq!(gateway.send("POST", "/api/v1/connections", body).await.status, 201);
            assert_eq!(gateway.revoke("revoke", "user", &format!("corp:{name}")).await.status, 201);
        }
        for list in ["users", "groups", "connections", "revocations"] {
            let path = format!("/api/v1/{list}");
            let whole = gateway.get(&path).await.json();
            assert_eq!(whole[list].as_array().unwrap().len(), 3, "{whole}");
            let (mut seen, mut after) = (Vec::new(), String::new());
            for left in (0..3).rev() {
                let page = gateway.get(&format!("{path}?limit=1{after}")).await.json();
                seen.extend(page[list].as_array().unwrap().clone());
                assert_eq!(page["next"].is_null(), left == 0, "{list}: {page}");
                after = format!("&after={}", page["next"].to_string().trim_matches('"'));
            }
            assert_eq!(Value::from(seen), whole[list]);
        }
        for wrong in ["limit=0", "limit=101", "after=No!", "named=x"] {
            let answer = gateway.get(&format!("/api/v1/connections?{wrong}")).await;
            assert_eq!(answer.status, 400, "{wrong}");
        }
    });
}

/// Each of them was told as a mistake of the call, or of a field that it does not have.
#[test]
fn a_group_that_is_not_there_is_not_known_and_a_field_has_the_name_that_the_caller_gave_it() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        for (method, path) in [
            ("PUT", format!("/api/v1/users/{alice}/groups/nobody")),
            ("DELETE", format!("/api/v1/users/{alice}/groups/nobody")),
            ("GET", "/api/v1/users?group=nobody".to_owned()),
        ] {
            let answer = if method == "GET" {
                gateway.get(&path).await
            } else {
                gateway.send(method, &path, json!({})).await
            };
            let told = answer.json();
            assert_eq!((answer.status, &told["code"]), (404, &json!("not_known")), "{method} {path}: {told}");
        }
        let long = json!({ "name": "x".repeat(257) });
        let told = gateway.send("POST", "/api/v1/groups", long).await.json();
        assert_eq!((&told["status"], &told["errors"][0]["field"]), (&json!(400), &json!("name")), "{told}");
        let name = json!({ "name": "Engineers" });
        assert_eq!(gateway.send("POST", "/api/v1/groups", name.clone()).await.status, 201);
        let told = gateway.send("POST", "/api/v1/groups", name).await.json();
        assert_eq!((&told["code"], &told["errors"][0]["field"]), (&json!("taken"), &json!("name")), "{told}");
        // A whole number is one however it is written.
        let path = format!("/api/v1/users/{alice}/lock");
        let answer = gateway.post(&path, r#"{"seconds":6.0e1}"#).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    });
}
