//! Service accounts and agents: registered under somebody who answers for them, handed over, stopped,
//! started, deleted.
//!
//! Whoever leaves stops the machines that they answer for. So whatever rests on an owner being here
//! writes the owner's memberships as they are: of a leaving and of this, only one is decided on what it saw.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_audit::event::{About, LifecycleChange, LifecycleCode, LifecycleDifference, LifecycleOutcome};
use doorward_model::directory::{Machine, MachineId, MachineKind, MachineState, PersonId, StopCause};
use doorward_model::{Target, UnixMillis, UserId};
use doorward_state::directory::form::{Member, encode_machine};
use doorward_state::{Action, Batch, DebtKind, Ended, Expected, Receipt, RecordKind, Version, Write};

use super::answer::{Asker, Failed};
use super::ask::{Outcome, Stray, not_found};
use super::debts::about_machine;
use super::directory::{Place, Read, Versioned};
use super::plan::{bad, change_of, of_machine, of_memberships};
use super::tell::by_protocol;
use super::tokens::{NewToken, without_token, without_tokens};
use super::{ATTEMPTS_MAX, Inner, Lifecycle};
use crate::machine::Actor;

/// The most machines of one person: so many stop with their leaving.
pub const MACHINES_OWNED_MAX: usize = 100;
pub(super) const TEXT_BYTES_MAX: usize = 512;
const SCOPES_MAX: usize = 64;

/// A machine to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMachine {
    /// The new id.
    pub id: MachineId,
    /// Under which name it signs in.
    pub user: UserId,
    /// The kind.
    pub kind: MachineKind,
    /// A name to show.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// The person who answers for it; must have access.
    pub owner: PersonId,
    /// What it may be used for, at most.
    pub scopes: BTreeSet<String>,
    /// When it stops working by itself.
    pub expires_at: UnixMillis,
}

/// What is done about a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineAct {
    /// It is registered.
    Register(Box<NewMachine>),
    /// Another person answers for it. One that stopped because its owner left works again. Its tokens are not
    /// good any more, and what runs with them ends: whoever had it may have kept them.
    HandOver(MachineId, PersonId),
    /// It stops.
    Stop(MachineId),
    /// It works again, if whoever answers for it has access.
    Start(MachineId),
    /// It is gone for ever.
    Delete(MachineId),
    /// It has one token more with which it shows who it is.
    AddToken(MachineId, Box<NewToken>),
    /// One of its tokens, told by [its name](TokenHash::name), is not good any more. What runs with it ends.
    RevokeToken(MachineId, String),
}

/// What became of a machine.
#[derive(Clone, Debug)]
pub struct MachineDone {
    /// The machine from now on.
    pub machine: Machine,
    /// The version of its record.
    pub version: Version,
    /// Something was written. False where everything was so already.
    pub changed: bool,
    /// The acknowledgments of the revocations.
    pub receipts: Vec<Receipt>,
    /// Why other nodes do not have the revocations yet, if they do not.
    pub unpublished: Option<String>,
    /// The audit log has all of it.
    pub on_record: bool,
}

/// What an act comes to.
pub(super) struct Decided {
    pub(super) before: Option<Versioned<Machine>>,
    pub(super) after: Machine,
    /// Whose access it rests on.
    pub(super) owner: Option<Read>,
    pub(super) code: LifecycleCode,
    pub(super) command: &'static str,
    /// What becomes of whatever it shows.
    pub(super) cuts: Vec<(Target, Action)>,
    /// What the log says beside owner and state.
    pub(super) told: Option<LifecycleDifference>,
}

impl Decided {
    /// A change of a machine that is there, by which nothing is cut off.
    pub(super) fn of(
        before: Versioned<Machine>,
        after: Machine,
        code: LifecycleCode,
        command: &'static str,
    ) -> Self {
        Self { before: Some(before), after, owner: None, code, command, cuts: Vec::new(), told: None }
    }

    pub(super) fn resting_on(self, owner: Read) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// With this, all that it shows is cut off, or let in anew.
    fn with(self, action: Option<Action>) -> Self {
        let cut = action.map(|action| (Target::User(self.after.user.clone()), action));
        Self { cuts: cut.into_iter().collect(), ..self }
    }

    /// Whether somebody has more by it: whatever rests on an owner.
    const fn gives(&self) -> bool {
        self.owner.is_some()
    }

