//! What Redis holds for a fleet, and the scripts that change it.

use super::PERSONS;
use crate::protocol::{Part, Protocol};

/// A script answers a poll with so many entries at most.
const PAGE_ENTRIES: usize = 4;
const LOCK_MILLIS: u64 = 1500;

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

/// What is said of a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word {
    pub(super) person: usize,
    pub(super) standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) before: u64,
    pub(super) word: Word,
}

/// A place in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Position {
    pub(super) epoch: u64,
    pub(super) id: u64,
}

/// What the directory held, in pieces: one for each person. No snapshot is called 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) name: u64,
    pub(super) pieces: [Standing; PERSONS],
}

/// What a log says of itself. There is none while the epoch is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ledger {
    pub(super) epoch: u64,
    pub(super) generation: u32,
    /// The server that was blessed.
    pub(super) lineage: u64,
    pub(super) head: u64,
    pub(super) base: u64,
    /// Up to which row of the directory everything is there.
    pub(super) row: usize,
    /// Where the epoch before ended that this one goes on from.
    pub(super) before: Position,
    pub(super) snapshot: u64,
}

impl Ledger {
    /// Where a position of this epoch, or of the one before, stands in this log.
    pub(super) fn place(&self, protocol: Protocol, at: Position) -> Option<u64> {
        let before_the_fork = at.id <= self.before.id || !protocol.has(Part::PlaceBeforeTheFork);
        let goes_on = at.epoch == self.before.epoch && before_the_fork;
        let comparable = at.epoch == self.epoch || goes_on || !protocol.has(Part::EpochInPosition);
        (at.epoch > 0 && comparable).then_some(at.id)
    }
}

/// What whoever reconciles or compacts holds on to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hold {
    pub(super) generation: u32,
    pub(super) lineage: u64,
    pub(super) token: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Store {
    pub(super) ledger: Ledger,
    snapshot: Snapshot,
    /// Whoever reads the snapshot of before may finish, half of the times.
    former: Snapshot,
    pub(super) log: Vec<Entry>,
    lock: Option<(u64, u64)>,
    /// A snapshot that some gateway finds not whole, with the log after it.
    pub(super) missing: u64,
}

// === impl Store ===

impl Store {
    /// What comes after a position.
    pub(super) fn after(&self, protocol: Protocol, at: Position) -> Vec<Entry> {
        let Some(id) = self.ledger.place(protocol, at) else { return Vec::new() };
        // Ids only grow in a log, so the place of an id can be searched for.
        let from = self.log.partition_point(|entry| entry.id <= id);
        self.log[from..].iter().take(PAGE_ENTRIES).copied().collect()
    }

    pub(super) fn piece(&self, name: u64, number: usize) -> Option<Standing> {
        [&self.snapshot, &self.former].into_iter().find(|it| it.name == name).map(|it| it.pieces[number])
    }

    /// The newest version of a person that whoever reads all of it knows.
    pub(super) fn version(&self, person: usize) -> u32 {
        let told = self.log.iter().filter(|entry| entry.word.person == person);
        let told = told.map(|entry| entry.word.standing.version).max().unwrap_or(0);
        told.max(self.snapshot.pieces[person].version)
    }

    /// Whether the log begins where the snapshot ends, and ends where it says.
    pub(super) fn is_whole(&self) -> bool {
        match (self.log.first(), self.log.last()) {
            (Some(first), Some(last)) => first.before == self.ledger.base && last.id == self.ledger.head,
            _ => self.ledger.head == self.ledger.base,
        }
    }

    /// Appends as `XADD *` does: the id is the time, or the next one if that is not later than the last.
    pub(super) fn append(&mut self, clock: u64, word: Word) -> Entry {
        let before = self.ledger.head;
        let entry = Entry { id: (clock << 16).max(before + 1), before, word };
        self.log.push(entry);
        self.ledger.head = entry.id;
        entry
    }

    pub(super) fn lock(&mut self, clock: u64, token: u64) -> bool {
        let free = self.lock.is_none_or(|(_, until)| until <= clock);
        if free {
            self.lock = Some((token, clock + LOCK_MILLIS));
        }
        free
    }

    fn is_locked(&self, protocol: Protocol, clock: u64, token: u64) -> bool {
        let own = self.lock.is_some_and(|(by, until)| by == token && until > clock);
        own || !protocol.has(Part::BlessingLocked)
    }

    /// Whether a reconciler may write. `lineage` is that of the server now.
    fn may_bless(&self, protocol: Protocol, clock: u64, hold: Hold, lineage: u64) -> bool {
        let forward = self.ledger.generation < hold.generation || !protocol.has(Part::BlessingForward);
        self.is_locked(protocol, clock, hold.token) && hold.lineage == lineage && forward
    }

    pub(super) fn bless(
        &mut self,
        (protocol, clock, lineage): (Protocol, u64, u64),
        hold: Hold,
        (epoch, row): (u64, usize),
        snapshot: Snapshot,
    ) -> bool {
        let may = self.may_bless(protocol, clock, hold, lineage);
        if may {
            let generation = hold.generation;
            let before = Position::default();
            let ledger =
                Ledger { epoch, generation, lineage, head: 0, base: 0, row, before, snapshot: snapshot.name };
            *self = Store { ledger, snapshot, former: self.retired(), ..Store::default() };
        }
        may
    }

    fn retired(&self) -> Snapshot {
        if self.snapshot.name.is_multiple_of(2) { self.snapshot } else { Snapshot::default() }
    }

    /// Goes on from what was seen.
    pub(super) fn go_on(
        &mut self,
        (protocol, clock, lineage): (Protocol, u64, u64),
        hold: Hold,
        (epoch, row): (u64, usize),
        seen: Ledger,
        words: &[Word],
    ) -> bool {
        let same = self.ledger.epoch == seen.epoch && self.ledger.row == seen.row;
        let may = same && self.may_bless(protocol, clock, hold, lineage);
        if may {
            let before = Position { epoch: self.ledger.epoch, id: self.ledger.head };
            for word in words {
                self.append(clock, *word);
            }
            self.ledger = Ledger { epoch, generation: hold.generation, lineage, row, before, ..self.ledger };
            self.lock = None;
        }
        may
    }

    pub(super) fn compact(
        &mut self,
        (protocol, clock, lineage): (Protocol, u64, u64),
        hold: Hold,
        base: Position,
        snapshot: Snapshot,
    ) -> bool {
        let same = self.ledger.epoch == base.epoch
            && self.ledger.generation == hold.generation
            && self.ledger.lineage == lineage;
        let may = same && self.is_locked(protocol, clock, hold.token);
        if may {
            (self.former, self.snapshot) = (self.retired(), snapshot);
            (self.ledger.base, self.ledger.snapshot) = (base.id, snapshot.name);
            self.log.retain(|entry| entry.id > base.id);
            self.lock = None;
        }
        may
    }
}
