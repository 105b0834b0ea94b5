//! `doorward policy test` as a person or a script meets it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "policy_test/hostile.rs"]
mod hostile;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Runs it in a folder, where no solver is found unless `solver`.
fn test(dir: &Path, args: &[&str], solver: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["policy", "test"]).args(args).current_dir(dir).stdin(Stdio::null());
    command.env_remove("DOORWARD_CONFIG").env_remove("NO_COLOR").env_remove("DOORWARD_CVC5");
    if !solver {
        command.env("PATH", "/nowhere");
    }
    command.output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {:?}", said(output)))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &at);
        } else {
            fs::copy(entry.path(), at).unwrap();
        }
    }
}

/// The shipped policies in a folder `p`, to play with.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies"), &dir.path().join("p"));
    dir
}

fn replace(dir: &Path, path: &str, old: &str, new: &str) {
    let at = dir.join(path);
    let text = fs::read_to_string(&at).unwrap();
    assert!(text.contains(old), "{old} in {path}");
    fs::write(at, text.replacen(old, new, 1)).unwrap();
}

#[test]
fn cases_hold_or_are_told_with_the_clause_that_settled_them() {
    let dir = folder();
    let (code, text) = said(&test(dir.path(), &["--dir", "p"], false));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(" cases hold\n"), "{text}");
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--filter", "13 hours"], false));
    assert_eq!((code, text.as_str()), (Some(0), "0 of 0 cases hold\n"));
    replace(dir.path(), "p/guardrails/sign-in.cedar", "context.session.age > duration(\"12h\")", "false");
    // What Cedar warns of (this can never apply) does not load.
    assert_eq!(said(&test(dir.path(), &["--dir", "p"], false)).0, Some(2));
    replace(
        dir.path(),
        "p/guardrails/sign-in.cedar",
        "when { false }",
        "when { context.session.age > duration(\"14h\") }",
    );
    let (code, text) = said(&test(dir.path(), &["--dir", "p"], false));
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "fails cases/guardrails.toml:",
        ": a sign-in before that\n  expected deny, got allow by wiki.employees\n",
        "`guard.session-age` does not apply: `context.session.age > duration(\"14h\")` does not hold\n",
        "  help: mend the policy, or the case\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let output = test(dir.path(), &["--dir", "p", "--format", "junit"], false);
    let (code, text) = said(&output);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("<?xml") && text.contains("<testcase classname=\"cases/guardrails.toml\""),
        "{text}"
    );
    let told = json(&test(dir.path(), &["--dir", "p", "--format", "json"], false));
    assert_eq!(told["good"], false);
    let failed: Vec<&Value> =
        told["cases"].as_array().unwrap().iter().filter(|c| c["holds"] == false).collect();
    assert_eq!(told["held"], told["cases"].as_array().unwrap().len() - failed.len());
    assert!(failed.iter().any(|c| c["name"] == "a sign-in before that" && c["got"] == "allow"), "{failed:?}");
}

