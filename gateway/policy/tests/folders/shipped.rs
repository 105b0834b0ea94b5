//! The policies that come with Doorward are in order.

use std::path::PathBuf;

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

#[test]
fn they_load_and_every_case_holds() {
    let report = doorward_policy::check(&shipped(), None).map_err(|e| e.plain());
    let report = report.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.plain(), "");
    assert!(report.policies >= 25 && report.cases >= 60, "{} {}", report.policies, report.cases);
}
