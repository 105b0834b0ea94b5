//! Takes connections, and not more of them than is good: of operators, and of the clients that
//! provision people.
//!
//! Anybody who reaches the address can open a connection; only who has a token can do anything
//! with it. So a connection is a *guest* until it has shown the token, and guests are who gives
//! way: when their address has its share of guests, or when no place is left, the one that came
//! first is closed. Nobody without the token can keep an operator out, however many connections
//! they hold and however slowly they read.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use doorward_model::limits::{
    HEADER_BYTES_MAX, HEADER_COUNT_MAX, HEADER_SECONDS_MAX, OPERATOR_CONNECTIONS_MAX,
};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At once.
    pub connections_max: usize,
    /// At once from one address that have not shown a token.
    pub guests_per_address_max: usize,
    /// After this long a connection is asked to end: the call that runs is its last.
    pub life: Duration,
    /// And after this long more it is cut. Longer than any call takes whose client reads.
    pub farewell: Duration,
}

/// A listener, apart from its address and its answers.
#[derive(Clone)]
pub struct Service {
    /// Who connects, for the log.
    pub clients: &'static str,
    /// How many of them, and for how long.
    pub bounds: Bounds,
    /// What hands are shaken with. None: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Service {
    /// The operators' one.
    pub const OPERATORS: Self = Self {
        clients: "operators",
        bounds: Bounds {
            connections_max: OPERATOR_CONNECTIONS_MAX,
            guests_per_address_max: 32,
            life: Duration::from_secs(120),
            farewell: Duration::from_secs(60),
        },
        tls: None,
    };
}

