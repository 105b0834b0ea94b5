//! Reads the parsed file into the *as-written* types and finds every mistake of form at once:
//! unknown keys, wrong types, missing keys.
//!
//! serde stops at the first error. This deserializer remembers the error, leaves a *hole* in its
//! place, and reads again; where a hole is, a blank value answers whatever the type asks for
//! (an optional value is simply absent). After the last pass the value is complete enough for the
//! checks of meaning, so that those mistakes come in the same report.
//!
//! It also knows the fields of every struct it fills, which is how an unknown key is told what
//! it may have meant.

use std::cell::RefCell;

use doorward_model::complaint::{Complaint, Key, KeyPath};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use toml::de::{DeTable, DeValue};

use super::blank::Blank;
use super::shape::{ShapeError, one_of};
use super::suggest;

/// The most mistakes of each kind that one report lists; reading stops there.
const MISTAKES_MAX: usize = 100;

/// What reading found.
pub(super) struct Outcome<T> {
    /// The value; where it has holes, see [`Outcome::holes`]. None when not even blanks helped.
    pub(super) value: Option<T>,
    /// Keys that no section knows. Their own place is the key, not its value.
    pub(super) unknown: Vec<Complaint>,
    /// Values of a wrong type, and keys that are missing.
    pub(super) misshapen: Vec<Complaint>,
    /// Where the value is blank instead of what stands in the file. What a check of meaning
    /// says about these is not worth repeating.
    pub(super) holes: Vec<KeyPath>,
}

/// Reads `root` into a `T` as far as possible.
pub(super) fn read<T: DeserializeOwned>(root: &DeValue<'_>) -> Outcome<T> {
    let mut misshapen = Vec::new();
    let mut unknown: Vec<Complaint> = Vec::new();
    let mut holes: Vec<KeyPath> = Vec::new();
    loop {
        let walk = Walk { holes: &holes, unknown: RefCell::default() };
        let outcome = T::deserialize(Node { value: root, at: KeyPath::top(), walk: &walk });
        // A pass does not see what lies behind its first error, nor in a hole.
        for complaint in walk.unknown.into_inner() {
            if unknown.len() < MISTAKES_MAX && !unknown.contains(&complaint) {
                unknown.push(complaint);
            }
        }
        let error = match outcome {
            Ok(value) => return Outcome { value: Some(value), unknown, misshapen, holes },
            Err(error) => error,
        };
        let mut at = error.at.unwrap_or_default();
        if holes.contains(&at) {
            // A blank does not fit this type: give up the table or array around it.
            while holes.contains(&at) {
                if at.0.pop().is_none() {
                    return Outcome { value: None, unknown, misshapen, holes };
                }
            }
        } else {
            misshapen.push(Complaint { at: at.clone(), message: error.message, help: error.help });
        }
        holes.push(at);
        if misshapen.len() >= MISTAKES_MAX {
            return Outcome { value: None, unknown, misshapen, holes };
        }
    }
}

/// What one pass knows and finds.
struct Walk<'w> {
    holes: &'w [KeyPath],
    unknown: RefCell<Vec<Complaint>>,
}

/// One value of the file, on its way into a type.
#[derive(Clone)]
struct Node<'a> {
    value: &'a DeValue<'a>,
    at: KeyPath,
    walk: &'a Walk<'a>,
}

// === impl Node ===

impl<'a> Node<'a> {
    fn is_hole(&self) -> bool {
        self.walk.holes.contains(&self.at)
    }

    /// The value as serde's data model has it. `fields` are the keys that a struct knows.
    fn visit<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        fields: Option<&'static [&'static str]>,
    ) -> Result<V::Value, ShapeError> {
        let at = self.at.clone();
        match self.value {
            DeValue::String(s) => visitor.visit_str(s),
            DeValue::Boolean(b) => visitor.visit_bool(*b),
            DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                Ok(n) if n >= 0 => visitor.visit_u64(n.unsigned_abs()),
                Ok(n) => visitor.visit_i64(n),
                Err(_) => Err(ShapeError::plain(format!("`{i}` is too large a number"))),
            },
            DeValue::Float(x) => match x.as_str().parse::<f64>() {
                Ok(n) => visitor.visit_f64(n),
                Err(_) => Err(ShapeError::plain(format!("`{x}` is not a number"))),
            },
            DeValue::Datetime(_) => Err(de::Error::invalid_type(Unexpected::Other("a date"), &visitor)),
            DeValue::Array(items) => {
                let rest = items.iter().map(toml::Spanned::get_ref).enumerate();
                visitor.visit_seq(Items { rest, of: &self })
            }
            DeValue::Table(table) => visitor.visit_map(Entries::new(table, &self, fields)),
        }
        .map_err(|e| e.within(&at))
    }
}

