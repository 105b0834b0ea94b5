//! The test format of Cedar's command line: read here, and by Cedar's command line itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use cedar_policy::PolicySet;
use cedar_policy_cli::{
    CedarExitCode, OptionalSchemaArgs, PoliciesArgs, PolicyFormat, RunTestsArgs, SchemaFormat, run_tests,
};
use doorward_model::UnixMillis;
use doorward_model::limits::POLICY_TEST_ANSWERS_MAX;
use doorward_policy::{ForeignSet, PolicyFiles, PolicySource, Rule, Workshop};
use doorward_workbench::check::{self, Checked};
use doorward_workbench::{cedar_tests, trial};
use serde_json::{Value, json};

use crate::lints::folder;

/// The source of Cedar's command line, at the version that is built here.
fn source() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let package = told["packages"].as_array().unwrap().iter().find(|p| p["name"] == "cedar-policy-cli");
    Path::new(package.unwrap()["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// Whether every test of a file passes, here; an error is a file that cannot be used.
fn here(schema: &Path, policies: &Path, tests: &Path) -> Result<bool, String> {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let set = ForeignSet::read(Some(("s", &read(schema))), ("p", &read(policies)));
    let set = set.map_err(|findings| format!("{findings:?}"))?;
    let all = PolicySet::from_policies(set.policies().iter().map(PolicySource::policy).cloned()).unwrap();
    let trials = cedar_tests::read(tests, "tests.json", set.schema())?;
    let fault = cedar_tests::faults(&all, set.schema().unwrap());
    Ok(trial::of_set(&all, trials, fault.as_deref()).iter().all(|(_, outcome)| outcome.holds()))
}

fn cedar(schema: &Path, policies: &Path, tests: &Path) -> bool {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let schema_format = match schema.extension().and_then(|e| e.to_str()) {
        Some("json") => SchemaFormat::Json,
        _ => SchemaFormat::Cedar,
    };
    let args = RunTestsArgs {
        policies: PoliciesArgs {
            policies_file: Some(text(policies)),
            policy_format: PolicyFormat::Cedar,
            template_linked_file: None,
        },
        tests: text(tests),
        schema: OptionalSchemaArgs { schema_file: Some(schema.to_owned()), schema_format },
    };
    run_tests(&args) == CedarExitCode::Success
}

/// Every schema with every policies with every tests of each of its sandboxes, also those that do not belong together.
#[test]
fn we_pass_and_fail_what_cedar_passes_and_fails() {
    let root = source().join("sample-data/tiny_sandboxes");
    let (mut compared, mut passed, mut files) = (0, 0, std::collections::BTreeSet::new());
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let all: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        let named = |part: fn(&str) -> bool| {
            let mut found: Vec<&PathBuf> =
                all.iter().filter(|p| part(p.file_name().unwrap().to_str().unwrap())).collect();
            found.sort();
            found
        };
        for tests in named(|n| n.starts_with("test") && n.ends_with(".json")) {
            files.insert(tests.clone());
            for schema in named(|n| n.contains(".cedarschema")) {
                for policies in named(|n| n.ends_with(".cedar")) {
                    let ours = here(schema, policies, tests);
                    let theirs = cedar(schema, policies, tests);
                    assert_eq!(ours == Ok(true), theirs, "{schema:?} {policies:?} {tests:?}: {ours:?}");
                    compared += 1;
                    passed += usize::from(theirs);
                }
            }
        }
    }
    assert_eq!(files.len(), 17, "the files of tests of version 4.14.1");
    assert!(compared >= 32 && passed >= 10 && passed < compared, "{compared} compared, {passed} passed");
}

const POLICY: &str = "@id(\"open\") permit (principal, action, resource);\n";
const BASE: &str = "[route.\"wiki/all\"]\n[base]\nplace = { ip = \"192.0.2.1\" }\n\
    time = { now = 2026-03-04T10:00:00Z, local = \"11:00\", weekday = \"wed\" }\n\
    [[case]]\nname = \"now\"\nwho = \"visitor\"\ndoes = \"GET wiki/all\"\nexpect = \"allow\"\n";

/// The case as a test: the request and the entities that the gateway makes of it.
fn as_test() -> (Value, Value) {
    let dir = folder(&[("x.cedar", POLICY), ("cases/base.toml", BASE)]);
    let shop = Workshop::open(dir.path(), None).unwrap();
    let situation = shop.cases().iter().next().unwrap().situation.unwrap();
    let (request, entities) = shop.bundle().in_cedar(&situation.question()).unwrap();
    let named = |uid: Option<&cedar_policy::EntityUid>| uid.unwrap().to_string();
    let request = json!({
        "principal": named(request.principal()), "action": named(request.action()),
        "resource": named(request.resource()), "context": request.context().unwrap().to_json_value().unwrap(),
    });
    (request, entities.to_json_value().unwrap())
}

/// A folder with these tests beside the case.
fn with(tests: &str, entities: &Value) -> (tempfile::TempDir, Checked) {
    let entities = entities.to_string();
    let dir = folder(&[
        ("x.cedar", POLICY),
        ("cases/base.toml", BASE),
        ("cases/x.tests.json", tests),
        ("cases/everybody.json", &entities),
    ]);
    let checked = check::folder(dir.path(), None, UnixMillis(0));
    (dir, checked)
}

/// What lies among the cases of a folder is a case: it blocks loading, and goes where the folder goes.
#[test]
fn tests_beside_the_cases_are_cases() {
    let (request, entities) = as_test();
    let test = |name: &str, decision: &str, entities: &Value| {
        json!({
            "name": name, "request": request, "entities": entities, "decision": decision, "reason": [],
            "num_errors": 0,
        })
    };
    let beside = json!("everybody.json");
    let good = json!([test("in", "allow", &entities), test("in by the file", "allow", &beside)]).to_string();
    let (dir, checked) = with(&good, &entities);
    assert!(checked.mistakes.is_empty(), "{:?}", checked.mistakes);
    assert_eq!(checked.cases, 3);
    let of_files = PolicyFiles::read(dir.path()).unwrap();
    assert_eq!(checked.revision, Some(of_files.revision()));
    for path in ["cases/x.tests.json", "cases/everybody.json"] {
        assert!(of_files.iter().any(|(there, _)| there == path), "{path} goes into no bundle");
        let text = std::fs::read_to_string(dir.path().join(path)).unwrap();
        std::fs::write(dir.path().join(path), format!("{text}\n")).unwrap();
        let changed = PolicyFiles::read(dir.path()).unwrap().revision();
        assert_ne!(changed, of_files.revision(), "{path} is no part of the revision");
        std::fs::write(dir.path().join(path), text).unwrap();
    }

    let bad = format!("[\n{},\n{}]", test("in", "allow", &beside), test("never", "deny", &beside));
    let (dir, checked) = with(&bad, &entities);
    assert_eq!((checked.mistakes.len(), checked.revision), (1, None), "{:?}", checked.mistakes);
    let told = &checked.mistakes[0];
    assert_eq!((told.rule(), told.extent().unwrap().line), (Rule::CaseFails, 3));
    assert_eq!(told.to_string(), "cases/x.tests.json:3:1: test `never`: expected deny, got allow by open");
    assert!(Workshop::open(dir.path(), None).is_err());
    // The command that shows each case shows these, and says the same.
    let run = cedar_tests::of_workshop(&Workshop::untried(dir.path(), None).unwrap());
    let told: Vec<_> = run.iter().map(|(trial, outcome)| (trial.line, outcome.holds())).collect();
    assert_eq!(told, [(2, true), (3, false)]);
    assert_eq!(run[1].1.miss.as_ref().unwrap().message, "expected deny, got allow by open");
}

/// Loading stays cheap, and what is no list of tests is told as such.
#[test]
fn tests_beside_the_cases_have_bounds() {
    let mistake = |tests: &str| {
        let (_dir, checked) = with(tests, &json!([]));
        assert_eq!(checked.mistakes.len(), 1, "{:?}", checked.mistakes);
        (checked.mistakes[0].rule(), checked.mistakes[0].to_string())
    };
    let (rule, told) = mistake("{}");
    assert_eq!(rule, Rule::CaseSyntax);
    assert!(told.starts_with("cases/x.tests.json:1:1: this is not a list of tests: "), "{told}");
    let many = format!("[0{}]", ",0".repeat(POLICY_TEST_ANSWERS_MAX));
    assert_eq!(mistake(&many).0, Rule::TooLarge);
    let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    let (rule, told) = mistake(&deep);
    assert!(rule == Rule::CaseFails && told.contains("this is not a test"), "{told}");
}
