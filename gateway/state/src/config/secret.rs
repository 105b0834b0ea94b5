//! A secret in a file of its own, which only its owner may read.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BYTES_MAX: u64 = 64 * 1024;

/// A password or a private key. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a file does not hold what it should. No variant repeats what the file holds.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("`{}` cannot be read: {cause}", .file.display())]
    Unreadable { file: PathBuf, cause: std::io::Error },
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("`{}` can be read or written by others than its owner (mode {mode:03o})", .file.display())]
    Open { file: PathBuf, mode: u32 },
    #[error("`{}` is empty", .0.display())]
    Empty(PathBuf),
    #[error("`{}` has more than {BYTES_MAX} bytes", .0.display())]
    Long(PathBuf),
    #[error("`{}` does not hold one line of text", .0.display())]
    Garbled(PathBuf),
}

impl FileError {
    pub(super) fn help(&self) -> String {
        match self {
            Self::Unreadable { file, .. } | Self::NotAFile(file) => {
                format!("name a file that the gateway's user can read, instead of `{}`", file.display())
            }
            Self::Open { file, .. } => format!("run `chmod 600 {}`", file.display()),
            Self::Empty(file) | Self::Long(file) | Self::Garbled(file) => {
                format!("write the password, and nothing else, into `{}`", file.display())
            }
        }
    }
}

/// Reads a password: one line, of which the line's end is no part.
pub(super) fn password(file: &Path) -> Result<Secret, FileError> {
    let bytes = read(file, true)?;
    let text = String::from_utf8(bytes).map_err(|_| FileError::Garbled(file.to_owned()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(FileError::Empty(file.to_owned()));
    }
    if line.chars().any(char::is_control) {
        return Err(FileError::Garbled(file.to_owned()));
    }
    Ok(Secret(line.into()))
}

/// Reads a private key: text, of which nothing is left out.
pub(super) fn key(file: &Path) -> Result<Secret, FileError> {
    let text = String::from_utf8(read(file, true)?).map_err(|_| FileError::Garbled(file.to_owned()))?;
    Ok(Secret(text.into()))
}

/// Reads what anybody may know, such as a certificate.
pub(super) fn open_text(file: &Path) -> Result<Vec<u8>, FileError> {
    read(file, false)
}

fn read(file: &Path, of_the_owner: bool) -> Result<Vec<u8>, FileError> {
    let unreadable = |cause| FileError::Unreadable { file: file.to_owned(), cause };
    // Asked before opening: to open a pipe waits for its writer.
    if !std::fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(FileError::NotAFile(file.to_owned()));
    }
    let opened = File::open(file).map_err(unreadable)?;
    // Asked of the open file, so that it cannot be another one by now.
    let mode = opened.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if of_the_owner && mode & 0o077 != 0 {
        return Err(FileError::Open { file: file.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    opened.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.is_empty() {
        return Err(FileError::Empty(file.to_owned()));
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(FileError::Long(file.to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_that_only_its_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("redis.password");
        for (content, mode, want) in [
            ("hunter2", 0o600, Ok("hunter2")),
            ("two words ü\n", 0o400, Ok("two words ü")),
            ("windows\r\n", 0o600, Ok("windows")),
            ("hunter2", 0o640, Err("mode 640")),
            ("hunter2", 0o604, Err("mode 604")),
            ("", 0o600, Err("is empty")),
            ("\n", 0o600, Err("is empty")),
            ("hunter2\nhunter3\n", 0o600, Err("one line")),
            ("hunter2\0", 0o600, Err("one line")),
        ] {
            std::fs::write(&file, content).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            match (password(&file), want) {
                (Ok(secret), Ok(want)) => {
                    assert_eq!(secret.expose(), want);
                    assert_eq!(format!("{secret:?}"), "Secret(…)");
                }
                (Err(e), Err(want)) => {
                    let told = format!("{e} {e:?} {}", e.help());
                    assert!(told.contains(want) && !told.contains("hunter"), "{told}");
                }
                (got, want) => panic!("{content:?} {mode:o}: {got:?}, want {want:?}"),
            }
            std::fs::remove_file(&file).unwrap();
        }
        std::fs::write(&file, "x".repeat(65_537)).unwrap();
        assert!(matches!(open_text(&file), Err(FileError::Long(_))));
        assert!(matches!(password(dir.path()), Err(FileError::NotAFile(_))));
        assert!(matches!(password(&dir.path().join("none")), Err(FileError::Unreadable { .. })));
    }
}
