//! Each event, and what it does when the configuration says nothing else.

use doorward_identity::message::Rejection;
use doorward_lifecycle::signals::effect::{Direction, Effect, TABLE};
use doorward_lifecycle::signals::event::EventKind;
use doorward_lifecycle::signals::{Outcome, Signal, SignalEvent, Situation};
use doorward_model::UnixMillis;
use serde_json::{Value, json};

use crate::town::*;

/// What is done, in words.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Acts(acts) => acts.iter().map(act).collect::<Vec<_>>().join("; "),
        Outcome::Recorded => "recorded".to_owned(),
        Outcome::NoOne(_) => "no one".to_owned(),
        Outcome::Superseded { by } => format!("superseded by {}", by.seconds() - NOW_SECONDS),
        Outcome::Inexact => "inexact".to_owned(),
        Outcome::Discarded { member } => format!("discarded for {member}"),
        Outcome::Stream(event) => format!("{event:?}"),
    }
}

fn act(act: &doorward_lifecycle::signals::Act) -> String {
    use doorward_lifecycle::signals::Act;
    let who = |w: &doorward_lifecycle::signals::Whom| {
        w.person.map_or("a stranger".to_owned(), |p| p.as_u128().to_string())
    };
    match act {
        Act::End(target) => format!("end {target}"),
        Act::Hold(w) => format!("hold {}", who(w)),
        Act::Lift(w) => format!("lift {}", who(w)),
        Act::Refresh(w) => format!("refresh {}", who(w)),
        Act::StepUp(about) => format!("step up {}", about.targets()[0]),
        Act::Posture(device, compliance) => format!("{device} is {compliance:?}"),
        Act::Risk(about, level) => format!("{} risk {}", level.as_str(), about.targets()[0]),
        Act::Alert(_) => "alert".to_owned(),
    }
}

/// Every address that is known, an event of it, and what it does about alice.
fn rows() -> Vec<(String, Value, &'static str)> {
    let caep = |name: &str| format!("{CAEP}{name}");
    let risc = |name: &str| format!("{RISC}{name}");
    let oauth = |name: &str| format!("https://schemas.openid.net/secevent/oauth/event-type/{name}");
    let credential = |change: &str| json!({"credential_type": "password", "change_type": change});
    let assurance = |step: Value| json!({"namespace": "NIST-AAL", "current_level": "nist-aal1", "change_direction": step});
    let end = "end user corp:alice";
    let hold = "end user corp:alice; hold 1";
    vec![
        (caep("session-revoked"), json!({}), end),
        (caep("session-revoked"), json!({"initiating_entity": "policy", "reason_admin": {"en": "x"}}), end),
        (caep("token-claims-change"), json!({"claims": {"role": "ro-admin"}}), "refresh 1"),
        (caep("credential-change"), credential("revoke"), end),
        (caep("credential-change"), credential("delete"), end),
        (caep("credential-change"), credential("update"), "recorded"),
        (caep("credential-change"), credential("create"), "recorded"),
        (caep("assurance-level-change"), assurance(json!("decrease")), "step up user corp:alice"),
        (caep("assurance-level-change"), assurance(json!("increase")), "recorded"),
        // Which way it went is not told: it counts as down.
        (caep("assurance-level-change"), assurance(json!(null)), "step up user corp:alice"),
        (caep("session-established"), json!({"acr": "aal2", "fp_ua": "x"}), "alert"),
        (caep("session-presented"), json!({}), "alert"),
        (
            caep("risk-level-change"),
            json!({"principal": "USER", "current_level": "HIGH"}),
            "end user corp:alice; HIGH risk user corp:alice; hold 1",
        ),
        (
            caep("risk-level-change"),
            json!({"principal": "USER", "current_level": "MEDIUM"}),
            "MEDIUM risk user corp:alice",
        ),
        (caep("risk-level-change"), json!({"current_level": "LOW"}), "LOW risk user corp:alice"),
        (risc("account-credential-change-required"), json!({}), "step up user corp:alice"),
        (risc("account-purged"), json!({}), hold),
        (risc("account-disabled"), json!({}), hold),
        (risc("account-disabled"), json!({"reason": "hijacking"}), hold),
        (risc("account-disabled"), json!({"reason": ["not", "a", "word"]}), hold),
        (risc("account-enabled"), json!({}), "lift 1"),
        (risc("identifier-changed"), json!({"new-value": "a2@x.example"}), "alert"),
        (risc("identifier-recycled"), json!({}), "alert"),
        (risc("credential-compromise"), json!({"credential_type": "password"}), hold),
        (risc("opt-in"), json!({}), "recorded"),
        (risc("opt-out-initiated"), json!({}), "recorded"),
        (risc("opt-out-cancelled"), json!({}), "recorded"),
        (risc("opt-out-effective"), json!({}), "alert"),
        (risc("recovery-activated"), json!({}), "alert"),
        (risc("recovery-information-changed"), json!({}), "recorded"),
        (risc("sessions-revoked"), json!({}), end),
        (oauth("tokens-revoked"), json!({}), end),
        (oauth("token-revoked"), json!({}), end),
        ("https://example.com/event/coffee-spilled".to_owned(), json!({"how": "hot"}), "recorded"),
    ]
}

