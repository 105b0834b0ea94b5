//! Looks that all faults share.

use std::path::Path;
use std::time::Duration;

use doorward_tests::audit_log::events_in;
use doorward_tests::company::bearer;
use doorward_tests::gateway::Gateway;
use doorward_tests::h1::{self, Response};
use doorward_tests::wire::within;
use serde_json::Value;

/// One request of a person with this token.
pub(crate) async fn get(gateway: &Gateway, host: &str, token: &str) -> Response {
    h1::ask(gateway.address(), "GET", host, "/", &[("authorization", &bearer(token))]).await
}

/// The status, and the code of a refusal; 0 when the request was cut off, as one is that is under way when
/// what let it in is taken away.
pub(crate) async fn told(gateway: &Gateway, host: &str, token: &str) -> (u16, String) {
    let fields = [("authorization", &*bearer(token))];
    let Some(answer) = h1::try_ask(gateway.address(), "GET", host, "/", &fields).await else {
        return (0, "cut off".to_owned());
    };
    let code = answer.head.value("x-doorward-refusal").unwrap_or_default();
    (answer.status(), code)
}

/// Waits until a request is answered so.
pub(crate) async fn comes_to(gateway: &Gateway, host: &str, token: &str, expected: (u16, &str)) {
    let begin = tokio::time::Instant::now();
    loop {
        let seen = told(gateway, host, token).await;
        if seen == (expected.0, expected.1.to_owned()) {
            return;
        }
        // The pauses between tries of the gateway grow: longer than a step of a test.
        assert!(begin.elapsed() < Duration::from_secs(90), "{seen:?} at {host} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for an event with this code in the log that lies in this folder.
pub(crate) async fn event_in(folder: &Path, code: &str) -> Value {
    within(&format!("the event {code}"), async {
        loop {
            let found = events_in(folder).into_iter().rev().find(|e| e["metadata"]["event_code"] == code);
            if let Some(event) = found {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// Waits for an event with this code, the latest of them.
pub(crate) async fn event(gateway: &Gateway, code: &str) -> Value {
    event_in(&gateway.folder().join("data/audit"), code).await
}

/// The condition of this name in `/readyz`, and whether all of it is ready.
pub(crate) async fn condition(gateway: &Gateway, name: &str) -> (u16, Value) {
    let answer = gateway.api("GET", "/readyz", None).await;
    let body: Value = serde_json::from_str(&answer.text).unwrap();
    let conditions = body["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|c| c["name"] == name).cloned();
    (answer.status, found.unwrap_or_else(|| panic!("no condition `{name}` in {body}")))
}

/// Waits until a condition is in this state.
pub(crate) async fn condition_comes_to(gateway: &Gateway, name: &str, ready: u16, state: &str) -> Value {
    within(&format!("{name} to be {state}"), async {
        loop {
            let (status, seen) = condition(gateway, name).await;
            if status == ready && seen["state"] == state {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// Waits until a metric has this value.
pub(crate) async fn metric_comes_to(gateway: &Gateway, name: &str, value: f64) {
    within(&format!("{name} to be {value}"), async {
        while gateway.metrics().await.get(name) != Some(&value) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
