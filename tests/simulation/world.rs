//! One moment of the modelled world, and how it is told apart from others.

use crate::digest::{digest, nibbles};
use crate::protocol::{Case, Part};
use crate::server::{History, Lineage, Role, Server, Store, Write};

/// The most changes that a directory can go through in one exploration.
pub(crate) const CHANGES_MAX: usize = 3;
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

    fn word(self) -> u64 {
        nibbles!(0, self.mark, self.version << 1 | u8::from(self.off))
    }
}

/// How far a gateway has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Position {
    pub(crate) epoch: u8,
    pub(crate) id: u8,
}

impl Position {
    fn word(self) -> u64 {
        nibbles!(0, self.epoch, self.id)
    }
}

/// When a poll was sent: the ticks since, and, for strict requests that came before, what must have been known then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) age: u8,
    pub(crate) floor: u8,
}

/// What the script answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The entries that follow, and whether there are no more; what the gateway knows with them, and where it is.
    Page { position: Position, knowledge: Knowledge, at_head: bool },
    /// What the gateway has read is no beginning of this log: read this snapshot first.
    Anew(Snapshot),
}

/// A snapshot: the position that it covers, and the version of the person in it. It never changes, and another
/// one has another name. So of all its chunks only the one matters in which the person stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    pub(crate) position: Position,
    pub(crate) version: u8,
}

/// The one poll that can be on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Poll {
    Idle,
    Sent(Sent),
    Answered(Sent, Reply),
    /// The chunks are being read; only then the next poll is sent.
    Loading(Snapshot),
}

impl Poll {
    fn word(self) -> u64 {
        let snapshot = |it: Snapshot| it.position.word() << 4 | u64::from(it.version);
        match self {
            Poll::Idle => 0,
            Poll::Sent(Sent { age, floor }) => nibbles!(1, age, floor),
            Poll::Answered(Sent { age, floor }, Reply::Page { position, knowledge, at_head }) => {
                let word = position.word() << 8 | knowledge.word();
                nibbles!(word, age, floor << 1 | u8::from(at_head)) << 4 | 2
            }
            // How old it is does not matter.
            Poll::Answered(_, Reply::Anew(it)) => snapshot(it) << 4 | 3,
            Poll::Loading(it) => snapshot(it) << 4 | 4,
        }
    }
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
    /// For the promise only: a strict request would have gone through on less than was acknowledged before it came.
    pub(crate) outrun: bool,
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
            outrun: false,
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
    /// Whether it is in Redis, and only not noted as published yet.
    pub(crate) written: bool,
}

impl Taken {
    /// No generation is 0.
    fn word(it: Option<Taken>) -> u64 {
        let Some(Taken { version, generation, written }) = it else { return 0 };
        nibbles!(0, version << 1 | u8::from(written), generation)
    }
}

/// A reconciler that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reconciler {
    /// The server that it wants to bless, and who that was in the beginning.
    pub(crate) server: u8,
    pub(crate) lineage: Lineage,
    /// 0 until it has raised it.
    pub(crate) generation: u8,
    /// What the directory had when it read it: the newest change, and the last one noted as published.
    pub(crate) read: Option<(u8, u8)>,
    pub(crate) confirmed: bool,
}

impl Reconciler {
    fn word(it: Option<Reconciler>) -> u64 {
        let Some(Reconciler { server, lineage, generation, read, confirmed }) = it else { return 0 };
        let (version, published) = read.unwrap_or((15, 0));
        let state = 1 + (server << 1 | u8::from(confirmed));
        nibbles!(0, state, lineage.run, lineage.promotion, generation, version, published)
    }
}

/// A compaction that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Compactor {
    pub(crate) server: u8,
    /// The head of the log, when it was read.
    pub(crate) head: Option<Position>,
    /// What the directory had when it was read.
    pub(crate) read: Option<u8>,
}

impl Compactor {
    fn word(it: Option<Compactor>) -> u64 {
        let Some(Compactor { server, head, read }) = it else { return 0 };
        nibbles!(head.unwrap_or_default().word(), 1 + server, read.unwrap_or(15))
    }
}

