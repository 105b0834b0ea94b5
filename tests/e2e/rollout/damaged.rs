//! What was in force cannot be had at the start.

use std::path::Path;

use doorward_tests::gateway::Signal;
use doorward_tests::wire::within;
use serde_json::{Value, json};

use crate::made::{Live, NO_BUILD, NO_WIKI};

/// What `/readyz` says of a condition; none where it says nothing.
async fn condition(live: &Live, name: &str) -> Option<(String, String)> {
    let ready: Value = serde_json::from_str(&live.gateway.api("GET", "/readyz", None).await.text).unwrap();
    let found = ready["conditions"].as_array().unwrap().iter().find(|c| c["name"] == name)?.clone();
    Some((found["state"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned()))
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// One byte of the bundle in force is another one: the last good one is in force, and not the folder that the node
/// began with; that is said until the source, which was away, gives the bundle again.
#[tokio::test]
async fn a_damaged_bundle_falls_back_to_the_last_good_one_and_the_source_heals_it() {
    let live = Live::start_with(|policy, desk| {
        std::fs::create_dir(desk.path().join("shelf")).unwrap();
        policy["source"] = json!({"dir": desk.at("shelf")});
        policy["pull_seconds"] = json!(1);
    })
    .await;
    let (shelf, away) = (live.desk.path().join("shelf"), live.desk.path().join("away"));
    let put = |from: &Path, name: &str| {
        std::fs::copy(from, shelf.join(".new")).unwrap();
        std::fs::rename(shelf.join(".new"), shelf.join(name)).unwrap();
    };
    let both = format!("{NO_WIKI}{NO_BUILD}");
    put(&live.desk.bundle("ten", NO_WIKI, 10).await, "a.dwp");
    live.comes_to("bob", "wiki", 403).await;
    let ten = live.in_force().await;
    put(&live.desk.bundle("eleven", &both, 11).await, "b.dwp");
    live.comes_to("bob", "build", 403).await;
    let eleven = live.in_force().await;
    // It is in force a moment before that is noted; who is killed in between pulls it again.
    within("what was pulled to be noted", async {
        while live.listed().await["pulled"] != 11 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;

    std::fs::rename(&shelf, &away).unwrap();
    flip(&live.gateway.folder().join("data/policies/held").join(&eleven).join("bundle.dwp"));
    let mut live = live;
    // A second start knows it as well: the note of what should be in force is not lost.
    for start in ["first", "second"] {
        live = Live { gateway: live.gateway.restart(Signal::SIGTERM).await, ..live };
        assert_eq!(
            (live.status("bob", "wiki").await, live.status("bob", "build").await),
            (403, 200),
            "{start}"
        );
        assert_eq!(live.in_force().await, ten, "{start}");
        let (state, detail) = condition(&live, "policy_in_force").await.unwrap();
        assert_eq!(state, "degraded");
        assert!(detail.contains(&eleven[..12]) && detail.contains(&ten[..12]), "{detail}");
    }
    let told = live.events("policy.rejected");
    let held = format!("bundle {} (held)", &eleven[..12]);
    let of_held = told.iter().filter(|e| e["unmapped"]["doorward"]["bundle"]["source"] == held.as_str());
    assert_eq!(of_held.count(), 2, "{told:?}");
    assert_eq!(live.listed().await["pulled"], 11, "what was pulled is not forgotten: 10 does not come back");

    std::fs::rename(&away, &shelf).unwrap();
    live.comes_to("bob", "build", 403).await;
    assert_eq!(live.in_force().await, eleven);
    within("nothing to be amiss", async {
        while condition(&live, "policy_in_force").await.is_some()
            || condition(&live, "policy_source").await.unwrap().0 != "holds"
        {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    let live = Live { gateway: live.gateway.restart(Signal::SIGTERM).await, ..live };
    assert_eq!((&live.in_force().await, condition(&live, "policy_in_force").await), (&eleven, None));

    // Which one was pulled last cannot be read: then an old one is not new.
    std::fs::write(live.gateway.folder().join("data/policies/pulled.json"), "{").unwrap();
    std::fs::remove_file(shelf.join("b.dwp")).unwrap();
    let told = within("the source to be in trouble", async {
        loop {
            let (state, detail) = condition(&live, "policy_source").await.unwrap();
            if state == "degraded" {
                return detail;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(told.contains("what was pulled cannot be told"), "{told}");
    assert_eq!(live.in_force().await, eleven);
}
