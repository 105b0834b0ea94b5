//! `doorward user`.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::changed::{Wanted, change, more, pages, person, show, sure, text_of};
use super::{Exit, Failure, Output, printable, table};
use crate::cli::{ChangeArgs, InviteArgs, LinkArgs, ShowArgs, UserCommand, UserListArgs};
use crate::color::Style;
use crate::operator::Operator;

/// Does what is asked for of people.
pub(super) fn user(command: &UserCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let plain = |who: &str, verb: &str, done: &str, change: &ChangeArgs, out: &mut Output<'_>| {
        act(who, verb, done, json!({}), change, out)
    };
    match command {
        UserCommand::List(args) => list(args, out),
        UserCommand::Show(args) => shown(args, out),
        UserCommand::Invite(args) => invite(args, out),
        UserCommand::RevokeInvitation(args) => {
            plain(&args.who, "revoke-invitation", "Took back the invitation of", &args.change, out)
        }
        UserCommand::Activate(args) => plain(&args.who, "activate", "Activated", &args.change, out),
        UserCommand::Suspend(args) => plain(&args.who, "suspend", "Suspended", &args.change, out),
        UserCommand::Unsuspend(args) => {
            plain(&args.who, "unsuspend", "No longer suspended:", &args.change, out)
        }
        UserCommand::Deactivate(args) => plain(&args.who, "deactivate", "Deactivated", &args.change, out),
        UserCommand::Reactivate(args) => plain(&args.who, "reactivate", "Reactivated", &args.change, out),
        UserCommand::Delete(args) => {
            sure(args.forever.yes, &format!("deleting `{}`", printable(&args.who)))?;
            plain(&args.who, "delete", "Deleted", &args.forever.change, out)
        }
        UserCommand::Lock(args) => {
            act(&args.who, "lock", "Locked", json!({ "seconds": args.seconds }), &args.change, out)
        }
        UserCommand::Unlock(args) => plain(&args.who, "unlock", "Unlocked", &args.change, out),
        UserCommand::Hold(args) => plain(&args.who, "hold", "Held back", &args.change, out),
        UserCommand::Unhold(args) => {
            let body = args.signal.as_ref().map_or_else(|| json!({}), |signal| json!({ "signal": signal }));
            act(&args.who, "unhold", "No longer held back:", body, &args.change, out)
        }
        UserCommand::EndSessions(args) => {
            plain(&args.who, "end-sessions", "Ended what was open of", &args.change, out)
        }
        UserCommand::Link(args) => link(args, Method::PUT, "Linked", out),
        UserCommand::Unlink(args) => link(args, Method::DELETE, "Unlinked", out),
        UserCommand::Adopt(args) => {
            let done = if args.withdraw { "Not handed over any more:" } else { "Handed over" };
            act(&args.who, "adopt", done, json!({ "connection": args.connection }), &args.change, out)
        }
    }
}

fn act(
    who: &str,
    verb: &str,
    done: &str,
    body: Value,
    args: &ChangeArgs,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let found = person(&operator, who)?;
    let path = ["users", &found.id, verb];
    change(&operator, &Wanted { method: Method::POST, path: &path, body, done, of: found.shown() }, args, out)
}

fn link(args: &LinkArgs, method: Method, done: &str, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let found = person(&operator, &args.who)?;
    let sign_in = super::revoke::with_issuer(&operator, &args.sign_in)?;
    let path = ["users", &found.id, "links", &sign_in];
    let of = format!("{} and {sign_in}", found.shown());
    let wanted = Wanted { method, path: &path, body: json!({}), done, of };
    change(&operator, &wanted, &args.change, out)
}

fn invite(args: &InviteArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let mut body = json!({ "user_name": args.user_name, "emails": args.email, "roles": args.role });
    let more = [("name", &args.name), ("department", &args.department), ("employment", &args.employment)];
    if let Value::Object(members) = &mut body {
        let said = more.into_iter().filter_map(|(member, text)| text.as_ref().map(|text| (member, text)));
        members.extend(said.map(|(member, text)| (member.to_owned(), text.as_str().into())));
    }
    let of = printable(&args.user_name);
    let wanted = Wanted { method: Method::POST, path: &["users"], body, done: "Invited", of };
    change(&operator, &wanted, &args.change, out)
}

fn list(args: &UserListArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let query =
        [("state", &args.state), ("source", &args.source), ("group", &args.group), ("q", &args.query)];
    let query: Vec<_> =
        query.into_iter().filter_map(|(name, said)| said.as_deref().map(|said| (name, said))).collect();
    let answer = pages(&operator, "users", &query, &args.page)?;
    show(&answer, &args.look, out, listed)
}

fn listed(answer: &Value, style: Style) -> String {
    let rows = answer.get("users").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "nobody\n".to_owned();
    }
    let mut lines = vec![["USER", "STATE", "SOURCE", "SIGN-INS", "ID"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let held = row.get("holds").and_then(Value::as_u64).is_some_and(|holds| holds > 0);
        let state = text_of(row, "state") + if held { " (held)" } else { "" };
        [text_of(row, "user_name"), state, source(row), text_of(row, "links"), text_of(row, "id")]
    }));
    table(&lines, style) + &more(answer)
}

