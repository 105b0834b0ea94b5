//! One file of the log: begun, appended to, made durable, watched.

mod name;
mod repair;
mod reserve;
mod retention;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::event::GapCause;
use crate::log::{Counts, Sequence};

pub(crate) use name::{Run, SegmentName};
pub(crate) use repair::repair_all;
pub(crate) use reserve::Reserve;
pub(crate) use retention::{remove_all, surplus};

/// How often another name is tried when one is taken.
const NAME_TRIES_MAX: u32 = 64;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    file: File,
    inode: (u64, u64),
    /// What is durable; also the size that the file must have.
    bytes: u64,
    /// What is durable in it, for the event that tells of its loss.
    pub(crate) counts: Counts,
    pub(crate) range: Option<(Sequence, Sequence)>,
}

impl Segment {
    /// Begins the first file of a run. An error of kind `AlreadyExists` means that another
    /// process began a run of that name.
    pub(crate) fn begin_run(dir: &Path, run: &Run) -> Result<Self, (PathBuf, io::Error)> {
        let path = dir.join(run.segment(Sequence(1), 0).to_string());
        Self::create(dir, &path).map_err(|error| (path, error))
    }

    /// Begins a file whose first event has this number.
    pub(crate) fn begin(dir: &Path, run: &Run, first: Sequence) -> io::Result<Self> {
        for again in 0..NAME_TRIES_MAX {
            match Self::create(dir, &dir.join(run.segment(first, again).to_string())) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// The file is locked, so that a process that starts beside this one leaves it alone.
    fn create(dir: &Path, path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Self::settle(dir, path.to_owned(), file).inspect_err(|_| {
            // Nothing was written to it, and nobody knows of it.
            let _ = std::fs::remove_file(path);
        })
    }

    fn settle(dir: &Path, path: PathBuf, file: File) -> io::Result<Self> {
        file.lock()?;
        sync_dir(dir)?;
        let meta = file.metadata()?;
        let inode = (meta.dev(), meta.ino());
        Ok(Self { path, file, inode, bytes: 0, counts: Counts::default(), range: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends whole lines and makes them durable. After an error the segment must not be
    /// written again: a second `fdatasync` could say yes to what the first one lost. It must be
    /// given to [`Segment::abandon`].
    pub(crate) fn commit(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.bytes = self.bytes.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Gives the file up after a failed write: what was not durable is cut off, as far as the
    /// system lets us, because it will be written again elsewhere. An empty file goes away.
    pub(crate) fn abandon(self) {
        let cut = self.file.set_len(self.bytes);
        if let Err(error) = cut {
            tracing::warn!(file = %self.path.display(), %error, "a torn tail stays in an audit file");
        } else if self.bytes == 0 {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Whether the file still is what was written, under the name it was given.
    pub(crate) fn check(&self) -> Result<(), GapCause> {
        let Ok(open) = self.file.metadata() else { return Err(GapCause::SegmentAltered) };
        if open.nlink() == 0 {
            return Err(GapCause::SegmentRemoved);
        }
        match std::fs::symlink_metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == self.inode => {}
            Ok(_) | Err(_) => return Err(GapCause::SegmentMoved),
        }
        if open.len() == self.bytes { Ok(()) } else { Err(GapCause::SegmentAltered) }
    }
}

impl Drop for Segment {
    /// Closing the file would not do: a child that another thread has just started holds it, and with it the
    /// lock, until it runs its program. Whoever opens the log meanwhile would take the file for one in use.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Makes a folder for the owner only, unless it is there.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    sync_dir(dir)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The space that others may still fill, in bytes.
pub(crate) fn disk_free(dir: &Path) -> Option<u64> {
    let fs = rustix::fs::statvfs(dir).ok()?;
    Some(fs.f_bavail.saturating_mul(fs.f_frsize))
}
