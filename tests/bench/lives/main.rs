//! What it costs that people come, move and go: calls of SCIM, a group of ten thousand, and how long it takes
//! from `active: false` to the last byte.
//!
//! ```text
//!  limits    a flush to the disk of the store; a question and its answer over loopback, with nothing to do
//!  calls     by one provider and by eight, each with a connection that is kept
//!  group     ten thousand members put in by one PATCH, and taken out: the answer, and the first request that
//!            is judged by it
//!  leaving   one person opens streams of every kind; PATCH active=false; each stream ends, seen by its client
//! ```
//! Run by hand; see tests/bench/README.md. The provider, the apps, the clients and the gateway share the machine.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark, run by hand"
)]

#[expect(dead_code, reason = "shared with the tests of SCIM")]
#[path = "../../e2e/scim/client.rs"]
mod client;
#[expect(dead_code, reason = "shared with the tests of deaths")]
#[path = "../../e2e/died/house.rs"]
mod house;
#[path = "../table.rs"]
mod table;

#[path = "calls.rs"]
mod calls;
#[path = "group.rs"]
mod group;
#[path = "leaving.rs"]
mod leaving;
#[path = "limits.rs"]
mod limits;

/// What is run, by `--name=number`.
pub(crate) struct Settings {
    /// Calls of each kind by each provider. A provider may ask 500 times in one go, and there are five kinds.
    pub(crate) calls: usize,
    pub(crate) members: usize,
    pub(crate) rounds: usize,
}

impl Settings {
    fn read() -> Self {
        let given = |name: &str| {
            std::env::args().find_map(|a| a.strip_prefix(&format!("--{name}="))?.parse::<usize>().ok())
        };
        Self {
            calls: given("calls").unwrap_or(90),
            members: given("members").unwrap_or(10_000),
            rounds: given("rounds").unwrap_or(200),
        }
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` starts it without this word, and nobody wants to wait then.
    if !std::env::args().any(|a| a == "--bench") {
        println!("not run: `cargo bench -p doorward-tests --bench lives_cost`");
        return;
    }
    let settings = Settings::read();
    let binary = doorward_tests::gateway::find().expect("a gateway to measure");
    let cores = std::thread::available_parallelism().unwrap().get();
    println!("gateway: {}, {cores} cores shared with providers, clients and apps", binary.display());
    if binary.components().any(|c| c.as_os_str() == "debug") {
        println!("THIS IS A DEBUG BUILD: the numbers say nothing about speed");
    }
    let house = house::House::new().await;
    let limits = limits::measure(&house).await;
    calls::measure(&house, &settings, &limits).await;
    group::measure(&house, &settings).await;
    drop(house);
    leaving::measure(&settings, &limits).await;
}
