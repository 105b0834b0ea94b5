//! The matrix: who may what, from where, with the policies that decide, as a page that an auditor reads.
//!
//! `matrix.toml` beside the schema names kinds of people, situations, routes and actions, in the words of cases; every
//! combination is decided as a request is. The page `MATRIX.md` is kept beside it, so that a change of policies shows
//! there what it changes, line by line, before it is merged.

use std::fmt::Write as _;

use doorward_model::limits::POLICY_MATRIX_CELLS_MAX;
use doorward_policy::{Decision, Workshop};
use serde::Deserialize;
use toml::{Table, Value};

/// The file that says what is in the matrix, by its path within the folder.
pub const PLAN: &str = "matrix.toml";
/// The page, by its path within the folder.
pub const PAGE: &str = "MATRIX.md";

/// What is in a matrix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    kind: Vec<Named>,
    situation: Vec<Named>,
    routes: Vec<String>,
    actions: Vec<String>,
}

/// A kind of people, or a situation: a name, a sentence about it, and words of a case.
#[derive(Debug, Clone, Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    about: String,
    #[serde(flatten)]
    words: Table,
}

impl Plan {
    /// Reads what is in a matrix.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn read(text: &str) -> Result<Self, String> {
        let plan: Self = toml::from_str(text).map_err(|e| format!("`{PLAN}`: {}", e.message().trim_end()))?;
        let sizes = [plan.kind.len(), plan.situation.len(), plan.routes.len(), plan.actions.len()];
        let cells = sizes.into_iter().try_fold(1_usize, |all, one| all.checked_mul(one));
        if cells.is_none_or(|cells| cells > POLICY_MATRIX_CELLS_MAX) {
            return Err(format!(
                "`{PLAN}` makes more than {POLICY_MATRIX_CELLS_MAX} cells; leave out some of it"
            ));
        }
        Ok(plan)
    }

    /// The page.
    ///
    /// # Errors
    /// Something in the plan is not in the cases: which, and what.
    pub fn page(&self, shop: &Workshop) -> Result<String, String> {
        let mut text = String::from(
            "# Who may what\n\n\
             <!-- Made by `doorward policy test --matrix --write` from `matrix.toml`; do not edit. -->\n\n\
             Every kind of people in every situation does every action on every route, and each of these is decided as a \
             request is. Named are the policies that permit, and those that forbid. People, routes and the situation \
             that all others start from are those of `cases/base.toml`.\n\n\
             | situation | |\n|---|---|\n",
        );
        for situation in &self.situation {
            let _ = writeln!(text, "| **{}** | {} |", cell(&situation.name), cell(&situation.about));
        }
        for kind in &self.kind {
            let _ = write!(text, "\n## {}\n\n", cell(&kind.name));
            if !kind.about.is_empty() {
                let _ = write!(text, "{}\n\n", cell(&kind.about));
            }
            self.table(kind, shop, &mut text)?;
        }
        Ok(text)
    }

    /// The table of one kind of people: a row for each route, with the actions of which the same is to be said.
    fn table(&self, kind: &Named, shop: &Workshop, text: &mut String) -> Result<(), String> {
        let mut rows: Vec<(&str, Vec<&str>, Vec<Cell>)> = Vec::new();
        for route in &self.routes {
            for action in &self.actions {
                let cells = self
                    .situation
                    .iter()
                    .map(|situation| decided(shop, kind, situation, &format!("{action} {route}")))
                    .collect::<Result<Vec<Cell>, String>>()?;
                match rows.iter_mut().find(|row| row.0 == route && row.2 == cells) {
                    Some(row) => row.1.push(action),
                    None => rows.push((route, vec![action], cells)),
                }
            }
        }
        text.push_str("| | allowed | refused |\n|---|---|---|\n");
        let alike = rows.first().is_some_and(|first| rows.iter().all(|row| row.2 == first.2));
        for (route, actions, cells) in rows.iter().take(if alike { 1 } else { usize::MAX }) {
            let what =
                if alike { "everything".to_owned() } else { format!("`{route}` {}", actions.join(" ")) };
            let [allowed, refused] =
                [Decision::Allow, Decision::Deny].map(|decision| self.where_so(decision, cells));
            let _ = writeln!(text, "| {what} | {allowed} | {refused} |");
        }
        Ok(())
    }

    /// The situations of which something is decided, those together in which the same policies do.
    fn where_so(&self, decision: Decision, cells: &[Cell]) -> String {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for (situation, one) in self.situation.iter().zip(cells).filter(|(_, one)| one.decision == decision) {
            match groups.iter_mut().find(|(by, _)| *by == one.by) {
                Some((_, names)) => names.push(&situation.name),
                None => groups.push((&one.by, vec![&situation.name])),
            }
        }
        let all = |names: &[&str]| {
            if names.len() == self.situation.len() {
                "everywhere".to_owned()
            } else {
                cell(&names.join(", "))
            }
        };
        let told: Vec<String> = groups.iter().map(|(by, names)| format!("{}: {by}", all(names))).collect();
        if told.is_empty() { "–".to_owned() } else { told.join("<br>") }
    }
}

/// What is decided of one kind of people who do one thing in one situation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    decision: Decision,
    /// The policies that decide.
    by: String,
}

