//! Why a value of the file does not fit its type, in the words of TOML.

use std::fmt;

use doorward_model::complaint::KeyPath;
use serde::de::{self, Expected, Unexpected};

use super::suggest;

/// Why a value does not fit its type.
#[derive(Debug)]
pub(super) struct ShapeError {
    pub(super) at: Option<KeyPath>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The key that the table lacks, when that is the error.
    missing: Option<&'static str>,
}

// === impl ShapeError ===

impl ShapeError {
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into(), help: None, missing: None }
    }

    pub(super) fn with_help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }

    /// Says where it happened, unless a deeper value has said so.
    pub(super) fn within(mut self, at: &KeyPath) -> Self {
        if self.at.is_none() {
            self.at = Some(match self.missing {
                Some(key) => at.key(key),
                None => at.clone(),
            });
        }
        self
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ShapeError {}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::plain(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::plain(format!("{} stands where {} belongs", describe(found), spell(&wanted.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::plain(format!(
            "{} is out of range: {} belongs here",
            describe(found),
            spell(&wanted.to_string())
        ))
    }

    fn unknown_variant(word: &str, variants: &'static [&'static str]) -> Self {
        let help = match suggest::nearest(word, variants) {
            Some(near) => format!("did you mean `{near}`?"),
            None => one_of(variants),
        };
        Self::plain(format!("`{word}` is not known here")).with_help(help)
    }

    fn missing_field(key: &'static str) -> Self {
        Self {
            help: Some(format!("add `{key} = …` to this table")),
            missing: Some(key),
            ..Self::plain(format!("the key `{key}` is missing"))
        }
    }
}

/// What was found, in the words of TOML.
fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(b) => format!("the boolean `{b}`"),
        Unexpected::Unsigned(n) => format!("the number `{n}`"),
        Unexpected::Signed(n) => format!("the number `{n}`"),
        Unexpected::Float(n) => format!("the number `{n}`"),
        Unexpected::Str(s) => format!("the string `{}`", s.chars().take(80).collect::<String>()),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Other(what) => what.to_owned(),
        Unexpected::Char(_)
        | Unexpected::Bytes(_)
        | Unexpected::Unit
        | Unexpected::Option
        | Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "another value".to_owned(),
    }
}

/// What serde's derived code says it wants, in the words of TOML.
fn spell(wanted: &str) -> String {
    match wanted {
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "a table".to_owned(),
        "path string" => "a path".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0".to_owned(),
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number from 1".to_owned()
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        struct_or_other if struct_or_other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

/// What may stand in a place.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => "leave it out".to_owned(),
        [only] => format!("use `{only}`"),
        many => format!("use one of `{}`", many.join("`, `")),
    }
}
