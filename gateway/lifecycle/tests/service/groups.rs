//! Groups: who is in them, what they are in, and ten thousand at once.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::{Actor, Command, Why};
use doorward_lifecycle::service::{Delta, Failed, GroupChange, GroupDone, Known, Whom};
use doorward_model::directory::{ConnectionId, GroupId, PersonId};
use doorward_state::RecordKind;
use doorward_state::directory::form::Member;

use crate::fixture::{House, Running, ann, asker, group, okta, person, profile, run, until};

fn of(people: impl IntoIterator<Item = u128>) -> BTreeSet<Member> {
    people.into_iter().map(|n| Member::Person(person(n))).collect()
}

fn change(id: GroupId, known: Known, name: Option<&str>, members: Delta) -> GroupChange {
    GroupChange { id, known, display_name: name.map(Into::into), members }
}

async fn doing(running: &Running, change: GroupChange, actor: &Actor) -> Result<GroupDone, Failed> {
    running.service.change_group(change, asker(actor), Vec::new()).await
}

fn adds(add: BTreeSet<Member>) -> Delta {
    Delta { add, ..Delta::default() }
}

async fn is_in(running: &Running, id: PersonId) -> BTreeSet<GroupId> {
    running.known(id).await.unwrap().groups.names().copied().collect()
}

#[test]
fn a_group_is_made_filled_renamed_and_deleted() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for n in 0..5 {
            running.hire(n, &format!("p{n}")).await;
        }
        let make = change(group(1), Known::New, Some("Engineering"), adds(of(0..3)));
        let made = doing(&running, make.clone(), &okta()).await.unwrap();
        assert_eq!(made.added.len(), 3);
        assert_eq!(running.service.find_group("engineering"), Some(group(1)));
        assert!(matches!(doing(&running, make, &okta()).await, Err(Failed::Changed { .. })));

        // The same name would be the same group to policies.
        let other = change(group(2), Known::New, Some("ENGINEERING"), Delta::default());
        let answer = doing(&running, other, &ann()).await;
        assert!(matches!(answer, Err(Failed::Taken { field: "display_name", .. })), "{answer:?}");

        let delta = Delta { cleared: false, add: of([3]), remove: of([0, 4]) };
        let there = |name, delta| change(group(1), Known::There, name, delta);
        let before = house.events().len();
        let done = doing(&running, there(Some("Builders"), delta.clone()), &okta()).await.unwrap();
        assert_eq!(
            (done.added, done.removed),
            (of([3]).into_iter().collect(), of([0]).into_iter().collect())
        );
        let intended = "directory.change.intended (intended)";
        assert_eq!(
            house.told(before),
            [
                intended,
                intended,
                intended,
                "group.profile.update",
                "group.user_membership.add",
                "group.user_membership.remove"
            ]
        );
        // Again, nothing is written.
        let before = house.events().len();
        let again = doing(&running, there(Some("Builders"), delta), &okta()).await.unwrap();
        assert!(!again.changed && house.told(before).is_empty());
        let (found, version) = running.service.group(group(1)).await.unwrap().unwrap();
        assert_eq!((&*found.display_name, version), ("Builders", again.version));
        assert_eq!(running.service.find_group("engineering"), None);

        // Cleared, and somebody else.
        let delta = Delta { cleared: true, add: of([4]), remove: BTreeSet::new() };
        doing(&running, there(None, delta), &okta()).await.unwrap();
        assert_eq!(running.service.members(group(1)), of([4]));
        assert_eq!(is_in(&running, person(4)).await, BTreeSet::from([group(1)]));

        let gone = running.service.delete_group(group(1), asker(&okta()), Vec::new()).await.unwrap();
        assert_eq!(gone.removed, [Member::Person(person(4))]);
        assert_eq!(is_in(&running, person(4)).await, BTreeSet::new());
        assert!(running.service.group(group(1)).await.unwrap().is_none());
        let answer = doing(&running, there(None, adds(of([1]))), &okta()).await;
        assert!(matches!(answer, Err(Failed::NotFound { .. })), "{answer:?}");
        let answer = running.ask(person(1), Command::AddGroup(group(1)), &ann()).await;
        assert!(matches!(answer, Err(Failed::NotFound { what: "group", .. })), "{answer:?}");
        running.close().await;
    });
}

