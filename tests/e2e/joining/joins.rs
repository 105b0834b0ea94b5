//! Who joins.

use serde_json::json;

use crate::{call, house, invite, people, shown, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_invited_joins_with_the_first_request_and_is_let_in_by_it() {
    let house = house(false).await;
    let carol = invite(&house, "carol").await;
    let before = shown(&house, &carol).await;
    assert_eq!((&before["state"], &before["links"]), (&json!("invited"), &json!([])));
    let token = token(&house, "carol");
    let mut visit = house.visit(&token).await;
    assert_eq!(visit.told("/role").await, "200");
    assert_eq!(visit.told("/role").await, "200");
    assert_eq!(visit.connections, 1, "what they join with goes on");
    let after = shown(&house, &carol).await;
    assert_eq!((&after["state"], &after["links"]), (&json!("active"), &json!(["demo:carol"])));
    assert_eq!(after["roles"][0]["origin"], "default");
    let told = house.recorded("user.lifecycle.activate").await.to_string();
    assert!(told.contains("accepted an invitation"), "{told}");
    // From here on they are like everybody else.
    call(&house, "POST", &format!("{carol}/suspend"), json!({})).await;
    assert_eq!(house.visit(&token).await.told("/role").await, "disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_allowed_everybody_of_the_mail_domain_joins_once() {
    let house = house(true).await;
    let token = token(&house, "dora");
    let all = (0..20).map(|_| async { house.visit(&token).await.told("/role").await });
    for told in futures_util::future::join_all(all).await {
        assert_eq!(told, "200");
    }
    assert_eq!(people(&house).await, 1);
    let found = shown(&house, "/api/v1/users?link=demo:dora").await;
    let dora = &found["users"][0];
    assert_eq!(dora["source"], json!({"kind": "sign_in", "id": "demo"}));
    // The token says groups and roles; the directory says them now.
    let path = format!("/api/v1/users/{}", dora["id"].as_str().unwrap());
    call(&house, "DELETE", &format!("{path}/roles/engineer"), json!({})).await;
    assert_eq!(house.visit(&token).await.told("/role").await, "no_permit");
    assert_eq!(people(&house).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_joined_is_there_after_a_restart() {
    let house = house(true).await;
    let token = token(&house, "erin");
    assert_eq!(house.visit(&token).await.told("/role").await, "200");
    let house = house.restarted().await;
    assert_eq!(people(&house).await, 1);
    assert_eq!(house.visit(&token).await.told("/role").await, "200");
}
