//! One moment of the modelled world, and how it is told apart from others.

use crate::protocol::{Case, Part};

/// The most changes that a directory can go through in one exploration.
pub(crate) const CHANGES_MAX: usize = 3;
/// The most entries that a log can hold; the bounds are such that no log is ever full.
pub(crate) const LOG_MAX: usize = 10;
/// The age of an acknowledgement that was not given yet.
pub(crate) const PENDING: u8 = 15;

/// What a change does to the person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Change {
    /// Hired, or let in again.
    On,
    /// Switched off: nothing works, however new.
    Off,
    /// Signed out everywhere: whatever is older is dead, and the person stays.
    SignedOut,
}

/// The database that holds the truth.
///
/// Change number `v` is made at version `v`; version 0 is the hiring. Credentials are not listed one by one:
/// *class* `c` stands for all that were issued after change `c` and before the next one, by whomever, also by an
/// issuer that has not heard yet that the person is off. So the stamp of class `c` lies between the marks `c` and `c + 1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directory {
    pub(crate) changes: [Change; CHANGES_MAX + 1],
    pub(crate) version: u8,
    /// How many changes left the outbox.
    pub(crate) published: u8,
    /// Ticks since each change was acknowledged, or `PENDING`; stops counting where no bound lies beyond.
    pub(crate) acknowledged: [u8; CHANGES_MAX + 1],
    pub(crate) generation: u8,
}

impl Directory {
    pub(crate) fn change(&self, version: u8) -> Change {
        self.changes[usize::from(version)]
    }

    pub(crate) fn active(&self) -> bool {
        self.change(self.version) != Change::Off
    }

    /// Whether the change of this version takes the credentials of this class away.
    pub(crate) fn covers(&self, version: u8, class: u8) -> bool {
        match self.change(version) {
            Change::On => false,
            Change::Off => version >= class,
            Change::SignedOut => version > class,
        }
    }
}

/// What an entry says about the person, and what a gateway knows: marks merge to the later one, flags by version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Knowledge {
    pub(crate) mark: u8,
    pub(crate) version: u8,
    pub(crate) off: bool,
}

impl Knowledge {
    /// What the entry of this version says.
    pub(crate) fn of(case: &Case, directory: &Directory, version: u8) -> Knowledge {
        let change = directory.change(version);
        let returned = change == Change::On && version > 0;
        let mark = if returned && !case.has(Part::MarkKept) {
            0
        } else if returned && !case.has(Part::ReturnRaisesMark) {
            version - 1
        } else {
            version
        };
        Knowledge { mark, version, off: change == Change::Off }
    }

    pub(crate) fn merge(&mut self, case: &Case, other: Knowledge) {
        // Version 0 is what everybody assumes; an entry about somebody else is written down as one of it.
        if other.version == 0 {
            return;
        }
        if case.has(Part::MarkKept) {
            self.mark = self.mark.max(other.mark);
        } else if other.version >= self.version {
            self.mark = other.mark;
        }
        if !case.has(Part::FlagTakenBack) {
            self.off |= other.off;
        } else if !case.has(Part::VersionedFlag) || other.version > self.version {
            self.off = other.off;
        } else if other.version == self.version {
            self.off |= other.off;
        }
        self.version = self.version.max(other.version);
    }
}

/// One entry: what was the person's version, and in which generation it was written. Its id is its place, from 1
/// on, and its predecessor the place before. So two logs that parted have the same ids, the worst that could be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) version: u8,
    pub(crate) generation: u8,
}

/// A stream in Redis. A new generation begins with an entry, so whatever
/// part of the log is left tells its generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Log {
    entries: [u8; LOG_MAX],
    pub(crate) len: u8,
    /// How many of the first entries were cut away.
    pub(crate) trimmed: u8,
}

impl Log {
    pub(crate) fn get(&self, id: u8) -> Entry {
        let byte = self.entries[usize::from(id) - 1];
        Entry { version: byte & 15, generation: byte >> 4 }
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(usize::from(self.len) < LOG_MAX, "a log is full: the exploration would be cut short");
        self.entries[usize::from(self.len)] = entry.version | entry.generation << 4;
        self.len += 1;
    }

    /// Loses everything after the first `kept` entries.
    pub(crate) fn keep(&mut self, kept: u8) {
        while self.len > kept {
            self.len -= 1;
            self.entries[usize::from(self.len)] = 0;
        }
        self.trimmed = self.trimmed.min(kept);
    }

