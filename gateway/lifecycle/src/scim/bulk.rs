//! Bulk requests (RFC 7644 §3.7): read, put in an order in which every reference can be resolved,
//! and answered. What each operation does is the service's.
//!
//! ```text
//!  body ─► BulkRequest::read ─► order() ─► for each: resolved(ids) ─► the service ─► BulkAnswer
//! ```
//!
//! An operation that names `bulkId:x` comes after the POST that makes `x`; apart from that the
//! order is the client's. Operations that wait for each other in a circle cannot be done in any
//! order and are answered 409, as are those that wait for them. An empty group first and its
//! members by PATCH afterwards is the way around.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use super::bounds::{BULK_BYTES_MAX, BULK_ID_BYTES_MAX, BULK_OPERATIONS_MAX};
use super::error::{ErrorKind, ScimError};
use super::etag::Precondition;
use super::json as body;
use super::schema::ResourceType;
use super::write::check_schemas;

/// The schema of a bulk request.
pub const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The schema of its answer.
pub const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

const REFERENCE: &str = "bulkId:";

/// A bulk request.
#[derive(Clone, Debug)]
pub struct BulkRequest {
    operations: Vec<BulkOperation>,
    errors_max: Option<usize>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkMethod {
    /// Makes a resource.
    Post,
    /// Replaces one.
    Put,
    /// Changes one.
    Patch,
    /// Deletes one.
    Delete,
}

/// One operation. Its body is not in `Debug`: it may hold a password that was sent and is not kept.
#[derive(Clone)]
pub struct BulkOperation {
    /// What it does.
    pub method: BulkMethod,
    /// To what type of resource.
    pub kind: ResourceType,
    /// To which one: an id, or `bulkId:x`. None with POST.
    pub id: Option<String>,
    /// The client's name for what POST makes.
    pub bulk_id: Option<String>,
    /// Which version the client means.
    pub precondition: Precondition,
    /// The body. None with DELETE.
    pub data: Option<Map<String, Value>>,
}

/// In which order operations are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkOrder {
    /// Their numbers in the request, from 0.
    pub order: Vec<usize>,
    /// Those that wait for each other in a circle, or for such.
    pub circular: Vec<usize>,
}

/// What became of one operation.
#[derive(Clone, Debug)]
pub struct BulkAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Where the resource is; none when POST made none.
    pub location: Option<String>,
    /// Its version afterwards.
    pub version: Option<u64>,
    /// Why it failed.
    pub error: Option<ScimError>,
}

// === impl BulkRequest ===

