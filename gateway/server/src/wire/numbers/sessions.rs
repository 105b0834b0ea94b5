//! How the records of browser sessions do.

use std::sync::atomic::Ordering;

use doorward_state::sessions::SessionsHealth;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Of a node where people sign in.
pub(super) struct SessionNumbers {
    usable: Gauge,
    failures: Counter,
}

impl SessionNumbers {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            usable: super::gauge(
                r,
                "doorward_session_store_usable",
                "1 while records of sessions can be used",
            ),
            failures: super::gauge(r, "doorward_session_store_failures", "Calls to it that failed"),
        }
    }

    pub(super) fn look(&self, health: &SessionsHealth) {
        self.usable.set(i64::from(health.trouble.is_none()));
        // It is counted elsewhere, and only rises there.
        self.failures.inner().store(health.failures_total, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn trouble_is_told_in_numbers() {
        let mut registry = Registry::default();
        let numbers = SessionNumbers::new(&mut registry);
        let mut health = SessionsHealth { store: "redis", trouble: None, failures_total: 3 };
        for (trouble, usable) in [(None, 1), (Some("away".to_owned()), 0)] {
            health.trouble = trouble;
            numbers.look(&health);
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            assert!(text.contains(&format!("\ndoorward_session_store_usable {usable}\n")), "{text}");
            assert!(text.contains("\ndoorward_session_store_failures_total 3\n"), "{text}");
        }
    }
}
