//! Many gateways, one truth: how what the directory holds, who was cut off and who people are, reaches every
//! node through Redis.
//!
//! ```text
//!  control node                              Redis (can be rebuilt, holds no truth)        every node
//!  ────────────                              ─────────────────────────────────────        ──────────
//!  directory ──► courier ──PUBLISH──────────► log ──push (SPUBLISH)──────────────────────► line ─► replica
//!      │            ▲ acknowledges             ▲                                            │ ▲
//!      └─ reconcile ┘ ──snapshot, BLESS────────┴──POLL: entries, lease, roll ◄──────────────┘ │
//!                                                snapshot chunks ─────────────────────────────┘
//! ```
//!
//! The cast:
//! * The *log* is a stream whose entries name their predecessor; the *snapshot* is what the
//!   directory held up to the log's *base*. Together they are everything. An entry is what holds for a target, or
//!   a bundle of records.
//! * The *courier* of a control node takes committed rows to the log, and acknowledges them then.
//! * *Blessing*: a control node reads the directory, writes the snapshot and names the Redis process
//!   that it is good for. No other process gives a lease.
//! * The *line* of each node polls and is pushed to, and renews the node's *lease*.
//! * The *roll* is the list of nodes, with what each has applied.
//!
//! Invariants (`tests/simulation` tries every order in which they could break):
//! * A change is acknowledged when it is committed and published under the directory's generation.
//! * What is published in one call comes into force as one, revocations first.
//! * A lease counts from the sending of a poll whose answer showed that nothing was missing, of either kind.
//! * A position is an epoch and an id: ids of two blessings are never compared.
//! * Whatever does not follow its predecessor is not applied, and everything is read anew; what
//!   was known before stays known.
//! * A push lowers latency and proves nothing.
//! * Of two versions of a record the higher holds, unless the directory has another history than before.

mod control;
mod courier;
mod follow;
mod ledger;
mod line;
mod link;
mod locate;
mod pack;
mod roll;
mod script;
mod snapshot;
mod status;
mod taking;
mod threads;

use std::fmt;
use std::time::Duration;

use doorward_model::UnixMillis;
use uuid::Uuid;

pub(crate) use courier::Committed;
pub(crate) use follow::jitter;
pub(crate) use link::{Pushed, Trouble, connect};
pub(crate) use script::{FOLLOWS, Keys};
pub(crate) use threads::{Fleet, Given};

/// The id of an entry of the log (Redis Streams): a time of the server, and a count within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Milliseconds since 1970, by the clock of the Redis server that wrote it.
    pub millis: u64,
    /// Counts the entries of one millisecond.
    pub count: u64,
}

impl EntryId {
    /// Reads `millis-count`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (millis, count) = text.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, count: count.parse().ok()? })
    }

    /// The least id after this one.
    pub(crate) const fn next(self) -> Self {
        Self { millis: self.millis, count: self.count.saturating_add(1) }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.count)
    }
}

/// A place in the log that Redis distributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which blessing the log began with.
    pub epoch: Uuid,
    /// The entry.
    pub id: EntryId,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.id, self.epoch.as_simple())
    }
}

/// That a change went out to every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// When Redis had it: no node admits what it takes away later than a lease after this.
    pub at: UnixMillis,
    /// Where it stands. A node that has come so far has applied it.
    pub position: Position,
}

/// What a node says, or does not say, of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The name of the node, `gateway.node` of its configuration.
    pub node: String,
    /// Which process of it: during an upgrade there are two.
    pub instance: Uuid,
    /// What it says.
    pub answer: NodeAnswer,
    /// What it tells besides, as its own process wrote it: what it ended. Empty where it tells nothing.
    pub told: String,
}

/// The longest text that a node may tell besides, in bytes.
pub const NODE_TOLD_BYTES_MAX: usize = 16 * 1024;

/// What a node tells the fleet of itself, besides how far it has come: at most [`NODE_TOLD_BYTES_MAX`] bytes
/// without line feeds and `|`. It is asked by the thread that polls, and must not block.
pub type Telling = std::sync::Arc<dyn Fn() -> String + Send + Sync>;

/// Whether a node has applied a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAnswer {
    /// It has, at the latest at this moment of its own clock.
    Applied {
        /// When.
        at: UnixMillis,
    },
    /// It polls, and had not applied it when the time was over.
    Behind {
        /// When it was seen last, by Redis's clock.
        seen: UnixMillis,
    },
    /// It was not seen for longer than its lease: it refuses every request, if it lives.
    Silent {
        /// When it was seen last, by Redis's clock.
        seen: UnixMillis,
    },
}

impl NodeAnswer {
    /// The word for it in answers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Behind { .. } => "behind",
            Self::Silent { .. } => "silent",
        }
    }
}

/// What a node is to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetRole {
    /// It has the directory: it takes changes and publishes them.
    Control,
    /// It learns from Redis only.
    Gateway,
}

impl FleetRole {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Gateway => "gateway",
        }
    }
}

/// How a node stands to its fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetHealth {
    /// What it is.
    pub role: FleetRole,
    /// Which process it is to the others.
    pub instance: Uuid,
    /// The Redis server that it is connected to.
    pub server: Option<String>,
    /// Whether a request may rest on the lease now.
    pub leased: bool,
    /// How long the lease still lasts; zero when it is over.
    pub lease_left: Duration,
    /// How long a lease lasts, N of the guarantee.
    pub lease: Duration,
    /// How old the newest proof is that nothing is missing here. `None`: there never was one.
    pub lag: Option<Duration>,
    /// Where it stands in the log.
    pub position: Option<Position>,
    /// The generation of the log, which fences control nodes that fell behind.
    pub generation: Option<u64>,
    /// The Redis process is one that a control node has reconciled with the directory.
    pub blessed: bool,
    /// Polls that renewed the lease.
    pub polls_total: u64,
    /// Polls that failed, or whose answer renewed nothing.
    pub poll_failures_total: u64,
    /// Entries that came by push.
    pub pushes_total: u64,
    /// How often everything was read anew.
    pub resyncs_total: u64,
    /// How often the connection was made.
    pub connects_total: u64,
    /// On a control node: changes that are committed and not published yet.
    pub outbox: Option<u64>,
    /// On a control node: how often it blessed a Redis process.
    pub blessings_total: u64,
    /// On a control node: changes it published.
    pub published_total: u64,
    /// Why there is no lease, or why nothing is published, while that is so.
    pub trouble: Option<String>,
}
