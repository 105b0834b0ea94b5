//! A receipt that is still to be made: what is known of it when access is taken away, written with that.
//!
//! So whoever starts after a crash knows which receipts are owed, and what they are to say.

use std::collections::BTreeSet;

use doorward_model::directory::{
    GroupId, Machine as OwnedMachine, MachineKind as OwnedKind, MachineState, Person,
};
use doorward_model::{Entry, Target, UnixMillis, UserId};
use doorward_state::{Action as Done, Expected, RECORD_BYTES_MAX, RecordKind, Revocations, Write};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::answer::Asker;
use super::super::directory::Versioned;
use super::super::plan::{self, Plan};
use super::counting::{Counted, KeptSessions};
use crate::machine::{Act, ActorKind, Command as Asked, CommandKind};
use crate::receipt::facts::{
    self, Action, Already, AskerKind, Command, Debt, Fate, Machine, MachineKind, Mark, Remainder,
};
use crate::receipt::fit;
use crate::receipt::wire::{self, words};

/// Before the id of a record that waits: behind the ids of all receipts that are made.
pub(super) const WAITS: &str = "pending:";

/// Stands for a name that is not there: a receipt names whoever asked.
const NAMELESS: &str = "-";

words! {
    /// Which version of the record it is.
    pub(crate) enum Form {
        /// The first.
        Pending1 = "doorward-pending-receipt/1",
    }
}

/// What is known when access is taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    form: Form,
    /// Which process took the call.
    #[serde(with = "wire::text")]
    pub(super) instance: Uuid,
    pub(super) node: String,
    pub(super) asked: facts::Asked,
    pub(super) person: facts::Person,
    pub(super) targets: Vec<Wanted>,
    pub(super) already: Vec<Already>,
    pub(super) machines: Vec<Machine>,
    pub(super) credentials: facts::Credentials,
    pub(super) remains: Vec<Remainder>,
    pub(super) debts: Vec<Debt>,
}

/// Something that is taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(with = "facts::target")]
    pub(super) target: Target,
    pub(super) action: Action,
}

/// A receipt that is to be made, with its record.
#[derive(Clone, Debug)]
pub(in crate::service) struct Pend {
    pub(in crate::service) id: Uuid,
    pub(super) pending: Pending,
    pub(in crate::service) write: Write,
    /// The sessions of browsers that end with it.
    pub(super) sessions: Counted,
}

/// Who makes it, and when the call came.
pub(super) struct Making<'a> {
    pub(super) id: Uuid,
    pub(super) instance: Uuid,
    pub(super) node: &'a str,
    pub(super) revocations: &'a Revocations,
    pub(super) now: UnixMillis,
}

/// What a person is asked to lose, the gravest of it. None where nothing is taken that a receipt tells of.
pub(super) fn command_of(commands: &[Asked]) -> Option<Command> {
    const GRAVEST: [Command; 9] = [
        Command::Delete,
        Command::Deactivate,
        Command::Hold,
        Command::Suspend,
        Command::Lock,
        Command::EndSessions,
        Command::Unlink,
        Command::RemoveApp,
        Command::RemoveGroup,
    ];
    let taken: Vec<Command> = commands.iter().filter_map(|command| word_of(command.kind())).collect();
    GRAVEST.into_iter().find(|grave| taken.contains(grave))
}

const fn word_of(kind: CommandKind) -> Option<Command> {
    match kind {
        CommandKind::ScimDelete | CommandKind::Delete => Some(Command::Delete),
        CommandKind::ScimDeactivate | CommandKind::Deactivate | CommandKind::ContractEnd => {
            Some(Command::Deactivate)
        }
        CommandKind::Suspend => Some(Command::Suspend),
        CommandKind::Lock => Some(Command::Lock),
        CommandKind::HoldSet => Some(Command::Hold),
        CommandKind::EndSessions => Some(Command::EndSessions),
        CommandKind::Unlink => Some(Command::Unlink),
        CommandKind::TakeApp => Some(Command::RemoveApp),
        CommandKind::RemoveGroup => Some(Command::RemoveGroup),
        CommandKind::Invite
        | CommandKind::SignUp
        | CommandKind::VerifyEmail
        | CommandKind::AcceptInvitation
        | CommandKind::RevokeInvitation
        | CommandKind::Expire
        | CommandKind::FirstSignIn
        | CommandKind::ScimCreate
        | CommandKind::ScimActivate
        | CommandKind::ScimProfile
        | CommandKind::Profile
        | CommandKind::OwnProfile
        | CommandKind::Activate
        | CommandKind::Start
        | CommandKind::Unsuspend
        | CommandKind::Reactivate
        | CommandKind::Unlock
        | CommandKind::LockExpires
        | CommandKind::HoldClear
        | CommandKind::GiveRole
        | CommandKind::TakeRole
        | CommandKind::GiveApp
        | CommandKind::AddGroup
        | CommandKind::HandOver
        | CommandKind::TakeOver
        | CommandKind::Link
        | CommandKind::CaseVerified
        | CommandKind::CaseClosed => None,
    }
}

