//! An old and a new process share one store while one takes over from the other.

use doorward_model::{Entry, EntryKind, UnixMillis};
use doorward_state::{Action, Generation, Reach, Revocations, Seq, StateError, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Fixture, NOON, alice, change, run, target, until};

#[test]
fn the_new_process_knows_all_and_the_old_one_follows() {
    run(async {
        let fixture = Fixture::new();
        let old = fixture.open();
        for i in 0..50 {
            old.apply(change(&target(EntryKind::User, &format!("corp:u{i}")), Action::Revoke)).await.unwrap();
        }
        let (new, report) = Revocations::open(&fixture.config("gw-1"), fixture.clocks()).unwrap();
        assert!(report.shared && !report.created);
        assert_eq!(report.entries, 50);
        new.apply(change(&alice(), Action::Disable)).await.unwrap();
        until("the old process cuts", || old.lookup(&alice()).is_some_and(|e| e.disabled)).await;
        assert_eq!(old.close().await, 0);
        new.apply(change(&alice(), Action::Reactivate)).await.unwrap();
        assert_eq!(new.close().await, 0);
    });
}

#[test]
fn a_gateway_of_another_name_is_kept_out() {
    let fixture = Fixture::new();
    let one = fixture.open();
    let refused = Revocations::open(&fixture.config("gw-2"), fixture.clocks()).err().unwrap();
    assert!(matches!(refused, StateError::Store(StoreError::InUse { .. })), "{refused}");
    assert!(refused.to_string().contains("`gw-1`"), "{refused}");
    run(one.close());
    // A process that another test has just started holds what was locked here until it runs its program.
    let renamed = || Revocations::open(&fixture.config("gw-2"), fixture.clocks()).is_ok();
    run(until("a node may be renamed while it does not run", renamed));
}

/// A process of the version before, which knows nothing of the outbox and of debts, goes on while
/// the new one has added them: with the statements that it was built with.
#[test]
fn a_process_of_the_version_before_is_not_harmed_and_what_it_writes_is_published() {
    let fixture = Fixture::new();
    let written = [target(EntryKind::User, "corp:a"), target(EntryKind::User, "corp:b")];
    run(async {
        let before = fixture.open();
        before.apply(change(&written[0], Action::Revoke)).await.unwrap();
        before.apply(change(&written[1], Action::Disable)).await.unwrap();
        before.close().await;
    });
    let old = rusqlite::Connection::open(fixture.file()).unwrap();
    old.busy_timeout(std::time::Duration::from_secs(2)).unwrap();
    let before = "DROP TABLE record; DROP TABLE record_key; DROP TABLE record_end;
         DROP TABLE outbox; DROP TABLE debt; PRAGMA user_version = 2";
    old.execute_batch(before).unwrap();
    let count = |connection: &rusqlite::Connection| {
        connection.query_row("SELECT count(*) FROM rev_log", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count(&old), 2);

    let mut new = Store::open(fixture.config("gw-1").store()).unwrap().0;
    // The same person once more, as row 3 of the log.
    let insert = "INSERT INTO rev_log
             (seq, receipt, kind, id, action, not_before, version, disabled, recorded_at, cause, actor,
              request_id, checksum)
         SELECT 3, '6ba7b810-9dad-41d1-80b4-00c04fd430c8', kind, id, 'revoke', not_before, version, disabled,
             recorded_at, cause, actor, request_id, NULL FROM rev_log WHERE seq = 2
         ON CONFLICT (receipt) DO NOTHING";
    assert_eq!(old.execute(insert, []).unwrap(), 1);
    let verdict = old.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    assert_eq!(verdict.unwrap(), "ok");

    let waiting = new.unpublished(10).unwrap();
    assert_eq!(waiting.generation, Generation(1));
    let seqs: Vec<i64> = waiting.rows.iter().map(|row| row.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3], "nothing was published by the version before");
    let all = Reach { row: Seq(3), ..Reach::default() };
    assert!(new.published(all, Generation(1)).unwrap());
    assert_eq!(new.raise_generation().unwrap(), Generation(2));
    assert_eq!(count(&old), 3);
    let held: Vec<_> = new.held_after(None, 10).unwrap().into_iter().map(|held| held.target).collect();
    assert_eq!(held, written);
    assert!(new.debts(false, None, 10).unwrap().is_empty());
}

#[test]
fn two_processes_that_contradict_each_other_end_in_one_truth() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let action = prop::sample::select(Action::ALL.to_vec());
    let input = prop::collection::vec((any::<bool>(), action), 1..12);
    let config = Config { cases: 20, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&input, |steps| {
            runtime.block_on(async {
                let fixture = Fixture::new();
                let (one, other) = (fixture.open(), fixture.open());
                // All at once: the log decides who came last.
                let calls: Vec<_> = steps
                    .iter()
                    .map(|(first, action)| {
                        let process = if *first { one.clone() } else { other.clone() };
                        let change = change(&alice(), *action);
                        tokio::spawn(async move { process.apply(change).await.unwrap() })
                    })
                    .collect();
                for call in calls {
                    call.await.unwrap();
                }
                until("both agree", || one.lookup(&alice()) == other.lookup(&alice())).await;
                let rows = one.list(Some(alice()), 100, None).await.unwrap();
                assert_eq!(rows.len(), steps.len());
                let truth = rows.iter().fold(Entry::default(), |known, row| known.merge(row.entry));
                until("both know the log", || one.lookup(&alice()) == Some(truth)).await;
                let last_flag = rows.iter().find(|r| r.action != Action::Revoke).map(|r| r.action);
                assert_eq!(
                    truth.disabled,
                    last_flag == Some(Action::Disable),
                    "the last row holds: {rows:#?}"
                );
                one.close().await;
                other.close().await;
                assert_eq!(fixture.open().lookup(&alice()), Some(truth));
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_late_row_of_the_other_process_does_not_lower_a_mark() {
    run(async {
        let fixture = Fixture::new();
        let (one, other) = (fixture.open(), fixture.open());
        fixture.set(NOON + 50_000);
        one.apply(change(&alice(), Action::Revoke)).await.unwrap();
        fixture.set(NOON);
        let receipt = other.apply(change(&alice(), Action::Revoke)).await.unwrap();
        assert_eq!(receipt.entry.not_before, UnixMillis(NOON + 50_000), "it had read the row of the first");
    });
}
