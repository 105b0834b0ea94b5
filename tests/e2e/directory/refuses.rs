//! Whom it refuses.

use doorward_model::directory::PersonState;
use doorward_state::Action;
use doorward_tests::wire::within;
use serde_json::json;

use crate::house::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_it_does_not_know_is_refused_and_told_what_to_do() {
    let house = House::new(|_| {}).await;
    let ready = house.gateway.as_operator().ready().await.unwrap();
    assert_eq!(ready.condition("directory").0, "degraded", "nobody is known yet");
    house.write(vec![of_person(&with_role(person(1, "alice"), "engineer"))]).await;
    let mut alice = house.visit(&house.people.token_of("alice")).await;
    alice.comes_to("/role", "200").await;
    let ready = house.gateway.as_operator().ready().await.unwrap();
    assert_eq!(ready.condition("directory"), ("holds", "1 people are known"));
    let mut mallory = house.visit(&house.people.token_of("mallory")).await;
    assert_eq!(mallory.told("/role").await, "unknown_principal");
    assert_eq!(mallory.told("/role").await, "unknown_principal", "the connection goes on");
    let event = house.recorded("unknown_principal").await;
    assert!(event.to_string().contains("demo:mallory"), "who asked is on record: {event}");
    assert!(event.to_string().contains("knows no person who signs in as"), "{event}");
    // An agent and a service account of nobody's, too.
    assert_eq!(house.visit(&house.copilot()).await.told("/agent").await, "unknown_principal");
    assert_eq!(house.visit(&house.robot("demo:alice")).await.told("/machine").await, "unknown_principal");
    assert_eq!(house.app.requests().iter().filter(|r| r.head.target() != "/role").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_deactivated_is_refused_and_comes_back_as_the_directory_says() {
    let house = House::new(|_| {}).await;
    let alice = || with_role(person(1, "alice"), "engineer");
    house.write(vec![of_person(&alice())]).await;
    let mut visit = house.visit(&house.people.token_of("alice")).await;
    visit.comes_to("/role", "200").await;
    let (mut inactive, mut left) = (alice(), alice());
    inactive.source_active = false;
    house.write(vec![of_person(&inactive)]).await;
    visit.comes_to("/role", "disabled").await;
    house.write(vec![of_person(&alice())]).await;
    visit.comes_to("/role", "200").await;
    left.state = PersonState::Deactivated;
    house.change(vec![of_person(&left)], Action::Disable, "demo:alice").await;
    visit.comes_to("/role", "disabled").await;
    // A later record alone lets nobody in: the revocation stands by itself.
    house.write(vec![of_person(&alice())]).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(visit.told("/role").await, "disabled");
    house.change(vec![of_person(&alice())], Action::Reactivate, "demo:alice").await;
    visit.comes_to("/role", "revoked").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let mut anew = house.visit(&house.people.token_of("alice")).await;
    assert_eq!(anew.told("/role").await, "200", "who signs in anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuers_that_are_excepted_vouch_for_their_people_themselves() {
    let house = House::new(|config| {
        config.set("directory.token_for", json!(["demo"]));
    })
    .await;
    // The token's own roles and groups count for them, and nothing is granted.
    let mut alice = house.visit(&house.people.token_of("alice")).await;
    assert_eq!(alice.told("/role").await, "200");
    assert_eq!(alice.told("/granted").await, "no_permit");
    assert_eq!(house.visit(&house.robot("demo:alice")).await.told("/machine").await, "unknown_principal");
    assert!(house.gateway.log().contains("directory.token_for[0]"), "it is loud");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_read_is_no_empty_directory() {
    let house = House::new(|_| {}).await;
    house.write(vec![of_person(&with_role(person(1, "alice"), "engineer"))]).await;
    let mut visit = house.visit(&house.people.token_of("alice")).await;
    visit.comes_to("/role", "200").await;
    let file = house.gateway.folder().join("data/revocations.sqlite3");
    let away = file.with_extension("away");
    std::fs::rename(&file, &away).unwrap();
    assert_eq!(visit.told("/role").await, "200", "what was known still counts for five seconds");
    let stale = ["stale_directory", "stale_revocations"];
    let began = tokio::time::Instant::now();
    loop {
        let told = visit.told("/role").await;
        if stale.contains(&told.as_str()) {
            break;
        }
        assert_eq!(told, "200");
        assert!(began.elapsed().as_secs() < 20, "never stale");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // What is known of revocations may be stale a moment before what is known of people.
    within("the directory to be stale, too", async {
        loop {
            let metrics = house.gateway.metrics().await;
            assert_eq!(metrics.get("doorward_directory_known{kind=\"people\"}"), Some(&1.0));
            let is_old = metrics.get("doorward_directory_staleness_seconds").is_some_and(|age| *age > 5.0);
            let ready = house.gateway.as_operator().ready().await.unwrap();
            // Clients are sent elsewhere.
            if is_old && ready.condition("directory").0 == "missing" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    std::fs::rename(&away, &file).unwrap();
    let began = tokio::time::Instant::now();
    while visit.told("/role").await != "200" {
        assert!(began.elapsed().as_secs() < 60, "never read again");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
