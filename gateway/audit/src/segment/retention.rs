//! Which files go when the log may not become larger. Whole files, the oldest first, and none
//! that a process writes.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::{SegmentName, sync_dir};

/// The oldest files that must go, each with its size, so that no more than `bytes_max` is left
/// beside `written`, which is the file of this process.
pub(crate) fn surplus(dir: &Path, written: Option<&Path>, bytes_max: u64) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let regular = entry.file_type()?.is_file();
        let name = entry.file_name().to_str().and_then(SegmentName::parse).filter(|_| regular);
        if let Some(name) = name.filter(|_| Some(&*entry.path()) != written) {
            files.push((name, entry.metadata()?.len()));
        }
    }
    files.sort();
    let mut total = files.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let mut surplus = Vec::new();
    for (name, bytes) in files {
        if total <= bytes_max {
            break;
        }
        let name = name.to_string();
        if is_written(&dir.join(&name))? {
            continue;
        }
        total = total.saturating_sub(bytes);
        surplus.push((name, bytes));
    }
    Ok(surplus)
}

/// Removes files, and makes that durable.
pub(crate) fn remove_all<'a>(dir: &Path, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
    for name in names {
        match std::fs::remove_file(dir.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
    }
    sync_dir(dir)
}

/// Whether a process writes it: another one of this node may, during an upgrade.
fn is_written(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    match file.try_lock() {
        Ok(()) => {
            // Said, and not left to the close: see the end of a `Segment`.
            let _ = file.unlock();
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
