//! What a store promises of the records of the directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_model::EntryKind;
use doorward_state::{
    BATCH_WRITES_MAX, Expected, Found, RECORD_BYTES_MAX, Record, RecordGroup, RecordKind, Refusal, Seq,
    Store, UniqueKey, Verdict, Version, Write,
};
use uuid::Uuid;

use super::store::{open, row, users};
use super::{Case, Place};
use crate::fixture::target;

pub(crate) const CASES: &[Case] = &[
    ("records come back as they were written", come_back),
    ("a group is written whole or not at all, and the others are", whole_groups),
    ("records and rows are one step", one_step),
    ("a key has one holder, who is named, and gives it back", keys),
    ("an id of a person is used once, that of a membership again", used_once),
    ("of two who write over the same version one wins", races),
    ("whoever follows the records misses none", followers),
    ("private kinds are not followed, and leave nothing when deleted", private_kinds),
    ("a group that an attempt before wrote is not written twice", not_twice),
    ("a page of a kind is in the order of its ids", pages),
    ("the largest batch is written in time", largest),
    ("records are there after opening again", opened_again),
];

pub(crate) fn key(text: &str) -> UniqueKey {
    UniqueKey::new(text).unwrap()
}

pub(crate) fn body(text: &str) -> Option<Arc<[u8]>> {
    Some(Arc::from(text.as_bytes()))
}

/// A person whose record says `text`.
pub(crate) fn person(id: &str, expected: Expected, text: &str) -> Write {
    Write { kind: RecordKind::Person, id: id.into(), expected, body: body(text), keys: Vec::new() }
}

pub(crate) fn text(record: &Record) -> &str {
    std::str::from_utf8(record.body.as_deref().unwrap()).unwrap()
}

fn gone(write: Write) -> Write {
    Write { body: None, keys: Vec::new(), ..write }
}

/// Writes each group in one transaction, without rows.
pub(crate) fn put(store: &mut Store, groups: &[&[Write]]) -> Vec<Verdict> {
    let groups: Vec<RecordGroup<'_>> =
        groups.iter().map(|writes| RecordGroup { writes, proof: None }).collect();
    store.commit(Seq::START, &groups, &mut |_, _| Vec::new()).unwrap().verdicts
}

/// The versions of one group that is written.
fn done(store: &mut Store, writes: &[Write]) -> Vec<Version> {
    match put(store, &[writes]).remove(0) {
        Verdict::Written(versions) => versions,
        other => panic!("not written: {other:?}"),
    }
}

