//! What whoever revokes may rely on, whichever the store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use doorward_model::time::Clock;
use doorward_model::{Entry, EntryKind, Target, UnixMillis};
use doorward_state::{Action, Applied, Ended, Refused, Revocations, StateError};

use super::{Case, Place};
use crate::fixture::{NOON, SKEW, alice, change, presented, run, target, until};

pub(crate) const CASES: &[Case] = &[
    ("nobody is cut off in a new store", new_store),
    ("each target of a request cuts it off", each_target),
    ("what is not presented does not cut off", nothing_else),
    ("a receipt says what was recorded", receipt),
    ("disable and reactivate count versions", versions),
    ("subscribers are told, and what they ended is summed", subscribers),
    ("a subscriber that panics spares nobody", panicking_subscriber),
    ("everything is there after opening again", again),
    ("another process learns of it within a second", another_process),
    ("a session and a token are never given back", never_given_back),
    ("texts that the log cannot hold are refused, and nothing happens", hostile_texts),
    ("the log lists the newest first", listing),
    ("after closing it enforces, and admits nobody", closed),
    ("a change whose caller goes away is saved all the same", dropped_future),
];

fn clock() -> Clock {
    Arc::new(|| UnixMillis(NOON))
}

fn open(place: &Place) -> Revocations {
    Revocations::open(&place.config, crate::fixture::clocks(clock())).unwrap().0
}

/// Long before noon: a token that any revocation kills.
const OLD: i64 = NOON / 1000 - 600;

fn new_store(place: &Place) {
    let (revocations, report) = Revocations::open(&place.config, crate::fixture::clocks(clock())).unwrap();
    assert!(report.created && report.rows == 0 && report.entries == 0);
    assert_eq!(revocations.generation(), 0);
    assert_eq!(revocations.lookup(&alice()), None);
    let unrevoked = revocations.check(&presented("alice", OLD), SKEW).unwrap();
    assert_eq!((unrevoked.as_of(), unrevoked.generation()), (UnixMillis(NOON), 0));
    let health = revocations.health();
    assert!(health.writable && health.fresh && health.unsaved == 0 && health.last_error.is_none());
}

fn each_target(place: &Place) {
    let revocations = open(place);
    run(async {
        for t in presented("alice", OLD).targets() {
            let fresh = presented("bob", OLD);
            // Bob shares Alice's device.
            let shared = t.kind() == EntryKind::Device;
            revocations.apply(change(&t, Action::Revoke)).await.unwrap();
            let refused = revocations.check(&presented("alice", OLD), SKEW).unwrap_err();
            assert!(matches!(refused, Refused::MadeBefore { .. }), "{t}: {refused:?}");
            assert_eq!(revocations.check(&fresh, SKEW).is_err(), shared, "{t}");
        }
    });
}

fn nothing_else(place: &Place) {
    let revocations = open(place);
    run(async {
        for (kind, id) in [
            (EntryKind::User, "other:alice"),
            (EntryKind::User, "corp:alic"),
            (EntryKind::Session, "other:s-alice"),
            (EntryKind::Token, "other:t-alice"),
            (EntryKind::Token, "corp:s-alice"),
            (EntryKind::Session, "corp:t-alice"),
            (EntryKind::Device, "laptop-70"),
            (EntryKind::UserAtApp, "wiki@corp:alice"),
        ] {
            for action in [Action::Revoke, Action::Disable] {
                revocations.apply(change(&target(kind, id), action)).await.unwrap();
            }
            assert!(revocations.check(&presented("alice", OLD), SKEW).is_ok(), "{kind:?} {id}");
        }
    });
}

fn receipt(place: &Place) {
    let revocations = open(place);
    run(async {
        let receipt = revocations.apply(change(&alice(), Action::Revoke)).await.unwrap();
        assert_eq!(receipt.target, alice());
        assert_eq!(receipt.entry, Entry { not_before: UnixMillis(NOON), version: 0, disabled: false });
        assert_eq!(Some(receipt.entry), revocations.lookup(&alice()));
        assert!(receipt.applied_at <= receipt.durable_at);
        let rows = revocations.list(Some(alice()), 10, None).await.unwrap();
        assert_eq!((rows.len(), rows[0].id, rows[0].entry), (1, receipt.id, receipt.entry));
        assert_eq!((rows[0].cause.as_str(), rows[0].actor.as_str()), ("left the company", "operator"));
    });
}

fn versions(place: &Place) {
    let revocations = open(place);
    run(async {
        for (action, version, disabled) in [
            (Action::Revoke, 0, false),
            (Action::Disable, 1, true),
            (Action::Revoke, 1, true),
            (Action::Disable, 2, true),
            (Action::Reactivate, 3, false),
            (Action::Reactivate, 4, false),
            (Action::Disable, 5, true),
        ] {
            let receipt = revocations.apply(change(&alice(), action)).await.unwrap();
            let got = (receipt.entry.version, receipt.entry.disabled);
            assert_eq!(got, (version, disabled), "{action:?}");
            assert_eq!(revocations.lookup(&alice()), Some(receipt.entry));
        }
        let refused = revocations.check(&presented("alice", OLD), SKEW).unwrap_err();
        assert_eq!(refused, Refused::Disabled { kind: EntryKind::User });
    });
}

fn subscribers(place: &Place) {
    let revocations = open(place);
    let told: Arc<Mutex<Vec<Applied>>> = Arc::default();
    let hears = Arc::clone(&told);
    revocations.subscribe(Arc::new(move |applied: &Applied| {
        hears.lock().unwrap().push(applied.clone());
        Ended { websocket: 2, http2: 1, ..Ended::default() }
    }));
    revocations.subscribe(Arc::new(|_: &Applied| Ended { websocket: 1, ..Ended::default() }));
    run(async {
        let receipt = revocations.apply(change(&alice(), Action::Revoke)).await.unwrap();
        assert_eq!((receipt.ended.websocket, receipt.ended.http2, receipt.ended.exchanges()), (3, 1, 4));
        let applied = Applied { id: receipt.id, target: alice(), entry: receipt.entry, at: UnixMillis(NOON) };
        assert_eq!(*told.lock().unwrap(), [applied]);
    });
}

