//! Where a bundle or a key is written: at a place that is free, or in that of another bundle.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use doorward_model::limits::POLICY_BUNDLE_BYTES_MAX;
use doorward_workbench::release::{self, Trust};

use super::super::super::{Exit, Failure};
use super::super::read;
use super::failed;

/// Whether a bundle may take the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    No,
    Bundle,
}

/// Whether a bundle may be written there. Asked before the work begins, too: what is in the way of it is told at once.
///
/// # Errors
/// What stands there, and what to name instead. Nothing but a bundle is ever written over, and that only where it is
/// wanted: a file that is renamed to the name of a device or of a key takes its place without a word.
pub(super) fn free(file: &Path, replace: Replace) -> Result<(), Failure> {
    let there = match fs::symlink_metadata(file) {
        Ok(there) => there.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(unwritten(file, &e)),
    };
    let what = if there.is_symlink() {
        "a link"
    } else if there.is_dir() {
        "a folder"
    } else if !there.is_file() {
        "a pipe or a device"
    } else if !is_bundle(file) {
        "no bundle"
    } else if replace == Replace::No {
        let message = format!("`{}` is there already", file.display());
        let help = "name another file, or say `--replace`: this bundle then takes the place of that one";
        return Err(Failure::new(Exit::Mistaken, message, help));
    } else {
        return Ok(());
    };
    let message = format!("`{}` is {what}, and only a bundle is written over", file.display());
    let help = "name a file that is not there yet, or a bundle with `--replace`";
    Err(Failure::new(Exit::Mistaken, message, help))
}

fn is_bundle(file: &Path) -> bool {
    read(file, POLICY_BUNDLE_BYTES_MAX).is_ok_and(|bytes| release::open(&bytes, Trust::Anyone).is_ok())
}

/// Writes a bundle as a whole, or leaves what is there as it was.
pub(super) fn place(file: &Path, bytes: &[u8], mode: u32, replace: Replace) -> Result<(), Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let fresh = file.with_file_name(format!(".{name}.{}.new", uuid::Uuid::new_v4()));
    write(&fresh, bytes, mode)?;
    let placed = free(file, replace).and_then(|()| fs::rename(&fresh, file).map_err(|e| unwritten(file, &e)));
    if placed.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    placed
}

/// Writes a file that is not there.
pub(super) fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(file).and_then(|mut out| {
            out.write_all(bytes)?;
            out.sync_all()
        });
    written.map_err(|e| unwritten(file, &e))
}

fn unwritten(file: &Path, e: &io::Error) -> Failure {
    failed(format!("`{}` cannot be written: {e}", file.display()))
}
