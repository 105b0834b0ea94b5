//! Creation and replacement (RFC 7644 §3.3, §3.5.1): a whole body becomes a document.
//!
//! What a PUT leaves out: Okta sends the whole person by PUT, as Okta knows them, on every change.
//! An attribute that this source has given a value before, and leaves out now, is cleared; one that
//! it never spoke of is kept, as an operator or another source may have written it. So whoever is
//! authorized by a department loses it with the department, and Okta does not erase what it does
//! not know. [`Asserted`] is the memory that this needs. Exceptions: `active` left out stays as it is,
//! because leaving out is not a statement about leaving; so does the attribute that is the subject of
//! the sign-in, because Okta's PUT has no `externalId`; and a group without `members` keeps them
//! (`[]` empties it).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::bounds::DOCUMENT_BYTES_MAX;
use super::document::Document;
use super::error::{ErrorKind, ScimError, shown};
use super::json;
use super::membership::{self, MemberChange, Membership};
use super::names::{AttributePath, Named};
use super::schema::{Attribute, ResourceType, Schema};
use super::values::{self, invalid};

/// The canonical names of all attributes that one source has ever spoken of, for one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asserted(BTreeSet<String>);

/// What a request comes to, to be written as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The document afterwards.
    pub document: Document,
    /// What changes about the members of a group.
    pub membership: Membership,
    /// What this source has spoken of until now.
    pub asserted: Asserted,
    /// Names in the request that nothing was done about: read-only, unknown or not stored.
    pub ignored: BTreeSet<String>,
    /// Whether the document differs from the stored one. When nothing does, neither its version nor
    /// `lastModified` moves (RFC 7644 §3.5.2.1).
    pub changed: bool,
}

