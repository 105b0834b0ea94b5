//! One value from outside, for one attribute: accepted as it is to be stored, or refused.
//!
//! Nothing is normalized: what was sent is what is read back, byte for byte. The exceptions are
//! those that clients need: `"False"` for `false`, one object for a list of one, and `manager` as
//! a bare text. `null`, `[]` and an object without parts are all "no value" (RFC 7643 §2.5).

use serde_json::{Map, Value};

use super::bounds::{TEXT_BYTES_MAX, VALUES_MAX};
use super::error::{ErrorKind, ScimError};
use super::json;
use super::schema::{Attribute, Kind};

/// Accepts a value for an attribute; none is "no value". `name` is for messages.
pub(crate) fn accept(attribute: &Attribute, value: Value, name: &str) -> Result<Option<Value>, ScimError> {
    let accepted = if attribute.multi_valued {
        let list = elements(attribute, value, name)?;
        if list.is_empty() { None } else { Some(Value::Array(list)) }
    } else {
        single(attribute, value, name)?
    };
    if attribute.required && is_blank(accepted.as_ref()) {
        return Err(invalid(name, "must have a value"));
    }
    Ok(accepted)
}

/// Accepts the values of a list: an array, or one value that stands for a list of one. Values that
/// are there twice count once.
pub(crate) fn elements(attribute: &Attribute, value: Value, name: &str) -> Result<Vec<Value>, ScimError> {
    let list = match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list,
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![one],
    };
    if list.len() > VALUES_MAX {
        return Err(invalid(name, &format!("may have {VALUES_MAX} values at most")));
    }
    let mut accepted: Vec<Value> = Vec::with_capacity(list.len());
    for element in list {
        if let Some(element) = single(attribute, element, name)?
            && !accepted.contains(&element)
        {
            accepted.push(element);
        }
    }
    if accepted.iter().filter(|e| is_primary(e)).count() > 1 {
        return Err(invalid(name, "may have one `primary` value only (RFC 7643 §2.4)"));
    }
    Ok(accepted)
}

/// Accepts one value; of a list, one element.
pub(crate) fn single(attribute: &Attribute, value: Value, name: &str) -> Result<Option<Value>, ScimError> {
    match attribute.kind {
        Kind::Complex => complex(attribute, value, name),
        Kind::Text | Kind::Reference | Kind::DateTime => text(value, name),
        Kind::Boolean => boolean(&value, name).map(|b| b.map(Value::Bool)),
    }
}

/// Accepts true and false, also as a text in any case, as Entra ID writes them. Never 0 and 1:
/// whether somebody has access is not guessed.
pub(crate) fn boolean(value: &Value, name: &str) -> Result<Option<bool>, ScimError> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(b) => Ok(Some(*b)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(invalid(name, "must be true or false"))
        }
    }
}

/// Whether an element of a list says that it is the primary one.
pub(crate) fn is_primary(element: &Value) -> bool {
    element.get("primary") == Some(&Value::Bool(true))
}

fn text(value: Value, name: &str) -> Result<Option<Value>, ScimError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.len() > TEXT_BYTES_MAX => {
            Err(invalid(name, &format!("may have {TEXT_BYTES_MAX} bytes at most")))
        }
        // PostgreSQL has no such text, so no store may.
        Value::String(text) if text.contains('\0') => Err(invalid(name, "must not hold U+0000")),
        text @ Value::String(_) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(invalid(name, "must be a text"))
        }
    }
}

fn complex(attribute: &Attribute, value: Value, name: &str) -> Result<Option<Value>, ScimError> {
    let object = match bare(attribute, value, name)? {
        Value::Null => return Ok(None),
        Value::Object(map) => map,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let cure = if attribute.multi_valued { "must be a list of objects" } else { "must be an object" };
            return Err(invalid(name, cure));
        }
    };
    let mut accepted = Map::new();
    for (key, value) in object {
        let Some(part) = attribute.part(&key).filter(|p| p.writable()) else { continue };
        if let Some(value) = single(part, value, &format!("{name}.{}", part.name))? {
            accepted.insert(part.name.to_owned(), value);
        }
    }
    if accepted.is_empty() {
        return Ok(None);
    }
    for part in attribute.parts.iter().filter(|p| p.required) {
        if is_blank(accepted.get(part.name)) {
            return Err(invalid(&format!("{name}.{}", part.name), "must have a value"));
        }
    }
    Ok(Some(Value::Object(accepted)))
}

/// What a bare text, or a list of one, stands for.
pub(crate) fn bare(attribute: &Attribute, value: Value, name: &str) -> Result<Value, ScimError> {
    if !attribute.bare {
        return Ok(value);
    }
    let one = match value {
        Value::Array(list) if list.len() > 1 => return Err(invalid(name, "must be one value")),
        Value::Array(mut list) => list.pop().unwrap_or(Value::Null),
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => one,
    };
    Ok(match one {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        text @ Value::String(_) => Value::Object(Map::from_iter([("value".to_owned(), text)])),
        Value::Object(map) if is_blank(json::field(&map, "value")) => Value::Null,
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other
        }
    })
}

fn is_blank(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// A value that cannot be: `` `active` must be true or false ``.
pub(crate) fn invalid(name: &str, cure: &str) -> ScimError {
    ScimError::new(ErrorKind::InvalidValue, format!("`{name}` {cure}"))
}
