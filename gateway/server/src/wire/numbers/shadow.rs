//! What policies beside those in force would have changed.

use std::sync::atomic::Ordering;

use doorward_model::UnixMillis;
use doorward_policy::shadow::{Change, Lane, Shadow};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lanes {
    lane: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Changes {
    lane: &'static str,
    change: &'static str,
}

pub(super) struct ShadowNumbers {
    runs: Family<Lanes, Gauge>,
    decided: Family<Lanes, Counter>,
    missed: Family<Lanes, Counter>,
    failed: Family<Lanes, Counter>,
    differences: Family<Changes, Counter>,
}

impl ShadowNumbers {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            runs: gauge(r, "doorward_policy_shadow_runs", "Whether policies are asked beside those in force"),
            decided: gauge(r, "doorward_policy_shadow_decided", "Requests that both decided"),
            missed: gauge(r, "doorward_policy_shadow_missed", "Requests that found the queue full"),
            failed: gauge(r, "doorward_policy_shadow_failed", "Requests where the attempt panicked"),
            differences: gauge(
                r,
                "doorward_policy_shadow_differences",
                "Requests that would have ended otherwise",
            ),
        }
    }

    pub(super) fn look(&self, shadow: &Shadow, now: UnixMillis) {
        for lane in Lane::ALL {
            let (totals, labels) = (shadow.totals(lane), Lanes { lane: lane.as_str() });
            self.runs.get_or_create(&labels).set(i64::from(shadow.runs(lane, now)));
            // They are counted elsewhere, and only rise there.
            for (family, count) in [
                (&self.decided, totals.decided()),
                (&self.missed, totals.missed()),
                (&self.failed, totals.failed()),
            ] {
                family.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
            }
            for change in Change::ALL {
                let labels = Changes { lane: lane.as_str(), change: change.as_str() };
                let count = totals.changes(change);
                self.differences.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
            }
        }
    }
}
