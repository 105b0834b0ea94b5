//! A health check that comes to an end.

use std::time::Duration;

use async_trait::async_trait;
use pingora::lb::Backend;
use pingora::lb::health_check::HealthCheck;

/// A check that fails when it takes too long. Pingora bounds each read of an answer and not all of
/// them together, and it waits for every instance before it checks any of them again.
pub(super) struct Bounded<C> {
    inner: C,
    within: Duration,
}

impl<C> Bounded<C> {
    pub(super) const fn new(inner: C, within: Duration) -> Self {
        Self { inner, within }
    }
}

#[async_trait]
impl<C: HealthCheck + Send + Sync> HealthCheck for Bounded<C> {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        tokio::time::timeout(self.within, self.inner.check(target)).await.unwrap_or_else(|_| {
            pingora::Error::e_explain(
                pingora::ErrorType::Custom("unhealthy"),
                "the health check took too long",
            )
        })
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        self.inner.health_status_change(target, healthy).await;
    }

    fn backend_summary(&self, target: &Backend) -> String {
        self.inner.backend_summary(target)
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.inner.health_threshold(success)
    }
}