fn decided(shop: &Workshop, kind: &Named, situation: &Named, does: &str) -> Result<Cell, String> {
    let mut words = kind.words.clone();
    for (key, value) in &situation.words {
        match (words.get_mut(key), value) {
            (Some(Value::Table(mine)), Value::Table(more)) => mine.extend(more.clone()),
            (Some(_) | None, _) => drop(words.insert(key.clone(), value.clone())),
        }
    }
    words.insert("does".to_owned(), Value::from(does));
    let wrong = |e: String| format!("`{PLAN}`: {} in the situation {}: {e}", kind.name, situation.name);
    let asked = shop.cases().situated(&words.to_string()).map_err(wrong)?;
    let verdict = shop.bundle().decide(&asked.question());
    let mut by: Vec<&str> = verdict.determining.iter().map(AsRef::as_ref).collect();
    by.sort_unstable();
    let by = match verdict.decision {
        Decision::Deny if by.is_empty() => "nothing permits it".to_owned(),
        Decision::Allow | Decision::Deny => {
            by.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" ")
        }
    };
    Ok(Cell { decision: verdict.decision, by })
}

/// A text that does not end a cell.
fn cell(text: &str) -> String {
    text.replace('<', "&lt;").replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many lines of a difference are shown.
const SHOWN_MAX: usize = 40;

/// The lines in which the page differs from what it should be; none if it is right. What stands there and should not has
/// `-` before it, what is missing `+`, under the heading that it stands under; after the first lines it says how many more
/// there are.
#[must_use]
pub fn differs(page: &str, should: &str) -> Option<String> {
    if page == should {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (page.lines().collect(), should.lines().collect());
    let lines = difference(&old, &new);
    let mut text = String::new();
    let mut shown = "";
    for (sign, at) in lines.iter().take(SHOWN_MAX) {
        let page = if *sign == '-' { &old } else { &new };
        // Many lines are the same for more than one kind of people.
        let above = page.get(..=*at).unwrap_or_default();
        let heading = above.iter().rev().find(|line| line.starts_with("## ")).copied().unwrap_or_default();
        let line = page.get(*at).copied().unwrap_or_default();
        if heading != shown && line != heading {
            let _ = writeln!(text, " {heading}");
        }
        shown = heading;
        let _ = writeln!(text, "{sign}{line}");
    }
    if let more @ 1.. = lines.len().saturating_sub(SHOWN_MAX) {
        let _ = writeln!(text, "… and {more} more lines");
    }
    if lines.is_empty() {
        text.push_str("the ends of the lines\n");
    }
    Some(text)
}

/// The lines that went and came, each by its place in its page, in the order of the pages. Lines in the middle that could be on both sides are taken by
/// their longest common run: pages are some hundred lines long.
fn difference(old: &[&str], new: &[&str]) -> Vec<(char, usize)> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let before = old.iter().zip(new).take_while(same).count();
    let left = old.len().min(new.len()) - before;
    let after = old.iter().rev().zip(new.iter().rev()).take(left).take_while(same).count();
    let (old, new) = (
        old.get(before..old.len() - after).unwrap_or_default(),
        new.get(before..new.len() - after).unwrap_or_default(),
    );
    if old.len().saturating_mul(new.len()) > POLICY_MATRIX_CELLS_MAX * 100 {
        let went = (0..old.len()).map(|at| ('-', before + at));
        return went.chain((0..new.len()).map(|at| ('+', before + at))).collect();
    }
    // How many lines are common to what is behind a line of the one and a line of the other.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    let at = |common: &[Vec<usize>], i: usize, j: usize| {
        common.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0)
    };
    for (i, was) in old.iter().enumerate().rev() {
        for (j, is) in new.iter().enumerate().rev() {
            let best = if was == is {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (None, None) => return lines,
            (Some(was), Some(is)) if was == is => (i, j) = (i + 1, j + 1),
            (Some(_), is) if is.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                lines.push(('-', before + i));
                i += 1;
            }
            (_, Some(_)) => {
                lines.push(('+', before + j));
                j += 1;
            }
            (Some(_), None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_text_in_a_cell() {
        assert_eq!(cell("a|b\n <script>"), "a\\|b &lt;script>");
    }

    #[test]
    fn a_difference_is_of_the_lines_that_came_and_went() {
        let told = |old: &str, new: &str| differs(old, new).map(|text| text.replace('\n', " "));
        assert_eq!(told("a\nb\n", "a\nb\n"), None);
        // A line more makes no others differ.
        assert_eq!(told("a\nb\nc\nd\n", "a\nx\nb\nc\nd\n").as_deref(), Some("+x "));
        assert_eq!(told("a\nb\nc\nd\ne\n", "a\nc\nx\ne\n").as_deref(), Some("-b -d +x "));
        assert_eq!(told("a\nb\na\nb\n", "b\na\n").as_deref(), Some("-a -b "));
        assert_eq!(told("", "a\n").as_deref(), Some("+a "));
        assert_eq!(told("a\n", "").as_deref(), Some("-a "));
        assert_eq!(told("a\r\n", "a\n").as_deref(), Some("the ends of the lines "));
        // Lines that are the same for two kinds of people are told apart.
        let page = |a: &str, b: &str| format!("# T\n## A\nx\n{a}\n## B\nx\n{b}\n");
        assert_eq!(told(&page("o", "o"), &page("n", "n")).as_deref(), Some(" ## A -o +n  ## B -o +n "));
        assert_eq!(told("## A\nx\n", "## B\nx\n").as_deref(), Some("-## A +## B "));
        let long: String = (0..100).map(|n| format!("{n}\n")).collect();
        let text = differs("", &long).unwrap();
        assert_eq!((text.lines().count(), text.ends_with("… and 60 more lines\n")), (41, true), "{text}");
    }
}
