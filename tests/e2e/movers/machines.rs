//! Programs: what they may hangs on a person, too.

use doorward_tests::live::Kind;
use doorward_tests::wire::now;
use serde_json::json;

use crate::house::{CHANGED, House, all_end, all_go_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_loses_what_its_person_loses() {
    let house = House::new(|_| {}).await;
    let (alice, bob) = (house.hire("alice", &["engineer"]).await, house.hire("bob", &["engineer"]).await);
    house.register("agents", "demo:copilot", &bob, House::tomorrow()).await;
    let gone = house.open_all(&house.agent_token(&alice)).await;
    let stays = house.open_all(&house.agent_token(&bob)).await;
    house.move_to(&alice, &[]).await;
    all_end(gone, CHANGED).await;
    all_go_on(stays).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_that_is_handed_over_goes_on_and_ends_when_its_time_does() {
    let house = House::new(|config| {
        config.set("streams.review_seconds", json!(1));
    })
    .await;
    let (alice, bob) = (house.hire("alice", &[]).await, house.hire("bob", &[]).await);
    let id = house.register("service-accounts", "robots:backup", &alice, now().0 + 25_000).await;
    let token = house.robot_token(&alice);
    let open = house.open_all(&token).await;
    let path = format!("/api/v1/service-accounts/{id}/hand-over");
    house.operate("POST", &path, json!({"owner": bob.id})).await;
    // Whoever answers for it now moves; that is nothing to it.
    house.move_to(&bob, &["seller"]).await;
    assert_eq!(house.told(&token).await.0, 200);
    for live in &open {
        assert!(live.is_running(), "{:?}", live.kind());
    }
    // Nobody does anything any more: the time goes by.
    let mut faults = Vec::new();
    for live in open {
        let kind = live.kind();
        let how = live.ended().await.how;
        let is_right = match kind {
            Kind::GrpcWatch | Kind::GrpcEcho => how == doorward_tests::live::End::Status(Some(16)),
            _ => kind.is_cut_off_by(&how),
        };
        if !is_right {
            faults.push(format!("{kind:?}: {how:?}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    house.is_refused(&token, "disabled").await;
}
