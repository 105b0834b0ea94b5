//! What the tests have in common: bodies as text, read as the service will read them.

use std::collections::{BTreeMap, BTreeSet};

use doorward_lifecycle::scim::{
    Asserted, Document, Envelope, ErrorKind, PatchRequest, ResourceType, ScimError, Written, json, write,
};
use doorward_model::UnixMillis;
use serde_json::{Map, Value};

pub(crate) const BASE: &str = "https://gate.example/scim/v2";
pub(crate) const ID: &str = "0199c0de-0000-7000-8000-000000000001";
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A body, as it comes from the wire.
pub(crate) fn body(text: &str) -> Map<String, Value> {
    json::object(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub(crate) fn created(kind: ResourceType, text: &str) -> Written {
    write::create(kind, body(text)).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub(crate) fn user(text: &str) -> Document {
    created(ResourceType::User, text).document
}

pub(crate) fn group(text: &str) -> Document {
    created(ResourceType::Group, text).document
}

/// A PATCH by a source that has said nothing yet.
pub(crate) fn patch(stored: &Document, text: &str) -> Result<Written, ScimError> {
    PatchRequest::read(stored.kind(), json::object(text.as_bytes())?)?.apply(stored, &Asserted::default())
}

/// A PATCH of one operation.
pub(crate) fn patch_one(stored: &Document, operation: &str) -> Result<Written, ScimError> {
    patch(stored, &operations(&[operation]))
}

/// The body of a PATCH.
pub(crate) fn operations(operations: &[&str]) -> String {
    format!(
        r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{}]}}"#,
        operations.join(",")
    )
}

pub(crate) fn patched(stored: &Document, operation: &str) -> Written {
    patch_one(stored, operation).unwrap_or_else(|e| panic!("{e}: {operation}"))
}

/// The kind of error that a PATCH of one operation is answered with.
pub(crate) fn refused(stored: &Document, operation: &str) -> ErrorKind {
    match patch_one(stored, operation) {
        Err(e) => e.kind(),
        Ok(written) => panic!("{operation} became {:?}", written.document),
    }
}

pub(crate) fn envelope() -> Envelope<'static> {
    Envelope {
        id: ID,
        created: UnixMillis(1_763_712_000_000),
        last_modified: UnixMillis(1_763_712_000_500),
        version: 7,
        base: BASE,
    }
}

/// The resource as clients read it.
pub(crate) fn resource(document: &Document) -> Map<String, Value> {
    document.resource(&envelope(), None)
}

pub(crate) fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// A person with something in every kind of attribute.
pub(crate) fn ada() -> Document {
    user(
        r#"{
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User",
                        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
            "userName": "Ada@Example.com",
            "externalId": "00uA",
            "name": {"givenName": "Ada", "familyName": "Lovelace"},
            "displayName": "Ada Lovelace",
            "title": "Analyst",
            "active": true,
            "emails": [
                {"value": "ada@example.com", "type": "work", "primary": true},
                {"value": "ada@home.example", "type": "home"}
            ],
            "roles": [{"value": "admin", "display": "Administrator"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "department": "Engines", "employeeNumber": "17", "manager": {"value": "u-boss"}
            }
        }"#,
    )
}

/// Nothing was made yet.
pub(crate) fn nothing() -> BTreeMap<String, String> {
    BTreeMap::new()
}
