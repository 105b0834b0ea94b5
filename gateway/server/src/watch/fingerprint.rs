//! What a file, or a folder with everything in it, looks like from the outside.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::parent;

/// The most files below one path; what lies beyond is not watched.
const FILES_MAX: usize = 10_000;
/// How deep folders are followed, and symbolic links from link to link.
const DEPTH_MAX: usize = 16;

/// Everything by which a changed file differs, without reading it: which file it is, how long,
/// and when it was changed. The inode's own time (`ctime`) cannot be set back by a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(PathBuf, Look)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Absent,
    /// A folder is what is in it; its own times change with files that come and go unseen.
    Folder,
    File {
        device: u64,
        inode: u64,
        bytes: u64,
        modified: (i64, i64),
        changed: (i64, i64),
    },
}

impl Fingerprint {
    /// Looks at a path, through symbolic links. Hidden files count too: they may be what a link
    /// points to.
    pub(super) fn of(path: &Path) -> Self {
        let mut found = Self::default();
        found.look(path, 0);
        found
    }

    fn look(&mut self, path: &Path, depth: usize) {
        if self.0.len() >= FILES_MAX || depth > DEPTH_MAX {
            return;
        }
        let Ok(metadata) = std::fs::metadata(path) else {
            self.0.push((path.to_owned(), Look::Absent));
            return;
        };
        if !metadata.is_dir() {
            self.0.push((path.to_owned(), Look::file(&metadata)));
            return;
        }
        self.0.push((path.to_owned(), Look::Folder));
        for entry in entries(path) {
            self.look(&entry, depth + 1);
        }
    }
}

impl Look {
    fn file(metadata: &Metadata) -> Self {
        Self::File {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Every folder in which an event may mean that `path`, or something in it, has changed: the one
/// that holds it, those that hold what its symbolic links point to, and the folders below it.
pub(super) fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut hop = path.to_owned();
    for _ in 0..DEPTH_MAX {
        // A link may be any part of the path: in a ConfigMap `..data` is one.
        for part in hop.ancestors() {
            if part == hop || part.is_symlink() {
                found.insert(parent(part));
            }
        }
        match std::fs::read_link(&hop) {
            Ok(target) => hop = parent(&hop).join(target),
            Err(_) => break,
        }
    }
    if let Ok(real) = std::fs::canonicalize(path) {
        found.insert(parent(&real));
        below(&real, 0, &mut found);
    }
    found.retain(|folder| folder.is_dir());
    found
}

fn below(path: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    if depth > DEPTH_MAX || found.len() >= FILES_MAX || !path.is_dir() {
        return;
    }
    found.insert(path.to_owned());
    for entry in entries(path) {
        below(&entry, depth + 1, found);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut entries: Vec<_> = listing.filter_map(|e| e.ok().map(|e| e.path())).take(FILES_MAX).collect();
    entries.sort();
    entries
}
