//! The gate around Pingora's proxy: every exchange is one future that can be ended.
//!
//! ```text
//!  Connections (ServerApp)    one per listener: caps, PROXY protocol, first-request deadline, Line
//!    └─ Exchanges (HttpServerApp)  one per connection: header deadline and the end of each exchange
//!         └─ HttpProxy        Pingora, with the pipeline in its filters
//! ```
//! Pingora offers no way to end a running exchange. `HttpProxy` is itself an `HttpServerApp`
//! that handles one exchange as one future; this wrapper races it against the token of its
//! [`Slot`]. Dropping the future closes an HTTP/1.1 connection, or resets exactly one stream of
//! an HTTP/2 connection, and tears down the upstream side.

mod census;
mod connections;
mod grpc;
pub(crate) mod handshake;
pub(crate) mod line;
mod patience;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use doorward_model::limits;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::config::{Limits, Listen};
use crate::inflight::{HouseEnd, Protocol, Registration, Slot};
use crate::pipeline::{Door, House, record};
pub(crate) use census::Census;
pub(crate) use connections::Connections;
use line::{LineState, discard_unsent};
use patience::Patience;

tokio::task_local! {
    static EXCHANGE: Arc<Running>;
}

/// A connection, as its exchanges see it.
pub(crate) struct Connection {
    pub(crate) line: Arc<LineState>,
    /// A request has begun. Of HTTP/1.1 that is the wait for its header, which has a deadline of its
    /// own; of HTTP/2 it is a stream whose header is here.
    begun: AtomicBool,
    /// The last exchange of an HTTP/1.1 connection that waits for its next request: when its
    /// owner is revoked, the connection is closed.
    waiting: Mutex<Option<Registration>>,
}

