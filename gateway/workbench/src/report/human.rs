//! For people.

use std::fmt::Write as _;

use doorward_policy::{Extent, Finding, Level};
use miette::{GraphicalReportHandler, GraphicalTheme};

use super::Report;

/// What the output looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// With the source, marks and colors.
    Colored,
    /// With the source and marks.
    Drawn,
    /// A line for each, as compilers write them, and one for its help.
    Lines,
}

/// How wide a drawing is.
const COLUMNS: usize = 110;

/// All findings and what they come to.
#[must_use]
pub fn human(report: &Report, look: Look) -> String {
    let mut text: String = report.findings().map(|f| finding(f, look)).collect();
    let checked = &report.checked;
    let subject = checked.subject.display().to_string();
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let names = match report.names_checked {
        Some(false) => ", names of the configuration not checked",
        Some(true) | None => "",
    };
    let mut also = Vec::new();
    if !checked.hints.is_empty() {
        also.push(many(checked.hints.len(), "hint"));
    }
    if checked.allowed > 0 {
        also.push(format!("{} more allowed by `@allow_lint`", checked.allowed));
    }
    let also = if also.is_empty() { String::new() } else { format!(", {}", also.join(", ")) };
    let line = match (report.is_good(), checked.mistakes.len()) {
        (true, _) => {
            let good = paint(look, "32", &format!("{subject} is good"));
            let held = match report.names_checked {
                Some(_) => format!(", {} cases held", checked.cases),
                None => String::new(),
            };
            let revision = checked.revision.map(|r| format!(", revision {r}")).unwrap_or_default();
            format!("{good}: {} policies{held}{names}{revision}{also}", checked.policies)
        }
        (false, 0) => format!(
            "{}: {}, and `--deny-hints` makes them mistakes",
            paint(look, "31", &format!("{subject} is not good")),
            many(checked.hints.len(), "hint")
        ),
        (false, mistakes) => {
            let mistakes = paint(look, "31", &many(mistakes, "mistake"));
            format!("the policies in `{subject}` are not put in force: {mistakes}{also}")
        }
    };
    let _ = writeln!(text, "{line}");
    text
}

fn paint(look: Look, code: &str, text: &str) -> String {
    match look {
        Look::Colored => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        Look::Drawn | Look::Lines => text.to_owned(),
    }
}

/// One finding.
#[must_use]
pub fn finding(finding: &Finding, look: Look) -> String {
    let theme = match look {
        Look::Colored => GraphicalTheme::unicode(),
        Look::Drawn => GraphicalTheme::unicode_nocolor(),
        Look::Lines => return lines(finding),
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_links(false);
    match handler.with_width(COLUMNS).render_report(&mut text, finding) {
        Ok(()) => format!("{text}\n"),
        Err(_) => lines(finding),
    }
}

fn lines(finding: &Finding) -> String {
    let kind = match finding.level() {
        Level::Mistake => "",
        Level::Hint => "hint: ",
    };
    let mut place = finding.file().map(str::to_owned).unwrap_or_default();
    if let Some(Extent { line, column, .. }) = finding.extent() {
        let _ = write!(place, ":{line}:{column}");
    }
    let place = if place.is_empty() { place } else { format!("{place}: ") };
    let message = printable(finding.message());
    let help = finding.help_text().map(|help| format!("  help: {}\n", printable(help))).unwrap_or_default();
    format!("{}{kind}{message} [{}]\n{help}", printable(&place), finding.rule())
}

/// Text from elsewhere, made fit for a terminal: no control character survives, so that nothing that a
/// client sent, or that stands in a file, can move the cursor or rewrite a line.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that show nothing and change how what follows is read (bidirectional overrides).
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
