//! The store cannot be written: revocations still bite, nobody gets access back, nothing that
//! was acknowledged is lost, and what was not saved is saved when writing works again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_model::time::Clock;
use doorward_model::{Entry, EntryKind, Target, UnixMillis};
use doorward_state::{Action, Applied, Ended, NewRow, Receipt, Revocations, Seq, StateError, Store};

use crate::fixture::{Fixture, NOON, SKEW, alice, change, presented, run, target, until, waiting};

fn nth(i: usize) -> Target {
    target(EntryKind::User, &format!("corp:u{i}"))
}

/// Fills the store until a write fails; returns who is saved and who is not.
async fn fill(revocations: &Revocations) -> (Vec<Target>, Target) {
    let mut saved = Vec::new();
    for i in 0..10_000 {
        match revocations.apply(change(&nth(i), Action::Revoke)).await {
            Ok(_) => saved.push(nth(i)),
            Err(StateError::NotDurable { enforced: true, kept: true, why }) => {
                assert!(why.contains("store_bytes_max"), "says how to mend it: {why}");
                return (saved, nth(i));
            }
            Err(other) => panic!("another kind of error: {other}"),
        }
    }
    panic!("the bound does not bind");
}

#[test]
fn a_full_store_refuses_grants_and_enforces_revocations() {
    run(async {
        let mut fixture = Fixture::new();
        fixture.section.store_bytes_max = Some(64 * 1024);
        let revocations = fixture.open();
        let dave = target(EntryKind::User, "corp:dave");
        revocations.apply(change(&dave, Action::Disable)).await.unwrap();
        let (saved, unsaved) = fill(&revocations).await;
        assert!(saved.len() > 10);

        let health = revocations.health();
        assert!(!health.writable && health.unsaved == 1 && health.write_failures_total > 0);
        assert!(health.fresh, "reading works");
        for t in saved.iter().chain([&unsaved]) {
            let Target::User(user) = t else { unreachable!() };
            let p = presented(user.subject().as_str(), NOON / 1000 - 60);
            assert!(revocations.check(&p, SKEW).is_err(), "{t} is cut off");
        }
        // More of them: in force at once, and told that they are not saved.
        for i in 20_000..20_010 {
            let error = revocations.apply(change(&nth(i), Action::Disable)).await.unwrap_err();
            assert!(matches!(error, StateError::NotDurable { enforced: true, kept: true, .. }), "{error}");
            assert!(revocations.lookup(&nth(i)).unwrap().disabled);
        }
        let error = revocations.apply(change(&dave, Action::Reactivate)).await.unwrap_err();
        assert!(matches!(error, StateError::GrantsRefused { .. }), "{error}");
        assert!(revocations.lookup(&dave).unwrap().disabled);

        // Somebody makes room.
        let other = rusqlite::Connection::open(fixture.file()).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        other.execute_batch("DELETE FROM rev_log WHERE seq BETWEEN 5 AND 60").unwrap();
        drop(other);
        until("what waited is saved", || revocations.health().unsaved == 0).await;
        until("writing works", || revocations.health().writable).await;
        revocations.apply(change(&dave, Action::Reactivate)).await.unwrap();
        assert_eq!(revocations.close().await, 0);
        let revocations = fixture.open();
        assert!(revocations.lookup(&unsaved).is_some());
        assert!((20_000..20_010).all(|i| revocations.lookup(&nth(i)).unwrap().disabled));
        assert!(!revocations.lookup(&dave).unwrap().disabled);
    });
}

#[test]
fn a_full_store_forgets_what_is_too_old_to_matter() {
    run(async {
        let mut fixture = Fixture::new();
        fixture.section.store_bytes_max = Some(64 * 1024);
        let session = |i: usize| target(EntryKind::Session, &format!("corp:s{i}"));
        // All of them are old, and a new row says that this is no matter of the clock.
        let config = fixture.config("gw-1");
        let (mut store, handle) = Store::open(config.store()).unwrap();
        let rows = |i: usize, age_days: i64| NewRow {
            id: uuid::Uuid::new_v4(),
            target: session(i),
            action: Action::Revoke,
            entry: Entry::default(),
            recorded_at: UnixMillis(NOON - age_days * 86_400_000),
            cause: String::new(),
            actor: String::new(),
            request_id: String::new(),
        };
        let mut full = false;
        for i in 0..1000 {
            full = store.append(Seq::START, &mut |_| vec![rows(i, 401 * i64::from(i > 0))]).is_err();
            if full {
                break;
            }
        }
        assert!(full);
        drop((store, handle));
        let revocations = fixture.open();
        for i in 0..20 {
            let receipt = revocations.apply(change(&nth(i), Action::Revoke)).await;
            assert!(receipt.is_ok(), "user {i}: {receipt:?}");
        }
        assert_eq!(revocations.lookup(&session(1)), None, "forgotten in memory too");
    });
}