#[tokio::test]
async fn each_event_has_its_effect() {
    for (address, payload, does) in rows() {
        let mut town = Town::new();
        let verdict = town.decide("okta", &event("e", &iss_sub(CORP, "alice"), &address, &payload)).await;
        assert_eq!(told(&verdict.outcome), does, "{address} {payload}");
        assert_eq!(verdict.is_alarming(), does.contains("alert"), "{address}");
        assert!(verdict.situation.is_some());
    }
}

#[tokio::test]
async fn events_of_devices_sessions_and_apps_do_what_can_be_done_to_these() {
    let device = json!({"format": "opaque", "id": "d-alice"});
    let session = json!({"session": {"format": "opaque", "id": "s-alice"}});
    let at_app = json!({"user": iss_sub(CORP, "alice"), "application": {"format": "opaque", "id": "wiki"}});
    let compliance = |status: &str| json!({"previous_status": "compliant", "current_status": status});
    for (name, subject, payload, does) in [
        ("device-compliance-change", device.clone(), compliance("not-compliant"), "d-alice is NotCompliant"),
        ("device-compliance-change", device.clone(), compliance("compliant"), "d-alice is Compliant"),
        (
            "device-compliance-change",
            json!({"user": iss_sub(CORP, "alice")}),
            compliance("not-compliant"),
            "alert",
        ),
        (
            "risk-level-change",
            device.clone(),
            json!({"principal": "DEVICE", "current_level": "MEDIUM"}),
            "MEDIUM risk device d-alice",
        ),
        (
            "risk-level-change",
            device.clone(),
            json!({"principal": "DEVICE", "current_level": "HIGH"}),
            "end device d-alice; HIGH risk device d-alice; alert",
        ),
        ("session-revoked", session.clone(), json!({}), "end session corp:s-alice"),
        ("session-revoked", at_app.clone(), json!({}), "end user_at_app wiki@corp:alice"),
        ("token-claims-change", session, json!({"claims": {}}), "end session corp:s-alice"),
        ("token-claims-change", at_app, json!({"claims": {}}), "refresh 1"),
    ] {
        let mut town = Town::new();
        let verdict = town.decide("okta", &event("e", &subject, &format!("{CAEP}{name}"), &payload)).await;
        assert_eq!(told(&verdict.outcome), does, "{name} {subject} {payload}");
    }
}

