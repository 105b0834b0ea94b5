//! Everything that the log tells of.
//!
//! The domain stands here; how an event is written stands in `wire` and the files beside it. The
//! page `docs/reference/audit-events.md` is generated from the catalogue in `tests/catalogue.rs`.

mod block;
mod debt;
mod exchange;
mod house;
mod lifecycle;
mod nature;
mod policies;
mod shadow;
mod sign_in;
mod standing;
mod wire;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use doorward_model::{Entry, LifecycleStage, Target, UnixMillis, UserId};

use crate::log::{Counts, Identity, Sequence};
use crate::trail::{Outcome, Protocol, Trail};

pub use debt::{ControlDebt, DebtStep};
pub use lifecycle::{
    About, ByKind, LIFECYCLE_MEMBERS_MAX, LifecycleChange, LifecycleCode, LifecycleDifference,
    LifecycleOutcome,
};
pub(crate) use nature::{Kind, TakesAway, Weight};
use nature::{is_terminated, withdrawal};
pub use policies::{PolicyStage, PolicySwap, StageStep};
pub use shadow::{PolicyShadow, ShadowStep};
pub use sign_in::{BrowserSignIn, SignInStep};
pub(crate) use wire::Head;

/// The version of the product block, in every event as `metadata.log_version`.
pub const LOG_VERSION: &str = "doorward-audit/1";
/// The version of OCSF that the events follow.
pub const OCSF_VERSION: &str = "1.8.0";

/// One event.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request was allowed or denied. A short exchange is recorded once, at its end; a long
    /// one when it was decided, and again as [`Event::ExchangeEnded`].
    RequestDecided(Box<Trail>),
    /// A long exchange ended, or one was ended by a revocation, or when it was decided anew.
    ExchangeEnded(Box<Trail>),
    /// Somebody signed in with a browser, proved more than before, or could not.
    SignIn(Box<BrowserSignIn>),
    /// Access was taken away.
    Revocation(Box<Revocation>),
    /// Something was not done in time and somebody owes it, or what was owed is settled.
    ControlDebt(Box<ControlDebt>),
    /// A life changed: somebody joined, moved, left or returned; or that was asked for in vain.
    Lifecycle(Box<LifecycleChange>),
    /// Another policy bundle is in force.
    PolicySwapped(Box<PolicySwap>),
    /// A policy bundle was refused; the one before stays in force.
    PolicyRejected(Box<PolicyRejection>),
    /// The files hold the policies in force again, after a bundle was refused.
    PolicyMended(Box<PolicyMend>),
    /// A share is asked of another policy bundle than the one in force, or not any more.
    PolicyStaged(Box<PolicyStage>),
    /// Policies are asked beside those in force, or are not any more, or would change something.
    PolicyShadow(Box<PolicyShadow>),
    /// The GeoIP databases were read anew, or could not be.
    GeoReloaded(Box<GeoReload>),
    /// The certificates were read anew, or could not be.
    CertificatesReloaded(Box<CertificateReload>),
    /// Somebody used the operator API.
    OperatorCall(Box<OperatorCall>),
    /// The gateway takes requests.
    GatewayStarted(Box<GatewayStart>),
    /// The gateway takes no more requests and waits for those that run.
    GatewayDraining(Box<GatewayDrain>),
    /// The gateway is about to exit.
    GatewayStopped(Box<GatewayStop>),
    /// Something is missing from the log. Written by the log itself.
    AuditGap(Box<Gap>),
    /// A file of an earlier run ended in the middle of a line. Written by the log itself.
    TornTailRepaired(Box<TornTail>),
    /// More refusals of nobody in particular than are written one by one. Written by the log itself.
    RefusalsSummarized(Box<RefusalSummary>),
    /// The oldest file is removed, so that the log keeps to its bound. Written by the log itself.
    SegmentRetired(Box<RetiredSegment>),
}

/// Who caused something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody with the operator token.
    Operator {
        /// Who they say they are: `operator` where the token is all that is known.
        name: String,
        /// Where they connect from.
        address: Option<IpAddr>,
    },
    /// Somebody for themselves, such as whoever signs out.
    Person {
        /// Who, by the link of the sign-in.
        user: UserId,
        /// Where they connect from.
        address: Option<IpAddr>,
    },
    /// The gateway itself: a file changed, a signal arrived.
    Gateway,
}

