//! From a bundle to a folder on the disk, whole or not at all.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Bundle;

const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_DIR: u32 = 0o700;
/// How a folder is called while it is written. What is so called when nobody writes is left of somebody who
/// was killed.
const UNFINISHED: &str = ".unfinished-";
/// Where the policies are in the folder.
const FILES: &str = "policies";
/// What they were unpacked from.
const BUNDLE: &str = "bundle.dwp";

/// Why a bundle is not on the disk. Nothing is left of it there.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be written: {cause}", .at.display())]
pub struct UnpackError {
    /// What was being written.
    pub at: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

/// Where the policies of the bundle in `held` are.
#[must_use]
pub fn policies_in(held: &Path) -> PathBuf {
    held.join(FILES)
}

/// Where the bundle itself is kept in `held`.
#[must_use]
pub fn bundle_in(held: &Path) -> PathBuf {
    held.join(BUNDLE)
}

/// Writes the files of a bundle, and the bundle itself, into the folder `name` of `parent`, which must exist. It
/// is there when everything is on the disk, and not before: a process that is killed, or a full disk, leaves
/// nothing that [`sweep`] does not remove. One that is there already is replaced.
///
/// # Errors
/// What could not be written.
pub fn unpack(bundle: &Bundle, packed: &[u8], parent: &Path, name: &str) -> Result<PathBuf, UnpackError> {
    let (unfinished, finished) = (parent.join(format!("{UNFINISHED}{name}")), parent.join(name));
    if is_there(bundle, &finished) {
        // The same files, signed by others perhaps. They are in use, so they stay where they are.
        let written = remove(&unfinished)
            .and_then(|()| folder(&unfinished))
            .and_then(|()| file(&bundle_in(&unfinished), packed))
            .and_then(|()| put(&bundle_in(&unfinished), &bundle_in(&finished)));
        let _ = fs::remove_dir_all(&unfinished);
        return written.and_then(|()| settle(&finished)).map(|()| finished);
    }
    let written = remove(&unfinished).and_then(|()| write(bundle, packed, &unfinished)).and_then(|()| {
        remove(&finished)?;
        put(&unfinished, &finished)?;
        settle(parent)
    });
    if written.is_err() {
        // Whatever is left of it is nothing that anybody reads.
        let _ = fs::remove_dir_all(&unfinished);
    }
    written.map(|()| finished)
}

/// Removes what somebody left who was killed while unpacking. How many there were.
///
/// # Errors
/// When the folder cannot be read, or something of it not removed.
pub fn sweep(parent: &Path) -> Result<usize, UnpackError> {
    let mut swept = 0;
    for entry in fs::read_dir(parent).map_err(|cause| failed(parent, cause))? {
        let entry = entry.map_err(|cause| failed(parent, cause))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            remove(&entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn write(bundle: &Bundle, packed: &[u8], into: &Path) -> Result<(), UnpackError> {
    let files = policies_in(into);
    let mut folders = BTreeSet::from([files.clone(), into.to_owned()]);
    folder(&files)?;
    for (path, bytes) in bundle.files() {
        // The path was looked at when the bundle was opened: it has no way out of the folder.
        let at = files.join(path);
        if let Some(parent) = at.parent() {
            folder(parent)?;
            folders.extend(parent.ancestors().take_while(|a| a.starts_with(&files)).map(Path::to_owned));
        }
        file(&at, bytes)?;
    }
    file(&bundle_in(into), packed)?;
    folders.iter().try_for_each(|folder| settle(folder))
}

/// Whether the folder has the files of the bundle, each as it should be.
fn is_there(bundle: &Bundle, held: &Path) -> bool {
    let files = policies_in(held);
    files.is_dir() && bundle.files().all(|(path, bytes)| fs::read(files.join(path)).is_ok_and(|b| b == bytes))
}

fn put(from: &Path, to: &Path) -> Result<(), UnpackError> {
    fs::rename(from, to).map_err(|cause| failed(to, cause))
}

fn folder(at: &Path) -> Result<(), UnpackError> {
    let made = DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIR).create(at);
    made.map_err(|cause| failed(at, cause))
}

fn file(at: &Path, bytes: &[u8]) -> Result<(), UnpackError> {
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(at)?;
        out.write_all(bytes)?;
        out.sync_all()
    })();
    written.map_err(|cause| failed(at, cause))
}

/// What stands in the folder stands there after a power cut too.
fn settle(folder: &Path) -> Result<(), UnpackError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|cause| failed(folder, cause))
}

fn remove(folder: &Path) -> Result<(), UnpackError> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(failed(folder, cause)),
    }
}

fn failed(at: &Path, cause: io::Error) -> UnpackError {
    UnpackError { at: at.to_owned(), cause }
}
