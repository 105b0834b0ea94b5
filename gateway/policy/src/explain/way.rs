//! The cheapest way to pass: who would have to change what, the easiest first, decided again to be sure.
//!
//! What to turn over says which facts would have to be others, and so who could change them ([`Hand`]). In a situation
//! of the gateway that change can be made: another network is one of those that the policy names, a role is the one
//! that the permit wants. Then it is decided again, by the same [`PolicyBundle::decide`] as a request. Where another
//! policy then stands in the way, that is looked at in the same manner once more.

use std::sync::Arc;

use cedar_policy::Policy;
use doorward_model::Principal;
use doorward_model::limits::EXPLAIN_DECISIONS_MAX;

use super::change::{Change, candidates};
use super::facts;
use super::hand::{Hand, hand};
use super::look::Judged;
use super::turn::Turn;
use super::{Decision, Explanation, Sight, Strict, id};
use crate::bundle::PolicyBundle;
use crate::conditions::{Condition, Part};
use crate::question::Question;
use crate::situation::Situation;

/// How many situations that still do not pass are looked at once more.
const AGAIN_MAX: usize = 8;
/// How many conditions a way tells that could not be decided again.
const TOLD_MAX: usize = 8;

/// One thing that would have to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Who can change it.
    pub hand: Hand,
    /// What, for operators: it names networks, roles and times.
    pub what: String,
}

/// What would have to change.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// Each of these, the easiest first.
    pub steps: Vec<Step>,
    /// The situation with these changes, in which it was decided again and allowed. None: that could not be shown.
    pub proof: Option<Box<Situation>>,
}

/// The cheapest way by what would have to be turned over, where nothing can be decided again.
pub(super) fn unproved(judged: &Judged) -> Option<Way> {
    if judged.done.decision == Decision::Allow {
        return None;
    }
    let Some(turn) = judged.turns.first() else {
        let what = "no permit could ever apply to this".to_owned();
        return Some(Way { steps: vec![Step { hand: Hand::Nobody, what }], proof: None });
    };
    let mut steps: Vec<Step> = atoms(judged, turn)
        .into_iter()
        .take(TOLD_MAX)
        .map(|(policy, condition, truth)| {
            let id = id(policy);
            if condition.part() == Part::Whole {
                return Step { hand: Hand::Nobody, what: format!("{id} must not be there") };
            }
            let text = facts::shortened(&condition.text());
            let what = match truth {
                Some(true) => format!("`{text}` must not hold ({id})"),
                Some(false) => format!("`{text}` must hold ({id})"),
                None => format!("it must be possible to tell `{text}` ({id})"),
            };
            Step { hand: hand(condition), what }
        })
        .collect();
    steps.sort_by_key(|step| step.hand);
    Some(Way { steps, proof: None })
}

pub(super) fn atoms<'a>(judged: &'a Judged, turn: &Turn) -> Vec<(&'a Policy, &'a Condition, Option<bool>)> {
    let one = |(place, number): &(usize, usize)| {
        let looked = judged.looked.get(*place)?;
        let condition = looked.conditions.get(*number)?;
        Some((looked.conditions.policy(), condition, looked.truth_of(*number).as_bool()))
    };
    turn.atoms.iter().filter_map(one).collect()
}

// === in a situation of the gateway ===

impl PolicyBundle {
    /// Why a question is answered as it is, and what would have to change.
    #[must_use]
    pub fn explain(&self, situation: &Situation) -> Explanation {
        let question = situation.question();
        let mut explanation = self.explain_one(&question);
        if let Principal::Agent(agent) = &*situation.principal
            && explanation.decision == Decision::Allow
        {
            let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
            let of_person = self.explain_one(&Question { principal: &person, ..question });
            explanation.decision = of_person.decision;
            explanation.person = Some(Box::new(of_person));
        }
        if explanation.decision == Decision::Deny {
            let ask = |q: &Question<'_>| self.judged(q).ok();
            let mut search =
                Search { bundle: self, ask: &ask, left: EXPLAIN_DECISIONS_MAX, hardest: Hand::Nobody };
            if let Some(way) = search.way(situation) {
                explanation.way = Some(way);
            }
        }
        explanation
    }

    /// Explains the question as it stands, without asking for the person behind an agent.
    fn explain_one(&self, q: &Question<'_>) -> Explanation {
        match self.judged(q) {
            Ok(judged) => judged.done,
            Err(why) => Explanation {
                decision: Decision::Deny,
                deciding: Vec::new(),
                errors: Vec::new(),
                policies: Vec::new(),
                left_out: 0,
                missed: None,
                way: None,
                unasked: Some(why),
                person: None,
            },
        }
    }

