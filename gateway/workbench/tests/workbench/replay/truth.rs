//! What comes of a week by plain Cedar, request by request: every policy, no index, no memory.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, PolicySet};
use doorward_model::Principal;
use doorward_policy::{Decision, PolicyBundle, Question, Situation, Workshop};
use doorward_workbench::replay::{Change, PersonKind, Said};

use super::traffic::Week;

/// How many requests there are of each difference.
pub(crate) type Truth = BTreeMap<(Change, PersonKind, String, Said, Said), u64>;

/// A folder of policies as Cedar has it.
pub(crate) struct Plain<'a> {
    /// Says the question in Cedar's words, and decides nothing.
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

    fn one(&self, q: &Question<'_>) -> Said {
        let (request, entities) = self.words.in_cedar(q).unwrap();
        let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
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

    fn said(&self, situation: &Situation) -> Said {
        let question = situation.question();
        let said = self.one(&question);
        let Principal::Agent(agent) = &**question.principal else { return said };
        if said.decision == Decision::Deny {
            return said;
        }
        let person = Principal::User(agent.on_behalf_of.clone()).into();
        let mut of_person = self.one(&Question { principal: &person, ..question.clone() });
        if of_person.decision == Decision::Allow {
            of_person.policies.extend(said.policies);
            of_person.policies.sort();
            of_person.policies.dedup();
        }
        of_person
    }
}

/// The differences of a week.
pub(crate) fn differences(seed: u64, requests: usize, before: &Plain<'_>, after: &Plain<'_>) -> Truth {
    let mut week = Week::new(seed, requests);
    let situations: Vec<Situation> = (0..requests).map(|_| week.next()).collect();
    let of = |some: &[Situation]| {
        let mut truth = Truth::new();
        for situation in some {
            let (before, after) = (before.said(situation), after.said(situation));
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
