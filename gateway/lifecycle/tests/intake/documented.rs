//! `docs/reference/scim.md` names a test for every vector, and every test that it names is there.

use std::path::Path;

#[test]
fn every_vector_has_its_test() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(top.join("docs/reference/scim.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let vectors = (1..=14).map(|n| format!("O{n}")).chain((1..=20).map(|n| format!("E{n}")));
    let (mut faults, mut seen) = (Vec::new(), 0);
    for vector in vectors.chain((1..=11).map(|n| format!("P{n}"))) {
        let Some(row) = rows.iter().find(|row| row[0] == vector) else {
            faults.push(format!("{vector} is not on the page"));
            continue;
        };
        let tests: Vec<_> = row[2].split('`').filter_map(|span| span.split_once(".rs::")).collect();
        if tests.is_empty() {
            faults.push(format!("{vector} names no test"));
        }
        for (file, name) in tests {
            seen += 1;
            let source = std::fs::read_to_string(top.join(format!("{file}.rs"))).unwrap_or_default();
            if !source.contains(&format!("fn {name}(")) {
                faults.push(format!("{vector}: {file}.rs::{name}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(seen > 60, "the tests were not found: {seen}");
}
