//! From commands to one batch: which records change, and which revocations follow. Pure, but for new ids.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::directory::{ConnectionId, Grants, GroupId, Machine, Person, StateKind, StopCause};
use doorward_model::limits::REVOCATION_CAUSE_BYTES_MAX;
use doorward_model::{Target, UnixMillis};
use doorward_state::directory::form::{FormError, Member, encode_machine, encode_memberships, encode_person};
use doorward_state::{Action, Change, Expected, RecordKind, Write};

use super::answer::{Asker, Failed};
use super::directory::{Read, Versioned};
use super::machines;
use crate::machine::{
    Act, Actor, CaseStep, Circumstances, Command, CommandKind, Consequences, Cut, Denied, Nature, Owed,
    Rules, Step, apply,
};

/// How long the name of who asked and the id of a request may be in the log of revocations, in bytes.
pub(super) const WHO_BYTES_MAX: usize = 255;

/// Before the name of who asked, in the log of revocations, where a change follows from a life.
const OF_DIRECTORY: &str = "directory:";

/// What some commands on one person come to.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// The group that each step is about, if it is about one.
    groups: Vec<Option<GroupId>>,
    pub(super) after: Arc<Person>,
    /// The machines that stop, as they stand afterwards, with the version that they were read in.
    pub(super) stopped: Vec<Versioned<Machine>>,
    /// What would be let in, and something else than the directory keeps out.
    pub(super) kept_out: BTreeSet<Target>,
}

/// Does the commands one after the other. None of them is done if one is denied.
pub(super) fn decide(
    read: Option<&Read>,
    owned: &[Versioned<Machine>],
    commands: &[Command],
    asker: &Asker,
    (rules, now): (&Rules, UnixMillis),
) -> Result<Option<Plan>, Denied> {
    let machines: Vec<Machine> = owned.iter().map(|machine| machine.it.clone()).collect();
    let circumstances = Circumstances {
        now,
        asserted_at: asker.asserted_at,
        actor: asker.actor.clone(),
        cause: cause(asker),
        rules,
        owned: &machines,
    };
    let mut current = read.map(|read| Arc::clone(&read.person));
    let mut steps: Vec<Step> = Vec::with_capacity(commands.len());
    for command in commands {
        let step = apply(current.as_ref(), command, &circumstances)?;
        current = Some(Arc::clone(&step.after));
        steps.push(step);
    }
    let Some(after) = current else { return Ok(None) };
    let stops: BTreeSet<_> =
        steps.iter().flat_map(|step| &step.consequences.stops).map(|stop| stop.machine).collect();
    let stopped = owned.iter().filter(|machine| stops.contains(&machine.it.id)).map(|machine| Versioned {
        it: machines::stopped(&machine.it, StopCause::OwnerLeft, now),
        ..*machine
    });
    let groups = commands.iter().map(group_of).collect();
    Ok(Some(Plan { groups, stopped: stopped.collect(), steps, after, kept_out: BTreeSet::new() }))
}

impl Plan {
    /// Whether something is to be written. Ending what somebody has open changes nothing of them.
    pub(super) fn changes_anything(&self) -> bool {
        self.steps.iter().any(|step| step.changes_anything() || !step.consequences.cuts.is_empty())
    }

    pub(super) fn steps_and_groups(&self) -> impl Iterator<Item = (&Step, Option<GroupId>)> {
        self.steps.iter().zip(self.groups.iter().copied())
    }

    pub(super) fn consequences(&self) -> impl Iterator<Item = &Consequences> {
        self.steps.iter().map(|step| &step.consequences)
    }

    pub(super) fn case(&self) -> Option<CaseStep> {
        self.consequences().filter_map(|consequences| consequences.case).last()
    }

    pub(super) fn owed(&self) -> impl Iterator<Item = &Owed> {
        self.consequences().flat_map(|consequences| &consequences.owed)
    }

    /// Whether it gives anything, so that it must be on record first. What only takes away must not wait
    /// for that; nor what takes away more than it says beside it.
    pub(super) fn gives(&self) -> bool {
        let was_in = self.steps.first().and_then(|step| step.before.as_ref()).is_some_and(|p| p.admitted());
        if was_in && !self.after.admitted() {
            return false;
        }
        let gives = |step: &Step| step.changes_anything() && !only_takes(step.edge.command);
        self.steps.iter().any(gives)
    }