    fn takes(&self) -> bool {
        self.cuts.iter().any(|(_, action)| match action {
            Action::Disable | Action::Revoke => true,
            Action::Reactivate => false,
        })
    }
}

impl Lifecycle {
    /// Does something about a machine, with everything that follows, or nothing of it. Anybody's word stops a
    /// machine; everything else is an operator's.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn on_machine(&self, act: MachineAct, asker: Asker) -> Result<MachineDone, Failed> {
        let inner = Arc::clone(&self.inner);
        self.on_its_own(async move { inner.on_machine(&act, &asker).await }).await
    }
}

impl Inner {
    async fn on_machine(&self, act: &MachineAct, asker: &Asker) -> Result<MachineDone, Failed> {
        let mut stray = Stray::default();
        let answer = self.machine_attempts(act, asker, &mut stray).await;
        self.let_in_again(stray, asker).await;
        answer
    }

    async fn machine_attempts(
        &self,
        act: &MachineAct,
        asker: &Asker,
        stray: &mut Stray,
    ) -> Result<MachineDone, Failed> {
        if !matches!(act, MachineAct::Stop(_)) && !matches!(asker.actor, Actor::Operator(_)) {
            return Err(Failed::Refused { what: "only an operator does that", help: "ask an operator" });
        }
        let mut intended = false;
        for attempt in 0..ATTEMPTS_MAX {
            let place = if attempt == 0 { Place::Memory } else { Place::Disk };
            let now = (self.ports.clock)();
            let decided = self.decide_machine(act, (place, now), asker).await?;
            if let Some(before) = decided.before.as_ref().filter(|before| before.it == decided.after) {
                // Memory may be a moment old: what is not done is decided on what is stored.
                if place == Place::Memory {
                    continue;
                }
                return Ok(done(decided.after.clone(), before.version, false));
            }
            let takes = decided.takes();
            if decided.gives() && !intended {
                let mut event = self.machine_event(&decided, asker);
                event.code = LifecycleCode::Intended;
                event.outcome = LifecycleOutcome::Intended;
                self.must_record(vec![event]).await?;
                intended = true;
            }
            let cuts = decided.cuts.iter().cloned();
            let changes = cuts.map(|(target, action)| change_of(target, action, asker)).collect();
            let batch = Batch { writes: decided.writes()?, changes };
            match self.commit(batch, &[], stray).await? {
                Outcome::Saved(committed, unpublished) => {
                    stray_keeps(stray, &committed.receipts);
                    let version = committed.records.first().copied().unwrap_or_default();
                    let mut event = self.machine_event(&decided, asker);
                    event.takes_away = takes;
                    event.ended = by_protocol(Ended::of(&committed.receipts));
                    let mut events = Vec::new();
                    for receipt in &committed.receipts {
                        event.revocations.push(receipt.id.to_string().into());
                        if takes {
                            let stage = decided.after.stage(now, true);
                            events.push(self.revocation(receipt, stage, asker));
                        }
                    }
                    events.push(doorward_audit::Event::Lifecycle(Box::new(event)));
                    let told = self.record_events(events);
                    let (on_record, ()) = tokio::join!(told, self.answered_for(&decided, asker));
                    let receipts = committed.receipts;
                    return Ok(MachineDone {
                        receipts,
                        unpublished,
                        on_record,
                        ..done(decided.after, version, true)
                    });
                }
                Outcome::Again => self.pause(attempt).await,
            }
        }
        Err(Failed::Busy { enforced: stray.enforced })
    }

