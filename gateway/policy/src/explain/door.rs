//! What is told of a denial at the door, and written down of it.
//!
//! Nothing of this is on the way of a request that passes. It looks at no more than the policies that could matter to
//! the question, and it decides again a few times at most: a person waits for it.

use std::cell::Cell;
use std::sync::Arc;

use cedar_policy::{Effect, Policy};
use doorward_model::limits::{
    EXPLAIN_DOOR_CLAUSES_MAX, EXPLAIN_DOOR_DECISIONS_MAX, EXPLAIN_DOOR_POLICIES_MAX,
};
use doorward_model::{FailedClause, Principal};

use super::hand::Hand;
use super::look::Judged;
use super::way::{Search, atoms};
use super::{Decision, Sight, Strict, facts, id};
use crate::bundle::PolicyBundle;
use crate::question::Question;
use crate::situation::Situation;

/// What is told of a denial at the door and written down of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtTheDoor {
    /// What the person can do there, the easiest first: with all of it they would pass. Empty where nothing that they
    /// can do there helps.
    pub steps: Vec<Hand>,
    /// The clauses that failed, for the log.
    pub clauses: Vec<FailedClause>,
}

impl PolicyBundle {
    /// What a person can do about a denial, and the clauses that failed. Nothing for what is allowed.
    #[must_use]
    pub fn at_the_door(&self, q: &Question<'_>) -> AtTheDoor {
        let Some(mut judged) = self.glanced(q) else { return AtTheDoor::default() };
        if let Principal::Agent(agent) = &**q.principal
            && judged.done.decision == Decision::Allow
        {
            let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
            let Some(of_person) = self.glanced(&Question { principal: &person, ..q.clone() }) else {
                return AtTheDoor::default();
            };
            judged = of_person;
        }
        if judged.done.decision == Decision::Allow {
            return AtTheDoor::default();
        }
        let clauses = clauses(&judged);
        let steps = match &**q.principal {
            Principal::User(_) => self.steps(q, judged),
            // Nobody stands there who could do anything, or whoever does could sign in and be another.
            Principal::ServiceAccount(_) | Principal::Agent(_) | Principal::Visitor(_) => Vec::new(),
        };
        AtTheDoor { steps, clauses }
    }

    /// What a person can do, of whose question it is known what stands in the way.
    fn steps(&self, q: &Question<'_>, known: Judged) -> Vec<Hand> {
        let known = Cell::new(Some(known));
        let ask = |q: &Question<'_>| known.take().or_else(|| self.glanced(q));
        let (left, hardest) = (EXPLAIN_DOOR_DECISIONS_MAX, Hand::EnrolledDevice);
        let way = Search { bundle: self, ask: &ask, left, hardest }.way(&Situation::from(q));
        let mut steps: Vec<Hand> =
            way.map(|way| way.steps.iter().map(|step| step.hand).collect()).unwrap_or_default();
        steps.dedup();
        steps
    }

    /// What stands in the way, by those policies alone that could matter.
    fn glanced(&self, q: &Question<'_>) -> Option<Judged> {
        let placed = self.placed(q).ok()?;
        let slice = self.slice(&placed, q.action).ok()?;
        let request = self.request(&placed, q).ok()?;
        let sight = Sight { request: &request, entities: &placed.scene.entities };
        let (forbids, permits): (Vec<&Policy>, Vec<&Policy>) =
            slice.policies().partition(|policy| policy.effect() == Effect::Forbid);
        let some = forbids.into_iter().chain(permits).take(EXPLAIN_DOOR_POLICIES_MAX);
        let looked = some.map(|policy| sight.look(self.conditions_of(policy))).collect();
        Some(sight.judge(looked, Strict::Yes, |policy| self.rank(policy)))
    }
}

/// The clauses that failed: of each policy that denies, or of the nearest permit.
fn clauses(judged: &Judged) -> Vec<FailedClause> {
    let all = judged.failed.iter().flat_map(|turn| atoms(judged, turn)).map(|one| FailedClause {
        policy: id(one.conditions.policy()),
        span: one.condition.span().map(|span| (span.start, span.end)),
        facts: facts::names(one.condition.expr()),
    });
    all.take(EXPLAIN_DOOR_CLAUSES_MAX).collect()
}
