//! Versions of resources: `ETag`, `If-Match`, `If-None-Match` (RFC 7644 §3.14, RFC 9110 §13.1).
//!
//! Tags are weak, as in the examples of RFC 7644, and compared weakly also in `If-Match`: the
//! number in ours is the version of the record, which is exact.

use super::bounds::ETAGS_MAX;
use super::error::{ErrorKind, ScimError};

/// What the headers of a request ask about the version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// What is between the quotes.
    These(Vec<String>),
}

/// The tag of a version: `W/"7"`. It stands in `ETag` and in `meta.version`.
#[must_use]
pub fn weak(version: u64) -> String {
    format!("W/\"{version}\"")
}

// === impl Precondition ===

impl Precondition {
    /// Reads both headers. Several lines of one header come joined by commas.
    ///
    /// # Errors
    /// `InvalidSyntax`, when one is there and cannot be read: a condition that is not understood is
    /// not taken for one that holds.
    pub fn read(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self, ScimError> {
        Ok(Self {
            if_match: if_match.map(|text| tags(text, "If-Match")).transpose()?,
            if_none_match: if_none_match.map(|text| tags(text, "If-None-Match")).transpose()?,
        })
    }

    /// Whether a resource of this version may be changed.
    ///
    /// # Errors
    /// `PreconditionFailed`, when the client means another version.
    pub fn may_change(&self, version: u64) -> Result<(), ScimError> {
        let stale = self.if_match.as_ref().is_some_and(|tags| !tags.have(version));
        let forbidden = self.if_none_match.as_ref().is_some_and(|tags| tags.have(version));
        if stale || forbidden {
            return Err(ScimError::new(
                ErrorKind::PreconditionFailed,
                format!("the resource is at version {}; read it again", weak(version)),
            ));
        }
        Ok(())
    }

    /// Whether a reader has this version already, and is answered 304.
    #[must_use]
    pub fn has(&self, version: u64) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| tags.have(version))
    }
}

// === impl Tags ===

impl Tags {
    fn have(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| *tag == version.to_string()),
        }
    }
}

fn tags(text: &str, header: &str) -> Result<Tags, ScimError> {
    let unreadable = || {
        ScimError::new(
            ErrorKind::InvalidSyntax,
            format!("`{header}` must be `*` or a list of entity tags such as W/\"7\""),
        )
    };
    let text = text.trim();
    if text == "*" {
        return Ok(Tags::Any);
    }
    let mut found = Vec::new();
    for tag in text.split(',') {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let inner = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).ok_or_else(unreadable)?;
        if inner.contains('"') || found.len() == ETAGS_MAX {
            return Err(unreadable());
        }
        found.push(inner.to_owned());
    }
    Ok(Tags::These(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_fails_or_is_refused() {
        use ErrorKind::{InvalidSyntax, PreconditionFailed};
        let many = vec!["\"1\""; ETAGS_MAX + 1].join(",");
        for (if_match, if_none_match, expect) in [
            (None, None, Ok(())),
            (Some("W/\"7\""), None, Ok(())),
            (Some("\"7\""), None, Ok(())),
            (Some("*"), None, Ok(())),
            (Some("W/\"6\", W/\"7\""), None, Ok(())),
            (Some("W/\"6\""), None, Err(PreconditionFailed)),
            (Some("W/\"07\""), None, Err(PreconditionFailed)),
            (None, Some("*"), Err(PreconditionFailed)),
            (None, Some("W/\"7\""), Err(PreconditionFailed)),
            (None, Some("W/\"6\""), Ok(())),
            (Some(""), None, Err(InvalidSyntax)),
            (Some("7"), None, Err(InvalidSyntax)),
            (Some("W/\"7"), None, Err(InvalidSyntax)),
            (Some("\""), None, Err(InvalidSyntax)),
            (Some("\"7\","), None, Err(InvalidSyntax)),
            (Some(&many), None, Err(InvalidSyntax)),
        ] {
            let found = Precondition::read(if_match, if_none_match).and_then(|p| p.may_change(7));
            assert_eq!(found.map_err(|e| e.kind()), expect, "{if_match:?} {if_none_match:?}");
        }
        let has = |text| Precondition::read(None, Some(text)).unwrap().has(7);
        assert!(has("W/\"7\"") && has("*") && !has("W/\"8\"") && !Precondition::default().has(7));
    }
}
