//! What must not be proved, though it looks like it, and what is said instead.

#![expect(clippy::disallowed_methods, reason = "an end to waiting")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use doorward_policy::{Decision, Workshop};
use doorward_workbench::prove::{Breach, NEVER_FAILS, Proof, Shows, Verdict, against, prove};
use doorward_workbench::solver::{Bounds, Solver};

use super::super::solver::{BOUNDS, shipped, solver};
use super::{quiet, show};

/// Two routes and two people, in the same year as everybody else's cases.
const BASE: &str = r#"
[base.time]
now = 2026-03-04T10:00:00Z
local = "10:00"
weekday = "wed"

[person.bob]
id = "corp:bob"
employment = "employee"

[person.carol]
id = "corp:carol"
employment = "contractor"

[route."wiki/all"]
tier = "internal"

[route."wiki/admin"]
tier = "internal"
admin_surface = true
"#;

const CONTRACTORS: &str = r#"@id("line") @title("c") @owner("o")
@no_more_than("principal.employment = Employment::\"employee\"")
forbid (principal is User, action, resource) when { principal.employment == Employment::"contractor" };"#;

/// A folder of these policies and red lines over the shipped schema.
pub(super) fn folder(dir: &Path, policies: &str, lines: &str) -> Workshop {
    for name in ["cases", "apps", "invariants"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    fs::copy(shipped().join("schema.cedarschema"), dir.join("schema.cedarschema")).unwrap();
    fs::write(dir.join("cases/base.toml"), BASE).unwrap();
    fs::write(dir.join("apps/a.cedar"), policies).unwrap();
    if !lines.is_empty() {
        fs::write(dir.join("invariants/l.cedar"), lines).unwrap();
    }
    Workshop::untried(dir, None).unwrap_or_else(|e| panic!("{}\n{policies}", e.plain()))
}

pub(super) fn policies(all: &[&str]) -> String {
    let mut text = String::new();
    for (n, policy) in all.iter().enumerate() {
        let _ = writeln!(text, "@id(\"p{n}\") @title(\"t\") @owner(\"o\") @reason(\"r\")\n{policy}");
    }
    text
}

fn proved_of(solver: &mut Solver, all: &[&str], line: &str) -> Proof {
    let dir = tempfile::tempdir().unwrap();
    prove(solver, &folder(dir.path(), &policies(all), line), Some("line"), &mut quiet).unwrap()
}

fn verdict(solver: &mut Solver, all: &[&str], line: &str) -> Verdict {
    proved_of(solver, all, line).lines.remove(0).verdict
}

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Unknown(why) => why,
        Verdict::Proved | Verdict::Broken(_) => panic!("{verdict:?}"),
    }
}

/// It lets contractors in and no employee.
#[test]
fn a_fact_in_other_words_is_no_proof() {
    let mut solver = solver();
    // All the ways to say so are tried beside `substitute.rs`.
    let unseen = "permit (principal is User, action, resource in App::\"wiki\") when \
                  { {who: principal}.who.employment == Employment::\"contractor\" };";
    let answer = verdict(&mut solver, &[unseen], CONTRACTORS);
    assert!(why(&answer).contains("principal.employment"), "{answer:?}");
    // Where it is asked for as everybody would, it is found, however deep it stands.
    for condition in [
        "{a: 1, b: 2, c: 3, d: principal.employment} == {a: 1, b: 2, c: 3, d: Employment::\"contractor\"}",
        "principal has employment && principal.employment != Employment::\"employee\"",
    ] {
        let policy =
            format!("permit (principal is User, action, resource in App::\"wiki\") when {{ {condition} }};");
        let verdict = verdict(&mut solver, &[policy.as_str()], CONTRACTORS);
        let Verdict::Broken(breach) = &verdict else { panic!("{condition}: {verdict:?}") };
        assert!(
            matches!(&breach.shows, Shows::Comparison { with } if with.contains("employee")),
            "{breach:?}"
        );
        assert!(breach.request.contains("expect = \"deny\""), "{}", breach.request);
    }
    // Who is named, and not by what is said of them, is no matter of the fact.
    let named = "permit (principal is User, action, resource in App::\"wiki\") when \
                 { [User::\"corp:bob\", User::\"corp:carol\"].contains(principal) && {p: principal} == {p: principal} };";
    assert!(matches!(verdict(&mut solver, &[named], CONTRACTORS), Verdict::Proved));
}

