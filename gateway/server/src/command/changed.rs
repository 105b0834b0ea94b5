//! What every command has in common that changes the directory: whom it is about, whether somebody
//! must be asked first, and what came of it.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::revoke::{ended, everywhere, millis, outcome, received};
use super::{Exit, Failure, Output, printable};
use crate::cli::{ChangeArgs, Format, LookArgs, PageArgs, WaitFor};
use crate::clock::Stopwatch;
use crate::color::Style;
use crate::operator::{Operator, Receipt, Revoked};

/// How many are named where it is not clear who is meant.
const CANDIDATES: usize = 10;

/// Whoever or whatever a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    /// The id.
    pub(super) id: String,
    user_name: String,
    name: Option<String>,
    email: Option<String>,
    user: String,
    links: Vec<String>,
}

impl Found {
    /// The name to show.
    pub(super) fn shown(&self) -> String {
        let names = [&self.user_name, &self.user];
        let name = names.into_iter().find(|name| !name.is_empty()).or(self.name.as_ref());
        printable(name.unwrap_or(&self.id))
    }

    fn candidate(&self) -> String {
        let more = self.links.iter().chain(&self.email).map(|text| printable(text)).collect::<Vec<_>>();
        let more = if more.is_empty() { String::new() } else { format!("  ({})", more.join(", ")) };
        format!("{}  {}{more}", printable(&self.id), self.shown())
    }
}

/// The one of a list that is called so.
pub(super) fn only(operator: &Operator, list: &str, what: &str, name: &str) -> Result<Found, Failure> {
    one_of(all_called(operator, list, name)?, what, name)
}

