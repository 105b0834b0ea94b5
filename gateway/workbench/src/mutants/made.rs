//! Cases that notice what no case notices, made by the solver.
//!
//! For a mutant that survives there are three answers: it says the same as the policy to every request that the gateway
//! can make, by proof; or here is a request on which the gateway would answer otherwise, with the answer that it gives
//! now; or nobody knows.
//!
//! What a case sees is the decision and the policies that decide. A permit is seen wherever nothing forbids, beside
//! other permits too; a forbid is seen wherever it applies. So a permit is compared under the forbids and without the
//! other permits, a forbid by itself: two of them that are the same there are the same in every answer. To the solver a
//! policy that cannot be evaluated matches nothing, to the gateway it refuses the request: so neither of the two may
//! ever fail, or nobody knows.

mod plain;

use std::num::NonZeroUsize;
use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet};
use doorward_model::RouteFacts;
use doorward_policy::{Action, Decision, NewCase, PolicyBundle, PolicySource, Situation, Workshop};
use toml::{Table, Value};

use super::{Fate, Hunt, Mutant, hunt};
use crate::solver::{Answer, Solver, World};
use crate::trial::{self, By, Expect, OnError, Trial};

/// What became of a mutant that survived.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// It says the same as the policy, by proof.
    Same,
    /// A request tells them apart.
    Told(Box<Made>),
    /// Nobody knows, and why.
    Unknown(String),
}

/// A request on which a mutant would be noticed, and what the policies decide of it as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The request.
    pub situation: Situation,
    /// What is decided of it.
    pub decision: Decision,
    /// By which policies.
    pub by: Vec<Arc<str>>,
}

/// What is near to the cases that are there: everybody, and each situation of a case, on each route, with an action of
/// each kind. What a person would think of first is found here, and needs no solver.
#[derive(Debug)]
pub struct Nearby {
    situations: Vec<Situation>,
    trials: Vec<Trial>,
    table: trial::Table,
}

/// Reads, writes, and opens a WebSocket.
const KINDS: [Action; 3] = [Action::Get, Action::Post, Action::Upgrade];
/// How many situations are looked at.
const NEARBY_MAX: usize = 5_000;

impl Nearby {
    /// What is near to the cases of a folder, what reads shortest first.
    #[must_use]
    pub fn of(shop: &Workshop) -> Self {
        let cases = shop.cases();
        let routes: Vec<RouteFacts> = cases.routes().collect();
        let first = routes.first().map(|route| route.id.to_string()).unwrap_or_default();
        let asks = |who: &str| {
            let words = [("who", who.to_owned()), ("does", format!("GET {first}"))];
            let words: Table =
                words.into_iter().map(|(key, word)| (key.to_owned(), Value::from(word))).collect();
            cases.situated(&words.to_string()).ok()
        };
        let people = cases.everybody().filter_map(|named| asks(named.ok()?.name));
        let there: Vec<Situation> =
            people.chain(cases.iter().filter_map(|case| case.situation.ok())).collect();
        let mut all: Vec<(usize, Situation)> = Vec::new();
        for from in &there {
            for (route, action) in routes.iter().flat_map(|route| KINDS.map(|action| (route, action))) {
                let situation = Situation { route: route.clone(), action, ..from.clone() };
                if all.len() < NEARBY_MAX && !all.iter().any(|(_, other)| *other == situation) {
                    all.push((plain::length(shop, &situation), situation));
                }
            }
        }
        all.sort_by_key(|(length, _)| *length);
        let situations: Vec<Situation> = all.into_iter().map(|(_, situation)| situation).collect();
        let trials: Vec<Trial> = situations.iter().map(|situation| as_trial(shop, situation)).collect();
        let table = trial::Table::new(shop.policies().iter().map(PolicySource::policy), &trials);
        Self { situations, trials, table }
    }

    /// The shortest case that would notice a mutant, if there is one nearby.
    #[must_use]
    pub fn case(&self, shop: &Workshop, mutant: &Mutant) -> Option<Made> {
        let (trials, table, sources) = (self.trials.as_slice(), &self.table, shop.policies());
        let with = Hunt { sources, trials, table, threads: NonZeroUsize::MIN };
        match hunt(&with, std::slice::from_ref(mutant), &|_| ()).first() {
            Some(Fate::Killed(at)) => {
                let made = Made::of(shop.bundle(), self.situations.get(*at)?.clone());
                made.notices(shop, mutant).then_some(made)
            }
            Some(Fate::Survived) | None => None,
        }
    }
}

