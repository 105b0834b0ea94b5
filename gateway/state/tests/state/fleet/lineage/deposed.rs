//! Servers that are no primary any more, and do not know it.

use super::takeover::{follow, promote};
use super::*;
use doorward_state::StateError;

#[test]
fn a_lonely_old_primary_that_a_stale_sentinel_names_gives_no_lease_and_takes_no_change() {
    let setup = Setup { append_only: Some(Fsync::EverySecond), ..Setup::default() };
    let first = Redis::start(&setup);
    let [second, third] = [first.start_replica(&setup), first.start_replica(&setup)];
    let guide = Guide::to(&first);
    let house = House::new(guide.section(&namespace()));
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        revoke(&control, 0..10).await;
        first.kill9();
        promote(&second);
        follow(&third, &second);
        let before = blessings(&control);
        guide.name(&second);
        blessed_again(&control, before, &[&gateway]).await;
        // It comes back with all that it had, and who asks the wrong one finds it.
        first.restart(Disk::Kept);
        guide.name(&first);
        for kind in ["normal", "pubsub"] {
            second.command(&["CLIENT", "KILL", "TYPE", kind]).unwrap();
        }
        let stale = house.gateway("gw-2");
        until("the lease is over", || !lets_in(&gateway)).await;
        let refused = control.apply(change(&nth(10), Action::Revoke)).await.unwrap_err();
        assert!(matches!(refused, StateError::NotPublished { .. }), "{refused}");
        for node in [&gateway, &stale] {
            lets_nobody_in(node, Duration::from_millis(500)).await;
        }
        // Nobody ended it, and nobody cut a connection: who asked it asks around again.
        guide.name(&second);
        for node in [&gateway, &stale] {
            until("it knows what had to wait", || node.lookup(&nth(10)).is_some()).await;
            leased(node).await;
            know_all(&[node], 10);
        }
        until("the control node follows, too", || health(&control).leased).await;
        all_have_the_next(&control, 3).await;
    });
}

#[test]
fn a_replica_that_can_be_written_gives_no_lease_and_takes_no_change() {
    // One server that nodes were connected to when it was made a replica, which cuts no connection.
    let lines = vec!["replica-read-only no".to_owned()];
    let setup = Setup { lines, ..Setup::default() };
    let second = Redis::start(&setup);
    let first = second.start_replica(&setup);
    promote(&first);
    let namespace = namespace();
    let there = House::new(section(&[second.address()], &namespace));
    let here = House::new(section(&[first.address()], &namespace));
    run(async {
        let (control, other) = (here.control(), there.control());
        let gateway = here.gateway("gw-1");
        leased(&gateway).await;
        revoke(&other, 0..5).await;
        // Now it has everything, and the lineage of its primary, which is blessed.
        follow(&first, &second);
        assert_eq!(first.info("master_replid"), second.info("master_replid"));
        tokio::time::sleep(Duration::from_millis(1100)).await;
        lets_nobody_in(&gateway, Duration::from_millis(500)).await;
        let refused = control.apply(change(&nth(9), Action::Revoke)).await.unwrap_err();
        assert!(matches!(refused, StateError::NotPublished { .. }), "{refused}");
        promote(&first);
        leased(&gateway).await;
        until("it knows what had to wait", || gateway.lookup(&nth(9)).is_some()).await;
    });
}

#[test]
fn a_deposed_primary_that_was_stopped_and_wakes_gives_no_lease() {
    let first = Redis::start(&Setup::default());
    let [second, third] = [first.start_replica(&Setup::default()), first.start_replica(&Setup::default())];
    let (guide, stale_guide) = (Guide::to(&first), Guide::to(&first));
    let namespace = namespace();
    let house = House::new(guide.section(&namespace));
    let behind = House::new(stale_guide.section(&namespace));
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        let stale = behind.gateway("gw-2");
        leased(&gateway).await;
        leased(&stale).await;
        first.stop();
        promote(&second);
        follow(&third, &second);
        let before = blessings(&control);
        guide.name(&second);
        blessed_again(&control, before, &[&gateway]).await;
        revoke(&control, 0..5).await;
        // Longer than a replica may lag. Its last answers are on the way, and so are questions.
        tokio::time::sleep(Duration::from_millis(3500)).await;
        assert!(!lets_in(&stale));
        first.cont();
        lets_nobody_in(&stale, Duration::from_secs(2)).await;
        stale_guide.name(&second);
        leased(&stale).await;
        know_all(&[&stale, &gateway], 5);
    });
}
