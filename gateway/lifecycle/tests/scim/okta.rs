//! What Okta sends (facts O1–O14): bodies as its SCIM 2.0 client writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use doorward_lifecycle::scim::list::{Page, Query};
use doorward_lifecycle::scim::{
    Asserted, ErrorKind, Filter, Lookup, Member, Projection, ResourceType, ScimError, json as wire, write,
};
use serde_json::{Value, json};

use crate::world::{
    BASE, ENTERPRISE, ID, ada, body, created, envelope, group, ids, operations, patch, patched, resource,
    user, value,
};

const CREATE: &str = r#"{
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "test.user@okta.local",
    "name": {"givenName": "Test", "familyName": "User"},
    "emails": [{"primary": true, "value": "test.user@okta.local", "type": "work"}],
    "displayName": "Test User",
    "locale": "en-US",
    "externalId": "00ujl29u0le5T6Aj10h7",
    "groups": [],
    "password": "1mz050nq",
    "active": true
}"#;

#[test]
fn o1_a_look_up_of_nobody_is_an_empty_list() {
    let query = Query::from_url("filter=userName%20eq%20%22test.user%40okta.local%22&startIndex=1&count=100")
        .unwrap();
    assert_eq!(query.page, Page { start_index: 1, count: 100 });
    let filter = Filter::parse(ResourceType::User, query.filter.as_deref().unwrap()).unwrap();
    assert_eq!(filter.lookup(), Some(vec![Lookup::UserName("test.user@okta.local".to_owned())]));
    assert_eq!(
        query.page.response(0, Vec::new()),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": [],
        })
    );
}

#[test]
fn o2_every_way_to_escape_a_filter_is_the_same_filter() {
    for query in [
        "filter=userName%20eq%20%22ada%2Bx%40example.com%22",
        "filter=userName+eq+%22ada%2Bx%40example.com%22&count=100",
        "filter=userName eq \"ada%2bx@example.com\"",
        "Filter=userName%20eq%20\"ada%2Bx@example.com\"&aadOptscim062020",
    ] {
        let found = Query::from_url(query).unwrap().filter;
        assert_eq!(found.as_deref(), Some("userName eq \"ada+x@example.com\""), "{query}");
    }
    for bad in ["filter=%2", "filter=%zz", "filter=%ff", "filter=a&filter=b", "filter=a&FILTER=b"] {
        assert_eq!(Query::from_url(bad).unwrap_err().kind(), ErrorKind::InvalidSyntax, "{bad}");
    }
}

#[test]
fn o3_a_password_is_dropped_and_the_rest_is_kept() {
    let written = created(ResourceType::User, CREATE);
    let stored = written.document.to_json();
    assert_eq!(
        stored,
        json!({
            "userName": "test.user@okta.local",
            "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": true, "value": "test.user@okta.local", "type": "work"}],
            "displayName": "Test User",
            "locale": "en-US",
            "externalId": "00ujl29u0le5T6Aj10h7",
            "active": true,
        })
    );
    assert!(!format!("{written:?}").contains("1mz050nq"), "a password stands in Debug");
    assert_eq!(written.ignored, ids(&["`groups`", "`password`"]));
    assert!(!written.asserted.contains("password") && written.asserted.contains("locale"));
    // Nor does it come in by a change.
    let changed = patched(&written.document, r#"{"op":"replace","value":{"password":"n3w"}}"#);
    assert!(!changed.changed && !format!("{changed:?}").contains("n3w"));
}

#[test]
fn o4_the_answer_to_a_creation_is_the_whole_person() {
    let resource = resource(&user(CREATE));
    for name in ["schemas", "id", "userName", "name", "emails", "displayName", "active", "meta"] {
        assert!(resource.contains_key(name), "{name}");
    }
    assert_eq!(resource["id"], ID);
    assert_eq!(resource["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:User"]));
    assert_eq!(
        resource["meta"],
        json!({
            "resourceType": "User",
            "created": "2025-11-21T08:00:00.000Z",
            "lastModified": "2025-11-21T08:00:00.500Z",
            "location": format!("{BASE}/Users/{ID}"),
            "version": "W/\"7\"",
        })
    );
}

#[test]
fn o5_a_taken_name_is_told_with_the_error_schema() {
    let body = ScimError::new(ErrorKind::Uniqueness, "`userName` is taken").body();
    assert_eq!(
        body,
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": "409", "scimType": "uniqueness", "detail": "`userName` is taken",
        })
    );
}

