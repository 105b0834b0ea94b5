//! A full disk: a small file system in memory, which only root may mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward_audit::{Audit, AuditError, AuditState, Event, Recorded};

use crate::samples::{
    self, block_on, clock, config, eventually, identity, lines, number, open, sequences, text,
};

/// A file system that goes away again.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(kibibytes: u32) -> Option<Self> {
        // A name that nobody has used: a run that was killed leaves its folder, and a process may have its number.
        let dir = tempfile::Builder::new().prefix("doorward-audit-").tempdir().unwrap().keep();
        let size = format!("size={kibibytes}k");
        let mount = || {
            let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&dir).output();
            mount.is_ok_and(|o| o.status.success())
        };
        let disk = Self(dir.clone());
        let needs = "this test fills a small disk of its own: run it as root, where that may mount one";
        samples::privileged(mount, needs).then_some(disk)
    }

    fn audit(&self) -> PathBuf {
        self.0.join("audit")
    }

    /// Takes up all the space that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let zeros = vec![0; 16 * 1024 * 1024];
        assert!(fs::write(&path, zeros).is_err(), "the disk is larger than it should be");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

const RESERVE: u64 = 256 * 1024;

/// Free space, as `df` has it, in bytes.
fn free_bytes(dir: &Path) -> u64 {
    let shown = Command::new("df").args(["--output=avail", "-B1"]).arg(dir).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
}

fn start(dir: &Path) -> Audit {
    open(config(dir, 64 * 1024, 64, RESERVE)).0
}

fn revoke(audit: &Audit) -> Result<u64, AuditError> {
    block_on(audit.record_durable(samples::revocation(samples::bob(), true))).map(|s| s.0)
}

#[test]
fn a_full_disk_refuses_grants_and_still_records_revocations() {
    let Some(disk) = SmallDisk::mount(8 * 1024) else { return };
    let audit = start(&disk.audit());
    revoke(&audit).unwrap();
    let filler = disk.fill();
    // The page that is already there may still take a few.
    let mut allowed = 0_u64;
    while audit.accepts_grants() {
        assert_eq!(audit.record(samples::allowed("req")), Recorded::Queued);
        allowed += 1;
        assert!(allowed < 10_000, "a full disk is not noticed");
        // One after the other: a queue that overflows would refuse grants as well.
        eventually("it is taken", || audit.health().queued == 0 || !audit.accepts_grants());
    }
    eventually("the failure is told", || audit.health().state == AuditState::Failed);
    let acknowledged: Vec<u64> = (0..50).map(|_| revoke(&audit).unwrap()).collect();
    let there = sequences(&lines(&disk.audit()));
    assert!(acknowledged.iter().all(|n| there.contains(n)), "acknowledged from the reserve and not there");
    assert!(!audit.accepts_grants(), "the reserve is not for grants");
    let health = audit.health();
    assert_eq!(health.state, AuditState::Failed);
    assert!(health.last_error.unwrap().contains("os error 28"));
    assert!(health.disk_free.unwrap() < RESERVE);
    // More than the queue holds, and a denial.
    for _ in 0..100 {
        let _ = audit.record(samples::allowed("req"));
    }
    assert_eq!(audit.record(samples::denied("req-denied")), Recorded::Queued);

    fs::remove_file(filler).unwrap();
    eventually("grants are accepted again", || audit.accepts_grants());
    revoke(&audit).unwrap();
    audit.close().unwrap();
    let events = lines(&disk.audit());
    let there = sequences(&events);
    let unique: std::collections::BTreeSet<u64> = there.iter().copied().collect();
    assert_eq!(there.len(), unique.len(), "an event is there twice");
    let lost: u64 = events.iter().map(|e| number(e, "/unmapped/doorward/gap/lost/total")).sum();
    let health = audit.health();
    assert_eq!((lost, health.written + lost), (health.dropped.total(), health.recorded));
    assert_eq!(u64::try_from(there.len()).unwrap(), health.written);
    assert!(lost > 0);
    assert_eq!(events.iter().filter(|e| text(e, "/metadata/correlation_uid") == "req-denied").count(), 1);
    assert!(events.iter().any(|e| text(e, "/unmapped/doorward/gap/cause") == "write_failed"));
}