/// One who cannot be put in, and nobody is.
#[test]
fn nothing_is_half_applied() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for n in 0..3 {
            running.hire(n, &format!("p{n}")).await;
        }
        let hr = Actor::Source(ConnectionId::new("hr").unwrap());
        let theirs = Command::ScimCreate {
            id: person(9),
            profile: profile("p9").into(),
            active: true,
            links: BTreeSet::new(),
        };
        running.service.ask(Whom::New, theirs, asker(&hr)).await.unwrap();
        let make = change(group(1), Known::New, Some("All"), adds(of([0, 1, 9])));
        let answer = doing(&running, make, &okta()).await;
        let Err(Failed::Member { member, denied }) = answer else { panic!("{answer:?}") };
        assert_eq!((member, denied.why), (person(9).to_string(), Why::NotItsSource));
        let unknown = change(group(1), Known::New, Some("All"), adds(of([0, 77])));
        assert!(matches!(doing(&running, unknown, &okta()).await, Err(Failed::NotFound { .. })));
        assert_eq!(is_in(&running, person(0)).await, BTreeSet::new());
        assert_eq!(running.service.groups_count(), 0);
        running.close().await;
    });
}

/// What the source and an operator say stands side by side; each takes its own, the operator everything.
#[test]
fn each_hand_takes_its_own() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        running.hire(1, "alice").await;
        running.hire(2, "bob").await;
        let make = change(group(1), Known::New, Some("All"), adds(of([1])));
        doing(&running, make, &okta()).await.unwrap();
        let there = |members| change(group(1), Known::There, None, members);
        doing(&running, there(adds(of([1, 2]))), &ann()).await.unwrap();
        // The source clears the group: whom the operator put in stays.
        let cleared = Delta { cleared: true, ..Delta::default() };
        let done = doing(&running, there(cleared.clone()), &okta()).await.unwrap();
        assert_eq!(done.removed, []);
        assert_eq!(running.service.members(group(1)), of([1, 2]));
        // Another source has nothing to say.
        let hr = Actor::Source(ConnectionId::new("hr").unwrap());
        assert!(matches!(doing(&running, there(cleared.clone()), &hr).await, Err(Failed::Refused { .. })));
        let named = change(group(1), Known::There, Some("Everybody"), Delta::default());
        assert!(matches!(doing(&running, named, &ann()).await, Err(Failed::Refused { .. })));
        // The operator takes out whom the source puts in again: that is an override, and owed.
        doing(&running, there(adds(of([1]))), &okta()).await.unwrap();
        doing(&running, there(cleared), &ann()).await.unwrap();
        assert_eq!(running.service.members(group(1)), of([]));
        let before = house.events().len();
        doing(&running, there(adds(of([1]))), &okta()).await.unwrap();
        let told = house.told(before);
        assert!(told.contains(&"user.account.override".to_owned()), "{told:?}");
        assert!(told.contains(&"control_debt.opened".to_owned()), "{told:?}");
        running.close().await;
    });
}

#[test]
fn groups_in_groups_make_no_circle_and_are_not_too_deep() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        running.hire(1, "alice").await;
        for n in 0..18 {
            let make = change(group(n), Known::New, Some(&format!("G{n}")), Delta::default());
            doing(&running, make, &ann()).await.unwrap();
        }
        doing(&running, change(group(0), Known::There, None, adds(of([1]))), &ann()).await.unwrap();
        let nest = |child, parent| {
            let add = BTreeSet::from([Member::Group(group(child))]);
            change(group(parent), Known::There, None, adds(add))
        };
        for n in 0..16 {
            doing(&running, nest(n, n + 1), &ann()).await.unwrap();
        }
        let (found, _) = running.service.group(group(0)).await.unwrap().unwrap();
        assert_eq!(found.parents, BTreeSet::from([group(1)]));
        assert!(matches!(doing(&running, nest(16, 17), &ann()).await, Err(Failed::Nesting(_))));
        let add = BTreeSet::from([Member::Group(group(16))]);
        let above = change(group(99), Known::New, Some("Above"), adds(add));
        assert!(matches!(doing(&running, above, &ann()).await, Err(Failed::Nesting(_))));
        for (child, parent) in [(3, 0), (16, 0), (5, 5)] {
            let answer = doing(&running, nest(child, parent), &ann()).await;
            assert!(matches!(answer, Err(Failed::Refused { .. })), "{child} in {parent}: {answer:?}");
        }
        let remove = BTreeSet::from([Member::Group(group(7))]);
        let out = change(group(8), Known::There, None, Delta { remove, ..Delta::default() });
        let before = house.events().len();
        doing(&running, out, &ann()).await.unwrap();
        assert_eq!(house.told(before), ["group.subgroup.remove"]);
        doing(&running, nest(16, 17), &ann()).await.unwrap();
        running.close().await;
    });
}

