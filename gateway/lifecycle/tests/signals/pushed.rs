//! Push delivery (RFC 8935): the envelope of the request, and what is answered.

use doorward_lifecycle::signals::request::{BODY_BYTES_MAX, Request};
use doorward_lifecycle::signals::{Act, Outcome};
use doorward_model::Target;
use serde_json::{Value, json};

use crate::town::*;

fn good() -> String {
    let subject = iss_sub(CORP, "alice");
    sign("secevent+jwt", &event("e-1", &subject, &format!("{CAEP}session-revoked"), &json!({})))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn err(body: Option<&Value>) -> &str {
    body.and_then(|b| b["err"].as_str()).unwrap_or("")
}

#[tokio::test]
async fn a_good_event_is_taken_and_has_its_effect() {
    for token in [PUSH_TOKEN, "the-next-push-token-of-the-stream-0123456789"] {
        let mut town = Town::new();
        let body = good();
        let reply = town.push("okta", &delivery(&bearer(token), &format!("{body}\r\n"))).await;
        assert_eq!((reply.status, &reply.body), (202, &None));
        assert!(reply.headers.contains(&("cache-control", "no-store".to_owned())));
        let acts = &town.verdicts[0].outcome;
        assert_eq!(*acts, Outcome::Acts(vec![Act::End(Target::User(user("corp:alice")))]));
    }
}

#[tokio::test]
async fn s9_a_message_that_comes_twice_has_one_effect() {
    let mut town = Town::new();
    let (body, token) = (good(), bearer(PUSH_TOKEN));
    for _ in 0..3 {
        assert_eq!(town.push("okta", &delivery(&token, &body)).await.status, 202);
    }
    // The same id, signed anew, is the same message.
    assert_eq!(town.push("okta", &delivery(&token, &good())).await.status, 202);
    assert_eq!(town.verdicts.len(), 1);
    let other = sign(
        "secevent+jwt",
        &event("e-2", &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"), &json!({})),
    );
    town.push("okta", &delivery(&token, &other)).await;
    assert_eq!(town.verdicts.len(), 2);
}

#[tokio::test]
async fn s10_whoever_pushes_has_a_token_where_the_stream_has_some() {
    let mut town = Town::new();
    let body = good();
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer push-token-of-the-stream-0123456789abcde",
        "Bearer push-token-of-the-stream-0123456789abcdef ",
        "Basic push-token-of-the-stream-0123456789abcdef",
        "push-token-of-the-stream-0123456789abcdef",
    ] {
        let reply = town.push("okta", &delivery(authorization, &body)).await;
        assert_eq!(
            (reply.status, err(reply.body.as_ref())),
            (400, "authentication_failed"),
            "{authorization}"
        );
    }
    let none = Request { authorization: None, ..delivery("", &body) };
    assert_eq!(err(town.push("okta", &none).await.body.as_ref()), "authentication_failed");
    assert!(town.verdicts.is_empty());
    let lower = format!("bearer  {PUSH_TOKEN}");
    assert_eq!(town.push("okta", &delivery(&lower, &body)).await.status, 202);
    // The stream `google` has no token: its signature is its proof.
    let google = json!({"iss": "https://accounts.google.example/", "aud": "client-2", "iat": NOW_SECONDS, "jti": "g-1",
        "events": {format!("{RISC}sessions-revoked"): {"subject": {"subject_type": "iss-sub", "iss": "https://accounts.google.example/", "sub": "1"}}}});
    let google = sign("secevent+jwt", &google);
    let open = Request { authorization: None, ..delivery("", &google) };
    assert_eq!(town.push("google", &open).await.status, 202);
}

#[tokio::test]
async fn s11_and_s16_other_types_methods_and_sizes_are_refused() {
    let mut town = Town::new();
    let (body, token) = (good(), bearer(PUSH_TOKEN));
    for content_type in
        [None, Some(""), Some("application/json"), Some("application/jwt"), Some("application/secevent+jwtx")]
    {
        let reply = town.push("okta", &Request { content_type, ..delivery(&token, &body) }).await;
        assert_eq!((reply.status, err(reply.body.as_ref())), (400, "invalid_request"), "{content_type:?}");
    }
    for method in ["GET", "PUT", "post", ""] {
        let reply = town.push("okta", &Request { method, ..delivery(&token, &body) }).await;
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.headers.contains(&("allow", "POST".to_owned())));
    }
    for bytes in [&b"\xff\xfe"[..], b"", &vec![b'x'; BODY_BYTES_MAX + 1]] {
        let reply = town.push("okta", &Request { body: bytes, ..delivery(&token, "") }).await;
        assert_eq!(
            (reply.status, err(reply.body.as_ref())),
            (400, "invalid_request"),
            "{} bytes",
            bytes.len()
        );
    }
    let with_charset =
        Request { content_type: Some("Application/SecEvent+JWT; charset=utf-8"), ..delivery(&token, &body) };
    assert_eq!(town.push("okta", &with_charset).await.status, 202);
    assert_eq!(town.verdicts.len(), 1);
}

