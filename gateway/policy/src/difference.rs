//! What an edit changes, by the names of the policies, of the red lines and of the cases; and which red lines it softens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cedar_policy::Policy;
use serde_json::Value;

use crate::bundle::{Kind, PolicyBundle};
use crate::lines;
use crate::workshop::on_policy_stack;

/// How many names of cases a line for people has.
const CASES_SHOWN_MAX: usize = 10;
/// How much of the name of a case a line for people has, in characters.
const CASE_NAME_CHARS_MAX: usize = 80;

/// The names of the policies and red lines that two sets do not have alike. In order.
///
/// Those that only report count: what they say turns into a decision by a change of theirs. What turns from a policy
/// into a red line, or back, is removed and added, whatever it says: a red line decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Only the second has them.
    pub added: Vec<String>,
    /// Only the first has them.
    pub removed: Vec<String>,
    /// Both have them, and they say something else, be it in an annotation. Layout and comments do not count.
    pub changed: Vec<String>,
    /// The cases that came, went, or say something else.
    pub cases: CaseDifference,
}

/// The names of the cases that two sets do not have alike. In order; of cases of one name each counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseDifference {
    /// Only the second has them.
    pub added: Vec<String>,
    /// Only the first has them: what they forbade to happen may happen.
    pub removed: Vec<String>,
    /// Both have them, and they ask or expect something else: also where nothing of the case is written anew, but who
    /// somebody is, what a route is, or what all cases begin with.
    pub changed: Vec<String>,
}

/// A red line that must be known to hold, and that an edit takes away or draws anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Softened {
    /// Its name.
    pub line: String,
    /// What becomes of it.
    pub how: Softening,
}

/// What becomes of a red line that must be known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Softening {
    /// It is not there any more.
    Removed,
    /// It need not be known to hold any more: `@unknown("report")`.
    Reports,
    /// It says something else. Nobody knows whether that is less.
    Redrawn,
}

impl fmt::Display for Softened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.how {
            Softening::Removed => "is not there any more",
            Softening::Reports => "need not be known to hold any more",
            Softening::Redrawn => "says something else",
        };
        write!(f, "`{}` {what}", self.line)
    }
}

impl CaseDifference {
    /// Whether the cases are the same.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// How many came, went, and say something else.
    #[must_use]
    pub const fn counts(&self) -> [usize; 3] {
        [self.added.len(), self.removed.len(), self.changed.len()]
    }

    fn new(before: &[(String, u64)], after: &[(String, u64)]) -> Self {
        let mut all: BTreeMap<&str, [Vec<u64>; 2]> = BTreeMap::new();
        for (side, cases) in [before, after].into_iter().enumerate() {
            for (name, print) in cases {
                let prints = all.entry(name).or_default();
                prints.iter_mut().skip(side).take(1).for_each(|prints| prints.push(*print));
            }
        }
        let mut found = Self::default();
        for (name, [mut before, mut after]) in all {
            // What is alike on both sides is none of it; what is left of one name pairs off.
            before.retain(|print| match after.iter().position(|other| other == print) {
                Some(at) => {
                    after.swap_remove(at);
                    false
                }
                None => true,
            });
            let pairs = before.len().min(after.len());
            let name = || name.to_owned();
            found.changed.extend(std::iter::repeat_with(name).take(pairs));
            found.removed.extend(std::iter::repeat_with(name).take(before.len() - pairs));
            found.added.extend(std::iter::repeat_with(name).take(after.len() - pairs));
        }
        found
    }
}

