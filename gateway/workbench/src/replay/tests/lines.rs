//! Lines of a log that no gateway wrote, and the way without memory.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use cedar_policy::Policy;
use doorward_model::UnixMillis;
use doorward_policy::PolicyBundle;

use super::{NOW, SHIPPED};
use crate::replay::{Change, Replay, Report};

const SITUATION: &str = r#"{"v":1,"who":{"user":{"id":"corp:u","stage":"active","employment":"employee"}},"does":"GET","route":{"id":"a/all","tier":"public"},"session":{"mfa":true,"mfa_at":1795212000000},"place":{"ip":"192.0.2.1"},"now":1795212000000,"local":0,"weekday":"mon","host":"h","path":"/"}"#;

fn line(event: &str, request: &str, decision: &str, situation: &str) -> String {
    format!(
        r#"{{"metadata":{{"event_code":"access.request.{event}","correlation_uid":"{request}"}},"time":{NOW},"unmapped":{{"doorward":{{"route":"a/all"{decision},"situation":{situation}}}}}}}"#
    ) + "\n"
}

fn denied(determining: &[String], revision: &str) -> String {
    let determining = serde_json::to_string(determining).unwrap();
    format!(
        r#","decision":{{"outcome":"deny","reason_code":"no_permit","determining":{determining},"latency_us":1,"policy_set":{{"revision":"{revision}"}}}}"#
    )
}

fn bundle() -> PolicyBundle {
    let text = "permit (principal, action, resource) when { context.http.path like \"/a*\" };";
    SHIPPED.with(vec![Policy::parse(None, text).unwrap()])
}

fn replay<T>(lines: &str, bundle: &PolicyBundle, run: impl FnOnce(&Replay<'_>) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("audit-gw-20261120T220000123Z-000000000001.jsonl"), lines).unwrap();
    run(&Replay {
        dir: dir.path(),
        since: UnixMillis(0),
        until: None,
        candidate: bundle,
        baseline: None,
        app: None,
        kind: None,
        threads: NonZeroUsize::MIN,
        keep_situations: true,
    })
}

fn run(lines: &str, bundle: &PolicyBundle) -> Report {
    replay(lines, bundle, |task| task.run(|_| ()).unwrap())
}

#[test]
fn what_no_gateway_writes_is_damaged_and_not_kept() {
    let bundle = bundle();
    let long = |bytes: usize| "p".repeat(bytes);
    for (what, wrong, right) in [
        ("id of a policy", denied(&[long(129)], "r"), denied(&[long(128)], "r")),
        ("list of policies", denied(&vec![long(3); 33], "r"), denied(&vec![long(3); 32], "r")),
        ("revision", denied(&[], &long(257)), denied(&[], &long(256))),
    ] {
        let report = run(&line("denied", "q", &wrong, SITUATION), &bundle);
        assert_eq!((report.damaged, report.decided), (1, 0), "{what}");
        let report = run(&line("denied", "q", &right, SITUATION), &bundle);
        assert_eq!((report.damaged, report.decided), (0, 1), "{what}");
    }
    let report = run(&line("denied", &long(257), &denied(&[], "r"), SITUATION), &bundle);
    assert_eq!((report.damaged, report.decided), (1, 0), "request id");
    let report = run(&line("allowed", "q", "", SITUATION), &bundle);
    assert_eq!(
        (report.undecided.unreadable, report.undecided.not_asked),
        (1, 0),
        "let in without a decision"
    );
    let report = run(&line("denied", "q", "", SITUATION), &bundle);
    assert_eq!((report.undecided.unreadable, report.undecided.not_asked), (0, 1));
}

/// More sorts of differences than are told apart: they are in the totals all the same.
#[test]
fn the_totals_hold_what_is_not_told_apart() {
    let bundle = bundle();
    let mut lines = String::new();
    for n in 0..2100 {
        lines += &line("denied", &format!("q{n}"), &denied(&[format!("p{n}")], "r"), SITUATION);
    }
    let report = run(&lines, &bundle);
    assert_eq!((report.decided, report.differ(), report.beyond), (2100, 2100, 100));
    assert_eq!(report.differences.len(), 2000);
    assert_eq!(
        (report.by_kind(), report.by_app.as_slice()),
        (vec![("employee", 2100)], &[("a".to_owned(), 2100)][..])
    );
    assert_eq!(report.by_policy.iter().map(|(_, count)| count).sum::<u64>(), 2100);
    assert_eq!(report.changes, [(Change::OtherReasons, 2100)].into());
}

#[test]
fn only_the_oldest_example_keeps_what_was_seen() {
    let lines: String = (0..5)
        .map(|n| line("denied", &format!("q{n}"), &denied(&["p".to_owned()], "r"), SITUATION))
        .collect();
    let report = run(&lines, &bundle());
    let kept: Vec<_> = report.differences[0]
        .examples
        .iter()
        .map(|e| (e.request_id.as_str(), e.situation.is_some()))
        .collect();
    assert_eq!(kept, [("q0", true), ("q1", false), ("q2", false)]);
}

#[test]
fn without_memory_the_same_comes_of_it() {
    let mut lines = String::new();
    for n in 0..400 {
        let situation = SITUATION
            .replace("\"path\":\"/\"", &format!("\"path\":\"/{}{n}\"", if n % 3 == 0 { "a" } else { "b" }));
        let _ = write!(lines, "{}", line("denied", &format!("q{n}"), &denied(&[], "r"), &situation));
    }
    let bundle = bundle();
    let [by_memory, by_bundle] = [true, false]
        .map(|remembers| replay(&lines, &bundle, |task| task.once(remembers, &mut |_| ()).unwrap()));
    assert_eq!((by_bundle.asked, by_bundle.decided, by_bundle.controlled), (400, 400, 0));
    assert_eq!((by_memory.differ(), by_memory.mistaken), (134, 0));
    assert_eq!(Report { asked: 0, ..by_memory }, Report { asked: 0, ..by_bundle });
}
