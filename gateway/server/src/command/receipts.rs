//! `doorward receipt list`, `get` and `keys`: receipts that a gateway keeps.

use serde_json::{Value, json};
use uuid::Uuid;

use super::changed::{person, show, text_of};
use super::{Exit, Failure, Output, table};
use crate::cli::{ReceiptGetArgs, ReceiptKeysArgs, ReceiptListArgs};
use crate::color::Style;
use crate::operator::Operator;

pub(super) fn list(args: &ReceiptListArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let of = match &args.user {
        Some(who) => Some(whom(&operator, who)?.0),
        None => None,
    };
    let query: Vec<_> = of.as_deref().map(|of| ("person", of)).into_iter().collect();
    let after = args.after.map(|after| after.to_string());
    let answer = paged(&operator, ("receipts", "receipts"), &query, (after, args.lines))?;
    show(&answer, &args.look, out, listed)
}

/// Somebody by id and by the name to show. Who is deleted is found by the id alone.
pub(super) fn whom(operator: &Operator, who: &str) -> Result<(String, String), Failure> {
    if Uuid::parse_str(who).is_ok() {
        return Ok((who.to_owned(), who.to_owned()));
    }
    let found = person(operator, who)?;
    let shown = found.shown();
    Ok((found.id, shown))
}

/// The rows of a list behind `after`, as many as are wanted, page after page: `member` of what `list` answers.
pub(super) fn paged(
    operator: &Operator,
    (list, member): (&str, &str),
    query: &[(&str, &str)],
    (mut after, lines): (Option<String>, usize),
) -> Result<Value, Failure> {
    let mut rows = Vec::new();
    loop {
        let limit = (lines - rows.len()).clamp(1, 1000).to_string();
        let mut asked = query.to_vec();
        asked.push(("limit", &limit));
        asked.extend(after.as_deref().map(|after| ("after", after)));
        let mut answer = operator.look(&[list], &asked)?;
        if let Some(Value::Array(page)) = answer.get_mut(member) {
            rows.append(page);
        }
        after = answer.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() || rows.len() >= lines {
            return Ok(json!({ member: rows, "next": after }));
        }
    }
}

fn listed(answer: &Value, style: Style) -> String {
    let rows = answer.get("receipts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "no receipts\n".to_owned();
    }
    let mut lines = vec![["MADE", "TAKEN", "EVERYWHERE", "PERSON", "RECEIPT"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let made = row.get("made_at").and_then(Value::as_i64).unwrap_or_default();
        let made =
            jiff::Timestamp::from_millisecond(made).map_or_else(|_| String::new(), |at| format!("{at:.0}"));
        let everywhere = match row.get("enforced_everywhere").and_then(Value::as_bool) {
            Some(true) => "yes",
            Some(false) | None => "no",
        };
        let named = text_of(row, "person");
        let named = if named.is_empty() { "-".to_owned() } else { named };
        [made, text_of(row, "command"), everywhere.to_owned(), named, text_of(row, "id")]
    }));
    let mut text = table(&lines, style);
    if let Some(next) = answer.get("next").and_then(Value::as_str) {
        text.push_str(&format!("and newer ones: add `--after {}`\n", super::printable(next)));
    }
    text
}

pub(super) fn get(args: &ReceiptGetArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.gateway)?;
    let (id, wait) = (args.id.to_string(), args.wait_millis.to_string());
    let answer = operator.look(&["receipts", &id], &[("wait_millis_max", &wait)])?;
    let member = if args.json { "content" } else { "jws" };
    match (answer.get(member), args.json) {
        (Some(Value::String(line)), false) => out.line(super::printable(line))?,
        (Some(content @ Value::Object(_)), true) => out.line(format_args!("{content:#}"))?,
        (Some(_) | None, _) => {
            let message = format!("the receipt {id} is not made yet: nodes may still say what they ended");
            return Err(Failure::new(Exit::Failed, message, "ask again in a moment"));
        }
    }
    Ok(Exit::Done)
}

pub(super) fn keys(args: &ReceiptKeysArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let keys = Operator::find(&args.gateway)?.look(&["receipt-keys"], &[])?;
    out.line(format_args!("{keys:#}"))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_a_table_that_says_how_to_go_on() {
        let row = |person: Value| {
            json!({ "id": "r-1", "person": person, "command": "deactivate", "made_at": 1_795_262_400_920_i64,
                    "enforced_everywhere": true })
        };
        let answer = json!({ "receipts": [row(json!("p-1")), row(json!(null))], "next": "r-1\u{1b}" });
        assert_eq!(
            listed(&answer, Style::Plain),
            "\
MADE                  TAKEN       EVERYWHERE  PERSON  RECEIPT
2026-11-21T12:00:00Z  deactivate  yes         p-1     r-1
2026-11-21T12:00:00Z  deactivate  yes         -       r-1
and newer ones: add `--after r-1\\u{1b}`
"
        );
        assert_eq!(listed(&json!({ "receipts": [] }), Style::Plain), "no receipts\n");
    }
}
