//! The kill webhook: signed as Standard Webhooks has it.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_identity::message::Rejection;
use doorward_lifecycle::signals::direct::of_kill;
use doorward_lifecycle::signals::request::{BODY_BYTES_MAX, Request, RequestError};
use doorward_lifecycle::signals::resolve::{Resolution, Voice, resolve};
use doorward_lifecycle::signals::subject::Member;
use doorward_lifecycle::signals::webhook::Signed;
use doorward_lifecycle::signals::{Act, KillAction, KillOrder, Took};
use doorward_model::{Target, UnixMillis};

use crate::town::*;

const BODY: &str =
    r#"{"action":"hold","subject":{"format":"iss_sub","iss":"corp","sub":"alice"},"reason":"case 4711"}"#;

fn signature(key: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

fn post(body: &str) -> Request<'_> {
    Request {
        method: "POST",
        content_type: Some("application/json"),
        authorization: None,
        body: body.as_bytes(),
    }
}

/// A call of a webhook with a signature of that key, made at that time.
fn called(webhook: &str, key: &[u8], id: &str, seconds: i64, body: &str) -> Result<KillOrder, RequestError> {
    let timestamp = seconds.to_string();
    let signature = signature(key, id, &timestamp, body);
    let signed = Signed { id: Some(id), timestamp: Some(&timestamp), signature: Some(&signature) };
    KillOrder::read(&post(body), &signed, Town::new().webhook(webhook), NOW)
}

fn refused(call: Result<KillOrder, RequestError>) -> (Rejection, String) {
    match call {
        Err(RequestError::Rejected(r)) => (r.code, r.detail),
        other => panic!("{other:?}"),
    }
}

/// The example of the Standard Webhooks specification, so that both sides mean the same.
#[test]
fn the_signature_is_that_of_the_specification() {
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let made = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
    assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn an_order_is_taken_with_each_of_the_keys() {
    for key in [&SOAR_KEY[..], &SOAR_NEXT] {
        let order = called("soar", key, "evt_1", NOW_SECONDS, BODY).unwrap();
        assert_eq!((order.webhook().as_str(), order.id(), order.reason()), ("soar", "evt_1", "case 4711"));
        assert_eq!((order.action(), order.sent_at()), (KillAction::Hold, NOW));
        let town = Town::new();
        let voice = Voice::Webhook(town.webhook("soar"));
        let found = resolve(order.subject(), Member::User, &town.directory, voice, &[]);
        assert!(matches!(found, Resolution::Found(f) if f.about.whom() == Some(&whom(ALICE))));
    }
    // Several signatures, of which one is ours, and versions that are not known.
    let good = signature(&SOAR_KEY, "e", &NOW_SECONDS.to_string(), BODY);
    for all in [format!("v1,AAAA {good}"), format!("v1a,xxxx {good} v2,y"), format!("{good} ")] {
        let timestamp = NOW_SECONDS.to_string();
        let signed = Signed { id: Some("e"), timestamp: Some(&timestamp), signature: Some(&all) };
        KillOrder::read(&post(BODY), &signed, Town::new().webhook("soar"), NOW).unwrap();
    }
}

#[test]
fn whoever_has_no_key_is_nobody() {
    let wrong: &[u8] = &[9; 32];
    let (code, _) = refused(called("soar", wrong, "evt_1", NOW_SECONDS, BODY));
    assert_eq!(code, Rejection::AuthenticationFailed);
    assert_eq!(
        refused(called("helpdesk", &SOAR_KEY, "evt_1", NOW_SECONDS, BODY)).0,
        Rejection::AuthenticationFailed
    );
    let now = NOW_SECONDS.to_string();
    let good = signature(&SOAR_KEY, "evt_1", &now, BODY);
    let bare = good.trim_start_matches("v1,").to_owned();
    let (some, stamp) = (Some("evt_1"), Some(now.as_str()));
    let cut = &good[..good.len() - 4];
    let many = format!("{} {good}", ["v1,AAAA"; 8].join(" "));
    for signed in [
        Signed::default(),
        Signed { id: some, timestamp: stamp, signature: None },
        Signed { id: some, timestamp: None, signature: Some(&good) },
        Signed { id: None, timestamp: stamp, signature: Some(&good) },
        Signed { id: some, timestamp: stamp, signature: Some("") },
        Signed { id: some, timestamp: stamp, signature: Some("v1,") },
        Signed { id: some, timestamp: stamp, signature: Some(&bare) },
        Signed { id: some, timestamp: stamp, signature: Some(cut) },
        Signed { id: some, timestamp: stamp, signature: Some(&many) },
        Signed { id: Some("evt_2"), timestamp: stamp, signature: Some(&good) },
        Signed { id: Some(""), timestamp: stamp, signature: Some(&good) },
        Signed { id: Some("evt 1"), timestamp: stamp, signature: Some(&good) },
        Signed { id: some, timestamp: Some("1768478401"), signature: Some(&good) },
        Signed { id: some, timestamp: Some(" 1768478400"), signature: Some(&good) },
        Signed { id: some, timestamp: Some("+1768478400"), signature: Some(&good) },
        Signed { id: some, timestamp: Some("99999999999999999999"), signature: Some(&good) },
    ] {
        let (code, detail) = refused(KillOrder::read(&post(BODY), &signed, Town::new().webhook("soar"), NOW));
        assert_eq!(code, Rejection::AuthenticationFailed, "{signed:?}: {detail}");
    }
    let signed = Signed { id: some, timestamp: stamp, signature: Some(&good) };
    let other_body = BODY.replace("alice", "bob");
    let (code, _) = refused(KillOrder::read(&post(&other_body), &signed, Town::new().webhook("soar"), NOW));
    assert_eq!(code, Rejection::AuthenticationFailed);
}

#[test]
fn an_old_or_early_call_is_refused_and_a_call_has_one_name() {
    for (seconds, good) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
        let call = called("soar", &SOAR_KEY, "evt_1", NOW_SECONDS + seconds, BODY);
        assert_eq!(call.is_ok(), good, "{seconds}");
    }
    let id = |webhook: &str, key: &[u8], id: &str, seconds: i64| {
        let body = BODY.replace("hold", "revoke");
        called(webhook, key, id, NOW_SECONDS + seconds, &body).unwrap().message_id()
    };
    // A second try of the same call has another time and the same name.
    assert_eq!(id("soar", &SOAR_KEY, "e", 0), id("soar", &SOAR_NEXT, "e", 9));
    assert_ne!(id("soar", &SOAR_KEY, "e", 0), id("soar", &SOAR_KEY, "f", 0));
    assert_ne!(id("soar", &SOAR_KEY, "e", 0), id("helpdesk", &HELPDESK_KEY, "e", 0));
}

