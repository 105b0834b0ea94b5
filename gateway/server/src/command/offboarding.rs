//! `doorward offboarding`: what is still to be done about those who left.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::changed::{Wanted, change, show, text_of};
use super::inflight::age;
use super::receipts::{paged, whom};
use super::{Exit, Failure, Output, table};
use crate::cli::{CaseCloseArgs, CaseListArgs, CaseSayArgs, CaseShowArgs, OffboardingCommand};
use crate::clock;
use crate::color::Style;
use crate::operator::Operator;

/// Does what is asked for of cases.
pub(super) fn offboarding(command: &OffboardingCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        OffboardingCommand::List(args) => list(args, out),
        OffboardingCommand::Show(args) => shown(args, out),
        OffboardingCommand::Say(args) => say(args, out),
        OffboardingCommand::Close(args) => close(args, out),
    }
}

fn list(args: &CaseListArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let state = args.state.as_deref().map(|state| ("state", state));
    let query: Vec<_> = state.into_iter().collect();
    let answer = paged(&operator, ("offboarding", "cases"), &query, (None, args.lines))?;
    show(&answer, &args.look, out, listed)
}

fn rows<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// How many items have evidence, of how many.
fn done_of(case: &Value) -> String {
    let items = rows(case, "items");
    let done = items.iter().filter(|item| item.get("evidence").is_some_and(Value::is_object)).count();
    format!("{done} of {}", items.len())
}

fn listed(answer: &Value, style: Style) -> String {
    let cases = rows(answer, "cases");
    if cases.is_empty() {
        return "nobody left\n".to_owned();
    }
    let mut lines = vec![["PERSON", "STATE", "DONE", "CASE"].map(str::to_owned)];
    lines.extend(
        cases.iter().map(|case| {
            [text_of(case, "person"), text_of(case, "state"), done_of(case), text_of(case, "id")]
        }),
    );
    let mut text = table(&lines, style);
    if answer.get("next").is_some_and(Value::is_string) {
        text.push_str("and others: ask for more with `-n`\n");
    }
    text
}

fn shown(args: &CaseShowArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let (id, name) = whom(&operator, &args.who)?;
    let answer = operator.look(&["offboarding", &id], &[])?;
    show(&answer, &args.look, out, |case, style| whole(&name, case, clock::now().0, style))
}

fn whole(name: &str, case: &Value, now_millis: i64, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(name));
    // Writing to a String does not fail.
    let _ = writeln!(text, "  state     {}, {} items done", text_of(case, "state"), done_of(case));
    let _ = writeln!(text, "  case      {}", text_of(case, "id"));
    for item in rows(case, "items") {
        let named = text_of(item, "item");
        let evidence = item.get("evidence").filter(|evidence| evidence.is_object());
        let _ = match evidence {
            Some(seen) => {
                let by = text_of(seen, "by");
                let by = if by.is_empty() { String::new() } else { format!(" ({by})") };
                let what = text_of(seen, "what") + &text_of(seen, "note");
                writeln!(text, "  {}  {named}: {what}{by}", style.green("done"))
            }
            None => {
                let due = item.get("due_at").and_then(Value::as_i64).unwrap_or_default();
                let due = match due.saturating_sub(now_millis) {
                    left if left >= 0 => format!("in {}", age(left)),
                    over => format!("{} ago", age(over.saturating_neg())),
                };
                let owner = text_of(item, "owner");
                writeln!(text, "  {}  {named}: by {owner}, due {due}", style.yellow("open"))
            }
        };
    }
    text
}

fn say(args: &CaseSayArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let (id, of) = whom(&operator, &args.who)?;
    let path = ["offboarding", &id, "say"];
    let body = json!({ "item": args.item, "note": args.note });
    change(
        &operator,
        &Wanted { method: Method::POST, path: &path, body, done: "Noted of", of },
        &args.change,
        out,
    )
}

fn close(args: &CaseCloseArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let (id, of) = whom(&operator, &args.who)?;
    let path = ["offboarding", &id, "close"];
    let wanted =
        Wanted { method: Method::POST, path: &path, body: json!({}), done: "Closed the case of", of };
    change(&operator, &wanted, &args.change, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Value {
        json!({
            "id": "c-1", "person": "p-1", "state": "open", "items": [
                { "item": "no_sessions", "owner": "security", "due_at": 3_600_000, "owed": false,
                  "evidence": { "is": "seen", "at": 1, "what": "there are no sign-ins\u{1b}" } },
                { "item": "manual_app payslips", "owner": "hr-apps", "due_at": 3_600_000, "owed": true, "evidence": null },
                { "item": "manual_app crm", "owner": "sales", "due_at": 1000, "owed": true,
                  "evidence": { "is": "said", "at": 1, "by": "ann", "note": "removed" } },
            ],
        })
    }

    #[test]
    fn cases_are_a_table_and_one_is_a_list_of_items() {
        let answer = json!({ "cases": [case()], "next": "c-1" });
        assert_eq!(
            listed(&answer, Style::Plain),
            "\
PERSON  STATE  DONE    CASE
p-1     open   2 of 3  c-1
and others: ask for more with `-n`
"
        );
        assert_eq!(listed(&json!({ "cases": [] }), Style::Plain), "nobody left\n");
        assert_eq!(
            whole("alice", &case(), 60_000, Style::Plain),
            "\
alice
  state     open, 2 of 3 items done
  case      c-1
  done  no_sessions: there are no sign-ins\\u{1b}
  open  manual_app payslips: by hr-apps, due in 59m00s
  done  manual_app crm: removed (ann)
"
        );
    }
}
