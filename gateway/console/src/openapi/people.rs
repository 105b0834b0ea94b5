//! People.

use doorward_lifecycle::service::PAGE_MAX;
use doorward_model::directory::{Offboarding, StateKind};
use doorward_model::limits::{OPERATOR_FLEET_MILLIS, OPERATOR_FLEET_MILLIS_MAX, REVOCATION_CAUSE_BYTES_MAX};
use doorward_model::{Employment, LifecycleStage};
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, bounded, count, flag, formed, id, list, name, number, object, or_null, plain,
    said, set, some, text, time, to, word,
};
use super::refusals::{CHANGE, LIST, LOOK, MAKE, Refusal};
use crate::directory::ROWS;
use crate::people::{
    EMAIL_BYTES_MAX, EMAILS_MAX, LOCK_SECONDS_MAX, TAGS_MAX, TEXT_BYTES_MAX, USER_NAME_BYTES_MAX, actions,
};

const TAG: &str = "people";
/// The end of the year 9999, in milliseconds.
pub(super) const MILLIS_MAX: u64 = 253_402_300_799_999;
/// A sign-in: `issuer:subject`.
const SIGN_IN: &str = "^[a-z0-9-]{1,64}:[^\\u0000-\\u001f\\u007f-\\u009f]{1,255}$";
/// The name of an app.
const APP: &str = "^[a-z0-9._-]{1,64}$";

pub(super) fn sign_in() -> Value {
    formed(SIGN_IN)
}

pub(super) fn app() -> Value {
    formed(APP)
}

/// What may stand in the body of every change.
pub(super) fn manner() -> Members {
    Members::default().maybe([
        ("cause", plain(REVOCATION_CAUSE_BYTES_MAX)),
        ("wait", word(["node", "fleet"])),
        ("wait_millis_max", bounded(OPERATOR_FLEET_MILLIS, OPERATOR_FLEET_MILLIS_MAX)),
        ("if_version", number(1, i64::MAX.unsigned_abs())),
    ])
}

/// A body with these members beside the manner.
pub(super) fn change(members: Members) -> Value {
    let fleet = json!({ "wait_millis_max": { "properties": { "wait": { "const": "fleet" } }, "required": ["wait"] } });
    members.with(manner()).schema(&[("additionalProperties", json!(false)), ("dependentSchemas", fleet)])
}

/// What every change answers beside what it was about.
pub(super) fn outcome() -> Members {
    object([
        ("request_id", id()),
        ("changed", flag()),
        ("enforced", flag()),
        ("durable", flag()),
        ("on_record", flag()),
        ("receipts", list(to("Applied"))),
        ("ended", to("Ended")),
        ("remaining", count()),
        ("took_micros", or_null(count())),
        ("debts", or_null(list(json!({ "anyOf": [to("Debt"), to("Owed")] })))),
    ])
    .with(super::revocations::everywhere())
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let hold = object([
        ("origin", word(["operator", "signal"])),
        ("signal", or_null(name())),
        ("by", text()),
        ("cause", text()),
        ("since", time()),
    ]);
    let given = object([
        ("what", text()),
        ("origin", word(["source", "operator", "default"])),
        ("by", or_null(text())),
        ("since", time()),
    ]);
    let email = object([("address", text()), ("verified", flag()), ("primary", flag())]);
    let profile = object([
        ("user_name", text()),
        ("name", or_null(text())),
        ("emails", list(email.told())),
        ("department", or_null(text())),
        ("employment", word(Employment::ALL.map(Employment::as_str))),
        ("starts_at", or_null(time())),
        ("contract_end", or_null(time())),
        ("home_country", formed("^[A-Z]{2}$")),
        ("tags", json!({ "type": "object", "additionalProperties": text() })),
    ]);
    let source = object([("kind", word(["local", "connection", "sign_in"])), ("id", or_null(name()))]);
    let changed = standing()
        .and([
            ("id", id()),
            ("version", count()),
            ("state", object([("before", or_null(state())), ("after", state())]).told()),
            ("edges", list(formed("^(T[0-9]+[a-z]?|again)$"))),
            ("stopped", list(id())),
            ("case", or_null(id())),
            ("receipt", or_null(to("SignedReceiptOwed"))),
        ])
        .with(outcome());
    vec![
        ("Change", change(Members::default())),
        ("Hold", hold.told()),
        ("Given", given.maybe([("name", or_null(text()))]).told()),
        ("Profile", profile.told()),
        ("Source", source.told()),
        ("PersonRow", row()),
        ("Person", person()),
        ("PersonChanged", changed.told()),
    ]
}

