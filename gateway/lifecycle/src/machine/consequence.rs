//! What follows from a step for access: pure, and complete. Whoever writes the step tells the
//! revocations every [`Cut`] in the same transaction.
//!
//! The rule for sign-ins is one line: whoever is admitted has theirs enabled, whoever is not has
//! them disabled, and what changed sides in between is told. Nothing here asks how the person came
//! to be where they are.

use doorward_model::directory::{
    Given, GroupId, Machine, MachineId, MachineState, Offboarding, Person, RoleName, StateKind,
};
use doorward_model::{AppId, Target, UserId};

use super::actor::Circumstances;
use super::command::Command;
use super::edge::{Edge, Sessions};

/// What the revocations do to a target; the words of `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Everything made until now is dead; signing in anew is possible.
    Revoke,
    /// Everything is dead, and nothing new is good.
    Disable,
    /// Signing in anew is possible again. Nothing old comes back to life.
    Reactivate,
}

impl Act {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Disable => "disable",
            Self::Reactivate => "reactivate",
        }
    }
}

/// Whom a [`Cut`] hits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// One of the person's sign-ins, everywhere.
    Link(UserId),
    /// One of the person's sign-ins, at one app.
    LinkAtApp(UserId, AppId),
    /// A machine that they answer for, by the name that it signs in with.
    Machine(MachineId, UserId),
}

impl Whom {
    /// The target of the revocation.
    #[must_use]
    pub fn target(&self) -> Target {
        match self {
            Self::Link(link) | Self::Machine(_, link) => Target::User(link.clone()),
            Self::LinkAtApp(link, app) => Target::UserAtApp(link.clone(), app.clone()),
        }
    }
}

/// One thing that the revocations must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whom it hits.
    pub whom: Whom,
    /// What is done.
    pub act: Act,
}

/// A machine that stops because the person who answers for it leaves. It does not start again by
/// itself: somebody takes it over, or an operator starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which.
    pub machine: MachineId,
}

/// What an operator or a default had given, and is dropped with the leaving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Roles.
    pub roles: Vec<Given<RoleName>>,
    /// Groups.
    pub groups: Vec<Given<GroupId>>,
    /// Apps.
    pub apps: Vec<Given<AppId>>,
}

/// What becomes of the offboarding case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseStep {
    /// One opens.
    Opens,
    /// It is verified.
    Verified,
    /// It closes.
    Closes,
    /// It closes because the person returned; what was open then is recorded.
    ClosesReturned,
}

/// What may be owed. The names of control debt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwedKind {
    /// The source overrode what an operator did by hand: somebody should see whether that is right.
    Override,
    /// The source says active, and somebody here says no.
    Disagreement,
    /// A machine has nobody who answers for it.
    OrphanMachine(MachineId),
}

impl OwedKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Disagreement => "hold_vs_source",
            Self::OrphanMachine(_) => "orphan_machine",
        }
    }
}

/// A control debt that opens or is settled by the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owed {
    /// It opens.
    Opens(OwedKind),
    /// It is settled.
    Settled(OwedKind),
}

/// Everything that follows from a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consequences {
    /// What the revocations must be told, in order.
    pub cuts: Vec<Cut>,
    /// What was dropped.
    pub dropped: Dropped,
    /// The machines that stop.
    pub stops: Vec<Stop>,
    /// What becomes of the case.
    pub case: Option<CaseStep>,
    /// What is owed, or not any more.
    pub owed: Vec<Owed>,
    /// Policies may decide otherwise from now on.
    pub facts_changed: bool,
}

/// What follows from `edge`.
pub(super) fn of(
    before: Option<&Person>,
    after: &Person,
    command: &Command,
    edge: &Edge,
    circumstances: &Circumstances<'_>,
) -> Consequences {
    let leaves = before.is_some_and(|before| !is_out(before)) && is_out(after);
    let stopping: Vec<&Machine> = if leaves {
        circumstances.owned.iter().filter(|machine| machine.state == MachineState::Active).collect()
    } else {
        Vec::new()
    };
    let mut cuts = of_links(before, after, command, edge);
    cuts.extend(at_apps(before, after));
    cuts.extend(
        stopping
            .iter()
            .map(|machine| Cut { whom: Whom::Machine(machine.id, machine.user.clone()), act: Act::Disable }),
    );
    let dropped = match before {
        Some(before) if leaves => dropped(before),
        Some(_) | None => Dropped::default(),
    };
    let stops = stopping.iter().map(|machine| Stop { machine: machine.id }).collect();
    let facts_changed = before.is_none_or(|before| facts_differ(before, after));
    Consequences {
        cuts,
        dropped,
        stops,
        case: case(before, after),
        owed: owed(before, after, edge, &stopping),
        facts_changed,
    }
}

