//! What is to be explained: words, a case, or a request of the audit log.

use std::path::Path;

use doorward_audit::tail::{Filter, Follower, From};
use doorward_console::TimeSaid;
use doorward_policy::{Case, Situation, Workshop, record};
use serde_json::Value;

use super::super::super::{Exit, Failure, load_config, printable};
use super::super::whom::Whom;
use super::cedar;
use crate::cli::PolicyExplainArgs;
use crate::color::ColorChoice;

/// What is to be explained.
pub(super) struct Asked {
    /// In a few words.
    pub(super) words: String,
    pub(super) situation: Situation,
    /// The policies that decided, where it was decided.
    pub(super) revision: Option<String>,
    /// Who asks in it, where the gateway is to look that up.
    pub(super) whom: Option<Whom>,
    /// What of its time is said, where the gateway is to say the rest, and what the route is.
    pub(super) said: Option<Vec<&'static str>>,
}

impl Asked {
    fn new(words: String, situation: Situation) -> Self {
        Self { words, situation, revision: None, whom: None, said: None }
    }

    /// Asked by somebody of the directory, or by a visitor.
    pub(super) fn of(
        words: String,
        situation: Situation,
        whom: Option<Whom>,
        said: Vec<&'static str>,
    ) -> Self {
        Self { whom, said: Some(said), ..Self::new(words, situation) }
    }
}

/// What is asked, over the people and the cases of a folder.
pub(super) fn over(
    args: &PolicyExplainArgs,
    shop: &Workshop,
    color: ColorChoice,
    notes: &mut Vec<String>,
) -> Result<Asked, Failure> {
    match (&args.who, &args.does, &args.case) {
        (Some(who), Some(does), _) => {
            let words = words(who, does, &args.with)?;
            let situation = shop.cases().situated(&words).map_err(|e| {
                let help = "the people and the routes stand in `cases/base.toml`, the words of `--with` in the README of the policies";
                Failure::new(Exit::Mistaken, printable(&e), help)
            })?;
            Ok(Asked::new(format!("{does} as {who}"), situation))
        }
        (_, _, Some(name)) => {
            let case = called(shop, name)?;
            let situation =
                case.situation.map_err(|e| Failure::new(Exit::Mistaken, printable(&e), "mend the case"))?;
            Ok(Asked::new(format!("case `{name}`"), situation))
        }
        _ => recorded(args, color, notes),
    }
}

/// The one case that is called so.
fn called<'s>(shop: &'s Workshop, name: &str) -> Result<Case<'s>, Failure> {
    let mut found: Vec<Case<'s>> = shop.cases().iter().filter(|case| case.name == name).collect();
    let shown = printable(name);
    match (found.pop(), found.is_empty()) {
        (Some(case), true) => Ok(case),
        (Some(last), false) => {
            let places = found.iter().chain([&last]).map(|case| format!("{}:{}", case.file, case.line));
            Err(several("cases", name, &places.collect::<Vec<_>>()))
        }
        // Only with `--live`: of a folder it was explained before anybody asked here.
        (None, _) if cedar::is_there(shop, name) => {
            let message = format!(
                "`{shown}` is a test in Cedar's own format: it says its own entities, of which no gateway is asked"
            );
            Err(Failure::new(Exit::Mistaken, message, "leave out `--live`"))
        }
        (None, _) => {
            let message = format!("no case is called `{shown}`");
            let help = "the names stand in `cases/*.toml`, as `name = …`, and in `cases/*.tests.json`";
            Err(Failure::new(Exit::Mistaken, message, help))
        }
    }
}

/// More than one is called so, at these places.
pub(super) fn several(what: &str, name: &str, places: &[String]) -> Failure {
    let (many, name, places) = (places.len(), printable(name), printable(&places.join(", ")));
    let message = format!("{many} {what} are called `{name}`: {places}");
    Failure::new(Exit::Mistaken, message, "give each a name of its own, that says the point")
}

/// The words of a case, as TOML.
pub(super) fn words(who: &str, does: &str, with: &[String]) -> Result<String, Failure> {
    let mut text = format!("who = {}\ndoes = {}\n", quoted(who), quoted(does));
    for pair in with.iter().flat_map(|with| with.split_whitespace()) {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let (key, value) =
            pair.split_once('=').filter(|(key, _)| key.chars().all(known)).ok_or_else(|| {
                let message = format!("`{}` is not a word and its value", printable(pair));
                Failure::new(Exit::Mistaken, message, "write such as `place.country=FR session.mfa_age=40m`")
            })?;
        text.push_str(&format!("{key} = {}\n", value_of(key, value)));
    }
    Ok(text)
}

/// What the words of a case say of the time.
pub(super) fn time_said(words: &str) -> Vec<&'static str> {
    let case = words.parse::<toml::Table>().unwrap_or_default();
    let time = case.get("time").and_then(toml::Value::as_table);
    TimeSaid::WORDS.into_iter().filter(|word| time.is_some_and(|time| time.contains_key(*word))).collect()
}

