//! Where policies are read from: a folder, or a bundle that is unpacked for as long as it is looked at.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use doorward_model::limits::POLICY_BUNDLE_BYTES_MAX;
use doorward_policy::{Known, LoadFailure, Workshop};
use doorward_workbench::release::{self, Trust};

use super::super::{Exit, Failure, printable};

const OWNER_ONLY_DIR: u32 = 0o700;

/// A folder of policies. Where a bundle is named it is one of its own, which goes with this.
pub(super) struct Folder {
    at: PathBuf,
    /// As somebody called it.
    named: PathBuf,
    bundle: Option<Unpacked>,
}

/// A bundle on the disk for the time of a look.
struct Unpacked {
    passing: PathBuf,
    sequence: u64,
}

impl Folder {
    /// A folder, and nothing else.
    pub(super) fn plain(dir: PathBuf) -> Self {
        Self { at: dir.clone(), named: dir, bundle: None }
    }

    /// What somebody names: a folder, or a bundle, of which is told that nobody asked who signed it.
    ///
    /// # Errors
    /// It is a file and no bundle, or cannot be unpacked.
    pub(super) fn open(named: &Path) -> Result<Self, Failure> {
        let folder = Self::unpacked(named)?;
        if folder.bundle.is_some() {
            let note = format!(
                "note: `{}` is a bundle, and who signed it is not asked here: `doorward policy bundle verify`",
                named.display()
            );
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "{}", printable(&note));
        }
        Ok(folder)
    }

    /// The same without a word.
    ///
    /// # Errors
    /// It is a file and no bundle, or cannot be unpacked.
    pub(super) fn unpacked(named: &Path) -> Result<Self, Failure> {
        if !named.is_file() {
            return Ok(Self::plain(named.to_owned()));
        }
        let bytes = read(named, POLICY_BUNDLE_BYTES_MAX)?;
        let bundle = release::open(&bytes, Trust::Anyone).map_err(|e| {
            let message = format!("`{}` is neither a folder of policies nor a bundle: {e}", named.display());
            Failure::new(
                Exit::Mistaken,
                message,
                "name the folder, or make one with `doorward policy bundle build`",
            )
        })?;
        let failed = |message: String| Failure { exit: Exit::Failed, message, help: None };
        let passing = std::env::temp_dir().join(format!("doorward-{}", uuid::Uuid::new_v4()));
        let made = fs::DirBuilder::new().mode(OWNER_ONLY_DIR).create(&passing);
        made.map_err(|e| failed(format!("`{}` cannot be made: {e}", passing.display())))?;
        // From here on it is removed, whatever happens.
        let unpacked = Unpacked { passing, sequence: bundle.manifest().sequence };
        let into = release::unpack(&bundle, &bytes, &unpacked.passing, "bundle");
        let at = release::policies_in(&into.map_err(|e| failed(e.to_string()))?);
        Ok(Self { at, named: named.to_owned(), bundle: Some(unpacked) })
    }

    /// As somebody called it.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// The number of the bundle, where it is one.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.bundle.as_ref().map(|unpacked| unpacked.sequence)
    }

    /// The folder, to write into.
    ///
    /// # Errors
    /// It is a bundle: what is written into that is lost.
    pub(super) fn to_write(&self) -> Result<&Path, Failure> {
        self.unless_bundle("nothing is written into one")
    }

    /// The folder, to look for its matrix.
    ///
    /// # Errors
    /// It is a bundle: a matrix goes into none.
    pub(super) fn with_matrix(&self) -> Result<&Path, Failure> {
        self.unless_bundle("a matrix is not in one")
    }

    fn unless_bundle(&self, why: &str) -> Result<&Path, Failure> {
        match &self.bundle {
            None => Ok(&self.at),
            Some(_) => {
                let message = format!("`{}` is a bundle, and {why}", self.named.display());
                Err(Failure::new(Exit::Mistaken, message, "name the folder that it was made of"))
            }
        }
    }

    /// [`Workshop::open`], with the name that somebody gave it.
    pub(super) fn load(&self, known: Option<&Known>) -> Result<Workshop, LoadFailure> {
        Workshop::open(self, known).map_err(|failure| self.told(failure))
    }

    /// [`Workshop::untried`], with the name that somebody gave it.
    pub(super) fn untried(&self, known: Option<&Known>) -> Result<Workshop, LoadFailure> {
        Workshop::untried(self, known).map_err(|failure| self.told(failure))
    }

    fn told(&self, failure: LoadFailure) -> LoadFailure {
        LoadFailure { dir: self.named.clone(), ..failure }
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.at
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.passing);
    }
}

/// A file as a whole, bounded.
pub(super) fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |e: io::Error| Failure {
        exit: Exit::Mistaken,
        message: format!("`{}` cannot be read: {e}", file.display()),
        help: None,
    };
    // Asked before opening: to open a pipe waits for its writer.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|f| f.take(bytes_max + 1).read_to_end(&mut bytes));
    read.map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(unreadable(io::Error::other(format!("it is larger than {bytes_max} bytes"))));
    }
    Ok(bytes)
}