/// Holds the lock for writing, as a forgotten shell of `sqlite3` would.
fn lock(fixture: &Fixture) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(fixture.file()).unwrap();
    // The writer may be about to tidy up.
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[test]
fn a_revocation_is_in_force_before_it_is_written() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        let cut = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&cut);
        revocations.subscribe(Arc::new(move |_: &Applied| {
            counts.fetch_add(1, Ordering::SeqCst);
            Ended { event_stream: 7, ..Ended::default() }
        }));
        let other = lock(&fixture);
        let mut call = std::pin::pin!(revocations.apply(change(&alice(), Action::Revoke)));
        let waited = tokio::time::timeout(Duration::from_millis(200), call.as_mut()).await;
        assert!(waited.is_err(), "not acknowledged before it is durable");
        assert_eq!(cut.load(Ordering::SeqCst), 1, "streams are cut already");
        assert!(revocations.check(&presented("alice", NOON / 1000 - 60), SKEW).is_err());
        other.execute_batch("ROLLBACK").unwrap();
        let receipt = call.await.unwrap();
        assert_eq!(receipt.ended.event_stream, 7);
        assert_eq!(cut.load(Ordering::SeqCst), 1, "and are cut once");
    });
}

#[test]
fn a_grant_is_on_the_disk_before_it_is_seen() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        revocations.apply(change(&alice(), Action::Disable)).await.unwrap();
        let other = lock(&fixture);
        {
            let mut call = std::pin::pin!(revocations.apply(change(&alice(), Action::Reactivate)));
            let waited = tokio::time::timeout(Duration::from_millis(200), call.as_mut()).await;
            assert!(waited.is_err());
            assert!(revocations.lookup(&alice()).unwrap().disabled, "not seen before it is durable");
            let error = call.await.unwrap_err();
            assert!(matches!(error, StateError::NotDurable { enforced: false, kept: false, .. }), "{error}");
        }
        assert!(revocations.lookup(&alice()).unwrap().disabled);
        let error = revocations.apply(change(&alice(), Action::Reactivate)).await.unwrap_err();
        assert!(matches!(error, StateError::GrantsRefused { .. }), "{error}");
        other.execute_batch("ROLLBACK").unwrap();
        until("the store works again", || revocations.health().writable).await;
        assert!(revocations.lookup(&alice()).unwrap().disabled, "a refused grant does not happen later");
        let receipt = revocations.apply(change(&alice(), Action::Reactivate)).await.unwrap();
        assert_eq!((receipt.entry.version, receipt.entry.disabled), (2, false));
    });
}

#[test]
fn a_grant_whose_caller_went_away_before_it_was_written_does_not_happen() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        revocations.apply(change(&alice(), Action::Disable)).await.unwrap();
        let other = lock(&fixture);
        // The writer waits for the lock with this one in its hands.
        let bob = target(EntryKind::User, "corp:bob");
        let blocks = revocations.clone();
        let blocked = tokio::spawn(async move { blocks.apply(change(&bob, Action::Revoke)).await });
        waiting(&revocations, 1).await;
        let grant = revocations.apply(change(&alice(), Action::Reactivate));
        assert!(tokio::time::timeout(Duration::from_millis(50), grant).await.is_err());
        other.execute_batch("ROLLBACK").unwrap();
        blocked.await.unwrap().unwrap();
        assert_eq!(revocations.clone().close().await, 0);
        assert!(revocations.lookup(&alice()).unwrap().disabled);
        assert_eq!(fixture.open().lookup(&alice()).unwrap().version, 1);
    });
}

type Waiting = tokio::task::JoinHandle<Result<Receipt, StateError>>;

/// Asks for changes of Alice, one after the other, while the store is locked.
async fn asked<const N: usize>(revocations: &Revocations, actions: [Action; N]) -> [Waiting; N] {
    let mut asked = Vec::new();
    for action in actions {
        let asks = revocations.clone();
        asked.push(tokio::spawn(async move { asks.apply(change(&alice(), action)).await }));
        waiting(revocations, asked.len()).await;
    }
    asked.try_into().unwrap()
}

