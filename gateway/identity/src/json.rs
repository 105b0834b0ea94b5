//! JSON that can be read in one way only.
//!
//! Two readers of one token must not see different claims (RFC 8725 §2.6), so an object with
//! the same key twice is refused at every depth. Keys are compared after their escapes are
//! resolved: `"is\u0073"` is `"iss"`. Depth is bounded by `serde_json` (128), numbers are finite.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::words::shown;

/// What an object may have of each thing, and which keys are one.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many objects and lists may stand within each other. More than `serde_json`'s 128 are never read.
    pub depth_max: usize,
    /// How many values there may be in all: the object, lists and their elements count.
    pub values_max: usize,
    /// Keys that differ only in the case of ASCII letters are the same key.
    pub any_case: bool,
}

impl Rules {
    /// As many of each as the text has room for, keys as they are written.
    const PLAIN: Self = Self { depth_max: usize::MAX, values_max: usize::MAX, any_case: false };
}

/// Reads one object and nothing after it.
///
/// # Errors
/// When it is not JSON, nests deeper than 128, holds a key twice at any depth, or is not an object.
/// The error quotes no value.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    object_by(bytes, Rules::PLAIN)
}

/// As [`object`], by these rules.
///
/// # Errors
/// As [`object`], and when there is more of anything than the rules allow.
pub fn object_by(bytes: &[u8], rules: Rules) -> Result<Map<String, Value>, JsonError> {
    let values = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let strict = Strict { rules, depth: 0, values: &values };
    let value = strict.deserialize(&mut reader).map_err(JsonError::Unreadable)?;
    reader.end().map_err(JsonError::Unreadable)?;
    match value {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError::NotAnObject)
        }
    }
}

/// Why a text is not one unambiguous JSON object.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It breaks the grammar, nests too deep, has too many values, or has a key twice.
    #[error("it is not unambiguous JSON: {0}")]
    Unreadable(serde_json::Error),
    /// It is JSON of another kind.
    #[error("it is not a JSON object")]
    NotAnObject,
}

/// Reads any value; refuses a key that comes twice, and too much of anything.
#[derive(Clone, Copy)]
struct Strict<'a> {
    rules: Rules,
    depth: usize,
    values: &'a Cell<usize>,
}

// === impl Strict ===

impl Strict<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let max = self.rules.depth_max;
        if self.depth >= max {
            return Err(E::custom(format!("it nests deeper than {max}")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn count<E: de::Error>(self) -> Result<(), E> {
        let max = self.rules.values_max;
        self.values.set(self.values.get() + 1);
        if self.values.get() > max {
            return Err(E::custom(format!("it has more than {max} values")));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.count()?;
        // Every kind of value is accepted here, so that no message of `serde` quotes the input.
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let (mut map, mut folded) = (Map::new(), BTreeSet::new());
        while let Some(key) = entries.next_key::<String>()? {
            let any_case = self.rules.any_case;
            let twice =
                if any_case { !folded.insert(key.to_ascii_lowercase()) } else { map.contains_key(&key) };
            if twice {
                return Err(de::Error::custom(format!("the key `{}` comes twice", shown(&key, 40))));
            }
            let value = entries.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        for bad in [
            "",
            "null",
            "[]",
            "\"x\"",
            "1",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"a\":{\"b\":1,\"b\":2}}",
            "{\"a\":[{\"b\":1,\"b\":2}]}",
            "{\"a\":1e400}",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":'x'}",
            "{\"a\":1,}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
            &deep,
        ] {
            assert!(object(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn every_kind_of_value_is_read_as_serde_json_reads_it() {
        let text = r#" {"s":"\u00e4\n","i":-3,"u":18446744073709551615,"f":1.5,"n":null,"b":true,"l":[1,[{"x":2}]]} "#;
        let plain: Map<String, Value> = serde_json::from_str(text).unwrap();
        assert_eq!(object(text.as_bytes()).unwrap(), plain);
    }

    #[test]
    fn a_message_does_not_quote_values() {
        let e = object(b"{\"a\":\"secret\",\"a\":\"secret\"}").unwrap_err().to_string();
        assert!(e.contains("`a` comes twice") && !e.contains("secret"), "{e}");
        assert!(!object(b"\"secret\"").unwrap_err().to_string().contains("secret"));
    }
}
