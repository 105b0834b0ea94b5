//! Who may provision people.

use doorward_lifecycle::intake::connection::{
    CONNECTIONS_MAX, GROUP_PREFIX_BYTES_MAX, ROLE_RULES_MAX, SubjectAttribute,
};
use doorward_model::limits::MAIL_DOMAINS_MAX;
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, formed, id, list, name, object, or_null, said, set, text, time, to, word,
};
use super::people::change;
use super::refusals::{CHANGE, LIST, MAKE};
use crate::directory::ROWS;

const TAG: &str = "connections";
/// By which a token is known once it was shown.
const TOKEN_NAME: &str = "^[0-9a-f]{1,64}$";

/// A mail domain.
const DOMAIN: &str =
    "^([A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?\\.){1,3}[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?$";
/// A role, or the beginning of roles with a `*` behind it.
const ROLE: &str = "^(\\*|[^*\\u0000-\\u001f\\u007f-\\u009f]{1,60}\\*?)$";

fn subjects() -> Value {
    word(SubjectAttribute::ALL.map(SubjectAttribute::as_str))
}

fn connection() -> Members {
    let token =
        object([("name", formed(TOKEN_NAME)), ("created_at", time()), ("last_used_at", or_null(time()))]);
    object([
        ("name", name()),
        ("issuer", name()),
        ("subject", subjects()),
        ("email_domains", or_null(list(text()))),
        ("roles", list(text())),
        ("group_prefix", or_null(text())),
        ("created_at", time()),
        ("tokens", list(token.told())),
        ("halted", or_null(id())),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let token = ("token", json!({ "type": "string", "description": "Shown this once." }));
    vec![("Connection", connection().told()), ("ConnectionWithToken", connection().and([token]).told())]
}

pub(super) fn paths(paths: &mut Paths) {
    let all = object([("connections", list(to("Connection"))), ("next", or_null(name()))]);
    let found = Operation::new(TAG, "connections.list", "Who may provision people by SCIM")
        .page(ROWS, CONNECTIONS_MAX, name())
        .answers(200, "A page of them, by name.", all.told())
        .leads_to(
            200,
            "connections/0/name",
            &[("connections.rotate", "name"), ("connections.remove", "name")],
        )
        .refuses(LIST);
    paths.on("get", "/api/v1/connections", found);
    let wish = object([("name", name()), ("issuer", name())]).maybe([
        ("subject", subjects()),
        ("email_domains", or_null(set(formed(DOMAIN), MAIL_DOMAINS_MAX))),
        ("roles", set(formed(ROLE), ROLE_RULES_MAX)),
        ("group_prefix", or_null(said(GROUP_PREFIX_BYTES_MAX))),
    ]);
    let add = Operation::new(TAG, "connections.add", "Lets one more, and shows its token this once")
        .body(change(wish), json!({ "name": "okta", "issuer": "corp", "subject": "externalId" }))
        .answers(201, "The connection, with its token.", to("ConnectionWithToken"))
        .leads_to(201, "name", &[("connections.rotate", "name"), ("connections.remove", "name")])
        .refuses(MAKE);
    paths.on("post", "/api/v1/connections", add);

    let one = |id: &str, summary: &str| Operation::new(TAG, id, summary).path("name", name(), "Which.");
    let plain = |operation: Operation| {
        operation.optional_body(to("Change"), json!({ "cause": "moved" })).refuses(CHANGE)
    };
    let terms = Members::default().maybe([
        ("email_domains", or_null(set(formed(DOMAIN), MAIL_DOMAINS_MAX))),
        ("roles", set(formed(ROLE), ROLE_RULES_MAX)),
    ]);
    let changed =
        one("connections.change", "Changes for whose addresses its word counts, and which roles it gives")
            .says("What is not named stays; null lets its issuer's mail domains count.")
            .optional_body(
                change(terms),
                json!({ "roles": ["engineer", "eng-*"], "email_domains": ["corp.example"] }),
            )
            .answers(200, "The connection.", to("Connection"))
            .refuses(CHANGE);
    paths.on("patch", "/api/v1/connections/{name}", changed);
    let gone = object([("name", name()), ("removed", json!({ "const": true }))]);
    let remove = one("connections.remove", "Removes one for ever").answers(200, "It is gone.", gone.told());
    paths.on("delete", "/api/v1/connections/{name}", plain(remove));
    let rotate = one("connections.rotate", "Gives it a second token, shown this once").answers(
        200,
        "The connection, with its new token.",
        to("ConnectionWithToken"),
    );
    paths.on("post", "/api/v1/connections/{name}/rotate", plain(rotate));
    let revoke = one("connections.revoke_token", "Ends a token")
        .path("token", formed(TOKEN_NAME), "Its name.")
        .answers(200, "The connection, with what it has left.", to("Connection"));
    paths.on("delete", "/api/v1/connections/{name}/tokens/{token}", plain(revoke));
    let released = object([("name", name()), ("released", id())]);
    let release = one("connections.release", "Lets a connection go on that was stopped")
        .path("halt", id(), "The stop.")
        .answers(200, "It goes on.", released.told());
    paths.on("post", "/api/v1/connections/{name}/release/{halt}", plain(release));
}