/// Those of a list that are called so, as many as are told apart.
pub(super) fn all_called(operator: &Operator, list: &str, name: &str) -> Result<Vec<Found>, Failure> {
    let limit = (CANDIDATES + 1).to_string();
    let answer = operator.look(&[list], &[("named", name), ("limit", &limit)])?;
    let rows = answer.get(list.replace('-', "_")).cloned().unwrap_or_default();
    serde_json::from_value(rows).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--format json`")
    })
}

/// The only one, or why there is none.
pub(super) fn one_of(mut found: Vec<Found>, what: &str, name: &str) -> Result<Found, Failure> {
    let shown = printable(name);
    match (found.len(), found.pop()) {
        (1, Some(only)) => Ok(only),
        (_, None) => {
            let help = format!("see `doorward {what} list`");
            Err(Failure::new(Exit::Mistaken, format!("no {what} is called `{shown}`"), help))
        }
        (_, Some(last)) => {
            found.push(last);
            let mut help = "write the id of the one who is meant".to_owned();
            for candidate in found.iter().take(CANDIDATES) {
                let _ = write!(help, "\n    {}", candidate.candidate());
            }
            if found.len() > CANDIDATES {
                help.push_str("\n    and others");
            }
            Err(Failure::new(Exit::Mistaken, format!("`{shown}` is the name of more than one {what}"), help))
        }
    }
}

/// The person who is called so.
pub(super) fn person(operator: &Operator, who: &str) -> Result<Found, Failure> {
    only(operator, "users", "user", who)
}

/// The group that is called so.
pub(super) fn group(operator: &Operator, name: &str) -> Result<Found, Failure> {
    only(operator, "groups", "group", name)
}

/// Asks whether something is to be done for ever. Where nobody can be asked, it is not done.
pub(super) fn sure(yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let message = format!("{what} is for ever, and there is nobody to ask");
        return Err(Failure::new(Exit::Mistaken, message, "add `--yes`"));
    }
    // Where it cannot be asked nobody says yes.
    let _ = write!(io::stderr(), "{what} is for ever. Go on? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure { exit: Exit::Failed, message: "nothing was done".to_owned(), help: None })
}

/// A change, and how it is told.
pub(super) struct Wanted<'a> {
    pub(super) method: Method,
    /// The path of the call.
    pub(super) path: &'a [&'a str],
    /// The members of its body, besides those of every change.
    pub(super) body: Value,
    /// Such as `Suspended`.
    pub(super) done: &'a str,
    /// About whom.
    pub(super) of: String,
}

/// Asks for a change, and tells what came of it.
pub(super) fn change(
    operator: &Operator,
    wanted: &Wanted<'_>,
    args: &ChangeArgs,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    if args.wait.wait_millis.is_some() && args.wait.wait != Some(WaitFor::Fleet) {
        let message = "`--wait-millis` has a meaning with `--wait fleet` only";
        return Err(Failure::new(Exit::Mistaken, message, "add `--wait fleet`, or leave it out"));
    }
    let mut body: Map<String, Value> = wanted.body.as_object().cloned().unwrap_or_default();
    body.insert("cause".to_owned(), args.cause.as_str().into());
    if args.wait.wait == Some(WaitFor::Fleet) {
        body.insert("wait".to_owned(), "fleet".into());
    }
    if let Some(millis) = args.wait.wait_millis {
        body.insert("wait_millis_max".to_owned(), millis.into());
    }
    let watch = Stopwatch::start();
    let revoked = operator.change(wanted.method.clone(), wanted.path, &body.into())?;
    let (answer, receipt, is_durable) = received(revoked);
    match args.look.format() {
        Format::Json => out.line(format_args!("{answer:#}"))?,
        Format::Human => out.text(told(wanted, &answer, &receipt, watch.elapsed(), out.style))?,
    }
    Ok(outcome(&receipt, is_durable))
}

/// What came of a change that has no receipt, and how the command ends; where the audit log could not be written, that
/// is told.
pub(super) fn settled(revoked: Revoked) -> (Value, Exit) {
    match revoked {
        Revoked::Durable(answer) => (answer, Exit::Done),
        Revoked::InForceOnly { answer, detail } => {
            Failure::new(Exit::NotDurable, printable(&detail), "mend the disk of the audit log").tell();
            (answer, Exit::NotDurable)
        }
    }
}

/// The members of an answer that are told, read generously.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    changed: Option<bool>,
    edges: Vec<String>,
    state: Value,
    added: Option<Vec<String>>,
    removed: Option<Vec<String>>,
    token: Option<String>,
    stopped: Vec<String>,
    case: Option<String>,
    receipt: Value,
    receipts: Vec<Named>,
    debts: Option<Vec<Owed>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    id: String,
    target: Target,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    kind: String,
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owed {
    owner: String,
    about: Option<String>,
}

fn told(wanted: &Wanted<'_>, answer: &Value, receipt: &Receipt, took: Duration, style: Style) -> String {
    let answer = Answer::deserialize(answer).unwrap_or_default();
    let again = !answer.edges.is_empty() && answer.edges.iter().all(|edge| edge == "again");
    let done = if again || answer.changed == Some(false) { "Was so already:" } else { wanted.done };
    let mut text = format!("{} {}\n", style.green(done), style.bold(&printable(&wanted.of)));
    // Writing to a String does not fail.
    match &answer.state {
        Value::String(state) => {
            let _ = writeln!(text, "  state     {}", printable(state));
        }
        Value::Object(state) => {
            let word = |at: &str| state.get(at).and_then(Value::as_str).map(printable);
            let _ = match (word("before"), word("after")) {
                (Some(before), Some(after)) if before != after => {
                    writeln!(text, "  state     {before} → {after}")
                }
                (_, after) => writeln!(text, "  state     {}", after.unwrap_or_default()),
            };
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
    for (word, members) in [("added  ", &answer.added), ("removed", &answer.removed)] {
        if let Some(members) = members {
            let _ = writeln!(text, "  {word}   {}", members.len());
        }
    }
    if let Some(token) = &answer.token {
        let once = style.dim("It is shown this once: give it to the client now.");
        let _ = writeln!(text, "  token     {}\n{once}", printable(token));
    }
    if !answer.receipts.is_empty() {
        text.push_str(&ended(receipt));
        let _ = writeln!(text, "  in force  yes and on the disk, acknowledged after {} ms", millis(took));
    }
    text.push_str(&everywhere(&Receipt { debts: None, ..receipt.clone() }));
    for Named { id, target } in &answer.receipts {
        let (kind, of) = (printable(&target.kind), printable(&target.id));
        let _ = writeln!(text, "  receipt   {} of {kind} {of}", printable(id));
    }
    if !answer.stopped.is_empty() {
        let _ = writeln!(text, "  machines  {} stopped", answer.stopped.len());
    }
    if let Some(id) = answer.receipt.get("id").and_then(Value::as_str) {
        let _ = writeln!(text, "  signed    {}", printable(id));
        for line in of_summary(answer.receipt.get("summary").unwrap_or(&Value::Null)) {
            let _ = writeln!(text, "            {line}");
        }
    }
    if let Some(case) = &answer.case {
        let _ = writeln!(text, "  case      {}", printable(case));
    }
    for owed in answer.debts.iter().flatten() {
        let about = owed.about.as_deref().unwrap_or("see `doorward debts list`");
        let _ = writeln!(text, "  owed      by {}: {}", printable(&owed.owner), printable(about));
    }
    text
}

/// What a signed receipt comes to, in a line or two. Nothing where it is not made yet.
fn of_summary(summary: &Value) -> Vec<String> {
    let flag = |member: &str| summary.get(member).and_then(Value::as_bool);
    let Some((everywhere, over)) = flag("enforced_everywhere").zip(flag("nothing_runs")) else {
        return Vec::new();
    };
    let count = |member: &str| summary.pointer(&format!("/nodes/{member}")).and_then(Value::as_u64);
    let (all, applied) = (count("all").unwrap_or_default(), count("applied").unwrap_or_default());
    let nodes = if everywhere { "every node has it" } else { "not every node has it" };
    let runs = if over { "nothing of it runs" } else { "something may still run" };
    vec![format!("{nodes} ({applied} of {all}), {runs}")]
}

/// Prints what a list or a thing says: as it is, or as `human` puts it.
pub(super) fn show(
    answer: &Value,
    look: &LookArgs,
    out: &mut Output<'_>,
    human: impl FnOnce(&Value, Style) -> String,
) -> Result<Exit, Failure> {
    match look.format() {
        Format::Json => out.line(format_args!("{answer:#}"))?,
        Format::Human => out.text(human(answer, out.style))?,
    }
    Ok(Exit::Done)
}

/// The rows of a list, as many as are wanted, page after page.
pub(super) fn pages(
    operator: &Operator,
    list: &str,
    query: &[(&str, &str)],
    page: &PageArgs,
) -> Result<Value, Failure> {
    let lines = usize::try_from(page.lines).unwrap_or(usize::MAX);
    let (mut rows, mut after) = (Vec::new(), page.after.clone());
    let name = list.replace('-', "_");
    loop {
        let limit = lines.saturating_sub(rows.len()).clamp(1, 1000).to_string();
        let mut asked = query.to_vec();
        asked.push(("limit", &limit));
        if let Some(after) = &after {
            asked.push(("after", after));
        }
        let mut answer = operator.look(&[list], &asked)?;
        if let Some(Value::Array(page)) = answer.get_mut(&name) {
            rows.append(page);
        }
        let next = answer.get("next").cloned().unwrap_or_default();
        after = written(&next);
        if after.is_none() || rows.len() >= lines {
            return Ok(json!({ name: rows, "next": next }));
        }
    }
}

/// `next` of an answer as it is written in a call; none at the end of the list.
fn written(next: &Value) -> Option<String> {
    match next {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What stands below a table: that there is more, and how it is had.
pub(super) fn more(answer: &Value) -> String {
    answer.get("next").and_then(written).map_or_else(String::new, |next| {
        format!("There is more: add `--after {}`, or `-n` and a larger number.\n", printable(&next))
    })
}

/// A member of an answer as text: nothing where there is none.
pub(super) fn text_of(value: &Value, member: &str) -> String {
    match value.get(member) {
        Some(Value::String(text)) => printable(text),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).map(printable).collect::<Vec<_>>().join(" ")
        }
        Some(Value::Null | Value::Object(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, user_name: &str, links: &[&str]) -> Found {
        let links = links.iter().map(ToString::to_string).collect();
        Found { id: id.to_owned(), user_name: user_name.to_owned(), links, ..Found::default() }
    }

    #[test]
    fn a_name_stands_for_one_or_the_candidates_are_told() {
        let one = one_of(vec![found("p-1", "alice", &[])], "user", "alice").unwrap();
        assert_eq!((one.id.as_str(), one.shown().as_str()), ("p-1", "alice"));
        let none = one_of(Vec::new(), "user", "bob\u{1b}").unwrap_err();
        assert_eq!((none.exit, none.message.as_str()), (Exit::Mistaken, "no user is called `bob\\u{1b}`"));
        let both = vec![found("p-1", "alice", &["corp:alice"]), found("p-2", "Alice", &[])];
        let e = one_of(both, "user", "alice").unwrap_err();
        assert_eq!(e.exit, Exit::Mistaken);
        assert_eq!(
            e.help.as_deref(),
            Some("write the id of the one who is meant\n    p-1  alice  (corp:alice)\n    p-2  Alice")
        );
        let many = (0..=CANDIDATES).map(|_| found("p", "alice", &[])).collect();
        assert!(one_of(many, "user", "alice").unwrap_err().help.unwrap().ends_with("and others"));
    }

    #[test]
    fn what_is_for_ever_is_not_done_where_nobody_can_be_asked() {
        assert!(sure(true, "x").is_ok());
        if !io::stdin().is_terminal() {
            let e = sure(false, "deleting alice").unwrap_err();
            assert_eq!((e.exit, e.help.as_deref()), (Exit::Mistaken, Some("add `--yes`")));
        }
    }

    #[test]
    fn what_came_of_a_change_is_told_calmly() {
        let answer = json!({
            "changed": true, "state": { "before": "active", "after": "deactivated" }, "enforced": true, "durable": true,
            "ended": { "websocket": 1 }, "remaining": 0, "took_micros": 812, "stopped": ["m-1"], "case": "c-1",
            "receipts": [{ "id": "r-1", "target": { "kind": "user", "id": "corp:alice\u{1b}" } }],
            "debts": [{ "owner": "security", "about": "machine m-1: nobody answers for it" }],
        });
        let wanted = Wanted {
            method: Method::POST,
            path: &[],
            body: Value::Null,
            done: "Deactivated",
            of: "alice".to_owned(),
        };
        let tell = |answer: &Value| {
            told(&wanted, answer, &Receipt::read(answer), Duration::from_micros(2345), Style::Plain)
        };
        assert_eq!(
            tell(&answer),
            "\
Deactivated alice
  state     active → deactivated
  ended     1 running exchange (1 websocket), the last after 0.8 ms
  in force  yes and on the disk, acknowledged after 2.3 ms
  receipt   r-1 of user corp:alice\\u{1b}
  machines  1 stopped
  case      c-1
  owed      by security: machine m-1: nobody answers for it
"
        );
        let again = json!({ "changed": false, "state": { "before": "active", "after": "active" } });
        assert_eq!(tell(&again), "Was so already: alice\n  state     active\n");
        let later = json!({ "changed": true, "edges": ["again"], "state": { "before": "active", "after": "active" } });
        assert_eq!(tell(&later), tell(&again));
        let group = json!({ "changed": true, "added": ["person:1", "person:2"], "removed": [] });
        assert_eq!(tell(&group), "Deactivated alice\n  added     2\n  removed   0\n");
    }
}
