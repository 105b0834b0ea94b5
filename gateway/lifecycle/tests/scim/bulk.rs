//! Bulk requests: what is read, in which order it is done, how it is answered.

use std::collections::BTreeMap;

use doorward_lifecycle::scim::bounds::BULK_OPERATIONS_MAX;
use doorward_lifecycle::scim::bulk::{BulkAnswer, BulkMethod, BulkOrder, BulkRequest};
use doorward_lifecycle::scim::{ErrorKind, ResourceType, ScimError};
use serde_json::{Value, json};

use crate::world::nothing;

fn read(operations: &Value) -> Result<BulkRequest, ScimError> {
    let request = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "failOnErrors": 2,
        "Operations": operations,
    });
    BulkRequest::read(request.to_string().as_bytes())
}

/// A group that refers to others.
fn makes(name: &str, refers: &[&str]) -> Value {
    let members: Vec<Value> = refers.iter().map(|r| json!({"value": format!("bulkId:{r}")})).collect();
    json!({"method": "POST", "path": "/Groups", "bulkId": name, "data": {"displayName": name, "members": members}})
}

#[test]
fn references_come_after_what_they_refer_to() {
    for (operations, order, circular) in [
        (json!([makes("a", &[]), makes("b", &[])]), vec![0, 1], vec![]),
        (json!([makes("a", &["b"]), makes("b", &[])]), vec![1, 0], vec![]),
        (
            json!([makes("a", &["c"]), makes("b", &["a"]), makes("c", &[]), makes("d", &[])]),
            vec![2, 0, 1, 3],
            vec![],
        ),
        (
            json!([makes("a", &["b"]), makes("b", &["a"]), makes("c", &["a"]), makes("d", &[])]),
            vec![3],
            vec![0, 1, 2],
        ),
        (json!([makes("a", &["a"])]), vec![], vec![0]),
        (
            json!([
                {"method": "patch", "path": "/Groups/bulkId:a", "data": {"Operations": [
                    {"op": "add", "path": "members", "value": [{"value": "bulkId:u"}]}
                ]}},
                makes("a", &[]),
                {"method": "DELETE", "path": "/Users/42"},
                {"method": "Post", "path": "/Users", "bulkId": "u", "data": {"userName": "u"}},
            ]),
            vec![1, 2, 3, 0],
            vec![],
        ),
    ] {
        assert_eq!(read(&operations).unwrap().order(), BulkOrder { order, circular }, "{operations}");
    }
}

#[test]
fn references_are_replaced_by_the_ids_that_were_made() {
    let request = read(&json!([
        makes("a", &["u"]),
        {"method": "PUT", "path": "/Groups/bulkId:a", "version": "W/\"3\"", "data": {"displayName": "x", "members": [{"value": "bulkId:u"}]}},
    ]))
    .unwrap();
    let made: BTreeMap<String, String> =
        [("u", "id-u"), ("a", "id-a")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let put = &request.operations()[1];
    assert_eq!((put.method, put.kind), (BulkMethod::Put, ResourceType::Group));
    assert!(put.precondition.may_change(3).is_ok() && put.precondition.may_change(4).is_err());
    let resolved = put.resolved(&made).unwrap();
    assert_eq!(resolved.id.as_deref(), Some("id-a"));
    assert_eq!(resolved.data.unwrap()["members"], json!([{"value": "id-u"}]));
    let e = put.resolved(&nothing()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidValue);
}

#[test]
fn the_answer_names_what_was_done_and_what_was_not() {
    let request = read(&json!([
        {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"userName": "u"}},
        {"method": "POST", "path": "/Users", "bulkId": "v", "data": {"userName": "u"}},
        {"method": "DELETE", "path": "/Users/42"},
    ]))
    .unwrap();
    assert!(!request.stops_after(1) && request.stops_after(2));
    let answers = [
        (0, BulkAnswer { status: 201, location: Some("/Users/1".to_owned()), version: Some(1), error: None }),
        (1, BulkAnswer::failed(ScimError::new(ErrorKind::Uniqueness, "`userName` is taken"), None)),
    ];
    let body = request.response(&answers.into());
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
    assert_eq!(
        body["Operations"],
        json!([
            {"method": "POST", "bulkId": "u", "location": "/Users/1", "version": "W/\"1\"", "status": "201"},
            {"method": "POST", "bulkId": "v", "status": "409", "response": {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "status": "409", "scimType": "uniqueness", "detail": "`userName` is taken",
            }},
        ])
    );
}

#[test]
fn a_bad_bulk_request_is_refused_and_tells_no_password() {
    for bad in [
        json!([{"method": "GET", "path": "/Users/1"}]),
        json!([{"method": "POST", "path": "/Users", "data": {}}]),
        json!([{"method": "POST", "path": "/Users/1", "bulkId": "a", "data": {}}]),
        json!([{"method": "POST", "path": "/Printers", "bulkId": "a", "data": {}}]),
        json!([{"method": "PUT", "path": "/Users", "data": {}}]),
        json!([{"method": "PUT", "path": "/Users/", "data": {}}]),
        json!([{"method": "PUT", "path": "/Users/1/2", "data": {}}]),
        json!([{"method": "PUT", "path": "/Users/1"}]),
        json!([{"method": "PUT", "path": "/Usersx/1", "data": {}}]),
        json!([{"method": "PUT", "path": 7, "data": {}}]),
        json!([{"method": "DELETE", "path": "/Users/1", "version": "3"}]),
        json!([makes("a", &[]), makes("a", &[])]),
        json!([7]),
        json!({}),
    ] {
        assert_eq!(read(&bad).unwrap_err().status(), 400, "{bad}");
    }
    let many = vec![json!({"method": "DELETE", "path": "/Users/1"}); BULK_OPERATIONS_MAX + 1];
    assert_eq!(read(&json!(many)).unwrap_err().kind(), ErrorKind::TooLarge);
    let secret =
        read(&json!([{"method": "POST", "path": "/Users", "bulkId": "u", "data": {"password": "hunter2"}}]));
    assert!(!format!("{:?}", secret.unwrap()).contains("hunter2"));
}
