//! Which files a log has, for whoever reads all of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use doorward_model::UnixMillis;

use crate::segment::SegmentName;

/// What a closed file is called once somebody has compressed it.
const PACKED: [&str; 4] = ["gz", "zst", "xz", "bz2"];

/// The files of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFiles {
    /// Those that can be read, in the order in which they were begun.
    pub files: Vec<LogFile>,
    /// Those that somebody compressed, by their names.
    pub packed: Vec<String>,
}

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Where it lies.
    pub path: PathBuf,
    /// How large it is, in bytes.
    pub bytes: u64,
    /// When it was last written. Copying it may make it look younger.
    pub written: UnixMillis,
}

/// The files of the log in this folder. Other files in it are none of the log's.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(dir: &Path) -> io::Result<LogFiles> {
    let (mut files, mut packed) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str() else { continue };
        if let Some(segment) = SegmentName::parse(name) {
            // One that was retired since it was listed is not there any more.
            match entry.metadata() {
                Ok(about) if about.is_file() => files.push((segment, log_file(entry.path(), &about)?)),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        } else if let Some((stem, end)) = name.rsplit_once('.')
            && PACKED.contains(&end)
            && SegmentName::parse(stem).is_some()
        {
            packed.push(name.to_owned());
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    packed.sort();
    Ok(LogFiles { files: files.into_iter().map(|(_, file)| file).collect(), packed })
}

fn log_file(path: PathBuf, about: &std::fs::Metadata) -> io::Result<LogFile> {
    let written = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let written = UnixMillis(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
    Ok(LogFile { path, bytes: about.len(), written })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_in_order_and_packed_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "audit-gw-20261121T120000000Z-000000000010.jsonl",
            "audit-gw-20261121T120000000Z-000000000001.jsonl",
            "audit-gw-20261120T120000000Z-000000000001.jsonl.gz",
            "audit-gw-20261120T120000000Z-000000000009.jsonl.torn",
            "notes.jsonl",
            "notes.gz",
        ];
        for name in names {
            std::fs::write(dir.path().join(name), "{}\n").unwrap();
        }
        let listed = list(dir.path()).unwrap();
        let found: Vec<_> =
            listed.files.iter().map(|f| (f.path.file_name().unwrap().to_str().unwrap(), f.bytes)).collect();
        assert_eq!(found, [(names[1], 3), (names[0], 3)]);
        assert_eq!(listed.packed, [names[2]]);
        assert!(listed.files.iter().all(|f| f.written > UnixMillis(1_700_000_000_000)));
        assert!(list(&dir.path().join("nowhere")).is_err());
    }
}
