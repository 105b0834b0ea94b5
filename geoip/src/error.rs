//! What can be wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be used, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(
        "cannot read the GeoIP database `{path}`: {cause}; check that the file exists and that this user may read it"
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("the GeoIP database `{path}` is not a regular file; name the `.mmdb` file itself")]
    NotAFile {
        /// Which file.
        path: PathBuf,
    },
    /// It is larger than any database that makes sense here.
    #[error(
        "the GeoIP database `{path}` is larger than {bytes_max} bytes; use a country, ASN or anonymizer edition"
    )]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// It is not in the MaxMind DB format, or it is damaged.
    #[error(
        "the GeoIP database `{path}` is damaged or not in the MaxMind DB format: {reason}; download it again"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It is well-formed, but says nothing that this crate reads.
    #[error(
        "the GeoIP database `{path}` (type `{database_type}`) has no country, continent, ASN or anonymizer; \
         use an edition that has one of them"
    )]
    NothingUseful {
        /// Which file.
        path: PathBuf,
        /// What it calls itself.
        database_type: String,
    },
}

impl FileError {
    /// Which file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. }
            | Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::Damaged { path, .. }
            | Self::NothingUseful { path, .. } => path,
        }
    }
}
