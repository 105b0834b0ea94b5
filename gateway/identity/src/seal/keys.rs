//! The files of the keys.
//!
//! A file holds 32 random bytes as base64 text, and is its owner's alone. To exchange a key, a new file is named
//! first and the old one after it, on every node; when nothing lives any more that the old one sealed, it goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_model::limits::SEAL_KEYS_MAX;

use super::{KeyId, RandomBytes, SEAL_KEY_BYTES, SealError, SealKey, Sealer};
use crate::owner_only::{self, OwnerOnlyError};

/// What a file may hold at most: the text, and line ends.
const FILE_BYTES_MAX: u64 = 128;

/// The keys of one node, as they stand in their files. Their `Debug` shows names only.
#[derive(Clone, Debug)]
pub struct SealKeys(Vec<SealKey>);

/// Why a file of a key cannot be used. Never quotes what it holds.
#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {
    /// The file cannot be read as one that is its owner's alone.
    #[error(transparent)]
    File(#[from] OwnerOnlyError),
    /// The file cannot be made.
    #[error("the key file `{}` cannot be made: {cause}", .file.display())]
    Unmade {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It does not hold a key.
    #[error("the key file `{}` does not hold 32 random bytes as base64 text", .0.display())]
    Garbled(PathBuf),
    /// Two files hold the same key.
    #[error("the key files `{}` and `{}` hold the same key", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// None, or too many, are named.
    #[error("{0} key files are named; there must be 1 to {SEAL_KEYS_MAX}")]
    Count(usize),
    /// There is no randomness to make one of.
    #[error("the system gave no random bytes for the key file `{}`", .0.display())]
    NoRandomness(PathBuf),
}

// === impl SealKeys ===

impl SealKeys {
    /// Reads the keys. The first is the one that seals.
    ///
    /// # Errors
    /// When a file cannot be read, is open to others, or holds no key; when two hold the same; and when there are
    /// none, or more than [`SEAL_KEYS_MAX`].
    pub fn read(files: &[PathBuf]) -> Result<Self, SealKeyError> {
        if files.is_empty() || files.len() > SEAL_KEYS_MAX {
            return Err(SealKeyError::Count(files.len()));
        }
        let mut keys: Vec<(SealKey, &PathBuf)> = Vec::new();
        for file in files {
            let key = read(file)?;
            if let Some((_, first)) = keys.iter().find(|(other, _)| other.id() == key.id()) {
                return Err(SealKeyError::Twice((*first).clone(), file.clone()));
            }
            keys.push((key, file));
        }
        Ok(Self(keys.into_iter().map(|(key, _)| key).collect()))
    }

    /// Reads the one key of this file, and makes it first where there is none. Two processes that do so at once
    /// end up with the same key.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the file cannot be made.
    pub fn made(file: &Path, random: &RandomBytes) -> Result<Self, SealKeyError> {
        match fs::symlink_metadata(file) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => make(file, random)?,
            Err(cause) => {
                return Err(OwnerOnlyError::Unreadable { file: file.to_owned(), cause }.into());
            }
        }
        Self::read(&[file.to_owned()])
    }

    /// The names of the keys, the one that seals first.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(SealKey::id).collect()
    }

    /// The names of the keys in one word, for logs: nodes that have the same word have the same keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.ids().iter().map(KeyId::to_string).collect::<Vec<_>>().join("+")
    }

    /// What seals and opens with them.
    ///
    /// # Errors
    /// As [`Sealer::new`].
    pub fn sealer(&self, random: RandomBytes) -> Result<Sealer, SealError> {
        Sealer::new(self.0.clone(), random)
    }
}

// === impl SealKeyError ===

impl SealKeyError {
    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::File(why) => why.help().unwrap_or_else(|| make_one(why.file())),
            Self::Unmade { file, .. } | Self::Garbled(file) => make_one(file),
            Self::Twice(..) => "name each key once; a new key is 32 other random bytes".to_owned(),
            Self::Count(_) => "name the key that seals, then those that were used before it".to_owned(),
            Self::NoRandomness(_) => "look why the system has no randomness, then start again".to_owned(),
        }
    }
}

fn make_one(file: &Path) -> String {
    format!("make one: `(umask 077; openssl rand -base64 32 > {})`", file.display())
}

fn read(file: &Path) -> Result<SealKey, SealKeyError> {
    let bytes = owner_only::read(file, FILE_BYTES_MAX)?;
    key_in(&bytes).ok_or_else(|| SealKeyError::Garbled(file.to_owned()))
}

/// The key in the text of a file. 32 equal bytes are a mistake, never a key.
fn key_in(text: &[u8]) -> Option<SealKey> {
    let bytes: [u8; SEAL_KEY_BYTES] = STANDARD.decode(text.trim_ascii_end()).ok()?.try_into().ok()?;
    let first = bytes.first()?;
    bytes.iter().any(|byte| byte != first).then_some(SealKey::new(bytes))
}

/// Makes the file whole and at once, or finds that somebody else was faster.
fn make(file: &Path, random: &RandomBytes) -> Result<(), SealKeyError> {
    let failed = |cause| SealKeyError::Unmade { file: file.to_owned(), cause };
    let (mut key, mut name) = ([0; SEAL_KEY_BYTES], [0; 8]);
    if !(random(&mut key) && random(&mut name)) {
        return Err(SealKeyError::NoRandomness(file.to_owned()));
    }
    let draft = file.with_extension(format!("{:016x}.new", u64::from_be_bytes(name)));
    let made = write(&draft, &key).and_then(|()| match fs::hard_link(&draft, file) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    made.and(removed).map_err(failed)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn write(file: &Path, key: &[u8]) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    opened.write_all(STANDARD.encode(key).as_bytes())?;
    opened.write_all(b"\n")?;
    opened.sync_all()
}

#[cfg(test)]
mod tests;
