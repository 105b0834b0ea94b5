//! `doorward policy who-can` and `what-can` beside a gateway with a directory: what a review says of somebody is
//! what their requests are told.

use std::collections::BTreeMap;

use doorward_model::directory::Person;
use doorward_tests::gateway::command;
use doorward_tests::issuer::Issuer;
use serde_json::{Value, json};

use crate::commands::said;
use crate::house::{House, Visit, of_person, person, with_role};

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
    let mut alice = person(1, "alice");
    alice.links.insert("demo:alice-too".parse().unwrap());
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

    // The same of one request: why not, and what would help.
    let explain =
        ["policy", "explain", "--live", "--who", &name, "--does", "GET wiki/granted", "--format", "json"];
    let explained =
        async || -> Value { serde_json::from_str(&said(&house.gateway, 0, &explain).await).unwrap() };
    let told = explained().await;
    assert_eq!(
        (&told["decision"], &told["nearest_permit"]["policy"]),
        (&json!("deny"), &json!("granted")),
        "{told:#}"
    );
    assert_eq!(
        told["way"],
        json!({ "proved": true, "steps": [{ "who": "owner", "what": "be granted the app" }] })
    );

    let path = |what: &str| format!("/api/v1/users/{}/{what}", alice.id);
    house.gateway.api("PUT", &path("apps/wiki"), Some(&json!({}))).await;
    assert_eq!(visit.told("/granted").await, "200");
    assert_eq!(explained().await["deciding"], json!(["granted"]));
    let told = said(&house.gateway, 0, &review).await;
    assert_ne!(about(&told, &name).0["answer"], "never", "{told}");
    assert_eq!(about(&told, "visitor").1["kind"], "visitor");
    let sheet = said(&house.gateway, 0, &["policy", "what-can", &name, "--format", "csv"]).await;
    assert!(sheet.lines().count() > 8 && sheet.starts_with("name,id,kind,action,route,answer,"), "{sheet}");

    said(&house.gateway, 0, &["policy", "what-can", "visitor"]).await;
    asks_the_policies_that_decide(&house, &alice, &mut visit).await;

    house.gateway.api("POST", &path("suspend"), Some(&json!({}))).await;
    assert_ne!(visit.told("/granted").await, "200");
    let (answer, _) = about(&said(&house.gateway, 0, &review).await, &name);
    assert_eq!((&answer["answer"], &answer["because"]), (&json!("never"), &json!("not_asked")), "{answer:#}");
    let told = said(&house.gateway, 1, &explain).await;
    assert!(told.contains("the directory does not let them in"), "{told}");
    let live = ["policy", "explain", "--live", "--does", "GET wiki/granted", "--who"];
    let told = said(&house.gateway, 0, &[&live[..], &["visitor"]].concat()).await;
    assert!(told.contains("GET wiki/granted as visitor") && told.contains("sign in;"), "{told}");
    said(&house.gateway, 2, &[&live[..], &[&name, "--with", "person.roles=hr"]].concat()).await;
    said(&house.gateway, 1, &["policy", "who-can", "GET", "no-such-app/x"]).await;
    said(&house.gateway, 2, &["policy", "who-can", "FETCH", "wiki/granted"]).await;
}

/// Nobody at one route any more, and one sign-in of a person at another.
const OTHERS: &str = r#"
@id("nobody") forbid (principal, action, resource == Route::"wiki/granted");
@id("granted") permit (principal is User, action, resource == Route::"wiki/granted") when { context.granted };
@id("elsewhere") permit (principal == User::"demo:alice-too", action, resource == Route::"wiki/role");
"#;

