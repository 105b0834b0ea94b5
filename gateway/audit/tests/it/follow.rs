//! Reading the log while it is written.

use std::fs;
use std::io::Write;

use doorward_audit::tail::{Filter, Follower, From, Style, render};
use doorward_audit::{Event, Recorded, Sequence};

use crate::samples::{self, NOW, block_on, eventually, identity, open, small};

const PLAIN: Style = Style { color: false };

fn line(event: &Event) -> String {
    event.to_line(&identity(), "gw-1-20261120T220000123Z", Sequence(1), NOW).unwrap()
}

#[test]
fn a_line_reads_well() {
    let mut cases = String::new();
    for (_, event) in samples::all() {
        cases.push_str(&render(&line(&event), PLAIN));
        cases.push('\n');
    }
    let expected = "\
22:00:00.123 ALLOW alice@example.com GET payroll /api/v1/runs DE payroll-viewers-read 143us req-7f1c2a90-55c3-4d9f-9b1d-7e2f3a4b5c6d
22:00:00.123 ALLOW alice@example.com GET payroll /api/v1/runs DE payroll-viewers-read 143us stale by 2350ms req-1
22:00:00.123 ALLOW alice@example.com GET payroll /api/v1/runs DE payroll-viewers-read 143us req-1
22:00:00.123 DENY alice@example.com GET payroll /api/v1/runs BR geo-allow-list 143us req-7f1c2a90-55c3-4d9f-9b1d-7e2f3a4b5c6e
22:00:00.123 DENY - GET payroll.corp.example / unauthenticated req-2
22:01:35.123 END alice@example.com GET payroll /api/v1/runs DE payroll-viewers-read client_gone 143us req-3
22:30:00.123 KILL alice@example.com GET payroll /api/v1/runs DE payroll-viewers-read terminated 143us req-4
22:30:00.123 STOP alice@example.com GET payroll /api/v1/runs DE contractors-never withdrawn 143us req-5
22:00:00.123 OK session.begun Signed in: alice@example.com at corp req-6
22:00:00.123 OK session.raised Proved more: alice@example.com at corp req-7
22:00:00.123 FAIL sign_in.refused Sign-in refused: somebody at corp: bad_request req-8
22:00:00.142 REVOKE revocation.user Revoked user corp:usr-01HBOB: 6 exchanges ended, in 19 ms req-op-1
22:00:00.142 REVOKE revocation.user Revoked user corp:usr-01HBOB: 6 exchanges ended, in 19 ms req-op-1
22:00:00.142 REVOKE revocation.session Revoked session corp:ses-9f2c41: 6 exchanges ended, in 19 ms req-op-1
22:00:00.142 REVOKE revocation.token Revoked token corp:jti-77: 6 exchanges ended, in 19 ms req-op-1
22:00:00.142 REVOKE revocation.token Revoked token corp:dws-Zx3kq0T9mVb1cYw5Rj7uHA: 6 exchanges ended, in 19 ms req-op-1
22:00:00.142 REVOKE revocation.device Revoked device dev-77: 6 exchanges ended, in 19 ms req-op-1
22:00:00.142 REVOKE revocation.user_at_app Revoked user_at_app payroll@corp:usr-01HBOB: 6 exchanges ended, in 19 ms req-op-1
22:00:00.123 DEBT control_debt.opened security owes: gw-2 did not confirm the revocation rev-01JD7PB2 of user corp:usr-01HBOB req-op-1
22:00:00.123 OK control_debt.settled A debt was settled: gw-2 was taken out of service req-op-1
22:00:00.123 OK user.lifecycle.deactivate okta asked for scim_deactivate: person 01997f2c-8b1e-7c3a-9d55-0c2f6f0e7a11 req-scim-1
22:00:00.123 FAIL user.lifecycle.denied okta asked for scim_deactivate in vain: person 01997f2c-8b1e-7c3a-9d55-0c2f6f0e7a11 req-scim-1
22:00:00.123 OK group.user_membership.add okta asked for scim_deactivate: group 01997f2c-8b1e-7c3a-9d55-0c2f6f0e7a99 req-scim-1
22:00:00.123 OK policy.shadow.started Policies c81e728d9d4c2f63 are asked beside those in force
22:00:00.123 OK policy.shadow.found Policies c81e728d9d4c2f63 would newly deny 31 requests and newly allow 4
22:00:00.123 OK policy.shadow.stopped Policies c81e728d9d4c2f63 are asked no more beside those in force
22:00:00.123 OK policy.shadow.promoted Policies c81e728d9d4c2f63 were asked beside others and are in force now
22:00:00.123 OK policy.swapped Policies c81e728d9d4c2f63 are in force +wiki.visitors ~guard.visitors because: visitors read the wiki
22:00:00.123 OK policy.staged Policies c81e728d9d4c2f63 are asked for 5% of people at wiki by operator +wiki.visitors because: visitors read the wiki
22:00:00.123 FAIL policy.rejected Policies were refused for 1 mistake; those before stay in force by operator
22:00:00.123 OK policy.mended The files hold policies b7e23ec29af22b0b again, which are in force
22:00:00.123 OK geoip.reloaded GeoIP databases were read anew
22:00:00.123 FAIL geoip.kept GeoIP databases could not be read; those before are kept
22:00:00.123 OK certificates.reloaded Certificates were read anew
22:00:00.123 FAIL certificates.kept Certificates could not be served; those before are kept
22:00:00.123 OK operator.call operator called revoke.user user corp:usr-01HBOB: 200 req-op-1
22:00:00.123 OK gateway.started The gateway takes requests
22:00:00.123 OK gateway.draining The gateway takes no more requests and waits for those that run
22:00:00.123 OK gateway.stopped The gateway stops
22:00:00.123 FAIL audit.gap A gap in the audit log (overflow): 100 events
22:00:00.123 OK audit.torn_tail_repaired audit-gw-1-20261120T080000000Z-000000000001.jsonl ended in the middle of a line and was mended
22:00:00.123 OK audit.refusals_summarized 11437 refusals of nobody in particular were counted, not written
22:00:00.123 OK audit.segment_retired audit-gw-1-20261020T080000000Z-000000000001.jsonl is removed: the log holds as much as it may
";
    assert_eq!(cases, expected);
}

