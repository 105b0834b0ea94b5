//! How fast a week of decisions is made again by other policies, and whether what comes of it is exact.
//!
//! ```text
//!  write     so many requests of 500 people at 20 apps, decided and recorded through the gateway's own log
//!  replay    with one thread and with all cores: decisions a second, and the peak of memory (VmHWM)
//!  truth     every request once more by plain Cedar, without index and memory; the differences must be equal
//! ```
//! Run by hand; see tests/bench/README.md. Each part is a process of its own, so that the peak of memory is that of
//! the replay alone.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark, run by hand"
)]

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use doorward_policy::Workshop;
use doorward_workbench::replay::Replay;

#[path = "../../gateway/workbench/tests/workbench/replay/recording.rs"]
mod recording;
#[path = "../../gateway/workbench/tests/workbench/replay/traffic.rs"]
mod traffic;
#[path = "../../gateway/workbench/tests/workbench/replay/truth.rs"]
mod truth;

const SEED: u64 = 1;
/// As large as files of the log become by themselves.
const SEGMENT_BYTES: u64 = 256 * 1024 * 1024;

fn given(name: &str) -> Option<String> {
    std::env::args().find_map(|argument| Some(argument.strip_prefix(&format!("--{name}="))?.to_owned()))
}

fn number(name: &str, otherwise: usize) -> usize {
    given(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn open(dir: &Path) -> Workshop {
    Workshop::open(dir, None).unwrap_or_else(|failure| panic!("{failure}: {:?}", failure.findings))
}

fn main() {
    let decisions = number("decisions", 1_000_000);
    let Some(dir) = given("dir") else { return all(decisions) };
    let dir = Path::new(&dir);
    let (baseline, candidate, log) = (dir.join("baseline"), dir.join("candidate"), dir.join("log"));
    match given("part").unwrap().as_str() {
        "write" => {
            traffic::write_policies(&baseline);
            traffic::write_candidate(&candidate);
            recording::record(&log, open(&baseline).bundle(), SEED, decisions, SEGMENT_BYTES);
        }
        "replay" => replay(dir, number("threads", 1)),
        "truth" => {
            let (before, after) = (open(&baseline), open(&candidate));
            let (before, after) = (truth::Plain::new(&before), truth::Plain::new(&after));
            let found = truth::differences(SEED, decisions, &before, &after);
            let lines: String =
                found.iter().map(|((c, k, app, b, a), n)| line(*n, &(c, k, app, b, a))).collect();
            std::fs::write(dir.join("truth"), lines).unwrap();
        }
        other => panic!("no part is called `{other}`"),
    }
}

fn line(requests: u64, key: &impl std::fmt::Debug) -> String {
    format!("{requests} {key:?}\n")
}

fn all(decisions: usize) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("log")).unwrap();
    let part = |name: &str, more: &[String]| {
        let began = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(format!("--dir={}", dir.path().display())).arg(format!("--part={name}"));
        let done = command.arg(format!("--decisions={decisions}")).args(more).status().unwrap();
        assert!(done.success(), "{name}");
        println!("{name:<8} {:>8.1} s", began.elapsed().as_secs_f64());
    };
    part("write", &[]);
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
        part("replay", &[format!("--threads={threads}")]);
    }
    part("truth", &[]);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let (truth, found) = (read("truth"), read("found"));
    assert_eq!(found, truth, "the differences are not those of plain Cedar");
    println!("the {} kinds of differences are exactly those of plain Cedar", truth.lines().count());
}

fn replay(dir: &Path, threads: usize) {
    let (candidate, log) = (open(&dir.join("candidate")), dir.join("log"));
    let task = Replay {
        dir: &log,
        since: traffic::BEGIN,
        until: None,
        candidate: candidate.bundle(),
        baseline: None,
        app: None,
        kind: None,
        threads: NonZeroUsize::new(threads).unwrap(),
        keep_situations: false,
    };
    let began = Instant::now();
    let report = task.run(|_| ()).unwrap();
    let took = began.elapsed().as_secs_f64();
    println!(
        "         {threads} threads: {} decisions of {} bytes in {took:.2} s, {:.0} a second; {} put to the policies; \
         {} differ; peak of memory {} MiB",
        report.decided,
        report.bytes / report.lines.max(1),
        report.decided as f64 / took,
        report.asked,
        report.differ(),
        peak_kib() / 1024,
    );
    let mut found: Vec<_> = report
        .differences
        .iter()
        .map(|d| ((d.change, d.kind, &d.app, &d.before, &d.after), d.requests))
        .collect();
    found.sort();
    let lines: String = found.iter().map(|((c, k, app, b, a), n)| line(*n, &(c, k, app, b, a))).collect();
    std::fs::write(dir.join("found"), lines).unwrap();
}

/// The most memory that this process had at once (`VmHWM`).
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
