//! What a case asks for, one thing at a time.

use doorward_model::{AppId, DeviceId, UnixMillis, UserId};
use serde::{Deserialize, Serialize};

use crate::receipt::facts::DebtKind;
use crate::receipt::wire::{self, words};

/// What is to be shown. A closed set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum ItemKind {
    /// Every node has acknowledged the revocations.
    NodesAcknowledged {},
    /// No sign-in is left.
    NoSessions {},
    /// No stream or other exchange runs.
    NoStreams {},
    /// Nothing was allowed since access was taken away.
    NothingAllowed {},
    /// The gateway keeps no refresh token any more. That the provider has ended each is not shown by that.
    RefreshTokensRevoked {},
    /// No token of a service account is left that the person made.
    NoApiTokens {},
    /// A service account or an agent has stopped, or has another owner.
    MachineHandled {
        /// Which.
        #[serde(with = "wire::text")]
        machine: UserId,
    },
    /// A device is not bound to the person any more.
    DeviceUnbound {
        /// Which.
        #[serde(with = "wire::text")]
        device: DeviceId,
    },
    /// An app that a source manages has no account of the person.
    AppDeprovisioned {
        /// Which.
        #[serde(with = "wire::text")]
        app: AppId,
    },
    /// The owner of an app says that the account there is gone.
    ManualApp {
        /// Which.
        #[serde(with = "wire::text")]
        app: AppId,
    },
}

words! {
    /// Who can prove an item.
    pub enum Prover {
        /// The gateway sees it for itself, and verification rests on it.
        Core = "core",
        /// The gateway sees it for itself.
        Seen = "seen",
        /// The gateway sees it, or somebody who answers for it says so.
        SeenOrSaid = "seen_or_said",
        /// Somebody who answers for it says so.
        Said = "said",
    }
}

/// One item of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What is to be shown.
    pub kind: ItemKind,
    /// Who answers for it.
    pub owner: String,
    /// By when.
    #[serde(with = "wire::millis")]
    pub due_at: UnixMillis,
    /// What shows it; null while nothing does.
    pub evidence: Option<Evidence>,
    /// It is a control debt that is not settled.
    pub owed: bool,
    /// How many debts it has been.
    pub debts: u32,
}

/// What shows that an item is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Evidence {
    /// The gateway looked.
    Seen {
        /// When.
        #[serde(with = "wire::millis")]
        at: UnixMillis,
        /// What it saw.
        what: String,
    },
    /// Somebody said so.
    Said {
        /// When.
        #[serde(with = "wire::millis")]
        at: UnixMillis,
        /// Who.
        by: String,
        /// In their words.
        note: String,
    },
}

// === impl ItemKind ===

impl ItemKind {
    /// Those on which verification rests.
    pub const CORE: [Self; 4] =
        [Self::NodesAcknowledged {}, Self::NoSessions {}, Self::NoStreams {}, Self::NothingAllowed {}];

    /// Who can prove it.
    #[must_use]
    pub const fn prover(&self) -> Prover {
        match self {
            Self::NodesAcknowledged {}
            | Self::NoSessions {}
            | Self::NoStreams {}
            | Self::NothingAllowed {} => Prover::Core,
            Self::NoApiTokens {} | Self::MachineHandled { .. } | Self::DeviceUnbound { .. } => Prover::Seen,
            Self::RefreshTokensRevoked {} | Self::AppDeprovisioned { .. } => Prover::SeenOrSaid,
            Self::ManualApp { .. } => Prover::Said,
        }
    }

    /// What is owed while it is not shown.
    #[must_use]
    pub const fn debt(&self) -> DebtKind {
        match self {
            Self::NodesAcknowledged {} => DebtKind::MissedRevocation,
            Self::NoSessions {}
            | Self::NoStreams {}
            | Self::NothingAllowed {}
            | Self::RefreshTokensRevoked {}
            | Self::NoApiTokens {} => DebtKind::UnprovenEnd,
            Self::MachineHandled { .. } => DebtKind::OrphanMachine,
            Self::DeviceUnbound { .. } => DebtKind::BoundDevice,
            Self::AppDeprovisioned { .. } | Self::ManualApp { .. } => DebtKind::ManualDeprovisioning,
        }
    }

    /// Names it within a case, for commands and errors: a word, and what it is about.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::NodesAcknowledged {} => "nodes_acknowledged".to_owned(),
            Self::NoSessions {} => "no_sessions".to_owned(),
            Self::NoStreams {} => "no_streams".to_owned(),
            Self::NothingAllowed {} => "nothing_allowed".to_owned(),
            Self::RefreshTokensRevoked {} => "refresh_tokens_revoked".to_owned(),
            Self::NoApiTokens {} => "no_api_tokens".to_owned(),
            Self::MachineHandled { machine } => format!("machine_handled {machine}"),
            Self::DeviceUnbound { device } => format!("device_unbound {device}"),
            Self::AppDeprovisioned { app } => format!("app_deprovisioned {app}"),
            Self::ManualApp { app } => format!("manual_app {app}"),
        }
    }
}
