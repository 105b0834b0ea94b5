//! `[[listen]]`, `[limits]` and `[[app]]`: as written, and valid.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_identity::certificate::TrustFiles;
use doorward_model::complaint::{Complaint, KeyPath};
use doorward_model::{AppId, IssuerId, RouteFacts, limits};
use serde::Deserialize;

mod app;
mod clients;
mod directory;
mod sign_in;
mod streams;

pub use app::check_apps;
pub use clients::{CertificateNeed, ClientCertificatesSection};
pub use directory::{DirectorySection, PeopleFrom, check_directory};
pub use sign_in::{Origin, SignIn, SignInSection, check_sign_in};
pub use streams::{Streams, StreamsSection, check_streams};

/// `[[listen]]` as written.
#[derive(Debug, Clone, Deserialize)]
pub struct ListenSection {
    /// Address and port.
    pub address: String,
    /// `h1`, `h2`, or both.
    pub protocols: Option<Vec<String>>,
    /// Whether a PROXY protocol v2 header stands before everything else.
    pub proxy_protocol: Option<bool>,
    /// Whether other proxies ask here what may pass, instead of clients being served.
    pub decides: Option<bool>,
    /// Certificates; none makes the listener plain.
    pub certificate: Option<Vec<CertificateSection>>,
    /// Whether clients are asked for a certificate, and whom we believe about it.
    pub client_certificates: Option<ClientCertificatesSection>,
}

/// `[[listen.certificate]]` as written.
#[derive(Debug, Clone, Deserialize)]
pub struct CertificateSection {
    /// PEM file with the certificate and those that lead to its root.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// `[limits]` as written. Every key has the name of its bound in `model::limits`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LimitsSection {
    /// Bytes of a request header.
    pub header_bytes_max: Option<u64>,
    /// Lines of a request header.
    pub header_count_max: Option<u64>,
    /// Seconds for a request header to arrive.
    pub header_seconds_max: Option<u64>,
    /// Seconds between requests of one connection.
    pub keepalive_seconds_max: Option<u64>,
    /// Seconds of an HTTP/2 connection without a stream.
    pub h2_idle_seconds_max: Option<u64>,
    /// Streams of one HTTP/2 connection.
    pub h2_streams_max: Option<u64>,
    /// Seconds of a body without a byte.
    pub body_idle_seconds_max: Option<u64>,
    /// Seconds of a stream without a byte.
    pub stream_idle_seconds_max: Option<u64>,
    /// Connections.
    pub connections_max: Option<u64>,
    /// Connections from one address.
    pub connections_per_address_max: Option<u64>,
    /// Seconds that running exchanges may go on after SIGTERM.
    pub drain_seconds_max: Option<u64>,
}

/// `[[app]]` as written.
#[derive(Debug, Clone, Deserialize)]
pub struct AppSection {
    /// The app's name.
    pub id: String,
    /// Sets of apps that it belongs to.
    pub groups: Option<Vec<String>>,
    /// Host names.
    pub hosts: Vec<String>,
    /// The prefix of its paths.
    pub path_prefix: Option<String>,
    /// `required` or `best_effort`.
    pub audit: Option<String>,
    /// `lease` or `strict`.
    pub freshness: Option<String>,
    /// Seconds that requests pass for when it is not known any more that nothing was taken away.
    pub stale_seconds_max: Option<u64>,
    /// Bytes of a request body.
    pub request_body_bytes_max: Option<u64>,
    /// Further origins that may open a WebSocket.
    pub websocket_origins: Option<Vec<String>>,
    /// `required`, `asked` or `none`.
    pub client_certificate: Option<String>,
    /// Further origins whose pages may have something done in the name of a person who signed in with a browser.
    pub cross_site_origins: Option<Vec<String>>,
    /// The issuer at which people sign in for this app; without it they choose, or there is one only.
    pub provider: Option<String>,
    /// Whether the app sees the bearer token.
    pub pass_token: Option<bool>,
    /// Whether paths with `;` and with escaped `;`, `#`, `?` and `%` pass.
    pub lenient_path: Option<bool>,
    /// Whether the app itself tells paths apart by case, so that `/Admin` is not `/admin` to it.
    pub case_sensitive_paths: Option<bool>,
    /// The tier of the route `all`.
    pub tier: Option<String>,
    /// The scope of the route `all`.
    pub scope: Option<String>,
    /// Where the app lives.
    pub upstream: UpstreamSection,
    /// Routes with facts of their own.
    pub route: Option<Vec<RouteSection>>,
}

