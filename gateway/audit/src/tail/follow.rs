//! Reading on as the log grows, across files.
//!
//! The newest lines are looked for from the end of the newest file backwards, a step at a time;
//! an older file is opened only when all of a newer one was not enough. From the place that was
//! found everything is read forwards, one file to its end before the next, a step at a time. So
//! neither the size of a file nor that of the log decides how much memory this needs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use doorward_model::limits::AUDIT_LINE_BYTES_MAX;

use super::render::{Admitted, Filter};
use crate::segment::SegmentName;

/// How much is read at once, in bytes.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// Holds at least one line.
const LINE_BYTES: u64 = AUDIT_LINE_BYTES_MAX as u64 + 1;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the first event that is there.
    Start,
    /// With the next event that comes.
    End,
    /// With so many that are there already and that the filter admits.
    Last(usize),
}

/// Reads a folder of the log, again and again.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    filter: Filter,
    step: u64,
    /// How far each file was read.
    read: BTreeMap<SegmentName, u64>,
    caught_up: bool,
    no_events: u64,
}

/// Where the last lines of a file begin.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    start: u64,
    /// How many lines the filter admits from there on.
    found: usize,
}

/// What one read of a file brought.
struct Piece {
    lines: Vec<String>,
    /// How far the file was read.
    end: u64,
    /// Whether there may be more.
    more: bool,
}

// === impl Follower ===

impl Follower {
    /// Begins.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn new(dir: &Path, from: From, filter: Filter) -> io::Result<Self> {
        Self::stepping(dir, from, filter, STEP_BYTES)
    }

    fn stepping(dir: &Path, from: From, filter: Filter, step: u64) -> io::Result<Self> {
        let read = BTreeMap::new();
        let mut follower = Self { dir: dir.to_owned(), filter, step, read, caught_up: false, no_events: 0 };
        let mut wanted = match from {
            From::Start => return Ok(follower),
            From::End => 0,
            From::Last(wanted) => wanted,
        };
        for name in follower.names()?.into_iter().rev() {
            let Some(mut file) = follower.open(&name)? else { continue };
            let place = last_lines(&mut file, wanted, &follower.filter, step)?;
            wanted = wanted.saturating_sub(place.found);
            follower.read.insert(name, place.start);
        }
        Ok(follower)
    }

    /// The lines that come next and that the filter admits. Bounded: what is left comes with the
    /// next poll, and until then [`Follower::is_caught_up`] is false.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.caught_up = false;
        for name in self.names()? {
            let Some(mut file) = self.open(&name)? else { continue };
            // A tail that was cut off was never an event.
            let at = self.read.get(&name).copied().unwrap_or(0).min(file.metadata()?.len());
            let piece = next_lines(&mut file, at, self.step)?;
            self.read.insert(name, piece.end);
            for line in piece.lines {
                match self.filter.judge(&line) {
                    Admitted::No => {}
                    Admitted::Yes => lines.push(line),
                    Admitted::NoEvent => {
                        self.no_events = self.no_events.saturating_add(1);
                        lines.push(line);
                    }
                }
            }
            if piece.more {
                return Ok(lines);
            }
        }
        self.caught_up = true;
        Ok(lines)
    }

    /// Whether the last poll came to the end of the log.
    #[must_use]
    pub const fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// How many of the lines so far were no events.
    #[must_use]
    pub const fn no_events(&self) -> u64 {
        self.no_events
    }

    fn names(&self) -> io::Result<Vec<SegmentName>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            names.extend(entry?.file_name().to_str().and_then(SegmentName::parse));
        }
        names.sort();
        Ok(names)
    }

    /// None when it was retired since it was listed.
    fn open(&self, name: &SegmentName) -> io::Result<Option<File>> {
        match File::open(self.dir.join(name.to_string())) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Reads whole lines from `at` on.
fn next_lines(file: &mut File, at: u64, step: u64) -> io::Result<Piece> {
    let mut bytes = read_at(file, at, step)?;
    let mut more = length(&bytes) == step;
    if !bytes.contains(&b'\n') && more && step < LINE_BYTES {
        bytes = read_at(file, at, LINE_BYTES)?;
        more = length(&bytes) == LINE_BYTES;
    }
    let whole = match bytes.iter().rposition(|b| *b == b'\n') {
        Some(last) => last.saturating_add(1),
        // No event is as long as this: show it as it is, and go on behind it.
        None if bytes.len() > AUDIT_LINE_BYTES_MAX => bytes.len(),
        None => 0,
    };
    let text = bytes.get(..whole).unwrap_or_default();
    let lines = text.split_inclusive(|b| *b == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        String::from_utf8_lossy(line).into_owned()
    });
    Ok(Piece { lines: lines.collect(), end: at.saturating_add(length(text)), more: more && whole > 0 })
}

/// Finds the last lines that the filter admits, from the end backwards. A tail without an end of
/// line is left for later: it may be one that is being written.
fn last_lines(file: &mut File, wanted: usize, filter: &Filter, step: u64) -> io::Result<Place> {
    let size = file.metadata()?.len();
    let mut at = size;
    let mut found = 0;
    // From `at` on, up to the lines that were looked at.
    let mut rest: Vec<u8> = Vec::new();
    let mut in_tail = true;
    while at > 0 {
        let begin = at.saturating_sub(step);
        let mut bytes = read_at(file, begin, at.saturating_sub(begin))?;
        bytes.append(&mut rest);
        at = begin;
        if in_tail {
            match bytes.iter().rposition(|b| *b == b'\n') {
                Some(last) => bytes.truncate(last.saturating_add(1)),
                None if bytes.len() > AUDIT_LINE_BYTES_MAX => {}
                None => {
                    rest = bytes;
                    continue;
                }
            }
            in_tail = false;
        }
        if found == wanted {
            return Ok(Place { start: at.saturating_add(length(&bytes)), found });
        }
        while let Some((line, begins)) = last_line(&bytes, at == 0) {
            found = found.saturating_add(usize::from(filter.admits_bytes(line)));
            bytes.truncate(begins);
            if found == wanted {
                return Ok(Place { start: at.saturating_add(length(&bytes)), found });
            }
        }
        rest = bytes;
    }
    Ok(Place { start: 0, found })
}

