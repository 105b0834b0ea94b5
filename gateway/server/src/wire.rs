//! One process out of all the crates. No rule lives here: it opens, connects and announces.
//!
//! ```text
//!  open      audit, revocations, policies, places, keys, routes, certificates   (fail: say why, exit)
//!  connect   revocations ─▶ inflight      files ─▶ reload      signals ─▶ life
//!  announce  one durable `gateway.started`, then listen
//! ```
//! Pingora runs on threads of its own. Everything else (operator API, key fetching, health checks,
//! signals) runs on the *house* runtime, which a drain does not stop: a revocation cuts streams
//! until the last of them is gone.

mod life;
mod numbers;
mod operator;
mod reload;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_audit::event::GatewayStart;
use doorward_audit::{Actor, Audit, AuditError, Event, Identity};
use doorward_context::Places;
use doorward_identity::{ClientError, KeyClient, TokenTimes, Verifier};
use doorward_policy::{Known, LoadFailure, Policies};
use doorward_proxy::assertion::{Signer, SignerError};
use doorward_proxy::inflight::{Protocol, Terminated};
use doorward_proxy::listen::{CertificateError, Certificates};
use doorward_proxy::metrics::Metrics;
use doorward_proxy::serve::{self, Serve, ServeError};
use doorward_proxy::{House, Inflight, UpstreamError};
use doorward_state::{Applied, Ended, Revocations, StateError};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::clock::{self, Stopwatch};
use crate::config::Config;

/// How long the first look-ups of keys and addresses may hold the start up. They go on after it.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(3);

/// Why the gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The folder for data cannot be used.
    #[error("`{}` cannot be used: {cause}; make it writable for this user, or set `gateway.data_dir`", .dir.display())]
    DataDir {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The system gives no thread or no socket.
    #[error("{what}: {cause}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store of revocations cannot be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The policies cannot be loaded.
    #[error("the policies cannot be loaded\n{}", .0.plain().trim_end())]
    Policies(Box<LoadFailure>),
    /// No client for keys can be made.
    #[error(transparent)]
    Keys(#[from] ClientError),
    /// The key for assertions cannot be had.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// An app cannot be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Everything that lives as long as the process.
pub(crate) struct Wired {
    pub(crate) config: Config,
    pub(crate) house: Arc<House>,
    pub(crate) certificates: Vec<Arc<Certificates>>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) numbers: numbers::Numbers,
    pub(crate) running: Stopwatch,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub fn run(config: Config, take_over: bool) -> Result<(), WireError> {
    // Someone else in this process may have done it; which of the two does not matter.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("doorward-house")
        .enable_all()
        .build()
        .map_err(|cause| WireError::System { what: "no threads".to_owned(), cause })?;
    private_folder(&config.gateway.data_dir)?;
    let (wired, listeners) = open(config)?;
    cut_what_is_revoked(&wired.house);

    let house = Arc::clone(&wired.house);
    runtime.spawn(Arc::clone(&house.verifier).keep_fresh(Arc::clone(&house.clock)));
    runtime.block_on(first_look(&house));
    runtime.spawn(serve::keep_upstreams_well(Arc::clone(&house)));

    let (stop, told) = watch::channel(None);
    let ready = serve::prepare(Serve {
        house: Arc::clone(&house),
        listeners,
        threads: wired.config.gateway.threads,
        take_over,
        handover_socket: wired.config.gateway.data_dir.join("handover.sock"),
        stop: told,
    })?;
    runtime.block_on(operator::start(&wired, ready.open_connections()))?;
    runtime.spawn(reload::keep_telling_old_databases(Arc::clone(&house)));
    let _watching = reload::watch(&wired)?;
    // A file may have changed between the first load and the watching.
    reload::policies(&house, Actor::Gateway);
    let started = GatewayStart {
        revision: Some(house.policies.bundle().revision().to_string().into()),
        exceptions: wired.config.remarks.iter().map(|r| format!("{}: {}", r.at, r.message)).collect(),
    };
    runtime.block_on(house.audit.record_durable(Event::GatewayStarted(Box::new(started))))?;
    runtime.spawn(life::lead(Arc::clone(&wired), stop, ready.open_connections()));
    announce(&wired.config);
    ready.run();
    life::close(&house, "stopped", 0);
    Ok(())
}

fn private_folder(dir: &Path) -> Result<(), WireError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|cause| WireError::DataDir { dir: dir.to_owned(), cause })
}

type Listeners = Vec<(doorward_proxy::config::Listen, Option<Arc<Certificates>>)>;