#[test]
fn an_order_says_what_for_whom_and_why_and_nothing_else() {
    let subject = r#""subject":{"format":"iss_sub","iss":"corp","sub":"alice"}"#;
    for (body, says) in [
        (String::new(), "the body"),
        ("[]".to_owned(), "not a JSON object"),
        (format!(r#"{{"action":"revoke","action":"hold",{subject},"reason":"x"}}"#), "comes twice"),
        (format!(r#"{{{subject},"reason":"x"}}"#), "`action` is neither"),
        (format!(r#"{{"action":"lift",{subject},"reason":"x"}}"#), "`action` is neither"),
        (format!(r#"{{"action":"Revoke",{subject},"reason":"x"}}"#), "`action` is neither"),
        (r#"{"action":"revoke","reason":"x"}"#.to_owned(), "`subject` is not an object"),
        (
            r#"{"action":"revoke","subject":{"format":"email"},"reason":"x"}"#.to_owned(),
            "`subject`: a subject of the format `email`",
        ),
        (format!(r#"{{"action":"revoke",{subject}}}"#), "`reason` is not a text"),
        (format!(r#"{{"action":"revoke",{subject},"reason":" "}}"#), "`reason` is not a text"),
        (format!(r#"{{"action":"revoke",{subject},"reason":"x","scope":"all"}}"#), "`scope` is not a member"),
    ] {
        let (code, detail) = refused(called("soar", &SOAR_KEY, "e", NOW_SECONDS, &body));
        assert_eq!(code, Rejection::InvalidRequest, "{body}");
        assert!(detail.contains(says), "{body}: {detail}");
    }
    // The helpdesk may end sessions, and not hold people.
    assert_eq!(refused(called("helpdesk", &HELPDESK_KEY, "e", NOW_SECONDS, BODY)).0, Rejection::AccessDenied);
    called("helpdesk", &HELPDESK_KEY, "e", NOW_SECONDS, &BODY.replace("hold", "revoke")).unwrap();
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    assert!(refused(called("soar", &SOAR_KEY, "e", NOW_SECONDS, &large)).1.contains("larger"));
    let get = Request { method: "GET", ..post(BODY) };
    assert_eq!(
        KillOrder::read(&get, &Signed::default(), Town::new().webhook("soar"), NOW),
        Err(RequestError::NotPost)
    );
}

#[test]
fn a_webhook_names_its_own_people_only() {
    let town = Town::new();
    let (soar, helpdesk) = (town.webhook("soar"), town.webhook("helpdesk"));
    for issuer in ["corp", CORP] {
        assert_eq!(helpdesk.speaks_of(issuer).unwrap().as_str(), "corp");
    }
    for issuer in ["lab", LAB] {
        assert!(helpdesk.speaks_of(issuer).is_none() && soar.speaks_of(issuer).is_some());
    }
    let told = format!("{soar:?}");
    assert!(!told.contains("[1, 1") && told.contains("Secret(…)"), "{told}");
    assert_eq!(UnixMillis::from_seconds(NOW_SECONDS), NOW);
}

#[test]
fn an_order_ends_what_is_open_and_holds_a_person() {
    let town = Town::new();
    let done = |webhook: &str, key: &[u8], body: &str| {
        let order = called(webhook, key, "e", NOW_SECONDS, body).unwrap();
        of_kill(&order, town.webhook(webhook), &town.directory).map(|d| d.acts)
    };
    let end = |id: &str| Act::End(Target::User(user(id)));
    assert_eq!(done("soar", &SOAR_KEY, BODY), Ok(vec![end("corp:alice"), Act::Hold(whom(ALICE))]));
    let bob = BODY.replace("alice", "bob");
    assert_eq!(
        done("helpdesk", &HELPDESK_KEY, &bob.replace("hold", "revoke")),
        Ok(vec![end("corp:bob"), end("lab:bob")]),
        "every sign-in of the person, also at an issuer that the caller may not name"
    );
    let session = r#"{"action":"hold","subject":{"user":{"format":"iss_sub","iss":"corp","sub":"alice"},"session":{"format":"opaque","id":"s-alice"}},"reason":"x"}"#;
    assert_eq!(done("soar", &SOAR_KEY, session), Err(Took::CannotBeDone));
    let ended = vec![Act::End(Target::Session("corp:s-alice".parse().unwrap()))];
    assert_eq!(done("soar", &SOAR_KEY, &session.replace("hold", "revoke")), Ok(ended));
    let lab = BODY.replace("\"corp\"", "\"lab\"").replace("hold", "revoke");
    assert_eq!(done("helpdesk", &HELPDESK_KEY, &lab), Err(Took::NoOne));
}
