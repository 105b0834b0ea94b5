//! Files that are their owner's alone: how a secret, a key or a token is read, whoever keeps it.
//!
//! What a file is to hold, its reader knows. Here is only whether nobody else could have read or written it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Why such a file is not read. It never quotes what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum OwnerOnlyError {
    /// The system does not give it.
    #[error("`{}` cannot be read: {cause}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("`{}` is not a file", .0.display())]
    NotAFile(PathBuf),
    /// Others than its owner can read or write it.
    #[error("`{}` can be read or written by others than its owner (mode {mode:03o})", .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is longer than what it is for.
    #[error("`{}` is larger than {bytes_max} bytes", .file.display())]
    Long {
        /// The file.
        file: PathBuf,
        /// What it may have.
        bytes_max: u64,
    },
}

impl OwnerOnlyError {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. }
            | Self::NotAFile(file)
            | Self::Open { file, .. }
            | Self::Long { file, .. } => file,
        }
    }

    /// How to mend it, where that is to keep others out; none where another file is needed.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Open { file, .. } => Some(format!("run `chmod 600 {}`", file.display())),
            Self::Unreadable { .. } | Self::NotAFile(_) | Self::Long { .. } => None,
        }
    }
}

/// Reads all of a file that only its owner can read, of at most `bytes_max` bytes.
///
/// # Errors
/// When it cannot be read, is no plain file, is open to others, or is longer.
pub fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, OwnerOnlyError> {
    let unreadable = |cause| OwnerOnlyError::Unreadable { file: file.to_owned(), cause };
    // Asked before opening: to open a pipe waits for its writer.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(OwnerOnlyError::NotAFile(file.to_owned()));
    }
    let opened = File::open(file).map_err(unreadable)?;
    // Asked of the open file, so that it cannot be another one by now.
    let mode = opened.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OwnerOnlyError::Open { file: file.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    opened.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(OwnerOnlyError::Long { file: file.to_owned(), bytes_max });
    }
    Ok(bytes)
}
