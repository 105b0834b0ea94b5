//! What was given, and by whom.

use doorward_model::UnixMillis;
use doorward_model::directory::{Given, Grants, GroupId, Origin};
use serde::{Deserialize, Serialize};

use super::{Body, FormError, VERSION, read, read_connection, read_id, write};

/// Whose word it is, as written.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum By {
    Source(String),
    Operator(String),
    Default,
}

impl From<&Origin> for By {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Source(connection) => Self::Source(connection.as_str().to_owned()),
            Origin::Operator(name) => Self::Operator(name.as_ref().to_owned()),
            Origin::Default => Self::Default,
        }
    }
}

impl By {
    fn read(&self, field: &'static str) -> Result<Origin, FormError> {
        match self {
            Self::Source(connection) => read_connection(field, connection).map(Origin::Source),
            Self::Operator(name) => Ok(Origin::Operator(name.as_str().into())),
            Self::Default => Ok(Origin::Default),
        }
    }
}

/// Everything that one hand gave: each thing, and since when. By hand, because a member of a thousand
/// groups would else say a thousand times who put them there, and the body has its bound.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gifts {
    by: By,
    given: Vec<(String, i64)>,
}

pub(super) fn gifts<T: Ord>(grants: &Grants<T>, text: impl Fn(&T) -> String) -> Vec<Gifts> {
    let mut all: Vec<Gifts> = Vec::new();
    for Given { what, origin, since } in grants.iter() {
        let (by, given) = (By::from(origin), (text(what), since.0));
        match all.iter_mut().find(|gifts| gifts.by == by) {
            Some(gifts) => gifts.given.push(given),
            None => all.push(Gifts { by, given: vec![given] }),
        }
    }
    all
}

pub(super) fn grants<T: Ord>(
    field: &'static str,
    all: Vec<Gifts>,
    read: impl Fn(&str) -> Result<T, FormError>,
) -> Result<Grants<T>, FormError> {
    let mut grants = Grants::new();
    for Gifts { by, given } in all {
        let origin = by.read(field)?;
        for (what, since) in given {
            let given = Given { what: read(&what)?, origin: origin.clone(), since: UnixMillis(since) };
            if !grants.give(given) {
                return Err(FormError::Field { field, rule: "one hand gives a thing once" });
            }
        }
    }
    Ok(grants)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipForm {
    v: u32,
    groups: Vec<Gifts>,
}

impl Body for MembershipForm {
    fn version(&self) -> u32 {
        self.v
    }
}

/// The body of the record that tells in which groups a [`Member`](super::Member) directly is: the
/// groups of a person, or those above a group.
///
/// # Errors
/// Never, as things are; see [`FormError`].
pub fn encode_memberships(groups: &Grants<GroupId>) -> Result<Vec<u8>, FormError> {
    write(&MembershipForm { v: VERSION, groups: gifts(groups, GroupId::to_string) })
}

/// Reads such a body. Of a group, what stands in it are its `parents`.
///
/// # Errors
/// See [`FormError`].
pub fn decode_memberships(body: &[u8]) -> Result<Grants<GroupId>, FormError> {
    let form: MembershipForm = read(body)?;
    grants("groups", form.groups, |text| read_id("groups", text))
}
