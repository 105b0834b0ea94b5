//! The instances of an app: which are well, which one is next, and how it is spoken to.
//!
//! [`Upstreams::peer`] is the only road to an app, and it takes a
//! [`Permit`](crate::pipeline::authorize::Permit).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorward_model::{AppId, limits};
use doorward_policy::Action;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck};
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
use bounded::Bounded;
use names::Names;
use reach::Reachable;

mod bounded;
mod names;
mod reach;

/// How many addresses of an app are looked at to find one that is well.
const SELECT_MAX: usize = 256;
/// How often names of instances are looked up anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Connections to apps are used again within one group only.
static GROUP: AtomicU64 = AtomicU64::new(1);

/// The instances of one app.
pub(crate) struct Upstreams {
    app: AppId,
    /// The name under which clients know it; said to an instance whose health is checked.
    host: String,
    config: Upstream,
    balancer: LoadBalancer<RoundRobin>,
    ca: Option<Arc<[WrappedX509]>>,
    /// Keeps the connections of one app apart from those of another, whatever the address.
    group_key: u64,
}

/// Why the instances of an app cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The file with the roots does not hold any, or something else too.
    #[error("app `{app}`: `{file}` cannot be used for `ca_file`: {why}; write PEM with `BEGIN CERTIFICATE`")]
    Ca {
        /// Which app.
        app: AppId,
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Upstreams {
    /// Sets up the instances of one app. Nobody is connected to yet.
    ///
    /// # Errors
    /// When the file with the roots is not one.
    pub(crate) fn new(app: AppId, host: String, config: Upstream) -> Result<Self, UpstreamError> {
        let ca = match config.tls.as_ref().and_then(|t| t.ca_file.as_deref()) {
            None => None,
            Some(file) => Some(read_roots(file).map_err(|why| UpstreamError::Ca {
                app: app.clone(),
                file: file.display().to_string(),
                why,
            })?),
        };
        let names = Names::new(config.addresses.clone());
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(names)));
        let mut upstreams =
            Self { app, host, config, balancer, ca, group_key: GROUP.fetch_add(1, Ordering::Relaxed) };
        let check = upstreams.health_check();
        upstreams.balancer.set_health_check(check);
        Ok(upstreams)
    }

    /// The next instance, spoken to as the app wants it. Only who holds a permit gets one.
    ///
    /// None when no instance is well. One that was tried already for this request comes again only
    /// when there is no other.
    ///
    /// Pingora has one bound for the head of an answer and for every piece of its body. So it gets
    /// the longest that any answer could need, and [`Patience`](crate::gate) counts what this one
    /// may take. To an app that speaks HTTP/2 Pingora counts where nothing is uploaded and no event
    /// stream is asked for, because there only Pingora can turn a late answer into a 504; then no
    /// pause in the body may be longer than that either.
    pub(crate) fn peer(
        &self,
        permit: &Permit,
        streaming: Streaming,
        uploads: bool,
        idle_max: Duration,
        tried: &[std::net::SocketAddr],
    ) -> Option<HttpPeer> {
        let backend = self.next(tried)?;
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
            Streaming::No if self.pingora_counts(streaming, uploads) => self.config.response_max,
            Streaming::Yes | Streaming::Perhaps | Streaming::No => idle_max,
        });
        o.write_timeout = Some(idle_max.min(self.config.response_max.max(Duration::from_secs(60))));
        Some(peer)
    }

    fn next(&self, tried: &[std::net::SocketAddr]) -> Option<Backend> {
        let is_new = |a: &SocketAddr| a.as_inet().is_none_or(|a| !tried.contains(a));
        self.balancer
            .select_with(b"", SELECT_MAX, |b, well| well && is_new(&b.addr))
            .or_else(|| self.balancer.select(b"", SELECT_MAX))
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
        let Some(path) = &self.config.health_path else {
            return Box::new(Bounded::new(Reachable, self.config.connect_max));
        };
        // Connect, ask and answer: an instance that takes longer is not well. Nothing waits longer.
        let within = self.config.connect_max * 3;
        let mut check = HttpHealthCheck::new(&self.host, self.config.tls.is_some());
        check.peer_template = self.peer_at(std::net::SocketAddr::from(([0, 0, 0, 0], 1)));
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
        Box::new(Bounded::new(check, within))
    }

    /// Looks up names and checks health, for ever. A drain does not stop it: what still runs
    /// needs an app that is well. Neither waits for the other.
    pub(crate) async fn keep_well(&self) {
        let resolve = async {
            loop {
                self.resolve().await;
                tokio::time::sleep(RESOLVE_EVERY).await;
            }
        };
        let check = async {
            loop {
                self.balancer.backends().run_health_check(true).await;
                tokio::time::sleep(self.config.health_every).await;
            }
        };
        tokio::join!(resolve, check);
    }

    /// Looks up the addresses once.
    pub(crate) async fn resolve(&self) {
        if let Err(e) = self.balancer.update().await {
            tracing::warn!(app = %self.app, error = %e, "the addresses of the app cannot be looked up");
        }
    }

    /// How long they may take to begin an answer, where Pingora does not count.
    pub(crate) fn answer_max(&self, streaming: Streaming, uploads: bool) -> Option<Duration> {
        (!self.pingora_counts(streaming, uploads)).then_some(self.config.response_max)
    }

    fn pingora_counts(&self, streaming: Streaming, uploads: bool) -> bool {
        self.config.h2 && streaming == Streaming::No && !uploads
    }

    /// Whether TLS is spoken to them.
    pub(crate) const fn speaks_tls(&self) -> bool {
        self.config.tls.is_some()
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

/// Whether an exchange may be silent for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// It may: WebSocket, gRPC.
    Yes,
    /// Its answer may, if it is an event stream: one was asked for, perhaps among others.
    Perhaps,
    /// It may not.
    No,
}

/// Every root of a file. One that cannot be read makes the file useless: whoever wrote it relies on it.
fn read_roots(file: &Path) -> Result<Arc<[WrappedX509]>, String> {
    let mut roots = Vec::new();
    for (i, root) in CertificateDer::pem_file_iter(file).map_err(|e| e.to_string())?.enumerate() {
        let root = root.map_err(|e| format!("certificate {}: {e}", i + 1))?;
        // Pingora panics where this fails.
        x509_parser::parse_x509_certificate(&root).map_err(|e| format!("certificate {}: {e}", i + 1))?;
        roots.push(WrappedX509::new(root.to_vec(), parse_x509));
    }
    if roots.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(roots.into())
}

#[cfg(test)]
mod tests;
