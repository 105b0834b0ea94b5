//! Text that others chose, and text that must never be there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{LifecycleChange, LifecycleCode, LifecycleDifference, SignInStep};
use doorward_audit::tail::{Style, render};
use doorward_audit::trail::HttpVersion;
use doorward_audit::{Arrival, Ending, Event, Outcome, Ruling, Sequence, Trail};
use doorward_model::limits::{AUDIT_LINE_BYTES_MAX, AUDIT_SITUATION_BYTES_MAX};
use doorward_model::{Assurance, DevicePosture, Principal, Refusal, RefusalCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::samples::{self, NOW, identity};

fn line(event: &Event) -> String {
    event.to_line(&identity(), "gw-1-20261120T220000123Z", Sequence(1), NOW).unwrap()
}

fn arrival<'a>(id: &'a Arc<str>, text: &'a str, bytes: &'a [u8]) -> Arrival<'a> {
    Arrival {
        request_id: id,
        received_at: NOW,
        method: text,
        host: text,
        path: text,
        http_version: HttpVersion::Http11,
        user_agent: Some(bytes),
        peer: IpAddr::from([192, 0, 2, 1]),
        trace: None,
    }
}

/// A denial in which everything that can be text is this text.
fn all_of(text: &str, bytes: &[u8]) -> Event {
    let id = "req-1".into();
    let mut trail = Trail::begin(arrival(&id, text, bytes));
    let mut user = match &*samples::alice() {
        Principal::User(user) => user.clone(),
        other => panic!("{other:?}"),
    };
    user.name = Some(text.to_owned());
    user.email = Some(text.to_owned());
    user.groups = (0..1000).map(|i| format!("{i}{text}")).collect();
    trail.identified(
        Principal::User(user),
        Some(&samples::session()),
        Assurance::default(),
        &DevicePosture::default(),
    );
    let mut place = samples::place("BR");
    place.networks = (0..1000).map(|i| format!("{i}{text}")).collect();
    place.continent = Some(text.to_owned());
    trail.located(place);
    trail.decided(Ruling {
        outcome: Outcome::Denied(RefusalCode::PolicyError),
        determining: vec![text.into(); 1000],
        errors: vec![text.to_owned(); 1000],
        latency_micros: u64::MAX,
        revision: text.into(),
        situation: Some(largest()),
    });
    trail.refused(&Refusal::new(RefusalCode::PolicyError, text));
    trail.finished(
        Ending::Terminated { revocation: text.into(), after_micros: u64::MAX },
        u64::MAX,
        u64::MAX,
        Duration::MAX,
    );
    Event::RequestDecided(Box::new(trail))
}

