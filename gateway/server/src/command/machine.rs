//! `doorward service-account` and `doorward agent`.

use reqwest::Method;
use serde_json::{Value, json};

use super::changed::{Wanted, change, more, only, pages, person, show, sure, text_of};
use super::{Exit, Failure, Output, table};
use crate::cli::{ChangeArgs, MachineCommand, MachineListArgs, RegisterArgs};
use crate::clock;
use crate::color::Style;
use crate::operator::Operator;

/// How long a day is, in milliseconds.
const DAY_MILLIS: i64 = 24 * 3600 * 1000;

/// Which kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ServiceAccount,
    Agent,
}

impl Kind {
    const fn list(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service-accounts",
            Self::Agent => "agents",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service-account",
            Self::Agent => "agent",
        }
    }
}

/// Does what is asked for of machines.
pub(super) fn machine(kind: Kind, command: &MachineCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        MachineCommand::List(args) => list(kind, args, out),
        MachineCommand::Register(args) => register(kind, args, out),
        MachineCommand::Stop(args) => act(kind, &args.machine, ("stop", "Stopped"), None, &args.change, out),
        MachineCommand::Start(args) => {
            act(kind, &args.machine, ("start", "Started"), None, &args.change, out)
        }
        MachineCommand::HandOver(args) => {
            let words = ("hand-over", "Handed over");
            act(kind, &args.machine, words, Some(&args.owner), &args.change, out)
        }
        MachineCommand::Delete(args) => {
            sure(args.forever.yes, &format!("deleting `{}`", super::printable(&args.machine)))?;
            act(kind, &args.machine, ("delete", "Deleted"), None, &args.forever.change, out)
        }
    }
}

fn act(
    kind: Kind,
    name: &str,
    (verb, done): (&str, &str),
    owner: Option<&str>,
    args: &ChangeArgs,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let found = only(&operator, kind.list(), kind.word(), name)?;
    let body = match owner {
        Some(owner) => json!({ "owner": person(&operator, owner)?.id }),
        None => json!({}),
    };
    let path = [kind.list(), &found.id, verb];
    change(&operator, &Wanted { method: Method::POST, path: &path, body, done, of: found.shown() }, args, out)
}

fn register(kind: Kind, args: &RegisterArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let user = super::revoke::with_issuer(&operator, &args.user)?;
    let body = json!({
        "user": user,
        "name": args.name,
        "purpose": args.purpose,
        "owner": person(&operator, &args.owner)?.id,
        "scopes": args.scope,
        "expires_at": clock::now().0.saturating_add(i64::from(args.days).saturating_mul(DAY_MILLIS)),
    });
    let wanted = Wanted { method: Method::POST, path: &[kind.list()], body, done: "Registered", of: user };
    change(&operator, &wanted, &args.change, out)
}

fn list(kind: Kind, args: &MachineListArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let owner = args.owner.as_ref().map(|owner| person(&operator, owner)).transpose()?;
    let query: Vec<_> = owner.iter().map(|owner| ("owner", owner.id.as_str())).collect();
    let answer = pages(&operator, kind.list(), &query, &args.page)?;
    show(&answer, &args.look, out, |answer, style| listed(kind, answer, style))
}

fn listed(kind: Kind, answer: &Value, style: Style) -> String {
    let rows = answer.get(kind.list().replace('-', "_")).and_then(Value::as_array);
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return format!("no {}\n", kind.word());
    }
    let mut lines = vec![["SIGN-IN", "STATE", "WORKS", "PURPOSE", "OWNER", "ID"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let works = row.get("admitted").and_then(Value::as_bool) == Some(true);
        let works = if works { "yes" } else { "no" }.to_owned();
        let said = |member: &str| text_of(row, member);
        [said("user"), said("state"), works, said("purpose"), said("owner"), said("id")]
    }));
    table(&lines, style) + &more(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_a_table() {
        let row = json!({
            "id": "m-1", "user": "robots:backup", "state": "stopped", "admitted": false, "purpose": "copies files",
            "owner": "p-1",
        });
        let answer = json!({ "service_accounts": [row], "next": null });
        assert_eq!(
            listed(Kind::ServiceAccount, &answer, Style::Plain),
            "\
SIGN-IN        STATE    WORKS  PURPOSE       OWNER  ID
robots:backup  stopped  no     copies files  p-1    m-1
"
        );
        assert_eq!(listed(Kind::Agent, &answer, Style::Plain), "no agent\n");
    }
}