/// `[app.upstream]` as written.
#[derive(Debug, Clone, Deserialize)]
pub struct UpstreamSection {
    /// `host:port` of each instance.
    pub addresses: Vec<String>,
    /// `h1` or `h2`.
    pub protocol: Option<String>,
    /// Seconds to connect.
    pub connect_seconds_max: Option<u64>,
    /// Seconds to the first byte of a response.
    pub response_seconds_max: Option<u64>,
    /// Path of the health check.
    pub health_path: Option<String>,
    /// Seconds between health checks.
    pub health_seconds: Option<u64>,
    /// TLS to the app.
    pub tls: Option<UpstreamTlsSection>,
}

/// `[app.upstream.tls]` as written.
#[derive(Debug, Clone, Deserialize)]
pub struct UpstreamTlsSection {
    /// The name that the app's certificate must have.
    pub server_name: String,
    /// PEM file with the roots to trust; the system's without it.
    pub ca_file: Option<PathBuf>,
}

/// `[[app.route]]` as written.
#[derive(Debug, Clone, Deserialize)]
pub struct RouteSection {
    /// The route's name within its app.
    pub id: String,
    /// The prefix of its paths, by whole segments.
    pub path: String,
    /// `public`, `internal`, `confidential` or `restricted`.
    pub tier: Option<String>,
    /// Whether it changes how the app works.
    pub admin_surface: Option<bool>,
    /// The scope that machines need.
    pub scope: Option<String>,
    /// Whether it may be reached without signing in.
    pub public: Option<bool>,
}

/// One address to listen on.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// HTTP/1.1 is spoken.
    pub h1: bool,
    /// HTTP/2 is spoken; on a plain listener by prior knowledge (RFC 9113 §3.3).
    pub h2: bool,
    /// A PROXY protocol v2 header is required.
    pub proxy_protocol: bool,
    /// Other proxies ask here what may pass: nothing is served.
    pub decides: bool,
    /// Chain and key files; empty for a plain listener.
    pub certificates: Vec<CertificateFiles>,
    /// Whom we believe about the certificates of clients; none where they are not asked for one.
    pub clients: Option<TrustFiles>,
}

/// The two files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The bounds in force.
#[derive(Debug, Clone)]
pub struct Limits {
    /// See [`limits::HEADER_BYTES_MAX`].
    pub header_bytes_max: usize,
    /// See [`limits::HEADER_COUNT_MAX`].
    pub header_count_max: usize,
    /// See [`limits::HEADER_SECONDS_MAX`].
    pub header_max: Duration,
    /// See [`limits::KEEPALIVE_SECONDS_MAX`].
    pub keepalive_max: Duration,
    /// See [`limits::H2_IDLE_SECONDS_MAX`].
    pub h2_idle_max: Duration,
    /// See [`limits::H2_STREAMS_MAX`].
    pub h2_streams_max: u32,
    /// See [`limits::BODY_IDLE_SECONDS_MAX`].
    pub body_idle_max: Duration,
    /// See [`limits::STREAM_IDLE_SECONDS_MAX`].
    pub stream_idle_max: Duration,
    /// See [`limits::CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`limits::CONNECTIONS_PER_ADDRESS_MAX`].
    pub connections_per_address_max: usize,
    /// See [`limits::DRAIN_SECONDS_MAX`].
    pub drain_max: Duration,
}

/// What happens to a request whose decision cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditNeed {
    /// It is refused.
    Required,
    /// It passes, and the gap is counted.
    BestEffort,
}

