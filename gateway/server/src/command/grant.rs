//! `doorward grant`.

use reqwest::Method;
use serde_json::json;

use super::changed::{Wanted, change, group, person};
use super::{Exit, Failure, Output, printable};
use crate::cli::{GrantAct, GrantArgs, GrantCommand};
use crate::operator::Operator;

/// Gives something to somebody, or takes it.
pub(super) fn grant(command: &GrantCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let (kind, word, act) = match command {
        GrantCommand::Role(act) => ("roles", "role", act),
        GrantCommand::Group(act) => ("groups", "group", act),
        GrantCommand::App(act) => ("apps", "app", act),
    };
    match act {
        GrantAct::Add(args) => ask(args, Method::PUT, kind, &format!("Gave the {word}"), out),
        GrantAct::Remove(args) => ask(args, Method::DELETE, kind, &format!("Took the {word}"), out),
    }
}

fn ask(
    args: &GrantArgs,
    method: Method,
    kind: &str,
    done: &str,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let found = person(&operator, &args.who)?;
    let what = if kind == "groups" { group(&operator, &args.what)?.id } else { args.what.clone() };
    let path = ["users", &found.id, kind, &what];
    let of = format!("{} ({})", printable(&args.what), found.shown());
    change(&operator, &Wanted { method, path: &path, body: json!({}), done, of }, &args.change, out)
}
