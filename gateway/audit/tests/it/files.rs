//! Files: begun, rotated, torn, taken away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use doorward_audit::{Audit, AuditError, AuditState, Identity, Recorded};
use doorward_model::UnixMillis;
use serde_json::Value;

use crate::samples::{
    self, block_on, clock, config, eventually, identity, lines, number, open, sequences, small, text,
};

fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_str().unwrap().ends_with(end))
        .collect();
    files.sort();
    files
}

fn durable(audit: &Audit) -> u64 {
    block_on(audit.record_durable(samples::revocation(samples::bob(), true))).unwrap().0
}

fn of_code<'a>(events: &'a [Value], code: &str) -> Vec<&'a Value> {
    events.iter().filter(|e| text(e, "/metadata/event_code") == code).collect()
}

/// The one gap event there must be.
fn gap(events: &[Value]) -> &Value {
    let gaps = of_code(events, "audit.gap");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    &gaps[0]["unmapped"]["doorward"]["gap"]
}

#[test]
fn files_are_for_the_owner_and_named_by_run_and_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("deep/audit");
    let (audit, report) = open(small(&inner));
    assert_eq!(report.segment.file_name().unwrap(), "audit-gw-1-20261120T220000123Z-000000000001.jsonl");
    assert_eq!(fs::metadata(&report.segment).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "the reserve has no name");
    drop(audit);
}

#[test]
fn a_full_file_is_followed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(small(dir.path()));
    for _ in 0..200 {
        durable(&audit);
    }
    audit.close().unwrap();
    let files = files(dir.path(), ".jsonl");
    assert!(files.len() >= 3, "{files:?}");
    assert!(files.iter().all(|f| fs::metadata(f).unwrap().len() <= 64 * 1024));
    assert_eq!(sequences(&lines(dir.path())), (1..=200).collect::<Vec<_>>());
    for file in files {
        let first: Value =
            serde_json::from_str(fs::read_to_string(&file).unwrap().lines().next().unwrap()).unwrap();
        let number = format!("{:012}.jsonl", number(&first, "/metadata/sequence"));
        assert!(file.to_str().unwrap().ends_with(&number), "{file:?} begins with {number}");
    }
}

#[test]
fn two_processes_side_by_side_write_two_files() {
    let dir = tempfile::tempdir().unwrap();
    let (old, old_report) = open(small(dir.path()));
    durable(&old);
    let before = fs::read(&old_report.segment).unwrap();
    let (new, new_report) = open(small(dir.path()));
    assert_ne!(old_report.segment, new_report.segment, "though both began at the same millisecond");
    assert_eq!(new_report.in_use, std::slice::from_ref(&old_report.segment));
    assert_eq!(new_report.repaired, []);
    durable(&new);
    durable(&old);
    drop((old, new));
    assert!(fs::read(&old_report.segment).unwrap().starts_with(&before));
    assert_eq!(fs::read_to_string(&old_report.segment).unwrap().lines().count(), 2);
    let uids: std::collections::BTreeSet<_> =
        lines(dir.path()).iter().map(|e| text(e, "/metadata/uid").to_owned()).collect();
    assert_eq!(uids.len(), 3, "no uid twice: {uids:?}");
}

/// A file as an earlier run left it, with so many events.
fn earlier(dir: &Path, events: u64) -> (PathBuf, Vec<u8>) {
    let long_ago: doorward_model::time::Clock = std::sync::Arc::new(|| UnixMillis(1_700_000_000_000));
    let (audit, report) = Audit::open(small(dir), identity(), long_ago).unwrap();
    for _ in 0..events {
        assert_eq!(audit.record(samples::denied("req")), Recorded::Queued);
    }
    audit.close().unwrap();
    let bytes = fs::read(&report.segment).unwrap();
    (report.segment, bytes)
}

