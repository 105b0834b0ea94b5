//! A disk of a few mebibytes that a test can fill.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small file system of its own. Unmounted when dropped.
pub(crate) struct Disk {
    folder: TempDir,
}

// === impl Disk ===

impl Disk {
    /// Mounts one. None, loudly, where this user may not: mounting is for root.
    pub(crate) fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("doorward-disk-").tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "doorward-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            refused => {
                eprintln!("NOT TESTED: this user may not mount a small disk: {refused:?}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let ballast = self.path().join("ballast");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
        for piece in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
        ballast
    }

    /// Makes room again.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
