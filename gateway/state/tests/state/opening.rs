//! What is found on opening: damage is named, never painted over.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use doorward_model::EntryKind;
use doorward_state::{Action, Revocations, StateError, StoreError};

use crate::fixture::{Fixture, alice, change, run, target};

/// A store in which alice and 200 others are cut off, closed.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        revocations.apply(change(&alice(), Action::Disable)).await.unwrap();
        for i in 0..200 {
            let t = target(EntryKind::User, &format!("corp:u{i}"));
            revocations.apply(change(&t, Action::Revoke)).await.unwrap();
        }
        assert_eq!(revocations.close().await, 0);
    });
    fixture
}

fn refused(fixture: &Fixture) -> StoreError {
    match Revocations::open(&fixture.config("gw-1"), fixture.clocks()) {
        Err(StateError::Store(error)) => error,
        Err(other) => panic!("another kind of error: {other}"),
        Ok(_) => panic!("opened what it must not open"),
    }
}

fn named(error: &StoreError, file: &Path) {
    let text = error.to_string();
    assert!(text.contains(file.to_str().unwrap()), "names the file: {text}");
}

#[test]
fn a_file_cut_to_nothing_is_damage_not_a_beginning() {
    let fixture = filled();
    std::fs::write(fixture.file(), b"").unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    named(&error, &fixture.file());
    assert_eq!(std::fs::metadata(fixture.file()).unwrap().len(), 0, "left as it was");
}

#[test]
fn a_file_of_something_else_is_refused() {
    let fixture = Fixture::new();
    std::fs::write(fixture.file(), "root:x:0:0\n".repeat(500)).unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    std::fs::remove_file(fixture.file()).unwrap();

    rusqlite::Connection::open(fixture.file()).unwrap().execute_batch("CREATE TABLE cakes (name)").unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    named(&error, &fixture.file());
}

#[test]
fn damage_anywhere_in_the_file_is_found() {
    let fixture = filled();
    let good = std::fs::read(fixture.file()).unwrap();
    assert!(good.len() > 8 * 4096);
    let mut found = 0;
    for page in 0..good.len() / 4096 {
        let mut bad = good.clone();
        // A torn page: its first half is of another time.
        bad[page * 4096..page * 4096 + 2048].fill(0xa5);
        std::fs::write(fixture.file(), &bad).unwrap();
        let error = refused(&fixture);
        assert!(
            matches!(error, StoreError::Corrupt { .. } | StoreError::Foreign { .. }),
            "page {page}: {error}"
        );
        assert_eq!(std::fs::read(fixture.file()).unwrap(), bad, "page {page}: left as it was");
        found += 1;
    }
    std::fs::write(fixture.file(), &good[..good.len() / 2]).unwrap();
    assert!(matches!(refused(&fixture), StoreError::Corrupt { .. }), "cut in half");
    assert!(found > 8);

    std::fs::write(fixture.file(), &good).unwrap();
    let revocations = fixture.open();
    assert!(revocations.lookup(&alice()).unwrap().disabled, "and the whole file opens again");
}

#[test]
fn a_row_that_makes_no_sense_is_damage() {
    for nonsense in [
        "UPDATE rev_log SET id = 'no-issuer' WHERE seq = 1",
        "UPDATE rev_log SET receipt = 'x' WHERE seq = 1",
        "UPDATE rev_log SET id = 'corp:' WHERE seq = 1",
    ] {
        let fixture = filled();
        rusqlite::Connection::open(fixture.file()).unwrap().execute_batch(nonsense).unwrap();
        let error = refused(&fixture);
        assert!(matches!(&error, StoreError::Corrupt { found, .. } if found.contains("row 1")), "{error}");
    }
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let fixture = filled();
    rusqlite::Connection::open(fixture.file()).unwrap().execute_batch("PRAGMA user_version = 6").unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Newer { found: 6, known: 5, .. }), "{error}");
    named(&error, &fixture.file());
}

#[test]
fn a_store_that_is_gone_is_missed() {
    let fixture = filled();
    std::fs::remove_file(fixture.file()).unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    named(&error, &fixture.file());
    assert!(!fixture.file().exists(), "nothing was made in its place");

    // What the message says helps.
    std::fs::remove_file(fixture.dir.path().join("revocations.sqlite3.lock")).unwrap();
    assert!(Revocations::open(&fixture.config("gw-1"), fixture.clocks()).unwrap().1.created);
}

#[test]
fn a_half_made_store_of_a_crash_is_made_anew() {
    let fixture = Fixture::new();
    std::fs::write(fixture.dir.path().join("revocations.sqlite3.new"), "half").unwrap();
    std::fs::write(fixture.dir.path().join("revocations.sqlite3.lock"), "").unwrap();
    assert!(Revocations::open(&fixture.config("gw-1"), fixture.clocks()).unwrap().1.created);
}

#[test]
fn only_the_owner_may_read_it() {
    let fixture = Fixture::new();
    let mode = |name: &str| {
        let path = fixture.dir.path().join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    run(async {
        let revocations = fixture.open();
        revocations.apply(change(&alice(), Action::Revoke)).await.unwrap();
        for name in ["", "-wal", "-shm", ".lock"].map(|end| format!("revocations.sqlite3{end}")) {
            assert_eq!(mode(&name), 0o600, "{name}");
        }
        revocations.close().await;
    });
    std::fs::set_permissions(fixture.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = Revocations::open(&fixture.config("gw-1"), fixture.clocks()).unwrap().1;
    assert!(report.tightened);
    assert_eq!(mode("revocations.sqlite3"), 0o600);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let mut fixture = Fixture::new();
    fixture.section.store_file = Some("no/such/folder/r.sqlite3".into());
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}
