//! What must not be seen: passwords, codes and tokens of others, as text.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::owner_only::{self, OwnerOnlyError};

/// The largest file with a secret, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const NOTHING_ELSE: &str = "put what the provider gave you into it, and nothing else";

/// A text that only whoever needs it sees. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error(transparent)]
    File(#[from] OwnerOnlyError),
    #[error("`{}` is empty", .0.display())]
    Empty(PathBuf),
    #[error("`{}` is not one line of text", .0.display())]
    Garbled(PathBuf),
}

// === impl Secret ===

impl Secret {
    /// Takes a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

// === impl SecretFileError ===

impl SecretFileError {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::File(OwnerOnlyError::Unreadable { .. } | OwnerOnlyError::NotAFile(_)) => {
                "write the path of a file that the gateway can read; a path is from the configuration file on"
                    .to_owned()
            }
            Self::File(why @ (OwnerOnlyError::Open { .. } | OwnerOnlyError::Long { .. })) => {
                why.help().unwrap_or_else(|| NOTHING_ELSE.to_owned())
            }
            Self::Empty(_) | Self::Garbled(_) => NOTHING_ELSE.to_owned(),
        }
    }
}

/// Reads one line, of which the line's end is no part.
pub(crate) fn read_line(file: &Path) -> Result<Secret, SecretFileError> {
    let text = read_text(file)?;
    let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(SecretFileError::Empty(file.to_owned()));
    }
    if line.chars().any(char::is_control) {
        return Err(SecretFileError::Garbled(file.to_owned()));
    }
    Ok(Secret::new(line))
}

/// Reads all of a file that only its owner can read.
pub(crate) fn read_text(file: &Path) -> Result<Secret, SecretFileError> {
    let bytes = owner_only::read(file, FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| SecretFileError::Garbled(file.to_owned()))?;
    if text.is_empty() {
        return Err(SecretFileError::Empty(file.to_owned()));
    }
    Ok(Secret::new(text))
}
