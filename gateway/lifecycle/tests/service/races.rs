//! Several at once on one person: as if one came after the other.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{Delta, GroupChange, Known};
use doorward_model::directory::{Person, PersonState, StateKind};
use doorward_state::directory::form::Member;

use crate::fixture::{House, Lead, Running, ann, asker, group, okta, person, role, run, until};

/// Two that change the same person at once: nothing of either is lost.
#[test]
fn nothing_is_lost_between_two() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let tasks: Vec<_> = (0..24)
            .map(|n| {
                let service = running.service.clone();
                tokio::spawn(async move {
                    let command = Command::GiveRole(role(&format!("r{n}")));
                    let whom = doorward_lifecycle::service::Whom::Person(alice);
                    // Who meets too many others is told so, and asks again.
                    while let Err(error) = service.ask(whom.clone(), command.clone(), asker(&ann())).await {
                        assert!(matches!(error, doorward_lifecycle::service::Failed::Busy { .. }), "{error}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(running.known(alice).await.unwrap().roles.len(), 24);
        running.close().await;
    });
}

async fn made(running: &Running) {
    let change = GroupChange {
        id: group(1),
        known: Known::New,
        display_name: Some("Engineering".into()),
        members: Delta::default(),
    };
    running.service.change_group(change, asker(&ann()), Vec::new()).await.unwrap();
}

fn by_hand(person: &Person) -> usize {
    let roles = person.roles.iter().filter(|given| !given.origin.stays()).count();
    roles + person.groups.iter().filter(|given| !given.origin.stays()).count()
}

/// Whatever an operator gives while somebody leaves, the returner does not have it; and in the end the
/// revocations agree with the person.
#[test]
fn nothing_is_put_beside_a_leaving() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        made(&running).await;
        let (mut left_first, mut given_first) = (0, 0);
        let mut lead = Lead::default();
        for round in 0..60 {
            let name = format!("p{round}");
            let id = running.hire(round + 10, &name).await;
            let (gives, leaves) = (running.service.clone(), running.service.clone());
            let whom = doorward_lifecycle::service::Whom::Person(id);
            let of = whom.clone();
            let [give_after, leave_after] = lead.pauses();
            let giving = tokio::spawn(async move {
                tokio::time::sleep(give_after).await;
                let one = gives.ask(of.clone(), Command::AddGroup(group(1)), asker(&ann())).await;
                let bulk = GroupChange {
                    id: group(1),
                    known: Known::There,
                    display_name: None,
                    members: Delta { add: BTreeSet::from([Member::Person(id)]), ..Delta::default() },
                };
                let _there = gives.change_group(bulk, asker(&ann()), Vec::new()).await;
                let _role = gives.ask(of, Command::GiveRole(role("admin")), asker(&ann())).await;
                one.is_ok()
            });
            let leaving = tokio::spawn(async move {
                tokio::time::sleep(leave_after).await;
                leaves.ask(whom, Command::ScimDeactivate, asker(&okta())).await.unwrap()
            });
            let (given, done) = (giving.await.unwrap(), leaving.await.unwrap());
            lead.was_first(given);
            if given {
                given_first += 1;
            } else {
                left_first += 1;
            }
            assert!(done.changed);
            let known = running.known(id).await.unwrap();
            assert_eq!(known.state.kind(), StateKind::Deactivated);
            assert_eq!(by_hand(&known), 0, "round {round}: {known:?}");
            assert!(running.disabled(&name));
            let back = running.ask(id, Command::ScimActivate, &okta()).await.unwrap();
            assert_eq!(by_hand(&back.person), 0);
            assert!(!running.disabled(&name));
        }
        println!("{given_first} were given first, {left_first} left first");
        assert!(given_first > 0 && left_first > 0, "one order only: the race shows nothing");
        running.close().await;
    });
}

