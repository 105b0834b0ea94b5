//! Findings as programs read them.

use doorward_model::UnixMillis;
use doorward_policy::Rule;
use doorward_workbench::check;
use doorward_workbench::report::{self, Look, Report};
use serde_json::Value;

use crate::lints::folder;

const SARIF: &str = include_str!("reports/sarif-2.1.0.schema.json");

/// Two mistakes and some hints; one finding without a place, one with a name that must be escaped.
fn report(deny_hints: bool) -> (tempfile::TempDir, Report) {
    let text = "@id(\"bad\")\npermit (principal is User, action, resource) when { context.sesion.mfa };\n\
                @id(\"open\") @title(\"100%, really: ü\")\npermit (\n  principal,\n  action,\n  resource);\n";
    let dir = folder(&[("apps/x.cedar", text), ("apps/Y.CEDAR", "")]);
    let report = report_of(dir.path(), deny_hints);
    (dir, report)
}

fn report_of(dir: &std::path::Path, deny_hints: bool) -> Report {
    let checked = check::folder(dir, None, UnixMillis(0));
    Report { checked, deny_hints, names_checked: Some(false), top: dir.parent().map(Into::into) }
}

#[test]
fn sarif_is_what_its_schema_says() {
    // One pattern in the published schema has a bracket too many, which a strict reader refuses.
    let (wrong, right) = ("^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$", "^[a-zA-Z]{2}(-[a-zA-Z]{2})?$");
    assert!(SARIF.contains(wrong));
    let schema: Value = serde_json::from_str(&SARIF.replace(wrong, right)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for deny_hints in [false, true] {
        let (dir, report) = report(deny_hints);
        let sarif = report::sarif(&report, "1.2.3");
        let errors: Vec<String> =
            validator.iter_errors(&sarif).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let folder = dir.path().file_name().unwrap().to_str().unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), Rule::ALL.len());
        for result in results {
            let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[at]["id"], result["ruleId"]);
            assert_eq!(
                result["level"] == "error",
                deny_hints || rules[at]["defaultConfiguration"]["level"] == "error"
            );
        }
        let open = results.iter().find(|r| r["ruleId"] == "doorward/open-permit").unwrap();
        let place = &open["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], format!("{folder}/apps/x.cedar"));
        let region = &place["region"];
        let numbers =
            ["startLine", "startColumn", "endLine", "endColumn"].map(|key| region[key].as_u64().unwrap());
        assert_eq!(numbers, [5, 3, 7, 11]);
        assert_eq!(open["locations"][0]["logicalLocations"][0]["name"], "open");
    }
    // The validator can say no.
    let (_dir, report) = report(false);
    let mut wrong = report::sarif(&report, "1.2.3");
    wrong["runs"][0]["results"][0]["level"] = "grave".into();
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn github_reads_a_command_a_line() {
    let (dir, report) = report(false);
    let text = report::github(&report);
    let folder = dir.path().file_name().unwrap().to_str().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), report.checked.mistakes.len() + report.checked.hints.len());
    assert!(
        lines.iter().all(|l| l.starts_with("::error file=") || l.starts_with("::notice file=")),
        "{text}"
    );
    let open = format!(
        "::notice file={folder}/apps/x.cedar,line=5,col=3,endLine=7,endColumn=11,title=doorward/open-permit::`open` permits everything to everybody%0Ahelp: "
    );
    assert!(lines.iter().any(|l| l.starts_with(&open)), "{open}\nin\n{text}");
    let name = format!("::error file={folder}/apps/Y.CEDAR,title=doorward/file-name::");
    assert!(lines.iter().any(|l| l.starts_with(&name)), "{text}");
    let denied = report::github(&Report { deny_hints: true, ..report });
    assert!(denied.lines().all(|l| l.starts_with("::error ")), "{denied}");
}

#[test]
fn json_says_all_of_it() {
    let (_dir, report) = report(false);
    let json = report::json(&report);
    assert_eq!((&json["valid"], &json["revision"]), (&Value::Bool(false), &Value::Null));
    let invalid =
        json["mistakes"].as_array().unwrap().iter().find(|m| m["rule"] == "doorward/invalid").unwrap();
    assert_eq!(
        (&invalid["policy"], &invalid["file"], &invalid["line"]),
        (&"bad".into(), &"apps/x.cedar".into(), &2.into())
    );
    assert!(invalid["end_column"].as_u64() > invalid["column"].as_u64(), "{invalid}");
}

/// Hints do no harm until they are denied.
#[test]
fn hints_count_when_they_are_denied() {
    let good = "@id(\"open\") permit (principal is User, action, resource);";
    let dir = folder(&[("apps/x.cedar", good)]);
    let allowing = report_of(dir.path(), false);
    assert!(allowing.is_good() && !allowing.checked.hints.is_empty());
    assert!(!report_of(dir.path(), true).is_good());
}

/// What is a color is one of ours; all else that a file says is shown and not done.
#[test]
fn nothing_in_a_file_moves_the_cursor() {
    let harm = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\u{9b}1m";
    let text = format!(
        "// {harm}\r@id(\"open\") @title(\"{harm}\") permit (principal, action, resource) // {harm}\n;\n// {harm}"
    );
    let dir = folder(&[("apps/x.cedar", &text), (&format!("apps/y{}.CEDAR", harm.replace('/', "")), "")]);
    let mut report = report_of(dir.path(), false);
    report.checked.subject.push(harm);
    assert!(report.checked.mistakes.len() + report.checked.hints.len() > 1);
    for look in [Look::Lines, Look::Drawn, Look::Colored] {
        let text = report::human(&report, look);
        let plain: String = match look {
            Look::Lines | Look::Drawn => text.clone(),
            Look::Colored => {
                text.split("\u{1b}[").map(|part| part.split_once('m').map_or(part, |(_, p)| p)).collect()
            }
        };
        let unfit: Vec<&str> =
            plain.lines().filter(|l| l.chars().any(|c| c.is_control() || c == '\u{202e}')).collect();
        assert!(unfit.is_empty(), "{look:?}: {unfit:?}");
        assert!(text.contains("open-permit") && !text.contains("[2J\u{1b}"), "{look:?}: {text:?}");
    }
    let github = report::github(&report);
    assert!(!github.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{github:?}");
    // Drawn with what stands beside it, byte for byte.
    let drawn = report::human(&report, Look::Drawn);
    assert!(drawn.contains("// ?[2J?]0;owned??????1m?@id(\"open\")"), "{drawn}");
}
