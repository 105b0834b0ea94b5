//! `doorward service-account token`.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::changed::{Found, Wanted, change, only, show, text_of};
use super::{Exit, Failure, Output, table};
use crate::cli::{ChangeArgs, TokenAddArgs, TokenCommand};
use crate::clock;
use crate::color::Style;
use crate::operator::Operator;

const LIST: &str = "service-accounts";
/// How long a day is, in milliseconds.
const DAY_MILLIS: i64 = 24 * 3600 * 1000;

/// Does what is asked for of the tokens of service accounts.
pub(super) fn token(command: &TokenCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        TokenCommand::List(args) => {
            let operator = Operator::find(&args.look.gateway)?;
            let found = named(&operator, &args.machine)?;
            let answer = operator.look(&[LIST, &found.id], &[])?;
            show(&answer, &args.look, out, listed)
        }
        TokenCommand::Add(args) => add(args, out),
        TokenCommand::Rotate(args) => {
            let body = args.days.map_or_else(|| json!({}), |days| json!({ "expires_at": in_days(days) }));
            let token = &args.token;
            let path = |id: &str| {
                vec![
                    LIST.to_owned(),
                    id.to_owned(),
                    "tokens".to_owned(),
                    token.token.clone(),
                    "rotate".to_owned(),
                ]
            };
            ask((Method::POST, path, body), ("A second token for", &token.machine), &token.change, out)
        }
        TokenCommand::Revoke(args) => {
            let path =
                |id: &str| vec![LIST.to_owned(), id.to_owned(), "tokens".to_owned(), args.token.clone()];
            ask((Method::DELETE, path, json!({})), ("Ended a token of", &args.machine), &args.change, out)
        }
    }
}

fn add(args: &TokenAddArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let mut body = Map::new();
    body.insert("label".to_owned(), args.label.as_str().into());
    body.insert("expires_at".to_owned(), in_days(args.days).into());
    for (name, these) in [("apps", &args.app), ("from", &args.from), ("scopes", &args.scope)] {
        if !these.is_empty() {
            body.insert(name.to_owned(), these.clone().into());
        }
    }
    let path = |id: &str| vec![LIST.to_owned(), id.to_owned(), "tokens".to_owned()];
    ask((Method::POST, path, body.into()), ("Made a token for", &args.machine), &args.change, out)
}

fn ask(
    (method, path, body): (Method, impl FnOnce(&str) -> Vec<String>, Value),
    (done, machine): (&str, &str),
    args: &ChangeArgs,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let found = named(&operator, machine)?;
    let path = path(&found.id);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    change(&operator, &Wanted { method, path: &path, body, done, of: found.shown() }, args, out)
}

fn named(operator: &Operator, name: &str) -> Result<Found, Failure> {
    only(operator, LIST, "service-account", name)
}

fn in_days(days: u32) -> i64 {
    clock::now().0.saturating_add(i64::from(days).saturating_mul(DAY_MILLIS))
}

fn listed(answer: &Value, style: Style) -> String {
    let rows = answer.get("tokens").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "no token\n".to_owned();
    }
    let mut lines = vec![["NAME", "LABEL", "GOOD", "APPS", "FROM", "SCOPES", "USED"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let said = |member: &str| text_of(row, member);
        let or_any =
            |member: &str| Some(said(member)).filter(|text| !text.is_empty()).unwrap_or("any".to_owned());
        let good = if row.get("good").and_then(Value::as_bool) == Some(true) { "yes" } else { "no" };
        let used = if row.get("last_used_at").is_some_and(Value::is_number) { "yes" } else { "never" };
        let (name, label) = (said("name"), said("label"));
        [name, label, good.to_owned(), or_any("apps"), or_any("from"), or_any("scopes"), used.to_owned()]
    }));
    table(&lines, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_a_table() {
        let row = json!({
            "name": "0a1b2c3d4e5f", "label": "ci\u{1b}", "good": true, "apps": ["files", "wiki"], "from": null,
            "scopes": null, "last_used_at": 7,
        });
        assert_eq!(
            listed(&json!({ "tokens": [row] }), Style::Plain),
            "\
NAME          LABEL     GOOD  APPS        FROM  SCOPES  USED
0a1b2c3d4e5f  ci\\u{1b}  yes   files wiki  any   any     yes
"
        );
        assert_eq!(listed(&json!({}), Style::Plain), "no token\n");
    }
}