impl fmt::Display for CaseDifference {
    /// `2 went (a, b), 1 came, 0 changed`: those that came are of no harm, and not named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |names: &[String]| {
            if names.is_empty() {
                return String::new();
            }
            let cut = |name: &String| -> String {
                let plain = |c: char| if c.is_control() { ' ' } else { c };
                name.chars().take(CASE_NAME_CHARS_MAX).map(plain).collect()
            };
            let mut some: Vec<String> = names.iter().take(CASES_SHOWN_MAX).map(cut).collect();
            if names.len() > CASES_SHOWN_MAX {
                some.push(format!("and {} more", names.len() - CASES_SHOWN_MAX));
            }
            format!(" ({})", some.join(", "))
        };
        let [added, removed, changed] = self.counts();
        let [went, other] = [named(&self.removed), named(&self.changed)];
        write!(f, "{removed} went{went}, {added} came, {changed} changed{other}")
    }
}

impl Difference {
    /// Whether policies and red lines are the same. Schema and cases may differ.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl PolicyBundle {
    /// What `next` changes.
    #[must_use]
    pub fn difference(&self, next: &Self) -> Difference {
        let (before, after) = (self.by_name(), next.by_name());
        let only = |of: &BTreeMap<(&str, Kind), &Policy>, other: &BTreeMap<(&str, Kind), &Policy>| {
            let keys = of.keys().filter(|key| !other.contains_key(*key));
            keys.map(|(name, _)| (*name).to_owned()).collect()
        };
        let is_another =
            |(key, policy): &(&(&str, Kind), &&Policy)| before.get(*key).is_some_and(|b| b != *policy);
        Difference {
            added: only(&after, &before),
            removed: only(&before, &after),
            changed: after.iter().filter(is_another).map(|((name, _), _)| (*name).to_owned()).collect(),
            cases: CaseDifference::new(self.cases(), next.cases()),
        }
    }

    /// The red lines that must be known to hold here and that `next` takes away, makes report, or draws anew. In
    /// order. Who owns a line and how it is titled is no part of it.
    #[must_use]
    pub fn softened_by(&self, next: &Self) -> Vec<Softened> {
        let after: BTreeMap<&str, &Policy> = next.lines().map(|l| (l.id().as_ref(), l)).collect();
        let blocking: BTreeSet<&str> =
            self.lines().filter(|line| lines::blocks(line)).map(|line| line.id().as_ref()).collect();
        let softening = |line: &Policy| match after.get(AsRef::<str>::as_ref(line.id())) {
            None => Some(Softening::Removed),
            Some(after) if !lines::blocks(after) => Some(Softening::Reports),
            Some(after) => (!says_the_same(line, after)).then_some(Softening::Redrawn),
        };
        let mut softened: Vec<Softened> = self
            .lines()
            .filter(|line| blocking.contains(AsRef::<str>::as_ref(line.id())))
            .filter_map(|line| Some(Softened { line: line.id().to_string(), how: softening(line)? }))
            .collect();
        softened.sort_by(|a, b| a.line.cmp(&b.line));
        softened
    }
}

