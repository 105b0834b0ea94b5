//! A process that is killed while it writes, and a disk that says no to `fdatasync`.
//!
//! The test runs itself anew as a child. A kill shows that what is acknowledged was handed to
//! the system and that the file can be mended; it cannot show that it would survive a loss of
//! power, because the page cache outlives the process. That the acknowledgement waits for
//! `fdatasync` is shown with `strace`, which lets a call fail.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use doorward_audit::AuditError;
use doorward_audit::tail::{Filter, Follower, From};

use crate::samples::{self, block_on, clock, config, identity, lines, open, sequences, small, text};

const DIR: &str = "DOORWARD_AUDIT_TEST_DIR";
const EVENTS: &str = "DOORWARD_AUDIT_TEST_EVENTS";
const KILLS: u64 = 20;
/// How much each thread of the child records; a traced process is slow.
const EACH: usize = 2000;
const EACH_TRACED: usize = 100;

fn child(dir: &Path, strace: Option<&[&str]>) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut command = match strace {
        None => Command::new(me),
        Some(options) => {
            let mut command = Command::new("strace");
            command.args(options).arg(me);
            command
        }
    };
    command
        .args(["--exact", "crash::the_child_writes", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(EVENTS, if strace.is_some() { EACH_TRACED } else { EACH }.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Not a test of its own: what the killed process does. Four threads record what is critical,
/// one records decisions; each acknowledged number is printed.
#[test]
#[ignore = "run by the other tests here"]
fn the_child_writes() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let each: usize = std::env::var(EVENTS).unwrap().parse().unwrap();
    let (audit, _) = open(config(Path::new(&dir), 64 * 1024, 1000, 64 * 1024));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..each {
                    let event = samples::revocation(samples::bob(), true);
                    match block_on(audit.record_durable(event)) {
                        Ok(sequence) => println!("acknowledged {sequence}"),
                        Err(AuditError::NotDurable { sequence, .. }) => println!("refused {sequence}"),
                        Err(other) => println!("failed {other}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            for i in 0..each {
                let _ = audit.record(samples::allowed("req"));
                if i % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
    });
    audit.close().unwrap();
    println!("closed");
}

fn numbers(output: &str, word: &str) -> BTreeSet<u64> {
    // The test harness prints its own words in front of the first line.
    output.lines().filter_map(|l| l.rsplit_once(word)?.1.trim().parse().ok()).collect()
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let mut torn = 0;
    for seed in 0..KILLS {
        let dir = tempfile::tempdir().unwrap();
        let mut process = child(dir.path(), None).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut heard = String::new();
        // Killed after a number of acknowledgements that differs each time, from 0 on.
        while u64::try_from(numbers(&heard, "acknowledged ").len()).unwrap() < seed * 37 {
            assert!(output.read_line(&mut heard).unwrap() > 0, "the child ended by itself: {heard}");
        }
        process.kill().unwrap();
        // What it had printed and nobody had read was acknowledged too.
        output.read_to_string(&mut heard).unwrap();
        process.wait().unwrap();
        let acknowledged = numbers(&heard, "acknowledged ");
        let (audit, report) = open(small(dir.path()));
        torn += report.repaired.len();
        assert_eq!(report.in_use, Vec::<std::path::PathBuf>::new(), "a dead process holds nothing");
        audit.close().unwrap();
        let first = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).min().unwrap();
        let events = lines(dir.path());
        let mine = report.segment.file_name().unwrap() == first;
        let run = if mine { "" } else { first.to_str().unwrap().rsplit_once('-').unwrap().0 };
        let there: BTreeSet<u64> = sequences(
            &events
                .iter()
                .filter(|e| run.ends_with(text(e, "/metadata/uid").rsplit_once('-').unwrap().0))
                .cloned()
                .collect::<Vec<_>>(),
        )
        .into_iter()
        .collect();
        let missing: Vec<_> = acknowledged.difference(&there).collect();
        assert_eq!(missing, Vec::<&u64>::new(), "seed {seed}: acknowledged and not there");
    }
    eprintln!("{KILLS} kills, {torn} torn tails");
}

#[test]
fn a_failed_fdatasync_is_not_asked_again_and_nothing_is_acknowledged_by_it() {
    if !samples::strace_works() {
        return;
    }
    for when in [2, 5, 9] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("strace");
        let inner = dir.path().join("audit");
        let inject = format!("inject=fdatasync:error=EIO:when={when}");
        let options = [
            "-ff",
            "-y",
            "-o",
            log.to_str().unwrap(),
            "-e",
            "trace=fdatasync,ftruncate,unlink",
            "-e",
            &inject,
        ];
        let output = child(&inner, Some(&options)).output().unwrap();
        let heard = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(heard.contains("closed"), "{heard}");
        // The file that failed is never asked again; what was written to it is cut off. One that
        // is empty then goes away, and another one may get its name.
        // Each thread has a file of its own: in one for all, a call during which another thread ends is told in
        // two lines, and the second does not name the file.
        let traces =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file());
        let mut traces = traces.map(|p| std::fs::read_to_string(p).unwrap());
        let trace = traces.find(|t| t.contains("= -1 EIO")).unwrap();
        let failed = trace.lines().position(|l| l.contains("= -1 EIO")).unwrap();
        let of = |line: &str| line.split_once('<').and_then(|(_, r)| r.split_once('>')).unwrap().0.to_owned();
        let lines_of: Vec<&str> = trace.lines().collect();
        let file = of(lines_of[failed]);
        let gone = format!("unlink(\"{file}\")");
        let after: Vec<&&str> = lines_of[failed + 1..]
            .iter()
            .take_while(|l| !l.contains(&gone))
            .filter(|l| l.contains('<') && of(l) == file)
            .collect();
        assert!(after.iter().all(|l| !l.contains("fdatasync")), "{after:?}");
        assert!(after.iter().any(|l| l.contains("ftruncate")), "{after:?}");
        // Everything was acknowledged in the end, is there, and is there once.
        let acknowledged = numbers(&heard, "acknowledged ");
        assert_eq!(acknowledged.len(), 4 * EACH_TRACED, "{} refused", numbers(&heard, "refused ").len());
        let there = sequences(&samples::lines(&inner));
        let unique: BTreeSet<u64> = there.iter().copied().collect();
        assert_eq!(there.len(), unique.len(), "an event is there twice");
        assert!(acknowledged.is_subset(&unique));
        let events = samples::lines(&inner);
        let gap = events.iter().find(|e| text(e, "/unmapped/doorward/gap/cause") == "write_failed").unwrap();
        assert!(text(gap, "/unmapped/doorward/gap/detail").contains("os error 5"), "{gap}");
    }
}

