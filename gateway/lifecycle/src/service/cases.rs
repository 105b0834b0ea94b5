//! Offboarding cases: opened and ended with the person, in the same batch, and carried on by what is seen.

use std::sync::Arc;

use doorward_audit::event::{About, LifecycleChange, LifecycleCode};
use doorward_model::UnixMillis;
use doorward_model::directory::{PersonId, StateKind};
use doorward_state::{Batch, Expected, RecordKind, UniqueKey, Write};
use uuid::Uuid;

use super::answer::{Asker, Failed};
use super::ask::{Outcome, Stray, not_found};
use super::directory::{Place, Read, Versioned};
use super::plan::{self, Plan, clean};
use super::receipts::Pend;
use super::{ATTEMPTS_MAX, Inner, Lifecycle};
use crate::machine::{CaseStep, Command};
use crate::offboarding::{CASE_TEXT_BYTES_MAX, Case, CaseEvent, CaseState, Opening, Seen, Step};

/// What is done about a case.
#[derive(Clone, Debug)]
pub enum CaseAct {
    /// The gateway looked.
    Look(Box<Seen>),
    /// Somebody says that an item is done.
    Say {
        /// The item, by name.
        item: String,
        /// In their words.
        note: String,
    },
    /// It is closed.
    Close,
}

/// What became of a case.
#[derive(Clone, Debug)]
pub struct CaseDone {
    /// The case from now on.
    pub case: Case,
    /// What happened to it.
    pub events: Vec<CaseEvent>,
    /// The audit log has all of it.
    pub on_record: bool,
}

/// A case that is written with a person.
#[derive(Clone, Debug)]
pub(super) struct CaseWrite {
    pub(super) id: Uuid,
    pub(super) step: Step,
    pub(super) write: Write,
}

/// A person has one case at a time.
fn key(person: Uuid) -> Result<UniqueKey, Failed> {
    UniqueKey::new(&format!("case:{person}")).map_err(Failed::of)
}

fn write(step: Step, expected: Expected) -> Result<CaseWrite, Failed> {
    let id = step.case.id();
    let body = step.case.write().map_err(|error| Failed::Bad { field: "case", what: error.to_string() })?;
    let keys = match step.case.state() {
        CaseState::Open | CaseState::Verified => vec![key(step.case.person())?],
        CaseState::Closed | CaseState::Returned => Vec::new(),
    };
    let (kind, body) = (RecordKind::Case, Some(body.into()));
    Ok(CaseWrite { id, step, write: Write { kind, id: id.to_string().into(), expected, body, keys } })
}

/// Who asks, as a case can hold it.
fn by(asker: &Asker) -> String {
    let name = clean(asker.actor.name(), CASE_TEXT_BYTES_MAX);
    if name.trim().is_empty() { asker.actor.kind().as_str().to_owned() } else { name }
}

const fn code(event: CaseEvent) -> LifecycleCode {
    match event {
        CaseEvent::Open => LifecycleCode::OffboardingOpen,
        CaseEvent::Item => LifecycleCode::OffboardingItem,
        CaseEvent::Verify => LifecycleCode::OffboardingVerify,
        CaseEvent::Reopen => LifecycleCode::OffboardingReopen,
        CaseEvent::Close => LifecycleCode::OffboardingClose,
        CaseEvent::Return => LifecycleCode::OffboardingReturn,
    }
}

impl Inner {
    /// The case that a plan opens or ends. One that cannot be opened is no reason to let somebody stay.
    pub(super) async fn case_of(
        &self,
        read: Option<&Read>,
        plan: &Plan,
        pend: Option<&Pend>,
        asker: &Asker,
        now: UnixMillis,
    ) -> Result<Option<CaseWrite>, Failed> {
        match (plan.case(), read) {
            (Some(CaseStep::Opens), Some(_)) => {
                let person = plan.after.id;
                let open = |opening| {
                    let opened = Case::open(opening, now).map_err(Failed::from);
                    opened.and_then(|step| write(step, Expected::Absent))
                };
                let opening = self.opening(plan, pend.map(|pend| pend.id), asker, now);
                // Each machine that stops is owed by itself, so a case can do without them.
                let short = Opening { machines: Vec::new(), devices: Vec::new(), ..opening.clone() };
                match open(opening).or_else(|_| open(short)) {
                    Ok(case) => Ok(Some(case)),
                    Err(error) => {
                        tracing::error!(%person, %error, "somebody leaves, and no case can be opened for it");
                        Ok(None)
                    }
                }
            }
            (Some(CaseStep::ClosesReturned), Some(_)) => {
                let Some(open) = self.open_case(plan.after.id).await? else { return Ok(None) };
                let step = open.it.returned(&by(asker), now)?;
                write(step, Expected::Version(open.version)).map(Some)
            }
            (Some(_), None) | (Some(CaseStep::Verified | CaseStep::Closes) | None, _) => Ok(None),
        }
    }

    fn opening(&self, plan: &Plan, receipt: Option<Uuid>, asker: &Asker, now: UnixMillis) -> Opening {
        let terms = &self.settings.cases;
        Opening {
            id: (self.ports.ids)(),
            person: Uuid::from_u128(plan.after.id.as_u128()),
            receipt,
            by: by(asker),
            cut_at: now.plus(terms.cut_within),
            owner: self.settings.debts.owner.clone(),
            due_at: now.plus(terms.due),
            patience: terms.patience,
            machines: plan.stopped.iter().map(|machine| machine.it.user.clone()).collect(),
            devices: self.view.bound_to(plan.after.id),
            managed_apps: Vec::new(),
            manual_apps: terms.manual_apps.clone(),
        }
    }

