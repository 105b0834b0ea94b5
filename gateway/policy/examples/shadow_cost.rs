//! What a shadow adds to a decision.
//!
//! ```text
//! cargo run --release -p doorward-policy --example shadow_cost
//! ```
//!
//! Asks the shipped policies about the situations of their own cases, over and over: alone, with nothing in
//! the shadow, with a candidate that is asked about a tenth of the requests and about all of them. First one
//! request after the other at a pace, as a gateway has them; then as fast as they are answered, where the
//! queue fills, and what finds no place is missed; then so by as many threads as there are processors, where
//! the shadow has none to itself. Prints the nanoseconds that a request spends on the decision and on
//! offering it, how many times that is of the decision alone, and how many are answered in a second.
//!
//! The shadow's thread steps back as it does in a gateway, by `renice` of util-linux; where there is none it does
//! not, which is said.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement, run by hand")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_model::UnixMillis;
use doorward_policy::shadow::{Lane, Sample, Shadow};
use doorward_policy::{Policies, Situation, Workshop};

/// Between two requests that come at a pace.
const PAUSE: Duration = Duration::from_micros(500);
/// How long each row is measured.
const ROW: Duration = Duration::from_secs(4);
const NOW: UnixMillis = UnixMillis(0);

/// How requests come.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    Even,
    Full,
    /// By so many threads at once.
    Crowd(usize),
}

struct Row {
    nanos: Vec<u64>,
    /// Answered in a second, by all threads together.
    speed: f64,
    decided: u64,
    missed: u64,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Asks, offers if there is something to offer to, and takes the time of both together.
fn row(
    policies: &Arc<Policies>,
    situations: &[Situation],
    sample: Option<Option<Sample>>,
    pace: Pace,
    candidate: &Path,
) -> Row {
    let for_shadow = Arc::clone(policies);
    let (shadow, work) = Shadow::new(Arc::new(move || for_shadow.bundle()));
    let thread = std::thread::spawn(move || {
        step_back();
        work.go_on();
    });
    if let Some(Some(sample)) = sample {
        let candidate = Policies::open(candidate, None, NOW).unwrap().bundle();
        shadow.start(candidate, sample, NOW).unwrap();
    }
    let (bundle, id) = (policies.bundle(), Arc::from("request"));
    let asks = || {
        let (mut nanos, begun) = (Vec::new(), Instant::now());
        for situation in situations.iter().cycle() {
            let now = Instant::now();
            if now - begun > ROW {
                break;
            }
            let question = situation.question();
            let verdict = bundle.decide(&question);
            if sample.is_some() {
                shadow.offer(&question, &verdict, &bundle, &id);
            }
            nanos.push(u64::try_from(now.elapsed().as_nanos()).unwrap());
            if pace == Pace::Even {
                std::thread::sleep(PAUSE);
            }
        }
        // The first round filled what is remembered.
        nanos.drain(..situations.len().min(nanos.len() / 2));
        nanos
    };
    let askers = match pace {
        Pace::Even | Pace::Full => 1,
        Pace::Crowd(askers) => askers,
    };
    let mut nanos: Vec<u64> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..askers).map(|_| scope.spawn(asks)).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let totals = Arc::clone(shadow.totals(Lane::Candidate));
    drop(shadow);
    thread.join().unwrap();
    nanos.sort_unstable();
    Row {
        speed: nanos.len() as f64 / ROW.as_secs_f64(),
        nanos,
        decided: totals.decided(),
        missed: totals.missed(),
    }
}

/// As the gateway's thread does, which can ask for it itself.
fn step_back() {
    let thread = std::fs::read_link("/proc/thread-self").ok();
    let thread = thread.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let done = thread.is_some_and(|thread| {
        let renice = std::process::Command::new("renice").args(["-n", "10", "-p", &thread]).output();
        renice.is_ok_and(|output| output.status.success())
    });
    if !done {
        eprintln!("the shadow's thread cannot step back here: it takes its turn with the others");
    }
}

fn main() {
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let folder = tempfile::tempdir().unwrap();
    let candidate = folder.path().join("policies");
    copy(&shipped, &candidate);
    std::fs::remove_dir_all(candidate.join("cases")).unwrap();
    std::fs::remove_file(candidate.join("guardrails/place.cedar")).unwrap();
    let workshop = Workshop::open(&shipped, None).unwrap();
    let situations: Vec<Situation> = workshop.cases().iter().map(|case| case.situation.unwrap()).collect();
    let policies = Arc::new(Policies::open(&shipped, None, NOW).unwrap());

    println!(
        "| requests | shadow | p50 ns | p99 ns | times p50 | answered a second | decided by both | missed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let by_all = format!("as fast as can be, {processors} threads");
    for (pace, how) in [
        (Pace::Even, "at a pace"),
        (Pace::Full, "as fast as can be"),
        (Pace::Crowd(processors), by_all.as_str()),
    ] {
        let mut alone = 0.0;
        for (what, sample) in [
            ("none at all", None),
            ("nothing in it", Some(None)),
            ("10%", Some("10%".parse().ok())),
            ("all", Some(Some(Sample::ALL))),
        ] {
            let Row { nanos, speed, decided, missed } = row(&policies, &situations, sample, pace, &candidate);
            let (p50, p99) = (nanos[nanos.len() / 2], nanos[nanos.len() * 99 / 100]);
            if sample.is_none() {
                alone = p50 as f64;
            }
            let times = p50 as f64 / alone;
            println!("| {how} | {what} | {p50} | {p99} | {times:.2} | {speed:.0} | {decided} | {missed} |");
        }
    }
}
