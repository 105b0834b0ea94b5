//! What whoever commits records may rely on, whichever the store.

use std::sync::{Arc, Mutex};

use doorward_model::{EntryKind, Target, UnixMillis};
use doorward_state::{
    Action, Batch, CommitError, Committed, Expected, Found, Record, RecordKind, Revocations, StateError,
    Version, Write,
};

use super::records::{body, key, person, text};
use super::{Case, Place};
use crate::fixture::{NOON, SKEW, alice, change, presented, run, target, until};

pub(crate) const CASES: &[Case] = &[
    ("a batch is acknowledged with versions and receipts", acknowledged),
    ("a conflict that is certain is refused before anything bites", foreseen),
    ("what a refused batch takes away stays in this process, and only there", refused),
    ("whoever asks again after a conflict takes it away for good", asks_again),
    ("a batch gives back what it says, with its records", gives_back),
    ("a key that is taken is told with its holder", taken),
    ("another process sees records and changes within a second", followed),
    ("whoever catches up knows what another process was told is saved", caught_up),
    ("of two processes that write over one version one wins", races),
    ("a batch whose caller goes away is saved if it takes something away", dropped_future),
    ("what could never be written is refused, and nothing happens", bad_batches),
    ("records of all kinds are read from the store", read),
    ("after closing it is told what is not kept", closed),
];

fn open(place: &Place) -> Revocations {
    Revocations::open(&place.config, crate::fixture::clocks(Arc::new(|| UnixMillis(NOON)))).unwrap().0
}

fn batch(writes: Vec<Write>, changes: &[(&Target, Action)]) -> Batch {
    Batch { writes, changes: changes.iter().map(|(target, action)| change(target, *action)).collect() }
}

fn in_memory(revocations: &Revocations, id: &str) -> Option<Arc<Record>> {
    revocations.records().get(RecordKind::Person, id)
}

async fn on_disk(revocations: &Revocations, id: &str) -> Option<Record> {
    revocations.record(RecordKind::Person, id).await.unwrap()
}

fn acknowledged(place: &Place) {
    let revocations = open(place);
    run(async {
        let told: Arc<Mutex<Vec<Version>>> = Arc::default();
        let hears = Arc::clone(&told);
        revocations.records().subscribe(Arc::new(move |news| {
            hears.lock().unwrap().extend(news.iter().map(|record| record.version));
        }));
        let bob = target(EntryKind::User, "corp:bob");
        let writes = vec![person("a", Expected::Absent, "off"), person("b", Expected::Absent, "on")];
        let both = batch(writes, &[(&alice(), Action::Disable), (&bob, Action::Revoke)]);
        let Committed { records, receipts, .. } = revocations.commit(both).await.unwrap();
        assert_eq!(records, [Version(1), Version(2)]);
        assert_eq!(receipts.iter().map(|r| &r.target).collect::<Vec<_>>(), [&alice(), &bob]);
        for receipt in &receipts {
            assert_eq!(Some(receipt.entry), revocations.lookup(&receipt.target));
            let rows = revocations.list(Some(receipt.target.clone()), 10, None).await.unwrap();
            assert_eq!((rows.len(), rows[0].id, rows[0].entry), (1, receipt.id, receipt.entry));
        }
        assert!(receipts[0].entry.disabled && !receipts[1].entry.disabled);
        // It is seen by now, and those who listen were told.
        assert_eq!(text(&in_memory(&revocations, "a").unwrap()), "off");
        assert_eq!(on_disk(&revocations, "b").await.as_ref(), in_memory(&revocations, "b").as_deref());
        assert_eq!(*told.lock().unwrap(), [Version(1), Version(2)]);
        // Changes without records, and records without changes.
        let only = revocations.commit(batch(Vec::new(), &[(&alice(), Action::Revoke)])).await.unwrap();
        assert_eq!((only.records.len(), only.receipts.len()), (0, 1));
        let only = revocations.commit(batch(vec![person("c", Expected::Any, "on")], &[])).await.unwrap();
        assert_eq!((only.records, only.receipts.len()), (vec![Version(3)], 0));
        assert_eq!(revocations.health().unsaved, 0);
        assert_eq!(revocations.records().health().live, 3);
    });
}