/// Someone is locked and let in, over and over, from several sides: afterwards the revocations say what the
/// person says, also where a decision was made anew.
#[test]
fn the_revocations_say_what_the_person_says() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for round in 0..20 {
            let name = format!("p{round}");
            let id = running.hire(round + 10, &name).await;
            let until = house.now().plus(std::time::Duration::from_secs(60));
            let sides = [
                vec![Command::Lock { until }, Command::Unlock, Command::Lock { until }, Command::Unlock],
                vec![
                    Command::GiveRole(role("a")),
                    Command::Suspend,
                    Command::Unsuspend,
                    Command::GiveRole(role("b")),
                ],
                vec![Command::HoldSet, Command::HoldClear(doorward_model::directory::HoldOrigin::Operator)],
            ];
            let tasks: Vec<_> = sides
                .into_iter()
                .map(|commands| {
                    let service = running.service.clone();
                    tokio::spawn(async move {
                        for command in commands {
                            let whom = doorward_lifecycle::service::Whom::Person(id);
                            let _denied = service.ask(whom, command, asker(&ann())).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let known = running.known(id).await.unwrap();
            assert_eq!(running.disabled(&name), !known.admitted(), "round {round}: {known:?}");
            assert!(matches!(
                known.state,
                PersonState::Active | PersonState::Locked { .. } | PersonState::Suspended(_)
            ));
        }
        running.close().await;
    });
}

/// Whoever goes away stops nothing half-way.
#[test]
fn a_caller_who_goes_away_stops_nothing() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let actor = okta();
        let asking = running.ask(alice, Command::ScimDeactivate, &actor);
        let _gone = tokio::time::timeout(std::time::Duration::ZERO, asking).await;
        let told = |code: &str| house.told(0).contains(&code.to_owned());
        let all_of_it = async || {
            running.known(alice).await.unwrap().state.kind() == StateKind::Deactivated
                && told("offboarding.open")
                && told("user.lifecycle.deactivate")
        };
        until("she is gone, and it is in the log", all_of_it).await;
        assert!(running.disabled("alice") && running.known(person(1)).await.is_some());
        running.close().await;
    });
}

/// Another process of the node changed somebody a moment ago, so that what was decided here does not
/// count, and nothing is decided in its place: then they are let in again, by a change that says so.
#[test]
fn whoever_is_cut_off_by_a_change_that_is_not_made_is_let_in_again() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        let mut strays = 0;
        // Who heard of the other change before they were asked cuts nobody off: then there are more rounds.
        for round in 0..200 {
            if round >= 12 && strays > 0 {
                break;
            }
            let name = format!("p{round}");
            let id = here.hire(round + 10, &name).await;
            until("they are known there", async || there.known(id).await.is_some()).await;
            let (_, version) = here.service.person(id).await.unwrap().unwrap();
            house.pass(1000);
            there.ask(id, Command::GiveRole(role("admin")), &ann()).await.unwrap();
            let only = doorward_lifecycle::service::Asker { if_version: Some(version), ..asker(&okta()) };
            let whom = doorward_lifecycle::service::Whom::Person(id);
            let answer = here.service.ask(whom, Command::ScimDeactivate, only).await;
            assert!(matches!(answer, Err(doorward_lifecycle::service::Failed::Changed { .. })), "{answer:?}");
            assert!(!here.disabled(&name), "round {round}");
            let target = doorward_model::Target::User(crate::fixture::link(&name));
            let rows = here.revocations.list(Some(target), 10, None).await.unwrap();
            strays += usize::from(rows.iter().any(|row| row.cause.contains("was not made")));
        }
        println!("{strays} were cut off by a change that was not made");
        assert!(strays > 0, "nobody was cut off, so nothing is shown");
        here.close().await;
        there.close().await;
    });
}

/// Another process of the node gave somebody a sign-in a moment ago: what they have open with it ends, too.
#[test]
fn a_sign_in_that_is_not_known_here_yet_ends_with_the_others() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        for round in 0..6 {
            let id = here.hire(round + 10, &format!("p{round}")).await;
            until("they are known there", async || there.known(id).await.is_some()).await;
            let more = Command::Link(crate::fixture::link(&format!("p{round}-2")));
            there.ask(id, more, &ann()).await.unwrap();
            let done = here.ask(id, Command::EndSessions, &ann()).await.unwrap();
            assert_eq!(done.receipts.len(), 2, "round {round}");
        }
        here.close().await;
        there.close().await;
    });
}

/// Another process gave something a moment ago, and an operator takes it here: it is gone, whatever is known
/// here of it.
#[test]
fn what_is_not_known_here_yet_is_taken_all_the_same() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        made(&here).await;
        let app = doorward_model::AppId::new("wiki").unwrap();
        let more = crate::fixture::link("more");
        let pairs = [
            (Command::GiveRole(role("admin")), Command::TakeRole(role("admin"))),
            (Command::GiveApp(app.clone()), Command::TakeApp(app)),
            (Command::AddGroup(group(1)), Command::RemoveGroup(group(1))),
            (Command::Link(more.clone()), Command::Unlink(more)),
        ];
        let id = here.hire(1, "alice").await;
        for (give, take) in pairs {
            let all_known =
                async || there.known(id).await.is_some() && there.service.find_group("engineering").is_some();
            until("both are known there", all_known).await;
            for round in 0..3 {
                there.ask(id, give.clone(), &ann()).await.unwrap();
                let done = here.ask(id, take.clone(), &ann()).await.unwrap();
                assert!(done.changed, "{:?}, round {round}", take.kind());
            }
        }
        here.close().await;
        there.close().await;
    });
}
