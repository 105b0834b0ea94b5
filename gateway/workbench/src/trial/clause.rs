//! The clause that settled the matter: which conditions made a policy apply, or kept it from applying.

use std::ops::Range;

use cedar_policy::Policy;
use doorward_policy::conditions::{Kind, Part};
use doorward_policy::{Conditions, PolicySource, Truth};

use super::{Answer, Asked, By, Trial};

/// A condition that settled whether a policy applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// As it is written.
    pub text: String,
    /// Where, from the beginning of the policy.
    pub span: Option<Range<usize>>,
    /// What it came to.
    pub truth: Truth,
    /// Whether it is a side of the scope.
    pub scope: bool,
}

/// Whether a policy applies to a request, and the conditions that settled it: all that hold when it applies, the
/// first that does not when it does not, one that failed when it could not be evaluated.
#[must_use]
pub fn settled(policy: &Policy, asked: &Asked) -> (Truth, Vec<Settled>) {
    let conditions = Conditions::new(policy);
    let truths = conditions.evaluate(&asked.request, &asked.entities);
    let mut found = Vec::new();
    look(&conditions, &truths, 0, &mut found);
    let whole = truths.first().cloned().unwrap_or(Truth::NotReached);
    let told = found.into_iter().filter_map(|number| {
        let condition = conditions.get(number)?;
        Some(Settled {
            text: condition.text().split_whitespace().collect::<Vec<_>>().join(" "),
            span: condition.span(),
            truth: truths.get(number)?.clone(),
            scope: condition.part() != Part::Clause,
        })
    });
    (whole, told.collect())
}

/// The atoms below a condition that made it what it is.
fn look(conditions: &Conditions, truths: &[Truth], number: usize, found: &mut Vec<usize>) {
    let Some(condition) = conditions.get(number) else { return };
    let is = |number: usize| truths.get(number).and_then(Truth::as_bool);
    let mut each = |numbers: &[usize]| numbers.iter().for_each(|n| look(conditions, truths, *n, found));
    match (condition.kind(), is(number)) {
        (Kind::Atom, _) => found.push(number),
        (Kind::Not(inner), _) => each(&[*inner]),
        (Kind::All(below), Some(true)) | (Kind::Any(below), Some(false)) => each(below),
        // The first that is not as the others had to be: nothing behind it was asked.
        (Kind::All(below), Some(false) | None) => {
            each(&below.iter().copied().find(|n| is(*n) != Some(true)).map_or([].to_vec(), |n| vec![n]));
        }
        (Kind::Any(below), Some(true) | None) => {
            each(&below.iter().copied().find(|n| is(*n) != Some(false)).map_or([].to_vec(), |n| vec![n]));
        }
        (Kind::If { test, then, otherwise }, _) => match is(*test) {
            Some(true) => each(&[*test, *then]),
            Some(false) => each(&[*test, *otherwise]),
            None => each(&[*test]),
        },
    }
}

/// How many conditions of one policy are told.
const TOLD_MAX: usize = 4;

/// Why the policies did not decide as a trial expects, a sentence for each: of those that decide and were not
/// expected what they rest on, of those that were expected and do not what keeps them from it.
#[must_use]
pub fn why(sources: &[PolicySource], trial: &Trial, answer: &Answer) -> Vec<String> {
    let expected = match &trial.expect.by {
        By::Unsaid => None,
        By::Exactly(by) | By::AtLeast(by) => Some(by),
    };
    let odd = |source: &&PolicySource| match expected {
        Some(by) => by.contains(source.id()) != answer.by.contains(source.id()),
        None => answer.by.contains(source.id()),
    };
    sources.iter().filter(odd).filter_map(|source| sentence(source, trial)).collect()
}

fn sentence(source: &PolicySource, trial: &Trial) -> Option<String> {
    let asked = trial.asked.as_ref().ok()?;
    let told: Vec<_> = asked.iter().map(|one| settled(source.policy(), one)).collect();
    // Of an agent and its person the one of whom the policy speaks.
    let in_scope =
        |(_, all): &&(Truth, Vec<Settled>)| !all.iter().any(|s| s.scope && s.truth == Truth::False);
    let (truth, all) = told.iter().find(in_scope).or(told.first())?;
    let parts: Vec<String> = all
        .iter()
        .filter(|s| *truth != Truth::True || !s.scope)
        .take(TOLD_MAX)
        .map(|s| match &s.truth {
            Truth::True => format!("`{}` holds", s.text),
            Truth::False => format!("`{}` does not hold", s.text),
            Truth::Error(why) => format!("`{}` fails ({why})", s.text),
            Truth::NotReached => format!("`{}` was not asked", s.text),
        })
        .collect();
    let verb = match truth {
        Truth::True => "applies",
        Truth::False | Truth::NotReached => "does not apply",
        Truth::Error(_) => "could not be evaluated",
    };
    let because = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    Some(format!("{}:{}: `{}` {verb}{because}", source.file(), source.line(), source.id()))
}