pub(super) const fn mark(entry: Entry) -> Mark {
    Mark { not_before: entry.not_before, version: entry.version, disabled: entry.disabled }
}

fn asked(command: Command, asker: &Asker, at: UnixMillis) -> facts::Asked {
    let kind = match asker.actor.kind() {
        ActorKind::Operator => AskerKind::Operator,
        ActorKind::Source => AskerKind::Source,
        ActorKind::Signal => AskerKind::Signal,
        ActorKind::Person => AskerKind::Person,
        ActorKind::System => AskerKind::System,
    };
    let named = |text: String| if text.is_empty() { NAMELESS.to_owned() } else { text };
    let by = facts::Asker { kind, name: named(fit(asker.actor.name())) };
    // As the log of revocations has it, where it is looked for after a crash.
    let request_id = named(plan::clean(&asker.request_id, plan::WHO_BYTES_MAX));
    let cause = fit(&plan::cause(asker));
    facts::Asked { command, of: None, by, cause, request_id, at }
}

/// The one thing that is taken, where it is one.
fn of_command(command: Command, commands: &[Asked]) -> Option<String> {
    commands.iter().find_map(|asked| match (command, asked) {
        (Command::RemoveGroup, Asked::RemoveGroup(group)) => Some(group.to_string()),
        (Command::RemoveApp, Asked::TakeApp(app)) => Some(app.to_string()),
        (Command::Unlink, Asked::Unlink(link)) => Some(fit(&link.to_string())),
        _ => None,
    })
}

/// As the directory calls them, with the sign-ins that they had.
fn person(before: &Person, after: &Person) -> facts::Person {
    let profile = &before.profile;
    facts::Person {
        id: Some(Uuid::from_u128(before.id.as_u128())),
        links: before.links.iter().cloned().collect(),
        user_name: Some(fit(&profile.user_name)).filter(|name| !name.is_empty()),
        name: profile.name.as_deref().map(fit),
        email: profile.verified_email().map(fit),
        state_before: before.state.kind().as_str().to_owned(),
        state_after: after.state.kind().as_str().to_owned(),
        source_active: after.source_active,
        security_hold: !after.holds.is_empty(),
    }
}

/// Somebody, or something, that the directory does not know.
fn nobody_known() -> facts::Person {
    facts::Person {
        id: None,
        links: Vec::new(),
        user_name: None,
        name: None,
        email: None,
        state_before: "unknown".to_owned(),
        state_after: "unknown".to_owned(),
        source_active: false,
        security_hold: false,
    }
}

const fn action_of(act: Act) -> Option<Action> {
    match act {
        Act::Revoke => Some(Action::Revoke),
        Act::Disable => Some(Action::Disable),
        Act::Reactivate => None,
    }
}

impl Pend {
    /// The receipt of what a plan takes away from somebody, if it takes anything.
    pub(super) fn of_plan(
        (before, plan): (&Person, &Plan),
        owned: &[Versioned<OwnedMachine>],
        (commands, asker): (&[Asked], &Asker),
        making: &Making<'_>,
        debts: Vec<Debt>,
    ) -> Option<Self> {
        let command = command_of(commands)?;
        let cuts = plan.consequences().flat_map(|consequences| &consequences.cuts);
        let targets: Vec<Wanted> = cuts
            .filter_map(|cut| Some(Wanted { target: cut.whom.target(), action: action_of(cut.act)? }))
            .collect();
        let takes = match command {
            Command::RemoveApp | Command::Unlink | Command::EndSessions | Command::CutOff => {
                !targets.is_empty()
            }
            Command::Deactivate
            | Command::Suspend
            | Command::Lock
            | Command::Hold
            | Command::Delete
            | Command::RemoveGroup => plan.changes_anything() && !before.links.is_empty(),
        };
        // Who says again what is so already is remembered, and takes nothing.
        let again = targets.is_empty() && plan.steps.iter().all(|step| step.edge.is_repetition());
        if !takes || again {
            return None;
        }
        let of = person(before, &plan.after);
        let mut asked = asked(command, asker, making.now);
        asked.of = of_command(command, commands);
        let mut pending = Pending::of(asked, of, making);
        (pending.targets, pending.debts) = (targets, debts);
        pending.cut_before(command, making.revocations);
        for machine in owned {
            let stops = plan.stopped.iter().any(|stopped| stopped.it.id == machine.it.id);
            if stops {
                let good = machine.it.tokens.iter().filter(|token| making.now < token.expires_at);
                pending.credentials.api_tokens += good.count() as u64;
            }
            pending.machine(&machine.it, stops, making.revocations);
        }
        pending.written(making.id)
    }

