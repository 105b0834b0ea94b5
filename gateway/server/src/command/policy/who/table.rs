//! What a review is read from: the answers, and whose they are.

mod answers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use doorward_policy::Action;
use serde_json::{Value, json};

use self::answers::{asked, list, maybe, policies, quoted, text};
use super::super::super::{Exit, Failure, printable};
use super::super::short;
use super::super::whom::VISITOR;
use crate::color::Style;

/// How many are named under one answer, for people.
const NAMED_MAX: usize = 40;
/// Beside a longer line no policy stands: it has the next one.
const LINE_MAX: usize = 60;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) enum About {
    /// Who can do this?
    Who {
        /// What is to be done.
        action: Action,
        /// The route, as it was named.
        asked: String,
    },
    /// What can they do?
    What {
        /// Whom, as they were named.
        who: String,
    },
}

/// Answers by what they say, and rows of who and what. An answer is held once, however many rows have it.
#[derive(Debug)]
pub(super) struct Table {
    about: About,
    revision: Option<String>,
    /// What is being rolled out, and to whom.
    staged: Value,
    /// The issuers whose people are as their tokens say, and not listed.
    unlisted: Vec<String>,
    answers: Vec<Value>,
    numbers: HashMap<String, usize>,
    rows: Vec<Row>,
    /// As whom a name was met first, and the names that were met as several.
    met: HashMap<String, (Option<String>, Option<String>)>,
    several: BTreeSet<String>,
}

/// Somebody, something, and the number of the answer.
#[derive(Debug)]
struct Row {
    name: String,
    id: Option<String>,
    kind: String,
    person: Option<String>,
    record: Option<String>,
    action: String,
    route: String,
    answer: usize,
    revision: Option<String>,
}

impl Table {
    pub(super) fn about(about: About) -> Self {
        let (answers, numbers, rows) = (Vec::new(), HashMap::new(), Vec::new());
        let (met, several) = (HashMap::new(), BTreeSet::new());
        let unlisted = Vec::new();
        Self { about, revision: None, staged: Value::Null, unlisted, answers, numbers, rows, met, several }
    }

    /// Takes in a page as the operator API gives it.
    pub(super) fn add(&mut self, page: &Value) -> Result<(), Failure> {
        let garbled = || {
            Failure::new(
                Exit::Failed,
                "the gateway's answer cannot be read",
                "is it of the same version as this?",
            )
        };
        let revision = page.get("revision").and_then(Value::as_str).ok_or_else(garbled)?;
        let staged = page.get("staged").cloned().unwrap_or_default();
        if self.revision.as_deref().is_some_and(|before| before != revision || self.staged != staged) {
            let help = "ask again: half of the answers are by other policies than the rest";
            return Err(Failure::new(Exit::Failed, "the policies changed meanwhile", help));
        }
        (self.revision, self.staged) = (Some(revision.to_owned()), staged);
        let issuers = list(page, "as_tokens_say").iter().filter_map(Value::as_str);
        self.unlisted = issuers.map(str::to_owned).collect();
        let mut numbers = Vec::new();
        for answer in list(page, "answers") {
            let next = self.answers.len();
            let number = *self.numbers.entry(answer.to_string()).or_insert(next);
            if number == next {
                self.answers.push(answer.clone());
            }
            numbers.push(number);
        }
        for row in list(page, "rows") {
            let at = row.get("answer").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            let answer = at.and_then(|at| numbers.get(at)).ok_or_else(garbled)?;
            let who = row.get("who").ok_or_else(garbled)?;
            let (name, as_whom) = (text(who, "name"), (maybe(who, "id"), maybe(who, "person")));
            if *self.met.entry(name.clone()).or_insert_with(|| as_whom.clone()) != as_whom {
                self.several.insert(name.clone());
            }
            self.rows.push(Row {
                name,
                id: maybe(who, "id"),
                kind: text(who, "kind"),
                person: maybe(who, "person"),
                record: maybe(who, "record"),
                action: text(row, "action"),
                route: text(row, "route"),
                answer: *answer,
                revision: maybe(row, "revision"),
            });
        }
        Ok(())
    }

