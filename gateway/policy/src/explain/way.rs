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

use super::change::{Calendar, Change, candidates, made, told};
use super::facts;
use super::hand::Hand;
use super::look::Judged;
use super::turn::Turn;
use super::{Decision, Explanation, Sight, Strict, id};
use crate::bundle::PolicyBundle;
use crate::conditions::{Condition, Conditions, Part};
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
        .map(|Involved { conditions, condition, truth, hand }| {
            let id = id(conditions.policy());
            if condition.part() == Part::Whole {
                return Step { hand: Hand::Nobody, what: format!("{id} must not be there") };
            }
            let text = facts::shortened(&condition.text());
            let of_scope = matches!(condition.part(), Part::Principal | Part::Action | Part::Resource);
            let what = match truth {
                // Who asks, and for what, is as it is; what could change is the policy.
                Some(true) if of_scope => format!("{id} must not be about `{text}`"),
                Some(true) => format!("`{text}` must not hold ({id})"),
                Some(false) => format!("`{text}` must hold ({id})"),
                None => format!("it must be possible to tell `{text}` ({id})"),
            };
            Step { hand, what }
        })
        .collect();
    steps.sort_by_key(|step| step.hand);
    Some(Way { steps, proof: None })
}

/// A condition to be turned over.
#[derive(Clone, Copy)]
pub(super) struct Involved<'a> {
    /// Those of its policy.
    pub(super) conditions: &'a Conditions,
    pub(super) condition: &'a Condition,
    /// What it came to.
    pub(super) truth: Option<bool>,
    /// Who could turn it over.
    pub(super) hand: Hand,
}

pub(super) fn atoms<'a>(judged: &'a Judged, turn: &Turn) -> Vec<Involved<'a>> {
    let one = |(place, number): &(usize, usize)| {
        let looked = judged.looked.get(*place)?;
        Some(Involved {
            conditions: &looked.conditions,
            condition: looked.conditions.get(*number)?,
            truth: looked.truth_of(*number).as_bool(),
            hand: looked.hand(*number),
        })
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
            if let Principal::Visitor(_) = &*situation.principal {
                // Who they are comes before whatever is missing to them.
                let what = "sign in; what else is asked depends on who it is".to_owned();
                explanation.way =
                    Some(Way { steps: vec![Step { hand: Hand::SignInAgain, what }], proof: None });
            }
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
                own: Decision::Deny,
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
        let mut waiting = vec![Vec::<Change>::new()];
        let mut at = 0;
        while let Some(so_far) = waiting.get(at).cloned() {
            at += 1;
            let room = AGAIN_MAX.saturating_sub(waiting.len()).min(AGAIN_MAX / 2);
            match self.further(situation, &so_far, room) {
                Tried::Passes(way) => return Some(way),
                Tried::Denied(denied) if self.left > 0 => waiting.extend(denied),
                Tried::Denied(_) => return None,
            }
        }
        None
    }

    /// Changes more, so that what still stands in the way does not: the easiest first.
    fn further(&mut self, situation: &Situation, so_far: &[Change], room: usize) -> Tried {
        let mut denied = Vec::new();
        let from = made(situation, so_far, Calendar::Moves);
        let Some(judged) = self.stands_in_the_way(&from) else { return Tried::Denied(denied) };
        for turn in &judged.turns {
            if turn.hands.hardest().is_none_or(|hand| hand > self.hardest || hand >= Hand::Someone) {
                continue;
            }
            let involved = atoms(&judged, turn);
            let max = self.left;
            let each: Vec<_> =
                turn.hands.iter().map(|hand| candidates(&from, hand, &involved, max)).collect();
            let lengths: Vec<usize> = each.iter().map(Vec::len).collect();
            for places in combinations(&lengths, max) {
                if self.left == 0 {
                    return Tried::Denied(denied);
                }
                let picked = each.iter().zip(&places).filter_map(|(ways, place)| ways.get(*place)).flatten();
                let changes = told(so_far.iter().chain(picked));
                match self.passes(situation, &changes) {
                    Some(proof) => {
                        let steps = changes.into_iter().map(|change| change.step).collect();
                        return Tried::Passes(Way { steps, proof: Some(Box::new(proof)) });
                    }
                    None if denied.len() < room => denied.push(changes),
                    None => {}
                }
            }
        }
        Tried::Denied(denied)
    }

    /// The situation with these changes, if it is allowed in it, and allowed too by what is told of them alone.
    fn passes(&mut self, situation: &Situation, changes: &[Change]) -> Option<Situation> {
        let mut allowed = |calendar| {
            self.left = self.left.saturating_sub(1);
            let made = made(situation, changes, calendar);
            self.bundle.decide(&made.question()).is_allow().then_some(made)
        };
        let made = allowed(Calendar::Moves)?;
        if changes.iter().any(Change::is_undated) {
            allowed(Calendar::Stands)?;
        }
        Some(made)
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

/// What came of trying changes.
enum Tried {
    Passes(Way),
    /// Some of them, to be looked at once more.
    Denied(Vec<Vec<Change>>),
}

/// One way of each hand, by their places: those with the easier ways first, and no more than are decided.
fn combinations(lengths: &[usize], max: usize) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for sum in 0..=last(lengths) {
        of_sum(lengths, sum, max, &mut Vec::new(), &mut found);
        if found.len() >= max {
            break;
        }
    }
    found
}

fn of_sum(lengths: &[usize], sum: usize, max: usize, places: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    let Some((length, rest)) = lengths.split_first() else { return found.push(places.clone()) };
    // The others can make up for no more than this.
    for place in sum.saturating_sub(last(rest))..(*length).min(sum + 1) {
        if found.len() >= max {
            return;
        }
        places.push(place);
        of_sum(rest, sum - place, max, places, found);
        places.pop();
    }
}

/// The highest sum of places.
fn last(lengths: &[usize]) -> usize {
    lengths.iter().map(|length| length.saturating_sub(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_begin_with_the_easiest_and_end_at_the_bound() {
        assert_eq!(
            combinations(&[2, 3], 10),
            [[0, 0], [0, 1], [1, 0], [0, 2], [1, 1], [1, 2]].map(|places| places.to_vec())
        );
        assert_eq!(combinations(&[5, 0, 5], 10), Vec::<Vec<usize>>::new(), "one of them can do nothing");
        assert_eq!(combinations(&[], 10), [Vec::<usize>::new()]);
        assert_eq!(combinations(&[600; 10], 600).len(), 600);
    }
}
