//! What the nodes tell each other and their operators: who has a revocation, who owes it, and what
//! apps that cannot wait, or cannot refuse, are given.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorward_servers::{Redis, Setup, Wire};
use doorward_tests::fleet::{Fleet, HOST, Node, Plan};
use doorward_tests::gateway::{Operator, Signal};
use doorward_tests::live::{End, Kind, Live};
use doorward_tests::pauses::Pauses;
use doorward_tests::wire::within;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fault::LEASE;
use crate::hammer::Seen;
use crate::servers::{NODES, shared, standalone};

/// For so long a node counts as seen a moment ago.
const SEEN_EVERY: Duration = Duration::from_secs(7);

/// Waits for the whole fleet with a revocation of somebody: status and answer.
async fn revoke_everywhere(operator: &Operator, name: &str, millis: u64) -> (u16, Value) {
    let wait = json!({"wait": "fleet", "wait_millis_max": millis});
    let answer = operator.change("revoke", "user", &format!("demo:{name}"), wait).await.unwrap();
    (answer.status, serde_json::from_str(&answer.text).unwrap())
}

/// What each node answered, by its name.
fn answers(told: &Value) -> BTreeMap<String, String> {
    let nodes = told["nodes"].as_array().unwrap_or_else(|| panic!("no nodes: {told}")).iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    nodes.map(|node| (text(&node["node"]), text(&node["answer"]))).collect()
}

