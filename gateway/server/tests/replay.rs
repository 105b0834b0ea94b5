//! `doorward policy replay` as a person or a pipeline meets it: a log with every case of the shipped policies, and
//! an edit.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{Gap, GapCause};
use doorward_audit::trail::HttpVersion;
use doorward_audit::{Arrival, Counts, Ending, Event, Identity, Outcome, Ruling, Sequence, Trail};
use doorward_model::{RefusalCode, UnixMillis};
use doorward_policy::{Decision, Situation, Workshop, record};
use serde_json::Value;
use tempfile::TempDir;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies").canonicalize().unwrap()
}

fn doorward(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["policy", "replay"])
        .args(args)
        .current_dir(dir)
        .env_remove("DOORWARD_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What the gateway records of a request.
fn line(number: u64, situation: &Situation, shop: &Workshop) -> String {
    let verdict = shop.bundle().decide(&situation.question());
    let mut trail = Trail::begin(Arrival {
        request_id: &format!("req-{number}").into(),
        received_at: situation.now,
        method: situation.action.as_str(),
        host: &situation.host,
        path: &situation.path,
        http_version: HttpVersion::Http11,
        user_agent: None,
        peer: situation.place.ip,
        trace: None,
    });
    trail.routed(&situation.route.id);
    trail.identified(Arc::clone(&situation.principal), None, situation.session, &situation.device);
    trail.decided(Ruling {
        outcome: match verdict.decision {
            Decision::Allow => Outcome::Allowed,
            Decision::Deny => Outcome::Denied(RefusalCode::PolicyForbids),
        },
        determining: verdict.determining,
        errors: Vec::new(),
        latency_micros: 5,
        revision: verdict.revision.to_string().into(),
        situation: Some(record::write(&situation.question()).into()),
    });
    if let Some(refusal) = &verdict.refusal {
        trail.refused(refusal);
    }
    trail.finished(Ending::Completed, 1, 1, Duration::from_millis(1));
    let identity = Identity { node: "gw".to_owned(), version: "0".to_owned() };
    let event = Event::RequestDecided(Box::new(trail));
    event.to_line(&identity, "gw-20261120T220000123Z", Sequence(number), situation.now).unwrap()
}

/// A folder with `log/` and `candidate/`, and how many decisions the log has.
fn house() -> (TempDir, u64) {
    let dir = tempfile::tempdir().unwrap();
    let shop = Workshop::open(&shipped(), None).unwrap();
    let situations: Vec<Situation> = shop.cases().iter().filter_map(|case| case.situation.ok()).collect();
    let lines: String = (1..).zip(&situations).map(|(number, one)| line(number, one, &shop)).collect();
    fs::create_dir(dir.path().join("log")).unwrap();
    fs::write(dir.path().join("log/audit-gw-20261120T220000123Z-000000000001.jsonl"), lines).unwrap();
    copy(&shipped(), &dir.path().join("candidate"));
    (dir, situations.len() as u64)
}

/// The cases are about days of 2026, whenever this runs.
const ALL: [&str; 4] = ["--since", "2000-01-01", "--dir", "log"];

#[test]
fn an_edit_shows_what_it_would_have_done() {
    let (dir, decisions) = house();
    let run = |args: &[&str]| doorward(dir.path(), &[&ALL[..], args, &["candidate"]].concat());
    let same = run(&["--fail-on-difference"]);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stderr));
    assert!(text(&same.stdout).contains("all come to the same"), "{}", text(&same.stdout));
    assert!(same.stderr.is_empty(), "no progress where nobody looks: {}", text(&same.stderr));

    let file = dir.path().join("candidate/apps/payroll.cedar");
    let policies = fs::read_to_string(&file).unwrap();
    let edited = policies.replace("Role::\"hr\"", "Role::\"people-team\"");
    assert_ne!(policies, edited);
    fs::write(&file, edited).unwrap();

    let shown = run(&[]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    for part in [
        &format!("{decisions} decisions"),
        "newly denied",
        "by app: payroll",
        "deny because nothing permits it",
        "req-",
    ] {
        assert!(text(&shown.stdout).contains(part), "{part}: {}", text(&shown.stdout));
    }
    assert_eq!(run(&["--fail-on-difference"]).status.code(), Some(1));

    let json: Value = serde_json::from_slice(&run(&["--format", "json", "--limit", "1"]).stdout).unwrap();
    assert_eq!(json["decided"], decisions);
    assert_eq!(json["same"].as_u64().unwrap() + json["differ"].as_u64().unwrap(), decisions);
    assert_eq!(json["changes"]["newly_allowed"], 0);
    assert!(json["changes"]["newly_denied"].as_u64().unwrap() > 0);
    assert_eq!(json["differences"].as_array().unwrap().len(), 1);
    assert_eq!(json["differences"][0]["before"]["decision"], "allow");
    assert_eq!(json["differences"][0]["app"], "payroll");
    let none: Value = serde_json::from_slice(&run(&["--format", "json", "--app", "wiki"]).stdout).unwrap();
    assert_eq!(none["differ"], 0);
    let visitors: Value =
        serde_json::from_slice(&run(&["--format", "json", "--person-kind", "visitor"]).stdout).unwrap();
    assert!(visitors["decided"].as_u64().unwrap() < decisions / 2);

    // Compared with a folder instead of with the log.
    let shipped = shipped();
    let beside = run(&["--format", "json", "--baseline", shipped.to_str().unwrap()]);
    let beside: Value = serde_json::from_slice(&beside.stdout).unwrap();
    assert_eq!(beside["changes"], json["changes"]);
}

