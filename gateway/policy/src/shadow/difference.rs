//! Two answers to one question, and what is different in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::RefusalCode;
use doorward_model::limits::SHADOW_EXAMPLE_NAMES_MAX;

use crate::question::{Decision, Verdict};

/// What another set of policies changes for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It passes now and would not.
    NewlyDenied,
    /// It does not pass now and would.
    NewlyAllowed,
    /// The decision stays; other policies would make it.
    OtherPolicies,
}

impl Change {
    /// Every one, in order.
    pub const ALL: [Self; 3] = [Self::NewlyDenied, Self::NewlyAllowed, Self::OtherPolicies];

    /// The word for it in metrics, logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewlyDenied => "newly_denied",
            Self::NewlyAllowed => "newly_allowed",
            Self::OtherPolicies => "other_policies",
        }
    }
}

/// As much of an answer as is compared and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Yes or no.
    pub decision: Decision,
    /// What the refusal is called, on a deny.
    pub code: Option<RefusalCode>,
    /// The policies that decided, by name, in order.
    pub determining: BTreeSet<Arc<str>>,
    /// The policies that could not be evaluated, by name, in order.
    pub errors: BTreeSet<Arc<str>>,
}

impl From<&Verdict> for Side {
    fn from(verdict: &Verdict) -> Self {
        Self {
            decision: verdict.decision,
            code: verdict.refusal.as_ref().map(|refusal| refusal.code),
            determining: verdict.determining.iter().cloned().collect(),
            errors: verdict.errors.iter().map(|(id, _)| Arc::clone(id)).collect(),
        }
    }
}

/// What is different in two answers to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it changes.
    pub change: Change,
    /// The policies that make the difference, by name, in order: on a new deny those that forbid it or could
    /// not be evaluated, or, where nothing permits it any more, those that did; on a new allow those that
    /// forbade it or could not be evaluated, or, where nothing permitted it, those that do now; else those
    /// that decide on one side only.
    pub policies: BTreeSet<Arc<str>>,
}

impl Difference {
    /// What is different; none where decision, deciding policies and policies that failed are the same.
    #[must_use]
    pub fn between(in_force: &Side, candidate: &Side) -> Option<Self> {
        let (change, policies) = match (in_force.decision, candidate.decision) {
            (Decision::Allow, Decision::Deny) => (Change::NewlyDenied, against(candidate, in_force)),
            (Decision::Deny, Decision::Allow) => (Change::NewlyAllowed, against(in_force, candidate)),
            (Decision::Allow, Decision::Allow) | (Decision::Deny, Decision::Deny) => {
                let deciding = &in_force.determining ^ &candidate.determining;
                let one_side = &deciding | &(&in_force.errors ^ &candidate.errors);
                if one_side.is_empty() {
                    return None;
                }
                (Change::OtherPolicies, one_side)
            }
        };
        Some(Self { change, policies })
    }
}

/// What keeps out on the side that denies; where nothing does, what lets in on the other side.
fn against(denies: &Side, allows: &Side) -> BTreeSet<Arc<str>> {
    let against = denies.named();
    if against.is_empty() { allows.named() } else { against }
}

impl Side {
    /// What it takes to keep it until it is compared: one, and one more for every so many names in it.
    pub(super) fn weight(&self) -> usize {
        1 + (self.determining.len() + self.errors.len()) / SHADOW_EXAMPLE_NAMES_MAX
    }

    /// As much of it as an example keeps.
    pub(super) fn shown(&self) -> Self {
        Self { determining: some(&self.determining), errors: some(&self.errors), ..*self }
    }

    /// The policies that had to do with it.
    fn named(&self) -> BTreeSet<Arc<str>> {
        &self.determining | &self.errors
    }
}

/// The first of these names.
pub(super) fn some(names: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    names.iter().take(SHADOW_EXAMPLE_NAMES_MAX).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+a b` is an allow by a and b, `-` a deny that nothing permits, `-a !b` a deny by a where b failed.
    fn side(text: &str) -> Side {
        let allow = text.starts_with('+');
        let words = || text.trim_start_matches(['+', '-']).split_whitespace();
        Side {
            decision: if allow { Decision::Allow } else { Decision::Deny },
            code: (!allow).then_some(RefusalCode::PolicyForbids),
            determining: words().filter(|w| !w.starts_with('!')).map(Arc::from).collect(),
            errors: words().filter_map(|w| w.strip_prefix('!')).map(Arc::from).collect(),
        }
    }

    #[test]
    fn who_makes_the_difference() {
        use Change::{NewlyAllowed, NewlyDenied, OtherPolicies};
        for (in_force, candidate, expect) in [
            ("+p", "+p", None),
            ("-", "-", None),
            ("-f", "-f", None),
            ("-f !e", "-f !e", None),
            ("+p", "-f g", Some((NewlyDenied, "f g"))),
            ("+p", "-", Some((NewlyDenied, "p"))),
            ("+p", "- !e", Some((NewlyDenied, "e"))),
            ("-", "+p q", Some((NewlyAllowed, "p q"))),
            ("-f", "+p", Some((NewlyAllowed, "f"))),
            ("- !e", "+p", Some((NewlyAllowed, "e"))),
            ("+p q", "+q r", Some((OtherPolicies, "p r"))),
            ("-f", "-", Some((OtherPolicies, "f"))),
            ("-f", "-f !e", Some((OtherPolicies, "e"))),
            // The same name, once as a decision and once as a failure.
            ("-f", "- !f", Some((OtherPolicies, "f"))),
        ] {
            let found = Difference::between(&side(in_force), &side(candidate));
            let found =
                found.map(|d| (d.change, d.policies.iter().map(|p| &**p).collect::<Vec<_>>().join(" ")));
            assert_eq!(found, expect.map(|(c, p)| (c, p.to_owned())), "{in_force} to {candidate}");
        }
    }
}
