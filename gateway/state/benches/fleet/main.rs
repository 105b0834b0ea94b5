//! What a fleet costs: a check, an entry, a poll, a push, a change; beside what the same would cost
//! otherwise, on the same machine in the same minute.
//!
//! ```text
//!  directory ──► control node ──► Redis ──► gateway nodes
//!  fill, size    snapshot, rate   core time,   load, memory, a check
//!                                 memory
//! ```
//! Everything but the nodes whose memory is measured runs in this process and shares the machine with
//! Redis and PostgreSQL. The time of a core that each process had (`/proc/<pid>/task/*/schedstat`) is
//! the number to carry to other machines; rates and delays depend on what else wants the cores.
//!
//! Run by hand; see tests/bench/README.md. Every part ends after its seconds or its rounds.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark, run by hand"
)]

mod burst;
mod checks;
mod house;
mod loading;
mod people;
mod polls;
mod process;
mod publishing;
mod table;

use std::time::{Duration, Instant};

/// As the gateway has it: memory and speed of the replica depend on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs ten million entries, too: some minutes more, and 15 GB of disk.
const LARGE: &str = "DOORWARD_BENCH_10M";

/// What is run, by `--name=number`.
pub(crate) struct Settings {
    /// The only part, by `--only=entries`, `--only=people`, `--only=publishing` or `--only=polls`.
    only: Option<String>,
    /// How large the directory is.
    entries: u64,
    /// How many people it knows.
    people: u64,
    /// How long each kind of check is tried.
    check: Duration,
    /// How many nodes poll and are pushed to.
    nodes: usize,
    /// How long polls are counted.
    polls: Duration,
    /// How many changes are pushed to them.
    pushes: usize,
    /// How long changes are made as fast as they are answered.
    publish: Duration,
    /// How many callers make them.
    callers: usize,
    /// How many nodes follow meanwhile.
    followers: usize,
}

impl Settings {
    fn read() -> Self {
        let given = |name: &str| {
            std::env::args().find_map(|a| a.strip_prefix(&format!("--{name}="))?.parse::<u64>().ok())
        };
        let number = |name: &str, default: u64| given(name).unwrap_or(default);
        let count = |name: &str, default: u64| usize::try_from(number(name, default)).unwrap();
        let millis = |name: &str, default: u64| Duration::from_millis(number(name, default));
        Self {
            only: std::env::args().find_map(|a| Some(a.strip_prefix("--only=")?.to_owned())),
            entries: number("entries", 1_000_000),
            people: number("people", 100_000),
            check: millis("check-millis", 1000),
            nodes: count("nodes", 100),
            polls: millis("poll-millis", 5000),
            pushes: count("pushes", 300),
            publish: millis("publish-millis", 5000),
            callers: count("callers", 256),
            followers: count("followers", 10),
        }
    }

    fn has(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == loading::CHILD) {
        return loading::child(&arguments[at + 1..]);
    }
    // `cargo test --all-targets` starts it without this word, and nobody wants to wait then.
    if !arguments.iter().any(|a| a == "--bench") {
        println!("not run: `cargo bench -p doorward-state --bench fleet_cost`");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&Settings::read()));
}

async fn run(settings: &Settings) {
    let begin = Instant::now();
    let cores = std::thread::available_parallelism().unwrap().get();
    println!("{cores} cores shared with Redis and PostgreSQL; load of the last minute {}", process::load());
    if cfg!(debug_assertions) {
        println!("THIS IS A DEBUG BUILD: the numbers say nothing about speed");
    }
    if settings.has("entries") {
        let mut sizes = vec![0, settings.entries];
        if std::env::var_os(LARGE).is_some() {
            sizes.push(10_000_000);
        }
        let (mut checks, mut loads) = (checks::Table::default(), loading::Table::default());
        for entries in sizes {
            let house = house::House::filled(entries);
            let nodes = loads.measure(&house).await;
            checks.measure(settings, &house, &nodes).await;
            loads.measure_log(&house, &nodes).await;
            nodes.close().await;
        }
        checks.print();
        loads.print();
    }
    if settings.has("people") {
        people::measure(settings.people).await;
    }
    if settings.has("publishing") {
        publishing::measure(settings).await;
    }
    if settings.has("polls") {
        polls::measure(settings).await.print_model();
    }
    println!("\n{} s in all; load of the last minute {}", begin.elapsed().as_secs(), process::load());
}
