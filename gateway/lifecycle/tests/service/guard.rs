//! A sync that would take away too much stops and asks.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{Delta, Failed, GroupChange, GuardTerms, Halt, Known, Took};
use doorward_model::directory::StateKind;
use doorward_state::DebtKind;
use doorward_state::directory::form::Member;

use crate::fixture::{House, Running, ann, asker, group, okta, okta_id, person, run};

fn house(always: usize) -> House {
    let guard = GuardTerms { percent_max: 20, always, ..GuardTerms::default() };
    House { guard, ..House::new() }
}

fn halt<T: std::fmt::Debug>(answer: Result<T, Failed>) -> Halt {
    match answer {
        Err(Failed::Halted(halt)) => *halt,
        other => panic!("{other:?}"),
    }
}

async fn open_debts(running: &Running) -> usize {
    let debts = running.revocations.debts(true, None, 100).await.unwrap();
    debts.iter().filter(|debt| debt.kind == DebtKind::MassChange).count()
}

async fn count_active(running: &Running) -> usize {
    let mut active = 0;
    for id in running.service.people(None, 100) {
        active += usize::from(running.known(id).await.unwrap().state.kind() == StateKind::Active);
    }
    active
}

#[test]
fn a_fifth_of_the_people_goes_and_the_next_one_is_asked_for() {
    run(async {
        let house = house(2);
        let running = house.open().await;
        for n in 0..20 {
            running.hire(n, &format!("p{n}")).await;
        }
        for n in 0..4 {
            running.ask(person(n), Command::ScimDeactivate, &okta()).await.unwrap();
            // Saying it again takes nothing away.
            running.ask(person(n), Command::ScimDeactivate, &okta()).await.unwrap();
        }
        let before = house.events().len();
        let stopped = halt(running.ask(person(4), Command::ScimDelete, &okta()).await);
        assert_eq!(stopped.took, Took { people: 5, memberships: 0 });
        assert_eq!(stopped.of.people, 20);
        let mut told = house.told(before);
        told.sort();
        assert_eq!(told, ["control_debt.opened", "directory.sync.halted"]);
        assert!(!running.disabled("p4"));

        // It stays so, is one debt, and hinders nobody else, and nothing that is given.
        let again = halt(running.ask(person(5), Command::ScimDeactivate, &okta()).await);
        assert_eq!((again.id, open_debts(&running).await), (stopped.id, 1));
        running.ask(person(6), Command::Deactivate, &ann()).await.unwrap();
        running.hire(30, "p30").await;
        assert_eq!(running.service.halted(), std::slice::from_ref(&stopped));

        // Also after a restart.
        running.close().await;
        let running = house.open().await;
        assert_eq!(halt(running.ask(person(4), Command::ScimDelete, &okta()).await).id, stopped.id);
        assert_eq!(open_debts(&running).await, 1);

        // A source cannot let itself go on, nor can anybody under another id.
        let answer = running.service.release(okta_id(), stopped.id, asker(&okta())).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        let other = doorward_model::directory::PersonId::from_u128(9).as_u128();
        let answer = running.service.release(okta_id(), uuid::Uuid::from_u128(other), asker(&ann())).await;
        assert!(matches!(answer, Err(Failed::NotFound { .. })), "{answer:?}");
        running.service.release(okta_id(), stopped.id, asker(&ann())).await.unwrap();
        assert_eq!(open_debts(&running).await, 0);
        for n in 4..12 {
            running.ask(person(n), Command::ScimDeactivate, &okta()).await.unwrap();
        }
        running.close().await;
    });
}

/// What was counted is forgotten after the window, and a share of few is not too few.
#[test]
fn the_window_passes() {
    run(async {
        let house = house(2);
        let running = house.open().await;
        for n in 0..6 {
            running.hire(n, &format!("p{n}")).await;
        }
        for n in 0..2 {
            running.ask(person(n), Command::ScimDeactivate, &okta()).await.unwrap();
        }
        house.pass(3_600_001);
        for n in 2..4 {
            running.ask(person(n), Command::ScimDeactivate, &okta()).await.unwrap();
        }
        halt(running.ask(person(4), Command::ScimDeactivate, &okta()).await);
        running.close().await;
    });
}

/// Many at once are counted as one after the other.
#[test]
fn many_at_once_are_counted() {
    run(async {
        let house = house(3);
        let running = house.open().await;
        for n in 0..15 {
            running.hire(n, &format!("p{n}")).await;
        }
        let tasks: Vec<_> = (0..15)
            .map(|n| {
                let service = running.service.clone();
                let whom = doorward_lifecycle::service::Whom::Person(person(n));
                tokio::spawn(async move { service.ask(whom, Command::ScimDeactivate, asker(&okta())).await })
            })
            .collect();
        for task in tasks {
            let _answer = task.await.unwrap();
        }
        assert_eq!(count_active(&running).await, 12);
        running.close().await;
    });
}

/// A group that would lose too many, or go, is not touched.
#[test]
fn memberships_are_counted_too() {
    run(async {
        let house = house(2);
        let running = house.open().await;
        let all: BTreeSet<Member> = (0..20).map(|n| Member::Person(person(n))).collect();
        for n in 0..20 {
            running.hire(n, &format!("p{n}")).await;
        }
        let change = |known, members| GroupChange {
            id: group(1),
            known,
            display_name: Some("Engineering".into()),
            members,
        };
        let full = Delta { add: all.clone(), ..Delta::default() };
        running.service.change_group(change(Known::New, full), asker(&okta()), Vec::new()).await.unwrap();
        let none = Delta { cleared: true, ..Delta::default() };
        let answer =
            running.service.change_group(change(Known::There, none), asker(&okta()), Vec::new()).await;
        assert_eq!(halt(answer).took.memberships, 20);
        assert_eq!(running.service.members(group(1)), all);
        halt(running.service.delete_group(group(1), asker(&okta()), Vec::new()).await);
        assert_eq!(running.service.members(group(1)), all);
        running.close().await;
    });
}
