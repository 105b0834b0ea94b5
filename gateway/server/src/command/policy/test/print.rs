//! What a test run prints.

use std::fmt::Write as _;

use doorward_policy::PolicySource;
use doorward_workbench::mutants::Mutant;
use doorward_workbench::mutants::made::{self, Settled};
use doorward_workbench::trial::clause;
use doorward_workbench::trial::coverage::{Coverage, PolicyCoverage};
use doorward_workbench::trial::{Outcome, Trial};

use super::super::super::{Failure, Output, printable};
use super::hunted::{Hunted, Proposed};
use super::subject::{Matrix, Subject};
use super::{Mutants, Report};
use crate::color::Style;

const MATRIX_HELP: &str =
    "  help: look at each line, then run `doorward policy test --matrix --write` on the folder\n\n";

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
    for (mutant, settled) in report.hunted().into_iter().flat_map(Hunted::survivors) {
        text.push_str(&survivor(subject, mutant, settled, style));
    }
    if let Some(Matrix::Differs(lines)) = &report.matrix {
        let _ = writeln!(text, "{}", style.red("MATRIX.md is not what the policies say"));
        text.push_str(&indented(lines));
        text.push_str(MATRIX_HELP);
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
            let _ = writeln!(text, "{} {}", style.yellow("not covered"), printable(&line));
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
                lines.push(format!("{place}: `{}` is never {word}{failed}", condition.text));
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
    let place = place(source, mutant.span.start);
    let line = format!("{place}: {} in `{}`, and no case notices", mutant.what, source.id());
    let mut text = format!("{} {}\n", style.red("survives"), printable(&line));
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

/// What to do about it.
pub(super) const NO_CASES: &str = "write down in `cases/` what must be allowed and what must not";
/// Why, and what to do about it.
pub(super) const NOT_MADE: &str =
    "mend the cases that do not hold first; what they would notice nobody knows";

fn summary(report: &Report, style: Style) -> String {
    let mut text = String::new();
    let all = report.run.len();
    let held = report.run.iter().filter(|(_, outcome)| outcome.holds()).count();
    let mark = |good: bool, text: &str| if good { style.green(text) } else { style.red(text) };
    let _ = match all {
        0 => writeln!(text, "{}: {NO_CASES}", style.red("there are no cases")),
        _ => writeln!(text, "{} of {all} cases hold", mark(held == all, &held.to_string())),
    };
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
    match &report.mutants {
        None => {}
        Some(Mutants::NotMade) => {
            let _ = writeln!(text, "{}: {NOT_MADE}", style.red("no mutants were made"));
        }
        Some(Mutants::Hunted(hunted)) => text.push_str(&of_mutants(hunted, style)),
    }
    let _ = match report.matrix {
        None | Some(Matrix::Differs(_)) => Ok(()),
        Some(Matrix::Current) => writeln!(text, "{}", style.green("MATRIX.md is what the policies say")),
        Some(Matrix::Written) => writeln!(text, "{}", style.green("MATRIX.md is written anew")),
    };
    text
}

fn of_mutants(hunted: &Hunted, style: Style) -> String {
    let mut text = String::new();
    let (all, survive, proved) = (hunted.fates.len(), hunted.survivors().count(), hunted.proved());
    let litter = &hunted.litter;
    let noticed = format!("{} of {}", all - survive - proved, all - proved);
    let noticed = if survive == 0 { style.green(&noticed) } else { style.red(&noticed) };
    let _ = writeln!(
        text,
        "{noticed} mutants are noticed; {proved} more say the same as the policy by proof, {} plainly, {} would not load",
        litter.same, litter.refused
    );
    if litter.thinned > 0 {
        let _ = writeln!(
            text,
            "{} of the elements of long lists were not left out, as others were",
            litter.thinned
        );
    }
    if litter.left_out > 0 {
        let (not, many) = (style.red("not all were looked at:"), litter.left_out);
        let _ = writeln!(
            text,
            "{not} {many} more are too many at once; name one policy after the other by `--only`"
        );
    }
    if let Some(why) = &hunted.no_solver {
        let _ = writeln!(text, "{} {}", style.yellow("nothing was proved:"), printable(why));
    }
    if let Some(proposed) = &hunted.proposed {
        let _ = writeln!(text, "{}", of_proposed(proposed));
    }
    text
}

fn of_proposed(proposed: &Proposed) -> String {
    let file = printable(&proposed.file.display().to_string());
    let (cases, left_out) = (proposed.cases, proposed.left_out);
    let cases = match (cases, proposed.accepted) {
        (0, _) => "there is no case to propose".to_owned(),
        (1, false) => format!("1 case is proposed in {file}: give it a name that says the point"),
        (many, false) => format!("{many} cases are proposed in {file}: give each a name that says the point"),
        (1, true) => format!("1 case was added to {file}: give it a name that says the point"),
        (many, true) => format!("{many} cases were added to {file}: give each a name that says the point"),
    };
    match left_out {
        0 => cases,
        1 => format!("{cases}; 1 more needs a definition that is another one there"),
        more => format!("{cases}; {more} more need a definition that is another one there"),
    }
}