/// Serves until `stop` comes, then lets the calls that run come to their end.
///
/// HTTP/1.1 only. A connection that does not send a whole header in time is closed, and so is one
/// that lasts too long or does not read its answer. When no place is left, one that has not shown
/// a token gives way; when all have, others wait in the system's queue. Handlers find their
/// [`Guest`] among the extensions of the request.
pub async fn serve(service: Service, listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let Service { clients, bounds, tls } = service;
    let tls = tls.map(TlsAcceptor::from);
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    let guests = Guests::default();
    let (over, _) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accept = async {
            let accepted = listener.accept().await;
            if accepted.is_ok() && room.available_permits() == 0 {
                guests.oldest_gives_way();
            }
            // Never closed, so never an error.
            (Arc::clone(&room).acquire_owned().await, accepted)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        // Ended connections are taken out, so that the set does not grow.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let guest = guests.welcome(peer.ip(), bounds.guests_per_address_max);
                let (router, over, guests) = (router.clone(), over.subscribe(), guests.clone());
                let tls = tls.clone();
                connections.spawn(async move {
                    let gives_way = Arc::clone(&guest);
                    let router = router.layer(axum::Extension(ConnectInfo(peer)));
                    let router = router.layer(axum::Extension(guest.as_ref().clone()));
                    let talk = Talk { clients, peer, router, over, bounds };
                    tokio::select! {
                        () = talk.begin(stream, tls) => {}
                        () = gives_way.told_to_leave.notified() => {
                            tracing::debug!(clients, %peer, "a connection that has shown no token gave way");
                        }
                    }
                    guests.goodbye(&guest);
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, or a peer that was gone at once: the next may do.
                tracing::warn!(clients, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    over.send_replace(true);
    while connections.join_next().await.is_some() {}
}

/// One connection.
struct Talk {
    clients: &'static str,
    peer: SocketAddr,
    router: Router,
    over: watch::Receiver<bool>,
    bounds: Bounds,
}

impl Talk {
    async fn begin(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let (clients, peer) = (self.clients, self.peer);
        let Some(tls) = tls else { return self.converse(stream).await };
        match tokio::time::timeout(Duration::from_secs(HEADER_SECONDS_MAX), tls.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream).await,
            Ok(Err(error)) => tracing::debug!(clients, %error, %peer, "no TLS came about"),
            Err(_) => tracing::debug!(clients, %peer, "no TLS came about in time"),
        }
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { clients, peer, router, mut over, bounds } = self;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(HEADER_SECONDS_MAX))
            .max_headers(HEADER_COUNT_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut connection = std::pin::pin!(connection);
        // A channel that is gone says the same.
        let stopped = async move { over.wait_for(|over| *over).await.is_ok() };
        let ended = tokio::select! {
            ended = &mut connection => Ok(ended),
            _ = tokio::time::timeout(bounds.life, stopped) => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(bounds.farewell, connection).await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(clients, %error, %peer, "a connection ended badly"),
            Err(_) => tracing::debug!(clients, %peer, "a connection was cut: it did not come to its end"),
        }
    }
}

/// A connection, as far as others have to know it.
#[derive(Clone)]
pub struct Guest {
    network: IpAddr,
    proven: Arc<AtomicBool>,
    told_to_leave: Arc<Notify>,
}

/// Every connection that runs, in the order in which they came.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<VecDeque<Arc<Guest>>>>);

// === impl Guest ===

impl Guest {
    /// From now on it gives way to nobody.
    pub fn has_shown_the_token(&self) {
        self.proven.store(true, Ordering::Release);
    }

    /// Takes its leave, unless it has shown the token.
    fn gives_way(&self) -> bool {
        let may_stay = self.proven.load(Ordering::Acquire);
        if !may_stay {
            self.told_to_leave.notify_one();
        }
        !may_stay
    }
}

// === impl Guests ===

impl Guests {
    /// One more. The oldest of its network leaves when there would be too many of them.
    fn welcome(&self, address: IpAddr, per_address_max: usize) -> Arc<Guest> {
        let guest = Arc::new(Guest {
            network: network(address),
            proven: Arc::default(),
            told_to_leave: Arc::default(),
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |g: &Arc<Guest>| g.network == guest.network && !g.proven.load(Ordering::Acquire);
        if all.iter().filter(|g| same(g)).count() >= per_address_max
            && let Some(i) = all.iter().position(|g| same(g) && g.gives_way())
        {
            all.remove(i);
        }
        all.push_back(Arc::clone(&guest));
        guest
    }

    fn oldest_gives_way(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(i) = all.iter().position(|g| g.gives_way()) {
            all.remove(i);
        }
    }

    fn goodbye(&self, guest: &Arc<Guest>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|g| !Arc::ptr_eq(g, guest));
    }
}

/// What one client can call its own: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const BOUNDS: Bounds = Bounds {
        connections_max: 2,
        guests_per_address_max: 8,
        life: Duration::from_millis(300),
        farewell: Duration::from_millis(300),
    };

    const LONG_BYTES: usize = 64 * 1024 * 1024;

    /// A server with one long answer, for whoever has shown the token.
    async fn start(bounds: Bounds) -> SocketAddr {
        let long = |guest: axum::Extension<Guest>| async move {
            guest.has_shown_the_token();
            "x".repeat(LONG_BYTES)
        };
        let router = Router::new().route("/long", get(long)).route("/", get(async || "short"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service { bounds, ..Service::OPERATORS };
        tokio::spawn(serve(service, listener, router, std::future::pending()));
        address
    }

    async fn send(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await.unwrap() });
    }

    async fn first_byte(stream: &mut TcpStream) -> usize {
        let mut byte = [0; 1];
        stream.read(&mut byte).await.unwrap_or(0)
    }

    /// What there still is to read.
    async fn rest(stream: &mut TcpStream) -> usize {
        let (mut bytes, mut read) = (vec![0; 1024 * 1024], 0);
        loop {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return read,
                Ok(n) => read += n,
            }
        }
    }

    #[test]
    fn who_does_not_read_the_answer_does_not_keep_the_place() {
        run(async {
            let address = start(BOUNDS).await;
            let mut silent = Vec::new();
            for _ in 0..BOUNDS.connections_max {
                let mut stream = send(address, "/long").await;
                assert_eq!(first_byte(&mut stream).await, 1);
                silent.push(stream);
            }
            // All have shown the token, so none gives way; each is cut when its time is over.
            let mut next = send(address, "/").await;
            assert_eq!(first_byte(&mut next).await, 1);
            // Not before: no place was left, so one of them has lost its own and has not all of its answer.
            let mut cut = false;
            for stream in &mut silent {
                cut |= rest(stream).await < LONG_BYTES;
            }
            assert!(cut, "it was served beside them");
        });
    }

    #[test]
    fn who_has_shown_the_token_gives_way_to_nobody() {
        run(async {
            let bounds = Bounds { life: Duration::from_secs(20), ..BOUNDS };
            let address = start(bounds).await;
            let mut operator = send(address, "/long").await;
            assert_eq!(first_byte(&mut operator).await, 1);
            let mut guests = Vec::new();
            for _ in 0..20 {
                guests.push(TcpStream::connect(address).await.unwrap());
            }
            let mut last = send(address, "/").await;
            assert_eq!(first_byte(&mut last).await, 1, "the newest is served");
            let mut left = vec![0; 1024 * 1024];
            for _ in 0..32 {
                operator.read_exact(&mut left).await.unwrap();
            }
        });
    }

    #[test]
    fn one_address_has_its_share_of_guests_and_no_more() {
        let guests = Guests::default();
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = guests.welcome(from("192.0.2.1"), 2);
        let other = guests.welcome(from("192.0.2.2"), 2);
        one.has_shown_the_token();
        let many: Vec<_> = (0..5).map(|_| guests.welcome(from("::ffff:192.0.2.1"), 2)).collect();
        let all = guests.0.lock().unwrap().clone();
        let stays = |guest: &Arc<Guest>| all.iter().any(|g| Arc::ptr_eq(g, guest));
        assert!(stays(&one) && stays(&other));
        assert_eq!(many.iter().map(stays).collect::<Vec<_>>(), [false, false, false, true, true]);
        assert_eq!(network(from("2001:db8::1")), network(from("2001:db8::ffff:1")));
        assert_ne!(network(from("2001:db8::1")), network(from("2001:db8:0:1::1")));
    }
}