#[tokio::test]
async fn what_is_answered_tells_a_stranger_nothing() {
    let mut town = Town::new();
    let token = bearer(PUSH_TOKEN);
    for (claims, code) in [
        (json!({"iss": LAB}), "invalid_issuer"),
        (json!({"aud": "elsewhere"}), "invalid_audience"),
        (json!({"exp": NOW_SECONDS}), "invalid_request"),
        (json!({"events": {format!("{CAEP}credential-change"): {}}}), "invalid_request"),
        (json!({"sub_id": {"format": "email"}}), "invalid_request"),
        (json!({"sub_id": null}), "invalid_request"),
    ] {
        let mut all = event("e-1", &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"), &json!({}));
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let reply = town.push("okta", &delivery(&token, &sign("secevent+jwt", &all))).await;
        assert_eq!((reply.status, err(reply.body.as_ref())), (400, code), "{claims}");
        let said = reply.body.unwrap()["description"].as_str().unwrap().to_owned();
        assert!(!said.contains("okta") && !said.contains("corp") && !said.contains("elsewhere"), "{said}");
    }
    assert!(town.verdicts.is_empty());
}

#[tokio::test]
async fn s15_a_verification_answers_what_was_asked() {
    let mut town = Town::new();
    let token = bearer(PUSH_TOKEN);
    let verification = |id: &str, stream: &str, payload: Value| {
        let subject = json!({"format": "opaque", "id": stream});
        sign("secevent+jwt", &event(id, &subject, &format!("{SSF}verification"), &payload))
    };
    let watch = town.stream("okta").contact().watch();
    town.health.ask("random-1", NOW);
    for (id, stream, state, code) in
        [("v-1", "stream-1", "random-2", "invalid_state"), ("v-2", "stream-2", "random-1", "invalid_request")]
    {
        let reply =
            town.push("okta", &delivery(&token, &verification(id, stream, json!({"state": state})))).await;
        assert_eq!((reply.status, err(reply.body.as_ref())), (400, code));
        assert_eq!(town.health.condition(NOW, watch).as_str(), "new");
    }
    let good = verification("v-3", "stream-1", json!({"state": "random-1"}));
    assert_eq!(town.push("okta", &delivery(&token, &good)).await.status, 202);
    assert_eq!(town.health.condition(NOW, watch).as_str(), "healthy");

    let updated = event(
        "u-1",
        &json!({"format": "opaque", "id": "stream-1"}),
        &format!("{SSF}stream-updated"),
        &json!({"status": "disabled", "reason": "license"}),
    );
    assert_eq!(town.push("okta", &delivery(&token, &sign("secevent+jwt", &updated))).await.status, 202);
    assert_eq!(town.health.condition(NOW, watch).as_str(), "disabled");
    assert!(town.health.condition(NOW, watch).is_alarming());
}