    /// The generation, or 0 when there is nothing.
    pub(crate) fn generation(&self) -> u8 {
        if self.len == 0 { 0 } else { self.get(self.len).generation }
    }

    /// Whether all entries are there since the one that began the generation; that one has everything before it.
    pub(crate) fn is_whole(&self) -> bool {
        let generation = self.generation();
        (1..=self.len).find(|id| self.get(*id).generation == generation).is_some_and(|id| self.trimmed < id)
    }
}

/// What a Redis process is allowed to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Primary,
    Replica,
    /// It was replaced and does not know. It takes writes for so many ticks (this one included).
    Deposed {
        ticks_left: u8,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) log: Log,
    pub(crate) role: Role,
    /// The generation for which this very process was blessed; 0 if it never was.
    pub(crate) blessed: u8,
}

impl Node {
    pub(crate) fn takes_writes(&self) -> bool {
        match self.role {
            Role::Primary => true,
            Role::Replica => false,
            Role::Deposed { ticks_left } => ticks_left > 0,
        }
    }

    pub(crate) fn is_blessed(&self) -> bool {
        self.blessed != 0 && self.blessed == self.log.generation()
    }
}

/// How far a gateway has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Position {
    pub(crate) generation: u8,
    pub(crate) id: u8,
}

/// What the script found: everything up to the end of the log, at the moment it ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) position: Position,
    pub(crate) knowledge: Knowledge,
    /// Whether the gateway emptied its memory when the first page of the log came, to fill it page by page.
    pub(crate) emptied: bool,
}

/// The one poll that can be on its way, with the ticks since it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Poll {
    Idle,
    Sent { age: u8 },
    Answered { age: u8, reply: Reply },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Gateway {
    /// Which of the two Redis processes it talks to.
    pub(crate) node: u8,
    /// Whether a poll succeeded on this connection.
    pub(crate) proven: bool,
    pub(crate) position: Position,
    pub(crate) knowledge: Knowledge,
    pub(crate) lease_left: u8,
    pub(crate) poll: Poll,
    /// For the promise only: the highest version that this process ever applied.
    pub(crate) heard: u8,
}

impl Gateway {
    /// A process that has just begun.
    pub(crate) fn fresh(node: u8) -> Gateway {
        Gateway {
            node,
            proven: false,
            position: Position::default(),
            knowledge: Knowledge::default(),
            lease_left: 0,
            poll: Poll::Idle,
            heard: 0,
        }
    }

    pub(crate) fn is_fresh(&self, case: &Case) -> bool {
        self.lease_left > 0 || !case.has(Part::Lease)
    }

    /// Whether a request with a credential of this class goes through.
    pub(crate) fn permits(&self, case: &Case, class: u8) -> bool {
        // Without a common clock, the machine that stamps may be ahead of the one that marks.
        let stamp = if case.has(Part::LogicalStamps) { class } else { class + 1 };
        self.is_fresh(case) && !self.knowledge.off && stamp >= self.knowledge.mark
    }
}

/// A change that somebody took from the outbox, with the generation read then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Taken {
    pub(crate) version: u8,
    pub(crate) generation: u8,
}

/// A reconciler that has raised the generation and read the directory, and not written yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reconciler {
    /// The node that it wants to bless.
    pub(crate) node: u8,
    pub(crate) read: Taken,
    /// Whether that node has restarted since.
    pub(crate) outlived: bool,
}

/// How often each bounded thing happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Happened {
    pub(crate) node_restarts: u8,
    pub(crate) failovers: u8,
    pub(crate) neighbors: u8,
    pub(crate) stragglers: u8,
    pub(crate) trims: u8,
    pub(crate) lost_reconcilers: u8,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) publisher: Option<Taken>,
    pub(crate) straggler: Option<Taken>,
    pub(crate) reconciler: Option<Reconciler>,
    /// One that was taken for dead, and may still write.
    pub(crate) late_reconciler: Option<Reconciler>,
    pub(crate) nodes: [Node; 2],
    /// Where the primary is, as the control plane sees it.
    pub(crate) current: u8,
    pub(crate) gateway: Gateway,
    pub(crate) happened: Happened,
}

