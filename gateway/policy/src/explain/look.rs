//! From policies and a request to an explanation.

use std::collections::BTreeMap;

use cedar_policy::EntityUid;
use cedar_policy_core::ast;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::*;
use crate::explain::facts::{Reader, shortened};
use crate::explain::turn::{Hands, Subject, Turn, best, both};

/// The kind of whoever has not signed in.
const VISITOR: &str = "Visitor";

/// An explanation, and what would have to be turned over so that the answer is another.
pub(super) struct Judged {
    pub(super) done: Explanation,
    /// The policies that could be turned, by the places that the turns name.
    pub(super) looked: Vec<Looked>,
    /// The best few.
    pub(super) turns: Vec<Turn>,
    /// The best for each policy that denies by itself, and for the nearest permit missed: the clauses that failed.
    pub(super) failed: Vec<Turn>,
}

/// A policy, and what its conditions came to.
pub(super) struct Looked {
    pub(super) conditions: Arc<Conditions>,
    /// Each by itself. The first is what it comes to as a whole in any case.
    each: Vec<Truth>,
    /// The kind of whoever asks.
    who: Arc<str>,
}

impl Looked {
    fn policy(&self) -> &Policy {
        self.conditions.policy()
    }

    /// Whether it applies.
    fn truth(&self) -> &Truth {
        self.truth_of(0)
    }

    /// What a condition comes to by itself.
    pub(super) fn truth_of(&self, number: usize) -> &Truth {
        self.each.get(number).unwrap_or(&Truth::NotReached)
    }

    fn permits(&self) -> bool {
        self.policy().effect() == Effect::Permit
    }

    /// Who could turn over one of its conditions.
    pub(super) fn hand(&self, number: usize) -> Hand {
        self.conditions.get(number).map_or(Hand::Nobody, |condition| hand::hand(condition, &self.who))
    }

    /// Whether it is for somebody of another kind altogether: for people, where an agent asks.
    fn is_for_others(&self) -> bool {
        let mut sides = self.conditions.all().iter().filter(|c| c.part() == Part::Principal);
        sides.any(|side| !hand::is_for(side.expr(), &self.who))
    }

    fn misses(&self, part: Part) -> bool {
        let mut sides = self.conditions.all().iter().zip(&self.each);
        sides.any(|(c, truth)| c.part() == part && *truth == Truth::False)
    }

    /// What would have to be turned over so that it applies, or does not.
    fn turns(&self, place: usize, target: bool) -> Vec<Turn> {
        let hand =
            |atom: usize| (self.hand(atom), self.conditions.get(atom).is_some_and(hand::is_what_they_are));
        let turns = Subject::new(place, &self.conditions, &self.each, &hand).turns(0, target);
        if turns.is_empty() && !self.permits() {
            // It forbids whatever anybody does: nothing but the policy as a whole stands in the way.
            return vec![Turn { hands: Hands::of(Hand::Nobody), atoms: vec![(place, 0)], deep: 0 }];
        }
        turns
    }
}

/// How near a permit was. One for another kind of principal, for another thing, or for another thing to be done, is
/// further than anything that could be changed.
type Nearness = ([bool; 3], usize, Hands);

fn nearness(looked: &Looked, turn: &Turn) -> Nearness {
    let (resource, action) = (looked.misses(Part::Resource), looked.misses(Part::Action));
    ([looked.is_for_others(), resource, action], turn.atoms.len(), turn.hands)
}

