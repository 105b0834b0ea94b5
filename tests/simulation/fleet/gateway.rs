//! One gateway: what it knows, until when, and by which clock; and what it makes of what it is told.

use super::store::{Entry, Ledger, Position, Standing, Word};
use super::{LEASE_MILLIS, PERSONS};
use crate::fleet::server::Answer;
use crate::protocol::{Part, Protocol};

/// A clock that is off by any amount, and runs fast or slow by millionths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) offset_micros: u64,
    pub(super) millionths_slow: u64,
}

impl Clock {
    fn micros(self, now: u64) -> u64 {
        let micros = now * 1000;
        self.offset_micros + micros - micros * self.millionths_slow / 1_000_000
    }
}

/// What an answer leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It proves nothing.
    Refuse,
    /// There is more to read.
    More,
    /// Nothing is missing.
    Current,
    /// The snapshot has to be read first.
    Anew(Ledger),
}

/// A snapshot of which some pieces were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partly {
    pub(super) name: u64,
    pub(super) next: usize,
}

pub(super) struct Gateway {
    pub(super) clock: Clock,
    pub(super) server: usize,
    /// Counts connections and processes; what belongs to an earlier one is not heard.
    pub(super) connection: u32,
    proven: bool,
    position: Position,
    /// The highest generation that was believed.
    generation: u32,
    /// The base of the snapshot that the position was just read from.
    loaded: Option<u64>,
    pub(super) partly: Option<Partly>,
    /// A snapshot that is not whole, with the log after it.
    pub(super) missing: u64,
    pub(super) standings: [Standing; PERSONS],
    /// The highest version of each person that was ever applied: for the promise only.
    pub(super) applied: [u32; PERSONS],
    /// When the question that has no answer yet was sent.
    pub(super) awaiting: Option<u64>,
    /// On its own clock.
    lease_until_micros: u64,
}

// === impl Gateway ===

impl Gateway {
    pub(super) fn new(clock: Clock) -> Gateway {
        Gateway {
            clock,
            server: 0,
            connection: 0,
            proven: false,
            position: Position::default(),
            generation: 0,
            loaded: None,
            partly: None,
            missing: 0,
            standings: [Standing::default(); PERSONS],
            applied: [0; PERSONS],
            awaiting: None,
            lease_until_micros: 0,
        }
    }

    /// Forgets everything, as a new process does.
    pub(super) fn restart(&mut self) {
        let connection = self.connection + 1;
        *self = Gateway { server: self.server, connection, ..Gateway::new(self.clock) };
    }

    pub(super) fn connect(&mut self, server: usize) {
        self.server = server;
        self.connection += 1;
        self.proven = false;
        self.awaiting = None;
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn is_fresh(&self, protocol: Protocol, now: u64) -> bool {
        self.clock.micros(now) < self.lease_until_micros || !protocol.has(Part::Lease)
    }

    pub(super) fn permits(&self, protocol: Protocol, now: u64, person: usize, class: u32) -> bool {
        let standing = self.standings[person];
        self.is_fresh(protocol, now) && !standing.off && class >= standing.mark
    }

    fn apply(&mut self, protocol: Protocol, word: Word) {
        self.standings[word.person].merge(protocol, word.standing);
        let applied = &mut self.applied[word.person];
        *applied = (*applied).max(word.standing.version);
    }

    /// The answer to a poll that was sent at `sent`.
    pub(super) fn answered(
        &mut self,
        protocol: Protocol,
        (now, sent): (u64, u64),
        answer: &Answer,
    ) -> Verdict {
        self.awaiting = None;
        let Some(ledger) = answer.ledger else { return self.refuse() };
        let back = ledger.generation < self.generation && protocol.has(Part::NoWayBack);
        if !answer.blessed || answer.alone || back {
            return self.refuse();
        }
        if self.position.epoch == 0 {
            return Verdict::Anew(ledger);
        }
        let Some(mut end) = ledger.place(protocol, self.position) else { return Verdict::Anew(ledger) };
        for entry in &answer.entries {
            // Behind the snapshot that was just read, and anywhere else.
            let part = if self.loaded == Some(end) { Part::TruncationCheck } else { Part::Predecessors };
            if (entry.before != end && protocol.has(part)) || entry.id <= end {
                return self.broken(&ledger);
            }
            end = entry.id;
        }
        if end > ledger.head {
            return self.cut(&ledger);
        }
        if answer.entries.is_empty() && end != ledger.head {
            return self.broken(&ledger);
        }
        for entry in &answer.entries {
            self.apply(protocol, entry.word);
        }
        self.position = Position { epoch: ledger.epoch, id: end };
        self.generation = ledger.generation;
        let current = end == ledger.head;
        if current || !protocol.has(Part::LeaseAtHead) {
            let from = if protocol.has(Part::LeaseFromSend) { sent } else { now };
            self.lease_until_micros =
                self.lease_until_micros.max(self.clock.micros(from) + LEASE_MILLIS * 1000);
        }
        if !current {
            return Verdict::More;
        }
        (self.proven, self.loaded, self.missing) = (true, None, 0);
        Verdict::Current
    }

    fn refuse(&mut self) -> Verdict {
        self.proven = false;
        Verdict::Refuse
    }

    /// Something does not follow. Where it does not even follow a snapshot that was just read, and no newer one has
    /// taken its place, the log itself has a hole.
    fn broken(&mut self, ledger: &Ledger) -> Verdict {
        if self.loaded == Some(ledger.base) { self.cut(ledger) } else { Verdict::Anew(*ledger) }
    }

    fn cut(&mut self, ledger: &Ledger) -> Verdict {
        (self.position, self.loaded, self.missing) = (Position::default(), None, ledger.snapshot);
        self.refuse()
    }

    /// Begins to read a snapshot, or goes on with it; the number of the next piece.
    pub(super) fn begin(&mut self, protocol: Protocol, ledger: &Ledger) -> usize {
        if !protocol.has(Part::MergeAtResync) {
            self.standings = [Standing::default(); PERSONS];
        }
        let begun = self.partly.filter(|partly| partly.name == ledger.snapshot);
        let partly = begun.unwrap_or(Partly { name: ledger.snapshot, next: 0 });
        self.partly = Some(partly);
        partly.next
    }

    /// A piece of the snapshot came; whether it was the last one.
    pub(super) fn read(
        &mut self,
        protocol: Protocol,
        ledger: &Ledger,
        person: usize,
        standing: Standing,
    ) -> bool {
        self.awaiting = None;
        self.apply(protocol, Word { person, standing });
        let last = person + 1 == PERSONS;
        self.partly = (!last).then_some(Partly { name: ledger.snapshot, next: person + 1 });
        if last {
            self.position = Position { epoch: ledger.epoch, id: ledger.base };
            (self.loaded, self.proven) = (Some(ledger.base), false);
        }
        last
    }

    /// A piece is not there any more.
    pub(super) fn lacks(&mut self, ledger: &Ledger) {
        (self.awaiting, self.partly, self.missing) = (None, None, ledger.snapshot);
    }

    /// A pushed entry; whether it was applied.
    pub(super) fn pushed(&mut self, protocol: Protocol, epoch: u64, entry: &Entry) -> bool {
        let known = self.position;
        let follows = entry.before == known.id || (entry.id > known.id && !protocol.has(Part::Predecessors));
        let proven = self.proven || !protocol.has(Part::ProvenConnection);
        if !proven || known.epoch != epoch || !follows {
            return false;
        }
        self.apply(protocol, entry.word);
        self.position.id = entry.id;
        true
    }
}