/// A hole answers with a blank; anything else with what is written.
macro_rules! blank_or_written {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
            if self.is_hole() {
                return Blank.$method(visitor).map_err(|e: ShapeError| e.within(&self.at));
            }
            self.visit(visitor, None)
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = ShapeError;

    blank_or_written! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_seq deserialize_map deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if self.is_hole() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let at = self.at.clone();
        visitor.visit_newtype_struct(self).map_err(|e| e.within(&at))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ShapeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        if self.is_hole() {
            let at = self.at.clone();
            return Blank.deserialize_struct(name, fields, visitor).map_err(|e: ShapeError| e.within(&at));
        }
        self.visit(visitor, Some(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let at = self.at.clone();
        if self.is_hole() {
            return Blank.deserialize_enum(name, variants, visitor).map_err(|e: ShapeError| e.within(&at));
        }
        match self.value {
            DeValue::String(word) => visitor.visit_enum(Word(word)),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                Err(ShapeError::plain("a string belongs here").with_help(one_of(variants)))
            }
        }
        .map_err(|e| e.within(&at))
    }
}

/// The elements of an array.
struct Items<'n, 'a, I> {
    rest: I,
    of: &'n Node<'a>,
}

impl<'de, 'a, I: Iterator<Item = (usize, &'a DeValue<'a>)>> SeqAccess<'de> for Items<'_, 'a, I> {
    type Error = ShapeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ShapeError> {
        let Some((i, value)) = self.rest.next() else { return Ok(None) };
        seed.deserialize(Node { value, at: self.of.at.index(i), walk: self.of.walk }).map(Some)
    }
}

/// The entries of a table, and after them the holes where a key is missing.
struct Entries<'n, 'a> {
    rest: Vec<(&'a str, Option<&'a DeValue<'a>>)>,
    next: Option<(&'a str, Option<&'a DeValue<'a>>)>,
    of: &'n Node<'a>,
}

impl<'n, 'a> Entries<'n, 'a> {
    fn new(table: &'a DeTable<'a>, of: &'n Node<'a>, fields: Option<&'static [&'static str]>) -> Self {
        let mut rest: Vec<(&str, Option<&DeValue<'_>>)> = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match fields {
                Some(fields) if !fields.contains(&name) => {
                    of.walk.unknown.borrow_mut().push(unknown_key(&of.at, name, fields));
                }
                Some(_) | None => rest.push((name, Some(value.get_ref()))),
            }
        }
        for hole in of.walk.holes {
            if let Some((Key::Name(name), parent)) = hole.0.split_last()
                && parent == of.at.0
                && !table.contains_key(name.as_str())
            {
                rest.push((name, None));
            }
        }
        rest.reverse();
        Self { rest, next: None, of }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = ShapeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ShapeError> {
        self.next = self.rest.pop();
        let Some((name, _)) = self.next else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(name))
            .map(Some)
            .map_err(|e: ShapeError| e.within(&self.of.at.key(name)))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ShapeError> {
        let Some((name, value)) = self.next.take() else {
            return Err(ShapeError::plain("a value was asked for before its key"));
        };
        let at = self.of.at.key(name);
        match value {
            Some(value) => seed.deserialize(Node { value, at, walk: self.of.walk }),
            None => seed.deserialize(Blank).map_err(|e: ShapeError| e.within(&at)),
        }
    }
}

/// A string that names a variant of an enum. Our configuration has no other enums.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = ShapeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), ShapeError> {
        seed.deserialize(StrDeserializer::new(self.0)).map(|variant| (variant, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = ShapeError;

    fn unit_variant(self) -> Result<(), ShapeError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, ShapeError> {
        Err(ShapeError::plain(format!("`{}` needs a value", self.0)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ShapeError> {
        Err(ShapeError::plain(format!("`{}` needs values", self.0)))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ShapeError> {
        Err(ShapeError::plain(format!("`{}` needs a table", self.0)))
    }
}

fn unknown_key(at: &KeyPath, name: &str, fields: &[&str]) -> Complaint {
    let table = match at.0.is_empty() {
        true => "there is no section".to_owned(),
        false => format!("`{at}` has no key"),
    };
    let help = match suggest::nearest(name, fields) {
        Some(near) => format!("did you mean `{near}`?"),
        None => one_of(fields),
    };
    Complaint::new(at.key(name), format!("{table} `{name}`"), help)
}