/// What it takes to believe that nothing which a request presents was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// That this node was proven current a moment ago, and the proof still holds. When it does not
    /// any more, requests pass for less than `stale_max` after that; with zero, none does.
    Lease {
        /// Zero, but for apps that would rather let somebody in who was cut off than refuse.
        stale_max: Duration,
    },
    /// A look that begins after the request has come, and succeeds.
    Strict,
}

/// One protected app.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name.
    pub id: AppId,
    /// Its host names, in lower case, without port.
    pub hosts: Vec<String>,
    /// The prefix of its paths; `/` for all.
    pub path_prefix: String,
    /// What happens when a decision cannot be recorded.
    pub audit: AuditNeed,
    /// What it takes to believe that nothing was taken away.
    pub freshness: Freshness,
    /// The largest request body, if there is a bound.
    pub request_body_bytes_max: Option<u64>,
    /// Further origins that may open a WebSocket, such as `https://portal.corp.example`.
    pub websocket_origins: BTreeSet<String>,
    /// What it wants of the certificates of clients.
    pub client_certificate: CertificateNeed,
    /// Further origins whose pages may send forms and the like with a session, such as `https://forms.corp.example`.
    pub cross_site_origins: BTreeSet<String>,
    /// The issuer at which people sign in for it.
    pub provider: Option<IssuerId>,
    /// The app sees the bearer token.
    pub pass_token: bool,
    /// See [`NormalPath::new`].
    pub lenient_path: bool,
    /// The app itself tells paths apart by case: `/Admin` is not `/admin` to it.
    pub case_sensitive_paths: bool,
    /// Where it lives.
    pub upstream: Upstream,
    /// Its routes, the longest prefix first; the last is `all`.
    pub routes: Vec<Route>,
}

/// One route of an app.
#[derive(Debug, Clone)]
pub struct Route {
    /// The prefix of its paths.
    pub prefix: String,
    /// What policies may know of it.
    pub facts: RouteFacts,
}

/// Where an app lives.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// `host:port` of each instance.
    pub addresses: Vec<String>,
    /// HTTP/2 is spoken to it.
    pub h2: bool,
    /// To connect, TLS included.
    pub connect_max: Duration,
    /// To the first byte of a response.
    pub response_max: Duration,
    /// Path of the health check; a TCP connect without it.
    pub health_path: Option<String>,
    /// Between health checks.
    pub health_every: Duration,
    /// TLS.
    pub tls: Option<UpstreamTls>,
}

/// TLS to an app.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    /// The name that the certificate must have.
    pub server_name: String,
    /// Roots to trust.
    pub ca_file: Option<PathBuf>,
}

/// Checks every `[[listen]]`.
pub fn check_listeners(
    sections: &[ListenSection],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Listen> {
    if sections.is_empty() {
        complaints.push(Complaint::new(
            at.clone(),
            "there is no `[[listen]]`",
            "add `[[listen]]` with an `address`",
        ));
    }
    let mut seen = BTreeSet::new();
    let mut valid = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let here = at.index(i);
        let Ok(address) = section.address.parse::<SocketAddr>() else {
            complaints.push(Complaint::new(
                here.key("address"),
                format!("`{}` is not an address with a port", section.address),
                "write it like `0.0.0.0:8443` or `[::]:8443`",
            ));
            continue;
        };
        if !seen.insert(address) {
            complaints.push(Complaint::new(
                here.key("address"),
                format!("`{address}` is listened on twice"),
                "remove one of the two",
            ));
        }
        let (h1, h2) = protocols(section.protocols.as_deref(), &here, complaints);
        let certificates: Vec<_> = section
            .certificate
            .iter()
            .flatten()
            .map(|c| CertificateFiles { chain: base_dir.join(&c.chain), key: base_dir.join(&c.key) })
            .collect();
        for (n, files) in certificates.iter().enumerate() {
            for (key, file) in [("chain", &files.chain), ("key", &files.key)] {
                if let Err(e) = std::fs::metadata(file) {
                    complaints.push(Complaint::new(
                        here.key("certificate").index(n).key(key),
                        format!("`{}` cannot be read: {e}", file.display()),
                        "paths are relative to the configuration file",
                    ));
                }
            }
        }
        let proxy_protocol = section.proxy_protocol.unwrap_or(false);
        let clients = section.client_certificates.as_ref().and_then(|clients| {
            let at = here.key("client_certificates");
            clients::check_clients(clients, !certificates.is_empty(), &at, base_dir, complaints)
        });
        let decides = section.decides.unwrap_or(false);
        if decides && clients.is_some() {
            complaints.push(Complaint::new(
                here.key("client_certificates"),
                "other proxies ask here, so no client could show its certificate",
                "remove it, or set `decides = false`",
            ));
        }
        valid.push(Listen { address, h1, h2, proxy_protocol, decides, certificates, clients });
    }
    valid
}

