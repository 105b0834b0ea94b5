//! What holds for every source file.

use std::collections::BTreeSet;

use crate::{files, none, shown, top};

/// Files that are longer than a page can be, each with its reason. The list only shrinks.
const LONG: [(&str, &str); 0] = [];
const LINES_MAX: usize = 700;

fn ours() -> Vec<std::path::PathBuf> {
    ["gateway", "geoip", "tests"].iter().flat_map(|folder| files(&top().join(folder), "rs")).collect()
}

#[test]
fn every_crate_opens_with_a_page() {
    let mut faults = Vec::new();
    for path in ours().iter().filter(|p| p.ends_with("src/lib.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        let page = text.lines().take_while(|l| l.starts_with("//!")).count();
        if page < 8 {
            faults.push(format!("{}: {page} lines of introduction", shown(path)));
        }
        if path.starts_with(top().join("gateway")) && !text.contains("```text") {
            faults.push(format!("{}: no picture", shown(path)));
        }
    }
    none(&faults, "crates that do not introduce themselves");
}

#[test]
fn files_are_of_one_noun() {
    let mut faults = Vec::new();
    for path in ours() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        let name = shown(&path);
        let reason = LONG.iter().find(|(long, _)| *long == name);
        match (lines > LINES_MAX, reason) {
            (true, None) => faults.push(format!("{name}: {lines} lines")),
            (false, Some(_)) => faults.push(format!("{name} is short now: take it off the list")),
            (true, Some(_)) | (false, None) => {}
        }
    }
    none(&faults, "files that are too long");
}

#[test]
fn nothing_is_left_open() {
    // Put together here, so that this file does not find itself.
    let open = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["FIX", "ME"].concat(),
        ["X", "XX:"].concat(),
    ];
    let mut faults = Vec::new();
    for path in ours() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (i, line) in text.lines().enumerate() {
            if open.iter().any(|word| line.contains(word.as_str())) {
                faults.push(format!("{}:{}: {}", shown(&path), i + 1, line.trim()));
            }
            if line.trim_start().starts_with(&["#[", "ignore"].concat()) && !line.contains("ignore = \"") {
                faults.push(format!("{}:{}: ignored without a reason", shown(&path), i + 1));
            }
        }
    }
    none(&faults, "left open");
}

#[test]
fn types_are_named_by_nouns_of_the_domain() {
    let empty = ["Manager", "Helper", "Util", "Utils", "Data", "Info"];
    let mut faults = Vec::new();
    for path in ours() {
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
            let name = ["struct ", "enum ", "trait "].iter().find_map(|k| line.strip_prefix(k));
            let name: String =
                name.unwrap_or_default().chars().take_while(char::is_ascii_alphanumeric).collect();
            if empty.iter().any(|e| name.ends_with(e)) {
                faults.push(format!("{}: {name}", shown(&path)));
            }
        }
    }
    none(&faults, "names that say nothing");
}

#[test]
fn every_bound_is_used() {
    let limits = std::fs::read_to_string(top().join("gateway/model/src/limits.rs")).unwrap();
    let names: BTreeSet<&str> =
        limits.lines().filter_map(|l| l.strip_prefix("pub const ")?.split(':').next()).collect();
    assert!(names.len() > 20, "the bounds were not found");
    let code: String = ours()
        .iter()
        .filter(|p| !p.ends_with("model/src/limits.rs"))
        .map(|p| std::fs::read_to_string(p).unwrap())
        .collect();
    let unused: Vec<String> = names.iter().filter(|n| !code.contains(**n)).map(|n| (*n).to_owned()).collect();
    none(&unused, "bounds that bind nothing");
}
