//! What it says of those who are let in.

use doorward_model::directory::{GroupId, MachineKind, PersonId, PersonState};
use doorward_state::directory::form::Member;
use doorward_tests::wire::within;

use crate::house::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_holds_from_the_next_request_of_the_same_token_on_the_same_connection() {
    let house = House::new(|_| {}).await;
    // The token says `engineer`, as the demo's do; that does not count.
    let token = house.people.token_of("alice");
    house.write(vec![of_person(&person(1, "alice"))]).await;
    let mut alice = house.visit(&token).await;
    alice.comes_to("/role", "no_permit").await;
    house.write(vec![of_person(&with_role(person(1, "alice"), "engineer"))]).await;
    alice.comes_to("/role", "200").await;
    assert_eq!(alice.told("/role").await, "200");
    house.write(vec![of_person(&with_role(person(1, "alice"), "seller"))]).await;
    alice.comes_to("/role", "no_permit").await;
    assert_eq!(alice.told("/role").await, "no_permit");
    // A request that was under way when she lost the role ends, and its connection with it.
    assert!((1..=2).contains(&alice.connections), "{} connections", alice.connections);
    // What was written is there after a restart, too.
    let house = house.restarted().await;
    let mut alice = house.visit(&token).await;
    assert_eq!(alice.told("/role").await, "no_permit");
    house.write(vec![of_person(&with_role(person(1, "alice"), "engineer"))]).await;
    alice.comes_to("/role", "200").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_in_groups_and_their_names_reach_everybody_in_them() {
    let house = House::new(|_| {}).await;
    let (alice, engineers) = (Member::Person(PersonId::from_u128(1)), Member::Group(GroupId::from_u128(10)));
    let people = vec![of_person(&person(1, "alice")), group(10, "eng"), group(11, "everybody")];
    house.write(people).await;
    house.write(vec![member(alice, &[10])]).await;
    let mut visit = house.visit(&house.people.token_of("alice")).await;
    visit.comes_to("/group", "no_permit").await;
    house.write(vec![member(engineers, &[11])]).await;
    visit.comes_to("/group", "200").await;
    let told = house.app.requests().last().unwrap().head.value("x-doorward-groups");
    assert_eq!(told.as_deref(), Some("eng,everybody"), "the app is told the same");
    house.write(vec![group(11, "nobody")]).await;
    visit.comes_to("/group", "no_permit").await;
    house.write(vec![group(10, "everybody")]).await;
    visit.comes_to("/group", "200").await;
    house.write(vec![member(alice, &[])]).await;
    visit.comes_to("/group", "no_permit").await;
    // Twice she lost what a request rests on: one that was under way then ends, and its connection with it.
    assert!((1..=3).contains(&visit.connections), "{} connections", visit.connections);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_granted_opens_for_the_person_and_for_their_agent() {
    let house = House::new(|_| {}).await;
    let alice = || with_role(person(1, "alice"), "engineer");
    let copilot = machine(7, MachineKind::Agent, "demo:copilot", 1);
    house.write(vec![of_person(&alice()), copilot]).await;
    let mut person = house.visit(&house.people.token_of("alice")).await;
    let mut agent = house.visit(&house.copilot()).await;
    person.comes_to("/granted", "no_permit").await;
    agent.comes_to("/agent", "no_permit").await;
    house.write(vec![of_person(&with_app(alice(), "wiki"))]).await;
    person.comes_to("/granted", "200").await;
    agent.comes_to("/agent", "200").await;
    assert_eq!(agent.told("/granted").await, "no_permit", "what is written for people is for people");
    house.write(vec![of_person(&alice())]).await;
    person.comes_to("/granted", "no_permit").await;
    agent.comes_to("/agent", "no_permit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_stops_with_its_owner_and_works_for_whoever_took_it_over() {
    let house = House::new(|_| {}).await;
    let backup = |owner| machine(5, MachineKind::ServiceAccount, "robots:backup", owner);
    let mut robot = house.visit(&house.robot("demo:alice")).await;
    assert_eq!(robot.told("/machine").await, "unknown_principal", "nobody registered it");
    house.write(vec![of_person(&person(1, "alice")), of_person(&person(2, "bob")), backup(1)]).await;
    robot.comes_to("/machine", "200").await;
    let mut left = person(1, "alice");
    left.state = PersonState::Deactivated;
    house.write(vec![of_person(&left)]).await;
    robot.comes_to("/machine", "disabled").await;
    house.write(vec![backup(2)]).await;
    robot.comes_to("/machine", "200").await;
}

/// Waits until nothing runs: a request that was answered may not be over yet, and would end with its connection when
/// the person loses what it rests on.
async fn nothing_runs(house: &House) {
    within("nothing to run", async {
        loop {
            let answer = house.gateway.api("GET", "/api/v1/inflight", None).await;
            let listed: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
            if listed["total"] == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// In the process that takes the call nothing has to be waited for: the answer is the border.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_was_answered_holds_with_the_very_next_request() {
    let house = House::new(|_| {}).await;
    house.write(vec![of_person(&person(1, "alice"))]).await;
    let token = house.people.token_of("alice");
    let mut alice = house.visit(&token).await;
    alice.comes_to("/role", "no_permit").await;
    let user = format!("/api/v1/users/{}", PersonId::from_u128(1));
    let role = format!("{user}/roles/engineer");
    for _ in 0..10 {
        let answer = house.gateway.api("PUT", &role, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(alice.told("/role").await, "200");
        nothing_runs(&house).await;
        let answer = house.gateway.api("DELETE", &role, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(alice.told("/role").await, "no_permit");
    }
    assert_eq!(alice.connections, 1);
    house.gateway.api("PUT", &role, None).await;
    assert_eq!(alice.told("/role").await, "200");
    let answer = house.gateway.api("POST", &format!("{user}/deactivate"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = house.visit(&token).await.told("/role").await;
    assert_eq!(told, "disabled");
    // Whoever returns does so without what an operator had given them by hand.
    let answer = house.gateway.api("POST", &format!("{user}/reactivate"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let token = house.people.token_of("alice");
    assert_eq!(house.visit(&token).await.told("/role").await, "no_permit");
}
