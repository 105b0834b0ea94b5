//! The instances of an app: which are well, which one is next, and how it is spoken to.
//!
//! [`Upstreams::peer`] is the only road to an app, and it takes a
//! [`Permit`](crate::pipeline::authorize::Permit).

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use doorward_model::{AppId, limits};
use doorward_policy::Action;
use pingora::lb::discovery::ServiceDiscovery;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, Backends, LoadBalancer};
use pingora::protocols::ALPN;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::Upstream;
use crate::pipeline::authorize::Permit;

/// How many addresses of an app are looked at to find one that is well.
const SELECT_MAX: usize = 256;
/// How often names of instances are looked up anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Connections to apps are used again within one group only.
static GROUP: AtomicU64 = AtomicU64::new(1);

/// The instances of one app.
pub(crate) struct Upstreams {
    app: AppId,
    config: Upstream,
    balancer: LoadBalancer<RoundRobin>,
    ca: Option<Arc<[WrappedX509]>>,
    /// Keeps the connections of one app apart from those of another, whatever the address.
    group_key: u64,
}

/// Why the instances of an app cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The file with the roots does not hold any.
    #[error("app `{app}`: `{file}` holds no certificate: write PEM with `BEGIN CERTIFICATE`")]
    Ca {
        /// Which app.
        app: AppId,
        /// Which file.
        file: String,
    },
}