    async fn decide_machine(
        &self,
        act: &MachineAct,
        (place, now): (Place, UnixMillis),
        asker: &Asker,
    ) -> Result<Decided, Failed> {
        let of = |id: &MachineId| {
            let id = *id;
            async move {
                let machine = self.read_machine(id, place).await?;
                machine.ok_or_else(|| not_found("machine", &id.to_string()))
            }
        };
        match act {
            MachineAct::Register(new) => self.registered(new, place, now).await,
            MachineAct::HandOver(id, owner) => {
                let before = of(id).await?;
                let owner = self.owner(*owner, before.it.owner, place).await?;
                let after = Machine { owner: owner.person.id, ..before.it.clone() };
                let code = LifecycleCode::MachineOwner;
                let decided = match before.it.state {
                    MachineState::Stopped { cause: StopCause::OwnerLeft, .. } => {
                        let after = Machine { tokens: Vec::new(), state: MachineState::Active, ..after };
                        Decided::of(before, after, code, "hand_over").with(Some(Action::Reactivate))
                    }
                    MachineState::Active if after.owner != before.it.owner => {
                        without_tokens(Decided::of(before, after, code, "hand_over"))
                    }
                    MachineState::Active
                    | MachineState::Stopped { cause: StopCause::Halted, .. }
                    | MachineState::Deleted => Decided::of(before, after, code, "hand_over"),
                };
                Ok(decided.resting_on(owner))
            }
            MachineAct::Stop(id) => {
                let before = of(id).await?;
                let after = match before.it.state {
                    MachineState::Active => stopped(&before.it, StopCause::Halted, now),
                    MachineState::Stopped { .. } | MachineState::Deleted => before.it.clone(),
                };
                let decided = Decided::of(before, after, LifecycleCode::MachineStop, "stop");
                Ok(decided.with(Some(Action::Disable)))
            }
            MachineAct::Start(id) => {
                let before = of(id).await?;
                let owner = self.owner(before.it.owner, before.it.owner, place).await?;
                if now >= before.it.expires_at {
                    let help = "register another, with another date";
                    return Err(Failed::Refused { what: "the machine is out of date", help });
                }
                let after = match before.it.state {
                    MachineState::Active => before.it.clone(),
                    MachineState::Stopped { .. } | MachineState::Deleted => {
                        Machine { tokens: Vec::new(), state: MachineState::Active, ..before.it.clone() }
                    }
                };
                let decided = Decided::of(before, after, LifecycleCode::MachineStart, "start");
                Ok(decided.with(Some(Action::Reactivate)).resting_on(owner))
            }
            MachineAct::Delete(id) => {
                let before = of(id).await?;
                let after = Machine { state: MachineState::Deleted, ..before.it.clone() };
                let decided = Decided::of(before, after, LifecycleCode::MachineDelete, "delete");
                Ok(decided.with(Some(Action::Disable)))
            }
            MachineAct::AddToken(id, new) => self.with_token(of(id).await?, new, (place, now), asker).await,
            MachineAct::RevokeToken(id, name) => without_token(of(id).await?, name),
        }
    }

