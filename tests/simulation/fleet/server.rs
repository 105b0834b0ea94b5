//! One Redis server: what it holds, whom it follows, and who follows it.

use super::store::{Entry, Ledger, Position, Store, Word};
use super::{LAG_MILLIS, REPLICAS_MIN, SERVERS};
use crate::protocol::{Part, Protocol};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Primary,
    /// Follows that server; whether it has had everything from it once.
    Replica {
        of: usize,
        synced: bool,
    },
}

/// What a poll finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) ledger: Option<Ledger>,
    pub(super) blessed: bool,
    /// Too few replicas follow.
    pub(super) alone: bool,
    pub(super) entries: Vec<Entry>,
}

pub(super) struct Server {
    pub(super) role: Role,
    pub(super) store: Store,
    /// What it would come back with.
    pub(super) saved: Store,
    /// New after every start and every promotion; and of the process alone.
    pub(super) lineage: u64,
    pub(super) process: u64,
    /// When each replica was heard of last.
    heard: [Option<u64>; SERVERS],
    /// How far its clock is ahead.
    pub(super) ahead: u64,
    /// It does nothing in between: stopped, or starting.
    pub(super) asleep: (u64, u64),
    /// Counts replication links, and what is on its way on this one.
    pub(super) link: u32,
    pub(super) delivered: u32,
    /// The election that it was told of last.
    pub(super) election: u32,
}

// === impl Server ===

impl Server {
    pub(super) fn new(role: Role, lineage: u64, ahead: u64) -> Server {
        Server {
            role,
            store: Store::default(),
            saved: Store::default(),
            lineage,
            process: lineage,
            heard: [None; SERVERS],
            ahead,
            asleep: (0, 0),
            link: 0,
            delivered: 0,
            election: 0,
        }
    }

    pub(super) fn is_awake(&self, now: u64) -> bool {
        self.asleep.1 <= now
    }

    pub(super) fn clock(&self, now: u64) -> u64 {
        now + self.ahead
    }

    /// What stands in the blessing, if this server is meant.
    pub(super) fn lineage(&self, protocol: Protocol) -> u64 {
        if protocol.has(Part::LineageOfPromotion) { self.lineage } else { self.process }
    }

    /// Who was heard of is gone, as after a start or a promotion.
    pub(super) fn forget_replicas(&mut self) {
        self.heard = [None; SERVERS];
    }

    pub(super) fn hear(&mut self, replica: usize, now: u64) {
        self.heard[replica] = Some(now);
    }

    /// A replica has closed its connection.
    pub(super) fn lose(&mut self, replica: usize) {
        self.heard[replica] = None;
    }

    /// Whether too few replicas follow. Redis itself looks once a second, while it is awake.
    fn is_alone(&self, protocol: Protocol, now: u64) -> bool {
        let counted = now - now % 1000;
        let at = match (protocol.has(Part::CountedReplicas), self.asleep) {
            (true, _) => now,
            (false, (from, until)) if from <= counted && counted < until => from,
            (false, _) => counted,
        };
        let follows = |heard: &&Option<u64>| heard.is_some_and(|heard| at <= heard + LAG_MILLIS);
        self.heard.iter().filter(follows).count() < REPLICAS_MIN
    }

    pub(super) fn is_blessed(&self, protocol: Protocol) -> bool {
        let blessed = self.store.ledger.lineage == self.lineage(protocol);
        self.store.ledger.epoch > 0 && (blessed || !protocol.has(Part::Blessing))
    }

    /// Whether a script may write.
    pub(super) fn may_write(&self, protocol: Protocol, now: u64) -> bool {
        self.role == Role::Primary && !self.is_alone(protocol, now)
    }

    pub(super) fn poll(&self, protocol: Protocol, now: u64, at: Position) -> Option<Answer> {
        if self.role != Role::Primary {
            return None;
        }
        Some(Answer {
            ledger: (self.store.ledger.epoch > 0).then_some(self.store.ledger),
            blessed: self.is_blessed(protocol),
            alone: self.is_alone(protocol, now),
            entries: self.store.after(protocol, at),
        })
    }

    /// Adds entries, up to this row of the directory; nothing if it is not allowed to.
    pub(super) fn publish(
        &mut self,
        (protocol, now): (Protocol, u64),
        generation: u32,
        words: &[Word],
        row: usize,
    ) -> Option<Vec<Entry>> {
        let fenced = self.store.ledger.generation != generation && protocol.has(Part::Fence);
        let unblessed = !self.is_blessed(protocol) && protocol.has(Part::PublishOnlyBlessed);
        if !self.may_write(protocol, now) || self.store.ledger.epoch == 0 || fenced || unblessed {
            return None;
        }
        let clock = self.clock(now);
        let entries = words.iter().map(|word| self.store.append(clock, *word)).collect();
        self.store.ledger.row = self.store.ledger.row.max(row);
        Some(entries)
    }
}
