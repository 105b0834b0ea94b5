//! How what the directory knows is written down: the bodies of its records, and their keys.
//!
//! Wire types are not domain types: what lies in files is described by the private types of this
//! module, each with a version `v`, and is turned into the types of [`doorward_model::directory`].
//!
//! ```text
//!  Person  ─ encode_person ──────► record person      <uuid>           without the groups, with keys
//!          └ encode_memberships ─► record membership  person:<uuid>    the groups, each with its origin
//!  Group   ─ encode_group ───────► record group       <uuid>           without the groups above it
//!          └ encode_memberships ─► record membership  group:<uuid>     the groups above it
//!  Machine ─ encode_machine ─────► record machine     <uuid>           with its keys
//!  Device  ─ encode_device ──────► record device      <as tokens say>
//! ```
//!
//! Who is in which group stands in records of its own, one for each member, so that a group that
//! gains 10,000 members writes 10,000 small records and no person. What a group is in stands there,
//! too, and not in the group: nesting is the same write as any other membership, with the same
//! origins, and a rename never conflicts with it.
//!
//! Invariants:
//! * What is read is what was written, or an error: an unknown field, a word that is not known, a
//!   thing that is there twice, and a body of a later version are never half-read.
//! * Nothing that decides about access has a default: a body that does not say is refused.
//! * An error names the field, and never the person.

mod device;
mod given;
mod group;
mod machine;
mod person;
mod profile;
#[cfg(test)]
mod tests;
mod token;

use doorward_model::directory::{ConnectionId, GroupId, PersonId, Source};
use doorward_model::{IssuerId, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use device::{decode_device, device_keys, encode_device};
pub use given::{decode_memberships, encode_memberships};
pub use group::{decode_group, encode_group};
pub use machine::{decode_machine, encode_machine};
pub use person::{decode_person, encode_person};

use crate::records::UniqueKey;

/// The version of all bodies that this program writes and reads.
const VERSION: u32 = 1;

/// Why a body could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A later program wrote it.
    #[error("the body is of version {0}, and this program reads version {VERSION}: start the newer program")]
    Later(u32),
    /// It is not of the form that its version says. What stands there is not repeated: it is personal.
    #[error("the body is damaged at line {line}, column {column}, or was not written by Doorward")]
    Damaged {
        /// Which line, counted from 1.
        line: usize,
        /// Which column, counted from 1; 0 where a line says too little as a whole.
        column: usize,
    },
    /// A field says what it cannot mean.
    #[error("`{field}` of the body makes no sense: {rule}")]
    Field {
        /// Which field.
        field: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A name cannot be a key of the directory.
    #[error("`{field}` is too long to be kept apart from others, or has control characters: shorten it")]
    Key {
        /// Which field.
        field: &'static str,
    },
}

/// Who may be in a group: whose memberships one record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A person.
    Person(PersonId),
    /// A group within groups.
    Group(GroupId),
}

impl Member {
    /// The id of the record of kind [`Membership`](crate::RecordKind::Membership): `person:<uuid>` or
    /// `group:<uuid>`.
    #[must_use]
    pub fn record_id(self) -> String {
        match self {
            Self::Person(id) => format!("person:{id}"),
            Self::Group(id) => format!("group:{id}"),
        }
    }

    /// Reads the id of such a record.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(record_id: &str) -> Result<Self, FormError> {
        let wrong = FormError::Field { field: "id", rule: "write `person:` or `group:` and a UUID" };
        let Some((kind, id)) = record_id.split_once(':') else { return Err(wrong) };
        match kind {
            "person" => id.parse().map(Self::Person).map_err(|_| wrong),
            "group" => id.parse().map(Self::Group).map_err(|_| wrong),
            _ => Err(wrong),
        }
    }
}

/// The key of a sign-in: one person or machine alone has it.
///
/// # Errors
/// When it is too long; no [`UserId`] is.
pub fn link_key(link: &UserId) -> Result<UniqueKey, FormError> {
    UniqueKey::new(&format!("link:{link}")).map_err(|_| FormError::Key { field: "links" })
}

/// The key of a name within its source, without regard to case (RFC 7643 §4.1.1, `userName`).
///
/// # Errors
/// When the name is longer than some 430 bytes, or has control characters.
pub fn user_name_key(source: &Source, user_name: &str) -> Result<UniqueKey, FormError> {
    let source = match source {
        Source::Local => "local".to_owned(),
        Source::Scim(connection) => format!("scim:{connection}"),
        Source::SignIn(issuer) => format!("signin:{issuer}"),
    };
    let folded = user_name.to_lowercase();
    UniqueKey::new(&format!("name:{source}:{folded}")).map_err(|_| FormError::Key { field: "user_name" })
}

/// A body as written, in this version.
trait Body: Serialize + DeserializeOwned {
    /// Which version it says that it is.
    fn version(&self) -> u32;
}

fn write<B: Body>(body: &B) -> Result<Vec<u8>, FormError> {
    serde_json::to_vec(body).map_err(|error| damaged(&error))
}

fn read<B: Body>(bytes: &[u8]) -> Result<B, FormError> {
    let written = serde_json::from_slice::<B>(bytes);
    if let Ok(body) = &written
        && body.version() == VERSION
    {
        return written.map_err(|error| damaged(&error));
    }
    /// What every version has.
    #[derive(Deserialize)]
    struct Head {
        v: u32,
    }
    match (serde_json::from_slice::<Head>(bytes), written) {
        (Ok(head), _) if head.v > VERSION => Err(FormError::Later(head.v)),
        (_, Err(error)) => Err(damaged(&error)),
        (_, Ok(_)) => Err(FormError::Field { field: "v", rule: "the first version is 1" }),
    }
}

fn damaged(error: &serde_json::Error) -> FormError {
    FormError::Damaged { line: error.line(), column: error.column() }
}

/// Whether a body need not say it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Who speaks for a person or a group, as written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceForm {
    Local,
    Scim(String),
    SignIn(String),
}

impl From<&Source> for SourceForm {
    fn from(source: &Source) -> Self {
        match source {
            Source::Local => Self::Local,
            Source::Scim(connection) => Self::Scim(connection.as_str().to_owned()),
            Source::SignIn(issuer) => Self::SignIn(issuer.as_str().to_owned()),
        }
    }
}

impl SourceForm {
    fn read(&self) -> Result<Source, FormError> {
        match self {
            Self::Local => Ok(Source::Local),
            Self::Scim(connection) => read_connection("source", connection).map(Source::Scim),
            Self::SignIn(issuer) => match IssuerId::new(issuer) {
                Ok(issuer) => Ok(Source::SignIn(issuer)),
                Err(_) => Err(FormError::Field { field: "source", rule: "an issuer has a short name" }),
            },
        }
    }
}

fn read_connection(field: &'static str, name: &str) -> Result<ConnectionId, FormError> {
    ConnectionId::new(name).map_err(|_| FormError::Field { field, rule: "a connection has a short name" })
}

fn read_link(field: &'static str, text: &str) -> Result<UserId, FormError> {
    text.parse().map_err(|_| FormError::Field { field, rule: "a sign-in is `issuer:subject`" })
}

fn read_id<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, FormError> {
    text.parse().map_err(|_| FormError::Field { field, rule: "an id is a UUID in lower case" })
}
