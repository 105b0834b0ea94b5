//! Creation, replacement, projection: what of a body becomes the document, and what a reader gets.

use doorward_lifecycle::scim::list::Query;
use doorward_lifecycle::scim::{Asserted, ErrorKind, Projection, ResourceType, json as wire, write};
use serde_json::{Value, json};

use crate::world::{ENTERPRISE, ada, body, created, group, ids, resource, user};

#[test]
fn a_person_without_a_word_about_access_has_none() {
    for text in [r#"{"userName":"u"}"#, r#"{"userName":"u","active":null}"#] {
        let written = created(ResourceType::User, text);
        assert_eq!(written.document.to_json(), json!({"userName": "u", "active": false}), "{text}");
        assert!(!written.document.active());
    }
    assert!(!created(ResourceType::User, r#"{"userName":"u"}"#).asserted.contains("active"));
    assert_eq!(group(r#"{"displayName":"g"}"#).to_json(), json!({"displayName": "g"}));
}

#[test]
fn a_body_that_makes_no_resource_is_refused() {
    use ErrorKind::{InvalidSyntax, InvalidValue};
    for (kind, text, expect) in [
        (ResourceType::User, "{}", InvalidValue),
        (ResourceType::User, r#"{"userName":null}"#, InvalidValue),
        (ResourceType::User, r#"{"userName":""}"#, InvalidValue),
        (ResourceType::User, r#"{"userName":["u"]}"#, InvalidValue),
        (ResourceType::User, r#"{"userName":"u","active":1}"#, InvalidValue),
        (ResourceType::User, r#"{"userName":"u","name":"Ada"}"#, InvalidValue),
        (ResourceType::User, r#"{"userName":"u","emails.value":"x"}"#, InvalidValue),
        (
            ResourceType::User,
            r#"{"userName":"u","emails":[{"primary":true,"value":"a"},{"primary":"True","value":"b"}]}"#,
            InvalidValue,
        ),
        (
            ResourceType::User,
            r#"{"userName":"u","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":[]}"#,
            InvalidValue,
        ),
        (
            ResourceType::User,
            r#"{"userName":"u","schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]}"#,
            InvalidSyntax,
        ),
        (ResourceType::User, r#"{"userName":"u","schemas":{}}"#, InvalidSyntax),
        (ResourceType::Group, r#"{"members":[]}"#, InvalidValue),
        (ResourceType::Group, r#"{"displayName":"g","members":[{"value":null}]}"#, InvalidValue),
        (ResourceType::Group, r#"{"displayName":"g","members":[{"value":"a\u0007"}]}"#, InvalidValue),
    ] {
        let e = wire::object(text.as_bytes()).and_then(|b| write::create(kind, b)).unwrap_err();
        assert_eq!(e.kind(), expect, "{text}: {e}");
    }
}

#[test]
fn an_attribute_may_be_named_by_the_urn_of_its_schema() {
    let by_urn = user(
        r#"{"urn:ietf:params:scim:schemas:core:2.0:User":{"userName":"u","active":true},
            "urn:ietf:params:scim:schemas:core:2.0:User:title":"T"}"#,
    );
    assert_eq!(by_urn, user(r#"{"userName":"u","active":true,"title":"T"}"#));
}

#[test]
fn members_of_a_new_group_may_be_groups() {
    let written = created(
        ResourceType::Group,
        r#"{"displayName":"g","members":[{"value":"u1"},{"value":"g2","type":"group"},{"value":"u1","display":"x"}]}"#,
    );
    let found: Vec<_> = written.membership.added().map(|m| (m.id.as_str(), m.kind)).collect();
    assert_eq!(found, [("g2", Some(ResourceType::Group)), ("u1", None)]);
}

#[test]
fn a_put_replaces_what_its_source_had_said() {
    let asserted: Asserted = ["userName", "title", "emails", &format!("{ENTERPRISE}:manager")]
        .map(str::to_owned)
        .into_iter()
        .collect();
    let stored = ada();
    let put = |text: &str| write::replace(&stored, &asserted, body(text));
    let written = put(r#"{"userName":"Ada@Example.com","nickName":"Al"}"#).unwrap();
    let expect = ids(&["emails", "nickName", "title", &format!("{ENTERPRISE}:manager")]);
    assert_eq!(written.document.differences(&stored), expect);
    assert!(written.asserted.contains("nickName") && written.asserted.contains("title"));
    // What is always there cannot be left out by who said it, nor be emptied by anybody.
    for text in [r#"{"nickName":"Al"}"#, r#"{"userName":null}"#] {
        assert_eq!(put(text).unwrap_err().kind(), ErrorKind::InvalidValue, "{text}");
    }
    // Null clears what somebody else said, too, because it says so.
    let cleared =
        put(r#"{"userName":"Ada@Example.com","displayName":null,"emails":[{"value":"ada@example.com"}]}"#)
            .unwrap();
    assert_eq!(cleared.document.get("displayName"), None);
}

#[test]
fn a_projection_returns_what_was_asked_for_and_the_id() {
    let all: Vec<&str> = vec![
        "active",
        "displayName",
        "emails",
        "externalId",
        "id",
        "meta",
        "name",
        "roles",
        "schemas",
        "title",
        ENTERPRISE,
        "userName",
    ];
    let without = |names: &[&str]| all.iter().filter(|n| !names.contains(n)).copied().collect::<Vec<_>>();
    for (query, expect) in [
        ("", all.clone()),
        ("attributes=", all.clone()),
        ("attributes=USERNAME", vec!["id", "schemas", "userName"]),
        ("attributes=userName,%20title", vec!["id", "schemas", "title", "userName"]),
        ("attributes=nothing", vec!["id", "schemas"]),
        ("attributes=password", vec!["id", "schemas"]),
        ("attributes=meta.location", vec!["id", "meta", "schemas"]),
        ("attributes=urn:ietf:params:scim:schemas:core:2.0:User:title", vec!["id", "schemas", "title"]),
        (
            "attributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            vec!["id", "schemas", ENTERPRISE],
        ),
        ("excludedAttributes=id,schemas,userName", without(&["userName"])),
        ("excludedAttributes=name,emails,roles,nothing", without(&["name", "emails", "roles"])),
        (
            "excludedAttributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            without(&[ENTERPRISE]),
        ),
        ("excludedAttributes=name.givenName,name.familyName", without(&["name"])),
    ] {
        let projection = Query::from_url(query).unwrap().projection;
        let mut found: Vec<String> =
            projection.apply(ResourceType::User, resource(&ada())).keys().cloned().collect();
        found.sort_by_key(|name| name.to_lowercase());
        let mut expect = expect;
        expect.sort_by_key(|name| name.to_lowercase());
        assert_eq!(found, expect, "{query}");
    }
}

#[test]
fn a_projection_reaches_into_parts() {
    let only = |names: &str| {
        let projection = Projection::read(Some(names), None).unwrap();
        Value::Object(projection.apply(ResourceType::User, resource(&ada())))
    };
    assert_eq!(
        only("emails.value,emails.type")["emails"],
        json!([{"value": "ada@example.com", "type": "work"}, {"value": "ada@home.example", "type": "home"}])
    );
    assert_eq!(only("emails.primary")["emails"], json!([{"primary": true}]));
    assert_eq!(only("emails.value,emails")["emails"], resource(&ada())["emails"]);
    assert_eq!(only("name.givenName")["name"], json!({"givenName": "Ada"}));
    assert_eq!(only("manager.value")[ENTERPRISE], json!({"manager": {"value": "u-boss"}}));
    let without = Projection::read(None, Some("emails.value,emails.type")).unwrap();
    assert_eq!(without.apply(ResourceType::User, resource(&ada()))["emails"], json!([{"primary": true}]));
}

#[test]
fn a_search_is_the_query_as_a_body() {
    let search = |text: &str| Query::from_search(body(text));
    let query = search(
        r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "attributes":["displayName","userName"],"filter":"displayName sw \"smith\"","startIndex":1,"count":10}"#,
    )
    .unwrap();
    let by_url = Query::from_url(
        "attributes=displayName,userName&filter=displayName+sw+\"smith\"&startIndex=1&count=10",
    );
    assert_eq!(query, by_url.unwrap());
    assert_eq!(search("{}").unwrap(), Query::default());
    for (bad, expect) in [
        (r#"{"schemas":["urn:x"]}"#, ErrorKind::InvalidSyntax),
        (r#"{"filter":7}"#, ErrorKind::InvalidValue),
        (r#"{"count":"ten"}"#, ErrorKind::InvalidValue),
        (r#"{"startIndex":1.5}"#, ErrorKind::InvalidValue),
        (r#"{"attributes":"userName"}"#, ErrorKind::InvalidValue),
        (r#"{"attributes":[1]}"#, ErrorKind::InvalidValue),
        (r#"{"attributes":["a"],"excludedAttributes":["b"]}"#, ErrorKind::InvalidValue),
    ] {
        assert_eq!(search(bad).unwrap_err().kind(), expect, "{bad}");
    }
}

#[test]
fn addresses_are_indexed_as_they_are_looked_up() {
    let stored = user(
        r#"{"userName":"u","emails":[{"value":"Ä@X.example"},{"value":"b"},{"type":"work","display":"none"}]}"#,
    );
    assert_eq!(stored.folded_emails(), ids(&["ä@x.example", "b"]));
}
