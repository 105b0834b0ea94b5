//! The tail of a file that a crash left in the middle of a line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use doorward_model::limits::AUDIT_LINE_BYTES_MAX;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{SegmentName, sync_dir};
use crate::event::TornTail;
use crate::log::{AuditError, DamagedSegment};

/// How many files with cut tails may lie beside one segment.
const ASIDE_MAX: u32 = 1000;

/// What was found in the folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) repaired: Vec<TornTail>,
    pub(crate) in_use: Vec<PathBuf>,
    pub(crate) damaged: Option<DamagedSegment>,
}

/// Mends every file of the log that no process writes.
pub(crate) fn repair_all(dir: &Path) -> Result<Found, AuditError> {
    let folder = |e: io::Error| AuditError::Folder { path: dir.to_owned(), source: e.into() };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(folder)? {
        let entry = entry.map_err(folder)?;
        let regular = entry.file_type().map_err(folder)?.is_file();
        if let (true, Some(name)) = (regular, entry.file_name().to_str().and_then(SegmentName::parse)) {
            names.push((name, entry.path()));
        }
    }
    names.sort();
    let mut found = Found::default();
    let mut newest = None;
    for (_, path) in names {
        match repair(dir, &path) {
            Ok(Mended::Empty) => {}
            Ok(Mended::Whole) => newest = Some(path),
            Ok(Mended::InUse) => {
                // Whoever writes it has looked at those before.
                newest = None;
                found.in_use.push(path);
            }
            Ok(Mended::Cut(torn)) => {
                found.repaired.push(torn);
                newest = Some(path);
            }
            Err(e) => return Err(AuditError::Repair { path, source: e.into() }),
        }
    }
    // Those before it were the newest once, and were looked at when the next run began.
    if let Some(path) = newest {
        let damage = File::open(&path).and_then(|mut file| scan(&mut file));
        let damage = damage.map_err(|e| AuditError::Repair { path: path.clone(), source: e.into() })?;
        let segment = file_name(&path);
        found.damaged =
            damage.first_at.map(|first_at| DamagedSegment { segment, lines: damage.lines, first_at });
    }
    Ok(found)
}

enum Mended {
    Empty,
    Whole,
    InUse,
    Cut(TornTail),
}

fn repair(dir: &Path, path: &Path) -> io::Result<Mended> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(Mended::InUse),
        Err(std::fs::TryLockError::Error(e)) => return Err(e),
    }
    let mended = mend(dir, path, &mut file);
    // Said, and not left to the close: see the end of a `Segment`.
    let _ = file.unlock();
    mended
}

/// The caller holds the lock.
fn mend(dir: &Path, path: &Path, file: &mut File) -> io::Result<Mended> {
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok(Mended::Empty);
    }
    if ends_well(file, size)? {
        return Ok(Mended::Whole);
    }
    let kept = scan(file)?.end_of_last_event;
    if kept == size {
        return Ok(Mended::Whole);
    }
    file.seek(SeekFrom::Start(kept))?;
    let aside = keep_aside(path, file)?;
    // Only when the cut bytes are safe elsewhere may they go from here.
    sync_dir(dir)?;
    file.set_len(kept)?;
    file.sync_all()?;
    Ok(Mended::Cut(TornTail {
        segment: file_name(path),
        kept_bytes: kept,
        cut_bytes: size.saturating_sub(kept),
        aside: file_name(&aside),
    }))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Looks at the last line only: nearly every file ends well, and files are large.
fn ends_well(file: &mut File, size: u64) -> io::Result<bool> {
    let window = u64::try_from(AUDIT_LINE_BYTES_MAX).unwrap_or(size).saturating_add(1).min(size);
    file.seek(SeekFrom::Start(size.saturating_sub(window)))?;
    let mut tail = Vec::new();
    Read::by_ref(file).take(window).read_to_end(&mut tail)?;
    let Some(body) = tail.strip_suffix(b"\n") else { return Ok(false) };
    let last = body.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let whole = window == size || last.len() < body.len();
    Ok(whole && is_event(last))
}

/// What a file holds.
#[derive(Debug, Default)]
struct Scan {
    end_of_last_event: u64,
    /// How many lines are no events, and where the first of them begins.
    lines: u64,
    first_at: Option<u64>,
}

