//! Tokens of service accounts.

use doorward_model::directory::TOKEN_LIMITS_MAX;
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, flag, formed, id, list, number, object, or_null, said, set, text, time, to,
};
use super::people::{MILLIS_MAX, app, change};
use super::refusals::{CHANGE, MAKE};

const TAG: &str = "service accounts";
/// By which a token is known once it was shown.
const NAME: &str = "^[0-9a-f]{12}$";
/// An address, or all of a prefix.
const NET: &str = "^[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?$";
/// The longest label and scope, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// One token, as it stands with its machine.
pub(super) fn token() -> Value {
    object([
        ("name", formed(NAME)),
        ("label", text()),
        ("good", flag()),
        ("apps", or_null(list(app()))),
        ("from", or_null(list(text()))),
        ("scopes", or_null(list(text()))),
        ("created_at", time()),
        ("created_by", text()),
        ("expires_at", time()),
        ("last_used_at", or_null(time())),
    ])
    .told()
}

/// What may be said of a new one.
fn limits() -> Members {
    let some = |of: Value| {
        let mut these = set(of, TOKEN_LIMITS_MAX);
        if let Value::Object(members) = &mut these {
            members.insert("minItems".to_owned(), 1.into());
        }
        these
    };
    Members::default().maybe([
        ("apps", some(app())),
        ("from", some(formed(NET))),
        ("scopes", some(said(TEXT_BYTES_MAX))),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let token = ("token", json!({ "type": "string", "description": "Shown this once." }));
    vec![
        ("MachineToken", self::token()),
        ("MachineWithToken", json!({ "allOf": [to("MachineChanged"), object([token]).told()] })),
    ]
}

pub(super) fn paths(paths: &mut Paths) {
    let all = "/api/v1/service-accounts/{id}/tokens";
    let of = |name: &str, summary: &str| Operation::new(TAG, name, summary).path("id", id(), "Whose.");
    let wish = object([("label", said(TEXT_BYTES_MAX)), ("expires_at", number(1, MILLIS_MAX))]);
    let example = json!({
        "label": "nightly", "expires_at": 1_893_456_000_000_u64, "apps": ["files"], "from": ["192.0.2.0/24"],
    });
    let add = of("service_accounts.add_token", "Makes a token for it, and shows it this once")
        .says("A year ahead at most. What is not said of apps, addresses and scopes does not matter.")
        .body(change(wish.with(limits())), example)
        .answers(201, "The service account, with the token.", to("MachineWithToken"))
        .refuses(MAKE);
    paths.on("post", all, add);
    let one = |operation: Operation| operation.path("token", formed(NAME), "The name of the token.");
    let revoke = one(of("service_accounts.revoke_token", "Ends a token, and what runs with it"))
        .optional_body(to("Change"), json!({ "cause": "found in a log" }))
        .answers(200, "The service account, with what it has left.", to("MachineChanged"))
        .refuses(CHANGE);
    paths.on("delete", &format!("{all}/{{token}}"), revoke);
    let later = Members::default().maybe([("expires_at", number(1, MILLIS_MAX))]);
    let rotate = one(of("service_accounts.rotate_token", "Makes another that is good for the same"))
        .says("The first stays good until it is revoked. Without a date the other one is good for as long.")
        .optional_body(change(later), json!({ "cause": "every quarter" }))
        .answers(201, "The service account, with the other token.", to("MachineWithToken"))
        .refuses(MAKE);
    paths.on("post", &format!("{all}/{{token}}/rotate"), rotate);
}
