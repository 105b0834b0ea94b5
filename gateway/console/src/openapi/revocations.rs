//! Taking access away and giving it back, what is owed, and the fleet.

use doorward_audit::Protocol;
use doorward_model::EntryKind;
use doorward_model::limits::{
    OPERATOR_FLEET_MILLIS, OPERATOR_FLEET_MILLIS_MAX, REVOCATION_CAUSE_BYTES_MAX, REVOCATION_PAGE_ROWS_MAX,
};
use doorward_state::{Action, DebtKind, FleetRole};
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, bounded, count, flag, formed, id, integer, list, object, or_null, said, text,
    time, to, word,
};
use super::people::change;
use super::refusals::{CHANGE, LIST};
use crate::directory::ROWS;

const TAG: &str = "revocations";

fn target() -> Value {
    object([("kind", kind()), ("id", text())]).told()
}

fn kind() -> Value {
    word(EntryKind::ALL.map(EntryKind::as_str))
}

/// What the nodes say, where they were waited for.
pub(super) fn everywhere() -> Members {
    Members::default().maybe([
        ("enforced_everywhere", flag()),
        ("nodes", list(to("NodeSaid"))),
        ("nodes_unknown", or_null(text())),
    ])
}

fn position() -> Value {
    object([("epoch", id()), ("id", formed("^[0-9]+-[0-9]+$"))]).told()
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let entry = object([("not_before", integer()), ("version", count()), ("disabled", flag())]);
    let ended = Protocol::ALL.map(|protocol| (protocol.as_str(), count()));
    let applied = object([
        ("id", id()),
        ("target", to("Target")),
        ("entry", to("Entry")),
        ("applied_at", time()),
        ("durable_at", time()),
        ("published_at", or_null(time())),
        ("position", or_null(to("Position"))),
    ]);
    let said =
        object([("node", text()), ("instance", id()), ("answer", word(["applied", "behind", "silent"]))])
            .maybe([("at", time()), ("seen", time())]);
    let owed = object([
        ("id", id()),
        ("node", or_null(text())),
        ("instance", or_null(id())),
        ("owner", text()),
        ("due_at", time()),
        ("durable", flag()),
    ]);
    let row = object([
        ("seq", integer()),
        ("id", id()),
        ("target", to("Target")),
        ("action", word(Action::ALL.map(Action::as_str))),
        ("entry", to("Entry")),
        ("recorded_at", time()),
        ("cause", text()),
        ("actor", text()),
        ("request_id", text()),
    ]);
    vec![
        ("Target", target()),
        ("Entry", entry.told()),
        ("Ended", object(ended).told()),
        ("Position", position()),
        ("Applied", applied.told()),
        ("NodeSaid", said.told()),
        ("Owed", owed.told()),
        ("Revocation", row.told()),
        ("Receipt", receipt()),
        ("Debt", debt()),
        ("Fleet", fleet()),
    ]
}

fn receipt() -> Value {
    let receipt = object([
        ("id", id()),
        ("request_id", id()),
        ("target", to("Target")),
        ("action", word(Action::ALL.map(Action::as_str))),
        ("entry", to("Entry")),
        ("applied_at", time()),
        ("durable_at", time()),
        ("enforced", flag()),
        ("durable", flag()),
        ("ended", to("Ended")),
        ("remaining", count()),
        ("took_micros", or_null(count())),
    ]);
    let published = [("published_at", time()), ("position", to("Position")), ("debts", list(to("Owed")))];
    receipt.maybe(published).with(everywhere()).told()
}

fn debt() -> Value {
    let debt = object([
        ("seq", integer()),
        ("id", id()),
        ("kind", word(DebtKind::ALL.map(DebtKind::as_str))),
        ("about", text()),
        ("owner", text()),
        ("cause", text()),
        ("opened_at", time()),
        ("due_at", time()),
        ("overdue", flag()),
        ("settled_at", or_null(time())),
        ("how", or_null(text())),
    ]);
    debt.told()
}

fn fleet() -> Value {
    let fleet = object([
        ("role", word([FleetRole::Control, FleetRole::Gateway].map(FleetRole::as_str))),
        ("server", or_null(text())),
        ("leased", flag()),
        ("lease_millis", count()),
        ("lease_left_millis", count()),
        ("lag_millis", or_null(count())),
        ("position", or_null(to("Position"))),
        ("generation", or_null(count())),
        ("blessed", flag()),
        ("polls", count()),
        ("poll_failures", count()),
        ("pushes", count()),
        ("resyncs", count()),
        ("connects", count()),
        ("outbox", or_null(count())),
        ("blessings", count()),
        ("published", count()),
        ("trouble", or_null(text())),
    ]);
    fleet.told()
}

