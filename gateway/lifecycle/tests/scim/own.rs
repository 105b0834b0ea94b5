//! Our own list (P1–P11), as far as it shows without HTTP.
#![expect(clippy::disallowed_methods, reason = "that something ends fast is measured")]

use std::time::{Duration, Instant};

use doorward_lifecycle::scim::bounds::{
    BODY_BYTES_MAX, FILTER_BYTES_MAX, PATCH_FILTER_TERMS_MAX, PATCH_STEPS_MAX,
};
use doorward_lifecycle::scim::bulk::BulkRequest;
use doorward_lifecycle::scim::etag::Precondition;
use doorward_lifecycle::scim::list::Query;
use doorward_lifecycle::scim::{ErrorKind, Filter, Projection, ResourceType, json as wire};
use serde_json::{Value, json};

use crate::world::{ID, ada, group, ids, operations, patch, patched, resource, user};

#[test]
fn p1_a_bad_second_operation_undoes_the_first() {
    let stored = ada();
    let before = stored.clone();
    for bad in [
        r#"{"op":"replace","path":"emails[type eq \"other\"]","value":{"value":"x"}}"#,
        r#"{"op":"replace","path":"active","value":1}"#,
        r#"{"op":"remove","path":"nothing"}"#,
    ] {
        let text = operations(&[r#"{"op":"replace","path":"title","value":"Boss"}"#, bad]);
        assert!(patch(&stored, &text).is_err(), "{bad}");
        assert_eq!(stored, before);
    }
}

#[test]
fn p2_a_stale_version_is_412() {
    let condition = Precondition::read(Some("W/\"6\""), None).unwrap();
    let e = condition.may_change(7).unwrap_err();
    assert_eq!((e.status(), e.body()["status"].as_str()), (412, Some("412")));
    assert!(condition.may_change(6).is_ok());
}

#[test]
fn p3_two_additions_at_once_are_both_there() {
    let stored = group(r#"{"displayName":"All"}"#);
    let add = |id: &str| {
        patched(&stored, &format!(r#"{{"op":"add","path":"members","value":[{{"value":"{id}"}}]}}"#))
            .membership
    };
    let (a, b) = (add("a"), add("b"));
    // Neither names the other's member, so either order gives both.
    let before = ids(&["x"]);
    assert_eq!(b.apply(&a.apply(&before)), ids(&["a", "b", "x"]));
    assert_eq!(a.apply(&b.apply(&before)), ids(&["a", "b", "x"]));
}

#[test]
fn p4_a_monstrous_filter_is_refused_fast() {
    let begun = Instant::now();
    let terms = vec!["title pr"; 10_000].join(" or ");
    for monster in [
        terms.clone(),
        format!("{}title pr{}", "(".repeat(1000), ")".repeat(1000)),
        format!("{}title pr{}", "not (".repeat(1000), ")".repeat(1000)),
        "(".repeat(FILTER_BYTES_MAX),
        "emails[".repeat(2000),
        format!("title eq \"{}", "\\\"".repeat(8000)),
        format!("title eq \"{}\"", "x".repeat(FILTER_BYTES_MAX)),
        vec!["title pr"; 201].join(" and "),
    ] {
        let e = Filter::parse(ResourceType::User, &monster).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidFilter);
        assert!(e.detail().len() < 300, "{e}");
    }
    assert!(Filter::parse(ResourceType::User, &vec!["title pr"; 200].join(" or ")).is_ok());
    assert!(
        Filter::parse(ResourceType::User, &format!("{}title pr{}", "(".repeat(20), ")".repeat(20))).is_ok()
    );
    // The same holds of what stands in the brackets of a PATCH: as much as its bounds let through.
    let large: Vec<Value> =
        (0..12).map(|i| json!({"value": format!("{i:02}{}", "Ä".repeat(1900))})).collect();
    let stored = user(&json!({"userName": "u", "roles": large}).to_string());
    let terms = [r#"value co \"ÄB\""#; PATCH_FILTER_TERMS_MAX].join(" or ");
    let remove = format!(r#"{{"op":"remove","path":"roles[{terms}]"}}"#);
    let written = patch(&stored, &operations(&vec![remove.as_str(); PATCH_STEPS_MAX])).unwrap();
    assert!(!written.changed);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn p5_an_old_name_says_nothing_about_a_new_person() {
    // The client's id is not ours: the document carries none, and the service draws a new one.
    let text = r#"{"userName":"back@example.com","id":"0199c0de-0000-7000-8000-00000000dead","active":true}"#;
    let document = user(text);
    assert_eq!(document.to_json(), json!({"userName": "back@example.com", "active": true}));
    assert_eq!(resource(&document)["id"], ID);
}

#[test]
fn p6_a_filter_cannot_reach_beyond_the_published_attributes() {
    for text in [r#"password eq "x""#, "password pr", r#"tenant eq "other""#, r#"connection eq "other""#] {
        assert_eq!(
            Filter::parse(ResourceType::User, text).unwrap_err().kind(),
            ErrorKind::InvalidFilter,
            "{text}"
        );
    }
}

#[test]
fn p7_both_projections_at_once_are_refused() {
    let e = Projection::read(Some("userName"), Some("emails")).unwrap_err();
    assert_eq!((e.status(), e.kind()), (400, ErrorKind::InvalidValue));
    assert!(Query::from_url("attributes=userName&excludedAttributes=emails").is_err());
    assert!(Projection::read(Some("userName"), Some("")).is_ok());
}

#[test]
fn p8_a_count_of_zero_asks_for_the_total() {
    for (query, start_index, count) in [
        ("count=0", 1, 0),
        ("count=-5&startIndex=-3", 1, 0),
        ("startIndex=0", 1, 100),
        ("count=100000", 1, 200),
        ("startIndex=101&count=50", 101, 50),
    ] {
        let page = Query::from_url(query).unwrap().page;
        assert_eq!((page.start_index, page.count), (start_index, count), "{query}");
    }
    let answer = Query::from_url("count=0").unwrap().page.response(42, Vec::new());
    assert_eq!((answer["totalResults"].as_u64(), answer["itemsPerPage"].as_u64()), (Some(42), Some(0)));
    for bad in ["count=ten", "startIndex=1.5", "count=99999999999999999999"] {
        assert_eq!(Query::from_url(bad).unwrap_err().kind(), ErrorKind::InvalidValue, "{bad}");
    }
}

#[test]
fn p9_a_body_beyond_the_bound_is_413() {
    let large = format!(r#"{{"userName":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    let e = wire::object(large.as_bytes()).unwrap_err();
    assert_eq!((e.status(), e.body()["status"].as_str()), (413, Some("413")));
    assert_eq!(BulkRequest::read(large.as_bytes()).unwrap_err().status(), 413);
}

#[test]
fn p10_a_key_that_comes_twice_is_refused() {
    for text in [
        r#"{"userName":"a","userName":"b"}"#,
        r#"{"userName":"a","USERNAME":"b"}"#,
        r#"{"userName":"a","active":true,"\u0061ctive":false}"#,
        r#"{"userName":"a","name":{"givenName":"x","givenname":"y"}}"#,
        r#"{"Operations":[{"op":"add","op":"remove","path":"title"}]}"#,
    ] {
        assert_eq!(wire::object(text.as_bytes()).unwrap_err().kind(), ErrorKind::InvalidSyntax, "{text}");
    }
    // Two spellings that only the schema knows to be one name.
    for text in [
        r#"{"userName":"a","urn:ietf:params:scim:schemas:core:2.0:User:userName":"b"}"#,
        r#"{"userName":"a","name":{"givenName":"x"},"name.givenName":"y"}"#,
    ] {
        let body = wire::object(text.as_bytes()).unwrap();
        let e = doorward_lifecycle::scim::write::create(ResourceType::User, body).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidSyntax, "{text}");
    }
}

#[test]
fn p11_a_deactivation_is_told_apart_from_every_other_change() {
    let stored = ada();
    let written = patched(&stored, r#"{"op":"replace","value":{"active":false,"title":"Left"}}"#);
    let changed = written.document.differences(&stored);
    assert_eq!(changed, ids(&["active", "title"]));
    assert!(stored.active() && !written.document.active());
    // What is absent, or is not a boolean, is no access.
    for damaged in
        [r#"{"userName":"u"}"#, r#"{"userName":"u","active":"true"}"#, r#"{"userName":"u","active":1}"#]
    {
        let value: Value = serde_json::from_str(damaged).unwrap();
        let document = doorward_lifecycle::scim::Document::from_json(ResourceType::User, value).unwrap();
        assert!(!document.active(), "{damaged}");
    }
}
