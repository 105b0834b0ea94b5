//! What each policy says by itself.
//!
//! Which policies apply to a request is a matter of each policy by itself; the decision follows from that.
//! So every policy is asked about every request once ([`Table`]), and a mutant costs the asking of one policy.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, Effect, Policy, PolicySet};
use doorward_policy::Decision;

use super::{Answer, Asked, OnError, Trial, both, closed, failed};

/// What one policy says of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Nothing: its scope or its conditions are not met.
    Silent,
    /// It applies.
    Applies,
    /// It could not be evaluated, and why.
    Failed(String),
}

/// A policy by itself, to be asked.
#[derive(Debug)]
pub struct Alone {
    set: PolicySet,
    effect: Effect,
    id: String,
}

impl Alone {
    /// A policy by itself. None if Cedar does not take it as a set of one (a link to a template).
    #[must_use]
    pub fn new(policy: &Policy) -> Option<Self> {
        let set = PolicySet::from_policies([policy.clone()]).ok()?;
        Some(Self { set, effect: policy.effect(), id: policy.id().to_string() })
    }

    /// What it says of a request.
    #[must_use]
    pub fn ask(&self, asked: &Asked) -> Said {
        let response = Authorizer::new().is_authorized(&asked.request, &self.set, &asked.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Said::Failed(failed(error).1);
        }
        if response.diagnostics().reason().next().is_some() { Said::Applies } else { Said::Silent }
    }
}

/// What each policy says of each request of each trial.
#[derive(Debug)]
pub struct Table {
    alone: Vec<Alone>,
    /// By trial, then by request, then by policy.
    said: Vec<Vec<Vec<Said>>>,
    on_error: Vec<OnError>,
}

impl Table {
    /// Asks each policy about each request.
    #[must_use]
    pub fn new<'p>(policies: impl IntoIterator<Item = &'p Policy>, trials: &[Trial]) -> Self {
        let alone: Vec<Alone> = policies.into_iter().filter_map(Alone::new).collect();
        let of_one = |asked: &Asked| alone.iter().map(|policy| policy.ask(asked)).collect();
        let of_trial = |trial: &Trial| trial.asked.iter().flatten().map(of_one).collect();
        let said = trials.iter().map(of_trial).collect();
        let on_error = trials.iter().map(|trial| trial.on_error).collect();
        Self { alone, said, on_error }
    }

    /// The answer to a trial.
    #[must_use]
    pub fn answer(&self, trial: usize) -> Answer {
        self.answer_with(trial, None)
    }

    /// The answer to a trial if one policy were another one, or gone.
    #[must_use]
    pub fn answer_with(&self, trial: usize, change: Option<Change<'_>>) -> Answer {
        let requests = self.said.get(trial).map_or(&[][..], Vec::as_slice);
        let on_error = self.on_error.get(trial).copied().unwrap_or(OnError::Deny);
        both(requests.iter().enumerate().map(|(number, row)| self.one(row, number, change, on_error)))
    }

    fn one(&self, row: &[Said], number: usize, change: Option<Change<'_>>, on_error: OnError) -> Answer {
        let (mut permits, mut forbids, mut errors) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for (at, (alone, said)) in self.alone.iter().zip(row).enumerate() {
            let (effect, said) = match change.filter(|change| change.policy == at) {
                None => (alone.effect, Some(said)),
                Some(change) => (change.effect, change.said.get(number)),
            };
            match said {
                None | Some(Said::Silent) => {}
                Some(Said::Failed(why)) => errors.push((alone.id.clone(), why.clone())),
                Some(Said::Applies) if effect == Effect::Forbid => drop(forbids.insert(alone.id.clone())),
                Some(Said::Applies) => drop(permits.insert(alone.id.clone())),
            }
        }
        let (decision, by) = match (forbids.is_empty(), permits.is_empty()) {
            (false, _) => (Decision::Deny, forbids),
            (true, false) => (Decision::Allow, permits),
            (true, true) => (Decision::Deny, BTreeSet::new()),
        };
        closed(decision, by, errors, on_error)
    }

    /// What a policy says of the requests of a trial.
    pub fn said(&self, trial: usize, policy: usize) -> impl Iterator<Item = &Said> {
        self.said.get(trial).into_iter().flatten().filter_map(move |row| row.get(policy))
    }
}

/// One policy that is another one.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Which one, by its place.
    pub policy: usize,
    /// What it does now.
    pub effect: Effect,
    /// What it says now of each request of the trial. Nothing: it is gone.
    pub said: &'a [Said],
}
