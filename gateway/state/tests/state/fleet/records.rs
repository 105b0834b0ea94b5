//! Records in a fleet: what the directory knows of people comes to every node through Redis, as who was
//! cut off does, and is as sure to be there.

mod lost;
mod whole;

use std::sync::{Arc, Mutex};

use doorward_model::EntryKind;
use doorward_servers::Disk;
use doorward_state::{CommitError, Expected, Record, RecordKind, RevocationSection, StateError, Write};

use super::*;
use crate::contract::records::{person, text};
use crate::fixture::{alice, run};
use crate::postgres::Base;
use crate::records::{only, switch};

/// What a node knows of a person.
fn says(node: &Revocations, id: &str) -> Option<String> {
    let record = node.records().get(RecordKind::Person, id);
    record.map(|record| text(&record).to_owned())
}

/// So many people, each as `word`, in one batch.
fn people(count: usize, word: &str) -> Vec<Write> {
    (0..count).map(|i| person(&format!("p{i:05}"), Expected::Any, word)).collect()
}

/// Commits a batch, until it is out.
async fn commit(control: &Revocations, batch: &doorward_state::Batch) -> doorward_state::Committed {
    for _ in 0..20 {
        match control.commit(batch.clone()).await {
            Ok(committed) => return committed,
            Err(CommitError::NotPublished { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    control.commit(batch.clone()).await.unwrap()
}

#[test]
fn control_nodes_on_postgresql_and_gateways_follow_each_others_records() {
    let base = Base::new();
    let house = House::shared();
    let control = |node: &str| {
        let section = RevocationSection { redis: Some(house.redis.clone()), ..base.section() };
        let config = config(&section, base.dir.path(), node);
        Revocations::open(&config, house.fixture.clocks()).unwrap().0
    };
    run(async {
        let (one, two, gateway) = (control("control-1"), control("control-2"), house.gateway("gw-1"));
        for node in [&one, &two, &gateway] {
            leased(node).await;
        }
        let committed = one.commit(switch("alice", Expected::Absent, false)).await.unwrap();
        assert!(committed.receipts[0].published.is_some());
        assert_eq!(says(&one, "alice").as_deref(), Some("off"));
        for node in [&two, &gateway] {
            until("the others have the record", || says(node, "alice").as_deref() == Some("off")).await;
            until("and the change", || node.lookup(&alice()).is_some_and(|entry| entry.disabled)).await;
        }
        let back = switch("alice", Expected::Version(committed.records[0]), true);
        two.commit(back).await.unwrap();
        for node in [&one, &gateway] {
            until("the others have it", || says(node, "alice").as_deref() == Some("on")).await;
            until("and let her in", || node.lookup(&alice()).is_some_and(|entry| !entry.disabled)).await;
        }
        for node in [&one, &gateway] {
            let health = node.records().health();
            assert!(health.last_error.is_none() && health.unread_for < LONG, "{health:?}");
        }
        // A node without the directory says so.
        assert!(one.has_directory() && !gateway.has_directory());
        let here = gateway.record(RecordKind::Person, "alice").await;
        assert!(matches!(here, Err(StateError::NotHere)), "{here:?}");
        let refused = gateway.commit(switch("bob", Expected::Absent, false)).await.unwrap_err();
        assert!(matches!(refused, CommitError::State(StateError::NotHere)), "{refused}");
        assert_eq!(gateway.lookup(&target(EntryKind::User, "corp:bob")), None);
    });
}

#[test]
fn an_acknowledged_batch_is_known_wherever_its_position_was_reached() {
    let house = House::shared();
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        for (turn, word) in ["engineer", "manager", "engineer"].into_iter().enumerate() {
            // Records alone, and enough for more than one call.
            let mut writes = people(2500, word);
            writes.push(Write { kind: RecordKind::Document, ..person("paper", Expected::Any, word) });
            let committed = control.commit(only(writes)).await.unwrap();
            let published = committed.published.expect("it went out");
            assert!(control.all_is_published().await.unwrap(), "all of it, and not the first call alone");
            let last = shared_redis().command(&["HGET", &house.key("m"), "l"]).unwrap().text();
            assert_eq!(published.position.id.to_string(), last);
            assert_eq!(control.last_published(), Some(published.position));
            let reports = fleet_says(&control, published.position).await;
            assert_eq!(reports.len(), 2, "{reports:?}");
            for id in ["p00000", "p01234", "p02499"] {
                assert_eq!(says(&gateway, id).as_deref(), Some(word), "turn {turn}");
            }
        }
        let only_private = Write { kind: RecordKind::Seen, ..person("s", Expected::Any, "x") };
        let committed = control.commit(only(vec![only_private])).await.unwrap();
        assert_eq!(committed.published, None, "it concerns nobody else");
        assert!(control.all_is_published().await.unwrap());
        assert_eq!(health(&control).outbox, Some(0));
    });
}

#[test]
fn a_batch_that_does_not_go_out_is_told_as_saved_and_goes_out_when_it_can() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let control = house.control();
        let gateway = house.gateway("gw-1");
        leased(&gateway).await;
        redis.kill9();
        let error = control.commit(switch("alice", Expected::Absent, false)).await.unwrap_err();
        let CommitError::NotPublished { committed, .. } = &error else { panic!("{error}") };
        assert!(error.enforced() && committed.records.len() == 1, "{error}");
        assert!(committed.receipts[0].published.is_none() && committed.published.is_none());
        let alone = only(vec![person("bob", Expected::Absent, "on")]);
        let error = control.commit(alone).await.unwrap_err();
        assert!(matches!(error, CommitError::NotPublished { .. }), "{error}");
        assert_eq!(says(&control, "bob").as_deref(), Some("on"), "here it is seen");
        assert_eq!(health(&control).outbox, Some(3), "two records, and a change");
        assert!(!control.all_is_published().await.unwrap());
        // Of a kind that concerns nobody else: nobody waits.
        let private = Write { kind: RecordKind::Document, ..person("bob", Expected::Absent, "paper") };
        control.commit(only(vec![private])).await.unwrap();
        redis.restart(Disk::Wiped);
        until("it goes out", || gateway.lookup(&alice()).is_some_and(|entry| entry.disabled)).await;
        until("records too", || says(&gateway, "bob").as_deref() == Some("on")).await;
    });
}

#[test]
fn before_a_whole_snapshot_was_read_nothing_is_known() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let control = house.control();
        commit(&control, &only(people(3000, "on"))).await;
        control.close().await;
        redis.kill9();
        let gateway = house.gateway("gw-1");
        let health = gateway.records().health();
        assert_eq!((health.unread_for, health.live), (Duration::MAX, 0));
        assert!(!lets_in(&gateway));
        redis.restart(Disk::Wiped);
        let control = house.control();
        leased(&gateway).await;
        let health = gateway.records().health();
        assert_eq!(health.live, 3000, "who has a lease has everything");
        assert!(health.unread_for < LONG, "{health:?}");
        control.close().await;
    });
}