fn panicking_subscriber(place: &Place) {
    let revocations = open(place);
    let told = Arc::new(AtomicUsize::new(0));
    let hears = Arc::clone(&told);
    revocations.subscribe(Arc::new(|_: &Applied| panic!("a defect in a subscriber")));
    revocations.subscribe(Arc::new(move |_: &Applied| {
        hears.fetch_add(1, Ordering::SeqCst);
        Ended::default()
    }));
    run(async {
        revocations.apply(change(&alice(), Action::Revoke)).await.unwrap();
    });
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

fn again(place: &Place) {
    let names: Vec<Target> = (0..300).map(|i| target(EntryKind::User, &format!("corp:u{i}"))).collect();
    let before = run(async {
        let revocations = open(place);
        for (i, name) in names.iter().enumerate() {
            let action = if i % 3 == 0 { Action::Disable } else { Action::Revoke };
            revocations.apply(change(name, action)).await.unwrap();
        }
        let before: Vec<_> = names.iter().map(|n| revocations.lookup(n)).collect();
        assert_eq!(revocations.close().await, 0);
        before
    });
    let (revocations, report) = Revocations::open(&place.config, crate::fixture::clocks(clock())).unwrap();
    let after: Vec<_> = names.iter().map(|n| revocations.lookup(n)).collect();
    assert_eq!(after, before);
    assert_eq!((report.created, report.rows, report.entries), (false, 300, 300));
}

fn another_process(place: &Place) {
    let (one, other) = (open(place), open(place));
    let cut = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&cut);
    other.subscribe(Arc::new(move |_: &Applied| {
        counts.fetch_add(1, Ordering::SeqCst);
        Ended::default()
    }));
    run(async {
        one.apply(change(&alice(), Action::Disable)).await.unwrap();
        until("the other process refuses", || other.check(&presented("alice", OLD), SKEW).is_err()).await;
        until("its streams are cut", || cut.load(Ordering::SeqCst) == 1).await;
        assert_eq!(other.lookup(&alice()), one.lookup(&alice()));
        other.apply(change(&alice(), Action::Reactivate)).await.unwrap();
        until("the first learns", || one.lookup(&alice()).is_some_and(|e| !e.disabled)).await;
    });
}

fn never_given_back(place: &Place) {
    let revocations = open(place);
    run(async {
        for t in [target(EntryKind::Session, "corp:s-alice"), target(EntryKind::Token, "corp:t-alice")] {
            revocations.apply(change(&t, Action::Revoke)).await.unwrap();
            let refused = revocations.apply(change(&t, Action::Reactivate)).await.unwrap_err();
            assert!(matches!(refused, StateError::NeverReturns { .. }), "{refused}");
        }
        // A token that was refreshed much later within the revoked session.
        let later = presented("alice", NOON / 1000 + 86_400);
        assert!(matches!(revocations.check(&later, SKEW), Err(Refused::MadeBefore { .. })));
    });
}

fn hostile_texts(place: &Place) {
    let revocations = open(place);
    run(async {
        for bad in ["x".repeat(513), "line\nbreak".to_owned(), "nul\0".to_owned(), "\u{1b}[31m".to_owned()] {
            for action in Action::ALL {
                let hostile = doorward_state::Change { cause: bad.clone(), ..change(&alice(), action) };
                let refused = revocations.apply(hostile).await.unwrap_err();
                assert!(matches!(refused, StateError::BadText { field: "cause", .. }), "{refused}");
            }
        }
    });
    assert_eq!(revocations.lookup(&alice()), None);
}

fn listing(place: &Place) {
    let revocations = open(place);
    run(async {
        for name in ["a", "b", "c"] {
            let t = target(EntryKind::User, &format!("corp:{name}"));
            revocations.apply(change(&t, Action::Revoke)).await.unwrap();
        }
        let page = revocations.list(None, 2, None).await.unwrap();
        let rest = revocations.list(None, usize::MAX, Some(page[1].seq)).await.unwrap();
        let ids: Vec<String> = page.iter().chain(&rest).map(|r| r.target.id()).collect();
        assert_eq!(ids, ["corp:c", "corp:b", "corp:a"]);
    });
}

fn closed(place: &Place) {
    let revocations = open(place);
    let clone = revocations.clone();
    run(async {
        assert_eq!(revocations.close().await, 0);
        let refused = clone.apply(change(&alice(), Action::Revoke)).await.unwrap_err();
        assert!(matches!(refused, StateError::NotDurable { enforced: true, kept: false, .. }), "{refused}");
        assert!(clone.check(&presented("alice", OLD), SKEW).is_err());
        let bob = clone.check(&presented("bob", OLD), SKEW).unwrap_err();
        assert!(matches!(bob, Refused::Stale { .. }), "nobody follows the store any more: {bob:?}");
    });
}

fn dropped_future(place: &Place) {
    run(async {
        let revocations = open(place);
        {
            let mut call = std::pin::pin!(revocations.apply(change(&alice(), Action::Disable)));
            // Polled once, as by a server whose client closes the connection then.
            std::future::poll_fn(|context| {
                let _pending = call.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert!(revocations.lookup(&alice()).is_some_and(|e| e.disabled));
        assert_eq!(revocations.close().await, 0);
    });
    assert!(open(place).lookup(&alice()).is_some_and(|e| e.disabled));
}
