//! What is stored of a resource, and the resource as a client reads it.

use std::collections::BTreeSet;

use doorward_model::UnixMillis;
use serde_json::{Map, Value, json};

use super::error::{ErrorKind, ScimError};
use super::etag;
use super::json;
use super::names::{canonical, holder};
use super::schema::{Attribute, COMMON, ResourceType, Schema, fold};

/// What the source and operators say about one resource: canonical names, accepted values. `id`,
/// `meta`, `schemas`, the groups of a person and the members of a group are not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    kind: ResourceType,
    attributes: Map<String, Value>,
}

/// What a resource has beside its document.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// Our id.
    pub id: &'a str,
    /// When it was made.
    pub created: UnixMillis,
    /// When it was changed last.
    pub last_modified: UnixMillis,
    /// The number of its version.
    pub version: u64,
    /// The URL that the client uses for the service, such as `https://gate.example/scim/v2`.
    pub base: &'a str,
}

// === impl Document ===

impl Document {
    /// Only what `write` and `patch` accepted becomes a document.
    pub(crate) const fn new(kind: ResourceType, attributes: Map<String, Value>) -> Self {
        Self { kind, attributes }
    }

    /// A document as [`Document::to_json`] wrote it.
    ///
    /// # Errors
    /// `Internal`, when it is not an object: what was stored is damaged.
    pub fn from_json(kind: ResourceType, stored: Value) -> Result<Self, ScimError> {
        let attributes = json::into_object(stored)
            .ok_or_else(|| ScimError::new(ErrorKind::Internal, "the stored document is not an object"))?;
        Ok(Self { kind, attributes })
    }

    /// For the store.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Object(self.attributes.clone())
    }

    /// The type of the resource.
    #[must_use]
    pub const fn kind(&self) -> ResourceType {
        self.kind
    }

    /// The name that the source knows a person by, as sent.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.text("userName")
    }

    /// The name of a group, or of a person as others see it.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.text("displayName")
    }

    /// The source's own id; unique within the source only.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        self.text("externalId")
    }

    /// Whether the source says that the person may have access. What is absent is a no.
    #[must_use]
    pub fn active(&self) -> bool {
        self.attributes.get("active") == Some(&Value::Bool(true))
    }

    /// The addresses of `emails`, folded as [`Lookup::Email`](super::Lookup::Email) has them.
    #[must_use]
    pub fn folded_emails(&self) -> BTreeSet<String> {
        let list = self.attributes.get("emails").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|e| e.get("value")?.as_str()).map(fold).collect()
    }

    /// The value of an attribute by its canonical name, such as `title` or `urn:…:User:department`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        for schema in self.kind.extensions() {
            if let Some(rest) = name.strip_prefix(schema.id).and_then(|rest| rest.strip_prefix(':')) {
                return self.attributes.get(schema.id)?.get(rest);
            }
        }
        self.attributes.get(name)
    }

    /// The canonical names of all attributes that have a value.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (key, value) in &self.attributes {
            let extension = self.kind.extensions().iter().find(|s| s.id == key);
            match (extension, value.as_object()) {
                (Some(schema), Some(inner)) => {
                    names.extend(inner.keys().map(|name| format!("{}:{name}", schema.id)));
                }
                (Some(_), None) | (None, _) => {
                    names.insert(key.clone());
                }
            }
        }
        names
    }

    /// The canonical names of the attributes whose values differ: what an override or an audit
    /// event is about.
    #[must_use]
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let names = self.names().into_iter().chain(other.names());
        names.filter(|name| self.get(name) != other.get(name)).collect()
    }

    /// The resource as a client reads it (RFC 7643 §3). `computed` is [`ResourceType::computed`]:
    /// none, when the client does not want it and it was not worked out.
    #[must_use]
    pub fn resource(&self, envelope: &Envelope<'_>, computed: Option<Vec<Value>>) -> Map<String, Value> {
        let mut resource = Map::new();
        let extensions =
            self.kind.extensions().iter().map(|s| s.id).filter(|id| self.attributes.contains_key(*id));
        let schemas: Vec<&str> = std::iter::once(self.kind.core().id).chain(extensions).collect();
        resource.insert("schemas".to_owned(), json!(schemas));
        resource.insert("id".to_owned(), json!(envelope.id));
        for (key, value) in &self.attributes {
            resource.insert(key.clone(), value.clone());
        }
        if let Some(list) = computed.filter(|list| !list.is_empty()) {
            resource.insert(self.kind.computed().to_owned(), Value::Array(list));
        }
        resource.insert("meta".to_owned(), envelope.meta(self.kind));
        resource
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Value::as_str)
    }

    /// The value of an attribute.
    pub(crate) fn value(&self, extension: Option<&'static Schema>, attribute: &Attribute) -> Option<&Value> {
        holder(&self.attributes, extension)?.get(attribute.name)
    }

    /// Sets or clears one attribute. An extension without attributes is gone.
    pub(crate) fn put(
        &mut self,
        extension: Option<&'static Schema>,
        attribute: &Attribute,
        value: Option<Value>,
    ) {
        let Some(schema) = extension else {
            put(&mut self.attributes, attribute.name, value);
            return;
        };
        let mut inner = self.attributes.remove(schema.id).and_then(json::into_object).unwrap_or_default();
        put(&mut inner, attribute.name, value);
        let inner = if inner.is_empty() { None } else { Some(Value::Object(inner)) };
        put(&mut self.attributes, schema.id, inner);
    }

    /// Takes an attribute out, to be put back changed.
    pub(crate) fn take(
        &mut self,
        extension: Option<&'static Schema>,
        attribute: &Attribute,
    ) -> Option<Value> {
        match extension {
            None => self.attributes.remove(attribute.name),
            Some(schema) => self.attributes.get_mut(schema.id)?.as_object_mut()?.remove(attribute.name),
        }
    }

    /// Every attribute of the type that a document can hold, with the extension that it is in.
    pub(crate) fn slots(
        kind: ResourceType,
    ) -> impl Iterator<Item = (Option<&'static Schema>, &'static Attribute, String)> {
        let core = kind.core().attributes.iter().map(|a| (None, a));
        let common = COMMON.iter().map(|a| (None, a));
        let extended = kind.extensions().iter().flat_map(|s| s.attributes.iter().map(|a| (Some(*s), a)));
        core.chain(common)
            .chain(extended)
            .filter(move |(_, a)| a.writable() && a.name != "members")
            .map(|(extension, a)| (extension, a, canonical(extension, a)))
    }
}

// === impl Envelope ===

impl Envelope<'_> {
    /// Where the resource is.
    #[must_use]
    pub fn location(&self, kind: ResourceType) -> String {
        format!("{}{}/{}", self.base.trim_end_matches('/'), kind.endpoint(), self.id)
    }

    fn meta(&self, kind: ResourceType) -> Value {
        json!({
            "resourceType": kind.name(),
            "created": moment(self.created),
            "lastModified": moment(self.last_modified),
            "location": self.location(kind),
            "version": etag::weak(self.version),
        })
    }
}

/// An xsd:dateTime in UTC with milliseconds. What no calendar has is told as the first moment of 1970.
fn moment(at: UnixMillis) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

fn put(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            map.insert(name.to_owned(), value);
        }
        None => {
            map.remove(name);
        }
    }
}