    async fn registered(&self, new: &NewMachine, place: Place, now: UnixMillis) -> Result<Decided, Failed> {
        for (field, text) in [("name", &new.name), ("purpose", &new.purpose)] {
            if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                let what = format!("must have 1 to {TEXT_BYTES_MAX} bytes and no control characters");
                return Err(Failed::Bad { field, what });
            }
        }
        if new.scopes.len() > SCOPES_MAX || new.scopes.iter().any(|scope| scope.len() > TEXT_BYTES_MAX) {
            let what = format!("are at most {SCOPES_MAX}, each of at most {TEXT_BYTES_MAX} bytes");
            return Err(Failed::Bad { field: "scopes", what });
        }
        if new.expires_at <= now {
            let what = "must lie ahead".to_owned();
            return Err(Failed::Bad { field: "expires_at", what });
        }
        let owner = self.owner(new.owner, PersonId::from_u128(0), place).await?;
        let after = Machine {
            id: new.id,
            user: new.user.clone(),
            kind: new.kind,
            name: new.name.clone(),
            purpose: new.purpose.clone(),
            owner: new.owner,
            scopes: new.scopes.clone(),
            state: MachineState::Active,
            expires_at: new.expires_at,
            created_at: now,
            tokens: Vec::new(),
        };
        // The name may be one that somebody had who was cut off.
        let target = Target::User(new.user.clone());
        let known = self.ports.revocations.lookup(&target);
        let action = known.filter(|entry| entry.disabled).map(|_| Action::Reactivate);
        if action.is_some() && self.is_disabled_by_another(&target).await {
            let help = "let it in first, if it may: `doorward reactivate user`";
            return Err(Failed::Refused { what: "somebody cut off whoever signs in so", help });
        }
        let (code, command) = (LifecycleCode::MachineCreate, "register");
        let decided =
            Decided { before: None, after, owner: Some(owner), code, command, cuts: Vec::new(), told: None };
        Ok(decided.with(action))
    }

    /// Who is to answer for a machine: they must have access, and not too many machines.
    pub(super) async fn owner(
        &self,
        id: PersonId,
        owner_now: PersonId,
        place: Place,
    ) -> Result<Read, Failed> {
        let read = self.read(id, place).await?;
        let read = read.ok_or_else(|| not_found("person", &id.to_string()))?;
        if !read.person.admitted() {
            let help = "name somebody who has";
            return Err(Failed::Refused { what: "whoever answers for a machine must have access", help });
        }
        if id != owner_now && self.view.owned_by(id).len() >= MACHINES_OWNED_MAX {
            let (count, max) = (MACHINES_OWNED_MAX + 1, MACHINES_OWNED_MAX);
            return Err(Failed::TooMany { what: "machines of one person", count, max });
        }
        Ok(read)
    }

    fn machine_event(&self, decided: &Decided, asker: &Asker) -> LifecycleChange {
        let Decided { before, after, .. } = decided;
        let about = About::Machine { id: after.id.to_string().into(), user: after.user.clone() };
        let was = before.as_ref().map(|before| &before.it);
        let differs = |what: &str, before: Option<String>, after: String| {
            let before = before.unwrap_or_default();
            let change = || LifecycleDifference {
                what: what.to_owned(),
                before: before.clone(),
                after: after.clone(),
                set_by: None,
            };
            (before != after).then(change)
        };
        let owner = differs("owner", was.map(|was| was.owner.to_string()), after.owner.to_string());
        let state = differs("state", was.map(|was| word(was.state)), word(after.state));
        LifecycleChange {
            command: decided.command,
            changes: owner.into_iter().chain(state).chain(decided.told.clone()).collect(),
            ..self.event(decided.code, about, asker)
        }
    }

    /// Nobody owes an owner any more where one is found, or the machine is gone.
    async fn answered_for(&self, decided: &Decided, asker: &Asker) {
        let was_orphan = decided.before.as_ref().is_some_and(|before| {
            matches!(before.it.state, MachineState::Stopped { cause: StopCause::OwnerLeft, .. })
        });
        if was_orphan {
            let (about, how) = (about_machine(decided.after.id), "somebody answers for it, or it is gone");
            self.settle_about(DebtKind::OrphanMachine, &about, how, asker).await;
        }
    }
}

impl Decided {
    fn writes(&self) -> Result<Vec<Write>, Failed> {
        let mut writes = match (&self.before, self.after.state) {
            (Some(before), MachineState::Deleted) => vec![Write {
                kind: RecordKind::Machine,
                id: self.after.id.to_string().into(),
                expected: Expected::Version(before.version),
                body: None,
                keys: Vec::new(),
            }],
            (Some(before), MachineState::Active | MachineState::Stopped { .. }) => {
                vec![of_machine(&Versioned { it: self.after.clone(), version: before.version })?]
            }
            (None, _) => {
                let (body, keys) = encode_machine(&self.after).map_err(bad)?;
                let (kind, expected) = (RecordKind::Machine, Expected::Absent);
                let (id, body) = (self.after.id.to_string().into(), Some(body.into()));
                vec![Write { kind, id, expected, body, keys }]
            }
        };
        if let Some(owner) = &self.owner {
            let member = Member::Person(owner.person.id);
            writes.push(of_memberships(member, &owner.person.groups, owner.membership)?);
        }
        Ok(writes)
    }
}

/// A machine that stopped. Its tokens go with that: what starts again shows nothing old.
pub(super) fn stopped(machine: &Machine, cause: StopCause, since: UnixMillis) -> Machine {
    let state = MachineState::Stopped { cause, since };
    Machine { tokens: Vec::new(), state, ..machine.clone() }
}

fn stray_keeps(stray: &mut Stray, receipts: &[Receipt]) {
    for receipt in receipts {
        stray.was_saved(&receipt.target);
    }
}

fn word(state: MachineState) -> String {
    match state {
        MachineState::Active => "active".to_owned(),
        MachineState::Stopped { cause, .. } => format!("stopped: {}", cause.as_str()),
        MachineState::Deleted => "deleted".to_owned(),
    }
}

fn done(machine: Machine, version: Version, changed: bool) -> MachineDone {
    let (receipts, unpublished) = (Vec::new(), None);
    MachineDone { machine, version, changed, receipts, unpublished, on_record: true }
}
