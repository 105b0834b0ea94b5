//! Every kind of event against the rules of OCSF 1.8.0, and the page that shows them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use doorward_audit::event::LifecycleCode;
use doorward_audit::{Because, Event, Sequence, Withdrawal};
use doorward_model::RefusalCode;
use serde_json::{Value, json};

use crate::samples::{self, identity, number, text};

const SCHEMA: &str = include_str!("../schema/ocsf-1.8.0.schema.json");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/audit-events.md");

fn line(event: &Event) -> String {
    event.to_line(&identity(), "gw-1-20261120T220000123Z", Sequence(918_273), samples::NOW).unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

fn mistakes(validator: &jsonschema::Validator, event: &Value) -> Vec<String> {
    validator.iter_errors(event).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn every_event_is_valid_ocsf() {
    let validator = validator();
    for (what, event) in samples::all().into_iter().chain(samples::lives()) {
        let line = line(&event);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{what}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(mistakes(&validator, &value), Vec::<String>::new(), "{what}\n{line}");
        let of_class = number(&value, "/class_uid") * 100 + number(&value, "/activity_id");
        assert_eq!(number(&value, "/type_uid"), of_class, "{what}");
        assert_eq!(text(&value, "/metadata/event_code"), event.code(), "{what}");
    }
}

#[test]
fn every_code_is_in_the_catalogue() {
    let every = || samples::all().into_iter().chain(samples::lives());
    let shown: BTreeSet<_> = every().map(|(_, event)| event.code()).collect();
    let codes = LifecycleCode::ALL.iter().map(|code| code.as_str());
    let codes: BTreeSet<_> = Event::CODES.into_iter().chain(codes).collect();
    assert_eq!(shown, codes);
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let validator = validator();
    let of = |event: &Event| serde_json::from_str::<Value>(&line(event)).unwrap();
    let denied = of(&samples::denied("req-1"));
    let disabled = of(&samples::revocation(samples::bob(), true));
    let cases: [(&str, &Value, &str, Option<Value>); 9] = [
        ("a person changed that is not named", &disabled, "/user", None),
        ("an attribute that OCSF does not have", &denied, "/actor/user/password", Some(json!("x"))),
        ("an attribute at the top that OCSF does not have", &denied, "/token", Some(json!("x"))),
        ("an activity that the class does not have", &disabled, "/activity_id", Some(json!(50))),
        ("a time as text", &denied, "/time", Some(json!("2026-11-20T22:00:00Z"))),
        (
            "an endpoint that is not named",
            &denied,
            "/src_endpoint",
            Some(json!({"location": {"country": "BR"}})),
        ),
        (
            "an actor without its profile",
            &denied,
            "/metadata/profiles",
            Some(json!(["security_control", "datetime", "trace"])),
        ),
        ("a query in the path", &denied, "/http_request/url/path", Some(json!("/a?token=1"))),
        ("a class that is not ours", &denied, "/class_uid", Some(json!(6004))),
    ];
    for (what, event, pointer, wrong) in cases {
        assert_eq!(mistakes(&validator, event), Vec::<String>::new(), "{what}: the event before");
        let mut event = event.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match wrong {
            Some(wrong) => parent.insert(key.to_owned(), wrong),
            None => parent.remove(key),
        };
        assert!(!mistakes(&validator, &event).is_empty(), "{what} was accepted");
    }
}

#[test]
fn an_allowance_is_compact() {
    let line = line(&samples::allowed("req-7f1c2a90-55c3-4d9f-9b1d-7e2f3a4b5c6d"));
    let situation = format!("\"situation\":{},", samples::SITUATION);
    assert!(line.contains(&situation), "{line}");
    let size = line.len() - situation.len();
    // With a trace id of 60 bytes, which only sampled exchanges have.
    assert!(size <= 1130, "{size} bytes");
    // What the policies saw, where that is kept.
    assert!(situation.len() <= 800, "{} bytes", situation.len());
    eprintln!("an allowance has {size} bytes, and {} of what the policies saw", situation.len());
}

/// Decisions and revocations all say where the person stands, what decided, under which
/// policies, why, and how long it took.
#[test]
fn decisions_and_revocations_carry_their_evidence() {
    for (what, event) in samples::all() {
        let value: Value = serde_json::from_str(&line(&event)).unwrap();
        let block = &value["unmapped"]["doorward"];
        match &event {
            Event::RequestDecided(trail) | Event::ExchangeEnded(trail) => {
                assert!(block["stage"].is_string() && block["decision"]["reason_code"].is_string(), "{what}");
                assert!(block["decision"]["determining"].is_array(), "{what}");
                // Who was refused before the policies were asked has no bundle and no latency.
                let asked = !matches!(trail.outcome(), Some(doorward_audit::Outcome::Denied(code)) if code.status() == 401);
                assert_eq!(block["decision"]["latency_us"].is_u64(), asked, "{what}");
                assert_eq!(block["decision"]["policy_set"]["revision"].is_string(), asked, "{what}");
            }
            Event::Revocation(_) => {
                assert!(block["stage"].is_string() && block["decision"]["reason_code"].is_string(), "{what}");
                assert!(block["decision"]["determining"].is_array(), "{what}");
                assert!(block["decision"]["latency_us"].is_u64(), "{what}");
                assert!(block["decision"]["policy_set"]["revision"].is_string(), "{what}");
            }
            _ => {}
        }
    }
}

#[test]
fn a_termination_names_the_revocation() {
    let value: Value = serde_json::from_str(&line(&samples::terminated("req-4"))).unwrap();
    assert_eq!(text(&value, "/metadata/event_code"), "access.exchange.terminated");
    let block = &value["unmapped"]["doorward"];
    assert_eq!(block["protocol"], "websocket");
    assert_eq!(block["ending"], json!({"how": "terminated", "revocation": "rev-01JD7PB2", "after_us": 3870}));
    assert_eq!(value["traffic"], json!({"bytes_in": 65_536, "bytes_out": 4_096}));
    assert_eq!(value["disposition"], "Access Revoked");
}

#[test]
fn a_withdrawal_says_what_was_decided_anew_and_not_what_once_let_it_in() {
    let event = samples::withdrawn("req-5");
    let value: Value = serde_json::from_str(&line(&event)).unwrap();
    assert_eq!(text(&value, "/metadata/event_code"), "access.exchange.withdrawn");
    let block = &value["unmapped"]["doorward"];
    assert_eq!(block["ending"], json!({"how": "withdrawn", "because": "directory", "after_us": 21_400}));
    let decision = &block["decision"];
    assert_eq!((&decision["outcome"], &decision["reason_code"]), (&json!("deny"), &json!("policy_forbids")));
    assert_eq!(decision["determining"], json!(["contractors-never"]));
    assert_eq!(value["authorizations"][0]["decision"], "Deny");
    assert_eq!(value["disposition"], "Access Revoked");
    assert!(!line(&event).contains("payroll-viewers-read"));
    // Somebody whose sign-in has expired is not asked about.
    let withdrawal = Withdrawal {
        because: Because::Time,
        code: RefusalCode::ExpiredCredential,
        ruling: None,
        after_micros: 9,
    };
    let value: Value = serde_json::from_str(&line(&samples::withdrawn_by("req-6", withdrawal))).unwrap();
    assert_eq!(mistakes(&validator(), &value), Vec::<String>::new());
    let decision = &value["unmapped"]["doorward"]["decision"];
    assert_eq!((&decision["reason_code"], decision.get("latency_us")), (&json!("expired_credential"), None));
}

#[test]
fn what_nobody_decided_is_a_denial() {
    let event = Event::RequestDecided(Box::new(samples::identified("req-9", "DE")));
    assert_eq!(event.code(), "access.request.denied");
    let value: Value = serde_json::from_str(&line(&event)).unwrap();
    assert_eq!(text(&value, "/unmapped/doorward/decision/reason_code"), "undecided");
    assert_eq!(number(&value, "/action_id"), 2);
}

/// The same value with the keys of its objects in order. Whether a parsed object keeps the order
/// of its text depends on what else is built along, and the page must not.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let keys: std::collections::BTreeMap<_, _> =
                map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            Value::Object(keys.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn page() -> String {
    let mut page = include_str!("../schema/audit-events.head.md").to_owned();
    page.push_str("\n## The catalogue\n\n| event_code | what | OCSF class | activity |\n|---|---|---|---|\n");
    let events: Vec<(&str, Event, Value)> = samples::all()
        .into_iter()
        .map(|(what, event)| {
            let value = serde_json::from_str(&line(&event)).unwrap();
            (what, event, value)
        })
        .collect();
    let shown: BTreeSet<_> = events.iter().map(|(_, event, _)| event.code()).collect();
    let others: Vec<_> = samples::lives()
        .into_iter()
        .filter(|(_, event)| !shown.contains(event.code()))
        .map(|(what, event)| {
            let value = serde_json::from_str(&line(&event)).unwrap();
            (what, event, value)
        })
        .collect();
    for (what, event, value) in events.iter().chain(&others) {
        let class = number(value, "/class_uid");
        let name = class_name(class);
        let activity = number(value, "/activity_id");
        let activity = match text(value, "/activity_name") {
            _ if class == 4002 => "by the method".to_owned(),
            name => format!("{name} {activity}"),
        };
        writeln!(page, "| `{}` | {what} | {name} {class} | {activity} |", event.code()).unwrap();
    }
    page.push_str("\n## One example of each\n");
    for (what, event, value) in &events {
        let json = serde_json::to_string_pretty(&sorted(value)).unwrap();
        write!(page, "\n### `{}`\n\n{what}\n\n```json\n{json}\n```\n", event.code()).unwrap();
    }
    page
}

fn class_name(class: u64) -> &'static str {
    match class {
        3001 => "Account Change",
        3002 => "Authentication",
        3004 => "Entity Management",
        3006 => "Group Management",
        4002 => "HTTP Activity",
        6002 => "Application Lifecycle",
        6003 => "API Activity",
        6008 => "Application Error",
        _ => "unknown",
    }
}

/// The page is generated: `BLESS=1 cargo test -p doorward-audit` writes it anew.
#[test]
fn the_page_shows_the_catalogue() {
    let page = page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(PAGE).parent().unwrap()).unwrap();
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/reference/audit-events.md is out of date: run with BLESS=1");
}