/// A situation of which what is decided now is expected.
fn as_trial(shop: &Workshop, situation: &Situation) -> Trial {
    let answer = answer(shop.bundle(), situation);
    Trial {
        file: String::new(),
        line: 0,
        name: String::new(),
        // A case holds only where no policy fails: one where that is not so now notices nothing.
        expect: Expect { decision: answer.decision, by: By::Exactly(answer.by), errors: 0 },
        asked: trial::asked_of(shop, &situation.question()),
        on_error: OnError::Deny,
    }
}

/// Looks nearby, then asks the solver. What it finds is tried on the gateway's own decision, with the policy and with
/// the mutant, before it is believed.
pub fn settle(
    shop: &Workshop,
    nearby: &Nearby,
    world: &World<'_>,
    solver: &mut Solver,
    mutant: &Mutant,
) -> Settled {
    if let Some(made) = nearby.case(shop, mutant) {
        return Settled::Told(Box::new(made));
    }
    let Some(source) = shop.policies().get(mutant.policy) else {
        return Settled::Unknown("there is no such policy".to_owned());
    };
    let (original, changed) = match sets(shop, source.policy(), mutant) {
        Ok(sets) => sets,
        Err(e) => return Settled::Unknown(e),
    };
    let with = with(shop, source, mutant);
    let notices = |s: &Situation| tells_apart(&answer(shop.bundle(), s), &answer(&with, s));
    let told = |situation: Situation| {
        let situation = plain::plainest(shop, situation, notices);
        Settled::Told(Box::new(Made::of(shop.bundle(), situation)))
    };
    match solver.equivalent(world, &original, &changed) {
        Answer::Proved => match may_fail(world, solver, source.policy(), mutant) {
            Failing::Never => Settled::Same,
            Failing::On(situation) if notices(&situation) => told(*situation),
            Failing::On(_) => Settled::Unknown(FAILING.to_owned()),
            Failing::Unknown(why) => Settled::Unknown(format!("{FAILING}, and whether one does: {why}")),
        },
        Answer::Unknown(why) => Settled::Unknown(why.to_string()),
        Answer::Found(found) => match found.situation {
            None => Settled::Unknown("the request that was found cannot be written as a case".to_owned()),
            // An agent that is let in, and its person is not: the second question hides the first.
            Some(situation) if !notices(&situation) => {
                Settled::Unknown("on the request that was found the gateway's answer is the same".to_owned())
            }
            Some(situation) => told(situation),
        },
    }
}

/// Why a proof is not the last word.
const FAILING: &str = "a policy that cannot be evaluated refuses the request, of which a proof says nothing";

/// Whether a policy or its mutant may fail on a request.
enum Failing {
    Never,
    /// On this one, which a case can be written about.
    On(Box<Situation>),
    Unknown(String),
}

/// To the solver a policy that fails matches nothing; to the gateway it refuses the request.
fn may_fail(world: &World<'_>, solver: &mut Solver, policy: &Policy, mutant: &Mutant) -> Failing {
    // The mutant first: where the policy fails as it is, there is no case to be made.
    for policy in mutant.mutated.iter().chain([policy]) {
        match solver.never_errors(world, policy) {
            Answer::Proved => {}
            Answer::Unknown(why) => return Failing::Unknown(why.to_string()),
            Answer::Found(found) => match found.situation {
                Some(situation) => return Failing::On(Box::new(situation)),
                None => return Failing::Unknown("there is a request on which it fails".to_owned()),
            },
        }
    }
    Failing::Never
}

/// Whether a case about a request would notice: a case holds only where nothing fails.
fn tells_apart(now: &trial::Answer, then: &trial::Answer) -> bool {
    now.errors.is_empty() && now != then
}