#[test]
fn when_the_reserve_is_full_too_nobody_is_told_that_it_is_safe() {
    let Some(disk) = SmallDisk::mount(8 * 1024) else { return };
    let audit = start(&disk.audit());
    disk.fill();
    let mut acknowledged = Vec::new();
    let refused = loop {
        match revoke(&audit) {
            Ok(number) => acknowledged.push(number),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 5000, "the disk never fills up");
    };
    let AuditError::NotDurable { sequence, reason } = refused else { panic!("{refused}") };
    assert!(reason.contains("os error 28"), "{reason}");
    assert!(acknowledged.len() > 100, "the reserve held only {}", acknowledged.len());
    let there = sequences(&lines(&disk.audit()));
    assert!(acknowledged.iter().all(|n| there.contains(n)));
    assert!(!there.contains(&sequence.0));
    assert!(!audit.accepts_grants());
    // Space is found: what was refused is written after all, with its own number.
    fs::remove_file(disk.0.join("filler")).unwrap();
    eventually("grants are accepted again", || audit.accepts_grants());
    audit.close().unwrap();
    assert!(sequences(&lines(&disk.audit())).contains(&sequence.0));
}

#[test]
fn a_gateway_does_not_start_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(512) else { return };
    disk.fill();
    let error = Audit::open(config(&disk.audit(), 65536, 64, RESERVE), identity(), clock()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("audit"), "{said}");
    assert!(said.contains("os error 28"), "{said}");
    let left = disk.audit().read_dir().map_or(0, Iterator::count);
    assert_eq!(left, 0, "a start that fails leaves no file");
}

fn call(audit: &Audit, takes_away: bool) -> Result<u64, AuditError> {
    let event = samples::all().into_iter().find(|(_, e)| e.code() == "operator.call").unwrap().1;
    let Event::OperatorCall(mut call) = event else { panic!("{}", event.code()) };
    call.takes_away = takes_away;
    block_on(audit.record_durable(Event::OperatorCall(call))).map(|s| s.0)
}

/// What is set aside is for what takes access away. Whoever gives access back must not use it up.
#[test]
fn the_reserve_is_for_revocations() {
    let Some(disk) = SmallDisk::mount(8 * 1024) else { return };
    let audit = start(&disk.audit());
    disk.fill();
    // The page that is already there may still take a few.
    let mut calls = 0;
    while call(&audit, false).is_ok() {
        calls += 1;
        assert!(calls < 1000, "operator calls use the reserve");
    }
    assert!(free_bytes(&disk.0) < RESERVE, "the reserve is given free, and nothing was revoked");
    let mut revoked = Vec::new();
    for _ in 0..50 {
        revoked.push(revoke(&audit).unwrap());
        // The call that revoked belongs to it.
        revoked.push(call(&audit, true).unwrap());
        // Not even now that it is given free.
        let AuditError::NotDurable { reason, .. } = call(&audit, false).unwrap_err() else {
            panic!("not durable")
        };
        assert!(reason.contains("os error 28"), "{reason}");
    }
    let there = sequences(&lines(&disk.audit()));
    assert!(revoked.iter().all(|n| there.contains(n)));
    assert!(!audit.accepts_grants());
    fs::remove_file(disk.0.join("filler")).unwrap();
    eventually("grants are accepted again", || audit.accepts_grants());
    audit.close().unwrap();
    let calls =
        lines(&disk.audit()).iter().filter(|e| text(e, "/metadata/event_code") == "operator.call").count();
    assert!(calls > 100, "what was not durable then is written later");
}

#[test]
fn a_close_on_a_full_disk_says_what_is_missing() {
    let Some(disk) = SmallDisk::mount(8 * 1024) else { return };
    let audit = start(&disk.audit());
    disk.fill();
    for _ in 0..200 {
        let _ = audit.record(samples::denied("req"));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let Err(AuditError::Unwritten(unwritten)) = audit.close() else { panic!("a full disk took all") };
    let health = audit.health();
    assert_eq!(health.recorded, health.written + unwritten, "{health:?}");
    assert!(!audit.accepts_grants());
}
