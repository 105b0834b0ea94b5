//! How far the log went: one line in `<store>.last`, beside the store; and how far the records did, in
//! `<store>.last-records`, once there are any.
//!
//! A database that lost its write-ahead log, or was put back from an old copy, is whole and opens
//! cleanly; it has only forgotten whom it cut off last. So the number of the last row is kept
//! outside of it, and a log that ends before that number is refused.
//!
//! The line is written after the commit, so it is never ahead of the log, and flushed when the
//! log is moved into the main file. A power failure may leave it behind the log: then less is
//! noticed, and nothing good is refused.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::store::Seq;

const WORD: &str = "doorward-last-1";
const LINE_BYTES_MAX: u64 = 256;

/// The last row of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which store: a random word that was drawn when it was made.
    pub(super) epoch: String,
    /// Its number.
    pub(super) seq: Seq,
    /// Its checksum.
    pub(super) checksum: i64,
}

impl Mark {
    /// Always as long for one store, so that writing over an old one never leaves a piece of it.
    fn line(&self) -> String {
        format!("{WORD} {} {:020} {:016x}\n", self.epoch, self.seq.0, self.checksum)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        if words.next() != Some(WORD) {
            return None;
        }
        let epoch = words.next()?.to_owned();
        let seq = Seq(words.next()?.parse().ok().filter(|seq| *seq >= 0)?);
        let checksum = u64::from_str_radix(words.next()?, 16).ok()?;
        let checksum = i64::from_le_bytes(checksum.to_le_bytes());
        words.next().is_none().then_some(Self { epoch, seq, checksum })
    }
}

/// The file that holds the mark.
#[derive(Clone, Debug)]
pub(super) struct MarkFile {
    path: PathBuf,
}

impl MarkFile {
    pub(super) fn beside(store: &Path) -> Self {
        Self::ending(store, ".last")
    }

    /// That of the records. A file of its own: a process of the version before reads the other one.
    pub(super) fn of_records(store: &Path) -> Self {
        Self::ending(store, ".last-records")
    }

    fn ending(store: &Path, end: &str) -> Self {
        let mut path = store.as_os_str().to_owned();
        path.push(end);
        Self { path: PathBuf::from(path) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The mark. None where there never was one, or somebody took it away on purpose.
    pub(super) fn read(&self) -> Result<Option<Mark>, StoreError> {
        let mut line = String::new();
        match File::open(&self.path).and_then(|f| f.take(LINE_BYTES_MAX).read_to_string(&mut line)) {
            Ok(0) => Ok(None),
            Ok(_) => match Mark::parse(&line) {
                Some(mark) => Ok(Some(mark)),
                None => Err(self.damaged()),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Err(self.damaged()),
            Err(source) => Err(self.io("read", source)),
        }
    }

    /// The store that it speaks of was given up on purpose.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        match std::fs::remove_file(&self.path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.io("remove", source)),
        }
    }

    fn damaged(&self) -> StoreError {
        StoreError::MarkDamaged { mark: self.path.clone() }
    }

    /// Moves the mark forward, never back: another process of this node may be ahead.
    pub(super) fn advance(&self, mark: &Mark) -> Result<(), StoreError> {
        if self.read()?.is_some_and(|known| known.epoch == mark.epoch && known.seq >= mark.seq) {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.path).map_err(|source| self.io("open", source))?;
        // One small write: a process that is killed leaves the old line or the new one.
        file.write_all_at(mark.line().as_bytes(), 0).map_err(|source| self.io("write", source))
    }

    /// Makes it survive a power failure.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        match File::open(&self.path).and_then(|file| file.sync_all()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.io("flush", source)),
        }
    }

    fn io(&self, doing: &'static str, source: std::io::Error) -> StoreError {
        StoreError::Io { file: self.path.clone(), doing, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(seq: i64) -> Mark {
        Mark { epoch: "ab".repeat(16), seq: Seq(seq), checksum: -seq }
    }

    #[test]
    fn it_only_moves_forward_and_every_other_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = MarkFile::beside(&dir.path().join("r.sqlite3"));
        assert_eq!(file.read().unwrap(), None);
        file.flush().unwrap();
        for (written, read) in [(1, 1), (9, 9), (10, 10), (7, 10), (i64::MAX, i64::MAX)] {
            file.advance(&mark(written)).unwrap();
            assert_eq!(file.read().unwrap(), Some(mark(read)));
        }
        file.flush().unwrap();
        let other = Mark { epoch: "cd".repeat(16), ..mark(3) };
        file.advance(&other).unwrap();
        assert_eq!(file.read().unwrap(), Some(other), "a store that was accepted in its place");

        let line = mark(5).line();
        let cut = line.trim_end().to_owned();
        let bad =
            [cut.as_str(), "x", "\n", &line.replace("-1 ", "-2 "), &line.replace("000", "-00"), "\u{fffd}\n"];
        for bad in bad {
            std::fs::write(file.path(), bad).unwrap();
            let error = file.read().unwrap_err();
            assert!(matches!(error, StoreError::MarkDamaged { .. }), "{bad:?}: {error}");
        }
        std::fs::write(file.path(), [0xff, 0xfe]).unwrap();
        assert!(matches!(file.read(), Err(StoreError::MarkDamaged { .. })));
        std::fs::write(file.path(), "").unwrap();
        assert_eq!(file.read().unwrap(), None, "killed between making it and writing it");
    }
}
