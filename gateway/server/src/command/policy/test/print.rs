//! What a test run prints.

use std::fmt::Write as _;

use doorward_policy::PolicySource;
use doorward_workbench::mutants::Mutant;
use doorward_workbench::mutants::made::{self, Settled};
use doorward_workbench::trial::clause;
use doorward_workbench::trial::coverage::{ConditionCoverage, Coverage, PolicyCoverage};
use doorward_workbench::trial::{Outcome, Trial};
use serde_json::{Value, json};

use super::super::super::{Failure, Output, printable};
use super::{Hunted, Report, Subject};
use crate::color::Style;

/// For people.
pub(super) fn human(subject: &Subject, report: &Report, out: &mut Output<'_>) -> Result<(), Failure> {
    let (sources, style) = (subject.policies(), out.style);
    let mut text = String::new();
    for (trial, outcome) in report.run.iter().filter(|(_, outcome)| !outcome.holds()) {
        text.push_str(&failure(sources, trial, outcome, style));
    }
    if let Some(coverage) = &report.coverage {
        text.push_str(&uncovered(sources, coverage, style));
    }
    for (mutant, settled) in report.survivors() {
        text.push_str(&survivor(subject, mutant, settled, style));
    }
    if let Some(Some(lines)) = &report.matrix {
        let _ = writeln!(text, "{}", style.red("MATRIX.md is not what the policies say"));
        text.push_str(&indented(lines));
        text.push_str("  help: look at each line, then run it with `--matrix --write`\n\n");
    }
    text.push_str(&summary(report, style));
    out.text(text)
}

fn failure(sources: &[PolicySource], trial: &Trial, outcome: &Outcome, style: Style) -> String {
    let Some(miss) = &outcome.miss else { return String::new() };
    let mut text = String::new();
    let place = format!("{}:{}", printable(&trial.file), trial.line);
    let name = style.bold(&printable(&trial.name));
    let _ = writeln!(text, "{} {place}: {name}\n  {}", style.red("fails"), printable(&miss.message));
    for line in outcome.answer.iter().flat_map(|answer| clause::why(sources, trial, answer)) {
        let _ = writeln!(text, "  {}", printable(&line));
    }
    let _ = writeln!(text, "  help: {}\n", printable(&miss.help));
    text
}

fn uncovered(sources: &[PolicySource], coverage: &Coverage, style: Style) -> String {
    let mut text = String::new();
    for (policy, source) in coverage.policies.iter().zip(sources) {
        for line in missing(policy, source) {
            let _ = writeln!(text, "{} {line}", style.yellow("not covered"));
        }
    }
    text
}

/// What no case has seen of a policy, a line for each.
fn missing(policy: &PolicyCoverage, source: &PolicySource) -> Vec<String> {
    let mut lines = Vec::new();
    let whole = printable(&format!("{}:{}: `{}`", policy.file, policy.line, policy.id));
    if policy.applied == 0 {
        lines.push(format!("{whole} never applies"));
    }
    if policy.in_scope == 0 && !policy.conditions.is_empty() {
        lines.push(format!("{whole} applies whenever its scope matches"));
    }
    for condition in &policy.conditions {
        let place = place(source, condition.span.as_ref().map_or(0, |s| s.start));
        for (seen, word) in [(condition.held, "true"), (condition.not, "false")] {
            if seen == 0 {
                let failed = if condition.failed > 0 { ", but it failed" } else { "" };
                lines.push(format!("{place}: `{}` is never {word}{failed}", printable(&condition.text)));
            }
        }
    }
    lines
}

fn place(source: &PolicySource, at: usize) -> String {
    let (line, column) = source.finding(at, at, "", "").line_and_column().unwrap_or((source.line(), 1));
    format!("{}:{line}:{column}", printable(source.file()))
}

