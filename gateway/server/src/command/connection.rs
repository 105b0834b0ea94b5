//! `doorward connection`.

use reqwest::Method;
use serde_json::{Value, json};

use super::changed::{more, pages, settled, show, sure, text_of};
use super::{Exit, Failure, Output, printable, table};
use crate::cli::{ConnectionChangeArgs, ConnectionCommand, LookArgs};
use crate::color::Style;
use crate::operator::Operator;

/// Does what is asked for of connections.
pub(super) fn connection(command: &ConnectionCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        ConnectionCommand::List(args) => {
            let answer = pages(&Operator::find(&args.look.gateway)?, "connections", &[], &args.page)?;
            show(&answer, &args.look, out, listed)
        }
        ConnectionCommand::Add(args) => {
            let email_domains = (!args.email_domains.is_empty()).then_some(&args.email_domains);
            let body = json!({
                "name": args.name, "issuer": args.issuer, "subject": args.subject,
                "email_domains": email_domains, "roles": args.roles, "group_prefix": args.group_prefix,
            });
            ask(Method::POST, &["connections"], &body, ("Added", &args.name), &args.look, out)
        }
        ConnectionCommand::Change(args) => {
            let path = ["connections", &args.name];
            ask(Method::PATCH, &path, &changes(args), ("Changed", &args.name), &args.look, out)
        }
        ConnectionCommand::Rotate(args) => {
            let path = ["connections", &args.name, "rotate"];
            ask(Method::POST, &path, &json!({}), ("A second token for", &args.name), &args.look, out)
        }
        ConnectionCommand::RevokeToken(args) => {
            let path = ["connections", &args.name, "tokens", &args.token];
            ask(Method::DELETE, &path, &json!({}), ("Ended a token of", &args.name), &args.look, out)
        }
        ConnectionCommand::Release(args) => {
            let halt = args.halt.to_string();
            let path = ["connections", &args.name, "release", &halt];
            ask(Method::POST, &path, &json!({}), ("Goes on:", &args.name), &args.look, out)
        }
        ConnectionCommand::Remove(args) => {
            sure(args.yes, &format!("removing the connection `{}`", printable(&args.name)))?;
            let path = ["connections", &args.name];
            ask(Method::DELETE, &path, &json!({}), ("Removed", &args.name), &args.look, out)
        }
    }
}

/// What is to be different: what is not said stays.
fn changes(args: &ConnectionChangeArgs) -> Value {
    let mut body = serde_json::Map::new();
    if args.issuer_domains {
        body.insert("email_domains".to_owned(), Value::Null);
    } else if !args.email_domains.is_empty() {
        body.insert("email_domains".to_owned(), json!(args.email_domains));
    }
    if args.no_roles || !args.roles.is_empty() {
        body.insert("roles".to_owned(), json!(args.roles));
    }
    Value::Object(body)
}

fn ask(
    method: Method,
    path: &[&str],
    body: &Value,
    done: (&str, &str),
    look: &LookArgs,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let (answer, exit) = settled(Operator::find(&look.gateway)?.change(method, path, body)?);
    show(&answer, look, out, |answer, style| told(answer, done, style)).map(|_| exit)
}

fn told(answer: &Value, (done, name): (&str, &str), style: Style) -> String {
    let mut text = format!("{} {}\n", style.green(done), style.bold(&printable(name)));
    let token = text_of(answer, "token");
    if !token.is_empty() {
        text.push_str(&format!("  token     {token}\n"));
        text.push_str(&format!("{}\n", style.dim("It is shown this once: give it to the client now.")));
    }
    text
}

fn listed(answer: &Value, style: Style) -> String {
    let all = |value: &Value, member: &str| {
        value.get(member).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let rows = all(answer, "connections");
    if rows.is_empty() {
        return "no connection\n".to_owned();
    }
    let mut lines = vec![
        ["NAME", "ISSUER", "SUBJECT", "DOMAINS", "ROLES", "GROUPS", "TOKENS", "STOPPED"].map(str::to_owned),
    ];
    lines.extend(rows.iter().map(|row| {
        let tokens: Vec<String> = all(row, "tokens").iter().map(|token| text_of(token, "name")).collect();
        let said = |member: &str| text_of(row, member);
        let prefix = Some(said("group_prefix")).filter(|prefix| !prefix.is_empty());
        let groups = prefix.map_or_else(String::new, |prefix| format!("{prefix}…"));
        let (domains, roles) = (said("email_domains"), said("roles"));
        [
            said("name"),
            said("issuer"),
            said("subject"),
            domains,
            roles,
            groups,
            tokens.join(" "),
            said("halted"),
        ]
    }));
    table(&lines, style) + &more(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_a_table_and_a_token_is_shown_with_a_warning() {
        let row = json!({
            "name": "okta", "issuer": "corp", "subject": "externalId", "tokens": [{ "name": "a1" }, { "name": "b2" }],
            "halted": null, "email_domains": null, "roles": ["engineer", "eng-*"], "group_prefix": "lab/",
        });
        assert_eq!(
            listed(&json!({ "connections": [row] }), Style::Plain),
            "NAME  ISSUER  SUBJECT     DOMAINS  ROLES           GROUPS  TOKENS  STOPPED\n\
             okta  corp    externalId           engineer eng-*  lab/…   a1 b2\n"
        );
        assert_eq!(
            told(&json!({ "token": "dwscim_x" }), ("Added", "okta"), Style::Plain),
            "Added okta\n  token     dwscim_x\nIt is shown this once: give it to the client now.\n"
        );
        assert_eq!(told(&json!({}), ("Removed", "okta"), Style::Plain), "Removed okta\n");
    }
}
