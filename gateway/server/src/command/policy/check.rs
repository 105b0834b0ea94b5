//! `doorward policy check`: the policies as loading them would see them.

use std::io;
use std::path::Path;

use doorward_policy::{CheckReport, Finding, LoadFailure};
use miette::{GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use super::super::{Exit, Failure, Output, load_config, printable, show_on};
use crate::cli::{Format, PolicyCheckArgs};
use crate::color::{ColorChoice, Style};
use crate::config::{Config, Show};

pub(super) fn check(
    args: &PolicyCheckArgs,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    // Without a configuration nobody knows which apps there are; with one, a policy for an app
    // that does not exist is a mistake.
    let config = match (&args.dir, &args.config.config) {
        (Some(_), None) => None,
        (Some(_) | None, _) => Some(load_config(&args.config, color)?),
    };
    let known = config.as_ref().map(Config::known);
    let dir = match (&args.dir, &config) {
        (Some(dir), _) => dir.clone(),
        (None, Some(config)) => config.policy.dir.clone(),
        (None, None) => return Err(Failure::new(Exit::Mistaken, "no folder is named", "use `--dir DIR`")),
    };
    match (doorward_policy::check(&dir, known.as_ref()), args.format) {
        (Ok(report), Format::Human) => {
            for hint in &report.hints {
                out.text(draw(hint, show_on(&io::stdout(), color)))?;
            }
            let scope = if known.is_some() { "" } else { ", names of the configuration not checked" };
            out.line(format_args!(
                "{}: {} policies, {} cases held{scope}, revision {}",
                out.style.green(&format!("{} is good", dir.display())),
                report.policies,
                report.cases,
                report.revision
            ))?;
            Ok(Exit::Done)
        }
        (Err(failure), Format::Human) => {
            out.text(mistakes(&failure, show_on(&io::stdout(), color)))?;
            Ok(Exit::Mistaken)
        }
        (checked, Format::Json) => {
            out.line(format_args!("{:#}", report(&dir, &checked)))?;
            Ok(if checked.is_ok() { Exit::Done } else { Exit::Mistaken })
        }
    }
}

/// What a check came to, for programs.
pub(in crate::command) fn report(dir: &Path, checked: &Result<CheckReport, LoadFailure>) -> Value {
    match checked {
        Ok(report) => json!({
            "dir": dir, "valid": true, "policies": report.policies, "cases": report.cases,
            "revision": report.revision.to_string(), "mistakes": [],
            "hints": report.hints.iter().map(finding).collect::<Vec<_>>(),
        }),
        Err(failure) => json!({
            "dir": dir, "valid": false,
            "mistakes": failure.findings.iter().map(finding).collect::<Vec<_>>(), "hints": [],
        }),
    }
}

/// Everything that is wrong with a folder of policies, ready to print.
pub(in crate::command) fn mistakes(failure: &LoadFailure, show: Show) -> String {
    let mut text: String = failure.findings.iter().map(|f| draw(f, show)).collect();
    text.push_str(&failure.to_string());
    text.push('\n');
    text
}

fn draw(finding: &Finding, show: Show) -> String {
    let theme = match show {
        Show::Graphical(Style::Color) => GraphicalTheme::unicode(),
        Show::Graphical(Style::Plain) => GraphicalTheme::unicode_nocolor(),
        Show::Plain | Show::Json => return plain(finding),
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_links(false);
    match handler.render_report(&mut text, finding) {
        Ok(()) => format!("{text}\n"),
        Err(_) => plain(finding),
    }
}

fn plain(finding: &Finding) -> String {
    let help = finding.help_text().map(|help| format!("  help: {}\n", printable(help))).unwrap_or_default();
    format!("{}\n{help}", printable(&finding.to_string()))
}

fn finding(finding: &Finding) -> Value {
    let (line, column) = finding.line_and_column().unzip();
    json!({
        "file": finding.file(), "line": line, "column": column,
        "message": finding.message(), "help": finding.help_text(),
    })
}