impl Upstreams {
    /// Sets up the instances of one app. Nobody is connected to yet.
    ///
    /// # Errors
    /// When the file with the roots is not one.
    pub(crate) fn new(app: AppId, config: Upstream) -> Result<Self, UpstreamError> {
        let ca =
            match config.tls.as_ref().and_then(|t| t.ca_file.as_deref()) {
                None => None,
                Some(file) => Some(read_roots(file).ok_or_else(|| UpstreamError::Ca {
                    app: app.clone(),
                    file: file.display().to_string(),
                })?),
            };
        let names = Names { addresses: config.addresses.clone() };
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(names)));
        let mut upstreams =
            Self { app, config, balancer, ca, group_key: GROUP.fetch_add(1, Ordering::Relaxed) };
        let check = upstreams.health_check();
        upstreams.balancer.set_health_check(check);
        Ok(upstreams)
    }

    /// The next instance, spoken to as the app wants it. Only who holds a permit gets one.
    ///
    /// None when no instance is well.
    ///
    /// To an app that speaks HTTP/2 Pingora counts the time for the answer from the begin of an
    /// upload: there [`Patience`](crate::gate) counts instead.
    pub(crate) fn peer(
        &self,
        permit: &Permit,
        streaming: Streaming,
        uploads: bool,
        idle_max: Duration,
    ) -> Option<HttpPeer> {
        let backend = self.balancer.select(b"", SELECT_MAX)?;
        let SocketAddr::Inet(address) = backend.addr else { return None };
        let mut peer = self.peer_at(address);
        if permit.accepted().action() == Action::Upgrade {
            // A connection of its own, never one that was used before: that one may have been made by
            // another thread, whose events come while this one works, and then a WebSocket is lost
            // after its 101 (docs/decisions/0002-no-work-stealing.md).
            peer.group_key = GROUP.fetch_add(1, Ordering::Relaxed);
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        let o = &mut peer.options;
        o.read_timeout = Some(match streaming {
            Streaming::Yes => idle_max,
            Streaming::No if uploads && self.config.h2 => idle_max,
            Streaming::No => self.config.response_max,
        });
        o.write_timeout = Some(idle_max.min(self.config.response_max.max(Duration::from_secs(60))));
        Some(peer)
    }

    fn peer_at(&self, address: std::net::SocketAddr) -> HttpPeer {
        let sni = self.config.tls.as_ref().map_or_else(String::new, |t| t.server_name.clone());
        let mut peer = HttpPeer::new(address, self.config.tls.is_some(), sni);
        peer.group_key = self.group_key;
        let o = &mut peer.options;
        o.connection_timeout = Some(self.config.connect_max);
        o.total_connection_timeout = Some(self.config.connect_max);
        o.idle_timeout = Some(Duration::from_secs(limits::UPSTREAM_KEEPALIVE_SECONDS_MAX));
        o.verify_cert = true;
        o.verify_hostname = true;
        o.ca.clone_from(&self.ca);
        if self.config.h2 {
            o.alpn = ALPN::H2;
            o.max_h2_streams = 100;
        } else {
            o.alpn = ALPN::H1;
        }
        peer
    }

    fn health_check(&self) -> Box<dyn HealthCheck + Send + Sync> {
        let name = self.config.tls.as_ref().map(|t| t.server_name.clone());
        let template = self.peer_at(std::net::SocketAddr::from(([0, 0, 0, 0], 1)));
        let Some(path) = &self.config.health_path else {
            let mut check = TcpHealthCheck::new();
            check.peer_template.options.connection_timeout = Some(self.config.connect_max);
            return check;
        };
        let host = name.clone().unwrap_or_else(|| self.app.as_str().to_owned());
        let mut check = HttpHealthCheck::new(&host, name.is_some());
        check.peer_template = template;
        check.peer_template.options.read_timeout = Some(self.config.connect_max);
        if let Ok(uri) = path.parse() {
            check.req.set_uri(uri);
        }
        check.validator = Some(Box::new(|response| {
            if response.status.is_success() {
                return Ok(());
            }
            pingora::Error::e_explain(
                pingora::ErrorType::Custom("unhealthy"),
                format!("the health check answered {}", response.status.as_u16()),
            )
        }));
        Box::new(check)
    }

    /// Looks up names and checks health, for ever. A drain does not stop it: what still runs
    /// needs an app that is well.
    pub(crate) async fn keep_well(&self) {
        let mut until_resolve = Duration::ZERO;
        loop {
            if until_resolve.is_zero() {
                if let Err(e) = self.balancer.update().await {
                    tracing::warn!(app = %self.app, error = %e, "the addresses of the app cannot be looked up; the old ones stay");
                }
                until_resolve = RESOLVE_EVERY;
            }
            self.balancer.backends().run_health_check(true).await;
            let pause = self.config.health_every.min(until_resolve);
            tokio::time::sleep(pause).await;
            until_resolve = until_resolve.saturating_sub(pause);
        }
    }

    /// Looks up the addresses once, so that the first request finds them.
    pub(crate) async fn resolve(&self) {
        if let Err(e) = self.balancer.update().await {
            tracing::warn!(app = %self.app, error = %e, "the addresses of the app cannot be looked up");
        }
    }

    /// How long they may take to answer after an upload, where Pingora does not count.
    pub(crate) fn answer_max(&self) -> Option<Duration> {
        self.config.h2.then_some(self.config.response_max)
    }

    /// Whether HTTP/2 is spoken to them.
    pub(crate) const fn speaks_h2(&self) -> bool {
        self.config.h2
    }

    /// How many instances are well, and how many there are.
    pub(crate) fn health(&self) -> (usize, usize) {
        let all = self.balancer.backends().get_backend();
        (all.iter().filter(|b| self.balancer.backends().ready(b)).count(), all.len())
    }
}

/// Whether an exchange may be silent for long: WebSocket, event stream, gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// It may.
    Yes,
    /// It may not.
    No,
}

fn read_roots(file: &Path) -> Option<Arc<[WrappedX509]>> {
    let roots: Vec<_> = CertificateDer::pem_file_iter(file)
        .ok()?
        .filter_map(Result::ok)
        .map(|c| WrappedX509::new(c.to_vec(), parse_x509))
        .collect();
    (!roots.is_empty()).then(|| roots.into())
}

/// Looks names up without blocking a worker.
struct Names {
    addresses: Vec<String>,
}

#[async_trait]
impl ServiceDiscovery for Names {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut found = BTreeSet::new();
        for address in &self.addresses {
            match tokio::net::lookup_host(address.as_str()).await {
                Ok(addresses) => {
                    for a in addresses {
                        found.insert(Backend::new(&a.to_string())?);
                    }
                }
                Err(e) => tracing::warn!(address, error = %e, "the name of an instance cannot be looked up"),
            }
        }
        if found.is_empty() {
            return pingora::Error::e_explain(
                pingora::ErrorType::Custom("unresolved"),
                "no instance has an address",
            );
        }
        Ok((found, HashMap::new()))
    }
}