fn scan(file: &mut File) -> io::Result<Scan> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut scan = Scan::default();
    let mut at = 0_u64;
    let mut line = Vec::new();
    // False inside a line that is longer than any event, which is read in pieces.
    let mut begins = true;
    let most = u64::try_from(AUDIT_LINE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    loop {
        line.clear();
        let read = Read::by_ref(&mut reader).take(most).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(scan);
        }
        let start = at;
        at = at.saturating_add(u64::try_from(read).unwrap_or(0));
        let body = line.strip_suffix(b"\n");
        if begins && body.is_some_and(is_event) {
            scan.end_of_last_event = at;
        } else if begins {
            scan.lines = scan.lines.saturating_add(1);
            scan.first_at.get_or_insert(start);
        }
        begins = body.is_some();
    }
}

/// Whether a line is an event of the log: a JSON object with a sequence number.
pub(crate) fn is_event(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Line {
        metadata: Metadata,
        unmapped: IgnoredAny,
    }
    #[derive(Deserialize)]
    struct Metadata {
        sequence: u64,
    }
    serde_json::from_slice::<Line>(line)
        .is_ok_and(|Line { metadata: Metadata { sequence }, unmapped: IgnoredAny }| sequence > 0)
}

fn keep_aside(path: &Path, from: &mut File) -> io::Result<PathBuf> {
    for i in 0..ASIDE_MAX {
        let mut aside = path.as_os_str().to_owned();
        aside.push(if i == 0 { ".torn".to_owned() } else { format!(".torn{i}") });
        let aside = PathBuf::from(aside);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside) {
            Ok(mut file) => {
                let copied =
                    io::copy(from, &mut file).and_then(|_| file.flush()).and_then(|()| file.sync_all());
                if let Err(e) = copied {
                    let _ = std::fs::remove_file(&aside);
                    return Err(e);
                }
                return Ok(aside);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many `.torn` files lie there already"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILE: &str = "audit-gw-0-20200101T000000000Z-000000000001.jsonl";
    const EVENT: &str =
        r#"{"metadata":{"sequence":7},"time":1,"unmapped":{"doorward":{"text":"\" \\ \u0000 }{"}}}"#;

    /// In memory where there is such a place: thousands of files are made durable here.
    fn temp() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_its_whole_events() {
        let whole = format!("{EVENT}\n").repeat(3).into_bytes();
        let ends: Vec<usize> = [0]
            .into_iter()
            .chain(whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1))
            .collect();
        let tails: [&[u8]; 5] = [b"", &[0; 700], b"\0\0\0\n", b"{\"garbage\":\xff\n[]\n", b"\n\n"];
        let dir = temp();
        let file = dir.path().join(FILE);
        let mut mended = 0;
        for (cut, tail) in (0..=whole.len()).flat_map(|cut| tails.iter().map(move |tail| (cut, *tail))) {
            let mut bytes = whole[..cut].to_vec();
            bytes.extend(tail);
            fs::write(&file, &bytes).unwrap();
            // A cut just before the newline leaves a whole event, which a newline makes complete.
            let ending = bytes[..cut + usize::from(tail.starts_with(b"\n"))].to_vec();
            let kept =
                *ends.iter().rev().find(|e| **e <= ending.len() && whole.starts_with(&bytes[..**e])).unwrap();
            let found = repair_all(dir.path()).unwrap();
            assert_eq!(fs::read(&file).unwrap(), bytes[..kept], "cut at {cut}, then {tail:?}");
            if kept == bytes.len() {
                assert_eq!(found.repaired, []);
                continue;
            }
            mended += 1;
            let torn = &found.repaired[0];
            assert_eq!((torn.kept_bytes, torn.cut_bytes), (kept as u64, (bytes.len() - kept) as u64));
            let aside = dir.path().join(&torn.aside);
            assert_eq!(fs::read(&aside).unwrap(), bytes[kept..]);
            fs::remove_file(aside).unwrap();
        }
        assert!(mended > 1000, "{mended}");
    }

    #[test]
    fn an_event_hidden_in_a_line_that_is_too_long_does_not_count() {
        let dir = temp();
        let mut bytes = format!("{EVENT}\n").into_bytes();
        let kept = bytes.len();
        bytes.extend(vec![b'x'; AUDIT_LINE_BYTES_MAX + 1]);
        bytes.extend(format!("{EVENT}\n").bytes());
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        let found = repair_all(dir.path()).unwrap();
        assert_eq!(found.repaired[0].kept_bytes, kept as u64);
    }

    #[test]
    fn what_is_not_an_event_is_not_an_event() {
        for line in [
            "",
            "{}",
            "[]",
            "null",
            "\0\0",
            "{\"metadata\":{\"sequence\":1}}",
            "{\"metadata\":{\"sequence\":-1},\"unmapped\":1}",
            "{\"metadata\":{\"sequence\":1},\"unmapped\":{}} x",
        ] {
            assert!(!is_event(line.as_bytes()), "{line}");
        }
        assert!(is_event(EVENT.as_bytes()));
    }
}
