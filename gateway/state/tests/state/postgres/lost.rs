//! A server that does not have any more what was acknowledged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use doorward_state::{Action, Generation, Revocations, Seq, Store, StoreError};

use super::{House, append, users};
use crate::fixture::{Fixture, alice, change, config, presented, run, until};

fn rewound(error: &StoreError, part: &str) {
    assert!(matches!(error, StoreError::Rewound { found, .. } if found.contains(part)), "{part}: {error}");
    let told = error.to_string();
    assert!(told.contains("revocations.postgres.last") && told.contains("postgresql://"), "{told}");
}

/// Copies what the server has on disk; it is down meanwhile.
struct Backup(PathBuf);

impl Backup {
    fn of(house: &House) -> Self {
        let data = house.postgres.socket_folder().join("data");
        let copy = house.postgres.socket_folder().join("backup");
        house.postgres.terminate();
        copied(&data, &copy);
        house.postgres.restart();
        Self(copy)
    }

    fn restore(&self, house: &House) {
        let data = house.postgres.socket_folder().join("data");
        house.postgres.terminate();
        std::fs::remove_dir_all(&data).unwrap();
        copied(&self.0, &data);
        house.postgres.restart();
    }
}

fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn mark(house: &House) -> PathBuf {
    house.dir.path().join("revocations.postgres.last")
}

#[test]
fn an_older_database_is_refused_by_a_process_that_runs_and_by_one_that_begins() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..3)).unwrap();
    let backup = Backup::of(&house);
    assert_eq!(append(&mut store, &users(3..5)).unwrap(), Seq(5), "it goes on by itself");
    let mut idle = store.again().unwrap();
    backup.restore(&house);

    rewound(&store.read_after(Seq(5), 10).unwrap_err(), "ends at change 3, and 2 more were acknowledged");
    rewound(&append(&mut store, &users(5..6)).unwrap_err(), "ends at change 3");
    rewound(&idle.generation().unwrap_err(), "ends at change 3");
    rewound(&house.refused(), "ends at change 3");
    assert_eq!(house.sql("SELECT count(*) FROM doorward.rev_log"), "3", "left as it was");

    // Other nodes go on with it, as far and further: that it went another way is noticed too.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = super::section(&house.postgres, elsewhere.path(), "doorward");
    let (mut other, handle) = Store::open(config(&other, elsewhere.path(), "gw-2").store()).unwrap();
    assert!(handle.unmarked && !handle.created);
    append(&mut other, &users(6..9)).unwrap();
    rewound(&house.refused(), "its change 5 is not the one that was acknowledged");
    rewound(&store.read_after(Seq(5), 10).unwrap_err(), "its change 5 is not the one");

    // What the message says helps.
    std::fs::remove_file(mark(&house)).unwrap();
    let (mut store, handle) = house.open().unwrap();
    assert!(handle.unmarked && !handle.created);
    assert_eq!(store.read_after(Seq::START, 10).unwrap().len(), 6);
}

#[test]
fn a_database_without_its_log_is_refused() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..3)).unwrap();
    house.sql("DROP SCHEMA doorward CASCADE");
    assert!(store.read_after(Seq::START, 10).is_err());
    rewound(&house.refused(), "it has no log");
    assert_eq!(
        house.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'doorward'"),
        "0",
        "not made anew"
    );
    house.sql("CREATE SCHEMA doorward");
    rewound(&house.refused(), "it has no log");

    // Made anew for another node.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = super::section(&house.postgres, elsewhere.path(), "doorward");
    let (mut other, handle) = Store::open(config(&other, elsewhere.path(), "gw-2").store()).unwrap();
    assert!(handle.created);
    append(&mut other, &users(0..9)).unwrap();
    rewound(&house.refused(), "another store");
    rewound(&store.read_after(Seq::START, 10).unwrap_err(), "another store");
    rewound(&append(&mut store, &users(0..1)).unwrap_err(), "another store");
}

#[test]
fn rows_that_are_taken_away_under_an_open_connection_are_missed() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..5)).unwrap();
    // As a restore does that a person runs on a live server.
    house.sql("DELETE FROM doorward.rev_log WHERE seq > 3; UPDATE doorward.head SET last = 3");
    for error in [
        store.read_after(Seq(5), 10).unwrap_err(),
        store.newest(None, None, 10).unwrap_err(),
        store.unpublished(10).unwrap_err(),
        store.held_after(None, 10).unwrap_err(),
        append(&mut store, &users(5..6)).unwrap_err(),
    ] {
        rewound(&error, "ends at change 3, and 2 more");
    }
}

#[test]
fn what_others_wrote_counts_as_seen() {
    let house = House::new();
    let mut reads = house.store();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = super::section(&house.postgres, elsewhere.path(), "doorward");
    let mut other = Store::open(config(&other, elsewhere.path(), "gw-2").store()).unwrap().0;
    append(&mut other, &users(0..4)).unwrap();
    assert_eq!(reads.read_after(Seq::START, 10).unwrap().len(), 4);
    drop(reads);
    house.sql("DELETE FROM doorward.rev_log WHERE seq > 3; UPDATE doorward.head SET last = 3");
    rewound(&house.refused(), "ends at change 3, and 1 more");
}

#[test]
fn a_mark_that_makes_no_sense_is_refused() {
    let house = House::new();
    append(&mut house.store(), &users(0..2)).unwrap();
    std::fs::write(mark(&house), "?").unwrap();
    let refused = house.refused();
    assert!(matches!(refused, StoreError::MarkDamaged { .. }), "{refused}");
}

#[test]
fn a_pruned_end_is_not_taken_for_a_loss() {
    let house = House::new();
    let mut store = house.store();
    let session = crate::fixture::target(doorward_model::EntryKind::Session, "corp:s");
    append(&mut store, &[users(0..1), vec![crate::contract::store::row(session, 1)]].concat()).unwrap();
    assert_eq!(store.prune(doorward_model::UnixMillis(2), 10).unwrap().len(), 1);
    drop(store);
    let (mut store, handle) = house.open().unwrap();
    assert!(!handle.created && !handle.unmarked);
    assert_eq!(append(&mut store, &users(1..2)).unwrap(), Seq(3));
    assert_eq!(store.generation().unwrap(), Generation(1));
}

#[test]
fn a_process_whose_server_lost_rows_lets_nobody_in_and_keeps_what_it_knows() {
    let house = House::new();
    run(async {
        let revocations = Revocations::open(&house.config(), Fixture::new().clocks()).unwrap().0;
        revocations.apply(change(&alice(), Action::Disable)).await.unwrap();
        house.sql("DELETE FROM doorward.rev_log; UPDATE doorward.head SET last = 0");
        until("nobody is let in", || revocations.check(&presented("bob", 0), Duration::ZERO).is_err()).await;
        assert!(revocations.lookup(&alice()).is_some_and(|entry| entry.disabled));
        let told = revocations.health().last_error.unwrap();
        assert!(told.contains("1 more were acknowledged"), "{told}");
        revocations.close().await;
    });
}
