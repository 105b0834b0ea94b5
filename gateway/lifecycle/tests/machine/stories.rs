//! What the rules mean for one person, told one rule at a time.

use std::sync::Arc;

use doorward_lifecycle::machine::{
    Act, Actor, ActorKind, CaseStep, Command, CommandKind, Cut, Denied, EventName, LINKS_MAX, Owed, OwedKind,
    Step, Stop, When, Whom, Why, apply,
};
use doorward_model::directory::{
    Edited, Given, GroupId, Hand, HoldOrigin, MachineState, Offboarding, Origin, Person, PersonId,
    PersonState, ProfileField, Source, StateKind, StopCause,
};
use doorward_model::{AppId, IssuerId, UnixMillis, UserId};

use crate::sample::{
    NOW, actor, app, asked, by_operator, command, earlier, later, link, okta, person, profile, robot, role,
    rules, signal, step, stream,
};

fn operator() -> Actor {
    actor(ActorKind::Operator)
}

fn source() -> Actor {
    actor(ActorKind::Source)
}

fn caep() -> Actor {
    actor(ActorKind::Signal)
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

/// The same with the instant at which the actor says that it happened.
fn say(person: &Arc<Person>, actor: Actor, command: &Command, at: i64) -> Result<Step, Denied> {
    let rules = rules();
    let mut circumstances = asked(actor, &rules, &[]);
    circumstances.asserted_at = Some(UnixMillis(at));
    apply(Some(person), command, &circumstances)
}

fn on_link(link: UserId, act: Act) -> Cut {
    Cut { whom: Whom::Link(link), act }
}

// What a source cannot do.

#[test]
fn a_routine_sync_does_not_undo_what_an_operator_said() {
    for (said, id) in [(Command::Deactivate, "T17"), (Command::Suspend, "T15"), (Command::HoldSet, "T21")] {
        let out = run(person(StateKind::Active), &[(operator(), said)]);
        assert_eq!(out.edge.id, id);
        assert!(!out.after.admitted());
        // Okta sends the whole user with every change, `active:true` included.
        let synced = run(
            (*out.after).clone(),
            &[(source(), Command::ScimActivate), (source(), command(CommandKind::ScimProfile))],
        );
        assert!(!synced.after.admitted(), "{id}");
        assert_eq!(synced.after.state, out.after.state);
        assert_eq!(synced.after.holds, out.after.holds);
    }
}

#[test]
fn leaving_and_returning_does_not_wash_off_a_suspension() {
    let returned = run(
        person(StateKind::Active),
        &[(caep(), Command::Suspend), (source(), Command::ScimDeactivate), (source(), Command::ScimActivate)],
    );
    assert_eq!(returned.edge.id, "T18");
    assert_eq!(returned.after.state, PersonState::Active);
    assert!(!returned.after.admitted());
    assert_eq!(returned.consequences.cuts, [], "nothing is enabled");
    assert!(returned.after.hold_of(&signal("caep")).is_some());

    let lifted = run((*returned.after).clone(), &[(operator(), Command::HoldClear(signal("caep")))]);
    assert!(lifted.after.admitted());
    assert_eq!(lifted.consequences.cuts, [on_link(link("alice"), Act::Reactivate)]);
}

#[test]
fn a_source_does_not_wash_off_a_hold_by_making_the_person_anew() {
    let orders = [(operator(), Command::HoldSet), (operator(), Command::Suspend), (caep(), Command::HoldSet)];
    for (who, order) in orders {
        for left in [false, true] {
            let mut said = vec![(who.clone(), order.clone())];
            if left {
                said.push((source(), Command::ScimDeactivate));
            }
            let held = run(person(StateKind::Active), &said);
            // The sign-in stays with them, so that it cannot become somebody else's.
            let denied = step(Some((*held.after).clone()), &command(CommandKind::Unlink), &source());
            assert_eq!(denied.unwrap_err().why, Why::Unmet(vec![When::NotHeldBack]), "{order:?}");
            let deleted = run((*held.after).clone(), &[(source(), Command::ScimDelete)]);
            let after = &deleted.after;
            assert_eq!(after.state, PersonState::Deactivated, "{order:?}");
            assert!(after.links.contains(&link("alice")) && !after.source_active && !after.holds.is_empty());
            assert!(after.roles.is_empty() && after.groups.is_empty() && after.apps.is_empty());
            assert_eq!(after.offboarding, Offboarding::Open);
            assert_eq!(after.source, Source::Local);
            for gone in [Command::ScimDelete, Command::ScimActivate, command(CommandKind::Unlink)] {
                let denied = step(Some((**after).clone()), &gone, &source()).unwrap_err();
                assert_eq!(denied.why, Why::NotItsSource, "its source deleted them");
            }
            // An operator decides when the sign-in may be somebody's again.
            let origin = after.holds[0].origin.clone();
            let free = run((**after).clone(), &[(operator(), Command::HoldClear(origin.clone()))]);
            assert!(!free.after.admitted());
            run((*free.after).clone(), &[(operator(), command(CommandKind::Unlink))]);
            // Whoever is held back no more is their source's again.
            if matches!(held.after.state, PersonState::Active | PersonState::Deactivated) {
                let free = run((*held.after).clone(), &[(operator(), Command::HoldClear(origin))]);
                run((*free.after).clone(), &[(source(), command(CommandKind::Unlink))]);
                let deleted = run((*free.after).clone(), &[(source(), Command::ScimDelete)]);
                assert_eq!(deleted.after.state, PersonState::Deleted);
            }
        }
    }
}

#[test]
fn a_connection_speaks_for_its_own_people_only() {
    let entra = Actor::Source(doorward_model::directory::ConnectionId::new("entra").unwrap());
    for kind in [CommandKind::ScimDeactivate, CommandKind::ScimDelete, CommandKind::GiveRole] {
        let denied = step(Some(person(StateKind::Active)), &command(kind), &entra).unwrap_err();
        assert_eq!(denied.why, Why::NotItsSource, "{kind:?}");
        let mut local = person(StateKind::Active);
        local.source = Source::Local;
        let denied = step(Some(local), &command(kind), &source()).unwrap_err();
        assert_eq!(denied.why, Why::NotItsSource, "{kind:?}");
    }
}

#[test]
fn a_source_that_takes_somebody_back_overrides_the_operator_and_that_is_owed() {
    let out = run(
        person(StateKind::Active),
        &[(operator(), Command::Deactivate), (source(), Command::ScimDeactivate)],
    );
    assert_eq!(out.edge.id, "T10", "the word of the source is noted");
    assert_eq!(out.consequences.owed, [Owed::Settled(OwedKind::Disagreement)]);
    let back = run((*out.after).clone(), &[(source(), Command::ScimActivate)]);
    assert_eq!(back.edge.id, "T18");
    assert!(back.after.admitted());
    assert_eq!(back.consequences.owed, [Owed::Opens(OwedKind::Override)]);
    let names: Vec<_> = back.events.iter().map(|event| event.name).collect();
    assert_eq!(names, [EventName::Reactivate, EventName::Override]);
    assert_eq!(back.events[1].changes[0].what, "state");

    // Where the source itself had sent them away, nobody is overridden.
    let back = run(person(StateKind::Deactivated), &[(source(), Command::ScimActivate)]);
    assert_eq!((back.edge.id, back.consequences.owed.as_slice()), ("T18", [].as_slice()));
}

#[test]
fn that_the_source_and_an_operator_disagree_is_owed_while_it_lasts() {
    let held = run(person(StateKind::Active), &[(operator(), Command::HoldSet)]);
    assert_eq!(held.consequences.owed, [Owed::Opens(OwedKind::Disagreement)]);
    let twice = run((*held.after).clone(), &[(caep(), Command::HoldSet)]);
    assert_eq!(twice.consequences.owed, []);
    let gone = run((*twice.after).clone(), &[(source(), Command::ScimDeactivate)]);
    assert!(gone.consequences.owed.contains(&Owed::Settled(OwedKind::Disagreement)));
}

// What a signal cannot do.

#[test]
fn a_signal_lifts_only_its_own_hold() {
    let both = run(person(StateKind::Active), &[(operator(), Command::HoldSet), (caep(), Command::HoldSet)]);
    assert_eq!(both.after.holds.len(), 2);
    let not_own = Command::HoldClear(HoldOrigin::Operator);
    let denied = step(Some((*both.after).clone()), &not_own, &caep()).unwrap_err();
    assert!(matches!(denied.why, Why::Unmet(_)), "{denied}");
    let risc = Actor::Signal(stream("risc"));
    assert!(step(Some((*both.after).clone()), &Command::HoldClear(signal("caep")), &risc).is_err());

    let own = run((*both.after).clone(), &[(caep(), Command::HoldClear(signal("caep")))]);
    assert!(!own.after.admitted(), "the operator's is left");
    assert_eq!(own.consequences.cuts, []);
    let all = run((*own.after).clone(), &[(operator(), Command::HoldClear(HoldOrigin::Operator))]);
    assert!(all.after.admitted());
}

#[test]
fn a_signal_ends_only_its_own_suspension() {
    let denied = step(Some(person(StateKind::Suspended)), &Command::Unsuspend, &caep()).unwrap_err();
    assert!(matches!(denied.why, Why::Unmet(_)), "{denied}");
    let own = run(person(StateKind::Active), &[(caep(), Command::Suspend), (caep(), Command::Unsuspend)]);
    assert!(own.after.admitted());
    let over = run(person(StateKind::Active), &[(caep(), Command::Suspend), (operator(), Command::Suspend)]);
    assert_eq!(over.edge.id, "T21", "a second no is kept beside the first");
    let ended = run((*over.after).clone(), &[(caep(), Command::Unsuspend)]);
    assert!(!ended.after.admitted());
}

#[test]
fn an_older_yes_gives_nothing_back() {
    let active = Arc::new(person(StateKind::Active));
    let own = Command::HoldClear(signal("caep"));
    let held = say(&active, caep(), &Command::HoldSet, 50).unwrap().after;
    for at in [49, 50] {
        let why = say(&held, caep(), &own, at).unwrap_err().why;
        let taken_as_of = UnixMillis(50);
        assert_eq!(why, Why::Older { asserted_at: UnixMillis(at), taken_as_of });
    }
    assert!(say(&held, caep(), &own, 51).unwrap().after.admitted());

    // A no that repeats what is so already counts all the same, and an older one does not lower it.
    let again = say(&held, caep(), &Command::HoldSet, 80).unwrap();
    assert!(again.edge.is_repetition() && again.changes_anything() && again.events.is_empty());
    let again = say(&again.after, caep(), &Command::HoldSet, 60).unwrap();
    assert!(!again.changes_anything());
    assert!(say(&again.after, caep(), &own, 80).is_err());
    assert!(say(&again.after, caep(), &own, 81).is_ok());

    // Another hand has another clock: an operator is not bound by it.
    let cleared = apply(Some(&again.after), &own, &asked(operator(), &rules(), &[])).unwrap();
    assert!(cleared.after.admitted());
}

#[test]
fn a_clock_that_is_far_ahead_does_not_shut_the_door_for_ever() {
    let active = Arc::new(person(StateKind::Active));
    let own = Command::HoldClear(signal("caep"));
    let held = say(&active, caep(), &Command::HoldSet, i64::MAX).unwrap().after;
    assert!(say(&held, caep(), &own, NOW.0 + 60_000).is_err());
    assert!(say(&held, caep(), &own, NOW.0 + 60_001).unwrap().after.admitted());
}

// What is given, and by whom.

#[test]
fn what_was_given_by_hand_does_not_return() {
    let mut alice = person(StateKind::Active);
    for origin in [by_operator(), Origin::Default] {
        alice.roles.give(Given { what: role("boss"), origin, since: earlier() });
    }
    alice.roles.give(Given { what: role("seller"), origin: by_operator(), since: earlier() });
    alice.groups.give(Given { what: GroupId::from_u128(9), origin: by_operator(), since: earlier() });
    alice.apps.give(Given { what: app("payroll"), origin: by_operator(), since: earlier() });

    let left = run(alice, &[(source(), Command::ScimDeactivate)]);
    assert_eq!(left.consequences.case, Some(CaseStep::Opens));
    assert_eq!(left.after.left.as_ref().unwrap().by, Hand::Source(okta()));
    let dropped = &left.consequences.dropped;
    assert_eq!((dropped.roles.len(), dropped.groups.len(), dropped.apps.len()), (3, 1, 1));

    // While they are away a source may go on, an operator may not.
    let group = Command::AddGroup(GroupId::from_u128(3));
    assert!(step(Some((*left.after).clone()), &group, &operator()).is_err());
    let back = run((*left.after).clone(), &[(source(), group), (source(), Command::ScimActivate)]);
    assert_eq!(back.consequences.case, Some(CaseStep::ClosesReturned));
    assert_eq!(back.after.roles.names().collect::<Vec<_>>(), [&role("seller")]);
    let groups = [GroupId::from_u128(1), GroupId::from_u128(3)];
    assert_eq!(back.after.groups.names().copied().collect::<Vec<_>>(), groups);
    assert!(back.after.apps.is_empty());
    assert_eq!(back.after.returned_at, Some(NOW));
    assert_eq!(back.consequences.cuts, [on_link(link("alice"), Act::Reactivate)]);
}

#[test]
fn defaults_are_given_anew_to_who_returns_without_a_connection() {
    let mut alice = person(StateKind::Active);
    alice.source = Source::Local;
    let old = Given { what: role("everybody-of-old"), origin: Origin::Default, since: earlier() };
    alice.roles.give(old);
    let back = run(alice, &[(operator(), Command::Deactivate), (operator(), Command::Reactivate)]);
    let everybody = Given { what: role("everybody"), origin: Origin::Default, since: NOW };
    let seller = role("seller");
    assert!(back.after.roles.iter().any(|given| *given == everybody));
    assert_eq!(back.after.roles.names().collect::<Vec<_>>(), [&role("everybody"), &seller]);
}

#[test]
fn a_source_overrides_an_edit_and_says_whose() {
    let edited = run(person(StateKind::Active), &[(operator(), command(CommandKind::Profile))]);
    assert_eq!(edited.after.profile.department.as_deref(), Some("legal"));
    let department = Edited::Field(ProfileField::Department);
    assert!(edited.after.edits.contains_key(&department));

    let synced = run((*edited.after).clone(), &[(source(), Command::ScimProfile(profile().into()))]);
    assert_eq!(synced.edge.id, "T22");
    assert_eq!(synced.after.profile.department.as_deref(), Some("sales"));
    assert!(synced.after.edits.is_empty() && synced.after.said.is_none());
    let overridden = &synced.events[1];
    assert_eq!(overridden.name, EventName::Override);
    let change = &overridden.changes[0];
    assert_eq!((change.what.as_str(), change.set_by.as_deref()), ("profile.department", Some("ann")));
    assert_eq!((change.before.as_str(), change.after.as_str()), ("legal", "sales"));
    assert_eq!(overridden.changes.len(), 1);

    // A source that says the same as the operator overrides nothing.
    let agrees = run((*edited.after).clone(), &[(source(), command(CommandKind::ScimProfile))]);
    assert_eq!(agrees.edge.id, "T10");
    assert!(agrees.after.edits.is_empty());
    // An operator who takes the edit back leaves none.
    let undone = run((*edited.after).clone(), &[(operator(), Command::Profile(profile().into()))]);
    assert!(undone.after.edits.is_empty() && undone.after.said.is_none());
}

#[test]
fn a_source_says_nothing_of_the_first_and_the_last_day() {
    let mut dated = profile();
    (dated.starts_at, dated.contract_end) = (Some(later()), Some(later()));
    let both = [Edited::Field(ProfileField::StartsAt), Edited::Field(ProfileField::ContractEnd)];
    for kind in [StateKind::Staged, StateKind::Active] {
        let edited = run(person(kind), &[(operator(), Command::Profile(dated.clone().into()))]);
        let synced = run((*edited.after).clone(), &[(source(), command(CommandKind::ScimProfile))]);
        assert_eq!(synced.edge.id, "T10", "no hand is overridden");
        let after = &synced.after;
        assert_eq!(after.profile.department.as_deref(), Some("legal"), "what it said");
        assert_eq!((after.profile.starts_at, after.profile.contract_end), (Some(later()), Some(later())));
        assert!(both.iter().all(|edited| after.edits.contains_key(edited)), "{:?}", after.edits);
        let again = run((**after).clone(), &[(source(), command(CommandKind::ScimProfile))]);
        assert!(again.edge.is_repetition());
        if kind == StateKind::Staged {
            let waits = run((**after).clone(), &[(source(), Command::ScimActivate)]);
            assert_eq!(waits.after.state, PersonState::Staged, "the first day lies ahead");
        }
        // Nor can it say that there is one.
        let mut other = dated.clone();
        other.contract_end = Some(earlier());
        let synced = run(person(kind), &[(source(), Command::ScimProfile(other.into()))]);
        assert!(synced.edge.is_repetition() && synced.after.profile.contract_end.is_none());
    }
}

#[test]
fn an_edit_ends_when_the_person_leaves() {
    let edited = run(person(StateKind::Active), &[(operator(), command(CommandKind::Profile))]);
    let left = run((*edited.after).clone(), &[(source(), Command::ScimDeactivate)]);
    assert_eq!(left.after.profile, profile(), "as the source said it");
    assert!(left.after.edits.is_empty());
    let denied = step(Some((*left.after).clone()), &command(CommandKind::Profile), &operator()).unwrap_err();
    assert!(denied.help().contains("no connection"), "{}", denied.help());
}

#[test]
fn what_an_operator_took_the_source_may_give_again_and_that_is_owed() {
    let group = GroupId::from_u128(1);
    let mut alice = person(StateKind::Active);
    let other = Given { what: GroupId::from_u128(3), origin: Origin::Source(okta()), since: earlier() };
    alice.groups.give(other);
    let taken = run(alice, &[(operator(), Command::RemoveGroup(group))]);
    assert!(!taken.after.groups.has(&group));
    assert!(taken.consequences.facts_changed);
    let told = &taken.events[0].changes[0];
    assert_eq!((told.what.as_str(), told.after.as_str()), ("groups", ""));
    assert_eq!(told.before, format!("{group} (source okta)"), "what went, and nothing that stayed");
    let given = run((*taken.after).clone(), &[(source(), Command::AddGroup(group))]);
    assert_eq!(given.edge.id, "T22");
    assert_eq!(given.consequences.owed, [Owed::Opens(OwedKind::Override)]);
    assert_eq!(given.events[1].changes[0].set_by.as_deref(), Some("ann"));
    assert!(given.after.edits.is_empty());
}

#[test]
fn a_source_takes_only_what_it_gave() {
    let both = run(
        person(StateKind::Active),
        &[(operator(), Command::GiveRole(role("seller"))), (source(), Command::TakeRole(role("seller")))],
    );
    assert!(both.after.roles.has(&role("seller")));
    assert!(!both.consequences.facts_changed);
    let again = run((*both.after).clone(), &[(source(), Command::TakeRole(role("seller")))]);
    assert!(again.edge.is_repetition());
}

#[test]
fn the_last_grant_of_an_app_ends_what_is_open_there() {
    let give = || Command::GiveApp(app("payroll"));
    let take = || Command::TakeApp(app("payroll"));
    let given = run(person(StateKind::Active), &[(operator(), give()), (source(), give())]);
    assert_eq!(given.consequences.cuts, []);
    let one = run((*given.after).clone(), &[(source(), take())]);
    assert_eq!(one.consequences.cuts, [], "the operator's grant is left");
    let none = run((*one.after).clone(), &[(operator(), take())]);
    let whom = Whom::LinkAtApp(link("alice"), AppId::new("payroll").unwrap());
    assert_eq!(whom.target().to_string(), "user_at_app payroll@corp:alice");
    assert_eq!(none.consequences.cuts, [Cut { whom, act: Act::Revoke }]);
}

// Joining.

#[test]
fn only_an_issuer_that_speaks_for_the_domain_makes_somebody_known() {
    let first = |user: &str, address: &str, verified: bool| {
        let mut profile = profile();
        profile.emails[0].address = address.to_owned();
        profile.emails[0].verified = verified;
        let link: UserId = user.parse().unwrap();
        let id = PersonId::from_u128(8);
        step(
            None,
            &Command::FirstSignIn { id, link, cut_off: false, profile: profile.into() },
            &Actor::Person,
        )
    };
    let joined = first("corp:alice", "alice@Corp.example", true).unwrap();
    assert!(joined.after.admitted());
    assert_eq!(joined.after.source, Source::SignIn(IssuerId::new("corp").unwrap()));
    assert_eq!(joined.after.roles.names().collect::<Vec<_>>(), [&role("everybody")]);
    assert_eq!(joined.consequences.cuts, [], "the sign-in that they came with stays good");
    for (user, address, verified) in [
        ("corp:alice", "alice@corp.example", false),
        ("corp:alice", "alice@corp.example.evil.example", true),
        ("corp:alice", "corp.example", true),
        ("other:alice", "alice@corp.example", true),
    ] {
        assert!(first(user, address, verified).is_err(), "{user} {address} {verified}");
    }
}

#[test]
fn an_invitation_is_for_the_address_that_was_invited() {
    let invited = step(None, &command(CommandKind::Invite), &operator()).unwrap().after;
    assert_eq!(invited.profile.verified_email(), None, "nobody proved it yet");
    let accept = |user: &str, address: &str| {
        let verified = std::collections::BTreeSet::from([address.to_owned()]);
        let accept = Command::AcceptInvitation { link: user.parse().unwrap(), cut_off: false, verified };
        step(Some((*invited).clone()), &accept, &Actor::Person)
    };
    let joined = accept("corp:alice", "ALICE@corp.example").unwrap();
    assert!(joined.after.admitted());
    assert_eq!(joined.after.profile.verified_email(), Some("alice@corp.example"));
    assert_eq!(joined.consequences.cuts, []);
    assert!(joined.after.roles.has(&role("guest")) && joined.after.roles.has(&role("everybody")));
    for (user, address) in [("corp:bob", "bob@corp.example"), ("other:alice", "alice@corp.example")] {
        assert!(accept(user, address).is_err(), "{user} {address}");
    }
    let mut late = (*invited).clone();
    late.expires_at = Some(NOW);
    assert!(step(Some(late.clone()), &command(CommandKind::AcceptInvitation), &Actor::Person).is_err());
    let gone = step(Some(late), &Command::Expire, &Actor::System).unwrap();
    assert_eq!((gone.edge.id, gone.after.state.kind()), ("T6", StateKind::Deleted));
    assert_eq!(gone.consequences.case, None, "they were never here");
}

#[test]
fn a_sign_up_is_let_in_when_its_address_is_proved() {
    let pending = step(None, &command(CommandKind::SignUp), &Actor::Person).unwrap();
    assert_eq!(pending.consequences.cuts, [on_link(link("alice"), Act::Disable)]);
    let proved = run((*pending.after).clone(), &[(Actor::Person, command(CommandKind::VerifyEmail))]);
    assert!(proved.after.admitted());
    assert_eq!(proved.consequences.cuts, [on_link(link("alice"), Act::Reactivate)]);
    assert_eq!(proved.after.expires_at, None);
    let mut none = rules();
    none.sign_up_domains.clear();
    let refused = apply(None, &command(CommandKind::SignUp), &asked(Actor::Person, &none, &[]));
    assert!(refused.is_err());
}

#[test]
fn a_sign_in_that_is_cut_off_comes_back_only_by_invitation() {
    let (id, link) = (PersonId::from_u128(8), link("alice"));
    let cut_off = true;
    for command in [
        Command::SignUp { id, link: link.clone(), cut_off, profile: profile().into() },
        Command::FirstSignIn { id, link: link.clone(), cut_off, profile: profile().into() },
    ] {
        let denied = step(None, &command, &Actor::Person).unwrap_err();
        assert!(denied.help().contains("the sign-in is not cut off"), "{}", denied.help());
    }
    let verified = ["alice@corp.example".to_owned()].into();
    let accept = Command::AcceptInvitation { link: link.clone(), cut_off, verified };
    let joined = run(person(StateKind::Invited), &[(Actor::Person, accept)]);
    assert!(joined.after.admitted());
    assert_eq!(joined.consequences.cuts, [on_link(link, Act::Reactivate)]);
}

#[test]
fn a_proof_that_comes_late_or_of_another_address_proves_nothing() {
    let pending = person(StateKind::PendingVerification);
    let other = Command::VerifyEmail { address: "bob@corp.example".to_owned() };
    assert!(step(Some(pending.clone()), &other, &Actor::Person).is_err());
    let proof = command(CommandKind::VerifyEmail);
    assert!(step(Some(pending.clone()), &Command::Expire, &Actor::System).is_err());
    let late = Person { expires_at: Some(NOW), ..pending };
    assert!(step(Some(late.clone()), &proof, &Actor::Person).is_err());
    let gone = step(Some(late), &Command::Expire, &Actor::System).unwrap();
    assert_eq!((gone.edge.id, gone.after.state.kind()), ("T3", StateKind::Deleted));
    assert_eq!(gone.consequences.cuts, [on_link(link("alice"), Act::Disable)]);
}

#[test]
fn people_change_the_name_to_show_and_nothing_that_policies_read() {
    let renamed = run(person(StateKind::Active), &[(Actor::Person, command(CommandKind::OwnProfile))]);
    assert_eq!(renamed.after.profile.name.as_deref(), Some("Alice"));
    let mut promoted = profile();
    promoted.name = Some("Alice".to_owned());
    promoted.tags.insert("clearance".to_owned(), "secret".to_owned());
    let own = Command::OwnProfile(promoted.into());
    assert!(step(Some(person(StateKind::Active)), &own, &Actor::Person).is_err());
}

#[test]
fn somebody_whose_first_day_lies_ahead_waits_for_it() {
    let mut ahead = profile();
    ahead.starts_at = Some(later());
    let create = Command::ScimCreate {
        id: PersonId::from_u128(8),
        profile: ahead.into(),
        active: true,
        links: [link("alice")].into(),
    };
    let staged = step(None, &create, &source()).unwrap();
    assert_eq!(staged.after.state, PersonState::Staged);
    assert_eq!(staged.consequences.cuts, [on_link(link("alice"), Act::Disable)]);
    let same = run((*staged.after).clone(), &[(source(), Command::ScimActivate)]);
    assert_eq!(same.after.state, PersonState::Staged);
    assert!(step(Some((*staged.after).clone()), &Command::Start, &Actor::System).is_err());
    let rules = rules();
    let mut then = asked(Actor::System, &rules, &[]);
    then.now = later();
    let started = apply(Some(&staged.after), &Command::Start, &then).unwrap();
    assert!(started.after.admitted());
}

// Kept out for a while.

#[test]
fn a_lock_ends_by_itself_and_only_grows() {
    let lock = |until: UnixMillis| Command::Lock { until };
    for past in [earlier(), NOW] {
        assert!(step(Some(person(StateKind::Active)), &lock(past), &Actor::System).is_err());
    }
    let locked = run(person(StateKind::Active), &[(Actor::System, lock(later()))]);
    assert_eq!(locked.consequences.cuts, [on_link(link("alice"), Act::Disable)]);
    let sooner = UnixMillis(later().0 - 1);
    let same = run((*locked.after).clone(), &[(Actor::System, lock(sooner))]);
    assert!(same.edge.is_repetition());
    assert_eq!(same.after.state, PersonState::Locked { until: later() });
    let longer = UnixMillis(later().0 + 1);
    let grown = run((*locked.after).clone(), &[(operator(), lock(longer))]);
    assert_eq!(grown.after.state, PersonState::Locked { until: longer });

    let rules = rules();
    let mut then = asked(Actor::System, &rules, &[]);
    then.now = sooner;
    assert!(apply(Some(&locked.after), &Command::LockExpires, &then).is_err());
    then.now = later();
    let over = apply(Some(&locked.after), &Command::LockExpires, &then).unwrap();
    assert!(over.after.admitted());
    assert_eq!(over.consequences.cuts, [on_link(link("alice"), Act::Reactivate)]);
}

// Leaving.

#[test]
fn a_contract_ends_on_its_day() {
    let mut alice = person(StateKind::Active);
    alice.profile.contract_end = Some(UnixMillis(NOW.0 + 1));
    assert!(step(Some(alice.clone()), &Command::ContractEnd, &Actor::System).is_err());
    alice.profile.contract_end = Some(NOW);
    let left = run(alice, &[(Actor::System, Command::ContractEnd)]);
    assert_eq!((left.edge.id, &left.after.left.as_ref().unwrap().by), ("T17", &Hand::System));
}

#[test]
fn machines_stop_with_their_owner_and_do_not_start_with_them() {
    let left = run(person(StateKind::Active), &[(source(), Command::ScimDeactivate)]);
    let robot = robot();
    let cut = Cut { whom: Whom::Machine(robot.id, robot.user.clone()), act: Act::Disable };
    assert_eq!(left.consequences.cuts, [on_link(link("alice"), Act::Disable), cut]);
    assert_eq!(left.consequences.stops, [Stop { machine: robot.id }]);
    assert_eq!(left.consequences.owed, [Owed::Opens(OwedKind::OrphanMachine(robot.id))]);
    let back = run((*left.after).clone(), &[(source(), Command::ScimActivate)]);
    assert_eq!(back.consequences.cuts, [on_link(link("alice"), Act::Reactivate)]);

    // One that does not run any more is nobody's debt.
    let mut halted = robot;
    halted.state = MachineState::Stopped { cause: StopCause::Halted, since: earlier() };
    let alice = Arc::new(person(StateKind::Active));
    let left = apply(Some(&alice), &Command::ScimDeactivate, &asked(source(), &rules(), &[halted])).unwrap();
    assert_eq!((left.consequences.stops.len(), left.consequences.owed.len()), (0, 0));
}

#[test]
fn an_operator_deletes_only_after_the_case_is_proved() {
    let denied = step(Some(person(StateKind::Deactivated)), &Command::Delete, &operator()).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "`delete` is refused for somebody who is `deactivated`: its condition does not hold"
    );
    assert_eq!(denied.help(), "it is possible when the offboarding is verified or closed");
    let deleted = run(
        person(StateKind::Deactivated),
        &[(Actor::System, Command::CaseVerified), (operator(), Command::Delete)],
    );
    assert_eq!(deleted.edge.id, "T19");
}