fn survivor(subject: &Subject, mutant: &Mutant, settled: Option<&Settled>, style: Style) -> String {
    let Some(source) = subject.policies().get(mutant.policy) else { return String::new() };
    let (place, id) = (place(source, mutant.span.start), printable(source.id()));
    let (mut text, what) = (String::new(), printable(&mutant.what));
    let _ = writeln!(text, "{} {place}: {what} in `{id}`, and no case notices", style.red("survives"));
    if mutant.mutated.is_some() {
        text.push_str(&indented(&mutant.difference(source)));
    }
    match (settled, subject) {
        (Some(Settled::Told(case)), Subject::Folder(_, shop)) => {
            let case = case.text(shop, &made::name(source, mutant));
            let _ = writeln!(text, "  this case would:");
            text.push_str(&indented(&case.unwrap_or_else(|e| e)));
        }
        (Some(Settled::Unknown(why)), _) => {
            let _ = writeln!(text, "  nobody knows whether one could: {}", printable(why));
        }
        (Some(Settled::Told(_) | Settled::Same) | None, _) => {}
    }
    text.push('\n');
    text
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("    {}\n", printable(line))).collect()
}

fn summary(report: &Report, style: Style) -> String {
    let mut text = String::new();
    let all = report.run.len();
    let held = report.run.iter().filter(|(_, outcome)| outcome.holds()).count();
    let mark = |good: bool, text: &str| if good { style.green(text) } else { style.red(text) };
    let _ = writeln!(text, "{} of {all} cases hold", mark(held == all, &held.to_string()));
    if let Some(coverage) = &report.coverage {
        let (seen, of) = coverage.seen();
        let percent = format!("{} %", coverage.percent());
        let percent = mark(coverage.percent() >= report.coverage_min, &percent);
        let least = match report.coverage_min {
            0 => String::new(),
            least => format!(", {least} % are asked for"),
        };
        let _ = writeln!(
            text,
            "{percent} covered: {seen} of {of} ways of policies and reached conditions{least}"
        );
    }
    if let Some(hunted) = &report.mutants {
        text.push_str(&of_mutants(hunted, style));
    }
    if let Some(None) = report.matrix {
        let _ = writeln!(text, "{}", style.green("MATRIX.md is what the policies say"));
    }
    text
}

fn of_mutants(hunted: &Hunted, style: Style) -> String {
    let mut text = String::new();
    let (all, survive) = (hunted.fates.len(), hunted.survivors().count());
    let proved = hunted.settled.values().filter(|settled| **settled == Settled::Same).count();
    let noticed = all - survive - proved;
    let noticed = format!("{noticed} of {}", all - proved);
    let noticed = if survive == 0 { style.green(&noticed) } else { style.red(&noticed) };
    let _ = writeln!(
        text,
        "{noticed} mutants are noticed; {proved} more say the same as the policy by proof, {} plainly, {} would not load",
        hunted.litter.same, hunted.litter.refused
    );
    if let Some(why) = &hunted.no_solver {
        let _ = writeln!(text, "{} {}", style.yellow("nothing was proved:"), printable(why));
    }
    if let Some(proposed) = &hunted.proposed {
        let file = printable(&proposed.file.display().to_string());
        let _ = match (proposed.cases, proposed.left_out) {
            (0, 0) => writeln!(text, "there is no case to propose"),
            (cases, 0) => {
                writeln!(text, "{cases} cases are proposed in {file}: give each a name that says the point")
            }
            (cases, more) => {
                writeln!(
                    text,
                    "{cases} cases are proposed in {file}; {more} need a definition that is another one there"
                )
            }
        };
    }
    text
}

/// For programs.
pub(super) fn json(subject: &Subject, report: &Report) -> Value {
    let sources = subject.policies();
    let cases: Vec<Value> = report.run.iter().map(|(trial, outcome)| case(sources, trial, outcome)).collect();
    let mut value = json!({
        "good": report.is_good(),
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
    if let Some(hunted) = &report.mutants {
        let survivors: Vec<Value> =
            report.survivors().map(|(m, settled)| survived(subject, m, settled)).collect();
        let proved = hunted.settled.values().filter(|settled| **settled == Settled::Same).count();
        add(
            "mutants",
            json!({
                "made": hunted.fates.len(), "noticed": hunted.fates.len() - survivors.len() - proved,
                "proved_same": proved, "same": hunted.litter.same, "refused": hunted.litter.refused,
                "no_solver": hunted.no_solver, "survivors": survivors,
                "proposed": hunted.proposed.as_ref().map(|p| json!({ "file": p.file, "cases": p.cases, "left_out": p.left_out })),
            }),
        );
    }
    if let Some(matrix) = &report.matrix {
        add("matrix", json!({ "current": matrix.is_none(), "differences": matrix }));
    }
    value
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
