//! A disk that hangs: no call fails, and none comes back for a while. `strace` delays
//! `fdatasync` in a child, which is this test itself.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use doorward_audit::{Audit, AuditError, AuditState, Recorded};

use crate::samples::{self, block_on, config, eventually, lines, number, open, sequences, text};

const DIR: &str = "DOORWARD_AUDIT_STALL_DIR";
/// How long the second `fdatasync` takes: long enough for the disk to count as hung, and for what is lost
/// meanwhile. A machine that stands still for seconds takes them from this time, and from no beat of the pulse: the
/// disk must not be back before the test has looked.
const LONG_MICROS: u32 = 20_000_000;
const SHORT_MICROS: u32 = 10_000_000;

fn delayed(name: &str, dir: &Path, micros: u32) -> Output {
    let inject = format!("inject=fdatasync:delay_enter={micros}:when=2");
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("the child is through"), "{said}");
    output
}

fn revocation() -> doorward_audit::Event {
    samples::revocation(samples::bob(), true)
}

/// The folder, when this is the child.
fn child() -> Option<std::path::PathBuf> {
    std::env::var_os(DIR).map(Into::into)
}

fn start(dir: &Path) -> Audit {
    let (audit, _) = open(config(dir, 64 * 1024, 64, 64 * 1024));
    block_on(audit.record_durable(revocation())).unwrap();
    assert!(audit.accepts_grants());
    audit
}

#[test]
#[ignore = "run by the test below"]
fn the_child_sees_a_disk_hang() {
    let Some(dir) = child() else { return };
    let audit = start(&dir);
    // Somebody waits for what the writer hangs with, and somebody for what it has not taken.
    let mut in_hand = Box::pin(audit.record_durable(revocation()));
    block_on(std::future::poll_fn(|cx| {
        assert!(in_hand.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    }));
    eventually("the writer has taken it", || audit.health().queued == 0);
    assert!(audit.accepts_grants(), "a slow disk is not a hung one");
    let waiting = audit.clone();
    let waiting = std::thread::spawn(move || block_on(waiting.record_durable(revocation())));
    eventually("grants are refused", || !audit.accepts_grants());
    let health = audit.health();
    assert_eq!((health.state, health.dropped.total()), (AuditState::Failed, 0));
    assert!(health.last_error.unwrap().contains("has not answered"));
    let answer = waiting.join().unwrap();
    let Err(AuditError::NotDurable { sequence, reason }) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("has not answered"), "{reason}");
    assert_eq!(sequence.0, 3);
    // The other one gives up.
    drop(in_hand);
    eventually("the disk answers", || audit.accepts_grants());
    assert_eq!(audit.health().state, AuditState::Healthy);
    audit.close().unwrap();
    println!("the child is through");
}

#[test]
fn a_disk_that_hangs_stops_grants_and_keeps_nobody_waiting() {
    if !samples::strace_works() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = delayed("stall::the_child_sees_a_disk_hang", dir.path(), LONG_MICROS);
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed = errors.lines().filter_map(|l| serde_json::from_str(l).ok());
    let printed: Vec<u64> = printed.map(|e: serde_json::Value| number(&e, "/metadata/sequence")).collect();
    assert_eq!(printed, [3, 2], "on standard error, each once");
    assert_eq!(sequences(&lines(dir.path())), [1, 2, 3], "and written when the disk came back");
}

#[test]
#[ignore = "run by the test below"]
fn the_child_loses_events() {
    let Some(dir) = child() else { return };
    let audit = start(&dir);
    // What the writer hangs with.
    assert_eq!(audit.record(samples::allowed("req-hung")), Recorded::Queued);
    eventually("the writer has taken it", || audit.health().queued == 0);
    for i in 0..100 {
        assert_eq!(audit.accepts_grants(), i <= 64, "{i}");
        let recorded = audit.record(samples::allowed("req"));
        assert_eq!(recorded == Recorded::Dropped, i >= 64, "the queue holds 64");
    }
    let health = audit.health();
    assert_eq!((health.state, health.dropped.allowed), (AuditState::Failed, 36));
    assert!(health.last_error.unwrap().contains("36 events were lost"));
    while !audit.accepts_grants() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let events = lines(&dir);
    let gap = events.iter().find(|e| text(e, "/metadata/event_code") == "audit.gap");
    assert_eq!(
        number(gap.expect("grants came back before it is told"), "/unmapped/doorward/gap/lost/allowed"),
        36
    );
    assert_eq!(audit.health().state, AuditState::Healthy);
    audit.close().unwrap();
    println!("the child is through");
}

#[test]
fn from_the_first_loss_until_it_is_told_nothing_is_granted() {
    if !samples::strace_works() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    delayed("stall::the_child_loses_events", dir.path(), SHORT_MICROS);
}
