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
    assert!(
        text.contains(" cases hold\n") && text.ends_with("MATRIX.md is what the policies say\n"),
        "{text}"
    );
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--filter", "a sign-in before that"], false));
    assert!(code == Some(0) && text.starts_with("1 of 1 cases hold\n"), "{text}");
    replace(dir.path(), "p/guardrails/sign-in.cedar", "context.session.age > duration(\"12h\")", "false");
    // What Cedar warns of (this can never apply) does not load; a program is told so in its own format.
    let (code, text) = said(&test(dir.path(), &["--dir", "p"], false));
    assert!(code == Some(2) && text.contains("guardrails/sign-in.cedar:"), "{text}");
    let output = test(dir.path(), &["--dir", "p", "--format", "json"], false);
    let told = json(&output);
    assert_eq!((output.status.code(), &told["good"]), (Some(2), &Value::Bool(false)));
    assert_eq!(told["mistakes"][0]["file"], "guardrails/sign-in.cedar", "{told}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("guardrails/sign-in.cedar:"));
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--format", "junit"], false));
    assert!(
        code == Some(2) && text.starts_with("<?xml") && text.contains("<testsuite name=\"load\""),
        "{text}"
    );
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

/// Where nothing is asked nothing is shown: a filter that is misspelt, a folder without a case, a list without a test.
#[test]
fn nothing_to_ask_is_a_failure() {
    let dir = folder();
    let output = test(dir.path(), &["--dir", "p", "--filter", "nosuchthing"], false);
    assert_eq!(output.status.code(), Some(2), "{:?}", said(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("no case has `nosuchthing` in its name or its file"), "{stderr}");
    // A part of the cases says nothing of what all of them notice.
    for measure in ["--mutants", "--coverage"] {
        let output = test(dir.path(), &["--dir", "p", "--filter", "a", measure], false);
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with"), "{measure}");
    }
    let output = test(dir.path(), &["--dir", "p", "--mutants", "--only", "nobody"], false);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no policy `nobody`"));

    fs::remove_dir_all(dir.path().join("p/cases")).unwrap();
    fs::remove_file(dir.path().join("p/matrix.toml")).unwrap();
    let (code, text) = said(&test(dir.path(), &["--dir", "p"], false));
    assert!(code == Some(1) && text.starts_with("there are no cases: "), "{text}");
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--format", "junit"], false));
    assert!(code == Some(1) && text.contains("tests=\"1\" failures=\"1\""), "{text}");
    fs::write(dir.path().join("t.json"), "[]").unwrap();
    let args = ["--policies", "p/apps/wiki.cedar", "t.json"];
    assert_eq!(said(&test(dir.path(), &args, false)).0, Some(1));
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
    // What fails the command fails on the board.
    let args = ["--dir", "p", "--coverage-min", "95", "--format", "junit"];
    let (code, text) = said(&test(dir.path(), &args, false));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("failures=\"1\">") && text.contains("95 % are asked for"), "{text}");
}

/// Takes one of the shipped cases away, so that a mutant survives.
fn forget_a_case(dir: &Path) {
    let path = dir.join("p/cases/payroll.toml");
    let text = fs::read_to_string(&path).unwrap();
    let rest: Vec<&str> =
        text.split("[[case]]").filter(|c| !c.contains("a payroll admin looks at how")).collect();
    fs::write(&path, rest.join("[[case]]")).unwrap();
}

/// From a mistake that nobody would notice to the case that notices it.
#[test]
fn a_survivor_is_shown_and_its_case_taken_over() {
    let dir = folder();
    forget_a_case(dir.path());
    // Without a solver nothing is proved, and what would have to be counts as not noticed.
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--mutants", "--propose"], false));
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "survives apps/payroll.cedar:",
        ": an action is missing in `payroll.admin`, and no case notices\n",
        "    -  action in [Action::\"read\", Action::\"write\"],\n    +  action in [Action::\"write\"],\n",
        "    does = \"GET payroll/admin\"\n",
        "nothing was proved: ",
        "1 case is proposed in p/cases/proposed.toml.new: give it a name",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Of one policy alone, where every survivor is told by a case.
    let of_one = ["--dir", "p", "--mutants", "--only", "payroll.admin"];
    let (code, text) = said(&test(dir.path(), &[&of_one[..], &["--format", "junit"]].concat(), false));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("<testsuite name=\"mutants\"")
            && text.contains("<failure message=\"no case notices\">"),
        "{text}"
    );
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

/// What was just added counts: there is nothing left to complain about.
#[test]
fn cases_that_were_added_count_at_once() {
    let dir = folder();
    forget_a_case(dir.path());
    let of_one = ["--dir", "p", "--mutants", "--only", "payroll.admin"];
    let (code, text) = said(&test(dir.path(), &[&of_one[..], &["--accept"]].concat(), true));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(" added to p/cases/proposed.toml: give "), "{text}");
    assert_eq!(said(&test(dir.path(), &of_one, true)).0, Some(0));
}

