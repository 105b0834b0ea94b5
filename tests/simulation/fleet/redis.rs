//! One Redis process with its log.

use crate::protocol::{Part, Protocol};

/// What is known of a person: the mark, and the flag with its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Standing {
    pub(super) mark: u32,
    pub(super) version: u32,
    pub(super) off: bool,
}

impl Standing {
    pub(super) fn merge(&mut self, protocol: Protocol, other: Standing) {
        self.mark = self.mark.max(other.mark);
        if other.version > self.version || !protocol.has(Part::VersionedFlag) {
            self.off = other.off;
        } else if other.version == self.version {
            self.off |= other.off;
        }
        self.version = self.version.max(other.version);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) before: u64,
    pub(super) generation: u32,
    pub(super) person: usize,
    pub(super) standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Primary,
    Replica,
    /// Takes writes until then, and does not know that it was replaced.
    Deposed {
        until: u64,
    },
}

/// How far a gateway has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Position {
    pub(super) generation: u32,
    pub(super) id: u64,
}

/// What a poll finds.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) position: Position,
    pub(super) entries: Vec<Entry>,
}

pub(super) struct Node {
    pub(super) role: Role,
    pub(super) log: Vec<Entry>,
    /// How many of the first entries were cut away.
    pub(super) trimmed: usize,
    /// The generation for which this very process was blessed.
    pub(super) blessed: u32,
    /// How far its clock is ahead.
    pub(super) ahead: u64,
    /// It does nothing before: stopped, or starting.
    pub(super) awake_at: u64,
    /// Counts processes; what was sent to an earlier one is gone.
    pub(super) life: u32,
}

// === impl Node ===

impl Node {
    pub(super) fn generation(&self) -> u32 {
        self.log.last().map_or(0, |entry| entry.generation)
    }

    pub(super) fn takes_writes(&self, now: u64) -> bool {
        match self.role {
            Role::Primary => true,
            Role::Replica => false,
            Role::Deposed { until } => now <= until,
        }
    }

    pub(super) fn is_blessed(&self) -> bool {
        self.blessed != 0 && self.blessed == self.generation()
    }

    /// Appends as `XADD *` does: the id is the time, or the next one if that is not later than the last.
    pub(super) fn append(&mut self, now: u64, generation: u32, person: usize, standing: Standing) -> Entry {
        let before = self.log.last().map_or(0, |entry| entry.id);
        let id = ((now + self.ahead) << 16).max(before + 1);
        let entry = Entry { id, before, generation, person, standing };
        self.log.push(entry);
        entry
    }

    /// Whether everything is there since the entry that began the generation.
    fn is_whole(&self) -> bool {
        let generation = self.generation();
        self.log.iter().position(|entry| entry.generation == generation).is_some_and(|i| self.trimmed <= i)
    }

    /// The poll of a gateway that has read so far; nothing if it is refused or cannot be believed.
    pub(super) fn poll(&self, protocol: Protocol, now: u64, known: Position) -> Option<Reply> {
        let runs = self.takes_writes(now)
            || (!protocol.has(Part::WritablePoll) && matches!(self.role, Role::Deposed { .. }));
        if !runs || (protocol.has(Part::Blessing) && !self.is_blessed()) {
            return None;
        }
        let last = self.log.last()?;
        let position = Position { generation: last.generation, id: last.id };
        let left = &self.log[self.trimmed.min(self.log.len())..];
        // Ids only grow in a log, so the place of an id can be searched for.
        let after = left.partition_point(|entry| entry.id <= known.id);
        let fits = match left.get(after) {
            Some(entry) => entry.before == known.id || !protocol.has(Part::Predecessors),
            None => known.id == last.id,
        };
        if known.generation == position.generation && fits {
            return Some(Reply { position, entries: left[after..].to_vec() });
        }
        self.is_whole().then(|| Reply { position, entries: left.to_vec() })
    }
}
