//! Who may do what, and under which conditions.

use doorward_policy::Action;
use serde_json::{Value, json};

use super::form::{Operation, Paths, count, id, list, object, or_null, text, to, word};
use super::refusals::LOOK;
use crate::access::{LOOKED_AT, LOOKED_AT_MAX};

const TAG: &str = "access";

fn whose() -> Value {
    word(["asker", "person"])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let clause = object([("policy", text()), ("needs", list(text())), ("cedar", text())]);
    let terms = object([
        ("whose", whose()),
        ("by", list(text())),
        ("permits", list(to("AccessClause"))),
        ("forbids", list(to("AccessClause"))),
        ("may_fail", list(text())),
    ]);
    let always = object([("answer", word(["always"])), ("by", list(text()))]);
    let depends = object([("answer", word(["if"])), ("terms", list(to("AccessTerms")))]);
    let never = object([
        ("answer", word(["never"])),
        ("whose", whose()),
        ("because", word(["not_permitted", "forbidden", "fails", "not_asked"])),
        ("policies", list(text())),
        ("detail", or_null(text())),
    ]);
    let who = object([
        ("name", text()),
        ("id", or_null(text())),
        ("kind", word(["user", "service_account", "agent", "visitor"])),
        ("person", or_null(text())),
        ("record", or_null(id())),
    ]);
    let row = object([
        ("who", who.told()),
        ("action", word(Action::ALL.map(Action::as_str))),
        ("route", text()),
        ("answer", count()),
        ("revision", or_null(text())),
    ]);
    let staged = object([("revision", text()), ("hundredths", count()), ("apps", or_null(list(text())))]);
    let page = object([
        ("revision", text()),
        ("staged", or_null(staged.told())),
        ("as_tokens_say", list(text())),
        ("answers", list(to("AccessAnswer"))),
        ("rows", list(to("AccessRow"))),
        ("next", or_null(text())),
    ]);
    vec![
        ("AccessClause", clause.told()),
        ("AccessTerms", terms.told()),
        ("AccessAnswer", json!({ "anyOf": [always.told(), depends.told(), never.told()] })),
        ("AccessRow", row.told()),
        ("AccessPage", page.told()),
    ]
}

pub(super) fn paths(paths: &mut Paths) {
    let says = "`answer` of a row is the place of its answer among `answers`. A page may be short, or empty, before \
                the last: `next` says whether there is more. Whoever has several sign-ins has a row for each. `revision` of \
                a row are the policies that would decide there: those in force, or those of a roll-out; null where none \
                would be asked. `person` of `who` is as whom the person signs in for whom an agent acts, or who answers \
                for a service account; `record` is the id in the directory. Whoever comes by an issuer of `as_tokens_say` \
                is as the token says (`directory.token_for`), and has no row for that.";
    let who = Operation::new(TAG, "access.who_can", "Who can do something, and under which conditions")
        .says(says)
        .needed("action", word(Action::ALL.map(Action::as_str)), "What is to be done.")
        .needed("route", text(), "A route, a path of an app (`payroll/runs`), or an address.")
        .page(LOOKED_AT, LOOKED_AT_MAX, text())
        .answers(
            200,
            "People in the order of their ids, then machines, then who has not signed in.",
            to("AccessPage"),
        )
        .refuses(LOOK);
    paths.on("get", "/api/v1/access/who-can", who);
    let what = Operation::new(TAG, "access.what_can", "What somebody can do, and under which conditions")
        .says(says)
        .query("person", id(), "Who: the id of a person. This, `machine` or `visitor`.")
        .query(
            "machine",
            id(),
            "Which: the id of a service account or an agent, which is asked about for its owner.",
        )
        .query("visitor", word(["yes"]), "Whoever has not signed in.")
        .page(LOOKED_AT, LOOKED_AT_MAX, text())
        .answers(200, "Every action of each route, in the order of the configuration.", to("AccessPage"))
        .refuses(LOOK);
    paths.on("get", "/api/v1/access/what-can", what);
}
