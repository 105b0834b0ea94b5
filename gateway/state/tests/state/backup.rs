//! Copies of the store: a good one opens with everything, and one that lacks something that was
//! acknowledged is refused, however whole it looks.

use std::fs;
use std::path::{Path, PathBuf};

use doorward_model::{EntryKind, Target};
use doorward_state::{Action, OpenReport, Revocations, StateError, StoreError};
use rusqlite::Connection;

use crate::fixture::{Fixture, alice, change, run, target, until};

const STORE: &str = "revocations.sqlite3";
const ENDS: [&str; 4] = ["", "-wal", ".lock", ".last"];

fn nth(i: usize) -> Target {
    target(EntryKind::User, &format!("corp:user-number-{i}"))
}

fn path(fixture: &Fixture, end: &str) -> PathBuf {
    fixture.dir.path().join(format!("{STORE}{end}"))
}

/// Copies the files of a store that ends as told to a folder of its own.
fn copy(from: &Fixture, ends: &[&str]) -> Fixture {
    let to = Fixture::new();
    for end in ends {
        fs::copy(path(from, end), path(&to, end)).unwrap();
    }
    to
}

async fn revoke(revocations: &Revocations, range: std::ops::Range<usize>) {
    for i in range {
        revocations.apply(change(&nth(i), Action::Revoke)).await.unwrap();
    }
}

fn open(fixture: &Fixture) -> Result<(Revocations, OpenReport), StoreError> {
    match Revocations::open(&fixture.config("gw-1"), fixture.clocks()) {
        Ok(opened) => Ok(opened),
        Err(StateError::Store(error)) => Err(error),
        Err(other) => panic!("another kind of error: {other}"),
    }
}

fn entries(fixture: &Fixture) -> usize {
    open(fixture).unwrap().1.entries
}

fn rewound(fixture: &Fixture, part: &str) {
    let error = open(fixture).err().expect("refused");
    assert!(matches!(&error, StoreError::Rewound { found, .. } if found.contains(part)), "{part}: {error}");
    let text = error.to_string();
    assert!(text.contains(".last`"), "says what to delete: {text}");
}

/// A store in which five are cut off, none of them in the main file, and a copy of its files.
fn all_in_the_log() -> Fixture {
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        // Somebody who reads keeps the log from being moved into the file.
        let reader = Connection::open(fixture.file()).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM rev_log").unwrap();
        revoke(&revocations, 0..5).await;
        let copied = copy(&fixture, &ENDS);
        drop(reader);
        revocations.close().await;
        copied
    })
}

#[test]
fn the_file_alone_has_everything_after_a_quiet_moment() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        revoke(&revocations, 0..5).await;
        let wal = path(&fixture, "-wal");
        until("the log is in the file", || fs::metadata(&wal).unwrap().len() == 0).await;
        let (_copied, report) = open(&copy(&fixture, &[""])).unwrap();
        assert_eq!((report.entries, report.unmarked), (5, true));
        revoke(&revocations, 5..6).await;
        revocations.close().await;
        assert_eq!(entries(&copy(&fixture, &["", ".lock", ".last"])), 6, "and closing moves the rest");
    });
}

#[test]
fn a_backup_of_a_running_store_has_everything() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        revoke(&revocations, 0..5).await;
        let backup = Fixture::new();
        // What `docs/operating/running.md` tells operators to do.
        let sql = format!("VACUUM INTO '{}'", backup.file().display());
        Connection::open(fixture.file()).unwrap().execute_batch(&sql).unwrap();
        let (restored, report) = open(&backup).unwrap();
        assert_eq!((report.entries, report.unmarked), (5, true));
        revoke(&restored, 5..6).await;
        assert!(path(&backup, "-wal").exists(), "it writes as every store does");
        restored.close().await;
        assert_eq!(entries(&backup), 6);
        assert!(!open(&backup).unwrap().1.unmarked);
    });
}

#[test]
fn a_write_ahead_log_that_is_missing_or_damaged_is_refused() {
    let fixture = all_in_the_log();
    assert_eq!(entries(&copy(&fixture, &ENDS)), 5, "as it was left, it opens");

    let without = copy(&fixture, &["", ".lock", ".last"]);
    rewound(&without, "ends at change 0, and 5 more");
    // What the message says helps, and lets them in.
    fs::remove_file(path(&without, ".last")).unwrap();
    assert_eq!(entries(&without), 0);

    let wal = fs::read(path(&fixture, "-wal")).unwrap();
    let frame = 24 + 4096;
    let frames = (wal.len() - 32) / frame;
    assert!(frames >= 5);
    for n in 0..frames {
        let cut = copy(&fixture, &ENDS);
        fs::write(path(&cut, "-wal"), &wal[..32 + n * frame]).unwrap();
        rewound(&cut, "were acknowledged");
        let mut bad = wal.clone();
        bad[32 + n * frame + 24 + 100] ^= 1;
        let changed = copy(&fixture, &ENDS);
        fs::write(path(&changed, "-wal"), &bad).unwrap();
        rewound(&changed, "were acknowledged");
    }
}

