//! Under load: answers stay what they were, and what is found is what the log says when it is decided again.

use std::sync::Arc;

use doorward_policy::Workshop;
use doorward_tests::wire::until;
use serde_json::Value;

use crate::house::{ASKED, House, Truth, asks, revision};

/// How many ask at once.
const CLIENTS: usize = 4;
/// How often each asks for everything.
const ROUNDS: usize = 15;

fn decisions(events: &[Value]) -> usize {
    let is_one = |event: &&Value| event["unmapped"]["doorward"].get("situation").is_some();
    events.iter().filter(is_one).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_answers_stay_and_differences_are_exact_and_then_it_is_promoted() {
    let house = House::new().await;
    let before = house.asks().await;
    assert!(before.iter().any(|(status, _)| *status == 200), "{before:?}");
    let in_force = house.in_force().await;
    // Decisions of before are in the log and not in the shadow.
    let skip = until("the first decisions in the log", || {
        let count = decisions(&house.gateway.events());
        (count == ASKED.len()).then_some(count)
    })
    .await;
    house.starts(&[]).await;

    let gateway = Arc::new(house);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let house = Arc::clone(&gateway);
            tokio::spawn(async move {
                let mut all = Vec::new();
                for _ in 0..ROUNDS {
                    all.push(asks(&house.gateway, &house.issuer).await);
                }
                all
            })
        })
        .collect();
    for client in clients {
        for told in client.await.unwrap() {
            assert_eq!(told, before, "an answer is another one beside the shadow");
        }
    }
    let house = Arc::into_inner(gateway).unwrap();

    let report = house.found("candidate").await;
    let asked = CLIENTS * ROUNDS * ASKED.len();
    let counted = ["seen", "missed", "failed", "passed_over", "elsewhere"];
    let counted = counted.map(|what| report["requests"][what].as_u64().unwrap());
    assert_eq!(counted, [asked as u64, 0, 0, 0, 0], "{report}");
    assert_eq!(report["in_force"], in_force.as_str());
    let events = until("all decisions in the log", || {
        Some(house.gateway.events()).filter(|events| decisions(events) == skip + asked)
    })
    .await;
    let [now, would] = [&house.policies, &house.candidate()].map(|dir| Workshop::open(dir, None).unwrap());
    let truth = Truth::of(&events, skip, &now, &would);
    assert_eq!(Truth::told(&report), truth);
    assert!(truth.total.iter().all(|count| *count > 0), "{truth:?}");
    assert!(truth.by_policy.contains_key("build.readers"), "{truth:?}");
    examples_are_of_the_log(&report, &events);

    // For people it is a page.
    let page = house.done(&["status"]).await;
    for text in ["newly denied", "build.readers", "demo:alice", "GET build/all"] {
        assert!(page.contains(text), "{text} in\n{page}");
    }
    let metrics = house.gateway.metrics().await;
    let name = "doorward_policy_shadow_differences_total{lane=\"candidate\",change=\"newly_denied\"}";
    assert_eq!(metrics.get(name).copied(), Some(truth.total[0] as f64), "{metrics:?}");

    let said = house.done(&["promote", "--cause", "a good week"]).await;
    let promoted = revision(&house.candidate());
    assert!(said.contains(&promoted[..12]), "{said}");
    assert_eq!(house.in_force().await, promoted);
    // POST to the wiki was allowed before.
    let after = house.asks().await;
    assert_eq!((before[3].0, after[3].0), (200, 403));
    let swapped = house.events("policy.swapped").pop().unwrap().to_string();
    let found = format!("{} newly denied", truth.total[0]);
    for text in [found.as_str(), "a good week", promoted.as_str()] {
        assert!(swapped.contains(text), "{text} in {swapped}");
    }
    assert_eq!(house.events("policy.shadow.started").len(), 1);
    let shadow = house.events("policy.shadow.promoted").pop().unwrap();
    assert_eq!(shadow["unmapped"]["doorward"]["shadow"]["newly_denied"], truth.total[0], "{shadow}");
    assert_eq!(house.status().await["candidate"], Value::Null);
}

/// Whoever looks an example up in the log finds the same.
fn examples_are_of_the_log(report: &Value, events: &[Value]) {
    let examples = report["examples"].as_array().unwrap();
    assert!(examples.len() >= 3, "{report}");
    for example in examples {
        let id = example["request_id"].as_str().unwrap();
        let of_request =
            |event: &&Value| event["metadata"]["correlation_uid"] == id || event.to_string().contains(id);
        let event = events.iter().find(of_request).unwrap_or_else(|| panic!("no event of {example}"));
        let code = event["metadata"]["event_code"].as_str().unwrap();
        let allowed = example["in_force"]["decision"] == "allow";
        assert_eq!(code == "access.request.allowed", allowed, "{example} and {event}");
        assert_eq!(event["unmapped"]["doorward"]["route"], example["route"], "{example} and {event}");
    }
}

#[tokio::test]
async fn a_sample_is_a_share_and_the_rest_is_said() {
    let house = House::new().await;
    house.starts(&["--sample", "25%"]).await;
    for _ in 0..10 {
        house.asks().await;
    }
    let report = house.found("candidate").await;
    let [seen, decided, passed_over] =
        ["seen", "decided", "passed_over"].map(|what| report["requests"][what].as_u64().unwrap());
    assert_eq!((seen, decided + passed_over), (110, 110), "{report}");
    assert!((24..=31).contains(&decided), "{report}");
    assert_eq!(report["sample"], "25%");
    let wrong = house.shadow(&["start", "x", "--sample", "0%"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

#[tokio::test]
async fn what_is_not_fit_is_not_asked_and_nothing_changes() {
    let house = House::new().await;
    let in_force = house.in_force().await;
    // What is in force already.
    let same = house.shadow(&["start", house.policies.to_str().unwrap(), "--author", "test"]).await;
    assert_eq!(same.code, Some(1), "{same:?}");
    assert!(same.stderr.contains("is in force"), "{same:?}");
    // What does not load.
    let broken = house.candidate();
    std::fs::write(broken.join("apps/broken.cedar"), "permit (").unwrap();
    let refused = house.shadow(&["start", broken.to_str().unwrap(), "--author", "test"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    // What nobody holds.
    let body = serde_json::json!({"revision": "0".repeat(64)});
    let unknown = house.gateway.api("POST", "/api/v1/policies/shadow", Some(&body)).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
    for (method, path) in [("DELETE", "/api/v1/policies/shadow"), ("POST", "/api/v1/policies/shadow/promote")]
    {
        let nothing = house.gateway.api(method, path, None).await;
        assert_eq!(nothing.status, 409, "{method}: {}", nothing.text);
    }
    assert_eq!(house.status().await["candidate"], Value::Null);
    assert_eq!(house.in_force().await, in_force);
}