#[test]
fn too_little_covered_is_a_failure() {
    let dir = folder();
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--coverage-min", "95"], false));
    assert_eq!(code, Some(0), "{text}");
    for name in ["payroll", "guardrails"] {
        fs::remove_file(dir.path().join(format!("p/cases/{name}.toml"))).unwrap();
    }
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--coverage-min", "95"], false));
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "not covered apps/payroll.cedar:",
        "`payroll.hr` never applies\n",
        "`context.risk.level == RiskLevel::\"high\"` is never true\n",
        "95 % are asked for\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// From a mistake that nobody would notice to the case that notices it.
#[test]
fn a_survivor_is_shown_and_its_case_taken_over() {
    let dir = folder();
    let path = dir.path().join("p/cases/payroll.toml");
    let text = fs::read_to_string(&path).unwrap();
    let rest: Vec<&str> =
        text.split("[[case]]").filter(|c| !c.contains("a payroll admin looks at how")).collect();
    fs::write(&path, rest.join("[[case]]")).unwrap();
    // Without a solver nothing is proved, and what would have to be counts as not noticed.
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--mutants", "--propose"], false));
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "survives apps/payroll.cedar:",
        ": an action is missing in `payroll.admin`, and no case notices\n",
        "    -  action in [Action::\"read\", Action::\"write\"],\n    +  action in [Action::\"write\"],\n",
        "    does = \"GET payroll/admin\"\n",
        "nothing was proved: ",
        "cases are proposed in p/cases/proposed.toml.new",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let told = json(&test(dir.path(), &["--dir", "p", "--mutants", "--accept", "--format", "json"], false));
    assert_eq!(told["good"], false);
    assert_eq!(told["mutants"]["proposed"]["file"], "p/cases/proposed.toml");
    let cases = |name: &str| fs::read_to_string(dir.path().join("p/cases").join(name)).unwrap();
    assert_eq!(cases("proposed.toml"), cases("proposed.toml.new"));
    // With these cases, and a solver for what remains, nothing is left.
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--mutants"], true));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("say the same as the policy by proof"), "{text}");
}

#[test]
fn the_matrix_is_compared_and_written() {
    let dir = folder();
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--matrix"], false));
    assert_eq!(code, Some(0), "{text}");
    replace(dir.path(), "p/guardrails/risk.cedar", "RiskLevel::\"high\"", "RiskLevel::\"low\"");
    let (code, text) =
        said(&test(dir.path(), &["--dir", "p", "--matrix", "--filter", "no such case"], false));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with("MATRIX.md is not what the policies say\n    -") && text.contains("\n    +"),
        "{text}"
    );
    let args = ["--dir", "p", "--matrix", "--write", "--filter", "no such case"];
    assert_eq!(said(&test(dir.path(), &args, false)).0, Some(0));
    assert_eq!(said(&test(dir.path(), &args[..3], false)).0, Some(1), "the cases fail");
    assert_eq!(
        said(&test(dir.path(), &["--dir", "p", "--matrix", "--filter", "no such case"], false)).0,
        Some(0)
    );
}

#[test]
fn any_cedar_policies_are_tested_by_cedars_own_format() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put("s.cedarschema", "entity U = { n: Long }; action go appliesTo { principal: [U], resource: [U] };");
    put("p.cedar", "@id(\"old\") permit(principal, action, resource) when { principal.n >= 18 };");
    let case = |name: &str, n: u8, decision: &str, reason: &str| {
        format!(
            r#"{{"name":"{name}","request":{{"principal":"U::\"a\"","action":"Action::\"go\"","resource":"U::\"a\"","context":{{}}}},
            "entities":[{{"uid":{{"type":"U","id":"a"}},"attrs":{{"n":{n}}},"parents":[]}}],
            "decision":"{decision}","reason":[{reason}],"num_errors":0}}"#
        )
    };
    put("t.json", &format!("[{},{}]", case("old", 19, "allow", "\"old\""), case("young", 3, "deny", "")));
    let args = ["--schema", "s.cedarschema", "--policies", "p.cedar", "t.json"];
    let (code, text) = said(&test(dir.path(), &args, false));
    assert_eq!((code, text.as_str()), (Some(0), "2 of 2 cases hold\n"));
    let told = json(&test(
        dir.path(),
        &[&args[..], &["--mutants", "--coverage", "--format", "json"]].concat(),
        false,
    ));
    assert_eq!(told["coverage"]["percent"], 100);
    let what: Vec<&str> = told["mutants"]["survivors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["difference"].as_str().unwrap())
        .collect();
    assert_eq!(what.len(), 3, "{what:?}");
    assert!(
        what.iter().any(
            |d| d.contains("+@id(\"old\") permit(principal, action, resource) when { principal.n > 18 }")
        )
    );
    // The border itself.
    put("t.json", &format!("[{},{}]", case("just", 18, "allow", "\"old\""), case("not yet", 17, "deny", "")));
    let (code, text) = said(&test(dir.path(), &[&args[..], &["--mutants"]].concat(), false));
    assert_eq!(code, Some(0), "{text}");
    put("t.json", &format!("[{}]", case("wrong", 18, "deny", "")));
    let (code, text) = said(&test(dir.path(), &args, false));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("fails t.json:1: wrong\n  expected deny, got allow by old\n"), "{text}");
    put("p.cedar", "permit(principal, action, resource) when { principal.m >= 18 };");
    let (code, text) = said(&test(dir.path(), &args, false));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("cannot be asked: the policies do not fit the schema: "), "{text}");
    put("p.cedar", "permit(principal, action");
    assert_eq!(said(&test(dir.path(), &args, false)).0, Some(2));
}
