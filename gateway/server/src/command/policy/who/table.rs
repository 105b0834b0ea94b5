//! What a review is read from: the answers, and whose they are.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use doorward_policy::Action;
use serde_json::{Value, json};

use super::super::super::{Exit, Failure, printable};
use crate::color::Style;

/// How many are named under one answer, for people.
const NAMED_MAX: usize = 40;

/// Answers by what they say, and rows of who and what. An answer is held once, however many rows have it.
#[derive(Debug, Default)]
pub(super) struct Table {
    revision: Option<String>,
    answers: Vec<Value>,
    numbers: HashMap<String, usize>,
    rows: Vec<Row>,
}

/// Somebody, something, and the number of the answer.
#[derive(Debug)]
struct Row {
    name: String,
    id: Option<String>,
    kind: String,
    action: String,
    route: String,
    answer: usize,
}

/// A member as text; nothing where there is none.
fn text(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn words(value: &Value, member: &str) -> Vec<String> {
    list(value, member).iter().filter_map(Value::as_str).map(printable).collect()
}

impl Table {
    /// Takes in a page as the operator API gives it.
    pub(super) fn add(&mut self, page: &Value) -> Result<(), Failure> {
        let garbled = || {
            Failure::new(
                Exit::Failed,
                "the gateway's answer cannot be read",
                "is it of the same version as this?",
            )
        };
        if let Some(revision) = page.get("revision").and_then(Value::as_str) {
            if self.revision.as_deref().is_some_and(|before| before != revision) {
                let help = "ask again: half of the answers are by other policies than the rest";
                return Err(Failure::new(Exit::Failed, "the policies changed meanwhile", help));
            }
            self.revision = Some(revision.to_owned());
        }
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
            self.rows.push(Row {
                name: text(who, "name"),
                id: who.get("id").and_then(Value::as_str).map(str::to_owned),
                kind: text(who, "kind"),
                action: text(row, "action"),
                route: text(row, "route"),
                answer: *answer,
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
            json!({
                "who": { "name": row.name, "id": row.id, "kind": row.kind },
                "action": row.action, "route": row.route,
            })
        };
        let groups: Vec<_> = self
            .order()
            .iter()
            .map(|(answer, rows)| {
                json!({ "answer": self.answers.get(*answer), "rows": rows.iter().map(row).collect::<Vec<_>>() })
            })
            .collect();
        json!({ "revision": self.revision, "groups": groups })
    }

    /// For a spreadsheet (RFC 4180).
    pub(super) fn csv(&self) -> String {
        let mut out = "name,id,kind,action,route,answer,policies,conditions\r\n".to_owned();
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
            ];
            out += &cells.map(|cell| quoted(&cell)).join(",");
            out += "\r\n";
        }
        out
    }

    /// For people: each answer with its conditions once, and whose it is.
    pub(super) fn human(&self, style: Style) -> String {
        if self.rows.is_empty() {
            return "Nobody, for there is nobody to ask about.\n".to_owned();
        }
        let mut rows = self.rows.iter();
        let one_thing = rows
            .next()
            .is_none_or(|first| rows.all(|row| (&row.action, &row.route) == (&first.action, &first.route)));
        let mut out = String::new();
        for (number, rows) in self.order() {
            let Some(answer) = self.answers.get(number) else { continue };
            let word = text(answer, "answer");
            let word = match word.as_str() {
                "always" => style.green("always"),
                "if" => style.yellow("if"),
                _ => style.red("never"),
            };
            let _ = writeln!(out, "{word}  {}", style.bold(&whose(&rows, one_thing)));
            let lines = asked(answer);
            let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(60);
            for (line, policy) in lines {
                let policy = policy.map(|p| style.dim(&p)).unwrap_or_default();
                let _ = writeln!(out, "{}", format!("    {line:<width$}  {policy}").trim_end());
            }
            out.push('\n');
        }
        out
    }
}

/// Whose an answer is: people by name, where one thing was asked about; else what can be done to which route.
fn whose(rows: &[&Row], one_thing: bool) -> String {
    let mut names: Vec<String> = Vec::new();
    if one_thing {
        names.extend(rows.iter().map(|row| printable(&row.name)));
    } else {
        let mut routes: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in rows {
            match routes.iter_mut().find(|(route, _)| *route == row.route) {
                Some((_, actions)) => actions.push(&row.action),
                None => routes.push((&row.route, vec![&row.action])),
            }
        }
        names.extend(routes.iter().map(|(route, actions)| {
            let every = actions.len() == Action::ALL.len();
            let actions = if every { "everything at".to_owned() } else { actions.join("/") };
            format!("{actions} {}", printable(route))
        }));
    }
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more; `--format csv` has all") } else { names }
}

/// Every line that says what an answer comes to, with the policy behind it.
fn asked(answer: &Value) -> Vec<(String, Option<String>)> {
    let by = |of: &Value, member: &str| words(of, member).join(", ");
    match text(answer, "answer").as_str() {
        "always" => vec![("permitted".to_owned(), Some(by(answer, "by")))],
        "if" => list(answer, "terms").iter().flat_map(terms).collect(),
        _ => {
            let whose = if text(answer, "whose") == "person" { " (its person)" } else { "" };
            let policies = Some(by(answer, "policies")).filter(|p| !p.is_empty());
            let line = match text(answer, "because").as_str() {
                "not_permitted" => "no policy permits it".to_owned(),
                "forbidden" => "forbidden".to_owned(),
                "fails" => "a policy cannot be evaluated, which refuses".to_owned(),
                _ => format!("it cannot be asked: {}", printable(&text(answer, "detail"))),
            };
            vec![(line + whose, policies)]
        }
    }
}

