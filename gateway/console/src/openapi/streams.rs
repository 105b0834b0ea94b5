//! By which streams transmitters tell of people.

use doorward_lifecycle::service::PAGE_MAX;
use doorward_lifecycle::signals::health::Condition;
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, count, flag, list, name, object, or_null, text, time, to, word,
};
use super::refusals::{CHANGE, LIST};
use crate::directory::ROWS;

const TAG: &str = "streams";

fn stream() -> Members {
    let counts = object([
        ("asked", count()),
        ("answered", count()),
        ("missed", count()),
        ("not_taken", count()),
        ("polls", count()),
        ("poll_failures", count()),
    ]);
    object([
        ("name", name()),
        ("issuer", text()),
        ("delivery", word(["push", "poll"])),
        ("condition", word(Condition::WORDS)),
        ("alarming", flag()),
        ("detail", text()),
        ("error", or_null(text())),
        ("verify_seconds", or_null(count())),
        ("silent_seconds_max", or_null(count())),
        ("event_at", or_null(time())),
        ("verified_at", or_null(time())),
        ("asked_at", or_null(time())),
        ("missed", count()),
        ("fetched_at", or_null(time())),
        ("counts", counts.told()),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![("Stream", stream().told())]
}

pub(super) fn paths(paths: &mut Paths) {
    let all = object([("streams", list(to("Stream"))), ("next", or_null(name()))]);
    let found = Operation::new(
        TAG,
        "streams.list",
        "By which streams transmitters tell of people, and how each stands",
    )
    .page(ROWS, PAGE_MAX, name())
    .answers(200, "A page of them, by name.", all.told())
    .refuses(LIST);
    paths.on("get", "/api/v1/streams", found);
    let asked = object([("name", text()), ("asked_at", time())]);
    let verify = Operation::new(TAG, "streams.verify", "Asks a transmitter now whether its stream is alive")
        .path("name", text(), "Which.")
        .optional_body(to("Change"), json!({ "cause": "after the renewal of its token" }))
        .answers(202, "It took the question. Its answer comes as an event.", asked.told())
        .refuses(CHANGE);
    paths.on("post", "/api/v1/streams/{name}/verify", verify);
}
