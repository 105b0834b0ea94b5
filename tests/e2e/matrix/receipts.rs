//! What takes access away leads to one receipt, and the receipt is true: it has every node, and of each protocol
//! it has as many exchanges as the clients saw end.

use std::collections::BTreeMap;

use doorward_tests::live::Kind;
use doorward_tests::wire::within;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::house::{House, Party};
use crate::rows::Row;

/// How many ended, by the name that receipts have for a protocol.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// How a receipt counts a stream; a connection that waits is nothing that runs.
pub(crate) const fn protocol(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::WsIdle | Kind::WsTicking | Kind::WsEcho => Some("websocket"),
        Kind::SseIdle | Kind::Sse | Kind::H2SseIdle | Kind::H2Sse => Some("event_stream"),
        Kind::Download | Kind::Upload | Kind::Unanswered => Some("http1"),
        Kind::H2Download | Kind::H2Upload | Kind::H2Unanswered => Some("http2"),
        Kind::GrpcIdle | Kind::GrpcWatch | Kind::GrpcEcho | Kind::GrpcUnanswered => Some("grpc"),
        Kind::KeepAlive => None,
    }
}

/// What is said of the receipts of a row, but for what must be.
pub(crate) async fn check(house: &House, row: &Row, party: &Party, ended: &Counts) -> Vec<String> {
    let Some(command) = row.receipt else {
        let listed = list(house, party).await;
        return listed.iter().map(|receipt| format!("{}: a receipt: {receipt}", row.name)).collect();
    };
    let what = format!("the receipt of {}", row.name);
    let made = within(&what, async {
        loop {
            let made = list(house, party).await;
            if !made.is_empty() {
                return made;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let [receipt] = made.as_slice() else { return vec![format!("{}: more than one: {made:?}", row.name)] };
    let mut wrong = Vec::new();
    let summary = &receipt["content"]["summary"];
    let nodes = house.nodes.len();
    for (what, expected) in [
        (&receipt["content"]["facts"]["asked"]["command"], json!(command)),
        (&summary["enforced_everywhere"], json!(true)),
        // Without a revocation what runs is decided anew, and not counted.
        (&summary["nothing_runs"], json!(command != "remove_group")),
        (&summary["nodes"]["all"], json!(nodes)),
        (&summary["nodes"]["applied"], json!(nodes)),
        (&summary["nodes"]["ended_unknown"], json!(0)),
    ] {
        if *what != expected {
            wrong.push(format!("{}: the receipt says {what} and not {expected}: {summary}", row.name));
        }
    }
    for protocol in ["http1", "http2", "websocket", "event_stream", "grpc"] {
        let (told, seen) = (told(summary, protocol), ended.get(protocol).copied().unwrap_or_default());
        // Whoever asks over and over may be in the middle of a request at each node.
        let asks = if protocol == "http1" { nodes as u64 } else { 0 };
        if !(seen..=seen + asks).contains(&told) {
            wrong.push(format!("{}: the receipt has {told} of {protocol}, and {seen} ended", row.name));
        }
    }
    wrong
}

fn told(summary: &Value, protocol: &str) -> u64 {
    let all = summary["exchanges"].as_array().into_iter().flatten();
    all.filter(|of| of["protocol"] == protocol).filter_map(|of| of["ended"].as_u64()).sum()
}

/// The receipts of somebody that are made, and those of what a signal named of theirs.
async fn list(house: &House, party: &Party) -> Vec<Value> {
    let all = house.operate("GET", "/api/v1/receipts?limit=1000", Value::Null).await;
    let mut found = Vec::new();
    for row in all["receipts"].as_array().unwrap() {
        let is_theirs = row["person"] == json!(party.id);
        if !is_theirs && !row["person"].is_null() {
            continue;
        }
        let path = format!("/api/v1/receipts/{}", row["id"].as_str().unwrap());
        let receipt = house.operate("GET", &path, Value::Null).await;
        let cause = receipt["content"]["facts"]["asked"]["cause"].as_str().unwrap_or_default();
        if is_theirs || cause.ends_with(&format!(" m-{}", party.name)) {
            found.push(receipt);
        }
    }
    found
}
