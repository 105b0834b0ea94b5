//! Listening, draining and handing over: the life of the process, as far as Pingora leads it.

mod handover;
mod sockets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{ListenFds, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora::services::Service;
use tokio::sync::{Mutex, watch};

use crate::config::Listen;
use crate::gate::Census;
use crate::listen::{self, Certificates};
use crate::pipeline::House;
pub use handover::{Given, HandOverError, Waiting, hand_over};
pub use sockets::Sockets;

/// How much longer than a drain may take Pingora waits before it ends by itself.
const DRAIN_MARGIN_SECONDS: u64 = 30;
/// How often a start looks whether an address is listened on.
const LISTENING_LOOK_EVERY: Duration = Duration::from_millis(2);

/// How the process is asked to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Take no new connections, let what runs come to its end within the drain time.
    Drain,
    /// Now.
    Now,
}

/// What is to be served.
pub struct Serve {
    /// Everything that the stages work with.
    pub house: Arc<House>,
    /// The addresses.
    pub listeners: Vec<(Listen, Option<Arc<Certificates>>)>,
    /// Worker threads for each address.
    pub threads: usize,
    /// Listening sockets come from the process that runs now: see [`Ready::take_over`].
    pub take_over: bool,
    /// Tells when and how to go.
    pub stop: watch::Receiver<Option<Stop>>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be set up.
    #[error("`{address}` cannot be listened on: {why}")]
    Listen {
        /// Which address.
        address: String,
        /// What went wrong.
        why: String,
    },
}

/// How many connections are open, for who waits for a drain.
#[derive(Clone)]
pub struct OpenConnections(Arc<Census>);

impl OpenConnections {
    /// The number.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.open()
    }

    /// Whether every address is listened on.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.0.is_accepting()
    }

    /// Resolves when every address is listened on.
    pub async fn accepting(&self) {
        while !self.is_accepting() {
            tokio::time::sleep(LISTENING_LOOK_EVERY).await;
        }
    }

    /// No new connection is wanted any more: who asks whether clients should be sent here hears no.
    pub fn drain(&self) {
        self.0.drains();
    }

    /// Whether no new connection is wanted any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining()
    }
}

/// A service that listens on a socket of ours and tells when it does. Pingora begins on the service's
/// own threads, after everything else of the process has begun.
struct Announced<S> {
    inner: S,
    address: String,
    sockets: Sockets,
    census: Arc<Census>,
}

#[async_trait]
impl<S: Service> Service for Announced<S> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        let socket = self.sockets.get(&self.address);
        // What Pingora finds there it listens on, and does not bind.
        if let (Some(table), Some(fd)) = (&fds, socket) {
            table.lock().add(self.address.clone(), fd);
        }
        let census = Arc::clone(&self.census);
        let told = async move {
            while !socket.is_some_and(sockets::is_listening) {
                tokio::time::sleep(LISTENING_LOOK_EVERY).await;
            }
            census.listens();
        };
        tokio::join!(self.inner.start_service(fds, shutdown, listeners_per_fd), told);
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn threads(&self) -> Option<usize> {
        self.inner.threads()
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.inner.listen_addresses()
    }
}

struct StopSignal(Mutex<watch::Receiver<Option<Stop>>>);

#[async_trait]
impl ShutdownSignalWatch for StopSignal {
    async fn recv(&self) -> ShutdownSignal {
        let mut stop = self.0.lock().await;
        let said = stop.wait_for(Option::is_some).await.ok().and_then(|s| *s);
        match said {
            Some(Stop::Drain) => ShutdownSignal::GracefulTerminate,
            // Nobody can say anything any more: the rest of the process is gone.
            Some(Stop::Now) | None => ShutdownSignal::FastShutdown,
        }
    }
}

/// A server that is ready to run.
pub struct Ready {
    server: Server,
    stop: watch::Receiver<Option<Stop>>,
    open: OpenConnections,
    sockets: Sockets,
    addresses: Vec<SocketAddr>,
}

/// Sets everything up, the addresses too. Nobody can connect yet.
///
/// # Errors
/// When an address cannot be set up, or is not to be had.
pub fn prepare(serve: Serve) -> Result<Ready, ServeError> {
    let conf = ServerConf {
        threads: serve.threads,
        // Faster, and it keeps a WebSocket from being lost after its 101: see
        // docs/decisions/0002-no-work-stealing.md.
        work_stealing: false,
        // The bound on a drain is kept by whoever says `Stop`, who also writes the last events down;
        // this one is for the case that nobody does.
        grace_period_seconds: Some(serve.house.limits.drain_max.as_secs() + DRAIN_MARGIN_SECONDS),
        graceful_shutdown_timeout_seconds: Some(1),
        // A first attempt and the retries of `fail_to_connect`, and one for a pooled connection
        // that the app closed at the same moment.
        max_retries: doorward_model::limits::UPSTREAM_CONNECT_RETRIES_MAX + 2,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(Some(Opt::default()), conf);
    server.bootstrap();
    let addresses: Vec<SocketAddr> = serve.listeners.iter().map(|(listen, _)| listen.address).collect();
    let sockets = Sockets::bind(&addresses, serve.take_over)?;
    let census = Census::new(&serve.house.limits, serve.listeners.len());
    for (address, certificates) in &serve.listeners {
        let service =
            listen::service(address, certificates.as_ref(), &serve.house, &census, &server.configuration)
                .map_err(|e| ServeError::Listen {
                    address: address.address.to_string(),
                    why: e.to_string(),
                })?;
        server.add_service(Announced {
            inner: service,
            address: address.address.to_string(),
            sockets: sockets.clone(),
            census: Arc::clone(&census),
        });
    }
    Ok(Ready { server, stop: serve.stop, open: OpenConnections(census), sockets, addresses })
}

impl Ready {
    /// How many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> OpenConnections {
        self.open.clone()
    }

    /// The sockets, to be handed over one day.
    #[must_use]
    pub fn sockets(&self) -> Sockets {
        self.sockets.clone()
    }

    /// Takes over what another process listens on.
    ///
    /// # Errors
    /// When an address is missing among it. The other process goes on when it is not told otherwise.
    pub fn take_over(&self, given: &mut Given) -> Result<(), ServeError> {
        self.sockets.take(std::mem::take(&mut given.sockets), &self.addresses)
    }

    /// Serves until told to stop. Blocks; must not be called from async code.
    pub fn run(self) {
        let shutdown_signal = Box::new(StopSignal(Mutex::new(self.stop)));
        self.server.run(RunArgs { shutdown_signal });
    }
}

/// Keeps what is known of the apps' instances current, for ever. A drain does not stop it.
pub async fn keep_upstreams_well(house: Arc<House>) {
    let mut all = tokio::task::JoinSet::new();
    for app in house.routes.apps() {
        let app = Arc::clone(app);
        all.spawn(async move { app.upstream.keep_well().await });
    }
    // They never end; should one, its panic is told and the others go on.
    while let Some(ended) = all.join_next().await {
        tracing::error!(error = ?ended.err(), "the health checks of an app ended");
    }
}

/// Looks up every app's addresses once, before the first request.
pub async fn resolve_upstreams(house: &House) {
    // None waits for another.
    futures_util::future::join_all(house.routes.apps().map(|app| app.upstream.resolve())).await;
}

/// How many instances of each app are well, and how many there are.
pub fn upstream_health(house: &House) -> Vec<(doorward_model::AppId, usize, usize)> {
    let health = |app: &Arc<crate::ServedApp>| {
        let (well, all) = app.upstream.health();
        (app.app.id.clone(), well, all)
    };
    house.routes.apps().map(health).collect()
}
