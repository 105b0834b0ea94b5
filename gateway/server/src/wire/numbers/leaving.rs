//! How receipts and offboarding cases fare. Zero on a node without a directory, which makes none.

use std::sync::atomic::Ordering;

use doorward_lifecycle::service::Lifecycle;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, int};

pub(super) struct LeavingNumbers {
    made: Counter,
    open: Gauge,
    failing: Gauge,
    cases: Gauge,
}

impl LeavingNumbers {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            made: gauge(r, "doorward_receipts_made", "Signed receipts that this process made"),
            open: gauge(r, "doorward_receipts_open", "Receipts that wait for what the nodes say"),
            failing: gauge(r, "doorward_receipts_failing", "Receipts that cannot be made"),
            cases: gauge(r, "doorward_offboarding_cases_open", "Offboarding cases that are not closed"),
        }
    }

    pub(super) fn look(&self, lives: &Lifecycle) {
        let health = lives.receipts_health().unwrap_or_default();
        // It is counted elsewhere, and only rises there.
        self.made.inner().store(health.made_total, Ordering::Relaxed);
        self.open.set(i64::try_from(health.open).unwrap_or(i64::MAX));
        self.failing.set(i64::try_from(health.failing).unwrap_or(i64::MAX));
        self.cases.set(int(lives.open_cases_count()));
    }
}