fn foreseen(place: &Place) {
    let revocations = open(place);
    run(async {
        for text in ["1", "2"] {
            revocations.commit(batch(vec![person("a", Expected::Any, text)], &[])).await.unwrap();
        }
        let old = vec![person("a", Expected::Version(Version(1)), "3")];
        let error = revocations.commit(batch(old, &[(&alice(), Action::Disable)])).await.unwrap_err();
        assert!(
            matches!(error, CommitError::Conflict { found: Found::At(Version(2)), enforced: false, .. }),
            "{error}"
        );
        assert!(!error.enforced() && error.to_string().contains("person `a`"), "{error}");
        assert_eq!(revocations.lookup(&alice()), None);
    });
}

/// A batch that this process cannot know to be refused: it is of a kind that is not in memory.
fn stale(changes: &[(&Target, Action)]) -> Batch {
    let document = Write {
        kind: RecordKind::Document,
        id: "a".into(),
        expected: Expected::Version(Version(77)),
        body: body("{}"),
        keys: Vec::new(),
    };
    batch(vec![person("new", Expected::Absent, "off"), document], changes)
}

fn refused(place: &Place) {
    run(async {
        let revocations = open(place);
        let bob = target(EntryKind::User, "corp:bob");
        let changes = [(&alice(), Action::Disable), (&bob, Action::Revoke)];
        let error = revocations.commit(stale(&changes)).await.unwrap_err();
        assert!(
            matches!(error, CommitError::Conflict { found: Found::Absent, enforced: true, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("in force here until this process ends"), "{error}");
        // Nothing that was dead lives.
        assert!(revocations.lookup(&alice()).unwrap().disabled);
        assert!(revocations.check(&presented("bob", NOON / 1000 - 60), SKEW).is_err());
        assert_eq!(revocations.health().unsaved, 0);
        // And nothing of it is written.
        assert!(revocations.list(None, 10, None).await.unwrap().is_empty());
        assert!(on_disk(&revocations, "new").await.is_none() && in_memory(&revocations, "new").is_none());
        let other = open(place);
        assert_eq!((other.lookup(&alice()), other.lookup(&bob)), (None, None));
        // A grant of another process, made without knowing of it, does not lift it; one of this does.
        other.apply(change(&alice(), Action::Disable)).await.unwrap();
        let theirs = other.apply(change(&alice(), Action::Reactivate)).await.unwrap();
        until("it is known here", || {
            revocations.lookup(&alice()).is_some_and(|entry| entry.not_before >= theirs.entry.not_before)
        })
        .await;
        assert!(revocations.lookup(&alice()).unwrap().disabled);
        revocations.apply(change(&alice(), Action::Reactivate)).await.unwrap();
        assert!(!revocations.lookup(&alice()).unwrap().disabled);
        assert_eq!(revocations.close().await, 0);
    });
}

fn asks_again(place: &Place) {
    run(async {
        let revocations = open(place);
        let changes = [(&alice(), Action::Disable)];
        revocations.commit(stale(&changes)).await.unwrap_err();
        let again = vec![person("new", Expected::Absent, "off")];
        let committed = revocations.commit(batch(again, &changes)).await.unwrap();
        assert!(committed.receipts[0].entry.disabled);
        assert_eq!(revocations.close().await, 0);
        let revocations = open(place);
        assert!(revocations.lookup(&alice()).unwrap().disabled);
        assert_eq!(text(&in_memory(&revocations, "new").unwrap()), "off");
    });
}

fn gives_back(place: &Place) {
    run(async {
        let revocations = open(place);
        let off = batch(vec![person("a", Expected::Absent, "off")], &[(&alice(), Action::Disable)]);
        let version = revocations.commit(off).await.unwrap().records[0];
        let grant = [(&alice(), Action::Reactivate)];
        // Refused: nobody comes back.
        let error = revocations.commit(stale(&grant)).await.unwrap_err();
        assert!(matches!(error, CommitError::Conflict { enforced: false, .. }), "{error}");
        assert!(revocations.lookup(&alice()).unwrap().disabled);
        let on = batch(vec![person("a", Expected::Version(version), "on")], &grant);
        // Whoever is told that somebody is back sees the record that says so.
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (sees, asks) = (Arc::clone(&seen), revocations.clone());
        revocations.subscribe(Arc::new(move |applied| {
            if !applied.entry.disabled {
                sees.lock().unwrap().push(text(&in_memory(&asks, "a").unwrap()).to_owned());
            }
            doorward_state::Ended::default()
        }));
        revocations.commit(on).await.unwrap();
        assert!(!revocations.lookup(&alice()).unwrap().disabled);
        assert_eq!(*seen.lock().unwrap(), ["on"]);
        // A session is never given back, and then nothing of the batch happens.
        let session = target(EntryKind::Session, "corp:s");
        let never = batch(vec![person("b", Expected::Absent, "on")], &[(&session, Action::Reactivate)]);
        let error = revocations.commit(never).await.unwrap_err();
        assert!(matches!(error, CommitError::State(StateError::NeverReturns { .. })), "{error}");
        assert_eq!(on_disk(&revocations, "b").await, None);
    });
}

fn taken(place: &Place) {
    let revocations = open(place);
    run(async {
        let with =
            |id: &str| Write { keys: vec![key("scim:okta:alice")], ..person(id, Expected::Absent, "1") };
        revocations.commit(batch(vec![with("a")], &[])).await.unwrap();
        let error = revocations.commit(batch(vec![with("b")], &[])).await.unwrap_err();
        assert!(matches!(&error, CommitError::KeyTaken { holder_id, .. } if holder_id == "a"), "{error}");
        let told = error.to_string();
        assert!(told.contains("`scim:okta:alice` is taken by person `a`"), "{told}");
        let found = revocations.record_by_key(&key("scim:okta:alice")).await.unwrap().unwrap();
        assert_eq!(&*found.id, "a");
    });
}

fn followed(place: &Place) {
    let (one, other) = (open(place), open(place));
    run(async {
        let told: Arc<Mutex<Vec<i64>>> = Arc::default();
        let hears = Arc::clone(&told);
        other.records().subscribe(Arc::new(move |news| {
            hears.lock().unwrap().extend(news.iter().map(|record| record.version.0));
        }));
        let mut version = Expected::Absent;
        for round in 0..20 {
            let next = vec![
                person("a", version, &round.to_string()),
                person(&format!("p{round}"), Expected::Absent, "x"),
            ];
            let committed = one.commit(batch(next, &[(&alice(), Action::Disable)])).await.unwrap();
            version = Expected::Version(committed.records[0]);
        }
        until("the other process knows all", || in_memory(&other, "p19").is_some()).await;
        assert_eq!(in_memory(&other, "a"), in_memory(&one, "a"));
        until("it refuses", || other.lookup(&alice()).is_some_and(|entry| entry.disabled)).await;
        let gone = Write { body: None, ..person("a", version, "") };
        other.commit(batch(vec![gone], &[])).await.unwrap();
        until("the first learns that it is gone", || in_memory(&one, "a").is_none()).await;
        let told = told.lock().unwrap().clone();
        assert!(told.windows(2).all(|w| w[0] < w[1]), "in the order of their versions: {told:?}");
        let news: Vec<i64> = told.into_iter().filter(|version| version % 2 == 0).collect();
        assert_eq!(news, (1..=20).map(|n| 2 * n).collect::<Vec<_>>(), "none is missed");
        let health = one.records().health();
        assert_eq!((health.live, health.last_error), (20, None));
        until("it is read all the time", || {
            one.records().health().unread_for < std::time::Duration::from_millis(500)
        })
        .await;
    });
}

fn caught_up(place: &Place) {
    let (revocations, other) = (open(place), open(place));
    run(async {
        for n in 0..30 {
            let id = format!("p{n}");
            let write = person(&id, Expected::Absent, "here");
            revocations.commit(batch(vec![write], &[])).await.unwrap();
            other.catch_up().await.unwrap();
            assert!(in_memory(&other, &id).is_some(), "{id} was committed before the question");
        }
        revocations.close().await;
        other.close().await;
    });
}

fn races(place: &Place) {
    let (one, other) = (open(place), open(place));
    run(async {
        one.commit(batch(vec![person("a", Expected::Absent, "0")], &[])).await.unwrap();
        until("both know it", || in_memory(&other, "a").is_some()).await;
        for round in 0..20 {
            let known = on_disk(&one, "a").await.unwrap().version;
            let write = |who: &str| batch(vec![person("a", Expected::Version(known), who)], &[]);
            let (a, b) = tokio::join!(one.commit(write("one")), other.commit(write("other")));
            assert!(a.is_ok() != b.is_ok(), "round {round}: {a:?} {b:?}");
            let winner = if a.is_ok() { "one" } else { "other" };
            let loser = a.and(b).unwrap_err();
            assert!(matches!(loser, CommitError::Conflict { enforced: false, .. }), "{loser}");
            assert_eq!(text(&on_disk(&one, "a").await.unwrap()), winner);
        }
    });
}

fn dropped_future(place: &Place) {
    run(async {
        let revocations = open(place);
        let off = batch(vec![person("a", Expected::Absent, "off")], &[(&alice(), Action::Disable)]);
        {
            let mut call = std::pin::pin!(revocations.commit(off));
            std::future::poll_fn(|context| {
                let _pending = call.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert!(revocations.lookup(&alice()).is_some_and(|entry| entry.disabled));
        assert_eq!(revocations.close().await, 0);
    });
    let revocations = open(place);
    assert!(revocations.lookup(&alice()).is_some_and(|entry| entry.disabled));
    assert_eq!(text(&in_memory(&revocations, "a").unwrap()), "off");
}

fn bad_batches(place: &Place) {
    let revocations = open(place);
    run(async {
        let off = (&alice(), Action::Disable);
        let person = |id: &str| person(id, Expected::Any, "1");
        let mut hostile = batch(vec![person("a")], &[off]);
        hostile.changes[0].cause = "line\nbreak".to_owned();
        for bad in [
            batch(Vec::new(), &[]),
            batch(vec![person("a"), person("a")], &[off]),
            batch(vec![person("nul\0")], &[off]),
            batch(vec![Write { body: Some(vec![b'x'; 65_537].into()), ..person("a") }], &[off]),
            hostile,
        ] {
            let told = format!("{bad:?}");
            let error = revocations.commit(bad).await.unwrap_err();
            assert!(!error.enforced(), "{told}: {error}");
        }
        assert_eq!(revocations.lookup(&alice()), None);
        assert_eq!(revocations.records().generation(), 0);
    });
}

fn read(place: &Place) {
    let revocations = open(place);
    run(async {
        let of = |kind| Write { kind, ..person("x", Expected::Absent, "1") };
        revocations.commit(batch(RecordKind::ALL.map(of).to_vec(), &[])).await.unwrap();
        for kind in RecordKind::ALL {
            let record = revocations.record(kind, "x").await.unwrap().unwrap();
            let page = revocations.record_page(kind, None, 10).await.unwrap();
            assert_eq!(page, std::slice::from_ref(&record));
            assert!(revocations.record_page(kind, Some("x"), 10).await.unwrap().is_empty());
            if kind.is_published() {
                assert_eq!(*revocations.records().get(kind, "x").unwrap(), record);
            }
        }
        let mut people = Vec::new();
        revocations.records().for_each(RecordKind::Person, |record| people.push(record.id.to_string()));
        assert_eq!(people, ["x"]);
    });
}

fn closed(place: &Place) {
    let revocations = open(place);
    let clone = revocations.clone();
    run(async {
        assert_eq!(revocations.close().await, 0);
        let off = batch(vec![person("a", Expected::Absent, "off")], &[(&alice(), Action::Disable)]);
        let error = clone.commit(off).await.unwrap_err();
        let not_kept =
            matches!(error, CommitError::State(StateError::NotDurable { enforced: true, kept: false, .. }));
        assert!(not_kept, "{error}");
        assert_eq!(clone.records().health().unread_for, std::time::Duration::MAX);
    });
}
