//! Replay: a week of recorded decisions under other policies, compared with plain Cedar, one by one.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use doorward_audit::{Identity, Sequence};
use doorward_model::{AppId, UnixMillis};
use doorward_policy::{PolicyBundle, Workshop};
use doorward_workbench::replay::{Change, PersonKind, Progress, Replay, Report, write_cases};

mod company;
mod recording;
mod traffic;
mod truth;

use self::recording::record;
use self::traffic::BEGIN;
use self::truth::{Plain, Truth};

/// The seed of the week; the same as of every other seed of the suite.
const SEED: u64 = 1;

struct House {
    _dir: tempfile::TempDir,
    baseline: PathBuf,
    candidate: PathBuf,
    log: PathBuf,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (baseline, candidate, log) = (at("baseline"), at("candidate"), at("log"));
        company::write_policies(&baseline);
        company::write_candidate(&candidate);
        fs::create_dir(&log).unwrap();
        Self { _dir: dir, baseline, candidate, log }
    }
}

/// A small week that several tests look at, and its policies.
struct Small {
    house: House,
    baseline: Workshop,
    candidate: Workshop,
}

const SMALL: u64 = 2000;

fn small() -> &'static Small {
    static SMALL_WEEK: LazyLock<Small> = LazyLock::new(|| {
        let house = House::new();
        let (baseline, candidate) = (open(&house.baseline), open(&house.candidate));
        record(&house.log, baseline.bundle(), 7, SMALL as usize, 1024 * 1024);
        Small { house, baseline, candidate }
    });
    &SMALL_WEEK
}

fn open(dir: &Path) -> Workshop {
    match Workshop::open(dir, None) {
        Ok(workshop) => workshop,
        Err(failure) => panic!("{failure}: {:?}", failure.findings),
    }
}

fn task<'a>(dir: &'a Path, candidate: &'a PolicyBundle) -> Replay<'a> {
    Replay {
        dir,
        since: BEGIN,
        until: None,
        candidate,
        baseline: None,
        app: None,
        kind: None,
        threads: NonZeroUsize::new(2).unwrap(),
        keep_situations: false,
    }
}

fn run(task: &Replay<'_>) -> Report {
    task.run(|_| ()).unwrap()
}

/// The number of requests of each difference.
fn counts(report: &Report) -> Truth {
    let of = |d: &doorward_workbench::replay::Difference| {
        ((d.change, d.kind, d.app.clone(), d.before.clone(), d.after.clone()), d.requests)
    };
    report.differences.iter().map(of).collect()
}

#[test]
fn ten_thousand_decisions_differ_exactly_where_plain_cedar_says() {
    const REQUESTS: usize = 10_000;
    let house = House::new();
    let (baseline, candidate) = (open(&house.baseline), open(&house.candidate));
    record(&house.log, baseline.bundle(), SEED, REQUESTS, 4 * 1024 * 1024);
    assert!(fs::read_dir(&house.log).unwrap().count() > 4, "the log has several files");

    let mut told: Vec<Progress> = Vec::new();
    let report = task(&house.log, candidate.bundle()).run(|progress| told.push(progress)).unwrap();
    assert_eq!((report.requests, report.decided), (REQUESTS as u64, REQUESTS as u64));
    assert_eq!((report.damaged, report.unfinished, report.beyond), (0, 0, 0));
    assert_eq!(report.undecided, Default::default());
    assert_eq!(report.same + report.differ(), REQUESTS as u64);
    let (asked, decided) = (report.asked, report.decided);
    assert!(asked < decided / 2, "Cedar was asked about {asked} of {decided}");
    assert!(report.controlled > 0 && report.mistaken == 0, "{}", report.mistaken);
    let last = told.last().unwrap();
    assert_eq!((last.bytes, last.bytes_total, last.decided), (report.bytes, report.bytes, REQUESTS as u64));
    assert!(told.is_sorted_by_key(|progress| progress.bytes));

    let truth = truth::differences(SEED, REQUESTS, &Plain::new(&baseline), &Plain::new(&candidate));
    assert_eq!(counts(&report), truth);
    let changes: BTreeMap<Change, u64> = truth.iter().fold(BTreeMap::new(), |mut all, ((change, ..), n)| {
        *all.entry(*change).or_default() += n;
        all
    });
    assert_eq!(report.changes, changes);
    // The week is one in which every edit shows.
    for change in Change::ALL {
        assert!(changes.get(&change).is_some_and(|n| *n >= 10), "{change:?}: {changes:?}");
    }
    for kind in [PersonKind::Employee, PersonKind::Contractor, PersonKind::ServiceAccount] {
        assert!(truth.keys().any(|(_, known, ..)| *known == kind), "{kind:?}");
    }
}

