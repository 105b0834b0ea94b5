//! The way to the service that changes lives: what a source asks for becomes one call of it, and what
//! that answers becomes what a client can be told.

use std::sync::Arc;

use doorward_model::directory::{ConnectionId, GroupId, PersonId};
use doorward_state::{RecordKind, Write};
use uuid::Uuid;

use crate::machine::{Actor, Command, Why};
use crate::scim::{ErrorKind, ResourceType, ScimError};
use crate::service::{Asker, Delta, Failed, GroupChange, GroupDone, Known, Lifecycle, Whom};

/// What the log adds to the cause of a leaving: whoever is suspended, deactivated or unassigned at a provider
/// arrives as `active: false`.
const WHY_IS_NOT_TOLD: &str = "; why they leave, SCIM does not tell";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    pub(super) connection: ConnectionId,
    pub(super) request_id: Arc<str>,
    /// What the client did, for the log: `PATCH /Users`.
    pub(super) cause: Arc<str>,
}

/// What becomes of a group itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupStep {
    Make { name: String },
    Rename { name: String },
    Keep,
}

/// What is done.
#[derive(Clone, Debug, Default)]
pub(super) struct Did {
    /// The signed receipt that is made of what was taken away.
    pub(super) receipts: Vec<Uuid>,
    /// Why the other nodes do not have them yet, if they do not.
    pub(super) unpublished: Option<String>,
}

/// Why nothing was done, by what follows.
#[derive(Debug)]
pub(super) enum Undone {
    /// The paper is not the one that was read: read it again.
    Stale,
    /// Another resource has the key of the paper.
    KeyTaken,
    /// The client is told.
    Told(ScimError),
}

impl Undone {
    /// What the client is told where nothing can be read anew.
    pub(super) fn into_error(self) -> ScimError {
        match self {
            Self::Told(error) => error,
            Self::Stale | Self::KeyTaken => {
                ScimError::new(ErrorKind::Unavailable, "the resource changes all the time: send it again")
            }
        }
    }
}

fn of_group(done: GroupDone) -> Did {
    Did { receipts: done.receipts, unpublished: done.unpublished }
}

impl From<ScimError> for Undone {
    fn from(error: ScimError) -> Self {
        Self::Told(error)
    }
}

impl Hand {
    fn asker(&self) -> Asker {
        Asker {
            actor: Actor::Source(self.connection.clone()),
            // Requests count in the order of their arrival.
            asserted_at: None,
            cause: Arc::clone(&self.cause),
            request_id: Arc::clone(&self.request_id),
            if_version: None,
        }
    }

    /// Does all commands for one person, and writes what the source said of them, or nothing.
    pub(super) async fn person(
        &self,
        lives: &Lifecycle,
        id: PersonId,
        commands: Vec<Command>,
        paper: Write,
    ) -> Result<Did, Undone> {
        let is_new = commands.iter().any(|command| matches!(command, Command::ScimCreate { .. }));
        let whom = if is_new { Whom::New } else { Whom::Person(id) };
        let mut asker = self.asker();
        if commands.iter().any(|command| matches!(command, Command::ScimDeactivate)) {
            asker.cause = format!("{}{WHY_IS_NOT_TOLD}", self.cause).into();
        }
        match lives.ask_all(whom, commands, asker, vec![paper]).await {
            Ok(done) => {
                Ok(Did { receipts: done.receipt.into_iter().collect(), unpublished: done.unpublished })
            }
            Err(failed) => Err(self.told(ResourceType::User, failed)),
        }
    }

    /// Changes a group and who is in it, and writes what the source said of it, or nothing.
    pub(super) async fn group(
        &self,
        lives: &Lifecycle,
        id: GroupId,
        step: &GroupStep,
        members: Delta,
        paper: Write,
    ) -> Result<Did, Undone> {
        let (known, name) = match step {
            GroupStep::Make { name } => (Known::New, Some(name)),
            GroupStep::Rename { name } => (Known::There, Some(name)),
            GroupStep::Keep => (Known::There, None),
        };
        let display_name = name.map(|name| name.as_str().into());
        let change = GroupChange { id, known, display_name, members };
        let done = lives.change_group(change, self.asker(), vec![paper]).await;
        done.map(of_group).map_err(|failed| self.told(ResourceType::Group, failed))
    }

