//! For our own tools and scripts.

use doorward_policy::Finding;
use serde_json::{Value, json};

use super::Report;

/// The whole check.
#[must_use]
pub fn json(report: &Report) -> Value {
    let checked = &report.checked;
    json!({
        "dir": checked.subject, "valid": report.is_good(),
        "policies": checked.policies, "cases": checked.cases,
        "revision": checked.revision.map(|r| r.to_string()),
        "mistakes": checked.mistakes.iter().map(found).collect::<Vec<_>>(),
        "hints": checked.hints.iter().map(found).collect::<Vec<_>>(),
        "allowed": checked.allowed,
    })
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