    /// How many rows there are.
    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The numbers of the answers: always, then if, then never, and the largest group first.
    fn order(&self) -> Vec<(usize, Vec<&Row>)> {
        let mut by: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
        self.rows.iter().for_each(|row| by.entry(row.answer).or_default().push(row));
        let mut groups: Vec<_> = by.into_iter().collect();
        groups.sort_by_key(|(answer, rows)| {
            let word = self.answers.get(*answer).map(|a| text(a, "answer"));
            let rank = ["always", "if", "never"].iter().position(|w| word.as_deref() == Some(w));
            (rank, std::cmp::Reverse(rows.len()))
        });
        groups
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let row = |row: &&Row| {
            let Row { name, id, kind, person, record, .. } = row;
            json!({
                "who": { "name": name, "id": id, "kind": kind, "person": person, "record": record },
                "action": row.action, "route": row.route, "revision": row.revision,
            })
        };
        let groups: Vec<_> = self
            .order()
            .iter()
            .map(|(answer, rows)| {
                json!({ "answer": self.answers.get(*answer), "rows": rows.iter().map(row).collect::<Vec<_>>() })
            })
            .collect();
        json!({
            "revision": self.revision, "staged": self.staged, "as_tokens_say": self.unlisted, "groups": groups,
        })
    }

    /// For a spreadsheet (RFC 4180).
    pub(super) fn csv(&self) -> String {
        let mut out = "name,id,kind,action,route,answer,policies,conditions,person,revision\r\n".to_owned();
        for row in &self.rows {
            let answer = self.answers.get(row.answer).cloned().unwrap_or_default();
            let conditions = asked(&answer).into_iter().map(|(line, policy)| match policy {
                Some(policy) => format!("{line} [{policy}]"),
                None => line,
            });
            let cells = [
                row.name.clone(),
                row.id.clone().unwrap_or_default(),
                row.kind.clone(),
                row.action.clone(),
                row.route.clone(),
                text(&answer, "answer"),
                policies(&answer).join(" "),
                conditions.collect::<Vec<_>>().join("; "),
                row.person.clone().unwrap_or_default(),
                row.revision.clone().unwrap_or_default(),
            ];
            out += &cells.map(|cell| quoted(&cell)).join(",");
            out += "\r\n";
        }
        for issuer in self.untold() {
            let (action, route) = match &self.about {
                About::Who { action, asked } => {
                    (action.as_str(), self.rows.first().map_or(asked.as_str(), |row| &row.route))
                }
                About::What { .. } => ("", ""),
            };
            let why = "whoever comes by this issuer is as their token says (directory.token_for)";
            let cells = [issuer, "", "issuer", action, route, "unknown", "", why, "", ""];
            out += &cells.map(quoted).join(",");
            out += "\r\n";
        }
        out
    }

    /// The issuers by which people come whom the answers do not tell of. Whoever has not signed in comes by none.
    fn untold(&self) -> impl Iterator<Item = &str> {
        let told = matches!(&self.about, About::What { who } if who == VISITOR);
        self.unlisted.iter().filter(move |_| !told).map(String::as_str)
    }

    /// For people: what was asked, and each answer with its conditions once, and whose it is.
    pub(super) fn human(&self, style: Style) -> String {
        let mut out = self.head(style);
        for (number, rows) in self.order() {
            let Some(answer) = self.answers.get(number) else { continue };
            let word = text(answer, "answer");
            let word = match word.as_str() {
                "always" => style.green("always"),
                "if" => style.yellow("if"),
                _ => style.red("never"),
            };
            let _ = writeln!(out, "{word}  {}", style.bold(&self.whose(&rows)));
            let lines = asked(answer);
            let widths = lines.iter().map(|(line, _)| line.chars().count());
            let width = widths.filter(|width| *width <= LINE_MAX).max().unwrap_or(0);
            for (line, policy) in lines {
                let policy = policy.map(|p| style.dim(&p)).unwrap_or_default();
                if line.chars().count() > width && !policy.is_empty() {
                    let _ = writeln!(out, "    {line}\n    {:width$}  {policy}", "");
                } else {
                    let _ = writeln!(out, "{}", format!("    {line:<width$}  {policy}").trim_end());
                }
            }
            out.push('\n');
        }
        out
    }