/// The last line, without its end, and where it begins. None while its beginning is not there.
fn last_line(bytes: &[u8], from_start: bool) -> Option<(&[u8], usize)> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return None;
    }
    match body.iter().rposition(|b| *b == b'\n') {
        Some(end) => Some((body.get(end.saturating_add(1)..)?, end.saturating_add(1))),
        // A line that is longer than any event is taken in pieces.
        None if from_start || body.len() > AUDIT_LINE_BYTES_MAX => Some((body, 0)),
        None => None,
    }
}

fn read_at(file: &mut File, at: u64, most: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    Read::by_ref(file).take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use super::*;

    /// Small against the files, and smaller than some of the lines.
    const STEP: u64 = 512;

    /// A line that only the filter for denials tells from the others, of a length of its own.
    fn line(number: usize) -> String {
        let code = if number.is_multiple_of(10) { "access.request.denied" } else { "access.request.allowed" };
        let pad = "x".repeat(number * 37 % 900);
        format!(r#"{{"metadata":{{"event_code":"{code}","sequence":{number}}},"pad":"{pad}"}}"#)
    }

    /// Three files of a hundred lines each, from 1 on.
    fn log() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in 0..3_usize {
            let first = file * 100 + 1;
            let mut text = String::new();
            (first..first + 100).for_each(|number| writeln!(text, "{}", line(number)).unwrap());
            assert!(text.len() as u64 > 20 * STEP);
            fs::write(dir.path().join(format!("audit-gw-20261120T220000123Z-{first:012}.jsonl")), text)
                .unwrap();
        }
        dir
    }

    fn read(dir: &Path, from: From, filter: &Filter, step: u64) -> (Vec<String>, u64) {
        let mut follower = Follower::stepping(dir, from, filter.clone(), step).unwrap();
        let mut lines = Vec::new();
        for _ in 0..10_000 {
            lines.extend(follower.poll().unwrap());
            if follower.is_caught_up() {
                return (lines, follower.no_events());
            }
        }
        panic!("never at the end");
    }

    fn deny() -> Filter {
        Filter { deny: true, ..Filter::default() }
    }

    #[test]
    fn the_newest_lines_are_found_across_steps_and_files() {
        let dir = log();
        for step in [STEP, 100_000, STEP_BYTES] {
            for wanted in [0, 1, 2, 57, 99, 100, 101, 250, 299, 300, 301, usize::MAX] {
                let expected: Vec<_> = (301 - wanted.min(300)..=300).map(line).collect();
                let (lines, none) = read(dir.path(), From::Last(wanted), &Filter::default(), step);
                assert_eq!((lines, none), (expected, 0), "{wanted} lines in steps of {step}");
            }
        }
    }

    #[test]
    fn a_filter_is_asked_before_lines_are_counted() {
        let dir = log();
        for step in [STEP, STEP_BYTES] {
            for wanted in [0, 1, 9, 10, 11, 25, 30, 31] {
                let denied: Vec<_> = (1..=300).filter(|n| n % 10 == 0).map(line).collect();
                let expected = &denied[30 - wanted.min(30)..];
                let (lines, _) = read(dir.path(), From::Last(wanted), &deny(), step);
                assert_eq!(lines, expected, "{wanted} denials in steps of {step}");
            }
        }
    }

    #[test]
    fn one_file_is_read_to_its_end_before_the_next() {
        let dir = log();
        let (lines, _) = read(dir.path(), From::Start, &Filter::default(), STEP);
        assert_eq!(lines, (1..=300).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_event_is_found_and_counted() {
        let dir = log();
        let last = dir.path().join("audit-gw-20261120T220000123Z-000000000201.jsonl");
        let mut text = fs::read(&last).unwrap();
        text.extend(b"\xff torn ");
        text.extend(line(301).bytes());
        text.push(b'\n');
        text.extend(vec![b'z'; 3 * AUDIT_LINE_BYTES_MAX]);
        text.push(b'\n');
        text.extend(line(302).bytes());
        text.push(b'\n');
        let whole = text.len() as u64;
        text.extend(b"{\"half a line");
        fs::write(&last, text).unwrap();
        for step in [STEP, STEP_BYTES] {
            let (lines, none) = read(dir.path(), From::Last(20), &deny(), step);
            assert!(lines.iter().any(|l| l.starts_with("\u{fffd} torn ")), "{}", lines.len());
            assert!((2..=5).contains(&none), "{none}");
            assert!(!lines.iter().any(|l| l.contains("half")));
            let end = Follower::stepping(dir.path(), From::End, Filter::default(), step).unwrap();
            assert_eq!(*end.read.values().last().unwrap(), whole, "behind the last whole line");
        }
    }

    #[test]
    fn a_file_that_is_empty_or_half_a_line_is_no_obstacle() {
        let dir = log();
        for (number, text) in [(301, ""), (302, "{\"half")] {
            let name = format!("audit-gw-20261120T220000123Z-{number:012}.jsonl");
            fs::write(dir.path().join(name), text).unwrap();
        }
        let (lines, _) = read(dir.path(), From::Last(2), &Filter::default(), STEP);
        assert_eq!(lines, [line(299), line(300)]);
    }
}
