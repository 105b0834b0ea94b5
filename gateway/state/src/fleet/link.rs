//! One connection to one Redis process, looked at before it is believed.

use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisFuture, TlsCertificates,
    Value,
};
use tokio::sync::mpsc;

use crate::config::{Address, RedisConfig, RedisMode, Secret};
use crate::fleet::locate::candidates;
use crate::fleet::script::{Keys, Push};

/// How many pushes may wait. One more is lost, and a poll finds what it said.
const PUSHES_MAX: usize = 4096;
/// How long a connection may take to be made, TLS and login included. A server that a whole fleet
/// comes back to is slow, and who gives up early comes again and makes it slower.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
const RESOLVE_PATIENCE: Duration = Duration::from_secs(10);
/// The first Redis whose scripts can say that they write.
const MAJOR_VERSION_MIN: u32 = 7;

/// A connection to a server that calls itself a primary.
pub(crate) struct Link {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) address: String,
    /// It had replicas when the connection was made.
    pub(crate) replicated: bool,
    pub(crate) pushes: mpsc::Receiver<Pushed>,
}

/// What comes without being asked for.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// A message on the channel.
    Message(Push),
    /// The connection is over.
    Disconnected,
}

/// What is spoken to.
#[derive(Clone, Copy)]
pub(crate) enum Peer {
    Server,
    Sentinel,
}

/// Why Redis cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("revocation.redis.addresses names no server")]
    Nowhere,
    #[error(
        "Redis at {server} is on another machine, and revocation.redis.tls is off: what crosses a network is \
         encrypted; set up TLS"
    )]
    PlainText { server: String },
    #[error("Redis at {server} cannot be reached: {why}")]
    Unreachable { server: String, why: String },
    #[error("Redis at {server} has not answered in time")]
    Silent { server: String },
    #[error(
        "Redis at {server} does not let this node in ({code}); check revocation.redis.username and password_file, \
         and the ACL of docs/operating/fleet.md"
    )]
    NotAllowed { server: String, code: String },
    #[error("{server} is a replica, not a primary; Sentinel or the cluster will name another one")]
    NotPrimary { server: String },
    #[error(
        "the primary {server} has lost its replicas and takes no writes (min-replicas-to-write); it may have been \
         deposed"
    )]
    NoReplicas { server: String },
    #[error("Redis at {server} still loads its data")]
    Loading { server: String },
    #[error("Redis at {server} is version {version}; 7.0 or later, or Valkey 7.2 or later, is needed")]
    TooOld { server: String, version: String },
    #[error(
        "Redis at {server} may throw away keys when memory is full (maxmemory-policy {policy}); set it to \
         noeviction"
    )]
    Evicts { server: String, policy: String },
    #[error(
        "the sentinel {sentinel} knows no primary `{name}`; set revocation.redis.primary_name to the name in its configuration"
    )]
    UnknownPrimary { sentinel: String, name: String },
    #[error("the cluster node {node} does not know who owns the slot; the cluster is not ready")]
    NoOwner { node: String },
    #[error(
        "Redis at {server} has {replicas} replicas, and revocation.redis.replicas_min is less than {needed}: a network \
         that splits could leave two primaries which are both believed; set replicas_min, and min-replicas-to-write \
         of the servers, to {needed}"
    )]
    Splittable { server: String, replicas: u64, needed: u64 },
    #[error("{server} is not the primary any more, as those who elect it say")]
    Deposed { server: String },
    #[error("no majority of the configured addresses says that {server} is the primary")]
    NotElected { server: String },
    #[error("Redis at {server} said: {what}")]
    Said { server: String, what: String },
}

impl Trouble {
    /// Without a secret in it, whatever the server said.
    fn without(self, secret: Option<&str>) -> Self {
        let clean = |text: String| match secret {
            Some(secret) if !secret.is_empty() => text.replace(secret, "…"),
            Some(_) | None => text,
        };
        match self {
            Self::Said { server, what } => Self::Said { server, what: clean(what) },
            Self::Unreachable { server, why } => Self::Unreachable { server, why: clean(why) },
            other => other,
        }
    }

    /// The server has not answered in time, and may yet.
    pub(crate) const fn is_silence(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }

