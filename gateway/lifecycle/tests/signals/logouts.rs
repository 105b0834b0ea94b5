//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0) and global token revocation: the
//! requests, and what is answered. The vectors of the token itself are in the crate `identity`.

use doorward_identity::message::{MessageError, MessageKind, Rejected, Rejection};
use doorward_lifecycle::signals::answer::{Asked, Reply, Took};
use doorward_lifecycle::signals::direct::{of_call, of_logout};
use doorward_lifecycle::signals::request::{self, BODY_BYTES_MAX, Request, RequestError};
use doorward_lifecycle::signals::seen::kept_until;
use doorward_lifecycle::signals::subject::{Name, Subject};
use doorward_lifecycle::signals::{Act, MessageId, Remember, Sight};
use doorward_model::Target;
use serde_json::json;

use crate::town::*;

const FORM: &str = "application/x-www-form-urlencoded";

fn form(body: &str) -> Request<'_> {
    Request { method: "POST", content_type: Some(FORM), authorization: None, body: body.as_bytes() }
}

fn logout_token(id: &str) -> String {
    sign(
        "logout+jwt",
        &json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 120, "jti": id, "sub": "alice",
            "sid": "s-alice", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
    )
}

#[tokio::test]
async fn a_logout_request_is_a_form_with_one_token() {
    let town = Town::new();
    let token = logout_token("l-1");
    for body in [
        format!("logout_token={token}"),
        format!("x=1&logout_token={token}&y"),
        format!("logout_token={}", token.replace('.', "%2E").replace('_', "%5f")),
        format!("logout%5Ftoken={token}"),
    ] {
        let read = request::logout(&form(&body)).unwrap();
        let out = town.verifier.logout("corp", &read, NOW).await.unwrap();
        assert_eq!(out.session().unwrap().to_string(), "corp:s-alice");
    }
}

#[test]
fn l8_l9_another_method_or_two_tokens_are_refused() {
    let token = logout_token("l-1");
    let body = format!("logout_token={token}");
    for method in ["GET", "HEAD", "PUT", "post"] {
        assert_eq!(
            request::logout(&Request { method, ..form(&body) }),
            Err(RequestError::NotPost),
            "{method}"
        );
    }
    let reply = Reply::only_post();
    assert!(reply.status == 405 && reply.headers.contains(&("allow", "POST".to_owned())));
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    for (request, says) in [
        (form(&format!("{body}&{body}")), "more than one"),
        (form(&format!("{body}&logout%5ftoken=x")), "more than one"),
        (form(""), "no `logout_token`"),
        (form("token=x"), "no `logout_token`"),
        (form("logout_token%zz=x"), "not a form"),
        (form(&large), "larger than the limit"),
        (Request { content_type: Some("application/json"), ..form(&body) }, "content type"),
        (Request { content_type: None, ..form(&body) }, "content type"),
        (Request { body: b"logout_token=\xff", ..form("") }, "not text"),
    ] {
        let refused = request::logout(&request).unwrap_err().to_string();
        assert!(refused.contains(says) && !refused.contains(&token), "{refused}");
    }
}

#[tokio::test]
async fn l6_a_logout_token_that_comes_twice_has_one_effect() {
    let mut town = Town::new();
    let mut effects = 0;
    for _ in 0..3 {
        let out = town.verifier.logout("corp", &logout_token("l-1"), NOW).await.unwrap();
        let id = MessageId::new(out.issuer(), out.id());
        if town.seen.look(&id) == Sight::First {
            effects += 1;
            town.seen.keep(id, kept_until(NOW, Some(out.expires_at())), NOW);
        }
    }
    assert_eq!(effects, 1);
}

#[tokio::test]
async fn l7_an_id_token_logs_nobody_out() {
    let town = Town::new();
    let id_token = json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 120, "sub": "alice",
        "jti": "i-1", "sid": "s-alice", "nonce": "n", "auth_time": NOW_SECONDS});
    let refused = town.verifier.logout("corp", &sign("JWT", &id_token), NOW).await.unwrap_err();
    let reply = Reply::refused(Asked::Message(MessageKind::Logout), &refused);
    assert_eq!((reply.status, reply.body.unwrap()["error"].as_str()), (400, Some("invalid_request")));
}

fn call(authorization: Option<&'static str>, body: &'static str) -> Request<'static> {
    Request { method: "POST", content_type: Some("application/json"), authorization, body: body.as_bytes() }
}

