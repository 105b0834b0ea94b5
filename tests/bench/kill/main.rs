//! How long it takes from the call that revokes somebody to the last byte of what they had open.
//!
//! ```text
//!  1,000 streams of 100 people run all the time, of every kind, HTTP/2 connections shared
//!  each round:  one more person opens a stream of every kind
//!               t0 ─ POST /api/v1/revocations ─► gateway ─► each stream ends ─ t1, seen by its client
//! ```
//! Twice: while the others are quiet, and while clients ask as fast as they get answers. Clients, apps
//! and the gateway share the machine, and the time until a client's own task is scheduled is part of
//! what is measured: the gateway is not slower than this says.
//!
//! Run by hand; see tests/bench/README.md. Bounded in time: a phase ends after its rounds or its time,
//! whichever comes first.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark, run by hand"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward_tests::gateway::find;
use doorward_tests::live::{BUILD, Kind, Live, Site, Via};
use serde_json::json;

#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "../table.rs"]
mod table;

use table::{Row, Samples};

/// The streams of each person of the crowd: ten, so that a hundred people have a thousand.
const CROWD_KINDS: [Kind; 10] = [
    Kind::WsIdle,
    Kind::WsTicking,
    Kind::SseIdle,
    Kind::Sse,
    Kind::Download,
    Kind::Upload,
    Kind::H2Sse,
    Kind::H2Download,
    Kind::GrpcIdle,
    Kind::GrpcEcho,
];
/// How many people share an HTTP/2 connection.
const SHARE: usize = 25;
/// Streams of the crowd count so often.
const TICK: Duration = Duration::from_millis(1000);

/// What is run, by `--name=number`.
struct Settings {
    people: usize,
    rounds: usize,
    seconds_max: u64,
    load_clients: usize,
}

/// What one phase gave.
struct Phase {
    by_kind: BTreeMap<(Kind, Via), Samples>,
    /// The last byte of all that the person had.
    person: Samples,
    /// What the gateway itself says: from the call to the last exchange that ended.
    told: Samples,
    /// From the call to its acknowledgment, durable and recorded.
    acknowledged: Samples,
    /// Ends that were not those of the protocol.
    odd: u64,
    requests_per_second: f64,
}

impl Settings {
    fn read() -> Self {
        let given = |name: &str| {
            std::env::args().find_map(|a| a.strip_prefix(&format!("--{name}="))?.parse::<u64>().ok())
        };
        let number = |name: &str, default: u64| given(name).unwrap_or(default);
        Self {
            people: usize::try_from(number("people", 100)).unwrap(),
            rounds: usize::try_from(number("rounds", 200)).unwrap(),
            seconds_max: number("seconds", 90),
            load_clients: usize::try_from(number("clients", 8)).unwrap(),
        }
    }
}

async fn open_crowd(site: &Site, people: usize) -> Vec<Live> {
    let mut open = Vec::new();
    for first in (0..people).step_by(SHARE) {
        let shared = site.h2(Via::ALL[(first / SHARE) % 2], BUILD).await;
        for person in first..people.min(first + SHARE) {
            let token = site.issuer.token_of(&format!("crowd-{person}"));
            for kind in CROWD_KINDS {
                let live = if kind.is_h2() {
                    site.open_on(&shared, kind, &token).await
                } else {
                    site.open(kind, Via::ALL[person % 2], &token).await
                };
                open.push(live.unwrap());
            }
        }
    }
    site.wait_inflight(None, open.len() as u64).await;
    open
}

/// One person opens everything, is revoked, and everything ends.
async fn round(site: &Site, name: &str, phase: &mut Phase) {
    let token = site.issuer.token_of(name);
    let id = format!("demo:{name}");
    let mut open = Vec::new();
    for via in Via::ALL {
        for kind in Kind::ALL {
            open.push((via, site.open(kind, via, &token).await.unwrap()));
        }
    }
    let listed = open.iter().filter(|(_, l)| l.kind().is_listed()).count();
    site.wait_inflight(Some(&id), listed as u64).await;
    let begin = Instant::now();
    let receipt = site.gateway.revoke("user", &id).await;
    phase.acknowledged.add(begin.elapsed());
    if let Some(micros) = receipt["took_micros"].as_u64() {
        phase.told.add(Duration::from_micros(micros));
    }
    let mut last = Duration::ZERO;
    for (via, live) in open {
        let kind = live.kind();
        let ended = live.ended().await;
        let took = ended.at.saturating_duration_since(begin);
        last = last.max(took);
        phase.odd += u64::from(!kind.is_cut_off_by(&ended.how));
        phase.by_kind.entry((kind, via)).or_default().add(took);
    }
    phase.person.add(last);
}