/// Access was taken away: the facts of the receipt.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// The revocation's id; terminated exchanges name it.
    pub id: Arc<str>,
    /// Whom it hits.
    pub target: Target,
    /// What is now remembered of the target.
    pub entry: Entry,
    /// Where the person stands now. For a target that is no person: unknown.
    pub stage: LifecycleStage,
    /// Who did it.
    pub actor: Actor,
    /// Why, as a word: `operator`, `policy`, ...
    pub cause: &'static str,
    /// Why, in the actor's own words.
    pub note: Option<String>,
    /// The call that asked for it.
    pub request_id: Option<Arc<str>>,
    /// The revision of the policy bundle in force.
    pub revision: Option<Arc<str>>,
    /// When the call came in.
    pub received_at: UnixMillis,
    /// When the store had it safe.
    pub durable_at: UnixMillis,
    /// When it had gone out to the other nodes. None where there are none, or it had not.
    pub published_at: Option<UnixMillis>,
    /// When new requests were refused on this node.
    pub enforced_at: UnixMillis,
    /// When the last running exchange was over, if all of them are.
    pub ended_at: Option<UnixMillis>,
    /// How many exchanges were ended, by protocol.
    pub ended: Vec<(Protocol, u64)>,
    /// How many still ran when this was written.
    pub remaining: u64,
}

/// A policy bundle was refused.
#[derive(Clone, Debug)]
pub struct PolicyRejection {
    /// Who caused it.
    pub actor: Actor,
    /// The revision that stays in force.
    pub in_force: Option<Arc<str>>,
    /// Where the refused one was read from.
    pub source: String,
    /// What is wrong. The first few are recorded, and how many there are.
    pub mistakes: Vec<String>,
}

/// What was refused is gone: the files hold the policies in force.
#[derive(Clone, Debug)]
pub struct PolicyMend {
    /// Who caused it.
    pub actor: Actor,
    /// The revision that was in force all along.
    pub revision: Arc<str>,
    /// Where it was read from.
    pub source: String,
}

/// The certificates were read anew.
#[derive(Clone, Debug)]
pub struct CertificateReload {
    /// Who caused it.
    pub actor: Actor,
    /// The files with the chains.
    pub chains: Vec<String>,
    /// Why the ones before are kept, if they are.
    pub kept: Option<String>,
}

/// The GeoIP databases were read anew.
#[derive(Clone, Debug)]
pub struct GeoReload {
    /// Who caused it.
    pub actor: Actor,
    /// The databases now in use, each with its build time.
    pub databases: Vec<(String, Option<UnixMillis>)>,
    /// Why the ones before are kept, if they are.
    pub kept: Option<String>,
}

/// Somebody used the operator API.
#[derive(Clone, Debug)]
pub struct OperatorCall {
    /// The call's id.
    pub request_id: Arc<str>,
    /// Who.
    pub actor: Actor,
    /// What was asked for, as a stable word such as `revoke.user`.
    pub operation: &'static str,
    /// The method of the call.
    pub method: String,
    /// The path of the call, without the query.
    pub path: String,
    /// Whom or what it was about.
    pub target: Option<String>,
    /// The status it was answered with.
    pub status: u16,
    /// Whether it took access away. Such a call belongs to its revocation, and is written where
    /// on a full disk other calls are not.
    pub takes_away: bool,
}

/// The gateway takes requests.
#[derive(Clone, Debug)]
pub struct GatewayStart {
    /// The revision of the policy bundle in force.
    pub revision: Option<Arc<str>>,
    /// Guards that the configuration switches off: these must be seen.
    pub exceptions: Vec<String>,
}

/// The gateway waits for what runs.
#[derive(Clone, Debug)]
pub struct GatewayDrain {
    /// Why: a signal, an upgrade.
    pub cause: String,
    /// How many exchanges run.
    pub running: u64,
}

