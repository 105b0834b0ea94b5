//! Every step from everywhere: each state, each combination of flags, each command, each actor, once.
//! What must hold of a step whatever it is stands in [`must_hold`].

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_lifecycle::machine::{
    Act, Actor, ActorKind, Command, CommandKind, EDGES, Nature, Sessions, Step, Whom, Why, apply,
};
use doorward_model::UnixMillis;
use doorward_model::directory::{
    Edit, Edited, Given, GroupId, Hand, HoldOrigin, Left, Offboarding, Origin, Person, PersonState,
    ProfileField, Source, StateKind,
};

use crate::sample::{
    NOW, actor, app, asked, by_operator, command, earlier, hold, later, okta, person, profile, robot, role,
    rules, signal, stream,
};

/// People in every state with every combination of flags, reachable or not.
pub(crate) fn everybody() -> Vec<Person> {
    let mut people: Vec<Person> = StateKind::ALL.map(person).into();
    let mut other = person(StateKind::Suspended);
    other.state = PersonState::Suspended(hold(signal("caep")));
    people.push(other);
    let mut on = person(StateKind::Locked);
    on.state = PersonState::Locked { until: later() };
    people.push(on);
    let mut for_later = person(StateKind::Invited);
    for_later.profile.starts_at = Some(later());
    people.push(for_later);
    let mut vary = |flags: &[&dyn Fn(&mut Person)]| {
        let before = std::mem::take(&mut people);
        for person in before {
            for flag in flags {
                let mut person = person.clone();
                flag(&mut person);
                people.push(person);
            }
        }
    };
    vary(&[&|p| p.source = Source::Local, &|p| p.source = Source::Scim(okta())]);
    vary(&[&|p| p.source_active = false, &|p| p.source_active = true]);
    vary(&[
        &|_| {},
        &|p| p.holds.push(hold(HoldOrigin::Operator)),
        &|p| p.holds.push(hold(signal("caep"))),
        &|p| p.holds.extend([hold(HoldOrigin::Operator), hold(signal("risc"))]),
    ]);
    vary(&[
        &|p| p.offboarding = Offboarding::None,
        &|p| p.offboarding = Offboarding::Open,
        &|p| p.offboarding = Offboarding::Verified,
        &|p| p.offboarding = Offboarding::Closed,
    ]);
    vary(&[&|p| p.left = Some(Left { by: Hand::Source(okta()), at: earlier() }), &|p| {
        p.left = Some(Left { by: Hand::Operator, at: earlier() });
        p.offered_to = Some(okta());
        p.profile.starts_at = Some(later());
        p.profile.contract_end = Some(earlier());
        p.expires_at = p.expires_at.map(|_| earlier());
        touched_by_hand(p);
    }]);
    people
}

fn touched_by_hand(person: &mut Person) {
    if person.state == PersonState::Deleted {
        return;
    }
    let by = || Edit { by: "ann".into(), at: earlier() };
    person.said = Some(Box::new(profile()));
    person.profile.department = Some("board".to_owned());
    person.edits.insert(Edited::Field(ProfileField::Department), by());
    person.edits.insert(Edited::Role(role("admin")), by());
    person.edits.insert(Edited::Group(GroupId::from_u128(2)), by());
    person.edits.insert(Edited::App(app("wiki")), by());
    person.roles.give(Given { what: role("boss"), origin: by_operator(), since: earlier() });
    person.groups.give(Given { what: GroupId::from_u128(9), origin: by_operator(), since: earlier() });
    person.apps.give(Given { what: app("payroll"), origin: by_operator(), since: earlier() });
    person.apps.give(Given { what: app("wiki"), origin: Origin::Default, since: earlier() });
}

/// One of each command, and some that repeat what is so.
pub(crate) fn commands() -> Vec<Command> {
    let mut commands: Vec<Command> = CommandKind::ALL.iter().map(|kind| command(*kind)).collect();
    let Command::ScimCreate { id, profile: said, links, .. } = command(CommandKind::ScimCreate) else {
        panic!()
    };
    let Command::Profile(edited) = command(CommandKind::Profile) else { panic!() };
    commands.extend([
        Command::ScimCreate { id, profile: said, links, active: false },
        Command::HoldClear(signal("caep")),
        Command::HoldClear(signal("risc")),
        Command::ScimProfile(profile().into()),
        Command::Profile(profile().into()),
        Command::OwnProfile(edited),
        Command::OwnProfile(profile().into()),
        Command::Unlink(crate::sample::link("alice-2")),
        Command::Lock { until: earlier() },
        Command::GiveRole(role("seller")),
        Command::TakeRole(role("boss")),
        Command::GiveApp(app("payroll")),
        Command::TakeApp(app("payroll")),
        Command::AddGroup(GroupId::from_u128(1)),
        Command::Link(crate::sample::link("alice")),
        Command::HandOver(None),
    ]);
    commands
}

