//! Control debts: what was not done in time, who answers for it, and that it was settled. OCSF has
//! no class for an exception that somebody owes; Entity Management (3004) says that one came to be
//! and that it changed.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_model::UnixMillis;

use super::Actor;
use super::block::DebtOut;
use super::standing::{actor, source};
use super::wire::{Class, Entity, Head, Iso, Line, Severity, Status};
use crate::trail::cut;

/// How much of one text is recorded, in bytes.
const TEXT_BYTES_MAX: usize = 512;
const PROFILES: &[&str] = &["datetime"];

/// A control debt was opened or settled.
#[derive(Clone, Debug)]
pub struct ControlDebt {
    /// Names the debt.
    pub id: Arc<str>,
    /// Who opened or settled it.
    pub actor: Actor,
    /// The call in which that happened.
    pub request_id: Option<Arc<str>>,
    /// Which of the two.
    pub step: DebtStep,
}

/// What became of a control debt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebtStep {
    /// It came to be.
    Opened {
        /// What was not done, as a word such as `missed_revocation`.
        kind: &'static str,
        /// What it is about.
        about: String,
        /// Who answers for it.
        owner: String,
        /// How it came to be.
        cause: String,
        /// By when it is to be settled.
        due_at: UnixMillis,
    },
    /// Somebody settled it.
    Settled {
        /// How.
        how: String,
    },
}

const fn class(activity: u32, activity_name: &'static str) -> Class {
    Class { category: 3, class: 3004, class_name: "Entity Management", activity, activity_name }
}

pub(super) fn control_debt(
    head: &Head<'_>,
    debt: &ControlDebt,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let (class, severity, status) = match &debt.step {
        DebtStep::Opened { .. } => (class(1, "Create"), Severity::High, Status::Failure),
        DebtStep::Settled { .. } => (class(3, "Update"), Severity::Informational, Status::Success),
    };
    let metadata = head.metadata("admin", PROFILES, debt.request_id.as_deref());
    let mut line = Line::new(head, metadata, class, severity, status, true);
    line.actor = Some(actor(&debt.actor));
    line.src_endpoint = source(&debt.actor);
    let id = text(&debt.id);
    line.entity = Some(Entity {
        uid: Some(Cow::Borrowed(id)),
        name: None,
        type_id: 99,
        kind: "Control Debt",
        version: None,
    });
    let block = match &debt.step {
        DebtStep::Opened { kind, about, owner, cause, due_at } => {
            line.status_detail = Some(kind);
            line.message = Some(format!("{} owes: {}", text(owner), text(about)));
            DebtOut {
                id,
                step: "opened",
                kind: Some(kind),
                about: Some(text(about)),
                owner: Some(text(owner)),
                cause: Some(text(cause)),
                due_at: Some(Iso(*due_at)),
                how: None,
            }
        }
        DebtStep::Settled { how } => {
            line.message = Some(format!("A debt was settled: {}", text(how)));
            DebtOut {
                id,
                step: "settled",
                kind: None,
                about: None,
                owner: None,
                cause: None,
                due_at: None,
                how: Some(text(how)),
            }
        }
    };
    line.unmapped.doorward.debt = Some(block);
    line.write(out)
}

fn text(text: &str) -> &str {
    cut(text, TEXT_BYTES_MAX)
}
