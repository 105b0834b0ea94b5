use proptest::prelude::*;

use super::*;

fn held(kind: EntryKind, id: &str) -> Held {
    let entry = Entry { not_before: UnixMillis(-7), version: VERSION_MAX, disabled: true };
    Held { target: Target::parse(kind, id).unwrap(), entry, id: Uuid::from_u128(9) }
}

fn record(kind: RecordKind, id: &str, version: i64, body: Option<Vec<u8>>) -> Record {
    Record { kind, id: id.into(), version: Version(version), body: body.map(Arc::from) }
}

fn targets() -> [Held; 5] {
    [
        held(EntryKind::User, "corp:Grüße 'x'"),
        held(EntryKind::Session, "corp:s-1"),
        held(EntryKind::Token, "corp:urn:x:1"),
        held(EntryKind::Device, "dev-77"),
        held(EntryKind::UserAtApp, "payroll@corp:a@b.example"),
    ]
}

fn published() -> Vec<Record> {
    let all = RecordKind::ALL.into_iter().filter(|kind| kind.is_published()).zip(1..);
    all.flat_map(|(kind, n)| {
        [record(kind, "Grüße", n, Some(b"{}".to_vec())), record(kind, "gone", n + 100, None)]
    })
    .collect()
}

/// The records of bundles, and whether more follows after each.
fn unbundled(bundles: &[Vec<u8>]) -> (Vec<Record>, Vec<bool>) {
    let (mut all, mut follows) = (Vec::new(), Vec::new());
    for bundle in bundles {
        let Ok(Item::Records { records, more }) = unpack(bundle) else { panic!("a bundle") };
        all.extend(records);
        follows.push(more);
    }
    (all, follows)
}

#[test]
fn every_kind_survives_and_every_cut_is_noticed() {
    let (targets, records) = (targets(), published());
    assert_eq!(targets.len(), EntryKind::ALL.len());
    assert_eq!(records.len(), 10, "each published kind, live and deleted");
    let mut chunk = Chunk::new();
    for held in &targets {
        assert_eq!(unpack(&pack(held)), Ok(Item::Target(held.clone())));
        chunk.push(&pack(held));
    }
    for record in &records {
        let item = Item::Records { records: vec![record.clone()], more: false };
        assert_eq!(unpack(&pack_record(record)), Ok(item));
        chunk.push(&pack_record(record));
    }
    let (bytes, mut read) = (chunk.take(), 0);
    assert!(chunk.is_empty());
    assert_eq!(unchunk(&bytes, |_| read += 1), Ok(15));
    assert_eq!(read, 15);
    let whole_entries = |cut: usize| unchunk(&bytes[..cut], |_| {}).is_ok_and(|n| n == 15);
    assert!((0..bytes.len()).all(|cut| !whole_entries(cut)), "a shorter chunk has fewer entries");
    let bundle = &pack_records(&records)[0];
    let all = |cut: usize| matches!(unpack(&bundle[..cut]), Ok(Item::Records { records, .. }) if records.len() == 10);
    assert!((0..bundle.len()).all(|cut| !all(cut)), "a shorter bundle has fewer records");
}

#[test]
fn what_a_later_version_writes_is_not_guessed() {
    let good = pack(&held(EntryKind::User, "corp:alice"));
    for (at, value) in [(0, 3), (0, 0), (1, 3), (1, 128), (2, 0), (2, 6)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(unpack(&bytes), Err(Unreadable), "byte {at} = {value}");
    }
    let good = pack_record(&record(RecordKind::Person, "p", 1, Some(b"{}".to_vec())));
    // Flags, a kind that is not known, neither there nor deleted, deleted with a body, no id.
    for (at, value) in [(1, 2), (2, 0), (2, 6), (3, 2), (3, 0), (4, 255), (13, 0)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(unpack(&bytes), Err(Unreadable), "byte {at} = {value}");
    }
    assert_eq!(unpack(&[]), Err(Unreadable));
    assert_eq!(unpack(&[OF_RECORDS, 0]), Err(Unreadable), "nothing in it");
    let (mut live, mut final_word) =
        (record(RecordKind::Person, "p", 1, Some(Vec::new())), held(EntryKind::User, "corp:alice"));
    assert_eq!(unpack(&pack_record(&live)), Err(Unreadable), "a body of nothing");
    live = record(RecordKind::Person, "p", (1 << 48) + 1, None);
    assert_eq!(unpack(&pack_record(&live)), Err(Unreadable), "a version that nothing could follow");
    final_word.entry.version = VERSION_MAX + 1;
    assert_eq!(unpack(&pack(&final_word)), Err(Unreadable));
    assert_eq!(unchunk(b"DWS1", |_| {}), Err(Unreadable));
}

#[test]
fn records_are_bundled_in_their_order_and_only_the_last_bundle_ends() {
    let sizes = [1, 10_000, RECORD_BYTES_MAX, 3, 20_000, 20_000, RECORD_BYTES_MAX, RECORD_BYTES_MAX, 1];
    let records: Vec<Record> = sizes
        .iter()
        .zip(1..)
        .map(|(size, n)| record(RecordKind::Membership, &format!("m{n}"), n, Some(vec![b'x'; *size])))
        .collect();
    let bundles = pack_records(&records);
    assert!(bundles.iter().all(|bundle| bundle.len() <= BUNDLE_BYTES_MAX));
    let (read, follows) = unbundled(&bundles);
    assert_eq!(read, records);
    assert_eq!(follows, [true, true, true, true, true, true, false], "7 bundles");
    let id = "x".repeat(RECORD_ID_BYTES_MAX);
    let largest = record(RecordKind::Person, &id, 1, Some(vec![b'x'; RECORD_BYTES_MAX]));
    assert_eq!(unbundled(&pack_records(std::slice::from_ref(&largest))), (vec![largest], vec![false]));
    assert!(pack_records(&[]).is_empty());
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = unpack(&bytes);
        let _ = unchunk(&bytes, |_| {});
        for head in [OF_TARGET, OF_RECORDS] {
            let entry = [&[head, 0], bytes.as_slice()].concat();
            let _ = unpack(&entry);
            let mut chunk = Chunk::new();
            chunk.push(&entry);
            let _ = unchunk(&chunk.take(), |_| {});
        }
    }

    #[test]
    fn records_come_back_as_they_were(
        given in proptest::collection::vec((0_usize..5, "[a-zé]{1,40}", 1_i64..1_000_000, proptest::option::of(
            proptest::collection::vec(any::<u8>(), 1..5000))), 1..40),
    ) {
        let kinds: Vec<RecordKind> = RecordKind::ALL.into_iter().filter(|kind| kind.is_published()).collect();
        let records: Vec<Record> =
            given.into_iter().map(|(kind, id, version, body)| record(kinds[kind], &id, version, body)).collect();
        let (read, follows) = unbundled(&pack_records(&records));
        prop_assert_eq!(read, records);
        prop_assert!(follows.iter().rev().enumerate().all(|(i, more)| *more == (i > 0)));
    }
}
