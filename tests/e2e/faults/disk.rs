//! A disk of a few mebibytes that a test can fill.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward_tests::privileged::{self, SKIP};
use tempfile::TempDir;

/// A small file system of its own. Unmounted when dropped.
pub(crate) struct Disk {
    folder: TempDir,
}

// === impl Disk ===

impl Disk {
    /// Mounts one. None only where `DOORWARD_SKIP_PRIVILEGED=1` says that what needs root is not
    /// tested here; `tests/run` repeats at its end what was not.
    pub(crate) fn mount(mebibytes: u32) -> Option<Self> {
        if privileged::is_left_out() {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("doorward-disk-").tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "doorward-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            refused => panic!(
                "this test fills a small disk of its own, and this user may not mount one: {refused:?}. Run \
                 it as root (in a container: with CAP_SYS_ADMIN), or set {SKIP}=1 to leave it out"
            ),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> PathBuf {
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
