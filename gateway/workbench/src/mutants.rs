//! Mutants: policies with one small mistake in them, of which some case should take notice.
//!
//! ```text
//!   policy ──► write ──► drop what says the same ──► drop what could not load ──► hunt
//!              every       as the policy, or as         (strict validation)        each mutant is asked what the
//!              edit        another mutant                                          cases ask; it is killed by the
//!                          (normal form)                                           first that does not hold
//! ```
//!
//! A mutant is an edit of the policy's own text, so that what survives is shown where it stands and as somebody would
//! write it. What is edited: the policy is removed, or permits instead of forbidding; a side of the scope is wider, an
//! action missing; a clause is dropped; a condition is always true, always false, or the opposite; `&&` is `||`; a
//! comparison is next to the right one, a border is moved by one; a set lacks an element.

mod hunt;
pub mod made;
mod normal;
mod words;
mod write;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

use cedar_policy::{Policy, PolicySet, ValidationMode, Validator};
use doorward_model::limits::POLICY_MUTANTS_BYTES_MAX;
use doorward_policy::{ForeignSet, PolicySource, Workshop};

pub use self::hunt::{Fate, Hunt, hunt};

/// One policy with one mistake in it.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// Which policy of the set, by its place.
    pub policy: usize,
    /// What was done to it, in a few words.
    pub what: String,
    /// What was edited: bytes from the beginning of the policy.
    pub span: Range<usize>,
    /// What stands there instead.
    pub by: String,
    /// The policy as it is now. None: it is gone.
    pub mutated: Option<Policy>,
}

/// The mutants of a set of policies, and how many were not worth asking about.
#[derive(Debug, Default)]
pub struct Litter {
    /// Those that are left, in the order of the files.
    pub mutants: Vec<Mutant>,
    /// Those that say the same as the policy itself or as another mutant of it.
    pub same: usize,
    /// Those that strict validation refuses: no gateway would load them.
    pub refused: usize,
    /// Elements of long lists that are not left out, as some others of the list are.
    pub thinned: usize,
    /// Those that were not made, because there were too many already.
    pub left_out: usize,
}

/// Makes the mutants of the policies of a folder, or `only` of the policy that is called so.
#[must_use]
pub fn of_workshop(shop: &Workshop, only: Option<&str>) -> Litter {
    litter(shop.policies(), only, |policy| !shop.faults(policy).is_empty())
}

/// Makes the mutants of any set of policies, or `only` of the policy that is called so. Without a schema none of
/// them is refused.
#[must_use]
pub fn of_foreign(set: &ForeignSet, only: Option<&str>) -> Litter {
    let validator = set.schema().map(|schema| Validator::new(schema.clone()));
    litter(set.policies(), only, |policy| {
        let Some(validator) = &validator else { return false };
        PolicySet::from_policies([policy.clone()]).is_ok_and(|alone| {
            !validator.validate(&alone, ValidationMode::Strict).validation_passed_without_warnings()
        })
    })
}

/// Makes the mutants of a set of policies, or `only` of the policy that is called so. `refused` says whether a
/// policy could not be put in force.
#[must_use]
pub fn litter(sources: &[PolicySource], only: Option<&str>, refused: impl Fn(&Policy) -> bool) -> Litter {
    let mut all = Litter::default();
    let mut room = POLICY_MUTANTS_BYTES_MAX;
    let wanted = |source: &PolicySource| only.is_none_or(|only| source.id() == only);
    for (at, source) in sources.iter().enumerate().filter(|(_, source)| wanted(source)) {
        // Hashes: the forms of a large policy are as large as that, and many.
        let mut seen: BTreeSet<u64> =
            normal::form(source.policy()).as_deref().map(digest).into_iter().collect();
        let made = write::edits(source, &mut room);
        all.thinned += made.thinned;
        all.left_out += made.left_out;
        for edit in made.edits {
            let Some(mutant) = Mutant::new(at, source, edit) else {
                all.refused += 1;
                continue;
            };
            let form = mutant.mutated.as_ref().map_or(Some(normal::NEVER.to_owned()), normal::form);
            if form.is_some_and(|form| !seen.insert(digest(&form))) {
                all.same += 1;
            } else if mutant.mutated.as_ref().is_some_and(&refused) {
                all.refused += 1;
            } else {
                all.mutants.push(mutant);
            }
        }
    }
    all
}

fn digest(form: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    form.hash(&mut hasher);
    hasher.finish()
}

/// An edit of a policy's text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    what: String,
    span: Range<usize>,
    by: String,
}

impl Mutant {
    /// None where what comes of it is no policy.
    fn new(policy: usize, source: &PolicySource, edit: Edit) -> Option<Self> {
        let Edit { what, span, by } = edit;
        if span == (0..source.text().len()) {
            return Some(Self { policy, what, span, by, mutated: None });
        }
        let text = edited(source.text(), &span, &by)?;
        let mutated = Policy::parse(Some(source.policy().id().clone()), text).ok()?;
        Some(Self { policy, what, span, by, mutated: Some(mutated) })
    }

    /// The policy's text as it is now; empty where the policy is gone.
    #[must_use]
    pub fn text(&self, source: &PolicySource) -> String {
        edited(source.text(), &self.span, &self.by).unwrap_or_default()
    }

    /// The lines that changed: as they were with `-` before them, as they are with `+`.
    #[must_use]
    pub fn difference(&self, source: &PolicySource) -> String {
        let (was, now) = (source.text(), self.text(source));
        let (was, now): (Vec<&str>, Vec<&str>) = (was.lines().collect(), now.lines().collect());
        let before = was.iter().zip(&now).take_while(|(a, b)| a == b).count();
        let left = was.len().min(now.len()) - before;
        let after = was.iter().rev().zip(now.iter().rev()).take(left).take_while(|(a, b)| a == b).count();
        let middle = |all: &[&str], sign: &str| -> String {
            let lines = all.get(before..all.len() - after).unwrap_or_default();
            lines.iter().map(|line| format!("{sign}{line}\n")).collect()
        };
        middle(&was, "-") + &middle(&now, "+")
    }
}

fn edited(text: &str, span: &Range<usize>, by: &str) -> Option<String> {
    Some([text.get(..span.start)?, by, text.get(span.end..)?].concat())
}

#[cfg(test)]
mod tests;
