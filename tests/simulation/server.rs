//! A modelled Redis server: what it holds, what was done to it, and what it is allowed to be.

use crate::digest::{mix, nibbles};
use crate::protocol::{Case, Part};

/// The most entries that a log can hold; the bounds are such that no log is ever full.
const LOG_MAX: u8 = 8;
/// The most writes that a server remembers to lose them in a restart.
const HISTORY_MAX: usize = 16;

/// Which process it is, and since which promotion. The replication id (`master_replid`) tells both, `run_id` only
/// the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lineage {
    pub(crate) run: u8,
    pub(crate) promotion: u8,
}

// === impl Lineage ===

impl Lineage {
    /// Whether a server that was this one is taken for the same.
    pub(crate) fn is_still(self, case: &Case, now: Lineage) -> bool {
        self.run == now.run && (self.promotion == now.promotion || !case.has(Part::LineageOfPromotion))
    }
}

/// What is replicated, and lost: the hash of meta, the snapshot and the log.
///
/// Each reconciler has a generation of its own and blesses once, so the generation stands for the epoch, too. The
/// id of an entry is its place in the log of its epoch, and its predecessor the place before. So two logs that
/// parted have the same ids, the worst that could be. What was cut away is written as nothing, as it is in Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Store {
    /// `e` and `g`; 0 if there is no meta.
    pub(crate) epoch: u8,
    /// `r`.
    pub(crate) blessed: Lineage,
    /// Who reconciles or compacts, or 0.
    pub(crate) lock: u8,
    /// Up to which version the snapshot knows the person, and up to which id it covers the log (`b`).
    pub(crate) snapshot: u8,
    pub(crate) base: u8,
    /// The id of the last entry (`l`), and of the last that is not there any more.
    pub(crate) head: u8,
    pub(crate) trimmed: u8,
    /// Four bits for each entry: what was the person's version.
    entries: u32,
    /// `q`: the newest version that was written, or was read for the blessing. All changes up to it are in the
    /// snapshot or in the log. What a compaction read is not counted: who reads the log may never read its snapshot.
    pub(crate) published: u8,
    /// The epoch whose log this one goes on with, and the head then (`pe` and `pl`).
    pub(crate) former_epoch: u8,
    pub(crate) former_head: u8,
}

/// A write to the store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    Lock {
        token: u8,
    },
    Bless {
        generation: u8,
        read: u8,
        lineage: Lineage,
    },
    /// The log goes on, with the changes up to this one.
    GoOn {
        generation: u8,
        read: u8,
        lineage: Lineage,
    },
    /// An entry, and up to which row of the directory all are here with it.
    Append {
        version: u8,
        row: u8,
    },
    Compact {
        base: u8,
        read: u8,
    },
    Cut {
        kept: u8,
    },
    /// All rows up to this one are said to be here.
    Row {
        row: u8,
    },
    Flush,
}

// === impl Store ===

impl Store {
    /// The version that the entry tells of.
    pub(crate) fn entry(&self, id: u8) -> u8 {
        u8::try_from(self.entries >> (4 * u32::from(id - 1)) & 15).unwrap()
    }

    /// Whether the log follows the snapshot.
    pub(crate) fn is_whole(&self) -> bool {
        self.trimmed <= self.base
    }

    fn append(&mut self, version: u8) {
        assert!(self.head < LOG_MAX, "a log is full: the exploration would be cut short");
        self.entries |= u32::from(version) << (4 * u32::from(self.head));
        self.head += 1;
    }

    fn cut(&mut self, up_to: u8) {
        self.trimmed = self.trimmed.max(up_to);
        let kept = u64::from(u32::MAX) << (4 * u32::from(self.trimmed));
        self.entries &= u32::try_from(kept & u64::from(u32::MAX)).unwrap();
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Lock { token } => self.lock = token,
            Write::Bless { generation, read, lineage } => {
                *self = Store {
                    epoch: generation,
                    blessed: lineage,
                    snapshot: read,
                    published: read,
                    ..Store::default()
                }
            }
            Write::GoOn { generation, read, lineage } => {
                (self.former_epoch, self.former_head) = (self.epoch, self.head);
                (self.epoch, self.blessed, self.lock) = (generation, lineage, 0);
                for version in self.published + 1..=read {
                    self.append(version);
                    self.published = version;
                }
            }
            Write::Append { version, row } => {
                self.append(version);
                self.published = self.published.max(row);
            }
            Write::Compact { base, read } => {
                (self.base, self.snapshot, self.lock) = (base, read, 0);
                self.cut(base);
            }
            Write::Cut { kept } => self.cut(self.head - kept),
            Write::Row { row } => self.published = row,
            Write::Flush => *self = Store::default(),
        }
    }

    pub(crate) fn entries(&self) -> u64 {
        u64::from(self.entries)
    }

    /// All but the entries.
    fn word(&self) -> u64 {
        let Lineage { run, promotion } = self.blessed;
        let word = nibbles!(0, self.epoch, run, promotion, self.lock, self.snapshot, self.base, self.head);
        nibbles!(word, self.trimmed, self.published, self.former_epoch, self.former_head)
    }
}