impl BulkRequest {
    /// Reads a bulk request.
    ///
    /// # Errors
    /// `TooLarge` beyond [`BULK_BYTES_MAX`] or [`BULK_OPERATIONS_MAX`]; `InvalidSyntax` or
    /// `InvalidValue`, with the number of the operation.
    pub fn read(bytes: &[u8]) -> Result<Self, ScimError> {
        let mut request = body::object_within(bytes, BULK_BYTES_MAX)?;
        check_schemas(&mut request, BULK_REQUEST_URN)?;
        let errors_max = match body::take(&mut request, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let n = value.as_u64().filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
                Some(n.ok_or_else(|| invalid("`failOnErrors` must be a whole number above 0"))?)
            }
        };
        let Some(Value::Array(list)) = body::take(&mut request, "Operations") else {
            return Err(ScimError::new(ErrorKind::InvalidSyntax, "`Operations` must be a list"));
        };
        if list.len() > BULK_OPERATIONS_MAX {
            return Err(ScimError::new(
                ErrorKind::TooLarge,
                format!(
                    "`Operations` may have {BULK_OPERATIONS_MAX} at most; send the rest in another request"
                ),
            ));
        }
        let mut ids = BTreeSet::new();
        let mut operations = Vec::with_capacity(list.len());
        for (i, value) in list.into_iter().enumerate() {
            let place = format!("operation {}", i + 1);
            let operation = operation(value).map_err(|e| e.within(&place))?;
            if let Some(id) = &operation.bulk_id
                && !ids.insert(id.clone())
            {
                return Err(invalid("`bulkId` must be of one operation only").within(&place));
            }
            operations.push(operation);
        }
        Ok(Self { operations, errors_max })
    }

    /// The operations, as the client sent them.
    #[must_use]
    pub fn operations(&self) -> &[BulkOperation] {
        &self.operations
    }

    /// Whether so many errors are enough to stop (`failOnErrors`).
    #[must_use]
    pub fn stops_after(&self, errors: usize) -> bool {
        self.errors_max.is_some_and(|max| errors >= max)
    }

    /// The order in which every reference comes after what it refers to. Where that leaves a choice,
    /// it is the client's order.
    #[must_use]
    pub fn order(&self) -> BulkOrder {
        let makers: BTreeMap<&str, usize> = self
            .operations
            .iter()
            .enumerate()
            .filter(|(_, o)| o.method == BulkMethod::Post)
            .filter_map(|(i, o)| Some((o.bulk_id.as_deref()?, i)))
            .collect();
        let mut waits = Vec::with_capacity(self.operations.len());
        let mut waiters: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, operation) in self.operations.iter().enumerate() {
            let makers: BTreeSet<usize> =
                operation.references().iter().filter_map(|name| makers.get(name.as_str()).copied()).collect();
            waits.push(makers.len());
            for maker in makers {
                waiters.entry(maker).or_default().push(i);
            }
        }
        let mut ready: BTreeSet<usize> =
            waits.iter().enumerate().filter(|(_, n)| **n == 0).map(|(i, _)| i).collect();
        let mut order = Vec::with_capacity(waits.len());
        while let Some(i) = ready.pop_first() {
            order.push(i);
            for waiter in waiters.remove(&i).unwrap_or_default() {
                if let Some(left) = waits.get_mut(waiter) {
                    *left -= 1;
                    if *left == 0 {
                        ready.insert(waiter);
                    }
                }
            }
        }
        let circular = waits.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, _)| i).collect();
        BulkOrder { order, circular }
    }

    /// The answer. What was not done, because enough had failed before, has none.
    #[must_use]
    pub fn response(&self, answers: &BTreeMap<usize, BulkAnswer>) -> Value {
        let list: Vec<Value> = self
            .operations
            .iter()
            .enumerate()
            .filter_map(|(i, operation)| answers.get(&i).map(|answer| operation.answered(answer)))
            .collect();
        json!({ "schemas": [BULK_RESPONSE_URN], "Operations": list })
    }
}

// === impl BulkMethod ===

impl BulkMethod {
    const ALL: [Self; 4] = [Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The word of HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

// === impl BulkOperation ===

impl BulkOperation {
    /// The operation with the ids that were made in place of the references. `made` has them by
    /// `bulkId`.
    ///
    /// # Errors
    /// `InvalidValue`, when it refers to something that was not made.
    pub fn resolved(&self, made: &BTreeMap<String, String>) -> Result<Self, ScimError> {
        let missing = self.references().into_iter().find(|name| !made.contains_key(name));
        if missing.is_some() {
            return Err(invalid("it refers to a `bulkId` that was not made"));
        }
        let mut resolved = self.clone();
        if let Some(id) = resolved.id.as_mut() {
            substitute(id, made);
        }
        for value in resolved.data.iter_mut().flat_map(|data| data.values_mut()) {
            visit(value, &mut |text| substitute(text, made));
        }
        Ok(resolved)
    }

    /// The `bulkId`s that it refers to.
    fn references(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut look = |text: &str| {
            if let Some(name) = text.strip_prefix(REFERENCE) {
                found.insert(name.to_owned());
            }
        };
        if let Some(id) = &self.id {
            look(id);
        }
        for value in self.data.iter().flat_map(Map::values) {
            read(value, &mut look);
        }
        found
    }

    fn answered(&self, answer: &BulkAnswer) -> Value {
        let mut out = Map::new();
        out.insert("method".to_owned(), json!(self.method.as_str()));
        if let Some(id) = &self.bulk_id {
            out.insert("bulkId".to_owned(), json!(id));
        }
        if let Some(location) = &answer.location {
            out.insert("location".to_owned(), json!(location));
        }
        if let Some(version) = answer.version {
            out.insert("version".to_owned(), json!(super::etag::weak(version)));
        }
        out.insert("status".to_owned(), json!(answer.status.to_string()));
        if let Some(error) = &answer.error {
            out.insert("response".to_owned(), error.body());
        }
        Value::Object(out)
    }
}

impl fmt::Debug for BulkOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkOperation")
            .field("method", &self.method)
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("bulk_id", &self.bulk_id)
            .field("precondition", &self.precondition)
            .finish_non_exhaustive()
    }
}

