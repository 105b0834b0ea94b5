//! A test run for programs.

use doorward_policy::{Finding, PolicySource, Rule};
use doorward_workbench::mutants::Mutant;
use doorward_workbench::mutants::made::{self, Settled};
use doorward_workbench::report;
use doorward_workbench::trial::clause;
use doorward_workbench::trial::coverage::{ConditionCoverage, PolicyCoverage};
use doorward_workbench::trial::{Outcome, Trial};
use serde_json::{Value, json};

use super::super::super::Failure;
use super::hunted::Hunted;
use super::subject::{Matrix, Subject, Unloaded};
use super::{Mutants, Report};
use crate::cli::PolicyTestArgs;

/// Policies that cannot be tested, because they cannot be loaded.
pub(super) fn not_loaded(unloaded: &Unloaded) -> Value {
    let mistakes: Vec<Value> = unloaded.findings().iter().map(report::found).collect();
    json!({ "good": false, "mistakes": mistakes })
}

/// For programs.
pub(super) fn json(subject: &Subject, report: &Report, args: &PolicyTestArgs) -> Value {
    let sources = subject.policies();
    let cases: Vec<Value> = report.run.iter().map(|(trial, outcome)| case(sources, trial, outcome)).collect();
    let mut value = json!({
        "good": report.is_good(),
        "revision": subject.revision(),
        // Whoever reads this as a proof of all of them is to see that it is about a part.
        "filter": args.filter,
        "only": args.only,
        "cases": cases,
        "held": report.run.iter().filter(|(_, outcome)| outcome.holds()).count(),
    });
    let mut add =
        |key: &str, more: Value| drop(value.as_object_mut().map(|all| all.insert(key.to_owned(), more)));
    if let Some(coverage) = &report.coverage {
        let (seen, of) = coverage.seen();
        let policies: Vec<Value> =
            coverage.policies.iter().zip(sources).map(|(policy, source)| covered(policy, source)).collect();
        add(
            "coverage",
            json!({
                "percent": coverage.percent(), "percent_min": report.coverage_min, "seen": seen, "of": of,
                "policies": policies,
            }),
        );
    }
    if !report.wrong.is_empty() {
        add("mistakes", report.wrong.iter().map(mistake).collect());
    }
    match &report.mutants {
        None => {}
        Some(Mutants::NotMade) => {
            add("mutants", Value::Null);
            add("mutants_not_made", json!("cases do not hold"));
        }
        Some(Mutants::Hunted(hunted)) => add("mutants", mutants(subject, hunted)),
    }
    match &report.matrix {
        None => {}
        Some(Matrix::Current) => {
            add("matrix", json!({ "current": true, "written": false, "differences": null }))
        }
        Some(Matrix::Written) => {
            add("matrix", json!({ "current": true, "written": true, "differences": null }))
        }
        Some(Matrix::Differs(lines)) => {
            add("matrix", json!({ "current": false, "written": false, "differences": lines }));
        }
    }
    value
}

/// What could not be done, as other mistakes are told.
fn mistake(wrong: &Failure) -> Value {
    report::found(&Finding::told(Rule::CaseSyntax, &wrong.message, wrong.help.clone(), None, None))
}

fn mutants(subject: &Subject, hunted: &Hunted) -> Value {
    let (made, proved, litter) = (hunted.fates.len(), hunted.proved(), &hunted.litter);
    let survivors: Vec<Value> =
        hunted.survivors().map(|(m, settled)| survived(subject, m, settled)).collect();
    let proposed = hunted
        .proposed
        .as_ref()
        .map(|p| json!({ "file": p.file, "cases": p.cases, "left_out": p.left_out, "accepted": p.accepted }));
    json!({
        "made": made, "noticed": made - survivors.len() - proved, "proved_same": proved,
        "same": litter.same, "refused": litter.refused, "thinned": litter.thinned, "left_out": litter.left_out,
        "no_solver": hunted.no_solver, "survivors": survivors, "proposed": proposed,
    })
}

fn case(sources: &[PolicySource], trial: &Trial, outcome: &Outcome) -> Value {
    let answer = outcome.answer.as_ref().ok();
    json!({
        "file": trial.file, "line": trial.line, "name": trial.name, "holds": outcome.holds(),
        "expected": trial.expect.decision.as_str(),
        "got": answer.map(|answer| answer.decision.as_str()),
        "by": answer.map(|answer| &answer.by),
        "errors": answer.map(|answer| &answer.errors),
        "message": outcome.miss.as_ref().map(|miss| &miss.message),
        "help": outcome.miss.as_ref().map(|miss| &miss.help),
        "why": answer.filter(|_| !outcome.holds()).map(|answer| clause::why(sources, trial, answer)),
    })
}

fn covered(policy: &PolicyCoverage, source: &PolicySource) -> Value {
    let conditions: Vec<Value> = policy.conditions.iter().map(|c| condition(c, source)).collect();
    json!({
        "id": policy.id, "file": policy.file, "line": policy.line, "applied": policy.applied,
        "in_scope": policy.in_scope, "failed": policy.failed, "out_of_scope": policy.out_of_scope,
        "conditions": conditions,
    })
}

fn condition(condition: &ConditionCoverage, source: &PolicySource) -> Value {
    let at = condition.span.as_ref().map_or(0, |s| s.start);
    let (line, column) = source.finding(at, at, "", "").line_and_column().unwrap_or((source.line(), 1));
    json!({
        "text": condition.text, "line": line, "column": column, "true": condition.held,
        "false": condition.not, "failed": condition.failed, "not_reached": condition.not_reached,
    })
}

fn survived(subject: &Subject, mutant: &Mutant, settled: Option<&Settled>) -> Value {
    let Some(source) = subject.policies().get(mutant.policy) else { return Value::Null };
    let at = mutant.span.start;
    let (line, column) = source.finding(at, at, "", "").line_and_column().unwrap_or((source.line(), 1));
    let case = match (settled, subject) {
        (Some(Settled::Told(case)), Subject::Folder(_, shop)) => {
            case.text(shop, &made::name(source, mutant)).ok()
        }
        (Some(Settled::Told(_) | Settled::Unknown(_) | Settled::Same) | None, _) => None,
    };
    let unknown = match settled {
        Some(Settled::Unknown(why)) => Some(why),
        Some(Settled::Told(_) | Settled::Same) | None => None,
    };
    json!({
        "policy": source.id(), "file": source.file(), "line": line, "column": column, "what": mutant.what,
        "difference": mutant.difference(source), "case": case, "unknown": unknown,
    })
}