/// All writes since the beginning. A restart may lose any part of the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct History {
    writes: [u16; HISTORY_MAX],
    pub(crate) len: u8,
    pub(crate) digest: u64,
}

// === impl History ===

impl History {
    fn push(&mut self, write: Write) {
        let of = |lineage: Lineage| u16::from(lineage.run) << 3 | u16::from(lineage.promotion);
        let word = match write {
            Write::Lock { token } => u16::from(token),
            Write::Bless { generation, read, lineage } => {
                1 << 13 | u16::from(generation) << 8 | u16::from(read) << 6 | of(lineage)
            }
            Write::GoOn { generation, read, lineage } => {
                2 << 13 | u16::from(generation) << 8 | u16::from(read) << 6 | of(lineage)
            }
            Write::Append { version, row } => 3 << 13 | u16::from(row) << 6 | u16::from(version),
            Write::Compact { base, read } => 4 << 13 | u16::from(base) << 6 | u16::from(read),
            Write::Cut { kept } => 5 << 13 | u16::from(kept),
            Write::Row { row } => 6 << 13 | u16::from(row),
            Write::Flush => 7 << 13,
        };
        self.writes[usize::from(self.len)] = word;
        self.len += 1;
        self.digest = mix(self.digest, u64::from(word));
    }

    fn get(&self, i: u8) -> Write {
        let word = self.writes[usize::from(i)];
        let bits = |from: u32, count: u32| u8::try_from(word >> from & ((1 << count) - 1)).unwrap();
        let (generation, read) = (bits(8, 5), bits(6, 2));
        let lineage = Lineage { run: bits(3, 3), promotion: bits(0, 3) };
        match bits(13, 3) {
            0 => Write::Lock { token: bits(0, 5) },
            1 => Write::Bless { generation, read, lineage },
            2 => Write::GoOn { generation, read, lineage },
            3 => Write::Append { version: bits(0, 4), row: bits(6, 4) },
            4 => Write::Compact { base: bits(6, 4), read: bits(0, 4) },
            5 => Write::Cut { kept: bits(0, 4) },
            6 => Write::Row { row: bits(0, 4) },
            _ => Write::Flush,
        }
    }
}

/// Whether a process runs that was stopped once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waking {
    /// It knows how many replicas it has.
    Awake,
    /// It does nothing.
    Asleep,
    /// It runs, and believes that it has the replicas that it had.
    Uncounted,
}

/// What Redis knows of a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Script {
    /// It may write.
    Writing,
    /// It is flagged `no-writes`.
    Reading,
}

/// What a server is allowed to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Primary,
    Replica,
    /// It was replaced and does not know. It takes writes for so many ticks (this one included).
    Deposed {
        ticks_left: u8,
        waking: Waking,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) history: History,
    pub(crate) role: Role,
    pub(crate) lineage: Lineage,
}

// === impl Server ===

impl Server {
    pub(crate) fn write(&mut self, write: Write, remember: bool) {
        self.store.write(write);
        if remember {
            self.history.push(write);
        }
    }

    /// Comes back with its first `kept` writes.
    pub(crate) fn restart(&mut self, kept: u8, lineage: Lineage) {
        let history = self.history;
        (self.store, self.history, self.lineage) = (Store::default(), History::default(), lineage);
        for i in 0..kept {
            self.write(history.get(i), true);
        }
    }

    /// Whether Redis takes writes here.
    pub(crate) fn takes_writes(&self) -> bool {
        match self.role {
            Role::Primary => true,
            Role::Replica | Role::Deposed { waking: Waking::Asleep, .. } => false,
            Role::Deposed { ticks_left, waking: Waking::Awake } => ticks_left > 0,
            Role::Deposed { waking: Waking::Uncounted, .. } => true,
        }
    }

    /// Whether a script runs here, and does not refuse for want of replicas.
    pub(crate) fn runs(&self, case: &Case, script: Script) -> bool {
        match self.role {
            Role::Primary => true,
            Role::Replica | Role::Deposed { waking: Waking::Asleep, .. } => false,
            Role::Deposed { ticks_left, .. } => {
                let limited = script == Script::Writing && case.has(Part::LagLimit);
                let counted = ticks_left > 0 || !case.has(Part::CountedReplicas);
                counted && (self.takes_writes() || !limited)
            }
        }
    }

    pub(crate) fn is_blessed(&self, case: &Case) -> bool {
        self.store.epoch != 0 && self.store.blessed.is_still(case, self.lineage)
    }

    /// All but the entries and the history.
    pub(crate) fn word(&self) -> u64 {
        let (role, waking) = match self.role {
            Role::Primary => (15, 0),
            Role::Replica => (14, 0),
            Role::Deposed { ticks_left, waking } => (ticks_left, waking as u8),
        };
        nibbles!(self.store.word(), self.lineage.run, self.lineage.promotion, role, waking)
    }

    /// A tick passes.
    pub(crate) fn tick(&mut self) {
        if let Role::Deposed { ticks_left, waking } = &mut self.role {
            *ticks_left = ticks_left.saturating_sub(1);
            if *waking == Waking::Uncounted {
                *waking = Waking::Awake;
            }
        }
    }
}
