//! What the audit log is told, and when: a no after it bites, a yes before it happens.

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{
    About, ByKind, LIFECYCLE_MEMBERS_MAX, LifecycleChange, LifecycleCode, LifecycleDifference,
    LifecycleOutcome, Revocation,
};
use doorward_audit::{Actor as AuditActor, Event, Protocol};
use doorward_model::directory::{GroupId, Person};
use doorward_model::limits::OPERATOR_AUDIT_SECONDS_MAX;
use doorward_model::{LifecycleStage, Target};
use doorward_state::{Committed, Ended, Receipt};
use futures_util::future::join_all;

use super::Inner;
use super::answer::{Asker, Failed};
use super::cases::CaseWrite;
use super::directory::Read;
use super::plan::Plan;
use crate::machine::{Act, Actor, ActorKind, Changed, Denied, Event as Told, EventName, Step, source_text};

/// The code of an event of the table.
pub(super) const fn code(name: EventName) -> LifecycleCode {
    match name {
        EventName::Create => LifecycleCode::UserCreate,
        EventName::Activate => LifecycleCode::UserActivate,
        EventName::Reactivate => LifecycleCode::UserReactivate,
        EventName::Suspend => LifecycleCode::UserSuspend,
        EventName::Unsuspend => LifecycleCode::UserUnsuspend,
        EventName::Deactivate => LifecycleCode::UserDeactivate,
        EventName::DeleteInitiated => LifecycleCode::UserDeleteInitiated,
        EventName::DeleteCompleted => LifecycleCode::UserDeleteCompleted,
        EventName::Denied => LifecycleCode::UserDenied,
        EventName::Verify => LifecycleCode::UserVerify,
        EventName::Lock => LifecycleCode::UserLock,
        EventName::Unlock => LifecycleCode::UserUnlock,
        EventName::UnlockByAdmin => LifecycleCode::UserUnlockByAdmin,
        EventName::UpdateProfile => LifecycleCode::UserUpdateProfile,
        EventName::Override => LifecycleCode::UserOverride,
        EventName::PrivilegeGrant => LifecycleCode::UserPrivilegeGrant,
        EventName::PrivilegeRevoke => LifecycleCode::UserPrivilegeRevoke,
        EventName::InvitationCreate => LifecycleCode::InvitationCreate,
        EventName::InvitationRevoke => LifecycleCode::InvitationRevoke,
        EventName::GroupAdd => LifecycleCode::GroupMemberAdd,
        EventName::GroupRemove => LifecycleCode::GroupMemberRemove,
        EventName::AppAdd => LifecycleCode::AppAdd,
        EventName::AppRemove => LifecycleCode::AppRemove,
        EventName::HoldSet => LifecycleCode::HoldSet,
        EventName::HoldClear => LifecycleCode::HoldClear,
        EventName::SessionClear => LifecycleCode::SessionClear,
        EventName::Link => LifecycleCode::SignInLink,
        EventName::Unlink => LifecycleCode::SignInUnlink,
        EventName::HandOver => LifecycleCode::UserHandOver,
        EventName::TakeOver => LifecycleCode::UserTakeOver,
        EventName::OffboardingVerify => LifecycleCode::OffboardingVerify,
        EventName::OffboardingClose => LifecycleCode::OffboardingClose,
    }
}

const fn by(kind: ActorKind) -> ByKind {
    match kind {
        ActorKind::Operator => ByKind::Operator,
        ActorKind::Source => ByKind::Source,
        ActorKind::Signal => ByKind::Signal,
        ActorKind::Person => ByKind::Person,
        ActorKind::System => ByKind::System,
    }
}

fn different(changed: &Changed) -> LifecycleDifference {
    LifecycleDifference {
        what: changed.what.clone(),
        before: changed.before.clone(),
        after: changed.after.clone(),
        set_by: changed.set_by.clone(),
    }
}

