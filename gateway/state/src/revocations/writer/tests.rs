//! The writer by itself, beside another one of the same store.

use std::path::Path;

use doorward_model::{EntryKind, KeyPath};

use super::*;
use crate::change::Change;
use crate::config::RevocationSection;
use crate::records::{Expected, RecordKind, Write};
use crate::revocations::marktime::MarkTime;
use crate::revocations::replica::Replica;

fn store(dir: &Path) -> Store {
    let mut complaints = Vec::new();
    let section = RevocationSection::default();
    let config = section.check(&KeyPath::top(), dir, dir, "gw-1", &mut complaints).unwrap();
    Store::open(config.store()).unwrap().0
}

fn user(i: usize) -> Target {
    Target::parse(EntryKind::User, &format!("corp:u{i}")).unwrap()
}

fn pending(target: Target) -> Pending {
    let change = Change {
        target,
        action: Action::Disable,
        cause: String::new(),
        actor: String::new(),
        request_id: String::new(),
    };
    let asks = vec![Ask { id: Uuid::new_v4(), change, enforced_at: Some(UnixMillis(1)) }];
    Pending { asks, writes: Vec::new(), kept: true, ack: None }
}

#[test]
fn who_fell_behind_reads_first_and_finds_what_it_wrote_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = store(dir.path());
    let (shared, mut writer) = beside(&other);

    let batch: Vec<Pending> = (0..2 * REVOCATION_PAGE_ROWS_MAX + 1).map(|i| pending(user(i))).collect();
    let disabled = Entry { not_before: UnixMillis(5), version: 1, disabled: true };
    let entries = vec![Some(vec![disabled]); batch.len()];
    let last = other.append(Seq::START, &mut |_| rows(&batch, &entries, UnixMillis(5))).unwrap().last;

    // Little can have come in since it wrote: what came is read while it writes.
    let mut written = Vec::new();
    writer.catch_up(&[], &mut written).unwrap();
    assert_eq!(writer.seen, Seq::START);
    (0..BEHIND_BEATS_MAX).for_each(|_| shared.beat());
    // The answer to this one was lost, and somebody gave the access back since.
    let lost = batch.into_iter().nth(7).unwrap();
    let given = Entry { not_before: UnixMillis(6), version: 2, disabled: false };
    let grant = [NewRow { action: Action::Reactivate, ..given_to(&lost, given) }];
    let last = other.append(last, &mut |_| grant.to_vec()).unwrap().last;
    writer.catch_up(std::slice::from_ref(&lost), &mut written).unwrap();
    assert_eq!((writer.seen, written.len(), written[0].entry), (last, 1, disabled));
    assert_eq!(shared.replica.get(&lost.asks[0].change.target), Some(given));
    assert!(shared.replica.get(&user(2 * REVOCATION_PAGE_ROWS_MAX)).unwrap().disabled);
    let (done, decided) = writer.append(std::slice::from_ref(&lost), &mut written).unwrap();
    let decided_then = vec![Some(vec![disabled])];
    assert_eq!((done.appended.last, decided), (last, decided_then), "written once, and decided then");
}

fn given_to(pending: &Pending, entry: Entry) -> NewRow {
    let [row] =
        <[NewRow; 1]>::try_from(rows(std::slice::from_ref(pending), &[Some(vec![entry])], UnixMillis(6)))
            .unwrap_or_else(|_| panic!("one row for one change"));
    NewRow { id: Uuid::new_v4(), ..row }
}

#[test]
fn what_was_kept_is_saved_without_its_records_when_they_conflict_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = store(dir.path());
    let (shared, mut writer) = beside(&other);
    let write = |text| write(Expected::Absent, text);
    put(&mut other, &[write("theirs")], Vec::new());

    let batch = |who: usize, kept: bool| {
        let (ack, answer) = tokio::sync::oneshot::channel();
        let ack = (!kept).then_some(ack);
        (Pending { writes: vec![write("ours")], kept, ack, ..pending(user(who)) }, answer)
    };
    let ((told, mut answer), (kept, _)) = (batch(1, false), batch(2, true));
    let (late, asked) = (Arc::new(std::sync::Mutex::new(Vec::new())), kept.asks[0].id);
    let hears = Arc::clone(&late);
    shared.subscribe_late(Arc::new(move |_, receipt| hears.lock().unwrap().push(receipt.id)));
    assert!(writer.save(vec![told, kept]));
    assert!(matches!(answer.try_recv(), Ok(Err(Unsaved::Refused(Refusal::Conflict { .. })))));
    let rows = other.read_after(Seq::START, 10).unwrap();
    assert_eq!(rows.iter().map(|row| (row.id, &row.target)).collect::<Vec<_>>(), [(asked, &user(2))]);
    assert_eq!(*late.lock().unwrap(), [asked]);
    assert_eq!(body_of_a(&mut other), b"theirs");
}

#[test]
fn what_an_attempt_before_wrote_is_not_written_over_what_came_since() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = store(dir.path());
    let (shared, mut writer) = beside(&other);
    let ours = [write(Expected::Any, "ours")];
    let lost = Pending { writes: ours.to_vec(), kept: true, ..pending(user(1)) };
    let disabled = Entry { not_before: UnixMillis(5), version: 1, disabled: true };
    let row = rows(std::slice::from_ref(&lost), &[Some(vec![disabled])], UnixMillis(5));
    put(&mut other, &ours, row);
    put(&mut other, &[write(Expected::Any, "newer")], Vec::new());

    let late = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = Arc::clone(&late);
    shared
        .subscribe_late(Arc::new(move |_, receipt| hears.lock().unwrap().push((receipt.id, receipt.entry))));
    let id = lost.asks[0].id;
    assert!(writer.save(vec![lost]));
    assert_eq!(body_of_a(&mut other), b"newer");
    assert_eq!(other.read_after(Seq::START, 10).unwrap().len(), 1);
    assert_eq!(*late.lock().unwrap(), [(id, disabled)]);
}

/// A writer of a store that is open, which has read nothing of it.
fn beside(other: &Store) -> (Arc<Shared>, Writer) {
    let time = MarkTime::new(Arc::new(|| UnixMillis(1_000)), UnixMillis(0));
    let shared = Shared::new(Replica::with_capacity([7; 16], 0), time, Duration::from_secs(1), 0, None);
    let own = other.again().unwrap();
    let writer = Writer::new(Arc::clone(&shared), own, (Seq::START, UnixMillis(0)), None);
    (shared, writer)
}

fn write(expected: Expected, text: &str) -> Write {
    let body = Some(Arc::from(text.as_bytes()));
    Write { kind: RecordKind::Person, id: "a".into(), expected, body, keys: Vec::new() }
}

fn put(store: &mut Store, writes: &[Write], rows: Vec<NewRow>) {
    let group = RecordGroup { writes, proof: None };
    store.commit(Seq::START, &[group], &mut |_, _| rows.clone()).unwrap();
}

fn body_of_a(store: &mut Store) -> Vec<u8> {
    store.record(RecordKind::Person, "a").unwrap().unwrap().body.unwrap().to_vec()
}
