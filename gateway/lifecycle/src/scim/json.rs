//! JSON bodies that can be read in one way only, within bounds.
//!
//! Attribute names are case-insensitive (RFC 7643 §2.1), so `active` and `Active` in one object
//! are the same key twice, and refused like it.

use doorward_identity::json::{self, JsonError, Rules};
use serde_json::{Map, Value};

use super::bounds::{BODY_BYTES_MAX, BODY_DEPTH_MAX, BODY_VALUES_MAX};
use super::error::{ErrorKind, ScimError};

/// The media type of every answer (RFC 7644 §3.8).
pub const MEDIA_TYPE: &str = "application/scim+json";

/// Whether a body of this `Content-Type` is read: SCIM's own or plain JSON, whatever parameters
/// follow. A body without one is tried.
#[must_use]
pub fn is_readable(content_type: Option<&str>) -> bool {
    let Some(text) = content_type else { return true };
    let media_type = text.split(';').next().unwrap_or_default().trim();
    [MEDIA_TYPE, "application/json"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

/// Reads a body that is one object, with nothing after it.
///
/// # Errors
/// `TooLarge` beyond [`BODY_BYTES_MAX`] bytes; `InvalidSyntax` when it is not JSON, not an object,
/// has a key twice, nests deeper than [`BODY_DEPTH_MAX`], or has more than [`BODY_VALUES_MAX`] values.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, ScimError> {
    object_within(bytes, BODY_BYTES_MAX)
}

/// As [`object`], with another bound of bytes.
pub(crate) fn object_within(bytes: &[u8], bytes_max: usize) -> Result<Map<String, Value>, ScimError> {
    if bytes.len() > bytes_max {
        return Err(ScimError::new(
            ErrorKind::TooLarge,
            format!("the body is larger than {bytes_max} bytes; send it in parts"),
        ));
    }
    let rules = Rules { depth_max: BODY_DEPTH_MAX, values_max: BODY_VALUES_MAX, any_case: true };
    json::object_by(bytes, rules).map_err(|error| {
        let why = match error {
            JsonError::Unreadable(e) => format!("the body is not good JSON: {e}"),
            JsonError::NotAnObject => "the body is not a JSON object".to_owned(),
        };
        ScimError::new(ErrorKind::InvalidSyntax, why)
    })
}

/// The object that a value is, if it is one.
pub(crate) fn into_object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// The value under a name, in whatever case the name is written.
pub(crate) fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// Takes out the value under a name, in whatever case the name is written.
pub(crate) fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if let Some(value) = map.remove(name) {
        return Some(value);
    }
    let key = map.keys().find(|k| k.eq_ignore_ascii_case(name))?.clone();
    map.remove(&key)
}

#[cfg(test)]
mod tests {
    use super::super::error::shown;
    use super::*;

    #[test]
    fn what_has_two_readings_or_too_much_is_refused() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        let many = |n: usize| format!("{{\"a\":[{}]}}", vec!["1"; n].join(","));
        let kind = |text: &str| object(text.as_bytes()).map_err(|e| e.kind());
        for bad in [
            "",
            "[]",
            "null",
            "{",
            "{}{}",
            "{\"a\":1,\"a\":1}",
            "{\"active\":true,\"Active\":false}",
            "{\"x\":[{\"b\":1,\"\\u0062\":1}]}",
            "{\"a\":1e400}",
            "\u{feff}{}",
            &nested(BODY_DEPTH_MAX),
            &many(BODY_VALUES_MAX),
        ] {
            assert_eq!(kind(bad), Err(ErrorKind::InvalidSyntax), "{}", shown(bad));
        }
        assert!(kind(&nested(BODY_DEPTH_MAX - 1)).is_ok());
        // The object, the list and its elements all count.
        assert!(kind(&many(BODY_VALUES_MAX - 2)).is_ok());
        assert_eq!(kind(&format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX))), Err(ErrorKind::TooLarge));
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_message_quotes_no_value() {
        let e = object(b"{\"password\":\"hunter2\",\"Password\":\"hunter2\"}").unwrap_err();
        assert!(e.detail().contains("`Password` comes twice") && !e.detail().contains("hunter2"), "{e}");
        assert!(!object(b"\"hunter2\"").unwrap_err().detail().contains("hunter2"));
    }
}
