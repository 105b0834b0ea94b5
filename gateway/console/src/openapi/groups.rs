//! Groups.

use doorward_lifecycle::service::{GROUP_NAME_BYTES_MAX, PAGE_MAX};
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, count, formed, id, list, object, or_null, said, text, time, to,
};
use super::people::{change, outcome};
use super::refusals::{CHANGE, LIST, LOOK, MAKE};
use crate::directory::ROWS;

const TAG: &str = "groups";
/// The id of a person, or `group:` and that of a group.
const MEMBER: &str = "^(person:|group:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

fn members() -> Value {
    json!({
        "type": "array", "items": formed(MEMBER), "uniqueItems": true,
        "description": "The id of a person, or `group:` and the id of a group.",
    })
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let group = object([
        ("id", id()),
        ("version", count()),
        ("name", text()),
        ("source", to("Source")),
        ("people", count()),
        ("groups", list(id())),
        ("parents", list(id())),
        ("created_at", time()),
        ("changed_at", time()),
    ]);
    let member = formed("^(person|group):[0-9a-f-]{36}$");
    let changed = object([
        ("id", id()),
        ("name", text()),
        ("version", count()),
        ("added", list(member.clone())),
        ("removed", list(member)),
        ("signed_receipts", list(id())),
    ]);
    vec![("Group", group.told()), ("GroupChanged", changed.with(outcome()).told())]
}

/// The calls that are about one group.
const ABOUT: [(&str, &str); 4] =
    [("groups.show", "id"), ("groups.rename", "id"), ("groups.members", "id"), ("groups.delete", "id")];

pub(super) fn paths(paths: &mut Paths) {
    let page = object([("groups", list(to("Group"))), ("next", or_null(id())), ("total", count())]);
    let found = Operation::new(TAG, "groups.list", "Groups, page by page, or by name")
        .query("named", text(), "An id or a name.")
        .query("q", text(), "Part of a name, in either case.")
        .page(ROWS, PAGE_MAX, id())
        .answers(200, "A page of groups in the order of ids, and how many there are in all.", page.told())
        .refuses(LIST);
    paths.on("get", "/api/v1/groups", found);

    let made = object([("name", said(GROUP_NAME_BYTES_MAX))]).maybe([("members", members())]);
    let make = Operation::new(TAG, "groups.create", "Makes one")
        .body(change(made), json!({ "name": "Engineering", "members": [] }))
        .answers(201, "The group.", to("GroupChanged"))
        .leads_to(201, "id", &ABOUT)
        .refuses(MAKE);
    paths.on("post", "/api/v1/groups", make);

    let one = |id: &str, summary: &str| Operation::new(TAG, id, summary).path("id", self::id(), "Which.");
    let show = one("groups.show", "One of them").answers(200, "The group.", to("Group")).refuses(LOOK);
    paths.on("get", "/api/v1/groups/{id}", show);
    let rename = one("groups.rename", "Renames it")
        .body(change(object([("name", said(GROUP_NAME_BYTES_MAX))])), json!({ "name": "Sales" }))
        .answers(200, "The group.", to("GroupChanged"))
        .refuses(CHANGE);
    paths.on("patch", "/api/v1/groups/{id}", rename);
    let delete = one("groups.delete", "Deletes it for ever")
        .optional_body(to("Change"), json!({ "cause": "nobody is left in it" }))
        .answers(200, "The group as it was.", to("GroupChanged"))
        .refuses(CHANGE);
    paths.on("delete", "/api/v1/groups/{id}", delete);
    let some = |member: &str| json!({ "required": [member], "properties": { member: { "minItems": 1 } } });
    let mut moved = change(Members::default().maybe([("add", members()), ("remove", members())]));
    if let Value::Object(rules) = &mut moved {
        rules.insert("anyOf".to_owned(), json!([some("add"), some("remove")]));
    }
    let example = json!({ "add": ["01890a5d-ac96-774b-bcce-b302099a8057"] });
    let change_members = one("groups.members", "Puts people and groups in, and takes them out, all or none")
        .says("`add` and `remove` are not both empty, and have nothing in common.")
        .body(moved, example)
        .answers(200, "The group, who is in it now and was not, and who is not and was.", to("GroupChanged"))
        .refuses(CHANGE);
    paths.on("post", "/api/v1/groups/{id}/members", change_members);
}
