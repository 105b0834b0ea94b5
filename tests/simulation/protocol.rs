//! The parts of the protocol, each of which can be taken out, and how much may happen in one exploration.

/// A part of the protocol that somebody could think is not needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Part {
    /// A gateway that was not told for a while that it is up to date permits nothing.
    Lease,
    /// The lease counts from the moment the poll was sent, not from its answer.
    LeaseFromSend,
    /// Only a poll that shows that nothing is left to read gives a lease.
    LeaseAtHead,
    /// A change is acknowledged when Redis has it, not when the directory has it.
    AcknowledgeAfterPublish,
    /// The poll is a script that may write, so that a primary without replicas refuses it.
    WritablePoll,
    /// A primary that lost its replicas refuses writes after a while (`min-replicas-max-lag`).
    LagLimit,
    /// The scripts count the replicas themselves, as Redis may have slept since it did.
    CountedReplicas,
    /// No lease from a server that was not reconciled with the directory.
    Blessing,
    /// A server that is another one than before the directory was read is not blessed.
    BlessingOfOneLineage,
    /// A server that was made a replica and a primary again is another one, though the process is the same
    /// (the lineage is a replication id, not a run id).
    LineageOfPromotion,
    /// A blessing does not take the place of one of a later generation.
    BlessingForward,
    /// Who is going to bless puts a token there first, and blesses only while it stands there.
    BlessingLocked,
    /// Before it blesses, a reconciler asks those who elect a primary, and most of them name this one.
    BlessingOfTheElected,
    /// After that and before it blesses, a reconciler looks whether its generation is still the last.
    BlessingOfTheLast,
    /// The snapshot is read from the directory after the generation was raised.
    SnapshotAfterRaise,
    /// A publisher writes only to a log of the generation that the directory has.
    Fence,
    /// A publisher writes only to a blessed server.
    PublishOnlyBlessed,
    /// A position in the log is an epoch and an id; an id alone is not compared across epochs.
    EpochInPosition,
    /// A position in the epoch that a log goes on from counts up to where the two part.
    PlaceBeforeTheFork,
    /// A log goes on with all rows after the last that was written to it; what a compaction read does not count.
    RowOfTheLog,
    /// Every entry names the one before it, and what does not fit is not applied.
    Predecessors,
    /// A log whose first entry does not follow the snapshot is not taken for a whole one.
    TruncationCheck,
    /// A compaction takes the head of the log before it reads the directory, and cuts up to there.
    CompactBaseBeforeRead,
    /// A compaction is good for no epoch but the one in which it took the head.
    CompactOfOneEpoch,
    /// That token is another one at each attempt, also of the same control node.
    TokenOfOneAttempt,
    /// Who is going to compact puts a token there first, too.
    CompactLocked,
    /// A gateway takes nothing from a log of an earlier generation than it has seen.
    NoWayBack,
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
    pub(crate) const ALL: [Part; 34] = [
        Part::Lease,
        Part::LeaseFromSend,
        Part::LeaseAtHead,
        Part::AcknowledgeAfterPublish,
        Part::WritablePoll,
        Part::LagLimit,
        Part::CountedReplicas,
        Part::Blessing,
        Part::BlessingOfOneLineage,
        Part::LineageOfPromotion,
        Part::BlessingForward,
        Part::BlessingLocked,
        Part::BlessingOfTheElected,
        Part::BlessingOfTheLast,
        Part::SnapshotAfterRaise,
        Part::Fence,
        Part::PublishOnlyBlessed,
        Part::EpochInPosition,
        Part::PlaceBeforeTheFork,
        Part::RowOfTheLog,
        Part::Predecessors,
        Part::TruncationCheck,
        Part::CompactBaseBeforeRead,
        Part::CompactOfOneEpoch,
        Part::TokenOfOneAttempt,
        Part::CompactLocked,
        Part::NoWayBack,
        Part::ProvenConnection,
        Part::MergeAtResync,
        Part::MarkKept,
        Part::ReturnRaisesMark,
        Part::VersionedFlag,
        Part::FlagTakenBack,
        Part::LogicalStamps,
    ];
}

/// How a server is blessed that has a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GoOn {
    /// Like any other: with a new snapshot and an empty log.
    Never,
    /// The log goes on under a new epoch, if it has all that the directory notes as published. Then a change is
    /// acknowledged only when it is noted.
    ByMark,
    /// Either begins anew, or goes on under a new epoch and gets what the directory has beyond it in the same step.
    ByRows,
}

/// A set of parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    parts: u64,
    go_on: GoOn,
}

impl Protocol {
    pub(crate) const WHOLE: Protocol = Protocol { parts: u64::MAX, go_on: GoOn::ByRows };

    pub(crate) fn without(self, part: Part) -> Protocol {
        Protocol { parts: self.parts & !(1 << part as u32), ..self }
    }

    pub(crate) fn with(self, go_on: GoOn) -> Protocol {
        Protocol { go_on, ..self }
    }

    pub(crate) fn go_on(self) -> GoOn {
        self.go_on
    }

    pub(crate) fn has(self, part: Part) -> bool {
        self.parts & (1 << part as u32) != 0
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
    /// Entries that the answer to one poll holds.
    pub(crate) page_entries: u8,
    /// Whether strict requests are looked at, too: each waits for a poll that is sent after it came.
    pub(crate) strict: bool,
    /// Changes to the person in the directory.
    pub(crate) changes: u8,
    /// Whether a change may be one that only signs out.
    pub(crate) sign_outs: bool,
    /// Restarts of the Redis primary, each of which may lose any part of the end of what it did.
    pub(crate) node_restarts: u8,
    /// How often somebody deletes everything in Redis.
    pub(crate) flushes: u8,
    /// Failovers to the replica; for a second one the deposed primary becomes a replica first.
    pub(crate) failovers: u8,
    /// How often a deposed primary is stopped for any time.
    pub(crate) sleeps: u8,
    /// Changes to somebody else.
    pub(crate) neighbors: u8,
    /// Publishers that take a change, fall asleep, and write it late.
    pub(crate) stragglers: u8,
    /// Compactions, two of which may be under way at once.
    pub(crate) compactions: u8,
    /// How often somebody cuts the log by hand.
    pub(crate) trims: u8,
    /// Reconcilers that raise the generation, are taken for dead, and perhaps write late.
    pub(crate) lost_reconcilers: u8,
    /// Reconcilers that take the deposed primary for the primary.
    pub(crate) misled_reconcilers: u8,
}

impl Bounds {
    /// Nothing breaks but messages, connections and the gateway.
    pub(crate) const CALM: Bounds = Bounds {
        lease_ticks: 1,
        lag_ticks: 1,
        page_entries: 8,
        strict: false,
        changes: 2,
        sign_outs: true,
        node_restarts: 0,
        flushes: 0,
        failovers: 0,
        sleeps: 0,
        neighbors: 0,
        stragglers: 0,
        compactions: 0,
        trims: 0,
        lost_reconcilers: 0,
        misled_reconcilers: 0,
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
