//! What comes of a week by plain Cedar, request by request: every policy, no index, no memory.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Entities, PolicySet, Request};
use doorward_model::Principal;
use doorward_policy::{Decision, PolicyBundle, Question, Situation, Workshop};
use doorward_workbench::replay::{Change, PersonKind, Said};

use super::traffic::Week;

/// How many requests there are of each difference.
pub(crate) type Truth = BTreeMap<(Change, PersonKind, String, Said, Said), u64>;

/// A folder of policies as Cedar has it.
pub(crate) struct Plain<'a> {
    words: &'a PolicyBundle,
    policies: PolicySet,
    authorizer: Authorizer,
}

impl<'a> Plain<'a> {
    pub(crate) fn new(workshop: &'a Workshop) -> Self {
        let policies = workshop.policies().iter().map(|source| source.policy().clone());
        let policies = PolicySet::from_policies(policies).unwrap();
        Self { words: workshop.bundle(), policies, authorizer: Authorizer::new() }
    }

    fn one(&self, (request, entities): &(Request, Entities)) -> Said {
        let response = self.authorizer.is_authorized(request, &self.policies, entities);
        let broken = response.diagnostics().errors().next().is_some();
        let allowed = response.decision() == cedar_policy::Decision::Allow;
        let mut policies: Vec<String> = response.diagnostics().reason().map(|id| id.to_string()).collect();
        policies.sort();
        match (allowed, broken) {
            (true, false) => Said { decision: Decision::Allow, policies, broken },
            // Nothing that could not be evaluated is an allow, and the permits did not decide.
            (true, true) => Said { decision: Decision::Deny, policies: Vec::new(), broken },
            (false, _) => Said { decision: Decision::Deny, policies, broken },
        }
    }

    fn said(&self, asked: &Asked) -> Said {
        let said = self.one(&asked.own);
        let Some(of_person) = &asked.of_person else { return said };
        if said.decision == Decision::Deny {
            return said;
        }
        let mut of_person = self.one(of_person);
        if of_person.decision == Decision::Allow {
            of_person.policies.extend(said.policies);
            of_person.policies.sort();
            of_person.policies.dedup();
        }
        of_person
    }
}

/// A question in Cedar's words, and of an agent also the one about its person.
struct Asked {
    own: (Request, Entities),
    of_person: Option<(Request, Entities)>,
}

impl Asked {
    /// In the words of a bundle; it decides nothing.
    fn new(words: &PolicyBundle, situation: &Situation) -> Self {
        let question = situation.question();
        let own = words.in_cedar(&question).unwrap();
        let Principal::Agent(agent) = &**question.principal else { return Self { own, of_person: None } };
        let person = Principal::User(agent.on_behalf_of.clone()).into();
        let of_person = words.in_cedar(&Question { principal: &person, ..question.clone() }).unwrap();
        Self { own, of_person: Some(of_person) }
    }
}

/// The differences of a week between two folders with one schema.
pub(crate) fn differences(seed: u64, requests: usize, before: &Plain<'_>, after: &Plain<'_>) -> Truth {
    let mut week = Week::new(seed, requests);
    let situations: Vec<Situation> = (0..requests).map(|_| week.next()).collect();
    let of = |some: &[Situation]| {
        let mut truth = Truth::new();
        for situation in some {
            let asked = Asked::new(before.words, situation);
            let (before, after) = (before.said(&asked), after.said(&asked));
            if before == after {
                continue;
            }
            let change = match (before.decision, after.decision) {
                (Decision::Allow, Decision::Deny) => Change::NewlyDenied,
                (Decision::Deny, Decision::Allow) => Change::NewlyAllowed,
                _ => Change::OtherReasons,
            };
            let kind = PersonKind::of(&situation.principal);
            let app = situation.route.id.app().as_str().to_owned();
            *truth.entry((change, kind, app, before, after)).or_default() += 1;
        }
        truth
    };
    let (first, second) = situations.split_at(requests / 2);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| of(second));
        let mut truth = of(first);
        for (key, count) in second.join().unwrap() {
            *truth.entry(key).or_default() += count;
        }
        truth
    })
}
