//! A control node, step by step: what it asks a server for, and what it does next.

use super::PERSONS;
use super::store::{Hold, Ledger, Position, Snapshot, Standing, Word};

/// What is asked of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Command {
    Look,
    Lock { token: u64 },
    Publish { generation: u32, words: Vec<Word>, row: usize },
    Bless { hold: Hold, row: usize, snapshot: Snapshot },
    GoOn { hold: Hold, row: usize, seen: Ledger, words: Vec<Word> },
    Compact { hold: Hold, base: Position, snapshot: Snapshot },
}

/// What a server looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Look {
    pub(super) ledger: Option<Ledger>,
    pub(super) lineage: u64,
    pub(super) blessed: bool,
    /// Neither the server nor a gateway finds something missing.
    pub(super) whole: bool,
    pub(super) log_entries: usize,
}

/// What a server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    Looks(Look),
    /// Whether it was done.
    Done(bool),
}

/// What a snapshot is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// A blessing; up to this row everything is in it.
    Bless { row: usize },
    /// A compaction up to there.
    Compact { base: Position },
}

/// What was asked last, or what comes after a pause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Idle,
    Looks,
    Publishes {
        generation: u32,
        row: usize,
    },
    Notes {
        generation: u32,
        row: usize,
    },
    Locks {
        compacts: bool,
        token: u64,
    },
    /// Looks what the server is that it has locked. What was read too early, if a part is left out.
    Sees {
        compacts: bool,
        token: u64,
        early: Option<(usize, Snapshot)>,
    },
    SeesAgain {
        hold: Hold,
        early: Option<(usize, Snapshot)>,
    },
    Reads {
        hold: Hold,
        purpose: Purpose,
        pieces: [Standing; PERSONS],
        next: usize,
    },
    AsksElectors {
        write: Command,
    },
    AsksDirectory {
        write: Command,
    },
    Writes,
}

pub(super) struct Control {
    /// The server that it speaks to.
    pub(super) server: usize,
    pub(super) stage: Stage,
    /// Counts what it does; what belongs to something given up is not heard.
    pub(super) session: u32,
    pub(super) asleep_until: u64,
}
