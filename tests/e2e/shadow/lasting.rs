//! What becomes of a candidate when other policies come into force, and when the gateway is started again.

use doorward_tests::gateway::Signal;
use serde_json::{Value, json};

use crate::house::{ASKED, House, revision};

#[tokio::test]
async fn others_in_force_are_said_and_hold_a_promotion_up() {
    let house = House::new().await;
    house.starts(&[]).await;
    let early = house.shadow(&["promote"]).await;
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(early.stderr.contains("about no request yet"), "{early:?}");
    house.asks().await;
    let first = house.found("candidate").await;
    assert_eq!(first["requests"]["decided"], ASKED.len(), "{first}");
    // Somebody else edits what is in force.
    let wiki = house.policies.join("apps/wiki.cedar");
    let text = std::fs::read_to_string(&wiki).unwrap();
    std::fs::write(&wiki, text.replace("Employees read and write the wiki", "Employees use the wiki"))
        .unwrap();
    let reload = house.gateway.api("POST", "/api/v1/policies/reload", None).await;
    assert_eq!(reload.status, 200, "{}", reload.text);
    let anew = house.found("candidate").await;
    assert_eq!((&anew["requests"]["decided"], &anew["restarts"]), (&json!(0), &json!(1)), "{anew}");
    assert_eq!(anew["in_force"], house.in_force().await.as_str());
    assert_eq!(anew["in_force_at_start"], first["in_force"]);
    house.asks().await;
    assert_eq!(house.found("candidate").await["requests"]["decided"], ASKED.len());
    let page = house.done(&["status"]).await;
    assert!(page.contains("counted anew once"), "{page}");
    let refused = house.shadow(&["promote"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("take back what was changed"), "{refused:?}");
    house.done(&["promote", "--override", "--cause", "their edit is in mine"]).await;
    assert_eq!(house.in_force().await, revision(&house.candidate()));
}

#[tokio::test]
async fn a_candidate_goes_on_after_a_restart_and_is_counted_anew() {
    let mut house = House::new().await;
    house.starts(&["--sample", "50%"]).await;
    house.asks().await;
    let before = house.found("candidate").await;
    assert!(before["requests"]["decided"].as_u64().unwrap() > 0, "{before}");
    let in_use = house.gateway.command(&["policy", "rollout", "forget", &revision(&house.candidate())]).await;
    assert_ne!(in_use.code, Some(0), "{in_use:?}");
    house.gateway = house.gateway.restart(Signal::SIGTERM).await;
    let after = house.found("candidate").await;
    for same in ["revision", "in_force", "in_force_at_start", "started_at", "sample"] {
        assert_eq!(after[same], before[same], "{same}: {after}");
    }
    assert_eq!(after["requests"]["seen"], 0, "{after}");
    assert!(after["since"].as_i64() > before["since"].as_i64(), "{after}");
    house.asks().await;
    assert_eq!(house.found("candidate").await["requests"]["seen"], ASKED.len());
    let said = house.done(&["stop"]).await;
    assert!(said.contains("nothing is asked in the shadow any more"), "{said}");
    assert_eq!(house.events("policy.shadow.stopped").len(), 1);
    house.gateway = house.gateway.restart(Signal::SIGTERM).await;
    assert_eq!(house.status().await["candidate"], Value::Null);
}
