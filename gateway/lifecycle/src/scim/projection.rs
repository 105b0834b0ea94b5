//! Which attributes an answer has (RFC 7644 §3.9): `attributes` or `excludedAttributes`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::bounds::PROJECTION_NAMES_MAX;
use super::error::{ErrorKind, ScimError};
use super::json;
use super::names::{AttributePath, Named, canonical};
use super::schema::{Attribute, ResourceType, Returned, Schema};

/// What a client wants to read of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Projection {
    /// What is returned when nobody says otherwise.
    #[default]
    Usual,
    /// These, and what is always returned.
    Only(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

/// What is said about the attributes of one type: nothing, all of it, or some parts.
type Wanted = BTreeMap<String, Parts>;

#[derive(Clone, Debug)]
enum Parts {
    All,
    Some(Vec<&'static Attribute>),
}

// === impl Projection ===

impl Projection {
    /// From the two parameters of a URL, each a list with commas.
    ///
    /// # Errors
    /// `InvalidValue`, when both are there or one is too long.
    pub fn read(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        let names = |text: &str| {
            text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        Self::from_names(attributes.map(names).unwrap_or_default(), excluded.map(names).unwrap_or_default())
    }

    /// From two lists of names. Names that a type does not have say nothing about it.
    ///
    /// # Errors
    /// `InvalidValue`, when both have names or one has too many.
    pub fn from_names(attributes: Vec<String>, excluded: Vec<String>) -> Result<Self, ScimError> {
        let refused = |detail: String| ScimError::new(ErrorKind::InvalidValue, detail);
        if attributes.len().max(excluded.len()) > PROJECTION_NAMES_MAX {
            return Err(refused(format!("`attributes` may have {PROJECTION_NAMES_MAX} names at most")));
        }
        match (attributes.is_empty(), excluded.is_empty()) {
            (true, true) => Ok(Self::Usual),
            (false, true) => Ok(Self::Only(attributes)),
            (true, false) => Ok(Self::Without(excluded)),
            (false, false) => {
                Err(refused("`attributes` and `excludedAttributes` exclude each other; send one".to_owned()))
            }
        }
    }

    /// Whether anything of [`ResourceType::computed`] is returned: if not, it need not be worked out.
    #[must_use]
    pub fn wants_computed(&self, kind: ResourceType) -> bool {
        let name = kind.computed();
        match self {
            Self::Usual => true,
            Self::Only(names) => wanted(kind, names).contains_key(name),
            Self::Without(names) => !matches!(wanted(kind, names).get(name), Some(Parts::All)),
        }
    }

    /// What is returned of a resource.
    #[must_use]
    pub fn apply(&self, kind: ResourceType, resource: Map<String, Value>) -> Map<String, Value> {
        let (names, only) = match self {
            Self::Usual => return resource,
            Self::Only(names) => (names, true),
            Self::Without(names) => (names, false),
        };
        let wanted = wanted(kind, names);
        let mut out = Map::new();
        for (key, value) in resource {
            let Some(schema) = kind.extensions().iter().find(|s| s.id == key).copied() else {
                if let Some(value) = reduce(kind, None, &key, value, &wanted, only) {
                    out.insert(key, value);
                }
                continue;
            };
            let mut inner = Map::new();
            for (name, value) in json::into_object(value).unwrap_or_default() {
                if let Some(value) = reduce(kind, Some(schema), &name, value, &wanted, only) {
                    inner.insert(name, value);
                }
            }
            if !inner.is_empty() {
                out.insert(key, Value::Object(inner));
            }
        }
        out
    }
}

/// What the names say, by the canonical names of the attributes.
fn wanted(kind: ResourceType, names: &[String]) -> Wanted {
    let mut wanted = Wanted::new();
    for name in names {
        match kind.named(name) {
            Named::Attribute(AttributePath { extension, attribute, part }) => {
                let entry = wanted.entry(canonical(extension, attribute)).or_insert(Parts::Some(Vec::new()));
                match (part, entry) {
                    (None, entry) => *entry = Parts::All,
                    (Some(part), Parts::Some(parts)) => parts.push(part),
                    (Some(_), Parts::All) => {}
                }
            }
            Named::Schema(schema) => {
                let extension = if std::ptr::eq(schema, kind.core()) { None } else { Some(schema) };
                let all = schema.attributes.iter().map(|a| (canonical(extension, a), Parts::All));
                wanted.extend(all);
            }
            Named::Dropped | Named::Unknown => {}
        }
    }
    wanted
}

/// What is left of one attribute.
fn reduce(
    kind: ResourceType,
    extension: Option<&'static Schema>,
    name: &str,
    value: Value,
    wanted: &Wanted,
    only: bool,
) -> Option<Value> {
    let full = match extension {
        Some(schema) => format!("{}:{name}", schema.id),
        None => name.to_owned(),
    };
    if extension.is_none() && always(kind, name) {
        return Some(value);
    }
    match (wanted.get(&full), only) {
        (None, true) | (Some(Parts::All), false) => None,
        (None, false) | (Some(Parts::All), true) => Some(value),
        (Some(Parts::Some(parts)), only) => {
            keep_parts(value, &|key| parts.iter().any(|part| part.name == key) == only)
        }
    }
}

fn always(kind: ResourceType, name: &str) -> bool {
    match kind.named(name) {
        Named::Attribute(path) => path.attribute.returned == Returned::Always,
        Named::Schema(_) | Named::Dropped | Named::Unknown => false,
    }
}

/// An object, or each object of a list, with some of its parts; none, when nothing is left.
fn keep_parts(value: Value, keep: &dyn Fn(&str) -> bool) -> Option<Value> {
    match value {
        Value::Object(map) => {
            let map: Map<String, Value> = map.into_iter().filter(|(key, _)| keep(key)).collect();
            if map.is_empty() { None } else { Some(Value::Object(map)) }
        }
        Value::Array(list) => {
            let list: Vec<Value> = list.into_iter().filter_map(|e| keep_parts(e, keep)).collect();
            if list.is_empty() { None } else { Some(Value::Array(list)) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