#[test]
fn what_comes_of_it_does_not_depend_on_the_threads() {
    let Small { house, candidate, .. } = small();
    let with = |threads: usize| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let report = run(&Replay { threads, ..task(&house.log, candidate.bundle()) });
        Report { asked: 0, controlled: 0, ..report }
    };
    let one = with(1);
    assert!(one.differ() > 50 && one.differences.iter().all(|d| !d.examples.is_empty()));
    assert_eq!(with(2), one);
    assert_eq!(with(5), one);
}

/// What was recorded is what the policies of then say, and a folder can stand for the log.
#[test]
fn the_policies_of_then_differ_in_nothing() {
    let Small { house, baseline, candidate } = small();
    let same = run(&task(&house.log, baseline.bundle()));
    assert_eq!((same.decided, same.differ()), (SMALL, 0));
    let recorded = run(&task(&house.log, candidate.bundle()));
    let compared = run(&Replay { baseline: Some(baseline.bundle()), ..task(&house.log, candidate.bundle()) });
    assert!(recorded.differ() > 20);
    assert_eq!(counts(&compared), counts(&recorded));
}

#[test]
fn only_what_was_asked_for_is_looked_at() {
    const REQUESTS: u64 = SMALL;
    let Small { house, candidate, .. } = small();
    let all = task(&house.log, candidate.bundle());
    let whole = counts(&run(&all));

    let app = AppId::new("app03").unwrap();
    let of_app = run(&Replay { app: Some(&app), ..all });
    assert!(of_app.requests > 0 && of_app.requests < REQUESTS);
    let expect: Truth = whole.clone().into_iter().filter(|((_, _, app, ..), _)| app == "app03").collect();
    assert_eq!(counts(&of_app), expect);

    let mut found = 0;
    for kind in PersonKind::ALL {
        let of_kind = run(&Replay { kind: Some(kind), ..all });
        let expect: Truth = whole.clone().into_iter().filter(|((_, known, ..), _)| *known == kind).collect();
        assert_eq!(counts(&of_kind), expect, "{kind:?}");
        found += of_kind.requests;
    }
    assert_eq!(found, REQUESTS, "everybody is of one kind");

    let middle = UnixMillis(BEGIN.0 + 3 * 86_400_000);
    let (early, late) = (Replay { until: Some(middle), ..all }, Replay { since: middle, ..all });
    let (early, late) = (run(&early), run(&late));
    assert!(early.requests > 500 && late.requests > 500);
    assert_eq!(early.requests + late.requests, REQUESTS);
    assert_eq!(early.differ() + late.differ(), whole.values().sum::<u64>());
    let never = run(&Replay { since: UnixMillis(i64::MAX), ..all });
    assert_eq!((never.files, never.lines, never.requests), (0, 0, 0), "files from before are not even read");
}

