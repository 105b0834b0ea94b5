//! The plainest health check: whether an instance can be connected to.

use async_trait::async_trait;
use pingora::lb::Backend;
use pingora::lb::health_check::HealthCheck;
use pingora::{Error, ErrorType, OrErr as _};
use tokio::net::TcpStream;

/// Connects, and lets go. Pingora's own check brings a TLS client with every root of the system
/// along, 200 KiB for each app, and speaks no TLS with it.
pub(super) struct Reachable;

#[async_trait]
impl HealthCheck for Reachable {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let Some(address) = target.addr.as_inet() else {
            return Error::e_explain(ErrorType::ConnectError, "not an address of IP");
        };
        TcpStream::connect(address).await.or_err(ErrorType::ConnectError, "while checking health")?;
        Ok(())
    }

    fn health_threshold(&self, _success: bool) -> usize {
        1
    }
}
