//! Events that are fetched (RFC 8936).

use doorward_identity::message::{Rejected, Rejection};
use doorward_lifecycle::signals::Poll;
use doorward_lifecycle::signals::poll::{ANSWER_BYTES_MAX, PollError, is_named};
use serde_json::json;

use crate::town::*;

#[test]
fn an_event_is_acknowledged_after_it_is_done_and_until_the_transmitter_knows() {
    let mut poll = Poll::default();
    assert_eq!(poll.request(true), json!({"maxEvents": 100, "returnImmediately": false, "ack": []}));
    let fetched = poll.fetched(br#"{"sets":{"a":"x.y.z","b":"p.q.r"},"moreAvailable":true}"#).unwrap();
    assert_eq!(fetched.sets, [("a".to_owned(), "x.y.z".to_owned()), ("b".to_owned(), "p.q.r".to_owned())]);
    assert!(fetched.more);
    // Nothing is durable yet: nothing is acknowledged.
    assert_eq!(poll.request(false)["ack"], json!([]));
    poll.fetched(b"{}").unwrap();

    poll.done("a".to_owned());
    poll.refused("b".to_owned(), Rejected::new(Rejection::InvalidKey, "alice"));
    let told = json!({"maxEvents": 100, "returnImmediately": true, "ack": ["a"],
        "setErrs": {"b": {"err": "invalid_key", "description": Rejection::InvalidKey.description()}}});
    assert_eq!(poll.request(false), told);
    // The request failed, or its answer was none: it is told again.
    poll.failed();
    assert_eq!(poll.request(false), told);
    assert!(poll.fetched(b"<html>").is_err());
    assert_eq!((poll.request(false), poll.untold()), (told, 2));
    // Done while the request was under way: told with the next.
    poll.done("c".to_owned());
    poll.fetched(br#"{"sets":{}}"#).unwrap();
    assert_eq!((poll.request(false)["ack"].clone(), poll.untold()), (json!(["c"]), 1));
}

#[test]
fn what_was_done_once_is_not_refused_later() {
    let mut poll = Poll::default();
    poll.refused("a".to_owned(), Rejected::new(Rejection::InvalidKey, ""));
    poll.done("a".to_owned());
    poll.refused("a".to_owned(), Rejected::new(Rejection::InvalidRequest, ""));
    let request = poll.request(false);
    assert_eq!((&request["ack"], request.get("setErrs")), (&json!(["a"]), None));
}

#[test]
fn a_request_tells_a_bounded_number_and_the_rest_follows() {
    let mut poll = Poll::default();
    for n in 0..2500 {
        poll.done(format!("{n:04}"));
    }
    for told in [1000, 1000, 500, 0] {
        assert_eq!(poll.request(false)["ack"].as_array().unwrap().len(), told);
        poll.fetched(b"{}").unwrap();
    }
    assert_eq!(poll.untold(), 0);
}

#[test]
fn an_answer_that_is_none_is_refused() {
    let many: serde_json::Map<String, serde_json::Value> =
        (0..101).map(|n| (n.to_string(), json!("x"))).collect();
    let too_many = json!({ "sets": many }).to_string();
    let too_large = format!("{{\"sets\":{{\"a\":\"{}\"}}}}", "x".repeat(ANSWER_BYTES_MAX));
    for body in [&too_many, &too_large] {
        assert_eq!(Poll::default().fetched(body.as_bytes()), Err(PollError::TooLarge));
    }
    for (body, says) in [
        ("", "cannot be read"),
        ("[]", "not a JSON object"),
        (r#"{"sets":[]}"#, "`sets` is not an object"),
        (r#"{"sets":{"a":{}}}"#, "the event `a` is not a text"),
        (r#"{"sets":{"":"x"}}"#, "an id is empty"),
        (r#"{"sets":{"a":"x","a":"y"}}"#, "comes twice"),
        (r#"{"moreAvailable":"yes"}"#, "`moreAvailable`"),
    ] {
        let refused = Poll::default().fetched(body.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(says), "{body}: {refused}");
    }
}

#[tokio::test]
async fn an_event_comes_under_its_own_name() {
    let town = Town::new();
    let claims = event("e-1", &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"), &json!({}));
    let event = town.verifier.security_event("okta", &sign("secevent+jwt", &claims), NOW).await.unwrap();
    assert!(is_named("e-1", &event).is_ok());
    assert_eq!(is_named("e-2", &event).unwrap_err().code, Rejection::InvalidRequest);
}