pub(super) fn paths(paths: &mut Paths) {
    let page = object([
        ("revocations", list(to("Revocation"))),
        ("in_force", or_null(to("Entry"))),
        ("next", or_null(integer())),
    ]);
    let found =
        Operation::new(TAG, "revocations.list", "What was taken away and given back, the newest first")
            .says("`kind` and `id` go together or are left out.")
            .query("kind", kind(), "Of which kind.")
            .query("id", text(), "Its id, in the form of its kind.")
            .page(ROWS, REVOCATION_PAGE_ROWS_MAX, integer())
            .answers(200, "A page, and what is remembered of the one target that was asked for.", page.told())
            .refuses(LIST);
    paths.on("get", "/api/v1/revocations", found);

    let create = Operation::new(TAG, "revocations.create", "Takes access away, or gives it back")
        .body(wish(), json!({ "target": { "kind": "user", "id": "corp:alice" }, "action": "revoke", "cause": "laptop lost" }))
        .answers(201, "It is in force, on the disk and in the audit log.", to("Receipt"))
        .refuses(CHANGE);
    paths.on("post", "/api/v1/revocations", create);
    debts(paths);
    let nodes = object([
        ("fleet", or_null(to("Fleet"))),
        ("nodes", list(to("NodeSaid"))),
        ("nodes_unknown", or_null(text())),
    ]);
    let wait = bounded(OPERATOR_FLEET_MILLIS, OPERATOR_FLEET_MILLIS_MAX);
    let shown =
        Operation::new("node", "fleet.show", "How this node stands to its fleet, and what every node says")
            .query("wait_millis_max", wait, "How long the other nodes are waited for.")
            .answers(200, "The fleet. Null on a node without one.", nodes.told())
            .refuses(LIST);
    paths.on("get", "/api/v1/fleet", shown);
}

/// A target by its kind, and what is to be done. What ends for ever is not given back.
fn wish() -> Value {
    let named = |kind: EntryKind| {
        let id = match kind {
            EntryKind::User | EntryKind::Session | EntryKind::Token => super::people::sign_in(),
            EntryKind::Device => formed("^[!-~]{1,255}$"),
            EntryKind::UserAtApp => {
                formed("^[a-z0-9._-]{1,64}@[a-z0-9-]{1,64}:[^\\u0000-\\u001f\\u007f-\\u009f]{1,255}$")
            }
        };
        object([("kind", word([kind.as_str()])), ("id", id)]).taken()
    };
    let target = json!({ "oneOf": EntryKind::ALL.map(named) });
    let wish = object([("target", target), ("action", word(Action::ALL.map(Action::as_str)))]);
    of_no_record(wish)
}

/// The body of a revocation, which is of no record, so of no version.
pub(super) fn of_no_record(wish: Members) -> Value {
    let mut body = change(wish);
    if let Some(members) = body.get_mut("properties").and_then(Value::as_object_mut) {
        members.remove("if_version");
    }
    body
}

fn debts(paths: &mut Paths) {
    let page = object([("debts", list(to("Debt"))), ("next", or_null(integer()))]);
    let found = Operation::new(
        "debts",
        "debts.list",
        "What was promised and not confirmed in time, the newest first",
    )
    .query("open", flag(), "True: those that are not settled only.")
    .page(ROWS, REVOCATION_PAGE_ROWS_MAX, integer())
    .answers(200, "A page of debts.", page.told())
    .refuses(LIST);
    paths.on("get", "/api/v1/debts", found);
    let settled = object([("id", id()), ("settled_at", time()), ("how", text())]);
    let how = object([("how", said(REVOCATION_CAUSE_BYTES_MAX))]).taken();
    let settle = Operation::new("debts", "debts.settle", "Settles one of them")
        .path("id", id(), "Which.")
        .body(how, json!({ "how": "gw-2 was taken out of service" }))
        .answers(200, "It is settled.", settled.told())
        .refuses(CHANGE);
    paths.on("post", "/api/v1/debts/{id}/settle", settle);
}