pub(super) fn by_protocol(ended: Ended) -> Vec<(Protocol, u64)> {
    let count = |protocol| match protocol {
        Protocol::Http1 => ended.http1,
        Protocol::Http2 => ended.http2,
        Protocol::WebSocket => ended.websocket,
        Protocol::EventStream => ended.event_stream,
        Protocol::Grpc => ended.grpc,
    };
    Protocol::ALL.into_iter().map(|p| (p, u64::try_from(count(p)).unwrap_or(u64::MAX))).collect()
}

impl Inner {
    /// An event that says what all of them say.
    pub(super) fn event(&self, code: LifecycleCode, about: About, asker: &Asker) -> LifecycleChange {
        LifecycleChange {
            code,
            about,
            by: by(asker.actor.kind()),
            by_name: asker.actor.name().to_owned(),
            cause: asker.cause.to_string(),
            request_id: Some(Arc::clone(&asker.request_id)),
            outcome: LifecycleOutcome::Done,
            command: "",
            edge: "",
            source: String::new(),
            stage: None,
            changes: Vec::new(),
            members: Vec::new(),
            asserted_at: asker.asserted_at,
            revocations: Vec::new(),
            ended: Vec::new(),
            why: None,
            takes_away: false,
        }
    }

    fn event_of(
        &self,
        (step, group): (&Step, Option<GroupId>),
        told: &Told,
        asker: &Asker,
    ) -> LifecycleChange {
        let person: Arc<str> = step.after.id.to_string().into();
        let is_of_group = matches!(told.name, EventName::GroupAdd | EventName::GroupRemove);
        let (about, members) = match group.filter(|_| is_of_group) {
            Some(group) => {
                let name = self.view.group_name(group);
                (About::Group { id: group.to_string().into(), name }, vec![person])
            }
            None => (About::Person(Some(person)), Vec::new()),
        };
        LifecycleChange {
            command: step.edge.command.as_str(),
            edge: step.edge.id,
            source: source_text(&step.after.source),
            stage: Some(step.after.stage()),
            changes: told.changes.iter().map(different).collect(),
            members,
            ..self.event(code(told.name), about, asker)
        }
    }

    /// Everything that a plan tells, as if it were done.
    fn events_of(&self, plan: &Plan, case: Option<&CaseWrite>, asker: &Asker) -> Vec<LifecycleChange> {
        let mut events = Vec::new();
        for (step, group) in plan.steps_and_groups() {
            let first = events.len();
            events.extend(step.events.iter().map(|told| self.event_of((step, group), told, asker)));
            // What was cut off by the step stands with what was said first of it.
            if let Some(event) = events.get_mut(first) {
                event.takes_away = step.consequences.cuts.iter().any(|cut| takes(cut.act));
            }
        }
        for machine in &plan.stopped {
            let (id, user) = (machine.it.id.to_string().into(), machine.it.user.clone());
            let mut event = self.event(LifecycleCode::MachineStop, About::Machine { id, user }, asker);
            event.command = "stop";
            event.why = Some("the person who answers for it left".to_owned());
            event.takes_away = true;
            events.push(event);
        }
        events.extend(case.into_iter().flat_map(|case| self.case_events(case, asker)));
        events
    }

    /// Tells of what was done. True when the log has all of it; with the numbers of the first and the last
    /// event, then.
    pub(super) async fn tell_done(
        &self,
        plan: &Plan,
        case: Option<&CaseWrite>,
        committed: &Committed,
        asker: &Asker,
    ) -> (bool, Option<(u64, u64)>) {
        let mut events = self.events_of(plan, case, asker);
        if let Some(first) = events.first_mut() {
            first.revocations =
                committed.receipts.iter().map(|receipt| receipt.id.to_string().into()).collect();
            first.ended = by_protocol(Ended::of(&committed.receipts));
        }
        let stage = plan.after.stage();
        let cuts = plan.consequences().flat_map(|consequences| &consequences.cuts);
        let made = committed.receipts.iter().zip(cuts).filter(|(_, cut)| takes(cut.act));
        let made = made.map(|(receipt, _)| self.revocation(receipt, stage, asker));
        let events = events.into_iter().map(|event| Event::Lifecycle(Box::new(event)));
        self.record_numbered(made.chain(events).collect()).await
    }

