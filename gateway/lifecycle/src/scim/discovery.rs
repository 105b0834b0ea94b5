//! What the service says about itself: `/ServiceProviderConfig`, `/ResourceTypes`, `/Schemas`
//! (RFC 7643 §5, §6, §7; RFC 7644 §4), written from the tables.

use serde_json::{Map, Value, json};

use super::bounds::{BULK_BYTES_MAX, BULK_OPERATIONS_MAX, PAGE_RESOURCES_MAX};
use super::list::Page;
use super::schema::{Attribute, Kind, Mutability, ResourceType, Returned, Schema};

const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// The document of `/ServiceProviderConfig`. `base` is the URL of the service, such as
/// `https://gate.example/scim/v2`.
#[must_use]
pub fn service_provider_config(base: &str) -> Value {
    json!({
        "schemas": [CONFIG_URN],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": BULK_OPERATIONS_MAX,
            "maxPayloadSize": BULK_BYTES_MAX,
        },
        "filter": { "supported": true, "maxResults": PAGE_RESOURCES_MAX },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token of the provisioning connection, in the header Authorization.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": meta("ServiceProviderConfig", base, "/ServiceProviderConfig"),
    })
}

/// The list of `/ResourceTypes`.
#[must_use]
pub fn resource_types(base: &str) -> Value {
    whole(ResourceType::ALL.into_iter().map(|kind| describe_type(kind, base)).collect())
}

/// One document of `/ResourceTypes`; none, when there is no such type.
#[must_use]
pub fn resource_type(base: &str, id: &str) -> Option<Value> {
    let kind = ResourceType::ALL.into_iter().find(|kind| kind.name() == id)?;
    Some(describe_type(kind, base))
}

/// The list of `/Schemas`.
#[must_use]
pub fn schemas(base: &str) -> Value {
    whole(Schema::ALL.into_iter().map(|schema| describe_schema(schema, base)).collect())
}

/// One document of `/Schemas`; none, when there is no such schema.
#[must_use]
pub fn schema(base: &str, urn: &str) -> Option<Value> {
    let schema = Schema::ALL.into_iter().find(|schema| schema.id.eq_ignore_ascii_case(urn))?;
    Some(describe_schema(schema, base))
}

/// A list that is one page, whatever its length.
fn whole(documents: Vec<Value>) -> Value {
    Page::default().response(documents.len(), documents)
}

fn describe_type(kind: ResourceType, base: &str) -> Value {
    let extensions: Vec<Value> =
        kind.extensions().iter().map(|s| json!({ "schema": s.id, "required": false })).collect();
    json!({
        "schemas": [RESOURCE_TYPE_URN],
        "id": kind.name(),
        "name": kind.name(),
        "description": kind.description(),
        "endpoint": kind.endpoint(),
        "schema": kind.core().id,
        "schemaExtensions": extensions,
        "meta": meta("ResourceType", base, &format!("/ResourceTypes/{}", kind.name())),
    })
}

fn describe_schema(schema: &Schema, base: &str) -> Value {
    json!({
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": schema.attributes.iter().map(describe).collect::<Vec<_>>(),
        "meta": meta("Schema", base, &format!("/Schemas/{}", schema.id)),
    })
}

fn describe(attribute: &Attribute) -> Value {
    let kind = match attribute.kind {
        Kind::Text => "string",
        Kind::Boolean => "boolean",
        Kind::DateTime => "dateTime",
        Kind::Reference => "reference",
        Kind::Complex => "complex",
    };
    let mutability = match attribute.mutability {
        Mutability::ReadWrite => "readWrite",
        Mutability::ReadOnly => "readOnly",
        Mutability::Immutable => "immutable",
    };
    let returned = match attribute.returned {
        Returned::Always => "always",
        Returned::Default => "default",
    };
    let described = json!({
        "name": attribute.name,
        "type": kind,
        "multiValued": attribute.multi_valued,
        "description": attribute.description,
        "required": attribute.required,
        "caseExact": attribute.case_exact,
        "mutability": mutability,
        "returned": returned,
        "uniqueness": if attribute.unique { "server" } else { "none" },
    });
    let mut described: Map<String, Value> = super::json::into_object(described).unwrap_or_default();
    for (key, list) in [("canonicalValues", attribute.canonical), ("referenceTypes", attribute.references)] {
        if !list.is_empty() {
            described.insert(key.to_owned(), json!(list));
        }
    }
    if !attribute.parts.is_empty() {
        let parts: Vec<Value> = attribute.parts.iter().map(describe).collect();
        described.insert("subAttributes".to_owned(), Value::Array(parts));
    }
    Value::Object(described)
}

fn meta(kind: &str, base: &str, path: &str) -> Value {
    json!({ "resourceType": kind, "location": format!("{}{path}", base.trim_end_matches('/')) })
}