/// A record holds the fact: whoever compares all of it asks for it.
#[test]
fn all_of_a_record_is_each_fact_in_it() {
    let line = r#"@id("line") @title("c") @owner("o")
        @no_more_than("context.time.weekday = Weekday::\"mon\"")
        forbid (principal is User, action, resource) when { context.time.weekday == Weekday::"sun" };"#;
    let mut solver = solver();
    let permit = |condition: &str| {
        format!("permit (principal is User, action, resource in App::\"wiki\") when {{ {condition} }};")
    };
    let all = "context.time == {now: context.time.now, localTime: context.time.localTime, weekday: Weekday::\"sun\"}";
    let answer = verdict(&mut solver, &[permit(all).as_str()], line);
    assert!(why(&answer).contains("context.time"), "{answer:?}");
    let verdict = verdict(&mut solver, &[permit("context.time.weekday == Weekday::\"sun\"").as_str()], line);
    assert!(matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
}

/// What is allowed to the agent of a contractor would be allowed to that of an employee: not by the gateway, which
/// asks about the employee, too.
#[test]
fn nothing_about_agents_is_compared() {
    let all = [
        "permit (principal is Agent, action, resource in App::\"wiki\");",
        "permit (principal is User, action, resource in App::\"wiki\") when { principal.employment != Employment::\"employee\" };",
    ];
    let line = r#"@id("line") @title("c") @owner("o")
        @no_more_than("principal.onBehalfOf.employment = Employment::\"employee\"")
        forbid (principal is Agent, action, resource);"#;
    let mut solver = solver();
    assert!(why(&verdict(&mut solver, &all, line)).contains("agent"));
    // Nor is one hidden in a condition, or where the scope says nothing of who asks.
    let either = r#"@id("line") @title("c") @owner("o")
        @no_more_than("context.time.weekday = Weekday::\"mon\"")
        forbid (principal, action, resource);"#;
    assert!(why(&verdict(&mut solver, &all, either)).contains("agent"));
}

/// A comparison by what is so already, or by what no policy asks for.
#[test]
fn a_comparison_of_the_same_with_the_same_is_no_proof() {
    let all = [
        "permit (principal is User, action, resource in App::\"wiki\") when { principal.employment == Employment::\"contractor\" };",
    ];
    let mut solver = solver();
    let same = CONTRACTORS.replace("Employment::\\\"employee\\\"", "Employment::\\\"contractor\\\"");
    assert!(why(&verdict(&mut solver, &all, &same)).contains("unless already"));
    let other = CONTRACTORS.replace(
        "principal.employment = Employment::\\\"employee\\\"",
        "principal.lifecycle = Lifecycle::\\\"active\\\"",
    );
    let proof = proved_of(&mut solver, &all, &other);
    assert!(matches!(proof.lines[0].verdict, Verdict::Proved), "{}", show(&proof));
    assert!(proof.lines[0].note.as_ref().unwrap().contains("no policy asks for `principal.lifecycle`"));
}

const OVERFLOWS: &str = "context.risk.score == 77 && context.risk.score * 922337203685477580 < 0";

/// To the solver a policy that fails is none, and to the gateway it is a refusal.
#[test]
fn where_the_other_one_is_refused_by_a_failure_nothing_is_compared() {
    let fails = format!(
        "forbid (principal is User, action, resource) when {{ principal.employment == Employment::\"employee\" && {OVERFLOWS} }};"
    );
    let all = ["permit (principal is User, action, resource in App::\"wiki\");", &fails];
    assert!(why(&verdict(&mut solver(), &all, CONTRACTORS)).contains("`p1` may fail"));
    // One that fails for both is no difference.
    let fails = format!("forbid (principal is User, action, resource) when {{ {OVERFLOWS} }};");
    let verdict =
        verdict(&mut solver(), &["permit (principal is User, action, resource);", &fails], CONTRACTORS);
    assert!(matches!(verdict, Verdict::Proved), "{verdict:?}");
}

#[test]
fn an_edit_that_drops_a_failure_widens() {
    let fails =
        format!("forbid (principal is User, action, resource in App::\"wiki\") when {{ {OVERFLOWS} }};");
    let permit = "permit (principal is User, action, resource in App::\"wiki\");";
    let (old_dir, new_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = folder(old_dir.path(), &policies(&[permit, &fails]), "");
    let new = folder(new_dir.path(), &policies(&[permit]), "");
    let mut solver = solver();
    let edit = against(&mut solver, &old, &new, &mut quiet).unwrap();
    let (Verdict::Broken(wider), Verdict::Proved) = (&edit.widens, &edit.narrows) else { panic!("{edit:?}") };
    let allows = |w: &Workshop, b: &Breach| w.bundle().decide(&b.situation.question()).is_allow();
    assert_eq!((allows(&old, wider), allows(&new, wider)), (false, true));
    assert!(matches!(&wider.shows, Shows::Edit { before } if before[0].contains("p1")), "{wider:?}");
    assert_eq!(wider.by, ["p0"]);
    let edit = against(&mut solver, &new, &old, &mut quiet).unwrap();
    assert!(matches!((&edit.widens, &edit.narrows), (Verdict::Proved, Verdict::Broken(_))), "{edit:?}");
    // Where it fails for something that nobody is permitted, nobody knows whether it does elsewhere.
    let fails = fails.replace("resource in App::\"wiki\"", "resource");
    let old = folder(old_dir.path(), &policies(&[permit, &fails]), "");
    let edit = against(&mut solver, &old, &new, &mut quiet).unwrap();
    assert!(!matches!(edit.widens, Verdict::Proved), "{edit:?}");
}

/// What an edit changes is shown as the new policies decide it, as a case that holds.
#[test]
fn an_edit_is_shown_by_a_case_that_holds() {
    let permit = "permit (principal is User, action, resource in App::\"wiki\");";
    let forbid =
        "forbid (principal, action, resource == Route::\"wiki/admin\") when { resource.adminSurface };";
    let (old_dir, new_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = folder(old_dir.path(), &policies(&[permit]), "");
    let new = folder(new_dir.path(), &policies(&[permit, forbid]), "");
    let edit = against(&mut solver(), &old, &new, &mut quiet).unwrap();
    let (Verdict::Proved, Verdict::Broken(narrower)) = (&edit.widens, &edit.narrows) else {
        panic!("{edit:?}")
    };
    assert_eq!(
        (narrower.by.as_slice(), &narrower.shows),
        (&["p1".to_owned()][..], &Shows::Edit { before: vec!["p0".to_owned()] })
    );
    let case = narrower.case().expect("the cases know this route so");
    assert!(case.contains("expect = \"deny\"\nby = [\"p1\"]"), "{case}");
    fs::write(new_dir.path().join("cases/found.toml"), case).unwrap();
    doorward_policy::check(new_dir.path(), None).unwrap_or_else(|e| panic!("{}", e.plain()));

    // Of a route that the cases know otherwise the request is told in the same words, and is no case.
    let public = "forbid (principal, action, resource == Route::\"wiki/admin\") when { resource.public };";
    let new = folder(new_dir.path(), &policies(&[permit, public]), "");
    let edit = against(&mut solver(), &old, &new, &mut quiet).unwrap();
    let Verdict::Broken(narrower) = &edit.narrows else { panic!("{edit:?}") };
    assert_eq!(narrower.case(), None);
    assert!(narrower.request.contains("[route.\"wiki/admin\"]\ntier = "), "{}", narrower.request);
    assert!(narrower.request.contains("public = true") && narrower.request.contains("expect = \"deny\""));
}

/// What a failing policy meant nobody knows: no case demands anything of it.
#[test]
fn the_request_for_which_a_policy_fails_expects_nothing() {
    let fails = format!("forbid (principal is User, action, resource) when {{ {OVERFLOWS} }};");
    let dir = tempfile::tempdir().unwrap();
    let workshop = folder(dir.path(), &policies(&[&fails]), "");
    let proof = prove(&mut solver(), &workshop, Some(NEVER_FAILS), &mut quiet).unwrap();
    let Verdict::Broken(breach) = &proof.lines[0].verdict else { panic!("{}", show(&proof)) };
    assert_eq!((&breach.shows, breach.case()), (&Shows::Failure, None));
    let text = &breach.request;
    assert!(text.contains("risk = 77") && !text.contains("expect") && !text.contains("by ="), "{text}");
    // Mended, it is a case with what its author expects.
    let mended = "forbid (principal is User, action, resource) when { context.risk.score == 77 };";
    fs::write(dir.path().join("apps/a.cedar"), policies(&[mended])).unwrap();
    fs::write(dir.path().join("cases/found.toml"), format!("{text}expect = \"deny\"\nby = [\"p0\"]\n"))
        .unwrap();
    doorward_policy::check(dir.path(), None).unwrap_or_else(|e| panic!("{}", e.plain()));
    assert_eq!(workshop.bundle().decide(&breach.situation.question()).decision, Decision::Deny);
}

/// A line says nothing where its own condition fails, which its author did not mean.
#[test]
fn a_line_that_may_fail_itself_is_no_proof() {
    let line = |condition: &str| {
        format!(
            "@id(\"line\") @title(\"l\") @owner(\"o\") forbid (principal is User, action, resource) when {{ {condition} }};"
        )
    };
    let all = ["permit (principal is User, action, resource) when { context.risk.score >= 50 };"];
    let mut solver = solver();
    let overflows = line("context.risk.score < 50 || context.risk.score * 922337203685477580 < 0");
    assert!(why(&verdict(&mut solver, &all, &overflows)).contains("its own condition cannot be evaluated"));
    // A sum that no risk makes too large is fine.
    let adds = line("context.risk.score + 1 <= 50");
    let verdict = verdict(&mut solver, &all, &adds);
    assert!(matches!(verdict, Verdict::Proved), "{verdict:?}");
}

/// Of an app that is not there everything holds.
#[test]
fn a_name_that_nothing_knows_is_noted() {
    let line = |app: &str| {
        format!(
            "@id(\"line\") @title(\"l\") @owner(\"o\") forbid (principal is User, action, resource in App::\"{app}\");"
        )
    };
    let all = ["permit (principal is User, action, resource in App::\"payroll\");"];
    let mut solver = solver();
    let proof = proved_of(&mut solver, &all, &line("payrol"));
    let note = proof.lines[0].note.as_ref().unwrap();
    assert_eq!(note, "no policy and no case knows `App::\"payrol\"`: is it spelt so?");
    for known in ["payroll", "wiki"] {
        assert_eq!(proved_of(&mut solver, &all, &line(known)).lines[0].note, None, "{known}");
    }
}

/// Putting this to a solver takes twice as long for each more of them; sixty would take longer than there are years.
#[test]
fn a_budget_bounds_what_cannot_be_interrupted() {
    let terms: Vec<String> = (0..60)
        .map(|n| format!("(context.http has userAgent && context.http.userAgent == \"b{n}\")"))
        .collect();
    let policy = format!("permit (principal is User, action, resource) when {{ {} }};", terms.join(" || "));
    let line = "@id(\"line\") @title(\"l\") @owner(\"o\") forbid (principal is User, action, resource) unless { context.granted };";
    let dir = tempfile::tempdir().unwrap();
    let workshop = folder(dir.path(), &policies(&[&policy]), line);
    let mut solver = solver().bounded(Bounds { budget: Duration::from_secs(2), ..BOUNDS });
    let begun = Instant::now();
    let proof = prove(&mut solver, &workshop, None, &mut quiet).unwrap();
    let [first, second] = proof.lines.as_slice() else { panic!("{}", show(&proof)) };
    assert!(why(&first.verdict).contains("could not be put to the solver"), "{}", show(&proof));
    assert!(why(&second.verdict).contains("budget"), "{}", show(&proof));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// Once there is no time left, the rest is told at once and nothing is done for it.
#[test]
fn a_budget_that_is_used_up_ends_the_work() {
    let many: Vec<String> = (0..300)
        .map(|n| format!("permit (principal is User, action, resource in App::\"app{n}\");"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let dir = tempfile::tempdir().unwrap();
    let workshop = folder(dir.path(), &policies(&many), CONTRACTORS);
    let mut solver = solver().renewed(Duration::ZERO);
    let asked = solver.queries();
    let proof = prove(&mut solver, &workshop, None, &mut quiet).unwrap();
    assert_eq!((proof.counts(), solver.queries() - asked), ([0, 0, 2], 0), "{}", show(&proof));
    assert!(proof.lines.iter().all(|line| why(&line.verdict).contains("budget")), "{}", show(&proof));
}
