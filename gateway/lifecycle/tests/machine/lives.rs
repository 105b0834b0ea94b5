//! Whole lives: random commands from random actors on one person, and what the revocations then
//! know. The test keeps its own books, in other words than the machine's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorward_lifecycle::machine::{
    Act, Actor, ActorKind, Circumstances, Command, CommandKind, EDGES, Step, Whom, apply,
};
use doorward_model::directory::{
    HoldOrigin, Machine, MachineState, Origin, Person, PersonId, PersonState, StateKind, StopCause,
};
use doorward_model::{UnixMillis, UserId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::every_step::{actors, commands, must_hold};
use crate::sample::{earlier, link, robot, rules};

/// What the revocations know of one target.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    not_before: i64,
    disabled: bool,
}

/// Somebody signed in.
#[derive(Clone, Debug)]
struct Session {
    link: UserId,
    made_at: i64,
}

/// One person, and everything that the gateway would know.
struct World {
    now: i64,
    person: Option<Arc<Person>>,
    next_id: u128,
    marks: BTreeMap<UserId, Mark>,
    sessions: Vec<Session>,
    machine: Machine,
    /// Every no that nobody took back: what kind, and whose.
    noes: BTreeSet<(&'static str, HoldOrigin)>,
    /// What the source said last.
    source_says: bool,
    steps: BTreeMap<&'static str, usize>,
}

impl World {
    fn new() -> Self {
        Self {
            now: 1_000_000,
            person: None,
            next_id: 100,
            marks: BTreeMap::new(),
            sessions: Vec::new(),
            machine: robot(),
            noes: BTreeSet::new(),
            source_says: true,
            steps: BTreeMap::new(),
        }
    }

    fn mark(&self, link: &UserId) -> Mark {
        self.marks.get(link).copied().unwrap_or_default()
    }

    fn stands(&self, session: &Session) -> bool {
        let mark = self.mark(&session.link);
        !mark.disabled && session.made_at > mark.not_before
    }

    /// Whoever can signs in: with every name, known or not, that is not cut off.
    fn sign_in(&mut self) {
        self.now += 1;
        for name in ["alice", "alice-2", "robot"] {
            let session = Session { link: link(name), made_at: self.now };
            if self.stands(&session) {
                self.sessions.push(session);
            }
        }
    }

    fn ask(&mut self, mut command: Command, actor: &Actor, asserted_before: i64) -> Result<(), String> {
        self.now += 1;
        let now = UnixMillis(self.now);
        self.renew_ids(&mut command);
        self.move_times(&mut command);
        if let Command::AcceptInvitation { link, cut_off, .. }
        | Command::FirstSignIn { link, cut_off, .. }
        | Command::SignUp { link, cut_off, .. } = &mut command
        {
            *cut_off = self.mark(link).disabled;
        }
        let known = self
            .person
            .clone()
            .filter(|person| person.state.kind() != StateKind::Deleted || !joins(command.kind()));
        let rules = rules();
        let owned = [self.machine.clone()];
        let asserted_at =
            (actor.kind() == ActorKind::Signal).then_some(UnixMillis(self.now - asserted_before));
        let who = Circumstances {
            now,
            asserted_at,
            actor: actor.clone(),
            cause: "x".into(),
            rules: &rules,
            owned: &owned,
        };
        let Ok(step) = apply(known.as_ref(), &command, &who) else { return Ok(()) };
        if self.machine.state == MachineState::Active {
            must_hold(&step, &command, actor, now)?;
        }
        self.keep_books(&step, &command, actor);
        self.cut(&step);
        self.person = Some(Arc::clone(&step.after));
        self.check(&step)
    }

    fn renew_ids(&mut self, command: &mut Command) {
        if let Command::Invite { id, .. }
        | Command::SignUp { id, .. }
        | Command::FirstSignIn { id, .. }
        | Command::ScimCreate { id, .. } = command
        {
            *id = PersonId::from_u128(self.next_id);
            self.next_id += 1;
        }
    }