/// How often each bounded thing happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Happened {
    pub(crate) node_restarts: u8,
    pub(crate) flushes: u8,
    pub(crate) failovers: u8,
    pub(crate) sleeps: u8,
    pub(crate) neighbors: u8,
    pub(crate) stragglers: u8,
    pub(crate) compactions: u8,
    pub(crate) trims: u8,
    pub(crate) lost_reconcilers: u8,
    pub(crate) misled_reconcilers: u8,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) publisher: Option<Taken>,
    pub(crate) straggler: Option<Taken>,
    /// The second was taken for dead, and may still write.
    pub(crate) reconcilers: [Option<Reconciler>; 2],
    pub(crate) compactors: [Option<Compactor>; 2],
    pub(crate) servers: [Server; 2],
    /// Where the primary is, and which one most of those name who elect it; they hear of a new one late.
    pub(crate) current: u8,
    pub(crate) elected: u8,
    pub(crate) gateway: Gateway,
    pub(crate) happened: Happened,
}

impl World {
    /// The person works here, Redis is up, the gateway has just started.
    pub(crate) fn beginning(case: &Case) -> World {
        let mut acknowledged = [PENDING; CHANGES_MAX + 1];
        acknowledged[0] = age_max(case);
        let lineage = Lineage { run: 1, promotion: 1 };
        let (store, history) = (Store::default(), History::default());
        let mut primary = Server { store, history, role: Role::Primary, lineage };
        primary.write(Write::Bless { generation: 1, read: 0, lineage }, case.bounds.node_restarts > 0);
        let replica = Server { role: Role::Replica, lineage: Lineage { run: 2, promotion: 0 }, ..primary };
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
            reconcilers: [None; 2],
            compactors: [None; 2],
            servers: [primary, replica],
            current: 0,
            elected: 0,
            gateway: Gateway::fresh(0),
            happened: Happened::default(),
        }
    }

    pub(crate) fn server(&self, server: u8) -> &Server {
        &self.servers[usize::from(server)]
    }

    pub(crate) fn server_mut(&mut self, server: u8) -> &mut Server {
        &mut self.servers[usize::from(server)]
    }

    /// Writes to the store of a server.
    pub(crate) fn write(&mut self, case: &Case, server: u8, write: Write) {
        let remember = self.happened.node_restarts < case.bounds.node_restarts;
        self.server_mut(server).write(write, remember);
    }

    /// 64 bits by which worlds are told apart. Of a few million worlds two share theirs with a chance of one in a million.
    pub(crate) fn digest(&self) -> u64 {
        let (d, h, g) = (&self.directory, &self.happened, &self.gateway);
        let ([c0, c1, c2, c3], [a0, a1, a2, a3]) = (d.changes, d.acknowledged);
        let changes = nibbles!(0, c0 as u8, c1 as u8, c2 as u8, c3 as u8, a0, a1, a2, a3);
        let taken = Taken::word(self.publisher) << 8 | Taken::word(self.straggler);
        let [reconciler, late_reconciler] = self.reconcilers;
        let [compactor, second_compactor] = self.compactors;
        let compactors = Compactor::word(compactor) << 16 | Compactor::word(second_compactor);
        let happened =
            nibbles!(0, h.node_restarts, h.flushes, h.failovers, h.sleeps, h.neighbors, h.stragglers);
        let happened = nibbles!(happened, h.compactions, h.trims, h.lost_reconcilers, h.misled_reconcilers);
        let [first, second] = &self.servers;
        let gateway = g.position.word() << 8 | g.knowledge.word();
        digest!(
            nibbles!(changes, d.version, d.published, d.generation, self.current << 1 | self.elected),
            happened << 16 | taken,
            Reconciler::word(reconciler) << 24 | Reconciler::word(late_reconciler),
            nibbles!(compactors, g.lease_left, g.heard),
            first.word(),
            first.store.entries(),
            first.history.digest,
            second.word(),
            second.store.entries(),
            second.history.digest,
            nibbles!(gateway, g.node << 2 | u8::from(g.proven) << 1 | u8::from(g.outrun)) << 28
                | g.poll.word(),
        )
    }
}

/// The oldest age of an acknowledgement that makes a difference.
pub(crate) fn age_max(case: &Case) -> u8 {
    case.bounds.lease_ticks + if case.bounds.failovers > 0 { case.bounds.lag_ticks } else { 0 }
}