    /// Whom it lets in.
    pub(super) fn lets_in(&self) -> BTreeSet<Target> {
        let cuts = self.consequences().flat_map(|consequences| &consequences.cuts);
        cuts.filter(|cut| cut.act == Act::Reactivate).map(|cut| cut.whom.target()).collect()
    }

    /// Lets none of `kept_out` in. Those of `untouched` need not be let in.
    pub(super) fn leave_out(&mut self, kept_out: BTreeSet<Target>, untouched: &BTreeSet<Target>) {
        let stays = |target: &Target| kept_out.contains(target) || untouched.contains(target);
        for step in &mut self.steps {
            let cuts = &mut step.consequences.cuts;
            cuts.retain(|cut| cut.act != Act::Reactivate || !stays(&cut.whom.target()));
        }
        self.kept_out = kept_out;
    }

    /// The records to be written.
    pub(super) fn writes(&self, read: Option<&Read>) -> Result<Vec<Write>, Failed> {
        let cuts = self.consequences().any(|consequences| !consequences.cuts.is_empty());
        let mut writes = of_person(read, &self.after, cuts)?;
        for machine in &self.stopped {
            writes.push(of_machine(machine)?);
        }
        Ok(writes)
    }

    /// The revocations that follow.
    pub(super) fn changes(&self, asker: &Asker) -> Vec<Change> {
        self.consequences()
            .flat_map(|consequences| &consequences.cuts)
            .map(|cut| change(cut, asker))
            .collect()
    }
}

const fn group_of(command: &Command) -> Option<GroupId> {
    if let Command::AddGroup(group) | Command::RemoveGroup(group) = command { Some(*group) } else { None }
}

/// Whether a command can only take away.
const fn only_takes(command: CommandKind) -> bool {
    match command {
        CommandKind::RevokeInvitation
        | CommandKind::Expire
        | CommandKind::TakeRole
        | CommandKind::TakeApp
        | CommandKind::RemoveGroup
        | CommandKind::Unlink
        | CommandKind::EndSessions
        | CommandKind::CaseVerified
        | CommandKind::CaseClosed => true,
        CommandKind::Invite
        | CommandKind::SignUp
        | CommandKind::VerifyEmail
        | CommandKind::AcceptInvitation
        | CommandKind::FirstSignIn
        | CommandKind::ScimCreate
        | CommandKind::ScimActivate
        | CommandKind::ScimDeactivate
        | CommandKind::ScimDelete
        | CommandKind::ScimProfile
        | CommandKind::Profile
        | CommandKind::OwnProfile
        | CommandKind::Activate
        | CommandKind::Start
        | CommandKind::Suspend
        | CommandKind::Unsuspend
        | CommandKind::Deactivate
        | CommandKind::ContractEnd
        | CommandKind::Reactivate
        | CommandKind::Delete
        | CommandKind::Lock
        | CommandKind::Unlock
        | CommandKind::LockExpires
        | CommandKind::HoldSet
        | CommandKind::HoldClear
        | CommandKind::GiveRole
        | CommandKind::GiveApp
        | CommandKind::AddGroup
        | CommandKind::HandOver
        | CommandKind::TakeOver
        | CommandKind::Link => match command.nature() {
            Nature::Takes => true,
            Nature::Lifts | Nature::Changes => false,
        },
    }
}

/// The records of a person. Whoever leaves, or is deleted, writes their memberships too, whether these
/// change or not: then nothing can be put beside a leaving that was decided before it. Of whom something
/// is cut off (`cuts`), the person is written as well, also where nothing of them changes: so it is cut
/// off of the one who is stored.
pub(super) fn of_person(read: Option<&Read>, after: &Person, cuts: bool) -> Result<Vec<Write>, Failed> {
    let id: Arc<str> = after.id.to_string().into();
    let deleted = after.state.kind() == StateKind::Deleted;
    let mut writes = Vec::with_capacity(2);
    let expected = read.map_or(Expected::Absent, |read| Expected::Version(read.version));
    if cuts || read.is_none_or(|read| !is_same_but_groups(&read.person, after)) {
        let (body, keys) = if deleted {
            (None, Vec::new())
        } else {
            let (body, keys) = encode_person(after).map_err(bad)?;
            (Some(body.into()), keys)
        };
        writes.push(Write { kind: RecordKind::Person, id, expected, body, keys });
    }
    let groups_change = read.map_or(!after.groups.is_empty(), |read| read.person.groups != after.groups);
    if groups_change || read.is_some_and(|read| leaves(&read.person, after)) {
        let expected = read.map_or(Expected::Absent, |read| read.membership);
        writes.push(of_memberships(Member::Person(after.id), &after.groups, expected)?);
    }
    Ok(writes)
}

