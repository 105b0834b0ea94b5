//! What is to end of somebody's sessions; a node without a directory asks the control nodes for it.

use std::net::IpAddr;

use doorward_model::limits::REVOCATION_CAUSE_BYTES_MAX;
use doorward_model::{EntryKind, Target, UnixMillis, UserId};

use super::SessionsError;
use crate::fleet::EntryId;

/// The longest id of a request, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 255;

/// That sessions of somebody are to end. It can only take away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToEnd {
    /// Whom or what to revoke.
    pub target: Target,
    /// Whose sessions they are: what is left of them is looked for there, and nowhere else.
    pub person: UserId,
    /// From where the person wants it. None where the gateway does.
    pub by: Option<IpAddr>,
    /// Why.
    pub cause: String,
    /// In which request.
    pub request_id: String,
}

/// That a gateway node wants something ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which asking it is, to be [acknowledged](super::Sessions::acknowledge).
    pub id: EntryId,
    /// What.
    pub end: ToEnd,
    /// When, by Redis's clock.
    pub at: UnixMillis,
}

/// How many fields an entry has.
pub(super) const FIELDS: usize = 6;
const NAMES: [&str; FIELDS] = ["k", "i", "p", "b", "c", "r"];

/// The fields of an entry, by name.
pub(super) fn fields(end: &ToEnd) -> Result<[(&'static str, String); FIELDS], SessionsError> {
    let ToEnd { target, person, by, cause, request_id } = end;
    fits("cause", cause, REVOCATION_CAUSE_BYTES_MAX)?;
    fits("request_id", request_id, REQUEST_ID_BYTES_MAX)?;
    let [k, i, p, b, c, r] = NAMES;
    Ok([
        (k, target.kind().as_str().to_owned()),
        (i, target.id()),
        (p, person.to_string()),
        (b, by.map(|ip| ip.to_string()).unwrap_or_default()),
        (c, cause.clone()),
        (r, request_id.clone()),
    ])
}

/// Reads an entry. `None` when it is none of ours.
pub(super) fn read(id: EntryId, pairs: &[(Vec<u8>, Vec<u8>)]) -> Option<Asked> {
    let pairs: &[_; FIELDS] = pairs.try_into().ok()?;
    if pairs.iter().zip(NAMES).any(|((name, _), known)| name.as_slice() != known.as_bytes()) {
        return None;
    }
    let texts = pairs.each_ref().map(|(_, value)| std::str::from_utf8(value).ok());
    let [Some(kind), Some(name), Some(person), Some(by), Some(cause), Some(request_id)] = texts else {
        return None;
    };
    fits("cause", cause, REVOCATION_CAUSE_BYTES_MAX).ok()?;
    fits("request_id", request_id, REQUEST_ID_BYTES_MAX).ok()?;
    let by = match by {
        "" => None,
        ip => Some(ip.parse().ok()?),
    };
    let end = ToEnd {
        target: Target::parse(EntryKind::parse(kind)?, name).ok()?,
        person: person.parse().ok()?,
        by,
        cause: cause.to_owned(),
        request_id: request_id.to_owned(),
    };
    Some(Asked { id, end, at: UnixMillis(i64::try_from(id.millis).ok()?) })
}

fn fits(field: &'static str, text: &str, bytes_max: usize) -> Result<(), SessionsError> {
    if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        let rule = format!("must have 1 to {bytes_max} bytes and no control characters");
        return Err(SessionsError::Unfit { field, rule });
    }
    Ok(())
}
