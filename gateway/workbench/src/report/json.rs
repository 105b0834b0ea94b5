//! For our own tools and scripts.

use std::fmt::Write as _;

use doorward_policy::{Finding, is_unfit};
use serde_json::{Value, json};

use super::Report;

/// The whole check.
#[must_use]
pub fn json(report: &Report) -> Value {
    let checked = &report.checked;
    json!({
        "dir": checked.subject, "valid": report.is_good(),
        "policies": checked.policies, "reporting": checked.reporting, "cases": checked.cases,
        "revision": checked.revision.map(|r| r.to_string()),
        "mistakes": checked.mistakes.iter().map(found).collect::<Vec<_>>(),
        "hints": checked.hints.iter().map(found).collect::<Vec<_>>(),
        "allowed": checked.allowed,
    })
}

/// A value as text over lines, fit for a terminal: JSON itself leaves some of what moves a cursor as it is.
#[must_use]
pub fn json_text(value: &Value) -> String {
    let mut out = String::new();
    for c in format!("{value:#}").chars() {
        if c != '\n' && is_unfit(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// One finding. Lines and columns are from 1, columns in characters, the end behind the last one.
#[must_use]
pub fn found(finding: &Finding) -> Value {
    let extent = finding.extent();
    json!({
        "rule": finding.rule().name(), "policy": finding.policy(), "file": finding.file(),
        "line": extent.map(|e| e.line), "column": extent.map(|e| e.column),
        "end_line": extent.map(|e| e.end_line), "end_column": extent.map(|e| e.end_column),
        "message": finding.message(), "help": finding.help_text(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_the_same_value() {
        let value = json!({ "a\u{9b}": ["\u{1b}[2J\n", "\u{202e}ü\u{7f}", "\u{e0041}"] });
        let text = json_text(&value);
        assert!(!text.chars().any(|c| c != '\n' && is_unfit(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