/// The record of somebody's memberships.
pub(super) fn of_memberships(
    member: Member,
    groups: &Grants<GroupId>,
    expected: Expected,
) -> Result<Write, Failed> {
    let body = encode_memberships(groups).map_err(bad)?;
    let id = member.record_id().into();
    Ok(Write { kind: RecordKind::Membership, id, expected, body: Some(body.into()), keys: Vec::new() })
}

pub(super) fn of_machine(machine: &Versioned<Machine>) -> Result<Write, Failed> {
    let (body, keys) = encode_machine(&machine.it).map_err(bad)?;
    Ok(Write {
        kind: RecordKind::Machine,
        id: machine.it.id.to_string().into(),
        expected: Expected::Version(machine.version),
        body: Some(body.into()),
        keys,
    })
}

pub(super) fn bad(error: FormError) -> Failed {
    let field = match error {
        FormError::Key { field } | FormError::Field { field, .. } => field,
        FormError::Later(_) | FormError::Damaged { .. } => "body",
    };
    Failed::Bad { field, what: error.to_string() }
}

/// Whether the person's own record says the same before and after: groups stand in another record, and
/// when somebody came into one is no change of theirs.
fn is_same_but_groups(before: &Person, after: &Person) -> bool {
    let but = |person: &Person| {
        let mut person = person.clone();
        person.groups = Grants::new();
        person.changed_at = UnixMillis::default();
        person
    };
    but(before) == but(after)
}

fn leaves(before: &Person, after: &Person) -> bool {
    let out = |person: &Person| matches!(person.state.kind(), StateKind::Deactivated | StateKind::Deleted);
    out(after) && (!out(before) || after.state.kind() != before.state.kind())
}

fn change(cut: &Cut, asker: &Asker) -> Change {
    change_of(cut.whom.target(), action(cut.act), asker)
}

/// Whether a change that this one asked for follows from a life.
pub(super) fn is_of_directory(actor: &str) -> bool {
    actor.starts_with(OF_DIRECTORY)
}

const fn action(act: Act) -> Action {
    match act {
        Act::Revoke => Action::Revoke,
        Act::Disable => Action::Disable,
        Act::Reactivate => Action::Reactivate,
    }
}

/// A change of `target` that follows from a life, as the log of revocations tells of it.
pub(super) fn change_of(target: Target, action: Action, asker: &Asker) -> Change {
    let actor = clean(&format!("{OF_DIRECTORY}{}", asker.actor.name()), WHO_BYTES_MAX);
    Change { actor, ..change_past_lives(target, action, asker) }
}

/// A change that has nothing to do with anybody's life: no return takes it back.
pub(super) fn change_past_lives(target: Target, action: Action, asker: &Asker) -> Change {
    Change {
        target,
        action,
        cause: cause(asker).to_string(),
        actor: clean(asker.actor.name(), WHO_BYTES_MAX),
        request_id: clean(&asker.request_id, WHO_BYTES_MAX),
    }
}

/// Why, as the directory and the logs can hold it: a text that does not fit must not be a reason not to
/// take access away.
pub(super) fn cause(asker: &Asker) -> Arc<str> {
    clean(&asker.cause, REVOCATION_CAUSE_BYTES_MAX).into()
}

pub(super) fn clean(text: &str, bytes_max: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default().to_owned()
}

/// The connection that asks, if one does.
pub(super) const fn connection(actor: &Actor) -> Option<&ConnectionId> {
    match actor {
        Actor::Source(connection) => Some(connection),
        Actor::Operator(_) | Actor::Signal(_) | Actor::Person | Actor::System => None,
    }
}
