//! Service accounts and agents.

use doorward_lifecycle::service::PAGE_MAX;
use doorward_model::directory::{MachineKind, MachineStateKind, StopCause};
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, count, flag, id, list, number, object, or_null, said, set, text, time, to,
    word,
};
use super::people::{MILLIS_MAX, change, outcome, sign_in};
use super::refusals::{CHANGE, LIST, LOOK, MAKE};
use crate::directory::ROWS;
use crate::machines::actions;

/// The longest name, purpose and scope, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// The most scopes of one machine.
const SCOPES_MAX: usize = 64;

fn machine() -> Members {
    object([
        ("id", id()),
        ("version", count()),
        ("user", sign_in()),
        ("kind", word(MachineKind::ALL.map(MachineKind::as_str))),
        ("name", text()),
        ("purpose", text()),
        ("owner", id()),
        ("scopes", list(text())),
        ("state", word(MachineStateKind::ALL.map(MachineStateKind::as_str))),
        ("stopped_because", or_null(word(StopCause::ALL.map(StopCause::as_str)))),
        ("stopped_at", or_null(time())),
        ("admitted", flag()),
        ("expires_at", time()),
        ("created_at", time()),
        ("tokens", list(to("MachineToken"))),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![("Machine", machine().told()), ("MachineChanged", machine().with(outcome()).told())]
}

pub(super) fn paths(paths: &mut Paths) {
    of("service-accounts", "service_accounts", "service accounts", paths);
    of("agents", "agents", "agents", paths);
}

fn of(segment: &str, member: &str, tag: &str, paths: &mut Paths) {
    let all = format!("/api/v1/{segment}");
    let named = |call: &str| format!("{member}.{call}");
    let (show, hand_over, stop) = (named("show"), named("hand-over"), named("stop"));
    let about = [(show.as_str(), "id"), (hand_over.as_str(), "id"), (stop.as_str(), "id")];

    let page = object([(member, list(to("Machine"))), ("next", or_null(id()))]);
    let found = Operation::new(tag, &named("list"), "Page by page, or by name")
        .query("named", text(), "An id, or a sign-in with its issuer or without.")
        .query("owner", id(), "Those that this person answers for.")
        .page(ROWS, PAGE_MAX, id())
        .answers(200, "A page of them, in the order of ids.", page.told())
        .refuses(LIST);
    paths.on("get", &all, found);

    let wish = object([
        ("user", sign_in()),
        ("name", said(TEXT_BYTES_MAX)),
        ("purpose", said(TEXT_BYTES_MAX)),
        ("owner", id()),
        ("expires_at", number(1, MILLIS_MAX)),
    ])
    .maybe([("scopes", set(said(TEXT_BYTES_MAX), SCOPES_MAX))]);
    let example = json!({
        "user": "corp:backup", "name": "Backup", "purpose": "copies files", "scopes": ["files:read"],
        "owner": "01890a5d-ac96-774b-bcce-b302099a8057", "expires_at": 1_893_456_000_000_u64,
    });
    let register = Operation::new(tag, &named("register"), "Registers one")
        .body(change(wish), example)
        .answers(201, "The machine.", to("MachineChanged"))
        .leads_to(201, "id", &about)
        .refuses(MAKE);
    paths.on("post", &all, register);

    let one = format!("{all}/{{id}}");
    let look = Operation::new(tag, &show, "One of them")
        .path("id", id(), "Which.")
        .answers(200, "The machine.", to("Machine"))
        .refuses(LOOK);
    paths.on("get", &one, look);

    for word in actions() {
        let act = Operation::new(tag, &named(word), &format!("What is asked for: {word}")).path(
            "id",
            id(),
            "Which.",
        );
        let act = match word {
            "hand-over" => act.body(
                change(object([("owner", id())])),
                json!({ "owner": "01890a5d-ac96-774b-bcce-b302099a8057" }),
            ),
            _ => act.optional_body(to("Change"), json!({ "cause": "not used any more" })),
        };
        let act = act.answers(200, "The machine.", to("MachineChanged")).refuses(CHANGE);
        paths.on("post", &format!("{one}/{word}"), act);
    }
}
