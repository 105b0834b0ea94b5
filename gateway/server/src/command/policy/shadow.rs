//! `doorward policy shadow`: policies that are asked beside those in force.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::inflight::age;
use super::super::{Exit, Failure, Output, printable, table};
use super::rollout::{self, Made};
use super::short;
use crate::cli::{Format, ShadowCommand, ShadowStartArgs, ShadowStatusArgs};
use crate::clock;
use crate::color::{ColorChoice, Style};
use crate::operator::Operator;

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What begins a page anew on a terminal.
const NEW_PAGE: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";
/// How many rows a table of names has.
const ROWS_SHOWN: usize = 10;
/// How many examples are shown of each sort.
const EXAMPLES_SHOWN: usize = 4;
/// How many names of policies stand in one place.
const NAMES_SHOWN: usize = 3;

pub(super) fn shadow(
    command: ShadowCommand,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match command {
        ShadowCommand::Start(args) => start(&args, color, out),
        ShadowCommand::Status(args) => status(&args, out),
        ShadowCommand::Promote(args) => {
            let operator = Operator::find(&args.why.look.gateway)?;
            let body = rollout::about(&operator, args.revision.as_deref(), rollout::words(&args.why))?;
            let answer = operator.post(&["policies", "shadow", "promote"], &body)?;
            rollout::shown(&answer, &args.why.look, out, rollout::swapped)
        }
        ShadowCommand::Stop(args) => {
            let answer = Operator::find(&args.look.gateway)?.delete(&["policies", "shadow"])?;
            rollout::shown(&answer, &args.look, out, |answer, style| {
                let found: Found = rollout::read(answer)?;
                let mut text =
                    "nothing is asked in the shadow any more on this node; it had found:\n\n".to_owned();
                text.push_str(&of_lane("candidate", found.candidate.as_ref(), clock::now().0, style));
                Ok(text)
            })
        }
    }
}