#[test]
fn the_matrix_is_compared_and_written() {
    let dir = folder();
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--matrix"], false));
    assert_eq!(code, Some(0), "{text}");
    // A line more, by hand; nobody has to ask for the comparison.
    let page = dir.path().join("p/MATRIX.md");
    let good = fs::read_to_string(&page).unwrap();
    fs::write(&page, good.replacen("\n## ", "\nby hand\n## ", 1)).unwrap();
    let (code, text) = said(&test(dir.path(), &["--dir", "p"], false));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("MATRIX.md is not what the policies say\n    -by hand\n  help: "), "{text}");
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--format", "junit"], false));
    assert!(code == Some(1) && text.contains("<failure message=\"-by hand"), "{text}");
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--matrix", "--write"], false));
    assert!(code == Some(0) && text.ends_with("MATRIX.md is written anew\n"), "{text}");
    assert_eq!(fs::read_to_string(&page).unwrap(), good);
    // A folder need not have one, until somebody asks for it.
    fs::remove_file(&page).unwrap();
    assert_eq!(said(&test(dir.path(), &["--dir", "p"], false)).0, Some(0));
    assert_eq!(said(&test(dir.path(), &["--dir", "p", "--matrix"], false)).0, Some(1));
    fs::write(&page, good).unwrap();

    replace(dir.path(), "p/guardrails/risk.cedar", "RiskLevel::\"high\"", "RiskLevel::\"low\"");
    let (code, text) = said(&test(dir.path(), &["--dir", "p"], false));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("MATRIX.md is not what the policies say\n     ## ")
            && text.contains("\n    -")
            && text.contains("\n    +"),
        "{text}"
    );
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--matrix", "--write"], false));
    assert!(code == Some(1) && text.ends_with("MATRIX.md is written anew\n"), "the cases fail: {text}");
    // With cases that fail nobody knows what a mutant would change.
    let (code, text) = said(&test(dir.path(), &["--dir", "p", "--mutants"], false));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no mutants were made: mend the cases") && !text.contains("survives"), "{text}");
}

/// A plan or a file of tests that is wrong takes nothing from what the cases came to.
#[test]
fn what_is_wrong_beside_the_cases_hides_none_of_them() {
    let dir = folder();
    replace(dir.path(), "p/matrix.toml", "routes", "rutes");
    fs::write(dir.path().join("bad.json"), "{}").unwrap();
    for (args, wrong) in [(&["--dir", "p"][..], "matrix.toml"), (&["--dir", "p", "bad.json"][..], "bad.json")]
    {
        let output = test(dir.path(), args, false);
        let (code, text) = said(&output);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(" cases hold\n"), "{text}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(wrong), "{output:?}");
        let output = test(dir.path(), &[args, &["--format", "json"]].concat(), false);
        let told = json(&output);
        assert_eq!((output.status.code(), &told["good"]), (Some(2), &Value::Bool(false)));
        assert_eq!(told["held"], told["cases"].as_array().unwrap().len());
        assert!(told["mistakes"].to_string().contains(wrong), "{told}");
        let (code, text) = said(&test(dir.path(), &[args, &["--format", "junit"]].concat(), false));
        assert!(code == Some(2) && text.starts_with("<?xml") && text.ends_with("</testsuites>\n"), "{text}");
        assert!(text.contains("<testsuite name=\"load\"") && text.contains(wrong), "{text}");
        assert!(text.contains("<testsuite name=\"cases/wiki.toml\""), "{text}");
    }
    // Tests among the cases are cases: what is wrong with them is wrong with the folder.
    fs::write(dir.path().join("p/cases/bad.tests.json"), "[\n3]").unwrap();
    let (code, text) = said(&test(dir.path(), &["--dir", "p"], false));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("fails cases/bad.tests.json:2: test 1\n  cannot be asked: "), "{text}");
    let (code, text) = run(dir.path(), &["policy", "check", "--dir", "p"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("cases/bad.tests.json:2:1: test `test 1`: cannot be asked: "), "{text}");
}

/// Runs any command.
fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env_remove("DOORWARD_CONFIG").env_remove("NO_COLOR");
    let output = command.output().unwrap();
    (output.status.code(), format!("{}{}", said(&output).1, String::from_utf8_lossy(&output.stderr)))
}

/// A case is found by its name, so that two of one name are two things to be told.
#[test]
fn two_cases_of_one_name_are_told() {
    let dir = folder();
    replace(dir.path(), "p/cases/wiki.toml", "[[case]]\nname = \"", "[[case]]\nname = \"twice\" # ");
    replace(dir.path(), "p/cases/payroll.toml", "[[case]]\nname = \"", "[[case]]\nname = \"twice\" # ");
    let explain = ["policy", "explain", "--dir", "p", "--case", "twice"];
    let (code, text) = run(dir.path(), &explain);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("2 cases are called `twice`: cases/payroll.toml:"), "{text}");
}

#[test]
fn who_asks_for_colors_gets_them_in_a_pipe() {
    let dir = folder();
    fs::write(dir.path().join("p/apps/x.cedar"), "permit (principal, action, resource);").unwrap();
    let (_, text) = run(dir.path(), &["--color", "always", "policy", "check", "--dir", "p"]);
    assert!(text.contains("\u{1b}["), "{text}");
    let (_, text) = run(dir.path(), &["policy", "check", "--dir", "p"]);
    assert!(!text.contains('\u{1b}') && text.contains("apps/x.cedar:1:1: "), "{text}");
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
    assert!(
        told["mutants"]["no_solver"].as_str().unwrap().contains("a folder of the gateway's only"),
        "{told}"
    );
    let output = test(dir.path(), &[&args[..], &["--mutants", "--propose"]].concat(), false);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a folder of the gateway's only"), "{output:?}");
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
