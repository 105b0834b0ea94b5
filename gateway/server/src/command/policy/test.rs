//! `doorward policy test`: the cases, and how good they are.

mod boards;
mod hunted;
mod json;
mod print;
mod subject;

use std::io::{self, Write as _};

use doorward_policy::{PolicySource, on_policy_stack};
use doorward_workbench::trial::coverage::Coverage;
use doorward_workbench::trial::{Outcome, Table, Trial};

use self::hunted::Hunted;
use self::subject::{Matrix, Subject, Unloaded};
use super::super::{Exit, Failure, Output, json_text, show_on};
use crate::cli::{PolicyTestArgs, TestFormat};
use crate::color::ColorChoice;

/// Everything that came of it.
struct Report {
    run: Vec<(Trial, Outcome)>,
    coverage: Option<Coverage>,
    coverage_min: usize,
    mutants: Option<Mutants>,
    /// None: there is none, and nobody asked for it.
    matrix: Option<Matrix>,
    /// What could not be done: it takes nothing from what could.
    wrong: Vec<Failure>,
}

/// What became of the mutants.
enum Mutants {
    /// There are none, because a case fails without them: what it would notice nobody knows.
    NotMade,
    Hunted(Box<Hunted>),
}

pub(super) fn test(args: &PolicyTestArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let subject = match Subject::open(args, color)? {
        Ok(subject) => subject,
        Err(unloaded) => return not_loaded(&unloaded, args.format, color, out),
    };
    // Cedar's parser and evaluator call themselves for each level of a policy.
    let report = on_policy_stack(|| Report::of(&subject, args));
    let mut report = report.map_err(|e| Failure { exit: Exit::Failed, message: e, help: None })??;
    match args.format {
        TestFormat::Human => print::human(&subject, &report, out)?,
        TestFormat::Json => out.line(json_text(&json::json(&subject, &report, args)))?,
        TestFormat::Junit => out.text(boards::junit(&subject, &report))?,
    }
    let good = report.is_good();
    let Some(last) = report.wrong.pop() else { return Ok(if good { Exit::Done } else { Exit::Failed }) };
    // Nobody may be there to read it.
    report.wrong.iter().for_each(|wrong| drop(writeln!(io::stderr(), "{wrong}")));
    Err(last)
}

/// What is wrong, in the form that was asked for: a program that reads standard output is told there as well.
fn not_loaded(
    unloaded: &Unloaded,
    format: TestFormat,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let told = match format {
        TestFormat::Human => {
            out.text(unloaded.words(show_on(&io::stdout(), color)))?;
            return Ok(Exit::Mistaken);
        }
        TestFormat::Json => format!("{:#}\n", json::not_loaded(unloaded)),
        TestFormat::Junit => boards::not_loaded(unloaded),
    };
    // Nobody may be there to read it.
    let _ = io::stderr().write_all(unloaded.words(show_on(&io::stderr(), color)).as_bytes());
    out.text(told)?;
    Ok(Exit::Mistaken)
}

// === impl Report ===

impl Report {
    fn of(subject: &Subject, args: &PolicyTestArgs) -> Result<Self, Failure> {
        let (mut run, mut wrong) = subject.run(&args.tests);
        if let Some(part) = &args.filter {
            run.retain(|(trial, _)| trial.name.contains(part) || trial.file.contains(part));
            if run.is_empty() {
                let help = "write some text of it as it stands in the file, or leave out `--filter`";
                let message = format!("no case has `{part}` in its name or its file");
                return Err(Failure::new(Exit::Mistaken, message, help));
            }
        }
        let sources = subject.policies();
        let (trials, outcomes): (Vec<Trial>, Vec<Outcome>) = run.into_iter().unzip();
        let measured = args.coverage || args.coverage_min.is_some();
        let hold = wrong.is_empty() && outcomes.iter().all(Outcome::holds);
        let table = (measured || (args.mutants && hold))
            .then(|| Table::new(sources.iter().map(PolicySource::policy), &trials));
        let coverage = table.as_ref().filter(|_| measured);
        let coverage = coverage.map(|table| Coverage::of(sources, &trials, table));
        let mutants = match table.as_ref().filter(|_| args.mutants && hold) {
            Some(table) => Some(Mutants::Hunted(Box::new(Hunted::of(subject, &trials, table, args)?))),
            None => args.mutants.then_some(Mutants::NotMade),
        };
        Ok(Self {
            run: trials.into_iter().zip(outcomes).collect(),
            coverage,
            coverage_min: args.coverage_min.map_or(0, usize::from),
            mutants,
            matrix: subject.matrix(args.matrix, args.write).unwrap_or_else(|e| {
                wrong.push(e);
                None
            }),
            wrong,
        })
    }

    fn is_good(&self) -> bool {
        let mutants = match &self.mutants {
            None => true,
            Some(Mutants::NotMade) => false,
            Some(Mutants::Hunted(hunted)) => hunted.is_good(),
        };
        // Where nothing was asked nothing was shown.
        !self.run.is_empty()
            && self.wrong.is_empty()
            && self.run.iter().all(|(_, outcome)| outcome.holds())
            && self.is_covered()
            && mutants
            && !matches!(self.matrix, Some(Matrix::Differs(_)))
    }

    fn is_covered(&self) -> bool {
        self.coverage.as_ref().is_none_or(|coverage| coverage.percent() >= self.coverage_min)
    }

    fn hunted(&self) -> Option<&Hunted> {
        match &self.mutants {
            Some(Mutants::Hunted(hunted)) => Some(hunted),
            Some(Mutants::NotMade) | None => None,
        }
    }
}
