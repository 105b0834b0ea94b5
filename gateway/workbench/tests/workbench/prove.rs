//! Red lines: the shipped ones hold, and every hole that is torn into the policies is found.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod doubts;
mod lines;
mod shown;

use std::fs;
use std::path::Path;

use cedar_policy::{Authorizer, PolicySet};
use doorward_model::{LifecycleStage, Principal};
use doorward_policy::{Decision, Situation, Workshop};
use doorward_workbench::prove::{Breach, NEVER_FAILS, Proof, Verdict, against, prove};

use super::solver::{shipped, solver, workshop};

fn quiet(_: usize, _: usize, _: &str) {}

fn show(proof: &Proof) -> String {
    let line = |l: &doorward_workbench::prove::Line| {
        format!("{:>8.2?} {:>3} queries  {} {:?}\n", l.took, l.queries, l.id, l.verdict)
    };
    proof.lines.iter().map(line).collect()
}

/// Show 7, the first half: each line holds, and the time of each is printed.
#[test]
fn each_shipped_line_holds() {
    let workshop = workshop();
    assert!(workshop.red_lines().len() >= 9, "a line was lost");
    let proof = prove(&mut solver(), workshop, None, &mut quiet).unwrap();
    eprint!("{}", show(&proof));
    assert_eq!(proof.counts(), [workshop.red_lines().len() + 1, 0, 0], "{}", show(&proof));
    assert_eq!(proof.lines.last().unwrap().id, NEVER_FAILS);
    assert!(proof.lines.iter().all(|line| line.note.is_none()), "{:?}", proof.lines);
    // The cases hold as well, and no line has a mistake.
    doorward_policy::check(&shipped(), None).unwrap_or_else(|e| panic!("{}", e.plain()));
}

/// The shipped folder without cases but for what they start from, with one text replaced by another.
fn torn(dir: &Path, file: &str, from: &str, to: &str) -> Workshop {
    copy(&shipped(), dir);
    edit(&dir.join(file), from, to);
    Workshop::untried(dir, None).unwrap_or_else(|e| panic!("{}", e.plain()))
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&at).unwrap();
            copy(&entry.path(), &at);
        } else {
            fs::copy(entry.path(), &at).unwrap();
        }
    }
}

/// Replaces a text that stands there once. How it is laid out does not matter: comments go, and every run of
/// spaces and lines counts as one space.
fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let (text, from) = (flat(&code.join("\n")), flat(from));
    assert_eq!(text.matches(&from).count(), 1, "`{from}` stands once in {}:\n{text}", file.display());
    fs::write(file, text.replacen(&from, to, 1)).unwrap();
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a red line of the folder says something of it.
fn is_about(workshop: &Workshop, line: &str, situation: &Situation) -> bool {
    let line = workshop.red_lines().iter().find(|l| l.id() == line).unwrap();
    let alone = PolicySet::from_policies([line.policy().clone()]).unwrap();
    let (request, entities) = workshop.bundle().in_cedar(&situation.question()).unwrap();
    let response = Authorizer::new().is_authorized(&request, &alone, &entities);
    response.diagnostics().reason().next().is_some()
}

/// The line is broken by a request that it is about, which is a case that fails on the torn policies and whose
/// request the shipped ones decide as it says.
fn broken(file: &str, from: &str, to: &str, line: &str) -> Box<Breach> {
    let dir = tempfile::tempdir().unwrap();
    let torn = torn(dir.path(), file, from, to);
    let proof = prove(&mut solver(), &torn, Some(line), &mut quiet).unwrap();
    eprint!("{}", show(&proof));
    let Verdict::Broken(breach) = &proof.lines[0].verdict else {
        panic!("{line} is not broken: {}", show(&proof))
    };
    assert!(is_about(&torn, line, &breach.situation), "{line} says nothing of {breach:?}");
    let case = breach.case().expect("the cases can say it");
    eprintln!("{case}");
    let said = |workshop: &Workshop| workshop.bundle().decide(&breach.situation.question()).decision;
    let must = if said(&torn) == Decision::Allow { Decision::Deny } else { Decision::Allow };
    assert_eq!(said(workshop()), must, "the policies that are shipped break {line}");
    assert!(case.contains(&format!("expect = \"{must}\"")), "{case}");
    fs::write(dir.path().join("cases/found.toml"), case).unwrap();
    let failure = doorward_policy::check(dir.path(), None).unwrap_err();
    let told = failure.plain();
    assert!(told.contains("cases/found.toml:"), "the case does not fail:\n{told}");
    breach.clone()
}