/// The gateway is about to exit.
#[derive(Clone, Debug)]
pub struct GatewayStop {
    /// Why.
    pub cause: String,
    /// How many exchanges were cut off because the drain took too long.
    pub cut_off: u64,
}

/// Why something is missing from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// More was recorded than could be written.
    Overflow,
    /// The disk refused, for a while.
    WriteFailed,
    /// The file was deleted while it was written.
    SegmentRemoved,
    /// The file was renamed, or another one put in its place.
    SegmentMoved,
    /// The file became shorter or longer than what was written.
    SegmentAltered,
    /// A file of an earlier run has lines that are no events.
    SegmentDamaged,
    /// An event could not be encoded.
    NotEncodable,
}

impl GapCause {
    /// Every cause.
    pub const ALL: [Self; 7] = [
        Self::Overflow,
        Self::WriteFailed,
        Self::SegmentRemoved,
        Self::SegmentMoved,
        Self::SegmentAltered,
        Self::SegmentDamaged,
        Self::NotEncodable,
    ];

    /// The word for it in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::WriteFailed => "write_failed",
            Self::SegmentRemoved => "segment_removed",
            Self::SegmentMoved => "segment_moved",
            Self::SegmentAltered => "segment_altered",
            Self::SegmentDamaged => "segment_damaged",
            Self::NotEncodable => "not_encodable",
        }
    }
}

/// Something is missing from the log.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Why.
    pub cause: GapCause,
    /// The first and the last sequence number that is missing. Those between them that are in
    /// the files are not missing.
    pub range: Option<(Sequence, Sequence)>,
    /// How many are missing. For a file that was tampered with: how many were in it. For a
    /// damaged one: how many of its lines are no events.
    pub lost: Counts,
    /// What the system said.
    pub detail: Option<String>,
    /// Which file, if one is concerned.
    pub segment: Option<String>,
}

/// A torn tail was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub segment: String,
    /// Its size now.
    pub kept_bytes: u64,
    /// How much was cut.
    pub cut_bytes: u64,
    /// Where the cut bytes are kept.
    pub aside: String,
}

/// Refusals that were counted and not written one by one: whoever did not sign in can cause as
/// many as they like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalSummary {
    /// When the first one was refused.
    pub first_at: UnixMillis,
    /// When the last one was.
    pub last_at: UnixMillis,
    /// How many, by the code of the refusal.
    pub by_reason: BTreeMap<&'static str, u64>,
}

impl RefusalSummary {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// A file that is removed because the log would be larger than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredSegment {
    /// The file.
    pub segment: String,
    /// Its size.
    pub bytes: u64,
    /// The most that the log may hold.
    pub total_bytes_max: u64,
}

impl Event {
    /// Every `metadata.event_code`, but for those of [`LifecycleCode`].
    pub const CODES: [&'static str; 35] = [
        "access.request.allowed",
        "access.request.denied",
        "access.exchange.ended",
        "access.exchange.terminated",
        "access.exchange.withdrawn",
        "session.begun",
        "session.raised",
        "sign_in.refused",
        "revocation.user",
        "revocation.session",
        "revocation.token",
        "revocation.device",
        "revocation.user_at_app",
        "control_debt.opened",
        "control_debt.settled",
        "policy.swapped",
        "policy.staged",
        "policy.rejected",
        "policy.mended",
        "policy.shadow.started",
        "policy.shadow.found",
        "policy.shadow.stopped",
        "policy.shadow.promoted",
        "geoip.reloaded",
        "geoip.kept",
        "certificates.reloaded",
        "certificates.kept",
        "operator.call",
        "gateway.started",
        "gateway.draining",
        "gateway.stopped",
        "audit.gap",
        "audit.torn_tail_repaired",
        "audit.refusals_summarized",
        "audit.segment_retired",
    ];

