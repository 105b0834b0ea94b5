//! Reads the files of a log as pieces of whole lines, from the oldest to the newest.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

use doorward_audit::files::LogFile;
use doorward_model::limits::AUDIT_LINE_BYTES_MAX;

/// How much is read at once, in bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// Whole lines of one file.
#[derive(Debug)]
pub(super) struct Piece {
    /// The file, by its place in the list.
    pub(super) file: usize,
    /// The number of the first of its lines, from 1.
    pub(super) line: u64,
    /// The lines, each with its end.
    pub(super) text: Vec<u8>,
}

/// Reads one file and hands out its pieces, until `take` wants no more. What follows the last end of a line
/// may be a line that is being written, and is left out.
pub(super) fn read(
    file: usize,
    about: &LogFile,
    mut take: impl FnMut(Piece) -> bool,
) -> io::Result<Option<Tail>> {
    let mut source = match File::open(&about.path) {
        Ok(source) => source,
        // It was retired since it was listed.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut rest: Vec<u8> = Vec::new();
    let mut line = 1;
    loop {
        let mut text = std::mem::take(&mut rest);
        let before = text.len();
        text.reserve_exact(PIECE_BYTES);
        Read::by_ref(&mut source).take(PIECE_BYTES as u64).read_to_end(&mut text)?;
        let end_of_file = text.len() == before;
        match text.iter().rposition(|b| *b == b'\n') {
            Some(last) => rest = text.split_off(last + 1),
            // No event is as long as this. It is handed on as a line of its own, to be counted as damaged.
            None if text.len() > AUDIT_LINE_BYTES_MAX => text.push(b'\n'),
            None if end_of_file => return Ok(Some(Tail { bytes: text.len() })),
            None => {
                rest = text;
                continue;
            }
        }
        let number = lines(&text).count() as u64;
        if !take(Piece { file, line, text }) {
            return Ok(Some(Tail { bytes: 0 }));
        }
        line += number;
    }
}

/// Each line of a text, with its end.
pub(super) fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let all = text;
        // Found many bytes at a time. Memory can always be read.
        let bytes = text.skip_until(b'\n').ok().filter(|bytes| *bytes > 0)?;
        all.get(..bytes)
    })
}

/// What a file ends in behind its last line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// How many bytes.
    pub(super) bytes: usize,
}

/// The name of a file, for people.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use doorward_model::UnixMillis;

    use super::*;

    fn pieces(text: &[u8]) -> (Vec<(u64, usize)>, Option<Tail>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, text).unwrap();
        let about = LogFile { path, bytes: text.len() as u64, written: UnixMillis(0) };
        let (mut found, mut all) = (Vec::new(), Vec::new());
        let tail = read(0, &about, |piece| {
            found.push((piece.line, piece.text.iter().filter(|b| **b == b'\n').count()));
            all.extend(piece.text);
            true
        });
        (found, tail.unwrap(), all)
    }

    #[test]
    fn lines_are_whole_and_counted_across_pieces() {
        let text: Vec<u8> = (0..40_000).flat_map(|n| format!("{n:0>100}\n").into_bytes()).collect();
        let (found, tail, all) = pieces(&text);
        assert!(found.len() >= 4, "{found:?}");
        let mut next = 1;
        for (line, lines) in found {
            assert_eq!(line, next);
            next += lines as u64;
        }
        assert_eq!((next, all == text, tail), (40_001, true, Some(Tail { bytes: 0 })));
    }

    #[test]
    fn a_tail_is_left_and_what_is_no_line_does_not_grow_without_bound() {
        let (found, tail, all) = pieces(b"a\nb\nhalf");
        assert_eq!((found, tail, &*all), (vec![(1, 2)], Some(Tail { bytes: 4 }), &b"a\nb\n"[..]));
        assert_eq!(pieces(b"").1, Some(Tail { bytes: 0 }));
        let (found, tail, _) = pieces(&vec![b'x'; 3 * PIECE_BYTES + 5]);
        assert_eq!(found, [(1, 1), (2, 1), (3, 1)], "each piece is a line of its own");
        assert_eq!(tail, Some(Tail { bytes: 5 }));
    }

    #[test]
    fn a_text_is_the_sum_of_its_lines() {
        for (text, expect) in [
            (&b""[..], &[][..]),
            (b"a\n", &[&b"a\n"[..]]),
            (b"a\n\nb\xff\n", &[b"a\n", b"\n", b"b\xff\n"]),
            (b"\nhalf", &[b"\n", b"half"]),
        ] {
            assert_eq!(Vec::from_iter(lines(text)), expect);
        }
    }

    #[test]
    fn a_file_that_is_gone_is_no_failure() {
        let about = LogFile { path: "/nowhere/at/all".into(), bytes: 0, written: UnixMillis(0) };
        assert_eq!(read(0, &about, |_| true).unwrap(), None);
    }
}
