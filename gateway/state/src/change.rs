//! What someone asks for, and what they get for it.

use std::ops::AddAssign;

use doorward_model::limits::REVOCATION_CAUSE_BYTES_MAX;
use doorward_model::{Entry, Target, UnixMillis};
use uuid::Uuid;

use crate::error::StateError;
use crate::fleet::Published;

const WHO_BYTES_MAX: usize = 255;

/// What is done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Everything made until now is dead; signing in anew is possible.
    Revoke,
    /// Everything is dead, and nothing new is good until the target is reactivated.
    Disable,
    /// Signing in anew is possible again. Nothing old comes back to life.
    Reactivate,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Revoke, Self::Disable, Self::Reactivate];

    /// The word for it in the API, the store and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Disable => "disable",
            Self::Reactivate => "reactivate",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == word)
    }

    /// Whether it gives access, and so must wait for the disk before it is seen.
    #[must_use]
    pub const fn is_grant(self) -> bool {
        match self {
            Self::Revoke | Self::Disable => false,
            Self::Reactivate => true,
        }
    }
}

/// One change of who is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whom it hits.
    pub target: Target,
    /// What is done.
    pub action: Action,
    /// Why, in the words of whoever asked.
    pub cause: String,
    /// Who asked.
    pub actor: String,
    /// The id of the request that carried it, for the log.
    pub request_id: String,
}

impl Change {
    /// Refuses what the log could not hold, or what has no meaning.
    pub(crate) fn check(&self) -> Result<(), StateError> {
        let texts = [
            ("cause", &self.cause, REVOCATION_CAUSE_BYTES_MAX),
            ("actor", &self.actor, WHO_BYTES_MAX),
            ("request_id", &self.request_id, WHO_BYTES_MAX),
        ];
        for (field, text, bytes_max) in texts {
            if text.len() > bytes_max || text.chars().any(char::is_control) {
                return Err(StateError::BadText { field, bytes_max });
            }
        }
        let kind = self.target.kind();
        if self.action.is_grant() && kind.never_returns() {
            return Err(StateError::NeverReturns { kind });
        }
        Ok(())
    }
}

/// A change that took effect in the replica: what a subscriber is told.
///
/// The subscriber ends whatever runs on a credential of the target that does not stand before
/// `entry`. It may be told late of a change that another process made: a credential newer than
/// the mark is then already good, and must be left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The id of the change, as in its [`Receipt`] and in the log.
    pub id: Uuid,
    /// Whom it hit.
    pub target: Target,
    /// What now holds for the target.
    pub entry: Entry,
    /// When it took effect here.
    pub at: UnixMillis,
}

/// How many running exchanges a change ended, by how they spoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// HTTP/1.1 requests.
    pub http1: usize,
    /// HTTP/2 streams.
    pub http2: usize,
    /// WebSockets.
    pub websocket: usize,
    /// Event streams.
    pub event_stream: usize,
    /// gRPC calls.
    pub grpc: usize,
}

impl Ended {
    /// All of them together.
    #[must_use]
    pub const fn exchanges(self) -> usize {
        self.http1
            .saturating_add(self.http2)
            .saturating_add(self.websocket)
            .saturating_add(self.event_stream)
            .saturating_add(self.grpc)
    }

    /// What all these changes ended together.
    #[must_use]
    pub fn of(receipts: &[Receipt]) -> Self {
        let mut ended = Self::default();
        for receipt in receipts {
            ended += receipt.ended;
        }
        ended
    }
}

impl AddAssign for Ended {
    fn add_assign(&mut self, more: Self) {
        self.http1 = self.http1.saturating_add(more.http1);
        self.http2 = self.http2.saturating_add(more.http2);
        self.websocket = self.websocket.saturating_add(more.websocket);
        self.event_stream = self.event_stream.saturating_add(more.event_stream);
        self.grpc = self.grpc.saturating_add(more.grpc);
    }
}

/// The acknowledgment of a change. Whoever holds it knows that the change survives a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Names this change in the log and the audit trail.
    pub id: Uuid,
    /// Whom it hit.
    pub target: Target,
    /// What was recorded for the target.
    pub entry: Entry,
    /// From when on it was in force in this process.
    pub applied_at: UnixMillis,
    /// From when on it was on the disk.
    pub durable_at: UnixMillis,
    /// What it ended in this process.
    pub ended: Ended,
    /// When it went out to the fleet. `None` where there is none.
    pub published: Option<Published>,
}