    /// What was asked, by which policies, and about how many: a review without its question is worth nothing.
    fn head(&self, style: Style) -> String {
        let by = short(self.revision.as_deref().unwrap_or_default());
        let what = match &self.about {
            About::Who { action, asked } => {
                let route = self.rows.first().map_or(asked, |row| &row.route);
                let said =
                    if route == asked { String::new() } else { format!(" (asked for {})", printable(asked)) };
                style.bold(&format!("who can {} {}{said}", action.as_str(), printable(route)))
            }
            About::What { who } => style.bold(&format!("what {} can do", printable(who))),
        };
        let mut out = format!("{what}, by policies {by}: {}\n", self.counted());
        if let Some(staged) = self.staged.get("revision").and_then(Value::as_str) {
            let _ = writeln!(
                out,
                "policies {} are being rolled out; an answer with * is by those",
                short(staged)
            );
        }
        let untold: Vec<_> = self.untold().map(printable).collect();
        if !untold.is_empty() {
            let issuers = untold.join("`, `");
            let told = match &self.about {
                About::Who { .. } => format!(
                    "not listed: whoever comes by `{issuers}`, as their token says who they are (`directory.token_for`)"
                ),
                About::What { who } => format!(
                    "by the directory: whoever comes as {} by `{issuers}` is as their token says (`directory.token_for`)",
                    printable(who)
                ),
            };
            let _ = writeln!(out, "{}", style.yellow(&told));
        }
        out.push('\n');
        out
    }

    /// How many are asked about, or how many routes.
    fn counted(&self) -> String {
        if let About::What { .. } = self.about {
            let routes: BTreeSet<_> = self.rows.iter().map(|row| &row.route).collect();
            return many(routes.len(), "route");
        }
        // Whoever has several sign-ins is one.
        let of = |kind: &str| {
            let rows = self.rows.iter().filter(|row| row.kind == kind);
            let all: BTreeSet<_> = rows.map(|row| row.record.as_ref().or(row.id.as_ref())).collect();
            all.len()
        };
        let (people, programs) = (of("user"), of("service_account") + of("agent"));
        let visitor = if of("visitor") > 0 { " and whoever has not signed in" } else { "" };
        match (people, programs) {
            (0, 0) => format!("nobody is known{}", visitor.replace(" and", ", but")),
            (people, programs) => {
                let people = if people == 1 { "1 person".to_owned() } else { format!("{people} people") };
                format!("{people}, {}{visitor}", many(programs, "program"))
            }
        }
    }

    /// Whose an answer is: people by name, where one thing was asked about; else what can be done to which route.
    fn whose(&self, rows: &[&Row]) -> String {
        let mut names: Vec<String> = match self.about {
            About::Who { .. } => rows.iter().map(|row| self.name(row) + self.mark(row)).collect(),
            About::What { .. } => self.things(rows),
        };
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        let names = names.join(", ");
        if more > 0 { format!("{names} and {more} more; `--format csv` has all") } else { names }
    }

    /// What can be done to which route; and as whom, where somebody has several sign-ins.
    fn things(&self, rows: &[&Row]) -> Vec<String> {
        // As whom and where, each once, with what can be done there.
        let (mut places, mut done) = (Vec::new(), Vec::<Vec<&str>>::new());
        for row in rows {
            let as_whom = if self.has_others(row) { format!("{}: ", self.name(row)) } else { String::new() };
            let place = (as_whom, format!("{}{}", printable(&row.route), self.mark(row)));
            match places.iter().position(|before| *before == place).and_then(|at| done.get_mut(at)) {
                Some(actions) => actions.push(&row.action),
                None => {
                    places.push(place);
                    done.push(vec![&row.action]);
                }
            }
        }
        let said = places.iter().zip(&done).map(|((as_whom, place), actions)| {
            let every = actions.len() == Action::ALL.len();
            let actions = if every { "everything at".to_owned() } else { actions.join("/") };
            format!("{as_whom}{actions} {place}")
        });
        said.collect()
    }

    /// A name; with the sign-in where there are several of that name.
    fn name(&self, row: &Row) -> String {
        if !self.has_others(row) {
            return printable(&row.name);
        }
        let name = row.id.as_ref().map_or_else(
            || printable(&row.name),
            |id| format!("{} ({})", printable(&row.name), printable(id)),
        );
        match &row.person {
            Some(person) => format!("{name} for {}", printable(person)),
            None => name,
        }
    }

    /// Whether somebody else has this name, or the same have another sign-in.
    fn has_others(&self, row: &Row) -> bool {
        self.several.contains(&row.name)
    }

    fn mark(&self, row: &Row) -> &'static str {
        let staged = self.staged.get("revision").and_then(Value::as_str);
        if staged.is_some() && row.revision.as_deref() == staged { "*" } else { "" }
    }
}

fn many(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests;