#[test]
fn deleting_leaves_the_id_and_tells_nothing_else() {
    let mut alice = person(StateKind::Active);
    alice.profile.tags.insert("cost".to_owned(), "4242".to_owned());
    let deleted = run(alice, &[(source(), Command::ScimDelete)]);
    assert_eq!(deleted.edge.id, "T20");
    assert_eq!(deleted.consequences.cuts[0], on_link(link("alice"), Act::Disable));
    assert_eq!(deleted.consequences.case, Some(CaseStep::Opens));
    assert_eq!(deleted.after.offboarding, Offboarding::Open);
    let told = format!("{:?} {:?}", deleted.events, deleted.after);
    for word in ["alice", "sales", "4242", "seller"] {
        assert!(!told.contains(word), "`{word}` is in {told}");
    }
    assert_eq!(deleted.after.id, PersonId::from_u128(7));
    let denied = step(Some((*deleted.after).clone()), &Command::ScimActivate, &source()).unwrap_err();
    assert_eq!(denied.why, Why::Deleted);
}

#[test]
fn a_sign_in_that_is_taken_away_is_disabled_and_a_new_one_is_as_good_as_its_person() {
    let unlinked = run(person(StateKind::Active), &[(operator(), Command::Unlink(link("alice")))]);
    assert_eq!(unlinked.consequences.cuts, [on_link(link("alice"), Act::Disable)]);
    let linked = run((*unlinked.after).clone(), &[(operator(), Command::Link(link("alice")))]);
    assert_eq!(linked.consequences.cuts, [on_link(link("alice"), Act::Reactivate)]);
    let outside = run(person(StateKind::Suspended), &[(operator(), Command::Link(link("alice-2")))]);
    assert_eq!(outside.consequences.cuts, [on_link(link("alice-2"), Act::Disable)]);
}

