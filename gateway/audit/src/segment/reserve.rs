//! Space that is set aside while there is some, and given free for what is critical when there
//! is none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Run;

/// A file without a name that takes up room. It dies with the process, so that nothing of it
/// is ever left behind; `df` sees it, `du` does not.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
}

impl Reserve {
    /// Sets space aside. Zeros are written instead of asking for blocks, because not every file
    /// system can be asked.
    pub(crate) fn set_aside(dir: &Path, run: &Run, bytes: u64) -> io::Result<Self> {
        let path = dir.join(format!(".reserve-{}-{}", run.id(), std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let unnamed = std::fs::remove_file(&path);
        let block = [0_u8; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(block.len()).min(block.len());
            file.write_all(block.get(..size).unwrap_or(&block))?;
            left = left.saturating_sub(u64::try_from(size).unwrap_or(left));
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
