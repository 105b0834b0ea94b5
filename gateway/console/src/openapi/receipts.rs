//! The signed receipts of what was taken away, and the keys to check them with.

use doorward_lifecycle::receipt::facts::Command;
use doorward_lifecycle::service::PAGE_MAX;
use doorward_model::limits::OPERATOR_FLEET_MILLIS_MAX;
use serde_json::{Value, json};

use super::form::{Operation, Paths, flag, id, list, number, object, or_null, text, time, to, word};
use super::refusals::{LIST, LOOK};
use crate::directory::ROWS;

const TAG: &str = "receipts";

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let row = object([
        ("id", id()),
        ("person", or_null(id())),
        ("command", word(Command::ALL.iter().map(|command| command.as_str()))),
        ("asked_at", time()),
        ("made_at", time()),
        ("enforced_everywhere", flag()),
        ("nothing_runs", flag()),
    ]);
    let content = json!({ "type": "object", "description": "What it says; see docs/reference/receipt.md." });
    let whole = object([
        ("id", id()),
        ("made", flag()),
        ("jws", or_null(text())),
        ("content", or_null(content.clone())),
    ]);
    let owed = object([("id", id()), ("made", flag()), ("summary", or_null(content))]);
    vec![
        ("SignedReceiptRow", row.told()),
        ("SignedReceipt", whole.told()),
        ("SignedReceiptOwed", owed.told()),
    ]
}

pub(super) fn paths(paths: &mut Paths) {
    let page = object([("receipts", list(to("SignedReceiptRow"))), ("next", or_null(id()))]);
    let found = Operation::new(TAG, "receipts.list", "Signed receipts that are made, the oldest first")
        .query("person", id(), "Of this person only.")
        .page(ROWS, PAGE_MAX, id())
        .answers(200, "A page of receipts, in the order of the changes.", page.told())
        .leads_to(200, "receipts/0/id", &[("receipts.show", "id")])
        .refuses(LIST);
    paths.on("get", "/api/v1/receipts", found);
    let show = Operation::new(TAG, "receipts.show", "One signed receipt, and what it says")
        .path("id", id(), "Which, as the answer of the change names it.")
        .query(
            "wait_millis_max",
            number(1, OPERATOR_FLEET_MILLIS_MAX),
            "How long to wait until it is made; without it not at all.",
        )
        .answers(200, "The receipt; `made` is false while it is owed.", to("SignedReceipt"))
        .refuses(LOOK);
    paths.on("get", "/api/v1/receipts/{id}", show);
    let set = object([("keys", list(json!({ "type": "object" })))]);
    let keys =
        Operation::new(TAG, "receipts.keys", "The public keys of all receipts, as a JWK set (RFC 7517)")
            .answers(200, "The set, this node's newest key first.", set.told())
            .refuses(LOOK);
    paths.on("get", "/api/v1/receipt-keys", keys);
}
