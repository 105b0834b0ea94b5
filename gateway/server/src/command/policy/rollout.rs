//! `doorward policy rollout`: a bundle for some, then for everybody, and back.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use doorward_model::limits::POLICY_BUNDLE_BYTES_MAX;
use doorward_policy::Workshop;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::inflight::age;
use super::super::{Exit, Failure, Output, printable, show_on, table};
use super::bundle::{self, Words};
use crate::cli::{
    Format, LookArgs, RolloutAdvanceArgs, RolloutBackArgs, RolloutCommand, RolloutEndArgs, RolloutForgetArgs,
    RolloutPublishArgs, RolloutStartArgs, RolloutStatusArgs, RolloutWhyArgs,
};
use crate::clock;
use crate::color::{ColorChoice, Style};
use crate::operator::Operator;

/// How many changes of the past are shown.
const HISTORY_SHOWN: usize = 10;
/// How many names of policies are shown.
const NAMES_SHOWN: usize = 20;

pub(super) fn rollout(
    command: RolloutCommand,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match command {
        RolloutCommand::Start(args) => start(&args, color, out),
        RolloutCommand::Status(args) => status(&args, out),
        RolloutCommand::Advance(args) => advance(&args, out),
        RolloutCommand::Finish(args) => end(&args, "finish", out),
        RolloutCommand::Stop(args) => end(&args, "stop", out),
        RolloutCommand::Back(args) => back(&args, out),
        RolloutCommand::Publish(args) => publish(&args, out),
        RolloutCommand::Forget(args) => forget(&args, out),
    }
}