    /// The code that stands in `metadata.event_code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::RequestDecided(trail) => match trail.outcome() {
                Some(Outcome::Allowed) => "access.request.allowed",
                Some(Outcome::Denied(_)) | None => "access.request.denied",
            },
            Self::ExchangeEnded(trail) => {
                if is_terminated(trail) {
                    "access.exchange.terminated"
                } else if withdrawal(trail).is_some() {
                    "access.exchange.withdrawn"
                } else {
                    "access.exchange.ended"
                }
            }
            Self::SignIn(sign_in) => sign_in.code(),
            Self::Revocation(revocation) => match revocation.target {
                Target::User(_) => "revocation.user",
                Target::Session(_) => "revocation.session",
                Target::Token(_) => "revocation.token",
                Target::Device(_) => "revocation.device",
                Target::UserAtApp(..) => "revocation.user_at_app",
            },
            Self::ControlDebt(debt) => match debt.step {
                DebtStep::Opened { .. } => "control_debt.opened",
                DebtStep::Settled { .. } => "control_debt.settled",
            },
            Self::Lifecycle(change) => change.code.as_str(),
            Self::PolicySwapped(_) => "policy.swapped",
            Self::PolicyRejected(_) => "policy.rejected",
            Self::GeoReloaded(reload) if reload.kept.is_none() => "geoip.reloaded",
            Self::GeoReloaded(_) => "geoip.kept",
            Self::PolicyMended(_) => "policy.mended",
            Self::PolicyStaged(_) => "policy.staged",
            Self::PolicyShadow(shadow) => shadow.step.code(),
            Self::CertificatesReloaded(reload) if reload.kept.is_none() => "certificates.reloaded",
            Self::CertificatesReloaded(_) => "certificates.kept",
            Self::OperatorCall(_) => "operator.call",
            Self::GatewayStarted(_) => "gateway.started",
            Self::GatewayDraining(_) => "gateway.draining",
            Self::GatewayStopped(_) => "gateway.stopped",
            Self::AuditGap(_) => "audit.gap",
            Self::TornTailRepaired(_) => "audit.torn_tail_repaired",
            Self::RefusalsSummarized(_) => "audit.refusals_summarized",
            Self::SegmentRetired(_) => "audit.segment_retired",
        }
    }

    /// Appends the event to `out` as one line of JSON.
    pub(crate) fn write(&self, head: &Head<'_>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self {
            Self::RequestDecided(trail) => exchange::decided(head, trail, out),
            Self::ExchangeEnded(trail) => exchange::ended(head, trail, out),
            Self::SignIn(sign_in) => sign_in::sign_in(head, sign_in, out),
            Self::Revocation(revocation) => standing::revocation(head, revocation, out),
            Self::ControlDebt(owed) => debt::control_debt(head, owed, out),
            Self::Lifecycle(change) => lifecycle::change(head, change, out),
            Self::PolicySwapped(swap) => policies::swapped(head, swap, out),
            Self::PolicyStaged(stage) => policies::staged(head, stage, out),
            Self::PolicyRejected(rejection) => house::policy_rejected(head, rejection, out),
            Self::PolicyMended(mend) => house::policy_mended(head, mend, out),
            Self::PolicyShadow(shadow) => shadow::policy_shadow(head, shadow, out),
            Self::GeoReloaded(reload) => house::geo_reloaded(head, reload, out),
            Self::CertificatesReloaded(reload) => house::certificates_reloaded(head, reload, out),
            Self::OperatorCall(call) => house::operator_call(head, call, out),
            Self::GatewayStarted(start) => house::gateway_started(head, start, out),
            Self::GatewayDraining(drain) => house::gateway_draining(head, drain, out),
            Self::GatewayStopped(stop) => house::gateway_stopped(head, stop, out),
            Self::AuditGap(gap) => house::gap(head, gap, out),
            Self::TornTailRepaired(torn) => house::torn_tail(head, torn, out),
            Self::RefusalsSummarized(summary) => house::refusals_summarized(head, summary, out),
            Self::SegmentRetired(retired) => house::segment_retired(head, retired, out),
        }
    }

    /// The event as one line of JSON, with its newline, as the log of this run of this node
    /// would write it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_line(
        &self,
        identity: &Identity,
        run: &str,
        sequence: Sequence,
        now: UnixMillis,
    ) -> Result<String, serde_json::Error> {
        let mut out = Vec::new();
        let head = Head { identity, run, sequence, code: self.code(), time: self.time().unwrap_or(now) };
        self.write(&head, &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}
