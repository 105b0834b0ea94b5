//! Records in PostgreSQL: what a server lost or has damaged, the version before, and crashes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_model::EntryKind;
use doorward_state::{
    CommitError, Expected, RecordGroup, RecordKind, Revocations, Seq, StateError, StoreError, Verdict,
    Version, Write,
};

use super::{House, append, users};
use crate::contract::records::{body, key, person, put, text};
use crate::fixture::{Fixture, run, target, until};
use crate::records::switch;

fn filled() -> House {
    let house = House::new();
    let with = Write { keys: vec![key("name:alice")], ..person("a", Expected::Absent, "a person") };
    let document = Write { kind: RecordKind::Document, ..person("a", Expected::Absent, "paper") };
    let others = [person("b", Expected::Absent, "b"), document];
    put(&mut house.store(), &[&[with], &others]);
    house
}

#[test]
fn a_server_that_lacks_records_is_refused() {
    let house = filled();
    let file = house.dir.path().join("revocations.postgres.last-records");
    assert!(file.exists());
    // As after a failover to a server that had not heard of the last write, or a restored backup.
    house.sql(
        "DELETE FROM doorward.record WHERE version = 3; UPDATE doorward.head SET records = 2, records_held = 2",
    );
    let error = house.refused();
    assert!(matches!(error, StoreError::Rewound { .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains("ends at write 2, and 1 more") && told.contains("last-records"), "{told}");
    std::fs::remove_file(&file).unwrap();
    let mut store = house.store();
    assert_eq!(store.records_after(Version::START, 10).unwrap().up_to, Version(2));
    // A connection that lives notices it too.
    put(&mut store, &[&[person("c", Expected::Absent, "c")]]);
    house.sql(
        "DELETE FROM doorward.record WHERE id = 'c'; UPDATE doorward.head SET records = 2, records_held = 2",
    );
    let error = store.records_after(Version::START, 10).unwrap_err();
    assert!(matches!(error, StoreError::Rewound { .. }), "{error}");
}

#[test]
fn a_record_that_was_changed_or_is_missing_is_damage() {
    let house = filled();
    for (damage, mends, says) in [
        (
            "UPDATE doorward.record SET body = 'x' WHERE version = 1",
            "body = 'a person'",
            "record 1 does not match",
        ),
        (
            "UPDATE doorward.record SET body = NULL WHERE version = 1",
            "body = 'a person'",
            "record 1 does not match",
        ),
        (
            "UPDATE doorward.record SET keys = '' WHERE version = 1",
            "keys = 'name:alice'",
            "record 1 does not match",
        ),
        (
            "UPDATE doorward.record SET kind = 'persom' WHERE version = 1",
            "kind = 'person'",
            "record 1 does not match",
        ),
    ] {
        house.sql(damage);
        let error = house.store().records_after(Version::START, 10).unwrap_err();
        assert!(error.to_string().contains(says), "{damage}: {error}");
        house.sql(&format!("UPDATE doorward.record SET {mends} WHERE version = 1"));
    }
    assert_eq!(house.store().records_after(Version::START, 10).unwrap().records.len(), 2);
    house.sql("UPDATE doorward.record_key SET id = 'b'");
    let error = house.store().record_by_key(&key("name:alice")).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    house.sql("DELETE FROM doorward.record WHERE version = 2");
    let error = house.store().check_records().unwrap_err();
    assert!(error.to_string().contains("2 records of the directory, and 3 were written"), "{error}");
    let opened = Revocations::open(&house.config(), Fixture::new().clocks());
    assert!(matches!(opened, Err(StateError::Store(StoreError::Corrupt { .. }))));
}

#[test]
fn a_server_of_the_version_before_gets_what_it_lacks_while_its_nodes_go_on() {
    let house = House::new();
    append(&mut house.store(), &users(0..2)).unwrap();
    house.sql(
        "DROP TABLE doorward.record; DROP TABLE doorward.record_key;
         ALTER TABLE doorward.head DROP COLUMN records, DROP COLUMN records_held;
         ALTER TABLE doorward.outbox DROP COLUMN records, DROP COLUMN history;
         UPDATE doorward.store SET format = 1",
    );
    let mut store = house.store();
    assert_eq!(house.sql("SELECT format FROM doorward.store"), "3");
    assert_eq!(store.read_after(Seq::START, 10).unwrap().len(), 2);
    put(&mut store, &[&[person("a", Expected::Absent, "1")]]);
    // What a control node of the version before does to the log's end.
    house.sql(
        "BEGIN; SELECT epoch, last FROM doorward.head FOR UPDATE;
         INSERT INTO doorward.rev_log SELECT 3, gen_random_uuid(), kind, id, action, not_before, version, disabled,
             recorded_at, cause, actor, request_id, 0 FROM doorward.rev_log WHERE seq = 2;
         DELETE FROM doorward.rev_log WHERE seq = 3;
         UPDATE doorward.head SET last = 3; COMMIT",
    );
    put(&mut store, &[&[person("b", Expected::Absent, "1")]]);
    assert_eq!(append(&mut store, &users(5..6)).unwrap(), Seq(4));
    assert_eq!(house.sql("SELECT last, records, records_held FROM doorward.head"), "4|2|2");
}

#[test]
fn a_batch_whose_answer_was_lost_is_written_once() {
    let house = House::new();
    let mut store = house.store();
    let new = users(0..1).remove(0);
    let writes = [person("a", Expected::Absent, "1")];
    let groups = [RecordGroup { writes: &writes, proof: Some(new.id) }];
    let first = store.commit(Seq::START, &groups, &mut |_, _| vec![new.clone()]).unwrap();
    assert_eq!(first.verdicts, [Verdict::Written(vec![Version(1)])]);
    // Somebody writes over it meanwhile; the attempt is made once more all the same.
    put(&mut store, &[&[person("a", Expected::Version(Version(1)), "2")]]);
    let again = store.commit(Seq::START, &groups, &mut |_, _| vec![new.clone()]).unwrap();
    assert_eq!(again.verdicts, [Verdict::Already]);
    assert_eq!(text(&store.record(RecordKind::Person, "a").unwrap().unwrap()), "2");
    assert_eq!(store.read_after(Seq::START, 10).unwrap().len(), 1);
}

/// Switches people off until the first commit that is not saved. What was acknowledged goes to `said`.
async fn leave_until_it_fails(
    revocations: Revocations,
    (seed, task): (u64, usize),
    over: Arc<AtomicBool>,
    said: Arc<Mutex<Vec<String>>>,
) -> usize {
    for i in 0.. {
        let id = format!("s{seed}-t{task}-{i}");
        match revocations.commit(switch(&id, Expected::Absent, false)).await {
            Ok(_) => said.lock().unwrap().push(id),
            Err(CommitError::State(StateError::NotDurable { enforced: true, kept: true, .. })) => {
                over.store(true, Ordering::SeqCst);
            }
            Err(other) => panic!("{other}"),
        }
        if over.load(Ordering::SeqCst) {
            return i + 1;
        }
    }
    unreachable!("the server was never missed")
}

#[test]
fn nothing_is_half_applied_when_the_server_is_killed_and_what_was_kept_is_saved() {
    let house = House::new();
    let mut acknowledged = 0;
    run(async {
        // One process lives through all of it, and another control node follows.
        let revocations = Revocations::open(&house.config(), Fixture::new().clocks()).unwrap().0;
        let other = Revocations::open(&house.config(), Fixture::new().clocks()).unwrap().0;
        for seed in 0..5_u64 {
            let (over, said) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
            let tasks: Vec<_> = (0..6)
                .map(|task| {
                    let (over, said) = (Arc::clone(&over), Arc::clone(&said));
                    tokio::spawn(leave_until_it_fails(revocations.clone(), (seed, task), over, said))
                })
                .collect();
            until("enough is acknowledged", || said.lock().unwrap().len() >= 30).await;
            tokio::time::sleep(Duration::from_micros(seed.wrapping_mul(2_654_435_761) % 100_000)).await;
            let postgres = Arc::clone(&house.postgres);
            tokio::task::spawn_blocking(move || postgres.kill9()).await.unwrap();
            let mut made = Vec::new();
            for task in tasks {
                made.push(task.await.unwrap());
            }
            house.postgres.restart();
            until("the writer goes on by itself", || {
                let health = revocations.health();
                health.writable && health.unsaved == 0 && health.fresh
            })
            .await;
            acknowledged += said.lock().unwrap().len();
            // Acknowledged or kept: all of it is there, each with its row, and once.
            let mut store = house.store();
            for (task, count) in made.iter().enumerate() {
                for i in 0..*count {
                    let id = format!("s{seed}-t{task}-{i}");
                    let record = store.record(RecordKind::Person, &id).unwrap();
                    assert_eq!(record.as_ref().map(text), Some("off"), "seed {seed}: {id}");
                    let link = target(EntryKind::User, &format!("corp:{id}"));
                    assert_eq!(store.newest(Some(&link), None, 10).unwrap().len(), 1, "seed {seed}: {id}");
                }
            }
            let people = store.records_after(Version::START, 100_000).unwrap();
            until("the other node knows them all", || other.records().health().live == people.records.len())
                .await;
            let known = revocations.records();
            until("and so does this one", || known.health().live == people.records.len()).await;
        }
        assert_eq!(revocations.close().await, 0);
        assert_eq!(other.close().await, 0);
    });
    println!("{acknowledged} acknowledged, none lost and none half");
    assert!(acknowledged >= 150);
}

#[test]
fn a_statement_that_fails_in_the_middle_leaves_nothing() {
    let house = House::new();
    let mut store = house.store();
    put(&mut store, &[&[person("a", Expected::Absent, "1")]]);
    // The last statement before the commit fails.
    house.sql(
        "CREATE FUNCTION public.fails() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER fails BEFORE UPDATE OF records ON doorward.head
             FOR EACH ROW WHEN (NEW.records <> OLD.records) EXECUTE FUNCTION public.fails()",
    );
    let writes = [
        person("a", Expected::Version(Version(1)), "2"),
        Write { keys: vec![key("k")], body: body("b"), ..person("b", Expected::Absent, "") },
    ];
    let groups = [RecordGroup { writes: &writes, proof: None }];
    let error = store.commit(Seq::START, &groups, &mut |_, _| users(0..1)).unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }), "{error}");
    house.sql("DROP TRIGGER fails ON doorward.head");
    assert_eq!(text(&store.record(RecordKind::Person, "a").unwrap().unwrap()), "1");
    assert_eq!(store.record(RecordKind::Person, "b").unwrap(), None);
    assert_eq!(store.record_by_key(&key("k")).unwrap(), None);
    assert!(store.read_after(Seq::START, 10).unwrap().is_empty());
    store.check_records().unwrap();
    let done = store.commit(Seq::START, &groups, &mut |_, _| users(0..1)).unwrap();
    assert_eq!(done.verdicts, [Verdict::Written(vec![Version(2), Version(3)])]);
}
