//! The only way to serve anything of this crate: on the machine itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

/// A bound address of this machine that no other machine reaches.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Others could reach it.
    #[error(
        "`{0}` can be reached from the network: what the demo serves lets anybody in, use an address such as `127.0.0.1:{port}`",
        port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// The system refused.
    #[error("cannot listen on `{address}`: another demo may be running, choose other ports")]
    Refused {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Loopback {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not a loopback address, or the system refuses it.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        if !address.ip().is_loopback() {
            return Err(BindError::NotLoopback(address));
        }
        let refused = |source| BindError::Refused { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address })
    }

    /// Binds a port of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// When the system refuses it.
    pub async fn port(port: u16) -> Result<Self, BindError> {
        Self::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).await
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves HTTP/1.1 and HTTP/2 (prior knowledge) until the future is dropped.
    ///
    /// Small pieces go out at once: a stream that ticks would otherwise wait for
    /// acknowledgements.
    pub async fn serve(self, router: Router) {
        let listener = self.listener.tap_io(|stream| {
            // Without it the demo is slower, not wrong.
            let _ = stream.set_nodelay(true);
        });
        // `axum::serve` answers errors of single connections itself and does not return.
        let _ = axum::serve(listener, router).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "[::ffff:127.0.0.1]:0"] {
            let refused = Loopback::bind(address.parse().unwrap()).await.unwrap_err();
            assert!(matches!(refused, BindError::NotLoopback(_)), "{address}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_says_what_to_do() {
        let first = Loopback::port(0).await.unwrap();
        let again = Loopback::bind(first.address()).await.unwrap_err().to_string();
        assert!(again.contains(&first.address().to_string()), "{again}");
        assert!(again.contains("choose other ports"), "{again}");
    }
}