/// The lines of one who must be allowed.
fn terms(terms: &Value) -> Vec<(String, Option<String>)> {
    let person = if text(terms, "whose") == "person" { "its person: " } else { "" };
    let mut lines = Vec::new();
    let by = words(terms, "by").join(", ");
    if !by.is_empty() {
        lines.push((format!("{person}permitted"), Some(by)));
    }
    let permits = list(terms, "permits");
    for permit in permits {
        let needs = words(permit, "needs").join(" and ");
        let one_of = if permits.len() > 1 { "one of these: " } else { "" };
        lines.push((
            format!("{person}{one_of}permitted if {needs}"),
            Some(printable(&text(permit, "policy"))),
        ));
    }
    for forbid in list(terms, "forbids") {
        let policy = printable(&text(forbid, "policy"));
        lines.extend(
            words(forbid, "needs").into_iter().map(|n| (format!("{person}{n}"), Some(policy.clone()))),
        );
    }
    let may_fail = words(terms, "may_fail").join(", ");
    if !may_fail.is_empty() {
        lines.push((format!("{person}computing does not fail, which refuses"), Some(may_fail)));
    }
    lines
}

/// Every policy that has a say in it.
fn policies(answer: &Value) -> Vec<String> {
    let mut all = [words(answer, "by"), words(answer, "policies")].concat();
    for terms in list(answer, "terms") {
        all.extend(words(terms, "by"));
        let clauses = list(terms, "permits").iter().chain(list(terms, "forbids"));
        all.extend(clauses.map(|clause| printable(&text(clause, "policy"))));
    }
    all.sort();
    all.dedup();
    all
}

/// A cell. What a spreadsheet would take for a formula is text.
fn quoted(cell: &str) -> String {
    let cell = printable(cell);
    let cell = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell };
    if cell.contains(['"', ',', '\n', '\r', ';']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        let row = |name: &str, answer: u64| {
            let who = json!({ "name": name, "id": format!("corp:{name}"), "kind": "user" });
            json!({ "who": who, "action": "GET", "route": "payroll/all", "answer": answer })
        };
        let permit = json!({ "policy": "p", "needs": ["from DE"], "cedar": "x" });
        let forbid = json!({ "policy": "f", "needs": ["more than one factor", "on weekdays"], "cedar": "x" });
        let terms =
            json!({ "whose": "asker", "by": [], "permits": [permit], "forbids": [forbid], "may_fail": [] });
        let never = json!({ "answer": "never", "whose": "person", "because": "forbidden", "policies": ["g"], "detail": null });
        let first = json!({
            "revision": "r", "next": "x",
            "answers": [never, { "answer": "if", "terms": [terms] }],
            "rows": [row("=carol", 0), row("alice", 1)],
        });
        table.add(&first).unwrap();
        let second = json!({
            "revision": "r",
            "answers": [{ "answer": "if", "terms": [terms] }, { "answer": "always", "by": ["a"] }],
            "rows": [row("bob", 0), row("dana", 1)],
        });
        table.add(&second).unwrap();
        table
    }

    #[test]
    fn each_answer_stands_once_with_everybody_whose_it_is() {
        let expected = "\
always  dana
    permitted  a

if  alice, bob
    permitted if from DE  p
    more than one factor  f
    on weekdays           f

never  =carol
    forbidden (its person)  g

";
        assert_eq!(table().human(Style::Plain), expected);
        let json = table().to_json();
        assert_eq!(json["groups"].as_array().unwrap().len(), 3);
        assert_eq!(json["groups"][1]["rows"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn of_one_person_it_says_what_they_can_do() {
        let row = |action: &str, answer: u64| {
            let who = json!({ "name": "alice", "id": "corp:alice", "kind": "user" });
            json!({ "who": who, "action": action, "route": "payroll/all", "answer": answer })
        };
        let answers =
            json!([{ "answer": "always", "by": ["a"] }, { "answer": "never", "because": "not_permitted" }]);
        let mut table = Table::default();
        table
            .add(&json!({ "answers": answers, "rows": [row("GET", 0), row("POST", 1), row("HEAD", 0)] }))
            .unwrap();
        let expected = "\
always  GET/HEAD payroll/all
    permitted  a

never  POST payroll/all
    no policy permits it

";
        assert_eq!(table.human(Style::Plain), expected);
    }

    #[test]
    fn a_spreadsheet_gets_a_line_for_each_and_no_formula() {
        let csv = table().csv();
        let lines: Vec<_> = csv.split("\r\n").collect();
        assert_eq!(lines.len(), 6, "{csv}");
        assert_eq!(lines[1], "'=carol,corp:=carol,user,GET,payroll/all,never,g,forbidden (its person) [g]");
        assert!(
            lines[2].starts_with("alice,corp:alice,user,GET,payroll/all,if,f p,\"permitted if from DE [p]; ")
        );
    }

    #[test]
    fn answers_by_other_policies_are_not_mixed() {
        let mut table = table();
        assert!(table.add(&json!({ "revision": "s", "answers": [], "rows": [] })).is_err());
        assert!(table.add(&json!({ "revision": "r", "answers": [], "rows": [{ "answer": 0 }] })).is_err());
    }
}
