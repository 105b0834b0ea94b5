//! Two nodes and Redis: what is published at one comes into force at both.

use doorward_servers::{Redis, Setup};
use doorward_tests::fleet::{Fleet, HOST, Plan};
use doorward_tests::wire::within;
use serde_json::{Value, json};

use crate::made::{Desk, NO_BUILD, NO_WIKI};

const NODES: usize = 2;

async fn everywhere(fleet: &Fleet, token: &str, status: u16) {
    for node in fleet.nodes() {
        within(&format!("{} to answer {status}", node.name()), async {
            while node.try_ask(HOST, token).await.map(|answer| answer.status()) != Some(status) {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_at_one_node_comes_into_force_at_every_node() {
    let (redis, desk) = (Redis::start(&Setup::default()), Desk::new().await);
    let section = json!({"addresses": [redis.address().to_string()], "tls": false});
    let mut plan = Plan::sqlite(vec![section; NODES]);
    plan.settings.push(("policy.keys", json!([desk.public()])));
    plan.settings.push(("policy.source", json!({"redis": true})));
    plan.settings.push(("policy.pull_seconds", json!(1)));
    let fleet = Fleet::start(&plan).await;
    let token = fleet.issuer.token("bob");
    everywhere(&fleet, &token, 200).await;

    // The red lines of this folder must be known to hold, and nobody looked: somebody answers for that, or it is not
    // published.
    let closed = desk.bundle("closed", NO_BUILD, 5).await;
    let closed = closed.to_str().unwrap();
    let (code, told) = publish(&fleet, &[closed]).await;
    assert!(code == Some(1) && told.contains("must be known to hold, and no proof came"), "{told}");
    everywhere(&fleet, &token, 200).await;
    let published = publish(&fleet, &[closed, "--override", "--cause", "the solver is away"]).await;
    assert_eq!(published.0, Some(0), "{}", published.1);
    everywhere(&fleet, &token, 403).await;
    let events = fleet.nodes()[0].gateway().events();
    let is_it = |event: &&Value| event["unmapped"]["doorward"]["bundle"]["share"]["step"] == "published";
    let published = events.iter().find(is_it).expect("that it was published is on record");
    assert_eq!(published["unmapped"]["doorward"]["bundle"]["author"], "desk", "{published}");

    // What is older is not published, and would not be taken.
    let older = desk.bundle("older", NO_WIKI, 4).await;
    let words = [older.to_str().unwrap(), "--override", "--cause", "the solver is away"];
    let (code, told) = publish(&fleet, &words).await;
    assert!(code == Some(1) && told.contains("later one is published already"), "{told}");
    everywhere(&fleet, &token, 403).await;

    // Which node has what is told at one of them.
    let seen = said_by_all(&fleet, &json!(5)).await;
    assert_eq!(seen[0]["in_force"], seen[1]["in_force"]);

    let open = desk.proved("open", NO_WIKI, 6).await;
    let published = publish(&fleet, &[open.to_str().unwrap()]).await;
    assert_eq!(published.0, Some(0), "{}", published.1);
    everywhere(&fleet, &token, 200).await;

    // A proof that failed is none, whatever it says of what blocks; and a red line goes by somebody's word only, also
    // where everything that is left of them is proved. The nodes take it then.
    let folder = desk.folder("failed", NO_BUILD);
    let proof = desk.proof(&folder, 1, &[]).await;
    let failed = desk.packed(&folder, 7, &["--result", &proof]).await;
    let (code, told) = publish(&fleet, &[failed.to_str().unwrap()]).await;
    assert!(code == Some(1) && told.contains("the proof that came with the bundle failed"), "{told}");
    let folder = desk.softer("softer", NO_BUILD);
    let proof = desk.proof(&folder, 0, &[]).await;
    let softer = desk.packed(&folder, 8, &["--result", &proof]).await;
    let softer = softer.to_str().unwrap();
    let (code, told) = publish(&fleet, &[softer]).await;
    assert!(code == Some(1) && told.contains("`line.active-people` is not there any more"), "{told}");
    everywhere(&fleet, &token, 200).await;
    let published = publish(&fleet, &[softer, "--override", "--cause", "drawn anew"]).await;
    assert_eq!(published.0, Some(0), "{}", published.1);
    everywhere(&fleet, &token, 403).await;
}

/// What each node says that it has, once all of them have pulled so much.
async fn said_by_all(fleet: &Fleet, pulled: &Value) -> Vec<Value> {
    within("all nodes to say what they have", async {
        loop {
            let answer = fleet.control().ask("GET", "/api/v1/policies/bundles", None).await.unwrap();
            let listed: Value = serde_json::from_str(&answer.text).unwrap();
            let nodes = listed["nodes"].as_array().cloned().unwrap_or_default();
            if nodes.len() == NODES && nodes.iter().all(|n| n["pulled"] == *pulled) {
                return nodes;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_pull_nothing_say_what_they_have_too() {
    let redis = Redis::start(&Setup::default());
    let section = json!({"addresses": [redis.address().to_string()], "tls": false});
    let mut plan = Plan::sqlite(vec![section; NODES]);
    plan.settings.push(("policy.pull_seconds", json!(1)));
    let fleet = Fleet::start(&plan).await;
    let seen = said_by_all(&fleet, &Value::Null).await;
    assert!(seen.iter().all(|node| node["in_force"] == seen[0]["in_force"] && node["trouble"].is_null()));
    assert_eq!(seen[0]["in_force"].as_str().map(str::len), Some(64), "{seen:?}");
}

async fn publish(fleet: &Fleet, words: &[&str]) -> (Option<i32>, String) {
    let gateway = fleet.nodes()[0].gateway();
    let ran = gateway.command(&[&["policy", "rollout", "publish"], words].concat()).await;
    (ran.code, format!("{}{}", ran.stdout, ran.stderr))
}
