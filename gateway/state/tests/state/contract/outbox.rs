//! What a store promises to those who publish it, and of debts.

use std::collections::BTreeMap;

use doorward_model::{Entry, EntryKind, Target, UnixMillis};
use doorward_state::{
    Action, Debt, DebtKind, Expected, Generation, Held, NewDebt, NewRow, Reach, Row, Seq, Store, Version,
};
use uuid::Uuid;

use super::records::{person, put};
use super::store::{append, open, row, users};
use super::{Case, Place};
use crate::fixture::target;

pub(crate) const CASES: &[Case] = &[
    ("generations begin at one, only rise, and outlive the process", generations),
    ("two who raise the generation at once get different ones", generations_at_once),
    ("whatever is not noted as published is in the outbox", outbox),
    ("what is published under another generation is not noted", fenced),
    ("the outbox's mark never goes back, and never beyond the log", mark),
    ("the mark of the records moves for itself, never back, and never beyond their end", mark_of_records),
    ("a store has one history until another one begins", history),
    ("what holds for a target is all its rows, merged", merged),
    ("what holds is paged in one order, whatever the ids", paged),
    ("what holds for a target of many rows is one of many", many_rows),
    ("a debt is opened once, and settled once", debts),
    ("debts are listed newest first, page by page", debts_paged),
];

fn generations(place: &Place) {
    let mut store = open(place);
    assert_eq!(store.generation().unwrap(), Generation(1));
    assert_eq!(store.raise_generation().unwrap(), Generation(2));
    let mut same = store.again().unwrap();
    assert_eq!(same.raise_generation().unwrap(), Generation(3));
    assert_eq!(store.generation().unwrap(), Generation(3));
    drop((store, same));
    assert_eq!(open(place).generation().unwrap(), Generation(3));
}

