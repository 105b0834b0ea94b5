//! What is kept of a resource as its source tells it: the private record of the kind `document`.
//!
//! Its id begins with the connection, so that nothing of one connection is found by another, and
//! the resources of one connection lie side by side in the order of their ids, which is the order in
//! which they were made.

use doorward_model::UnixMillis;
use doorward_model::directory::ConnectionId;
use doorward_state::{CommitError, Record, UniqueKey, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scim::{Asserted, Document, ErrorKind, ResourceType, ScimError};

const VERSION: u32 = 1;

/// How many resources of one connection and type may share an `externalId`. RFC 7643 §3.1 wants
/// one; Entra ID maps it from attributes that are not unique in every tenant.
pub(super) const SAME_EXTERNAL_ID_MAX: usize = 8;

/// A resource, as its source tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Paper {
    pub(crate) document: Document,
    pub(crate) asserted: Asserted,
    pub(crate) created: UnixMillis,
    pub(crate) last_modified: UnixMillis,
    /// Which of the keys of its `externalId` it has.
    pub(crate) slot: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u32,
    document: Value,
    asserted: Vec<String>,
    created: i64,
    last_modified: i64,
    slot: usize,
}

/// The word for the type in ids.
const fn word(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::User => "user",
        ResourceType::Group => "group",
    }
}

/// What the ids of all resources of one connection and type begin with.
pub(super) fn shelf(connection: &ConnectionId, kind: ResourceType) -> String {
    format!("{connection}:{}:", word(kind))
}

/// The id of the record.
pub(super) fn record_id(connection: &ConnectionId, kind: ResourceType, id: &str) -> String {
    format!("{connection}:{}:{id}", word(kind))
}

/// The key by which a resource is found that has this `externalId`.
pub(super) fn external_key(
    connection: &ConnectionId,
    kind: ResourceType,
    external_id: &str,
    slot: usize,
) -> Result<UniqueKey, ScimError> {
    let text = format!("scim:{connection}:{}:external:{slot}:{external_id}", word(kind));
    UniqueKey::new(&text).map_err(|_: CommitError| {
        let detail = "`externalId` must have at most 400 bytes and no control characters";
        ScimError::new(ErrorKind::InvalidValue, detail)
    })
}

impl Paper {
    /// The body of the record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let written = Written {
            v: VERSION,
            document: self.document.to_json(),
            asserted: self.asserted.iter().map(str::to_owned).collect(),
            created: self.created.0,
            last_modified: self.last_modified.0,
            slot: self.slot,
        };
        // Names and JSON: this does not fail.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads a record.
    pub(super) fn decode(kind: ResourceType, body: &[u8]) -> Result<Self, ScimError> {
        let damaged = || ScimError::new(ErrorKind::Internal, "the stored resource is damaged");
        let written: Written = serde_json::from_slice(body).map_err(|_| damaged())?;
        if written.v != VERSION {
            return Err(damaged());
        }
        Ok(Self {
            document: Document::from_json(kind, written.document)?,
            asserted: written.asserted.into_iter().collect(),
            created: UnixMillis(written.created),
            last_modified: UnixMillis(written.last_modified),
            slot: written.slot,
        })
    }

    /// `userName` or `displayName`.
    pub(super) fn name(&self) -> &str {
        let name = match self.document.kind() {
            ResourceType::User => self.document.user_name(),
            ResourceType::Group => self.document.display_name(),
        };
        name.unwrap_or_default()
    }

    /// The keys of the record.
    pub(super) fn keys(&self, connection: &ConnectionId) -> Result<Vec<UniqueKey>, ScimError> {
        let kind = self.document.kind();
        let external = self.document.external_id();
        external.map(|external| external_key(connection, kind, external, self.slot)).into_iter().collect()
    }
}

/// A record's version, as entity tags have it.
pub(super) fn tag(version: Version) -> u64 {
    u64::try_from(version.0).unwrap_or_default()
}

/// A live record as a paper, with its version.
pub(super) fn read(kind: ResourceType, record: &Record) -> Result<Option<(Paper, Version)>, ScimError> {
    record.body.as_deref().map(|body| Ok((Paper::decode(kind, body)?, record.version))).transpose()
}
