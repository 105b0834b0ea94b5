//! The picture in `docs/architecture.md`, as a table.

use std::collections::{BTreeMap, BTreeSet};

use crate::{none, shown, top};

/// Each crate of ours, and which of ours it may import.
const EDGES: [(&str, &str, &[&str]); 15] = [
    ("gateway/model", "doorward-model", &[]),
    ("geoip", "doorward-geoip", &[]),
    ("gateway/identity", "doorward-identity", &["doorward-model"]),
    ("gateway/context", "doorward-context", &["doorward-model", "doorward-geoip"]),
    ("gateway/state", "doorward-state", &["doorward-model", "doorward-servers"]),
    ("gateway/policy", "doorward-policy", &["doorward-model"]),
    ("gateway/audit", "doorward-audit", &["doorward-model"]),
    (
        "gateway/proxy",
        "doorward-proxy",
        &[
            "doorward-model",
            "doorward-identity",
            "doorward-context",
            "doorward-state",
            "doorward-policy",
            "doorward-audit",
        ],
    ),
    (
        "gateway/lifecycle",
        "doorward-lifecycle",
        &["doorward-model", "doorward-identity", "doorward-state", "doorward-audit"],
    ),
    ("gateway/workbench", "doorward-workbench", &["doorward-model", "doorward-policy", "doorward-audit"]),
    (
        "gateway/console",
        "doorward-console",
        &[
            "doorward-model",
            "doorward-state",
            "doorward-policy",
            "doorward-audit",
            "doorward-lifecycle",
            "doorward-workbench",
        ],
    ),
    ("gateway/demo", "doorward-demo", &["doorward-model"]),
    (
        "gateway/server",
        "doorward-server",
        &[
            "doorward-model",
            "doorward-geoip",
            "doorward-identity",
            "doorward-context",
            "doorward-state",
            "doorward-policy",
            "doorward-audit",
            "doorward-proxy",
            "doorward-lifecycle",
            "doorward-console",
            "doorward-workbench",
            "doorward-demo",
        ],
    ),
    (
        "tests",
        "doorward-tests",
        &[
            "doorward-demo",
            "doorward-identity",
            "doorward-model",
            "doorward-policy",
            "doorward-servers",
            "doorward-state",
        ],
    ),
    ("tests/servers", "doorward-servers", &[]),
];

/// Imported by tests alone.
const TESTS_ONLY: [&str; 1] = ["doorward-servers"];

/// Heavy dependencies, and the only crates that may import them.
const OWNERS: [(&str, &[&str]); 10] = [
    ("pingora", &["doorward-proxy"]),
    ("cedar-policy", &["doorward-policy", "doorward-workbench"]),
    ("rusqlite", &["doorward-state"]),
    ("redis", &["doorward-state"]),
    ("tokio-postgres", &["doorward-state"]),
    ("maxminddb", &["doorward-geoip"]),
    ("papaya", &["doorward-state"]),
    ("notify", &["doorward-server"]),
    ("clap", &["doorward-server"]),
    ("jsonwebtoken", &["doorward-identity", "doorward-proxy", "doorward-demo", "doorward-tests"]),
];

/// Crates of which a second version would cost minutes of every build.
const ONCE: [&str; 14] = [
    "aws-lc-sys",
    "axum",
    "cedar-policy-core",
    "clap",
    "h2",
    "hyper",
    "jsonwebtoken",
    "libsqlite3-sys",
    "miette",
    "pingora-core",
    "reqwest",
    "rustls",
    "tokio",
    "tracing-subscriber",
];

fn manifest(folder: &str) -> toml::Table {
    let path = top().join(folder).join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap().parse().unwrap_or_else(|e| panic!("{}: {e}", shown(&path)))
}

/// The dependencies of a crate by table: `dependencies`, `dev-dependencies`, ...
fn dependencies(folder: &str, tables: &[&str]) -> BTreeSet<String> {
    let manifest = manifest(folder);
    tables.iter().filter_map(|t| manifest.get(*t)?.as_table()).flat_map(|t| t.keys().cloned()).collect()
}

#[test]
fn every_crate_is_in_the_picture() {
    let members = manifest(".");
    let members = members["workspace"]["members"].as_array().unwrap();
    let mut folders = BTreeSet::new();
    for member in members {
        let member = member.as_str().unwrap();
        match member.strip_suffix("/*") {
            None => {
                folders.insert(member.to_owned());
            }
            Some(parent) => {
                for entry in std::fs::read_dir(top().join(parent)).unwrap() {
                    let path = entry.unwrap().path();
                    if path.join("Cargo.toml").is_file() {
                        folders.insert(shown(&path));
                    }
                }
            }
        }
    }
    let drawn: BTreeSet<_> = EDGES.iter().map(|(folder, ..)| (*folder).to_owned()).collect();
    assert_eq!(folders, drawn);
    for (folder, name, _) in EDGES {
        assert_eq!(manifest(folder)["package"]["name"].as_str(), Some(name));
    }
}

#[test]
fn nobody_imports_whom_they_may_not() {
    let mut faults = Vec::new();
    for (folder, name, allowed) in EDGES {
        // A test may look at more than the code may, but a mechanism's never at another mechanism.
        for dependency in dependencies(folder, &["dependencies", "build-dependencies", "dev-dependencies"]) {
            if dependency.starts_with("doorward-") && !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{name} imports {dependency}"));
            }
        }
    }
    none(&faults, "edges that the picture does not have");
}

#[test]
fn what_is_for_tests_is_imported_by_tests() {
    let mut faults = Vec::new();
    for (folder, name, _) in EDGES.iter().filter(|(folder, ..)| !folder.starts_with("tests")) {
        for dependency in dependencies(folder, &["dependencies", "build-dependencies"]) {
            if TESTS_ONLY.contains(&dependency.as_str()) {
                faults.push(format!("{name} imports {dependency}"));
            }
        }
    }
    none(&faults, "crates for tests in code that is not");
}

#[test]
fn heavy_dependencies_have_one_importer() {
    let mut faults = Vec::new();
    for (folder, name, _) in EDGES {
        for dependency in dependencies(folder, &["dependencies", "build-dependencies"]) {
            let owner =
                OWNERS.iter().find(|(d, _)| *d == dependency || dependency.starts_with(&format!("{d}-")));
            if let Some((heavy, owners)) = owner
                && !owners.contains(&name)
            {
                faults.push(format!("{name} imports {dependency}; only {owners:?} may import {heavy}"));
            }
        }
    }
    none(&faults, "heavy dependencies outside of their crate");
}

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() {
    let mut faults = Vec::new();
    for (folder, name, _) in EDGES {
        let manifest = manifest(folder);
        let inherits = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            faults.push(format!("{name} does not inherit the lints"));
        }
        for table in ["dependencies", "dev-dependencies"] {
            for (dependency, how) in manifest.get(table).and_then(|t| t.as_table()).into_iter().flatten() {
                if how.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    faults.push(format!(
                        "{name}: the version of {dependency} does not come from the workspace"
                    ));
                }
            }
        }
        if manifest.contains_key("features") {
            faults.push(format!("{name} has Cargo features; variation is configuration"));
        }
    }
    none(&faults, "manifests");
}

#[test]
fn heavy_crates_are_there_once() {
    let lock: toml::Table = std::fs::read_to_string(top().join("Cargo.lock")).unwrap().parse().unwrap();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    for heavy in ONCE {
        let found =
            versions.get(heavy).unwrap_or_else(|| panic!("{heavy} is not in Cargo.lock: mend the list"));
        assert_eq!(found.len(), 1, "{heavy}: {found:?}");
    }
}