/// Whether they have left, for now or for ever, after they belonged here.
fn is_out(person: &Person) -> bool {
    match person.state.kind() {
        StateKind::Deactivated => true,
        StateKind::Deleted => person.left.is_some(),
        StateKind::Invited
        | StateKind::PendingVerification
        | StateKind::Staged
        | StateKind::Active
        | StateKind::Locked
        | StateKind::Suspended => false,
    }
}

/// A sign-in is enabled exactly while its person is admitted.
fn of_links(before: Option<&Person>, after: &Person, command: &Command, edge: &Edge) -> Vec<Cut> {
    let had = |link: &UserId| before.is_some_and(|before| before.links.contains(link));
    let was_in = before.is_some_and(Person::admitted);
    let now_in = after.admitted();
    let gone = before.into_iter().flat_map(|before| before.links.difference(&after.links));
    let gone = gone.map(|link| Cut { whom: Whom::Link(link.clone()), act: Act::Disable });
    let kept = after.links.iter().filter_map(|link| {
        let act = match (had(link), was_in, now_in) {
            (true, true, false) | (false, _, false) => Act::Disable,
            (true, false, true) => Act::Reactivate,
            (false, _, true) if command.joined_by() != Some(link) => Act::Reactivate,
            (true, true, true) if edge.sessions == Sessions::End => Act::Revoke,
            (true, true, true) | (true, false, false) | (false, _, true) => return None,
        };
        Some(Cut { whom: Whom::Link(link.clone()), act })
    });
    gone.chain(kept).collect()
}

/// What is open at an app ends when the last grant of it is gone. Whether the app can be reached
/// without a grant is for policies to say.
fn at_apps(before: Option<&Person>, after: &Person) -> Vec<Cut> {
    let Some(before) = before else { return Vec::new() };
    let lost = before.apps.names().filter(|app| !after.apps.has(app));
    let lost = lost.flat_map(|app| before.links.iter().map(move |link| (link, app)));
    lost.map(|(link, app)| Cut { whom: Whom::LinkAtApp(link.clone(), app.clone()), act: Act::Revoke })
        .collect()
}

fn dropped(before: &Person) -> Dropped {
    fn by_hand<T: Ord + Clone>(grants: &doorward_model::directory::Grants<T>) -> Vec<Given<T>> {
        grants.iter().filter(|given| !given.origin.stays()).cloned().collect()
    }
    Dropped { roles: by_hand(&before.roles), groups: by_hand(&before.groups), apps: by_hand(&before.apps) }
}

fn case(before: Option<&Person>, after: &Person) -> Option<CaseStep> {
    let was = before.map_or(Offboarding::None, |before| before.offboarding);
    match (was, after.offboarding) {
        (Offboarding::None | Offboarding::Closed | Offboarding::Verified, Offboarding::Open) => {
            Some(CaseStep::Opens)
        }
        (Offboarding::None | Offboarding::Open | Offboarding::Closed, Offboarding::Verified) => {
            Some(CaseStep::Verified)
        }
        (Offboarding::None | Offboarding::Open | Offboarding::Verified, Offboarding::Closed) => {
            Some(if is_out(after) { CaseStep::Closes } else { CaseStep::ClosesReturned })
        }
        (_, Offboarding::None)
        | (Offboarding::Open, Offboarding::Open)
        | (Offboarding::Verified, Offboarding::Verified)
        | (Offboarding::Closed, Offboarding::Closed) => None,
    }
}

fn owed(before: Option<&Person>, after: &Person, edge: &Edge, stopping: &[&Machine]) -> Vec<Owed> {
    let mut owed = Vec::new();
    if edge.overrides() {
        owed.push(Owed::Opens(OwedKind::Override));
    }
    match (before.is_some_and(Person::disagrees), after.disagrees()) {
        (false, true) => owed.push(Owed::Opens(OwedKind::Disagreement)),
        (true, false) => owed.push(Owed::Settled(OwedKind::Disagreement)),
        (true, true) | (false, false) => {}
    }
    owed.extend(stopping.iter().map(|machine| Owed::Opens(OwedKind::OrphanMachine(machine.id))));
    owed
}

/// Whether policies are told something else than before.
fn facts_differ(before: &Person, after: &Person) -> bool {
    before.stage() != after.stage()
        || before.profile != after.profile
        || !before.roles.names().eq(after.roles.names())
        || !before.groups.names().eq(after.groups.names())
        || !before.apps.names().eq(after.apps.names())
}
