//! What the gateway saw, and which items that proves.

use std::collections::{BTreeMap, BTreeSet};

use doorward_model::{AppId, DeviceId, UnixMillis, UserId};
use uuid::Uuid;

use super::items::ItemKind;
use crate::receipt::facts::Answer;

/// A number that may not be known. What is not known is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Known(u64),
    /// It could not be counted.
    Unknown(String),
}

/// What one node says of the revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNode {
    /// Its name.
    pub node: String,
    /// Which process of it.
    pub instance: Uuid,
    /// What it says.
    pub answer: Answer,
}

/// What became of the person's account at an app that a source manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppStanding {
    /// It is gone or inactive.
    Removed,
    /// It is there.
    Active,
    /// The app could not be asked.
    Unknown(String),
}

/// Everything that the gateway saw when it looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it looked.
    pub at: UnixMillis,
    /// What every node said, or why they could not be asked. A list without a node is no answer.
    pub nodes: Result<Vec<SeenNode>, String>,
    /// Sign-ins of the person that would be accepted.
    pub sessions: Count,
    /// Exchanges of the person that run, on all nodes.
    pub streams: Count,
    /// Requests of the person that were allowed since [`Case::cut_at`](super::Case::cut_at), on all nodes.
    pub allowed: Count,
    /// From when on the audit logs that were counted have no hole.
    pub log_whole_since: UnixMillis,
    /// Refresh tokens of the person that the gateway keeps. What became of others at the provider, it does not know.
    pub refresh_tokens: Count,
    /// Tokens of service accounts that the person made and that would be accepted.
    pub api_tokens: Count,
    /// Machines that the person owns and that would be let in. None when that is not known.
    pub machines_running: Option<BTreeSet<UserId>>,
    /// Devices bound to the person. None when that is not known.
    pub devices_bound: Option<BTreeSet<DeviceId>>,
    /// Apps that a source manages. One that is not named is not known.
    pub apps: BTreeMap<AppId, AppStanding>,
}

/// What a look says of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is done.
    Shown(String),
    /// It is not, whatever was known before.
    Contradicted(String),
    /// The look does not show it. What was shown before stands.
    Silent(String),
}

impl Seen {
    /// What it says of an item of a case whose access was taken away at `cut_at`.
    pub(super) fn finding(&self, kind: &ItemKind, cut_at: UnixMillis) -> Finding {
        match kind {
            ItemKind::NodesAcknowledged {} => nodes(&self.nodes),
            ItemKind::NoSessions {} => zero(&self.sessions, "sign-ins"),
            ItemKind::NoStreams {} => zero(&self.streams, "exchanges that run"),
            ItemKind::NothingAllowed {} => self.nothing_allowed(cut_at),
            ItemKind::RefreshTokensRevoked {} => {
                zero(&self.refresh_tokens, "refresh tokens that the gateway keeps")
            }
            ItemKind::NoApiTokens {} => zero(&self.api_tokens, "tokens of service accounts"),
            ItemKind::MachineHandled { machine } => {
                absent(self.machines_running.as_ref(), machine, "does not run for the person", "runs")
            }
            ItemKind::DeviceUnbound { device } => {
                absent(self.devices_bound.as_ref(), device, "is not bound to the person", "is bound")
            }
            ItemKind::AppDeprovisioned { app } => match self.apps.get(app) {
                Some(AppStanding::Removed) => Finding::Shown("the account is removed".to_owned()),
                Some(AppStanding::Active) => Finding::Contradicted("the account is active".to_owned()),
                Some(AppStanding::Unknown(why)) => Finding::Silent(why.clone()),
                None => Finding::Silent("the app was not asked".to_owned()),
            },
            ItemKind::ManualApp { .. } => Finding::Silent("the owner of the app has not said so".to_owned()),
        }
    }

    fn nothing_allowed(&self, cut_at: UnixMillis) -> Finding {
        match &self.allowed {
            // Whatever else the log lost, this it has.
            Count::Known(allowed) if *allowed > 0 => {
                Finding::Contradicted(format!("{allowed} requests were allowed"))
            }
            Count::Known(_) if self.log_whole_since > cut_at => Finding::Silent(format!(
                "the audit log is whole since {} only, and access was taken away at {}",
                self.log_whole_since.0, cut_at.0
            )),
            Count::Known(_) => Finding::Shown("no request was allowed".to_owned()),
            Count::Unknown(why) => Finding::Silent(why.clone()),
        }
    }
}

fn zero(count: &Count, what: &str) -> Finding {
    match count {
        Count::Known(0) => Finding::Shown(format!("there are no {what}")),
        Count::Known(many) => Finding::Contradicted(format!("there are {many} {what}")),
        Count::Unknown(why) => Finding::Silent(why.clone()),
    }
}

fn absent<T: Ord>(there: Option<&BTreeSet<T>>, one: &T, gone: &str, here: &str) -> Finding {
    match there {
        None => Finding::Silent("it could not be looked up".to_owned()),
        Some(there) if there.contains(one) => Finding::Contradicted(format!("it {here}")),
        Some(_) => Finding::Shown(format!("it {gone}")),
    }
}

/// A node that has acknowledged keeps what it knows, and one that begins knows it before it serves. So
/// a node that is away later contradicts nothing.
fn nodes(said: &Result<Vec<SeenNode>, String>) -> Finding {
    let nodes = match said {
        Err(why) => return Finding::Silent(why.clone()),
        Ok(nodes) if nodes.is_empty() => return Finding::Silent("no node was asked".to_owned()),
        Ok(nodes) => nodes,
    };
    let lacking: Vec<String> = nodes
        .iter()
        .filter(|node| node.answer != Answer::Applied)
        .map(|node| format!("{} ({}) is {}", node.node, node.instance, node.answer.as_str()))
        .collect();
    if lacking.is_empty() {
        Finding::Shown(format!("{} of {} nodes have acknowledged", nodes.len(), nodes.len()))
    } else {
        Finding::Silent(lacking.join(", "))
    }
}
