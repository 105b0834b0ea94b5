//! One process out of all the crates. No rule lives here: it opens, connects and announces.
//!
//! ```text
//!  open      revocations, audit, policies, places, keys, routes, certificates   (fail: say why, exit)
//!  connect   revocations ─▶ inflight      files ─▶ reload      signals ─▶ life
//!  bind      every address, the operator's too                                  (fail: say why, exit)
//!  announce  one durable `gateway.started`, then listen, then say so
//! ```
//! Nothing after the listening can fail. A successor waits for the sockets at the end of all that, and
//! the running process drains only when it hears that they are listened on.
//!
//! Pingora runs on threads of its own. Everything else (operator API, key fetching, health checks,
//! signals) runs on the *house* runtime, which a drain does not stop: a revocation cuts streams
//! until the last of them is gone.

mod access;
mod cut;
mod folder;
mod intake;
mod life;
mod lives;
mod numbers;
mod operator;
mod people;
mod process;
mod receipts;
mod releases;
mod reload;
mod sessions;
mod shadow;
mod sign_in;
mod streams;
mod token;
mod vet;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use doorward_audit::event::GatewayStart;
use doorward_audit::{Actor, Audit, AuditError, Event, Identity};
use doorward_context::Places;
use doorward_identity::{ClientError, KeyClient, TokenTimes, Verifier};
use doorward_lifecycle::intake::signals::Signals as Streams;
use doorward_lifecycle::receipt::KeyError;
use doorward_lifecycle::service::Lifecycle;
use doorward_policy::{LoadFailure, Loader};
use doorward_proxy::assertion::{Signer, SignerError};
use doorward_proxy::joining::Joining;
use doorward_proxy::listen::{CertificateError, Certificates};
use doorward_proxy::metrics::Metrics;
use doorward_proxy::review::{self, Review};
use doorward_proxy::risk::{self, Risks};
use doorward_proxy::serve::{self, Given, HandOverError, Serve, ServeError, Stop};
use doorward_proxy::sightings::Seen;
use doorward_proxy::{House, Inflight, UpstreamError};
use doorward_state::{OpenReport, RevocationConfig, Revocations, Sessions, StateError, StoreConfig};
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::clock::{self, Stopwatch};
use crate::config::Config;
use crate::shutdown::Signals;
use life::Life;

