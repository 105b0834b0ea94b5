//! `doorward debts`: what was promised and not confirmed in time.

use serde::Deserialize as _;

use serde_json::Value;

use super::changed::{more, pages, show};
use super::inflight::age;
use super::{Exit, Failure, Output, printable, table};
use crate::cli::{DebtsListArgs, DebtsSettleArgs};
use crate::clock;
use crate::color::Style;
use crate::operator::{DebtRow, DebtsAnswer, Operator};

/// Lists debts, the newest first.
pub(super) fn list(args: &DebtsListArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let open = if args.all { "false" } else { "true" };
    let answer = pages(&Operator::find(&args.look.gateway)?, "debts", &[("open", open)], &args.page)?;
    let read = DebtsAnswer::deserialize(&answer).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--json`")
    })?;
    show(&answer, &args.look, out, |answer, style| told(&read, clock::now().0, style) + &more(answer))
}

/// Settles one.
pub(super) fn settle(args: &DebtsSettleArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let answer = Operator::find(&args.look.gateway)?.settle(args.id, &args.how)?;
    show(&answer, &args.look, out, |_: &Value, style| format!("{} {}\n", style.green("Settled"), args.id))
}

fn told(answer: &DebtsAnswer, now_millis: i64, style: Style) -> String {
    if answer.debts.is_empty() {
        return "nothing is owed\n".to_owned();
    }
    let mut rows = vec![["ID", "OWNER", "DUE", "ABOUT"].map(str::to_owned)];
    rows.extend(answer.debts.iter().map(|debt| row(debt, now_millis)));
    table(&rows, style)
}

fn row(debt: &DebtRow, now_millis: i64) -> [String; 4] {
    let due = match (debt.settled_at, debt.due_at) {
        (Some(_), _) => "settled".to_owned(),
        (None, Some(at)) if debt.overdue => format!("{} ago", age(now_millis.saturating_sub(at))),
        (None, Some(at)) => format!("in {}", age(at.saturating_sub(now_millis))),
        (None, None) => String::new(),
    };
    [debt.id.as_str(), &debt.owner, &due, &debt.about].map(printable)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debts_are_a_table() {
        let answer = DebtsAnswer::deserialize(&json!({
            "debts": [
                { "id": "d-3", "owner": "security", "about": "gw-3 did not\u{1b}[2J", "due_at": 3_600_000 },
                { "id": "d-2", "owner": "security", "about": "gw-2 did not", "due_at": 1000, "overdue": true },
                { "id": "d-1", "owner": "it", "about": "gw-1 did not", "due_at": 1, "settled_at": 2, "how": "x" },
            ],
        }))
        .unwrap();
        assert_eq!(
            told(&answer, 61_000, Style::Plain),
            "\
ID   OWNER     DUE        ABOUT
d-3  security  in 58m59s  gw-3 did not\\u{1b}[2J
d-2  security  1m00s ago  gw-2 did not
d-1  it        settled    gw-1 did not
"
        );
        assert_eq!(told(&DebtsAnswer::default(), 0, Style::Plain), "nothing is owed\n");
    }
}
