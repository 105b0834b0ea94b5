//! PATCH (RFC 7644 §3.5.2): read once, applied as a whole or not at all.
//!
//! ```text
//!  { op, path, value } ─► path ─► steps ─► applied to a copy of the document, in order
//!                                 └─ members of a group ─► Membership
//! ```
//!
//! Where clients and the RFC part, the client that exists is obeyed as far as nobody gets more
//! access than was meant:
//! * `remove members` with a list of values removes those, not everybody (Entra ID);
//! * `emails[type eq "work"].value` makes the work e-mail when there is none (Entra ID); any other
//!   filter that a `replace` finds nothing for is `noTarget`, as the RFC has it;
//! * keys of a value without path may be paths: `name.givenName`, URNs (Entra ID);
//! * what nobody can write is ignored in a value without path (Okta sends `id`), and refused as a
//!   path;
//! * to remove what is not there changes nothing, so that a request can be sent again;
//! * adding an e-mail, telephone number or address takes the place of the one with its `type`.

mod apply;
mod path;
mod read;
mod step;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::bounds::{PATCH_OPERATIONS_MAX, PATCH_STEPS_MAX};
use super::document::Document;
use super::error::{ErrorKind, ScimError};
use super::json;
use super::membership::Membership;
use super::schema::ResourceType;
use super::write::{self, Asserted, Written};

/// The schema of a PATCH body.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A PATCH that was read: every path is resolved and every value accepted, so that only what is
/// stored can still stand against it.
#[derive(Clone, Debug)]
pub struct PatchRequest {
    kind: ResourceType,
    steps: Vec<step::Step>,
    membership: Membership,
    ignored: BTreeSet<String>,
}

// === impl PatchRequest ===

impl PatchRequest {
    /// Reads the body of a PATCH.
    ///
    /// # Errors
    /// `InvalidSyntax`, `InvalidPath`, `InvalidFilter`, `InvalidValue`, `Mutability`, `NoTarget` or
    /// `TooLarge`, with the number of the operation and the name of the attribute.
    pub fn read(kind: ResourceType, mut body: Map<String, Value>) -> Result<Self, ScimError> {
        write::check_schemas(&mut body, PATCH_URN)?;
        let Some(Value::Array(operations)) = json::take(&mut body, "Operations") else {
            return Err(ScimError::new(ErrorKind::InvalidSyntax, "`Operations` must be a list"));
        };
        if operations.is_empty() {
            return Err(ScimError::new(ErrorKind::InvalidSyntax, "`Operations` is empty"));
        }
        if operations.len() > PATCH_OPERATIONS_MAX {
            return Err(ScimError::new(
                ErrorKind::TooLarge,
                format!(
                    "`Operations` may have {PATCH_OPERATIONS_MAX} at most; send the rest in another request"
                ),
            ));
        }
        let mut reader = read::Reader::new(kind);
        for (i, operation) in operations.into_iter().enumerate() {
            reader.operation(operation).map_err(|e| e.within(&format!("operation {}", i + 1)))?;
            if reader.steps.len() > PATCH_STEPS_MAX {
                return Err(ScimError::new(
                    ErrorKind::TooLarge,
                    format!(
                        "one PATCH may set {PATCH_STEPS_MAX} attributes at most; send the rest in another request"
                    ),
                ));
            }
        }
        let read::Reader { steps, membership, ignored, .. } = reader;
        membership.check()?;
        Ok(Self { kind, steps, membership, ignored })
    }

    /// Whether it says that the person may not have access, whatever else it says.
    #[must_use]
    pub fn says_inactive(&self) -> bool {
        let active = |step: &&step::Step| step.extension.is_none() && step.attribute.name == "active";
        let last = self.steps.iter().rfind(active);
        last.is_some_and(|step| matches!(&step.what, step::What::Set(Some(Value::Bool(false)))))
    }

    /// What the request makes of a stored resource. `asserted` is what this source spoke of before.
    ///
    /// # Errors
    /// `NoTarget`, `InvalidValue`, `TooLarge`; and `Conflict` when it was read for another type.
    pub fn apply(self, stored: &Document, asserted: &Asserted) -> Result<Written, ScimError> {
        if self.kind != stored.kind() {
            return Err(ScimError::new(
                ErrorKind::Conflict,
                format!("the resource is a {}, not a {}", stored.kind().name(), self.kind.name()),
            ));
        }
        let (mut document, mut asserted) = (stored.clone(), asserted.clone());
        for step in self.steps {
            asserted.insert(step.owner());
            step.apply(&mut document)?;
        }
        write::finish(&document)?;
        let changed = document != *stored;
        Ok(Written { document, membership: self.membership, asserted, ignored: self.ignored, changed })
    }
}
