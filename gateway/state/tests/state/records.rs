//! Records in the embedded store: damage, copies, crashes, a full disk, and many at once.

mod dying;
mod lives;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use doorward_model::EntryKind;
use doorward_state::{
    Action, Batch, Expected, RecordKind, Revocations, StateError, StoreError, Version, Write,
};
use rusqlite::Connection;

use crate::contract::records::{body, key, person, text};
use crate::fixture::{Fixture, alice, change, run, target, until};

/// A person whose links are switched as the record says.
pub(crate) fn switch(id: &str, expected: Expected, on: bool) -> Batch {
    let (word, action) = if on { ("on", Action::Reactivate) } else { ("off", Action::Disable) };
    let link = target(EntryKind::User, &format!("corp:{id}"));
    Batch { writes: vec![person(id, expected, word)], changes: vec![change(&link, action)] }
}

pub(crate) fn only(writes: Vec<Write>) -> Batch {
    Batch { writes, changes: Vec::new() }
}

/// A store with a person, a membership and what belongs to them.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        let member = Write { kind: RecordKind::Membership, ..person("g:a", Expected::Absent, "member") };
        let document = Write { kind: RecordKind::Document, ..person("a", Expected::Absent, "paper") };
        let person = Write { keys: vec![key("name:alice")], ..person("a", Expected::Absent, "a person") };
        revocations.commit(only(vec![person, member, document])).await.unwrap();
        assert_eq!(revocations.close().await, 0);
    });
    fixture
}

fn sqlite(fixture: &Fixture, sql: &str) {
    Connection::open(fixture.file()).unwrap().execute_batch(sql).unwrap();
}

fn open(fixture: &Fixture) -> Result<Revocations, StoreError> {
    match Revocations::open(&fixture.config("gw-1"), fixture.clocks()) {
        Ok((revocations, _)) => Ok(revocations),
        Err(StateError::Store(error)) => Err(error),
        Err(other) => panic!("another kind of error: {other}"),
    }
}

fn refused(fixture: &Fixture) -> StoreError {
    open(fixture).err().expect("it is not opened")
}

#[test]
fn a_record_that_was_changed_or_is_missing_is_damage() {
    for (damage, says) in [
        ("UPDATE record SET body = CAST('b person' AS BLOB) WHERE version = 1", "record 1 does not match"),
        ("UPDATE record SET body = NULL WHERE version = 1", "record 1 does not match"),
        ("UPDATE record SET id = 'b' WHERE version = 1", "record 1 does not match"),
        ("UPDATE record SET keys = '' WHERE version = 1", "record 1 does not match"),
        ("UPDATE record SET version = 9 WHERE version = 1", "a record of version 9, and the last one"),
        // Of a kind that nobody knows: it would be left alone, if it were not damaged.
        ("UPDATE record SET kind = 'persom' WHERE version = 1", "record 1 does not match"),
        ("DELETE FROM record WHERE version = 2", "2 records of the directory, and 3 were written"),
        ("DELETE FROM record", "0 records of the directory, and 3 were written"),
        ("UPDATE record_end SET last = 2", "ends at write 2, and 1 more"),
        ("DELETE FROM record_end", "Query returned no rows"),
    ] {
        let fixture = filled();
        sqlite(&fixture, damage);
        let error = refused(&fixture);
        assert!(error.to_string().contains(says), "{damage}: {error}");
    }
    // What is not in memory is found when it is read.
    let fixture = filled();
    sqlite(&fixture, "UPDATE record SET body = NULL WHERE kind = 'document'");
    run(async {
        let revocations = open(&fixture).unwrap();
        let error = revocations.record(RecordKind::Document, "a").await.unwrap_err();
        assert!(matches!(error, StateError::Store(StoreError::Corrupt { .. })), "{error}");
    });
    for damage in [
        "UPDATE record_key SET id = 'nobody'",
        "UPDATE record_key SET kind = 'membership', id = 'g:a'",
        "UPDATE record_key SET key = 'name:bob'",
    ] {
        let fixture = filled();
        sqlite(&fixture, damage);
        run(async {
            let revocations = open(&fixture).unwrap();
            let asked = if damage.contains("bob") { "name:bob" } else { "name:alice" };
            let error = revocations.record_by_key(&key(asked)).await.unwrap_err();
            assert!(matches!(error, StateError::Store(StoreError::Corrupt { .. })), "{damage}: {error}");
        });
    }
}

