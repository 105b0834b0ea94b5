//! PATCH as a table: operation, and what becomes of Ada.

use doorward_lifecycle::scim::bounds::{
    MEMBERS_MAX, PATCH_FILTER_TERMS_MAX, PATCH_OPERATIONS_MAX, PATCH_STEPS_MAX, TEXT_BYTES_MAX, VALUES_MAX,
};
use doorward_lifecycle::scim::{Asserted, ErrorKind, PatchRequest, ResourceType};
use serde_json::{Value, json};

use crate::world::{ENTERPRISE, ada, body, group, ids, operations, patch, patched, refused, user};

/// What one attribute is after an operation; null is absent.
fn after(operation: &str, name: &str) -> Value {
    patched(&ada(), operation).document.get(name).cloned().unwrap_or(Value::Null)
}

#[test]
fn an_operation_does_what_the_rfc_says() {
    let department = format!("{ENTERPRISE}:department");
    let work = json!({"value": "ada@example.com", "type": "work", "primary": true});
    let home = json!({"value": "ada@home.example", "type": "home"});
    for (operation, name, expect) in [
        // One value.
        (r#"{"op":"add","path":"title","value":"Boss"}"#, "title", json!("Boss")),
        (r#"{"op":"replace","path":"nickName","value":"Al"}"#, "nickName", json!("Al")),
        (r#"{"op":"remove","path":"title"}"#, "title", json!(null)),
        (r#"{"op":"remove","path":"nickName"}"#, "nickName", json!(null)),
        (r#"{"op":"replace","path":"title","value":null}"#, "title", json!(null)),
        (r#"{"op":"add","path":"title","value":null}"#, "title", json!("Analyst")),
        (r#"{"op":"replace","path":"","value":{"title":"Boss"}}"#, "title", json!("Boss")),
        // Parts.
        (
            r#"{"op":"replace","path":"name","value":{"givenName":"A"}}"#,
            "name",
            json!({"givenName": "A", "familyName": "Lovelace"}),
        ),
        (r#"{"op":"remove","path":"name.givenName"}"#, "name", json!({"familyName": "Lovelace"})),
        (
            r#"{"op":"replace","path":"name","value":{"givenName":null,"familyName":null}}"#,
            "name",
            json!(null),
        ),
        (
            r#"{"op":"add","path":"name","value":{}}"#,
            "name",
            json!({"givenName": "Ada", "familyName": "Lovelace"}),
        ),
        (r#"{"op":"replace","path":"name","value":null}"#, "name", json!(null)),
        (r#"{"op":"remove","path":"name"}"#, "name", json!(null)),
        // Lists.
        (
            r#"{"op":"replace","path":"emails","value":[{"value":"x","type":"work"},{"value":"y","type":"work"}]}"#,
            "emails",
            json!([{"value": "x", "type": "work"}, {"value": "y", "type": "work"}]),
        ),
        (
            r#"{"op":"replace","path":"roles","value":[{"value":"a"},{"Value":"a"},{"value":"b"}]}"#,
            "roles",
            json!([{"value": "a"}, {"value": "b"}]),
        ),
        (r#"{"op":"replace","path":"emails","value":[]}"#, "emails", json!(null)),
        (r#"{"op":"remove","path":"emails"}"#, "emails", json!(null)),
        (r#"{"op":"remove","path":"emails[type eq \"work\"]"}"#, "emails", json!([home])),
        (r#"{"op":"remove","path":"emails[type pr]"}"#, "emails", json!(null)),
        (r#"{"op":"remove","path":"emails[type eq \"other\"]"}"#, "emails", json!([work, home])),
        (r#"{"op":"remove","path":"emails[type eq \"home\"].value"}"#, "emails", json!([work])),
        (
            r#"{"op":"remove","path":"emails[type eq \"work\"].primary"}"#,
            "emails",
            json!([{"value": "ada@example.com", "type": "work"}, home]),
        ),
        (
            r#"{"op":"remove","path":"emails.type"}"#,
            "emails",
            json!([{"value": "ada@example.com", "primary": true}, {"value": "ada@home.example"}]),
        ),
        (
            r#"{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"x","display":"X"}}"#,
            "emails",
            json!([work, {"type": "home", "value": "x", "display": "X"}]),
        ),
        (
            r#"{"op":"add","path":"emails[type eq \"home\"]","value":[{"display":"X"}]}"#,
            "emails",
            json!([work, {"value": "ada@home.example", "type": "home", "display": "X"}]),
        ),
        (
            r#"{"op":"add","path":"emails[type eq \"other\"]","value":{"value":"x"}}"#,
            "emails",
            json!([work, home, {"type": "other", "value": "x"}]),
        ),
        (
            r#"{"op":"add","path":"emails","value":{"value":"ada@home.example","type":"home"}}"#,
            "emails",
            json!([work, home]),
        ),
        // One is primary.
        (
            r#"{"op":"add","path":"emails","value":[{"value":"x","type":"other","primary":true}]}"#,
            "emails",
            json!([
                {"value": "ada@example.com", "type": "work", "primary": false},
                home,
                {"value": "x", "type": "other", "primary": true},
            ]),
        ),
        (
            r#"{"op":"replace","path":"emails[type eq \"home\"].primary","value":"True"}"#,
            "emails",
            json!([
                {"value": "ada@example.com", "type": "work", "primary": false},
                {"value": "ada@home.example", "type": "home", "primary": true},
            ]),
        ),
        // The same value again is not another one, and keeps what was known about it.
        (
            r#"{"op":"add","path":"roles","value":[{"value":"admin","primary":true}]}"#,
            "roles",
            json!([{"value": "admin", "display": "Administrator", "primary": true}]),
        ),
        // Extensions.
        (
            r#"{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Looms"}"#,
            &department,
            json!("Looms"),
        ),
        (
            r#"{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","value":{"department":"Looms"}}"#,
            &department,
            json!("Looms"),
        ),
        (
            r#"{"op":"remove","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"}"#,
            ENTERPRISE,
            json!(null),
        ),
        (
            r#"{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","value":null}"#,
            ENTERPRISE,
            json!(null),
        ),
    ] {
        assert_eq!(after(operation, name), expect, "{operation}");
    }
}

#[test]
fn an_operation_that_cannot_be_done_is_refused_by_its_keyword() {
    use ErrorKind::{InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget};
    let long = format!(r#"{{"op":"add","path":"title","value":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX + 1));
    let many: Vec<Value> = (0..=VALUES_MAX).map(|i| json!({"value": i.to_string()})).collect();
    let many = json!({"op": "replace", "path": "roles", "value": many}).to_string();
    let terms = [r#"type eq \"work\""#; PATCH_FILTER_TERMS_MAX + 1].join(" or ");
    let terms = format!(r#"{{"op":"remove","path":"emails[{terms}]"}}"#);
    for (operation, expect) in [
        (&*terms, InvalidFilter),
        (r#"{"op":"remove"}"#, NoTarget),
        (r#"{"op":"remove","path":""}"#, NoTarget),
        (r#"{"op":"remove","path":"userName"}"#, Mutability),
        (r#"{"op":"remove","path":"active"}"#, Mutability),
        (r#"{"op":"remove","path":"urn:ietf:params:scim:schemas:core:2.0:User"}"#, Mutability),
        (r#"{"op":"replace","path":"id","value":"x"}"#, Mutability),
        (r#"{"op":"replace","path":"meta.created","value":"x"}"#, Mutability),
        (r#"{"op":"add","path":"groups","value":[{"value":"g1"}]}"#, Mutability),
        (r#"{"op":"remove","path":"schemas"}"#, Mutability),
        (r#"{"op":"replace","path":"userName","value":null}"#, InvalidValue),
        (r#"{"op":"replace","path":"userName","value":"  "}"#, InvalidValue),
        (r#"{"op":"replace","path":"title","value":["x"]}"#, InvalidValue),
        (r#"{"op":"replace","path":"title"}"#, InvalidValue),
        (r#"{"op":"replace","path":"title","value":"a\u0000b"}"#, InvalidValue),
        (&long, InvalidValue),
        (&many, InvalidValue),
        (r#"{"op":"replace","path":"name","value":"Ada"}"#, InvalidValue),
        (r#"{"op":"add","path":"emails","value":["x@y"]}"#, InvalidValue),
        (r#"{"op":"add","path":"emails[type eq \"work\"]","value":"x@y"}"#, InvalidValue),
        (r#"{"op":"add","value":"x"}"#, InvalidValue),
        (r#"{"op":"add"}"#, InvalidValue),
        (
            r#"{"op":"replace","path":"emails","value":[{"value":"x","primary":true},{"value":"y","primary":true}]}"#,
            InvalidValue,
        ),
        (r#"{"op":"replace","path":"emails.primary","value":true}"#, InvalidValue),
        (r#"{"op":"replace","path":"nothing","value":"x"}"#, InvalidPath),
        (r#"{"op":"replace","path":"name.nothing","value":"x"}"#, InvalidPath),
        (r#"{"op":"replace","path":"title.value","value":"x"}"#, InvalidPath),
        (r#"{"op":"replace","path":"emails[type eq \"work\"].nothing","value":"x"}"#, InvalidPath),
        (r#"{"op":"replace","path":"emails[type eq \"work\"]value","value":"x"}"#, InvalidPath),
        (r#"{"op":"replace","path":"emails[type eq \"work\"","value":"x"}"#, InvalidPath),
        (r#"{"op":"replace","path":"name[givenName pr].familyName","value":"x"}"#, InvalidPath),
        (r#"{"op":"replace","path":"members","value":[]}"#, InvalidPath),
        (r#"{"op":"replace","path":"emails[]","value":{"value":"x"}}"#, InvalidFilter),
        (r#"{"op":"replace","path":"emails[color eq \"x\"].value","value":"x"}"#, InvalidFilter),
        (r#"{"op":"replace","path":"emails[type eq \"other\"]","value":{"value":"x"}}"#, NoTarget),
        (r#"{"op":"add","path":"emails[value eq \"z\"].type","value":"x"}"#, NoTarget),
        (r#"{"op":"replace","path":7,"value":"x"}"#, InvalidSyntax),
        (r#"{"path":"title","value":"x"}"#, InvalidSyntax),
        (r#"{"op":7,"path":"title","value":"x"}"#, InvalidSyntax),
        ("[]", InvalidSyntax),
    ] {
        assert_eq!(refused(&ada(), operation), expect, "{operation}");
    }
    for (operation, expect) in [
        (r#"{"op":"remove","path":"displayName"}"#, Mutability),
        (r#"{"op":"replace","path":"members[value eq \"u1\"].display","value":"x"}"#, Mutability),
        (r#"{"op":"remove","path":"members.value"}"#, Mutability),
        (r#"{"op":"add","path":"members[value eq \"u1\"]","value":{"value":"u2"}}"#, InvalidPath),
        (r#"{"op":"remove","path":"members[type eq \"User\"]"}"#, InvalidFilter),
        (r#"{"op":"add","path":"members","value":[{"display":"x"}]}"#, InvalidValue),
        (r#"{"op":"add","path":"members","value":[{"value":""}]}"#, InvalidValue),
        (r#"{"op":"add","path":"members","value":[{"value":"u1","type":"Printer"}]}"#, InvalidValue),
        (r#"{"op":"add","path":"members","value":[7]}"#, InvalidValue),
        (r#"{"op":"add","path":"members"}"#, InvalidValue),
        (r#"{"op":"replace","path":"userName","value":"x"}"#, InvalidPath),
    ] {
        assert_eq!(refused(&group(r#"{"displayName":"All"}"#), operation), expect, "{operation}");
    }
}

#[test]
fn a_body_that_is_no_patch_is_refused() {
    for (text, expect) in [
        ("{}", ErrorKind::InvalidSyntax),
        (r#"{"Operations":[]}"#, ErrorKind::InvalidSyntax),
        (r#"{"Operations":{}}"#, ErrorKind::InvalidSyntax),
        (r#"{"schemas":["urn:x"],"Operations":[{"op":"remove","path":"title"}]}"#, ErrorKind::InvalidSyntax),
        (r#"{"schemas":7,"Operations":[{"op":"remove","path":"title"}]}"#, ErrorKind::InvalidSyntax),
    ] {
        assert_eq!(patch(&ada(), text).unwrap_err().kind(), expect, "{text}");
    }
    let many = vec![r#"{"op":"remove","path":"title"}"#; PATCH_OPERATIONS_MAX + 1];
    assert_eq!(patch(&ada(), &operations(&many)).unwrap_err().kind(), ErrorKind::TooLarge);
    let many = vec![r#"{"op":"add","path":"title","value":"x"}"#; PATCH_STEPS_MAX + 1];
    assert_eq!(patch(&ada(), &operations(&many)).unwrap_err().kind(), ErrorKind::TooLarge);
    let for_a_group = PatchRequest::read(
        ResourceType::Group,
        body(&operations(&[r#"{"op":"add","path":"displayName","value":"x"}"#])),
    );
    let e = for_a_group.unwrap().apply(&ada(), &Asserted::default()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
}

#[test]
fn one_request_names_only_so_many_members() {
    let stored = group(r#"{"displayName":"All"}"#);
    let adds = |n: usize| {
        let members: Vec<Value> = (0..n).map(|i| json!({"value": i.to_string()})).collect();
        let (first, second) = members.split_at(n / 2);
        let add = |members: &[Value]| json!({"op": "add", "path": "members", "value": members}).to_string();
        patch(&stored, &operations(&[&add(first), &add(second)])).map_err(|e| e.kind())
    };
    assert_eq!(adds(MEMBERS_MAX).unwrap().membership.added().count(), MEMBERS_MAX);
    assert_eq!(adds(MEMBERS_MAX + 1).unwrap_err(), ErrorKind::TooLarge);
}

#[test]
fn a_change_that_changes_nothing_says_so() {
    let stored = ada();
    for operation in [
        r#"{"op":"replace","path":"title","value":"Analyst"}"#,
        r#"{"op":"add","value":{"active":"True","emails":[{"value":"ada@example.com","type":"work"}]}}"#,
        r#"{"op":"remove","path":"nickName"}"#,
        r#"{"op":"remove","path":"emails[type eq \"fax\"]"}"#,
        r#"{"op":"replace","path":"photos","value":[{"value":"http://x"}]}"#,
        r#"{"op":"replace","path":"password","value":"secret"}"#,
        r#"{"op":"replace","value":{"id":"x","schemas":[],"meta":{},"favouriteColor":"x","name.nick":"x"}}"#,
    ] {
        let written = patched(&stored, operation);
        assert!(!written.changed && written.document == stored, "{operation}");
    }
    assert!(patched(&stored, r#"{"op":"add","path":"nickName","value":"A"}"#).changed);
    // Two operations that undo each other are no change either.
    let text = operations(&[
        r#"{"op":"add","path":"nickName","value":"A"}"#,
        r#"{"op":"remove","path":"nickName"}"#,
    ]);
    assert!(!patch(&stored, &text).unwrap().changed);
}

#[test]
fn what_a_source_speaks_of_is_remembered() {
    let written = patch(
        &ada(),
        &operations(&[
            r#"{"op":"replace","value":{"title":"Boss","name.givenName":"A","password":"x","id":"y"}}"#,
            r#"{"op":"remove","path":"manager"}"#,
            r#"{"op":"replace","path":"emails[type eq \"work\"].value","value":"x"}"#,
        ]),
    )
    .unwrap();
    let expect = ["title", "name", "emails", &format!("{ENTERPRISE}:manager")].map(str::to_owned);
    assert_eq!(written.asserted, Asserted::from_iter(expect));
    assert_eq!(written.ignored, ids(&["`password`", "`id`"]));
}

#[test]
fn elements_that_become_the_same_are_one() {
    let text = operations(&[
        r#"{"op":"remove","path":"emails[type eq \"work\"].primary"}"#,
        r#"{"op":"replace","path":"emails.value","value":"x"}"#,
        r#"{"op":"replace","path":"emails.type","value":"work"}"#,
    ]);
    let written = patch(&ada(), &text).unwrap();
    assert_eq!(written.document.get("emails"), Some(&json!([{"value": "x", "type": "work"}])));
}

#[test]
fn a_document_does_not_grow_beyond_its_bound() {
    let mut stored = user(r#"{"userName":"u"}"#);
    let mut refused = None;
    for i in 0..40 {
        let text = json!({"op": "add", "path": "roles", "value": [{"value": format!("{i:02}{}", "x".repeat(4000))}]});
        match crate::world::patch_one(&stored, &text.to_string()) {
            Ok(written) => stored = written.document,
            Err(e) => {
                refused = Some(e.kind());
                break;
            }
        }
    }
    // The list has a bound of its own, so that a PATCH is not large in between either.
    assert_eq!(refused, Some(ErrorKind::InvalidValue));
    let title = format!(r#"{{"op":"add","path":"title","value":"{}"}}"#, "x".repeat(4000));
    assert_eq!(crate::world::refused(&stored, &title), ErrorKind::TooLarge);
    // It can still be made smaller, and somebody too large can still be deactivated at the bound.
    assert!(
        patched(&stored, r#"{"op":"replace","path":"active","value":"False"}"#)
            .document
            .get("active")
            .is_some()
    );
    assert!(patched(&stored, r#"{"op":"remove","path":"roles"}"#).changed);
}
