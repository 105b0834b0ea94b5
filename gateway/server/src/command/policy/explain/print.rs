//! How an explanation is printed. It is read from its own JSON, so that one that came from a running gateway looks the
//! same.

use doorward_policy::PolicySource;
use serde_json::{Value, json};

use super::Sources;
use crate::color::Style;
use crate::command::printable;

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// For people.
pub(super) fn human(told: &Value, sources: &Sources, notes: &[String], all: bool, style: Style) -> String {
    let mut out = String::new();
    let asked = text(told, "asked");
    if !asked.is_empty() {
        out.push_str(&format!("{}\n", style.bold(&printable(asked))));
    }
    out.push_str(&notes.iter().map(|note| format!("{}\n", style.dim(&printable(note)))).collect::<String>());
    match told.get("person").filter(|person| person.is_object()) {
        None => answer(told, sources, all, style, &mut out),
        Some(person) => {
            let decision = decided(text(told, "decision"), style);
            out.push_str(&format!(
                "{decision}: the agent and its person must both be allowed\n\nits own question: "
            ));
            answer(told, sources, all, style, &mut out);
            out.push_str("\nthe person for whom the agent acts: ");
            answer(person, sources, all, style, &mut out);
        }
    }
    way(told, style, &mut out);
    out
}

fn decided(decision: &str, style: Style) -> String {
    if decision == "allow" { style.green("allowed") } else { style.red("denied") }
}

/// What one question came to by itself, and by what.
fn answer(told: &Value, sources: &Sources, all: bool, style: Style, out: &mut String) {
    let policies = list(told, "policies");
    let decides = |id: &str| {
        list(told, "deciding").iter().any(|d| d.as_str() == Some(id))
            || list(told, "errors").iter().any(|e| text(e, "policy") == id)
    };
    // A gateway before this word was there says it of the whole alone.
    let own = told.get("own").or_else(|| told.get("decision")).and_then(Value::as_str).unwrap_or_default();
    let decision = decided(own, style);
    let names: Vec<_> = list(told, "deciding").iter().filter_map(Value::as_str).map(printable).collect();
    let erred = list(told, "errors").len();
    let by = match (names.is_empty(), erred) {
        (false, _) => format!(" by {}", names.join(", ")),
        (true, 0) => ": nothing permits it".to_owned(),
        (true, 1) => ": a policy could not be evaluated".to_owned(),
        (true, _) => format!(": {erred} policies could not be evaluated"),
    };
    out.push_str(&format!("{decision}{by}\n"));
    let missed = told.get("nearest_permit").filter(|missed| missed.is_object());
    for policy in policies {
        let id = text(policy, "id");
        if all || decides(id) {
            out.push('\n');
            one(policy, sources, all, style, out);
        }
    }
    if let Some(missed) = missed {
        let id = text(missed, "policy");
        out.push_str(&format!(
            "\nnearest permit missed: {}{}\n",
            style.bold(&printable(id)),
            at(id, None, sources)
        ));
        for lack in list(missed, "lacks").iter().filter_map(Value::as_str) {
            out.push_str(&format!("  {}\n", printable(lack)));
        }
    }
    let left_out = told.get("left_out").and_then(Value::as_u64).unwrap_or(0);
    if left_out > 0 {
        let more = if left_out == 1 { "policy is" } else { "policies are" };
        out.push_str(&format!("\n{left_out} more {more} not shown\n"));
    }
}

fn one(policy: &Value, sources: &Sources, all: bool, style: Style, out: &mut String) {
    let (id, effect, came_to) = (text(policy, "id"), text(policy, "effect"), text(policy, "came_to"));
    let says = match (effect, came_to) {
        ("permit", "true") => "permits".to_owned(),
        ("forbid", "true") => "forbids".to_owned(),
        (_, "error") => style.red("could not be evaluated"),
        (effect, _) => format!("would {effect}, and does not apply"),
    };
    out.push_str(&format!("{} {says}{}\n", style.bold(&printable(id)), at(id, None, sources)));
    for key in ["title", "reason"] {
        let said = text(policy, key);
        if !said.is_empty() {
            out.push_str(&format!("  {}\n", style.dim(&printable(said))));
        }
    }
    let conditions = list(policy, "conditions");
    if all {
        let below = conditions.first().map(|first| list(first, "below")).unwrap_or_default();
        for number in below {
            tree(conditions, number, 1, style, out);
        }
        return;
    }
    for condition in conditions {
        let failed = condition.get("failed").and_then(Value::as_bool).unwrap_or(false);
        if failed && text(condition, "part") == "policy" {
            out.push_str("  whoever asks for whatever\n");
        } else if failed || (text(condition, "kind") == "atom" && text(condition, "came_to") == "error") {
            atom(condition, 1, style, out);
            let place = at(id, condition.get("span"), sources);
            if !place.is_empty() {
                out.push_str(&format!("      {}\n", style.dim(place.trim())));
            }
        }
    }
}

