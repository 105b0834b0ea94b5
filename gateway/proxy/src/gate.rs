//! The gate around Pingora's proxy: every exchange is one future that can be ended.
//!
//! ```text
//!  Connections (ServerApp)    one per connection: caps, PROXY protocol, first-request deadline, Line
//!    └─ Exchanges (HttpServerApp)  one per request or HTTP/2 stream: header deadline, the end
//!         └─ HttpProxy        Pingora, with the pipeline in its filters
//! ```
//! Pingora offers no way to end a running exchange. `HttpProxy` is itself an `HttpServerApp`
//! that handles one exchange as one future; this wrapper races it against the token of its
//! [`Slot`]. Dropping the future closes an HTTP/1.1 connection, or resets exactly one stream of
//! an HTTP/2 connection, and tears down the upstream side.

mod grpc;
pub(crate) mod handshake;
pub(crate) mod line;
mod patience;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use doorward_context::TrustedProxies;
use doorward_context::proxy_protocol::{self, Origin, Progress};
use doorward_model::limits;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::{SocketDigest, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt;

use crate::config::{Limits, Listen};
use crate::inflight::{HouseEnd, Protocol, Registration, Slot};
use crate::pipeline::{Door, House, record};
use line::{Line, LineState, discard_unsent};
use patience::Patience;

tokio::task_local! {
    static CONNECTION: Arc<Connection>;
    static EXCHANGE: Arc<Running>;
}

/// A connection, as its exchanges see it.
pub(crate) struct Connection {
    pub(crate) line: Arc<LineState>,
    first: AtomicBool,
    /// The last exchange of an HTTP/1.1 connection that waits for its next request: when its
    /// owner is revoked, the connection is closed.
    waiting: Mutex<Option<Registration>>,
}

/// An exchange, as the pipeline sees it.
pub(crate) struct Running {
    pub(crate) slot: Arc<Slot>,
    pub(crate) connection: Option<Arc<Connection>>,
    pub(crate) patience: Patience,
    request_id: Arc<str>,
    headers_seen: AtomicBool,
    registration: Mutex<Option<Registration>>,
}

impl Running {
    /// The exchange that the caller works for; none outside of the gate.
    pub(crate) fn current() -> Option<Arc<Self>> {
        EXCHANGE.try_with(Arc::clone).ok()
    }

    /// The id of the request, unique everywhere, as the log and the answers have it.
    pub(crate) fn request_id(&self) -> Arc<str> {
        Arc::clone(&self.request_id)
    }

    /// The header of the request has arrived.
    pub(crate) fn headers_arrived(&self) {
        self.headers_seen.store(true, Ordering::Relaxed);
        if let Some(connection) = &self.connection {
            connection.line.header_arrived();
        }
    }

    /// Keeps the exchange registered until it ends.
    pub(crate) fn keep(&self, registration: Registration) {
        *self.registration.lock().unwrap_or_else(PoisonError::into_inner) = Some(registration);
    }

    /// Leaves the register: the exchange was refused.
    pub(crate) fn leave(&self) {
        *self.registration.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn take(&self) -> Option<Registration> {
        self.registration.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Every exchange of one listener.
pub(crate) struct Exchanges {
    proxy: Arc<HttpProxy<Door>>,
    house: Arc<House>,
    h1: bool,
    h2: bool,
    server_options: HttpServerOptions,
}

impl Exchanges {
    pub(crate) fn new(mut proxy: HttpProxy<Door>, house: Arc<House>, listen: &Listen) -> Self {
        let mut server_options = HttpServerOptions::default();
        server_options.h2c = listen.h2 && listen.certificates.is_empty();
        server_options.h2_idle_timeout = Some(house.limits.h2_idle_max);
        // Not to be proxied: refused by the pipeline, like any method that is not forwarded, and
        // recorded. Pingora would do it without a word to the log.
        server_options.allow_connect_method_proxying = true;
        proxy.server_options = Some(server_options.clone());
        let (h1, h2) = (listen.h1, listen.h2);
        Self { proxy: Arc::new(proxy), house, h1, h2, server_options }
    }

    fn running(&self, session: ServerSession) -> (ServerSession, Arc<Running>) {
        let h2 = session.is_http2();
        let grpc = h2 && is_grpc(&session);
        let protocol = match (h2, grpc) {
            (_, true) => Protocol::Grpc,
            (true, false) => Protocol::Http2,
            (false, false) => Protocol::Http1,
        };
        let slot = Slot::new(self.house.inflight.next_id(), protocol, (self.house.clock)());
        let session = match session {
            ServerSession::H2(inner) if grpc => {
                ServerSession::new_custom(Box::new(grpc::GrpcCall::new(inner, Arc::clone(&slot))))
            }
            other => other,
        };
        let running = Running {
            slot,
            request_id: uuid::Uuid::now_v7().to_string().into(),
            connection: if h2 { None } else { CONNECTION.try_with(Arc::clone).ok() },
            patience: Patience::default(),
            headers_seen: AtomicBool::new(h2),
            registration: Mutex::new(None),
        };
        (session, Arc::new(running))
    }

    /// The first request of a connection has the header deadline alone; a later one may also
    /// wait for as long as a connection may be kept.
    fn deadline(&self, running: &Running) -> Duration {
        match &running.connection {
            Some(c) if !c.first.swap(false, Ordering::Relaxed) => {
                self.house.limits.keepalive_max + self.house.limits.header_max
            }
            _ => self.house.limits.header_max,
        }
    }
}

/// What may be read before a header is whole. Pingora's buffer doubles as it fills, so up to the
/// size of a header of what follows it comes along.
fn header_room(limits: &Limits) -> u64 {
    let header = limits.header_bytes_max.saturating_add(limits::TARGET_BYTES_MAX);
    u64::try_from(header.saturating_mul(2)).unwrap_or(u64::MAX).saturating_add(8192)
}

fn is_grpc(session: &ServerSession) -> bool {
    session.req_header().headers.get(http::header::CONTENT_TYPE).is_some_and(|v| {
        v.as_bytes().starts_with(b"application/grpc") && !v.as_bytes().starts_with(b"application/grpc-web")
    })
}

#[async_trait]
impl HttpServerApp for Exchanges {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let h2 = session.is_http2();
        // A client without ALPN, or on a plain listener, may begin with what is not spoken here.
        if !(if h2 { self.h2 } else { self.h1 }) {
            tracing::debug!(h2, "a protocol that the listener does not speak");
            return None;
        }
        let fd = session.stream().map(|s| s.id());
        let peer = session.client_addr().and_then(|a| a.as_inet()).map(|a| a.ip().to_canonical());
        let (session, running) = self.running(session);
        if let Some(connection) = &running.connection {
            let request_id = Arc::clone(&running.request_id);
            connection.line.header_begins(request_id, header_room(&self.house.limits));
        }
        let slot = Arc::clone(&running.slot);
        let waiting = running
            .connection
            .as_ref()
            .and_then(|c| c.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        let exchange = EXCHANGE.scope(Arc::clone(&running), self.proxy.process_new_http(session, shutdown));
        tokio::pin!(exchange);
        let deadline = tokio::time::sleep(self.deadline(&running));
        tokio::pin!(deadline);
        let patience = running.patience.runs_out(self.house.limits.body_idle_max);
        tokio::pin!(patience);
        loop {
            let waits = !running.headers_seen.load(Ordering::Relaxed);
            tokio::select! {
                biased;
                () = slot.ended() => break,
                reused = &mut exchange => {
                    if reused.is_some()
                        && let (Some(c), Some(r)) = (&running.connection, running.take())
                    {
                        r.slot().rests();
                        *c.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(r);
                    }
                    if waits && let Some(code) = running.connection.as_ref().and_then(|c| c.line.header_refused()) {
                        EXCHANGE.sync_scope(Arc::clone(&running), || record::unreadable(&self.house, peer, code));
                    }
                    return reused;
                }
                () = async { if let Some(w) = &waiting { w.slot().ended().await } }, if waits && waiting.is_some() => {
                    if running.headers_seen.load(Ordering::Relaxed) { continue }
                    return None;
                }
                () = &mut deadline, if waits && !h2 => {
                    if running.headers_seen.load(Ordering::Relaxed) { continue }
                    tracing::debug!("a request header did not arrive in time");
                    return None;
                }
                () = &mut patience, if !waits => {
                    slot.end_by_house(HouseEnd::TimeUp);
                    return None;
                }
            }
        }
        // The exchange must end. Two protocols have a word for it.
        let farewell = Duration::from_millis(limits::FAREWELL_MILLIS_MAX);
        match (slot.protocol(), &running.connection) {
            (Protocol::WebSocket, Some(connection)) => {
                match slot.cause() {
                    Some(cause) => connection.line.say_goodbye(1008, cause.code.title()),
                    None => connection.line.say_goodbye(1001, "the gateway is going away"),
                }
                // Who does not take the goodbye in time does not get what lies before it either.
                if let (Err(_), Some(fd)) = (tokio::time::timeout(farewell, &mut exchange).await, fd) {
                    discard_unsent(fd);
                }
            }
            (Protocol::Grpc, _) => {
                let _ = tokio::time::timeout(farewell, &mut exchange).await;
            }
            (Protocol::WebSocket | Protocol::EventStream | Protocol::Http1 | Protocol::Http2, _) => {
                // The future still owns the descriptor here, so it cannot be another's.
                if let (false, Some(fd), Some(_)) = (h2, fd, slot.cause()) {
                    discard_unsent(fd);
                }
            }
        }
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.max_concurrent_streams(self.house.limits.h2_streams_max);
        options.max_header_list_size(u32::try_from(self.house.limits.header_bytes_max).unwrap_or(u32::MAX));
        options.max_concurrent_reset_streams(limits::H2_RESET_STREAMS_MAX);
        options.max_send_buffer_size(limits::H2_SEND_BUFFER_BYTES_MAX);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.server_options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// How many connections there are, and from where.
pub(crate) struct Census {
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Addresses that are not listened on yet.
    awaited: AtomicUsize,
    max: usize,
    per_address_max: usize,
}

impl Census {
    pub(crate) fn new(limits: &Limits, listeners: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            awaited: AtomicUsize::new(listeners),
            max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
        })
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// One more address is listened on.
    pub(crate) fn listens(&self) {
        self.awaited.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether every address is listened on.
    pub(crate) fn is_accepting(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) == 0
    }

    fn enter(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Counted> {
        let counted = Counted { census: Arc::clone(self), from: None };
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            return None;
        }
        let Some(from) = from else { return Some(counted) };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let n = by_address.entry(from).or_insert(0);
        if *n >= self.per_address_max {
            return None;
        }
        *n += 1;
        drop(by_address);
        let mut counted = counted;
        counted.from = Some(from);
        Some(counted)
    }
}

/// One connection that was counted; it leaves when this is dropped.
struct Counted {
    census: Arc<Census>,
    from: Option<IpAddr>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.open.fetch_sub(1, Ordering::Relaxed);
        let Some(from) = self.from else { return };
        let mut by_address = self.census.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = by_address.get_mut(&from) {
            *n -= 1;
            if *n == 0 {
                by_address.remove(&from);
            }
        }
    }
}

/// Every connection of one listener.
pub(crate) struct Connections {
    exchanges: Arc<Exchanges>,
    census: Arc<Census>,
    header_max: Duration,
    /// Whose PROXY protocol header is believed; none where no header is expected.
    proxies: Option<Arc<TrustedProxies>>,
}

impl Connections {
    pub(crate) fn new(
        exchanges: Exchanges,
        census: Arc<Census>,
        header_max: Duration,
        proxies: Option<Arc<TrustedProxies>>,
    ) -> Self {
        Self { exchanges: Arc::new(exchanges), census, header_max, proxies }
    }
}

/// The bytes that an HTTP/2 client sends before its first stream: the preface and the header of
/// its SETTINGS frame (RFC 9113 §3.4). After them the idle timeout of the connection counts.
const H2_OPENING_BYTES: u64 = 24 + 9;

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let from = peer_ip(&*stream);
        // What came by TLS was counted before its handshake.
        let counted = if handshake::is_done(&stream) { None } else { Some(self.census.enter(from)) };
        if matches!(counted, Some(None)) {
            tracing::warn!(from = ?from, "a connection was refused: too many are open");
            return None;
        }
        if let Some(proxies) = &self.proxies
            && stream.get_ssl_digest().is_none()
            && let Err(why) = tokio::time::timeout(self.header_max, take_proxy_header(&mut *stream, proxies))
                .await
                .unwrap_or_else(|_| Err("it did not arrive in time".into()))
        {
            tracing::warn!(from = ?from, why, "a connection without a valid PROXY protocol header was refused");
            return None;
        }
        let line = Arc::new(LineState::default());
        let connection = Arc::new(Connection {
            line: Arc::clone(&line),
            first: AtomicBool::new(true),
            waiting: Mutex::new(None),
        });
        let wrapped: Stream = Box::new(Line::new(stream, Arc::clone(&line)));
        let conversation = CONNECTION
            .scope(Arc::clone(&connection), ServerApp::process_new(&self.exchanges, wrapped, shutdown));
        tokio::pin!(conversation);
        tokio::select! {
            biased;
            rest = &mut conversation => return rest,
            () = tokio::time::sleep(self.header_max) => {}
        }
        let began = !connection.first.load(Ordering::Relaxed) || line.bytes_in() >= H2_OPENING_BYTES;
        if !began {
            tracing::debug!(from = ?from, "a connection sent no request in time");
            return None;
        }
        conversation.await
    }

    async fn cleanup(&self) {
        self.exchanges.http_cleanup().await;
    }
}

fn peer_ip<S: pingora::protocols::GetSocketDigest + ?Sized>(stream: &S) -> Option<IpAddr> {
    match stream.get_socket_digest()?.peer_addr()? {
        SocketAddr::Inet(a) => Some(a.ip().to_canonical()),
        SocketAddr::Unix(_) => None,
    }
}

/// Reads the PROXY protocol v2 header that a trusted proxy puts before everything else, and
/// takes the address in it for the peer's.
///
/// # Errors
/// Why the connection cannot be served.
pub(crate) async fn take_proxy_header<S>(stream: &mut S, proxies: &TrustedProxies) -> Result<(), String>
where
    S: tokio::io::AsyncRead
        + Unpin
        + Send
        + pingora::protocols::GetSocketDigest
        + pingora::protocols::UniqueID
        + ?Sized,
{
    let digest = stream.get_socket_digest().ok_or("the socket has no address")?;
    let Some(SocketAddr::Inet(peer)) = digest.peer_addr() else {
        return Err("the peer has no IP address".into());
    };
    if !proxies.trusts(peer.ip().to_canonical()) {
        return Err("the peer is not in `network.trusted_proxies`".into());
    }
    let mut header = Vec::with_capacity(64);
    loop {
        match proxy_protocol::parse(&header).map_err(|e| e.to_string())? {
            // Never more than the header: what follows it belongs to TLS or HTTP.
            Progress::NeedsMore { bytes_min } => {
                let have = header.len();
                header.resize(bytes_min.max(have + 1), 0);
                let rest = header.get_mut(have..).ok_or("the header is too long")?;
                stream.read_exact(rest).await.map_err(|_| "the connection ended within the header")?;
            }
            Progress::Complete(found) => {
                if let Origin::Proxied { source, .. } = found.origin {
                    let replaced = SocketDigest::from_raw_fd(stream.id());
                    let _ = replaced.peer_addr.set(Some(SocketAddr::Inet(source)));
                    stream.set_socket_digest(replaced);
                }
                return Ok(());
            }
        }
    }
}