fn refused(store: &mut Store, writes: &[Write]) -> Refusal {
    match put(store, &[writes]).remove(0) {
        Verdict::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn all(store: &mut Store) -> Vec<Record> {
    store.records_after(Version::START, 1000).unwrap().records
}

fn come_back(place: &Place) {
    let mut store = open(place);
    let odd = Write {
        keys: vec![key("ü:Grüße 'x'"), key("b")],
        ..person("Grüße 'x' \"y\"", Expected::Absent, "{}")
    };
    let bytes: Arc<[u8]> = (0..=255).collect();
    let blob = Write { body: Some(Arc::clone(&bytes)), ..person("blob", Expected::Any, "") };
    assert_eq!(done(&mut store, &[odd.clone(), blob]), [Version(1), Version(2)]);
    let read = store.record(RecordKind::Person, &odd.id).unwrap().unwrap();
    assert_eq!((read.kind, &read.id, read.version), (RecordKind::Person, &odd.id, Version(1)));
    assert_eq!(read.body, odd.body);
    assert_eq!(store.record_by_key(&odd.keys[0]).unwrap(), Some(read.clone()));
    assert_eq!(store.record(RecordKind::Person, "blob").unwrap().unwrap().body, Some(bytes));
    assert_eq!(store.record(RecordKind::Group, "blob").unwrap(), None);
    assert_eq!(store.record_by_key(&key("c")).unwrap(), None);
    // Written over, and deleted.
    let over = person(&odd.id, Expected::Version(Version(1)), "{2}");
    assert_eq!(done(&mut store, std::slice::from_ref(&over)), [Version(3)]);
    assert_eq!(text(&store.record(RecordKind::Person, &odd.id).unwrap().unwrap()), "{2}");
    assert_eq!(store.record_by_key(&odd.keys[0]).unwrap(), None, "it is not named any more");
    assert_eq!(done(&mut store, &[gone(person("blob", Expected::Any, ""))]), [Version(4)]);
    let tomb = store.record(RecordKind::Person, "blob").unwrap().unwrap();
    assert_eq!((tomb.version, tomb.body), (Version(4), None));
    store.check_records().unwrap();
}

fn whole_groups(place: &Place) {
    let mut store = open(place);
    done(&mut store, &[person("a", Expected::Absent, "1")]);
    let good = [person("b", Expected::Absent, "2")];
    let bad = [person("c", Expected::Absent, "3"), person("a", Expected::Version(Version(9)), "3")];
    // It knows what the one before wrote.
    let after = [person("b", Expected::Version(Version(2)), "4"), person("d", Expected::Any, "4")];
    let verdicts = put(&mut store, &[&good, &bad, &after]);
    let conflict =
        Refusal::Conflict { kind: RecordKind::Person, id: "a".to_owned(), found: Found::At(Version(1)) };
    assert_eq!(
        verdicts,
        [
            Verdict::Written(vec![Version(2)]),
            Verdict::Refused(conflict),
            Verdict::Written(vec![Version(3), Version(4)])
        ]
    );
    let there: Vec<_> =
        all(&mut store).iter().map(|r| format!("{}={}@{}", r.id, text(r), r.version.0)).collect();
    assert_eq!(there, ["a=1@1", "b=4@3", "d=4@4"]);
}

fn one_step(place: &Place) {
    let mut store = open(place);
    let good = [person("a", Expected::Absent, "1")];
    let bad = [person("a", Expected::Absent, "2")];
    let groups = [&good, &bad].map(|writes| RecordGroup { writes, proof: None });
    let written = store
        .commit(Seq::START, &groups, &mut |_, verdicts| {
            let is_written = |verdict: &Verdict| matches!(verdict, Verdict::Written(_));
            users(0..2).into_iter().zip(verdicts).filter(|(_, v)| is_written(v)).map(|(row, _)| row).collect()
        })
        .unwrap();
    assert_eq!(written.appended.last, Seq(1));
    let rows = store.read_after(Seq::START, 10).unwrap();
    assert_eq!(rows.iter().map(|row| row.target.id()).collect::<Vec<_>>(), ["corp:u0"]);
    // While it is under way nobody else sees any of it.
    let mut other = store.again().unwrap();
    let next = [person("b", Expected::Absent, "3")];
    let groups = [RecordGroup { writes: &next, proof: None }];
    let written = store.commit(Seq(1), &groups, &mut |_, _| {
        assert_eq!(other.record(RecordKind::Person, "b").unwrap(), None);
        users(7..8)
    });
    assert_eq!(written.unwrap().verdicts, [Verdict::Written(vec![Version(2)])]);
    assert!(other.record(RecordKind::Person, "b").unwrap().is_some());
    assert_eq!(other.read_after(Seq(1), 10).unwrap().len(), 1);
}

fn keys(place: &Place) {
    let mut store = open(place);
    let with = |id: &str, keys: &[&str]| Write {
        keys: keys.iter().map(|k| key(k)).collect(),
        ..person(id, Expected::Any, "1")
    };
    done(&mut store, &[with("a", &["name:alice", "mail:a@x"]), with("b", &["name:bob"])]);
    let clash = refused(&mut store, &[with("c", &["name:carol"]), with("b", &["name:bob", "name:alice"])]);
    let taken = Refusal::KeyTaken {
        key: key("name:alice"),
        holder_kind: "person".to_owned(),
        holder_id: "a".to_owned(),
    };
    assert_eq!(clash, taken);
    assert_eq!(store.record(RecordKind::Person, "c").unwrap(), None);
    assert_eq!(store.record_by_key(&key("name:carol")).unwrap(), None);
    // One that is not named any more is free, and so are all of whoever is deleted.
    done(&mut store, &[with("a", &["mail:a@x"])]);
    done(&mut store, &[with("b", &["name:bob", "name:alice"])]);
    assert_eq!(&*store.record_by_key(&key("name:alice")).unwrap().unwrap().id, "b");
    done(&mut store, &[gone(with("b", &[]))]);
    assert_eq!(store.record_by_key(&key("name:bob")).unwrap(), None);
    done(&mut store, &[with("c", &["name:bob", "name:alice"])]);
    // Two change places in one step.
    done(&mut store, &[with("a", &["name:bob"]), with("c", &["mail:a@x"])]);
    assert_eq!(&*store.record_by_key(&key("name:bob")).unwrap().unwrap().id, "a");
    assert_eq!(&*store.record_by_key(&key("mail:a@x")).unwrap().unwrap().id, "c");
    // Upper and lower case are whoever's who makes the key.
    done(&mut store, &[with("d", &["name:Bob"])]);
}

fn used_once(place: &Place) {
    let mut store = open(place);
    let member = |expected, text| Write { kind: RecordKind::Membership, ..person("g:a", expected, text) };
    done(&mut store, &[person("a", Expected::Absent, "1"), member(Expected::Absent, "1")]);
    done(&mut store, &[gone(person("a", Expected::Any, "")), gone(member(Expected::Any, ""))]);
    for expected in [Expected::Absent, Expected::Any, Expected::Version(Version(3))] {
        let Refusal::Conflict { found, .. } = refused(&mut store, &[person("a", expected, "2")]) else {
            panic!("another reason")
        };
        assert_eq!(found, Found::Deleted(Version(3)), "{expected:?}");
    }
    assert_eq!(done(&mut store, &[member(Expected::Absent, "2")]), [Version(5)]);
}

fn races(place: &Place) {
    const ROUNDS: usize = 25;
    let mut store = open(place);
    done(&mut store, &[person("a", Expected::Absent, "0")]);
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let racers: Vec<_> = (0..2)
        .map(|racer| {
            let (mut store, barrier) = (open(place), Arc::clone(&barrier));
            std::thread::spawn(move || {
                let mut won = Vec::new();
                for round in 0..ROUNDS {
                    let known = store.record(RecordKind::Person, "a").unwrap().unwrap().version;
                    barrier.wait();
                    let write = person("a", Expected::Version(known), &format!("{round}-{racer}"));
                    let verdict = put(&mut store, &[&[write]]).remove(0);
                    won.push((known, matches!(verdict, Verdict::Written(_))));
                    barrier.wait();
                }
                won
            })
        })
        .collect();
    let outcomes: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
    for (one, other) in outcomes[0].iter().zip(&outcomes[1]) {
        assert_eq!(one.0, other.0, "both knew the same");
        assert!(one.1 != other.1, "exactly one wins: {one:?} {other:?}");
    }
}

fn followers(place: &Place) {
    const WRITERS: usize = 3;
    const EACH: usize = 30;
    let writers: Vec<_> = (0..WRITERS)
        .map(|w| {
            let mut store = open(place);
            std::thread::spawn(move || {
                for i in 0..EACH {
                    // Records of its own, one that all write, and one that nobody follows.
                    let private =
                        Write { kind: RecordKind::Seen, ..person(&format!("s{w}-{i}"), Expected::Any, "s") };
                    let own = person(&format!("w{w}-{}", i % 10), Expected::Any, &format!("{w}-{i}"));
                    let shared = person("shared", Expected::Any, &format!("{w}-{i}"));
                    done(&mut store, &[own, shared, private]);
                }
            })
        })
        .collect();
    let (mut reader, mut seen) = (open(place), Version::START);
    let mut known: BTreeMap<String, (Version, String)> = BTreeMap::new();
    let mut over = false;
    while !over {
        over = writers.iter().all(std::thread::JoinHandle::is_finished);
        loop {
            let page = reader.records_after(seen, 7).unwrap();
            assert!(page.up_to >= seen);
            for record in &page.records {
                assert!(record.version > seen && record.version <= page.up_to, "in order, once");
                let before = known.insert(record.id.to_string(), (record.version, text(record).to_owned()));
                assert!(before.is_none_or(|(version, _)| version < record.version));
            }
            assert!(page.records.windows(2).all(|w| w[0].version < w[1].version));
            seen = page.up_to;
            if !page.more {
                break;
            }
        }
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(seen, Version(i64::try_from(WRITERS * EACH * 3).unwrap()), "private ones are passed over");
    let truth: BTreeMap<_, _> = all(&mut open(place))
        .iter()
        .map(|record| (record.id.to_string(), (record.version, text(record).to_owned())))
        .collect();
    assert_eq!(known, truth);
    assert_eq!(known.len(), WRITERS * 10 + 1);
}

fn private_kinds(place: &Place) {
    let mut store = open(place);
    let seen = |expected, text| Write {
        kind: RecordKind::Seen,
        keys: vec![key("k")],
        ..person("x", expected, text)
    };
    assert_eq!(done(&mut store, &[seen(Expected::Absent, "1")]), [Version(1)]);
    let page = store.records_after(Version::START, 10).unwrap();
    assert_eq!((page.records, page.up_to, page.more), (Vec::new(), Version(1), false));
    assert_eq!(store.record(RecordKind::Seen, "x").unwrap().map(|r| r.version), Some(Version(1)));
    done(&mut store, &[gone(seen(Expected::Version(Version(1)), ""))]);
    assert_eq!(store.record(RecordKind::Seen, "x").unwrap(), None);
    assert_eq!(store.record_by_key(&key("k")).unwrap(), None);
    let Refusal::Conflict { found, .. } = refused(&mut store, &[seen(Expected::Version(Version(1)), "2")])
    else {
        panic!("another reason")
    };
    assert_eq!(found, Found::Absent);
    assert_eq!(done(&mut store, &[seen(Expected::Absent, "3")]), [Version(3)], "no number is used twice");
    store.check_records().unwrap();
}

fn not_twice(place: &Place) {
    let mut store = open(place);
    let new = row(target(EntryKind::User, "corp:a"), 1);
    let writes = [person("a", Expected::Absent, "1")];
    let group = |proof| [RecordGroup { writes: &writes, proof }];
    let mut attempt = |proof: Option<Uuid>| {
        let written = store.commit(Seq::START, &group(proof), &mut |_, _| vec![new.clone()]).unwrap();
        (written.appended.last, written.verdicts)
    };
    let first = attempt(Some(new.id));
    assert_eq!(first, (Seq(1), vec![Verdict::Written(vec![Version(1)])]));
    assert_eq!(attempt(Some(new.id)), (Seq(1), vec![Verdict::Already]));
    assert!(matches!(attempt(None).1.as_slice(), [Verdict::Refused(_)]));
    assert_eq!(all(&mut open(place)).len(), 1);
}

fn pages(place: &Place) {
    let mut store = open(place);
    let ids = ["b", "a", "Z", "ä", "a b", "aa"];
    let writes: Vec<Write> = ids.iter().map(|id| person(id, Expected::Any, "1")).collect();
    let other = Write { kind: RecordKind::Group, ..person("ab", Expected::Any, "1") };
    done(&mut store, &[writes, vec![other]].concat());
    done(&mut store, &[gone(person("aa", Expected::Any, ""))]);
    let (mut after, mut read) = (String::new(), Vec::new());
    loop {
        let page = store.record_page(RecordKind::Person, &after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = last.id.to_string();
        read.extend(page.iter().map(|record| record.id.to_string()));
    }
    assert_eq!(read, ["Z", "a", "a b", "b", "ä"]);
}

fn largest(place: &Place) {
    let mut store = open(place);
    let mut writes: Vec<Write> = (0..BATCH_WRITES_MAX)
        .map(|i| Write {
            kind: RecordKind::Membership,
            keys: vec![key(&format!("member:{i}"))],
            ..person(&format!("g:{i}"), Expected::Absent, &"x".repeat(1000))
        })
        .collect();
    #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
    let began = std::time::Instant::now();
    done(&mut store, &writes);
    for (i, write) in writes.iter_mut().enumerate() {
        write.expected = Expected::Version(Version(i64::try_from(i).unwrap() + 1));
        write.body = if i % 2 == 0 { None } else { body("y") };
        write.keys.truncate(i % 2);
    }
    done(&mut store, &writes);
    println!("two batches of {BATCH_WRITES_MAX} writes took {:?}", began.elapsed());
    let page = store.record_page(RecordKind::Membership, "", BATCH_WRITES_MAX).unwrap();
    assert_eq!(page.len(), BATCH_WRITES_MAX / 2);
    assert_eq!(store.record_by_key(&key("member:4")).unwrap(), None);
    assert_eq!(text(&store.record_by_key(&key("member:5")).unwrap().unwrap()), "y");
    let large: Vec<Write> = (0..250)
        .map(|i| Write {
            body: Some(vec![b'z'; RECORD_BYTES_MAX].into()),
            ..person(&format!("p{i}"), Expected::Absent, "")
        })
        .collect();
    done(&mut store, &large);
    store.check_records().unwrap();
}

fn opened_again(place: &Place) {
    let mut store = open(place);
    done(&mut store, &[person("a", Expected::Absent, "1"), person("b", Expected::Absent, "1")]);
    done(&mut store, &[gone(person("b", Expected::Any, ""))]);
    let before = all(&mut store);
    assert_eq!(before.len(), 2);
    drop(store);
    let mut store = open(place);
    assert_eq!(all(&mut store), before);
    assert_eq!(done(&mut store, &[person("c", Expected::Absent, "1")]), [Version(4)]);
}
