//! `doorward policy check`: the policies as loading them would see them, and as a reviewer would.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use doorward_model::limits::POLICY_FILE_BYTES_MAX;
use doorward_policy::{CheckReport, LoadFailure};
use doorward_workbench::check::{self, Checked};
use doorward_workbench::report::{self, Look, Report};
use serde_json::{Value, json};

use super::super::{Exit, Failure, Output, show_on};
use crate::cli::{FindingsFormat, PolicyCheckArgs};
use crate::clock;
use crate::color::{ColorChoice, Style};
use crate::config::Show;

pub(super) fn check(
    args: &PolicyCheckArgs,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let (checked, names_checked) = match &args.policies {
        Some(policies) => (foreign(args.schema.as_deref(), policies)?, None),
        None => folder(args, color)?,
    };
    let top = std::env::current_dir().ok();
    let report = Report { checked, deny_hints: args.deny_hints, names_checked, top };
    match args.format {
        FindingsFormat::Human => out.text(report::human(&report, look(show_on(&io::stdout(), color))))?,
        FindingsFormat::Json => out.line(report::json_text(&report::json(&report)))?,
        FindingsFormat::Sarif => {
            out.line(report::json_text(&report::sarif(&report, env!("CARGO_PKG_VERSION"))))?;
        }
        FindingsFormat::Github => out.text(report::github(&report))?,
    }
    Ok(if report.is_good() { Exit::Done } else { Exit::Mistaken })
}

/// The folder that is named, or that of the configuration.
fn folder(args: &PolicyCheckArgs, color: ColorChoice) -> Result<(Checked, Option<bool>), Failure> {
    let (dir, known) = super::folder(args.dir.as_deref(), &args.config, color)?;
    let mut checked = check::folder(&dir, known.as_ref(), clock::now());
    checked.subject = dir.named().to_owned();
    Ok((checked, Some(known.is_some())))
}

/// Any set of Cedar policies.
fn foreign(schema: Option<&Path>, policies: &Path) -> Result<Checked, Failure> {
    let schema = match schema {
        Some(path) => Some((path.display().to_string(), text_of(path)?)),
        None => None,
    };
    let policies = (policies.display().to_string(), text_of(policies)?);
    let schema = schema.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    Ok(check::foreign(schema, (&policies.0, &policies.1)))
}

/// A file as text, bounded.
fn text_of(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|f| f.take(POLICY_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(e) => {
            let message = format!("`{}` cannot be read: {e}", path.display());
            Err(Failure::new(Exit::Mistaken, message, "name a file of UTF-8 text that may be read"))
        }
    }
}

/// What a check came to, for programs.
pub(in crate::command) fn report(dir: &Path, checked: &Result<CheckReport, LoadFailure>) -> Value {
    match checked {
        Ok(good) => json!({
            "dir": dir, "valid": true, "policies": good.policies, "cases": good.cases,
            "revision": good.revision.to_string(), "mistakes": [],
            "hints": good.hints.iter().map(report::found).collect::<Vec<_>>(),
        }),
        Err(failure) => json!({
            "dir": dir, "valid": false,
            "mistakes": failure.findings.iter().map(report::found).collect::<Vec<_>>(), "hints": [],
        }),
    }
}

/// Everything that is wrong with a folder of policies, ready to print.
pub(in crate::command) fn mistakes(failure: &LoadFailure, show: Show) -> String {
    let mut text: String = failure.findings.iter().map(|f| report::finding(f, look(show))).collect();
    text.push_str(&failure.to_string());
    text.push('\n');
    text
}

/// The end of a command that wanted to ask a folder which cannot be loaded. Its mistakes go to the terminal as `check`
/// lays them out, each with its place at the beginning of a line, where editors look for it.
pub(super) fn unusable(failure: &LoadFailure, color: ColorChoice) -> Failure {
    // Nobody may be there to read it.
    let _ = io::stderr().write_all(mistakes(failure, show_on(&io::stderr(), color)).as_bytes());
    Failure { exit: Exit::Mistaken, message: String::new(), help: None }
}

pub(super) const fn look(show: Show) -> Look {
    match show {
        Show::Graphical(Style::Color) => Look::Colored,
        Show::Graphical(Style::Plain) => Look::Drawn,
        Show::Plain | Show::Json => Look::Lines,
    }
}