impl Connection {
    pub(crate) fn new(line: Arc<LineState>) -> Arc<Self> {
        Arc::new(Self { line, begun: AtomicBool::new(false), waiting: Mutex::new(None) })
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    fn rests(&self, last: Registration) {
        last.slot().rests();
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    fn waiting(&self) -> Option<Arc<Slot>> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_ref().map(|w| Arc::clone(w.slot()))
    }

    /// The next request is here: what it presents counts now, not what the last one did.
    fn waits_no_longer(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// An exchange, as the pipeline sees it.
pub(crate) struct Running {
    pub(crate) slot: Arc<Slot>,
    pub(crate) connection: Option<Arc<Connection>>,
    pub(crate) patience: Patience,
    /// It is not to be passed on: another proxy asks whether it may pass.
    pub(crate) decides: bool,
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
            connection.waits_no_longer();
        }
    }

    /// Keeps the exchange registered until it ends.
    pub(crate) fn keep(&self, registration: Registration) {
        *self.registration.lock().unwrap_or_else(PoisonError::into_inner) = Some(registration);
    }

    /// Leaves the register: the exchange was refused.
    pub(crate) fn leave(&self) {
        self.slot.keeps(None);
        *self.registration.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn take(&self) -> Option<Registration> {
        self.registration.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What the exchanges of one listener have in common.
pub(crate) struct Listener {
    proxy: Arc<HttpProxy<Door>>,
    house: Arc<House>,
    h1: bool,
    h2: bool,
    decides: bool,
    server_options: HttpServerOptions,
}

impl Listener {
    pub(crate) fn new(mut proxy: HttpProxy<Door>, house: Arc<House>, listen: &Listen) -> Arc<Self> {
        let mut server_options = HttpServerOptions::default();
        server_options.h2c = listen.h2 && listen.certificates.is_empty();
        server_options.h2_idle_timeout = Some(house.limits.h2_idle_max);
        // Not to be proxied: refused by the pipeline, like any method that is not forwarded, and
        // recorded. Pingora would do it without a word to the log.
        server_options.allow_connect_method_proxying = true;
        proxy.server_options = Some(server_options.clone());
        let (h1, h2, decides) = (listen.h1, listen.h2, listen.decides);
        Arc::new(Self { proxy: Arc::new(proxy), house, h1, h2, decides, server_options })
    }
}

/// Every exchange of one connection. Those of HTTP/2 run as tasks of their own.
pub(crate) struct Exchanges {
    listener: Arc<Listener>,
    connection: Arc<Connection>,
}

impl Exchanges {
    pub(crate) fn of(listener: &Arc<Listener>, connection: &Arc<Connection>) -> Arc<Self> {
        Arc::new(Self { listener: Arc::clone(listener), connection: Arc::clone(connection) })
    }

    fn running(&self, session: ServerSession) -> (ServerSession, Arc<Running>) {
        let h2 = session.is_http2();
        let grpc = h2 && !self.listener.decides && is_grpc(&session);
        let protocol = match (h2, grpc) {
            (_, true) => Protocol::Grpc,
            (true, false) => Protocol::Http2,
            (false, false) => Protocol::Http1,
        };
        let house = &self.listener.house;
        let slot = Slot::new(house.inflight.next_id(), protocol, (house.clock)());
        let session = match session {
            ServerSession::H2(inner) if grpc => {
                ServerSession::new_custom(Box::new(grpc::GrpcCall::new(inner, Arc::clone(&slot))))
            }
            other => other,
        };
        let running = Running {
            slot,
            request_id: uuid::Uuid::now_v7().to_string().into(),
            connection: if h2 { None } else { Some(Arc::clone(&self.connection)) },
            patience: Patience::default(),
            decides: self.listener.decides,
            headers_seen: AtomicBool::new(h2),
            registration: Mutex::new(None),
        };
        (session, Arc::new(running))
    }

    /// The first request of a connection has the header deadline alone; a later one may also
    /// wait for as long as a connection may be kept.
    fn deadline(&self, first: bool) -> Duration {
        let limits = &self.listener.house.limits;
        if first { limits.header_max } else { limits.keepalive_max + limits.header_max }
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
        let (listener, house) = (&self.listener, &self.listener.house);
        if !(if h2 { listener.h2 } else { listener.h1 }) {
            tracing::debug!(h2, "a protocol that the listener does not speak");
            return None;
        }
        let fd = session.stream().map(|s| s.id());
        let peer = session.client_addr().and_then(|a| a.as_inet()).map(|a| a.ip().to_canonical());
        let first = !self.connection.begun.swap(true, Ordering::Relaxed);
        let (session, running) = self.running(session);
        if let Some(connection) = &running.connection {
            let request_id = Arc::clone(&running.request_id);
            connection.line.header_begins(request_id, header_room(&house.limits));
        }
        let slot = Arc::clone(&running.slot);
        let waiting = running.connection.as_ref().and_then(|c| c.waiting());
        let exchange =
            EXCHANGE.scope(Arc::clone(&running), listener.proxy.process_new_http(session, shutdown));
        tokio::pin!(exchange);
        let deadline = tokio::time::sleep(self.deadline(first));
        tokio::pin!(deadline);
        let patience = running.patience.runs_out(house.limits.body_idle_max);
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
                        c.rests(r);
                    }
                    if waits && let Some(code) = running.connection.as_ref().and_then(|c| c.line.header_refused()) {
                        EXCHANGE.sync_scope(Arc::clone(&running), || record::unreadable(house, peer, code));
                    }
                    return reused;
                }
                () = async { if let Some(w) = &waiting { w.ended().await } }, if waits && waiting.is_some() => {
                    if running.headers_seen.load(Ordering::Relaxed) { continue }
                    return None;
                }
                () = &mut deadline, if waits && !h2 => {
                    if running.headers_seen.load(Ordering::Relaxed) { continue }
                    tracing::debug!("a request header did not arrive in time");
                    return None;
                }
                // Without a guard: nothing says when the header is here, and before that it waits for
                // nobody.
                () = &mut patience => {
                    slot.end_by_house(HouseEnd::TimeUp);
                    return None;
                }
            }
        }
        // The exchange must end. Two protocols have a word for it.
        let farewell = Duration::from_millis(limits::FAREWELL_MILLIS_MAX);
        match (slot.protocol(), &running.connection) {
            (Protocol::WebSocket, Some(connection)) => {
                match slot.last_word() {
                    Some((_, why)) => connection.line.say_goodbye(1008, why),
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
                if let (false, Some(fd), Some(_)) = (h2, fd, slot.last_word()) {
                    discard_unsent(fd);
                }
            }
        }
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.max_concurrent_streams(self.listener.house.limits.h2_streams_max);
        options.max_header_list_size(
            u32::try_from(self.listener.house.limits.header_bytes_max).unwrap_or(u32::MAX),
        );
        options.max_concurrent_reset_streams(limits::H2_RESET_STREAMS_MAX);
        options.max_send_buffer_size(limits::H2_SEND_BUFFER_BYTES_MAX);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.listener.server_options)
    }

    async fn http_cleanup(&self) {
        self.listener.proxy.http_cleanup().await;
    }
}