/// Cut at every byte: see the tests of `repair`. Here: what is told of it.
#[test]
fn a_torn_tail_is_cut_kept_aside_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let (file, whole) = earlier(dir.path(), 3);
    let end = whole.iter().take(whole.len() - 1).rposition(|b| *b == b'\n').unwrap() + 1;
    fs::write(&file, &whole[..whole.len() - 40]).unwrap();
    let (audit, report) = open(small(dir.path()));
    audit.close().unwrap();
    let cut = whole.len() - 40 - end;
    let torn = &report.repaired[0];
    assert_eq!((torn.kept_bytes, torn.cut_bytes), (end as u64, cut as u64));
    assert_eq!(fs::read(&file).unwrap(), whole[..end]);
    assert_eq!(fs::read(dir.path().join(&torn.aside)).unwrap(), whole[end..whole.len() - 40]);
    let events = lines(dir.path());
    let mended = of_code(&events, "audit.torn_tail_repaired");
    assert_eq!(mended.len(), 1);
    assert_eq!(number(mended[0], "/unmapped/doorward/torn_tail/cut_bytes"), cut as u64);
}

#[test]
fn a_mended_file_stays_mended_and_an_empty_one_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let (file, whole) = earlier(dir.path(), 2);
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    fs::write(dir.path().join("audit-gw-0-20200101T000000000Z-000000000001.jsonl"), b"").unwrap();
    fs::write(dir.path().join("audit-gw-0-20200101T000000000Z-000000000009.jsonl.torn"), b"{").unwrap();
    assert_eq!(open(small(dir.path())).1.repaired.len(), 1);
    assert_eq!(open(small(dir.path())).1.repaired.len(), 0);
    // Torn anew: what was kept aside before is not overwritten.
    fs::write(&file, b"{").unwrap();
    let report = open(small(dir.path())).1;
    assert!(report.repaired[0].aside.ends_with(".torn1"), "{report:?}");
    assert_eq!(fs::read(&file).unwrap(), b"");
}

/// One line without an end, longer than any event, and bytes that are no text.
#[test]
fn a_file_of_nothing_but_garbage_is_emptied_and_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit-gw-0-20200101T000000000Z-000000000001.jsonl");
    let mut garbage = vec![0xfe_u8; 700_000];
    garbage.extend(b"\n{\"metadata\":{\"sequence\":0},\"unmapped\":{}}\n{}\n");
    fs::write(&file, &garbage).unwrap();
    let (_, report) = open(small(dir.path()));
    assert_eq!(report.repaired[0].kept_bytes, 0);
    assert_eq!(fs::read(dir.path().join(&report.repaired[0].aside)).unwrap(), garbage);
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "audit.jsonl", "audit-x.jsonl"] {
        fs::write(dir.path().join(name), b"{ no end").unwrap();
    }
    let outside = dir.path().join("outside");
    fs::write(&outside, b"{ no end").unwrap();
    let link = dir.path().join("audit-gw-0-20200101T000000000Z-000000000001.jsonl");
    std::os::unix::fs::symlink(&outside, link).unwrap();
    assert_eq!(open(small(dir.path())).1.repaired, []);
    for name in ["notes.txt", "audit.jsonl", "audit-x.jsonl", "outside"] {
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"{ no end", "{name}");
    }
}

#[test]
fn a_deleted_file_is_noticed_before_the_next_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, report) = open(small(dir.path()));
    assert_eq!((durable(&audit), durable(&audit)), (1, 2));
    fs::remove_file(&report.segment).unwrap();
    let third = durable(&audit);
    audit.close().unwrap();
    let events = lines(dir.path());
    assert!(sequences(&events).contains(&third), "acknowledged and in no file");
    let gap = gap(&events);
    assert_eq!(text(gap, "/cause"), "segment_removed");
    let (first, last) = (number(gap, "/first_sequence"), number(gap, "/last_sequence"));
    assert_eq!((first, last, number(gap, "/lost/other")), (1, 2, 2));
    assert!(report.segment.to_str().unwrap().ends_with(text(gap, "/segment")));
}

#[test]
fn a_deleted_file_is_noticed_when_nobody_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, report) = open(small(dir.path()));
    durable(&audit);
    fs::remove_file(&report.segment).unwrap();
    eventually("a new file", || !files(dir.path(), ".jsonl").is_empty() && lines(dir.path()).len() == 1);
    assert_eq!(text(gap(&lines(dir.path())), "/cause"), "segment_removed");
    assert!(audit.accepts_grants());
}