/// Ten thousand in one call: seconds, one batch, one version of the group.
#[test]
fn ten_thousand_members_at_once() {
    const MEMBERS: u128 = 10_000;
    run(async {
        let house = House::new();
        let running = house.open().await;
        let hired = std::time::Duration::ZERO;
        let began = now();
        for start in (0..MEMBERS).step_by(500) {
            let tasks: Vec<_> = (start..start + 500)
                .map(|n| {
                    let service = running.service.clone();
                    let profile = profile(&format!("p{n}")).into();
                    let links = BTreeSet::from([format!("corp:p{n}").parse().unwrap()]);
                    let command = Command::ScimCreate { id: person(n), profile, active: true, links };
                    tokio::spawn(
                        async move { service.ask(Whom::New, command, asker(&okta())).await.unwrap() },
                    )
                })
                .collect();
            for task in tasks {
                assert!(task.await.unwrap().on_record);
            }
        }
        let hired = hired + began.elapsed();
        let began = now();
        let make = change(group(1), Known::New, Some("Everybody"), adds(of(0..MEMBERS)));
        let done = doing(&running, make, &okta()).await.unwrap();
        let filled = began.elapsed();
        assert!(done.on_record && done.added.len() == 10_000);
        let began = now();
        let none = Delta { cleared: true, ..Delta::default() };
        doing(&running, change(group(1), Known::There, None, none), &okta()).await.unwrap();
        let emptied = began.elapsed();
        println!("hired {hired:?}, filled {filled:?}, emptied {emptied:?}");
        assert!(filled.as_secs() < 30 && emptied.as_secs() < 30, "filled {filled:?}, emptied {emptied:?}");
        let added = house
            .events()
            .into_iter()
            .filter(|event| event["metadata"]["event_code"] == "group.user_membership.add");
        let named: u64 = added
            .map(|event| event["unmapped"]["doorward"]["lifecycle"]["members_total"].as_u64().unwrap())
            .sum();
        assert_eq!(named, 10_000);
        let too_many: BTreeSet<Member> = (0..12_001).map(|n| Member::Person(person(n))).collect();
        let answer = doing(&running, change(group(1), Known::There, None, adds(too_many)), &okta()).await;
        assert!(matches!(answer, Err(Failed::NotFound { .. } | Failed::TooMany { .. })), "{answer:?}");
        let records = running.revocations.records();
        assert!(records.get(RecordKind::Group, &group(1).to_string()).is_some());
        running.close().await;
    });
}

#[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Another process put somebody in a moment ago: whoever clears the group takes them out, too.
#[test]
fn whoever_is_not_known_here_yet_is_cleared_away() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        let make = change(group(1), Known::New, Some("All"), Delta::default());
        doing(&here, make, &okta()).await.unwrap();
        for n in 0..6 {
            let id = here.hire(n, &format!("p{n}")).await;
            until("they are known there", async || there.known(id).await.is_some()).await;
            until("the group is known there", async || there.service.find_group("all").is_some()).await;
            doing(&there, change(group(1), Known::There, None, adds(of([n]))), &okta()).await.unwrap();
            let none = Delta { cleared: true, ..Delta::default() };
            let done = doing(&here, change(group(1), Known::There, None, none), &okta()).await.unwrap();
            assert_eq!(done.removed, [Member::Person(id)], "round {n}");
        }
        here.close().await;
        there.close().await;
    });
}

/// An operator takes two out: one who is known to be in it, and one whom another process put in a moment ago,
/// without a word about the group. Neither stays.
#[test]
fn whoever_is_named_is_taken_out_whatever_is_known_of_them_here() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        let make = change(group(1), Known::New, Some("All"), Delta::default());
        doing(&here, make, &ann()).await.unwrap();
        for n in 0..6 {
            let old = here.hire(2 * n, &format!("old{n}")).await;
            doing(&here, change(group(1), Known::There, None, adds(of([2 * n]))), &ann()).await.unwrap();
            until("they are known there", async || there.known(old).await.is_some()).await;
            until("the group is known there", async || there.service.find_group("all").is_some()).await;
            // Also somebody who is not known here at all.
            let new = there.hire(2 * n + 1, &format!("new{n}")).await;
            there.ask(new, Command::AddGroup(group(1)), &ann()).await.unwrap();
            let both = Delta { remove: of([2 * n, 2 * n + 1]), ..Delta::default() };
            let done = doing(&here, change(group(1), Known::There, None, both), &ann()).await.unwrap();
            assert_eq!(done.removed, [Member::Person(old), Member::Person(new)], "round {n}");
        }
        here.close().await;
        there.close().await;
    });
}
