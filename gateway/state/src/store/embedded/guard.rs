//! Keeps two gateways from sharing one file by mistake, and lets an upgrade do so on purpose.
//!
//! Beside the store lies `<store>.lock`. Every process that has the store open holds a shared
//! lock on it; who is alone for a moment writes into it which node it is. A process of another
//! node, or of another machine, that comes while the first still lives reads that and refuses.
//! A process of the same node is the new version taking over from the old: both may write, the
//! database orders them, and each reads what the other wrote.
//!
//! Each process also has a lock on the first byte that goes with its open file (F_OFD_SETLK of fcntl(2)), by
//! which it can be asked, without letting go of anything, whether another one is there.
//!
//! The file also remembers that a store was made. If the store is gone and this file is not, the
//! store was lost, and beginning with an empty one would let everyone in who was cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::error::StoreError;

const CONTENT_BYTES_MAX: u64 = 4096;
const MADE: &str = "made";

/// The lock of one process on a store. Ends when it is dropped, or when the process dies.
#[derive(Debug)]
pub struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Of a store that many may have open.
    pub(in crate::store) const fn none() -> Self {
        Self { file: None }
    }

    /// No other process has the store open. False also where that is not known.
    pub(crate) fn is_alone(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let mut wanted = first_byte(libc::F_WRLCK);
        fcntl(file.as_raw_fd(), FcntlArg::F_OFD_GETLK(&mut wanted)).is_ok() && kind(&wanted) == libc::F_UNLCK
    }
}

/// A lock on the first byte of a file.
fn first_byte(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}

fn kind(lock: &libc::flock) -> libc::c_int {
    libc::c_int::from(lock.l_type)
}

/// A lock file that this process has open.
pub(super) struct Guard {
    store: PathBuf,
    path: PathBuf,
    file: File,
    owner: Owner,
    /// Nobody else has it, and the store may be made.
    alone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    node: String,
    /// Which boot of which machine; empty where the system does not tell.
    boot: String,
}

impl Guard {
    /// Takes the lock, alone if possible.
    pub(super) fn take(store: &Path, node: &str) -> Result<Self, StoreError> {
        let mut path = store.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |doing| {
            let file = path.clone();
            move |source| StoreError::Io { file, doing, source }
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open"))?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let owner = Owner { node: node.to_owned(), boot: boot.trim().to_owned() };
        // Nobody writes to that byte alone, so it waits for nobody.
        fcntl(file.as_raw_fd(), FcntlArg::F_OFD_SETLK(&first_byte(libc::F_RDLCK)))
            .map_err(|error| failed("lock")(error.into()))?;
        let alone = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        };
        let mut guard = Self { store: store.to_owned(), path, file, owner, alone };
        if !alone {
            guard.join()?;
        }
        Ok(guard)
    }

    pub(super) const fn is_alone(&self) -> bool {
        self.alone
    }

    /// Whether a store was ever made beside this file.
    pub(super) fn was_made(&mut self) -> Result<bool, StoreError> {
        Ok(self.read()?.1)
    }

    pub(super) fn missing(&self) -> StoreError {
        StoreError::Missing { file: self.store.clone(), lock: self.path.clone() }
    }

    /// The store exists: writes down whose it is, and lets others of this node in.
    pub(super) fn settle(mut self) -> Result<Lock, StoreError> {
        if self.alone {
            let content = format!("{MADE}\n{}\n{}\n", self.owner.node, self.owner.boot);
            self.write(content.as_bytes()).map_err(|source| self.io("write", source))?;
            // Shared from now on. The system may let go of the lock in between; whoever slips in
            // writes its own name, and `join` reads it.
            self.join()?;
        }
        Ok(Lock { file: Some(self.file) })
    }

    /// Takes the shared lock, and makes sure that whoever else has it is of this node.
    fn join(&mut self) -> Result<(), StoreError> {
        self.file.lock_shared().map_err(|source| self.io("lock", source))?;
        let (owner, _) = self.read()?;
        match owner {
            Some(owner) if owner != self.owner => {
                let machine = if owner.boot == self.owner.boot { "" } else { " on another machine" };
                let owner = format!("the gateway `{}`{machine}", owner.node);
                Err(StoreError::InUse { file: self.store.clone(), owner })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn read(&mut self) -> Result<(Option<Owner>, bool), StoreError> {
        let mut content = String::new();
        let read = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.file).take(CONTENT_BYTES_MAX).read_to_string(&mut content));
        read.map_err(|source| self.io("read", source))?;
        let mut lines = content.lines();
        let made = lines.next() == Some(MADE);
        let owner = lines
            .next()
            .map(|node| Owner { node: node.to_owned(), boot: lines.next().unwrap_or_default().to_owned() });
        Ok((owner, made))
    }

    fn write(&mut self, content: &[u8]) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(content)?;
        self.file.sync_all()
    }

    fn io(&self, doing: &'static str, source: std::io::Error) -> StoreError {
        StoreError::Io { file: self.path.clone(), doing, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_node_is_kept_out_while_the_first_lives() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("s");
        let first = Guard::take(&store, "gw-1").unwrap();
        assert!(first.is_alone());
        let first = first.settle().unwrap();

        let second = Guard::take(&store, "gw-1").unwrap();
        assert!(!second.is_alone(), "an upgrade joins");
        let second = second.settle().unwrap();

        let refused = Guard::take(&store, "gw-2").err().unwrap();
        assert!(refused.to_string().contains("`gw-1`"), "{refused}");
        drop(first);
        assert!(Guard::take(&store, "gw-2").is_err(), "the upgraded one still lives");
        drop(second);
        let renamed = Guard::take(&store, "gw-2").unwrap();
        assert!(renamed.is_alone(), "when nobody lives, a node may be renamed");
        let _renamed = renamed.settle().unwrap();
        assert!(Guard::take(&store, "gw-1").is_err());
    }

    #[test]
    fn who_is_alone_knows_it_and_goes_on_to_hold_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("s");
        let first = Guard::take(&store, "gw-1").unwrap().settle().unwrap();
        assert!(first.is_alone() && first.is_alone());
        let coming = Guard::take(&store, "gw-1").unwrap();
        assert!(!first.is_alone(), "it may read the store already");
        let second = coming.settle().unwrap();
        assert!(!first.is_alone() && !second.is_alone());
        drop(first);
        assert!(second.is_alone(), "the upgrade is over");
        assert!(Guard::take(&store, "gw-2").is_err(), "to ask has let go of nothing");
        assert!(!Lock::none().is_alone(), "of a server it is not known");
    }

    #[test]
    fn another_machine_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("s");
        let _lock = Guard::take(&store, "gw-1").unwrap().settle().unwrap();
        std::fs::write(dir.path().join("s.lock"), "made\ngw-1\nanother-boot\n").unwrap();
        let refused = Guard::take(&store, "gw-1").err().unwrap();
        assert!(refused.to_string().contains("another machine"), "{refused}");
    }
}
