//! What senders and we share: tokens of push endpoints and keys of webhooks, each in a file of its
//! own that only its owner may read.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use doorward_identity::owner_only::{self, OwnerOnlyError};

/// The largest secret file, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// A shared secret. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// Why a file does not hold a secret. No variant repeats what the file holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error(transparent)]
    File(#[from] OwnerOnlyError),
    #[error("`{}` does not hold one line of visible characters", .0.display())]
    Garbled(PathBuf),
}

// === impl Secret ===

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that computes with them.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the same, found out in a time that tells nothing, its length neither.
    pub(super) fn is(&self, other: &[u8]) -> bool {
        let (a, b) = (digest(&SHA256, &self.0), digest(&SHA256, other));
        verify_slices_are_equal(a.as_ref(), b.as_ref()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

// === impl SecretError ===

impl SecretError {
    pub(crate) fn help(&self) -> String {
        match self {
            Self::File(why) => why.help().unwrap_or_else(|| {
                format!("name a file that the gateway's user can read, instead of `{}`", why.file().display())
            }),
            Self::Garbled(file) => format!("write the secret, and nothing else, into `{}`", file.display()),
        }
    }
}

/// Reads one line, of which the line's end is no part.
pub(crate) fn line(file: &Path) -> Result<String, SecretError> {
    let bytes = owner_only::read(file, FILE_BYTES_MAX)?;
    let garbled = || SecretError::Garbled(file.to_owned());
    let text = String::from_utf8(bytes).map_err(|_| garbled())?;
    let line = text.trim_end_matches(['\r', '\n']);
    let visible = line.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if line.is_empty() || !visible {
        return Err(garbled());
    }
    Ok(line.to_owned())
}
