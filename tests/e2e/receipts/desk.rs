//! What an operator and an auditor do with receipts: by the commands, as they do.

use std::time::Duration;

use doorward_tests::gateway::{Gateway, command};
use doorward_tests::h1::Response;
use doorward_tests::wire::within;
use serde_json::Value;
use tokio::time::sleep;

/// The receipt that an answer of the intake names.
pub(crate) fn named(answer: &Response) -> String {
    answer.head.value("doorward-receipt").unwrap_or_else(|| panic!("no receipt: {}", answer.text()))
}

/// What `doorward` printed, which must be well.
pub(crate) async fn done(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.command(arguments).await;
    assert_eq!(output.code, Some(0), "{arguments:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}

/// Gets a receipt and the keys, and has them checked where there is no gateway: what it says.
pub(crate) async fn verified(gateway: &Gateway, id: &str) -> Value {
    // By far longer than any of them waits for nodes.
    let line = done(gateway, &["receipt", "get", id, "--wait-millis", "30000"]).await;
    let keys = done(gateway, &["receipt", "keys"]).await;
    let desk = tempfile::tempdir().unwrap();
    let (file, jwks) = (desk.path().join("receipt.jws"), desk.path().join("receipt.jwks"));
    std::fs::write(&file, line).unwrap();
    std::fs::write(&jwks, keys).unwrap();
    let (file, jwks) = (file.to_str().unwrap(), jwks.to_str().unwrap());
    let arguments = ["receipt", "verify", file, "--keys", jwks, "--json"];
    let output = command(&arguments).await;
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    let told: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&told["genuine"], told["receipt"]["id"].as_str()), (&Value::Bool(true), Some(id)));
    told["receipt"].clone()
}

/// What the operator API says of a receipt now.
pub(crate) async fn shown(gateway: &Gateway, id: &str) -> Value {
    let answer = gateway.api("GET", &format!("/api/v1/receipts/{id}"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

/// The offboarding case of a person, once it stands there.
pub(crate) async fn case_comes_to(gateway: &Gateway, person: &str, state: &str) -> Value {
    let path = format!("/api/v1/offboarding/{person}");
    let what = format!("the case of {person} to be {state}");
    within(&what, async {
        loop {
            let answer = gateway.api("GET", &path, None).await;
            let case: Value = serde_json::from_str(&answer.text).unwrap();
            if case["state"] == state {
                return case;
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

/// How much of one protocol a receipt says was ended, on all nodes.
pub(crate) fn ended(receipt: &Value, protocol: &str) -> u64 {
    let all = receipt["summary"]["exchanges"].as_array().unwrap();
    all.iter().filter(|of| of["protocol"] == protocol).map(|of| of["ended"].as_u64().unwrap()).sum()
}
