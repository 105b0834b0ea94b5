//! Policies that are asked beside those in force: when that began and ended, and what they would have changed.
//! For Entity Management (3004) of OCSF they are a policy that is looked at, and not one that counts.

use std::sync::Arc;

use doorward_model::UnixMillis;

use super::Actor;
use super::block::ShadowOut;
use super::standing::{actor, source};
use super::wire::{Class, Entity, Head, Iso, Line, Severity, Status};
use crate::trail::cut;

/// How many policies one event names.
const LIST_MAX: usize = 16;
/// How much of one text is recorded, in bytes.
const TEXT_BYTES_MAX: usize = 512;
const PROFILES: &[&str] = &["datetime"];

/// Something happened about policies that are asked beside those in force.
#[derive(Clone, Debug)]
pub struct PolicyShadow {
    /// Who caused it.
    pub actor: Actor,
    /// What happened.
    pub step: ShadowStep,
    /// Which they are, as a word: a `candidate`, or those in force with what is `report_only`.
    pub lane: &'static str,
    /// Their revision.
    pub revision: Arc<str>,
    /// The revision that they are compared with.
    pub in_force: Arc<str>,
    /// Since when is counted.
    pub since: UnixMillis,
    /// Which share of the requests they are asked about, as a percentage.
    pub sample: String,
    /// How many requests both decided.
    pub decided: u64,
    /// How many were not asked about, because too many came at once, or because it failed.
    pub missed: u64,
    /// How many pass and would not.
    pub newly_denied: u64,
    /// How many do not pass and would.
    pub newly_allowed: u64,
    /// How many would be decided by other policies.
    pub other_policies: u64,
    /// The policies that make the difference, by name. The first few are recorded.
    pub policies: Vec<String>,
    /// Why, where somebody said so.
    pub cause: Option<String>,
}

/// What happened about policies that are asked beside those in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowStep {
    /// They are asked from now on.
    Started,
    /// More differences were found than when it was last told.
    Found,
    /// They are not asked any more.
    Stopped,
    /// They are not asked any more, because they are in force.
    Promoted,
}

impl ShadowStep {
    /// The word for it in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Found => "found",
            Self::Stopped => "stopped",
            Self::Promoted => "promoted",
        }
    }

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Started => "policy.shadow.started",
            Self::Found => "policy.shadow.found",
            Self::Stopped => "policy.shadow.stopped",
            Self::Promoted => "policy.shadow.promoted",
        }
    }

    const fn class(self) -> Class {
        let (activity, activity_name) = match self {
            Self::Started => (8, "Enable"),
            Self::Found => (2, "Read"),
            Self::Stopped => (9, "Disable"),
            Self::Promoted => (3, "Update"),
        };
        Class { category: 3, class: 3004, class_name: "Entity Management", activity, activity_name }
    }
}

pub(super) fn policy_shadow(
    head: &Head<'_>,
    shadow: &PolicyShadow,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let metadata = head.metadata("admin", PROFILES, None);
    let (class, severity) = (shadow.step.class(), Severity::Informational);
    let mut line = Line::new(head, metadata, class, severity, Status::Success, true);
    line.actor = Some(actor(&shadow.actor));
    line.src_endpoint = source(&shadow.actor);
    let (revision, denied, allowed) = (text(&shadow.revision), shadow.newly_denied, shadow.newly_allowed);
    line.message = Some(match shadow.step {
        ShadowStep::Started => format!("Policies {revision} are asked beside those in force"),
        ShadowStep::Found => {
            format!("Policies {revision} would newly deny {denied} requests and newly allow {allowed}")
        }
        ShadowStep::Stopped => format!("Policies {revision} are asked no more beside those in force"),
        ShadowStep::Promoted => format!("Policies {revision} were asked beside others and are in force now"),
    });
    line.entity = Some(Entity {
        uid: None,
        name: Some("policy bundle"),
        type_id: 5,
        kind: "Policy",
        version: Some(revision),
    });
    line.unmapped.doorward.shadow = Some(ShadowOut {
        lane: shadow.lane,
        in_force: text(&shadow.in_force),
        since: Iso(shadow.since),
        sample: text(&shadow.sample),
        decided: shadow.decided,
        missed: shadow.missed,
        newly_denied: denied,
        newly_allowed: allowed,
        other_policies: shadow.other_policies,
        policies: shadow.policies.iter().take(LIST_MAX).map(|name| text(name)).collect(),
        policies_total: shadow.policies.len(),
        cause: shadow.cause.as_deref().map(text),
    });
    line.write(out)
}

fn text(text: &str) -> &str {
    cut(text, TEXT_BYTES_MAX)
}
