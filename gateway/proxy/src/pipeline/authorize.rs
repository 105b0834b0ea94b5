//! May they?

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Outcome, Ruling};
use doorward_model::{LifecycleStage, Principal, Refusal, RefusalCode};
use doorward_policy::{Action, Question, Revision};

use crate::config::{App, AuditNeed};
use crate::pipeline::House;
use crate::pipeline::accept::Accepted;
use crate::pipeline::record::Story;
use crate::pipeline::revocation::Unrevoked;
use crate::upstream::{Streaming, Upstreams};

/// Proof that one request may pass to one app: well-formed, identified, not cut off, permitted
/// by the policies, and recordable. Without it no upstream can be reached.
pub struct Permit {
    unrevoked: Unrevoked,
}

impl Permit {
    pub(crate) const fn accepted(&self) -> &Accepted {
        self.unrevoked.enriched().identified().accepted()
    }

    pub(crate) fn principal(&self) -> &Arc<Principal> {
        self.unrevoked.enriched().identified().principal()
    }

    pub(crate) fn app(&self) -> &App {
        &self.accepted().resolved().app.app
    }

    pub(crate) fn upstream(&self) -> &Upstreams {
        &self.accepted().resolved().app.upstream
    }

    pub(crate) const fn streaming(&self) -> Streaming {
        self.accepted().streaming()
    }

    /// How long the app may take to begin its answer, where Pingora does not count. A gRPC stream
    /// may begin it when there is something to say.
    pub(crate) fn answer_max(&self, uploads: bool) -> Option<Duration> {
        let streaming = self.streaming();
        if streaming == Streaming::Yes && !self.is_upgrade() {
            return None;
        }
        self.upstream().answer_max(streaming, uploads)
    }

    /// The bound on the body, which a stream does not have: a WebSocket, and gRPC to an app that
    /// speaks HTTP/2. To another app gRPC is a word that any client may write.
    pub(crate) fn request_body_bytes_max(&self) -> Option<u64> {
        let streams =
            self.is_upgrade() || (self.streaming() == Streaming::Yes && self.upstream().speaks_h2());
        self.app().request_body_bytes_max.filter(|_| !streams)
    }

    /// Whether the app wants no request that is not in the log.
    pub(crate) fn must_be_recorded(&self) -> bool {
        self.app().audit == AuditNeed::Required
    }

    fn is_upgrade(&self) -> bool {
        self.accepted().action() == Action::Upgrade
    }
}

/// Asks the policies in force.
pub(crate) fn authorize(house: &House, unrevoked: Unrevoked, story: &mut Story) -> Result<Permit, Refusal> {
    let enriched = unrevoked.enriched();
    let identified = enriched.identified();
    let accepted = identified.accepted();
    let route = accepted
        .resolved()
        .route()
        .ok_or_else(|| Refusal::new(RefusalCode::Internal, "the route is gone"))?;
    let moment = enriched.moment();
    let began = (house.ticks)();
    let verdict = house.policies.bundle().decide(&Question {
        principal: identified.principal(),
        owner_stage: LifecycleStage::Unknown,
        action: accepted.action(),
        route: &route.facts,
        session: identified.assurance(),
        device: identified.device(),
        place: enriched.place(),
        risk: identified.risk(),
        now: moment.now,
        local_time: moment.local_time,
        weekday: moment.weekday,
        host: accepted.host(),
        path: accepted.resolved().path.as_str(),
        user_agent: accepted.user_agent(),
    });
    let took: Duration = (house.ticks)().saturating_sub(began);
    let allowed = verdict.is_allow();
    let refusal = verdict.refusal;
    let code = refusal.as_ref().map_or(RefusalCode::NoPermit, |r| r.code);
    story.decided(
        Ruling {
            outcome: if allowed { Outcome::Allowed } else { Outcome::Denied(code) },
            determining: verdict.determining,
            errors: verdict.errors.into_iter().map(|(id, why)| format!("{id}: {why}")).collect(),
            latency_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            revision: text_of(verdict.revision),
        },
        took,
    );
    if !allowed {
        return Err(refusal.unwrap_or_else(|| Refusal::new(RefusalCode::NoPermit, "no policy permits it")));
    }
    if accepted.resolved().app.app.audit == AuditNeed::Required && !house.audit.accepts_grants() {
        return Err(Refusal::new(RefusalCode::AuditUnavailable, "the audit log cannot be written"));
    }
    Ok(Permit { unrevoked })
}

thread_local! {
    static LAST_REVISION: RefCell<Option<(Revision, Arc<str>)>> = const { RefCell::new(None) };
}

/// The revision as the log has it, written once for all decisions that share it.
fn text_of(revision: Revision) -> Arc<str> {
    LAST_REVISION.with_borrow_mut(|last| match last {
        Some((known, text)) if *known == revision => Arc::clone(text),
        Some(_) | None => {
            let text: Arc<str> = revision.to_string().into();
            *last = Some((revision, Arc::clone(&text)));
            text
        }
    })
}
