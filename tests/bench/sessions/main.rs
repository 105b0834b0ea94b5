//! What it costs that people sign in with a browser: a request with a session beside one with a token, sign-ins
//! in a second, and what a hundred thousand sessions take.
//!
//! ```text
//!  sign-ins   people open an app, are sent to the provider, and come back: every redirect is followed
//!  memory     of the gateway and of its store, before and after all those sign-ins
//!  requests   to the same app by the same gateway, in turns: with a token, with a session, and each with
//!             another session than the last, which is the worst case of what is remembered
//! ```
//! Run by hand; see tests/bench/README.md. The provider, the app, the clients and the gateway share the machine.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark, run by hand"
)]

#[path = "browser.rs"]
mod browser;
#[path = "requests.rs"]
mod requests;
#[path = "sign_ins.rs"]
mod sign_ins;

use std::sync::Arc;

use doorward_tests::company::Company;
use doorward_tests::gateway::{Gateway, PORT};
use doorward_tests::issuer::Issuer;
use doorward_tests::openid::{OpenId, SECRET};
use doorward_tests::raw::RawUpstream;
use doorward_tests::tls::Authority;
use serde_json::json;
use tempfile::TempDir;

/// Where people sign in.
const LOGIN: &str = "login.test";
/// The app.
const APP: &str = "wiki.test";

/// What is run, by `--name=number`.
pub(crate) struct Settings {
    pub(crate) people: usize,
    pub(crate) seconds: u64,
    pub(crate) rounds: usize,
    pub(crate) clients: usize,
}

/// A gateway, and everything around it.
pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) provider: Arc<OpenId>,
    pub(crate) issuer: Issuer,
    pub(crate) authority: Arc<Authority>,
    _app: RawUpstream,
    _folder: TempDir,
}

impl Settings {
    fn read() -> Self {
        let given = |name: &str| {
            std::env::args().find_map(|a| a.strip_prefix(&format!("--{name}="))?.parse::<usize>().ok())
        };
        Self {
            people: given("people").unwrap_or(20_000),
            seconds: given("seconds").unwrap_or(5) as u64,
            rounds: given("rounds").unwrap_or(3),
            clients: given("clients").unwrap_or(8),
        }
    }
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::new());
        let (chain, key) = authority.certificate(&[LOGIN, APP]).write(folder.path(), "server");
        let secret = folder.path().join("client.secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let (provider, app) = (OpenId::start().await, RawUpstream::ok().await);
        let mut company = Company::new(app.address()).await;
        company
            .config
            .set("listen.0.certificate", json!([{"chain": chain, "key": key}]))
            .set("sign_in.url", json!(format!("https://{LOGIN}:{PORT}")))
            .set("gateway.threads", json!(2))
            .add("issuer", provider.section("corp", secret.to_str().unwrap()))
            .log("warn");
        let (issuer, gateway) = company.start().await;
        Self { gateway, provider: Arc::new(provider), issuer, authority, _app: app, _folder: folder }
    }

    /// What the gateway takes of the memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// What the gateway has worked so far, in microseconds.
    pub(crate) fn worked(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.gateway.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        // utime and stime, in hundredths of a second.
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 * 10_000.0
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` starts it without this word, and nobody wants to wait then.
    if !std::env::args().any(|a| a == "--bench") {
        println!("not run: `cargo bench -p doorward-tests --bench sessions_cost`");
        return;
    }
    let settings = Settings::read();
    let binary = doorward_tests::gateway::find().expect("a gateway to measure");
    let cores = std::thread::available_parallelism().unwrap().get();
    println!("gateway: {}, {cores} cores shared with provider, clients and app", binary.display());
    if binary.components().any(|c| c.as_os_str() == "debug") {
        println!("THIS IS A DEBUG BUILD: the numbers say nothing about speed");
    }
    let house = Arc::new(House::new().await);
    let sessions = sign_ins::measure(&house, &settings).await;
    requests::measure(&house, &settings, sessions).await;
}
