//! Another server takes over, with all that was published or without the end of it.

use doorward_servers::{MinReplicas, SentinelSetup, Sentinels};

use super::*;

/// A primary and two replicas, whoever is which.
struct Group {
    servers: [Redis; 3],
}

impl Group {
    fn new(setup: &Setup) -> Self {
        let first = Redis::start(setup);
        let [second, third] = [first.start_replica(setup), first.start_replica(setup)];
        Self { servers: [first, second, third] }
    }
}

/// Makes it a primary, whatever it was.
pub(super) fn promote(server: &Redis) {
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
}

pub(super) fn follow(server: &Redis, primary: &Redis) {
    server.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]).unwrap();
    server.wait_until_following();
}

fn sentinels(lag_seconds: u8) -> Sentinels {
    let min_replicas = Some(MinReplicas { count: 1, lag_seconds });
    let servers = Setup { min_replicas, ..Setup::default() };
    Sentinels::with(&SentinelSetup { replicas: 2, servers, ..SentinelSetup::default() })
}

/// A primary dies. What it had acknowledged last may have reached no replica.
fn fails_over(loses: bool) {
    // Replicas that are stopped must count as followers until the last change is acknowledged, however long
    // that takes.
    let lag_seconds = if loses { 60 } else { 2 };
    let group = sentinels(lag_seconds);
    let house = House::new(RedisSection {
        mode: Some("sentinel".to_owned()),
        primary_name: Some(group.name().to_owned()),
        replica_lag_seconds: Some(lag_seconds.into()),
        ..section(&group.addresses(), &namespace())
    });
    house.seed(30);
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        revoke(&control, 30..40).await;
        let (before, primary) = (blessings(&control), group.primary());
        let replicas = group.servers().iter().filter(|server| server.port() != primary.port());
        if loses {
            for replica in replicas.clone() {
                replica.stop();
            }
            // More than waits on the way to a replica, so that what comes then has not left.
            primary.command(&["SET", "ballast", &"x".repeat(32 << 20)]).unwrap();
        }
        revoke(&control, 40..45).await;
        until("the gateway has it", || gateway.lookup(&nth(44)).is_some()).await;
        if !loses {
            // The sentinels may take either of them.
            for replica in replicas.clone() {
                replica.wait_until_it_has_all_of(primary);
            }
        }
        primary.kill9();
        for replica in replicas {
            replica.cont();
        }
        blessed_again(&control, before, &[&gateway]).await;
        all_have_the_next(&control, 2).await;
        let late = house.gateway("late");
        leased(&late).await;
        know_all(&[&gateway, &late], 45);
        let read_anew = resyncs(&gateway) - 1;
        assert_eq!(read_anew, u64::from(loses), "only who had applied what was lost reads everything anew");
    });
}

#[test]
fn what_was_acknowledged_holds_after_a_failover_and_nobody_reads_anything_anew() {
    fails_over(false);
}

#[test]
fn what_was_acknowledged_holds_after_a_failover_that_lost_it() {
    fails_over(true);
}

#[test]
fn a_server_that_was_deposed_and_takes_over_again_without_a_restart_is_looked_at_anew() {
    let Group { servers: [first, second, third] } = Group::new(&Setup::default());
    let guide = Guide::to(&first);
    let house = House::new(guide.section(&namespace()));
    house.seed(30);
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        let process = first.info("run_id");
        let mut known = 30;
        for (primary, old) in [(&second, &first), (&first, &second)] {
            let before = blessings(&control);
            // What comes now, the next primary does not have; the third follows the old one.
            promote(primary);
            revoke(&control, known..known + 5).await;
            known += 5;
            guide.name(primary);
            follow(&third, primary);
            follow(old, primary);
            blessed_again(&control, before, &[&gateway]).await;
            all_have_the_next(&control, 2).await;
            let late = house.gateway("late");
            leased(&late).await;
            know_all(&[&gateway, &late], known);
            late.close().await;
        }
        assert_eq!(first.info("run_id"), process, "it is the same process");
    });
}

#[test]
fn a_server_that_was_deposed_and_takes_over_again_gives_no_lease_before_a_control_node_saw_it() {
    let Group { servers: [first, second, third] } = Group::new(&Setup::default());
    let guide = Guide::to(&first);
    let house = House::new(guide.section(&namespace()));
    run(async {
        let control = house.control();
        revoke(&control, 0..5).await;
        promote(&second);
        revoke(&control, 5..10).await;
        control.close().await;
        let gateway = house.gateway("gw-1");
        leased(&gateway).await;
        know_all(&[&gateway], 10);
        // Nobody looks at the second. The first gets its older log, and nobody cuts connections.
        follow(&first, &second);
        follow(&third, &second);
        promote(&first);
        follow(&third, &first);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let late = house.gateway("late");
        for node in [&gateway, &late] {
            lets_nobody_in(node, Duration::from_millis(500)).await;
        }
        let control = house.control();
        for node in [&gateway, &late] {
            leased(node).await;
        }
        know_all(&[&gateway, &late], 10);
        all_have_the_next(&control, 3).await;
    });
}
