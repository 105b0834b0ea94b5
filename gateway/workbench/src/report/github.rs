//! For the log of a GitHub workflow: a command a line, which GitHub shows beside the lines of the change.

use std::fmt::Write as _;

use doorward_policy::{Level, printable};

use super::Report;

/// All findings as workflow commands.
#[must_use]
pub fn github(report: &Report) -> String {
    let mut out = String::new();
    for finding in report.findings() {
        let command = match (finding.level(), report.deny_hints) {
            (Level::Mistake, _) | (Level::Hint, true) => "error",
            (Level::Hint, false) => "notice",
        };
        let _ = write!(
            out,
            "::{command} file={}",
            property(&printable(&report.path_of(finding).to_string_lossy()))
        );
        if let Some(at) = finding.extent() {
            let _ = write!(
                out,
                ",line={},col={},endLine={},endColumn={}",
                at.line, at.column, at.end_line, at.end_column
            );
        }
        let help = finding.help_text().map(|help| format!("\nhelp: {}", printable(help))).unwrap_or_default();
        let message = format!("{}{help}", printable(finding.message()));
        let _ = writeln!(out, ",title={}::{}", property(finding.rule().name()), text(&message));
    }
    out
}

/// The message of a command.
fn text(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command, which also ends at a colon or a comma.
fn property(value: &str) -> String {
    text(value).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        assert_eq!(text("100%: a,b\r\n::error::x"), "100%25: a,b%0D%0A::error::x");
        assert_eq!(property("a:b,c%d\ne"), "a%3Ab%2Cc%25d%0Ae");
    }
}