#[tokio::test]
async fn a_revocation_call_names_one_subject_and_proves_who_calls() {
    let town = Town::new();
    let claims = json!({"iss": CORP, "aud": "https://door.corp.example/revoke", "iat": NOW_SECONDS, "nbf": NOW_SECONDS - 300,
        "exp": NOW_SECONDS + 300, "jti": "r-1", "sub": "0oa1"});
    let token = sign("global-token-revocation+jwt", &claims);
    let authorization = format!("Bearer {token}");
    for body in [
        r#"{"sub_id":{"format":"email","email":"alice@corp.example"}}"#,
        r#"{"subject":{"format":"email","email":"alice@corp.example"},"reason":"x"}"#,
    ] {
        let request = Request { authorization: Some(&authorization), ..call(None, body) };
        let (bearer, subject) = request::revocation(&request).unwrap();
        assert_eq!(subject, Subject::Name(Name::Email("alice@corp.example".to_owned())));
        let caller = town.verifier.revocation_call("okta-logout", bearer, NOW).await.unwrap();
        assert_eq!((caller.sender().as_str(), caller.id()), ("okta-logout", "r-1"));
    }
    let good = r#"{"sub_id":{"format":"opaque","id":"x"}}"#;
    for (request, code, says) in [
        (call(None, good), Rejection::AuthenticationFailed, "no bearer token"),
        (call(Some("Basic eA=="), good), Rejection::AuthenticationFailed, "no bearer token"),
        (call(Some("Bearer "), good), Rejection::AuthenticationFailed, "no bearer token"),
        (
            Request { content_type: Some(FORM), ..call(Some("Bearer x"), good) },
            Rejection::InvalidRequest,
            "content type",
        ),
        (call(Some("Bearer x"), "{"), Rejection::InvalidRequest, "the body"),
        (call(Some("Bearer x"), "[]"), Rejection::InvalidRequest, "not a JSON object"),
        (call(Some("Bearer x"), "{}"), Rejection::InvalidRequest, "no `sub_id`"),
        (call(Some("Bearer x"), r#"{"sub_id":"alice"}"#), Rejection::InvalidRequest, "not an object"),
        (
            call(Some("Bearer x"), r#"{"sub_id":{"format":"email"}}"#),
            Rejection::InvalidRequest,
            "needs the e-mail address",
        ),
        (
            call(Some("Bearer x"), r#"{"sub_id":{"format":"opaque","id":"x"},"subject":{}}"#),
            Rejection::InvalidRequest,
            "both",
        ),
        (
            call(Some("Bearer x"), r#"{"sub_id":{"format":"opaque","id":"x"},"sub_id":{}}"#),
            Rejection::InvalidRequest,
            "comes twice",
        ),
    ] {
        match request::revocation(&request) {
            Err(RequestError::Rejected(r)) => {
                assert!(
                    r.code == code && (r.detail.contains(says) || says == "needs the e-mail address"),
                    "{r}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        request::revocation(&Request { method: "GET", ..call(Some("Bearer x"), good) }),
        Err(RequestError::NotPost)
    );
}

/// The whole table of answers.
#[test]
fn each_kind_has_its_answers() {
    let kinds = [
        Asked::Message(MessageKind::SecurityEvent),
        Asked::Message(MessageKind::Logout),
        Asked::Message(MessageKind::RevocationCall),
        Asked::Kill,
    ];
    let status = |reply: Reply| {
        assert!(reply.headers.contains(&("cache-control", "no-store".to_owned())));
        reply.status
    };
    for (took, answers) in [
        (Took::Done, [202, 200, 204, 200]),
        (Took::NoOne, [202, 200, 404, 404]),
        (Took::CannotBeDone, [202, 200, 422, 422]),
    ] {
        assert_eq!(kinds.map(|k| status(Reply::took(k, took))), answers, "{took:?}");
    }
    for (code, answers) in [
        (Rejection::InvalidRequest, [400, 400, 400, 400]),
        (Rejection::InvalidKey, [400, 400, 401, 401]),
        (Rejection::InvalidIssuer, [400, 400, 401, 401]),
        (Rejection::InvalidAudience, [400, 400, 401, 401]),
        (Rejection::AuthenticationFailed, [400, 400, 401, 401]),
        (Rejection::AccessDenied, [400, 400, 403, 403]),
        (Rejection::InvalidState, [400, 400, 400, 400]),
    ] {
        let why: MessageError = Rejected::new(code, "alice@corp.example").into();
        assert_eq!(kinds.map(|k| status(Reply::refused(k, &why))), answers, "{code:?}");
        for kind in kinds {
            let told = format!("{:?}", Reply::refused(kind, &why));
            assert!(!told.contains("alice"), "what the operator reads is not told: {told}");
        }
    }
    let later = MessageError::KeysUnavailable { detail: "alice@corp.example".to_owned() };
    for kind in kinds {
        let reply = Reply::refused(kind, &later);
        assert!(reply.headers.iter().any(|(name, _)| *name == "retry-after"));
        assert!(!format!("{reply:?}").contains("alice"));
        assert_eq!(status(reply), 503);
    }
}

#[tokio::test]
async fn a_logout_ends_one_sign_in_or_all_at_that_provider_and_a_revocation_call_all_everywhere() {
    let town = Town::new();
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let mut claims = json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 120, "jti": "l", "sub": "bob",
        "sid": "s-bob", "events": event});
    let out = town.verifier.logout("corp", &sign("logout+jwt", &claims), NOW).await.unwrap();
    assert_eq!(of_logout(&out), [Act::End(Target::Session("corp:s-bob".parse().unwrap()))]);
    claims.as_object_mut().unwrap().remove("sid");
    let out = town.verifier.logout("corp", &sign("logout+jwt", &claims), NOW).await.unwrap();
    assert_eq!(of_logout(&out), [Act::End(Target::User(user("corp:bob")))]);

    let caller = town.verifier.sender("okta-logout", MessageKind::RevocationCall).unwrap();
    let called = |subject: serde_json::Value| {
        let subject = Subject::read(subject.as_object().unwrap()).unwrap();
        of_call(&subject, caller, &town.directory).map(|d| d.acts)
    };
    let both = ["corp:bob", "lab:bob"].map(|id| Act::End(Target::User(user(id)))).to_vec();
    assert_eq!(called(iss_sub(CORP, "bob")), Ok(both));
    for nobody in [iss_sub(LAB, "bob"), json!({"format": "email", "email": "mallory@corp.example"})] {
        assert_eq!(called(nobody), Err(Took::NoOne));
    }
}
