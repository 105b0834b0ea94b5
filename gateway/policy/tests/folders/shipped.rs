//! The policies that come with Doorward are in order, and so is what is written about them.

use std::path::Path;

use doorward_policy::check;

use crate::support::{Ask, Folder, known, shipped};

#[test]
fn they_load_and_every_case_holds() {
    let report = check(&shipped(), None).map_err(|e| e.plain());
    let report = report.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.plain(), "");
    assert!(report.policies >= 25 && report.cases >= 60, "{} {}", report.policies, report.cases);
}

/// Every country of the schema once, in upper case; the list is the one of ISO 3166-1.
#[test]
fn every_country_is_there() {
    let schema = std::fs::read_to_string(shipped().join("schema.cedarschema")).unwrap();
    let list = schema.split("entity Country enum [").nth(1).unwrap().split(']').next().unwrap();
    let codes: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let different: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!((codes.len(), different.len()), (249 + 2, 249 + 2));
    assert!(codes.iter().all(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_uppercase())));
}

/// Without any one of its policies, some case of the folder does not hold: no rule is untested.
#[test]
fn every_policy_is_held_by_a_case() {
    let mut ids = Vec::new();
    for (path, text) in files(&shipped()) {
        let rules: Vec<&str> = text.split("@id(").collect();
        for gone in 1..rules.len() {
            let id = rules[gone].split('"').nth(1).unwrap();
            // All but this one. A comment before it stays and does no harm.
            let rest = [&rules[..gone], &rules[gone + 1..]].concat().join("@id(");
            let folder = copy(&shipped());
            folder.write(&path, rest);
            assert!(folder.open().is_err(), "no case tests `{id}`");
            ids.push(id.to_owned());
        }
    }
    assert_eq!(ids.len(), check(&shipped(), None).unwrap().policies);
}

/// The policies name apps; a configuration without them is told.
#[test]
fn a_configuration_without_the_apps_is_told() {
    let known = known([&Ask::new().route]);
    let wrong = check(&shipped(), Some(&known)).unwrap_err().plain();
    for name in ["app `payroll`", "group of apps `engineering`", "route `wiki/admin`", "route `wiki/welcome`"]
    {
        assert!(wrong.contains(&format!("the configuration has no {name}")), "{name} in {wrong}");
    }
    assert!(!wrong.contains("no app `wiki`"), "{wrong}");
}

#[test]
fn what_the_pages_show_is_right() {
    let guide = shipped().join("../docs/guide/writing-policies.md");
    let folder = copy(&shipped());
    let page = std::fs::read_to_string(guide).unwrap();
    folder.write("apps/shown.cedar", blocks(&page, "cedar"));
    folder.write("cases/shown.toml", blocks(&page, "toml"));
    // The page says that this case changes with the wish.
    let cases = std::fs::read_to_string(folder.path().join("cases/wiki.toml")).unwrap();
    let rest: Vec<&str> =
        cases.split("[[case]]").filter(|c| !c.contains("a contractor does not read the wiki")).collect();
    folder.write("cases/wiki.toml", rest.join("[[case]]"));
    folder.open().unwrap_or_else(|e| panic!("{}", e.plain()));

    let readme = std::fs::read_to_string(shipped().join("README.md")).unwrap();
    let shown = Folder::with(&blocks(&readme, "cedar"));
    shown.open().unwrap_or_else(|e| panic!("{}", e.plain()));
    let folder = copy(&shipped());
    folder.write("cases/shown.toml", blocks(&readme, "toml"));
    folder.open().unwrap_or_else(|e| panic!("{}", e.plain()));
}

/// The blocks of a page in this language, one after the other.
fn blocks(page: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let found: Vec<&str> =
        page.split(fence.as_str()).skip(1).map(|b| b.split("```").next().unwrap()).collect();
    assert!(!found.is_empty());
    found.join("\n")
}

/// Every policy file by its path within the folder.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["guardrails", "apps", "cases"] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let at = entry.unwrap().path();
            let name = at.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".cedar") {
                found.push((format!("{folder}/{name}"), std::fs::read_to_string(&at).unwrap()));
            }
        }
    }
    found
}

fn copy(dir: &Path) -> Folder {
    let folder = Folder::new();
    for sub in ["guardrails", "apps", "cases"] {
        for entry in std::fs::read_dir(dir.join(sub)).unwrap() {
            let at = entry.unwrap().path();
            let name = at.file_name().unwrap().to_str().unwrap().to_owned();
            folder.write(&format!("{sub}/{name}"), std::fs::read(&at).unwrap());
        }
    }
    folder
}