pub(crate) fn actors() -> Vec<Actor> {
    let mut actors = ActorKind::ALL.map(actor).to_vec();
    actors.push(Actor::Signal(stream("risc")));
    actors
}

/// What must hold of every step.
pub(crate) fn must_hold(
    step: &Step,
    command: &Command,
    actor: &Actor,
    now: UnixMillis,
) -> Result<(), String> {
    let ensure = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let before = step.before.as_deref();
    let (after, edge, then) = (&*step.after, step.edge, &step.consequences);
    let was = before.map(|person| person.state.kind());
    let is = after.state.kind();

    ensure(EDGES.iter().any(|row| std::ptr::eq(row, edge)), "the edge is a row of the table")?;
    ensure(edge.from.contains(&was) && edge.command == command.kind(), "the row begins there")?;
    ensure(edge.who.contains(&actor.kind()), "the row is for the actor")?;
    ensure(Some(is) == edge.to.or(was), "the state is where the row leads")?;
    ensure(step.events.iter().map(|event| event.name).eq(edge.events.iter().copied()), "the row's events")?;

    // Whoever is not admitted has every sign-in disabled; nothing survives what ends sessions.
    let was_in = before.is_some_and(Person::admitted);
    let cut = |link: &doorward_model::UserId| {
        then.cuts
            .iter()
            .filter(|cut| cut.whom == Whom::Link(link.clone()))
            .map(|cut| cut.act)
            .collect::<Vec<_>>()
    };
    let old: BTreeSet<_> = before.map(|person| person.links.clone()).unwrap_or_default();
    for link in &old {
        let enabled = was_in && cut(link).is_empty();
        let ends = edge.sessions == Sessions::End || !after.admitted() || !after.links.contains(link);
        ensure(!(enabled && ends), "what is open ends")?;
    }
    for link in after.links.difference(&old) {
        ensure(after.admitted() || cut(link) == [Act::Disable], "a new sign-in is as good as its person")?;
    }
    let given_back = then.cuts.iter().any(|cut| cut.act == Act::Reactivate);
    ensure(!given_back || after.admitted(), "nothing is given back to who is out")?;

    // Who takes back a no.
    let no: Vec<_> = before.map(|person| person.holds.clone()).unwrap_or_default();
    for lost in no.iter().filter(|hold| after.hold_of(&hold.origin).is_none() && is != StateKind::Deleted) {
        let own = matches!(actor, Actor::Signal(name) if lost.origin == HoldOrigin::Signal(name.clone()));
        let lifted = *command == Command::HoldClear(lost.origin.clone());
        ensure(lifted && (own || actor.kind() == ActorKind::Operator), "a hold is lifted by who may")?;
    }
    if let Some(PersonState::Suspended(no)) = before.map(|person| &person.state)
        && is != StateKind::Suspended
        && is != StateKind::Deleted
    {
        let own = matches!(actor, Actor::Signal(name) if no.origin == HoldOrigin::Signal(name.clone()));
        let lifted = *command == Command::Unsuspend && (own || actor.kind() == ActorKind::Operator);
        ensure(lifted || after.hold_of(&no.origin).is_some(), "a suspension is lifted by who may, or kept")?;
    }
    if actor.kind() == ActorKind::Source && after.admitted() && !was_in {
        ensure(no.is_empty(), "a source lets in nobody who is held back")?;
        let said_no = before.is_none_or(|person| !person.source_active);
        ensure(said_no || edge.id == "T9", "a source that repeats itself lets nobody in")?;
    }

    // Who speaks for them.
    if let Some(before) = before.filter(|before| before.source != after.source) {
        let offered = matches!(actor, Actor::Source(to) if before.offered_to.as_ref() == Some(to));
        let taken_over = *command == Command::TakeOver && offered && before.source.connection().is_none();
        let kept = *command == Command::ScimDelete && after.source == Source::Local;
        ensure(taken_over || kept, "nobody is taken over who was not handed over")?;
        ensure(
            kept || (no.is_empty() && is != StateKind::Suspended),
            "nobody is taken over who is held back",
        )?;
    }
    let by_operator = actor.kind() == ActorKind::Operator && matches!(command, Command::HandOver(Some(_)));
    let offered =
        before.is_none_or(|before| before.offered_to != after.offered_to) && after.offered_to.is_some();
    ensure(!offered || by_operator, "only an operator hands anybody over")?;

    // What was given by hand.
    let by_hand = |person: &Person| {
        let is_hand = |origin: &Origin| matches!(origin, Origin::Operator(_));
        person.roles.iter().any(|given| is_hand(&given.origin))
            || person.groups.iter().any(|given| is_hand(&given.origin))
            || person.apps.iter().any(|given| is_hand(&given.origin))
    };
    let leaves = matches!(is, StateKind::Deactivated | StateKind::Deleted) && was != Some(is);
    ensure(!leaves || !by_hand(after), "nothing that was given by hand outlives the leaving")?;
    if leaves && was != Some(StateKind::Deactivated) {
        ensure(after.said.is_none(), "no edit outlives the leaving")?;
    }
    if leaves && edge.id != "T3" && edge.id != "T6" && was != Some(StateKind::Deactivated) {
        ensure(
            then.stops.len() == 1 && after.offboarding == Offboarding::Open,
            "machines stop, a case opens",
        )?;
    }
    if is == StateKind::Deleted {
        let nothing = after.links.is_empty() && after.roles.is_empty() && after.edits.is_empty();
        ensure(nothing && after.profile.user_name.is_empty(), "deleting leaves nothing")?;
    }

    // Repetition and order.
    if edge.is_repetition() {
        ensure(
            step.events.is_empty() && then.cuts.is_empty() && !then.facts_changed,
            "a repetition is silent",
        )?;
        let mut marked = before.cloned().ok_or("a repetition is of somebody")?;
        marked.taken_as_of.clone_from(&after.taken_as_of);
        marked.changed_at = after.changed_at;
        ensure(marked == *after, "a repetition changes nothing but the mark")?;
    }
    if command.kind().nature() == Nature::Takes {
        ensure(after.taken_as_of.contains_key(&actor.hand()), "a no is remembered")?;
    }
    ensure(!step.changes_anything() || after.changed_at == now, "a change has its time")
}

