//! Time goes by, and nobody does anything.

use std::time::Duration;

use doorward_tests::live::Kind;
use doorward_tests::wire::{now, within};
use serde_json::json;

use crate::house::{CHANGED, EXPIRED, House, KINDS, POLICY, all_end, all_go_on};

/// So long a token lives here: long enough to open everything on a slow machine.
const LIFE_SECONDS: i64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_token() {
    let house = House::new(|config| {
        config.set("streams", json!({"token_grace_seconds": 1}));
    })
    .await;
    let alice = house.hire("alice", &["engineer"]).await;
    // Taken before the token is made: whatever lies between makes it end later.
    let expires = now().0 + LIFE_SECONDS * 1000;
    let token = house.short_token(&alice, LIFE_SECONDS);
    let (gone, stays) = (house.open_all(&token).await, house.open_all(&house.token(&alice)).await);
    all_end(gone, EXPIRED).await;
    assert!(now().0 > expires - 1000, "not before the token's time");
    house.is_refused(&token, "expired_credential").await;
    for event in &house.withdrawn(KINDS.len()).await {
        let block = &event["unmapped"]["doorward"];
        assert_eq!(block["ending"]["because"], "time", "{event}");
        assert_eq!(block["decision"]["reason_code"], "expired_credential", "{event}");
    }
    all_go_on(stays).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_outlives_its_token_where_the_configuration_says_so() {
    let house = House::new(|config| {
        config.set("streams", json!({"outlive_token": true, "review_seconds": 1}));
    })
    .await;
    house.site.gateway.wait_log("what runs goes on after its token has expired").await;
    let alice = house.hire("alice", &["engineer"]).await;
    let token = house.short_token(&alice, LIFE_SECONDS);
    let open = house.open_all(&token).await;
    within("the token to expire", async {
        while house.told(&token).await.1.as_deref() != Some("expired_credential") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    // It is decided anew all the time, and goes on, until it is for another reason.
    let allowed = "doorward_review_exchanges_total{because=\"time\",answer=\"allow\"}";
    let before = house.metric(allowed).await;
    house.counts_to(allowed, before + 2.0 * KINDS.len() as f64).await;
    for live in &open {
        assert!(live.is_running(), "{:?}", live.kind());
    }
    house.move_to(&alice, &[]).await;
    all_end(open, CHANGED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_policy_lets_in_until_some_time_ends_then() {
    let house = House::new(|config| {
        config.set("streams", json!({"review_seconds": 1}));
    })
    .await;
    let (alice, bob) = (house.hire("alice", &["temp"]).await, house.hire("bob", &["engineer"]).await);
    let until = now().0 + LIFE_SECONDS * 1000;
    let temps = format!(
        "@id(\"temps\") permit (principal is User in Role::\"temp\", action, resource)\n\
         when {{ context.time.now < datetime(\"1970-01-01T00:00:00Z\").offset(duration(\"{until}ms\")) }};"
    );
    assert_eq!(house.write_policies(&format!("{POLICY}{temps}")).await, 200);
    let gone = house.open_all(&house.token(&alice)).await;
    let stays = house.open_all(&house.token(&bob)).await;
    let ws = house.open(Kind::WsIdle, &house.token(&alice)).await.unwrap();
    assert!(now().0 < until, "the machine is too slow for this test");
    all_end(gone, CHANGED).await;
    all_end(vec![ws], CHANGED).await;
    assert!(now().0 >= until - 1000, "not before");
    all_go_on(stays).await;
}
