//! On a node of a fleet that learns from Redis who people are.

use doorward_servers::{Redis, Setup};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1;
use doorward_tests::h2::H2;
use doorward_tests::live::{BUILD, Live};
use doorward_tests::wire::{self, until, within};
use serde_json::json;

use crate::house::{CHANGED, House, KINDS, TICK, all_end, all_go_on, redis_at};

async fn open_all(node: &Gateway, token: &str) -> Vec<Live> {
    let mut open = Vec::new();
    for kind in KINDS {
        let live = if kind.is_h2() {
            Live::on(&H2::connect(node.address()).await, BUILD, kind, TICK, token).await
        } else {
            Live::over(Box::new(wire::connect(node.address()).await), BUILD, kind, TICK, token).await
        };
        open.push(live.unwrap());
    }
    open
}

async fn comes_to_know(node: &Gateway, token: &str) {
    let bearer = format!("Bearer {token}");
    within("somebody to be known elsewhere", async {
        while h1::ask(node.address(), "GET", BUILD, "/", &[("authorization", &bearer)]).await.status() != 200
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_goes_at_the_control_node_ends_what_it_let_in_at_every_node() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(|config| {
        config.set("gateway.node", json!("control")).set("revocation.redis", redis_at(&redis));
    })
    .await;
    let node = house.node(&redis).await;
    let (alice, bob) = (house.hire("alice", &["engineer"]).await, house.hire("bob", &["engineer"]).await);
    let (hers, his) = (house.token(&alice), house.token(&bob));
    comes_to_know(&node, &hers).await;
    comes_to_know(&node, &his).await;
    let (gone, stays) = (open_all(&node, &hers).await, open_all(&node, &his).await);
    house.move_to(&alice, &["seller"]).await;
    all_end(gone, CHANGED).await;
    all_go_on(stays).await;
    let events = until("an event for each stream that was withdrawn", || {
        let mut events = node.events();
        events.retain(|e| e["metadata"]["event_code"] == "access.exchange.withdrawn");
        (events.len() >= KINDS.len()).then_some(events)
    })
    .await;
    for event in &events {
        assert_eq!(event["actor"]["user"]["uid"], "demo:alice", "{event}");
        assert_eq!(event["unmapped"]["doorward"]["ending"]["because"], "directory", "{event}");
    }
    assert_eq!(events.len(), KINDS.len());
}
