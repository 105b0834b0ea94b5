//! The numbers of the proxy (OpenMetrics 1.0; names in `docs/reference/metrics.md`).
//!
//! Labels are closed sets: route, outcome, reason, protocol. Never a person, an address or a path.

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Because, Outcome, Protocol};
use doorward_identity::certificate::Untrusted;
use doorward_identity::session::{Ended, Unopened};
use doorward_model::{AppId, RouteId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::review::Tally;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AppLabels {
    app: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    because: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    because: &'static str,
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CookieLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AskedLabels {
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UntrustedLabels {
    why: &'static str,
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
const REVIEW_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
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
    looks: Histogram,
    stale: Family<AppLabels, Counter>,
    reviewed: Family<AnswerLabels, Counter>,
    review_delay: Family<ReviewLabels, Histogram, Seconds>,
    withdrawn: Family<ProtocolLabels, Counter>,
    withdrawal_delay: Histogram,
    cookies: Family<CookieLabels, Counter>,
    renewals: Family<CookieLabels, Counter>,
    app_cookies: Family<AppLabels, Counter>,
    asked: Family<AskedLabels, Counter>,
    handshakes: Family<HandshakeLabels, Counter>,
    untrusted: Family<UntrustedLabels, Counter>,
}

/// A decision, for counting.
pub(crate) struct Decided<'a> {
    pub(crate) route: Option<&'a RouteId>,
    pub(crate) outcome: Option<Outcome>,
    /// It was not known that nothing had been taken away.
    pub(crate) stale: bool,
}

/// An exchange that is over, for counting.
pub(crate) struct Passed<'a> {
    pub(crate) route: Option<&'a RouteId>,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) protocol: Protocol,
    /// How long after the revocation it ended, if one ended it.
    pub(crate) ended_after: Option<Duration>,
    /// How long after the change it ended, if it was decided anew.
    pub(crate) withdrawn_after: Option<Duration>,
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
            looks: Histogram::new(END_SECONDS.iter().copied()),
            stale: Family::default(),
            reviewed: Family::default(),
            review_delay: Family::new_with_constructor(Seconds(REVIEW_SECONDS)),
            withdrawn: Family::default(),
            withdrawal_delay: Histogram::new(REVIEW_SECONDS.iter().copied()),
            cookies: Family::default(),
            renewals: Family::default(),
            app_cookies: Family::default(),
            asked: Family::default(),
            handshakes: Family::default(),
            untrusted: Family::default(),
        };
        for protocol in Protocol::ALL {
            let labels = ProtocolLabels { protocol: protocol.as_str() };
            let _ = metrics.terminated.get_or_create(&labels);
            let _ = metrics.withdrawn.get_or_create(&labels);
        }
        for because in Because::ALL {
            metrics.reviewed(because, None, Tally::default());
        }
        metrics.register_reviews(registry);
        metrics.register_cookies(registry);
        metrics.register_asked(registry);
        metrics.register_handshakes(registry);
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
        r.register_with_unit(
            "doorward_revocation_look_duration",
            "Time that a request of a strict app waited to know who is cut off",
            Unit::Seconds,
            metrics.looks.clone(),
        );
        r.register(
            "doorward_revocation_stale_allowed",
            "Requests let in though it was not known that nothing had been taken away",
            metrics.stale.clone(),
        );
        Arc::new(metrics)
    }

    fn register_reviews(&self, r: &mut Registry) {
        r.register(
            "doorward_review_exchanges",
            "Running exchanges that were decided anew, by why and by what came of it",
            self.reviewed.clone(),
        );
        r.register_with_unit(
            "doorward_review_delay",
            "Time from a change to when all that it may concern was decided anew",
            Unit::Seconds,
            self.review_delay.clone(),
        );
        r.register(
            "doorward_review_exchanges_withdrawn",
            "Running exchanges that ended because they were decided anew",
            self.withdrawn.clone(),
        );
        r.register_with_unit(
            "doorward_review_withdrawal_delay",
            "Time from a change to the end of an exchange that it ended",
            Unit::Seconds,
            self.withdrawal_delay.clone(),
        );
    }

    fn register_cookies(&self, r: &mut Registry) {
        for outcome in ["opened", "foreign", "idle", "absolute", "ahead"] {
            let _ = self.cookies.get_or_create(&CookieLabels { outcome });
        }
        for outcome in ["noted", "unnoted"] {
            let _ = self.renewals.get_or_create(&CookieLabels { outcome });
        }
        r.register(
            "doorward_session_cookies",
            "Cookies of browsers' sessions that came with requests, by what was in them",
            self.cookies.clone(),
        );
        r.register(
            "doorward_session_renewals",
            "Cookies of browsers' sessions that were sealed anew, and whether it was noted when they were seen",
            self.renewals.clone(),
        );
        r.register(
            "doorward_app_cookies_dropped",
            "Cookies with names of ours that apps wanted to set",
            self.app_cookies.clone(),
        );
    }

    fn register_asked(&self, r: &mut Registry) {
        for answer in ["pass", "refused", "sign_in"] {
            let _ = self.asked.get_or_create(&AskedLabels { answer });
        }
        r.register(
            "doorward_forward_auth_answers",
            "Questions of other proxies whether a request may pass, by what they were answered",
            self.asked.clone(),
        );
    }

    fn register_handshakes(&self, r: &mut Registry) {
        for outcome in ["done", "failed", "late"] {
            let _ = self.handshakes.get_or_create(&HandshakeLabels { outcome });
        }
        for why in Untrusted::WORDS {
            let _ = self.untrusted.get_or_create(&UntrustedLabels { why });
        }
        r.register(
            "doorward_tls_handshakes",
            "TLS handshakes of clients, by what became of them",
            self.handshakes.clone(),
        );
        r.register(
            "doorward_client_certificates_refused",
            "Certificates of clients that were refused in the handshake, by why",
            self.untrusted.clone(),
        );
    }

    /// A TLS handshake is over.
    pub(crate) fn shook_hands(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&HandshakeLabels { outcome }).inc();
    }

    /// The certificate of a client was refused in the handshake.
    pub(crate) fn certificate_refused(&self, why: &'static str) {
        self.untrusted.get_or_create(&UntrustedLabels { why }).inc();
    }

    /// Another proxy was answered.
    pub(crate) fn answered_another(&self, answer: &'static str) {
        self.asked.get_or_create(&AskedLabels { answer }).inc();
    }

    /// The cookie of a session came, and opened or did not.
    pub(crate) fn cookie_came(&self, why: Option<&Unopened>) {
        let outcome = match why {
            None => "opened",
            Some(Unopened::Foreign) => "foreign",
            Some(Unopened::Ended(Ended::Idle)) => "idle",
            Some(Unopened::Ended(Ended::Absolute)) => "absolute",
            Some(Unopened::Ended(Ended::Ahead)) => "ahead",
        };
        self.cookies.get_or_create(&CookieLabels { outcome }).inc();
    }

    /// The cookie of a session was sealed anew.
    pub(crate) fn cookie_renewed(&self, noted: bool) {
        self.renewals.get_or_create(&CookieLabels { outcome: if noted { "noted" } else { "unnoted" } }).inc();
    }

    /// An app wanted to set cookies with names of ours.
    pub(crate) fn app_cookies_dropped(&self, app: &AppId, count: u64) {
        if count > 0 {
            self.app_cookies.get_or_create(&AppLabels { app: app.to_string() }).inc_by(count);
        }
    }

    /// Some exchanges were decided anew; `delay` is from the change to the last of them, if there was one.
    pub(crate) fn reviewed(&self, because: Because, delay: Option<Duration>, tally: Tally) {
        let because = because.as_str();
        let Tally { stand, withdrawn, unknown } = tally;
        for (answer, n) in [("allow", stand), ("deny", withdrawn), ("unknown", unknown)] {
            self.reviewed.get_or_create(&AnswerLabels { because, answer }).inc_by(n);
        }
        if let Some(delay) = delay {
            self.review_delay.get_or_create(&ReviewLabels { because }).observe(delay.as_secs_f64());
        }
    }

    pub(crate) fn policy_evaluated(&self, took: Duration, failed: bool) {
        self.evaluation.observe(took.as_secs_f64());
        if failed {
            self.policy_errors.inc();
        }
    }

    pub(crate) fn looked(&self, took: Duration) {
        self.looks.observe(took.as_secs_f64());
    }

    pub(crate) fn decided(&self, decided: &Decided<'_>) {
        let (decision, reason) = match decided.outcome {
            Some(Outcome::Allowed) => ("allow", "permitted"),
            Some(Outcome::Denied(code)) => ("deny", code.as_str()),
            None => ("deny", "undecided"),
        };
        self.decisions.get_or_create(&DecisionLabels { route: name(decided.route), decision, reason }).inc();
        if decided.stale && decided.outcome == Some(Outcome::Allowed) {
            let app = decided.route.map_or_else(String::new, |route| route.app().to_string());
            self.stale.get_or_create(&AppLabels { app }).inc();
        }
    }

    pub(crate) fn passed(&self, passed: &Passed<'_>) {
        let labels = RequestLabels { route: name(passed.route), code_class: class(passed.status) };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(passed.took.as_secs_f64());
        if let Some(after) = passed.ended_after {
            self.terminated.get_or_create(&ProtocolLabels { protocol: passed.protocol.as_str() }).inc();
            self.end_delay.observe(after.as_secs_f64());
        }
        if let Some(after) = passed.withdrawn_after {
            self.withdrawn.get_or_create(&ProtocolLabels { protocol: passed.protocol.as_str() }).inc();
            self.withdrawal_delay.observe(after.as_secs_f64());
        }
    }
}