fn open(config: Config) -> Result<(Arc<Wired>, Listeners), WireError> {
    let clock = clock::system();
    let identity =
        Identity { node: config.gateway.node.clone(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let (audit, report) = Audit::open(config.audit.clone(), identity, Arc::clone(&clock))?;
    for torn in &report.repaired {
        tracing::warn!(
            segment = torn.segment,
            cut_bytes = torn.cut_bytes,
            aside = torn.aside,
            "a torn audit file was repaired"
        );
    }
    let (revocations, report) = Revocations::open(&config.revocation, Arc::clone(&clock))?;
    tracing::info!(file = %report.file.display(), entries = report.entries, created = report.created, "revocations");
    let facts = config.apps.iter().flat_map(|a| a.routes.iter().map(|r| &r.facts));
    let policies = Policies::open(&config.policy.dir, Some(Known::from_routes(facts)), clock())
        .map_err(|failure| WireError::Policies(Box::new(failure)))?;
    let signer = Signer::open(&config.gateway.data_dir.join("assertion.key"), &config.gateway.public_url)?;
    let times =
        TokenTimes { issuer_skew: config.revocation.issuer_skew(), retention: config.revocation.retention() };
    let verifier = Verifier::new(config.issuers.clone(), KeyClient::new()?, times);
    let places =
        Places::new(Arc::clone(&config.geoip.atlas), config.network.named.clone(), config.geoip.age_max);
    let mut listeners = Vec::new();
    for listen in &config.listen {
        let certificates = match listen.certificates.as_slice() {
            [] => None,
            files => Some(Certificates::open(files.to_vec())?),
        };
        listeners.push((listen.clone(), certificates));
    }
    let mut registry = Registry::default();
    let running = Stopwatch::start();
    let stopwatch = Stopwatch::start();
    let ticks: doorward_proxy::Ticks = Arc::new(move || stopwatch.elapsed());
    let house = Arc::new(House {
        routes: doorward_proxy::route_table(config.apps.clone())?,
        proxies: Arc::new(config.network.trusted_proxies.clone()),
        verifier: Arc::new(verifier),
        places: Arc::new(places),
        calendar: config.gateway.calendar.clone(),
        revocations: Arc::new(revocations),
        inflight: Arc::new(Inflight::new(Arc::clone(&ticks))),
        policies: Arc::new(policies),
        signer: Arc::new(signer),
        audit: Arc::new(audit),
        metrics: Metrics::new(&mut registry),
        limits: config.limits.clone(),
        issuer_skew: config.revocation.issuer_skew(),
        clock,
        ticks,
    });
    let numbers = numbers::Numbers::new(&mut registry);
    let certificates = listeners.iter().filter_map(|(_, c)| c.clone()).collect();
    let wired = Wired { config, house, certificates, registry: Mutex::new(registry), numbers, running };
    Ok((Arc::new(wired), listeners))
}

/// Local and remote revocations take this one road to what runs.
fn cut_what_is_revoked(house: &Arc<House>) {
    let (inflight, skew, ticks) = (Arc::clone(&house.inflight), house.issuer_skew, Arc::clone(&house.ticks));
    house.revocations.subscribe(Arc::new(move |applied: &Applied| {
        ended(&inflight.terminate(&applied.target, applied.entry, skew, applied.at, ticks()))
    }));
}

fn ended(terminated: &Terminated) -> Ended {
    let mut ended = Ended::default();
    for (protocol, n) in Protocol::ALL.into_iter().zip(terminated.by_protocol) {
        match protocol {
            Protocol::Http1 => ended.http1 = n,
            Protocol::Http2 => ended.http2 = n,
            Protocol::WebSocket => ended.websocket = n,
            Protocol::EventStream => ended.event_stream = n,
            Protocol::Grpc => ended.grpc = n,
        }
    }
    ended
}

/// Gives the first look-ups a moment, so that the first request finds keys and addresses. An
/// issuer or an app that does not answer holds nothing up for longer.
async fn first_look(house: &House) {
    let keys = async {
        while house
            .verifier
            .key_status((house.clock)())
            .iter()
            .any(|k| k.fetched_at.is_none() && k.last_error.is_none())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ =
        tokio::time::timeout(FIRST_LOOK_MAX, async { tokio::join!(keys, serve::resolve_upstreams(house)) })
            .await;
    for key in house.verifier.key_status((house.clock)()) {
        if key.keys == 0 {
            tracing::warn!(
                issuer = %key.issuer,
                error = key.last_error.as_deref().unwrap_or("no answer yet"),
                "the keys of an issuer cannot be had; its tokens are refused until they can"
            );
        }
    }
}

fn announce(config: &Config) {
    for listen in &config.listen {
        let scheme = if listen.certificates.is_empty() { "http" } else { "https" };
        tracing::info!(address = format!("{scheme}://{}", listen.address), "listening");
    }
    tracing::info!(address = format!("http://{}", config.operator.address), "operator API");
}
