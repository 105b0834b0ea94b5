//! How a connection is written down.

use doorward_model::UnixMillis;
use doorward_state::{CommitError, UniqueKey};
use serde::{Deserialize, Serialize};

use super::{Connection, KnownToken, SubjectAttribute, Terms, TokenHash};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u32,
    issuer: String,
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email_domains: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_prefix: Option<String>,
    created_at: i64,
    tokens: Vec<WrittenToken>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    sha256: String,
    created_at: i64,
    last_used_at: Option<i64>,
}

/// The body of the record.
pub(super) fn encode(connection: &Connection) -> Vec<u8> {
    let token = |token: &KnownToken| WrittenToken {
        sha256: token.hash.to_string(),
        created_at: token.created_at.0,
        last_used_at: token.last_used_at.map(|at| at.0),
    };
    let terms = &connection.terms;
    let written = Written {
        v: VERSION,
        issuer: connection.issuer.to_string(),
        subject: connection.subject.as_str().to_owned(),
        email_domains: terms.email_domains.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
        roles: terms.roles.iter().map(ToString::to_string).collect(),
        group_prefix: terms.group_prefix.as_ref().map(|prefix| prefix.as_str().to_owned()),
        created_at: connection.created_at.0,
        tokens: connection.tokens.iter().map(token).collect(),
    };
    // Texts and numbers: this does not fail.
    serde_json::to_vec(&written).unwrap_or_default()
}

/// Reads what was written. None when it is damaged, or a later program wrote it.
pub(super) fn decode(id: &str, body: &[u8]) -> Option<Connection> {
    let written: Written = serde_json::from_slice(body).ok().filter(|w: &Written| w.v == VERSION)?;
    let token = |token: WrittenToken| {
        Some(KnownToken {
            hash: TokenHash::parse(&token.sha256)?,
            created_at: UnixMillis(token.created_at),
            last_used_at: token.last_used_at.map(UnixMillis),
        })
    };
    Some(Connection {
        id: doorward_model::directory::ConnectionId::new(id).ok()?,
        issuer: doorward_model::IssuerId::new(&written.issuer).ok()?,
        subject: SubjectAttribute::parse(&written.subject)?,
        terms: Terms::read(written.email_domains.as_deref(), &written.roles, written.group_prefix.as_deref())
            .ok()?,
        created_at: UnixMillis(written.created_at),
        tokens: written.tokens.into_iter().map(token).collect::<Option<_>>()?,
    })
}

/// The key by which a token is found.
pub(super) fn key(hash: &TokenHash) -> Result<UniqueKey, CommitError> {
    UniqueKey::new(&format!("scim-token:{hash}"))
}
