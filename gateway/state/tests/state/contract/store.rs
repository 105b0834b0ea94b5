//! What a store promises to the threads that use it.

use doorward_model::{Entry, EntryKind, Target, UnixMillis};
use doorward_state::{Action, NewRow, Row, Seq, Store};

use super::{Case, Place};
use crate::fixture::target;

pub(crate) const CASES: &[Case] = &[
    ("rows come back as they were written", rows_come_back),
    ("every kind of target survives the store", every_kind_survives),
    ("rows are numbered upwards and read page by page", numbered_and_paged),
    ("a batch of nothing writes nothing", nothing_writes_nothing),
    ("whoever appends has seen what others wrote", appender_sees_others),
    ("what two write at once is all there", two_writers),
    ("what was written is there after opening again", opened_again),
    ("a number is never used twice", numbers_are_not_reused),
    ("old sessions and tokens are pruned, users and devices never", pruning),
    ("the newest rows come first, of one target or of all", newest),
    ("a probe leaves no row", probe),
    ("a row that is in the log already is not added again", not_added_again),
    ("numbers rise without gaps, whoever writes", without_gaps),
    ("what is open can be read and written from within a runtime", within_a_runtime),
];

pub(super) fn open(place: &Place) -> Store {
    Store::open(place.config.store()).unwrap().0
}

pub(crate) fn row(target: Target, at: i64) -> NewRow {
    NewRow {
        id: uuid::Uuid::new_v4(),
        target,
        action: Action::Revoke,
        entry: Entry { not_before: UnixMillis(at), version: 0, disabled: false },
        recorded_at: UnixMillis(at),
        cause: "it's over; DROP TABLE rev_log; -- ünïcödé".to_owned(),
        actor: "o'brien".to_owned(),
        request_id: "r-1".to_owned(),
    }
}

pub(super) fn users(range: std::ops::Range<i64>) -> Vec<NewRow> {
    range.map(|i| row(target(EntryKind::User, &format!("corp:u{i}")), i)).collect()
}

pub(super) fn append(store: &mut Store, seen: Seq, rows: &[NewRow]) -> Seq {
    store.append(seen, &mut |_| rows.to_vec()).unwrap().last
}

fn ids(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|r| r.target.id()).collect()
}

fn rows_come_back(place: &Place) {
    let mut store = open(place);
    let written = NewRow {
        entry: Entry { not_before: UnixMillis(-5), version: u64::from(u32::MAX) + 7, disabled: true },
        action: Action::Disable,
        ..row(target(EntryKind::User, "corp:Grüße 'x' \"y\""), 1)
    };
    append(&mut store, Seq::START, std::slice::from_ref(&written));
    let rows = store.read_after(Seq::START, 10).unwrap();
    let [read] = rows.as_slice() else { panic!("one row: {rows:?}") };
    let back = NewRow {
        id: read.id,
        target: read.target.clone(),
        action: read.action,
        entry: read.entry,
        recorded_at: read.recorded_at,
        cause: read.cause.clone(),
        actor: read.actor.clone(),
        request_id: read.request_id.clone(),
    };
    assert_eq!(back, written);
}

fn every_kind_survives(place: &Place) {
    let mut store = open(place);
    let all = [
        target(EntryKind::User, "corp:a:b"),
        target(EntryKind::Session, "corp:s-1"),
        target(EntryKind::Token, "corp:urn:x:1"),
        target(EntryKind::Device, "dev-77"),
        target(EntryKind::UserAtApp, "payroll@corp:a@b.example"),
    ];
    let rows: Vec<NewRow> = all.iter().map(|t| row(t.clone(), 1)).collect();
    append(&mut store, Seq::START, &rows);
    let read: Vec<Target> = store.read_after(Seq::START, 10).unwrap().into_iter().map(|r| r.target).collect();
    assert_eq!(read, all);
    assert_eq!(EntryKind::ALL.len(), all.len(), "a new kind of target needs its row here");
}

fn numbered_and_paged(place: &Place) {
    let mut store = open(place);
    let last = append(&mut store, Seq::START, &users(0..25));
    let (mut seen, mut read) = (Seq::START, Vec::new());
    loop {
        let page = store.read_after(seen, 10).unwrap();
        assert!(page.windows(2).all(|w| w[0].seq < w[1].seq));
        let Some(end) = page.last() else { break };
        seen = end.seq;
        read.extend(ids(&page));
    }
    assert_eq!(seen, last);
    assert_eq!(read, (0..25).map(|i| format!("corp:u{i}")).collect::<Vec<_>>());
    assert_eq!(store.count().unwrap(), 25);
}

fn nothing_writes_nothing(place: &Place) {
    let mut store = open(place);
    assert_eq!(append(&mut store, Seq::START, &[]), Seq::START);
    assert_eq!(store.count().unwrap(), 0);
}

fn appender_sees_others(place: &Place) {
    let (mut one, mut other) = (open(place), open(place));
    let seen = append(&mut one, Seq::START, &users(0..3));
    let mut shown = Vec::new();
    let last = other
        .append(Seq::START, &mut |others| {
            shown = ids(others);
            users(3..4)
        })
        .unwrap()
        .last;
    assert_eq!(shown, ["corp:u0", "corp:u1", "corp:u2"]);
    let mut shown = Vec::new();
    let end = one
        .append(seen, &mut |others| {
            shown = ids(others);
            Vec::new()
        })
        .unwrap()
        .last;
    assert_eq!((shown, end), (vec!["corp:u3".to_owned()], last), "its own rows are not news");
}

