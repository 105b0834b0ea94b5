//! Who people are, on every node: a change at the control node is judged by the others with their next requests,
//! and nothing that was acknowledged is lost with Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use doorward_servers::Disk;
use doorward_tests::gateway::Signal;
use doorward_tests::h1::Response;
use doorward_tests::wire::within;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::town::{LEASE, STALE, Town, told};

/// Ten memberships may always go.
const TURNS: usize = 10;
/// A token says in which second it was made, and counts as made before whatever happened in that second.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// RFC 7644, section 3.5.2, lets a service answer with the resource or without.
fn is_done(answer: &Response) -> bool {
    matches!(answer.status(), 200 | 204)
}

fn spread(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    format!("n {}, p50 {:?}, max {:?}", all.len(), all[all.len() / 2], all[all.len() - 1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_at_the_control_node_is_judged_by_every_node() {
    let town = Town::new().await;
    let token = town.issuer.token_of("alice");
    for node in 0..3 {
        assert_eq!(town.told_by_knowledge(node, &token).await, "unknown_principal", "nobody knows her");
    }
    let alice = town.hire("alice", false).await;
    for node in 0..3 {
        town.comes_to(node, &token, "no_permit").await;
    }
    let (mut given, mut taken) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        assert!(is_done(&town.promote(&alice, true).await));
        for node in 1..3 {
            given.push(town.comes_to(node, &token, "200").await);
        }
        assert!(is_done(&town.promote(&alice, false).await));
        let acknowledged = Instant::now();
        for node in 1..3 {
            // What is asked by the end of a lease is let in no more, however long the answer takes.
            let mut last_permit = acknowledged;
            loop {
                let sent = Instant::now();
                match town.told(node, &token).await.as_str() {
                    "200" => last_permit = sent,
                    "no_permit" => break,
                    told => assert!(STALE.contains(&told), "{told}"),
                }
            }
            let late = last_permit - acknowledged;
            assert!(late < LEASE, "node {node} let her in {late:?} after she was taken out");
            taken.push(late);
            assert_eq!(town.told(0, &token).await, "no_permit", "where it was taken it is known at once");
        }
    }
    // An operator waits for the fleet, and a change without a revocation in it is asked about, too.
    let wish = json!({"cause": "a test", "wait": "fleet", "wait_millis_max": 10_000});
    let path = format!("/api/v1/users/{alice}/roles/auditor");
    let answer = town.nodes[0].api("PUT", &path, Some(&wish)).await;
    let all: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((answer.status, &all["enforced_everywhere"]), (200, &json!(true)), "{all}");
    assert_eq!(all["nodes"].as_array().map(Vec::len), Some(3), "{all}");
    println!("a membership that was given is good on a gateway node: {}", spread(given));
    println!("the last permit by a membership that was taken: {}", spread(taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_comes_back_empty() {
    let mut town = Town::new().await;
    let (mut ids, mut tokens) = (Vec::new(), Vec::new());
    for (name, engineer) in [("stays", true), ("loses", true), ("leaves", true), ("gains", false)] {
        ids.push(town.hire(name, engineer).await);
        tokens.push(town.issuer.token_of(name));
        let first = if engineer { "200" } else { "no_permit" };
        for node in 0..3 {
            town.comes_to(node, &tokens[tokens.len() - 1], first).await;
        }
    }
    town.redis.kill9();
    // All of it is saved, and none of it is acknowledged.
    assert_eq!(town.promote(&ids[1], false).await.status(), 503);
    assert_eq!(town.provider.say_active(&ids[2], &json!(false), None).await.status(), 503);
    assert_eq!(town.promote(&ids[3], true).await.status(), 503);
    // A node that comes now knows nothing, and one that was there knows nothing any more.
    let gateway = town.nodes.remove(2);
    town.nodes.push(gateway.end(Signal::SIGKILL).await.start_unready().await);
    for node in 1..3 {
        // On a fast machine the lease may not be over yet.
        within("a node to know nothing any more", async {
            while !STALE.contains(&town.told(node, &tokens[0]).await.as_str()) {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        for token in &tokens {
            let told = town.told(node, token).await;
            assert!(STALE.contains(&told.as_str()), "node {node}: {told}");
        }
        let ready = town.nodes[node].as_operator().ready().await.unwrap();
        assert_eq!((ready.status, ready.condition("directory").0), (503, "missing"), "node {node}");
    }
    let ready = town.nodes[2].as_operator().ready().await.unwrap();
    assert!(
        ready.condition("directory").1.contains("was not read yet"),
        "{:?}",
        ready.condition("directory")
    );
    town.redis.restart(Disk::Wiped);
    for node in 0..3 {
        town.comes_to(node, &tokens[0], "200").await;
        town.comes_to(node, &tokens[1], "no_permit").await;
        town.comes_to(node, &tokens[2], "disabled").await;
        town.comes_to(node, &tokens[3], "200").await;
    }
}

/// Whoever leaves is out in time, while what is known of them, and of hundreds of others, is still on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_is_out_although_records_lag() {
    let town = Arc::new(Town::new().await);
    let alice = town.hire("alice", true).await;
    let over = Arc::new(AtomicBool::new(false));
    let importer = tokio::spawn({
        let (town, over) = (Arc::clone(&town), Arc::clone(&over));
        async move {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                town.hire(&format!("imported-{count}"), true).await;
                count += 1;
            }
            count
        }
    });
    let mut late = Vec::new();
    for _ in 0..4 {
        let token = town.issuer.token_of("alice");
        for node in 1..3 {
            town.comes_to(node, &token, "200").await;
        }
        let gone = Arc::new(std::sync::Mutex::new(None::<Instant>));
        let back = Arc::new(AtomicBool::new(false));
        let hammers: Vec<_> = (1..3)
            .map(|node| {
                let (gone, back, token) = (Arc::clone(&gone), Arc::clone(&back), token.clone());
                let address = town.nodes[node].address();
                tokio::spawn(async move {
                    let mut latest = Duration::ZERO;
                    while !back.load(Ordering::Relaxed) {
                        let sent = Instant::now();
                        let permitted = told(address, &token).await == "200";
                        if let Some(gone) = *gone.lock().unwrap()
                            && permitted
                        {
                            latest = latest.max(sent.saturating_duration_since(gone));
                        }
                    }
                    latest
                })
            })
            .collect();
        assert_eq!(town.provider.say_active(&alice, &json!(false), None).await.status(), 200);
        *gone.lock().unwrap() = Some(Instant::now());
        sleep(2 * LEASE).await;
        // She returns: the record and the mark come each for itself, and the old token is dead for ever.
        assert_eq!(town.provider.say_active(&alice, &json!(true), None).await.status(), 200);
        sleep(NEXT_SECOND).await;
        back.store(true, Ordering::Relaxed);
        for hammer in hammers {
            late.push(hammer.await.unwrap());
        }
    }
    over.store(true, Ordering::Relaxed);
    let imported = importer.await.unwrap();
    println!("the last permit after a leaving, while {imported} joined: {}", spread(late.clone()));
    assert!(late.iter().all(|late| *late < LEASE), "{late:?}");
    assert!(imported > 20, "{imported}");
}