/// A body as it was read, before it meets what is stored.
struct Body {
    document: Document,
    membership: Membership,
    asserted: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

/// A new resource from the body of a POST.
///
/// # Errors
/// `InvalidSyntax`, `InvalidValue` or `TooLarge`, naming the attribute.
pub fn create(kind: ResourceType, body: Map<String, Value>) -> Result<Written, ScimError> {
    let mut body = read(kind, body)?;
    if let Some(active) = kind.core().attribute("active")
        && body.document.get("active").is_none()
    {
        // Nobody said that they may have access.
        body.document.put(None, active, Some(Value::Bool(false)));
    }
    let Body { document, membership, asserted, ignored } = body;
    finish(&document)?;
    Ok(Written { document, membership, asserted: Asserted(asserted), ignored, changed: true })
}

/// A stored resource replaced by the body of a PUT. `asserted` is what this source spoke of before.
///
/// # Errors
/// `InvalidSyntax`, `InvalidValue` or `TooLarge`, naming the attribute.
pub fn replace(
    stored: &Document,
    asserted: &Asserted,
    body: Map<String, Value>,
) -> Result<Written, ScimError> {
    replace_keeping(None, stored, asserted, body)
}

/// The same, where leaving out the attribute `kept` says nothing about it; `null` clears it.
///
/// # Errors
/// As [`replace`].
pub fn replace_keeping(
    kept: Option<&str>,
    stored: &Document,
    asserted: &Asserted,
    body: Map<String, Value>,
) -> Result<Written, ScimError> {
    let body = read(stored.kind(), body)?;
    let mut document = stored.clone();
    for (extension, attribute, name) in Document::slots(stored.kind()) {
        let value = body.document.get(&name).cloned();
        let spoke_of = asserted.contains(&name) && kept != Some(name.as_str());
        let keep = attribute.name == "active" || !(spoke_of || body.asserted.contains(&name));
        if value.is_some() || !keep {
            document.put(extension, attribute, value);
        }
    }
    finish(&document)?;
    let changed = document != *stored;
    let mut asserted = asserted.clone();
    asserted.0.extend(body.asserted);
    Ok(Written { document, membership: body.membership, asserted, ignored: body.ignored, changed })
}

/// Whether the body of a PUT says that the person may not have access, whatever else it says.
#[must_use]
pub fn says_inactive(body: &Map<String, Value>) -> bool {
    let mut said = body.iter().filter(|(key, _)| key.eq_ignore_ascii_case("active"));
    match (said.next(), said.next()) {
        (Some((_, value)), None) => matches!(values::boolean(value, "active"), Ok(Some(false))),
        (Some(_), Some(_)) | (None, _) => false,
    }
}

/// The document of a person who may not have access, and nothing else is different.
pub(crate) fn inactive(stored: &Document) -> Document {
    let mut document = stored.clone();
    if let Some(active) = stored.kind().core().attribute("active") {
        document.put(None, active, Some(Value::Bool(false)));
    }
    document
}

// === impl Asserted ===

impl Asserted {
    /// Whether the source has spoken of this attribute.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// One name more.
    pub(crate) fn insert(&mut self, name: String) {
        self.0.insert(name);
    }
}

impl FromIterator<String> for Asserted {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// Checks what must hold of every document, whatever made it.
pub(crate) fn finish(document: &Document) -> Result<(), ScimError> {
    for attribute in document.kind().core().attributes.iter().filter(|a| a.required) {
        if document.get(attribute.name).is_none() {
            return Err(invalid(attribute.name, "is required"));
        }
    }
    if document.to_json().to_string().len() > DOCUMENT_BYTES_MAX {
        return Err(ScimError::new(
            ErrorKind::TooLarge,
            format!("the resource would be larger than {DOCUMENT_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

/// Checks that a body says that it is what it is read as. Other schemas beside it do not matter.
pub(crate) fn check_schemas(body: &mut Map<String, Value>, urn: &str) -> Result<(), ScimError> {
    let listed = match json::take(body, "schemas") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list,
        Some(one @ Value::String(_)) => vec![one],
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Vec::new(),
    };
    if listed.iter().any(|s| s.as_str().is_some_and(|s| s.eq_ignore_ascii_case(urn))) {
        return Ok(());
    }
    Err(ScimError::new(ErrorKind::InvalidSyntax, format!("`schemas` must list {urn}")))
}

fn read(kind: ResourceType, mut body: Map<String, Value>) -> Result<Body, ScimError> {
    check_schemas(&mut body, kind.core().id)?;
    let mut read = Body {
        document: Document::new(kind, Map::new()),
        membership: Membership::default(),
        asserted: BTreeSet::new(),
        ignored: BTreeSet::new(),
    };
    // `name` before `name.givenName`, in whatever order they came.
    let (dotted, plain): (Vec<_>, Vec<_>) = body
        .into_iter()
        .partition(|(key, _)| matches!(kind.named(key), Named::Attribute(p) if p.part.is_some()));
    for (key, value) in plain.into_iter().chain(dotted) {
        match kind.named(&key) {
            Named::Attribute(path) => read.attribute(path, value)?,
            Named::Schema(schema) => read.schema(schema, value)?,
            Named::Dropped | Named::Unknown => {
                read.ignored.insert(shown(&key));
            }
        }
    }
    read.membership.check()?;
    Ok(read)
}

// === impl Body ===

impl Body {
    fn attribute(&mut self, path: AttributePath, value: Value) -> Result<(), ScimError> {
        let AttributePath { extension, attribute, part } = path;
        let name = path.owner();
        if !attribute.writable() || part.is_some_and(|p| !p.writable()) {
            self.ignored.insert(shown(&name));
            return Ok(());
        }
        if attribute.name == "members" {
            self.membership.then(MemberChange::Replace(membership::read(value)?));
            return Ok(());
        }
        if self.asserted.contains(&name) && part.is_none() {
            return Err(twice(&name));
        }
        match part {
            None => {
                let accepted = accept_or_nothing(attribute, value, &name)?;
                self.document.put(extension, attribute, accepted);
            }
            Some(part) => self.part(extension, attribute, part, value)?,
        }
        self.asserted.insert(name);
        Ok(())
    }

    /// A key such as `name.givenName`. A list has no single part to set.
    fn part(
        &mut self,
        extension: Option<&'static Schema>,
        attribute: &'static Attribute,
        part: &'static Attribute,
        value: Value,
    ) -> Result<(), ScimError> {
        let name = format!("{}.{}", attribute.name, part.name);
        if attribute.multi_valued {
            return Err(invalid(&name, "is a part of a list; send the list"));
        }
        let mut inner =
            self.document.value(extension, attribute).and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(value) = values::single(part, value, &name)?
            && inner.insert(part.name.to_owned(), value).is_some()
        {
            return Err(twice(&name));
        }
        let inner = if inner.is_empty() { None } else { Some(Value::Object(inner)) };
        self.document.put(extension, attribute, inner);
        Ok(())
    }

    /// The object under the URN of an extension.
    fn schema(&mut self, schema: &'static Schema, value: Value) -> Result<(), ScimError> {
        let inner = match value {
            Value::Null => return Ok(()),
            Value::Object(inner) => inner,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(invalid(schema.id, "must be an object"));
            }
        };
        let extension = if std::ptr::eq(schema, self.document.kind().core()) { None } else { Some(schema) };
        for (key, value) in inner {
            match schema.attribute(&key) {
                Some(attribute) => {
                    self.attribute(AttributePath { extension, attribute, part: None }, value)?;
                }
                None => {
                    self.ignored.insert(shown(&key));
                }
            }
        }
        Ok(())
    }
}

/// Accepts a value; `active` without one is the same as not being told.
fn accept_or_nothing(attribute: &Attribute, value: Value, name: &str) -> Result<Option<Value>, ScimError> {
    if value.is_null() && attribute.name == "active" {
        return Ok(None);
    }
    values::accept(attribute, value, name)
}

fn twice(name: &str) -> ScimError {
    ScimError::new(ErrorKind::InvalidSyntax, format!("`{name}` comes twice, in two spellings"))
}