/// What a gateway tells of its bundles.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    in_force: String,
    in_folder: Option<String>,
    speaks: String,
    since: Option<i64>,
    by: Option<String>,
    how: Option<String>,
    nodes: Option<Vec<Node>>,
    nodes_unknown: Option<String>,
    trouble: Option<String>,
    rollout: Option<Staged>,
    bundles: Vec<Held>,
    history: Vec<Turn>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    node: String,
    in_force: Option<String>,
    pulled: Option<u64>,
    trouble: Option<String>,
    at: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Staged {
    revision: String,
    hundredths: u16,
    apps: Option<Vec<String>>,
    since: i64,
    by: String,
    asked: bool,
    decisions: Option<Decisions>,
    difference: Option<Difference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Decisions {
    staged: u64,
    in_force: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Difference {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Held {
    revision: String,
    sequence: u64,
    author: String,
    origin: String,
    at: i64,
    policies: u64,
    in_force: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Turn {
    revision: String,
    at: i64,
    by: String,
    how: String,
    cause: Option<String>,
}

fn start(args: &RolloutStartArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let made = Made { author: args.author.as_deref(), keys: &args.keys, note: args.why.cause.clone() };
    let revision = match hold(&operator, &args.what, made, color, out)? {
        Ok(revision) => revision,
        Err(exit) => return Ok(exit),
    };
    let mut body = words(&args.why);
    body.insert("revision".to_owned(), revision.into());
    body.insert("hundredths".to_owned(), args.percent.unwrap_or(10_000).into());
    if !args.apps.is_empty() {
        body.insert("apps".to_owned(), json!(args.apps));
    }
    let answer = operator.post(&["policies", "rollout"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, |answer, style| staged_line(&read::<Answer>(answer)?, style))
}

/// How a bundle is made of a folder.
pub(super) struct Made<'a> {
    pub(super) author: Option<&'a str>,
    pub(super) keys: &'a [PathBuf],
    pub(super) note: Option<String>,
}

/// The revision of what somebody names: a folder or a bundle, which the gateway then holds, or one that it holds.
/// How it ends where a folder is not fit, which is told then.
pub(super) fn hold(
    operator: &Operator,
    what: &str,
    made: Made<'_>,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Result<String, Exit>, Failure> {
    let path = Path::new(what);
    if !path.exists() {
        return whole(what, &listed(operator)?).map(Ok);
    }
    let packed = if path.is_dir() {
        let workshop = match Workshop::open(path, None) {
            Ok(workshop) => workshop,
            Err(failure) => {
                out.text(super::mistakes(&failure, show_on(&io::stdout(), color)))?;
                return Ok(Err(Exit::Mistaken));
            }
        };
        let Made { author, keys, note } = made;
        let words = Words { author, note, sequence: None, base: None, results: Vec::new(), keys };
        bundle::pack(path, &workshop, words)?
    } else {
        bundle::read(path, POLICY_BUNDLE_BYTES_MAX)?
    };
    let held = operator.hold_bundle(packed)?;
    Ok(Ok(held.get("revision").and_then(Value::as_str).unwrap_or_default().to_owned()))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    rollout: Option<Staged>,
}

fn staged_line(answer: &Answer, style: Style) -> Result<String, Failure> {
    Ok(answer
        .rollout
        .as_ref()
        .map_or_else(|| "nothing is rolled out\n".to_owned(), |s| told_rollout(s, style)))
}

fn advance(args: &RolloutAdvanceArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let Some(now) = listed(&operator)?.rollout else {
        let help = "begin with `doorward policy rollout start BUNDLE`";
        return Err(Failure::new(Exit::Failed, "nothing is being rolled out", help));
    };
    let apps = match (args.all_apps, args.apps.is_empty()) {
        (true, _) => None,
        (false, true) => now.apps.clone(),
        (false, false) => Some(args.apps.clone()),
    };
    let mut body = words(&args.why);
    body.insert("revision".to_owned(), now.revision.into());
    body.insert("hundredths".to_owned(), args.percent.unwrap_or(now.hundredths).into());
    if let Some(apps) = apps {
        body.insert("apps".to_owned(), json!(apps));
    }
    let answer = operator.post(&["policies", "rollout"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, |answer, style| staged_line(&read::<Answer>(answer)?, style))
}

fn end(args: &RolloutEndArgs, how: &str, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let answer = operator.post(&["policies", "rollout", how], &Value::Object(words(&args.why)))?;
    shown(&answer, &args.why.look, out, swapped)
}

fn back(args: &RolloutBackArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let mut body = words(&args.why);
    // On the way back everything that stands against a bundle has been looked at before.
    body.remove("override");
    if let Some(revision) = &args.revision {
        body.insert("revision".to_owned(), whole(revision, &listed(&operator)?)?.into());
    }
    let answer = operator.post(&["policies", "back"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, swapped)
}

fn publish(args: &RolloutPublishArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let path = Path::new(&args.what);
    let revision = if path.is_file() {
        let held = operator.hold_bundle(bundle::read(path, POLICY_BUNDLE_BYTES_MAX)?)?;
        held.get("revision").and_then(Value::as_str).unwrap_or_default().to_owned()
    } else {
        whole(&args.what, &listed(&operator)?)?
    };
    let mut body = words(&args.why);
    body.insert("revision".to_owned(), revision.as_str().into());
    let answer = operator.post(&["policies", "publish"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, |_, _| {
        Ok(format!("revision {} is published; each node takes it when it pulls\n", short(&revision)))
    })
}

fn forget(args: &RolloutForgetArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let revision = whole(&args.revision, &listed(&operator)?)?;
    let answer = operator.delete(&["policies", "bundles", &revision])?;
    shown(&answer, &args.look, out, |_, _| Ok(format!("revision {} is forgotten\n", short(&revision))))
}

fn status(args: &RolloutStatusArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let answer = Operator::find(&args.look.gateway)?.look(&["policies", "bundles"], &[])?;
    shown(&answer, &args.look, out, |answer, style| Ok(told(&read(answer)?, clock::now().0, style)))
}

// === asking ===

fn listed(operator: &Operator) -> Result<Listed, Failure> {
    read(&operator.look(&["policies", "bundles"], &[])?)
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--json`")
    })
}

pub(super) fn words(why: &RolloutWhyArgs) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(cause) = &why.cause {
        body.insert("cause".to_owned(), cause.as_str().into());
    }
    if why.anyway {
        body.insert("override".to_owned(), true.into());
    }
    body
}

/// The one revision that begins so, of those that the gateway holds.
fn whole(begins: &str, listed: &Listed) -> Result<String, Failure> {
    let mut found = listed.bundles.iter().map(|held| &held.revision).filter(|r| r.starts_with(begins));
    match (found.next(), found.next()) {
        (Some(one), None) if !begins.is_empty() => Ok(one.clone()),
        (Some(_), _) => {
            let message = format!("more than one revision begins with `{}`", printable(begins));
            Err(Failure::new(Exit::Mistaken, message, "write more of it"))
        }
        (None, _) => {
            let message =
                format!("`{}` is no file, no folder, and no revision that is held", printable(begins));
            Err(Failure::new(
                Exit::Mistaken,
                message,
                "`doorward policy rollout status` lists those that are",
            ))
        }
    }
}

// === showing ===

pub(super) fn shown(
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

pub(super) fn swapped(answer: &Value, style: Style) -> Result<String, Failure> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Done {
        outcome: String,
        revision: String,
        previous: Option<String>,
        difference: Option<Difference>,
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
    text.push_str(&changes(done.difference.as_ref(), style));
    Ok(text)
}

fn told(listed: &Listed, now_millis: i64, style: Style) -> String {
    let from = if listed.speaks == "bundle" { "a bundle" } else { "the folder" };
    let mut text = format!("in force  {}, from {from} (this node)\n", style.bold(&short(&listed.in_force)));
    if listed.speaks == "bundle" {
        let folder = listed.in_folder.as_deref().map_or_else(|| "cannot be read".to_owned(), short);
        let since = listed.since.map_or_else(String::new, |at| age(now_millis.saturating_sub(at)));
        let (how, by) = (listed.how.as_deref().unwrap_or_default(), listed.by.as_deref().unwrap_or_default());
        let _ = writeln!(text, "          {}, {since} ago, by {}", printable(how), printable(by));
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
            [short(&turn.revision), when, printable(&turn.how), printable(&turn.by), why]
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
        let _ = writeln!(text, "          {} of {all} decisions since the share was set", decisions.staged);
    }
    text.push_str(&changes(staged.difference.as_ref(), style));
    text
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
    text
}

fn short(revision: &str) -> String {
    printable(&revision.chars().take(12).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_and_held_is_a_page() {
        let answer = json!({
            "scope": "node", "in_force": "b".repeat(64), "in_folder": "a".repeat(64), "speaks": "bundle",
            "since": 0, "by": "operator", "how": "rolled_out",
            "rollout": {
                "revision": "c".repeat(64), "hundredths": 550, "apps": ["wiki"], "since": 0, "by": "ann\u{1b}[2J",
                "asked": true, "decisions": { "staged": 3, "in_force": 57 },
                "difference": { "added": ["x"], "removed": [], "changed": ["y", "z"] },
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
          rolled_out, 1m01s ago, by operator
folder    aaaaaaaaaaaa; it counts again when it changes
roll-out  cccccccccccc for 5.5% of people at wiki, by ann\\u{1b}[2J (this node)
          3 of 60 decisions since the share was set
  added x
  changed y, z

HELD            SEQUENCE  POLICIES  FROM      AUTHOR  SINCE
bbbbbbbbbbbb *  7         12        uploaded  ann     1m01s ago

WAS PUT IN FORCE  WHEN       HOW         BY        WHY
bbbbbbbbbbbb      1m01s ago  rolled_out  operator  so
"
        );
    }

    #[test]
    fn a_revision_is_found_by_how_it_begins() {
        let held = |digit: &str| Held { revision: digit.repeat(64), ..Held::default() };
        let listed = Listed { bundles: vec![held("a"), held("b"), held("ab")], ..Listed::default() };
        assert_eq!(whole("b", &listed).unwrap(), "b".repeat(64));
        for bad in ["a", "c", ""] {
            assert!(whole(bad, &listed).is_err(), "{bad}");
        }
    }
}