fn state() -> Value {
    word(StateKind::ALL.map(StateKind::as_str))
}

fn standing() -> Members {
    object([("stage", word(LifecycleStage::ALL.map(LifecycleStage::as_str))), ("admitted", flag())])
}

fn row() -> Value {
    let row = standing().and([
        ("id", id()),
        ("version", count()),
        ("user_name", text()),
        ("name", or_null(text())),
        ("email", or_null(text())),
        ("state", state()),
        ("source", to("Source")),
        ("links", list(sign_in())),
        ("holds", count()),
    ]);
    row.told()
}

fn person() -> Value {
    let edit = object([("what", text()), ("by", text()), ("at", time())]);
    let machine = object([("id", id()), ("user", sign_in()), ("kind", word(["service_account", "agent"]))]);
    let person = standing().and([
        ("id", id()),
        ("version", count()),
        ("state", state()),
        ("locked_until", or_null(time())),
        ("suspension", or_null(to("Hold"))),
        ("source", to("Source")),
        ("offered_to", or_null(name())),
        ("source_active", flag()),
        ("disagrees", flag()),
        ("links", list(sign_in())),
        ("holds", list(to("Hold"))),
        ("profile", to("Profile")),
        ("said", or_null(to("Profile"))),
        ("edits", list(edit.told())),
        ("roles", list(to("Given"))),
        ("groups", list(to("Given"))),
        ("apps", list(to("Given"))),
        ("machines", list(machine.told())),
        ("offboarding", word(Offboarding::ALL.map(Offboarding::as_str))),
        ("case", or_null(to("Case"))),
        ("debts", or_null(list(to("Debt")))),
        ("created_at", time()),
        ("changed_at", time()),
        ("expires_at", or_null(time())),
        ("left", or_null(object([("by", text()), ("at", time())]).told())),
        ("returned_at", or_null(time())),
    ]);
    person.told()
}

/// What an operator may say of somebody.
fn profile() -> Members {
    let tags = json!({
        "type": "object", "maxProperties": TAGS_MAX, "additionalProperties": plain(TEXT_BYTES_MAX),
        "propertyNames": plain(TEXT_BYTES_MAX),
    });
    let address = json!({
        "type": "string", "maxLength": EMAIL_BYTES_MAX,
        "pattern": "^[^\\s\\u0000-\\u001f\\u007f-\\u009f]+@[^\\s@\\u0000-\\u001f\\u007f-\\u009f]+$",
    });
    Members::default().maybe([
        ("name", or_null(said(TEXT_BYTES_MAX))),
        ("emails", set(address, EMAILS_MAX)),
        ("department", or_null(said(TEXT_BYTES_MAX))),
        ("employment", word(Employment::ALL.map(Employment::as_str))),
        ("starts_at", or_null(number(1, MILLIS_MAX))),
        ("contract_end", or_null(number(1, MILLIS_MAX))),
        ("home_country", or_null(formed("^[A-Za-z]{2}$"))),
        ("tags", tags),
    ])
}

/// The calls that are about one person.
const ABOUT: [(&str, &str); 4] =
    [("users.show", "id"), ("users.edit", "id"), ("users.suspend", "id"), ("users.deactivate", "id")];

