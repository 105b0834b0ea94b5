//! Defects and clocks that lie. The clock is the seam: it is asked by the threads themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward_model::time::Clock;
use doorward_model::{Entry, EntryKind, UnixMillis};
use doorward_state::{Action, NewRow, Revocations, Seq, StateError, Store};

use crate::fixture::{Fixture, NOON, SKEW, alice, change, presented, run, target, until};

const DAY: i64 = 86_400_000;

/// A clock that does `what` whenever the writer asks it.
fn watched(fixture: &Fixture, what: impl Fn() + Send + Sync + 'static) -> Clock {
    let clock = fixture.clock();
    Arc::new(move || {
        if std::thread::current().name() == Some("rev-writer") {
            what();
        }
        clock()
    })
}

#[test]
fn a_writer_that_dies_is_noticed() {
    run(async {
        let fixture = Fixture::new();
        let armed = Arc::new(AtomicBool::new(false));
        let dies = Arc::clone(&armed);
        let clock = watched(&fixture, move || {
            assert!(!dies.load(Ordering::SeqCst), "a defect in the writer");
        });
        let revocations =
            Revocations::open(&fixture.config("gw-1"), crate::fixture::clocks(clock)).unwrap().0;
        let bob = target(EntryKind::User, "corp:bob");
        revocations.apply(change(&bob, Action::Disable)).await.unwrap();
        assert!(revocations.health().alive);

        armed.store(true, Ordering::SeqCst);
        let error = revocations.apply(change(&alice(), Action::Disable)).await.unwrap_err();
        assert!(matches!(error, StateError::NotDurable { enforced: true, kept: false, .. }), "{error}");
        until("it is noticed", || !revocations.health().alive).await;
        let health = revocations.health();
        assert!(!health.writable, "{health:?}");
        assert!(health.last_error.as_ref().is_some_and(|e| e.contains("restart")), "{health:?}");
        // What comes now is in force, is told as not kept at once, and gives nobody access.
        let cut = revocations.apply(change(&target(EntryKind::User, "corp:eve"), Action::Revoke));
        let error = tokio::time::timeout(Duration::from_secs(1), cut).await.unwrap().unwrap_err();
        assert!(matches!(error, StateError::NotDurable { enforced: true, kept: false, .. }), "{error}");
        let error = revocations.apply(change(&bob, Action::Reactivate)).await.unwrap_err();
        assert!(matches!(error, StateError::GrantsRefused { .. }), "{error}");
        for name in ["alice", "bob", "eve"] {
            assert!(revocations.check(&presented(name, NOON / 1000 - 60), SKEW).is_err(), "{name}");
        }
    });
}

#[test]
fn a_batch_that_was_written_though_it_failed_is_not_written_twice() {
    run(async {
        let fixture = Fixture::new();
        let (file, away) = (fixture.file(), fixture.dir.path().join("away"));
        let armed = Arc::new(AtomicBool::new(false));
        let moves = Arc::clone(&armed);
        let (from, to) = (file.clone(), away.clone());
        // Between the beginning of the transaction and its commit.
        let clock = watched(&fixture, move || {
            if moves.swap(false, Ordering::SeqCst) {
                std::fs::rename(&from, &to).unwrap();
            }
        });
        let revocations =
            Revocations::open(&fixture.config("gw-1"), crate::fixture::clocks(clock)).unwrap().0;
        revocations.apply(change(&alice(), Action::Revoke)).await.unwrap();
        // The writer asks the clock in its quiet moments as well: before and after, not now.
        armed.store(true, Ordering::SeqCst);
        let error = revocations.apply(change(&alice(), Action::Disable)).await.unwrap_err();
        assert!(matches!(error, StateError::NotDurable { enforced: true, kept: true, .. }), "{error}");
        std::fs::rename(&away, &file).unwrap();
        until("it is saved", || revocations.health().unsaved == 0 && revocations.health().writable).await;
        let rows = revocations.list(Some(alice()), 10, None).await.unwrap();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(Some(rows[0].entry), revocations.lookup(&alice()));
        let receipt = revocations.apply(change(&alice(), Action::Reactivate)).await.unwrap();
        assert_eq!((receipt.entry.version, receipt.entry.disabled), (2, false));
    });
}

fn row(kind: EntryKind, id: &str, at: i64) -> NewRow {
    NewRow {
        id: uuid::Uuid::new_v4(),
        target: target(kind, id),
        action: Action::Revoke,
        entry: Entry { not_before: UnixMillis(at), ..Entry::default() },
        recorded_at: UnixMillis(at),
        cause: String::new(),
        actor: "operator".to_owned(),
        request_id: String::new(),
    }
}

/// A store with rows of these ages in days.
fn aged(fixture: &Fixture, rows: &[(EntryKind, &str, i64)]) {
    let config = fixture.config("gw-1");
    let (mut store, _handle) = Store::open(config.store()).unwrap();
    let rows: Vec<NewRow> = rows.iter().map(|(kind, id, days)| row(*kind, id, NOON - days * DAY)).collect();
    store.append(Seq::START, &mut |_| rows.clone()).unwrap();
}

#[test]
fn what_is_old_is_forgotten_in_a_quiet_moment() {
    run(async {
        let fixture = Fixture::new();
        let session = |n| (EntryKind::Session, ["corp:old", "corp:young"][n], [401, 1][n]);
        aged(&fixture, &[session(0), (EntryKind::User, "corp:u", 800), session(1)]);
        let (revocations, report) = Revocations::open(&fixture.config("gw-1"), fixture.clocks()).unwrap();
        assert_eq!(report.entries, 3);
        let known = |kind, id| revocations.lookup(&target(kind, id)).is_some();
        until("the old one is forgotten", || !known(EntryKind::Session, "corp:old")).await;
        assert!(known(EntryKind::Session, "corp:young") && known(EntryKind::User, "corp:u"));
        assert_eq!(revocations.list(None, 10, None).await.unwrap().len(), 2);
    });
}

#[test]
fn a_clock_that_leaps_forgets_nothing() {
    run(async {
        let mut fixture = Fixture::new();
        fixture.section.store_bytes_max = Some(64 * 1024);
        aged(&fixture, &[(EntryKind::Session, "corp:s", 0), (EntryKind::Token, "corp:t", 0)]);
        fixture.set(NOON + 500 * DAY);
        let revocations = fixture.open();
        let known = || {
            revocations.lookup(&target(EntryKind::Session, "corp:s")).is_some()
                && revocations.lookup(&target(EntryKind::Token, "corp:t")).is_some()
        };
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert!(known(), "not in a quiet moment");
        let mut full = false;
        for i in 0..1000 {
            let user = target(EntryKind::User, &format!("corp:u{i}"));
            full = revocations.apply(change(&user, Action::Revoke)).await.is_err();
            if full {
                break;
            }
        }
        assert!(full && known(), "and not to make room, whatever was recorded meanwhile");
        fixture.set(NOON);
        assert!(revocations.check(&presented("x", NOON / 1000), SKEW).is_ok());
    });
}