/// A pipeline that is green because nothing was looked at is worse than none.
#[test]
fn what_was_not_looked_at_proves_nothing() {
    let (dir, _) = house();
    let at = |name: &str| dir.path().join(name);
    let log = fs::read_to_string(at("log/audit-gw-20261120T220000123Z-000000000001.jsonl")).unwrap();
    let write = |folder: &str, file: &str, text: &[u8]| {
        fs::create_dir_all(at(folder)).unwrap();
        fs::write(at(folder).join(file), text).unwrap();
    };
    const FILE: &str = "audit-gw-20261120T220000123Z-000000000001.jsonl";
    fs::create_dir(at("empty")).unwrap();
    write("without", FILE, log.replace("\"situation\":{", "\"was_situation\":{").as_bytes());
    write("noise", FILE, "\u{fffd}\n".repeat(50).as_bytes());
    write("packed", &format!("{FILE}.gz"), b"");
    let lost = Counts { allowed: 4000, denied: 711, ..Counts::default() };
    let (cause, range) = (GapCause::Overflow, Some((Sequence(9000), Sequence(13_710))));
    let gap = Event::AuditGap(Box::new(Gap { cause, range, lost, detail: None, segment: None }));
    let identity = Identity { node: "gw".to_owned(), version: "0".to_owned() };
    let gap =
        gap.to_line(&identity, "gw-20261120T220000123Z", Sequence(13_711), UnixMillis(1_795_212_000_123));
    write("gap", FILE, format!("{log}{}", gap.unwrap()).as_bytes());
    let run = |folder: &str, more: &[&str]| {
        let args = ["--since", "2000-01-01", "--dir", folder, "--fail-on-difference", "candidate"];
        doorward(dir.path(), &[&args[..], more].concat())
    };
    for (folder, more, says) in [
        ("empty", &[][..], "no file"),
        ("without", &[], "not every decision can be made again"),
        ("noise", &[], "lines of the log are damaged"),
        ("packed", &[], "compressed"),
        ("gap", &[], "4,711 decisions could not be written"),
        ("gap", &["--app", "wiki"], "decisions are missing in the log"),
        ("log", &["--app", "nosuch"], "no request for the app `nosuch`"),
    ] {
        let shown = run(folder, more);
        assert_eq!(shown.status.code(), Some(1), "{folder}: {}", text(&shown.stdout));
        assert!(text(&shown.stdout).contains(says), "{folder}: {}", text(&shown.stdout));
        assert!(text(&shown.stdout).contains("nothing is proved: "), "{folder}: {}", text(&shown.stdout));
        let allowed = run(folder, &[more, &["--allow-gaps"]].concat());
        assert_eq!(allowed.status.code(), Some(0), "{folder}: {}", text(&allowed.stdout));
    }
    let never = run("log", &["--until", "1999-12-31"]);
    assert_eq!(never.status.code(), Some(2), "{}", text(&never.stdout));
    assert!(text(&never.stderr).contains("there is no time between"), "{}", text(&never.stderr));
    assert_eq!(run("log", &[]).status.code(), Some(0), "all of it was looked at");
}

