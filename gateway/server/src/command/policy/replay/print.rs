//! How a replay is told.

use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_workbench::replay::{self, Difference, Said};
use serde_json::{Value, json};

use super::super::super::{Failure, Output, printable, table};
use super::{Change, Done, words};

/// How many of the largest counts stand in a line.
const NAMED_MAX: usize = 8;

pub(super) fn human(done: &Done<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let report = &done.report;
    let candidate = done.args.candidate.display();
    out.line(format_args!(
        "{} from {} to {}, made again by {candidate} (revision {})",
        counted(report.decided, "decision"),
        iso(done.since),
        iso(done.until),
        done.revision.get(..12).unwrap_or(&done.revision),
    ))?;
    if report.decided > 0 {
        let differ = report.differ();
        let changes: Vec<String> = Change::ALL
            .into_iter()
            .filter_map(|change| {
                Some(format!("{} {}", grouped(*report.changes.get(&change)?), words(change)))
            })
            .collect();
        let verdict = if differ == 0 {
            out.style.green("all come to the same")
        } else {
            let verb = if differ == 1 { "differs" } else { "differ" };
            let differ = format!("{} {verb}: {}", grouped(differ), changes.join(", "));
            let come = if report.same == 1 { "comes" } else { "come" };
            format!("{} {come} to the same, {}", grouped(report.same), out.style.yellow(&differ))
        };
        out.line(format_args!("{verdict}"))?;
    }
    differences(done, out)?;
    what_is_missing(done, out)?;
    if let Some((cases, left_out)) = &done.cases {
        let file = done.args.write_cases.as_deref().unwrap_or(std::path::Path::new("")).display();
        match cases {
            0 => out.line(format_args!("no case is written, and {file} is not"))?,
            1 => out.line(format_args!("1 case in {file}: it holds as long as nothing changes"))?,
            more => out.line(format_args!("{more} cases in {file}: they hold as long as nothing changes"))?,
        }
        for why in left_out {
            out.line(format_args!("  no case of {}", printable(why)))?;
        }
    }
    let line = format!(
        "{} in {:.1} s, {} a second; Cedar was asked about {} of them, the others are known by what they look at",
        bytes(report.bytes),
        done.took.as_secs_f64(),
        counted(rate(report.decided, done.took), "decision"),
        grouped(report.asked),
    );
    out.line(out.style.dim(&line))?;
    match done.unproved() {
        Some(why) => {
            let line = format!("nothing is proved: {why}; `--allow-gaps` takes it for enough");
            out.line(out.style.red(&line))
        }
        None => Ok(()),
    }
}

fn differences(done: &Done<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let report = &done.report;
    if report.differences.is_empty() {
        return Ok(());
    }
    let kinds: Vec<(String, u64)> =
        report.by_kind().into_iter().map(|(kind, n)| (kind.to_owned(), n)).collect();
    totals("people", &kinds, out)?;
    totals("app", &report.by_app, out)?;
    let once_each = report.by_policy.iter().map(|(_, count)| count).sum::<u64>() <= report.differ();
    totals(if once_each { "policy" } else { "policy (a request counts for each)" }, &report.by_policy, out)?;
    out.line("")?;
    let mut rows =
        vec![["change", "requests", "who", "app", "was", "would be", "such as"].map(str::to_owned)];
    let mut most: Vec<&Difference> = report.differences.iter().collect();
    // Those with most requests first; of the others the order stays.
    most.sort_by_key(|difference| std::cmp::Reverse(difference.requests));
    for difference in most.iter().take(done.args.limit) {
        let example = difference.examples.first();
        let example = example.map_or_else(String::new, |e| {
            let who = e.who.as_deref().unwrap_or("a visitor");
            format!("{} {} {} ({})", who, e.action, e.route, e.request_id)
        });
        rows.push([
            words(difference.change).to_owned(),
            grouped(difference.requests),
            difference.kind.as_str().replace('_', " "),
            printable(&difference.app),
            printable(&replay::words(&difference.before)),
            printable(&replay::words(&difference.after)),
            printable(&example),
        ]);
    }
    out.text(table(&rows, out.style))?;
    let more = report.differences.len().saturating_sub(done.args.limit);
    if more > 0 {
        out.line(format_args!("and {more} more; `--limit {}` shows all of them", report.differences.len()))?;
    }
    if report.beyond > 0 {
        out.line(format_args!(
            "and {} of so many sorts that they are not told apart; the totals above hold them",
            counted(report.beyond, "request")
        ))?;
    }
    out.line("")
}

