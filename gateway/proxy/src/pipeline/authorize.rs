//! May they?

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Outcome, Ruling};
use doorward_context::calendar::Moment;
use doorward_model::{Explained, Place, Principal, Refusal, RefusalCode, Risk, UnixMillis};
use doorward_policy::{Action, Decision, Hand, PolicyBundle, Question, Revision, record};

use crate::config::{App, AuditNeed};
use crate::inflight::Slot;
use crate::pipeline::House;
use crate::pipeline::accept::Accepted;
use crate::pipeline::identify::Who;
use crate::pipeline::record::Story;
use crate::pipeline::revocation::Unrevoked;
use crate::review::{self, Held, Mark};
use crate::upstream::{Streaming, Upstreams};

mod step_up;

/// Proof that one request may pass to one app: well-formed, identified, not cut off, permitted
/// by the policies, and recordable. Without it no upstream can be reached.
pub struct Permit {
    unrevoked: Unrevoked,
    risk: Risk,
}

impl Permit {
    pub(crate) const fn accepted(&self) -> &Accepted {
        self.unrevoked.enriched().identified().accepted()
    }

    /// Who asked, when they asked.
    pub(crate) const fn who(&self) -> &Who {
        self.unrevoked.enriched().identified().who()
    }

    /// How odd it looked, when they asked.
    pub(crate) const fn risk(&self) -> Risk {
        self.risk
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

/// Who asks, from where and when: what may be another thing for the same request later.
pub(crate) struct Standpoint<'a> {
    pub(crate) who: &'a Who,
    pub(crate) place: &'a Place,
    pub(crate) risk: Risk,
    pub(crate) moment: Moment,
}

/// A request as policies see it from a standpoint.
fn question<'a>(accepted: &'a Accepted, from: &Standpoint<'a>) -> Result<Question<'a>, Refusal> {
    let route = accepted
        .resolved()
        .route()
        .ok_or_else(|| Refusal::new(RefusalCode::Internal, "the route is gone"))?;
    let &Standpoint { who, place, risk, moment } = from;
    Ok(Question {
        principal: who.principal(),
        owner_stage: who.owner_stage(),
        granted: who.is_granted(route.facts.id.app()),
        action: accepted.action(),
        route: &route.facts,
        session: who.assurance(),
        device: who.device(),
        place,
        risk,
        now: moment.now,
        local_time: moment.local_time,
        weekday: moment.weekday,
        host: accepted.host(),
        path: accepted.resolved().path.as_str(),
        user_agent: accepted.user_agent(),
    })
}

/// What a bundle says of a request, seen from a standpoint, and how long it took to say it. With the id of the
/// request others may be asked about it, too, beside the request.
pub(crate) fn ask(
    house: &House,
    bundle: &PolicyBundle,
    accepted: &Accepted,
    from: &Standpoint<'_>,
    request_id: Option<&Arc<str>>,
) -> Result<(Ruling, Option<Refusal>, Duration), Refusal> {
    let question = question(accepted, from)?;
    let &Standpoint { who, moment, .. } = from;
    let began = (house.ticks)();
    let verdict = bundle.decide(&question);
    let took = (house.ticks)().saturating_sub(began);
    if let Some(request_id) = request_id {
        house.shadow.offer(&question, &verdict, bundle, request_id);
    }
    let refusal = match verdict.decision {
        Decision::Allow => None,
        Decision::Deny => {
            let no = || Refusal::new(RefusalCode::NoPermit, "no policy permits it");
            Some(sign_in_or_no(verdict.refusal.unwrap_or_else(no), who, moment.now))
        }
    };
    let ruling = Ruling {
        outcome: refusal.as_ref().map_or(Outcome::Allowed, |refusal| Outcome::Denied(refusal.code)),
        determining: verdict.determining,
        errors: verdict.errors.into_iter().map(|(id, why)| format!("{id}: {why}")).collect(),
        latency_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        revision: text_of(verdict.revision),
        situation: house.audit.keeps_situations().then(|| record::write(&question).into()),
    };
    Ok((ruling, refusal, took))
}

/// Adds what the person can do about it, and which clauses failed. Only for what is refused at the door: what runs and
/// is decided anew has nobody who waits for it.
fn explained(bundle: &PolicyBundle, accepted: &Accepted, from: &Standpoint<'_>, refusal: Refusal) -> Refusal {
    let Ok(question) = question(accepted, from) else { return refusal };
    let told = bundle.at_the_door(&question);
    let next = told.steps.into_iter().filter_map(Hand::advice).collect();
    Refusal { explained: Some(Box::new(Explained { next, clauses: told.clauses })), ..refusal }
}

/// A refusal becomes a demand where another sign-in would help.
fn sign_in_or_no(refusal: Refusal, who: &Who, now: UnixMillis) -> Refusal {
    let helps = |demand| step_up::would_help(demand, who.principal(), who.assurance(), now);
    let demand = refusal.demand.and_then(helps);
    let code = if demand.is_some() { RefusalCode::StepUp } else { refusal.code };
    Refusal { code, demand, ..refusal }
}

/// Asks the policies in force, and once more if something changed since `mark` was taken. From then on
/// the exchange is decided anew whenever something does.
pub(crate) fn authorize(
    house: &House,
    unrevoked: Unrevoked,
    risk: Risk,
    mark: Mark,
    slot: &Slot,
    story: &mut Story,
) -> Result<Arc<Permit>, Refusal> {
    let enriched = unrevoked.enriched();
    let identified = enriched.identified();
    let app = &identified.accepted().resolved().app.app.id;
    let bundle = house.policies.bundle_for(identified.who().principal(), app);
    let standpoint =
        Standpoint { who: identified.who(), place: enriched.place(), risk, moment: enriched.moment() };
    let (ruling, refusal, took) =
        ask(house, &bundle, identified.accepted(), &standpoint, Some(story.request_id()))?;
    if let Some(refusal) = refusal {
        story.decided(ruling, took);
        return Err(explained(&bundle, identified.accepted(), &standpoint, refusal));
    }
    let permit = Arc::new(Permit { unrevoked, risk });
    let held = Held::new(Arc::clone(&permit), bundle.revision(), (house.ticks)());
    slot.keeps(Some(Arc::clone(&held)));
    // Whatever changes from here on finds it.
    let (anew, refusal) =
        if house.review.is_past(mark) { review::ask_again(house, &held) } else { (None, None) };
    story.decided(anew.unwrap_or(ruling), took);
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    if permit.app().audit == AuditNeed::Required && !house.audit.accepts_grants() {
        return Err(Refusal::new(RefusalCode::AuditUnavailable, "the audit log cannot be written"));
    }
    house.inflight.endings().allowed(|| permit.principal().answerable(), (house.clock)());
    Ok(permit)
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
