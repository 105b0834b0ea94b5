//! Where the binary is.

use std::path::{Path, PathBuf};

/// It is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingBinary {
    looked_at: Vec<PathBuf>,
}

/// Finds it: `DOORWARD_BIN`, then beside the test that runs (the same profile), then of the
/// other profile.
///
/// # Errors
/// When it is nowhere.
pub fn find() -> Result<PathBuf, MissingBinary> {
    let test = std::env::current_exe().unwrap_or_default();
    find_from(std::env::var_os("DOORWARD_BIN").map(PathBuf::from), &test)
}

fn find_from(named: Option<PathBuf>, test: &Path) -> Result<PathBuf, MissingBinary> {
    let looked_at = named.map_or_else(|| beside(test), |named| vec![named]);
    match looked_at.iter().find(|p| p.is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(MissingBinary { looked_at }),
    }
}

/// `target/debug/deps/x-0123` to `target/debug/doorward` and `target/release/doorward`.
fn beside(test: &Path) -> Vec<PathBuf> {
    let profile = test.ancestors().find(|a| a.join("deps").is_dir()).unwrap_or(Path::new(""));
    let other = if profile.ends_with("release") { "debug" } else { "release" };
    vec![profile.join("doorward"), profile.with_file_name(other).join("doorward")]
}

impl std::fmt::Display for MissingBinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let looked_at: Vec<_> = self.looked_at.iter().map(|p| format!("`{}`", p.display())).collect();
        write!(
            f,
            "there is no `doorward` to test at {}: build it with `cargo build -p doorward-server`, or name one \
             in DOORWARD_BIN",
            looked_at.join(" or ")
        )
    }
}

impl std::error::Error for MissingBinary {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_profile_comes_first_and_a_name_before_all() {
        let target = tempfile::tempdir().unwrap();
        let at = |name: &str| target.path().join(name);
        for folder in ["debug/deps", "release"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let test = at("debug/deps/e2e-0123");
        let missing = find_from(None, &test).unwrap_err().to_string();
        assert!(missing.contains("debug/doorward") && missing.contains("release/doorward"), "{missing}");
        assert!(missing.contains("cargo build -p doorward-server"), "{missing}");
        std::fs::write(at("release/doorward"), "").unwrap();
        assert_eq!(find_from(None, &test), Ok(at("release/doorward")));
        std::fs::write(at("debug/doorward"), "").unwrap();
        assert_eq!(find_from(None, &test), Ok(at("debug/doorward")));
        std::fs::write(at("mine"), "").unwrap();
        assert_eq!(find_from(Some(at("mine")), &test), Ok(at("mine")));
        assert!(find_from(Some(at("typo")), &test).is_err(), "a wrong name is not passed over");
    }
}
