//! A process that dies, and a store that cannot be written: records and the rows of the log that
//! follow from them are there together, or not at all.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_model::{EntryKind, Target};
use doorward_state::{
    Action, Batch, CommitError, Expected, RecordKind, RevocationSection, Revocations, StateError, Write,
};

use super::{only, switch};
use crate::contract::records::{body, person, text};
use crate::fixture::{Fixture, change, config, run, target, until, waiting};

const FOLDER: &str = "DOORWARD_TEST_RECORDS_FOLDER";
const TASKS: usize = 6;

fn name(task: usize, i: usize) -> String {
    format!("t{task}-{i}")
}

fn link(id: &str) -> Target {
    target(EntryKind::User, &format!("corp:{id}"))
}

/// Not a test of its own: people come and go for ever, and what was acknowledged is printed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let config = config(&RevocationSection::default(), Path::new(&folder), "gw-1");
    run(async {
        let clock = Fixture::new().clock();
        let revocations = Revocations::open(&config, crate::fixture::clocks(clock)).unwrap().0;
        let tasks: Vec<_> =
            (0..TASKS).map(|task| tokio::spawn(come_and_go(revocations.clone(), task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Each leaves; every other one comes back.
async fn come_and_go(revocations: Revocations, task: usize) {
    let say = |word: &str, i: usize| {
        // One write for each line: a kill cannot tear it from the acknowledgment.
        std::io::stdout().write_all(format!("{word} {task} {i}\n").as_bytes()).unwrap();
    };
    for i in 0.. {
        let id = name(task, i);
        let member =
            Write { kind: RecordKind::Membership, ..person(&format!("g:{id}"), Expected::Absent, "in") };
        let mut leaves = switch(&id, Expected::Absent, false);
        leaves.writes.push(member);
        let version = revocations.commit(leaves).await.unwrap().records[0];
        say("off", i);
        if i % 2 == 1 {
            revocations.commit(switch(&id, Expected::Version(version), true)).await.unwrap();
            say("on", i);
        }
    }
}

fn start(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "records::dying::child", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the child said, as far as its lines are whole: `word task i`.
fn said(output: &str) -> Vec<(&str, usize, usize)> {
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    let line = |line: &'_ str| -> Option<(bool, usize, usize)> {
        let mut words = line.rsplit("... ").next()?.split(' ');
        let on = match words.next()? {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        Some((on, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    whole.lines().filter_map(line).map(|(on, task, i)| (if on { "on" } else { "off" }, task, i)).collect()
}

#[test]
fn nothing_is_half_applied_and_nothing_acknowledged_is_lost_by_a_kill() {
    let (mut acknowledged, mut unheard) = (0, 0);
    for seed in 0..50_u64 {
        let fixture = Fixture::new();
        let mut child = start(fixture.dir.path());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut output = String::new();
        // In the middle of it, however slow the disk is: each time after another number of acknowledgments.
        let heard = usize::try_from(seed).unwrap() % 25 + 1;
        while said(&output).len() < heard && out.read_line(&mut output).unwrap() > 0 {}
        std::thread::sleep(Duration::from_micros(seed.wrapping_mul(2_654_435_761) % 100_000));
        child.kill().unwrap();
        child.wait().unwrap();
        out.read_to_string(&mut output).unwrap();

        let revocations = fixture.open();
        let records = revocations.records();
        let of = |id: &str| records.get(RecordKind::Person, id).map(|record| text(&record).to_owned());
        for (word, task, i) in said(&output) {
            let id = name(task, i);
            let there = of(&id);
            assert!(
                there.as_deref() == Some(word) || (word == "off" && there.as_deref() == Some("on")),
                "seed {seed}: {id} was acknowledged as {word}, and is {there:?}"
            );
            acknowledged += 1;
        }
        // Whatever is there is there as a whole, heard of or not.
        let mut count = 0;
        for task in 0..TASKS {
            for i in 0.. {
                let id = name(task, i);
                let (record, entry) = (of(&id), revocations.lookup(&link(&id)));
                let member = records.get(RecordKind::Membership, &format!("g:{id}"));
                let disabled = entry.map(|entry| entry.disabled);
                assert_eq!(
                    record.as_deref().map(|word| word == "off"),
                    disabled,
                    "seed {seed}: {id} {record:?}"
                );
                assert_eq!(member.is_some(), record.is_some(), "seed {seed}: {id}");
                if record.is_none() {
                    break;
                }
                count += 1 + usize::from(record.as_deref() == Some("on"));
            }
        }
        unheard += count;
        run(revocations.close());
    }
    println!("{acknowledged} acknowledged of {unheard} commits, none lost and none half");
    assert!(acknowledged > 300, "too few to mean anything: {acknowledged}");
    assert!(unheard >= acknowledged);
}

/// Writes people without taking anything away until the store is full.
async fn fill(revocations: &Revocations) -> usize {
    for i in 0..10_000 {
        let write =
            Write { body: body(&"x".repeat(1000)), ..person(&format!("fill-{i}"), Expected::Absent, "") };
        match revocations.commit(only(vec![write])).await {
            Ok(_) => {}
            Err(CommitError::State(StateError::NotDurable { enforced: false, kept: false, why })) => {
                assert!(why.contains("store_bytes_max"), "says how to mend it: {why}");
                return i;
            }
            Err(other) => panic!("another kind of error: {other}"),
        }
    }
    panic!("the bound does not bind");
}

#[test]
fn a_full_store_saves_what_takes_away_as_soon_as_it_can_and_nothing_else() {
    run(async {
        let mut fixture = Fixture::new();
        fixture.section.store_bytes_max = Some(192 * 1024);
        let revocations = fixture.open();
        let late: Arc<Mutex<Vec<Target>>> = Arc::default();
        let hears = Arc::clone(&late);
        revocations
            .subscribe_late(Arc::new(move |change, _| hears.lock().unwrap().push(change.target.clone())));
        revocations.commit(switch("dave", Expected::Absent, false)).await.unwrap();
        let filled = fill(&revocations).await;
        assert!(filled > 10, "{filled}");
        let of = |id: &str| revocations.records().get(RecordKind::Person, id);

        // What takes access away bites, and is told as kept.
        let large = |id: &str| {
            let mut batch = switch(id, Expected::Absent, false);
            batch.writes[0].body = body(&"y".repeat(8000));
            batch
        };
        let error = revocations.commit(large("alice")).await.unwrap_err();
        assert!(
            matches!(error, CommitError::State(StateError::NotDurable { enforced: true, kept: true, .. })),
            "{error}"
        );
        assert!(revocations.lookup(&link("alice")).unwrap().disabled && of("alice").is_none());
        // With a grant beside it, only the revocation is kept.
        let mut mixed = large("bob");
        mixed.changes.push(change(&link("dave"), Action::Reactivate));
        let error = revocations.commit(mixed).await.unwrap_err();
        assert!(matches!(error, CommitError::State(StateError::GrantsRefused { .. })), "{error}");
        assert!(!error.enforced());
        // Records alone do not happen behind anybody's back.
        let write = Write { body: body(&"z".repeat(8000)), ..person("carol", Expected::Absent, "") };
        let error = revocations.commit(only(vec![write])).await.unwrap_err();
        assert!(!error.enforced(), "{error}");

        // The writer makes room itself: a few people leave for good, in another process.
        let other = rusqlite::Connection::open(fixture.file()).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        other
            .execute_batch(
                "BEGIN IMMEDIATE; DELETE FROM record WHERE id GLOB 'fill-*';
                 UPDATE record_end SET held = (SELECT count(*) FROM record); COMMIT",
            )
            .unwrap();
        drop(other);
        until("what waited is saved", || revocations.health().unsaved == 0).await;
        until("writing works", || revocations.health().writable).await;
        until("it was told late", || *late.lock().unwrap() == [link("alice")]).await;
        // Tried once more with its record, it had no room again; so it did not wait for some.
        assert!(of("alice").is_none() && of("carol").is_none() && of("bob").is_none());
        assert_eq!(revocations.close().await, 0);

        let revocations = fixture.open();
        assert!(revocations.lookup(&link("alice")).unwrap().disabled);
        assert_eq!(revocations.lookup(&link("bob")), None);
        let read = |id: &'static str| revocations.record(RecordKind::Person, id);
        assert!(read("alice").await.unwrap().is_none() && read("carol").await.unwrap().is_none());
        revocations.commit(large("alice")).await.unwrap();
        assert!(revocations.lookup(&link("dave")).unwrap().disabled);
    });
}

#[test]
fn a_batch_that_waits_for_the_disk_is_in_force_and_its_records_are_not_seen() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        let other = rusqlite::Connection::open(fixture.file()).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let waits = revocations.clone();
        let call = tokio::spawn(async move { waits.commit(switch("alice", Expected::Absent, false)).await });
        until("it is in force", || revocations.lookup(&link("alice")).is_some_and(|e| e.disabled)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!call.is_finished(), "not acknowledged before it is durable");
        assert!(revocations.records().get(RecordKind::Person, "alice").is_none());
        other.execute_batch("ROLLBACK").unwrap();
        let committed = call.await.unwrap().unwrap();
        assert_eq!(committed.receipts.len(), 1);
        assert!(revocations.records().get(RecordKind::Person, "alice").is_some());
    });
}

#[test]
fn what_was_kept_while_somebody_had_the_lock_is_saved_with_its_records() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        let other = rusqlite::Connection::open(fixture.file()).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = revocations.commit(switch("alice", Expected::Absent, false)).await.unwrap_err();
        assert!(
            matches!(error, CommitError::State(StateError::NotDurable { enforced: true, kept: true, .. })),
            "{error}"
        );
        let error = revocations.commit(only(vec![person("bob", Expected::Absent, "on")])).await.unwrap_err();
        assert!(!error.enforced(), "{error}");
        other.execute_batch("ROLLBACK").unwrap();
        until("it is saved", || revocations.health().unsaved == 0).await;
        let records = revocations.records();
        until("it is seen", || records.get(RecordKind::Person, "alice").is_some()).await;
        assert_eq!(revocations.close().await, 0);
        let revocations = fixture.open();
        let records = revocations.records();
        assert_eq!(text(&records.get(RecordKind::Person, "alice").unwrap()), "off");
        assert!(revocations.lookup(&link("alice")).unwrap().disabled);
        assert!(records.get(RecordKind::Person, "bob").is_none());
    });
}

#[test]
fn a_return_that_waits_for_the_disk_is_not_seen_and_does_not_happen_without_its_caller() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        let off = revocations.commit(switch("alice", Expected::Absent, false)).await.unwrap();
        let other = rusqlite::Connection::open(fixture.file()).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let back = || switch("alice", Expected::Version(off.records[0]), true);
        // The writer has another change in hand, and this one goes away while it waits.
        let blocks = revocations.clone();
        let blocked = tokio::spawn(async move { blocks.apply(change(&link("bob"), Action::Revoke)).await });
        waiting(&revocations, 1).await;
        let call = revocations.commit(back());
        assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
        other.execute_batch("ROLLBACK").unwrap();
        blocked.await.unwrap().unwrap();
        revocations.apply(change(&link("carol"), Action::Revoke)).await.unwrap();
        assert!(revocations.lookup(&link("alice")).unwrap().disabled);
        let record = revocations.record(RecordKind::Person, "alice").await.unwrap().unwrap();
        assert_eq!((record.version, text(&record)), (off.records[0], "off"));
        revocations.commit(back()).await.unwrap();
        assert!(!revocations.lookup(&link("alice")).unwrap().disabled);
        let none = Batch::default();
        assert!(revocations.commit(none).await.is_err());
    });
}
