//! Findings about policies, told to people and to programs.
//!
//! | form | for |
//! |---|---|
//! | [`human`] | a person: each finding with its source and a mark, or a line each in a pipe |
//! | [`json`] | our own tools and scripts |
//! | [`sarif`] | code scanning: SARIF 2.1.0 (Static Analysis Results Interchange Format, OASIS) |
//! | [`github`] | the log of a GitHub workflow, which shows them beside the change |

mod github;
mod human;
mod json;
mod sarif;

use std::path::{Component, Path, PathBuf};

use doorward_policy::Finding;

use crate::check::Checked;

pub use self::github::github;
pub use self::human::{Look, finding, human};
pub use self::json::{found, json, json_text};
pub use self::sarif::sarif;
pub use doorward_policy::printable;

/// A check, and how it is to be told.
#[derive(Debug)]
pub struct Report {
    /// What was found.
    pub checked: Checked,
    /// Whether a hint is as bad as a mistake.
    pub deny_hints: bool,
    /// Whether the names of a configuration were checked; none where there are none, as in somebody else's set.
    pub names_checked: Option<bool>,
    /// The folder that paths are told from, such as the top of a repository.
    pub top: Option<PathBuf>,
}

impl Report {
    /// Whether there is nothing that must be mended.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.checked.mistakes.is_empty() && (!self.deny_hints || self.checked.hints.is_empty())
    }

    /// Mistakes, then hints.
    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.checked.mistakes.iter().chain(&self.checked.hints)
    }

    /// The file of a finding as seen from [`Report::top`]; what was checked itself for a finding without one.
    fn path_of(&self, finding: &Finding) -> PathBuf {
        let subject = &self.checked.subject;
        let path = match finding.file() {
            // A set that is one file names itself.
            Some(file) if Path::new(file) == subject => subject.clone(),
            Some(file) if self.names_checked.is_none() => PathBuf::from(file),
            Some(file) => subject.join(file),
            None => subject.clone(),
        };
        let path = self.top.as_ref().and_then(|top| path.strip_prefix(top).ok()).unwrap_or(&path);
        // `./policies` and `policies` are one place.
        let path: PathBuf = path.components().filter(|c| !matches!(c, Component::CurDir)).collect();
        if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
    }
}
