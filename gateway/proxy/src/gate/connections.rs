//! A connection before its first request: counted, its PROXY protocol header read, and closed when
//! no request comes in time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use doorward_context::TrustedProxies;
use doorward_context::proxy_protocol::{self, Origin, Progress};
use pingora::apps::{HttpServerApp as _, ServerApp};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::{SocketDigest, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt;

use super::census::{Census, Counted};
use super::line::{Line, LineState};
use super::{Connection, Exchanges, Listener, handshake};

/// Every connection of one listener.
pub(crate) struct Connections {
    listener: Arc<Listener>,
    census: Arc<Census>,
    header_max: Duration,
    /// Whose PROXY protocol header is believed; none where no header is expected.
    proxies: Option<Arc<TrustedProxies>>,
}

impl Connections {
    pub(crate) fn new(
        listener: Arc<Listener>,
        census: Arc<Census>,
        header_max: Duration,
        proxies: Option<Arc<TrustedProxies>>,
    ) -> Self {
        Self { listener, census, header_max, proxies }
    }

    /// Counts a connection that came without TLS, and reads the PROXY protocol header where one is
    /// expected.
    ///
    /// # Errors
    /// Why it cannot be served.
    async fn welcome(&self, stream: &mut Stream) -> Result<Counted, String> {
        let counted = self.census.enter().ok_or(TOO_MANY)?;
        if let Some(proxies) = &self.proxies {
            tokio::time::timeout(self.header_max, take_proxy_header(&mut **stream, proxies))
                .await
                .unwrap_or_else(|_| Err("its PROXY protocol header did not arrive in time".into()))?;
        }
        match peer_ip(&**stream) {
            Some(address) if !counted.comes_from(address) => Err(TOO_MANY.to_owned()),
            Some(_) | None => Ok(counted),
        }
    }
}

/// Why a connection is refused that is one too many.
pub(super) const TOO_MANY: &str = "too many are open";

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let from = peer_ip(&*stream);
        // What came by TLS was counted before its handshake.
        let _counted = if handshake::is_done(&stream) {
            None
        } else {
            match self.welcome(&mut stream).await {
                Ok(counted) => Some(counted),
                Err(why) => {
                    tracing::warn!(from = ?from, why, "a connection was refused");
                    return None;
                }
            }
        };
        let line = Arc::new(LineState::default());
        let connection = Connection::new(Arc::clone(&line));
        let exchanges = Exchanges::of(&self.listener, &connection);
        let wrapped: Stream = Box::new(Line::new(stream, line));
        let conversation = ServerApp::process_new(&exchanges, wrapped, shutdown);
        tokio::pin!(conversation);
        tokio::select! {
            biased;
            rest = &mut conversation => return rest,
            () = tokio::time::sleep(self.header_max) => {}
        }
        // Over HTTP/2 as well: neither the preface nor a header block that does not end is a request.
        if !connection.has_begun() {
            tracing::debug!(from = ?from, "a connection sent no request in time");
            return None;
        }
        conversation.await
    }

    async fn cleanup(&self) {
        self.listener.proxy.http_cleanup().await;
    }
}

pub(super) fn peer_ip<S: pingora::protocols::GetSocketDigest + ?Sized>(stream: &S) -> Option<IpAddr> {
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