impl World {
    /// The person works here, Redis is up, the gateway has just started.
    pub(crate) fn beginning(case: &Case) -> World {
        let mut log = Log::default();
        log.append(Entry { version: 0, generation: 1 });
        let mut acknowledged = [PENDING; CHANGES_MAX + 1];
        acknowledged[0] = age_max(case);
        World {
            directory: Directory {
                changes: [Change::On; CHANGES_MAX + 1],
                version: 0,
                published: 0,
                acknowledged,
                generation: 1,
            },
            publisher: None,
            straggler: None,
            reconciler: None,
            late_reconciler: None,
            nodes: [
                Node { log, role: Role::Primary, blessed: 1 },
                Node { log, role: Role::Replica, blessed: 0 },
            ],
            current: 0,
            gateway: Gateway::fresh(0),
            happened: Happened::default(),
        }
    }

    pub(crate) fn node(&self, node: u8) -> &Node {
        &self.nodes[usize::from(node)]
    }

    pub(crate) fn node_mut(&mut self, node: u8) -> &mut Node {
        &mut self.nodes[usize::from(node)]
    }

    /// 64 bits by which worlds are told apart. Of a few million worlds two share theirs with a chance of one in a million.
    pub(crate) fn digest(&self) -> u64 {
        let mut words = Words::default();
        let d = &self.directory;
        for (change, age) in d.changes.iter().zip(d.acknowledged) {
            words.put(*change as u8, 2);
            words.put(age, 4);
        }
        for number in [d.version, d.published, d.generation, self.current, self.happened.node_restarts] {
            words.put(number, 4);
        }
        let h = &self.happened;
        for number in [h.failovers, h.neighbors, h.stragglers, h.trims, h.lost_reconcilers] {
            words.put(number, 4);
        }
        // No generation is 0.
        let nothing = Taken { version: 0, generation: 0 };
        for taken in [self.publisher, self.straggler] {
            words.taken(taken.unwrap_or(nothing));
        }
        for reconciler in [self.reconciler, self.late_reconciler] {
            let reconciler = reconciler.unwrap_or(Reconciler { node: 0, read: nothing, outlived: false });
            words.put(reconciler.node << 1 | u8::from(reconciler.outlived), 2);
            words.taken(reconciler.read);
        }
        for node in &self.nodes {
            for entry in node.log.entries {
                words.put(entry, 8);
            }
            words.put(node.log.len, 4);
            words.put(node.log.trimmed, 4);
            words.put(node.blessed, 4);
            words.put(
                match node.role {
                    Role::Primary => 15,
                    Role::Replica => 14,
                    Role::Deposed { ticks_left } => ticks_left,
                },
                4,
            );
        }
        let g = &self.gateway;
        words.put(g.node << 1 | u8::from(g.proven), 4);
        words.put(g.lease_left, 4);
        words.put(g.heard, 4);
        words.reading(g.position, g.knowledge);
        match g.poll {
            Poll::Idle => words.put(0, 2),
            Poll::Sent { age } => {
                words.put(1, 2);
                words.put(age, 4);
            }
            Poll::Answered { age, reply } => {
                words.put(2 + u8::from(reply.emptied), 2);
                words.put(age, 4);
                words.reading(reply.position, reply.knowledge);
            }
        }
        words.finish()
    }
}

/// The oldest age of an acknowledgement that makes a difference.
pub(crate) fn age_max(case: &Case) -> u8 {
    case.bounds.lease_ticks + if case.bounds.failovers > 0 { case.bounds.lag_ticks } else { 0 }
}

/// Small numbers, put together to words, and mixed.
#[derive(Default)]
struct Words {
    word: u64,
    bits: u32,
    mixed: u64,
}

impl Words {
    fn put(&mut self, number: u8, bits: u32) {
        if self.bits + bits > u64::BITS {
            self.mix();
        }
        self.word |= u64::from(number) << self.bits;
        self.bits += bits;
    }

    fn taken(&mut self, taken: Taken) {
        self.put(taken.version, 4);
        self.put(taken.generation, 4);
    }

    fn reading(&mut self, position: Position, knowledge: Knowledge) {
        self.put(position.generation, 4);
        self.put(position.id, 4);
        self.put(knowledge.mark, 4);
        self.put(knowledge.version << 1 | u8::from(knowledge.off), 4);
    }

    fn mix(&mut self) {
        // The constants are those of splitmix64.
        let mut x = (self.mixed ^ self.word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.mixed = x ^ x >> 31;
        self.word = 0;
        self.bits = 0;
    }

    fn finish(mut self) -> u64 {
        self.mix();
        self.mixed
    }
}