/// Every step that is possible, each with its second asking.
#[test]
fn from_every_state_only_what_the_table_says() {
    let (rules, owned) = (rules(), [robot()]);
    let mut taken = BTreeSet::new();
    let mut steps = 0;
    for person in everybody().into_iter().map(Arc::new).map(Some).chain([None]) {
        for command in commands() {
            for actor in actors() {
                let who = asked(actor.clone(), &rules, &owned);
                let step = match apply(person.as_ref(), &command, &who) {
                    Ok(step) => step,
                    Err(denied) => {
                        assert_eq!(denied.state, person.as_ref().map(|person| person.state.kind()));
                        assert!(!denied.help().is_empty());
                        continue;
                    }
                };
                steps += 1;
                let deleted = person.as_ref().is_some_and(|person| person.state == PersonState::Deleted);
                assert!(!deleted, "{command:?} by {actor:?} leaves `deleted`");
                if let Err(what) = must_hold(&step, &command, &actor, NOW) {
                    panic!("not so: {what}\n{command:?} by {actor:?} at {:?}\n{step:#?}", step.edge);
                }
                taken.insert(EDGES.iter().position(|row| std::ptr::eq(row, step.edge)).unwrap());
                said_twice(&step, &command, &who);
            }
        }
    }
    assert!(steps > 50_000, "{steps} steps");
    let never: Vec<_> = (0..EDGES.len()).filter(|n| !taken.contains(n)).map(|n| &EDGES[n]).collect();
    assert!(never.is_empty(), "rows that are never taken: {never:#?}");
}

/// Saying it again is refused or does nothing more; only sessions can be ended twice.
fn said_twice(step: &Step, command: &Command, who: &doorward_lifecycle::machine::Circumstances<'_>) {
    let Ok(again) = apply(Some(&step.after), command, who) else { return };
    if *command != Command::EndSessions {
        assert_eq!(again.consequences.cuts, [], "{command:?} twice");
    }
    // A row that says who overrode whom is not taken twice either.
    assert!(again.consequences.owed.is_empty(), "{command:?} twice");
    let mut first = (*step.after).clone();
    first.changed_at = again.after.changed_at;
    first.taken_as_of.clone_from(&again.after.taken_as_of);
    assert_eq!(first, *again.after, "{command:?} twice");
}

/// A yes that is not later than the last no of the same hand never gives anything back.
#[test]
fn from_every_state_no_older_yes_counts() {
    let (rules, owned) = (rules(), [robot()]);
    let mut refused = 0;
    for mut person in everybody() {
        for actor in actors() {
            person.taken_as_of.insert(actor.hand(), UnixMillis(500));
        }
        let person = Arc::new(person);
        for command in commands().iter().filter(|command| command.kind().nature() == Nature::Lifts) {
            for actor in actors() {
                let mut who = asked(actor, &rules, &owned);
                who.asserted_at = Some(UnixMillis(500));
                match apply(Some(&person), command, &who) {
                    Ok(step) => assert!(step.edge.is_repetition(), "{command:?}: {:?}", step.edge),
                    Err(denied) => refused += usize::from(matches!(denied.why, Why::Older { .. })),
                }
            }
        }
    }
    assert!(refused > 1000, "{refused} were refused for their age");
}
