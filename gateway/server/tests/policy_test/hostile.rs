//! Policies of somebody who means harm, and the terminal of whoever looks at them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::copy;

/// Clears the screen, names the window, turns around what follows, begins a command in one byte.
const HARM: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\u{9b}1m";

fn said(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(args).env_remove("DOORWARD_CONFIG").env("PATH", "/nowhere");
    command.current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn is_fit(args: &[&str], output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        let unfit = |line: &&str| line.chars().any(|c| (c.is_control() && c != '\t') || c == '\u{202e}');
        let odd: Vec<&str> = text.split('\n').filter(unfit).collect();
        assert!(odd.is_empty(), "{args:?}: {odd:?}");
    }
}

/// A folder whose policies, red lines, cases and names of files mean harm; and a set that is somebody else's.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    copy(&from, &dir.path().join("good"));
    let bad = dir.path().join("bad");
    fs::create_dir_all(bad.join("apps")).unwrap();
    fs::create_dir_all(bad.join("cases")).unwrap();
    fs::create_dir_all(bad.join("invariants")).unwrap();
    fs::copy(from.join("schema.cedarschema"), bad.join("schema.cedarschema")).unwrap();
    let policy = |id: &str, title: &str| {
        format!(
            "// {HARM}\r@id(\"{id}\") @title(\"{title}\") permit (principal, action, resource) // {HARM}\n;\n"
        )
    };
    fs::write(bad.join("apps/x.cedar"), policy("open", &format!("t{HARM}"))).unwrap();
    fs::write(bad.join("invariants/x.cedar"), policy("line", &format!("t{HARM}"))).unwrap();
    let set = format!(
        "{}@id(\"y{HARM}\") forbid (principal == User::\"{}\", action, resource) when {{ context.s == \"a{HARM}\" }};",
        policy(&format!("x{HARM}"), "t"),
        HARM
    );
    fs::write(dir.path().join(format!("set{}.cedar", HARM.replace('/', ""))), &set).unwrap();
    symlink(format!("set{}.cedar", HARM.replace('/', "")), dir.path().join("set.cedar")).unwrap();
    fs::write(
        dir.path().join("s.cedarschema"),
        "entity User; action view appliesTo { principal: [User], resource: [User], context: { s: String } };",
    )
    .unwrap();
    let user = |id: &str| format!("User::{}", serde_json::json!(id));
    let request = serde_json::json!({
        "principal": user("a"), "action": "Action::\"view\"", "resource": user("a"), "context": { "s": format!("a{HARM}") },
    });
    fs::write(dir.path().join("r.json"), request.to_string()).unwrap();
    fs::write(dir.path().join("e.json"), "[]").unwrap();
    let tests = serde_json::json!([{
        "name": format!("n{HARM}"), "request": request, "decision": "deny", "reason": [format!("y{HARM}")],
        "num_errors": 0, "entities": [],
    }]);
    fs::write(dir.path().join("set.tests.json"), tests.to_string()).unwrap();
    dir
}

/// What `check`, `fmt`, `test`, `prove` and `explain` print, in each of their forms.
#[test]
fn nothing_in_a_policy_reaches_the_terminal_as_a_command() {
    let dir = folder();
    let with = |words: &[&'static str], more: &[&'static str]| -> Vec<&'static str> {
        words.iter().chain(more).copied().collect()
    };
    let set: &[&'static str] = &["--schema", "s.cedarschema", "--policies", "set.cedar"];
    let mut all: Vec<Vec<&str>> = Vec::new();
    for format in ["human", "json", "sarif", "github"] {
        all.push(with(&["policy", "check", "--dir", "bad", "--format", format], &[]));
        all.push(with(&["policy", "check", "--format", format], set));
    }
    for format in ["human", "json", "junit"] {
        let words = ["policy", "test", "set.tests.json", "--coverage", "--mutants", "--format", format];
        all.push(with(&words, set));
        all.push(with(&["policy", "test", "--coverage", "--dir", "bad", "--format", format], &[]));
    }
    for format in ["human", "json"] {
        all.push(with(&["policy", "prove", "--dir", "bad", "--format", format], &[]));
        all.push(with(&["policy", "prove", "--dir", "bad", "--against", "good", "--format", format], &[]));
        all.push(with(
            &[
                "policy",
                "explain",
                "--all",
                "--request-json",
                "r.json",
                "--entities",
                "e.json",
                "--format",
                format,
            ],
            set,
        ));
    }
    all.push(vec!["policy", "fmt", "--check", "--dir", "."]);
    all.push(vec!["policy", "fmt", "--check", "set.cedar", "bad/apps/x.cedar"]);
    for args in &all {
        let said = said(dir.path(), args);
        is_fit(args, &said);
        assert!(!said.stdout.is_empty() || !said.stderr.is_empty(), "{args:?}");
        // What is refused at once shows nothing of itself.
        let read = !args.contains(&"check") || String::from_utf8_lossy(&said.stdout).contains("open-permit");
        assert!(read, "{args:?}: {said:?}");
    }
}
