//! A test run for the boards of continuous integration: what fails there fails here, whatever it is.

use doorward_workbench::trial::Miss;
use doorward_workbench::trial::junit::{self, Check};

use super::print::{NO_CASES, NOT_MADE};
use super::subject::{Matrix, Subject, Unloaded};
use super::{Mutants, Report};

/// The cases, and what else was asked for, each in a suite of its own.
pub(super) fn junit(subject: &Subject, report: &Report) -> String {
    let mut checks = Vec::new();
    let mut check = |suite: &'static str, name: &str, miss: Option<(String, &str)>| {
        let miss = miss.map(|(message, help)| Miss { message, help: help.to_owned() });
        checks.push(Check { suite, file: String::new(), line: 0, name: name.to_owned(), miss });
    };
    if report.run.is_empty() {
        check("cases", "there are cases", Some(("there are no cases".to_owned(), NO_CASES)));
    }
    if let Some(coverage) = &report.coverage {
        let (percent, least) = (coverage.percent(), report.coverage_min);
        let message = format!("{percent} % covered, {least} % are asked for");
        let miss = (!report.is_covered()).then_some((message, "write cases for what `--coverage` names"));
        check("coverage", "as much as is asked for", miss);
    }
    for wrong in &report.wrong {
        let help = wrong.help.as_deref().unwrap_or_default();
        check("load", "everything that was asked for could be read", Some((wrong.message.clone(), help)));
    }
    match &report.mutants {
        None => {}
        Some(Mutants::NotMade) => {
            check("mutants", "each is noticed", Some(("no mutants were made".to_owned(), NOT_MADE)));
        }
        Some(Mutants::Hunted(hunted)) => {
            let left_out = hunted.litter.left_out;
            let message = format!("{left_out} more are too many at once");
            let miss = (left_out > 0).then_some((message, "name one policy after the other by `--only`"));
            check("mutants", "all were looked at", miss);
        }
    }
    let said = match &report.matrix {
        None => None,
        Some(Matrix::Current | Matrix::Written) => Some(None),
        Some(Matrix::Differs(lines)) => Some(Some(lines.clone())),
    };
    if let Some(differs) = said {
        let help = "look at each line, then run `doorward policy test --matrix --write` on the folder";
        check("matrix", "MATRIX.md is what the policies say", differs.map(|lines| (lines, help)));
    }
    if let Some(hunted) = report.hunted() {
        for (mutant, _) in hunted.survivors() {
            let Some(source) = subject.policies().get(mutant.policy) else { continue };
            let at = mutant.span.start;
            let place = source.finding(at, at, "", "").line_and_column();
            checks.push(Check {
                suite: "mutants",
                file: source.file().to_owned(),
                line: place.map_or(source.line(), |(line, _)| line),
                name: format!("{} in {}", mutant.what, source.id()),
                miss: Some(Miss {
                    message: "no case notices".to_owned(),
                    help: "write one; `--mutants --propose` proposes some".to_owned(),
                }),
            });
        }
    }
    checks.sort_by_key(|check| check.suite);
    junit::report(&report.run, &checks)
}

/// Policies that cannot be tested, because they cannot be loaded.
pub(super) fn not_loaded(unloaded: &Unloaded) -> String {
    let check = |finding: &doorward_policy::Finding| Check {
        suite: "load",
        file: finding.file().unwrap_or_default().to_owned(),
        line: finding.extent().map_or(0, |extent| extent.line),
        name: finding.rule().name().to_owned(),
        miss: Some(Miss {
            message: finding.message().to_owned(),
            help: finding.help_text().unwrap_or_default().to_owned(),
        }),
    };
    junit::report(&[], &unloaded.findings().iter().map(check).collect::<Vec<_>>())
}