fn totals(by: &str, counts: &[(String, u64)], out: &mut Output<'_>) -> Result<(), Failure> {
    let named = counts.iter().take(NAMED_MAX);
    let named: Vec<String> =
        named.map(|(name, count)| format!("{} {}", printable(name), grouped(*count))).collect();
    let more = counts.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    out.line(format_args!("  by {by}: {}{more}", named.join(", ")))
}

fn what_is_missing(done: &Done<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let report = &done.report;
    if report.mistaken > 0 {
        let line = "what was remembered was wrong once, so all was made again by the bundle alone: this is right, and \
                    a fault of Doorward";
        out.line(out.style.red(line))?;
    }
    if report.files == 0 {
        out.line(out.style.yellow("the folder has no file of the log of that time"))?;
    } else if report.requests == 0 {
        let of = done.args.app.as_ref().map_or_else(String::new, |app| format!(" for the app `{app}`"));
        out.line(out.style.yellow(&format!("the log has no request{of} in that time that was asked for")))?;
    }
    let undecided = &report.undecided;
    let reasons = [
        (
            undecided.not_recorded,
            "what the policies saw is not in the log (`audit.situations = false`, or an older gateway)",
        ),
        (undecided.too_large, "what the policies saw was too large to be recorded"),
        (undecided.other_version, "recorded by another version of the gateway"),
        (undecided.unreadable, "what is recorded of them is damaged"),
    ];
    for (count, why) in reasons.into_iter().filter(|(count, _)| *count > 0) {
        out.line(out.style.yellow(&format!("{} not decided again: {why}", grouped(count))))?;
    }
    if undecided.not_asked > 0 {
        let (count, were) =
            (grouped(undecided.not_asked), if undecided.not_asked == 1 { "was" } else { "were" });
        out.line(format_args!("{count} {were} refused before any policy was asked, and still would be"))?;
    }
    if report.damaged > 0 {
        let are = if report.damaged == 1 { "is" } else { "are" };
        let line = format!("{} of the log {are} damaged:", counted(report.damaged, "line"));
        out.line(out.style.red(&line))?;
        for line in &report.damaged_lines {
            out.line(format_args!("  {}:{}: {}", printable(&line.file), line.line, printable(&line.why)))?;
        }
    }
    if report.lost > 0 {
        let lost = counted(report.lost, "decision");
        out.line(out.style.red(&format!("{lost} could not be written to the log then, as it says itself")))?;
    }
    if report.unfinished > 0 {
        let (files, end) = match report.unfinished {
            1 => ("1 file".to_owned(), "ends"),
            more => (format!("{} files", grouped(more)), "end"),
        };
        let line = format!("{files} of the log {end} within a line: it is being written now, or it was lost");
        out.line(out.style.yellow(&line))?;
    }
    if !report.packed.is_empty() {
        let files = printable(&report.packed.join(", "));
        let count = counted(report.packed.len() as u64, "compressed file");
        let line = format!("not read, unpack it first: {count}: {files}");
        out.line(out.style.yellow(&line))?;
    }
    if report.revisions.len() > 1 {
        for (revision, of) in &report.revisions {
            let revision = printable(revision.get(..12).unwrap_or(revision));
            let (decided, differ) = (grouped(of.decided), grouped(of.differ));
            out.line(format_args!("  decided by revision {revision}: {decided}, of which {differ} differ"))?;
        }
    }
    Ok(())
}

