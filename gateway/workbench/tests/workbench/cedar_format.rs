//! The test format of Cedar's command line: read here, and by Cedar's command line itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use cedar_policy::PolicySet;
use cedar_policy_cli::{
    CedarExitCode, OptionalSchemaArgs, PoliciesArgs, PolicyFormat, RunTestsArgs, SchemaFormat, run_tests,
};
use doorward_policy::{ForeignSet, PolicySource};
use doorward_workbench::{cedar_tests, trial};

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