#[test]
fn a_color_never_stands_for_the_word() {
    let shown = render(&line(&samples::denied("req-1")), Style { color: true });
    assert!(shown.contains("\u{1b}[31mDENY\u{1b}[0m"), "{shown}");
}

#[test]
fn what_is_no_event_is_shown_as_such() {
    for (line, shown) in [
        ("{\"metadata\":", "CORRUPT {\"metadata\":"),
        ("{}\n", "CORRUPT {}"),
        ("\u{0}\u{0}", "CORRUPT \\u{0}\\u{0}"),
        ("", "CORRUPT "),
    ] {
        assert_eq!(render(line, PLAIN), shown);
    }
    assert!(render(&"x".repeat(10_000), PLAIN).len() < 200);
}

#[test]
fn filters_choose() {
    let filter = |deny, user: Option<&str>, app: Option<&str>| Filter {
        deny,
        user: user.map(str::to_owned),
        app: app.map(str::to_owned),
    };
    let bob = samples::revocation(samples::bob(), true);
    for (filter, event, admitted) in [
        (filter(false, None, None), samples::allowed("r"), true),
        (filter(true, None, None), samples::allowed("r"), false),
        (filter(true, None, None), samples::ended("r"), false),
        (filter(true, None, None), samples::denied("r"), true),
        (filter(true, None, None), samples::terminated("r"), true),
        (filter(true, None, None), samples::withdrawn("r"), true),
        (filter(true, None, None), samples::revocation(samples::bob(), true), true),
        (filter(false, Some("alice@example.com"), None), samples::allowed("r"), true),
        (filter(false, Some("corp:usr-01HZX3V9"), None), samples::allowed("r"), true),
        (filter(false, Some("alice"), None), samples::allowed("r"), false),
        (filter(false, Some("alice@example.com"), None), bob.clone(), false),
        (filter(false, Some("corp:usr-01HBOB"), None), bob.clone(), true),
        (filter(false, None, Some("payroll")), samples::allowed("r"), true),
        (filter(false, None, Some("wiki")), samples::allowed("r"), false),
        (filter(true, Some("alice@example.com"), Some("payroll")), samples::denied("r"), true),
        (filter(true, Some("alice@example.com"), Some("wiki")), samples::denied("r"), false),
    ] {
        assert_eq!(filter.admits(&line(&event)), admitted, "{filter:?} {}", event.code());
    }
    assert!(filter(true, Some("x"), Some("y")).admits("garbage"), "never overlooked");
}

