//! A role goes while streams are opened: whatever the moment, none that it let in survives, and none
//! begins after the acknowledgment. An exchange takes a mark before it reads who somebody is, and looks
//! whether it holds when it is kept; a change raises the mark first and looks then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward_tests::live::{Kind, Live, NotOpen};
use doorward_tests::wire::within;
use serde_json::json;

use crate::house::{CHANGED, House, Person};

const ROUNDS: u64 = 16;
const CLIENTS: u64 = 8;
const KINDS: [Kind; 4] = [Kind::WsIdle, Kind::Sse, Kind::Download, Kind::WsTicking];

/// Opens streams until it is told to stop, let in or not.
async fn client(house: Arc<House>, number: u64, token: String, stop: Arc<AtomicBool>) -> Vec<Live> {
    let mut open = Vec::new();
    let mut at = number;
    while !stop.load(Ordering::SeqCst) {
        let kind = KINDS[(at % KINDS.len() as u64) as usize];
        at += 1;
        match house.open(kind, &token).await {
            Ok(live) => open.push(live),
            Err(NotOpen::Refused(403) | NotOpen::Cut) => {}
            Err(NotOpen::Refused(other)) => panic!("{kind:?} was answered with {other}"),
        }
    }
    open
}

async fn round(house: &Arc<House>, person: &Person, path: &str, round: u64) -> usize {
    let token = house.token(person);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(Arc::clone(house), number, token.clone(), Arc::clone(&stop)));
    }
    // The role comes and goes in the middle of it, and is gone in the end.
    for _ in 0..=round % 3 {
        house.operate("PUT", path, json!({})).await;
        tokio::time::sleep(Duration::from_millis(7 * (round % 5))).await;
        house.operate("DELETE", path, json!({})).await;
    }
    house.is_refused(&token, "no_permit").await;
    stop.store(true, Ordering::SeqCst);
    let mut caught = 0;
    while let Some(open) = within("the clients", clients.join_next()).await {
        for live in open.unwrap() {
            let kind = live.kind();
            let ended = live.ended().await;
            assert!(CHANGED.ends(kind, &ended.how), "round {round}: {kind:?} ended with {:?}", ended.how);
            caught += 1;
        }
    }
    house.site.wait_inflight(Some(&format!("demo:{}", person.name)), 0).await;
    caught
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_survives_a_role_that_goes_in_a_storm() {
    let house = House::new(|config| {
        config.set("gateway.threads", json!(2));
    })
    .await;
    let house = Arc::new(house);
    let person = house.hire("storm", &[]).await;
    let path = format!("/api/v1/users/{}/roles/engineer", person.id);
    let mut caught = 0;
    for number in 0..ROUNDS {
        caught += round(&house, &person, &path, number).await;
    }
    assert!(caught as u64 > ROUNDS, "only {caught} streams were caught in {ROUNDS} storms");
    house.site.wait_inflight(None, 0).await;
    house.site.wait_open_at_app(0).await;
}
