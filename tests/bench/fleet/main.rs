//! How long it takes from the call that revokes somebody until no node of a fleet lets them in, and until
//! the last byte of what they had open at any of them.
//!
//! ```text
//!  3 nodes, then 8, on one Redis; each is the real binary. At every node streams of a crowd run.
//!  each round:  one more person opens a WebSocket and an event stream at every node
//!               a probe asks every node as that person, again and again
//!               t0 ─ POST /api/v1/revocations ─► control node ─► Redis ─► every node
//!                    t1: a probe is refused at every node     t2: each stream has ended
//! ```
//! Twice for each fleet: while nobody else asks, and while clients ask every node at a steady rate.
//! Redis, all nodes, apps, clients and probes share the machine; how busy its cores were is printed,
//! and so is what a single hop of what a revocation must go through takes by itself.
//!
//! Run by hand; see tests/bench/README.md. Bounded in time: a phase ends after its rounds or its time,
//! whichever comes first.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark, run by hand"
)]

mod hops;
mod load;
mod probe;
mod round;
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "../table.rs"]
mod table;

use std::time::{Duration, Instant};

use doorward_servers::{Redis, Setup};
use doorward_tests::fleet::{Fleet, Plan};
use doorward_tests::gateway::find;
use doorward_tests::live::{Kind, Live};
use serde_json::json;

use load::Load;
use round::Phase;
use table::{Row, Samples};

/// What is run, by `--name=number`.
struct Settings {
    /// How many nodes the smaller and the larger fleet have, the control node included.
    nodes: [usize; 2],
    /// How many others have streams at every node.
    people: usize,
    rounds: usize,
    seconds_max: u64,
    /// How long a probe waits after an answer before it asks again.
    probe: Duration,
    /// Requests a second in all while there is load; 0 is as fast as they are answered.
    load: u64,
}

impl Settings {
    fn read() -> Self {
        let given = |name: &str| {
            std::env::args().find_map(|a| a.strip_prefix(&format!("--{name}="))?.parse::<u64>().ok())
        };
        let number = |name: &str, default: u64| given(name).unwrap_or(default);
        let count = |name: &str, default: u64| usize::try_from(number(name, default)).unwrap();
        Self {
            nodes: [count("few", 3), count("many", 8)],
            people: count("people", 25),
            rounds: count("rounds", 200),
            seconds_max: number("seconds", 60),
            probe: Duration::from_millis(number("probe-millis", 3)),
            load: number("load", 2000),
        }
    }
}

/// Streams of people who stay, at every node. Nobody says anything on them.
async fn open_crowd(fleet: &Fleet, people: usize) -> Vec<Live> {
    let mut open = Vec::new();
    for person in 0..people {
        let token = fleet.issuer.token_of(&format!("crowd-{person}"));
        for node in fleet.nodes() {
            for kind in [Kind::WsIdle, Kind::SseIdle] {
                open.push(node.open(kind, &token).await.unwrap());
            }
        }
    }
    open
}

async fn run_phase(fleet: &Fleet, word: &str, settings: &Settings, loaded: bool) -> Phase {
    let load = if loaded { Load::start(fleet, settings.load) } else { Load::none() };
    let mut phase = Phase::default();
    let (begin, busy) = (Instant::now(), load::busy());
    let over = || begin.elapsed() > Duration::from_secs(settings.seconds_max);
    for number in 0..settings.rounds {
        if over() {
            break;
        }
        round::run(fleet, &format!("{word}-{number}"), settings.probe, &mut phase).await;
    }
    for number in 0..settings.rounds {
        if over() {
            break;
        }
        round::wait_for_fleet(fleet, &format!("{word}-waits-{number}"), &mut phase).await;
    }
    phase.busy = load::busy() - busy;
    phase.requests_per_second = load.end().await as f64 / begin.elapsed().as_secs_f64();
    phase
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` starts it without this word, and nobody wants to wait then.
    if !std::env::args().any(|a| a == "--bench") {
        println!("not run: `cargo bench -p doorward-tests --bench fleet_latency`");
        return;
    }
    let settings = Settings::read();
    let binary = find().expect("a gateway to measure");
    let cores = std::thread::available_parallelism().unwrap().get();
    println!("gateways: {}, {cores} cores shared with Redis, clients and apps", binary.display());
    if binary.components().any(|c| c.as_os_str() == "debug") {
        println!("THIS IS A DEBUG BUILD: the numbers say nothing about speed");
    }
    let probe = settings.probe.as_millis();
    println!("a probe asks each node {probe} ms after its last answer: so much later a refusal may be seen");
    let mut wrong = 0;
    for nodes in settings.nodes {
        let redis = Redis::start(&Setup::default());
        hops::print(&redis, nodes).await;
        let section = json!({"addresses": [redis.address().to_string()], "tls": false});
        let fleet = Fleet::start(&Plan::sqlite(vec![section; nodes])).await;
        let crowd = open_crowd(&fleet, settings.people).await;
        let idle = run_phase(&fleet, "idle", &settings, false).await;
        let loaded = run_phase(&fleet, "loaded", &settings, true).await;
        let lost = crowd.iter().filter(|live| !live.is_running()).count();
        print(nodes, &idle, &loaded);
        println!("* streams of {} others that ended, of {}: {lost}", settings.people, crowd.len());
        println!("* ends that were not the protocol's own: {} idle, {} under load", idle.odd, loaded.odd);
        wrong += lost as u64 + idle.odd + loaded.odd + idle.unconfirmed + loaded.unconfirmed;
    }
    assert_eq!(wrong, 0, "a faster way to be wrong");
}

fn print(nodes: usize, idle: &Phase, loaded: &Phase) {
    let of =
        |name: &str, samples: fn(&Phase) -> &Samples| Row::new(name, samples(idle), Some(samples(loaded)));
    let rows = [
        of("the call is answered: durable, published, recorded", |p| &p.answered),
        of("a gateway node refuses", |p| &p.gateway_refuses),
        of("every node refuses", |p| &p.all_refuse),
        of("the last byte of a WebSocket at any node", |p| &p.websockets),
        of("the last byte of an event stream at any node", |p| &p.events),
        of("everything is over everywhere", |p| &p.everything),
        of("the call with `wait` = `fleet` is answered: all have it", |p| &p.fleet_answered),
        of("(a probe that is let in is answered after)", |p| &p.probed),
    ];
    println!("\nmilliseconds from the revoke call, {nodes} nodes\n");
    print!("{}", table::markdown("until", &rows));
    println!("\n* load: {:.0} requests/s in all, spread over the nodes", loaded.requests_per_second);
    println!("* cores busy: {:.0} % idle, {:.0} % under load", idle.busy.percent(), loaded.busy.percent());
    for (name, phase) in [("idle", idle), ("under load", loaded)] {
        let late = phase.let_in_after.len();
        let latest = phase.let_in_after.iter().max().copied().unwrap_or_default();
        println!(
            "* {name}: {late} probes were let in that were sent after the call was answered, the last of them {:.2} ms \
             after",
            latest.as_secs_f64() * 1000.0
        );
    }
}
