//! Dates that come.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{DUE_ROUND_MAX, Whom};
use doorward_model::UnixMillis;
use doorward_model::directory::{PersonState, StateKind};

use crate::fixture::{House, Running, ann, asker, link, okta, person, profile, run, until};

const DAY: i64 = 24 * 3_600_000;

async fn due(running: &Running, house: &House) -> Vec<(u128, &'static str)> {
    let due = running.service.due(house.now()).await;
    let base = person(0).as_u128();
    due.into_iter().map(|due| (due.person.as_u128() - base, due.command.kind().as_str())).collect()
}

#[test]
fn each_date_comes_and_is_done_once() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let now = house.now();
        let at = |days: i64| UnixMillis(now.0 + days * DAY);
        // 1: locked for a day. 2: begins in two days. 3: leaves in three. 4: invited for seven.
        let alice = running.hire(1, "alice").await;
        running.ask(alice, Command::Lock { until: at(1) }, &ann()).await.unwrap();
        let mut soon = profile("bob");
        soon.starts_at = Some(at(2));
        let links = BTreeSet::from([link("bob")]);
        let create = Command::ScimCreate { id: person(2), profile: soon.into(), active: true, links };
        running.service.ask(Whom::New, create, asker(&okta())).await.unwrap();
        let mut ending = profile("carol");
        ending.contract_end = Some(at(3));
        let carol = running.hire(3, "carol").await;
        running.ask(carol, Command::Profile(ending.into()), &ann()).await.unwrap();
        let invite =
            Command::Invite { id: person(4), profile: profile("dave").into(), roles: BTreeSet::new() };
        running.service.ask(Whom::New, invite, asker(&ann())).await.unwrap();

        let mut told = Vec::new();
        for _day in 0..=8 {
            told.push(due(&running, &house).await);
            let count = told.last().unwrap().len();
            assert_eq!(running.service.run_due(house.now()).await, count);
            assert_eq!(due(&running, &house).await, [], "it is done");
            house.pass(DAY);
        }
        let expected: [&[(u128, &str)]; 9] = [
            &[],
            &[(1, "lock_expires")],
            &[(2, "start")],
            &[(3, "contract_end")],
            &[],
            &[],
            &[],
            &[(4, "expire")],
            &[],
        ];
        assert_eq!(told, expected);
        let kind = async |n| running.known(person(n)).await.map(|person| person.state.kind());
        assert_eq!(kind(1).await, Some(StateKind::Active));
        assert_eq!(kind(2).await, Some(StateKind::Active));
        assert_eq!(kind(3).await, Some(StateKind::Deactivated));
        assert_eq!(kind(4).await, None);
        assert!(!running.disabled("alice") && !running.disabled("bob") && running.disabled("carol"));
        running.close().await;
    });
}

/// A round is bounded, and the next one goes on.
#[test]
fn a_round_is_bounded() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let total = DUE_ROUND_MAX + 40;
        let tasks: Vec<_> = (0..total)
            .map(|n| {
                let service = running.service.clone();
                let n = u128::try_from(n).unwrap();
                let name = format!("p{n}");
                let command =
                    Command::Invite { id: person(n), profile: profile(&name).into(), roles: BTreeSet::new() };
                tokio::spawn(async move { service.ask(Whom::New, command, asker(&ann())).await.unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        house.pass(8 * DAY);
        assert_eq!(running.service.run_due(house.now()).await, DUE_ROUND_MAX);
        assert_eq!(running.service.run_due(house.now()).await, 40);
        assert_eq!(running.service.people_count(), 0);
        running.close().await;
    });
}

/// The task does it by itself.
#[test]
fn the_task_keeps_time() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let over = UnixMillis(house.now().0 + 1000);
        running.ask(alice, Command::Lock { until: over }, &ann()).await.unwrap();
        let service = running.service.clone();
        let task = tokio::spawn(async move { service.keep_time(Duration::from_millis(10)).await });
        house.pass(1000);
        let active = async || running.known(alice).await.unwrap().state == PersonState::Active;
        until("she is let in again", active).await;
        task.abort();
        running.close().await;
    });
}
