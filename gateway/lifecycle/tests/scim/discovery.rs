//! What the service says about itself is what the code does.

use doorward_lifecycle::scim::discovery::{
    resource_type, resource_types, schema, schemas, service_provider_config,
};
use doorward_lifecycle::scim::schema::{Attribute, Kind, Schema};
use doorward_lifecycle::scim::{ErrorKind, ResourceType, json as wire, write};
use serde_json::{Map, Value, json};

use crate::world::{BASE, body};

#[test]
fn the_configuration_claims_what_there_is() {
    let config = service_provider_config(BASE);
    assert_eq!(config["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]));
    for (feature, supported) in [
        ("patch", true),
        ("bulk", true),
        ("filter", true),
        ("etag", true),
        ("sort", false),
        ("changePassword", false),
    ] {
        assert_eq!(config[feature]["supported"], json!(supported), "{feature}");
    }
    assert_eq!(config["filter"]["maxResults"], json!(200));
    assert_eq!(config["bulk"]["maxOperations"], json!(1000));
    assert_eq!(config["meta"]["location"], json!(format!("{BASE}/ServiceProviderConfig")));
}

#[test]
fn types_and_schemas_refer_to_each_other() {
    let types = resource_types(BASE);
    assert_eq!(types["totalResults"], json!(2));
    for described in types["Resources"].as_array().unwrap() {
        let id = described["id"].as_str().unwrap();
        assert_eq!(resource_type(BASE, id).as_ref(), Some(described));
        assert_eq!(described["meta"]["location"], json!(format!("{BASE}/ResourceTypes/{id}")));
        assert!(schema(BASE, described["schema"].as_str().unwrap()).is_some());
        for extension in described["schemaExtensions"].as_array().unwrap() {
            assert!(schema(BASE, extension["schema"].as_str().unwrap()).is_some());
        }
    }
    assert_eq!(types["Resources"][0]["endpoint"], json!("/Users"));
    assert_eq!(types["Resources"][1]["endpoint"], json!("/Groups"));
    let schemas = schemas(BASE);
    assert_eq!(schemas["totalResults"], json!(3));
    for described in schemas["Resources"].as_array().unwrap() {
        assert_eq!(schema(BASE, described["id"].as_str().unwrap()).as_ref(), Some(described));
    }
    assert_eq!(resource_type(BASE, "Printer"), None);
    assert_eq!(schema(BASE, "urn:x"), None);
}

#[test]
fn every_attribute_says_all_that_rfc_7643_asks_of_it() {
    fn check(described: &Value, place: &str) {
        let map = described.as_object().unwrap();
        for (key, values) in [
            ("type", &["string", "boolean", "dateTime", "reference", "complex"][..]),
            ("mutability", &["readWrite", "readOnly", "immutable", "writeOnly"]),
            ("returned", &["always", "never", "default", "request"]),
            ("uniqueness", &["none", "server", "global"]),
        ] {
            assert!(values.contains(&map[key].as_str().unwrap()), "{place}: {key}");
        }
        for key in ["multiValued", "required", "caseExact"] {
            assert!(map[key].is_boolean(), "{place}: {key}");
        }
        assert!(map["description"].as_str().is_some_and(|d| d.ends_with('.')), "{place}");
        assert_eq!(map["type"] == "reference", map.contains_key("referenceTypes"), "{place}");
        assert_eq!(map["type"] == "complex", map.contains_key("subAttributes"), "{place}");
        for part in map.get("subAttributes").and_then(Value::as_array).into_iter().flatten() {
            check(part, &format!("{place}.{}", part["name"]));
        }
    }
    for schema in schemas(BASE)["Resources"].as_array().unwrap() {
        for attribute in schema["attributes"].as_array().unwrap() {
            check(attribute, &format!("{} {}", schema["name"], attribute["name"]));
        }
    }
    // What is not stored is not published.
    let user = schema(BASE, "urn:ietf:params:scim:schemas:core:2.0:User").unwrap();
    let names: Vec<&str> =
        user["attributes"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    for hidden in ["password", "ims", "photos", "entitlements", "x509Certificates", "id", "meta"] {
        assert!(!names.contains(&hidden), "{hidden}");
    }
    assert!(names.contains(&"active"));
}

/// A value that the attribute can have.
fn sample(attribute: &Attribute) -> Value {
    let one = match attribute.kind {
        Kind::Boolean => json!(true),
        Kind::Complex => {
            let parts =
                attribute.parts.iter().filter(|p| p.writable()).map(|p| (p.name.to_owned(), sample(p)));
            Value::Object(Map::from_iter(parts))
        }
        Kind::Text | Kind::Reference | Kind::DateTime => json!("work"),
    };
    if attribute.multi_valued { json!([one]) } else { one }
}

#[test]
fn every_published_attribute_is_stored_and_no_other() {
    for kind in ResourceType::ALL {
        for published in std::iter::once(kind.core()).chain(kind.extensions().iter().copied()) {
            for attribute in published.attributes.iter().filter(|a| a.name != "members") {
                let name = if std::ptr::eq(published, kind.core()) {
                    attribute.name.to_owned()
                } else {
                    format!("{}:{}", published.id, attribute.name)
                };
                let mut text = body(r#"{"userName":"u"}"#);
                if kind == ResourceType::Group {
                    text = body(r#"{"displayName":"g"}"#);
                }
                text.insert(name.clone(), sample(attribute));
                let written = write::create(kind, text).unwrap_or_else(|e| panic!("{name}: {e}"));
                let expect = if attribute.writable() { Some(sample(attribute)) } else { None };
                assert_eq!(written.document.get(&name), expect.as_ref(), "{name}");
                assert_eq!(written.ignored.is_empty(), attribute.writable(), "{name}");
            }
        }
    }
    assert_eq!(Schema::ALL.len(), 3);
    let unknown = wire::object(br#"{"userName":"u","favouriteColor":"red"}"#).unwrap();
    let written = write::create(ResourceType::User, unknown).unwrap();
    assert!(written.document.get("favouriteColor").is_none() && written.ignored.contains("`favouriteColor`"));
    let e = write::create(ResourceType::User, body("{}")).unwrap_err();
    assert_eq!((e.kind(), e.detail()), (ErrorKind::InvalidValue, "`userName` is required"));
}
