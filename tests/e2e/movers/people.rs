//! The directory says something else of who asked.

use doorward_tests::live::Kind;
use serde_json::json;

use crate::house::{CHANGED, House, KINDS, all_end, all_go_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_role_goes_everything_that_it_let_in_ends_and_nothing_else() {
    let house = House::new(|_| {}).await;
    let (alice, bob) = (house.hire("alice", &["engineer"]).await, house.hire("bob", &["engineer"]).await);
    // What somebody has by something else as well goes on.
    let carol = house.hire("carol", &["engineer"]).await;
    house.group("team", &[&carol]).await;
    let tokens = [&alice, &bob, &carol].map(|person| house.token(person));
    let mut open = Vec::new();
    for token in &tokens {
        open.push(house.open_all(token).await);
    }
    house.move_to(&alice, &["seller"]).await;
    house.is_refused(&tokens[0], "no_permit").await;
    house.move_to(&carol, &[]).await;
    all_end(open.remove(0), CHANGED).await;
    house.site.wait_inflight(Some("demo:alice"), 0).await;

    let events = house.withdrawn(KINDS.len()).await;
    for event in &events {
        let block = &event["unmapped"]["doorward"];
        assert_eq!(event["actor"]["user"]["uid"], "demo:alice", "{event}");
        assert_eq!(block["ending"]["because"], "directory", "{event}");
        assert_eq!(
            (&block["decision"]["outcome"], &block["decision"]["reason_code"]),
            (&json!("deny"), &json!("no_permit"))
        );
        assert!(block["ending"]["after_us"].is_u64(), "{event}");
        assert!(block["decision"]["policy_set"]["revision"].is_string(), "{event}");
        // Its beginning is told, too, under the same id.
        let id = &event["metadata"]["correlation_uid"];
        let begun = house.site.gateway.events().into_iter().find(|e| {
            e["metadata"]["correlation_uid"] == *id && e["metadata"]["event_code"] == "access.request.allowed"
        });
        assert!(begun.is_some(), "{event}");
    }
    assert_eq!(house.metric("doorward_review_exchanges_withdrawn_total{protocol=\"websocket\"}").await, 3.0);
    assert_eq!(house.metric("doorward_review_exchanges_withdrawn_total{protocol=\"grpc\"}").await, 2.0);
    // It is counted when all of them are decided, and the first have ended by then.
    let denied = "doorward_review_exchanges_total{because=\"directory\",answer=\"deny\"}";
    house.counts_to(denied, KINDS.len() as f64).await;
    assert_eq!(house.metric(denied).await, KINDS.len() as f64);
    // No revocation: the same token is good again when the role is back.
    house.move_to(&alice, &["engineer"]).await;
    assert_eq!(house.told(&tokens[0]).await.0, 200);
    let again = house.open_all(&tokens[0]).await;
    for open in open.into_iter().chain([again]) {
        all_go_on(open).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_taken_out_of_a_group_loses_what_it_let_in() {
    let house = House::new(|_| {}).await;
    let (alice, bob) = (house.hire("alice", &[]).await, house.hire("bob", &[]).await);
    let team = house.group("team", &[&alice, &bob]).await;
    let (hers, his) = (house.token(&alice), house.token(&bob));
    let (gone, stays) = (house.open_all(&hers).await, house.open_all(&his).await);
    // As Okta says it, and as Entra ID does.
    let path = format!("members[value eq \"{}\"]", alice.id);
    house.patch(&format!("/Groups/{team}"), json!({"op": "remove", "path": path})).await;
    house.is_refused(&hers, "no_permit").await;
    all_end(gone, CHANGED).await;
    all_go_on(stays).await;

    let stays = house.open_all(&his).await;
    let members = json!({"op": "Remove", "path": "members", "value": [{"value": bob.id}]});
    house.patch(&format!("/Groups/{team}"), members).await;
    all_end(stays, CHANGED).await;
}

/// A group that is emptied, renamed, or in no other group any more: one change, and nobody is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_group_reaches_everybody_below_it() {
    const MEMBERS: usize = 40;
    let house = House::new(|_| {}).await;
    let mut people = Vec::new();
    for n in 0..MEMBERS {
        people.push(house.hire(&format!("p{n}"), &[]).await);
    }
    let all: Vec<_> = people.iter().collect();
    let inner = house.group("inner", &all).await;
    let outer = house.operate("POST", "/api/v1/groups", json!({"name": "team"})).await;
    let outer = outer["id"].as_str().unwrap();
    let bystander = house.hire("bystander", &["engineer"]).await;
    let stays = house.open_all(&house.token(&bystander)).await;
    let members = format!("/api/v1/groups/{outer}/members");
    let open_all = async || {
        let mut open = Vec::new();
        for person in &people {
            open.push(house.open(Kind::WsIdle, &house.token(person)).await.unwrap());
        }
        open
    };
    house.operate("POST", &members, json!({"add": [format!("group:{inner}")]})).await;
    let open = open_all().await;
    house.operate("POST", &members, json!({"remove": [format!("group:{inner}")]})).await;
    all_end(open, CHANGED).await;

    house.operate("POST", &members, json!({"add": [format!("group:{inner}")]})).await;
    let open = open_all().await;
    house.operate("PATCH", &format!("/api/v1/groups/{outer}"), json!({"name": "crew"})).await;
    all_end(open, CHANGED).await;

    house.operate("PATCH", &format!("/api/v1/groups/{outer}"), json!({"name": "team"})).await;
    let open = open_all().await;
    house.patch(&format!("/Groups/{inner}"), json!({"op": "replace", "path": "members", "value": []})).await;
    all_end(open, CHANGED).await;
    all_go_on(stays).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_gave_and_takes_ends_what_it_let_in() {
    let house = House::new(|_| {}).await;
    let alice = house.hire("alice", &[]).await;
    let token = house.token(&alice);
    for what in ["roles/engineer", "apps/build"] {
        let path = format!("/api/v1/users/{}/{what}", alice.id);
        house.operate("PUT", &path, json!({})).await;
        let token = if what == "apps/build" { token.clone() } else { house.token(&alice) };
        let ws = house.open(Kind::WsTicking, &token).await.unwrap();
        ws.wait_units(2).await;
        house.operate("DELETE", &path, json!({})).await;
        // An app that is taken is a revocation besides, which has a word of its own.
        let ended = ws.ended().await;
        assert!(Kind::WsTicking.is_cut_off_by(&ended.how), "{what}: {:?}", ended.how);
        assert_ne!(house.told(&token).await.0, 200, "{what}");
    }
}