#[test]
fn a_renamed_replaced_or_changed_file_is_noticed() {
    type Change = fn(&Path);
    let rename: Change = |file| fs::rename(file, file.with_extension("old")).unwrap();
    let replace: Change = |file| {
        fs::rename(file, file.with_extension("old")).unwrap();
        fs::write(file, b"").unwrap();
    };
    let truncate: Change = |file| fs::write(file, b"").unwrap();
    let append: Change = |file| {
        let mut bytes = fs::read(file).unwrap();
        bytes.extend(b"{\"by\":\"somebody else\"}\n");
        fs::write(file, bytes).unwrap();
    };
    for (cause, change) in [
        ("segment_moved", rename),
        ("segment_moved", replace),
        ("segment_altered", truncate),
        ("segment_altered", append),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (audit, report) = open(small(dir.path()));
        durable(&audit);
        change(&report.segment);
        let second = durable(&audit);
        audit.close().unwrap();
        let events = lines(dir.path());
        assert_eq!(text(gap(&events), "/cause"), cause);
        assert!(sequences(&events).contains(&second));
        assert_eq!(number(gap(&events), "/lost/total"), 1);
    }
}

/// A file where a folder was, so that it cannot be made anew. The log looks after its file all the time: it may
/// begin another one, or make the folder again, between any two of these steps.
fn block(folder: &Path) {
    eventually("a file is where the folder was", || {
        let _ = fs::remove_dir_all(folder);
        fs::write(folder, b"").is_ok()
    });
}

/// The folder goes away: nothing can be written, and nothing is granted until it can.
#[test]
fn without_a_folder_grants_are_refused_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("audit");
    let (audit, _) = open(small(&inner));
    durable(&audit);
    block(&inner);
    eventually("grants are refused", || !audit.accepts_grants());
    eventually("the failure is told", || audit.health().state == AuditState::Failed);
    let refused = block_on(audit.record_durable(samples::revocation(samples::bob(), true)));
    let Err(AuditError::NotDurable { sequence, .. }) = refused else { panic!("{refused:?}") };
    for i in 0..100 {
        let recorded = audit.record(samples::allowed("req"));
        assert_eq!(recorded == Recorded::Dropped, i >= 64, "the queue holds 64");
    }
    assert_eq!(audit.record(samples::denied("req-denied")), Recorded::Queued, "in place of an allowance");
    let health = audit.health();
    assert_eq!((health.state, health.dropped.allowed, health.queued), (AuditState::Failed, 37, 64));
    assert!(health.last_error.is_some());
    fs::remove_file(&inner).unwrap();
    eventually("grants are accepted again", || audit.accepts_grants());
    durable(&audit);
    audit.close().unwrap();
    let events = lines(&inner);
    assert!(sequences(&events).contains(&sequence.0), "what was not acknowledged is written later");
    assert_eq!(of_code(&events, "access.request.denied").len(), 1);
    let causes: Vec<_> =
        of_code(&events, "audit.gap").iter().map(|g| text(g, "/unmapped/doorward/gap/cause")).collect();
    assert_eq!(causes, ["segment_removed", "write_failed"]);
    let lost = of_code(&events, "audit.gap")
        .iter()
        .map(|g| number(g, "/unmapped/doorward/gap/lost/allowed"))
        .sum::<u64>();
    assert_eq!(lost, 37);
}

#[test]
fn a_close_without_a_disk_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("audit");
    let (audit, _) = open(small(&inner));
    block(&inner);
    assert_eq!(audit.record(samples::allowed("req")), Recorded::Queued);
    let closed = audit.close();
    // The decision, and the gap that tells of the file that was taken away.
    assert!(matches!(closed, Err(AuditError::Unwritten(1 | 2))), "{closed:?}");
}

#[test]
fn a_folder_that_cannot_be_used_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    for (bad, says) in [
        (file.clone(), "cannot use the audit folder"),
        (PathBuf::from("/proc/self/nothing"), "cannot use the audit folder"),
        (PathBuf::from("/dev/full"), "cannot use the audit folder"),
    ] {
        let name = bad.display().to_string();
        let error = Audit::open(config(&bad, 65536, 64, 65536), identity(), clock()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(&name), "{error}");
    }
}