    /// The receipt of taking somebody out of a group by a change of the group.
    pub(super) fn of_removal(
        of: &Person,
        group: GroupId,
        asker: &Asker,
        making: &Making<'_>,
    ) -> Option<Self> {
        if of.links.is_empty() {
            return None;
        }
        let mut asked = asked(Command::RemoveGroup, asker, making.now);
        asked.of = Some(group.to_string());
        Pending::of(asked, person(of, of), making).written(making.id)
    }

    /// The receipt of what a signal or a workflow tool named. `known` is whose all of it is, if it is
    /// somebody's whom the directory knows.
    pub(super) fn of_targets(
        (targets, action): (&[Target], Done),
        known: Option<&Person>,
        asker: &Asker,
        making: &Making<'_>,
    ) -> Option<Self> {
        let action = match action {
            Done::Revoke => Action::Revoke,
            Done::Disable => Action::Disable,
            Done::Reactivate => return None,
        };
        let users = targets.iter().filter_map(|target| match target {
            Target::User(user) | Target::UserAtApp(user, _) => Some(user.clone()),
            Target::Session(_) | Target::Token(_) | Target::Device(_) => None,
        });
        let links: BTreeSet<UserId> = users.collect();
        let mut of = known.map_or_else(nobody_known, |known| person(known, known));
        of.links = links.into_iter().collect();
        let mut pending = Pending::of(asked(Command::CutOff, asker, making.now), of, making);
        pending.targets = targets.iter().map(|target| Wanted { target: target.clone(), action }).collect();
        if pending.targets.is_empty() { None } else { pending.written(making.id) }
    }
}

impl Pending {
    fn of(asked: facts::Asked, person: facts::Person, making: &Making<'_>) -> Self {
        Self {
            form: Form::Pending1,
            instance: making.instance,
            node: making.node.to_owned(),
            asked,
            person,
            targets: Vec::new(),
            already: Vec::new(),
            machines: Vec::new(),
            credentials: facts::Credentials::default(),
            remains: Vec::new(),
            debts: Vec::new(),
        }
    }

    /// Whether a row of the log of revocations is of the same request.
    pub(super) fn is_of(&self, request_id: &str) -> bool {
        let known = self.asked.request_id.as_str();
        known == request_id || (known == NAMELESS && request_id.is_empty())
    }

    fn takes(&self, user: &UserId) -> bool {
        self.targets.iter().any(|wanted| matches!(&wanted.target, Target::User(of) if of == user))
    }

    /// Notes which sign-ins are cut off already. One that is not, and is not now, could let the person in.
    fn cut_before(&mut self, command: Command, revocations: &Revocations) {
        for link in self.person.links.clone() {
            if self.takes(&link) {
                continue;
            }
            let known = revocations.lookup(&Target::User(link.clone())).filter(|entry| entry.disabled);
            match known {
                Some(entry) => {
                    self.already.push(Already { target: Target::User(link), mark: mark(entry) });
                }
                None if command.cuts_everything() => self.remains.push(Remainder::SignIn { id: link }),
                None => {}
            }
        }
    }

    /// Notes what becomes of a machine that the person owns.
    fn machine(&mut self, machine: &OwnedMachine, stops: bool, revocations: &Revocations) {
        let target = Target::User(machine.user.clone());
        let before = revocations.lookup(&target).filter(|entry| entry.disabled);
        let fate = match (stops && self.takes(&machine.user), before, machine.state) {
            (true, _, _) => Fate::Stopped {},
            (false, Some(entry), _) => {
                self.already.push(Already { target, mark: mark(entry) });
                Fate::Stopped {}
            }
            (false, None, MachineState::Active) => {
                self.remains.push(Remainder::Machine { id: machine.user.clone() });
                Fate::Running {}
            }
            (false, None, MachineState::Stopped { .. } | MachineState::Deleted) => return,
        };
        let kind = match machine.kind {
            OwnedKind::ServiceAccount => MachineKind::ServiceAccount,
            OwnedKind::Agent => MachineKind::Agent,
        };
        self.machines.push(Machine { id: machine.user.clone(), kind, fate });
    }

    /// With its record. What is too large to be kept makes no receipt, and is no reason to let somebody stay.
    fn written(self, id: Uuid) -> Option<Pend> {
        let body = serde_json::to_vec(&self).ok().filter(|body| body.len() <= RECORD_BYTES_MAX);
        let Some(body) = body else {
            let request_id = &self.asked.request_id;
            tracing::error!(%id, request_id, "a receipt would be too large to be kept: none is made of this change");
            return None;
        };
        let write = Write {
            kind: RecordKind::Receipt,
            id: format!("{WAITS}{id}").into(),
            expected: Expected::Absent,
            body: Some(body.into()),
            keys: Vec::new(),
        };
        Some(Pend { id, pending: self, write, sessions: Counted::Known(KeptSessions::default()) })
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        self.targets.iter().map(|wanted| wanted.target.clone()).collect()
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}
