//! Why it was answered so, and what would have to change.
//!
//! ```text
//!  policies ─► conditions ─► what each came to, by which facts        facts
//!                    │
//!                    ├─► the clause that failed: the fewest atoms to turn over in a policy       turn
//!                    ├─► the nearest permit missed
//!                    └─► the cheapest way to pass: such atoms in all of them at once,            way
//!                        by who could change what they read, decided again to be sure
//! ```
//!
//! The engine takes Cedar's own values, so it explains any set of policies ([`explain`]). For the gateway's own
//! ([`PolicyBundle::explain`]) it knows who can change what, and proves a way by deciding again. A person at the door
//! is told much less ([`PolicyBundle::at_the_door`]): in fixed words, and only what they can do there.
//!
//! Everything is bounded: policies, conditions, ways that are tried. What is left out is counted.

mod change;
mod door;
mod facts;
mod foreign;
mod hand;
mod json;
mod look;
mod turn;
mod way;

use std::ops::Range;
use std::sync::Arc;

use cedar_policy::{Effect, Entities, Policy, Request};
use doorward_model::limits::{EXPLAIN_CONDITIONS_MAX, EXPLAIN_POLICIES_MAX};

pub use self::door::AtTheDoor;
pub use self::facts::Fact;
pub use self::hand::Hand;
pub use self::way::{Step, Way};
use crate::conditions::{Conditions, Kind, Part, Truth};
use crate::question::Decision;

/// Why one question was answered as it was.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The answer.
    pub decision: Decision,
    /// What this question came to by itself. It is another answer only for an agent that may and whose person may not.
    pub own: Decision,
    /// The policies that decided this question itself: on an allow the permits, on a deny the forbids. Empty when
    /// nothing permits.
    pub deciding: Vec<Arc<str>>,
    /// The policies that could not be evaluated, and why.
    pub errors: Vec<(Arc<str>, String)>,
    /// The policies whose scope fits the question, those that decided first; and the nearest permit missed.
    pub policies: Vec<Explained>,
    /// How many more there were.
    pub left_out: usize,
    /// The permit to which the least was missing, where nothing permits.
    pub missed: Option<Missed>,
    /// The least that has to change so that it would be allowed. None on an allow.
    pub way: Option<Way>,
    /// Why the policies could not be asked at all.
    pub unasked: Option<String>,
    /// For an agent that may: the same question for the person for whom it acts.
    pub person: Option<Box<Explanation>>,
}

/// One policy in an explanation.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Its name.
    pub id: Arc<str>,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Its annotation `@title`.
    pub title: Option<String>,
    /// Its annotation `@owner`.
    pub owner: Option<String>,
    /// Its annotation `@reason`.
    pub reason: Option<String>,
    /// Whether it applies.
    pub truth: Truth,
    /// Its conditions, by the numbers of [`Conditions::all`]; the first is the policy as a whole.
    pub conditions: Vec<Seen>,
    /// Where it begins in what was read, in bytes.
    pub offset: usize,
}

/// One condition in an explanation.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What it is made of.
    pub kind: Kind,
    /// Where in the policy it stands.
    pub part: Part,
    /// Its bytes within the policy's own text.
    pub span: Option<Range<usize>>,
    /// As it is written, shortened. Empty for the policy as a whole.
    pub text: String,
    /// What it came to.
    pub truth: Truth,
    /// For an atom: what it read.
    pub facts: Vec<Fact>,
    /// For an atom: it is among the fewest that would have to come out otherwise.
    pub failed: bool,
}

/// The permit to which the least was missing.
#[derive(Debug, Clone)]
pub struct Missed {
    /// Its name.
    pub id: Arc<str>,
    /// What was missing, one sentence each.
    pub lacks: Vec<String>,
}

/// Explains any set of policies as Cedar itself decides: a policy that cannot be evaluated counts for nothing.
#[must_use]
pub fn explain<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    request: &Request,
    entities: &Entities,
) -> Explanation {
    let sight = Sight { request, entities };
    let relevant = sight.relevant(policies);
    let looked = relevant.into_iter().map(|p| sight.look(Arc::new(Conditions::new(p)))).collect();
    let mut judged = sight.judge(looked, Strict::No, |policy| (0, id(policy)));
    sight.show(&mut judged);
    judged.done.way = way::unproved(&judged);
    judged.done
}

/// Whether a policy that cannot be evaluated refuses the request, as at the gateway, or counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strict {
    Yes,
    No,
}

/// A question in Cedar's form.
struct Sight<'a> {
    request: &'a Request,
    entities: &'a Entities,
}

fn id(policy: &Policy) -> Arc<str> {
    let id: &str = policy.id().as_ref();
    id.into()
}

#[cfg(test)]
mod tests;