    /// Another connection, perhaps to another server, may do better.
    pub(crate) const fn is_of_connection(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::NotPrimary { .. }
            | Self::NoReplicas { .. }
            | Self::Loading { .. }
            | Self::Deposed { .. }
            | Self::NotElected { .. } => true,
            Self::Nowhere
            | Self::PlainText { .. }
            | Self::NotAllowed { .. }
            | Self::TooOld { .. }
            | Self::Evicts { .. }
            | Self::UnknownPrimary { .. }
            | Self::NoOwner { .. }
            | Self::Splittable { .. }
            | Self::Said { .. } => false,
        }
    }

    /// What an error means for whoever runs the gateway.
    pub(crate) fn said(server: &impl ToString, error: &RedisError) -> Self {
        let server = server.to_string();
        let code = error.code().unwrap_or_default().to_owned();
        match code.as_str() {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => return Self::NotAllowed { server, code },
            "READONLY" | "MOVED" | "ASK" => return Self::NotPrimary { server },
            "NOREPLICAS" => return Self::NoReplicas { server },
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => {
                return Self::Loading { server };
            }
            _ => {}
        }
        if error.to_string().contains("user executing the script can't") {
            return Self::NotAllowed { server, code: "NOPERM in a script".to_owned() };
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::NotAllowed { server, code: "wrong password".to_owned() };
        }
        if error.is_timeout() {
            return Self::Silent { server };
        }
        if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() {
            return Self::Unreachable { server, why: error.to_string() };
        }
        Self::Said { server, what: error.to_string() }
    }
}

/// Connects to the server that takes writes, and subscribes if wanted.
/// Whom to ask first changes with the `turn`: one that answers, and answers wrong, is not asked
/// first for ever.
pub(crate) async fn connect(
    config: &RedisConfig,
    keys: &Keys,
    subscribe: bool,
    turn: usize,
) -> Result<Link, Trouble> {
    let mut last = Trouble::Nowhere;
    for address in candidates(config, &keys.meta, turn).await? {
        match connect_to(config, keys, &address, subscribe).await {
            Ok(link) => return Ok(link),
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

async fn connect_to(
    config: &RedisConfig,
    keys: &Keys,
    address: &Address,
    subscribe: bool,
) -> Result<Link, Trouble> {
    let (sender, pushes) = mpsc::channel(PUSHES_MAX);
    let mut connection = open(config, address, Peer::Server, Some(sender)).await?;
    let said = |e: RedisError| Trouble::said(address, &e);
    let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(said)?;
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    let server = address.to_string();
    let version = field("redis_version");
    if version.split('.').next().and_then(|n| n.parse().ok()).is_none_or(|n: u32| n < MAJOR_VERSION_MIN) {
        return Err(Trouble::TooOld { server, version });
    }
    if field("role") != "master" {
        return Err(Trouble::NotPrimary { server });
    }
    let policy = field("maxmemory_policy");
    if policy.starts_with("allkeys") {
        return Err(Trouble::Evicts { server, policy });
    }
    if subscribe {
        let subscribed = redis::cmd("SSUBSCRIBE").arg(&keys.channel).exec_async(&mut connection).await;
        subscribed.map_err(said)?;
    }
    let replicas: u64 = field("connected_slaves").parse().unwrap_or(0);
    if config.mode() != RedisMode::Standalone && is_splittable(replicas, config.replicas_min()) {
        return Err(Trouble::Splittable { server, replicas, needed: replicas / 2 + replicas % 2 });
    }
    let replicated = replicas > 0;
    Ok(Link { connection, address: server, replicated, pushes })
}

/// Whether a network that splits could leave two primaries with enough replicas each.
const fn is_splittable(replicas: u64, min: u64) -> bool {
    replicas > 0 && 2 * min < replicas
}

/// Opens a connection and logs in.
pub(crate) async fn open(
    config: &RedisConfig,
    address: &Address,
    peer: Peer,
    pushes: Option<mpsc::Sender<Pushed>>,
) -> Result<MultiplexedConnection, Trouble> {
    if config.tls().is_none() && !address.is_loopback() {
        return Err(Trouble::PlainText { server: address.to_string() });
    }
    let found = resolve(address).await?;
    let login = login(config, peer);
    // What a server says about a command that it does not know may repeat the password in it.
    let said = |e: RedisError| Trouble::said(address, &e).without(login.1.map(Secret::expose));
    let client = client(config, address, peer, login).map_err(said)?;
    let mut settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_PATIENCE))
        .set_response_timeout(Some(patience(config)))
        .set_dns_resolver(Found(found));
    if let Some(pushes) = pushes {
        settings = settings.set_push_sender(move |push: PushInfo| pass_on(&pushes, push));
    }
    client.get_multiplexed_async_connection_with_config(&settings).await.map_err(said)
}

/// Looks a name up, with more patience than a connection gets: a resolver that is slow must not keep
/// a Redis away that is well.
async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, Trouble> {
    let server = address.to_string();
    let looked = tokio::net::lookup_host((address.host(), address.port()));
    match tokio::time::timeout(RESOLVE_PATIENCE, looked).await {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                let why = "the name has no address".to_owned();
                return Err(Trouble::Unreachable { server, why });
            }
            Ok(found)
        }
        Ok(Err(e)) => Err(Trouble::Unreachable { server, why: e.to_string() }),
        Err(_) => Err(Trouble::Unreachable { server, why: "the name is not looked up in time".to_owned() }),
    }
}