    fn judged(&self, q: &Question<'_>) -> Result<Judged, String> {
        let (request, entities) = self.in_cedar(q)?;
        let sight = Sight { request: &request, entities: &entities };
        // In one order, whatever the order in which they are kept: the same is told each time.
        let mut all: Vec<&Policy> = self.every_policy().collect();
        all.sort_by_cached_key(|policy| self.rank(policy));
        let relevant = sight.relevant(all);
        let looked = relevant.into_iter().map(|policy| sight.look(self.conditions_of(policy))).collect();
        let mut judged = sight.judge(looked, Strict::Yes, |policy| self.rank(policy));
        sight.show(&mut judged);
        judged.done.way = unproved(&judged);
        Ok(judged)
    }
}

/// The search for a way that is allowed when it is decided again.
pub(super) struct Search<'a> {
    pub(super) bundle: &'a PolicyBundle,
    /// What stands in the way of a question.
    pub(super) ask: &'a dyn Fn(&Question<'_>) -> Option<Judged>,
    /// How often it may still be decided.
    pub(super) left: usize,
    /// Nothing that is harder is looked for.
    pub(super) hardest: Hand,
}

impl Search<'_> {
    pub(super) fn way(&mut self, situation: &Situation) -> Option<Way> {
        let mut waiting = vec![(situation.clone(), Vec::<Step>::new())];
        let mut at = 0;
        while let Some((from, steps)) = waiting.get(at).cloned() {
            at += 1;
            let mut denied = Vec::new();
            for combination in self.combinations(&from) {
                let Some(last) = combination.last() else { continue };
                if self.left == 0 {
                    return None;
                }
                self.left -= 1;
                let all = steps.iter().chain(combination.iter().map(|change| &change.step)).cloned();
                let all = merged(all.collect());
                if self.bundle.decide(&last.made.question()).is_allow() {
                    return Some(Way { steps: all, proof: Some(Box::new(last.made.clone())) });
                }
                denied.push((last.made.clone(), all));
            }
            let room = AGAIN_MAX.saturating_sub(waiting.len());
            waiting.extend(denied.into_iter().take(room.min(AGAIN_MAX / 2)));
        }
        None
    }

    /// What could be changed so that what stands in the way does not: the easiest first, each change made upon the one
    /// before it.
    fn combinations(&self, from: &Situation) -> Vec<Vec<Change>> {
        let Some(judged) = self.stands_in_the_way(from) else { return Vec::new() };
        let mut all = Vec::new();
        for turn in &judged.turns {
            if turn.hands.hardest().is_none_or(|hand| hand > self.hardest || hand >= Hand::Someone) {
                continue;
            }
            let involved = atoms(&judged, turn);
            let mut partial: Vec<Vec<Change>> = vec![Vec::new()];
            for hand in turn.hands.iter() {
                let mut next = Vec::new();
                for so_far in &partial {
                    let base = so_far.last().map_or(from, |change| &change.made);
                    for change in candidates(base, hand, &involved) {
                        let mut longer: Vec<Change> = Vec::with_capacity(so_far.len() + 1);
                        longer.extend(so_far.iter().cloned());
                        longer.push(change);
                        next.push(longer);
                    }
                }
                partial = next;
            }
            all.extend(partial);
        }
        all
    }

    /// What denies: for an agent that may itself, what denies its person.
    fn stands_in_the_way(&self, from: &Situation) -> Option<Judged> {
        let question = from.question();
        let judged = (self.ask)(&question)?;
        match (&*from.principal, judged.done.decision) {
            (_, Decision::Deny) => Some(judged),
            (Principal::Agent(agent), Decision::Allow) => {
                let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
                (self.ask)(&Question { principal: &person, ..question })
            }
            (_, Decision::Allow) => None,
        }
    }
}

/// The steps, the easiest first; of several sign-ins the strongest.
fn merged(mut steps: Vec<Step>) -> Vec<Step> {
    steps.sort_by(|a, b| (a.hand, &a.what).cmp(&(b.hand, &b.what)));
    steps.dedup();
    let strongest = steps.iter().map(|s| s.hand).filter(|hand| *hand <= Hand::SecurityKey).max();
    steps.retain(|step| step.hand > Hand::SecurityKey || Some(step.hand) == strongest);
    steps
}
