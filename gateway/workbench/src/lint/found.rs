//! What was found, bounded, without what is meant.

use std::collections::{BTreeSet, HashMap, HashSet};

use doorward_model::limits::POLICY_HINTS_MAX;
use doorward_policy::{Finding, PolicySource, Rule, allowances};

/// Hints about policies. Those that a policy says are meant are counted and not kept: they take no room from the
/// others.
#[derive(Debug)]
pub struct Found<'p> {
    policies: &'p [PolicySource],
    /// By the name of a policy: what it is excepted from.
    meant: HashMap<&'p str, Vec<Rule>>,
    used: HashSet<(&'p str, Rule)>,
    hints: Vec<Finding>,
    allowed: usize,
    /// How many more are kept.
    room: usize,
    /// Why something was not looked for.
    left_out: BTreeSet<LeftOut>,
}

/// Why not everything was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LeftOut {
    /// There are too many hints already.
    Hints,
    /// There are too many policies to hold each against the others.
    Pairs,
    /// A policy asks of too many facts whether they are there.
    Facts,
}

impl<'p> Found<'p> {
    /// Nothing yet.
    #[must_use]
    pub fn new(policies: &'p [PolicySource]) -> Self {
        let excepted = policies.iter().filter(|p| p.policy().annotation("allow_lint").is_some());
        Self {
            policies,
            meant: excepted.map(|p| (p.id(), allowances(p.policy()).0)).collect(),
            used: HashSet::new(),
            hints: Vec::new(),
            allowed: 0,
            room: POLICY_HINTS_MAX,
            left_out: BTreeSet::new(),
        }
    }

    /// Takes what others have found.
    pub fn take(&mut self, hints: impl IntoIterator<Item = Finding>) {
        hints.into_iter().for_each(|hint| self.push(hint));
    }

    pub(super) fn push(&mut self, hint: Finding) {
        let meant = hint.policy().and_then(|id| self.meant.get_key_value(id));
        if let Some((id, rules)) = meant
            && rules.contains(&hint.rule())
        {
            self.used.insert((*id, hint.rule()));
            self.allowed += 1;
        } else if self.room > 0 {
            self.room -= 1;
            self.hints.push(hint);
        } else {
            self.left_out.insert(LeftOut::Hints);
        }
    }

    /// Makes room for as many hints again: those of one source take it from no other.
    pub(super) fn begin(&mut self) {
        self.room = POLICY_HINTS_MAX;
    }

    /// Whether nothing more is sought. Whoever asks has something to seek.
    pub(super) fn is_full(&mut self) -> bool {
        if self.room == 0 {
            self.left_out.insert(LeftOut::Hints);
        }
        self.room == 0
    }

    /// Says that something was not looked for.
    pub(super) fn leave_out(&mut self, why: LeftOut) {
        self.left_out.insert(why);
    }

    /// What is to be told, by file and place, and how many hints are meant. Exceptions that lead nowhere are
    /// told of as well; and what was not looked for, because a change could hide behind it.
    #[must_use]
    pub fn settled(mut self) -> (Vec<Finding>, usize) {
        self.begin();
        for source in self.policies {
            let (rules, strangers) = allowances(source.policy());
            for word in strangers {
                if self.is_full() {
                    break;
                }
                self.push(stranger(source, &word));
            }
            // What was not looked for may be there.
            let unused = |rule: &Rule| self.left_out.is_empty() && !self.used.contains(&(source.id(), *rule));
            let unused: Vec<Rule> = rules.into_iter().filter(unused).collect();
            self.take(unused.into_iter().map(|rule| nothing_there(source, rule)));
        }
        let mut hints = self.hints;
        let key = |f: &Finding| {
            let (line, column) = f.line_and_column().unwrap_or_default();
            (f.file().map(str::to_owned), line, column, f.rule(), f.message().to_owned())
        };
        hints.sort_by_cached_key(key);
        hints.extend(self.left_out.into_iter().map(LeftOut::told));
        (hints, self.allowed)
    }
}

/// Where a policy says so; a word that is written with an escape is not found.
fn place(source: &PolicySource, word: &str) -> Option<std::ops::Range<usize>> {
    source.text().find(word).map(|at| at..at + word.len())
}

fn stranger(source: &PolicySource, word: &str) -> Finding {
    let message = match Rule::named(word) {
        Some(rule) => format!("nobody is excepted from `{rule}`"),
        None => format!("there is no rule `{word}`"),
    };
    let help = "the rules are in docs/reference/policy-lints.md; only hints about a policy can be meant so";
    source.found_at(Rule::UnknownLint, place(source, word), message, help)
}

fn nothing_there(source: &PolicySource, rule: Rule) -> Finding {
    let message = format!("`{}` is excepted from `{rule}`, which finds nothing here", source.id());
    let help = "remove it from `@allow_lint`, so that it tells when there is something";
    source.found_at(Rule::UnusedAllow, place(source, "allow_lint"), message, help)
}

impl LeftOut {
    fn told(self) -> Finding {
        let (why, help) = match self {
            Self::Hints => (
                format!("there are more than {POLICY_HINTS_MAX} hints"),
                "mend these, or say by `@allow_lint` that they are meant, and check again",
            ),
            Self::Pairs => (
                "there are too many policies to hold each against the others".to_owned(),
                "join policies that differ in little: one with `in [Action::\"…\", …]`, or for a role",
            ),
            Self::Facts => (
                "a policy asks of too many facts whether they are there".to_owned(),
                "split the policy: each `unless` of a forbid can be a forbid of its own",
            ),
        };
        let message = format!("not everything was looked for: {why}");
        Finding::told(Rule::NotAllLooked, message, Some(help.to_owned()), None, None)
    }
}