/// What is compared: as much of the set as the policy shows in.
fn sets(shop: &Workshop, policy: &Policy, mutant: &Mutant) -> Result<(PolicySet, PolicySet), String> {
    let set = |all: Vec<Policy>| PolicySet::from_policies(all).map_err(|e| e.to_string());
    let forbids = |p: &&Policy| p.effect() == Effect::Forbid;
    let now = mutant.mutated.as_ref();
    let permits = [Some(policy), now].into_iter().flatten().all(|p| !forbids(&p));
    let rest: Vec<Policy> = if permits {
        let others = shop.policies().iter().map(PolicySource::policy).filter(|p| p.id() != policy.id());
        others.filter(forbids).cloned().collect()
    } else {
        vec![permit_all()?]
    };
    // Of two effects the permit is left out: the forbid is seen wherever it applies.
    let shown = |p: &&Policy| permits || forbids(p);
    let with = |p: Option<&Policy>| set(rest.iter().chain(p.filter(shown)).cloned().collect());
    Ok((with(Some(policy))?, with(now)?))
}

/// A permit under which every forbid shows. No policy of a folder can be called so.
fn permit_all() -> Result<Policy, String> {
    let id = PolicyId::new("mutants/everything");
    Policy::parse(Some(id), "permit(principal, action, resource);").map_err(|e| e.to_string())
}

/// The set with the mutant in it.
fn with(shop: &Workshop, source: &PolicySource, mutant: &Mutant) -> PolicyBundle {
    let id = source.policy().id();
    let rest = shop.policies().iter().map(PolicySource::policy).filter(|p| p.id() != id).cloned();
    shop.with(rest.chain(mutant.mutated.clone()).collect())
}

fn answer(bundle: &PolicyBundle, situation: &Situation) -> trial::Answer {
    trial::Answer::from(&bundle.decide(&situation.question()))
}

// === impl Made ===

impl Made {
    fn of(bundle: &PolicyBundle, situation: Situation) -> Self {
        let verdict = bundle.decide(&situation.question());
        let mut by = verdict.determining;
        by.sort();
        Self { situation, decision: verdict.decision, by }
    }

    /// Whether a case of it would notice a mutant: the decision or the policies that decide are others.
    #[must_use]
    pub fn notices(&self, shop: &Workshop, mutant: &Mutant) -> bool {
        let Some(source) = shop.policies().get(mutant.policy) else { return false };
        let then = answer(&with(shop, source, mutant), &self.situation);
        tells_apart(&answer(shop.bundle(), &self.situation), &then)
    }

    /// The case as a text for a file of `cases/`, under a name.
    ///
    /// # Errors
    /// It is about a route that the cases define otherwise.
    pub fn text(&self, shop: &Workshop, name: &str) -> Result<String, String> {
        let case = NewCase { name, situation: &self.situation, expect: self.decision, by: &self.by };
        shop.cases().write(&case)
    }
}

/// A name for the case that notices a mutant, until somebody finds a better one.
#[must_use]
pub fn name(source: &PolicySource, mutant: &Mutant) -> String {
    format!("PROPOSED {}: unlike when {}", source.id(), mutant.what)
}

/// Cases made for several mutants as one file. A definition that two of them need is there once; a case whose
/// definition is another one under the same name is left out and counted.
#[must_use]
pub fn file(texts: &[String]) -> (String, usize) {
    let mut defined: Vec<(&str, &str)> = Vec::new();
    let (mut file, mut left_out) = (String::new(), 0);
    for text in texts {
        let blocks: Vec<&str> = text.split("\n\n").map(str::trim).filter(|b| !b.is_empty()).collect();
        let head = |block: &str| block.lines().next().unwrap_or_default().to_owned();
        let clash = blocks
            .iter()
            .any(|block| defined.iter().any(|(name, there)| *name == head(block) && there != block));
        if clash {
            left_out += 1;
            continue;
        }
        for block in blocks {
            if !block.starts_with("[[case]]") {
                if defined.iter().any(|(_, there)| *there == block) {
                    continue;
                }
                defined.push((block.lines().next().unwrap_or_default(), block));
            }
            if !file.is_empty() {
                file.push('\n');
            }
            file.push_str(block);
            file.push('\n');
        }
    }
    (file, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_there_once() {
        let person = "[person.x]\nid = \"corp:x\"\n";
        let case = |n: u8| format!("[[case]]\nname = \"{n}\"\nwho = \"x\"\n");
        let texts = [format!("{person}\n{}", case(1)), format!("{person}\n{}", case(2)), case(3)];
        let expect = format!("{person}\n{}\n{}\n{}", case(1), case(2), case(3));
        assert_eq!(file(&texts), (expect, 0));
        let other = [texts[0].clone(), format!("[person.x]\nid = \"corp:y\"\n\n{}", case(2))];
        assert_eq!(file(&other), (texts[0].clone(), 1));
    }
}