fn two_writers(place: &Place) {
    let writers: Vec<_> = (0..2)
        .map(|w| {
            let mut store = open(place);
            std::thread::spawn(move || {
                let mut seen = Seq::START;
                for i in 0..40 {
                    let id = format!("corp:w{w}-{i}");
                    let rows = [row(target(EntryKind::User, &id), 1)];
                    seen = append(&mut store, seen, &rows);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let mut read = ids(&open(place).read_after(Seq::START, 1000).unwrap());
    read.sort();
    read.dedup();
    assert_eq!(read.len(), 80);
}

fn opened_again(place: &Place) {
    let mut store = open(place);
    let last = append(&mut store, Seq::START, &users(0..5));
    let same = store.again().unwrap().read_after(Seq::START, 10).unwrap();
    drop(store);
    let rows = open(place).read_after(Seq::START, 10).unwrap();
    assert_eq!(rows, same);
    assert_eq!(rows.last().unwrap().seq, last);
}

fn numbers_are_not_reused(place: &Place) {
    let mut store = open(place);
    let last = append(&mut store, Seq::START, &[row(target(EntryKind::Session, "corp:s"), 1)]);
    assert_eq!(store.prune(UnixMillis(2), 10).unwrap().len(), 1);
    drop(store);
    let mut store = open(place);
    let next = append(&mut store, last, &users(0..1));
    assert!(next > last, "{next:?} after {last:?}");
    assert_eq!(
        store.read_after(last, 10).unwrap().len(),
        1,
        "a reader that saw the deleted row sees the new"
    );
}

fn pruning(place: &Place) {
    let mut store = open(place);
    let kinds = [
        (EntryKind::User, "corp:u"),
        (EntryKind::Session, "corp:s"),
        (EntryKind::Token, "corp:t"),
        (EntryKind::Device, "d"),
        (EntryKind::UserAtApp, "payroll@corp:u"),
    ];
    let rows: Vec<NewRow> = kinds.iter().map(|(kind, id)| row(target(*kind, id), 100)).collect();
    let young = row(target(EntryKind::Session, "corp:young"), 200);
    append(&mut store, Seq::START, &[rows, vec![young]].concat());
    assert!(store.prune(UnixMillis(100), 10).unwrap().is_empty(), "nothing is older than itself");
    assert_eq!(store.prune(UnixMillis(200), 1).unwrap().len(), 1, "bounded");
    let rest = store.prune(UnixMillis(200), 10).unwrap();
    assert_eq!(rest.len(), 1);
    let left = ids(&store.read_after(Seq::START, 10).unwrap());
    assert_eq!(left, ["corp:u", "d", "payroll@corp:u", "corp:young"]);
}

fn newest(place: &Place) {
    let mut store = open(place);
    let twice = [users(0..3), users(1..2)].concat();
    append(&mut store, Seq::START, &twice);
    let page = store.newest(None, None, 3).unwrap();
    assert_eq!(ids(&page), ["corp:u1", "corp:u2", "corp:u1"]);
    let rest = store.newest(None, Some(page[2].seq), 3).unwrap();
    assert_eq!(ids(&rest), ["corp:u0"]);
    let one = target(EntryKind::User, "corp:u1");
    assert_eq!(store.newest(Some(&one), None, 10).unwrap().len(), 2);
    let alike = target(EntryKind::Token, "corp:u1");
    assert!(store.newest(Some(&alike), None, 10).unwrap().is_empty());
}

fn probe(place: &Place) {
    let mut store = open(place);
    store.probe().unwrap();
    assert_eq!(store.count().unwrap(), 0);
}

fn not_added_again(place: &Place) {
    let mut store = open(place);
    let rows = users(0..3);
    let last = append(&mut store, Seq::START, &rows);
    // As after an append of which nobody knows whether it succeeded, with a row that is new.
    let twice = [rows.clone(), users(3..4), users(4..5), rows].concat();
    let end = append(&mut store, Seq::START, &twice);
    assert_eq!(end.0, last.0 + 2);
    let read = store.read_after(Seq::START, 100).unwrap();
    assert_eq!(ids(&read), (0..5).map(|i| format!("corp:u{i}")).collect::<Vec<_>>());
    assert_eq!(append(&mut store, end, &twice), end, "all of it is there");
    // Within one batch too.
    let one = users(9..10).remove(0);
    append(&mut store, end, &[one.clone(), one]);
    assert_eq!(store.count().unwrap(), 6);
}

fn without_gaps(place: &Place) {
    let writers: Vec<_> = (0..3)
        .map(|w| {
            let mut store = open(place);
            std::thread::spawn(move || {
                for i in 0..15 {
                    let id = format!("corp:w{w}-{i}");
                    // Every third batch is nothing, and one of another id is not added.
                    let rows = vec![row(target(EntryKind::User, &id), 1); if i % 3 == 0 { 0 } else { 2 }];
                    append(&mut store, Seq::START, &rows);
                }
            })
        })
        .collect();
    // A reader that follows meanwhile never sees a number before the one that precedes it.
    let (mut reader, mut seen) = (open(place), Seq::START);
    let mut over = false;
    while !over {
        over = writers.iter().all(std::thread::JoinHandle::is_finished);
        for row in reader.read_after(seen, 1000).unwrap() {
            assert_eq!(row.seq.0, seen.0 + 1);
            seen = row.seq;
        }
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(seen, Seq(30));
}

fn within_a_runtime(place: &Place) {
    crate::fixture::run(async {
        let mut store = open(place);
        let last = append(&mut store, Seq::START, &users(0..3));
        tokio::task::yield_now().await;
        let mut again = store.again().unwrap();
        assert_eq!(again.read_after(Seq::START, 10).unwrap().last().unwrap().seq, last);
        tokio::task::spawn_blocking(move || assert_eq!(again.count().unwrap(), 3)).await.unwrap();
        // Both are dropped where nobody may block.
        drop(store);
    });
}
