//! Space that is set aside while there is some, and given free for what is critical when there
//! is none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::Run;

/// A file without a name that takes up room. It dies with the process, so that nothing of it
/// is ever left behind; `df` sees it, `du` does not.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
}

impl Reserve {
    /// Sets space aside. The file system is asked for it: zeros would take up nothing where it
    /// compresses them. They are written where it cannot be asked.
    pub(crate) fn set_aside(dir: &Path, run: &Run, bytes: u64) -> io::Result<Self> {
        let path = dir.join(format!(".reserve-{}-{}", run.id(), std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let unnamed = std::fs::remove_file(&path);
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(&mut file, bytes)?,
            Err(e) => return Err(e.into()),
        }
        file.sync_all()?;
        unnamed?;
        Ok(Self { file })
    }

    /// Gives the space free.
    pub(crate) fn release(self) {
        // Closing would do; cutting first gives the space free even where the close comes late.
        let _ = self.file.set_len(0);
    }
}

fn write_zeros(file: &mut File, bytes: u64) -> io::Result<()> {
    let block = [0_u8; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(block.len()).min(block.len());
        file.write_all(block.get(..size).unwrap_or(&block))?;
        left = left.saturating_sub(u64::try_from(size).unwrap_or(left));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use doorward_model::UnixMillis;

    use super::*;

    #[test]
    fn what_is_set_aside_takes_up_room_and_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::set_aside(dir.path(), &Run::new("gw", UnixMillis(0)), 1 << 20).unwrap();
        assert!(reserve.file.metadata().unwrap().blocks() * 512 >= 1 << 20);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        reserve.release();
    }

    #[test]
    fn zeros_take_its_place() {
        let mut file = tempfile::tempfile().unwrap();
        write_zeros(&mut file, 100_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100_000);
    }
}