#[test]
fn a_record_of_a_later_version_is_left_alone() {
    let fixture = filled();
    // As a process of a later version writes it, with its own kind; its checksum is as good.
    let (mut store, _handle) = doorward_state::Store::open(fixture.config("gw-1").store()).unwrap();
    let before = store.records_after(Version::START, 10).unwrap();
    drop(store);
    sqlite(
        &fixture,
        &format!(
            "INSERT INTO record VALUES (4, 'badge', 'x', 'badge:1', CAST('{{}}' AS BLOB), {LATER});
             INSERT INTO record_key VALUES ('badge:1', 'badge', 'x');
             UPDATE record_end SET last = 4, held = 4"
        ),
    );
    let (mut store, _handle) = doorward_state::Store::open(fixture.config("gw-1").store()).unwrap();
    let after = store.records_after(Version::START, 10).unwrap();
    assert_eq!((after.records, after.up_to), (before.records, Version(4)));
    assert_eq!(store.record_by_key(&key("badge:1")).unwrap(), None);
    drop(store);
    run(async {
        let revocations = open(&fixture).unwrap();
        let with = Write { keys: vec![key("badge:1")], ..person("b", Expected::Absent, "b") };
        let error = revocations.commit(only(vec![with])).await.unwrap_err();
        assert!(error.to_string().contains("`badge:1` is taken by badge `x`"), "{error}");
    });
}

/// The checksum of that record.
const LATER: i64 = -2_783_497_588_688_442_801;

fn path(fixture: &Fixture, end: &str) -> PathBuf {
    fixture.dir.path().join(format!("revocations.sqlite3{end}"))
}

#[test]
fn a_copy_that_lacks_records_is_refused() {
    let fixture = filled();
    let old = fs::read(fixture.file()).unwrap();
    run(async {
        let revocations = fixture.open();
        revocations.commit(only(vec![person("b", Expected::Absent, "b")])).await.unwrap();
        revocations.close().await;
    });
    let new = fs::read(fixture.file()).unwrap();
    fs::write(fixture.file(), &old).unwrap();
    let error = refused(&fixture);
    let told = error.to_string();
    assert!(matches!(error, StoreError::Rewound { .. }), "{told}");
    assert!(told.contains("ends at write 3, and 1 more") && told.contains(".last-records`"), "{told}");
    // Accepted, and written to; then the newer file turns up.
    fs::remove_file(path(&fixture, ".last-records")).unwrap();
    run(async {
        let revocations = fixture.open();
        revocations.commit(only(vec![person("c", Expected::Absent, "c")])).await.unwrap();
        revocations.close().await;
    });
    fs::write(fixture.file(), &new).unwrap();
    let error = refused(&fixture);
    assert!(error.to_string().contains("write 4 of its directory is not the one"), "{error}");
    fs::write(path(&fixture, ".last-records"), "doorward").unwrap();
    assert!(matches!(refused(&fixture), StoreError::MarkDamaged { .. }));
}

#[test]
fn a_process_of_the_version_before_is_not_harmed_by_records() {
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        revocations.apply(change(&alice(), Action::Revoke)).await.unwrap();
        revocations.close().await;
    });
    let old = Connection::open(fixture.file()).unwrap();
    old.busy_timeout(std::time::Duration::from_secs(2)).unwrap();
    let before = "DROP TABLE record; DROP TABLE record_key; DROP TABLE record_end;
        ALTER TABLE outbox DROP COLUMN records; ALTER TABLE outbox DROP COLUMN history; PRAGMA user_version = 3";
    old.execute_batch(before).unwrap();
    run(async {
        let new = open(&fixture).unwrap();
        new.commit(switch("bob", Expected::Absent, false)).await.unwrap();
        // The statements that it was built with.
        let end = "SELECT max(coalesce((SELECT max(seq) FROM rev_log), 0),
                       coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'rev_log'), 0))";
        assert_eq!(old.query_row(end, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
        let insert = "INSERT INTO rev_log
                 (seq, receipt, kind, id, action, not_before, version, disabled, recorded_at, cause, actor,
                  request_id, checksum)
             SELECT 3, '6ba7b810-9dad-41d1-80b4-00c04fd430c8', kind, 'corp:carol', action, not_before, version,
                 disabled, recorded_at, cause, actor, request_id, NULL FROM rev_log WHERE seq = 2";
        assert_eq!(old.execute(insert, []).unwrap(), 1);
        let carol = target(EntryKind::User, "corp:carol");
        until("the new one follows", || new.lookup(&carol).is_some()).await;
        new.commit(switch("dave", Expected::Absent, false)).await.unwrap();
        assert_eq!(new.list(None, 10, None).await.unwrap().len(), 4);
        assert_eq!(new.close().await, 0);
        let version = old.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(version, 5);
    });
}