    /// A lock of the sample ends at a fixed time; here it ends soon after now.
    fn move_times(&self, command: &mut Command) {
        if let Command::Lock { until } = command {
            *until = UnixMillis(if *until == earlier() { self.now - 1 } else { self.now + 20 });
        }
    }

    fn cut(&mut self, step: &Step) {
        for cut in &step.consequences.cuts {
            let (Whom::Link(of) | Whom::Machine(_, of)) = &cut.whom else { continue };
            let mark = self.marks.entry(of.clone()).or_default();
            mark.not_before = self.now;
            match cut.act {
                Act::Revoke => {}
                Act::Disable => mark.disabled = true,
                Act::Reactivate => mark.disabled = false,
            }
        }
        if !step.consequences.stops.is_empty() {
            let since = UnixMillis(self.now);
            self.machine.state = MachineState::Stopped { cause: StopCause::OwnerLeft, since };
        }
    }

    /// Who said no, and who took it back, as far as the machine took the command at all.
    fn keep_books(&mut self, step: &Step, command: &Command, actor: &Actor) {
        *self.steps.entry(step.edge.id).or_default() += 1;
        if step.before.is_none() {
            self.noes.clear();
            self.source_says = !matches!(command, Command::ScimCreate { active: false, .. });
        }
        let whose = match actor {
            Actor::Operator(_) => Some(HoldOrigin::Operator),
            Actor::Signal(stream) => Some(HoldOrigin::Signal(stream.clone())),
            Actor::Source(_) | Actor::Person | Actor::System => None,
        };
        let suspended = step.before.as_ref().is_some_and(|p| p.state.kind() == StateKind::Suspended);
        let by_operator = whose == Some(HoldOrigin::Operator);
        match (command, whose) {
            (Command::Deactivate, Some(whose)) if !step.edge.is_repetition() => {
                self.noes.insert(("deactivation", whose));
            }
            (Command::Reactivate, _) => self.noes.retain(|(kind, _)| *kind != "deactivation"),
            (Command::ScimActivate, _) => {
                // Only a word that is another than before takes somebody back.
                if !self.source_says {
                    self.noes.retain(|(kind, _)| *kind != "deactivation");
                }
                self.source_says = true;
            }
            (Command::ScimDeactivate | Command::ScimDelete, _) => self.source_says = false,
            (Command::HoldSet, Some(whose)) => {
                self.noes.insert(("hold", whose));
            }
            (Command::Suspend, Some(whose)) if !step.edge.is_repetition() => {
                self.noes.insert((if suspended { "hold" } else { "suspension" }, whose));
            }
            (Command::HoldClear(of), _) if !step.edge.is_repetition() => {
                self.noes.remove(&("hold", of.clone()));
                // A suspension that outlived a leaving is a hold now.
                let suspends =
                    |p: &Person| matches!(&p.state, PersonState::Suspended(by) if by.origin == *of);
                if !step.before.as_deref().is_some_and(suspends) {
                    self.noes.remove(&("suspension", of.clone()));
                }
            }
            (Command::Unsuspend, Some(whose)) if !step.edge.is_repetition() => {
                self.noes.retain(|(kind, of)| *kind != "suspension" || !(by_operator || *of == whose));
            }
            _ => {}
        }
    }

    /// What must be so after every step.
    fn check(&self, step: &Step) -> Result<(), String> {
        let person = &step.after;
        for name in ["alice", "alice-2"] {
            let theirs = person.links.contains(&link(name));
            let good = theirs && person.admitted();
            if theirs && self.mark(&link(name)).disabled == good {
                return Err(format!("{name} is disabled: {}, admitted: {good}", !good));
            }
        }
        for session in self.sessions.iter().filter(|session| self.stands(session)) {
            let theirs = person.links.contains(&session.link);
            if theirs && !person.admitted() {
                return Err(format!("{session:?} stands, and they are not admitted"));
            }
        }
        if person.admitted() && !self.noes.is_empty() {
            return Err(format!("admitted, and nobody took back {:?}", self.noes));
        }
        if person.admitted() && !self.source_says && person.source.connection().is_some() {
            return Err("admitted, and the source said no".to_owned());
        }
        if step.edge.id == "T18" {
            self.check_returner(step)?;
        }
        let stopped = self.machine.state != MachineState::Active;
        if stopped && !self.mark(&self.machine.user).disabled {
            return Err("a machine works that was stopped".to_owned());
        }
        Ok(())
    }

