//! What a request changes about who is in a group, without the group's list of members.
//!
//! ```text
//!  members after = (if cleared { nobody } else { members before − removed }) ∪ added
//! ```
//!
//! A PATCH is a sequence of such changes, in order; [`Membership`] is what all of them together
//! come to, so that its size is the request's and not the group's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::bounds::{MEMBER_ID_BYTES_MAX, MEMBERS_MAX};
use super::error::{ErrorKind, ScimError};
use super::json;
use super::schema::ResourceType;
use super::values::invalid;

/// One member, as a client names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Our id of the person or group. Not looked up yet.
    pub id: String,
    /// What the client says that it is; most clients do not say.
    pub kind: Option<ResourceType>,
}

/// What all changes of one request to the members of one group come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    cleared: bool,
    added: BTreeMap<String, Member>,
    removed: BTreeSet<String>,
}

/// One change to the members of a group.
#[derive(Clone, Debug)]
pub(crate) enum MemberChange {
    Add(Vec<Member>),
    Remove(Vec<String>),
    /// These and no other.
    Replace(Vec<Member>),
}

// === impl Member ===

impl Member {
    /// The member as a client reads it (RFC 7643 §4.2).
    #[must_use]
    pub fn resource(id: &str, kind: ResourceType, display: Option<&str>, base: &str) -> Value {
        let mut member = Map::new();
        member.insert("value".to_owned(), json!(id));
        member.insert(
            "$ref".to_owned(),
            json!(format!("{}{}/{id}", base.trim_end_matches('/'), kind.endpoint())),
        );
        member.insert("type".to_owned(), json!(kind.name()));
        if let Some(display) = display {
            member.insert("display".to_owned(), json!(display));
        }
        Value::Object(member)
    }
}

// === impl Membership ===

impl Membership {
    /// Whether everybody who is not in [`Membership::added`] is removed.
    #[must_use]
    pub const fn is_cleared(&self) -> bool {
        self.cleared
    }

    /// Who is in the group afterwards, whether they were before or not.
    pub fn added(&self) -> impl Iterator<Item = &Member> {
        self.added.values()
    }

    /// Who is not in the group afterwards, whether they were before or not. Empty when
    /// [`Membership::is_cleared`].
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.removed.iter().map(String::as_str)
    }

    /// Whether the request says nothing about members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.cleared && self.added.is_empty() && self.removed.is_empty()
    }

    /// Who is in the group afterwards.
    #[must_use]
    pub fn apply(&self, before: &BTreeSet<String>) -> BTreeSet<String> {
        let stay = before.iter().filter(|id| !self.cleared && !self.removed.contains(*id));
        stay.chain(self.added.keys()).cloned().collect()
    }

    /// Checks that one request does not name more members than it may.
    pub(crate) fn check(&self) -> Result<(), ScimError> {
        if self.added.len() + self.removed.len() > MEMBERS_MAX {
            return Err(ScimError::new(
                ErrorKind::TooLarge,
                format!("`members` may name {MEMBERS_MAX} at once; send the rest in another request"),
            ));
        }
        Ok(())
    }

    /// One more change, after those before it.
    pub(crate) fn then(&mut self, change: MemberChange) {
        match change {
            MemberChange::Add(members) => {
                for member in members {
                    self.removed.remove(&member.id);
                    self.added.insert(member.id.clone(), member);
                }
            }
            MemberChange::Remove(ids) => {
                for id in ids {
                    self.added.remove(&id);
                    if !self.cleared {
                        self.removed.insert(id);
                    }
                }
            }
            MemberChange::Replace(members) => {
                *self = Self { cleared: true, ..Self::default() };
                self.added.extend(members.into_iter().map(|m| (m.id.clone(), m)));
            }
        }
    }
}

/// Reads a list of members, or one member.
pub(crate) fn read(value: Value) -> Result<Vec<Member>, ScimError> {
    let list = match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list,
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![one],
    };
    list.into_iter().map(member).collect()
}

fn member(value: Value) -> Result<Member, ScimError> {
    let object = match value {
        Value::Object(object) => object,
        // Some clients write the id alone.
        Value::String(id) => return Ok(Member { id: good_id(id)?, kind: None }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            return Err(invalid("members", "must be a list of objects with `value`"));
        }
    };
    let Some(Value::String(id)) = json::field(&object, "value") else {
        return Err(invalid("members.value", "must be the id of a person or group"));
    };
    let kind = match json::field(&object, "type") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(
            ResourceType::ALL
                .into_iter()
                .find(|kind| kind.name().eq_ignore_ascii_case(name))
                .ok_or_else(|| invalid("members.type", "must be User or Group"))?,
        ),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(invalid("members.type", "must be User or Group"));
        }
    };
    Ok(Member { id: good_id(id.clone())?, kind })
}

/// An id as somebody may name it.
pub(crate) fn good_id(id: String) -> Result<String, ScimError> {
    if id.is_empty() || id.len() > MEMBER_ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(invalid("members.value", "must be the id of a person or group"));
    }
    Ok(id)
}
