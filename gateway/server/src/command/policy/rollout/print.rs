//! What a gateway tells of its bundles, and how it is shown.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::super::super::inflight::age;
use super::super::super::{Exit, Failure, Output, printable, table};
use super::super::short;
use super::read;
use crate::cli::{Format, LookArgs};
use crate::color::Style;

/// How many changes of the past are shown.
const HISTORY_SHOWN: usize = 10;
/// How many names of policies are shown.
const NAMES_SHOWN: usize = 20;

/// What a gateway tells of its bundles.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listed {
    pub(super) in_force: String,
    pub(super) in_folder: Option<String>,
    pub(super) speaks: String,
    pub(super) since: Option<i64>,
    pub(super) by: Option<String>,
    pub(super) how: Option<String>,
    pub(super) nodes: Option<Vec<Node>>,
    pub(super) nodes_unknown: Option<String>,
    pub(super) trouble: Option<String>,
    pub(super) rollout: Option<Staged>,
    pub(super) bundles: Vec<Held>,
    pub(super) history: Vec<Turn>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) node: String,
    pub(super) in_force: Option<String>,
    pub(super) pulled: Option<u64>,
    pub(super) trouble: Option<String>,
    pub(super) at: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Staged {
    pub(super) revision: String,
    pub(super) hundredths: u16,
    pub(super) apps: Option<Vec<String>>,
    pub(super) since: i64,
    pub(super) by: String,
    pub(super) asked: bool,
    pub(super) decisions: Option<Decisions>,
    pub(super) difference: Option<Difference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Decisions {
    pub(super) staged: u64,
    pub(super) in_force: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Difference {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) cases: Cases,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cases {
    added: u64,
    removed: u64,
    changed: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Held {
    pub(super) revision: String,
    pub(super) sequence: u64,
    pub(super) author: String,
    pub(super) origin: String,
    pub(super) at: i64,
    pub(super) policies: u64,
    pub(super) in_force: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Turn {
    pub(super) revision: String,
    pub(super) at: i64,
    pub(super) by: String,
    pub(super) how: String,
    pub(super) cause: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    rollout: Option<Staged>,
}

/// What is rolled out, of an answer that says only that.
pub(super) fn staged_line(answer: &Value, style: Style) -> Result<String, Failure> {
    let answer: Answer = read(answer)?;
    Ok(answer
        .rollout
        .as_ref()
        .map_or_else(|| "nothing is rolled out\n".to_owned(), |s| told_rollout(s, style)))
}

pub(in crate::command::policy) fn shown(
    answer: &Value,
    look: &LookArgs,
    out: &mut Output<'_>,
    tell: impl FnOnce(&Value, Style) -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    match look.format() {
        Format::Json => out.line(format_args!("{answer:#}"))?,
        Format::Human => {
            let text = tell(answer, out.style)?;
            out.text(text)?;
        }
    }
    Ok(Exit::Done)
}

pub(in crate::command::policy) fn swapped(answer: &Value, style: Style) -> Result<String, Failure> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Done {
        outcome: String,
        revision: String,
        previous: Option<String>,
        difference: Option<Difference>,
        rollout_ended: Option<String>,
    }
    let done: Done = read(answer)?;
    let revision = short(&done.revision);
    let mut text = match (done.outcome.as_str(), &done.previous) {
        ("swapped", Some(previous)) => {
            let now = style.green(&format!("revision {revision} is in force"));
            format!("{now} on this node; before: {}\n", short(previous))
        }
        ("stopped", _) => format!("revision {revision} is asked of nobody any more on this node\n"),
        (_, _) => format!("revision {revision} was in force already on this node\n"),
    };
    let changed = changes(done.difference.as_ref(), style);
    if done.outcome == "swapped" && changed.is_empty() {
        text.push_str("  no policy that decides is another one\n");
    }
    text.push_str(&changed);
    match &done.rollout_ended {
        None => {}
        Some(ended) if *ended == done.revision => text.push_str("its roll-out is over\n"),
        Some(ended) => {
            let ended = format!("the roll-out of revision {} is over", short(ended));
            let _ = writeln!(text, "{}: nobody is asked of that any more", style.yellow(&ended));
        }
    }
    Ok(text)
}

pub(super) fn told(listed: &Listed, now_millis: i64, style: Style) -> String {
    let from = if listed.speaks == "bundle" { "a bundle" } else { "the folder" };
    let mut text = format!("in force  {}, from {from} (this node)\n", style.bold(&short(&listed.in_force)));
    if listed.speaks == "bundle" {
        let folder = listed.in_folder.as_deref().map_or_else(|| "cannot be read".to_owned(), short);
        let since = listed.since.map_or_else(String::new, |at| age(now_millis.saturating_sub(at)));
        let (how, by) = (listed.how.as_deref().unwrap_or_default(), listed.by.as_deref().unwrap_or_default());
        let _ = writeln!(text, "          {}, {since} ago, by {}", in_words(how), printable(by));
        let _ = writeln!(text, "folder    {folder}; it counts again when it changes");
    }
    if let Some(trouble) = &listed.trouble {
        let _ = writeln!(text, "source    {}", style.red(&printable(trouble)));
    }
    if let Some(staged) = &listed.rollout {
        text.push_str(&told_rollout(staged, style));
    }
    if let Some(why) = &listed.nodes_unknown {
        let _ = writeln!(text, "\nwhat the other nodes have is not known: {}", printable(why));
    }
    if let Some(nodes) = listed.nodes.as_ref().filter(|nodes| !nodes.is_empty()) {
        let _ = write!(text, "\n{}", table(&told_nodes(nodes, now_millis), style));
    }
    if !listed.bundles.is_empty() {
        let mut rows = vec![["HELD", "SEQUENCE", "POLICIES", "FROM", "AUTHOR", "SINCE"].map(str::to_owned)];
        rows.extend(listed.bundles.iter().map(|held| {
            let mark = if held.in_force { " *" } else { "" };
            let numbers = (held.sequence.to_string(), held.policies.to_string());
            let since = format!("{} ago", age(now_millis.saturating_sub(held.at)));
            let revision = format!("{}{mark}", short(&held.revision));
            [revision, numbers.0, numbers.1, printable(&held.origin), printable(&held.author), since]
        }));
        let _ = write!(text, "\n{}", table(&rows, style));
    }
    if !listed.history.is_empty() {
        let mut rows = vec![["WAS PUT IN FORCE", "WHEN", "HOW", "BY", "WHY"].map(str::to_owned)];
        rows.extend(listed.history.iter().take(HISTORY_SHOWN).map(|turn| {
            let when = format!("{} ago", age(now_millis.saturating_sub(turn.at)));
            let why = turn.cause.as_deref().map_or_else(String::new, printable);
            [short(&turn.revision), when, in_words(&turn.how), printable(&turn.by), why]
        }));
        let _ = write!(text, "\n{}", table(&rows, style));
    }
    text
}

fn told_nodes(nodes: &[Node], now_millis: i64) -> Vec<[String; 5]> {
    let mut rows = vec![["NODE", "IN FORCE", "PULLED", "SAID", "TROUBLE"].map(str::to_owned)];
    rows.extend(nodes.iter().map(|node| {
        let said =
            node.at.map_or_else(String::new, |at| format!("{} ago", age(now_millis.saturating_sub(at))));
        let pulled = node.pulled.filter(|n| *n > 0).map_or_else(String::new, |n| n.to_string());
        let in_force = node.in_force.as_deref().map_or_else(String::new, short);
        let trouble = node.trouble.as_deref().map_or_else(String::new, printable);
        [printable(&node.node), in_force, pulled, said, trouble]
    }));
    rows
}

fn told_rollout(staged: &Staged, style: Style) -> String {
    let percent = f64::from(staged.hundredths) / 100.0;
    let who =
        if staged.hundredths >= 10_000 { "everybody".to_owned() } else { format!("{percent}% of people") };
    let apps = staged.apps.as_ref().map_or_else(|| "all apps".to_owned(), |apps| printable(&apps.join(", ")));
    let revision = style.bold(&short(&staged.revision));
    let mut text =
        format!("roll-out  {revision} for {who} at {apps}, by {} (this node)\n", printable(&staged.by));
    if !staged.asked {
        let why = style.red("nobody is asked of it: the gateway's log says why");
        let _ = writeln!(text, "          {why}");
    }
    if let Some(decisions) = &staged.decisions {
        let all = decisions.staged.saturating_add(decisions.in_force);
        let decisions_word = if all == 1 { "decision" } else { "decisions" };
        let staged = decisions.staged;
        let _ = writeln!(text, "          {staged} of {all} {decisions_word} since the share was set");
    }
    text.push_str(&changes(staged.difference.as_ref(), style));
    text
}

/// How a bundle came into force: `rolled_out` as people write it.
fn in_words(how: &str) -> String {
    printable(&how.replace('_', " "))
}

fn changes(difference: Option<&Difference>, style: Style) -> String {
    let Some(difference) = difference else { return String::new() };
    let mut text = String::new();
    for (word, names) in [
        (style.green("added"), &difference.added),
        (style.red("removed"), &difference.removed),
        (style.yellow("changed"), &difference.changed),
    ] {
        if names.is_empty() {
            continue;
        }
        let mut some: Vec<_> = names.iter().take(NAMES_SHOWN).map(|name| printable(name)).collect();
        if names.len() > NAMES_SHOWN {
            some.push(format!("and {} more", names.len() - NAMES_SHOWN));
        }
        let _ = writeln!(text, "  {word} {}", some.join(", "));
    }
    let Cases { added, removed, changed } = difference.cases;
    if added + removed + changed > 0 {
        let _ = writeln!(text, "  cases: {removed} went, {added} came, {changed} changed");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_in_force_and_held_is_a_page() {
        let answer = json!({
            "scope": "node", "in_force": "b".repeat(64), "in_folder": "a".repeat(64), "speaks": "bundle",
            "since": 0, "by": "operator", "how": "rolled_out",
            "rollout": {
                "revision": "c".repeat(64), "hundredths": 550, "apps": ["wiki"], "since": 0, "by": "ann\u{1b}[2J",
                "asked": true, "decisions": { "staged": 3, "in_force": 57 },
                "difference": {
                    "added": ["x"], "removed": [], "changed": ["y", "z"],
                    "cases": { "added": 0, "removed": 2, "changed": 1 },
                },
            },
            "bundles": [
                { "revision": "b".repeat(64), "sequence": 7, "author": "ann", "origin": "uploaded", "at": 0,
                  "policies": 12, "in_force": true },
            ],
            "history": [
                { "revision": "b".repeat(64), "at": 0, "by": "operator", "how": "rolled_out", "cause": "so" },
            ],
        });
        assert_eq!(
            told(&read(&answer).unwrap(), 61_000, Style::Plain),
            "\
in force  bbbbbbbbbbbb, from a bundle (this node)
          rolled out, 1m01s ago, by operator
folder    aaaaaaaaaaaa; it counts again when it changes
roll-out  cccccccccccc for 5.5% of people at wiki, by ann\\u{1b}[2J (this node)
          3 of 60 decisions since the share was set
  added x
  changed y, z
  cases: 2 went, 0 came, 1 changed

HELD            SEQUENCE  POLICIES  FROM      AUTHOR  SINCE
bbbbbbbbbbbb *  7         12        uploaded  ann     1m01s ago

WAS PUT IN FORCE  WHEN       HOW         BY        WHY
bbbbbbbbbbbb      1m01s ago  rolled out  operator  so
"
        );
    }

    #[test]
    fn what_came_into_force_says_what_became_of_a_roll_out_and_that_nothing_differs() {
        let (new, old) = ("c".repeat(64), "b".repeat(64));
        let none = json!({ "added": [], "removed": [], "changed": [] });
        let told = |ended: Value| {
            let answer = json!({
                "outcome": "swapped", "revision": new, "previous": old, "difference": none, "rollout_ended": ended,
            });
            swapped(&answer, Style::Plain).unwrap()
        };
        let first = "revision cccccccccccc is in force on this node; before: bbbbbbbbbbbb\n  no policy that decides is another one\n";
        assert_eq!(told(Value::Null), first);
        assert_eq!(told(json!(new)), format!("{first}its roll-out is over\n"));
        let other = "the roll-out of revision dddddddddddd is over: nobody is asked of that any more\n";
        assert_eq!(told(json!("d".repeat(64))), format!("{first}{other}"));
    }
}
