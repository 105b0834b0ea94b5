//! The folder for data: its owner's alone.
//!
//! The socket over which an upgrade takes the listening sockets lies in it, and whoever reaches that
//! takes the connections of everybody.

use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::WireError;

const OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// Makes the folder, or leaves an existing one to its owner alone.
pub(super) fn keep_private(dir: &Path) -> Result<(), WireError> {
    let failed = |cause| WireError::DataDir { dir: dir.to_owned(), cause };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mode = std::fs::metadata(dir).map_err(failed)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    // A folder that many share, such as `/tmp`, is never anybody's to close.
    let tightened =
        mode & STICKY == 0 && std::fs::set_permissions(dir, Permissions::from_mode(0o700)).is_ok();
    if !tightened {
        return Err(WireError::OpenDataDir { dir: dir.to_owned(), mode: mode & 0o7777 });
    }
    tracing::warn!(dir = %dir.display(), mode = format!("{:o}", mode & 0o7777), "the folder for data was open to others; it is its owner's alone now");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(dir: &Path) -> u32 {
        std::fs::metadata(dir).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_that_others_can_enter_is_closed_and_a_shared_one_refused() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("data");
        keep_private(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700, "made so");
        for open in [0o755, 0o770, 0o701, 0o777] {
            std::fs::set_permissions(&dir, Permissions::from_mode(open)).unwrap();
            keep_private(&dir).unwrap();
            assert_eq!(mode(&dir), 0o700, "{open:o}");
        }
        std::fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
        let refused = keep_private(&dir).unwrap_err().to_string();
        assert!(refused.contains("1777") && refused.contains("gateway.data_dir"), "{refused}");
        assert_eq!(mode(&dir), 0o1777, "left as it was");
        let file = top.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(keep_private(&file), Err(WireError::DataDir { .. })));
    }
}
