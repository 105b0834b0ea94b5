//! The directory is another one, an older one, or has several processes.

use std::fs;

use doorward_state::{RevocationSection, StateError, StoreError};

use super::super::knows;
use super::*;
use crate::fixture::config;
use crate::postgres::Base;

#[test]
fn a_directory_that_was_there_before_redis_goes_out_once() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    house.seed(3000);
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        knows(&gateway, 3000).await;
        leased(&gateway).await;
        until("nothing waits", || health(&control).outbox == Some(0)).await;
        let log = redis.command(&["XLEN", &house.key("log")]).unwrap().int();
        assert_eq!((log, health(&control).published_total), (0, 0), "it stands in the snapshot");
    });
}

/// Directories one after the other; the second may have been published elsewhere before.
fn gives_way_to_another(is_used: bool) {
    let [redis, elsewhere] = [Redis::start(&Setup::default()), Redis::start(&Setup::default())];
    let namespace = namespace();
    let mut first = House::new(section(&[redis.address()], &namespace));
    let mut second = House::new(section(&[redis.address()], &namespace));
    run(async {
        let control = first.control();
        let gateway = first.gateway("gw-1");
        leased(&gateway).await;
        revoke(&control, 0..10).await;
        control.close().await;
        if is_used {
            second.redis = section(&[elsewhere.address()], &namespace);
            let control = second.control();
            revoke(&control, 10..20).await;
            control.close().await;
            second.redis = first.redis.clone();
        }
        let control = second.control();
        revoke(&control, 20..30).await;
        let late = second.gateway("gw-2");
        leased(&late).await;
        let of_second = if is_used { 10..30 } else { 20..30 };
        for node in [&gateway, &late] {
            until("it knows the second", || of_second.clone().all(|i| node.lookup(&nth(i)).is_some())).await;
            leased(node).await;
        }
        know_all(&[&gateway], 10);
        all_have_the_next(&control, 3).await;
        control.close().await;
        first.redis = second.redis.clone();
        // And back.
        let control = first.control();
        revoke(&control, 30..35).await;
        all_have_the_next(&control, 3).await;
        let last = first.gateway("gw-3");
        leased(&last).await;
        know_all(&[&gateway, &late, &last], 10);
        assert!((30..35).all(|i| last.lookup(&nth(i)).is_some()));
    });
}

#[test]
fn another_directory_on_the_same_namespace_is_written_anew() {
    gives_way_to_another(false);
}

#[test]
fn another_directory_that_was_published_elsewhere_is_written_anew() {
    gives_way_to_another(true);
}

#[test]
fn an_older_directory_is_refused_and_written_anew_where_the_operator_insists() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    let (file, copy) = (house.fixture.file(), house.fixture.dir.path().join("copy"));
    run(async {
        let gateway = house.gateway("gw-1");
        let control = house.control();
        revoke(&control, 0..5).await;
        control.close().await;
        fs::copy(&file, &copy).unwrap();
        let control = house.control();
        revoke(&control, 5..10).await;
        control.close().await;

        fs::copy(&copy, &file).unwrap();
        let config = house.config("control", "sqlite");
        let refused = Revocations::open(&config, house.fixture.clocks()).err().unwrap();
        let StateError::Store(StoreError::Rewound { mark, .. }) = &refused else { panic!("{refused}") };
        assert!(refused.to_string().contains(&mark.display().to_string()), "it says what to delete");
        fs::remove_file(mark).unwrap();
        let resyncs_before = resyncs(&gateway);
        let control = house.control();
        blessed_again(&control, 0, &[&gateway]).await;
        assert_eq!(resyncs(&gateway), resyncs_before + 1);
        // These have the numbers of those that are lost.
        revoke(&control, 20..28).await;
        all_have_the_next(&control, 2).await;
        let late = house.gateway("late");
        leased(&late).await;
        know_all(&[&gateway], 10);
        know_all(&[&late], 5);
        for node in [&gateway, &late] {
            assert!((20..28).all(|i| node.lookup(&nth(i)).is_some()));
        }
    });
}

/// Changes from two processes at once: each goes out, whoever takes it along.
async fn both_publish(one: &Revocations, two: &Revocations, gateway: &Revocations) {
    let began = blessings(one) + blessings(two);
    tokio::join!(revoke(one, 0..100), revoke(two, 100..200));
    // One at a time, too: then the other has often been faster.
    for i in 200..230 {
        revoke(if i % 2 == 0 { one } else { two }, i..i + 1).await;
    }
    for node in [gateway, one, two] {
        until("it has all", || (0..230).all(|i| node.lookup(&nth(i)).is_some())).await;
    }
    assert_eq!(blessings(one) + blessings(two), began, "nobody fences the other");
}

#[test]
fn two_processes_of_one_node_publish_side_by_side() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let old = house.control();
        let gateway = house.gateway("gw-1");
        leased(&gateway).await;
        let new = house.control();
        both_publish(&old, &new, &gateway).await;
        old.close().await;
        all_have_the_next(&new, 2).await;
    });
}

#[test]
fn two_control_nodes_on_postgresql_publish_side_by_side() {
    let redis = Redis::start(&Setup::default());
    let base = Base::new();
    let house = House::new(section(&[redis.address()], &namespace()));
    let node = |name: &str| {
        let section = RevocationSection { redis: Some(house.redis.clone()), ..base.section() };
        let config = config(&section, base.dir.path(), name);
        Revocations::open(&config, house.fixture.clocks()).unwrap().0
    };
    run(async {
        let (one, two) = (node("control-1"), node("control-2"));
        let gateway = house.gateway("gw-1");
        for node in [&one, &two, &gateway] {
            leased(node).await;
        }
        both_publish(&one, &two, &gateway).await;
        // One of them ends, the other goes on.
        one.close().await;
        all_have_the_next(&two, 2).await;
    });
}
