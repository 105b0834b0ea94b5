//! Whatever bytes come: an answer, never a panic, and never an effect.

use std::sync::LazyLock;

use doorward_identity::message::MessageKind;
use doorward_lifecycle::signals::answer::{Asked, Reply};
use doorward_lifecycle::signals::decide::decide;
use doorward_lifecycle::signals::request::{self, Request};
use doorward_lifecycle::signals::webhook::Signed;
use doorward_lifecycle::signals::{KillOrder, Poll, SignalEvent, Subject};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::town::*;

/// One company for all cases: nothing here changes it.
static TOWN: LazyLock<Town> = LazyLock::new(Town::new);

/// Any JSON, with the words that are looked for among its keys and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "format",
        "subject_type",
        "email",
        "iss",
        "sub",
        "id",
        "user",
        "device",
        "session",
        "complex",
        "aliases",
        "identifiers",
        "opaque",
        "iss_sub",
        "phone_number",
        "ip-addresses",
        "change_type",
        "revoke",
        "current_level",
        "HIGH",
        "claims",
        "state",
        "status",
        "event_timestamp",
        "principal",
        "reason_admin",
        "en",
        "subject",
        CORP,
    ]);
    let text = prop_oneof![word.clone().prop_map(str::to_owned), ".{0,20}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..8)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    any_json().prop_map(|v| match v {
        Value::Object(map) => map,
        other => Map::from_iter([("format".to_owned(), other)]),
    })
}

proptest! {
    #[test]
    fn subjects_and_events(subject in object(), payload in object()) {
        let _read = Subject::read(&subject);
        for (address, _) in doorward_lifecycle::signals::event::EventKind::addresses() {
            let _read = SignalEvent::read(&address, &payload);
        }
    }

    #[test]
    fn requests(
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), "[a-z_=&%+.0-9]{0,200}".prop_map(String::into_bytes)],
        method in prop::sample::select(vec!["POST", "GET", ""]),
        content_type in prop::option::of("[ -~]{0,40}"),
        authorization in prop::option::of("(Bearer )?[ -~]{0,40}"),
    ) {
        let town = &*TOWN;
        for content_type in [content_type.as_deref(), Some("application/secevent+jwt"), Some("application/json"), Some("application/x-www-form-urlencoded")] {
            let request = Request { method, content_type, authorization: authorization.as_deref(), body: &body };
            prop_assert!(request::push(&request, town.stream("okta")).is_err());
            let _form = request::logout(&request);
            let _call = request::revocation(&request);
            let signed = Signed { id: Some("e"), timestamp: Some("1768478400"), signature: authorization.as_deref() };
            prop_assert!(KillOrder::read(&request, &signed, town.webhook("soar"), NOW).is_err());
        }
        let _answer = Poll::default().fetched(&body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Signed by the transmitter and odd all the same: read or refused, and decided without a panic; what is
    /// about no person of the stream has no effect on one.
    #[test]
    fn signed_nonsense(subject in object(), payload in object(), which in any::<prop::sample::Index>(), more in object()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let town = &*TOWN;
        let addresses: Vec<String> = doorward_lifecycle::signals::event::EventKind::addresses().map(|(a, _)| a).collect();
        let address: &String = which.get(&addresses);
        let mut claims = event("e", &Value::Object(subject), address, &Value::Object(payload));
        for (name, value) in more {
            claims[name] = value;
        }
        for typ in ["secevent+jwt", "logout+jwt", "global-token-revocation+jwt"] {
            let token = sign(typ, &claims);
            runtime.block_on(async {
                let message = match town.verifier.security_event("okta", &token, NOW).await {
                    Ok(message) => message,
                    Err(why) => {
                        for kind in MessageKind::ALL {
                            let told = Reply::refused(Asked::Message(kind), &why);
                            prop_assert!((400..=503).contains(&told.status));
                        }
                        return Ok(());
                    }
                };
                if let Ok(signal) = doorward_lifecycle::signals::Signal::read(&message) {
                    let verdict = decide(&signal, town.stream("okta"), &town.directory);
                    let cause = verdict.cause(&signal);
                    prop_assert!(cause.len() <= 512 && !cause.chars().any(char::is_control));
                }
                Ok(())
            })?;
        }
    }

    /// Any bit of a good message changed: it is refused.
    #[test]
    fn a_changed_bit(at in any::<prop::sample::Index>(), bit in 0_u8..7) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let town = &*TOWN;
        let good = sign("secevent+jwt", &event("e", &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"), &json!({})));
        let mut bytes = good.clone().into_bytes();
        let i = at.index(bytes.len());
        bytes[i] ^= 1 << bit;
        let changed = String::from_utf8(bytes).unwrap();
        runtime.block_on(async {
            prop_assert!(town.verifier.security_event("okta", &good, NOW).await.is_ok());
            prop_assert!(town.verifier.security_event("okta", &changed, NOW).await.is_err());
            Ok(())
        })?;
    }
}
