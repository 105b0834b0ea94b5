//! `doorward stream`.

use reqwest::Method;
use serde_json::{Value, json};

use super::changed::{more, pages, settled, show, text_of};
use super::inflight::age;
use super::{Exit, Failure, Output, printable, table};
use crate::cli::StreamCommand;
use crate::clock;
use crate::color::Style;
use crate::operator::Operator;

/// Does what is asked for of streams.
pub(super) fn stream(command: &StreamCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        StreamCommand::List(args) => {
            let answer = pages(&Operator::find(&args.look.gateway)?, "streams", &[], &args.page)?;
            show(&answer, &args.look, out, |answer, style| {
                listed(answer, clock::now().0, style) + &more(answer)
            })
        }
        StreamCommand::Verify(args) => {
            let path = ["streams", &args.name, "verify"];
            let asked = Operator::find(&args.look.gateway)?.change(Method::POST, &path, &json!({}))?;
            let (answer, exit) = settled(asked);
            show(&answer, &args.look, out, asked_told).map(|_| exit)
        }
    }
}

fn asked_told(answer: &Value, style: Style) -> String {
    let name = style.bold(&printable(&text_of(answer, "name")));
    format!("{} {name}: its answer comes as an event, see `doorward stream list`\n", style.green("Asked"))
}

fn listed(answer: &Value, now: i64, style: Style) -> String {
    let rows = answer.get("streams").and_then(Value::as_array).cloned().unwrap_or_default();
    if rows.is_empty() {
        return "no stream\n".to_owned();
    }
    let ago = |row: &Value, member: &str| {
        let at = row.get(member).and_then(Value::as_i64);
        at.map_or_else(|| "-".to_owned(), |at| age(now.saturating_sub(at)))
    };
    let watched = |row: &Value| {
        let hours = |member: &str| row.get(member).and_then(Value::as_u64);
        match (hours("verify_seconds"), hours("silent_seconds_max")) {
            (Some(every), _) => format!("asked every {} min", every / 60),
            (None, Some(max)) => format!("heard every {} h", max / 3600),
            (None, None) => "nobody".to_owned(),
        }
    };
    let mut lines = vec![["NAME", "BY", "STANDS", "EVENT", "ANSWER", "WATCHED"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            printable(&text_of(row, "name")),
            text_of(row, "delivery"),
            text_of(row, "condition"),
            ago(row, "event_at"),
            ago(row, "verified_at"),
            watched(row),
        ]
    }));
    let mut text = table(&lines, style);
    for row in &rows {
        let why = [text_of(row, "detail"), text_of(row, "error")];
        let shown = [row.get("alarming").and_then(Value::as_bool) == Some(true), !why[1].is_empty()];
        for (why, _) in why.iter().zip(shown).filter(|(_, shown)| *shown) {
            let name = printable(&text_of(row, "name"));
            text.push_str(&format!("{}\n", style.yellow(&format!("{name}: {}", printable(why)))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_a_table_and_what_is_wrong_stands_below_it() {
        let good = json!({"name": "okta", "delivery": "push", "condition": "healthy", "alarming": false,
            "detail": "it speaks", "error": null, "verify_seconds": 3600, "silent_seconds_max": null,
            "event_at": 4_000, "verified_at": 1_000});
        let bad = json!({"name": "lab", "delivery": "poll", "condition": "unreachable", "alarming": true,
            "detail": "nothing can be fetched", "error": "`x` answers 401\u{1b}", "verify_seconds": null,
            "silent_seconds_max": 86_400, "event_at": null, "verified_at": null});
        let quiet = json!({"name": "old", "delivery": "push", "condition": "new", "alarming": false,
            "detail": "", "error": null, "verify_seconds": null, "silent_seconds_max": null});
        assert_eq!(
            listed(&json!({ "streams": [good, bad, quiet] }), 5_000, Style::Plain),
            "NAME  BY    STANDS       EVENT  ANSWER  WATCHED\n\
             okta  push  healthy      1s     4s      asked every 60 min\n\
             lab   poll  unreachable  -      -       heard every 24 h\n\
             old   push  new          -      -       nobody\n\
             lab: nothing can be fetched\n\
             lab: `x` answers 401\\u{1b}\n"
        );
        assert_eq!(listed(&json!({ "streams": [] }), 0, Style::Plain), "no stream\n");
    }
}