/// A value as TOML. Most are texts, which nobody wants to quote twice on a command line.
fn value_of(key: &str, value: &str) -> String {
    let is_list = matches!(key, "place.zones" | "person.roles" | "person.groups");
    let bare = matches!(value, "true" | "false")
        || value.starts_with(['[', '{', '"', '\''])
        || (matches!(key, "risk" | "place.asn") && value.parse::<u32>().is_ok())
        || (matches!(key, "time.now" | "person.contract_end") && !value.is_empty());
    match (bare, is_list) {
        (true, _) => value.to_owned(),
        (false, true) => {
            let each: Vec<_> = value.split(',').filter(|one| !one.is_empty()).map(quoted).collect();
            format!("[{}]", each.join(", "))
        }
        (false, false) => quoted(value),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A request of the audit log.
pub(super) fn recorded(
    args: &PolicyExplainArgs,
    color: ColorChoice,
    notes: &mut Vec<String>,
) -> Result<Asked, Failure> {
    let id = args.request.as_deref().unwrap_or_default();
    let dir = match &args.audit {
        Some(dir) => dir.clone(),
        None => load_config(&args.gateway.config, color)?.audit.dir().to_owned(),
    };
    let line = find(&dir, id)?;
    let told = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let kept = line.pointer("/unmapped/doorward/situation").ok_or_else(|| {
        let message =
            format!("the log does not have what the policies saw of the request `{}`", printable(id));
        let help = "no policy was asked about it, or `audit.situations` was off";
        Failure::new(Exit::Failed, message, help)
    })?;
    let situation = record::read(&kept.to_string()).map_err(|e| {
        Failure::new(
            Exit::Failed,
            format!("the record of the request cannot be read: {e}"),
            "it cannot be explained",
        )
    })?;
    if let Some(outcome) = told("/unmapped/doorward/decision/outcome") {
        let by = line.pointer("/unmapped/doorward/decision/determining").and_then(Value::as_array);
        let by: Vec<&str> = by.into_iter().flatten().filter_map(Value::as_str).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        notes.push(printable(&format!("it was decided then: {outcome}{by}")));
    }
    let words = format!("request {}: {} {}", printable(id), situation.action, situation.route.id);
    let revision = told("/unmapped/doorward/decision/policy_set/revision");
    Ok(Asked { revision, ..Asked::new(words, situation) })
}

/// The decision of a request in the log.
fn find(dir: &Path, id: &str) -> Result<Value, Failure> {
    let unreadable = |e: std::io::Error| {
        let message = format!("the audit log in `{}` cannot be read: {e}", dir.display());
        Failure::new(
            Exit::Failed,
            message,
            "`--audit DIR` names another; only the gateway's own user may read it",
        )
    };
    let mut follower = Follower::new(dir, From::Start, Filter::default()).map_err(unreadable)?;
    let mut found = None;
    loop {
        for line in follower.poll().map_err(unreadable)?.into_iter().filter(|line| line.contains(id)) {
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            let is_it = line.pointer("/metadata/correlation_uid").and_then(Value::as_str) == Some(id);
            // The decision comes before the end of a stream, which tells less.
            if is_it && (found.is_none() || line.pointer("/unmapped/doorward/situation").is_some()) {
                found = Some(line);
            }
        }
        if follower.is_caught_up() {
            break;
        }
    }
    found.ok_or_else(|| {
        if !has_log(dir) {
            let message = format!("there is no audit log in `{}`", dir.display());
            return Failure::new(Exit::Failed, message, "`--audit DIR` names the folder that has its files");
        }
        let message = format!("no request with the id `{}` is in the audit log", printable(id));
        let help = match id.parse::<uuid::Uuid>() {
            Ok(_) => "the id stands on the page of a refusal; old files of the log may be gone",
            Err(_) => "that is no id; one is such as `0198f2c4-7d5e-7b33-9a53-2a1f6f6a1c10`, as on the page of a refusal",
        };
        Failure::new(Exit::Failed, message, help)
    })
}

/// Whether a folder has a file of an audit log, whoever may read that.
fn has_log(dir: &Path) -> bool {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with("audit-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line_are_words_of_a_case() {
        let with =
            ["session.mfa_age=40m place.country=NO".to_owned(), "place.zones=corp,vpn risk=40".to_owned()];
        assert_eq!(
            words("alice", "GET payroll/all", &with).unwrap(),
            "who = \"alice\"\ndoes = \"GET payroll/all\"\nsession.mfa_age = \"40m\"\nplace.country = \"NO\"\n\
             place.zones = [\"corp\", \"vpn\"]\nrisk = 40\n"
        );
        for (key, value, expect) in [
            ("session.mfa", "true", "true"),
            ("time.local", "19:59", "\"19:59\""),
            ("time.now", "2026-03-04T10:00:00Z", "2026-03-04T10:00:00Z"),
            ("person.roles", "", "[]"),
            ("device.id", "12", "\"12\""),
            ("risk", "unknown", "\"unknown\""),
        ] {
            assert_eq!(value_of(key, value), expect);
        }
        for (with, said) in [
            ("", ""),
            ("session.mfa=true place.country=NO", ""),
            ("time.now=2026-03-04T10:00:00Z", "now"),
            ("time.weekday=sat session.mfa=true time.local=19:59", "local weekday"),
            ("time={local='19:59'}", "local"),
        ] {
            let words = words("visitor", "GET payroll/all", &[with.to_owned()]).unwrap();
            assert_eq!(time_said(&words).join(" "), said, "{with}");
        }
        for odd in ["x", "a b=c", "a\n=1", "=1\"", "who[0]=x"] {
            let said = words("a", "GET b/c", &[odd.to_owned()]);
            assert!(said.is_err() || odd.starts_with('='), "{odd}");
        }
    }
}