#[test]
fn one_is_said_as_one() {
    let (dir, _) = house();
    let file = dir.path().join("log/audit-gw-20261120T220000123Z-000000000001.jsonl");
    let log = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{}\nhalf\n", log.lines().next().unwrap())).unwrap();
    let shown = doorward(dir.path(), &[&ALL[..], &["candidate"]].concat());
    assert!(text(&shown.stdout).starts_with("1 decision from "), "{}", text(&shown.stdout));
    assert!(text(&shown.stdout).contains("1 line of the log is damaged:"), "{}", text(&shown.stdout));
    fs::write(&file, format!("{}\nhalf", log.lines().next().unwrap())).unwrap();
    let shown = doorward(dir.path(), &[&ALL[..], &["candidate"]].concat());
    assert!(text(&shown.stdout).contains("1 file of the log ends within a line"), "{}", text(&shown.stdout));
}

#[test]
fn a_file_without_a_case_is_not_left_behind() {
    let (dir, _) = house();
    let cases = ["--write-cases", "new.toml", "candidate"];
    let shown = doorward(dir.path(), &[&ALL[..], &cases].concat());
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("no case is written"), "{}", text(&shown.stdout));
    assert!(!dir.path().join("new.toml").exists());
    let failed = doorward(dir.path(), &["--dir", "nowhere", "--write-cases", "new.toml", "candidate"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(!dir.path().join("new.toml").exists());
    // What cannot be written is known before the work begins.
    let nowhere = ["--dir", "nowhere", "--write-cases", "nowhere/new.toml", "candidate"];
    assert!(text(&doorward(dir.path(), &nowhere).stderr).contains("cases cannot be written"));
}

#[test]
fn differences_become_cases_that_the_edit_fails() {
    let (dir, _) = house();
    let shipped = shipped();
    let file = dir.path().join("candidate/apps/payroll.cedar");
    let policies = fs::read_to_string(&file).unwrap();
    fs::write(&file, policies.replace("Role::\"hr\"", "Role::\"people-team\"")).unwrap();
    let cases = ["--baseline", shipped.to_str().unwrap(), "--write-cases", "new.toml"];
    let args = [&ALL[..], &cases, &["candidate"]].concat();
    let written = doorward(dir.path(), &args);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    assert!(text(&written.stdout).contains("cases in new.toml"), "{}", text(&written.stdout));
    let again = doorward(dir.path(), &args);
    assert_eq!(again.status.code(), Some(1), "a file that is there is not written over");
    assert!(text(&again.stderr).contains("new.toml"), "{}", text(&again.stderr));

    copy(&shipped, &dir.path().join("baseline"));
    let holds = dir.path().join("baseline/cases/new.toml");
    fs::copy(dir.path().join("new.toml"), &holds).unwrap();
    Workshop::open(&dir.path().join("baseline"), None).unwrap();
    fs::write(dir.path().join("baseline/apps/payroll.cedar"), fs::read_to_string(&file).unwrap()).unwrap();
    let failure = Workshop::open(&dir.path().join("baseline"), None).unwrap_err();
    assert!(failure.findings.iter().any(|f| f.file().is_some_and(|file| file.ends_with("new.toml"))));
}

#[test]
fn what_is_wrong_is_said_with_its_exit_code() {
    let (dir, _) = house();
    fs::write(dir.path().join("candidate/apps/payroll.cedar"), "permit (principal").unwrap();
    let broken = doorward(dir.path(), &[&ALL[..], &["candidate"]].concat());
    assert_eq!(broken.status.code(), Some(2));
    assert!(text(&broken.stdout).contains("payroll.cedar"), "{}", text(&broken.stdout));
    let shipped = shipped();
    let shipped = shipped.to_str().unwrap();
    let absent = doorward(dir.path(), &["--dir", "nowhere", shipped]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(text(&absent.stderr).contains("`nowhere` cannot be read"), "{}", text(&absent.stderr));
    let never = doorward(dir.path(), &["--dir", "log", "--since", "yesterday", shipped]);
    assert_eq!(never.status.code(), Some(2));
    assert!(text(&never.stderr).contains("`7d`"), "{}", text(&never.stderr));
}
