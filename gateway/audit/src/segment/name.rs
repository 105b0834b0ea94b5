//! What the files are called: `audit-<node>-<start>-<first>.jsonl`.
//!
//! `start` is when the process opened its log, so that two processes of one node, side by side
//! during an upgrade, never write the same file; `first` is the sequence number of the first
//! event. A file that had to be begun anew ends in `-r1`, `-r2`, ...

use std::fmt;

use doorward_model::UnixMillis;

use crate::log::Sequence;

/// The longest node name in a file name.
const NODE_BYTES_MAX: usize = 64;

/// One run of one node: the process and when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The node, with what does not belong into a file name replaced.
    node: String,
    /// Such as `20261120T220000123Z`.
    start: String,
    /// Both, as the events carry them.
    id: String,
}

impl Run {
    pub(crate) fn new(node: &str, start: UnixMillis) -> Self {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let node: String = node.chars().take(NODE_BYTES_MAX).map(|c| if fits(c) { c } else { '_' }).collect();
        let node = if node.is_empty() { "_".to_owned() } else { node };
        let start = compact_time(start);
        let id = format!("{node}-{start}");
        Self { node, start, id }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn segment(&self, first: Sequence, again: u32) -> SegmentName {
        SegmentName { start: self.start.clone(), first: first.0, again, node: self.node.clone() }
    }
}

/// A file's name. The order of the names is the order in time, as far as names can tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    start: String,
    first: u64,
    again: u32,
    node: String,
}

impl SegmentName {
    /// Reads a name; none when it is no file of the log.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let (rest, again) = match rest.rsplit_once("-r") {
            Some((rest, again)) if digits(again) => (rest, again.parse().ok()?),
            Some(_) | None => (rest, 0),
        };
        let (rest, first) = rest.rsplit_once('-')?;
        let (node, start) = rest.rsplit_once('-')?;
        if node.is_empty() || !digits(first) || !start.ends_with('Z') || !start.contains('T') {
            return None;
        }
        Some(Self { start: start.to_owned(), first: first.parse().ok()?, again, node: node.to_owned() })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audit-{}-{}-{:012}", self.node, self.start, self.first)?;
        if self.again > 0 {
            write!(f, "-r{}", self.again)?;
        }
        f.write_str(".jsonl")
    }
}

fn compact_time(at: UnixMillis) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(time) => time.strftime("%Y%m%dT%H%M%S%3fZ").to_string(),
        Err(_) => format!("00000000T{:018}Z", at.0.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_what_they_write_and_sort_by_time() {
        let run = Run::new("gw-r1-x", UnixMillis(1_795_212_000_123));
        let name = run.segment(Sequence(7), 0);
        assert_eq!(name.to_string(), "audit-gw-r1-x-20261120T220000123Z-000000000007.jsonl");
        let later = Run::new("a", UnixMillis(1_795_212_000_124));
        let names =
            [name, run.segment(Sequence(7), 1), run.segment(Sequence(10), 0), later.segment(Sequence(1), 0)];
        assert!(names.is_sorted());
        for name in names {
            assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn a_hostile_node_name_stays_in_the_folder() {
        let run = Run::new("../../etc/é\n", UnixMillis(0));
        assert_eq!(
            run.segment(Sequence(1), 0).to_string(),
            "audit-.._.._etc___-19700101T000000000Z-000000000001.jsonl"
        );
        assert_eq!(Run::new("", UnixMillis(i64::MAX)).id(), "_-00000000T9223372036854775807Z");
    }

    #[test]
    fn other_files_are_no_segments() {
        for other in [
            "audit.jsonl",
            "audit-x.jsonl",
            "audit-a-b-c.jsonl",
            "audit-a-20261120T220000123Z-1.jsonl.torn",
            "x",
        ] {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
    }
}