const LIFECYCLE: &str =
    "forbid ( principal is User, action, resource ) unless { principal.lifecycle == Lifecycle::\"active\" };";

/// Show 7, the second half: every permit is one without the guard.
#[test]
fn a_lifecycle_guard_that_is_gone_is_found() {
    let guard = format!(
        "@id(\"guard.lifecycle\") @title(\"Only active people\") @owner(\"iam\") @severity(\"critical\") \
         @reason(\"Your account is not active.\") {LIFECYCLE}"
    );
    let breach = broken("guardrails/identity.cedar", &guard, "", "line.active-people");
    assert!(!breach.by.is_empty());
    let Principal::User(person) = &*breach.situation.principal else { panic!("{breach:?}") };
    assert_ne!(person.stage, LifecycleStage::Active);
}

#[test]
fn a_lifecycle_guard_that_is_weaker_is_found() {
    let weaker = LIFECYCLE.replace("== Lifecycle::\"active\"", "!= Lifecycle::\"deactivated\"");
    assert!(!broken("guardrails/identity.cedar", LIFECYCLE, &weaker, "line.active-people").by.is_empty());
}

/// Show 7, the second half: each `unless` of a permit is one that somebody may forget.
#[test]
fn an_unless_that_is_forgotten_is_found() {
    for (file, permit, line) in [
        ("apps/payroll.cedar", "payroll.hr", "line.payroll-admin-role"),
        ("apps/wiki.cedar", "wiki.employees", "line.wiki-admin-role"),
        ("apps/build.cedar", "build.engineers", "line.engineering-admin-role"),
    ] {
        let breach = broken(file, "unless { resource.adminSurface };", ";", line);
        assert_eq!(breach.by, [permit]);
        assert!(breach.situation.route.admin_surface, "{breach:?}");
    }
}

#[test]
fn a_bound_that_is_narrower_is_found() {
    broken("guardrails/place.cedar", "Country::\"KP\", ", "", "line.sanctioned");
    broken(
        "guardrails/sign-in.cedar",
        "when { resource.tier != Tier::\"public\" }\nunless { context.session.mfa };",
        "when { resource.tier == Tier::\"restricted\" }\nunless { context.session.mfa };",
        "line.second-factor",
    );
}

#[test]
fn an_or_where_an_and_was_is_found() {
    broken(
        "guardrails/sign-in.cedar",
        "  context.session.mfa &&\n  context.session.phishingResistant &&\n  context.session.mfaAge",
        "  context.session.mfa &&\n  (context.session.phishingResistant || context.session.age < duration(\"1m\")) &&\n  context.session.mfaAge",
        "line.payroll-admin",
    );
}

#[test]
fn a_scope_that_is_too_narrow_and_an_or_in_a_guard_are_found() {
    broken(
        "apps/payroll.cedar",
        "action == Action::\"UPGRADE\",\n  resource in App::\"payroll\"",
        "action == Action::\"UPGRADE\",\n  resource == Route::\"payroll/all\"",
        "line.payroll-no-websockets",
    );
    broken(
        "guardrails/identity.cedar",
        "forbid (\n  principal is ServiceAccount,\n  action,\n  resource\n)\nunless { principal.lifecycle == Lifecycle::\"active\" };",
        "forbid (\n  principal is ServiceAccount,\n  action,\n  resource\n)\nunless { principal.lifecycle == Lifecycle::\"active\" || principal.owner.lifecycle == Lifecycle::\"active\" };",
        "line.active-programs",
    );
}