    pub(super) async fn open_case(&self, person: PersonId) -> Result<Option<Versioned<Case>>, Failed> {
        let key = key(Uuid::from_u128(person.as_u128()))?;
        let Some(record) = self.ports.revocations.record_by_key(&key).await? else { return Ok(None) };
        let Some(body) = &record.body else { return Ok(None) };
        let it = Case::read(body).map_err(|error| Failed::Damaged {
            kind: record.kind,
            id: record.id.to_string(),
            why: error.to_string(),
        })?;
        Ok(Some(Versioned { it, version: record.version }))
    }

    pub(super) fn case_events(&self, case: &CaseWrite, asker: &Asker) -> Vec<LifecycleChange> {
        let person: Arc<str> = case.step.case.person().to_string().into();
        let id: Arc<str> = case.id.to_string().into();
        let about = || About::Case { id: Arc::clone(&id), person: Arc::clone(&person) };
        let event = |happened: &CaseEvent| {
            let mut event = self.event(code(*happened), about(), asker);
            event.command = "case";
            event.why = match happened {
                CaseEvent::Open | CaseEvent::Item | CaseEvent::Verify | CaseEvent::Reopen => None,
                CaseEvent::Close | CaseEvent::Return => left_open(&case.step.case),
            };
            event
        };
        case.step.events.iter().map(event).collect()
    }

    pub(super) async fn on_case(
        &self,
        person: PersonId,
        act: &CaseAct,
        asker: &Asker,
    ) -> Result<CaseDone, Failed> {
        let mut stray = Stray::default();
        for attempt in 0..ATTEMPTS_MAX {
            let read = self.read(person, Place::Disk).await?;
            let open = self.open_case(person).await?;
            let open = open.ok_or_else(|| not_found("open case of person", &person.to_string()))?;
            let now = (self.ports.clock)();
            let step = match act {
                CaseAct::Look(seen) => open.it.verify(seen, now)?,
                CaseAct::Say { item, note } => open.it.say(item, &by(asker), note, now)?,
                CaseAct::Close => open.it.close(&by(asker), now)?,
            };
            // What only looked and saw nothing new writes nothing.
            if step.events.is_empty() && step.owed.is_empty() && step.settled.is_empty() {
                return Ok(CaseDone { case: step.case, events: step.events, on_record: true });
            }
            let plan = self.person_follows(read.as_ref(), &step, asker, now)?;
            let case = write(step, Expected::Version(open.version))?;
            let mut writes = vec![case.write.clone()];
            if let Some(plan) = &plan {
                writes.extend(plan.writes(read.as_ref())?);
            }
            match self.commit(Batch { writes, changes: Vec::new() }, &[], &mut stray).await? {
                Outcome::Saved(..) => {
                    self.cases.changed(Some(&case));
                    let events = self.case_events(&case, asker);
                    let (on_record, ()) = tokio::join!(self.tell(events), self.case_debts(&case.step, asker));
                    return Ok(CaseDone { case: case.step.case, events: case.step.events, on_record });
                }
                Outcome::Again => self.pause(attempt).await,
            }
        }
        Err(Failed::Busy { enforced: false })
    }

    /// What the person is told by their case, if they are still there.
    fn person_follows(
        &self,
        read: Option<&Read>,
        step: &Step,
        asker: &Asker,
        now: UnixMillis,
    ) -> Result<Option<Plan>, Failed> {
        let Some(read) = read.filter(|read| read.person.state.kind() == StateKind::Deactivated) else {
            return Ok(None);
        };
        let commands: Vec<Command> = step
            .events
            .iter()
            .filter_map(|event| match event {
                CaseEvent::Verify => Some(Command::CaseVerified),
                CaseEvent::Close => Some(Command::CaseClosed),
                CaseEvent::Open | CaseEvent::Item | CaseEvent::Reopen | CaseEvent::Return => None,
            })
            .collect();
        if commands.is_empty() {
            return Ok(None);
        }
        Ok(plan::decide(Some(read), &[], &commands, asker, (&self.settings.rules, now))?)
    }
}

fn left_open(case: &Case) -> Option<String> {
    let left = &case.end()?.left_open;
    (!left.is_empty()).then(|| format!("without evidence: {}", left.join(", ")))
}

impl Lifecycle {
    /// The case of somebody who left, while it is open or verified. Reads the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn case(&self, person: PersonId) -> Result<Option<Case>, Failed> {
        Ok(self.inner.open_case(person).await?.map(|case| case.it))
    }

    /// Carries a case on; the person follows when it is verified or closed.
    ///
    /// # Errors
    /// [`Failed::Case`] when the case says no, [`Failed::NotFound`] when there is none; see [`Failed`].
    pub async fn on_case(&self, person: PersonId, act: CaseAct, asker: Asker) -> Result<CaseDone, Failed> {
        let inner = Arc::clone(&self.inner);
        self.on_its_own(async move { inner.on_case(person, &act, &asker).await }).await
    }
}
