//! A request that is shown breaks the line: it is one that the line is about, and that somebody can make.

use std::fs;

use doorward_policy::Workshop;
use doorward_workbench::prove::{Verdict, prove};

use super::super::solver::{shipped, solver};
use super::doubts::{folder, policies};
use super::{copy, is_about, quiet, show};

/// Broken only for a route that is not as the cases have it. Of a route of another name they say nothing.
const EXACT: &str = r#"
@id("line.a") @title("a") @owner("o")
forbid (principal is User, action, resource == Route::"wiki/admin") unless { principal in Role::"platform-admin" };

@id("line.b") @title("b") @owner("o")
forbid (principal, action, resource == Route::"build/admin")
unless { principal is User && principal in Role::"platform-admin" };

@id("line.c") @title("c") @owner("o")
forbid (principal, action, resource == Route::"payroll/admin") unless { context.session.mfa };

@id("line.d") @title("d") @owner("o")
permit (principal is User in Role::"hr", action, resource == Route::"payroll/admin")
when { resource.public && context.zones.contains("corp") };
"#;

#[test]
fn a_line_about_one_route_is_broken_by_a_request_for_that_route() {
    let dir = tempfile::tempdir().unwrap();
    copy(&shipped(), dir.path());
    fs::write(dir.path().join("invariants/exact.cedar"), EXACT).unwrap();
    let workshop = Workshop::untried(dir.path(), None).unwrap_or_else(|e| panic!("{}", e.plain()));
    let mut solver = solver();
    for (line, route) in [
        ("line.a", "wiki/admin"),
        ("line.b", "build/admin"),
        ("line.c", "payroll/admin"),
        ("line.d", "payroll/admin"),
    ] {
        let proof = prove(&mut solver, &workshop, Some(line), &mut quiet).unwrap();
        let Verdict::Broken(breach) = &proof.lines[0].verdict else { panic!("{}", show(&proof)) };
        assert!(is_about(&workshop, line, &breach.situation), "{line}: {breach:?}");
        let decided = workshop.bundle().decide(&breach.situation.question());
        assert_eq!(decided.is_allow(), line != "line.d", "{line}: {breach:?}");
        let by: Vec<&str> = decided.determining.iter().map(|id| &**id).collect();
        assert_eq!(breach.by, by, "{line}");
        assert_eq!(breach.situation.route.id.as_str(), route, "{line}");
        // The cases have it otherwise, so that the request is told and is no case beside them.
        assert_eq!(breach.case(), None, "{line}");
        let told = &breach.request;
        assert!(told.contains(&format!("[route.\"{route}\"]")), "{line}: {told}");
        assert!(!told.contains("some-route"), "{line}: {told}");
    }
}

/// A solver likes the last moment of all; one that the gateway cannot say would hide what is open until then.
#[test]
fn what_begins_on_a_day_is_found() {
    let mut solver = solver();
    let line = "@id(\"line\") @title(\"l\") @owner(\"o\") forbid (principal is User, action, resource)
        unless { context.granted };";
    for from in [
        "context.time.now > datetime(\"2026-07-04T00:00:00Z\")",
        "context.time.now >= datetime(\"9999-12-30T22:00:00Z\")",
        "principal has contractEnd && principal.contractEnd > datetime(\"2030-01-01\")",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let permit = format!("permit (principal is User, action, resource) when {{ {from} }};");
        let workshop = folder(dir.path(), &policies(&[&permit]), line);
        let proof = prove(&mut solver, &workshop, Some("line"), &mut quiet).unwrap();
        let Verdict::Broken(breach) = &proof.lines[0].verdict else { panic!("{from}: {}", show(&proof)) };
        assert!(workshop.bundle().decide(&breach.situation.question()).is_allow(), "{from}: {breach:?}");
    }
}

/// To a solver any day may be a Monday.
#[test]
fn what_is_shown_happens_on_a_day_that_there_is() {
    let mut solver = solver();
    let line = "@id(\"line\") @title(\"l\") @owner(\"o\") forbid (principal is User, action, resource);";
    let mut verdict = |when: &str| {
        let dir = tempfile::tempdir().unwrap();
        let permit = format!("permit (principal is User, action, resource) when {{ {when} }};");
        let workshop = folder(dir.path(), &policies(&[&permit]), line);
        prove(&mut solver, &workshop, Some("line"), &mut quiet).unwrap().lines.remove(0).verdict
    };
    let mondays = "context.time.weekday == Weekday::\"mon\"";
    for when in [
        mondays.to_owned(),
        format!("{mondays} && context.time.now > datetime(\"2030-01-01\")"),
        format!("{mondays} && context.time.localTime < duration(\"5m\")"),
    ] {
        let Verdict::Broken(breach) = verdict(&when) else { panic!("{when}") };
        assert!(breach.situation.is_somewhere(), "{when}: {breach:?}");
    }
    // Noon of a Thursday is on no Monday: nothing can be shown, and so nothing is said to be broken.
    let thursday = format!("{mondays} && context.time.now == datetime(\"2026-12-31T12:00:00Z\")");
    let told = verdict(&thursday);
    assert!(matches!(&told, Verdict::Unknown(why) if why.contains("day of the week")), "{told:?}");
}

/// To a solver a host may be any text. No request names a zero.
#[test]
fn what_no_request_says_breaks_nothing() {
    let line = |condition: &str| {
        format!(
            "@id(\"line\") @title(\"l\") @owner(\"o\") forbid (principal is User, action, resource) when {{ {condition} }};"
        )
    };
    let mut solver = solver();
    let mut verdict = |permit: &str, line: &str| {
        let dir = tempfile::tempdir().unwrap();
        let permit = format!("permit (principal is User, action, resource) when {{ {permit} }};");
        let workshop = folder(dir.path(), &policies(&[&permit]), line);
        prove(&mut solver, &workshop, Some("line"), &mut quiet).unwrap().lines.remove(0).verdict
    };
    for unheard in [
        r#"context.http.host like "*\0*""#,
        r#"context.http.path like "*\0*""#,
        r#"context.http has userAgent && context.http.userAgent like "*\0*""#,
    ] {
        let verdict = verdict(unheard, &line("!context.granted"));
        assert!(matches!(verdict, Verdict::Unknown(_)), "{unheard}: {verdict:?}");
    }
    // What is not as usual is said as somebody can.
    let other = r#"context.http.host != "app.example" && context.http.path != "/""#;
    let verdict = verdict(other, &line(other));
    let Verdict::Broken(breach) = &verdict else { panic!("{verdict:?}") };
    let (host, path) = (&breach.situation.host, &breach.situation.path);
    assert!(
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        "{host:?}"
    );
    assert!(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()), "{path:?}");
}