#[tokio::test]
async fn s12_s13_a_stranger_or_somebody_elses_is_recorded_without_effect() {
    for subject in [
        json!({"format": "email", "email": "mallory@corp.example"}),
        iss_sub(LAB, "bob"),
        json!({"user": iss_sub(CORP, "alice"), "tenant": {"format": "opaque", "id": "t-other"}}),
        json!({"user": iss_sub(CORP, "alice"), "session": {"format": "opaque", "id": "s-bob"}}),
    ] {
        let mut town = Town::new();
        let verdict =
            town.decide("okta", &event("e", &subject, &format!("{RISC}account-disabled"), &json!({}))).await;
        assert_eq!((told(&verdict.outcome).as_str(), verdict.marks), ("no one", vec![]), "{subject}");
    }
    let critical = json!({"user": iss_sub(CORP, "alice"), "planet": {"format": "opaque", "id": "mars"}});
    let verdict = Town::new()
        .decide("okta", &event("e", &critical, &format!("{CAEP}session-revoked"), &json!({})))
        .await;
    assert_eq!(told(&verdict.outcome), "discarded for planet");
    assert!(verdict.is_alarming(), "somebody may still be in");
}

/// The older form: the subject stands in the event, as Google sends it.
#[tokio::test]
async fn s18_an_event_of_google_is_read() {
    let mut town = Town::new();
    let google = "https://accounts.google.example/";
    let claims = |address: &str, subject: Value| {
        json!({"iss": google, "aud": ["client-1", "client-2"], "iat": NOW_SECONDS - 5, "jti": "g",
            "events": {address: {"subject": subject, "reason": "hijacking"}}})
    };
    let subject = json!({"subject_type": "iss-sub", "iss": google, "sub": "118"});
    let verdict = town.decide("google", &claims(&format!("{RISC}account-disabled"), subject.clone())).await;
    assert_eq!(told(&verdict.outcome), "end user google:118; hold a stranger");
    let signal = town.signal("google", &claims(&format!("{RISC}account-disabled"), subject.clone())).await;
    assert!(matches!(signal.event, SignalEvent::AccountDisabled { reason: Some(_) }));
    // Google may not speak of the company's own people.
    let foreign = json!({"subject_type": "iss-sub", "iss": CORP, "sub": "alice"});
    let verdict = town.decide("google", &claims(&format!("{RISC}account-disabled"), foreign)).await;
    assert_eq!(told(&verdict.outcome), "no one");
    // Two subjects that are one, and two that are not.
    for (sub_id, good) in [(subject.clone(), true), (iss_sub(google, "119"), false)] {
        let mut both = claims(&format!("{RISC}account-disabled"), subject.clone());
        both["sub_id"] = sub_id;
        let message =
            town.verifier.security_event("google", &sign("secevent+jwt", &both), NOW).await.unwrap();
        let read = Signal::read(&message);
        assert_eq!(read.is_ok(), good);
        assert!(good || read.unwrap_err().detail.contains("differ"));
    }
}

