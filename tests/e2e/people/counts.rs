//! What is given and taken by hand counts with the next request, where the directory is asked.

use serde_json::{Value, json};

use crate::house::{House, of_person, person};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_a_group_and_a_grant_of_an_operator_count_with_the_next_request() {
    let house = House::new(|_| {}).await;
    let alice = person(1, "alice");
    house.write(vec![of_person(&alice)]).await;
    let mut visit = house.visit(&house.people.token_of("alice")).await;
    visit.comes_to("/role", "no_permit").await;
    let call = async |method: &str, path: &str, body: Value| {
        let answer = house.gateway.api(method, path, Some(&body)).await;
        assert!(matches!(answer.status, 200 | 201), "{method} {path}: {}", answer.text);
        serde_json::from_str::<Value>(&answer.text).unwrap()
    };
    let of = |what: &str| format!("/api/v1/users/{}/{what}", alice.id);
    let group = call("POST", "/api/v1/groups", json!({ "name": "everybody" })).await;
    let group = of(&format!("groups/{}", group["id"].as_str().unwrap()));
    for (path, what) in [("/role", of("roles/engineer")), ("/group", group), ("/granted", of("apps/wiki"))] {
        assert_eq!(visit.told(path).await, "no_permit");
        call("PUT", &what, json!({})).await;
        assert_eq!(visit.told(path).await, "200", "at once, and not some time later: {path}");
        call("DELETE", &what, json!({ "cause": "moved" })).await;
        // Taking an app ends what was open there, and tokens of before.
        assert_ne!(visit.told(path).await, "200", "{path}");
    }
    call("POST", &of("suspend"), json!({})).await;
    assert_ne!(visit.told("/role").await, "200");
}
