//! What the rules mean for who joins, and for who is handed over to a connection.

use doorward_lifecycle::machine::{Act, Actor, ActorKind, Command, CommandKind, Cut, Step, When, Whom, Why};
use doorward_model::UserId;
use doorward_model::directory::{ConnectionId, Origin, Person, PersonState, Source, StateKind};

use crate::sample::{NOW, actor, command, later, link, okta, person, profile, role, step};

fn operator() -> Actor {
    actor(ActorKind::Operator)
}

fn source() -> Actor {
    actor(ActorKind::Source)
}

/// Each command in turn; every one must be taken. Gives the last step.
fn run(person: Person, commands: &[(Actor, Command)]) -> Step {
    let mut person = person;
    let mut last = None;
    for (actor, command) in commands {
        let taken = step(Some(person), command, actor).unwrap();
        person = (*taken.after).clone();
        last = Some(taken);
    }
    last.unwrap()
}

fn on_link(link: UserId, act: Act) -> Cut {
    Cut { whom: Whom::Link(link), act }
}

#[test]
fn whoever_is_invited_for_a_later_day_joins_and_waits_for_it() {
    let mut invited = person(StateKind::Invited);
    invited.profile.starts_at = Some(later());
    let joined = run(invited, &[(Actor::Person, command(CommandKind::AcceptInvitation))]);
    assert_eq!((joined.edge.id, &joined.after.state), ("T5", &PersonState::Staged));
    assert_eq!(joined.consequences.cuts, [on_link(link("alice"), Act::Disable)]);
    assert!(
        joined.after.roles.has_from(&role("everybody"), &Origin::Default)
            && joined.after.expires_at.is_none()
    );
    // Their time to accept does not end them any more, and their day lets them in.
    let early = step(Some((*joined.after).clone()), &Command::Start, &actor(ActorKind::System));
    assert_eq!(early.unwrap_err().why, Why::Unmet(vec![When::SourceActiveAndStarted]));
    let mut come = (*joined.after).clone();
    come.profile.starts_at = Some(NOW);
    let started = step(Some(come), &Command::Start, &actor(ActorKind::System)).unwrap();
    assert!(started.after.admitted());
    assert_eq!(started.consequences.cuts, [on_link(link("alice"), Act::Reactivate)]);
}

/// Somebody whom an operator invited, and who came.
fn local() -> Person {
    let joined = run(person(StateKind::Invited), &[(Actor::Person, command(CommandKind::AcceptInvitation))]);
    (*joined.after).clone()
}

fn hand_over(to: &str) -> Command {
    Command::HandOver(Some(ConnectionId::new(to).unwrap()))
}

#[test]
fn whoever_is_handed_over_is_taken_over_by_that_source_alone() {
    assert_eq!(
        step(Some(local()), &Command::TakeOver, &source()).unwrap_err().why,
        Why::Unmet(vec![When::HandedOver])
    );
    let offered = run(local(), &[(operator(), hand_over("okta"))]);
    assert_eq!(offered.events.len(), 1);
    assert!(offered.consequences.cuts.is_empty() && offered.after.source == Source::Local);
    let offered = (*offered.after).clone();
    // Until then it says nothing of them.
    let said = step(Some(offered.clone()), &Command::ScimDeactivate, &source());
    assert_eq!(said.unwrap_err().why, Why::NotItsSource);
    let hr = Actor::Source(ConnectionId::new("hr").unwrap());
    assert!(step(Some(offered.clone()), &Command::TakeOver, &hr).is_err());
    let taken =
        run(offered, &[(source(), Command::TakeOver), (source(), Command::ScimProfile(profile().into()))]);
    assert_eq!((&taken.after.source, &taken.after.offered_to), (&Source::Scim(okta()), &None));
    assert!(taken.after.admitted() && taken.after.links.contains(&link("alice")), "they go on as they are");
    // From then on it is their source, and nobody takes them from it.
    let gone = run((*taken.after).clone(), &[(source(), Command::ScimDeactivate)]);
    assert_eq!(gone.edge.id, "T17");
    let again = step(Some((*taken.after).clone()), &hand_over("hr"), &operator());
    assert_eq!(again.unwrap_err().why, Why::Unmet(vec![When::MayBeHandedOver]));
}

#[test]
fn nobody_is_handed_over_who_is_held_back_or_has_left() {
    for no in [Command::HoldSet, Command::Suspend, Command::Deactivate] {
        let out = (*run(local(), &[(operator(), no.clone())]).after).clone();
        assert!(step(Some(out), &hand_over("okta"), &operator()).is_err(), "{no:?}");
        // Nor taken over, where that was said before.
        let offered = run(local(), &[(operator(), hand_over("okta")), (operator(), no.clone())]);
        assert!(step(Some((*offered.after).clone()), &Command::TakeOver, &source()).is_err(), "{no:?}");
    }
    let back = run(local(), &[(operator(), hand_over("okta")), (operator(), Command::HandOver(None))]);
    assert!(step(Some((*back.after).clone()), &Command::TakeOver, &source()).is_err(), "it was taken back");
    let returned = [
        (operator(), hand_over("okta")),
        (operator(), Command::Deactivate),
        (operator(), Command::Reactivate),
    ];
    assert_eq!(run(local(), &returned).after.offered_to, None, "a leaving ends it");
}