    fn check_returner(&self, step: &Step) -> Result<(), String> {
        let person = &step.after;
        let old = |origin: &Origin, since: UnixMillis| match origin {
            Origin::Source(_) => false,
            Origin::Operator(_) => true,
            Origin::Default => since.0 != self.now,
        };
        let any = person.roles.iter().any(|g| old(&g.origin, g.since))
            || person.groups.iter().any(|g| old(&g.origin, g.since))
            || person.apps.iter().any(|g| old(&g.origin, g.since));
        if any {
            return Err("somebody returned with what was given by hand".to_owned());
        }
        let theirs = |session: &&Session| person.links.contains(&session.link);
        match self.sessions.iter().filter(theirs).find(|session| self.stands(session)) {
            Some(session) => Err(format!("somebody returned with {session:?}")),
            None => Ok(()),
        }
    }
}

const fn joins(kind: CommandKind) -> bool {
    matches!(
        kind,
        CommandKind::Invite | CommandKind::SignUp | CommandKind::FirstSignIn | CommandKind::ScimCreate
    )
}

/// How somebody becomes known, and through whom.
type Beginning = (CommandKind, ActorKind);
/// What is asked and by whom; how long ago it was said; whether there is a sign-in afterwards.
type Asked = ((Command, Actor), i64, bool);

#[test]
fn no_life_leads_past_the_rules() {
    let pairs: Vec<(Command, Actor)> = commands()
        .into_iter()
        .flat_map(|command| actors().into_iter().map(move |actor| (command.clone(), actor)))
        .collect();
    let may = |(command, actor): &&(Command, Actor)| {
        EDGES.iter().any(|edge| edge.command == command.kind() && edge.who.contains(&actor.kind()))
    };
    let plausible: Vec<(Command, Actor)> = pairs.iter().filter(may).cloned().collect();
    let asking = prop_oneof![7 => prop::sample::select(plausible), 1 => prop::sample::select(pairs)];
    let act = (asking, 0..12_i64, prop::bool::ANY);
    let begin = prop::sample::select(vec![
        (CommandKind::ScimCreate, ActorKind::Source),
        (CommandKind::FirstSignIn, ActorKind::Person),
        (CommandKind::Invite, ActorKind::Operator),
        (CommandKind::SignUp, ActorKind::Person),
    ]);
    let life = (begin, prop::collection::vec(act, 40..160));
    let totals = std::cell::RefCell::new(BTreeMap::<&str, usize>::new());
    // No file of past failures: a case that once failed becomes a test with a name.
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let test = |((first, by), acts): (Beginning, Vec<Asked>)| {
        let mut world = World::new();
        let mut told = Vec::new();
        let begin = ((crate::sample::command(first), crate::sample::actor(by)), 0, true);
        for ((command, actor), age, signs_in) in [begin].into_iter().chain(acts) {
            told.push(format!("{} by {}", command.kind().as_str(), actor.name()));
            world
                .ask(command, &actor, age)
                .map_err(|what| TestCaseError::fail(format!("{what}\nafter {told:#?}")))?;
            if signs_in {
                world.sign_in();
            }
        }
        for (id, count) in world.steps {
            *totals.borrow_mut().entry(id).or_default() += count;
        }
        Ok(())
    };
    TestRunner::new(config).run(&life, test).unwrap();
    // A property over lives that never came far would hold of anything.
    let totals = totals.into_inner();
    for id in
        ["T2", "T5", "T7", "T8", "T13", "T14", "T15", "T16", "T17", "T18", "T19", "T20", "T21", "T22", "T24"]
    {
        assert!(totals.get(id).is_some_and(|count| *count >= 10), "{id}: {totals:?}");
    }
}