#[test]
fn the_node_stands_in_every_event_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let odd = Identity { node: "gw \"ü\"/../1".to_owned(), version: "0.1.0".to_owned() };
    let (audit, report) = Audit::open(small(dir.path()), odd.clone(), clock()).unwrap();
    assert_eq!(report.segment.parent().unwrap(), dir.path());
    durable(&audit);
    audit.close().unwrap();
    assert_eq!(text(&lines(dir.path())[0], "/metadata/product/uid"), odd.node);
}

/// A line in the middle of the file that was written last, which no end of it gives away.
#[test]
fn a_damaged_line_in_the_middle_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (file, whole) = earlier(dir.path(), 3);
    let second = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    let mut bytes = whole.clone();
    bytes[second..second + 20].fill(0);
    fs::write(&file, &bytes).unwrap();
    let (audit, report) = open(small(dir.path()));
    let damaged = report.damaged.clone().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert_eq!((damaged.segment.as_str(), damaged.lines, damaged.first_at), (name, 1, second as u64));
    assert!(audit.accepts_grants(), "what is past does not stop what comes");
    assert_eq!(open(small(dir.path())).1.damaged, None, "a second process beside it does not tell it again");
    audit.close().unwrap();
    assert_eq!(fs::read(&file).unwrap(), bytes, "it is left as it is");
    let text_of = fs::read_to_string(report.segment).unwrap();
    let events: Vec<Value> = text_of.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let gap = gap(&events);
    assert_eq!((text(gap, "/cause"), text(gap, "/segment")), ("segment_damaged", name));
    assert_eq!(number(gap, "/lost/other"), 1);
    // Told once: the file of the run that told it is the last one now.
    assert_eq!(open(small(dir.path())).1.damaged, None);
}

#[test]
fn the_log_keeps_to_its_bound_and_says_which_files_go() {
    const TOTAL: u64 = 4 * 64 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let (old, _) = earlier(dir.path(), 30);
    let mine = samples::bounded(dir.path(), 64 * 1024, 64, 64 * 1024, Some(TOTAL));
    // Another process of this node writes the file that would go next.
    let before: doorward_model::time::Clock = std::sync::Arc::new(|| UnixMillis(1_700_000_001_000));
    let (other, other_report) = Audit::open(small(dir.path()), identity(), before).unwrap();
    durable(&other);
    let (audit, report) = open(mine);
    // A file that was listed may go before it is looked at: they are removed after the acknowledgement.
    let size = || {
        let there = files(dir.path(), ".jsonl");
        there.iter().filter_map(|f| Some(fs::metadata(f).ok()?.len())).sum::<u64>()
    };
    let mut most = 0;
    for _ in 0..600 {
        durable(&audit);
        most = most.max(size());
    }
    audit.close().unwrap();
    assert!(most <= TOTAL, "{most} bytes");
    assert!(most > TOTAL / 2, "more is removed than must be: {most} bytes");
    assert!(!old.exists() && !report.segment.exists(), "the oldest go");
    assert!(other_report.segment.exists(), "what a process writes stays");
    other.close().unwrap();
    let events = lines(dir.path());
    let kept: Vec<u64> = sequences(&events);
    assert!(kept.contains(&audit.health().recorded));
    let told = of_code(&events, "audit.segment_retired");
    let last = told.last().unwrap();
    let gone = text(last, "/unmapped/doorward/retired/segment");
    assert!(!dir.path().join(gone).exists(), "{gone}");
    assert!(number(last, "/unmapped/doorward/retired/bytes") > 0);
    assert_eq!(number(last, "/unmapped/doorward/retired/total_bytes_max"), TOTAL);
}

#[test]
fn without_a_bound_nothing_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (old, _) = earlier(dir.path(), 30);
    let (audit, report) = open(small(dir.path()));
    for _ in 0..600 {
        durable(&audit);
    }
    audit.close().unwrap();
    assert!(old.exists() && report.segment.exists());
}
