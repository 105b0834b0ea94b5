//! `docs/life-of-a-revocation.md` names the tests that hold its rules. They must exist.

use std::path::Path;

#[test]
fn every_test_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/life-of-a-revocation.md")).unwrap();
    let mut named = 0;
    // Written as `gateway/state/tests/state/rules.rs::name_of_the_test`.
    for span in page.split('`').filter(|span| span.contains(".rs::")) {
        let (file, test) = span.split_once("::").unwrap();
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test `{test}`");
        named += 1;
    }
    assert!(named >= 20, "only {named} tests are named");
    for rule in 1..=9 {
        assert!(page.contains(&format!("**R{rule}")), "rule R{rule} is missing");
    }
}