async fn run_phase(site: &Arc<Site>, word: &str, settings: &Settings, clients: usize) -> Phase {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (site, stop, asked) = (Arc::clone(site), Arc::clone(&stop), Arc::clone(&asked));
        load.spawn(async move {
            let bearer = format!("Bearer {}", site.issuer.token_of("load"));
            let wire = site.wire(Via::Plain, BUILD, "http/1.1").await;
            let mut client = doorward_tests::h1::H1::over(wire);
            while !stop.load(Ordering::Relaxed) {
                let answer = client.ask("GET", BUILD, "/", &[("authorization", &bearer)]).await;
                assert_eq!(answer.status(), 200);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut phase = Phase {
        by_kind: BTreeMap::new(),
        person: Samples::default(),
        told: Samples::default(),
        acknowledged: Samples::default(),
        odd: 0,
        requests_per_second: 0.0,
    };
    let begin = Instant::now();
    for number in 0..settings.rounds {
        if begin.elapsed() > Duration::from_secs(settings.seconds_max) {
            break;
        }
        round(site, &format!("{word}-{number}"), &mut phase).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = load.join_next().await {
        client.unwrap();
    }
    phase.requests_per_second = asked.load(Ordering::Relaxed) as f64 / seconds;
    phase
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` starts it without this word, and nobody wants to wait then.
    if !std::env::args().any(|a| a == "--bench") {
        println!("not run: `cargo bench -p doorward-tests --bench kill_latency`");
        return;
    }
    let settings = Settings::read();
    let binary = find().expect("a gateway to measure");
    let cores = std::thread::available_parallelism().unwrap().get();
    println!("gateway: {}, {cores} cores shared with clients and apps", binary.display());
    if binary.components().any(|c| c.as_os_str() == "debug") {
        println!("THIS IS A DEBUG BUILD: the numbers say nothing about speed");
    }
    let site = Site::start(TICK, |config| {
        config.set("gateway.threads", json!(cores));
    })
    .await;
    let site = Arc::new(site);
    let crowd = open_crowd(&site, settings.people).await;
    println!("{} streams of {} people are running", crowd.len(), settings.people);
    let idle = run_phase(&site, "idle", &settings, 0).await;
    let loaded = run_phase(&site, "loaded", &settings, settings.load_clients).await;
    let lost = crowd.iter().filter(|l| !l.is_running()).count();
    print(&idle, &loaded, settings.load_clients);
    println!("streams of the crowd that ended though nobody revoked their owner: {lost}");
    println!("ends that were not the protocol's own: {} idle, {} under load", idle.odd, loaded.odd);
    drop(crowd);
    site.wait_inflight(None, 0).await;
    assert_eq!((lost, idle.odd, loaded.odd), (0, 0, 0), "a faster way to be wrong");
}

fn print(idle: &Phase, loaded: &Phase, clients: usize) {
    let mut rows: Vec<Row> = Vec::new();
    for (key, samples) in &idle.by_kind {
        let (kind, via) = key;
        let name = format!("{kind:?} {}", if *via == Via::Plain { "plain" } else { "TLS" });
        rows.push(Row::new(&name, samples, loaded.by_kind.get(key)));
    }
    for (name, of) in [
        ("everything that the person had", &(|p: &Phase| p.person.clone()) as &dyn Fn(&Phase) -> Samples),
        ("the gateway's own word", &|p| p.told.clone()),
        ("acknowledged (durable, recorded)", &|p| p.acknowledged.clone()),
    ] {
        rows.push(Row::new(name, &of(idle), Some(&of(loaded))));
    }
    println!("\nmilliseconds from the revoke call to the last byte at the client\n");
    print!("{}", table::markdown("stream", &rows));
    println!("\nload: {clients} clients, {:.0} requests/s beside the streams", loaded.requests_per_second);
}
