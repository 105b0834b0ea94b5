//! Random lives through the whole service, beside the table alone: what is stored is what the table
//! says, and the revocations cut off exactly whoever is not admitted.
//!
//! Every step of a life is also a sign-in of whoever can: no session of before a leaving stands after it,
//! and whoever returns has nothing that was given by hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_lifecycle::machine::{Actor, Circumstances, Command, apply};
use doorward_lifecycle::service::{Delta, GroupChange, Known, Whom};
use doorward_model::directory::{HoldOrigin, Person, StateKind};
use doorward_model::{AppId, AuthSession, IssuerId, Presented, SessionId, UnixMillis};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{
    House, Running, ann, asker, caep, group, link, okta, person, profile, role, rules, run,
};

#[derive(Clone, Debug)]
struct Ask {
    command: Command,
    actor: Actor,
}

fn asks() -> impl Strategy<Value = Ask> {
    let operator = prop_oneof![
        Just(Command::Suspend),
        Just(Command::Unsuspend),
        Just(Command::Deactivate),
        Just(Command::Reactivate),
        Just(Command::Activate),
        Just(Command::Delete),
        Just(Command::HoldSet),
        Just(Command::HoldClear(HoldOrigin::Operator)),
        Just(Command::Lock { until: UnixMillis(i64::MAX / 2) }),
        Just(Command::Unlock),
        Just(Command::EndSessions),
        Just(Command::GiveRole(role("admin"))),
        Just(Command::TakeRole(role("admin"))),
        Just(Command::GiveApp(AppId::new("wiki").unwrap())),
        Just(Command::TakeApp(AppId::new("wiki").unwrap())),
        Just(Command::AddGroup(group(1))),
        Just(Command::RemoveGroup(group(1))),
        Just(Command::Link(link("alice-2"))),
        Just(Command::Unlink(link("alice-2"))),
    ];
    let source = prop_oneof![
        4 => Just(Command::ScimActivate),
        3 => Just(Command::ScimDeactivate),
        1 => Just(Command::ScimDelete),
        1 => Just(Command::ScimProfile(profile("alina").into())),
        1 => Just(Command::GiveRole(role("seller"))),
        1 => Just(Command::AddGroup(group(2))),
        1 => Just(Command::RemoveGroup(group(2))),
    ];
    let signal = prop_oneof![
        Just(Command::HoldSet),
        Just(Command::Suspend),
        Just(Command::Unsuspend),
        Just(Command::EndSessions),
    ];
    prop_oneof![
        4 => operator.prop_map(|command| Ask { command, actor: ann() }),
        3 => source.prop_map(|command| Ask { command, actor: okta() }),
        1 => signal.prop_map(|command| Ask { command, actor: caep() }),
    ]
}

fn session(name: &str, at: UnixMillis) -> Presented {
    let issuer = IssuerId::new("corp").unwrap();
    Presented {
        users: vec![link(name)],
        owner: None,
        session: AuthSession {
            session: Some(SessionId::new(issuer.clone(), "s").unwrap()),
            token: None,
            issuer,
            issued_at: at,
            expires_at: UnixMillis(i64::MAX),
        },
        device: None,
        named: None,
        app: AppId::new("wiki").unwrap(),
    }
}

/// One life: the service beside the table.
async fn live(running: &Running, house: &House, nth: u128, asks: &[Ask]) -> Result<(), TestCaseError> {
    let (id, rules) = (person(nth), rules());
    let create = Command::ScimCreate {
        id,
        profile: profile(&format!("p{nth}")).into(),
        active: true,
        links: BTreeSet::from([link(&format!("p{nth}"))]),
    };
    let done = running.service.ask(Whom::New, create, asker(&okta())).await.unwrap();
    let mut model: Arc<Person> = Arc::clone(&done.person);
    let mut opened: Vec<(String, UnixMillis)> = Vec::new();
    for ask in asks {
        house.pass(5_000);
        for link in model.links.iter().filter(|_| model.admitted()) {
            opened.push((link.to_string().replace("corp:", ""), house.now()));
        }
        house.pass(5_000);
        // The names of sign-ins and profiles are unique, so each life has its own.
        let mut command = ask.command.clone();
        match &mut command {
            Command::Link(of) | Command::Unlink(of) => *of = link(&format!("p{nth}-2")),
            Command::ScimProfile(of) => of.user_name = format!("q{nth}"),
            _ => {}
        }
        let who = Circumstances {
            now: house.now(),
            asserted_at: None,
            actor: ask.actor.clone(),
            cause: "because".into(),
            rules: &rules,
            owned: &[],
        };
        let expected = apply(Some(&model), &command, &who);
        let answer = running.service.ask(Whom::Person(id), command.clone(), asker(&ask.actor)).await;
        prop_assert_eq!(expected.is_ok(), answer.is_ok(), "{:?}: {:?}, {:?}", command, expected, answer);
        let Ok(step) = expected else { continue };
        let (before, after) = (model, step.after);
        if after.state.kind() == StateKind::Deleted {
            prop_assert_eq!(running.known(id).await, None);
        } else {
            let mut stored = Person::clone(&running.known(id).await.unwrap());
            // When somebody came into a group is no change of theirs.
            stored.changed_at = after.changed_at;
            prop_assert_eq!(&stored, &*after, "{:?}", command);
        }
        for (name, at) in &opened {
            let stands = running.revocations.check(&session(name, *at), Duration::ZERO).is_ok();
            let ended = step.edge.sessions != doorward_lifecycle::machine::Sessions::Keep;
            let whole = ended && !matches!(command, Command::TakeApp(_) | Command::Unlink(_));
            prop_assert!(!(stands && whole), "{:?}: a session of {} of before goes on", command, name);
            prop_assert!(!stands || after.admitted(), "{:?}: {} is in with {:?}", command, name, after);
        }
        let fresh = house.now().plus(Duration::from_secs(3));
        for link in &after.links {
            let name = link.to_string().replace("corp:", "");
            let stands = running.revocations.check(&session(&name, fresh), Duration::ZERO).is_ok();
            prop_assert_eq!(stands, after.admitted(), "{:?}: who signs in as {} now", command, name);
        }
        let returned = before.state.kind() == StateKind::Deactivated && after.admitted();
        if returned {
            prop_assert!(after.roles.iter().all(|given| given.origin.stays()));
            prop_assert!(after.groups.iter().all(|given| given.origin.stays()));
            prop_assert!(after.apps.is_empty());
        }
        model = after;
    }
    Ok(())
}

#[test]
fn the_service_does_what_the_table_says() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for n in 1..3 {
            let make = GroupChange {
                id: group(n),
                known: Known::New,
                display_name: Some(format!("G{n}").into()),
                members: Delta::default(),
            };
            running.service.change_group(make, asker(&okta()), Vec::new()).await.unwrap();
        }
        let count = std::env::var("DOORWARD_LIVES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
        let mut runner =
            TestRunner::new(Config { cases: count, failure_persistence: None, ..Config::default() });
        let lives = proptest::collection::vec(asks(), 1..25);
        let nth = std::cell::Cell::new(0_u128);
        let outcome = tokio::task::block_in_place(|| {
            runner.run(&lives, |asks| {
                nth.set(nth.get() + 1);
                tokio::runtime::Handle::current().block_on(live(&running, &house, nth.get(), &asks))
            })
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
        running.close().await;
    });
}
