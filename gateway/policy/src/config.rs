//! `[policy]`: where the policies are.

use std::path::{Path, PathBuf};

use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

/// `[policy]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PolicySection {
    /// The folder, relative to the configuration file.
    pub dir: Option<PathBuf>,
    /// Whether a changed file is loaded at once; true unless said otherwise.
    pub watch: Option<bool>,
}

/// Where the policies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySettings {
    /// The folder.
    pub dir: PathBuf,
    /// Whether a changed file is loaded at once. SIGHUP loads in any case.
    pub watch: bool,
}

impl PolicySettings {
    /// Checks the section. What the policies say is checked when they are loaded.
    pub fn check(
        section: Option<&PolicySection>,
        at: &KeyPath,
        base_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<Self> {
        let Some(dir) = section.and_then(|s| s.dir.as_deref()) else {
            complaints.push(Complaint::new(
                at.key("dir"),
                "the folder of the policies is missing",
                "write `dir = \"policies\"`; without policies nobody could be let in",
            ));
            return None;
        };
        let dir = base_dir.join(dir);
        if !dir.is_dir() {
            complaints.push(Complaint::new(
                at.key("dir"),
                format!("`{}` is not a folder that can be read", dir.display()),
                "name the folder that holds `schema.cedarschema`; the path is relative to this file",
            ));
            return None;
        }
        Some(Self { dir, watch: section.and_then(|s| s.watch).unwrap_or(true) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str, base: &Path) -> Result<PolicySettings, Vec<String>> {
        let section: PolicySection = toml::from_str(toml).unwrap();
        let mut complaints = Vec::new();
        let found =
            PolicySettings::check(Some(&section), &KeyPath::top().key("policy"), base, &mut complaints);
        found.ok_or_else(|| complaints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_folder_is_found_beside_the_file_and_watched() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("p")).unwrap();
        let found = check("dir = \"p\"", base.path()).unwrap();
        assert_eq!(found, PolicySettings { dir: base.path().join("p"), watch: true });
        assert!(!check("dir = \"p\"\nwatch = false", base.path()).unwrap().watch);
    }

    #[test]
    fn no_folder_no_gateway() {
        let base = tempfile::tempdir().unwrap();
        assert!(check("", base.path()).unwrap_err()[0].starts_with("policy.dir: the folder"));
        assert!(check("dir = \"nowhere\"", base.path()).unwrap_err()[0].contains("nowhere"));
        std::fs::write(base.path().join("file"), "").unwrap();
        assert!(check("dir = \"file\"", base.path()).unwrap_err()[0].contains("not a folder"));
        let mut complaints = Vec::new();
        assert!(PolicySettings::check(None, &KeyPath::top(), base.path(), &mut complaints).is_none());
        assert_eq!(complaints.len(), 1);
    }
}
