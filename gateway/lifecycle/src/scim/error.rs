//! What a SCIM client is told when it does not get what it asked for (RFC 7644 §3.12).

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The schema of an error body.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// Why a SCIM request is not done, by what the client should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A filter that cannot be read, or that asks what cannot be answered.
    InvalidFilter,
    /// A filter that matches more than can be returned.
    TooMany,
    /// Somebody else has this unique value.
    Uniqueness,
    /// The attribute cannot be changed like this.
    Mutability,
    /// The body is not what the protocol says it should be.
    InvalidSyntax,
    /// The path of a PATCH operation names nothing.
    InvalidPath,
    /// The path of a PATCH operation finds nothing in this resource.
    NoTarget,
    /// A value that the attribute cannot have.
    InvalidValue,
    /// No good token.
    Unauthorized,
    /// A good token that may not do this.
    Forbidden,
    /// There is no such resource.
    NotFound,
    /// The endpoint does not know this method.
    MethodNotAllowed,
    /// The request does not go together with the state of the resource.
    Conflict,
    /// The resource was changed since the client read it.
    PreconditionFailed,
    /// The body, or what it asks for, is too large.
    TooLarge,
    /// Too many requests; the answer says when to come back.
    TooManyRequests,
    /// Something here is broken; trying again may help.
    Internal,
    /// The protocol has this and we do not.
    NotImplemented,
    /// What is needed to answer cannot be reached right now.
    Unavailable,
}

/// An error as the client reads it. The text is for the client's operator: it names attributes and
/// cures, and quotes no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    kind: ErrorKind,
    detail: String,
}

// === impl ErrorKind ===

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::InvalidFilter,
        Self::TooMany,
        Self::Uniqueness,
        Self::Mutability,
        Self::InvalidSyntax,
        Self::InvalidPath,
        Self::NoTarget,
        Self::InvalidValue,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::TooManyRequests,
        Self::Internal,
        Self::NotImplemented,
        Self::Unavailable,
    ];

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidFilter
            | Self::TooMany
            | Self::Mutability
            | Self::InvalidSyntax
            | Self::InvalidPath
            | Self::NoTarget
            | Self::InvalidValue => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Uniqueness | Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
        }
    }

    /// The keyword that goes with 400 and with a taken name (RFC 7644 §3.12, table 9).
    #[must_use]
    pub const fn scim_type(self) -> Option<&'static str> {
        match self {
            Self::InvalidFilter => Some("invalidFilter"),
            Self::TooMany => Some("tooMany"),
            Self::Uniqueness => Some("uniqueness"),
            Self::Mutability => Some("mutability"),
            Self::InvalidSyntax => Some("invalidSyntax"),
            Self::InvalidPath => Some("invalidPath"),
            Self::NoTarget => Some("noTarget"),
            Self::InvalidValue => Some("invalidValue"),
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Conflict
            | Self::PreconditionFailed
            | Self::TooLarge
            | Self::TooManyRequests
            | Self::Internal
            | Self::NotImplemented
            | Self::Unavailable => None,
        }
    }
}

// === impl ScimError ===

impl ScimError {
    /// An error of this kind, told in one sentence without a period.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.kind.status()
    }

    /// What happened and what helps.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The body of the answer. `status` is a string, as RFC 7644 §3.12 has it.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("schemas".to_owned(), json!([ERROR_URN]));
        body.insert("status".to_owned(), Value::String(self.status().to_string()));
        if let Some(scim_type) = self.kind.scim_type() {
            body.insert("scimType".to_owned(), Value::String(scim_type.to_owned()));
        }
        body.insert("detail".to_owned(), Value::String(self.detail.clone()));
        Value::Object(body)
    }

    /// The same error, with where in the request it happened before it.
    #[must_use]
    pub(crate) fn within(self, place: &str) -> Self {
        Self { kind: self.kind, detail: format!("{place}: {}", self.detail) }
    }
}

/// A name from outside as it may stand in a message: at most 60 characters, in backticks, nothing
/// that a terminal would obey.
pub(crate) fn shown(name: &str) -> String {
    let mut out = String::from("`");
    for c in name.chars().take(60) {
        if c.is_control() || c == '`' {
            // Writing to a string does not fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out.push_str(if name.chars().nth(60).is_some() { "…`" } else { "`" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_a_string_and_the_keyword_goes_with_it() {
        for kind in ErrorKind::ALL {
            let body = ScimError::new(kind, "why").body();
            assert_eq!(body["schemas"], json!([ERROR_URN]));
            assert_eq!(body["status"], json!(kind.status().to_string()));
            assert_eq!(body.get("scimType").and_then(Value::as_str), kind.scim_type());
            assert_eq!(body["detail"], "why");
            // Table 9 has keywords for 400 and for 409 of a taken name, and no other.
            assert_eq!(kind.scim_type().is_some(), kind.status() == 400 || kind == ErrorKind::Uniqueness);
        }
    }

    #[test]
    fn a_name_from_outside_is_short_and_harmless() {
        assert_eq!(shown("userName"), "`userName`");
        assert_eq!(shown("a\u{1b}[2J`b"), "`a\\u{1b}[2J\\u{60}b`");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 63);
    }
}
