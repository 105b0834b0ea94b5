//! A group, as written.

use std::collections::BTreeSet;

use doorward_model::UnixMillis;
use doorward_model::directory::Group;
use serde::{Deserialize, Serialize};

use super::{Body, FormError, SourceForm, VERSION, read, read_id, write};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupForm {
    v: u32,
    id: String,
    display_name: String,
    source: SourceForm,
    created_at: i64,
    changed_at: i64,
}

impl Body for GroupForm {
    fn version(&self) -> u32 {
        self.v
    }
}

/// The body of a group's record, without its `parents`: those are its memberships.
///
/// # Errors
/// Never, as things are; see [`FormError`].
pub fn encode_group(group: &Group) -> Result<Vec<u8>, FormError> {
    write(&GroupForm {
        v: VERSION,
        id: group.id.to_string(),
        display_name: group.display_name.as_ref().to_owned(),
        source: (&group.source).into(),
        created_at: group.created_at.0,
        changed_at: group.changed_at.0,
    })
}

/// Reads such a body. The `parents` are empty: whoever wants them reads the group's memberships.
///
/// # Errors
/// See [`FormError`].
pub fn decode_group(body: &[u8]) -> Result<Group, FormError> {
    let form: GroupForm = read(body)?;
    Ok(Group {
        id: read_id("id", &form.id)?,
        display_name: form.display_name.into(),
        parents: BTreeSet::new(),
        source: form.source.read()?,
        created_at: UnixMillis(form.created_at),
        changed_at: UnixMillis(form.changed_at),
    })
}