pub(super) fn paths(paths: &mut Paths) {
    let page = object([("users", list(to("PersonRow"))), ("next", or_null(id())), ("people", count())]);
    let found = Operation::new(TAG, "users.list", "People, page by page, or by one of their names")
        .says("In the order of ids, in which people came. `named`, `email` and `link` do not go together.")
        .query("named", text(), "An id, a sign-in, a user name at any source, or an e-mail address.")
        .query("link", sign_in(), "A sign-in.")
        .query("email", text(), "An e-mail address.")
        .query("state", state(), "In this state only.")
        .query(
            "source",
            formed("^(local|connection:[a-z0-9-]{1,64}|sign-in:[a-z0-9-]{1,64})$"),
            "Of this source only.",
        )
        .query("group", text(), "Directly in this group only: its id or its name.")
        .query("q", text(), "Part of a name, an address or a sign-in, in either case.")
        .page(ROWS, PAGE_MAX, id())
        .answers(200, "A page of people, and how many there are in all.", page.told())
        .refuses(LIST)
        .refuses(&[Refusal::NotFound]);
    paths.on("get", "/api/v1/users", found);

    let role = some(255);
    let invited = profile()
        .and([("user_name", said(USER_NAME_BYTES_MAX))])
        .maybe([("roles", json!({ "type": "array", "items": role, "uniqueItems": true }))]);
    let example = json!({ "user_name": "carol", "emails": ["carol@partner.example"], "roles": ["reviewer"], "cause": "audit" });
    let invite = Operation::new(TAG, "users.invite", "Invites somebody")
        .body(change(invited), example)
        .answers(201, "Who was invited.", to("PersonChanged"))
        .leads_to(201, "id", &ABOUT)
        .refuses(MAKE);
    paths.on("post", "/api/v1/users", invite);

    let one = |id: &str, summary: &str| Operation::new(TAG, id, summary).path("id", self::id(), "Whom.");
    let show = one("users.show", "Everything that is known of one")
        .answers(200, "The person.", to("Person"))
        .refuses(LOOK);
    paths.on("get", "/api/v1/users/{id}", show);
    let edit = one("users.edit", "Changes what is said of them")
        .says("What is not named stays; null clears.")
        .optional_body(
            change(profile().maybe([("user_name", said(USER_NAME_BYTES_MAX))])),
            json!({ "department": "sales", "contract_end": null }),
        )
        .answers(200, "What was done.", to("PersonChanged"))
        .refuses(CHANGE);
    paths.on("patch", "/api/v1/users/{id}", edit);

    for (word, operation) in actions() {
        let act = one(operation, &format!("What is asked for: {word}"));
        let act = match word {
            "lock" => act.body(
                change(object([("seconds", number(1, LOCK_SECONDS_MAX))])),
                json!({ "seconds": 3600, "cause": "too many wrong passwords" }),
            ),
            "adopt" => act
                .says("Lets a connection take them over when it makes them known; null takes that back.")
                .body(
                    change(object([("connection", or_null(name()))])),
                    json!({ "connection": "okta", "cause": "HR has them now" }),
                ),
            "unhold" => act.says("Without `signal` the operators' own hold.").optional_body(
                change(Members::default().maybe([("signal", name())])),
                json!({ "signal": "okta-caep" }),
            ),
            _ => act.optional_body(to("Change"), json!({ "cause": "laptop lost" })),
        };
        let act = act.answers(200, "What was done.", to("PersonChanged")).refuses(CHANGE);
        paths.on("post", &format!("/api/v1/users/{{id}}/{word}"), act);
    }
    grants(paths);
}

fn grants(paths: &mut Paths) {
    let kinds = [
        ("roles", some(255), "The name of a role."),
        ("groups", text(), "The id of a group, or its name."),
        ("apps", app(), "The name of an app."),
        ("links", sign_in(), "A sign-in."),
    ];
    for (kind, what, says) in kinds {
        let path = format!("/api/v1/users/{{id}}/{kind}/{{what}}");
        for (method, verb, summary) in [("put", "give", "Gives it"), ("delete", "take", "Takes it")] {
            let grant = Operation::new(TAG, &format!("users.{verb}.{kind}"), summary)
                .path("id", id(), "Whom.")
                .path("what", what.clone(), says)
                .optional_body(to("Change"), json!({ "cause": "moved to sales" }))
                .answers(200, "What was done.", to("PersonChanged"))
                .refuses(CHANGE);
            paths.on(method, &path, grant);
        }
    }
}
