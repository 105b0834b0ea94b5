//! Policies that others wrote: the example sets inside the crates `cedar-policy-symcc` and `cedar-policy-cli`, at the
//! versions that are built here, go through what `doorward policy check` and `explain` do with any set of policies,
//! and come out as Cedar's own command line has them. (Its format of tests: `cedar_format`.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cedar_policy::{Entities, EntityUid};
use cedar_policy_cli::{
    AuthorizeArgs, CedarExitCode, OptionalSchemaArgs, PoliciesArgs, PolicyFormat, RequestArgs, SchemaArgs,
    SchemaFormat, ValidateArgs, ValidationMode, authorize, validate,
};
use doorward_policy::{Decision, ForeignSet, PolicySource};
use doorward_workbench::check;
use serde_json::json;

use crate::differential::chance::Chance;

/// How many requests are asked of one set of policies with one set of entities.
const REQUESTS: usize = 12;

/// The folders of the crates, and their versions, as the lock file of this workspace has them.
fn sources() -> BTreeMap<String, PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let pinned = [("cedar-policy-cli", "4.14.1"), ("cedar-policy-symcc", "0.8.1")];
    let found = pinned.map(|(name, version)| {
        let mut packages = told["packages"].as_array().unwrap().iter();
        let package = packages.find(|p| p["name"] == name && p["version"] == version);
        let package = package.unwrap_or_else(|| panic!("`{name}` is not here in version {version}"));
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        (name.to_owned(), manifest.parent().unwrap().to_owned())
    });
    found.into()
}

/// The files of a folder whose names end so, in order.
fn files(dir: &Path, ends: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        all.filter(|p| p.is_file() && p.file_name().unwrap().to_str().unwrap().ends_with(ends)).collect();
    found.sort();
    found
}

