//! How fast a week of decisions is made again by other policies, and whether what comes of it is exact.
//!
//! ```text
//!  write     so many requests of 500 people at 20 apps, decided and recorded through the gateway's own log
//!  lines     one thread reads the same log and looks for the ends of lines and of JSON values: the limit of any replay
//!  replay    with one thread and with all cores: decisions a second, and the peak of memory (VmHWM)
//!  truth     every request once more by plain Cedar, without index and memory; the differences must be equal
//! ```
//! Run by hand; see tests/bench/README.md. Each part is a process of its own, so that the peak of memory is that of
//! the replay alone. Of each stands how long it took, and how much time of processors: beside other work only the
//! latter says something.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark, run by hand"
)]

use std::io::BufRead;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use doorward_policy::Workshop;
use doorward_workbench::replay::Replay;

#[path = "../../gateway/workbench/tests/workbench/replay/company.rs"]
mod company;
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
            company::write_policies(&baseline);
            company::write_candidate(&candidate);
            recording::record(&log, open(&baseline).bundle(), SEED, decisions, SEGMENT_BYTES);
        }
        "lines" => lines(&log),
        "replay" => replay(dir, number("threads", 1)),
        "truth" => {
            let (before, after) = (open(&baseline), open(&candidate));
            let (before, after) = (truth::Plain::new(&before), truth::Plain::new(&after));
            let (began, found) = (Instant::now(), truth::differences(SEED, decisions, &before, &after));
            println!("         {}", rate(2 * decisions as u64, began));
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
    part("lines", &[]);
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

/// How many, how fast, and with how much of the processors.
fn rate(decisions: u64, began: Instant) -> String {
    let (took, processors) = (began.elapsed().as_secs_f64(), processor_seconds());
    format!(
        "{decisions} decisions in {took:.2} s, {:.0} a second; {processors:.2} s of processors, {:.0} a second of these",
        decisions as f64 / took,
        decisions as f64 / processors,
    )
}

/// Each line as JSON of which nothing is kept.
fn lines(log: &Path) {
    let (mut lines, mut bytes, began) = (0_u64, 0_u64, Instant::now());
    for entry in std::fs::read_dir(log).unwrap() {
        let file =
            std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(entry.unwrap().path()).unwrap());
        for line in file.split(b'\n') {
            let line = line.unwrap();
            let _: serde::de::IgnoredAny = serde_json::from_slice(&line).unwrap();
            (lines, bytes) = (lines + 1, bytes + line.len() as u64);
        }
    }
    println!("         {} MiB; {}", bytes >> 20, rate(lines, began).replace("decisions", "lines"));
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
    println!(
        "         {threads} threads: {}; lines of {} bytes; Cedar asked about {}, controlled {}, mistaken {}; {} differ; \
         peak of memory {} MiB",
        rate(report.decided, began),
        report.bytes / report.lines.max(1),
        report.asked,
        report.controlled,
        report.mistaken,
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

/// The time of processors that this process had, in seconds.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let numbers: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    // In hundredths, whatever the kernel counts in.
    numbers[12..14].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// The most memory that this process had at once (`VmHWM`).
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
