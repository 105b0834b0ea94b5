//! The audit log as files: every line is an event, or the test ends.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Every event in the files under a folder, in order of the files' names.
///
/// # Panics
/// When a line is no JSON: a log that cannot be read is a fault, and one that is read past its
/// damaged lines looks whole. Only what follows the last line end of the newest file may be anything,
/// as somebody may be writing there.
#[must_use]
pub fn events_in(folder: &Path) -> Vec<Value> {
    let mut files = Vec::new();
    files_under(folder, &mut files);
    files.retain(|f| f.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    let written = |f: &PathBuf| f.metadata().and_then(|m| m.modified()).ok();
    let newest = files.iter().max_by_key(|f| (written(f), (*f).clone())).cloned();
    let read = |file: &PathBuf| match std::fs::read(file) {
        Ok(bytes) => events_of(file, &bytes, newest.as_ref() == Some(file)),
        // It was moved away meanwhile.
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => panic!("{}: {e}", file.display()),
    };
    files.iter().flat_map(read).collect()
}

fn events_of(file: &Path, bytes: &[u8], is_newest: bool) -> Vec<Value> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let (lines, rest) = bytes.split_at(whole);
    let told = |line: &[u8]| format!("{}: {}", file.display(), line.escape_ascii());
    assert!(is_newest || rest.is_empty(), "an unfinished line in an older file: {}", told(rest));
    let event = |line: &[u8]| serde_json::from_slice(line).unwrap_or_else(|e| panic!("{e}: {}", told(line)));
    lines.strip_suffix(b"\n").into_iter().flat_map(|l| l.split(|b| *b == b'\n')).map(event).collect()
}

fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_last_line_of_all_may_be_unfinished() {
        let file = Path::new("audit-x.jsonl");
        assert_eq!(events_of(file, b"", false), Vec::<Value>::new());
        assert_eq!(events_of(file, b"{\"a\":1}\n2\n{\"b", true), [json!({"a": 1}), json!(2)]);
        for (bytes, newest) in
            [(&b"{\"a\":1}\n{\"b"[..], false), (b"{\"a\"\n2\n", true), (b"1\n\n2\n", true), (b"\xff\n", true)]
        {
            let read = std::panic::catch_unwind(|| events_of(file, bytes, newest));
            assert!(read.is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_newest_file_is_the_one_that_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("audit")).unwrap();
        std::fs::write(at("audit/audit-b.jsonl"), "1\n2\n").unwrap();
        std::fs::write(at("audit/other.txt"), "nonsense").unwrap();
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        std::fs::File::options()
            .write(true)
            .open(at("audit/audit-b.jsonl"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        std::fs::write(at("audit/audit-a.jsonl"), "0\n{").unwrap();
        assert_eq!(events_in(folder.path()), [json!(0), json!(1), json!(2)]);
        assert_eq!(events_in(&at("nowhere")), Vec::<Value>::new());
    }
}
