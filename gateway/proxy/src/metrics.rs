//! The numbers of the proxy (OpenMetrics 1.0; names in `docs/reference/metrics.md`).
//!
//! Labels are closed sets: route, outcome, reason, protocol. Never a person, an address or a path.

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Outcome, Protocol};
use doorward_model::RouteId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    route: String,
    decision: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    code_class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: &'static str,
}

#[derive(Clone)]
struct Seconds(&'static [f64]);

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const DECISION_SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.05];
const END_SECONDS: &[f64] = &[0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Counters and histograms of the request path.
pub struct Metrics {
    decisions: Family<DecisionLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RequestLabels, Histogram, Seconds>,
    evaluation: Histogram,
    policy_errors: Counter,
    terminated: Family<ProtocolLabels, Counter>,
    end_delay: Histogram,
}

/// A decision, for counting.
pub(crate) struct Decided<'a> {
    pub(crate) route: Option<&'a RouteId>,
    pub(crate) outcome: Option<Outcome>,
}

/// An exchange that is over, for counting.
pub(crate) struct Passed<'a> {
    pub(crate) route: Option<&'a RouteId>,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) protocol: Protocol,
    /// How long after the revocation it ended, if one ended it.
    pub(crate) ended_after: Option<Duration>,
}

fn name(route: Option<&RouteId>) -> String {
    route.map_or("none", RouteId::as_str).to_owned()
}

const fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "none",
    }
}

impl Metrics {
    /// Registers everything, with every closed label set at zero.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            decisions: Family::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(Seconds(REQUEST_SECONDS)),
            evaluation: Histogram::new(DECISION_SECONDS.iter().copied()),
            policy_errors: Counter::default(),
            terminated: Family::default(),
            end_delay: Histogram::new(END_SECONDS.iter().copied()),
        };
        for protocol in Protocol::ALL {
            let _ = metrics.terminated.get_or_create(&ProtocolLabels { protocol: protocol.as_str() });
        }
        let r = registry;
        r.register(
            "doorward_authz_decisions",
            "Decisions by route, outcome and reason",
            metrics.decisions.clone(),
        );
        r.register(
            "doorward_http_requests",
            "Requests by route and class of status",
            metrics.requests.clone(),
        );
        r.register_with_unit(
            "doorward_http_request_duration",
            "Time from the request's header to the end of the response",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        r.register_with_unit(
            "doorward_authz_decision_duration",
            "Time to evaluate the policies",
            Unit::Seconds,
            metrics.evaluation.clone(),
        );
        r.register(
            "doorward_policy_evaluation_errors",
            "Decisions in which a policy could not be evaluated",
            metrics.policy_errors.clone(),
        );
        r.register(
            "doorward_revocation_exchanges_ended",
            "Running exchanges ended by a revocation",
            metrics.terminated.clone(),
        );
        r.register_with_unit(
            "doorward_revocation_end_delay",
            "Time from a revocation to the end of an exchange",
            Unit::Seconds,
            metrics.end_delay.clone(),
        );
        Arc::new(metrics)
    }

    pub(crate) fn policy_evaluated(&self, took: Duration, failed: bool) {
        self.evaluation.observe(took.as_secs_f64());
        if failed {
            self.policy_errors.inc();
        }
    }

    pub(crate) fn decided(&self, decided: &Decided<'_>) {
        let (decision, reason) = match decided.outcome {
            Some(Outcome::Allowed) => ("allow", "permitted"),
            Some(Outcome::Denied(code)) => ("deny", code.as_str()),
            None => ("deny", "undecided"),
        };
        self.decisions.get_or_create(&DecisionLabels { route: name(decided.route), decision, reason }).inc();
    }

    pub(crate) fn passed(&self, passed: &Passed<'_>) {
        let labels = RequestLabels { route: name(passed.route), code_class: class(passed.status) };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(passed.took.as_secs_f64());
        if let Some(after) = passed.ended_after {
            self.terminated.get_or_create(&ProtocolLabels { protocol: passed.protocol.as_str() }).inc();
            self.end_delay.observe(after.as_secs_f64());
        }
    }
}
