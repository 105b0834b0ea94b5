//! Nobody can tell whether it may go on: it does, for as long as streams may that nobody can tell of.

use std::time::{Duration, Instant};

use doorward_tests::live::Kind;
use serde_json::json;

use crate::house::{House, POLICY, all_go_on};

/// Adds up to more than a number can be, for whoever has the role.
const BROKEN: &str = r#"@id("broken") forbid (principal is User in Role::"odd", action, resource)
when { context.http.host == "build.test" && context.risk.score + 9223372036854775807 == 7 };"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_policy_cannot_be_evaluated_for_is_asked_again_and_ends_after_the_grace() {
    let house = House::new(|config| {
        config.set("revocation.stream_grace_seconds", json!(6));
    })
    .await;
    let (odd, even) =
        (house.hire("odd", &["engineer", "odd"]).await, house.hire("even", &["engineer"]).await);
    let token = house.token(&odd);
    let (passing, stays) = (house.open_all(&token).await, house.open_all(&house.token(&even)).await);
    assert_eq!(house.write_policies(&format!("{POLICY}{BROKEN}")).await, 200);
    let began = Instant::now();
    house.is_refused(&token, "policy_error").await;
    let unknown = "doorward_review_exchanges_total{because=\"policies\",answer=\"unknown\"}";
    house.counts_to(unknown, 1.0).await;
    // Mended in time: nothing happened.
    assert_eq!(house.write_policies(POLICY).await, 200);
    assert_eq!(house.told(&token).await.0, 200);
    if began.elapsed() < Duration::from_secs(5) {
        all_go_on(passing).await;
    }

    let lasting = house.open(Kind::WsIdle, &token).await.unwrap();
    let began = Instant::now();
    assert_eq!(house.write_policies(&format!("{POLICY}{BROKEN}")).await, 200);
    let ended = lasting.ended().await;
    assert!(Kind::WsIdle.is_cut_off_by(&ended.how), "{:?}", ended.how);
    let after = ended.at.saturating_duration_since(began);
    assert!(after >= Duration::from_secs(6), "{after:?}");
    all_go_on(stays).await;
}
