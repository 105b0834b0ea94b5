//! One gateway: what it knows, until when, and by which clock.

use super::LEASE_MILLIS;
use super::redis::{Entry, Position, Reply, Standing};
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

pub(super) struct Gateway {
    pub(super) clock: Clock,
    pub(super) node: usize,
    /// Counts connections and processes; what belongs to an earlier one is not heard.
    pub(super) connection: u32,
    pub(super) proven: bool,
    pub(super) position: Position,
    pub(super) standings: Vec<Standing>,
    /// When the poll that has no answer yet was sent.
    pub(super) awaiting: Option<u64>,
    /// On its own clock.
    lease_until_micros: u64,
}

// === impl Gateway ===

impl Gateway {
    pub(super) fn new(clock: Clock, persons: usize) -> Gateway {
        Gateway {
            clock,
            node: 0,
            connection: 0,
            proven: false,
            position: Position::default(),
            standings: vec![Standing::default(); persons],
            awaiting: None,
            lease_until_micros: 0,
        }
    }

    /// Forgets everything, as a new process does.
    pub(super) fn restart(&mut self) {
        let connection = self.connection + 1;
        *self = Gateway { node: self.node, connection, ..Gateway::new(self.clock, self.standings.len()) };
    }

    pub(super) fn connect(&mut self, node: usize) {
        self.node = node;
        self.connection += 1;
        self.proven = false;
        self.awaiting = None;
    }

    pub(super) fn is_fresh(&self, protocol: Protocol, now: u64) -> bool {
        self.clock.micros(now) < self.lease_until_micros || !protocol.has(Part::Lease)
    }

    pub(super) fn permits(&self, protocol: Protocol, now: u64, person: usize, class: u32) -> bool {
        let standing = self.standings[person];
        self.is_fresh(protocol, now) && !standing.off && class >= standing.mark
    }

    /// The answer to a poll that was sent at `sent`.
    pub(super) fn answered(&mut self, protocol: Protocol, now: u64, sent: u64, reply: &Reply) {
        for entry in &reply.entries {
            self.standings[entry.person].merge(protocol, entry.standing);
        }
        let older =
            self.position.generation == reply.position.generation && self.position.id > reply.position.id;
        if !older {
            self.position = reply.position;
        }
        self.proven = true;
        self.awaiting = None;
        let from = if protocol.has(Part::LeaseFromSend) { sent } else { now };
        self.lease_until_micros = self.lease_until_micros.max(self.clock.micros(from) + LEASE_MILLIS * 1000);
    }

    /// A pushed entry; whether it was applied.
    pub(super) fn pushed(&mut self, protocol: Protocol, entry: &Entry) -> bool {
        let follows = entry.before == self.position.id
            || (entry.id > self.position.id && !protocol.has(Part::Predecessors));
        if !self.proven || entry.generation != self.position.generation || !follows {
            return false;
        }
        self.standings[entry.person].merge(protocol, entry.standing);
        self.position.id = entry.id;
        true
    }
}