/// How long the first look-ups of keys and addresses may hold the start up. They go on after it.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(3);
/// How long it may take until all addresses are listened on. They are bound by then.
const LISTENING_MAX: Duration = Duration::from_secs(10);
/// How long a successor waits for the sockets: a person sends the signal.
const HAND_OVER_MAX: Duration = Duration::from_secs(600);
/// How long what hangs in a call to a disk may hold up the end.
const THREADS_END_MAX: Duration = Duration::from_secs(1);

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
    /// Others can enter the folder for data.
    #[error("others can enter `{}` (mode {mode:o}), and could take the listening sockets in an upgrade; run `chmod 700 {}` as its owner, or set `gateway.data_dir` to a folder in it that does not exist yet", .dir.display(), .dir.display())]
    OpenDataDir {
        /// The folder.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
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
    /// Nobody could sign in with a browser.
    #[error("people cannot sign in: {0}")]
    SignIn(#[from] sign_in::SignInError),
    /// The policies cannot be loaded.
    #[error("the policies cannot be loaded\n{}", .0.plain().trim_end())]
    Policies(Box<LoadFailure>),
    /// The bundles of policies cannot be used.
    #[error(transparent)]
    Releases(#[from] releases::ReleaseError),
    /// No client for keys can be made.
    #[error(transparent)]
    Keys(#[from] ClientError),
    /// The key for assertions cannot be had.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The key for receipts cannot be had.
    #[error("no receipts could be signed: {0}")]
    Receipts(#[from] KeyError),
    /// What changes people cannot begin.
    #[error("receipts cannot be made: {0}")]
    Lives(#[from] doorward_lifecycle::service::Failed),
    /// An app cannot be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Another gateway runs on the same folder.
    #[error("`{}` is in use by a running gateway; to replace that one use `doorward run --upgrade`, else stop it first", .file.display())]
    InUse {
        /// The store of revocations.
        file: PathBuf,
    },
    /// The sockets of the running gateway did not come.
    #[error(transparent)]
    HandOver(#[from] HandOverError),
    /// The threads that should listen do not.
    #[error("not every address is listened on after {} s; the log says which", LISTENING_MAX.as_secs())]
    NotListening,
}

/// Everything that lives as long as the process.
pub(crate) struct Wired {
    pub(crate) config: Config,
    pub(crate) house: Arc<House>,
    pub(crate) certificates: Vec<Arc<Certificates>>,
    /// Those of provisioning clients, which are among the others too.
    pub(crate) intake_certificates: Option<Arc<Certificates>>,
    /// What changes people and groups, once it is open; never where there is no directory.
    pub(crate) lives: OnceLock<Lifecycle>,
    /// What takes signals, once it is there; never where nobody may send any.
    pub(crate) streams: OnceLock<Arc<Streams>>,
    /// People of whose sessions of browsers something may be left.
    pub(crate) left: Arc<sign_in::Left>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) numbers: numbers::Numbers,
    pub(crate) running: Stopwatch,
    pub(crate) refused: reload::Refused,
    /// The bundles of policies that this node holds.
    pub(crate) releases: releases::Releases,
    pub(crate) shadows: shadow::Shadows,
    pub(crate) token: Arc<token::TokenFile>,
    /// Where threads that are not of the runtime wait for what is.
    pub(crate) runtime: tokio::runtime::Handle,
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
    let ended = live(&runtime, config, take_over);
    runtime.shutdown_timeout(THREADS_END_MAX);
    ended
}

fn live(runtime: &Runtime, config: Config, take_over: bool) -> Result<(), WireError> {
    // Before anything else: from here on no signal ends the process half-way.
    let signals = runtime
        .block_on(async { Signals::listen() })
        .map_err(|cause| WireError::System { what: "signals cannot be received".to_owned(), cause })?;
    let (begun, will_begin) = oneshot::channel();
    runtime.spawn(life::lead(signals, will_begin));
    process::allow(config.limits.connections_max);
    folder::keep_private(&config.gateway.data_dir)?;
    let (wired, listeners, seen) = open(config, take_over, runtime.handle().clone())?;
    cut::what_is_revoked(&wired.house);
    receipts::tell(&wired.house);
    if let Some(seen) = seen {
        let _within = runtime.enter();
        sign_in::look_after(&wired.house, seen, &wired.left);
    }
    cut::record_what_is_saved_late(&wired.house, runtime.handle().clone());
    let patience = cut::Patience::new(wired.config.revocation.stream_grace(), &wired.config.apps);
    runtime.spawn(cut::what_may_be_revoked(Arc::clone(&wired.house), patience));

    review::follow(&wired.house);
    runtime.spawn(review::keep_deciding(Arc::clone(&wired.house)));
    if let Some(risks) = &wired.house.risks {
        runtime.spawn(risk::keep_remembering(Arc::clone(risks), Arc::clone(&wired.house.clock)));
    }

    let house = Arc::clone(&wired.house);
    runtime.spawn(Arc::clone(&house.verifier).keep_fresh(Arc::clone(&house.clock)));
    runtime.block_on(first_look(&house));
    runtime.spawn(serve::keep_upstreams_well(Arc::clone(&house)));

    let (stop, told) = watch::channel(None);
    let threads = wired.config.gateway.threads;
    let ready =
        serve::prepare(Serve { house: Arc::clone(&house), listeners, threads, take_over, stop: told })?;
    let (operator, intake) = {
        let _within = runtime.enter();
        (operator::bind(&wired, take_over)?, intake::bind(&wired, take_over)?)
    };
    runtime.spawn(numbers::keep_counting_debts(Arc::clone(&wired)));
    runtime.spawn(reload::keep_telling_old_databases(Arc::clone(&house)));
    runtime.spawn(reload::keep_telling_lists(Arc::clone(&wired)));
    runtime.spawn(releases::keep_pulling(Arc::clone(&wired)));
    runtime.spawn(shadow::keep_telling(Arc::clone(&wired)));
    wired.releases.begun(&wired);
    shadow::begun(&wired);
    let _watching = reload::watch(&wired)?;
    // A file may have changed between the first load and the watching.
    reload::policies(&wired, Actor::Gateway);
    runtime.block_on(record_start(&wired))?;
    let life = Life {
        wired: Arc::clone(&wired),
        stop: Arc::new(stop),
        open: ready.open_connections(),
        sockets: ready.sockets(),
    };
    let _ = begun.send(life.clone());
    let begins = async {
        let given = if take_over { Some(take_sockets(&wired, &ready).await?) } else { None };
        lives::open(&wired).await?;
        streams::open(&wired)?;
        operator::start(&wired, life.open.clone(), operator).await?;
        intake::start(&wired, intake).await?;
        Ok(given)
    };
    let given = match runtime.block_on(begins) {
        Ok(given) => given,
        Err(e) => {
            runtime.block_on(life::close(&house, "not begun", 0));
            return Err(e);
        }
    };
    let failed = Arc::new(OnceLock::new());
    runtime.spawn(look_after(life, given, Arc::clone(&failed)));
    ready.run();
    runtime.block_on(life::close(&house, "stopped", 0));
    match Arc::try_unwrap(failed).ok().and_then(OnceLock::into_inner) {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

/// Writes down that the gateway starts, before the first request.
async fn record_start(wired: &Wired) -> Result<(), AuditError> {
    let house = &wired.house;
    let started = GatewayStart {
        revision: Some(house.policies.bundle().revision().to_string().into()),
        exceptions: wired.config.remarks.iter().map(|r| format!("{}: {}", r.at, r.message)).collect(),
    };
    house.audit.record_durable(Event::GatewayStarted(Box::new(started))).await.map(drop)
}

/// Waits for the sockets of the running process.
async fn take_sockets(wired: &Wired, ready: &serve::Ready) -> Result<Given, WireError> {
    let waiting = serve::Waiting::at(&life::handover_socket(wired)).await?;
    let pid = process::running_pid(&wired.config.gateway.data_dir);
    tracing::info!(
        pid,
        seconds = HAND_OVER_MAX.as_secs(),
        "ready to take over: send SIGQUIT to the running process now"
    );
    let mut given = waiting.given(HAND_OVER_MAX).await?;
    ready.take_over(&mut given)?;
    Ok(given)
}

/// Says that the gateway listens, once it does. If it does not, or if the process before it goes on,
/// it ends and `failed` has the reason.
async fn look_after(life: Life, given: Option<Given>, failed: Arc<OnceLock<WireError>>) {
    let listens = async {
        let accepting = tokio::time::timeout(LISTENING_MAX, life.open.accepting());
        accepting.await.map_err(|_| WireError::NotListening)?;
        match given {
            Some(given) => given.done().await.map_err(WireError::from),
            None => Ok(()),
        }
    };
    match listens.await {
        Ok(()) => {
            process::note_pid(&life.wired.config.gateway.data_dir);
            announce(&life.wired.config);
        }
        Err(e) => {
            let _ = failed.set(e);
            drop(failed);
            let _ = life.stop.send(Some(Stop::Now));
        }
    }
}

type Listeners = Vec<(doorward_proxy::config::Listen, Option<Arc<Certificates>>)>;

fn open(
    config: Config,
    take_over: bool,
    runtime: tokio::runtime::Handle,
) -> Result<(Arc<Wired>, Listeners, Option<Seen>), WireError> {
    let clock = clock::system();
    let identity =
        Identity { node: config.gateway.node.clone(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let (revocations, report) = Revocations::open(&config.revocation, clock::clocks())?;
    tell_of_store(&config.revocation, &report);
    if report.shared && !take_over {
        return Err(WireError::InUse { file: report.file });
    }
    let (audit, report) = Audit::open(config.audit.clone(), identity, Arc::clone(&clock))?;
    for torn in &report.repaired {
        tracing::warn!(
            segment = torn.segment,
            cut_bytes = torn.cut_bytes,
            aside = torn.aside,
            "a torn audit file was repaired"
        );
    }
    let releases = releases::Releases::open(&config)?;
    let loader = Loader::vetted(Some(config.known()), vet::vet());
    let policies = releases
        .begin(&config.policy.dir, loader, clock())
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
            files => Some(Certificates::open_for(files.to_vec(), listen.clients.as_ref())?),
        };
        listeners.push((listen.clone(), certificates));
    }
    let mut registry = Registry::default();
    let running = Stopwatch::start();
    let stopwatch = Stopwatch::start();
    let ticks: doorward_proxy::Ticks = Arc::new(move || stopwatch.elapsed());
    let (people, accounts) = people::open(&config.people, &revocations);
    let (revocations, policies, audit) = (Arc::new(revocations), Arc::new(policies), Arc::new(audit));
    let is_kept = config.sign_in.is_some() || config.risk.is_some();
    let sessions =
        is_kept.then(|| Sessions::open(&config.revocation, &config.gateway.data_dir, clock::clocks()));
    let sessions = sessions.transpose().map_err(sign_in::SignInError::from)?;
    let left = Arc::new(sign_in::Left::new(Arc::clone(&ticks)));
    let given = sessions.as_ref().map(|sessions| sign_in::Given {
        verifier: &verifier,
        revocations: &revocations,
        audit: &audit,
        policies: &policies,
        clock: &clock,
        sessions,
        left: &left,
    });
    let opened = match &given {
        Some(given) => sign_in::open(&config, given, &mut registry)?,
        None => None,
    };
    let (sign_in, seen) = opened.unzip();
    let terms = config.risk.clone();
    let sealer = sign_in.as_ref().map(|sign_in| sign_in.opened.sealer().clone());
    let risks = terms.map(|terms| Risks::new(terms, sessions.clone(), sealer, &mut registry));
    let shadow = shadow::open(&policies).map_err(|cause| WireError::System {
        what: "no thread for policies in the shadow".to_owned(),
        cause,
    })?;
    let house = Arc::new(House {
        routes: doorward_proxy::route_table(config.apps.clone())?,
        proxies: Arc::new(config.network.trusted_proxies.clone()),
        verifier: Arc::new(verifier),
        people,
        accounts,
        joining: Joining::default(),
        places: Arc::new(places),
        risks,
        calendar: config.gateway.calendar.clone(),
        revocations,
        inflight: Arc::new(Inflight::new(Arc::clone(&ticks))),
        shadow: Arc::new(shadow),
        policies,
        review: Review::default(),
        signer: Arc::new(signer),
        audit,
        sign_in,
        metrics: Metrics::new(&mut registry),
        limits: config.limits.clone(),
        streams: config.streams,
        stream_grace: config.revocation.stream_grace(),
        issuer_skew: config.revocation.issuer_skew(),
        clock,
        ticks,
    });
    let asks = house.people.directory_status().is_some();
    let has_streams = !config.signals.streams.is_empty();
    let in_fleet = house.revocations.fleet_health().is_some();
    let numbers = numbers::Numbers::new(&mut registry, in_fleet, asks, has_streams);
    let numbers = if house.sign_in.is_some() { numbers.and_sessions(&mut registry) } else { numbers };
    let intake_certificates = match &config.intake {
        Some(intake) if !intake.certificates.is_empty() => {
            Some(Certificates::open(intake.certificates.clone())?)
        }
        Some(_) | None => None,
    };
    let of_listeners = listeners.iter().filter_map(|(_, c)| c.clone());
    let certificates = of_listeners.chain(intake_certificates.clone()).collect();
    let wired = Wired {
        token: Arc::new(token::TokenFile::new(config.operator.token_file.clone())),
        refused: reload::Refused::default(),
        releases,
        shadows: shadow::Shadows::default(),
        config,
        house,
        certificates,
        intake_certificates,
        lives: OnceLock::new(),
        streams: OnceLock::new(),
        left,
        registry: Mutex::new(registry),
        numbers,
        running,
        runtime,
    };
    Ok((Arc::new(wired), listeners, seen))
}

/// Where it is known from who is cut off, and what an operator must know who did not expect it.
fn tell_of_store(config: &RevocationConfig, report: &OpenReport) {
    let (entries, shared) = (report.entries, report.shared);
    let directory = match config.store() {
        StoreConfig::Embedded(store) => store.file().display().to_string(),
        StoreConfig::Postgres(postgres) => format!("{} at {}", postgres.database(), postgres.place()),
        StoreConfig::None => "none".to_owned(),
    };
    tracing::info!(directory, entries, shared, "revocations");
    if let Some(redis) = config.redis() {
        let servers: Vec<_> = redis.addresses().iter().map(ToString::to_string).collect();
        tracing::info!(
            mode = redis.mode().as_str(),
            servers = servers.join(" "),
            namespace = redis.namespace(),
            lease_millis = u64::try_from(redis.lease().as_millis()).unwrap_or(u64::MAX),
            "revocations are carried to every node by Redis"
        );
    }
    if matches!(config.store(), StoreConfig::None) {
        tracing::info!("this node learns who is cut off from Redis, and refuses everybody until it knows");
    }
    if report.created {
        tracing::warn!(directory, "a new store of revocations was made: nobody is cut off");
    }
    if report.tightened {
        tracing::warn!(
            directory,
            "others could read or write the store of revocations; it is its owner's alone now"
        );
    }
    if report.unmarked {
        tracing::warn!(
            directory,
            "nothing says how far the log of revocations went: it is taken as it is, as after a backup was put back"
        );
    }
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
    if let Some(intake) = &config.intake {
        let scheme = if intake.certificates.is_empty() { "http" } else { "https" };
        tracing::info!(address = format!("{scheme}://{}/scim/v2", intake.address), "intake of people");
    }
}
