//! The parts of the protocol, each of which can be taken out, and how much may happen in one exploration.

/// A part of the protocol that somebody could think is not needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Part {
    /// A gateway that was not told for a while that it is up to date permits nothing.
    Lease,
    /// The lease counts from the moment the poll was sent, not from its answer.
    LeaseFromSend,
    /// A change is acknowledged when Redis has it, not when the directory has it.
    AcknowledgeAfterPublish,
    /// The poll is a script that may write, so a primary without replicas refuses it.
    WritablePoll,
    /// A primary that lost its replicas refuses writes after a while (`min-replicas-max-lag`).
    LagLimit,
    /// No lease from a Redis process that was not reconciled with the directory (run id).
    Blessing,
    /// The blessing names the process that ran before the directory was read, and is good for no other.
    BlessingOfOneRun,
    /// A publisher writes only to a log of the generation that the directory has.
    Fence,
    /// A position in the log is a generation and an id; an id alone is not compared across generations.
    GenerationInPosition,
    /// Every entry names the one before it, and what does not fit is not applied.
    Predecessors,
    /// A log of which too much was cut away is not taken for a whole one.
    TruncationCheck,
    /// What is pushed counts only on a connection on which a poll succeeded.
    ProvenConnection,
    /// What is read anew is merged into what is known; it does not replace it.
    MergeAtResync,
    /// The mark of a person is never lowered and never deleted.
    MarkKept,
    /// Who comes back gets a higher mark, so that what was issued meanwhile stays dead.
    ReturnRaisesMark,
    /// Of two entries that contradict each other about the flag, the higher version holds, not the later to come.
    VersionedFlag,
    /// The flag can be taken back by a higher version; it is not a second mark that only grows.
    FlagTakenBack,
    /// Stamps come from one logical clock per person, not from the clocks of machines.
    LogicalStamps,
}

impl Part {
    pub(crate) const ALL: [Part; 18] = [
        Part::Lease,
        Part::LeaseFromSend,
        Part::AcknowledgeAfterPublish,
        Part::WritablePoll,
        Part::LagLimit,
        Part::Blessing,
        Part::BlessingOfOneRun,
        Part::Fence,
        Part::GenerationInPosition,
        Part::Predecessors,
        Part::TruncationCheck,
        Part::ProvenConnection,
        Part::MergeAtResync,
        Part::MarkKept,
        Part::ReturnRaisesMark,
        Part::VersionedFlag,
        Part::FlagTakenBack,
        Part::LogicalStamps,
    ];
}

/// A set of parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol(u32);

impl Protocol {
    pub(crate) const WHOLE: Protocol = Protocol(u32::MAX);

    pub(crate) fn without(self, part: Part) -> Protocol {
        Protocol(self.0 & !(1 << part as u32))
    }

    pub(crate) fn has(self, part: Part) -> bool {
        self.0 & (1 << part as u32) != 0
    }
}

/// How long things take, in ticks, and how often they may happen. What is not bounded here (time itself,
/// polls, pushes, lost connections, restarts of the gateway) happens as often as it likes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// N: the lease of a gateway.
    pub(crate) lease_ticks: u8,
    /// L: how long a primary that lost its replicas still accepts writes.
    pub(crate) lag_ticks: u8,
    /// Changes to the person in the directory.
    pub(crate) changes: u8,
    /// Restarts of the Redis primary, each of which may lose any part of the end of the log.
    pub(crate) node_restarts: u8,
    /// Failovers to the replica: 0 or 1, as there is one replica.
    pub(crate) failovers: u8,
    /// Changes to somebody else.
    pub(crate) neighbors: u8,
    /// Publishers that take a change, fall asleep, and write it late.
    pub(crate) stragglers: u8,
    /// How often somebody cuts all but the last entry from the log.
    pub(crate) trims: u8,
    /// Reconcilers that raise the generation, are taken for dead, and perhaps write late.
    pub(crate) lost_reconcilers: u8,
}

impl Bounds {
    /// Nothing breaks but messages, connections and the gateway.
    pub(crate) const CALM: Bounds = Bounds {
        lease_ticks: 1,
        lag_ticks: 1,
        changes: 2,
        node_restarts: 0,
        failovers: 0,
        neighbors: 0,
        stragglers: 0,
        trims: 0,
        lost_reconcilers: 0,
    };
}

/// What is explored: a protocol within bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) protocol: Protocol,
    pub(crate) bounds: Bounds,
}

impl Case {
    pub(crate) fn has(&self, part: Part) -> bool {
        self.protocol.has(part)
    }
}