#[test]
fn reading_goes_on_across_files() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(small(dir.path()));
    let mut follower = Follower::new(dir.path(), From::Start, Filter::default()).unwrap();
    let mut seen = Vec::new();
    for i in 0..300 {
        block_on(audit.record_durable(samples::revocation(samples::bob(), i % 2 == 0))).unwrap();
        if i % 7 == 0 {
            seen.extend(follower.poll().unwrap());
        }
    }
    audit.close().unwrap();
    seen.extend(follower.poll().unwrap());
    let numbers: Vec<u64> = seen
        .iter()
        .map(|l| samples::number(&serde_json::from_str(l).unwrap(), "/metadata/sequence"))
        .collect();
    assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
    assert!(fs::read_dir(dir.path()).unwrap().count() > 3);
    assert_eq!(follower.poll().unwrap(), Vec::<String>::new());
}

#[test]
fn reading_begins_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(small(dir.path()));
    for _ in 0..100 {
        block_on(audit.record_durable(samples::denied("req"))).unwrap();
    }
    let number = |l: &String| samples::number(&serde_json::from_str(l).unwrap(), "/metadata/sequence");
    let mut end = Follower::new(dir.path(), From::End, Filter::default()).unwrap();
    let mut last = Follower::new(dir.path(), From::Last(70), Filter::default()).unwrap();
    let mut more = Follower::new(dir.path(), From::Last(1000), Filter::default()).unwrap();
    assert_eq!(end.poll().unwrap(), Vec::<String>::new());
    assert_eq!(audit.record(samples::allowed("req")), Recorded::Queued);
    eventually("it is written", || audit.health().written == 101);
    assert_eq!(end.poll().unwrap().iter().map(number).collect::<Vec<_>>(), [101]);
    assert_eq!(last.poll().unwrap().iter().map(number).collect::<Vec<_>>(), (31..=101).collect::<Vec<_>>());
    assert_eq!(more.poll().unwrap().len(), 101);
}

#[test]
fn half_a_line_is_not_shown_until_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit-gw-1-20261120T220000123Z-000000000001.jsonl");
    let mut file = fs::File::create(path).unwrap();
    let mut follower = Follower::new(dir.path(), From::Start, Filter::default()).unwrap();
    let line = line(&samples::denied("req-1"));
    let (first, second) = line.split_at(100);
    file.write_all(first.as_bytes()).unwrap();
    assert_eq!(follower.poll().unwrap(), Vec::<String>::new());
    file.write_all(second.as_bytes()).unwrap();
    file.write_all(b"\xff garbage\n").unwrap();
    let lines = follower.poll().unwrap();
    assert_eq!(lines, [line.trim_end(), "\u{fffd} garbage"]);
    // A torn tail that was cut off, and a line that goes on for ever.
    file.set_len(0).unwrap();
    assert_eq!(follower.poll().unwrap(), Vec::<String>::new());
    file.write_all(&vec![b'x'; doorward_model::limits::AUDIT_LINE_BYTES_MAX + 40_000]).unwrap();
    assert_eq!(follower.poll().unwrap().len(), 1);
}
