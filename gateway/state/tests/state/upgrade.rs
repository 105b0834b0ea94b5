//! An old and a new process share one store while one takes over from the other.

use doorward_model::{Entry, EntryKind, UnixMillis};
use doorward_state::{Action, Revocations, StateError, StoreError};
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
        let (new, report) = Revocations::open(&fixture.config("gw-1"), fixture.clock()).unwrap();
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
    let refused = Revocations::open(&fixture.config("gw-2"), fixture.clock()).err().unwrap();
    assert!(matches!(refused, StateError::Store(StoreError::InUse { .. })), "{refused}");
    assert!(refused.to_string().contains("`gw-1`"), "{refused}");
    run(one.close());
    let two = Revocations::open(&fixture.config("gw-2"), fixture.clock());
    assert!(two.is_ok(), "a node may be renamed while it does not run");
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