/// While others are rolled out, everybody is reviewed by those that would decide for them, as each of their sign-ins.
async fn asks_the_policies_that_decide(house: &House, alice: &Person, visit: &mut Visit) {
    let folder = tempfile::tempdir().unwrap();
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    std::fs::copy(schema, folder.path().join("schema.cedarschema")).unwrap();
    std::fs::write(folder.path().join("all.cedar"), OTHERS).unwrap();
    let start = ["policy", "rollout", "start", folder.path().to_str().unwrap(), "--author", "test"];
    let everybody = ["--percent", "100", "--override", "--cause", "a test"];
    said(&house.gateway, 0, &[&start[..], &everybody].concat()).await;
    visit.comes_to("/granted", "policy_forbids").await;
    let review = |route| ["policy", "who-can", "GET", route, "--format", "json"];
    let told = said(&house.gateway, 0, &review("wiki/granted")).await;
    let (answer, who) = about(&told, &alice.profile.user_name);
    assert_eq!(answer["policies"], json!(["nobody"]), "{answer:#}");
    assert_eq!(who["record"], json!(alice.id.to_string()), "{who}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_ne!(told["revision"], told["staged"]["revision"], "{told:#}");
    let text = said(&house.gateway, 0, &["policy", "who-can", "GET", "wiki/granted"]).await;
    assert!(text.starts_with("who can GET wiki/granted, by policies ") && text.contains('*'), "{text}");

    // Policies may tell one sign-in from another, so a review has to.
    let told = said(&house.gateway, 0, &review("wiki/role")).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let groups = told["groups"].as_array().unwrap().iter();
    let rows = groups.flat_map(|g| g["rows"].as_array().unwrap().iter().map(move |row| (&g["answer"], row)));
    let hers: BTreeMap<_, _> = rows
        .filter(|(_, row)| row["who"]["kind"] == "user")
        .map(|(answer, row)| (row["who"]["id"].as_str().unwrap(), answer["answer"].as_str().unwrap()))
        .collect();
    assert_eq!(hers, BTreeMap::from([("demo:alice", "never"), ("demo:alice-too", "always")]), "{told:#}");
    said(&house.gateway, 0, &["policy", "rollout", "stop"]).await;
    visit.comes_to("/granted", "200").await;
}

/// Whoever comes by an issuer of `directory.token_for` is let in as the token says. A review by the directory must not
/// say of them that they cannot, and no auditor may take a list without them for everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_as_their_token_says_is_told_to_be_missing_and_not_to_be_refused() {
    let lab = Issuer::named("lab").await;
    let house = House::new(|config| {
        config.issuer(&lab).set("directory.token_for", json!(["lab"]));
    })
    .await;
    // Of the directory by that issuer alone; by both; by another.
    let (mut lena, mut mary, alice) = (person(1, "lena"), person(2, "mary"), person(3, "alice"));
    lena.links = ["lab:lena".parse().unwrap()].into();
    mary.links.insert("lab:mary".parse().unwrap());
    let alice = with_role(alice, "engineer");
    house.write([&lena, &mary, &alice].map(of_person).into()).await;
    // The token of each says that they are an engineer, and for `lab` that is enough, whether they are known or not.
    for (issuer, name, told) in [
        (&house.people, "alice", "200"),
        (&house.people, "mary", "no_permit"),
        (&lab, "lena", "200"),
        (&lab, "mary", "200"),
        (&lab, "somebody", "200"),
    ] {
        house.visit(&issuer.token_of(name)).await.comes_to("/role", told).await;
    }

    let review = ["policy", "who-can", "GET", "wiki/role"];
    let told = said(&house.gateway, 0, &[&review[..], &["--format", "json"]].concat()).await;
    let json: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(json["as_tokens_say"], json!(["lab"]), "{json:#}");
    let rows = json["groups"].as_array().unwrap().iter();
    let rows = rows.flat_map(|g| g["rows"].as_array().unwrap().iter().map(move |row| (&g["answer"], row)));
    let people: BTreeMap<_, _> = rows
        .filter(|(_, row)| row["who"]["kind"] == "user")
        .map(|(answer, row)| (row["who"]["id"].as_str().unwrap(), answer["answer"].as_str().unwrap()))
        .collect();
    assert_eq!(people, BTreeMap::from([("demo:alice", "always"), ("demo:mary", "never")]), "{json:#}");
    let told = said(&house.gateway, 0, &review).await;
    assert!(told.contains("\nnot listed: whoever comes by `lab`, as their token says"), "{told}");
    assert!(!told.contains("lena"), "{told}");
    let sheet = said(&house.gateway, 0, &[&review[..], &["--format", "csv"]].concat()).await;
    assert!(sheet.contains("\r\nlab,,issuer,GET,wiki/role,unknown,"), "{sheet}");

    // Of one of them nothing can be told but that.
    let live = ["policy", "explain", "--live", "--does", "GET wiki/role", "--who"];
    for asked in [&["policy", "what-can", "lena"][..], &[&live[..], &["lena"]].concat()] {
        let told = refused(&house, asked, 1).await;
        assert!(told.contains("whoever signs in by `lab` is as the token says"), "{asked:?}: {told}");
    }
    for asked in [&["policy", "what-can", "lab:somebody"][..], &[&live[..], &["lab:somebody"]].concat()] {
        let told = refused(&house, asked, 2).await;
        assert!(told.contains("no user is called `lab:somebody`"), "{asked:?}: {told}");
        assert!(told.contains("whoever comes by `lab` need not be in the directory"), "{asked:?}: {told}");
    }
    // Whoever comes by another as well is answered for as that.
    let told = said(&house.gateway, 0, &["policy", "what-can", "mary"]).await;
    assert!(told.contains("whoever comes as mary by `lab` is as their token says"), "{told}");
    let told = said(&house.gateway, 0, &[&live[..], &["mary"]].concat()).await;
    assert!(told.contains("denied"), "{told}");
    let told = said(&house.gateway, 0, &["policy", "what-can", "visitor"]).await;
    assert!(!told.contains("lab"), "{told}");
}

/// Nobody who has not signed in at night, nor on a Tuesday.
const HOURS: &str = r#"
@id("all") permit (principal, action, resource == Route::"wiki/granted");
@id("night") forbid (principal is Visitor, action, resource)
when { context.time.localTime >= duration("23h") || context.time.localTime < duration("6h") };
@id("tuesday") forbid (principal is Visitor, action, resource) when { context.time.weekday == Weekday::"tue" };
"#;

/// What is asked about another time is answered by the time zone of the gateway, as a request would be then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_time_is_counted_in_the_time_zone_of_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    std::fs::copy(schema, folder.path().join("schema.cedarschema")).unwrap();
    std::fs::write(folder.path().join("all.cedar"), HOURS).unwrap();
    let house = House::new(|config| {
        config.set("gateway.time_zone", json!("Europe/Berlin")).set("policy.dir", json!(folder.path()));
    })
    .await;
    let live = ["policy", "explain", "--live", "--who", "visitor", "--does", "GET wiki/granted"];
    for (with, by) in [
        // The last of November 2026 is a Monday, and Berlin an hour east of Greenwich.
        ("time.now=2026-11-30T21:30:00Z", "all"),
        ("time.now=2026-11-30T22:30:00Z", "night"),
        ("time.now=2026-11-30T22:30:00Z time.local=12:00", "all"),
        ("time.now=2026-11-30T23:30:00Z time.local=12:00", "tuesday"),
        ("time.now=2026-11-30T23:30:00Z time.weekday=mon", "night"),
        ("time.local=23:30 time.weekday=wed", "night"),
        ("time.local=12:00 time.weekday=tue", "tuesday"),
        ("time.local=12:00 time.weekday=wed", "all"),
    ] {
        let asked = [&live[..], &["--with", with, "--format", "json"]].concat();
        let told: Value = serde_json::from_str(&said(&house.gateway, 0, &asked).await).unwrap();
        assert_eq!(told["deciding"], json!([by]), "{with}: {told:#}");
    }
}

/// What a command says that ends with this code.
async fn refused(house: &House, args: &[&str], code: i32) -> String {
    let file = house.gateway.config_file();
    let output = command(&[args, &["--config", file.to_str().unwrap()]].concat()).await;
    assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
    output.stderr
}
