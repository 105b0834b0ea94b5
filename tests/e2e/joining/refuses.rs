//! Who does not, and what the log says about it.

use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::directory::{Email, PersonState};
use serde_json::json;

use crate::house::{House, of_person, person};
use crate::{call, house, invite, people, token, token_but};

/// The request is refused so, with this in the log; nobody becomes known by it.
async fn refused(house: &House, token: &str, code: &str, why: &str) {
    let before = people(house).await;
    assert_eq!(house.visit(token).await.told("/role").await, code, "{why}");
    assert_eq!(people(house).await, before, "{why}");
    doorward_tests::wire::within(why, async {
        while !house.gateway.events().iter().any(|event| event.to_string().contains(why)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_joins_of_whom_the_token_does_not_say_enough() {
    let house = house(true).await;
    let unknown = "unknown_principal";
    let but = |claims| token_but(&house, "ada", &claims);
    refused(&house, &but(json!({"email_verified": false})), unknown, "no e-mail address of theirs verified")
        .await;
    refused(&house, &but(json!({"email_verified": "true"})), unknown, "no e-mail address of theirs verified")
        .await;
    refused(&house, &but(json!({"email": null})), unknown, "no e-mail address of theirs verified").await;
    let other = but(json!({"email": "ada@other.example"}));
    refused(&house, &other, unknown, "does not speak for the domain of their address").await;
    refused(&house, &but(json!({"contract_end": 1})), unknown, "their contract is over").await;
    refused(&house, &but(json!({"stage": "preboarding"})), unknown, "their issuer calls them preboarding")
        .await;
    // Nor does anybody for whom a machine asks.
    let agent = but(json!({"act": {"sub": "copilot"}, "scope": "wiki:read"}));
    assert_eq!(house.visit(&agent).await.told("/agent").await, unknown);
    assert_eq!(people(&house).await, 0);
    assert_eq!(house.visit(&token(&house, "ada")).await.told("/role").await, "200", "nothing of it stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_joins_who_was_not_asked_in_or_was_not_in_time() {
    let house = house(false).await;
    let ada = token(&house, "ada");
    refused(&house, &ada, "unknown_principal", "nobody invited them, and `first_sign_in` is off").await;
    let mut late = person(1, "late");
    late.links.clear();
    late.state = PersonState::Invited;
    late.expires_at = Some(UnixMillis(1));
    late.profile.emails =
        vec![Email { address: "late@demo.example".to_owned(), verified: false, primary: true }];
    house.write(vec![of_person(&late)]).await;
    let mut visit = house.visit(&token(&house, "late")).await;
    assert_eq!(visit.told("/role").await, "unknown_principal");
    // An invitation after the no counts as soon as the no is forgotten.
    invite(&house, "ada").await;
    house.visit(&ada).await.comes_to("/role", "200").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_around_a_hold_by_joining() {
    let house = house(true).await;
    // Held before they came: they join, and are not let in.
    let bea = invite(&house, "bea").await;
    call(&house, "POST", &format!("{bea}/hold"), json!({})).await;
    assert_eq!(house.visit(&token(&house, "bea")).await.told("/role").await, "disabled");
    // Held afterwards: a second sign-in of the same address is nobody's.
    assert_eq!(house.visit(&token(&house, "eve")).await.told("/role").await, "200");
    let found = crate::shown(&house, "/api/v1/users?link=demo:eve").await;
    let eve = format!("/api/v1/users/{}", found["users"][0]["id"].as_str().unwrap());
    call(&house, "POST", &format!("{eve}/hold"), json!({})).await;
    let second = token_but(&house, "eve", &json!({"sub": "eve-2"}));
    refused(&house, &second, "unknown_principal", "somebody of their address is known already").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_joins_by_a_token_that_was_revoked() {
    let house = house(true).await;
    let token = token_but(&house, "ada", &json!({"sid": "s-1"}));
    let target =
        json!({"target": {"kind": "session", "id": "demo:s-1"}, "action": "revoke", "cause": "a test"});
    let answer = house.gateway.api("POST", "/api/v1/revocations", Some(&target)).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    assert_eq!(house.visit(&token).await.told("/role").await, "unknown_principal");
    assert_eq!(people(&house).await, 0);
}