/// The source of a person or a group, in a word or two.
pub(super) fn source(row: &Value) -> String {
    let source = row.get("source").unwrap_or(&Value::Null);
    let (kind, id) = (text_of(source, "kind"), text_of(source, "id"));
    if id.is_empty() { kind } else { format!("{kind} {id}") }
}

/// The source, and who may take them over.
fn offered(person: &Value) -> String {
    let (source, to) = (source(person), text_of(person, "offered_to"));
    if to.is_empty() { source } else { format!("{source}, handed over to connection {to}") }
}

fn shown(args: &ShowArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let found = person(&operator, &args.name)?;
    let answer = operator.look(&["users", &found.id], &[])?;
    show(&answer, &args.look, out, |answer, style| whole(&found.shown(), answer, style))
}

fn whole(name: &str, person: &Value, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(name));
    let profile = person.get("profile").unwrap_or(&Value::Null);
    let admitted = person.get("admitted").and_then(Value::as_bool) == Some(true);
    let access = if admitted { style.green("has access") } else { style.red("has no access") };
    // Writing to a String does not fail.
    let _ = writeln!(text, "  state     {}, {access}", text_of(person, "state"));
    for (word, said) in [
        ("id", text_of(person, "id")),
        ("name", text_of(profile, "name")),
        ("source", offered(person)),
        ("sign-ins", text_of(person, "links")),
        ("unit", text_of(profile, "department")),
        ("contract", text_of(profile, "employment")),
        ("leaving", text_of(person, "offboarding")),
    ] {
        if !said.is_empty() {
            let _ = writeln!(text, "  {word:<10}{said}");
        }
    }
    for (kind, word) in [("roles", "role"), ("groups", "group"), ("apps", "app")] {
        for given in members(person, kind) {
            let named = text_of(given, "name");
            let what = if named.is_empty() { text_of(given, "what") } else { named };
            let origin = [text_of(given, "origin"), text_of(given, "by")].join(" ");
            let _ = writeln!(text, "  {word:<10}{what}  {}", style.dim(&format!("by {}", origin.trim_end())));
        }
    }
    let suspension = person.get("suspension").filter(|hold| hold.is_object());
    for hold in members(person, "holds").iter().chain(suspension) {
        let (by, cause) = (text_of(hold, "by"), text_of(hold, "cause"));
        let _ = writeln!(text, "  {:<10}by {by}: {cause}", style.yellow("held"));
    }
    for machine in members(person, "machines") {
        let _ = writeln!(text, "  machine   {} ({})", text_of(machine, "user"), text_of(machine, "kind"));
    }
    if let Some(case) = person.get("case").filter(|case| case.is_object()) {
        let _ = writeln!(text, "  case      {} {}", text_of(case, "id"), text_of(case, "state"));
    }
    for debt in members(person, "debts") {
        let _ = writeln!(text, "  owed      by {}: {}", text_of(debt, "owner"), text_of(debt, "about"));
    }
    text
}

fn members<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_a_table() {
        let row = json!({
            "id": "p-1", "user_name": "alice\u{1b}", "state": "active", "holds": 1,
            "source": { "kind": "connection", "id": "okta" }, "links": ["corp:alice"],
        });
        let answer = json!({ "users": [row], "next": "p-1" });
        assert_eq!(
            listed(&answer, Style::Plain),
            "\
USER         STATE          SOURCE           SIGN-INS    ID
alice\\u{1b}  active (held)  connection okta  corp:alice  p-1
There is more: add `--after p-1`, or `-n` and a larger number.
"
        );
        assert_eq!(listed(&json!({ "users": [], "next": null }), Style::Plain), "nobody\n");
    }

    #[test]
    fn a_person_is_told_with_whose_hand_gave_what() {
        let person = json!({
            "id": "p-1", "state": "active", "admitted": false, "source": { "kind": "local", "id": null },
            "links": ["corp:alice", "corp:a2"], "profile": { "name": "Alice", "department": null },
            "roles": [{ "what": "writer", "origin": "operator", "by": "operator" }],
            "groups": [{ "what": "g-1", "name": "Eng", "origin": "source", "by": "okta" }],
            "holds": [{ "by": "ann", "cause": "asked by HR" }], "offboarding": "none",
            "machines": [{ "user": "robots:backup", "kind": "agent" }],
            "debts": [{ "owner": "security", "about": "person p-1: look" }],
        });
        assert_eq!(
            whole("alice", &person, Style::Plain),
            "\
alice
  state     active, has no access
  id        p-1
  name      Alice
  source    local
  sign-ins  corp:alice corp:a2
  leaving   none
  role      writer  by operator operator
  group     Eng  by source okta
  held      by ann: asked by HR
  machine   robots:backup (agent)
  owed      by security: person p-1: look
"
        );
    }
}
