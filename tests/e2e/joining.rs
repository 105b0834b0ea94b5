//! Somebody comes with a good token whom the directory does not know: by an invitation, or where it is
//! allowed by signing in, they are a person from this request on; else they are refused, and the log says what
//! would help.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[expect(dead_code, reason = "shared with the tests of SCIM")]
#[path = "scim/client.rs"]
mod client;
#[expect(dead_code, reason = "shared with the tests of the directory")]
#[path = "directory/house.rs"]
mod house;
#[path = "joining/joins.rs"]
mod joins;
#[path = "joining/refuses.rs"]
mod refuses;
#[path = "joining/taken_over.rs"]
mod taken_over;

use doorward_tests::gateway::Config;
use serde_json::{Value, json};

use house::House;

/// A house whose issuer speaks for `demo.example`, where everybody who joins is an engineer.
async fn house(first_sign_in: bool) -> House {
    house_with(first_sign_in, |_| {}).await
}

async fn house_with(first_sign_in: bool, more: impl FnOnce(&mut Config)) -> House {
    House::new(|config| {
        config.set("issuer.0.email_domains", json!(["demo.example"]));
        config.set("issuer.0.first_sign_in", json!(first_sign_in));
        config.set("directory.default_roles", json!(["engineer"]));
        more(config);
    })
    .await
}

/// A token of whoever signs in so, with the verified address of this name.
fn token(house: &House, name: &str) -> String {
    token_but(house, name, &json!({}))
}

fn token_but(house: &House, name: &str, changes: &Value) -> String {
    let mut claims = json!({"sub": name, "email": format!("{name}@demo.example"), "contract_end": null});
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    house.people.token_but("bob", &claims)
}

/// A call of the operator API that is done.
async fn call(house: &House, method: &str, path: &str, body: Value) -> Value {
    let answer = house.gateway.api(method, path, Some(&body)).await;
    assert!(matches!(answer.status, 200 | 201), "{method} {path}: {}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

/// Asks somebody in. Gives the path of the person.
async fn invite(house: &House, name: &str) -> String {
    let body = json!({"user_name": name, "emails": [format!("{name}@demo.example")]});
    let invited = call(house, "POST", "/api/v1/users", body).await;
    format!("/api/v1/users/{}", invited["id"].as_str().unwrap())
}

async fn shown(house: &House, path: &str) -> Value {
    let answer = house.gateway.api("GET", path, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

/// How many people the directory has.
async fn people(house: &House) -> u64 {
    shown(house, "/api/v1/users").await["people"].as_u64().unwrap()
}
