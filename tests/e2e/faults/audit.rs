//! The audit log cannot be written: a grant waits for audit, a revocation never does.

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::audit_log::events_in;
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::wire::until;
use doorward_tests::ws::{Next, Ws};
use serde_json::{Value, json};

use crate::disk::Disk;
use crate::seen;

#[tokio::test]
async fn a_full_disk_under_the_audit_log_refuses_grants_and_revocations_bite() {
    let Some(disk) = Disk::mount(12) else { return };
    let log = disk.path().join("audit");
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company.config.set("audit", json!({"dir": log, "reserve_bytes": 1 << 20, "flush_millis_max": 50}));
    company.engineering("careless", app, json!({"audit": "best_effort"}));
    let (issuer, gateway) = company.start().await;
    let (bob, dana) = (issuer.token("bob"), issuer.token("dana"));
    let auth = bearer(&dana);
    let mut ws =
        Ws::open(gateway.address(), "build.test", "/logs", &[("authorization", &auth)]).await.unwrap();
    ws.until("line 1").await;
    assert_eq!(seen::told(&gateway, "build.test", &bob).await.0, 200);
    assert_eq!(gateway.change("disable", "user", "demo:alice").await.status, 201);

    disk.fill();
    // Requests go on until the log notices that it has no room.
    seen::comes_to(&gateway, "build.test", &bob, (503, "audit_unavailable")).await;
    let answer = seen::get(&gateway, "build.test", &bob).await;
    assert_eq!(answer.json()["title"], "Access cannot be recorded right now");
    assert_eq!(answer.head.value("retry-after").as_deref(), Some("5"));
    assert!(!answer.text().contains("No space"), "no internals: {}", answer.text());
    assert_eq!(seen::told(&gateway, "careless.test", &bob).await.0, 200, "an app that may go unrecorded");
    let condition = seen::condition_comes_to(&gateway, "audit", 503, "missing").await;
    assert!(condition["detail"].as_str().unwrap().contains("failed"), "{condition}");
    seen::metric_comes_to(&gateway, "doorward_audit_state", 1.0).await;
    gateway.wait_log("the audit log cannot be written: grants are refused until it can").await;
    gateway.wait_log("No space left").await;
    // What runs goes on, until somebody is revoked.
    ws.until("line").await;

    // A revocation bites at once. It finds room in what was set aside, so it is acknowledged.
    let answer = gateway.change("revoke", "user", "demo:dana").await;
    assert!(matches!(answer.status, 201 | 503), "{answer:?}");
    let said: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((&said["enforced"], &said["durable"]), (&json!(true), &json!(true)), "{said}");
    assert_eq!(answer.status, 201, "the reserve is for this: {answer:?}");
    assert!(matches!(ws.ending().await, Next::Closed(1008, _)));
    assert_eq!(seen::told(&gateway, "careless.test", &dana).await, (401, "revoked".into()));
    // Giving back is a grant: the room that was set aside is not for it. Nor is it for other policies.
    let answer = gateway.change("reactivate", "user", "demo:alice").await;
    let said: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((answer.status, &said["code"]), (503, &json!("audit_unavailable")), "{said}");
    assert_eq!((&said["enforced"], &said["durable"]), (&json!(false), &json!(false)), "{said}");
    let alice = async || seen::told(&gateway, "careless.test", &issuer.token("alice")).await;
    assert_eq!(alice().await.0, 401, "alice is still out");
    let answer = gateway.api("POST", "/api/v1/policies/reload", None).await;
    assert_eq!(answer.status, 503, "{answer:?}");

    disk.empty();
    seen::comes_to(&gateway, "build.test", &bob, (200, "")).await;
    assert_eq!(gateway.change("reactivate", "user", "demo:alice").await.status, 201);
    // Signing in anew is good from the next second on: a token says no more than its second.
    doorward_tests::wire::within("alice to be let in anew", async {
        while alice().await.0 == 401 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    seen::metric_comes_to(&gateway, "doorward_audit_state", 0.0).await;
    seen::condition_comes_to(&gateway, "audit", 200, "holds").await;
    gateway.wait_log("the audit log is written again").await;
    let gap = seen::event_in(&log, "audit.gap").await;
    assert_eq!(gap["unmapped"]["doorward"]["gap"]["cause"], "write_failed", "{gap}");
    let detail = gap["unmapped"]["doorward"]["gap"]["detail"].as_str().unwrap();
    assert!(detail.contains("No space left"), "{gap}");
    let revoked = seen::event_in(&log, "revocation.user").await;
    assert!(revoked.to_string().contains("demo:"), "{revoked}");
    let of_dana = |e: &Value| e["unmapped"]["doorward"]["revocation"]["target"] == "demo:dana";
    let dana = || events_in(&log).into_iter().find(of_dana);
    until("the revocation of the bad hour to be in the log", dana).await;
    // Nobody can remove lines unseen: each number is there once, or a gap tells of it.
    let all = events_in(&log);
    let mut numbers: Vec<u64> = all.iter().filter_map(|e| e["metadata"]["sequence"].as_u64()).collect();
    numbers.sort_unstable();
    let last = *numbers.last().unwrap();
    for number in 1..=last {
        let times = numbers.iter().filter(|n| **n == number).count();
        let told = all.iter().map(|e| &e["unmapped"]["doorward"]["gap"]).any(|gap| {
            let bound = |name: &str| gap[name].as_u64();
            bound("first_sequence").is_some_and(|f| f <= number)
                && bound("last_sequence").is_some_and(|l| number <= l)
        });
        assert!(
            times == 1 || (times == 0 && told),
            "{number} is there {times} times; a gap tells of it: {told}"
        );
    }
}

#[tokio::test]
async fn no_room_for_the_log_at_start_is_no_start() {
    let Some(disk) = Disk::mount(1) else { return };
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company.config.set("audit.dir", json!(disk.path().join("audit")));
    let refused = doorward_tests::gateway::Gateway::try_start(company.config).await.err().unwrap();
    assert_eq!(refused.status.and_then(|s| s.code()), Some(1), "{refused}");
    assert!(refused.log.contains("cannot set aside 4194304 bytes"), "{refused}");
    assert!(refused.log.contains("free some space, or lower `audit.reserve_bytes`"), "{refused}");
}