/// Every folder of examples.
fn folders() -> Vec<PathBuf> {
    let sources = sources();
    let examples = sources["cedar-policy-symcc"].join("tests/data/cedar-examples");
    let samples = sources["cedar-policy-cli"].join("sample-data");
    let roots = [examples, samples.clone(), samples.join("tiny_sandboxes")];
    let inside = |root: &PathBuf| {
        let mut dirs: Vec<_> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
        dirs.sort();
        dirs
    };
    let all: Vec<_> = roots.iter().flat_map(inside).filter(|dir| !files(dir, ".cedar").is_empty()).collect();
    assert!(all.len() >= 24, "{all:?}");
    all
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn format(schema: &Path) -> SchemaFormat {
    if text(schema).ends_with(".json") { SchemaFormat::Json } else { SchemaFormat::Cedar }
}

fn policies(file: &Path) -> PoliciesArgs {
    let policies_file = Some(text(file));
    PoliciesArgs { policies_file, policy_format: PolicyFormat::Cedar, template_linked_file: None }
}

#[test]
fn check_accepts_and_refuses_what_cedar_accepts_and_refuses() {
    let (mut good, mut bad) = (0, 0);
    for dir in folders() {
        let schemas = [files(&dir, ".cedarschema"), files(&dir, ".cedarschema.json")].concat();
        for (schema, file) in
            schemas.iter().flat_map(|s| files(&dir, ".cedar").into_iter().map(move |p| (s, p)))
        {
            let cedar = validate(&ValidateArgs {
                schema: SchemaArgs { schema_file: schema.clone(), schema_format: format(schema) },
                policies: policies(&file),
                deny_warnings: false,
                validation_mode: ValidationMode::Strict,
                level: None,
            });
            let [schema_text, policy_text] = [schema, &file].map(|f| fs::read_to_string(f).unwrap());
            let (schema_name, policy_name) = (text(schema), text(&file));
            let here = check::foreign(Some((&schema_name, &schema_text)), (&policy_name, &policy_text));
            let told: Vec<_> = here.mistakes.iter().map(ToString::to_string).collect();
            assert_eq!(
                cedar == CedarExitCode::Success,
                told.is_empty(),
                "{} with {}: Cedar says {cedar:?}, here {told:#?}",
                file.display(),
                schema.display()
            );
            *if told.is_empty() { &mut good } else { &mut bad } += 1;
        }
    }
    assert!(good >= 30 && bad >= 4, "{good} were accepted and {bad} refused");
}

/// Some requests about what is there: what the folder itself asks, and random others.
fn requests(dir: &Path, entities: &str, set: &ForeignSet, chance: &mut Chance) -> Vec<String> {
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
    let mut all: Vec<String> = files(dir, "request.json").iter().map(read).collect();
    let mut contexts = vec![json!({})];
    contexts.extend(
        files(dir, ".json")
            .iter()
            .filter(|p| text(p).contains("context"))
            .map(|p| serde_json::from_str::<serde_json::Value>(&read(p)).unwrap()),
    );
    let mut named: BTreeSet<EntityUid> = BTreeSet::new();
    for source in set.policies() {
        named.extend(source.policy().entity_literals());
    }
    if let Ok(entities) = Entities::from_json_str(entities, None) {
        named.extend(entities.iter().map(cedar_policy::Entity::uid));
    }
    let (actions, others): (Vec<_>, Vec<_>) =
        named.iter().partition(|uid| uid.type_name().basename() == "Action");
    if actions.is_empty() || others.is_empty() {
        return all;
    }
    while all.len() < REQUESTS {
        let (who, does, what) = (chance.of(&others), chance.of(&actions), chance.of(&others));
        let context = contexts[chance.below(contexts.len())].clone();
        let parts = [who, does, what].map(ToString::to_string);
        let [principal, action, resource] = parts;
        all.push(
            json!({ "principal": principal, "action": action, "resource": resource, "context": context })
                .to_string(),
        );
    }
    all
}

#[test]
fn explain_decides_as_cedar_decides() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let scratch = tempfile::tempdir().unwrap();
    let mut chance = Chance::new(14);
    for dir in folders() {
        let mut entities = [files(&dir, "entities.json"), files(&dir, "entity.json")].concat();
        // A set without entities is asked about none.
        if entities.is_empty() {
            let none = scratch.path().join("none.json");
            fs::write(&none, "[]").unwrap();
            entities.push(none);
        }
        let mut schemas: Vec<Option<PathBuf>> = vec![None];
        schemas.extend(files(&dir, ".cedarschema").into_iter().map(Some));
        for (file, schema) in
            files(&dir, ".cedar").iter().flat_map(|f| schemas.iter().map(move |s| (f, s.as_ref())))
        {
            let known = entities.iter().map(|e| (e, fs::read_to_string(e).unwrap()));
            for (entities_file, entities) in known {
                let schema_text = schema.map(|s| fs::read_to_string(s).unwrap());
                let policy_text = fs::read_to_string(file).unwrap();
                let schema_text = schema_text.as_deref().map(|text| ("schema", text));
                let set = ForeignSet::read(schema_text, ("policies", &policy_text));
                let Ok(set) = set else {
                    // What is not read here is nothing to Cedar either.
                    let taken = match schema {
                        None => policy_text.parse::<cedar_policy::PolicySet>().is_ok(),
                        Some(schema) => {
                            let cedar = validate(&ValidateArgs {
                                schema: SchemaArgs {
                                    schema_file: schema.clone(),
                                    schema_format: format(schema),
                                },
                                policies: policies(file),
                                deny_warnings: false,
                                validation_mode: ValidationMode::Strict,
                                level: None,
                            });
                            cedar == CedarExitCode::Success
                        }
                    };
                    assert!(!taken, "{} with {schema:?} is left out", file.display());
                    continue;
                };
                *seen.entry("sets").or_default() += 1;
                for request in requests(&dir, &entities, &set, &mut chance) {
                    let request_file = scratch.path().join("request.json");
                    fs::write(&request_file, &request).unwrap();
                    let cedar = authorize(&AuthorizeArgs {
                        request: RequestArgs {
                            principal: None,
                            action: None,
                            resource: None,
                            context_json_file: None,
                            request_json_file: Some(text(&request_file)),
                            request_validation: true,
                        },
                        policies: policies(file),
                        schema: OptionalSchemaArgs {
                            schema_file: schema.cloned(),
                            schema_format: SchemaFormat::Cedar,
                        },
                        entities_file: text(entities_file),
                        verbose: false,
                        timing: false,
                    });
                    let here = set.explain(&request, &entities);
                    let expect = match &here {
                        Ok(told) if told.decision == Decision::Allow => CedarExitCode::Success,
                        Ok(_) => CedarExitCode::AuthorizeDeny,
                        Err(_) => CedarExitCode::Failure,
                    };
                    assert_eq!(cedar, expect, "{} with {schema:?}: {request}\n{here:#?}", file.display());
                    let word = match cedar {
                        CedarExitCode::Success => "allow",
                        CedarExitCode::AuthorizeDeny => "deny",
                        _ => "not asked",
                    };
                    *seen.entry(word).or_default() += 1;
                    // Whatever is refused names what would have to be otherwise, or that nothing would help.
                    if let Ok(told) = &here
                        && told.decision == Decision::Allow
                    {
                        assert!(!told.deciding.is_empty() && told.way.is_none(), "{told:#?}");
                    }
                }
            }
        }
    }
    println!("{seen:?}");
    let least = [("sets", 50), ("allow", 20), ("deny", 100)];
    assert!(least.iter().all(|(what, count)| seen.get(what) > Some(count)), "{seen:?}");
}

/// What is read here is what Cedar reads: each policy under the name that Cedar's command line gives it.
#[test]
fn every_policy_is_read_as_it_is_written() {
    let mut many = 0;
    for file in folders().iter().flat_map(|dir| files(dir, ".cedar")) {
        let text = fs::read_to_string(&file).unwrap();
        let here = ForeignSet::read(None, ("policies", &text));
        let Ok(cedar) = text.parse::<cedar_policy::PolicySet>() else {
            assert!(here.is_err(), "{} is no policy to Cedar", file.display());
            continue;
        };
        let here = here.unwrap_or_else(|e| panic!("{}: {e:?}", file.display()));
        let read: BTreeSet<String> = here.policies().iter().map(body).collect();
        let expected: BTreeSet<String> = cedar.policies().map(|p| p.to_json().unwrap().to_string()).collect();
        assert_eq!(read, expected, "{}", file.display());
        assert_eq!(here.templates(), cedar.templates().count());
        many += read.len();
    }
    assert!(many > 60, "{many} policies");
}

fn body(source: &PolicySource) -> String {
    source.policy().to_json().unwrap().to_string()
}