#[test]
fn ending_sessions_leaves_the_door_open() {
    let ended = run(person(StateKind::Active), &[(caep(), Command::EndSessions)]);
    assert_eq!(ended.consequences.cuts, [on_link(link("alice"), Act::Revoke)]);
    assert!(ended.after.admitted() && !ended.changes_anything());
    assert_eq!(ended.events[0].name, EventName::SessionClear);
}

#[test]
fn bounds_are_told_by_name() {
    let mut alice = person(StateKind::Active);
    for n in 1..LINKS_MAX {
        alice.links.insert(link(&format!("alice-{n}")));
    }
    assert_eq!(alice.links.len(), LINKS_MAX);
    assert!(step(Some(alice.clone()), &Command::Link(link("alice-3")), &operator()).is_ok());
    let denied = step(Some(alice), &Command::Link(link("one-more")), &operator()).unwrap_err();
    assert_eq!(denied.why, Why::TooMany { what: "sign-ins", max: LINKS_MAX });
    let rules = rules();
    let mut wordy = asked(operator(), &rules, &[]);
    wordy.cause = "x".repeat(513).into();
    let denied = apply(Some(&Arc::new(person(StateKind::Active))), &Command::Suspend, &wordy).unwrap_err();
    assert!(matches!(denied.why, Why::TooMany { max: 512, .. }), "{denied}");
}