impl Sight<'_> {
    pub(super) fn look(&self, conditions: Arc<Conditions>) -> Looked {
        let each = conditions.evaluate_each(self.request, self.entities);
        Looked { conditions, each, who: self.kind().into() }
    }

    /// The kind of whoever asks, such as `User`.
    fn kind(&self) -> String {
        self.request.principal().map(|who| who.type_name().to_string()).unwrap_or_default()
    }

    /// Those whose scope fits, and the permits that may be missed: of all permits those about the same thing.
    pub(super) fn relevant<'p>(&self, policies: impl IntoIterator<Item = &'p Policy>) -> Vec<&'p Policy> {
        let request: &ast::Request = self.request.as_ref();
        let evaluator = Evaluator::new(request.clone(), self.entities.as_ref(), Extensions::all_available());
        let (mut found, mut near, mut far) = (Vec::new(), Vec::new(), Vec::new());
        let (who, mut permits) = (self.kind(), false);
        for policy in policies {
            let core: &ast::Policy = policy.as_ref();
            let fits = |expr| match evaluator.interpret(&expr, core.env()) {
                Ok(value) => value == ast::Value::from(true),
                Err(_) => true,
            };
            let about =
                fits(core.resource_constraint().as_expr()) && fits(core.action_constraint().as_expr());
            let kind = hand::is_for(&core.principal_constraint().as_expr(), &who);
            permits |= about && kind && policy.effect() == Effect::Permit;
            match (about, fits(core.principal_constraint().as_expr()), policy.effect()) {
                (true, true, _) => found.push(policy),
                (true, false, Effect::Permit) => near.push(policy),
                (false, _, Effect::Permit) => far.push(policy),
                (_, _, Effect::Forbid) => {}
            }
        }
        near.truncate(EXPLAIN_POLICIES_MAX);
        // Where no permit is about this at all, one about something else shows at least what there is.
        far.truncate(if permits { 0 } else { EXPLAIN_POLICIES_MAX / 8 });
        found.append(&mut near);
        found.append(&mut far);
        found
    }

    /// Explains policies. `rank` orders those that decided.
    pub(super) fn judge(
        &self,
        looked: Vec<Looked>,
        strict: Strict,
        rank: impl Fn(&Policy) -> (u8, Arc<str>),
    ) -> Judged {
        let applies = |permits: bool| {
            let all = looked.iter().filter(move |l| l.permits() == permits && *l.truth() == Truth::True);
            let mut ranked: Vec<_> = all.map(|l| rank(l.policy())).collect();
            ranked.sort();
            ranked.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
        };
        let mut errors: Vec<(Arc<str>, String)> = looked
            .iter()
            .filter_map(|l| match l.truth() {
                Truth::Error(why) => Some((id(l.policy()), why.clone())),
                Truth::True | Truth::False | Truth::NotReached => None,
            })
            .collect();
        errors.sort();
        let (permits, forbids) = (applies(true), applies(false));
        let broken = strict == Strict::Yes && !errors.is_empty();
        let (decision, deciding) = match (forbids.is_empty(), permits.is_empty(), broken) {
            (true, false, false) => (Decision::Allow, permits),
            (true, false, true) => (Decision::Deny, Vec::new()),
            (_, _, _) => (Decision::Deny, forbids),
        };
        let mut judged = Judged {
            done: Explanation {
                decision,
                deciding,
                errors,
                own: decision,
                policies: Vec::new(),
                left_out: 0,
                missed: None,
                way: None,
                unasked: None,
                person: None,
            },
            looked,
            turns: Vec::new(),
            failed: Vec::new(),
        };
        if decision == Decision::Deny {
            self.turn(&mut judged, strict);
        }
        judged
    }

    /// What would have to be turned over, and the nearest permit missed.
    fn turn(&self, judged: &mut Judged, strict: Strict) {
        let (mut turns, mut failed) = (vec![Turn::default()], Vec::new());
        let mut missed: Option<(Nearness, Turn, usize)> = None;
        let (mut permitted, mut permits) = (false, Vec::new());
        for (place, looked) in judged.looked.iter().enumerate() {
            let truth = looked.truth();
            let erred = matches!(truth, Truth::Error(_)) && strict == Strict::Yes;
            match (looked.permits(), truth) {
                (true, Truth::True) => permitted = true,
                (false, _) if erred || *truth == Truth::True => {
                    let ways = looked.turns(place, false);
                    turns = both(&turns, &ways);
                    failed.extend(ways.into_iter().next());
                }
                (true, _) => {
                    let ways = looked.turns(place, true);
                    if let Some(first) = ways.first() {
                        let near = nearness(looked, first);
                        if missed.as_ref().is_none_or(|(least, ..)| near < *least) {
                            missed = Some((near, first.clone(), place));
                        }
                    }
                    permits.extend(ways);
                    if permits.len() > EXPLAIN_POLICIES_MAX {
                        permits = best(permits);
                    }
                    if erred {
                        // Whether it then permits or not, it must be possible to tell.
                        turns =
                            both(&turns, &[looked.turns(place, false), looked.turns(place, true)].concat());
                    }
                }
                (false, _) => {}
            }
        }
        if !permitted {
            turns = both(&turns, &best(permits));
            // What others may says nothing to somebody who has not said yet who they are.
            let nobody = self.kind() == VISITOR;
            let near = missed.filter(|(([for_others, ..], ..), ..)| !(nobody && *for_others));
            judged.done.missed = near.and_then(|(_, turn, place)| {
                let looked = judged.looked.get(place)?;
                failed.push(turn.clone());
                Some(Missed { id: id(looked.policy()), lacks: self.lacks(looked, &turn) })
            });
        }
        (judged.turns, judged.failed) = (turns, failed);
    }

    /// What a permit lacked, in sentences.
    fn lacks(&self, looked: &Looked, turn: &Turn) -> Vec<String> {
        let reader = Reader::new(self);
        let atoms = turn.atoms.iter().filter_map(|(_, number)| looked.conditions.get(*number));
        atoms
            .map(|condition| {
                let text = shortened(&condition.text());
                let bare = |word: &str| text.strip_prefix(word).map_or(text.as_str(), str::trim_start);
                match condition.part() {
                    Part::Principal => match group(bare("principal"), self.request.principal()) {
                        Some(group) => format!("you are not in {group}"),
                        None => format!("it is for others: {text}"),
                    },
                    Part::Action => format!("it is for something else to be done: {text}"),
                    Part::Resource => format!("it is about something else: {text}"),
                    Part::Clause | Part::Whole => {
                        let facts = reader.facts(condition.expr());
                        let facts: Vec<String> = facts
                            .iter()
                            .map(|f| format!("{} is {}", f.name, f.value.as_deref().unwrap_or("absent")))
                            .collect();
                        format!("{text}: {}", facts.join(", "))
                    }
                }
            })
            .collect()
    }

    /// The policies of an explanation, those that decided first.
    pub(super) fn show(&self, judged: &mut Judged) {
        let done = &judged.done;
        let decided = |id: &Arc<str>| done.deciding.contains(id) || done.errors.iter().any(|(e, _)| e == id);
        let missed = |id: &Arc<str>| done.missed.as_ref().is_some_and(|m| m.id == *id);
        let mut ordered: BTreeMap<(u8, usize), usize> = BTreeMap::new();
        for (place, looked) in judged.looked.iter().enumerate() {
            let id = id(looked.policy());
            let in_scope =
                ![Part::Principal, Part::Action, Part::Resource].iter().any(|part| looked.misses(*part));
            let rank = match (decided(&id), missed(&id), in_scope) {
                (true, ..) => 0,
                (false, true, _) => 1,
                (false, false, true) => 2,
                (false, false, false) => continue,
            };
            ordered.insert((rank, place), place);
        }
        let shown: Vec<Explained> = ordered
            .values()
            .take(EXPLAIN_POLICIES_MAX)
            .filter_map(|place| judged.looked.get(*place).map(|l| self.explained(l, done)))
            .collect();
        let left_out = ordered.len().saturating_sub(shown.len());
        (judged.done.policies, judged.done.left_out) = (shown, left_out);
    }

    fn explained(&self, looked: &Looked, done: &Explanation) -> Explained {
        let policy = looked.policy();
        let text = |key: &str| policy.annotation(key).filter(|t| !t.is_empty()).map(shortened);
        // On a deny, a forbid should not have applied, and where nothing permits, a permit should have.
        let turn = match (done.decision, looked.permits(), looked.truth()) {
            (Decision::Deny, true, Truth::False) if done.missed.is_some() => looked.turns(0, true),
            (Decision::Deny, true, Truth::Error(_)) => looked.turns(0, true),
            (Decision::Deny, false, Truth::True | Truth::Error(_)) => looked.turns(0, false),
            (Decision::Allow | Decision::Deny, ..) => Vec::new(),
        };
        let failed = turn.into_iter().next().unwrap_or_default();
        let reader = Reader::new(self);
        let truths = looked.conditions.evaluate(self.request, self.entities);
        let all = looked.conditions.all().iter().zip(&truths).enumerate();
        let conditions = all
            .take(EXPLAIN_CONDITIONS_MAX)
            .map(|(number, (condition, truth))| Seen {
                kind: condition.kind().clone(),
                part: condition.part(),
                span: condition.span(),
                text: if number == 0 { String::new() } else { shortened(&condition.text()) },
                truth: truth.clone(),
                facts: match condition.kind() {
                    Kind::Atom => reader.facts(condition.expr()),
                    Kind::All(_) | Kind::Any(_) | Kind::Not(_) | Kind::If { .. } => Vec::new(),
                },
                failed: failed.atoms.contains(&(0, number)),
            })
            .collect();
        Explained {
            id: id(policy),
            effect: policy.effect(),
            title: text("title"),
            owner: text("owner"),
            reason: text("reason"),
            truth: looked.truth().clone(),
            conditions,
            offset: looked.conditions.offset(),
        }
    }
}

/// The group that a side of the scope asks for, if it asks for somebody like this.
fn group<'t>(side: &'t str, who: Option<&EntityUid>) -> Option<&'t str> {
    let Some(kind) = side.strip_prefix("is ") else { return side.strip_prefix("in ") };
    let (kind, group) = kind.split_once(" in ")?;
    who.is_some_and(|who| who.type_name().to_string() == kind.trim()).then_some(group)
}
