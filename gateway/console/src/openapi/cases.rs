//! What is still to be done about those who left.

use doorward_lifecycle::offboarding::{CASE_TEXT_BYTES_MAX, CaseState};
use doorward_lifecycle::service::PAGE_MAX;
use serde_json::{Value, json};

use super::form::{Members, Operation, Paths, flag, id, list, object, or_null, said, text, time, to, word};
use super::people::{change, outcome};
use super::refusals::{CHANGE, LIST, LOOK};
use crate::directory::ROWS;

const TAG: &str = "offboarding";

fn states() -> Value {
    word(CaseState::ALL.iter().map(|state| state.as_str()))
}

fn case() -> Members {
    let seen = object([("is", word(["seen"])), ("at", time()), ("what", text())]);
    let said = object([("is", word(["said"])), ("at", time()), ("by", text()), ("note", text())]);
    let item = object([
        ("item", text()),
        ("owner", text()),
        ("due_at", time()),
        ("owed", flag()),
        ("evidence", json!({ "anyOf": [seen.told(), said.told(), { "type": "null" }] })),
    ]);
    let end = object([("at", time()), ("by", text()), ("left_open", list(text()))]);
    object([
        ("id", id()),
        ("person", id()),
        ("state", states()),
        ("cut_at", time()),
        ("verified_at", or_null(time())),
        ("end", or_null(end.told())),
        ("items", list(item.told())),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![("Case", case().told()), ("CaseChanged", case().with(outcome()).told())]
}

pub(super) fn paths(paths: &mut Paths) {
    let page = object([("cases", list(to("Case"))), ("next", or_null(id()))]);
    let found = Operation::new(TAG, "cases.list", "The cases of those who left, page by page")
        .query("state", states(), "In this state only.")
        .page(ROWS, PAGE_MAX, id())
        .answers(200, "A page of cases, in the order of ids.", page.told())
        .leads_to(
            200,
            "cases/0/person",
            &[("cases.show", "person"), ("cases.say", "person"), ("cases.close", "person")],
        )
        .refuses(LIST);
    paths.on("get", "/api/v1/offboarding", found);

    let one =
        |id: &str, summary: &str| Operation::new(TAG, id, summary).path("person", self::id(), "Who left.");
    let show = one("cases.show", "The case of one, while it is open or verified")
        .answers(200, "The case.", to("Case"))
        .refuses(LOOK);
    paths.on("get", "/api/v1/offboarding/{person}", show);
    let wish = object([("item", text()), ("note", said(CASE_TEXT_BYTES_MAX))]);
    let say = one("cases.say", "Says that an item is done")
        .body(change(wish), json!({ "item": "manual_app:crm", "note": "the account is removed" }))
        .answers(200, "The case.", to("CaseChanged"))
        .refuses(CHANGE);
    paths.on("post", "/api/v1/offboarding/{person}/say", say);
    let close = one("cases.close", "Closes it, when everything has its evidence")
        .optional_body(to("Change"), json!({ "cause": "done" }))
        .answers(200, "The case.", to("CaseChanged"))
        .refuses(CHANGE);
    paths.on("post", "/api/v1/offboarding/{person}/close", close);
}