/// As much as may be recorded of what the policies saw.
fn largest() -> Arc<str> {
    let filler = AUDIT_SITUATION_BYTES_MAX - r#"{"v":1,"path":""}"#.len();
    format!(r#"{{"v":1,"path":"{}"}}"#, "a".repeat(filler)).into()
}

/// A change of which everything that can be text is this text.
fn life_of(code: LifecycleCode, text: &str) -> Event {
    let different = LifecycleDifference {
        what: text.to_owned(),
        before: text.to_owned(),
        after: text.to_owned(),
        set_by: Some(text.into()),
    };
    Event::Lifecycle(Box::new(LifecycleChange {
        by_name: text.to_owned(),
        cause: text.to_owned(),
        source: text.to_owned(),
        changes: vec![different; 1000],
        members: vec![text.into(); 1000],
        revocations: vec![text.into(); 1000],
        why: Some(text.to_owned()),
        ..samples::life(code)
    }))
}

#[test]
fn no_event_is_longer_than_the_limit() {
    // U+0001 takes six bytes in JSON: the worst that one byte can do.
    for text in ["\u{1}".repeat(100_000), "\u{10ffff}".repeat(50_000), "\\".repeat(100_000)] {
        let line = line(&all_of(&text, text.as_bytes()));
        assert!(line.len() <= AUDIT_LINE_BYTES_MAX, "{} bytes", line.len());
        assert_eq!(line.matches('\n').count(), 1);
        let Event::RequestDecided(trail) = all_of(&text, text.as_bytes()) else { panic!("a decision") };
        let line = self::line(&samples::signed_in(*trail, SignInStep::Begun));
        assert!(line.len() <= AUDIT_LINE_BYTES_MAX, "{} bytes", line.len());
    }
    for code in LifecycleCode::ALL {
        let line = line(&life_of(*code, &"\u{1}".repeat(100_000)));
        assert!(line.len() <= AUDIT_LINE_BYTES_MAX, "{code:?}: {} bytes", line.len());
        assert_eq!(line.matches('\n').count(), 1);
    }
}

/// What is put into a line as it is can neither break the line nor make it longer than it may be.
#[test]
fn what_the_policies_saw_is_whole_json_on_one_line_or_is_left_out() {
    let written = |situation: &str| {
        let mut trail = samples::identified("req-1", "DE");
        let ruling = samples::ruling(Outcome::Allowed, "p");
        trail.decided(Ruling { situation: Some(situation.into()), ..ruling });
        let line = line(&Event::RequestDecided(Box::new(trail)));
        assert_eq!(line.matches('\n').count(), 1);
        serde_json::from_str::<Value>(&line).unwrap()["unmapped"]["doorward"]["situation"].take()
    };
    assert_eq!(written(r#"{"v":1,"a":"\n\u2028"}"#), json!({"v": 1, "a": "\n\u{2028}"}));
    assert_eq!(written(&largest())["v"], 1);
    let longer = largest().replace("\"path\"", "\"paths\"");
    for bad in ["", "{", "{}}", "{}, \"time\": 0", "{\"v\":1}\n{}", "{\"v\":\n1}", "{\"v\":\r1}", &longer] {
        assert_eq!(written(bad), Value::Null, "{}", &bad[..bad.len().min(80)]);
    }
}

/// The policies let it in, and another stage did not: the record says both.
#[test]
fn what_the_policies_said_is_told_where_it_is_not_what_was_done() {
    let mut trail = samples::identified("req-1", "DE");
    trail.decided(samples::ruling(Outcome::Allowed, "p"));
    let said = |trail: &Trail| {
        let value: Value =
            serde_json::from_str(&line(&Event::RequestDecided(Box::new(trail.clone())))).unwrap();
        let decision = &value["unmapped"]["doorward"]["decision"];
        (decision["outcome"].clone(), decision["policies_said"].clone())
    };
    assert_eq!(said(&trail), ("allow".into(), Value::Null));
    trail.refused(&Refusal::new(RefusalCode::AuditUnavailable, ""));
    assert_eq!(said(&trail), ("deny".into(), "allow".into()));
}

#[test]
fn a_long_user_agent_is_cut_between_characters() {
    let agent = "ü".repeat(5_000);
    let value: Value = serde_json::from_str(&line(&all_of("x", agent.as_bytes()))).unwrap();
    assert_eq!(value["http_request"]["user_agent"], "ü".repeat(128));
    // Invalid bytes grow when they are replaced; the bound holds all the same.
    let value: Value = serde_json::from_str(&line(&all_of("x", &[0xff; 10_240]))).unwrap();
    assert_eq!(value["http_request"]["user_agent"], "\u{fffd}".repeat(85));
}

#[test]
fn a_terminal_is_not_moved() {
    let evil = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}\u{2066}\u{200b}\u{85}\u{7f}\u{feff}b";
    for style in [Style { color: false }, Style { color: true }] {
        let shown = render(&line(&all_of(evil, evil.as_bytes())), style);
        let shown = shown.replace("\u{1b}[31mDENY\u{1b}[0m", "DENY");
        assert!(shown.contains("DENY") && shown.contains("\\u{1b}[2J"), "{shown}");
        let hidden =
            |c: char| c.is_control() || matches!(c, '\u{200b}' | '\u{202e}' | '\u{2066}' | '\u{feff}');
        assert!(!shown.contains(hidden), "{shown:?}");
    }
    let shown = render(evil, Style { color: false });
    assert!(shown.starts_with("CORRUPT a\\u{1b}") && !shown.contains(char::is_control), "{shown:?}");
}

/// Whatever a client puts where secrets are usually put: none of it reaches the log.
#[test]
fn secrets_have_no_way_in() {
    const SECRET: &str = "S3CR3T-eyJhbGciOi";
    let id = "req-1".into();
    for (host, path) in [
        ("payroll.example", format!("/reset?token={SECRET}")),
        ("payroll.example", format!("/reset#{SECRET}")),
        ("payroll.example", format!("/reset?a=1#?{SECRET}")),
        ("user:S3CR3T-eyJhbGciOi@payroll.example", "/".to_owned()),
        ("a@S3CR3T-eyJhbGciOi@payroll.example", "/".to_owned()),
    ] {
        let mut trail =
            Trail::begin(Arrival { host, path: &path, method: "GET", ..arrival(&id, "x", b"curl/8") });
        trail.refused(&Refusal::new(RefusalCode::InvalidCredential, "the signature does not fit"));
        for event in [Event::RequestDecided(Box::new(trail.clone())), Event::ExchangeEnded(Box::new(trail))] {
            let (written, told) = (line(&event), format!("{event:?}"));
            assert!(!written.contains("S3CR3T") && !told.contains("S3CR3T"), "{host}{path}: {written}");
        }
    }
    let mut call = samples::all()
        .into_iter()
        .find_map(|(_, event)| if let Event::OperatorCall(call) = event { Some(call) } else { None })
        .unwrap();
    call.path = format!("/api/v1/revocations?token={SECRET}");
    assert!(!line(&Event::OperatorCall(call)).contains("S3CR3T"));
}

/// The story of one exchange cannot be rewritten.
#[test]
fn a_denial_stays_a_denial() {
    let mut trail = samples::identified("req-1", "BR");
    trail.refused(&Refusal::new(RefusalCode::Revoked, "first"));
    trail.decided(samples::ruling(Outcome::Allowed, "p"));
    trail.refused(&Refusal::new(RefusalCode::Internal, "second"));
    trail.answered(401);
    trail.answered(200);
    trail.identified(
        Principal::Visitor(doorward_model::Visitor),
        None,
        Assurance::default(),
        &DevicePosture::default(),
    );
    assert_eq!(trail.outcome(), Some(Outcome::Denied(RefusalCode::Revoked)));
    let value: Value = serde_json::from_str(&line(&Event::RequestDecided(Box::new(trail)))).unwrap();
    assert_eq!((&value["status_code"], &value["status_detail"]), (&"401".into(), &"revoked".into()));
    assert_eq!(value["actor"]["user"]["uid"], "corp:usr-01HZX3V9");
}

proptest! {
    #[test]
    fn any_text_is_one_line_of_json(text in ".{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let line = line(&all_of(&text, &bytes));
        prop_assert_eq!(line.matches('\n').count(), 1);
        prop_assert!(line.len() <= AUDIT_LINE_BYTES_MAX);
        let value: Value = serde_json::from_str(&line).unwrap();
        let path = text.split(['?', '#']).next().unwrap();
        prop_assert_eq!(value["http_request"]["url"]["path"].as_str().unwrap(), path);
        let shown = render(&line, Style { color: false });
        prop_assert!(!shown.contains(char::is_control));
    }

    #[test]
    fn rendering_anything_never_panics(text in any::<String>()) {
        let shown = render(&text, Style { color: false });
        prop_assert!(shown.starts_with("CORRUPT"));
        prop_assert!(!shown.contains(char::is_control));
    }

    /// An object that looks like an event but is not.
    #[test]
    fn rendering_odd_events_never_panics(code in "(access|revocation|x)\\.[a-z.]{1,20}", time in any::<i64>(), other in any::<f64>()) {
        let odd = serde_json::json!({"metadata": {"event_code": code}, "time": time, "actor": other, "unmapped": [other]});
        let shown = render(&odd.to_string(), Style { color: true });
        prop_assert!(!shown.is_empty());
    }
}
