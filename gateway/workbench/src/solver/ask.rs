//! One question after the other: each kind of request and each slice of the policies for itself.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Entities, Policy, PolicySet, Request, RequestEnv};
use cedar_policy_symcc::err::Error;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, ResetMode};

use super::compile::{self, joined, set_of};
use super::process::{self, Query};
use super::slice::Slice;
use super::{Answer, Claim, Difference, Example, Solver, Why, World, found};

/// How much longer than the query itself whoever waits for it waits: so that what the query says of itself
/// is heard.
const GRACE: Duration = Duration::from_secs(1);

impl Solver {
    pub(super) fn compare_changed(
        &mut self,
        world: &World<'_>,
        claim: Claim,
        first: &PolicySet,
        second: &PolicySet,
    ) -> Result<Answer<Difference>, Why> {
        self.left()?;
        let changed = compile::changed(first, second);
        let concerns = |env: &RequestEnv| changed.iter().any(|p| world.touches(p, env));
        if let [one, other] = changed.as_slice()
            && one.effect() == other.effect()
            && one.id() == other.id()
            && self.policies_match_alike(world, one, other, concerns)?
        {
            return Ok(Answer::Proved);
        }
        self.compare(world, claim, first, second, concerns)
    }

    /// Asks about each slice and each kind of request, until something is found.
    pub(super) fn compare(
        &mut self,
        world: &World<'_>,
        claim: Claim,
        first: &PolicySet,
        second: &PolicySet,
        concerns: impl Fn(&RequestEnv) -> bool,
    ) -> Result<Answer<Difference>, Why> {
        let all: Vec<&Policy> = first.policies().chain(second.policies()).collect();
        let mut unknown = None;
        for slice in Slice::of(&all, world.doorward().is_some()) {
            self.left()?;
            let keep = |set: &PolicySet| set_of(set.policies().filter(|p| slice.keeps(p)).cloned());
            let (one, other) = (keep(first)?, keep(second)?);
            let hypotheses = world.hypotheses(one.policies().chain(other.policies()), &slice);
            let hypotheses = hypotheses.map_err(Why::Unsupported)?;
            let told = one.policies().chain(other.policies()).chain(&hypotheses);
            let envs = world.environments(told, &concerns).map_err(Why::Unsupported)?;
            let under = |set: &PolicySet| joined(set.policies().cloned().chain(hypotheses.iter().cloned()));
            let one = under(&one)?;
            let other = if claim == Claim::Equivalent { under(&other)? } else { other };
            for env in &envs {
                let found = match self.compare_in(world, claim, &one, &other, env) {
                    Ok(None) => continue,
                    Ok(Some(found)) => found,
                    Err(why @ Why::Budget(_)) => return Err(unknown.unwrap_or(why)),
                    Err(why) => {
                        unknown = Some(why);
                        continue;
                    }
                };
                let better = self.usual_one(world, claim, &one, &other, env);
                for claimed in better.into_iter().chain([found]) {
                    match difference(world, claim, first, second, claimed) {
                        Ok(found) => return Ok(Answer::Found(found)),
                        Err(why) => unknown = Some(why),
                    }
                }
            }
        }
        Ok(unknown.map_or(Answer::Proved, Answer::Unknown))
    }

    /// What is found for a route that the cases know, as they know it: a case can be written about that.
    fn usual_one(
        &mut self,
        world: &World<'_>,
        claim: Claim,
        first: &PolicySet,
        second: &PolicySet,
        env: &RequestEnv,
    ) -> Option<(Request, Entities)> {
        let usual = world.preferences(first.policies()).ok().filter(|usual| !usual.is_empty())?;
        let with = |set: &PolicySet| joined(set.policies().cloned().chain(usual.iter().cloned())).ok();
        let second = if claim == Claim::Equivalent { with(second)? } else { second.clone() };
        self.compare_in(world, claim, &with(first)?, &second, env).ok().flatten()
    }

    fn compare_in(
        &mut self,
        world: &World<'_>,
        claim: Claim,
        first: &PolicySet,
        second: &PolicySet,
        env: &RequestEnv,
    ) -> Result<Option<(Request, Entities)>, Why> {
        let (first, second) = (self.set(world, first, env)?, self.set(world, second, env)?);
        let found = self.ask(async move |compiler| match claim {
            Claim::Disjoint => compiler.check_disjoint_with_counterexample_opt(&first, &second).await,
            Claim::Implies => compiler.check_implies_with_counterexample_opt(&first, &second).await,
            Claim::Equivalent => compiler.check_equivalent_with_counterexample_opt(&first, &second).await,
        })?;
        Ok(found.map(|found| (found.request, found.entities)))
    }