#[test]
fn an_old_copy_and_a_strange_store_are_refused() {
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        revoke(&revocations, 0..5).await;
        revocations.close().await;
        let old = copy(&fixture, &[""]);
        let revocations = fixture.open();
        revoke(&revocations, 5..8).await;
        revocations.close().await;
        let new = copy(&fixture, &[""]);

        fs::copy(old.file(), fixture.file()).unwrap();
        rewound(&fixture, "ends at change 5, and 3 more");
        // Accepted, and used; then the newer file turns up, which is not what was used.
        fs::remove_file(path(&fixture, ".last")).unwrap();
        let (revocations, report) = open(&fixture).unwrap();
        assert!(report.unmarked && report.entries == 5);
        revoke(&revocations, 20..22).await;
        revocations.close().await;
        fs::copy(new.file(), fixture.file()).unwrap();
        rewound(&fixture, "change 7 is not the one");

        let other = Fixture::new();
        let revocations = other.open();
        revoke(&revocations, 0..20).await;
        revocations.close().await;
        fs::copy(other.file(), fixture.file()).unwrap();
        rewound(&fixture, "another store");

        fs::write(path(&fixture, ".last"), "doorward").unwrap();
        let error = open(&fixture).err().unwrap();
        assert!(matches!(error, StoreError::MarkDamaged { .. }), "{error}");
    });
}

#[test]
fn a_changed_byte_of_a_row_is_found() {
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        revocations.apply(change(&alice(), Action::Disable)).await.unwrap();
        revoke(&revocations, 0..50).await;
        revocations.close().await;
    });
    let good = fs::read(fixture.file()).unwrap();
    let name = b"corp:user-number-33";
    let places: Vec<usize> =
        good.windows(name.len()).enumerate().filter(|(_, w)| w == name).map(|(at, _)| at).collect();
    assert!(places.len() >= 2, "in the table and in an index");
    for at in places {
        let mut bad = good.clone();
        bad[at + name.len() - 1] ^= 1;
        fs::write(fixture.file(), &bad).unwrap();
        let error = open(&fixture).err().expect("refused");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
    // What stands in no index. A page may hold leftovers of rows, where a byte has no meaning.
    let note = b"left the company";
    let found = good.windows(note.len()).enumerate().filter(|(_, w)| w == note).filter(|(at, _)| {
        let mut bad = good.clone();
        bad[*at] ^= 1;
        fs::write(fixture.file(), &bad).unwrap();
        open(&fixture).is_err_and(|e| e.to_string().contains("does not match its checksum"))
    });
    assert_eq!(found.count(), 51);
    fs::write(fixture.file(), &good).unwrap();
    for sql in [
        "UPDATE rev_log SET disabled = 0 WHERE seq = 1",
        "UPDATE rev_log SET not_before = not_before - 1 WHERE seq = 1",
        "UPDATE rev_log SET id = 'corp:alicf' WHERE seq = 1",
    ] {
        fs::write(fixture.file(), &good).unwrap();
        sqlite(&fixture.file(), sql);
        let error = open(&fixture).err().expect("refused");
        assert!(error.to_string().contains("row 1 does not match its checksum"), "{sql}: {error}");
    }
    fs::write(fixture.file(), &good).unwrap();
    assert_eq!(entries(&fixture), 51);
}

fn sqlite(file: &Path, sql: &str) {
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_store_of_the_first_version_gets_its_checksums() {
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        revoke(&revocations, 0..1100).await;
        revocations.close().await;
    });
    fs::remove_file(path(&fixture, ".last")).unwrap();
    let first = "DROP TABLE record; DROP TABLE record_key; DROP TABLE record_end; DROP TABLE outbox;
                 DROP TABLE debt; ALTER TABLE rev_log DROP COLUMN checksum; DROP TABLE epoch;
                 PRAGMA user_version = 1";
    sqlite(&fixture.file(), first);
    run(async {
        let (revocations, report) = open(&fixture).unwrap();
        assert_eq!((report.entries, report.unmarked), (1100, true));
        revoke(&revocations, 1100..1101).await;
        revocations.close().await;
    });
    let bare = "SELECT count(*) FROM rev_log WHERE checksum IS NULL";
    let bare = Connection::open(fixture.file()).unwrap().query_row(bare, [], |row| row.get::<_, i64>(0));
    assert_eq!(bare.unwrap(), 0);
    // A process of the first version, which runs beside this one during an upgrade, writes none.
    sqlite(&fixture.file(), "UPDATE rev_log SET checksum = NULL WHERE seq = 1101");
    let (_revocations, report) = open(&fixture).unwrap();
    assert_eq!((report.entries, report.unmarked), (1101, false));
}