#[test]
fn everything_is_read_when_a_directory_of_a_company_is_opened() {
    const PEOPLE: usize = 5000;
    let fixture = Fixture::new();
    run(async {
        let revocations = fixture.open();
        for from in (0..PEOPLE).step_by(1000) {
            let writes = (from..from + 1000).map(|i| Write {
                body: body(&format!("{i:0>600}")),
                ..person(&i.to_string(), Expected::Absent, "")
            });
            revocations.commit(only(writes.collect())).await.unwrap();
        }
        revocations.close().await;
    });
    let revocations = open(&fixture).unwrap();
    let records = revocations.records();
    assert_eq!(records.health().live, PEOPLE);
    let mut bytes = 0;
    records.for_each(RecordKind::Person, |record: &Arc<_>| bytes += record.body.as_ref().unwrap().len());
    assert_eq!(bytes, PEOPLE * 600);
    assert!(text(&records.get(RecordKind::Person, "4711").unwrap()).ends_with("4711"));
}

const MEASURED: &str = "DOORWARD_TEST_MEASURED_FOLDER";

/// Not run by itself: measures how long a directory of 100,000 people takes to open, and what it costs,
/// in a process of its own.
#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_people() {
    if let Ok(folder) = std::env::var(MEASURED) {
        return measure(&folder);
    }
    let fixture = Fixture::new();
    let clock = fixture.clocks().uptime;
    run(async {
        let revocations = fixture.open();
        let began = clock();
        for from in (0..100_000).step_by(10_000) {
            let writes = (from..from + 10_000).map(|i| Write {
                body: body(&format!("{i:0>800}")),
                keys: vec![key(&format!("scim:okta:username:person-{i}@corp.example"))],
                ..person(&format!("0192f8c0-0000-7000-8000-{i:0>12}"), Expected::Absent, "")
            });
            revocations.commit(only(writes.collect())).await.unwrap();
        }
        println!("100000 people of 800 bytes: written in {:?}", clock() - began);
        revocations.close().await;
    });
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "records::a_hundred_thousand_people", "--ignored", "--nocapture"]);
    assert!(again.env(MEASURED, fixture.dir.path()).status().unwrap().success());
}

fn measure(folder: &str) {
    let fixture = Fixture::new();
    let clocks = fixture.clocks();
    let config = crate::fixture::config(&fixture.section, folder.as_ref(), "gw-1");
    let (before, began) = (resident(), (clocks.uptime)());
    let revocations = Revocations::open(&config, fixture.clocks()).unwrap().0;
    println!("opened in {:?}; resident {before} -> {} MiB", (clocks.uptime)() - began, resident());
    let bytes = fs::metadata(std::path::Path::new(folder).join("revocations.sqlite3")).unwrap().len();
    println!("{} people, {} MiB on the disk", revocations.records().health().live, bytes >> 20);
    run(async {
        let mut took = Vec::new();
        for i in 0..200 {
            let began = (clocks.uptime)();
            let id = format!("0192f8c0-0000-7000-8000-{i:0>12}");
            revocations.commit(switch(&id, Expected::Any, false)).await.unwrap();
            took.push((clocks.uptime)() - began);
        }
        took.sort();
        println!("one change of a person and a link: median {:?}, max {:?}", took[100], took[199]);
    });
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