    /// Deletes a group.
    pub(super) async fn delete_group(
        &self,
        lives: &Lifecycle,
        id: GroupId,
        paper: Write,
    ) -> Result<Did, Undone> {
        let done = lives.delete_group(id, self.asker(), vec![paper]).await;
        done.map(of_group).map_err(|failed| self.told(ResourceType::Group, failed))
    }

    /// What a client can do about it. What is the gateway's own trouble goes into the log.
    fn told(&self, kind: ResourceType, failed: Failed) -> Undone {
        let request_id = &*self.request_id;
        let enforced = failed.enforced();
        let unavailable = |why: &dyn std::fmt::Display| {
            tracing::error!(request_id, connection = %self.connection, %why, enforced, "a SCIM request could not be done");
            let detail = if enforced {
                "access is taken away on this node, and that could not be saved: send it again"
            } else {
                "it could not be saved, and nothing happened: send it again"
            };
            ScimError::new(ErrorKind::Unavailable, detail)
        };
        let error = match failed {
            Failed::Changed { kind: RecordKind::Document, .. } => return Undone::Stale,
            Failed::Taken { field: "key", .. } => return Undone::KeyTaken,
            Failed::Taken { field, holder_kind, holder_id, .. } => {
                tracing::info!(request_id, connection = %self.connection, field, holder_kind, holder_id, "a SCIM request asks for what somebody else has");
                taken(field)
            }
            Failed::Denied(denied) if denied.why == Why::Deleted => not_found(kind),
            Failed::Denied(denied) => conflict(&format!("{denied}; {}", denied.help())),
            Failed::Member { member, denied } => {
                conflict(&format!("the member `{member}`: {denied}; {}", denied.help()))
            }
            Failed::NotFound { what: "group" | "person", .. } => not_found(kind),
            Failed::NotFound { what, .. } => conflict(&format!("the {what} is gone: read it again")),
            Failed::Changed { .. } | Failed::Busy { .. } => {
                ScimError::new(ErrorKind::Unavailable, "others change the same all the time: send it again")
            }
            Failed::Nesting(error) => ScimError::new(ErrorKind::InvalidValue, format!("`members`: {error}")),
            Failed::Halted(halt) => {
                ScimError::new(ErrorKind::Forbidden, format!("an operator of the gateway is asked: {halt}"))
            }
            Failed::Case(denied) => conflict(&denied.to_string()),
            Failed::Refused { what, help } => conflict(&format!("{what}: {help}")),
            Failed::TooMany { .. } => ScimError::new(ErrorKind::TooLarge, failed.to_string()),
            Failed::Bad { field, what } => {
                ScimError::new(ErrorKind::InvalidValue, format!("`{}`: {what}", scim_name(field)))
            }
            Failed::NotOnRecord(_) | Failed::State(_) | Failed::Interrupted => unavailable(&failed),
            Failed::Damaged { .. } => {
                tracing::error!(request_id, %failed, "a record of the directory cannot be read");
                ScimError::new(ErrorKind::Internal, "what is stored cannot be read; the log has more")
            }
        };
        Undone::Told(error)
    }
}

fn conflict(detail: &str) -> ScimError {
    ScimError::new(ErrorKind::Conflict, detail)
}

/// The answer to a client that asks for what is not there.
pub(super) fn not_found(kind: ResourceType) -> ScimError {
    ScimError::new(ErrorKind::NotFound, format!("there is no {} of this id", kind.name()))
}

/// The attribute of the protocol for a field of the directory.
fn scim_name(field: &str) -> &str {
    match field {
        "user_name" => "userName",
        "display_name" => "displayName",
        other => other,
    }
}

/// Whose it is, and from which source, is for the operator to see.
pub(super) fn taken(field: &str) -> ScimError {
    let free = match field {
        "sign_in" => "the sign-in that follows from it",
        "user_name" => "this `userName`",
        "display_name" => "this `displayName`, by which policies know the group,",
        other => return ScimError::new(ErrorKind::Uniqueness, format!("`{}` is not free", scim_name(other))),
    };
    let detail = format!("{free} is not free; an operator of the gateway can see whose it is");
    ScimError::new(ErrorKind::Uniqueness, detail)
}