async fn open_debts(operator: &Operator) -> Vec<Value> {
    let answer = operator.ask("GET", "/api/v1/debts?open=true", None).await.unwrap();
    let listed: Value = serde_json::from_str(&answer.text).unwrap();
    listed["debts"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone()
}

async fn seen(node: &Node, host: &str, token: &str) -> Seen {
    node.try_ask(host, token).await.as_ref().map_or(Seen::Nothing, Seen::of)
}

async fn comes_to(what: &str, node: &Node, host: &str, token: &str, is_so: impl Fn(&Seen) -> bool) {
    within(what, async {
        while !is_so(&seen(node, host, token).await) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_names_every_node_that_has_it() {
    let redis = Redis::start(&Setup::default());
    let (fleet, pauses) = (Fleet::start(&Plan::sqlite(shared(&redis))).await, Pauses::watch());
    for turn in 0..10 {
        let name = format!("leaver-{turn}");
        let token = fleet.issuer.token_of(&name);
        let (status, told) = revoke_everywhere(fleet.control(), &name, 10_000).await;
        assert_eq!((status, &told["enforced_everywhere"]), (201, &json!(true)), "{told}");
        // It is so everywhere, and not only said.
        for node in fleet.nodes() {
            let asked = Instant::now();
            let seen = seen(node, HOST, &token).await;
            let stood_still = seen.is_stale() && pauses.touch(asked, Instant::now());
            assert!(seen.is_cut_off() || stood_still, "{name} is {seen} at {} when all have it", node.name());
        }
        let all = ["control", "gw-1", "gw-2"].map(|name| (name.to_owned(), "applied".to_owned()));
        assert_eq!(answers(&told), all.into(), "{told}");
        assert_eq!(told["debts"], json!([]), "{told}");
        assert!(told["nodes"][0]["at"].is_i64() && told["published_at"].is_i64(), "{told}");
    }
    let refused = fleet.nodes()[1].operator().change("revoke", "user", "demo:a", json!({})).await.unwrap();
    assert_eq!(refused.status, 409, "a gateway node takes no changes: {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_is_named_and_owes_an_answer() {
    let redis = Redis::start(&Setup::default());
    let fleet = Fleet::start(&Plan::sqlite(shared(&redis))).await;
    let (control, still) = (fleet.control(), &fleet.nodes()[2]);
    let token = fleet.issuer.token_of("leaver");
    still.gateway().signal(Signal::SIGSTOP);
    let began = Instant::now();
    let mut first_took = None;
    let mut answer = String::new();
    let mut owed = Vec::new();
    // At first it may only be slow, then nobody has seen it for too long.
    while answer != "silent" {
        assert!(began.elapsed() < Duration::from_secs(60), "{answer}");
        // Long enough for the others, on a busy machine, and not for one that nobody sees any more.
        let (status, told) = revoke_everywhere(control, "leaver", 3000).await;
        first_took.get_or_insert_with(|| began.elapsed());
        assert_eq!((status, &told["enforced_everywhere"]), (201, &json!(false)), "{told}");
        let mut all = answers(&told);
        answer = all.remove("gw-2").unwrap_or_else(|| panic!("it is not named: {told}"));
        assert!(answer == "silent" || (answer == "behind" && owed.len() < 40), "{told}");
        assert!(all.values().all(|answer| answer == "applied"), "{told}");
        let debts = told["debts"].as_array().unwrap();
        assert_eq!(debts.len(), 1, "{told}");
        assert_eq!(
            (&debts[0]["node"], &debts[0]["owner"], &debts[0]["durable"]),
            (&json!("gw-2"), &json!("security"), &json!(true)),
            "{told}"
        );
        owed.push((answer.clone(), debts[0]["id"].clone()));
        sleep(Duration::from_millis(500)).await;
    }
    let first_took = first_took.unwrap_or_default();
    assert!(owed[0].0 == "behind" || first_took > SEEN_EVERY, "it was seen a moment ago: {owed:?}");
    // Each is listed, with what was missed, and is on record.
    let listed = open_debts(control).await;
    for (_, id) in &owed {
        let debt =
            listed.iter().find(|debt| debt["id"] == *id).unwrap_or_else(|| panic!("{id} of {listed:?}"));
        assert_eq!((&debt["kind"], &debt["overdue"]), (&json!("missed_revocation"), &json!(false)), "{debt}");
        assert!(debt["about"].as_str().unwrap().starts_with("gw-2 "), "{debt}");
    }
    let events = fleet.nodes()[0].gateway().events();
    let opened = events.iter().filter(|e| e["metadata"]["event_code"] == "control_debt.opened").count();
    assert_eq!(opened, owed.len());
    within("the debts to be counted", async {
        let count = owed.len() as f64;
        while control.metrics().await.unwrap().get("doorward_control_debts_open") != Some(&count) {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;

    // When it goes on it lets nobody in whom it missed, and catches up.
    still.gateway().signal(Signal::SIGCONT);
    let first = seen(still, HOST, &token).await;
    assert!(first.is_stale() || first.is_cut_off(), "it let in whom it missed: {first}");
    comes_to("it to catch up", still, HOST, &token, Seen::is_cut_off).await;
    let (_, told) = revoke_everywhere(control, "another", 10_000).await;
    assert_eq!(told["enforced_everywhere"], true, "{told}");
    // What was missed stays owed until somebody settles it.
    assert_eq!(open_debts(control).await.len(), owed.len());
    for (_, id) in &owed {
        let path = format!("/api/v1/debts/{}/settle", id.as_str().unwrap());
        let settled = control.ask("POST", &path, Some(&json!({"how": "it caught up"}))).await.unwrap();
        assert_eq!(settled.status, 200, "{settled:?}");
    }
    assert_eq!(open_debts(control).await, Vec::<Value>::new());
}

/// How long an app is patient here, and what runs goes on without a lease: longer than a machine stands still.
const PATIENCE: Duration = Duration::from_secs(8);
/// How much later than promised something may be seen, as the machine may have stood still.
const SLACK: Duration = Duration::from_secs(8);

/// The other app that everybody here may use.
const WIKI: &str = "wiki.test";

/// A fleet with a wire for each node, and with one setting of an app.
async fn wired(setting: (&'static str, Value)) -> (Fleet, Vec<Wire>, Redis) {
    let redis = Redis::start(&Setup::default());
    let wires: Vec<Wire> = (0..NODES).map(|_| Wire::to(redis.address())).collect();
    let sections = wires.iter().map(|wire| standalone(wire.address())).collect();
    let fleet = Fleet::start(&Plan { settings: vec![setting], ..Plan::sqlite(sections) }).await;
    (fleet, wires, redis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_app_would_rather_refuse_than_be_late() {
    let (fleet, wires, _redis) = wired(("app.0.freshness", json!("strict"))).await;
    let (far, wire) = (&fleet.nodes()[1], &wires[1]);
    let (stays, pauses) = (fleet.issuer.token_of("stays"), Pauses::watch());

    // The way is long, and every push comes late. Whoever is asked about after the acknowledgment is out.
    wire.slow(Duration::from_millis(60));
    for turn in 0..8 {
        let name = format!("leaver-{turn}");
        let token = fleet.issuer.token_of(&name);
        comes_to("somebody to be let in", far, WIKI, &token, Seen::is_granted).await;
        fleet.nodes()[0].gateway().revoke("user", &format!("demo:{name}")).await;
        let asked = Instant::now();
        let after = seen(far, WIKI, &token).await;
        // It waits for the news, which may end it like everything else that runs. Where nobody ran meanwhile it has
        // waited for long enough.
        let gave_up = after.is_stale() && pauses.touch(asked, Instant::now());
        assert!(
            after.is_cut_off() || after == Seen::Nothing || gave_up,
            "{name} is {after} at once after the acknowledgment"
        );
    }
    wire.mend();

    // Nothing comes through. The lease still lasts, and is not enough for this app.
    let token = fleet.issuer.token_of("leaver");
    comes_to("the strict app to be used without delay", far, WIKI, &token, Seen::is_granted).await;
    wire.hold();
    fleet.nodes()[0].gateway().revoke("user", "demo:leaver").await;
    for token in [&token, &stays] {
        let answer = far.ask(WIKI, token).await;
        assert!(Seen::of(&answer).is_stale(), "{}", Seen::of(&answer));
        assert!(answer.head.value("retry-after").is_some());
    }
    wire.mend();
    comes_to("the strict app to be used again", far, WIKI, &stays, Seen::is_granted).await;
    comes_to("the leaver to be out", far, WIKI, &token, Seen::is_cut_off).await;
    let looks = far.operator().metrics().await.unwrap();
    assert!(looks["doorward_revocation_look_duration_seconds_count"] >= 10.0, "{looks:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_app_goes_on_loudly_and_not_for_ever() {
    let (fleet, wires, _redis) = wired(("app.2.stale_seconds_max", json!(PATIENCE.as_secs()))).await;
    let (far, wire) = (&fleet.nodes()[1], &wires[1]);
    let (stays, gone) = (fleet.issuer.token_of("stays"), fleet.issuer.token_of("gone"));
    fleet.nodes()[0].gateway().revoke("user", "demo:gone").await;
    comes_to("the revocation to be known", far, HOST, &gone, Seen::is_cut_off).await;

    let cut = Instant::now();
    wire.cut();
    comes_to("the other app to refuse", far, WIKI, &stays, Seen::is_stale).await;
    // What was known before the cut bites here too; whoever stays is let in.
    let answer = seen(far, HOST, &stays).await;
    assert!(answer.is_granted(), "{answer}");
    assert!(seen(far, HOST, &gone).await.is_cut_off());
    // It is loud: on record, in numbers, and to whoever distributes clients.
    let stale = |event: &Value| event["unmapped"]["doorward"]["decision"]["stale_ms"].as_u64();
    within("a grant on old knowledge to be on record", async {
        while !far.gateway().events().iter().any(|event| stale(event).is_some()) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let metrics = far.operator().metrics().await.unwrap();
    let allowed = "doorward_revocation_stale_allowed_total{app=\"build\"}";
    assert!(metrics.get(allowed).is_some_and(|count| *count >= 1.0), "{metrics:?}");
    let ready = far.operator().ready().await.unwrap();
    assert_eq!((ready.status, ready.condition("fleet").0), (503, "missing"), "{ready:?}");

    // A lease and its patience after the last proof that is over, too.
    comes_to("the patient app to refuse", far, HOST, &stays, Seen::is_stale).await;
    let over = cut.elapsed();
    assert!(over >= PATIENCE, "it gave up after {over:?}");
    assert!(over < LEASE + PATIENCE + SLACK, "it went on for {over:?}");
    wire.mend();
    comes_to("everybody to be let in again", far, HOST, &stays, Seen::is_granted).await;
    comes_to("the other app to be used again", far, WIKI, &stays, Seen::is_granted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_outlives_a_lease_by_the_grace_and_no_more() {
    let (fleet, wires, _redis) = wired(("revocation.stream_grace_seconds", json!(PATIENCE.as_secs()))).await;
    let token = fleet.issuer.token_of("stays");
    let (cut_off, other) = (&fleet.nodes()[1], &fleet.nodes()[2]);
    let there = [cut_off.open(Kind::WsTicking, &token).await, cut_off.open(Kind::Sse, &token).await];
    let elsewhere = other.open(Kind::WsTicking, &token).await.unwrap();
    // A hiccup that is over before the grace is.
    wires[1].hold();
    comes_to("the lease to be over", cut_off, HOST, &token, Seen::is_stale).await;
    wires[1].mend();
    comes_to("a lease", cut_off, HOST, &token, Seen::is_granted).await;
    let there = there.map(Result::unwrap);
    assert!(there.iter().all(Live::is_running));
    let cut = Instant::now();
    wires[1].cut();
    for live in there {
        let ended = live.ended().await;
        assert!(matches!(ended.how, End::Goodbye(1001, _) | End::Cut), "{:?}", ended.how);
        let after = ended.at - cut;
        // The last proof is up to one poll older than the cut.
        assert!(after > LEASE + PATIENCE - Duration::from_millis(500), "it ended {after:?} after the cut");
        assert!(after < LEASE + PATIENCE + SLACK, "it ended {after:?} after the cut");
    }
    assert_eq!(elsewhere.finish().await.how, End::Whole);
}
