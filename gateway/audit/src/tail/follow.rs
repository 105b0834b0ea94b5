//! Reading on as the log grows, across files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use doorward_model::limits::AUDIT_LINE_BYTES_MAX;

use crate::segment::SegmentName;

/// How much one poll reads of one file, at most, in bytes.
const POLL_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Holds the end of at least one line.
const LINE_WINDOW: u64 = AUDIT_LINE_BYTES_MAX as u64 + 1;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the first event that is there.
    Start,
    /// With the next event that comes.
    End,
    /// With so many that are there already.
    Last(usize),
}

/// Reads a folder of the log, again and again.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    /// How far each file was read.
    read: BTreeMap<SegmentName, u64>,
    /// Lines that [`From::Last`] found.
    before: Vec<String>,
}

impl Follower {
    /// Begins.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn new(dir: &Path, from: From) -> io::Result<Self> {
        let mut follower = Self { dir: dir.to_owned(), read: BTreeMap::new(), before: Vec::new() };
        let wanted = match from {
            From::Start => return Ok(follower),
            From::End => 0,
            From::Last(wanted) => wanted,
        };
        let names = follower.names()?;
        for name in names.iter().rev() {
            let mut file = File::open(dir.join(name.to_string()))?;
            let missing = wanted.saturating_sub(follower.before.len());
            let (mut lines, end) = last_lines(&mut file, missing)?;
            lines.append(&mut follower.before);
            follower.before = lines;
            follower.read.insert(name.clone(), end);
        }
        Ok(follower)
    }

    /// The lines that have come since. Bounded: what is left comes with the next poll.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<String>> {
        let mut lines = std::mem::take(&mut self.before);
        for name in self.names()? {
            let at = self.read.get(&name).copied().unwrap_or(0);
            let mut file = match File::open(self.dir.join(name.to_string())) {
                Ok(file) => file,
                // Retired between the listing and now.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            // A tail that was cut off was never an event.
            let at = at.min(file.metadata()?.len());
            let end = whole_lines(&mut file, at, &mut lines)?;
            self.read.insert(name, end);
        }
        Ok(lines)
    }

    fn names(&self) -> io::Result<Vec<SegmentName>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            names.extend(entry?.file_name().to_str().and_then(SegmentName::parse));
        }
        names.sort();
        Ok(names)
    }
}

/// Reads whole lines from `at` on, and tells where they end.
fn whole_lines(file: &mut File, at: u64, lines: &mut Vec<String>) -> io::Result<u64> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    Read::by_ref(file).take(POLL_BYTES_MAX).read_to_end(&mut bytes)?;
    let whole = match bytes.iter().rposition(|b| *b == b'\n') {
        Some(last) => last.saturating_add(1),
        // No event is as long as this: show it as it is, and go on behind it.
        None if bytes.len() > AUDIT_LINE_BYTES_MAX => bytes.len(),
        None => 0,
    };
    let text = bytes.get(..whole).unwrap_or_default();
    lines.extend(text.split_inclusive(|b| *b == b'\n').map(|l| {
        let l = l.strip_suffix(b"\n").unwrap_or(l);
        String::from_utf8_lossy(l).into_owned()
    }));
    Ok(at.saturating_add(u64::try_from(whole).unwrap_or(0)))
}

/// The last lines of a file, and where the last whole line ends.
fn last_lines(file: &mut File, wanted: usize) -> io::Result<(Vec<String>, u64)> {
    let size = file.metadata()?.len();
    // Without any line wanted, only the end of the last one has to be found.
    let window = if wanted == 0 { LINE_WINDOW } else { POLL_BYTES_MAX };
    let start = size.saturating_sub(window);
    let mut lines = Vec::new();
    let end = whole_lines(file, start, &mut lines)?;
    // The first one may have begun before.
    let cut = usize::from(start > 0 && !lines.is_empty());
    let first = lines.len().saturating_sub(wanted).max(cut);
    Ok((lines.split_off(first.min(lines.len())), end))
}
