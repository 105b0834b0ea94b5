//! Which policies and which of their conditions the trials have seen, and seen both ways.
//!
//! A condition counts when it was *reached*: the policy's scope matched, and no condition before it had settled
//! the matter (`&&` and `||` stop at the first that does). A condition that no trial ever reached is as untested as
//! one that no trial names.

use std::ops::Range;

use doorward_policy::conditions::{Kind, Part};
use doorward_policy::{Conditions, PolicySource, Truth};

use super::{Said, Table, Trial};

/// What was seen of a set of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// By policy, in the order of the files.
    pub policies: Vec<PolicyCoverage>,
}

/// What was seen of a policy, counted in requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCoverage {
    /// Its name.
    pub id: String,
    /// The file that holds it.
    pub file: String,
    /// Where it begins in there, from 1.
    pub line: usize,
    /// It applied.
    pub applied: usize,
    /// Its scope matched, its conditions were not met.
    pub in_scope: usize,
    /// It could not be evaluated.
    pub failed: usize,
    /// Its scope did not match.
    pub out_of_scope: usize,
    /// Its conditions, in the order of the text. The sides of the scope are not among them.
    pub conditions: Vec<ConditionCoverage>,
}

/// What was seen of a condition, counted in requests whose principal, action and resource are in the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionCoverage {
    /// As it is written, on one line.
    pub text: String,
    /// Where, from the beginning of the policy.
    pub span: Option<Range<usize>>,
    /// It held.
    pub held: usize,
    /// It did not.
    pub not: usize,
    /// It could not be evaluated.
    pub failed: usize,
    /// Another one had settled the matter before.
    pub not_reached: usize,
}

impl Coverage {
    /// What the trials of a table have seen of the policies that it was made of.
    #[must_use]
    pub fn of(sources: &[PolicySource], trials: &[Trial], table: &Table) -> Self {
        let policies = sources.iter().enumerate().map(|(at, source)| policy(source, at, trials, table));
        Self { policies: policies.collect() }
    }

    /// How many things there are to be seen, and how many were: of each policy that it applies, and that it does
    /// not although its scope matches (if it has conditions); of each condition that it holds, and that it
    /// does not.
    #[must_use]
    pub fn seen(&self) -> (usize, usize) {
        let mut all = (0, 0);
        for policy in &self.policies {
            let (seen, of) = policy.seen();
            all = (all.0 + seen, all.1 + of);
        }
        all
    }

    /// The same in percent, rounded down: 100 is all of it. Of nothing everything was seen.
    #[must_use]
    pub fn percent(&self) -> usize {
        let (seen, of) = self.seen();
        (seen * 100).checked_div(of).unwrap_or(100)
    }
}

impl PolicyCoverage {
    /// How much was seen, and of how much.
    #[must_use]
    pub fn seen(&self) -> (usize, usize) {
        let mut both = vec![self.applied > 0];
        if !self.conditions.is_empty() {
            both.push(self.in_scope > 0);
        }
        both.extend(self.conditions.iter().flat_map(|c| [c.held > 0, c.not > 0]));
        (both.iter().filter(|seen| **seen).count(), both.len())
    }
}

fn policy(source: &PolicySource, at: usize, trials: &[Trial], table: &Table) -> PolicyCoverage {
    let conditions = Conditions::new(source.policy());
    let atoms: Vec<usize> =
        conditions.atoms().filter(|(_, c)| c.part() == Part::Clause).map(|(number, _)| number).collect();
    let scope: Vec<usize> = match conditions.get(0).map(|whole| whole.kind()) {
        Some(Kind::All(below)) => below
            .iter()
            .copied()
            .filter(|n| conditions.get(*n).is_some_and(|c| c.part() != Part::Clause))
            .collect(),
        Some(Kind::Any(_) | Kind::Not(_) | Kind::If { .. } | Kind::Atom) | None => Vec::new(),
    };
    let mut found = PolicyCoverage {
        id: source.id().to_owned(),
        file: source.file().to_owned(),
        line: source.line(),
        applied: 0,
        in_scope: 0,
        failed: 0,
        out_of_scope: 0,
        conditions: atoms.iter().filter_map(|n| blank(&conditions, *n)).collect(),
    };
    for (number, trial) in trials.iter().enumerate() {
        for (asked, said) in trial.asked.iter().flatten().zip(table.said(number, at)) {
            let truths = conditions.evaluate(&asked.request, &asked.entities);
            let truth = |n: &usize| truths.get(*n).unwrap_or(&Truth::NotReached);
            if !scope.iter().all(|n| *truth(n) == Truth::True) {
                found.out_of_scope += 1;
                continue;
            }
            match said {
                Said::Applies => found.applied += 1,
                Said::Silent => found.in_scope += 1,
                Said::Failed(_) => found.failed += 1,
            }
            for (condition, atom) in found.conditions.iter_mut().zip(&atoms) {
                *match truth(atom) {
                    Truth::True => &mut condition.held,
                    Truth::False => &mut condition.not,
                    Truth::Error(_) => &mut condition.failed,
                    Truth::NotReached => &mut condition.not_reached,
                } += 1;
            }
        }
    }
    found
}

fn blank(conditions: &Conditions, number: usize) -> Option<ConditionCoverage> {
    let condition = conditions.get(number)?;
    let text = condition.text().split_whitespace().collect::<Vec<_>>().join(" ");
    Some(ConditionCoverage { text, span: condition.span(), held: 0, not: 0, failed: 0, not_reached: 0 })
}