    /// Tells what was decided and could not be saved.
    pub(super) async fn tell_unsaved(
        &self,
        read: Option<&Read>,
        plan: &Plan,
        failed: &Failed,
        asker: &Asker,
    ) {
        if let Failed::Taken { .. } | Failed::Bad { .. } = failed {
            let mut event = self.denied(read, asker);
            event.command = plan.steps.last().map_or("", |step| step.edge.command.as_str());
            event.why = Some(failed.to_string());
            let _on_record = self.tell(vec![event]).await;
            return;
        }
        let mut events = self.events_of(plan, None, asker);
        for event in &mut events {
            event.outcome = LifecycleOutcome::NotSaved;
            event.why = Some(failed.to_string());
            event.takes_away = event.takes_away && failed.enforced();
        }
        let _on_record = self.tell(events).await;
    }

    pub(super) async fn tell_denied(&self, read: Option<&Read>, denied: &Denied, asker: &Asker) {
        let mut event = self.denied(read, asker);
        event.command = denied.command.as_str();
        event.why = Some(format!("{denied}; {}", denied.help()));
        let _on_record = self.tell(vec![event]).await;
    }

    /// Tells what did not become of a group: what was refused, or what was decided and could not be saved.
    pub(super) async fn tell_group_undone(
        &self,
        (id, command): (GroupId, &'static str),
        mut unsaved: Vec<LifecycleChange>,
        failed: &Failed,
        asker: &Asker,
    ) {
        if is_refusal(failed) {
            let name = self.view.group_name(id);
            let about = About::Group { id: id.to_string().into(), name };
            unsaved = vec![LifecycleChange {
                outcome: LifecycleOutcome::Denied,
                command,
                why: Some(failed.to_string()),
                ..self.event(code(Denied::EVENT), about, asker)
            }];
        } else {
            for event in &mut unsaved {
                event.outcome = LifecycleOutcome::NotSaved;
                event.why = Some(failed.to_string());
            }
        }
        if !unsaved.is_empty() {
            let _on_record = self.tell(unsaved).await;
        }
    }

    fn denied(&self, read: Option<&Read>, asker: &Asker) -> LifecycleChange {
        let person: Option<&Person> = read.map(|read| &*read.person);
        let about = About::Person(person.map(|person| person.id.to_string().into()));
        LifecycleChange {
            outcome: LifecycleOutcome::Denied,
            source: person.map(|person| source_text(&person.source)).unwrap_or_default(),
            stage: person.map(Person::stage),
            ..self.event(code(Denied::EVENT), about, asker)
        }
    }

    /// Puts on record what a plan is about to give. `on_record` has what former attempts put there.
    pub(super) async fn intend(
        &self,
        plan: &Plan,
        asker: &Asker,
        on_record: &mut Vec<&'static str>,
    ) -> Result<(), Failed> {
        let edges: Vec<&'static str> = plan.steps.iter().map(|step| step.edge.id).collect();
        if *on_record == edges {
            return Ok(());
        }
        let mut intents = Vec::new();
        for (step, group) in plan.steps_and_groups().filter(|(step, _)| step.changes_anything()) {
            let told = Told { name: EventName::UpdateProfile, changes: changes_of(step) };
            let mut intent = self.event_of((step, group), &told, asker);
            intent.code = LifecycleCode::Intended;
            intent.outcome = LifecycleOutcome::Intended;
            intents.push(intent);
        }
        self.must_record(intents).await?;
        *on_record = edges;
        Ok(())
    }

    /// What gives access is in the log first, or does not happen. Asked first: what the log set aside for a
    /// full disk is for taking away.
    pub(super) async fn must_record(&self, events: Vec<LifecycleChange>) -> Result<(), Failed> {
        let why = || self.ports.audit.health().last_error;
        let refuse = || why().unwrap_or_else(|| "it takes no grants now".to_owned());
        if !self.ports.audit.accepts_grants() {
            return Err(Failed::NotOnRecord(refuse()));
        }
        if self.tell(events).await { Ok(()) } else { Err(Failed::NotOnRecord(refuse())) }
    }

    /// Records events in their order, and comes back when all of them are durable, or cannot be. True when
    /// the log has all of them.
    pub(super) async fn tell(&self, events: Vec<LifecycleChange>) -> bool {
        let events = events.into_iter().map(|event| Event::Lifecycle(Box::new(event)));
        self.record_events(events.collect()).await
    }

    pub(super) async fn record_events(&self, events: Vec<Event>) -> bool {
        self.record_numbered(events).await.0
    }

    /// As [`Self::record_events`], with the numbers of the first and the last of them in the log.
    pub(super) async fn record_numbered(&self, events: Vec<Event>) -> (bool, Option<(u64, u64)>) {
        let bound = Duration::from_secs(OPERATOR_AUDIT_SECONDS_MAX);
        let all = join_all(events.into_iter().map(|event| self.ports.audit.record_durable(event)));
        let Ok(recorded) = tokio::time::timeout(bound, all).await else { return (false, None) };
        let Ok(numbers) = recorded.into_iter().collect::<Result<Vec<_>, _>>() else { return (false, None) };
        let number = |sequence: Option<&doorward_audit::Sequence>| sequence.map(|sequence| sequence.0);
        (true, number(numbers.iter().min()).zip(number(numbers.iter().max())))
    }

    /// The event of a revocation, as every other one has it.
    pub(super) fn revocation(&self, receipt: &Receipt, stage: LifecycleStage, asker: &Asker) -> Event {
        let is_person = matches!(receipt.target, Target::User(_) | Target::UserAtApp(..));
        let running = u64::try_from(receipt.ended.exchanges()).unwrap_or(u64::MAX);
        let actor = match &asker.actor {
            Actor::Operator(name) => AuditActor::Operator { name: name.to_string(), address: None },
            Actor::Source(_) | Actor::Signal(_) | Actor::Person | Actor::System => AuditActor::Gateway,
        };
        Event::Revocation(Box::new(Revocation {
            id: receipt.id.to_string().into(),
            target: receipt.target.clone(),
            entry: receipt.entry,
            stage: if is_person { stage } else { LifecycleStage::Unknown },
            actor,
            cause: asker.actor.kind().as_str(),
            note: (!asker.cause.is_empty()).then(|| asker.cause.to_string()),
            request_id: Some(Arc::clone(&asker.request_id)),
            revision: (self.ports.revision)(),
            received_at: receipt.applied_at,
            durable_at: receipt.durable_at,
            published_at: receipt.published.map(|published| published.at),
            enforced_at: receipt.applied_at,
            ended_at: (running == 0).then_some(receipt.applied_at),
            ended: by_protocol(receipt.ended),
            remaining: running,
        }))
    }
}

/// Whether somebody was told no, and not that it does not work now. Who is stopped is told of where they are.
const fn is_refusal(failed: &Failed) -> bool {
    match failed {
        Failed::Denied(_)
        | Failed::Member { .. }
        | Failed::Taken { .. }
        | Failed::Nesting(_)
        | Failed::Case(_)
        | Failed::Refused { .. }
        | Failed::TooMany { .. }
        | Failed::Bad { .. } => true,
        Failed::NotFound { .. }
        | Failed::Changed { .. }
        | Failed::Busy { .. }
        | Failed::Halted(_)
        | Failed::NotOnRecord(_)
        | Failed::Damaged { .. }
        | Failed::State(_)
        | Failed::Interrupted => false,
    }
}

/// Everything that a step makes different: the first of its events says it, but for one that tells of
/// overriding.
fn changes_of(step: &Step) -> Vec<Changed> {
    step.events.first().map(|told| told.changes.clone()).unwrap_or_default()
}

pub(super) const fn takes(act: Act) -> bool {
    match act {
        Act::Revoke | Act::Disable => true,
        Act::Reactivate => false,
    }
}

/// Splits members into what one event names.
pub(super) fn in_parts(members: &[Arc<str>]) -> impl Iterator<Item = Vec<Arc<str>>> {
    members.chunks(LIFECYCLE_MEMBERS_MAX).map(<[_]>::to_vec)
}
