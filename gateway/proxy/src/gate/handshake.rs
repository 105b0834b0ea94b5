//! A connection before its TLS handshake is done.
//!
//! Pingora calls the gate with connections whose handshake is over, and gives each of them a
//! minute for it. Whoever connects and says nothing would so escape the caps and the deadline of
//! a header. Here it is counted from its first moment, and broken off when its time is up. The
//! count travels with the stream, in the one place that Pingora has for things of others.

use std::any::Any;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use doorward_context::TrustedProxies;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{Shutdown, shutdown};
use pingora::http::ResponseHeader;
use pingora::listeners::PreTlsProcess;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{GetProxyDigest, Stream, UniqueID};

use super::census::{Census, Counted};
use super::connections::{TOO_MANY, peer_ip, take_proxy_header};
use crate::metrics::Metrics;

/// What is done with a connection before its handshake.
pub(crate) struct BeforeTls {
    pub(crate) census: Arc<Census>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whose PROXY protocol header is believed; none where no header is expected.
    pub(crate) proxies: Option<Arc<TrustedProxies>>,
    /// How long the handshake may take, the PROXY protocol header included.
    pub(crate) within: Duration,
}

/// A connection that is counted, and has a deadline as long as its handshake lasts.
struct Handshaking {
    counted: Counted,
    metrics: Arc<Metrics>,
    socket: Mutex<Option<SecondHandle>>,
}

/// A second descriptor of a socket: it names this socket and no other, whatever became of the
/// first.
struct SecondHandle(RawFd);

impl Drop for SecondHandle {
    fn drop(&mut self) {
        // It is ours alone; nothing can be done about an error.
        let _ = nix::unistd::close(self.0);
    }
}

impl Handshaking {
    fn done(&self) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.metrics.shook_hands("done");
    }

    fn break_off(&self) {
        if let Some(socket) = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
            tracing::debug!("a TLS handshake was not done in time");
            self.metrics.shook_hands("late");
            // The other side may have gone on its own.
            let _ = shutdown(socket.0, Shutdown::Both);
        }
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        let socket = self.socket.get_mut().unwrap_or_else(PoisonError::into_inner);
        if socket.take().is_some() {
            self.metrics.shook_hands("failed");
        }
    }
}

/// Notes that the handshake of a connection is done. False when the connection had none.
pub(crate) fn is_done(stream: &Stream) -> bool {
    let digest = stream.get_proxy_digest();
    let user_data = digest.as_ref().and_then(|d| d.user_data.as_deref());
    let handshaking = user_data.and_then(<dyn Any + Send + Sync>::downcast_ref::<Arc<Handshaking>>);
    handshaking.inspect(|h| h.done()).is_some()
}

fn refused(why: &'static str) -> Box<pingora::Error> {
    pingora::Error::explain(pingora::ErrorType::Custom("refused"), why)
}

#[async_trait]
impl PreTlsProcess for BeforeTls {
    async fn process(&self, stream: &mut L4Stream) -> pingora::Result<()> {
        let from = peer_ip(stream);
        let too_many = || {
            tracing::warn!(from = ?from, why = TOO_MANY, "a connection was refused");
            refused(TOO_MANY)
        };
        let counted = self.census.enter().ok_or_else(too_many)?;
        let second = fcntl(stream.id(), FcntlArg::F_DUPFD_CLOEXEC(0));
        let second = second.map_err(|_| refused("no descriptor is left"))?;
        let socket = Mutex::new(Some(SecondHandle(second)));
        let handshaking = Arc::new(Handshaking { counted, metrics: Arc::clone(&self.metrics), socket });
        tokio::spawn(break_off_after(self.within, Arc::downgrade(&handshaking)));
        let user_data: Box<dyn Any + Send + Sync> = Box::new(Arc::clone(&handshaking));
        let response = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(response, Some(user_data)));
        if let Some(proxies) = &self.proxies {
            take_proxy_header(stream, proxies).await.map_err(|why| {
                tracing::warn!(from = ?from, why, "a connection without a valid PROXY protocol header was refused");
                refused("no valid PROXY protocol header")
            })?;
        }
        match peer_ip(stream) {
            Some(address) if !handshaking.counted.comes_from(address) => Err(too_many()),
            Some(_) | None => Ok(()),
        }
    }
}

async fn break_off_after(within: Duration, handshaking: Weak<Handshaking>) {
    tokio::time::sleep(within).await;
    if let Some(handshaking) = handshaking.upgrade() {
        handshaking.break_off();
    }
}
