//! Which mutants the trials notice.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cedar_policy::Policy;
use doorward_model::limits::POLICY_LOAD_STACK_BYTES;
use doorward_policy::PolicySource;

use super::Mutant;
use crate::trial::{Alone, Change, Said, Table, Trial};

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A trial does not hold with it: the first, by its place.
    Killed(usize),
    /// Every trial holds.
    Survived,
}

/// What is hunted with.
#[derive(Debug, Clone, Copy)]
pub struct Hunt<'a> {
    /// The policies, in the order of the table.
    pub sources: &'a [PolicySource],
    /// The trials. Those that do not hold without any mutant notice nothing.
    pub trials: &'a [Trial],
    /// What the policies say of them.
    pub table: &'a Table,
    /// How many threads.
    pub threads: NonZeroUsize,
}

/// The fate of each mutant, in their order. `progress` is told how many are done.
#[must_use]
pub fn hunt(hunt: &Hunt<'_>, mutants: &[Mutant], progress: &(dyn Fn(usize) + Sync)) -> Vec<Fate> {
    let usable: Vec<bool> = (0..hunt.trials.len()).map(|trial| hunt.holds(trial, None)).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut found = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(mutant) = mutants.get(at)
        {
            found.push((at, hunt.fate(mutant, &usable)));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
        found
    };
    let mut found = thread::scope(|scope| {
        // Cedar's evaluator calls itself for each level of a policy.
        let thread = |_| {
            thread::Builder::new()
                .name("mutants".to_owned())
                .stack_size(POLICY_LOAD_STACK_BYTES)
                .spawn_scoped(scope, work)
        };
        let threads: Vec<_> = (0..hunt.threads.get()).map(thread).collect();
        let done = threads.into_iter().filter_map(Result::ok).filter_map(|thread| thread.join().ok());
        done.flatten().collect::<Vec<_>>()
    });
    // Where no thread could be had, the work is left, and is done here.
    found.extend(work());
    found.sort_by_key(|(at, _)| *at);
    let mut fates = vec![Fate::Survived; mutants.len()];
    for (at, fate) in found {
        if let Some(place) = fates.get_mut(at) {
            *place = fate;
        }
    }
    fates
}

impl Hunt<'_> {
    fn fate(&self, mutant: &Mutant, usable: &[bool]) -> Fate {
        let alone = mutant.mutated.as_ref().and_then(Alone::new);
        let effect = mutant.mutated.as_ref().map(Policy::effect);
        let was = self.sources.get(mutant.policy).map(|source| source.policy().effect());
        let Some(now) = effect.or(was) else { return Fate::Survived };
        let killer = self.trials.iter().enumerate().zip(usable).filter(|(_, usable)| **usable).find(
            |((at, trial), _)| {
                let said: Vec<Said> = match &alone {
                    Some(alone) => trial.asked.iter().flatten().map(|asked| alone.ask(asked)).collect(),
                    None => Vec::new(),
                };
                // What the policy says as it did changes nothing.
                let same = was == Some(now) && said.iter().eq(self.table.said(*at, mutant.policy));
                !same && !self.holds(*at, Some(Change { policy: mutant.policy, effect: now, said: &said }))
            },
        );
        killer.map_or(Fate::Survived, |((at, _), _)| Fate::Killed(at))
    }

    fn holds(&self, trial: usize, change: Option<Change<'_>>) -> bool {
        let Some(expect) = self.trials.get(trial).filter(|t| t.asked.is_ok()).map(|t| &t.expect) else {
            return false;
        };
        expect.miss(&self.table.answer_with(trial, change)).is_none()
    }
}