#[test]
fn o6_both_ways_to_deactivate_do() {
    let stored = user(CREATE);
    assert!(stored.active());
    let by_patch = patched(&stored, r#"{"op":"replace","value":{"active":false}}"#);
    let whole =
        CREATE.replace("\"active\": true", &format!("\"active\": false, \"id\": \"{ID}\", \"meta\": {{}}"));
    let by_put = write::replace(&stored, &Asserted::default(), body(&whole)).unwrap();
    for written in [by_patch, by_put] {
        assert!(written.changed && !written.document.active());
        assert_eq!(written.document.differences(&stored), ids(&["active"]));
    }
}

#[test]
fn o7_a_whole_put_says_no_more_than_okta_knows() {
    let first = created(ResourceType::User, CREATE);
    // An operator adds what Okta has never spoken of.
    let edited = patched(
        &first.document,
        &format!(r#"{{"op":"add","value":{{"title":"Analyst","{ENTERPRISE}":{{"department":"Engines"}}}}}}"#),
    )
    .document;
    // Okta sends the whole person again, with a change and without `locale`.
    let whole = CREATE.replace("\"locale\": \"en-US\",", "").replace("Test User", "Tess User");
    let second = write::replace(&edited, &first.asserted, body(&whole)).unwrap();
    assert_eq!(second.document.differences(&edited), ids(&["displayName", "locale"]));
    assert_eq!(second.document.get("locale"), None, "what Okta said before and says no more stays");
    assert_eq!(second.document.get("title"), Some(&json!("Analyst")));
    assert_eq!(second.document.get(&format!("{ENTERPRISE}:department")), Some(&json!("Engines")));
    // The same again changes nothing.
    let third = write::replace(&second.document, &second.asserted, body(&whole)).unwrap();
    assert!(!third.changed && third.document == second.document);
    // `active` left out is not a statement.
    let silent = whole.replace(",\n    \"active\": true", "");
    assert!(!silent.contains("active"));
    let fourth = write::replace(&second.document, &second.asserted, body(&silent)).unwrap();
    assert!(fourth.document.active() && !fourth.changed);
}

#[test]
fn o8_suspended_deactivated_and_unassigned_look_alike() {
    let stored = user(CREATE);
    for operation in [
        r#"{"op":"replace","value":{"active":false}}"#,
        r#"{"op":"replace","path":"active","value":false}"#,
        r#"{"op":"add","path":"active","value":false}"#,
    ] {
        let written = patched(&stored, operation);
        assert_eq!(written.document.to_json()["active"], json!(false), "{operation}");
        assert_eq!(written.document.differences(&stored), ids(&["active"]));
    }
}

#[test]
fn o9_a_renamed_group_comes_with_its_id() {
    let stored = group(r#"{"displayName":"Old","members":[]}"#);
    let written =
        patched(&stored, &format!(r#"{{"op":"replace","value":{{"id":"{ID}","displayName":"New"}}}}"#));
    assert_eq!(written.document.display_name(), Some("New"));
    assert_eq!(written.ignored, ids(&["`id`"]));
    assert!(written.membership.is_empty());
}

#[test]
fn o10_members_come_and_go_in_order_and_by_thousands() {
    let stored = group(r#"{"displayName":"All"}"#);
    let before = ids(&["a", "b", "c"]);
    let written = patch(
        &stored,
        &operations(&[
            r#"{"op":"remove","path":"members[value eq \"a\"]"}"#,
            r#"{"op":"remove","path":"members[value eq \"b\"]"}"#,
            r#"{"op":"add","path":"members","value":[{"value":"d","display":"d@x"},{"value":"a"}]}"#,
            r#"{"op":"remove","path":"members[value eq \"d\"]"}"#,
        ]),
    )
    .unwrap();
    assert_eq!(written.membership.apply(&before), ids(&["a", "c"]));
    assert!(!written.changed, "the document of a group does not hold its members");
    // One bad operation, and none is done.
    let bad = operations(&[
        r#"{"op":"remove","path":"members[value eq \"a\"]"}"#,
        r#"{"op":"remove","path":"members[display co \"b\"]"}"#,
    ]);
    assert_eq!(patch(&stored, &bad).unwrap_err().kind(), ErrorKind::InvalidFilter);

    let everybody: BTreeSet<String> = (0..10_000).map(|i| format!("user-{i:05}")).collect();
    let mut list = String::new();
    for id in &everybody {
        let comma = if list.is_empty() { "" } else { "," };
        write!(list, r#"{comma}{{"value":"{id}","display":"{id}@example.com"}}"#).unwrap();
    }
    let full = patched(&stored, &format!(r#"{{"op":"replace","path":"members","value":[{list}]}}"#));
    assert!(full.membership.is_cleared());
    assert_eq!(full.membership.apply(&before), everybody);
    assert_eq!(full.membership.added().next(), Some(&Member { id: "user-00000".to_owned(), kind: None }));
    let one_by_one: Vec<String> = everybody
        .iter()
        .map(|id| format!(r#"{{"op":"remove","path":"members[value eq \"{id}\"]"}}"#))
        .collect();
    let one_by_one: Vec<&str> = one_by_one.iter().map(String::as_str).collect();
    let emptied = patch(&stored, &operations(&one_by_one)).unwrap().membership;
    assert_eq!(emptied.removed().count(), 10_000);
    assert_eq!(emptied.apply(&everybody), BTreeSet::new());
}

#[test]
fn o11_a_group_is_answered_without_its_members() {
    let stored = group(r#"{"displayName":"All"}"#);
    assert!(!stored.resource(&envelope(), None).contains_key("members"));
    let with =
        stored.resource(&envelope(), Some(vec![Member::resource("u1", ResourceType::User, None, BASE)]));
    assert_eq!(with["members"][0]["$ref"], format!("{BASE}/Users/u1"));
    let without = Projection::read(None, Some("members")).unwrap().apply(ResourceType::Group, with);
    assert!(!without.contains_key("members") && without.contains_key("displayName"));
    // What is not said about members leaves them, also in a PUT.
    let put = write::replace(&stored, &Asserted::default(), body(r#"{"displayName":"Everybody"}"#)).unwrap();
    assert!(put.changed && put.membership.is_empty());
    let emptied =
        write::replace(&stored, &Asserted::default(), body(r#"{"displayName":"All","members":[]}"#)).unwrap();
    assert_eq!(emptied.membership.apply(&ids(&["a"])), BTreeSet::new());
}

#[test]
fn o12_pages_of_a_hundred_cover_everybody_once() {
    let total = 250;
    let mut seen = Vec::new();
    for start in [1, 101, 201, 301] {
        let page = Query::from_url(&format!("startIndex={start}&count=100")).unwrap().page;
        let resources: Vec<Value> = (0..total).skip(page.skip()).take(page.count).map(|i| json!(i)).collect();
        let answer = page.response(total, resources.clone());
        assert!(
            answer["totalResults"].is_u64()
                && answer["startIndex"].is_u64()
                && answer["itemsPerPage"].is_u64()
        );
        assert_eq!(answer["itemsPerPage"], json!(resources.len()));
        seen.extend(resources);
    }
    assert_eq!(seen, (0..total).map(|i| json!(i)).collect::<Vec<_>>());
}

#[test]
fn o13_locations_lie_below_the_base_url() {
    assert_eq!(envelope().location(ResourceType::User), format!("{BASE}/Users/{ID}"));
    let slash =
        doorward_lifecycle::scim::Envelope { base: "https://acme.gate.example/scim/v2/", ..envelope() };
    assert_eq!(slash.location(ResourceType::Group), format!("https://acme.gate.example/scim/v2/Groups/{ID}"));
}

#[test]
fn o14_parameters_after_the_content_type_do_not_matter() {
    for (content_type, readable) in [
        (Some("application/scim+json; charset=utf-8"), true),
        (Some("application/scim+json;charset=UTF-8"), true),
        (Some("Application/SCIM+JSON"), true),
        (Some("application/json"), true),
        (None, true),
        (Some("application/scim+jsonx"), false),
        (Some("text/plain; application/json"), false),
        (Some("application/x-www-form-urlencoded"), false),
        (Some(""), false),
    ] {
        assert_eq!(wire::is_readable(content_type), readable, "{content_type:?}");
    }
}

#[test]
fn what_okta_reads_back_it_can_send_back() {
    // Okta GETs the person, changes what it knows, and PUTs everything, ours included.
    let stored = ada();
    let read_back = Value::Object(resource(&stored)).to_string();
    let put = write::replace(&stored, &Asserted::default(), body(&read_back)).unwrap();
    assert!(!put.changed, "{:?}", put.document.differences(&stored));
    assert_eq!(put.ignored, ids(&["`id`", "`meta`"]));
    assert_eq!(value(&read_back)["meta"]["resourceType"], "User");
}