/// Whether two red lines claim the same of the same: all of them but who owns them and what they are called.
fn says_the_same(one: &Policy, other: &Policy) -> bool {
    let claim = |line: &Policy| {
        let mut json = line.to_json().ok()?;
        let compared = line.annotation("no_more_than").map(str::to_owned);
        json.as_object_mut()?.remove("annotations");
        Some::<(Value, Option<String>)>((json, compared))
    };
    // Both nest as deeply as they were let in.
    one == other || on_policy_stack(|| claim(one).is_some_and(|c| Some(c) == claim(other))).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use doorward_model::UnixMillis;

    use super::*;
    use crate::failure::SourceFile;
    use crate::revision::Revision;
    use crate::vocabulary::Vocabulary;

    fn bundle(policies: &[(&str, &str)]) -> PolicyBundle {
        const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
        let words = Vocabulary::new(schema, SCHEMA).unwrap();
        let policies = policies
            .iter()
            .map(|(name, text)| Policy::parse(Some(cedar_policy::PolicyId::new(name)), text).unwrap());
        PolicyBundle::new(words, policies.collect(), Revision::of([]), UnixMillis(0))
    }

    #[test]
    fn names_are_added_removed_changed_and_layout_is_nothing() {
        let before = bundle(&[
            ("stays", "permit (principal, action, resource);"),
            ("goes", "permit (principal, action, resource);"),
            ("turns", "permit (principal, action, resource);"),
            ("speaks", "@reason(\"a\") forbid (principal, action, resource);"),
        ]);
        let after = bundle(&[
            ("stays", "permit(\n  principal,\n  action,\n  resource\n); // as before"),
            ("turns", "forbid (principal, action, resource);"),
            ("speaks", "@reason(\"b\") forbid (principal, action, resource);"),
            ("comes", "permit (principal, action, resource);"),
        ]);
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let difference = before.difference(&after);
        assert_eq!(
            (difference.added, difference.removed, difference.changed),
            (owned(&["comes"]), owned(&["goes"]), owned(&["speaks", "turns"]))
        );
        assert!(before.difference(&before).is_empty());
    }

    #[test]
    fn red_lines_and_what_only_reports_are_told_too() {
        const LINE: &str = "forbid (principal, action, resource);";
        let line =
            |name: &str, text: &str| Policy::parse(Some(cedar_policy::PolicyId::new(name)), text).unwrap();
        let tries = bundle(&[("tries", "@mode(\"report\") forbid (principal, action, resource);")]);
        let before = tries.beside(
            vec![line("line.goes", LINE), line("line.stays", LINE), line("line.turns", LINE)],
            Vec::new(),
        );
        let means = bundle(&[("tries", LINE)]);
        let after = means.beside(
            vec![line("line.stays", LINE), line("line.turns", "permit (principal, action, resource);")],
            Vec::new(),
        );
        let difference = before.difference(&after);
        assert_eq!(
            (difference.added, difference.removed, difference.changed),
            (Vec::new(), vec!["line.goes".to_owned()], vec!["line.turns".to_owned(), "tries".to_owned()])
        );
    }

    /// The same words forbid in one place and claim in the other.
    #[test]
    fn what_changes_side_between_policies_and_red_lines_is_told() {
        const FORBID: &str = "forbid (principal, action, resource);";
        let line = Policy::parse(Some(cedar_policy::PolicyId::new("moves")), FORBID).unwrap();
        let stays = ("stays", "permit (principal, action, resource);");
        let decides = bundle(&[("moves", FORBID), stays]);
        let claims = bundle(&[stays]).beside(vec![line], Vec::new());
        let moves = vec!["moves".to_owned()];
        let told = Difference { added: moves.clone(), removed: moves, ..Difference::default() };
        assert_eq!(decides.difference(&claims), told, "out of force");
        assert_eq!(claims.difference(&decides), told, "in force");
        assert!(claims.difference(&claims).is_empty());
    }

    #[test]
    fn a_line_that_must_hold_is_softened_by_what_takes_it_away_or_draws_it_anew() {
        let with = |lines: &[(&str, &str)]| {
            let parsed = lines
                .iter()
                .map(|(name, text)| Policy::parse(Some(cedar_policy::PolicyId::new(name)), text).unwrap());
            bundle(&[]).beside(parsed.collect(), Vec::new())
        };
        let all = "forbid (principal, action, resource);";
        let before = with(&[
            ("goes", all),
            (
                "stays",
                "@title(\"a\") @no_more_than(\"principal.a = A::\\\"b\\\"\") forbid (principal, action, resource);",
            ),
            ("turns", "forbid (principal, action, resource) when { context.http.host == \"a\" };"),
            (
                "compares",
                "@no_more_than(\"principal.a = A::\\\"b\\\"\") forbid (principal, action, resource);",
            ),
            ("reports", "@unknown(\"block\") forbid (principal, action, resource);"),
            ("never-blocked", "@unknown(\"report\") forbid (principal, action, resource);"),
        ]);
        let after = with(&[
            (
                "stays",
                "@title(\"b\") @owner(\"c\") @unknown(\"block\") @no_more_than(\"principal.a = A::\\\"b\\\"\") forbid (principal, action, resource);",
            ),
            ("turns", "forbid (principal, action, resource) when { context.http.host == \"b\" };"),
            (
                "compares",
                "@no_more_than(\"principal.a = A::\\\"c\\\"\") forbid (principal, action, resource);",
            ),
            ("reports", "@unknown(\"report\") forbid (principal, action, resource);"),
            ("comes", all),
        ]);
        let told: Vec<String> = before.softened_by(&after).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "`compares` says something else",
                "`goes` is not there any more",
                "`reports` need not be known to hold any more",
                "`turns` says something else",
            ]
        );
        assert_eq!(before.softened_by(&before), []);
        assert_eq!(with(&[]).softened_by(&before), [], "nothing is taken from what has nothing");
    }

    #[test]
    fn cases_come_and_go_by_name_and_say_something_else() {
        let with = |cases: &[(&str, u64)]| {
            let cases = cases.iter().map(|(name, print)| ((*name).to_owned(), *print)).collect();
            bundle(&[]).beside(Vec::new(), cases)
        };
        let before = with(&[("goes", 1), ("stays", 2), ("turns", 3), ("twice", 4), ("twice", 5)]);
        let after = with(&[("comes", 9), ("turns", 8), ("twice", 5), ("stays", 2)]);
        let cases = before.difference(&after).cases;
        assert_eq!(
            (&cases.added[..], &cases.changed[..]),
            (&["comes".to_owned()][..], &["turns".to_owned()][..])
        );
        assert_eq!(cases.removed, ["goes", "twice"]);
        assert_eq!(cases.to_string(), "2 went (goes, twice), 1 came, 1 changed (turns)");
        assert!(before.difference(&before).cases.is_empty());
    }

    /// Whoever makes bob somebody else lets the cases about him hold that would fail.
    #[test]
    fn a_case_says_something_else_with_the_people_the_routes_and_the_base_that_it_is_about() {
        const CASES: &str = r#"
            [person.bob]
            department = "it"
            [person.eve]
            [agent.bot]
            on_behalf_of = "bob"
            [service_account.job]
            owner = "eve"
            [route."wiki/all"]
            [route."build/all"]
            [base]
            place.ip = "192.0.2.1"
            time = { now = 2026-03-04T10:00:00Z, local = "10:00", weekday = "wed" }
            [[case]]
            name = "bob reads"
            who = "bob"
            does = "GET wiki/all"
            expect = "allow"
            [[case]]
            name = "bot builds"
            who = "bot"
            does = "GET build/all"
            expect = "deny"
            [[case]]
            name = "job reads"
            who = "job"
            does = "GET wiki/all"
            expect = "allow"
        "#;
        let prints = |text: &str| {
            let mut findings = Vec::new();
            let base = SourceFile::new("cases/base.toml".to_owned(), text.to_owned());
            let cases = crate::cases::read(&[base], &[], None, &mut findings);
            assert!(findings.is_empty(), "{findings:?}");
            cases.prints()
        };
        let all = &["bob reads", "bot builds", "job reads"][..];
        for (from, to, changed) in [
            ("department = \"it\"", "department = \"hr\"", &["bob reads", "bot builds"][..]),
            ("owner = \"eve\"", "owner = \"bob\"", &["job reads"][..]),
            ("[route.\"build/all\"]", "[route.\"build/all\"]\nadmin_surface = true", &["bot builds"][..]),
            ("192.0.2.1", "192.0.2.2", all),
            ("expect = \"deny\"", "expect = \"allow\"", &["bot builds"][..]),
            ("[person.eve]", "[person.eve] # as before\n\n[person.zoe]", &[][..]),
        ] {
            assert_eq!(CASES.matches(from).count(), 1, "{from}");
            let cases = CaseDifference::new(&prints(CASES), &prints(&CASES.replace(from, to)));
            assert_eq!(cases.changed, changed, "{from}");
            assert_eq!(cases.counts(), [0, 0, changed.len()], "{from}");
        }
    }
}
