//! A difference as a case that somebody reads, runs and keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use doorward_model::{Assurance, UnixMillis};
use doorward_policy::{Cases, NewCase, Situation, record};
use toml::{Table, Value};

use super::report::{Change, Difference, Said};

/// The words of a case, in the order in which people read them.
const WORDS: [&str; 13] = [
    "name", "who", "person", "does", "place", "session", "device", "time", "http", "risk", "granted",
    "expect", "by",
];
/// What a name of a case may stand for. One name stands for one of them.
const NAMED: [&str; 3] = ["person", "service_account", "agent"];

/// The cases of differences, and how many of these cannot be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenCases {
    /// A file for the folder `cases/` of the policies in force.
    pub text: String,
    /// How many cases stand in it.
    pub cases: usize,
    /// Why there is none of some differences.
    pub left_out: Vec<String>,
}

/// Writes a case for the oldest request of each difference. It expects what was said when the request was
/// decided: beside the policies of then it holds, and beside the candidate it fails and shows the difference.
/// Where the difference is wanted, what is expected is to be changed.
#[must_use]
pub fn write_cases(cases: &Cases, differences: &[Difference]) -> WrittenCases {
    let mut written = WrittenCases::default();
    let mut file = File::default();
    for (n, difference) in differences.iter().enumerate() {
        let Some(example) = difference.examples.first() else { continue };
        let Some(situation) = &example.situation else {
            written
                .left_out
                .push(format!("{}: too much was seen of all of them to be kept", sentence(difference)));
            continue;
        };
        let one = record::read(situation).map_err(|e| e.to_string()).and_then(|situation| {
            let name = format!("replay {}: {}", n + 1, sentence(difference));
            let situation = in_whole_seconds(situation);
            let by: Vec<_> = difference.before.policies.iter().map(|id| id.as_str().into()).collect();
            let expect = difference.before.decision;
            cases.write(&NewCase { name: &name, situation: &situation, expect, by: &by })
        });
        let comment = format!(
            "{}, such as {} of {}. The candidate says: {}",
            counted(difference.requests),
            example.request_id,
            example.who.as_deref().unwrap_or("a visitor"),
            words(&difference.after),
        );
        match one.and_then(|text| file.add(&text, &plain(&comment))) {
            Ok(()) => written.cases += 1,
            Err(why) => written.left_out.push(format!("{}: {why}", sentence(difference))),
        }
    }
    written.text = file.text();
    written
}

/// A file that grows by one case after the other: what several of them need is defined once.
#[derive(Default)]
struct File {
    definitions: BTreeMap<(String, String), Value>,
    cases: String,
}

impl File {
    /// Adds a case with its definitions. A name that stands for something else already becomes another one.
    fn add(&mut self, text: &str, comment: &str) -> Result<(), String> {
        let mut whole: Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        let mut table = |name: &str| match whole.remove(name) {
            Some(Value::Table(table)) => table,
            Some(_) | None => Table::new(),
        };
        let routes = table("route");
        let named = NAMED.map(|section| (section, table(section)));
        let Some(Value::Array(cases)) = whole.remove("case") else { return Err("no case".to_owned()) };
        let Some(Value::Table(mut case)) = cases.into_iter().next() else { return Err("no case".to_owned()) };
        for (name, route) in &routes {
            let known = self.definitions.get(&("route".to_owned(), name.clone()));
            if known.is_some_and(|known| known != route) {
                return Err(format!("the route `{name}` had other facts at another time"));
            }
        }
        for (name, route) in routes {
            self.definitions.insert(("route".to_owned(), name), route);
        }
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        // People first: the others name them.
        for (section, table) in named {
            for (name, mut value) in table {
                for word in ["owner", "on_behalf_of"] {
                    rename(value.get_mut(word), &renamed);
                }
                let free = self.define(section, &name, value);
                renamed.insert(name, free);
            }
        }
        rename(case.get_mut("who"), &renamed);
        let _ = write!(self.cases, "\n# {comment}\n[[case]]\n");
        let known: BTreeSet<&str> = WORDS.into();
        let others = case.iter().filter(|(word, _)| !known.contains(word.as_str()));
        let ordered = WORDS.iter().filter_map(|word| case.get_key_value(*word)).chain(others);
        for (word, value) in ordered {
            let _ = writeln!(self.cases, "{word} = {value}");
        }
        Ok(())
    }

    /// Defines something under this name, or under the next one that is free or stands for the same.
    fn define(&mut self, section: &str, name: &str, value: Value) -> String {
        let taken = |name: &str| {
            let mut of = NAMED.iter().filter_map(|section| {
                self.definitions.get_key_value(&((*section).to_owned(), name.to_owned()))
            });
            of.next().is_some_and(|((other, _), known)| other != section || *known != value)
        };
        let others = (2..).map(|n| format!("{name}-replay-{n}"));
        let mut names = std::iter::once(name.to_owned()).chain(others);
        let free = names.find(|name| !taken(name)).unwrap_or_else(|| name.to_owned());
        self.definitions.insert((section.to_owned(), free.clone()), value);
        free
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for ((section, name), value) in &self.definitions {
            let _ = writeln!(text, "[{section}.{}]", key(name));
            for (word, value) in value.as_table().into_iter().flatten() {
                let _ = writeln!(text, "{} = {value}", key(word));
            }
            text.push('\n');
        }
        text.push_str(self.cases.trim_start());
        text
    }
}

fn rename(name: Option<&mut Value>, renamed: &BTreeMap<String, String>) {
    if let Some(Value::String(name)) = name
        && let Some(other) = renamed.get(name)
    {
        name.clone_from(other);
    }
}

/// A key of TOML: bare where it may be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if bare { name.to_owned() } else { Value::from(name).to_string() }
}

fn counted(requests: u64) -> String {
    if requests == 1 { "1 request".to_owned() } else { format!("{requests} requests") }
}

/// A difference in one line.
fn sentence(difference: &Difference) -> String {
    let change = match difference.change {
        Change::NewlyDenied => "would be denied",
        Change::NewlyAllowed => "would be allowed",
        Change::OtherReasons => "would be decided by others",
    };
    let kind = difference.kind.as_str().replace('_', " ");
    let was = words(&difference.before);
    plain(&format!("{kind} at {}, was {was}, {change}", difference.app))
}

/// What was said, in words.
#[must_use]
pub fn words(said: &Said) -> String {
    let by = match (said.policies.is_empty(), said.broken) {
        (_, true) => "because a policy could not be evaluated".to_owned(),
        (true, false) => "because nothing permits it".to_owned(),
        (false, false) => format!("by {}", said.policies.join(", ")),
    };
    format!("{} {by}", said.decision)
}

/// One line of it, for a comment.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same as a policy sees it, with times that a case can say: whole seconds, and an age of a device in whole
/// minutes. All of them are rounded as policies are told them.
fn in_whole_seconds(situation: Situation) -> Situation {
    let now = UnixMillis::from_seconds(situation.now.seconds());
    let ago = |at: Option<UnixMillis>, unit: u128| {
        at.map(|at| {
            let age = situation.now.since(at).as_millis().div_ceil(unit).saturating_mul(unit);
            UnixMillis(now.0.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)))
        })
    };
    let session = Assurance {
        authenticated_at: ago(situation.session.authenticated_at, 1000),
        mfa_at: ago(situation.session.mfa_at, 1000),
        ..situation.session
    };
    let mut device = situation.device.clone();
    device.asserted_at = ago(device.asserted_at, 60_000);
    Situation { now, session, device, ..situation }
}
