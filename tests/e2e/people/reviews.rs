//! `doorward policy who-can` and `what-can` beside a gateway with a directory: what a review says of somebody is
//! what their requests are told.

use serde_json::{Value, json};

use crate::commands::said;
use crate::house::{House, of_person, person};

/// The answer about somebody, and who they are.
fn about(told: &str, name: &str) -> (Value, Value) {
    let told: Value = serde_json::from_str(told).unwrap();
    for group in told["groups"].as_array().unwrap() {
        let rows = group["rows"].as_array().unwrap();
        if let Some(row) = rows.iter().find(|row| row["who"]["name"] == name) {
            return (group["answer"].clone(), row["who"].clone());
        }
    }
    panic!("nothing is said of `{name}`: {told:#}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_says_of_everybody_in_the_directory_what_their_requests_are_told() {
    let house = House::new(|_| {}).await;
    let alice = person(1, "alice");
    let name = alice.profile.user_name.clone();
    house.write(vec![of_person(&alice)]).await;
    let mut visit = house.visit(&house.people.token_of("alice")).await;
    visit.comes_to("/granted", "no_permit").await;
    let review = ["policy", "who-can", "GET", "wiki/granted", "--format", "json"];
    let (answer, who) = about(&said(&house.gateway, 0, &review).await, &name);
    assert_eq!(
        (&answer["answer"], &answer["because"]),
        (&json!("never"), &json!("not_permitted")),
        "{answer:#}"
    );
    assert_eq!(who["kind"], "user");

    let path = |what: &str| format!("/api/v1/users/{}/{what}", alice.id);
    house.gateway.api("PUT", &path("apps/wiki"), Some(&json!({}))).await;
    assert_eq!(visit.told("/granted").await, "200");
    let told = said(&house.gateway, 0, &review).await;
    assert_ne!(about(&told, &name).0["answer"], "never", "{told}");
    assert_eq!(about(&told, "visitor").1["kind"], "visitor");
    let sheet = said(&house.gateway, 0, &["policy", "what-can", &name, "--format", "csv"]).await;
    assert!(sheet.lines().count() > 8 && sheet.starts_with("name,id,kind,action,route,answer,"), "{sheet}");

    house.gateway.api("POST", &path("suspend"), Some(&json!({}))).await;
    assert_ne!(visit.told("/granted").await, "200");
    let (answer, _) = about(&said(&house.gateway, 0, &review).await, &name);
    assert_eq!((&answer["answer"], &answer["because"]), (&json!("never"), &json!("not_asked")), "{answer:#}");
    said(&house.gateway, 1, &["policy", "who-can", "GET", "no-such-app/x"]).await;
    said(&house.gateway, 2, &["policy", "who-can", "FETCH", "wiki/granted"]).await;
}