    /// Whether two policies match the same requests in every kind that is concerned. Not to know is no.
    fn policies_match_alike(
        &mut self,
        world: &World<'_>,
        one: &Policy,
        other: &Policy,
        concerns: impl Fn(&RequestEnv) -> bool,
    ) -> Result<bool, Why> {
        for env in world.environments([one, other], concerns).map_err(Why::Unsupported)? {
            let (one, other) = (self.policy(world, one, &env)?, self.policy(world, other, &env)?);
            let alike =
                self.ask(async move |compiler| compiler.check_matches_equivalent_opt(&one, &other).await);
            if alike != Ok(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn never_errs_in(
        &mut self,
        world: &World<'_>,
        policy: &Policy,
        guarded: &Policy,
        env: &RequestEnv,
    ) -> Result<Option<Example>, Why> {
        // Most policies cannot fail whatever is asked, which is told much faster.
        let plain = self.policy(world, policy, env)?;
        if self.ask(async move |compiler| compiler.check_never_errors_opt(&plain).await) == Ok(true) {
            return Ok(None);
        }
        let compiled = self.policy(world, guarded, env)?;
        let found = self.ask(async move |compiler| {
            compiler.check_never_errors_with_counterexample_opt(&compiled).await
        })?;
        let Some(found) = found else { return Ok(None) };
        let errs = |request: &Request, entities: &Entities| found::errs(policy, request, entities);
        let seen = found::believe(world, found.request, found.entities, errs)?;
        let found::Seen { request, entities, situation, outcome } = seen;
        Ok(Some(Example { request, entities, situation, by: vec![outcome] }))
    }

    /// How much time is left for one query.
    pub(super) fn left(&self) -> Result<Duration, Why> {
        let left = self.bounds.budget.saturating_sub(self.elapsed());
        if left.is_zero() {
            Err(Why::Budget(self.bounds.budget))
        } else {
            Ok(left.min(self.bounds.query_max))
        }
    }

    /// The set as the solver takes it.
    fn set(
        &mut self,
        world: &World<'_>,
        set: &PolicySet,
        env: &RequestEnv,
    ) -> Result<Arc<CompiledPolicySet>, Why> {
        let key = compile::set_key(world, set, env);
        if let Some(known) = self.compiled.sets.get(&key) {
            return Ok(known);
        }
        let left = self.left()?;
        let (schema, set, env) = (world.shared_schema(), set.clone(), env.clone());
        let make = move || CompiledPolicySet::compile(&set, &env, &schema).map_err(|e| why(&e));
        let made = self.patience.within(left, make)??;
        Ok(self.compiled.sets.keep(key, made))
    }

    /// The policy as the solver takes it.
    fn policy(
        &mut self,
        world: &World<'_>,
        policy: &Policy,
        env: &RequestEnv,
    ) -> Result<Arc<CompiledPolicy>, Why> {
        let key = compile::policy_key(world, policy, env);
        if let Some(known) = self.compiled.policies.get(&key) {
            return Ok(known);
        }
        let left = self.left()?;
        let (schema, policy, env) = (world.shared_schema(), policy.clone(), env.clone());
        let make = move || CompiledPolicy::compile(&policy, &env, &schema).map_err(|e| why(&e));
        let made = self.patience.within(left, make)??;
        Ok(self.compiled.policies.keep(key, made))
    }

    /// One query, answered by a process of its own.
    fn ask<T: Send + 'static>(
        &mut self,
        query: impl AsyncFnOnce(&mut CedarSymCompiler<Query>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Why> {
        let left = self.left()?;
        self.queries += 1;
        let speaks = Query::new(&self.program, self.bounds.memory_bytes_max, left);
        let asked = self.patience.within(left + GRACE, move || {
            let compiler = CedarSymCompiler::new(speaks).map_err(|e| Why::Failed(e.to_string()))?;
            let mut compiler = compiler.with_reset_mode(ResetMode::Comment);
            let runtime = process::runtime().map_err(Why::Failed)?;
            // The future goes at the time-out, and the process with it.
            Ok(runtime.block_on(async { tokio::time::timeout(left, query(&mut compiler)).await }))
        })?;
        match asked? {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(why(&e)),
            Err(_) if left < self.bounds.query_max => Err(Why::Budget(self.bounds.budget)),
            Err(_) => Err(Why::Time(left)),
        }
    }
}

/// What the solver's request comes to when Cedar is asked about it.
fn difference(
    world: &World<'_>,
    claim: Claim,
    first: &PolicySet,
    second: &PolicySet,
    (request, entities): (Request, Entities),
) -> Result<Difference, Why> {
    let refuted = |request: &Request, entities: &Entities| {
        let both = (found::decide(first, request, entities)?, found::decide(second, request, entities)?);
        claim.refuted(&both.0, &both.1).then_some(both)
    };
    let found::Seen { request, entities, situation, outcome: (first, second) } =
        found::believe(world, request, entities, refuted)?;
    Ok(Difference { request, entities, situation, first, second })
}

fn why(e: &Error) -> Why {
    match e {
        Error::SolverUnknown => Why::Undecided,
        Error::SolverError(e) => Why::Failed(plain(e)),
        Error::DecodeModel(e) => Why::Failed(format!("its model cannot be read: {}", plain(e))),
        Error::ConcretizeError(e) => Why::Failed(format!("its model is of no request: {}", plain(e))),
        Error::ModelInvalid { .. } => Why::NotReplayed("its model breaks what it was asked".to_owned()),
        Error::IncompleteSchema(_)
        | Error::ActionNotInSchema(_)
        | Error::CompileError(_)
        | Error::EncodeError(_)
        | Error::PolicyNotWellTyped { .. }
        | Error::NoPolicies => Why::Unsupported(plain(e)),
    }
}

/// One line of an error: what a solver says may be long, and is not ours.
fn plain(e: &impl ToString) -> String {
    e.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