/// What a gateway tells of what is asked beside the policies in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    in_force: String,
    candidate: Option<Report>,
    report_only: Option<Report>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    revision: String,
    reporting: Vec<String>,
    in_force: String,
    in_force_at_start: String,
    started_at: i64,
    since: i64,
    restarts: u64,
    sample: String,
    requests: Requests,
    differences: Counts,
    by_kind: ByName,
    by_app: ByName,
    by_policy: ByName,
    examples: Vec<Example>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Requests {
    seen: u64,
    decided: u64,
    waiting: u64,
    passed_over: u64,
    missed: u64,
    failed: u64,
    elsewhere: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    newly_denied: u64,
    newly_allowed: u64,
    other_policies: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ByName {
    rows: Vec<Row>,
    others: Counts,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    name: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Example {
    at: i64,
    request_id: String,
    who: Option<String>,
    action: String,
    route: String,
    change: String,
    in_force: Side,
    candidate: Side,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Side {
    decision: String,
    determining: Vec<String>,
    errors: Vec<String>,
}

fn start(args: &ShadowStartArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let made = Made { author: args.author.as_deref(), keys: &args.keys, note: None };
    let revision = match rollout::hold(&operator, &args.what, made, color, out)? {
        Ok(revision) => revision,
        Err(exit) => return Ok(exit),
    };
    let mut body = Map::from_iter([("revision".to_owned(), Value::from(revision))]);
    if let Some(sample) = args.sample {
        body.insert("sample".to_owned(), json!(sample.to_string()));
    }
    let answer = operator.post(&["policies", "shadow"], &Value::Object(body))?;
    rollout::shown(&answer, &args.look, out, |answer, style| {
        let found: Found = rollout::read(answer)?;
        let started = found.candidate.unwrap_or_default();
        let revision = style.green(&format!("revision {} is asked", short(&started.revision)));
        Ok(format!(
            "{revision} beside those in force, about {} of the requests, on this node\n\
             `doorward policy shadow status` tells what it would change\n",
            printable(&started.sample)
        ))
    })
}

fn status(args: &ShadowStatusArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let format = args.look.format();
    loop {
        let answer = operator.look(&["policies", "shadow"], &[])?;
        match format {
            Format::Json if args.watch => out.line(&answer)?,
            Format::Json => out.line(format_args!("{answer:#}"))?,
            Format::Human => {
                let text = told(&rollout::read(&answer)?, clock::now().0, out.style);
                let page = if args.watch && io::stdout().is_terminal() { NEW_PAGE } else { "" };
                out.text(format_args!("{page}{text}"))?;
            }
        }
        if !args.watch {
            return Ok(Exit::Done);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

// === showing ===

fn told(found: &Found, now_millis: i64, style: Style) -> String {
    let mut text = format!("in force     {} (this node)\n", style.bold(&short(&found.in_force)));
    if found.candidate.is_none() && found.report_only.is_none() {
        text.push_str("nothing is asked beside it: no candidate was started, and every policy decides\n");
        return text;
    }
    text.push_str(&of_lane("candidate", found.candidate.as_ref(), now_millis, style));
    text.push_str(&of_lane("report-only", found.report_only.as_ref(), now_millis, style));
    text
}

fn of_lane(lane: &str, report: Option<&Report>, now_millis: i64, style: Style) -> String {
    let Some(report) = report else { return String::new() };
    let mut text = format!("{lane:<11}  {}", style.bold(&short(&report.revision)));
    if report.reporting.is_empty() {
        let _ = writeln!(text, ", asked about {} of the requests", printable(&report.sample));
    } else {
        let _ = writeln!(text, " with {} as well", named(&report.reporting));
    }
    text.push_str(&asked(report, now_millis, style));
    text.push_str(&differences(report, now_millis, style));
    text
}

/// How much is known.
fn asked(report: &Report, now_millis: i64, style: Style) -> String {
    let Requests { seen, decided, waiting, passed_over, missed, failed, elsewhere } = report.requests;
    let since = age(now_millis.saturating_sub(report.since));
    let mut text = format!("             {decided} of {seen} requests decided by both in {since}");
    for (count, what) in [
        (passed_over, "not in the sample"),
        (waiting, "waiting"),
        (missed, "missed, because too many came at once"),
        (failed, "failed"),
        (elsewhere, "answered by a roll-out, and not compared"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text.push('\n');
    if report.restarts > 0 {
        let started = age(now_millis.saturating_sub(report.started_at));
        let times =
            if report.restarts == 1 { "once".to_owned() } else { format!("{} times", report.restarts) };
        let anew = format!("counted anew {times} since it was started {started} ago");
        let _ = writeln!(text, "             {anew}: other policies came into force");
    }
    if report.in_force != report.in_force_at_start {
        let warning =
            "other policies are in force than when it was started: promoting it could take them back";
        let _ = writeln!(text, "             {}", style.yellow(warning));
    }
    text
}

fn differences(report: &Report, now_millis: i64, style: Style) -> String {
    let Counts { newly_denied, newly_allowed, other_policies } = report.differences;
    if newly_denied + newly_allowed + other_policies == 0 {
        return format!("             {}\n", style.green("no difference"));
    }
    let mut text = format!(
        "             {}, {}, {other_policies} by other policies\n",
        style.red(&format!("{newly_denied} newly denied")),
        style.yellow(&format!("{newly_allowed} newly allowed")),
    );
    for (what, by_name) in [("WHO", &report.by_kind), ("APP", &report.by_app), ("POLICY", &report.by_policy)]
    {
        text.push('\n');
        text.push_str(&counted(what, by_name, style));
    }
    if report.examples.is_empty() {
        return text;
    }
    let mut rows = vec![["WHEN", "WHO", "DOES", "NOW", "WOULD BE", "REQUEST"].map(str::to_owned)];
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for example in &report.examples {
        let of_its_sort = shown.entry(&example.change).or_default();
        if *of_its_sort < EXAMPLES_SHOWN {
            *of_its_sort += 1;
            rows.push(row(example, now_millis));
        }
    }
    text.push('\n');
    text.push_str(&table(&rows, style));
    text.push('\n');
    text
}

fn counted(what: &str, by_name: &ByName, style: Style) -> String {
    let all = |counts: &Counts| counts.newly_denied + counts.newly_allowed + counts.other_policies;
    let mut by_count: Vec<&Row> = by_name.rows.iter().collect();
    by_count.sort_by(|a, b| all(&b.counts).cmp(&all(&a.counts)).then_with(|| a.name.cmp(&b.name)));
    let mut others = by_name.others;
    for row in by_count.iter().skip(ROWS_SHOWN) {
        others.newly_denied += row.counts.newly_denied;
        others.newly_allowed += row.counts.newly_allowed;
        others.other_policies += row.counts.other_policies;
    }
    let cells = |name: String, counts: &Counts| {
        let Counts { newly_denied, newly_allowed, other_policies } = counts;
        [name, newly_denied.to_string(), newly_allowed.to_string(), other_policies.to_string()]
    };
    let mut rows = vec![[what, "NEWLY DENIED", "NEWLY ALLOWED", "OTHER POLICIES"].map(str::to_owned)];
    rows.extend(by_count.iter().take(ROWS_SHOWN).map(|row| cells(printable(&row.name), &row.counts)));
    if all(&others) > 0 {
        rows.push(cells("(others)".to_owned(), &others));
    }
    table(&rows, style)
}

fn row(example: &Example, now_millis: i64) -> [String; 6] {
    let when = format!("{} ago", age(now_millis.saturating_sub(example.at)));
    let who = example.who.as_deref().unwrap_or("visitor");
    let does = format!("{} {}", example.action, example.route);
    let verdict = |side: &Side| {
        let by: Vec<String> = side.determining.iter().chain(&side.errors).cloned().collect();
        let by = if by.is_empty() { "nothing permits it".to_owned() } else { named(&by) };
        format!("{} ({by})", printable(&side.decision))
    };
    let (now, would) = (verdict(&example.in_force), verdict(&example.candidate));
    [when, printable(who), printable(&does), now, would, printable(&example.request_id)]
}

/// The first of these names.
fn named(names: &[String]) -> String {
    let mut some: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| printable(name)).collect();
    if names.len() > NAMES_SHOWN {
        some.push(format!("{} more", names.len() - NAMES_SHOWN));
    }
    some.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Value {
        json!({
            "revision": "c".repeat(64), "policies": 12, "reporting": [],
            "in_force": "b".repeat(64), "in_force_at_start": "a".repeat(64),
            "started_at": 0, "since": 30_000, "restarts": 2, "sample": "10%",
            "requests": {
                "seen": 1000, "decided": 98, "waiting": 1, "passed_over": 900, "missed": 1, "failed": 0,
                "elsewhere": 7,
            },
            "differences": { "newly_denied": 3, "newly_allowed": 1, "other_policies": 0 },
            "by_kind": {
                "rows": [{ "name": "User", "newly_denied": 3, "newly_allowed": 1, "other_policies": 0 }],
                "others": { "newly_denied": 0, "newly_allowed": 0, "other_policies": 0 },
            },
            "by_app": {
                "rows": [
                    { "name": "payroll", "newly_denied": 1, "newly_allowed": 1, "other_policies": 0 },
                    { "name": "wiki", "newly_denied": 2, "newly_allowed": 0, "other_policies": 0 },
                ],
                "others": { "newly_denied": 0, "newly_allowed": 0, "other_policies": 0 },
            },
            "by_policy": {
                "rows": [{ "name": "place\u{1b}[2J", "newly_denied": 3, "newly_allowed": 0, "other_policies": 0 }],
                "others": { "newly_denied": 0, "newly_allowed": 1, "other_policies": 0 },
            },
            "examples": [{
                "at": 60_000, "request_id": "r-1", "kind": "User", "who": "corp:alice", "action": "GET",
                "route": "wiki/all", "change": "newly_denied", "policies": ["place"],
                "in_force": { "decision": "allow", "code": null, "determining": ["wiki.staff"], "errors": [] },
                "candidate": { "decision": "deny", "code": "no_permit", "determining": [], "errors": [] },
            }],
        })
    }

    fn page(found: Value) -> String {
        told(&rollout::read(&found).unwrap(), 61_000, Style::Plain)
    }

    #[test]
    fn what_would_change_is_a_page() {
        let found = json!({
            "scope": "node", "in_force": "b".repeat(64), "candidate": report(), "report_only": null,
        });
        assert_eq!(
            page(found),
            "\
in force     bbbbbbbbbbbb (this node)
candidate    cccccccccccc, asked about 10% of the requests
             98 of 1000 requests decided by both in 31s, 900 not in the sample, 1 waiting, \
1 missed, because too many came at once, 7 answered by a roll-out, and not compared
             counted anew 2 times since it was started 1m01s ago: other policies came into force
             other policies are in force than when it was started: promoting it could take them back
             3 newly denied, 1 newly allowed, 0 by other policies

WHO   NEWLY DENIED  NEWLY ALLOWED  OTHER POLICIES
User  3             1              0

APP      NEWLY DENIED  NEWLY ALLOWED  OTHER POLICIES
payroll  1             1              0
wiki     2             0              0

POLICY          NEWLY DENIED  NEWLY ALLOWED  OTHER POLICIES
place\\u{1b}[2J  3             0              0
(others)        0             1              0

WHEN    WHO         DOES          NOW                 WOULD BE                   REQUEST
1s ago  corp:alice  GET wiki/all  allow (wiki.staff)  deny (nothing permits it)  r-1

"
        );
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let found = |candidate: Value, report_only: Value| {
            page(json!({ "in_force": "b".repeat(64), "candidate": candidate, "report_only": report_only }))
        };
        assert!(found(Value::Null, Value::Null).ends_with("and every policy decides\n"));
        let mut quiet = report();
        for (field, value) in [
            ("reporting", json!(["place"])),
            ("in_force_at_start", json!("b".repeat(64))),
            ("restarts", json!(0)),
            ("differences", json!({})),
            ("requests", json!({ "seen": 5, "decided": 5 })),
        ] {
            quiet[field] = value;
        }
        assert_eq!(
            found(Value::Null, quiet),
            "\
in force     bbbbbbbbbbbb (this node)
report-only  cccccccccccc with place as well
             5 of 5 requests decided by both in 31s
             no difference
"
        );
    }
}
