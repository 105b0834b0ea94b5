//! One file on the shelf: read, or known not to be there; written as a whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use doorward_model::limits::POLICY_MANIFEST_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

const OWNER_ONLY: u32 = 0o600;

/// The bytes of a file, unless they are more.
pub(super) fn bounded(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(damaged("it is too large"));
    }
    Ok(bytes)
}

/// What a file holds is not what was written there.
pub(super) fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What a file holds; none where there is no such file, and nowhere else.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("`{}`: {e}", file.display()));
    let bytes = match bounded(file, POLICY_MANIFEST_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(named(e)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| named(damaged(&e.to_string())))
}

/// The same where nothing rests on whether it is not there, or cannot be read.
pub(super) fn known<T: DeserializeOwned>(file: &Path) -> Option<T> {
    read(file).unwrap_or_else(|error| {
        tracing::error!(%error, "what was noted of the policies cannot be read");
        None
    })
}

/// Writes a file, or removes it.
pub(super) fn put<T: Serialize>(file: &Path, value: Option<&T>) -> io::Result<()> {
    match value {
        Some(value) => write(file, value),
        None => match fs::remove_file(file) {
            Ok(()) => settle(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        },
    }
}

/// Writes a file as a whole, durably, or leaves it as it was.
pub(super) fn write<T: Serialize>(file: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    let fresh = file.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&fresh)?;
        out.write_all(&bytes)?;
        out.sync_all()?;
        fs::rename(&fresh, file)?;
        settle(file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn settle(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}
