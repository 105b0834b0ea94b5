//! Somebody joined without a provider, and a provider has them from some day on.

use doorward_servers::Port;
use doorward_tests::gateway::{Gateway, command};
use serde_json::{Value, json};

use crate::client::{Provider, listen};
use crate::{call, house_with, invite, shown, token};

/// What a command printed; it must have ended with this code.
async fn said(gateway: &Gateway, code: i32, args: &[&str]) -> String {
    let file = gateway.config_file();
    let mut all = args.to_vec();
    all.extend(["--config", file.to_str().unwrap()]);
    let output = command(&all).await;
    let text = output.stdout + &output.stderr;
    assert_eq!(output.code, Some(code), "{args:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_hands_somebody_over_and_the_provider_takes_them_as_they_are() {
    let intake = Port::take();
    let house = house_with(false, |config| listen(config, &intake)).await;
    let gateway = &house.gateway;
    let carol = invite(&house, "carol").await;
    let mut visit = house.visit(&token(&house, "carol")).await;
    assert_eq!(visit.told("/role").await, "200");

    let add = ["connection", "add", "okta", "--issuer", "demo", "--subject", "userName", "--role", "eng*"];
    let made = said(gateway, 0, &[&add[..], &["--group-prefix", "okta/", "--format", "json"]].concat()).await;
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!((&made["roles"], &made["group_prefix"]), (&json!(["eng*"]), &json!("okta/")));
    let okta = Provider { address: intake.address(), token: made["token"].as_str().unwrap().to_owned() };
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "carol", "active": true,
        "displayName": "Carol of HR", "roles": [{"value": "engineer"}, {"value": "root"}],
    });
    // Who is not handed over is not taken.
    assert_eq!(okta.ask("POST", "/Users", Some(&body)).await.status(), 409);
    let told = said(gateway, 1, &["user", "adopt", "carol", "--connection", "hr"]).await;
    assert!(told.contains("connection"), "{told}");
    said(gateway, 0, &["user", "adopt", "carol", "--connection", "okta"]).await;
    let told = said(gateway, 0, &["user", "show", "carol"]).await;
    assert!(told.contains("handed over to connection okta"), "{told}");
    said(gateway, 0, &["user", "adopt", "carol", "--withdraw"]).await;
    assert_eq!(okta.ask("POST", "/Users", Some(&body)).await.status(), 409);
    said(gateway, 0, &["user", "adopt", "carol", "--connection", "okta", "--cause", "HR has her now"]).await;
    let taken = okta.ask("POST", "/Users", Some(&body)).await;
    assert_eq!(taken.status(), 201, "{}", taken.text());
    let id = taken.json()["id"].as_str().unwrap().to_owned();
    assert!(carol.ends_with(&id), "she keeps her id");

    let now = shown(&house, &carol).await;
    assert_eq!(now["source"], json!({"kind": "connection", "id": "okta"}));
    assert_eq!((&now["links"], &now["profile"]["name"]), (&json!(["demo:carol"]), &json!("Carol of HR")));
    let roles: Vec<_> = now["roles"].as_array().unwrap().iter().map(|given| given["what"].clone()).collect();
    assert!(!roles.contains(&json!("root")), "{roles:?}");
    assert_eq!(visit.told("/role").await, "200");
    assert_eq!(visit.connections, 1, "nothing of it ends what she has open");
    house.recorded("user.account.hand_over").await;
    let told = house.recorded("user.account.take_over").await.to_string();
    assert!(told.contains("scim:okta") && told.contains("local"), "{told}");

    // Policies know its groups by other names than it does.
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "everybody",
        "members": [{"value": id}],
    });
    assert_eq!(okta.ask("POST", "/Groups", Some(&group)).await.status(), 201);
    assert_eq!(visit.told("/group").await, "no_permit", "it is no group of the operators'");
    let ours = call(&house, "POST", "/api/v1/groups", json!({"name": "everybody"})).await;
    let theirs = shown(&house, "/api/v1/groups?named=okta/everybody").await;
    let nested = json!({"add": [format!("group:{}", theirs["groups"][0]["id"].as_str().unwrap())]});
    call(&house, "POST", &format!("/api/v1/groups/{}/members", ours["id"].as_str().unwrap()), nested).await;
    assert_eq!(visit.told("/group").await, "200", "an operator may say that they are one");

    // And she leaves as everybody does whom it has.
    assert_eq!(okta.say_active(&id, &json!(false), None).await.status(), 200);
    assert_eq!(house.visit(&token(&house, "carol")).await.told("/role").await, "disabled");
}
