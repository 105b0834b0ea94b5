//! The files of a folder, as one thing that can be carried elsewhere.

use std::path::Path;
use std::sync::Arc;

use crate::failure::{LoadFailure, SourceFile};
use crate::revision::Revision;
use crate::source;

/// Everything in a folder that its revision is made of: what another machine needs to have the same policies.
#[derive(Debug)]
pub struct PolicyFiles {
    files: Vec<Arc<SourceFile>>,
    revision: Revision,
}

impl PolicyFiles {
    /// Reads a folder once. What the files say is not looked at.
    ///
    /// # Errors
    /// When something of it cannot be read.
    pub fn read(dir: &Path) -> Result<Self, LoadFailure> {
        let mut findings = Vec::new();
        let folder = source::read(dir, &mut findings);
        if !findings.is_empty() {
            return Err(LoadFailure::new(dir, findings));
        }
        Ok(Self { files: folder.all, revision: folder.revision })
    }

    /// Path within the folder, and text; in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|file| (file.path.as_str(), file.text.as_str()))
    }

    /// The revision.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_the_revision_is_made_of() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
        let files = PolicyFiles::read(&shipped).unwrap();
        let again = Revision::of(files.iter().map(|(path, text)| (path, text.as_bytes())));
        assert_eq!(again, files.revision());
        assert!(files.iter().any(|(path, _)| path == source::SCHEMA));
    }
}