fn generations_at_once(place: &Place) {
    let raisers: Vec<_> = (0..4)
        .map(|_| {
            let mut store = open(place);
            std::thread::spawn(move || (0..10).map(|_| store.raise_generation().unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let mut all: Vec<_> = raisers.into_iter().flat_map(|r| r.join().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (2..=41).map(Generation).collect::<Vec<_>>());
}

/// Rows up to this one.
fn rows_to(row: Seq) -> Reach {
    Reach { row, records: Version::START }
}

/// The numbers of all rows in the outbox.
fn waiting(store: &mut Store) -> Vec<i64> {
    store.unpublished(1000).unwrap().rows.iter().map(|row| row.seq.0).collect()
}

fn outbox(place: &Place) {
    let mut store = open(place);
    assert_eq!(waiting(&mut store), [0_i64; 0]);
    let last = append(&mut store, Seq::START, &users(0..5));
    let all = store.read_after(Seq::START, 10).unwrap();
    let page = store.unpublished(3).unwrap();
    assert_eq!((page.rows.as_slice(), page.generation), (&all[..3], Generation(1)));
    assert!(store.published(rows_to(all[2].seq), Generation(1)).unwrap());
    assert_eq!(store.unpublished(10).unwrap().rows, &all[3..]);
    assert!(store.published(rows_to(last), Generation(1)).unwrap());
    assert_eq!(waiting(&mut store), [0_i64; 0]);
    // Of another process, and after opening again.
    append(&mut open(place), last, &users(5..6));
    drop(store);
    let rows = open(place).unpublished(10).unwrap().rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].target.id(), "corp:u5");
}

fn fenced(place: &Place) {
    let (mut old, mut new) = (open(place), open(place));
    let last = append(&mut old, Seq::START, &users(0..3));
    let begun = old.unpublished(10).unwrap();
    assert_eq!(new.raise_generation().unwrap(), Generation(2));
    assert!(!old.published(rows_to(last), begun.generation).unwrap());
    assert!(!old.published(rows_to(last), Generation(3)).unwrap());
    assert!(!old.published(rows_to(last), Generation(0)).unwrap());
    let again = old.unpublished(10).unwrap();
    assert_eq!((again.rows, again.generation), (begun.rows, Generation(2)), "nothing was noted");
    assert!(new.published(rows_to(last), Generation(2)).unwrap());
    assert_eq!(waiting(&mut old), [0_i64; 0]);
}

fn mark(place: &Place) {
    let mut store = open(place);
    let last = append(&mut store, Seq::START, &users(0..4));
    assert!(store.published(rows_to(last), Generation(1)).unwrap());
    assert!(store.published(rows_to(Seq(1)), Generation(1)).unwrap(), "it is noted already");
    assert_eq!(waiting(&mut store), [0_i64; 0]);
    assert!(store.published(rows_to(Seq(last.0 + 1000)), Generation(1)).unwrap());
    let next = append(&mut store, last, &users(4..5));
    assert_eq!(waiting(&mut store), [next.0], "what comes later is not published");
}

fn mark_of_records(place: &Place) {
    let mut store = open(place);
    let noted = |store: &mut Store| store.unpublished(1).unwrap().records;
    let to = |row, records| Reach { row: Seq(row), records: Version(records) };
    assert_eq!(noted(&mut store), Version::START);
    put(&mut store, &[&[person("a", Expected::Absent, "1"), person("b", Expected::Absent, "1")]]);
    let last = append(&mut store, Seq::START, &users(0..1));
    assert!(store.published(to(0, 1), Generation(1)).unwrap());
    assert_eq!(
        (noted(&mut store), waiting(&mut store)),
        (Version(1), vec![last.0]),
        "one moves without the other"
    );
    assert!(store.published(to(last.0, 0), Generation(1)).unwrap());
    assert_eq!((noted(&mut store), waiting(&mut store)), (Version(1), vec![]), "neither goes back");
    assert!(store.published(to(0, 1000), Generation(1)).unwrap());
    assert_eq!(noted(&mut store), Version(2), "never beyond the end");
    put(&mut store, &[&[person("c", Expected::Absent, "1")]]);
    assert_eq!(store.raise_generation().unwrap(), Generation(2));
    assert!(!store.published(to(0, 3), Generation(1)).unwrap());
    assert_eq!(noted(&mut store), Version(2), "nothing is noted under another generation");
    drop(store);
    assert_eq!(noted(&mut open(place)), Version(2));
}

fn history(place: &Place) {
    let mut store = open(place);
    let first = store.provenance().unwrap();
    assert!(!first.history.is_empty() && first.end == Version::START, "{first:?}");
    put(&mut store, &[&[person("a", Expected::Absent, "1")]]);
    drop(store);
    let mut store = open(place);
    let same = store.provenance().unwrap();
    assert_eq!((&same.history, same.end), (&first.history, Version(1)));
    store.begin_history().unwrap();
    let other = store.again().unwrap().provenance().unwrap();
    assert!(other.history != first.history && other.end == Version(1), "{other:?}");
}

/// What [`Store::held_after`] must say, from the rows themselves.
fn expected(rows: &[Row]) -> Vec<Held> {
    let mut held: BTreeMap<(&str, String), Held> = BTreeMap::new();
    for row in rows {
        let key = (row.target.kind().as_str(), row.target.id());
        let first = Held { target: row.target.clone(), entry: row.entry, id: row.id };
        let held = held.entry(key).or_insert(first);
        held.entry = held.entry.merge(row.entry);
        if row.action != Action::Reactivate {
            held.id = row.id;
        }
    }
    held.into_values().collect()
}

/// Everything that holds, in pages.
fn all_held(store: &mut Store, limit: usize) -> Vec<Held> {
    let mut all: Vec<Held> = Vec::new();
    loop {
        let page = store.held_after(all.last().map(|held| &held.target), limit).unwrap();
        assert!(page.len() <= limit);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn step(target: &Target, action: Action, not_before: i64, version: u64, disabled: bool) -> NewRow {
    let entry = Entry { not_before: UnixMillis(not_before), version, disabled };
    NewRow { action, entry, ..row(target.clone(), 1) }
}

fn merged(place: &Place) {
    let mut store = open(place);
    assert!(store.held_after(None, 10).unwrap().is_empty());
    let (alice, bob) = (target(EntryKind::User, "corp:alice"), target(EntryKind::User, "corp:bob"));
    let rows = [
        step(&alice, Action::Revoke, 900, 0, false),
        step(&bob, Action::Reactivate, 5, 1, false),
        step(&alice, Action::Disable, 800, 1, true),
        step(&bob, Action::Reactivate, 7, 2, false),
        step(&alice, Action::Reactivate, 850, 2, false),
    ];
    append(&mut store, Seq::START, &rows);
    let held = store.held_after(None, 10).unwrap();
    let entry = |not_before, version| Entry { not_before: UnixMillis(not_before), version, disabled: false };
    let want = [
        Held { target: alice.clone(), entry: entry(900, 2), id: rows[2].id },
        Held { target: bob, entry: entry(7, 2), id: rows[1].id },
    ];
    assert_eq!(held, want);
    assert_eq!(store.held_after(Some(&alice), 10).unwrap(), &want[1..]);
    assert!(store.held_after(None, 0).unwrap().is_empty());
}

fn paged(place: &Place) {
    let mut store = open(place);
    let mut targets = Vec::new();
    for id in [
        "a",
        "A",
        "a ",
        "a%",
        "a_",
        "a'",
        "a\"",
        "a\\",
        "b'); DROP TABLE rev_log; --",
        "é",
        "e\u{301}",
        "ü",
        "z",
        "Z",
        "ß",
        "ss",
        "ı",
        "i",
        "I",
        "İ",
        "\u{a0}",
        "\u{200b}",
        "\u{feff}",
        "😀",
        "漢",
        "\u{10ffff}",
        "a:b",
        "a@b",
        "a\u{300}b",
        "-",
        "_",
        "%",
        "user",
        "0",
        "00",
        "10",
        "9",
    ] {
        targets.push(target(EntryKind::User, &format!("corp:{id}")));
        targets.push(target(EntryKind::UserAtApp, &format!("payroll@corp:{id}")));
    }
    for id in ["a", "A", "'", "%", "_", "~", "!", "{ns}:m", "$1"] {
        targets.push(target(EntryKind::Session, &format!("corp:{id}")));
        targets.push(target(EntryKind::Token, &format!("corp:{id}")));
    }
    targets.push(target(EntryKind::Device, "dev-1"));
    targets.push(target(EntryKind::User, &format!("corp:{}", "x".repeat(255))));
    targets.push(target(EntryKind::User, &format!("corp:{}", "漢".repeat(85))));
    // Each three times, mixed.
    let mut rows = Vec::new();
    for (round, step) in [(0, 7), (1, 11), (2, 13)] {
        for i in 0..targets.len() {
            let target = &targets[(i * step) % targets.len()];
            rows.push(row(target.clone(), i64::try_from(round * 1000 + i).unwrap()));
        }
    }
    append(&mut store, Seq::START, &rows);
    let want = expected(&store.read_after(Seq::START, 1000).unwrap());
    assert_eq!(want.len(), targets.len());
    for limit in [1, 2, 7, 1000] {
        assert_eq!(all_held(&mut store, limit), want, "pages of {limit}");
    }
}

fn many_rows(place: &Place) {
    let mut store = open(place);
    let target = |name: &str| target(EntryKind::User, &format!("corp:{name}"));
    let mut rows: Vec<NewRow> = (0..2500).map(|i| row(target("b"), i)).collect();
    rows.push(row(target("a"), 1));
    rows.push(row(target("c"), 1));
    let mut seen = Seq::START;
    for batch in rows.chunks(256) {
        seen = append(&mut store, seen, batch);
    }
    let want = [
        Held { target: target("a"), entry: rows[2500].entry, id: rows[2500].id },
        Held { target: target("b"), entry: rows[2499].entry, id: rows[2499].id },
        Held { target: target("c"), entry: rows[2501].entry, id: rows[2501].id },
    ];
    let mut shown = 0;
    store
        .append(Seq::START, &mut |others| {
            shown = others.len();
            Vec::new()
        })
        .unwrap();
    assert_eq!(shown, rows.len(), "whoever appends is shown all of them");
    for limit in [1, 2, 3, 10] {
        assert_eq!(all_held(&mut store, limit), want, "pages of {limit}");
    }
}

fn debt(about: &str) -> NewDebt {
    NewDebt {
        id: Uuid::new_v4(),
        kind: DebtKind::MissedRevocation,
        about: about.to_owned(),
        owner: "o'brien & söhne".to_owned(),
        cause: "gw-3 did not answer; DROP TABLE debt; --".to_owned(),
        opened_at: UnixMillis(1000),
        due_at: UnixMillis(2000),
    }
}

fn is(debt: &Debt, new: &NewDebt) -> bool {
    let back = NewDebt {
        id: debt.id,
        kind: debt.kind,
        about: debt.about.clone(),
        owner: debt.owner.clone(),
        cause: debt.cause.clone(),
        opened_at: debt.opened_at,
        due_at: debt.due_at,
    };
    back == *new
}

fn debts(place: &Place) {
    let mut store = open(place);
    assert!(store.debts(false, None, 10).unwrap().is_empty());
    let new = debt("gw-3");
    store.open_debt(&new).unwrap();
    store.open_debt(&NewDebt { cause: "told twice".to_owned(), ..new.clone() }).unwrap();
    let open_debts = store.debts(true, None, 10).unwrap();
    assert!(open_debts.len() == 1 && is(&open_debts[0], &new), "{open_debts:?}");
    assert_eq!(open_debts[0].settled, None);

    assert!(!store.settle_debt(Uuid::new_v4(), UnixMillis(1500), "who?").unwrap());
    assert!(store.settle_debt(new.id, UnixMillis(1500), "gw-3 was gone for good").unwrap());
    assert!(!store.settle_debt(new.id, UnixMillis(1600), "again").unwrap(), "it is settled");
    store.open_debt(&new).unwrap();
    drop(store);
    let mut store = open(place);
    assert!(store.debts(true, None, 10).unwrap().is_empty());
    let all = store.debts(false, None, 10).unwrap();
    assert!(all.len() == 1 && is(&all[0], &new), "{all:?}");
    assert_eq!(all[0].settled, Some((UnixMillis(1500), "gw-3 was gone for good".to_owned())));
}

fn debts_paged(place: &Place) {
    let mut store = open(place);
    let new: Vec<_> = (0..7).map(|i| debt(&format!("gw-{i}"))).collect();
    for debt in &new {
        store.open_debt(debt).unwrap();
    }
    for debt in new.iter().step_by(2) {
        store.settle_debt(debt.id, UnixMillis(1500), "done").unwrap();
    }
    for (open_only, want) in [
        (false, ["gw-6", "gw-5", "gw-4", "gw-3", "gw-2", "gw-1", "gw-0"].as_slice()),
        (true, &["gw-5", "gw-3", "gw-1"]),
    ] {
        let (mut before, mut told) = (None, Vec::new());
        loop {
            let page = store.debts(open_only, before, 2).unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            assert!(page.len() <= 2 && page.windows(2).all(|w| w[0].seq > w[1].seq));
            told.extend(page.into_iter().map(|debt| debt.about));
        }
        assert_eq!(told, want);
    }
}
