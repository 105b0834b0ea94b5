//! What Microsoft Entra ID sends (facts E1–E20): bodies as its provisioning service writes them.

use std::collections::BTreeSet;

use doorward_lifecycle::scim::list::{Page, Query};
use doorward_lifecycle::scim::{ErrorKind, Filter, Lookup, Projection, ResourceType};
use serde_json::{Value, json};

use crate::world::{
    ENTERPRISE, ada, body, created, group, ids, operations, patch, patch_one, patched, refused, resource,
    user,
};

#[test]
fn e1_booleans_come_as_text_and_never_as_numbers() {
    let stored = ada();
    for (value, active) in [
        (r#""False""#, false),
        (r#""false""#, false),
        ("false", false),
        (r#""True""#, true),
        (r#""true""#, true),
        ("true", true),
    ] {
        let written = patched(&stored, &format!(r#"{{"op":"Replace","path":"active","value":{value}}}"#));
        assert_eq!(written.document.to_json()["active"], json!(active), "{value}");
        assert_eq!(written.changed, !active, "{value}");
    }
    for value in
        ["0", "1", r#""0""#, r#""no""#, r#""""#, "[]", "{}", "null", "[false]", r#"{"active":false}"#]
    {
        let operation = format!(r#"{{"op":"Replace","path":"active","value":{value}}}"#);
        assert_eq!(refused(&stored, &operation), ErrorKind::InvalidValue, "{value}");
    }
}

#[test]
fn e2_operations_are_written_in_capitals() {
    let stored = ada();
    let written = patch(
        &stored,
        &operations(&[
            r#"{"op":"Add","path":"nickName","value":"Countess"}"#,
            r#"{"OP":"REPLACE","Path":"TITLE","Value":"Analyst II"}"#,
            r#"{"op":"Remove","path":"externalID"}"#,
        ]),
    )
    .unwrap();
    assert_eq!(written.document.differences(&stored), ids(&["externalId", "nickName", "title"]));
    assert_eq!(written.document.get("title"), Some(&json!("Analyst II")));
    assert_eq!(refused(&stored, r#"{"op":"Move","path":"title"}"#), ErrorKind::InvalidSyntax);
}

#[test]
fn e3_removing_with_a_list_of_values_removes_those_alone() {
    let stored = group(r#"{"displayName":"All"}"#);
    let before = ids(&["u1", "u2", "u3"]);
    for (operation, after) in [
        (r#"{"op":"Remove","path":"members","value":[{"$ref":null,"value":"u1"}]}"#, &["u2", "u3"][..]),
        (r#"{"op":"remove","path":"members[value eq \"u1\"]"}"#, &["u2", "u3"]),
        (r#"{"op":"remove","path":"members[value eq \"u1\" or value eq \"u3\"]"}"#, &["u2"]),
        (r#"{"op":"remove","path":"members","value":{"value":"u2"}}"#, &["u1", "u3"]),
        (r#"{"op":"remove","path":"members","value":["u2"]}"#, &["u1", "u3"]),
        (r#"{"op":"remove","path":"members","value":[{"value":"stranger"}]}"#, &["u1", "u2", "u3"]),
        (r#"{"op":"remove","path":"members","value":[]}"#, &["u1", "u2", "u3"]),
        // Only this means everybody.
        (r#"{"op":"remove","path":"members"}"#, &[]),
    ] {
        assert_eq!(patched(&stored, operation).membership.apply(&before), ids(after), "{operation}");
    }
    // The same holds of the lists of a person.
    let written =
        patched(&ada(), r#"{"op":"Remove","path":"emails","value":[{"value":"ADA@example.com"}]}"#).document;
    assert_eq!(written.get("emails"), Some(&json!([{"value": "ada@home.example", "type": "home"}])));
}

#[test]
fn e4_adding_a_member_twice_changes_nothing() {
    let stored = group(r#"{"displayName":"All"}"#);
    let add = r#"{"op":"Add","path":"members","value":[{"$ref":null,"value":"u1"}]}"#;
    let written = patch(&stored, &operations(&[add, add])).unwrap();
    assert_eq!(written.membership.apply(&ids(&["u1", "u2"])), ids(&["u1", "u2"]));
    assert_eq!(written.membership.added().count(), 1);
}

#[test]
fn e5_the_work_address_is_made_when_there_is_none() {
    let bare = user(r#"{"userName":"u"}"#);
    for op in ["Replace", "Add"] {
        let operation =
            format!(r#"{{"op":"{op}","path":"emails[type eq \"work\"].value","value":"a@example.com"}}"#);
        assert_eq!(
            patched(&bare, &operation).document.get("emails"),
            Some(&json!([{"type": "work", "value": "a@example.com"}])),
            "{op}"
        );
        // With one there, it is that one.
        let written = patched(&ada(), &operation).document;
        assert_eq!(
            written.get("emails"),
            Some(&json!([
                {"value": "a@example.com", "type": "work", "primary": true},
                {"value": "ada@home.example", "type": "home"},
            ])),
            "{op}"
        );
    }
    let road = r#"{"op":"Add","path":"addresses[type eq \"work\"].streetAddress","value":"1 Way"}"#;
    assert_eq!(
        patched(&bare, road).document.get("addresses"),
        Some(&json!([{"type": "work", "streetAddress": "1 Way"}]))
    );
    let role = r#"{"op":"Add","path":"roles[primary eq \"True\"].value","value":"admin"}"#;
    assert_eq!(
        patched(&bare, role).document.get("roles"),
        Some(&json!([{"primary": true, "value": "admin"}]))
    );
    // A filter that says less than which one is not enough to make one.
    for path in
        [r#"emails[type ne \"work\"].value"#, r#"emails[value co \"x\"].display"#, r#"emails[type pr].value"#]
    {
        let operation = format!(r#"{{"op":"Replace","path":"{path}","value":"x"}}"#);
        assert_eq!(refused(&bare, &operation), ErrorKind::NoTarget, "{path}");
    }
}

#[test]
fn e6_keys_of_a_value_without_path_are_paths() {
    let written = patched(
        &ada(),
        &format!(
            r#"{{"op":"Replace","value":{{
                "displayName":"Ada King","name.givenName":"Augusta Ada","{ENTERPRISE}:employeeNumber":"18",
                "emails[type eq \"work\"].value":"king@example.com","{ENTERPRISE}":{{"division":"North"}}
            }}}}"#
        ),
    )
    .document;
    assert_eq!(written.get("name"), Some(&json!({"givenName": "Augusta Ada", "familyName": "Lovelace"})));
    assert_eq!(written.get("emails").unwrap()[0]["value"], "king@example.com");
    assert_eq!(
        written.to_json()[ENTERPRISE],
        json!({"department": "Engines", "employeeNumber": "18", "manager": {"value": "u-boss"}, "division": "North"})
    );
    // The order of keys in an object says nothing: the whole comes before its parts.
    let narrow_first = r#"{"op":"Replace","value":{
        "Emails[type eq \"work\"].value":"king@example.com","emails":[{"type":"home","value":"h@example.com"}]
    }}"#;
    assert_eq!(
        patched(&ada(), narrow_first).document.get("emails"),
        Some(
            &json!([{"type": "home", "value": "h@example.com"}, {"type": "work", "value": "king@example.com"}])
        )
    );
    let narrow_first = user(r#"{"userName":"u","Name.givenName":"Ada","name":{"familyName":"King"}}"#);
    assert_eq!(narrow_first.get("name"), Some(&json!({"givenName": "Ada", "familyName": "King"})));
    let by_creation =
        user(&format!(r#"{{"userName":"u","name.givenName":"Ada","{ENTERPRISE}:department":"Engines"}}"#));
    assert_eq!(by_creation.get("name"), Some(&json!({"givenName": "Ada"})));
    assert_eq!(by_creation.get(&format!("{ENTERPRISE}:department")), Some(&json!("Engines")));
}

#[test]
fn e7_a_manager_comes_in_every_shape() {
    let stored = ada();
    let name = format!("{ENTERPRISE}:manager");
    for (path, value) in [
        (name.as_str(), r#""m1""#),
        ("manager", r#""m1""#),
        ("Manager", r#"[{"$ref":"http://x/Users/m1","value":"m1"}]"#),
        (&name, r#"{"value":"m1","displayName":"Boss","$ref":"../Users/m1"}"#),
        ("manager.value", r#""m1""#),
        (ENTERPRISE, r#"{"manager":"m1"}"#),
    ] {
        let operation = format!(r#"{{"op":"Add","path":"{path}","value":{value}}}"#);
        assert_eq!(
            patched(&stored, &operation).document.get(&name),
            Some(&json!({"value": "m1"})),
            "{operation}"
        );
    }
    let none = ["null", r#""""#, r#"" ""#, r#"["\t"]"#, r#"{"value":" "}"#, "[]"];
    for (op, value) in none.map(|none| ("Replace", none)).into_iter().chain([("Remove", "null")]) {
        let operation = format!(r#"{{"op":"{op}","path":"manager","value":{value}}}"#);
        assert_eq!(patched(&stored, &operation).document.get(&name), None, "{operation}");
    }
    for value in ["17", "true", r#"["a","b"]"#, r#"{"value":7}"#] {
        let operation = format!(r#"{{"op":"Replace","path":"manager","value":{value}}}"#);
        assert_eq!(refused(&stored, &operation), ErrorKind::InvalidValue, "{operation}");
    }
    let created = user(&format!(r#"{{"userName":"u","{ENTERPRISE}":{{"manager":"m1"}}}}"#));
    assert_eq!(created.get(&name), Some(&json!({"value": "m1"})));
}

#[test]
fn e8_the_filters_of_entra_are_answered_from_an_index() {
    let (found, stranger) = (resource(&ada()), resource(&user(r#"{"userName":"other"}"#)));
    for (text, lookup) in [
        (r#"userName eq "ada@EXAMPLE.com""#, Lookup::UserName("ada@example.com".to_owned())),
        (r#"externalId eq "00uA""#, Lookup::ExternalId("00uA".to_owned())),
        (r#"displayName eq "Ada Lovelace""#, Lookup::DisplayName("ada lovelace".to_owned())),
        (r#"emails[type eq "work"].value eq "Ada@example.com""#, Lookup::Email("ada@example.com".to_owned())),
        (
            r#"emails[type eq "work" and value eq "ada@example.com"]"#,
            Lookup::Email("ada@example.com".to_owned()),
        ),
        (
            r#"active eq true and userName eq "ada@example.com""#,
            Lookup::UserName("ada@example.com".to_owned()),
        ),
    ] {
        let filter = Filter::parse(ResourceType::User, text).unwrap();
        assert_eq!(filter.lookup(), Some(vec![lookup]), "{text}");
        assert!(filter.matches(&found) && !filter.matches(&stranger), "{text}");
    }
    let home =
        Filter::parse(ResourceType::User, r#"emails[type eq "home"].value eq "ada@example.com""#).unwrap();
    assert!(!home.matches(&found), "the address is the one at work");
}

#[test]
fn e9_the_connection_test_is_an_empty_list() {
    let query =
        Query::from_url("filter=userName+eq+%22b3f9a1c2-5b9f-4f3e-9d0e-2f4f6a1b7c8d%22&aadOptscim062020")
            .unwrap();
    let filter = Filter::parse(ResourceType::User, &query.filter.unwrap()).unwrap();
    assert!(filter.lookup().is_some() && !filter.matches(&resource(&ada())));
    assert_eq!(query.page.response(0, Vec::new())["Resources"], json!([]));
}

#[test]
fn e10_members_that_nobody_asked_for_need_not_be_looked_up() {
    let kind = ResourceType::Group;
    let wants = |query: &str| Query::from_url(query).unwrap().projection.wants_computed(kind);
    assert!(!wants("excludedAttributes=members"));
    assert!(!wants("excludedAttributes=Members&filter=displayName+eq+%22x%22"));
    assert!(!wants("attributes=displayName"));
    assert!(wants("") && wants("attributes=members.value") && wants("excludedAttributes=members.display"));
    assert!(!Projection::read(None, Some("groups")).unwrap().wants_computed(ResourceType::User));
}

#[test]
fn e11_unknown_schemas_do_not_matter() {
    let written = created(
        ResourceType::Group,
        r#"{
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group",
                        "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
            "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
            "displayName": "Engineers",
            "meta": {"resourceType": "Group"}
        }"#,
    );
    assert_eq!(
        written.document.to_json(),
        json!({"externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159", "displayName": "Engineers"})
    );
    assert!(written.membership.is_empty());
    let other = body(r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"userName":"u"}"#);
    let e = doorward_lifecycle::scim::write::create(ResourceType::User, other).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidSyntax);
}

#[test]
fn e12_a_patch_of_a_group_needs_no_body_back() {
    // Everything that the service must do stands in what the core returns.
    let stored = group(r#"{"displayName":"Engineers"}"#);
    let written = patch(
        &stored,
        &operations(&[
            r#"{"op":"Replace","path":"displayName","value":"Builders"}"#,
            r#"{"op":"Add","path":"members","value":[{"$ref":null,"value":"u1"}]}"#,
        ]),
    )
    .unwrap();
    assert_eq!(written.document.display_name(), Some("Builders"));
    assert_eq!(written.membership.apply(&BTreeSet::new()), ids(&["u1"]));
}

#[test]
fn e13_null_and_empty_are_no_value() {
    let written = created(
        ResourceType::User,
        r#"{
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User",
                        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
            "userName": "u", "active": "True", "addresses": null, "roles": [], "title": null,
            "name": {"givenName": null}, "emails": [{"primary": true, "type": "work", "value": "u@example.com"}],
            "phoneNumbers": [null, {}],
            "meta": {"resourceType": "User", "created": "1999-01-01T00:00:00Z"},
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": null, "manager": null}
        }"#,
    );
    assert_eq!(
        written.document.to_json(),
        json!({
            "userName": "u", "active": true,
            "emails": [{"primary": true, "type": "work", "value": "u@example.com"}],
        })
    );
    assert_eq!(resource(&written.document)["schemas"].as_array().unwrap().len(), 1);
}

#[test]
fn e14_values_are_stored_as_sent() {
    let sent = json!({
        "userName": "  Ünï.Cødé+Tag@EXAMPLE.com ",
        "displayName": "e\u{301} \u{202e}x",
        "active": true,
        "emails": [{"value": "MiXeD@Example.COM", "type": "Work"}],
        "phoneNumbers": [{"value": "+1 (425) 555-0100 ext. 7", "type": "work"}],
        "title": "",
    });
    assert_eq!(user(&sent.to_string()).to_json(), sent);
}

#[test]
fn e15_whoever_is_inactive_is_still_shown() {
    let written = patched(&ada(), r#"{"op":"Replace","path":"active","value":"False"}"#).document;
    let shown = resource(&written);
    assert_eq!(shown["active"], json!(false));
    for text in [r#"userName eq "ada@example.com""#, "active eq false", r#"active eq "False""#] {
        assert!(Filter::parse(ResourceType::User, text).unwrap().matches(&shown), "{text}");
    }
}

#[test]
fn e16_several_members_come_in_one_patch() {
    let stored = group(r#"{"displayName":"All"}"#);
    let add = r#"{"op":"Add","path":"members","value":[{"value":"u1"},{"value":"u2"},{"value":"u3"}]}"#;
    assert_eq!(patched(&stored, add).membership.apply(&BTreeSet::new()), ids(&["u1", "u2", "u3"]));
    let filter = Filter::parse(ResourceType::Group, r#"displayName eq "ALL""#).unwrap();
    assert!(filter.matches(&resource(&stored)));
}

#[test]
fn e17_one_bad_record_is_the_clients_fault_and_says_why() {
    let stored = ada();
    for (operation, names) in [
        (r#"{"op":"Replace","path":"userName","value":""}"#, "`userName`"),
        (r#"{"op":"Replace","path":"userName","value":7}"#, "`userName`"),
        (r#"{"op":"Replace","path":"active","value":"maybe"}"#, "`active`"),
        (r#"{"op":"Replace","path":"emails","value":"x"}"#, "`emails`"),
        (r#"{"op":"Replace","path":"favouriteColor","value":"x"}"#, "`favouriteColor`"),
        (r#"{"op":"Replace","path":"emails[type eq work].value","value":"x"}"#, "type"),
        (r#"{"op":"Replace","path":"id","value":"x"}"#, "`id`"),
        (r#"{"op":"Remove","path":"userName"}"#, "`userName`"),
        (r#"{"op":"Remove"}"#, "`path`"),
        (r#"{"op":"Add","path":"title"}"#, "`value`"),
        ("7", "object"),
    ] {
        let e = patch_one(&stored, operation).unwrap_err();
        assert_eq!(e.status(), 400, "{operation}: {e}");
        assert!(e.detail().contains(names) && e.detail().contains("operation 1"), "{operation}: {e}");
        assert!(!e.detail().contains("maybe"), "{e}");
    }
}

#[test]
fn e18_unassigned_and_softly_deleted_are_the_same_change() {
    let stored = ada();
    let written = patched(&stored, r#"{"op":"Replace","path":"active","value":"False"}"#);
    assert_eq!(written.document.differences(&stored), ids(&["active"]));
    let back = patched(&written.document, r#"{"op":"Replace","path":"active","value":"True"}"#);
    assert_eq!(back.document, stored);
}

#[test]
fn e19_parameters_of_the_tenant_url_are_not_heard() {
    let query = Query::from_url("aadOptscim062020&foo=%ff&sortBy=userName").unwrap();
    assert_eq!(query, Query { filter: None, page: Page::default(), projection: Projection::Usual });
}

#[test]
fn e20_a_second_work_address_takes_the_place_of_the_first() {
    let written = patched(
        &ada(),
        r#"{"op":"Add","path":"emails","value":[{"type":"WORK","value":"new@example.com"}]}"#,
    )
    .document;
    assert_eq!(
        written.get("emails"),
        Some(&json!([
            {"type": "WORK", "value": "new@example.com", "primary": true},
            {"value": "ada@home.example", "type": "home"},
        ]))
    );
    // Roles have no such rule.
    let roles = patched(&ada(), r#"{"op":"Add","path":"roles","value":[{"value":"auditor"}]}"#).document;
    assert_eq!(roles.get("roles").and_then(Value::as_array).map(Vec::len), Some(2));
}
