//! `doorward group`.

use reqwest::Method;
use serde_json::{Value, json};

use super::changed::{Wanted, change, group as named, more, pages, person, show, sure, text_of};
use super::user::source;
use super::{Exit, Failure, Output, printable, table};
use crate::cli::{
    GroupCommand, GroupCreateArgs, GroupDeleteArgs, GroupListArgs, GroupMembersArgs, GroupRenameArgs,
};
use crate::color::Style;
use crate::operator::Operator;

/// Does what is asked for of groups.
pub(super) fn group(command: &GroupCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        GroupCommand::List(args) => list(args, out),
        GroupCommand::Show(args) => {
            let operator = Operator::find(&args.look.gateway)?;
            let found = named(&operator, &args.name)?;
            let answer = operator.look(&["groups", &found.id], &[])?;
            show(&answer, &args.look, out, |answer, style| listed(&json!({ "groups": [answer] }), style))
        }
        GroupCommand::Create(args) => create(args, out),
        GroupCommand::Rename(args) => rename(args, out),
        GroupCommand::Delete(args) => delete(args, out),
        GroupCommand::Add(args) => members(args, "add", "Put into", out),
        GroupCommand::Remove(args) => members(args, "remove", "Taken out of", out),
    }
}

fn create(args: &GroupCreateArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let body = json!({ "name": args.name });
    let of = printable(&args.name);
    let wanted = Wanted { method: Method::POST, path: &["groups"], body, done: "Made the group", of };
    change(&operator, &wanted, &args.change, out)
}

fn rename(args: &GroupRenameArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let found = named(&operator, &args.group)?;
    let (path, body) = (["groups", &found.id], json!({ "name": args.name }));
    let of = format!("{}: {}", found.shown(), printable(&args.name));
    let wanted = Wanted { method: Method::PATCH, path: &path, body, done: "Renamed", of };
    change(&operator, &wanted, &args.change, out)
}

fn delete(args: &GroupDeleteArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.forever.change.look.gateway)?;
    let found = named(&operator, &args.group)?;
    sure(args.forever.yes, &format!("deleting the group `{}`", found.shown()))?;
    let path = ["groups", &found.id];
    let wanted =
        Wanted { method: Method::DELETE, path: &path, body: json!({}), done: "Deleted", of: found.shown() };
    change(&operator, &wanted, &args.forever.change, out)
}

fn members(args: &GroupMembersArgs, field: &str, done: &str, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let found = named(&operator, &args.group)?;
    let mut ids = Vec::new();
    for member in &args.members {
        ids.push(match member.strip_prefix("group:") {
            Some(name) => format!("group:{}", named(&operator, name)?.id),
            None => person(&operator, member)?.id,
        });
    }
    ids.sort_unstable();
    ids.dedup();
    let path = ["groups", &found.id, "members"];
    let wanted =
        Wanted { method: Method::POST, path: &path, body: json!({ field: ids }), done, of: found.shown() };
    change(&operator, &wanted, &args.change, out)
}

fn list(args: &GroupListArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let query: Vec<_> = args.query.as_deref().map(|text| ("q", text)).into_iter().collect();
    let answer = pages(&operator, "groups", &query, &args.page)?;
    show(&answer, &args.look, out, listed)
}

fn listed(answer: &Value, style: Style) -> String {
    let rows = answer.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "no group\n".to_owned();
    }
    let count =
        |row: &Value, member: &str| row.get(member).and_then(Value::as_array).map_or(0, Vec::len).to_string();
    let mut lines = vec![["GROUP", "PEOPLE", "GROUPS", "SOURCE", "ID"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [text_of(row, "name"), text_of(row, "people"), count(row, "groups"), source(row), text_of(row, "id")]
    }));
    table(&lines, style) + &more(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_a_table() {
        let row = json!({
            "id": "g-1", "name": "Eng", "people": 12, "groups": ["g-2"], "source": { "kind": "local", "id": null },
        });
        assert_eq!(
            listed(&json!({ "groups": [row], "next": null }), Style::Plain),
            "GROUP  PEOPLE  GROUPS  SOURCE  ID\nEng    12      1       local   g-1\n"
        );
        assert_eq!(listed(&json!({}), Style::Plain), "no group\n");
    }
}