/// Every `fdatasync` from the third on fails: nothing more may be acknowledged.
#[test]
fn a_disk_that_stays_broken_acknowledges_nothing_and_standard_error_has_it_all() {
    if !samples::strace_works() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("audit");
    let options =
        ["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=3+"];
    let output = child(&inner, Some(&options)).output().unwrap();
    let heard = String::from_utf8_lossy(&output.stdout);
    let (acknowledged, refused) = (numbers(&heard, "acknowledged "), numbers(&heard, "refused "));
    assert!(acknowledged.len() < 20, "{} were acknowledged", acknowledged.len());
    assert_eq!(acknowledged.len() + refused.len(), 4 * EACH_TRACED);
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed: Vec<u64> = errors
        .lines()
        .filter_map(|l| Some(samples::number(&serde_json::from_str(l).ok()?, "/metadata/sequence")))
        .collect();
    let unique: BTreeSet<u64> = printed.iter().copied().collect();
    assert_eq!((printed.len(), &unique), (refused.len(), &refused), "each is printed, once");
    let there: BTreeSet<u64> = sequences(&samples::lines(&inner)).into_iter().collect();
    assert_eq!(acknowledged.difference(&there).count(), 0);
    assert_eq!(refused.intersection(&there).count(), 0, "what was refused was cut off again");
}

/// The next start can read what a kill left, and says how far it came.
#[test]
fn a_follower_reads_over_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut follower_lines = 0;
    let mut process = child(dir.path(), None).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut heard = String::new();
    while numbers(&heard, "acknowledged ").len() < 100 {
        assert!(output.read_line(&mut heard).unwrap() > 0, "{heard}");
    }
    let mut follower = Follower::new(dir.path(), From::Start, Filter::default()).unwrap();
    follower_lines += follower.poll().unwrap().len();
    process.kill().unwrap();
    process.wait().unwrap();
    follower_lines += follower.poll().unwrap().len();
    let (audit, _) = doorward_audit::Audit::open(small(dir.path()), identity(), clock()).unwrap();
    let _ = audit.record(samples::denied("req"));
    audit.close().unwrap();
    follower_lines += follower.poll().unwrap().len();
    assert!(follower_lines > 100);
    assert_eq!(follower_lines, lines(dir.path()).len());
}