#[test]
fn what_cannot_be_read_or_decided_is_counted_and_named() {
    let house = House::new();
    let (baseline, candidate) = (open(&house.baseline), open(&house.candidate));
    record(&house.log, baseline.bundle(), 3, 40, 1024 * 1024);
    let file = fs::read_dir(&house.log).unwrap().next().unwrap().unwrap().path();
    let name = file.file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains("\"situation\":{\"v\":1,")).unwrap();
    let line = lines[first];
    let end = line.find(",\"situation\":").unwrap();
    let rest = &line[line.rfind("\"agent\":\"").unwrap()..];
    let rest = &rest[rest.find('}').unwrap() + 1..];
    let with = |situation: &str| format!("{}{situation}{rest}", &line[..end]);
    let mut bytes = format!("{text}{}\n", with("")).into_bytes();
    for situation in ["{\"v\":1,\"too_large\":70000}", "{\"v\":2}", "{\"v\":1}", "[]"] {
        bytes.extend(format!("{}\n", with(&format!(",\"situation\":{situation}"))).into_bytes());
    }
    let not_asked = line.replace("\"latency_us\":57,", "");
    assert_ne!(not_asked, line);
    bytes.extend(format!("{not_asked}\n").into_bytes());
    bytes.extend(b"{\"metadata\":{\"event_code\":\"gateway.started\"},\"time\":1}\n");
    bytes.extend(b"{\"half\n\xff\xfe\n\n");
    bytes.extend(&line.as_bytes()[..line.len() / 2]);
    fs::write(&file, bytes).unwrap();
    fs::write(house.log.join("audit-gw-20261120T120000000Z-000000000001.jsonl.gz"), "").unwrap();

    let report = run(&task(&house.log, candidate.bundle()));
    assert_eq!((report.decided, report.requests, report.lines), (40, 46, 50), "{report:#?}");
    let undecided = report.undecided;
    assert_eq!((undecided.not_asked, undecided.not_recorded), (1, 1));
    assert_eq!((undecided.too_large, undecided.other_version, undecided.unreadable), (1, 1, 2));
    assert_eq!(undecided.unknown(), 5);
    let damaged: Vec<(&str, u64)> = report.damaged_lines.iter().map(|d| (d.file.as_str(), d.line)).collect();
    assert_eq!((damaged, report.damaged), (vec![(name, 48), (name, 49), (name, 50)], 3));
    assert_eq!((report.unfinished, report.packed.len(), report.files), (1, 1, 1));
    let revisions: Vec<_> = report.revisions.into_iter().collect();
    assert_eq!(revisions.len(), 1);
    assert_eq!(
        (revisions[0].0.as_str(), revisions[0].1.decided),
        (&*baseline.bundle().revision().to_string(), 40)
    );
    assert!(
        Replay { dir: &house.log.join("nowhere"), ..task(&house.log, candidate.bundle()) }
            .run(|_| ())
            .is_err()
    );
}

/// An address that Cedar cannot be told is refused without asking, and would be again.
#[test]
fn what_could_not_be_asked_is_no_difference_to_itself() {
    let small = small();
    let dir = tempfile::tempdir().unwrap();
    let mut week = traffic::Week::new(SEED, 50);
    let identity = Identity { node: "gw".to_owned(), version: "0".to_owned() };
    let mut lines = String::new();
    for n in 0..50 {
        let mut situation = week.next();
        situation.place.ip = "::ffff:192.0.2.1".parse().unwrap();
        let event = traffic::event(n, &situation, small.baseline.bundle());
        let line = event.to_line(&identity, "gw-1", Sequence(n as u64 + 1), situation.now).unwrap();
        assert!(line.contains("policy_error"), "{line}");
        lines += &line;
    }
    fs::write(dir.path().join("audit-gw-20261120T220000123Z-000000000001.jsonl"), lines).unwrap();
    let report = run(&task(dir.path(), small.baseline.bundle()));
    assert_eq!((report.decided, report.differ()), (50, 0), "{:?}", report.differences);
}

/// Every difference becomes a case that holds before the edit and fails after it.
#[test]
fn differences_become_cases_that_run() {
    let small = small();
    let (baseline, candidate) = (&small.baseline, &small.candidate);
    // The cases go beside policies of its own.
    let house = House::new();
    let report = run(&Replay { keep_situations: true, ..task(&small.house.log, candidate.bundle()) });
    let written = write_cases(baseline.cases(), &report.differences);
    assert!(written.left_out.is_empty(), "{:?}", written.left_out);
    assert!(written.cases > 10 && written.cases == report.differences.len(), "{}", written.cases);
    for dir in [&house.baseline, &house.candidate] {
        fs::create_dir_all(dir.join("cases")).unwrap();
        fs::write(dir.join("cases/replay.toml"), &written.text).unwrap();
    }
    assert_eq!(open(&house.baseline).cases().len(), written.cases);
    let failure = Workshop::open(&house.candidate, None).unwrap_err();
    let failed = failure.findings.iter().filter(|f| f.message().contains("case `replay ")).count();
    assert_eq!(failed, written.cases, "{failure:?}");
}