// === impl BulkAnswer ===

impl BulkAnswer {
    /// An operation that failed.
    #[must_use]
    pub fn failed(error: ScimError, location: Option<String>) -> Self {
        Self { status: error.status(), location, version: None, error: Some(error) }
    }
}

fn operation(value: Value) -> Result<BulkOperation, ScimError> {
    let mut operation = body::into_object(value)
        .ok_or_else(|| ScimError::new(ErrorKind::InvalidSyntax, "must be an object"))?;
    let mut text = |name: &str| match body::take(&mut operation, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(invalid(&format!("`{name}` must be a text")))
        }
    };
    let (method, path, bulk_id, version) =
        (text("method")?, text("path")?, text("bulkId")?, text("version")?);
    let method = BulkMethod::ALL
        .into_iter()
        .find(|m| method.as_ref().is_some_and(|word| word.eq_ignore_ascii_case(m.as_str())))
        .ok_or_else(|| invalid("`method` must be POST, PUT, PATCH or DELETE"))?;
    let (kind, id) = target(method, path.as_deref().unwrap_or_default())?;
    if bulk_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > BULK_ID_BYTES_MAX) {
        return Err(invalid("`bulkId` is empty or too long"));
    }
    if method == BulkMethod::Post && bulk_id.is_none() {
        return Err(invalid("POST needs a `bulkId`"));
    }
    let precondition = Precondition::read(version.as_deref(), None)?;
    let data = match (body::take(&mut operation, "data"), method) {
        (_, BulkMethod::Delete) => None,
        (Some(Value::Object(data)), _) => Some(data),
        (_, BulkMethod::Post | BulkMethod::Put | BulkMethod::Patch) => {
            return Err(invalid(&format!("{} needs `data`, an object", method.as_str())));
        }
    };
    Ok(BulkOperation { method, kind, id, bulk_id, precondition, data })
}

/// The resource that a path such as `/Users/42` names.
fn target(method: BulkMethod, path: &str) -> Result<(ResourceType, Option<String>), ScimError> {
    let wrong = || match method {
        BulkMethod::Post => invalid("`path` must be /Users or /Groups"),
        BulkMethod::Put | BulkMethod::Patch | BulkMethod::Delete => {
            invalid("`path` must be /Users/ or /Groups/ and an id")
        }
    };
    for kind in ResourceType::ALL {
        match (path.strip_prefix(kind.endpoint()), method) {
            (Some(""), BulkMethod::Post) => return Ok((kind, None)),
            (Some(rest), BulkMethod::Put | BulkMethod::Patch | BulkMethod::Delete) => {
                let id = rest.strip_prefix('/').filter(|id| !id.is_empty() && !id.contains(['/', '?', '#']));
                return id.map(|id| (kind, Some(id.to_owned()))).ok_or_else(wrong);
            }
            (Some(_) | None, _) => {}
        }
    }
    Err(wrong())
}

/// Shows every text in a value. No deeper than the body, whose depth is bounded.
fn read(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(list) => list.iter().for_each(|v| read(v, see)),
        Value::Object(map) => map.values().for_each(|v| read(v, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Lets every text in a value be changed.
fn visit(value: &mut Value, see: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(list) => list.iter_mut().for_each(|v| visit(v, see)),
        Value::Object(map) => map.values_mut().for_each(|v| visit(v, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn substitute(text: &mut String, made: &BTreeMap<String, String>) {
    if let Some(id) = text.strip_prefix(REFERENCE).and_then(|name| made.get(name)) {
        id.clone_into(text);
    }
}

fn invalid(detail: &str) -> ScimError {
    ScimError::new(ErrorKind::InvalidValue, detail)
}
