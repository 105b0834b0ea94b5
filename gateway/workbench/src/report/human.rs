//! For people.

use std::error::Error;
use std::fmt::{self, Write as _};

use doorward_policy::{Extent, Finding, Level, printable};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};

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
/// What is marked is drawn unless it and the lines beside it are longer than this.
const DRAWN_BYTES_MAX: usize = 16 * 1024;
/// How much of a revision people read.
const REVISION_CHARS: usize = 12;

/// All findings and what they come to.
#[must_use]
pub fn human(report: &Report, look: Look) -> String {
    let mut text: String = report.findings().map(|f| finding(f, look)).collect();
    let _ = writeln!(text, "{}", summary(report, look));
    text
}

fn many(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// What the findings come to, in a line.
fn summary(report: &Report, look: Look) -> String {
    let checked = &report.checked;
    let subject = printable(&checked.subject.display().to_string());
    let hints = many(checked.hints.len(), "hint");
    let also = if checked.hints.is_empty() { String::new() } else { format!(", {hints}") };
    let meant = match checked.allowed {
        0 => String::new(),
        1 => "; 1 more hint is meant (`@allow_lint`)".to_owned(),
        n => format!("; {n} more hints are meant (`@allow_lint`)"),
    };
    match (report.is_good(), checked.mistakes.len()) {
        (true, _) => {
            let good = paint(look, "32", &format!("{subject} is good"));
            format!("{good}: {}{also}{meant}", counts(report))
        }
        (false, 0) => format!(
            "{}: {hints}, and `--deny-hints` makes them mistakes{meant}",
            paint(look, "31", &format!("{subject} is not good")),
        ),
        (false, mistakes) => {
            let mistakes = paint(look, "31", &many(mistakes, "mistake"));
            format!("the policies in `{subject}` are not put in force: {mistakes}{also}{meant}")
        }
    }
}

/// What is good.
fn counts(report: &Report) -> String {
    let checked = &report.checked;
    let policies = match checked.policies {
        1 => "1 policy".to_owned(),
        n => format!("{n} policies"),
    };
    let reporting = match checked.reporting {
        0 => String::new(),
        1 => " (1 only reports)".to_owned(),
        n => format!(" ({n} only report)"),
    };
    let held = match report.names_checked {
        Some(_) => format!(", {} held", many(checked.cases, "case")),
        None => String::new(),
    };
    let names = match report.names_checked {
        Some(false) => ", names of the configuration not checked",
        Some(true) | None => "",
    };
    let short = |revision: String| revision.chars().take(REVISION_CHARS).collect::<String>();
    let revision = checked.revision.map(|r| format!(", revision {}", short(r.to_string())));
    format!("{policies}{reporting}{held}{names}{}", revision.unwrap_or_default())
}

fn paint(look: Look, code: &str, text: &str) -> String {
    match look {
        Look::Colored => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        Look::Drawn | Look::Lines => text.to_owned(),
    }
}

/// One finding, fit for a terminal: nothing that stands in the file moves the cursor.
#[must_use]
pub fn finding(finding: &Finding, look: Look) -> String {
    let theme = match look {
        Look::Colored => GraphicalTheme::unicode(),
        Look::Drawn => GraphicalTheme::unicode_nocolor(),
        Look::Lines => return lines(finding),
    };
    let drawn = Drawn(finding);
    if drawn.bytes() > DRAWN_BYTES_MAX {
        return lines(finding);
    }
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_links(false);
    match handler.with_width(COLUMNS).render_report(&mut text, &drawn) {
        Ok(()) => format!("{text}\n"),
        Err(_) => lines(finding),
    }
}

/// A finding whose words are fit for a terminal. Its file is shown so by itself.
#[derive(Debug)]
struct Drawn<'a>(&'a Finding);

impl Drawn<'_> {
    /// How long the lines are that are drawn.
    fn bytes(&self) -> usize {
        let label = self.0.labels().and_then(|mut labels| labels.next());
        let (Some(label), Some(source)) = (label, self.0.source_code()) else { return 0 };
        source.read_span(label.inner(), 1, 1).map_or(0, |contents| contents.data().len())
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Drawn<'_> {}

impl Diagnostic for Drawn<'_> {
    fn severity(&self) -> Option<Severity> {
        self.0.severity()
    }

    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.0.code()
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(printable(self.0.help_text()?)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
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