fn protocols(written: Option<&[String]>, here: &KeyPath, complaints: &mut Vec<Complaint>) -> (bool, bool) {
    let Some(written) = written else { return (true, true) };
    let (mut h1, mut h2) = (false, false);
    for (n, p) in written.iter().enumerate() {
        match p.as_str() {
            "h1" => h1 = true,
            "h2" => h2 = true,
            other => complaints.push(Complaint::new(
                here.key("protocols").index(n),
                format!("`{other}` is not a protocol"),
                "use `h1`, `h2`, or both",
            )),
        }
    }
    if written.is_empty() {
        complaints.push(Complaint::new(
            here.key("protocols"),
            "no protocol is spoken",
            "use `h1`, `h2`, or both",
        ));
    }
    (h1, h2)
}

/// Checks `[limits]`: each bound is at least 1 and at most a ceiling that keeps it a bound.
pub fn check_limits(section: &LimitsSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Limits {
    let mut take = |name: &str, written: Option<u64>, default: u64, ceiling: u64| -> u64 {
        let value = written.unwrap_or(default);
        if value == 0 || value > ceiling {
            complaints.push(Complaint::new(
                at.key(name),
                format!("`{value}` is out of bounds"),
                format!("use 1 to {ceiling}; the default is {default}"),
            ));
            return default;
        }
        value
    };
    let size = |v: u64| usize::try_from(v).unwrap_or(usize::MAX);
    let s = section;
    const DAY: u64 = 86_400;
    Limits {
        header_bytes_max: size(take(
            "header_bytes_max",
            s.header_bytes_max,
            limits::HEADER_BYTES_MAX as u64,
            1 << 18,
        )),
        header_count_max: size(take(
            "header_count_max",
            s.header_count_max,
            limits::HEADER_COUNT_MAX as u64,
            250,
        )),
        header_max: secs(take("header_seconds_max", s.header_seconds_max, limits::HEADER_SECONDS_MAX, 300)),
        keepalive_max: secs(take(
            "keepalive_seconds_max",
            s.keepalive_seconds_max,
            limits::KEEPALIVE_SECONDS_MAX,
            DAY,
        )),
        h2_idle_max: secs(take(
            "h2_idle_seconds_max",
            s.h2_idle_seconds_max,
            limits::H2_IDLE_SECONDS_MAX,
            DAY,
        )),
        h2_streams_max: u32::try_from(take(
            "h2_streams_max",
            s.h2_streams_max,
            limits::H2_STREAMS_MAX.into(),
            10_000,
        ))
        .unwrap_or(limits::H2_STREAMS_MAX),
        body_idle_max: secs(take(
            "body_idle_seconds_max",
            s.body_idle_seconds_max,
            limits::BODY_IDLE_SECONDS_MAX,
            DAY,
        )),
        stream_idle_max: secs(take(
            "stream_idle_seconds_max",
            s.stream_idle_seconds_max,
            limits::STREAM_IDLE_SECONDS_MAX,
            30 * DAY,
        )),
        connections_max: size(take(
            "connections_max",
            s.connections_max,
            limits::CONNECTIONS_MAX as u64,
            1 << 20,
        )),
        connections_per_address_max: size(take(
            "connections_per_address_max",
            s.connections_per_address_max,
            limits::CONNECTIONS_PER_ADDRESS_MAX as u64,
            1 << 20,
        )),
        drain_max: secs(take("drain_seconds_max", s.drain_seconds_max, limits::DRAIN_SECONDS_MAX, DAY)),
    }
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}