fn tree(conditions: &[Value], number: &Value, depth: usize, style: Style, out: &mut String) {
    let Some(condition) = number.as_u64().and_then(|n| conditions.get(usize::try_from(n).ok()?)) else {
        return;
    };
    let kind = match text(condition, "kind") {
        "atom" => return atom(condition, depth, style, out),
        "all" => "all of",
        "any" => "any of",
        "not" => "not",
        other => other,
    };
    let came_to = text(condition, "came_to").replace('_', " ");
    out.push_str(&format!("{}{} {kind}\n", "  ".repeat(depth), mark(&came_to, style)));
    // What is deeper than anybody reads has no more indentation.
    for below in list(condition, "below").iter().take(if depth > 200 { 0 } else { usize::MAX }) {
        tree(conditions, below, depth + 1, style, out);
    }
}

fn mark(came_to: &str, style: Style) -> String {
    match came_to {
        "true" => style.green("true "),
        "false" => style.yellow("false"),
        "error" => style.red("error"),
        _ => style.dim("  -  "),
    }
}

fn atom(condition: &Value, depth: usize, style: Style, out: &mut String) {
    let indent = "  ".repeat(depth);
    let came_to = text(condition, "came_to").replace('_', " ");
    let why = text(condition, "why");
    out.push_str(&format!("{indent}{} {}\n", mark(&came_to, style), printable(text(condition, "text"))));
    if !why.is_empty() {
        out.push_str(&format!("{indent}      {}\n", style.red(&printable(why))));
    }
    for fact in list(condition, "facts") {
        let value = fact.get("value").and_then(Value::as_str).unwrap_or("absent");
        let limit = fact.get("limit").and_then(Value::as_str).filter(|_| text(condition, "part") == "clause");
        let limit = limit.map_or_else(String::new, |limit| format!(", limit {limit}"));
        let age = fact.get("age_seconds").and_then(Value::as_u64);
        let age = age.map_or_else(String::new, |age| format!(", told {} ago", ago(age)));
        let line = printable(&format!("{} = {value}{limit}{age}", text(fact, "name")));
        out.push_str(&format!("{indent}      {line}\n"));
    }
}

fn way(told: &Value, style: Style, out: &mut String) {
    let Some(way) = told.get("way").filter(|way| way.is_object()) else { return };
    let proved = way.get("proved").and_then(Value::as_bool).unwrap_or(false);
    let head = if proved {
        format!("{} (decided again so, it is allowed)", style.bold("cheapest way to pass"))
    } else {
        format!("{} would ask for, among others:", style.bold("no way to pass could be shown; the nearest"))
    };
    out.push_str(&format!("\n{head}\n"));
    for step in list(way, "steps") {
        let who = text(step, "who").replace('_', " ");
        out.push_str(&format!(
            "  {}  {}\n",
            printable(text(step, "what")),
            style.dim(&format!("[{}]", printable(&who)))
        ));
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        // What nobody knows is as old as anything can be.
        172_800..=31_535_999 => format!("{}d", seconds / 86_400),
        _ => "a year or more".to_owned(),
    }
}

/// Where a policy, or a part of it, is written: `  apps/wiki.cedar:12`.
fn at(id: &str, span: Option<&Value>, sources: &Sources) -> String {
    let Some(source) = sources.find(id) else { return String::new() };
    format!("  {}:{}", printable(source.file()), line(source, span))
}

/// The line of a part of a policy in its file.
fn line(source: &PolicySource, span: Option<&Value>) -> usize {
    let start =
        span.and_then(|span| span.get(0)).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let before = start.and_then(|start| source.text().get(..start)).unwrap_or_default();
    source.line() + before.matches('\n').count()
}

/// Writes down for programs where each policy stands.
pub(super) fn place(told: &mut Value, sources: &Sources) {
    let policies = told.get_mut("policies").and_then(Value::as_array_mut);
    for policy in policies.into_iter().flatten() {
        let Some(source) = sources.find(text(policy, "id")) else { continue };
        if let Some(map) = policy.as_object_mut() {
            map.insert("file".to_owned(), json!(source.file()));
            map.insert("line".to_owned(), json!(source.line()));
        }
    }
    if let Some(person) = told.get_mut("person").filter(|person| person.is_object()) {
        place(person, sources);
    }
}
