//! Where somebody is signed in with a browser.

use serde_json::{Value, json};

use super::form::{Operation, Paths, count, flag, formed, list, object, or_null, text, time, to};
use super::people::sign_in;
use super::refusals::{CHANGE, LIST};
use crate::sessions::SHOWN_CHARS;

const TAG: &str = "sessions";

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let session = object([
        ("session", text()),
        ("stands", flag()),
        ("signed_in_at", time()),
        ("seen_at", time()),
        ("confirmed_at", time()),
        ("expires_at", time()),
        ("client", text()),
        ("country", or_null(text())),
        ("browser", text()),
        ("device", or_null(text())),
        ("provider_session", or_null(text())),
        ("refresh_token", flag()),
        ("apps", list(text())),
        ("running", count()),
    ]);
    vec![("BrowserSession", session.told())]
}

pub(super) fn paths(paths: &mut Paths) {
    let found = object([("node", text()), ("sessions", list(to("BrowserSession")))]);
    let listed = Operation::new(
        TAG,
        "sessions.list",
        "Where somebody is signed in with a browser, the last used first",
    )
    .needed("user", sign_in(), "Whose.")
    .answers(200, "The sessions. What runs is told of this node alone.", found.told())
    .refuses(LIST);
    paths.on("get", "/api/v1/sessions", listed);
    let id = formed(&format!("^dws-[A-Za-z0-9_-]{{{},22}}$", SHOWN_CHARS - 4));
    let wish = super::revocations::of_no_record(object([("user", sign_in()), ("session", id)]));
    let end = Operation::new(TAG, "sessions.end", "Ends one of them, everywhere and for ever")
        .body(
            wish,
            json!({ "user": "corp:alice", "session": "dws-AbCdEfGh", "cause": "left open in the library" }),
        )
        .answers(201, "It is in force, on the disk and in the audit log.", to("Receipt"))
        .refuses(CHANGE);
    paths.on("post", "/api/v1/sessions/end", end);
}
