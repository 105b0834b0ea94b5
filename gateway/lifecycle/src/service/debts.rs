//! What somebody owes after a change: opened and settled beside the directory, under ids that follow from
//! what they are about, so that a repetition opens none twice.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use doorward_audit::event::{ControlDebt, DebtStep};
use doorward_audit::{Actor as AuditActor, Event};
use doorward_model::directory::{
    ConnectionId, MachineId, MachineState, Person, PersonId, PersonState, StopCause,
};
use doorward_model::limits::REVOCATION_PAGE_ROWS_MAX;
use doorward_model::{Target, UnixMillis};
use doorward_state::{Debt as Open, DebtKind, NewDebt, RecordKind, StateError};
use uuid::Uuid;

use super::answer::Asker;
use super::cases::CaseWrite;
use super::directory::{Place, Read};
use super::plan::Plan;
use super::{Inner, Lifecycle};
use crate::machine::{Actor, Owed, OwedKind};
use crate::receipt::facts::DebtKind as ReceiptDebt;

/// A debt to be opened.
#[derive(Clone, Debug)]
pub(super) struct Debt {
    pub(super) id: Uuid,
    pub(super) kind: DebtKind,
    pub(super) about: String,
    pub(super) cause: String,
}

/// The id of a debt: of which kind, about what, and since which state of it. RFC 9562 §5.8: a form of our
/// own, told by its version.
pub(super) fn id_of(kind: DebtKind, about: &str, since: &str) -> Uuid {
    let hash = digest(&SHA256, format!("{}\n{about}\n{since}", kind.as_str()).as_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// How what is owed about a person begins.
fn about_person(id: PersonId) -> String {
    format!("person {id}:")
}

/// How what is owed about a machine begins.
pub(super) fn about_machine(id: MachineId) -> String {
    format!("machine {id}:")
}

pub(super) const fn kind_of(kind: ReceiptDebt) -> DebtKind {
    match kind {
        ReceiptDebt::MissedRevocation => DebtKind::MissedRevocation,
        ReceiptDebt::ManualDeprovisioning => DebtKind::ManualDeprovisioning,
        ReceiptDebt::OrphanMachine => DebtKind::OrphanMachine,
        ReceiptDebt::UnprovenEnd => DebtKind::UnprovenEnd,
        ReceiptDebt::BoundDevice => DebtKind::BoundDevice,
    }
}

/// Since when somebody is kept out, which tells one disagreement from the next.
fn kept_out_since(person: &Person) -> UnixMillis {
    let holds = person.holds.iter().map(|hold| hold.since);
    let since = match &person.state {
        PersonState::Suspended(hold) => holds.chain([hold.since]).min(),
        PersonState::Deactivated => holds.chain(person.left.as_ref().map(|left| left.at)).min(),
        PersonState::Invited
        | PersonState::PendingVerification
        | PersonState::Staged
        | PersonState::Active
        | PersonState::Locked { .. }
        | PersonState::Deleted => holds.min(),
    };
    since.unwrap_or_default()
}

fn disagreement(person: &Person) -> Debt {
    let about = about_person(person.id);
    let id = id_of(DebtKind::Disagreement, &about, &kept_out_since(person).0.to_string());
    let what = "their source says that they belong here, and they are kept out";
    let cause = format!("they are {}", person.state.kind().as_str());
    Debt { id, kind: DebtKind::Disagreement, about: format!("{about} {what}"), cause }
}

/// Whom a return, or a link, would have let in, and somebody disabled past the directory.
fn kept_out(target: &Target, person: &Person, since: &str) -> Debt {
    let about = format!("sign-in {}:", target.id());
    let id = id_of(DebtKind::Disagreement, &about, since);
    let cause = format!("person {} has access", person.id);
    let about = format!("{about} it was disabled by hand and stays so, and whoever has it has access");
    Debt { id, kind: DebtKind::Disagreement, about, cause }
}

fn orphan(machine: MachineId, since: UnixMillis) -> Debt {
    let about = about_machine(machine);
    let id = id_of(DebtKind::OrphanMachine, &about, &since.0.to_string());
    let cause = "whoever answered for it left".to_owned();
    Debt { id, kind: DebtKind::OrphanMachine, about: format!("{about} nobody answers for it"), cause }
}

/// What is owed of the machines that a plan leaves without anybody who answers for them: its id, and what it
/// is about.
pub(super) fn orphans_of(plan: &Plan) -> Vec<(Uuid, String)> {
    let orphaned = |machine: MachineId| {
        plan.owed().any(|owed| matches!(owed, Owed::Opens(OwedKind::OrphanMachine(id)) if *id == machine))
    };
    let stopped = plan.stopped.iter().filter(|machine| orphaned(machine.it.id));
    let since = stopped.filter_map(|machine| Some((machine.it.id, orphan_since(machine.it.state)?)));
    since.map(|(machine, since)| orphan(machine, since)).map(|debt| (debt.id, debt.about)).collect()
}

/// Since when a machine stands still because its owner left, if it does.
const fn orphan_since(state: MachineState) -> Option<UnixMillis> {
    match state {
        MachineState::Stopped { cause: StopCause::OwnerLeft, since } => Some(since),
        MachineState::Active | MachineState::Stopped { .. } | MachineState::Deleted => None,
    }
}

impl Inner {
    /// Opens and settles what follows from a plan, and what its case owes.
    pub(super) async fn owe(
        &self,
        read: Option<&Read>,
        plan: &Plan,
        case: Option<&CaseWrite>,
        asker: &Asker,
    ) {
        let since = read.map_or_else(|| "0".to_owned(), |read| read.version.0.to_string());
        let person = &plan.after;
        let (mut opens, mut settles) = (Vec::new(), false);
        for owed in plan.owed() {
            match owed {
                Owed::Opens(OwedKind::Override) => opens.push(overridden(plan, &since)),
                Owed::Opens(OwedKind::Disagreement) => opens.push(disagreement(person)),
                Owed::Opens(OwedKind::OrphanMachine(id)) => {
                    let stopped = plan.stopped.iter().find(|machine| machine.it.id == *id);
                    let since = stopped.and_then(|machine| orphan_since(machine.it.state));
                    opens.extend(since.map(|since| orphan(*id, since)));
                }
                Owed::Settled(OwedKind::Disagreement) => settles = true,
                // Somebody looks at an override, and a machine is handed over: both are settled there.
                Owed::Settled(OwedKind::Override | OwedKind::OrphanMachine(_)) => {}
            }
        }
        opens.extend(plan.kept_out.iter().map(|target| kept_out(target, person, &since)));
        self.open_debts(opens, asker).await;
        if settles && !person.disagrees() {
            self.settle_about(DebtKind::Disagreement, &about_person(person.id), "they agree again", asker)
                .await;
        }
        if let Some(case) = case {
            self.case_debts(&case.step, asker).await;
        }
    }

    pub(super) async fn case_debts(&self, step: &crate::offboarding::Step, asker: &Asker) {
        for owed in &step.owed {
            let debt = NewDebt {
                id: owed.id,
                kind: kind_of(owed.kind),
                about: owed.about.clone(),
                owner: owed.owner.clone(),
                cause: owed.cause.clone(),
                opened_at: owed.opened_at,
                due_at: owed.due_at,
            };
            self.open_debt(debt, asker).await;
        }
        for (id, how) in &step.settled {
            self.settle_debt(*id, how.clone(), asker).await;
        }
    }

    pub(super) async fn open_debts(&self, debts: Vec<Debt>, asker: &Asker) {
        let (now, terms) = ((self.ports.clock)(), &self.settings.debts);
        for Debt { id, kind, about, cause } in debts {
            let owner = terms.owner.clone();
            let due_at = now.plus(terms.due);
            self.open_debt(NewDebt { id, kind, about, owner, cause, opened_at: now, due_at }, asker).await;
        }
    }

    /// Opens a debt, in the directory and in the log: each of them alone is found by whoever looks. What is
    /// not kept is found by [`Lifecycle::reconcile`].
    pub(super) async fn open_debt(&self, debt: NewDebt, asker: &Asker) {
        let event = self.debt_event(
            debt.id,
            asker,
            DebtStep::Opened {
                kind: debt.kind.as_str(),
                about: debt.about.clone(),
                owner: debt.owner.clone(),
                cause: debt.cause.clone(),
                due_at: debt.due_at,
            },
        );
        let (id, about) = (debt.id, debt.about.clone());
        let keeping = self.ports.revocations.open_debt(debt);
        let (kept, told) = tokio::join!(keeping, self.record_events(vec![event]));
        if let Err(error) = kept {
            tracing::error!(%id, about, %error, "a control debt is not in the directory");
        }
        if !told {
            tracing::error!(%id, about, "a control debt is not in the audit log");
        }
    }

    pub(super) async fn settle_debt(&self, id: Uuid, how: String, asker: &Asker) {
        let now = (self.ports.clock)();
        match self.ports.revocations.settle_debt(id, now, how.clone()).await {
            Ok(true) => {
                let event = self.debt_event(id, asker, DebtStep::Settled { how });
                let _told = self.record_events(vec![event]).await;
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%id, %error, "a control debt is not settled in the directory"),
        }
    }

    /// Settles every open debt of a kind that is about this.
    pub(super) async fn settle_about(&self, kind: DebtKind, about: &str, how: &str, asker: &Asker) {
        match self.open_debts_of(kind).await {
            Ok(open) => {
                for debt in open.into_iter().filter(|debt| debt.about.starts_with(about)) {
                    self.settle_debt(debt.id, how.to_owned(), asker).await;
                }
            }
            Err(error) => tracing::error!(about, %error, "control debts cannot be read, so none is settled"),
        }
    }

    async fn open_debts_of(&self, kind: DebtKind) -> Result<Vec<Open>, StateError> {
        let mut found = Vec::new();
        let mut before = None;
        loop {
            let page = self.ports.revocations.debts(true, before, REVOCATION_PAGE_ROWS_MAX).await?;
            let last = page.last().map(|debt| debt.seq);
            let full = page.len() == REVOCATION_PAGE_ROWS_MAX;
            found.extend(page.into_iter().filter(|debt| debt.kind == kind));
            if !full {
                return Ok(found);
            }
            before = last;
        }
    }

    fn debt_event(&self, id: Uuid, asker: &Asker, step: DebtStep) -> Event {
        let actor = match &asker.actor {
            Actor::Operator(name) => AuditActor::Operator { name: name.to_string(), address: None },
            Actor::Source(_) | Actor::Signal(_) | Actor::Person | Actor::System => AuditActor::Gateway,
        };
        let request_id = Some(std::sync::Arc::clone(&asker.request_id));
        Event::ControlDebt(Box::new(ControlDebt { id: id.to_string().into(), actor, request_id, step }))
    }
}

fn overridden(plan: &Plan, since: &str) -> Debt {
    let about = about_person(plan.after.id);
    let id = id_of(DebtKind::Override, &about, since);
    let steps = plan.steps.iter().filter(|step| step.edge.overrides());
    let commands: Vec<&str> = steps.map(|step| step.edge.command.as_str()).collect();
    let cause = format!("the source said {}", commands.join(", "));
    let about = format!("{about} their source overrode what an operator did by hand");
    Debt { id, kind: DebtKind::Override, about, cause }
}

impl Lifecycle {
    /// Puts right, when the service begins, what is owed, after a crash between a change and its debts: who disagrees with their source
    /// and machines that nobody answers for have an open debt, and nobody else has. Connections that were
    /// stopped are stopped again.
    ///
    /// # Errors
    /// When the debts cannot be read.
    pub(super) async fn reconcile(&self) -> Result<(), StateError> {
        let inner = &self.inner;
        let asker = Asker {
            actor: Actor::System,
            asserted_at: None,
            cause: "what is owed is put right".into(),
            request_id: "reconcile".into(),
            if_version: None,
        };
        for debt in inner.open_debts_of(DebtKind::MassChange).await? {
            let named = debt.about.strip_prefix("connection ").and_then(|rest| rest.split(':').next());
            if let Some(connection) = named.and_then(|name| ConnectionId::new(name).ok()) {
                inner.guard.stop(inner.guard.remembered(connection, debt.id));
            }
        }
        inner.people_agree(&asker).await?;
        inner.machines_are_answered_for(&asker).await
    }
}

impl Inner {
    async fn people_agree(&self, asker: &Asker) -> Result<(), StateError> {
        let mut open = by_about(self.open_debts_of(DebtKind::Disagreement).await?);
        // What is owed of a sign-in is looked at by somebody, and settled there.
        open.retain(|about, _| about.starts_with("person "));
        for id in self.view.disagreeing() {
            let Ok(Some(read)) = self.read(id, Place::Memory).await else { continue };
            if open.remove(&about_person(id)).is_none() {
                self.open_debts(vec![disagreement(&read.person)], asker).await;
            }
        }
        for ids in open.into_values() {
            for id in ids {
                self.settle_debt(id, "they agree again".to_owned(), asker).await;
            }
        }
        Ok(())
    }

    async fn machines_are_answered_for(&self, asker: &Asker) -> Result<(), StateError> {
        let mut open = by_about(self.open_debts_of(DebtKind::OrphanMachine).await?);
        // What a case owes of machines is about the case.
        open.retain(|about, _| about.starts_with("machine "));
        let mut orphans = Vec::new();
        self.records.for_each(RecordKind::Machine, |record| {
            let body = record.body.as_deref();
            let machine = body.and_then(|body| doorward_state::directory::form::decode_machine(body).ok());
            if let Some(machine) = machine
                && let Some(since) = orphan_since(machine.state)
            {
                orphans.push((machine.id, since));
            }
        });
        for (machine, since) in orphans {
            if open.remove(&about_machine(machine)).is_none() {
                self.open_debts(vec![orphan(machine, since)], asker).await;
            }
        }
        for ids in open.into_values() {
            for id in ids {
                self.settle_debt(id, "somebody answers for it, or it is gone".to_owned(), asker).await;
            }
        }
        Ok(())
    }
}

/// Open debts by how they begin.
fn by_about(open: Vec<Open>) -> BTreeMap<String, Vec<Uuid>> {
    let mut found: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for debt in open {
        let about = debt.about.split_inclusive(':').next().unwrap_or_default().to_owned();
        found.entry(about).or_default().push(debt.id);
    }
    found
}