#[tokio::test]
async fn an_event_that_lacks_what_it_is_about_is_refused_and_one_that_lacks_a_reason_is_not() {
    let town = Town::new();
    for (name, payload, says) in [
        (
            "credential-change",
            json!({"change_type": "revoke"}),
            "`credential-change` needs `credential_type`",
        ),
        (
            "credential-change",
            json!({"credential_type": "pin", "change_type": "lost"}),
            "needs `change_type`: create",
        ),
        ("assurance-level-change", json!({"current_level": 1}), "needs `current_level`"),
        (
            "device-compliance-change",
            json!({"current_status": "maybe"}),
            "needs `current_status`: compliant or",
        ),
        ("risk-level-change", json!({"current_level": "high"}), "needs `current_level`: LOW"),
    ] {
        let claims = event("e", &iss_sub(CORP, "alice"), &format!("{CAEP}{name}"), &payload);
        let message =
            town.verifier.security_event("okta", &sign("secevent+jwt", &claims), NOW).await.unwrap();
        let refused = Signal::read(&message).unwrap_err();
        assert_eq!(refused.code, Rejection::InvalidRequest);
        assert!(refused.detail.contains(says), "{}", refused.detail);
    }
    for odd in [
        json!({"reason_admin": 7}),
        json!({"reason_admin": {}}),
        json!({"initiating_entity": ["x"]}),
        json!({"event_timestamp": "soon"}),
    ] {
        let claims = event("e", &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"), &odd);
        let signal = town.signal("okta", &claims).await;
        assert_eq!(
            (signal.event, signal.reason, signal.initiator),
            (SignalEvent::SessionRevoked, None, None),
            "{odd}"
        );
    }
    let reasons =
        json!({"reason_admin": {"de": "weil", "en": "because\u{1b}[2J"}, "initiating_entity": "admin"});
    let signal = town
        .signal("okta", &event("e", &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"), &reasons))
        .await;
    assert_eq!(signal.reason.as_deref(), Some("because\\u{1b}[2J"));
    assert_eq!(signal.initiator.map(|i| i.as_str()), Some("admin"));
}

#[tokio::test]
async fn when_it_happened_is_what_the_event_says_but_never_after_it_was_made() {
    let town = Town::new();
    let made = NOW_SECONDS - 5;
    for (event_timestamp, toe, at) in [
        (json!(null), json!(null), made),
        (json!(NOW_SECONDS - 99), json!(null), NOW_SECONDS - 99),
        (json!(NOW_SECONDS - 99), json!(NOW_SECONDS - 50), NOW_SECONDS - 99),
        (json!(null), json!(NOW_SECONDS - 50), NOW_SECONDS - 50),
        (json!(NOW_SECONDS + 500), json!(null), made),
        // Milliseconds, by mistake, are the year 58000.
        (json!(NOW_SECONDS * 1000), json!(null), made),
        (json!(-5), json!(null), made),
    ] {
        let mut claims = event(
            "e",
            &iss_sub(CORP, "alice"),
            &format!("{CAEP}session-revoked"),
            &json!({"event_timestamp": event_timestamp}),
        );
        if !toe.is_null() {
            claims["toe"] = toe.clone();
        }
        assert_eq!(
            town.signal("okta", &claims).await.at,
            UnixMillis::from_seconds(at),
            "{event_timestamp} {toe}"
        );
    }
}

#[tokio::test]
async fn the_cause_in_the_log_says_which_signal_and_fits() {
    let mut town = Town::new();
    let claims = event(
        &"j".repeat(255),
        &iss_sub(CORP, "alice"),
        &format!("{CAEP}session-revoked"),
        &json!({"reason_admin": {"en": "ü".repeat(900)}}),
    );
    let signal = town.signal("okta", &claims).await;
    let verdict = town.decide("okta", &claims).await;
    let cause = verdict.cause(&signal);
    assert!(cause.starts_with("signal session-revoked of okta, jjj") && cause.len() == 512, "{cause}");
    assert!(cause.is_ascii());
}

#[test]
fn the_table_has_every_situation_once_and_no_way_to_let_somebody_in_but_one() {
    for (i, row) in TABLE.iter().enumerate() {
        assert!(
            TABLE.iter().skip(i + 1).all(|r| r.word != row.word && r.situation != row.situation),
            "{}",
            row.word
        );
        assert_eq!(row.situation.as_str(), row.word);
        assert!(!row.or.contains(&row.usual), "{}", row.word);
        let may = |effect: Effect| row.usual == effect || row.or.contains(&effect);
        assert_eq!(may(Effect::Lift), row.situation == Situation::AccountEnabled, "{}", row.word);
        assert!(may(Effect::Record) && may(Effect::Alert), "{}", row.word);
        let ends = may(Effect::Revoke) || may(Effect::Hold);
        assert!(!(ends && row.direction == Direction::Gives), "{}: gives and takes", row.word);
    }
    let named = rows().len();
    assert!(named > EventKind::addresses().count());
    for (address, kind) in EventKind::addresses() {
        assert_eq!(EventKind::parse(&address), Some(kind));
        assert_eq!(EventKind::parse(&format!("{address}x")), None);
        let of_stream = matches!(
            kind,
            EventKind::Verification | EventKind::StreamUpdated | EventKind::DeviceComplianceChange
        );
        assert!(of_stream || rows().iter().any(|(a, _, _)| *a == address), "{address} has no row");
    }
}