pub(super) fn json(done: &Done<'_>) -> Value {
    let report = &done.report;
    let undecided = &report.undecided;
    let changes: serde_json::Map<String, Value> = Change::ALL
        .into_iter()
        .map(|change| (change.as_str().to_owned(), json!(report.changes.get(&change).unwrap_or(&0))))
        .collect();
    let counts = |counts: &[(String, u64)]| {
        let of = |(name, requests): &(String, u64)| json!({ "name": name, "requests": requests });
        Value::Array(counts.iter().map(of).collect())
    };
    let kinds: Vec<Value> =
        report.by_kind().into_iter().map(|(name, n)| json!({ "name": name, "requests": n })).collect();
    json!({
        "candidate": done.args.candidate, "revision": done.revision,
        "since": iso(done.since), "until": iso(done.until),
        "requests": report.requests, "decided": report.decided, "same": report.same, "differ": report.differ(),
        "changes": changes,
        "by_kind": kinds, "by_app": counts(&report.by_app), "by_policy": counts(&report.by_policy),
        "differences": report.differences.iter().take(done.args.limit).map(difference).collect::<Vec<_>>(),
        "differences_total": report.differences.len(), "beyond": report.beyond,
        "undecided": {
            "not_asked": undecided.not_asked, "not_recorded": undecided.not_recorded,
            "too_large": undecided.too_large, "other_version": undecided.other_version,
            "unreadable": undecided.unreadable,
        },
        "revisions": report.revisions.iter().map(|(revision, of)| json!({
            "revision": revision, "decided": of.decided, "differ": of.differ,
        })).collect::<Vec<_>>(),
        "log": {
            "files": report.files, "bytes": report.bytes, "lines": report.lines,
            "damaged": report.damaged, "unfinished": report.unfinished, "lost": report.lost, "packed": report.packed,
            "damaged_lines": report.damaged_lines.iter().map(|line| json!({
                "file": line.file, "line": line.line, "why": line.why,
            })).collect::<Vec<_>>(),
        },
        "cases": done.cases.as_ref().map(|(cases, left_out)| json!({ "written": cases, "left_out": left_out })),
        "asked": report.asked, "controlled": report.controlled, "mistaken": report.mistaken,
        "unproved": done.unproved(),
        "took_ms": u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
        "decisions_per_second": rate(report.decided, done.took),
    })
}

fn difference(difference: &Difference) -> Value {
    json!({
        "change": difference.change.as_str(), "requests": difference.requests,
        "person_kind": difference.kind.as_str(), "app": difference.app,
        "before": said(&difference.before), "after": said(&difference.after),
        "examples": difference.examples.iter().map(|example| json!({
            "time": iso(example.time), "request_id": example.request_id, "who": example.who,
            "action": example.action.as_str(), "route": example.route,
        })).collect::<Vec<_>>(),
    })
}

fn said(said: &Said) -> Value {
    json!({ "decision": said.decision.as_str(), "policies": said.policies, "not_evaluated": said.broken })
}

/// How many in a second.
pub(super) fn rate(decided: u64, took: Duration) -> u64 {
    let millis = took.as_millis().max(1);
    u64::try_from(u128::from(decided) * 1000 / millis).unwrap_or(u64::MAX)
}

/// `1 decision`, `1,234 decisions`
fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `1,234,567`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes.div_ceil(1024 * 1024)))
}

fn iso(at: UnixMillis) -> String {
    match jiff::Timestamp::from_second(at.seconds()) {
        Ok(at) => at.to_string(),
        Err(_) => "beyond the calendar".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_people() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(rate(50_000, Duration::from_millis(500)), 100_000);
        assert_eq!(rate(5, Duration::ZERO), 5000);
        assert_eq!(iso(UnixMillis(1_795_212_000_123)), "2026-11-20T22:00:00Z");
    }
}