/// How long an answer may take: less than a third of the lease, so that there is time to try again.
fn patience(config: &RedisConfig) -> Duration {
    (config.lease() * 3 / 10).clamp(Duration::from_millis(100), Duration::from_secs(2))
}

type Credentials<'a> = (Option<&'a str>, Option<&'a Secret>);

fn login(config: &RedisConfig, peer: Peer) -> Credentials<'_> {
    match peer {
        Peer::Server => (config.username(), config.password()),
        Peer::Sentinel => (config.sentinel().username.as_deref(), config.sentinel().password.as_ref()),
    }
}

fn client(
    config: &RedisConfig,
    address: &Address,
    peer: Peer,
    (username, password): Credentials<'_>,
) -> Result<Client, RedisError> {
    let (host, port) = (address.host().to_owned(), address.port());
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Peer::Server = peer {
        settings = settings.set_protocol(ProtocolVersion::RESP3);
    }
    if let Some(username) = username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose());
    }
    let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
    let Some(tls) = config.tls() else {
        let info = ConnectionAddr::Tcp(host, port).into_connection_info()?;
        return Client::open(info.set_redis_settings(settings).set_tcp_settings(tcp));
    };
    let host = tls.server_name().map_or(host, str::to_owned);
    let addr = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
    let info = addr.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp);
    let client_tls = tls.client().map(|client| ClientTlsConfig {
        client_cert: client.chain.clone(),
        client_key: client.key.expose().as_bytes().to_vec(),
    });
    Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: tls.ca().map(<[u8]>::to_vec) })
}

/// Leads to the addresses that were found, whatever name stands in the certificate.
struct Found(Vec<SocketAddr>);

impl redis::io::AsyncDNSResolver for Found {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _name: &'b str,
        _port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let found: Box<dyn Iterator<Item = SocketAddr> + Send + 'a> = Box::new(self.0.iter().copied());
        Box::pin(async move { Ok(found) })
    }
}

fn pass_on(pushes: &mpsc::Sender<Pushed>, push: PushInfo) -> Result<(), redis::aio::SendError> {
    let told = match push.kind {
        PushKind::Disconnection => Pushed::Disconnected,
        PushKind::Message | PushKind::SMessage => match push.data.as_slice() {
            [_, Value::BulkString(message)] => Pushed::Message(Push::read(message)),
            _ => return Ok(()),
        },
        // A slot that moves away takes the channel along.
        PushKind::SUnsubscribe => Pushed::Disconnected,
        _ => return Ok(()),
    };
    // One that finds no room is lost; the next that fits does not follow it, and leads to a poll.
    let _full = pushes.try_send(told);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_never_both_have_enough() {
        for (replicas, min) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
            assert!(!is_splittable(replicas, min), "{replicas} replicas, {min} must follow");
            assert!(
                min == 0 || is_splittable(replicas, min - 1),
                "{replicas} replicas, one less must follow"
            );
            // Two primaries, each with as many as it needs, would be more servers than there are.
            assert!(replicas == 0 || 2 * (min + 1) > replicas + 1);
        }
    }
}
