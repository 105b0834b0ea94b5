//! For code scanning: SARIF 2.1.0.

use std::fmt::Write as _;
use std::path::Path;

use doorward_policy::{Finding, Level, Rule};
use serde_json::{Map, Value, json};

use super::Report;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole check as one run. `version` is that of this program.
#[must_use]
pub fn sarif(report: &Report, version: &str) -> Value {
    let rules: Vec<Value> = Rule::ALL.iter().map(|r| rule(*r, report.deny_hints)).collect();
    let results: Vec<Value> = report.findings().map(|f| result(report, f)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "doorward", "semanticVersion": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "exitCode": if report.is_good() { 0 } else { 2 },
            }],
            "results": results,
        }],
    })
}

fn level(of: Level, deny_hints: bool) -> &'static str {
    match (of, deny_hints) {
        (Level::Mistake, _) | (Level::Hint, true) => "error",
        (Level::Hint, false) => "note",
    }
}

fn rule(rule: Rule, deny_hints: bool) -> Value {
    json!({
        "id": rule.name(),
        "shortDescription": { "text": rule.about() },
        "defaultConfiguration": { "level": level(rule.level(), deny_hints) },
    })
}

fn result(report: &Report, finding: &Finding) -> Value {
    let help = finding.help_text().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    let mut physical = Map::new();
    physical.insert("artifactLocation".into(), json!({ "uri": uri(&report.path_of(finding)) }));
    if let Some(at) = finding.extent() {
        let region = json!({
            "startLine": at.line, "startColumn": at.column, "endLine": at.end_line, "endColumn": at.end_column,
        });
        physical.insert("region".into(), region);
    }
    let mut location = Map::new();
    location.insert("physicalLocation".into(), Value::Object(physical));
    if let Some(policy) = finding.policy() {
        location.insert("logicalLocations".into(), json!([{ "name": policy, "kind": "policy" }]));
    }
    json!({
        "ruleId": finding.rule().name(),
        "ruleIndex": Rule::ALL.iter().position(|r| *r == finding.rule()),
        "level": level(finding.level(), report.deny_hints),
        "message": { "text": format!("{}{help}", finding.message()) },
        "locations": [location],
    })
}

/// A path as a reference (RFC 3986): relative ones as they are, others with their scheme.
fn uri(path: &Path) -> String {
    let mut out = String::new();
    if path.is_absolute() {
        out.push_str("file://");
    }
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(*byte));
            }
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri(Path::new("policies/a b.cedar")), "policies/a%20b.cedar");
        assert_eq!(uri(Path::new("/tmp/ü:x")), "file:///tmp/%C3%BC%3Ax");
    }
}