#[test]
fn a_contractor_who_gets_more_than_an_employee_is_found() {
    broken(
        "apps/wiki.cedar",
        "when { principal.employment == Employment::\"employee\" }",
        "when { principal.employment != Employment::\"unknown\" && (principal.employment != Employment::\"employee\" || principal in Role::\"staff\") }",
        "line.contractors",
    );
}

/// A forbid that somebody adds with the best of intentions locks everybody out.
#[test]
fn a_forbid_that_locks_everybody_out_is_found() {
    let breach = broken(
        "guardrails/risk.cedar",
        "when { context.risk.level == RiskLevel::\"high\" };",
        "when { context.risk.level == RiskLevel::\"high\" || !context.device.managed };",
        "line.wiki-works",
    );
    assert_eq!(breach.by, ["guard.risk"]);
}

#[test]
fn a_policy_that_can_fail_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let torn = torn(
        dir.path(),
        "guardrails/risk.cedar",
        "when { context.risk.level == RiskLevel::\"high\" };",
        "when { context.risk.level == RiskLevel::\"high\" || (context.risk.score == 37 && context.risk.score * 9223372036854775807 < 0) };",
    );
    let proof = prove(&mut solver(), &torn, Some(NEVER_FAILS), &mut quiet).unwrap();
    let Verdict::Broken(breach) = &proof.lines[0].verdict else { panic!("{}", show(&proof)) };
    assert_eq!(breach.by, ["guard.risk"]);
    // And nothing is always allowed where a policy can fail.
    let proof = prove(&mut solver(), &torn, Some("line.wiki-works"), &mut quiet).unwrap();
    assert!(!matches!(proof.lines[0].verdict, Verdict::Proved), "{}", show(&proof));
}

/// A line about nothing holds for whatever reason.
#[test]
fn a_line_that_matches_nothing_is_not_proved() {
    let dir = tempfile::tempdir().unwrap();
    let torn = torn(
        dir.path(),
        "invariants/places.cedar",
        "when { context.risk.level == RiskLevel::\"high\" };",
        "when { context.risk.level == RiskLevel::\"high\" && context.risk.score < 70 };",
    );
    let proof = prove(&mut solver(), &torn, Some("line.high-risk"), &mut quiet).unwrap();
    let Verdict::Unknown(why) = &proof.lines[0].verdict else { panic!("{}", show(&proof)) };
    assert!(why.contains("nothing that can be asked"), "{why}");
    assert!(proof.unknown_blocks());
}

#[test]
fn an_edit_is_said_to_narrow_or_to_widen() {
    let (old, mut solver) = (workshop(), solver());
    let edit = against(&mut solver, old, workshop(), &mut quiet).unwrap();
    assert!(matches!((&edit.widens, &edit.narrows), (Verdict::Proved, Verdict::Proved)), "{edit:?}");
    let dir = tempfile::tempdir().unwrap();
    let new = torn(
        dir.path(),
        "guardrails/sign-in.cedar",
        "context.session.age > duration(\"12h\")",
        "context.session.age > duration(\"8h\")",
    );
    let edit = against(&mut solver, old, &new, &mut quiet).unwrap();
    assert!(matches!(edit.widens, Verdict::Proved), "{edit:?}");
    let Verdict::Broken(narrower) = &edit.narrows else { panic!("{edit:?}") };
    let decided = |w: &Workshop| w.bundle().decide(&narrower.situation.question()).decision;
    assert_eq!((decided(old), decided(&new)), (Decision::Allow, Decision::Deny));
    let edit = against(&mut solver, &new, old, &mut quiet).unwrap();
    assert!(matches!((&edit.widens, &edit.narrows), (Verdict::Broken(_), Verdict::Proved)), "{edit:?}");
}
