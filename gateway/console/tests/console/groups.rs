//! Groups by an operator's hand.

use serde_json::{Value, json};

use crate::fixture::{Gateway, run};
use crate::people::hire;

async fn made(gateway: &Gateway, name: &str) -> String {
    let answer = gateway.send("POST", "/api/v1/groups", json!({ "name": name })).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn shown(gateway: &Gateway, id: &str) -> Value {
    gateway.get(&format!("/api/v1/groups/{id}")).await.json()
}

#[test]
fn a_group_is_made_filled_nested_renamed_and_deleted() {
    run(async {
        let gateway = Gateway::start().await;
        let (alice, bob) = (hire(&gateway, 1, "alice").await, hire(&gateway, 2, "bob").await);
        let (alice, bob) = (alice.to_string(), bob.to_string());
        let (eng, all) = (made(&gateway, "Engineers").await, made(&gateway, "Everybody").await);
        let members = |id: &str| format!("/api/v1/groups/{id}/members");
        let told = gateway.send("POST", &members(&eng), json!({ "add": [alice, bob] })).await.json();
        assert_eq!(told["added"], json!([format!("person:{alice}"), format!("person:{bob}")]), "{told}");
        assert_eq!((&told["changed"], &told["on_record"]), (&json!(true), &json!(true)));
        let told =
            gateway.send("POST", &members(&eng), json!({ "remove": [bob], "add": [alice] })).await.json();
        assert_eq!((&told["added"], &told["removed"]), (&json!([]), &json!([format!("person:{bob}")])));
        let told = gateway.send("POST", &members(&all), json!({ "add": [format!("group:{eng}")] })).await;
        assert_eq!(told.status, 200, "{}", told.body);
        let (inner, outer) = (shown(&gateway, &eng).await, shown(&gateway, &all).await);
        assert_eq!((&inner["people"], &inner["parents"]), (&json!(1), &json!([all])));
        assert_eq!((&outer["people"], &outer["groups"]), (&json!(0), &json!([eng])));

        let renamed =
            gateway.send("PATCH", &format!("/api/v1/groups/{eng}"), json!({ "name": "Builders" })).await;
        assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Builders")));
        let listed = gateway.get("/api/v1/groups?named=builders").await.json();
        assert_eq!((&listed["groups"][0]["id"], &listed["total"]), (&json!(eng), &json!(2)));
        assert_eq!(gateway.get("/api/v1/groups?q=BUILD").await.json()["groups"].as_array().unwrap().len(), 1);
        let first = gateway.get("/api/v1/groups?limit=1").await.json();
        let second =
            gateway.get(&format!("/api/v1/groups?after={}", first["next"].as_str().unwrap())).await.json();
        assert_eq!((&first["groups"][0]["id"], &second["groups"][0]["id"]), (&json!(eng), &json!(all)));

        let gone =
            gateway.call("DELETE", &format!("/api/v1/groups/{eng}"), &[&crate::fixture::bearer()], "").await;
        assert_eq!((gone.status, &gone.json()["removed"]), (200, &json!([format!("person:{alice}")])));
        assert_eq!(gateway.get(&format!("/api/v1/groups/{eng}")).await.json()["code"], "not_known");
        assert_eq!(gateway.get(&format!("/api/v1/users/{alice}")).await.json()["groups"], json!([]));
        assert_eq!(gateway.events("group.lifecycle.create").await.len(), 2);
    });
}

#[test]
fn what_cannot_be_is_not_done_at_all() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await.to_string();
        let (a, b) = (made(&gateway, "a").await, made(&gateway, "b").await);
        let nobody = "0199a000-0000-7000-8000-00000000ffff";
        let (of_a, of_b) = (format!("/api/v1/groups/{a}/members"), format!("/api/v1/groups/{b}/members"));
        let nested = gateway.send("POST", &of_b, json!({ "add": [format!("group:{a}")] })).await;
        assert_eq!(nested.status, 200);
        for (method, path, body, status, code) in [
            ("POST", "/api/v1/groups", json!({ "name": "A" }), 409, "taken"),
            ("POST", "/api/v1/groups", json!({}), 400, "bad_request"),
            ("POST", "/api/v1/groups", json!({ "name": "" }), 400, "bad_request"),
            ("POST", "/api/v1/groups", json!({ "name": "c", "members": [nobody] }), 404, "not_known"),
            ("POST", &of_a, json!({ "add": [alice, nobody] }), 404, "not_known"),
            ("POST", &of_a, json!({ "add": ["alice"] }), 400, "bad_request"),
            ("POST", &of_a, json!({ "add": [alice, alice] }), 400, "bad_request"),
            ("POST", &of_a, json!({ "add": [alice], "remove": [alice] }), 400, "bad_request"),
            ("POST", &of_a, json!({}), 400, "bad_request"),
            ("PATCH", &format!("/api/v1/groups/{a}"), json!({ "name": "B" }), 409, "taken"),
            ("PATCH", &format!("/api/v1/groups/{nobody}"), json!({ "name": "x" }), 404, "not_known"),
            ("DELETE", &format!("/api/v1/groups/{nobody}"), json!({}), 404, "not_known"),
            ("DELETE", &format!("/api/v1/groups/{a}"), json!({ "if_version": 1 }), 412, "changed"),
        ] {
            let answer = gateway.send(method, path, body.clone()).await;
            let told = answer.json();
            assert_eq!(
                (answer.status, &told["code"]),
                (status, &json!(code)),
                "{method} {path} {body}: {told}"
            );
        }
        let circle = gateway.send("POST", &of_a, json!({ "add": [format!("group:{b}")] })).await;
        assert!(circle.status == 409 || circle.status == 422, "{}", circle.body);
        assert_eq!(shown(&gateway, &a).await["people"], 0, "nothing of it");
        assert_eq!(gateway.get("/api/v1/groups").await.json()["total"], 2);
    });
}
