//! The product block: what OCSF has no place for, under `unmapped.doorward`. A change of its
//! meaning needs a new [`LOG_VERSION`](super::LOG_VERSION).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use doorward_model::Risk;
use serde::Serialize;
use serde_json::value::RawValue;

use super::wire::{Iso, Shown};

#[derive(Serialize)]
pub(crate) struct Unmapped<'a> {
    pub(crate) doorward: Block<'a>,
}

/// The product block.
#[derive(Default, Serialize)]
pub(crate) struct Block<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<DecisionOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) situation: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_behalf_of: Option<Shown<&'a doorward_model::UserId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<DeviceOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) risk: Option<RiskOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) networks: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) anonymizer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enforced_by: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ending: Option<EndingOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revocation: Option<RevocationOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sign_in: Option<SignInOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) debt: Option<DebtOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle: Option<LifecycleOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<BundleOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shadow: Option<ShadowOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) geoip: Option<GeoOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificates: Option<CertificatesOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<GatewayOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gap: Option<GapOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) torn_tail: Option<TornTailOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusals: Option<RefusalsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retired: Option<RetiredOut<'a>>,
}

#[derive(Serialize)]
pub(crate) struct DecisionOut<'a> {
    pub(crate) outcome: &'static str,
    pub(crate) reason_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policies_said: Option<&'static str>,
    pub(crate) determining: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) clauses: Vec<ClauseOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy_set: Option<PolicySet<'a>>,
}

/// A part of a policy that failed.
#[derive(Serialize)]
pub(crate) struct ClauseOut<'a> {
    pub(crate) policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) span: Option<(usize, usize)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct PolicySet<'a> {
    pub(crate) revision: &'a str,
}

#[derive(Serialize)]
pub(crate) struct DeviceOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compliance: Option<&'static str>,
}

#[derive(Serialize)]
pub(crate) struct RiskOut {
    pub(crate) score: u8,
    pub(crate) level: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reasons: Vec<RiskReasonOut>,
}

#[derive(Serialize)]
pub(crate) struct RiskReasonOut {
    pub(crate) code: &'static str,
    pub(crate) points: u8,
}

impl RiskOut {
    /// Told where something is odd, and where nobody can tell why not.
    pub(crate) fn of(risk: Risk) -> Option<Self> {
        let reasons =
            risk.reasons().iter().map(|(reason, points)| RiskReasonOut { code: reason.as_str(), points });
        match risk.score() {
            Some(0) => None,
            None if risk.reasons().is_empty() => None,
            // Whatever is not known is the highest, for policies too.
            score => Some(Self {
                score: score.unwrap_or(100),
                level: risk.level().as_str(),
                reasons: reasons.collect(),
            }),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct EndingOut<'a> {
    pub(crate) how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revocation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) because: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after_us: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct RevocationOut<'a> {
    pub(crate) id: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) target: String,
    pub(crate) not_before: Iso,
    pub(crate) version: u64,
    pub(crate) disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<&'a str>,
    pub(crate) connections_closed: u64,
    pub(crate) connections_by_protocol: BTreeMap<&'static str, u64>,
    pub(crate) connections_remaining: u64,
    pub(crate) received_at: Iso,
    pub(crate) store_committed_at: Iso,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) published_at: Option<Iso>,
    pub(crate) enforced_at: Iso,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_connection_closed_at: Option<Iso>,
    pub(crate) time_to_enforce_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_to_revoke_ms: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct SignInOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<&'a str>,
    pub(crate) demanded: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mfa: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phishing_resistant: Option<bool>,
}

#[derive(Serialize)]
pub(crate) struct DebtOut<'a> {
    pub(crate) id: &'a str,
    pub(crate) step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due_at: Option<Iso>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) how: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct LifecycleOut<'a> {
    pub(crate) outcome: &'static str,
    pub(crate) by: &'static str,
    pub(crate) command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) edge: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asserted_at: Option<Iso>,
    pub(crate) changes: Vec<ChangeOut<'a>>,
    pub(crate) changes_total: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) members_total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) revocations: Vec<&'a str>,
    pub(crate) connections_closed: u64,
    pub(crate) connections_by_protocol: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
pub(crate) struct ChangeOut<'a> {
    pub(crate) what: &'a str,
    pub(crate) before: &'a str,
    pub(crate) after: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) set_by: Option<&'a str>,
}

#[derive(Default, Serialize)]
pub(crate) struct BundleOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_force: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<&'a str>,
    pub(crate) source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policies: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cases: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mistakes: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mistakes_total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) results: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) difference: Option<DifferenceOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<ShareOut<'a>>,
}

/// What an edit changes, by the names of policies: the first of each, and how many there are.
#[derive(Serialize)]
pub(crate) struct DifferenceOut<'a> {
    pub(crate) added: Vec<&'a str>,
    pub(crate) removed: Vec<&'a str>,
    pub(crate) changed: Vec<&'a str>,
    pub(crate) total: usize,
}

/// Who is asked of a bundle.
#[derive(Serialize)]
pub(crate) struct ShareOut<'a> {
    pub(crate) revision: &'a str,
    pub(crate) step: &'static str,
    pub(crate) hundredths: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) apps: Vec<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct ShadowOut<'a> {
    pub(crate) lane: &'a str,
    pub(crate) in_force: &'a str,
    pub(crate) since: Iso,
    pub(crate) sample: &'a str,
    pub(crate) decided: u64,
    pub(crate) missed: u64,
    pub(crate) newly_denied: u64,
    pub(crate) newly_allowed: u64,
    pub(crate) other_policies: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) policies: Vec<&'a str>,
    pub(crate) policies_total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct GeoOut<'a> {
    pub(crate) databases: Vec<GeoDatabase<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept_because: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct CertificatesOut<'a> {
    pub(crate) chains: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept_because: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct GeoDatabase<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) built_at: Option<Iso>,
}

#[derive(Default, Serialize)]
pub(crate) struct GatewayOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) exceptions: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) running: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut_off: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct GapOut<'a> {
    pub(crate) cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_sequence: Option<u64>,
    pub(crate) lost: LostOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) segment: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct LostOut {
    pub(crate) total: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    pub(crate) ended: u64,
    pub(crate) other: u64,
}

#[derive(Serialize)]
pub(crate) struct TornTailOut<'a> {
    pub(crate) segment: &'a str,
    pub(crate) kept_bytes: u64,
    pub(crate) cut_bytes: u64,
    pub(crate) aside: &'a str,
}

#[derive(Serialize)]
pub(crate) struct RefusalsOut<'a> {
    pub(crate) total: u64,
    pub(crate) by_reason: &'a BTreeMap<&'static str, u64>,
    pub(crate) first_at: Iso,
    pub(crate) last_at: Iso,
}

#[derive(Serialize)]
pub(crate) struct RetiredOut<'a> {
    pub(crate) segment: &'a str,
    pub(crate) bytes: u64,
    pub(crate) total_bytes_max: u64,
}