#[test]
fn a_later_revocation_beats_a_grant_that_waits() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        revocations.apply(change(&alice(), Action::Disable)).await.unwrap();
        let other = lock(&fixture);
        let [grant, cut] = asked(&revocations, [Action::Reactivate, Action::Disable]).await;
        other.execute_batch("ROLLBACK").unwrap();
        grant.await.unwrap().unwrap();
        let receipt = cut.await.unwrap().unwrap();
        assert!(receipt.entry.disabled);
        assert!(revocations.lookup(&alice()).unwrap().disabled);
        revocations.close().await;
        assert!(fixture.open().lookup(&alice()).unwrap().disabled, "so says the log too");
    });
}

#[test]
fn a_switch_off_whose_write_fails_outlives_a_grant_that_was_on_its_way() {
    run(async {
        let fixture = Fixture::new();
        // Takes the lock for writing as soon as the grant is saved: the next write fails.
        let armed = Arc::new(AtomicBool::new(false));
        let blocker = Arc::new(Mutex::new(None));
        let (arms, blocks, file, wall) =
            (Arc::clone(&armed), Arc::clone(&blocker), fixture.file(), fixture.clock());
        let clock: Clock = Arc::new(move || {
            if std::thread::current().name() == Some("rev-writer") && arms.load(Ordering::SeqCst) {
                let other = rusqlite::Connection::open(&file).unwrap();
                other.busy_timeout(Duration::ZERO).unwrap();
                if other.execute_batch("BEGIN IMMEDIATE").is_ok() {
                    arms.store(false, Ordering::SeqCst);
                    *blocks.lock().unwrap() = Some(other);
                }
            }
            wall()
        });
        let revocations =
            Revocations::open(&fixture.config("gw-1"), crate::fixture::clocks(clock)).unwrap().0;
        revocations.apply(change(&alice(), Action::Disable)).await.unwrap();
        let other = lock(&fixture);
        let [grant, cut] = asked(&revocations, [Action::Reactivate, Action::Disable]).await;
        armed.store(true, Ordering::SeqCst);
        other.execute_batch("ROLLBACK").unwrap();
        grant.await.unwrap().unwrap();
        let error = cut.await.unwrap().unwrap_err();
        assert!(matches!(error, StateError::NotDurable { enforced: true, kept: true, .. }), "{error}");
        assert!(revocations.lookup(&alice()).unwrap().disabled, "it was said to be in force");
        // A grant of another process, read before the switch-off is saved, does not lift it either.
        blocker.lock().unwrap().take();
        until("it is saved", || revocations.health().unsaved == 0).await;
        let known = revocations.lookup(&alice()).unwrap();
        assert!(known.disabled);
        assert_eq!(revocations.list(Some(alice()), 1, None).await.unwrap()[0].entry, known);
        revocations.apply(change(&alice(), Action::Reactivate)).await.unwrap();
        assert!(!revocations.lookup(&alice()).unwrap().disabled, "a later grant counts");
    });
}

#[test]
fn what_is_saved_late_is_told() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        revocations.subscribe_late(Arc::new(move |change, receipt| {
            hears.lock().unwrap().push((change.clone(), receipt.clone()));
        }));
        let bob = target(EntryKind::User, "corp:bob");
        revocations.apply(change(&bob, Action::Revoke)).await.unwrap();
        let other = lock(&fixture);
        let error = revocations.apply(change(&alice(), Action::Disable)).await.unwrap_err();
        assert!(matches!(error, StateError::NotDurable { enforced: true, kept: true, .. }), "{error}");
        assert!(told.lock().unwrap().is_empty());
        other.execute_batch("ROLLBACK").unwrap();
        until("it is saved", || revocations.health().unsaved == 0).await;
        until("it is told", || !told.lock().unwrap().is_empty()).await;
        let told = told.lock().unwrap().clone();
        let [(asked, receipt)] = told.as_slice() else { panic!("once: {told:?}") };
        assert_eq!(*asked, change(&alice(), Action::Disable));
        let rows = revocations.list(Some(alice()), 2, None).await.unwrap();
        assert_eq!((rows.len(), rows[0].id, rows[0].entry), (1, receipt.id, receipt.entry));
        assert!(receipt.entry.disabled && receipt.target == alice());
    });
}
