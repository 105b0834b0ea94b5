//! A change on one node reaches the others, and they say so.

use doorward_model::EntryKind;
use doorward_state::{Action, NodeAnswer, Refused, StateError};

use super::{House, fleet_says, published, shared_redis};
use crate::fixture::{NOON, SKEW, alice, change, presented, run, target, until};

/// Long before noon: a token that any revocation kills.
const OLD: i64 = NOON / 1000 - 600;

#[test]
fn what_one_node_takes_away_no_node_gives() {
    run(async {
        let house = House::shared();
        let (one, two) = (house.gateway("gw-1"), house.gateway("gw-2"));
        let stale = one.check(&presented("alice", OLD), SKEW).unwrap_err();
        assert!(matches!(stale, Refused::Stale { .. }), "nothing is known yet: {stale:?}");
        let control = house.control();
        for node in [&one, &two] {
            until("a lease", || node.check(&presented("alice", OLD), SKEW).is_ok()).await;
        }
        let receipt = published(&control, &alice(), Action::Disable).await;
        let position = receipt.published.expect("it went out").position;
        let reports = fleet_says(&control, position).await;
        let mut names: Vec<&str> = reports.iter().map(|r| r.node.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["control", "gw-1", "gw-2"]);
        assert!(reports.iter().all(|r| matches!(r.answer, NodeAnswer::Applied { .. })), "{reports:?}");
        for node in [&one, &two] {
            let refused = node.check(&presented("alice", OLD), SKEW).unwrap_err();
            assert_eq!(refused, Refused::Disabled { kind: EntryKind::User });
            assert_eq!(node.lookup(&alice()), Some(receipt.entry));
            // With its lease, which a machine that stands still lets run out.
            until("bob is let in", || node.check(&presented("bob", OLD), SKEW).is_ok()).await;
        }
        let back = published(&control, &alice(), Action::Reactivate).await;
        fleet_says(&control, back.published.unwrap().position).await;
        let new = NOON / 1000 + 10;
        until("she signed in anew", || two.check(&presented("alice", new), SKEW).is_ok()).await;
        assert!(two.check(&presented("alice", OLD), SKEW).is_err(), "what was before is dead");

        // A node that comes later reads everything.
        let late = house.gateway("gw-3");
        until("it knows", || late.lookup(&alice()).is_some()).await;
        assert_eq!(late.lookup(&alice()), Some(back.entry));
        let session = target(EntryKind::Session, "corp:s-1");
        let refused = late.apply(change(&session, Action::Revoke)).await.unwrap_err();
        assert!(matches!(refused, StateError::NotHere), "{refused}");

        // Whoever leaves is not waited for.
        two.close().await;
        let receipt = published(&control, &session, Action::Revoke).await;
        let reports = fleet_says(&control, receipt.published.unwrap().position).await;
        assert!(reports.iter().all(|r| r.node != "gw-2"), "{reports:?}");
        assert_eq!(reports.len(), 3);
    });
}

#[test]
fn whoever_redis_forgot_is_waited_for_all_the_same() {
    run(async {
        let house = House::shared();
        let (one, two, control) = (house.gateway("gw-1"), house.gateway("gw-2"), house.control());
        for node in [&one, &two] {
            until("a lease", || node.check(&presented("alice", OLD), SKEW).is_ok()).await;
        }
        // Nobody is on the roll any more, and nobody lost a connection.
        let [meta, log, roll] = ["m", "log", "roll"].map(|name| house.key(name));
        shared_redis().command(&["DEL", &meta, &log, &roll]).unwrap();
        let receipt = published(&control, &alice(), Action::Disable).await;
        let reports = fleet_says(&control, receipt.published.unwrap().position).await;
        let names: Vec<&str> = reports.iter().map(|r| r.node.as_str()).collect();
        assert_eq!(names, ["control", "gw-1", "gw-2"]);
        assert!(reports.iter().all(|r| matches!(r.answer, NodeAnswer::Applied { .. })), "{reports:?}");
        assert!(one.lookup(&alice()).is_some() && two.lookup(&alice()).is_some());
    });
}
