//! Questions about all requests at once: an SMT solver answers them, never on the way of a request.
//!
//! ```text
//!  policies ──► slice ──► compile for each kind of request ──► cvc5 ──► unsat   Proved
//!  guarantees   (an app)  (symcc, remembered)                  (child)  sat     a claim: tried on Cedar and
//!                                                                               on the gateway's own words,
//!                                                                               and only then Found
//!                                                                       else    Unknown, with why
//! ```
//!
//! What holds:
//! * [`Answer::Proved`] is said only when the solver answered `unsat` for every kind of request that can
//!   matter. Whatever else happens (it hangs, dies, babbles, runs out of time or memory) is
//!   [`Answer::Unknown`].
//! * [`Answer::Found`] is said only when Cedar's own authorizer decides on the request that was found as the
//!   solver claims and, for Doorward's schema, when the gateway can make that request.
//! * A solver is not believed before it has answered what everybody knows ([`Solver::start`]).
//!
//! A proof says nothing of a policy that cannot be evaluated (which refuses the request; see
//! [`Solver::never_errors`]), and nothing of the rule that an agent may never more than its person: the
//! second question of `decide.rs` only ever takes away.

mod answer;
mod canary;
mod compile;
mod found;
mod process;
mod slice;
mod world;

use std::time::Duration;

use cedar_policy::{Entities, Policy, PolicySet, Request, RequestEnv};
use cedar_policy_symcc::err::Error;
use cedar_policy_symcc::{CedarSymCompiler, ResetMode};
use doorward_policy::{Decision, on_policy_stack};

pub use self::answer::{Answer, Bounds, Decided, Difference, Example, Why};
use self::compile::{Compiled, as_permit, joined, set_of};
use self::process::Query;
pub use self::process::{NoSolver, Program};
use self::slice::Slice;
pub use self::world::{World, guarantees};

/// How much time has passed since some beginning; it never goes back.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

/// A solver that can be asked.
pub struct Solver {
    program: Program,
    bounds: Bounds,
    clock: Clock,
    /// When the budget began.
    begun: Duration,
    compiled: Compiled,
    queries: u64,
}

/// What is claimed of two sets of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Nothing is allowed by both.
    Disjoint,
    /// What the first allows the second allows.
    Implies,
    /// They allow the same.
    Equivalent,
}

impl Claim {
    /// Whether a request on which the sets decide so refutes it.
    fn refuted(self, first: &Decided, second: &Decided) -> bool {
        let allows = |d: &Decided| d.decision == Decision::Allow;
        match self {
            Self::Disjoint => allows(first) && allows(second),
            Self::Implies => allows(first) && !allows(second),
            Self::Equivalent => allows(first) != allows(second),
        }
    }
}

impl Solver {
    /// Takes a program into use. It must first answer a few questions whose answers are known, a wrong one
    /// among them. The budget begins now.
    ///
    /// # Errors
    /// It answered one wrongly.
    pub fn start(program: Program, bounds: Bounds, clock: Clock) -> Result<Self, NoSolver> {
        let path = program.path().to_owned();
        let mut solver =
            Self { program, bounds, begun: clock(), clock, compiled: Compiled::default(), queries: 0 };
        match canary::sing(&mut solver) {
            Ok(()) => Ok(solver.renewed(bounds.budget)),
            Err(why) => Err(NoSolver::Untrue { path, why }),
        }
    }

    /// The same solver with a new budget, which begins now.
    #[must_use]
    pub fn renewed(mut self, budget: Duration) -> Self {
        self.bounds.budget = budget;
        self.begun = (self.clock)();
        self
    }

    /// The same solver with other bounds; the budget begins now.
    #[must_use]
    pub fn bounded(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self.begun = (self.clock)();
        self
    }

    /// Which program it is.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// How many times the solver was asked.
    #[must_use]
    pub const fn queries(&self) -> u64 {
        self.queries
    }

    /// How much time of its clock has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        (self.clock)().saturating_sub(self.begun)
    }

    /// Whether `set` never allows what `pattern` matches, whatever the effect of `pattern`.
    pub fn never_allows(&mut self, world: &World<'_>, set: &PolicySet, pattern: &Policy) -> Answer<Example> {
        let answer = self.on_its_stack(|solver| {
            let pattern = as_permit(pattern)?;
            let one = set_of([pattern.clone()])?;
            solver.compare(world, Claim::Disjoint, &one, set, |env| world.touches(&pattern, env))
        });
        match answer {
            Answer::Proved => Answer::Proved,
            Answer::Found(Difference { request, entities, situation, second, .. }) => {
                Answer::Found(Example { request, entities, situation, by: second.by })
            }
            Answer::Unknown(why) => Answer::Unknown(why),
        }
    }

    /// Whether `set` always allows what `pattern` matches. What is found is decided by `pattern` alone in
    /// [`Difference::first`], and by `set` in [`Difference::second`].
    pub fn always_allows(
        &mut self,
        world: &World<'_>,
        set: &PolicySet,
        pattern: &Policy,
    ) -> Answer<Difference> {
        self.on_its_stack(|solver| {
            let pattern = as_permit(pattern)?;
            let one = set_of([pattern.clone()])?;
            solver.compare(world, Claim::Implies, &one, set, |env| world.touches(&pattern, env))
        })
    }

    /// Whether everything that `first` allows `second` allows.
    pub fn implies(
        &mut self,
        world: &World<'_>,
        first: &PolicySet,
        second: &PolicySet,
    ) -> Answer<Difference> {
        self.on_its_stack(|solver| solver.compare_changed(world, Claim::Implies, first, second))
    }

    /// Whether both allow the same. Only kinds of request are asked about that a policy concerns which is
    /// not the same in both; the reasons of a decision may differ.
    pub fn equivalent(
        &mut self,
        world: &World<'_>,
        original: &PolicySet,
        mutant: &PolicySet,
    ) -> Answer<Difference> {
        self.on_its_stack(|solver| solver.compare_changed(world, Claim::Equivalent, original, mutant))
    }

    /// Whether `first` allows what `pattern` matches only where `second` allows it.
    pub fn implies_where(
        &mut self,
        world: &World<'_>,
        pattern: &Policy,
        first: &PolicySet,
        second: &PolicySet,
    ) -> Answer<Difference> {
        self.on_its_stack(|solver| {
            let only = joined(first.policies().cloned().chain([compile::forbid_unless(pattern)?]))?;
            solver.compare(world, Claim::Implies, &only, second, |env| world.touches(pattern, env))
        })
    }

    /// Whether a policy can be evaluated for every request.
    pub fn never_errors(&mut self, world: &World<'_>, policy: &Policy) -> Answer<Example> {
        self.on_its_stack(|solver| {
            let hypotheses = world.hypotheses([policy], &Slice::Whole).map_err(Why::Unsupported)?;
            let guarded = compile::under(policy, &hypotheses)?;
            let envs = world.environments([&guarded], |env| world.touches(policy, env));
            let mut unknown = None;
            for env in envs.map_err(Why::Unsupported)? {
                match solver.never_errs_in(world, policy, &guarded, &env) {
                    Ok(None) => {}
                    Ok(Some(found)) => return Ok(Answer::Found(found)),
                    Err(why) => unknown = Some(why),
                }
            }
            Ok(unknown.map_or(Answer::Proved, Answer::Unknown))
        })
    }

    /// Runs on the stack that policies are read on: compiling one calls itself once for each of its levels.
    fn on_its_stack<T: Send>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Answer<T>, Why> + Send,
    ) -> Answer<T> {
        match on_policy_stack(|| work(self)) {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => Answer::Unknown(why),
            Err(why) => Answer::Unknown(Why::Failed(why)),
        }
    }

    fn compare_changed(
        &mut self,
        world: &World<'_>,
        claim: Claim,
        first: &PolicySet,
        second: &PolicySet,
    ) -> Result<Answer<Difference>, Why> {
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
    fn compare(
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
        self.left()?;
        let first = self.compiled.set(world.schema(), first, env)?;
        let second = self.compiled.set(world.schema(), second, env)?;
        let found = self.ask(async |compiler| match claim {
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
            self.left()?;
            let one = self.compiled.policy(world.schema(), one, &env)?;
            let other = self.compiled.policy(world.schema(), other, &env)?;
            let alike = self.ask(async |compiler| compiler.check_matches_equivalent_opt(&one, &other).await);
            if alike != Ok(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn never_errs_in(
        &mut self,
        world: &World<'_>,
        policy: &Policy,
        guarded: &Policy,
        env: &RequestEnv,
    ) -> Result<Option<Example>, Why> {
        self.left()?;
        // Most policies cannot fail whatever is asked, which is told much faster.
        let plain = self.compiled.policy(world.schema(), policy, env)?;
        if self.ask(async |compiler| compiler.check_never_errors_opt(&plain).await) == Ok(true) {
            return Ok(None);
        }
        let compiled = self.compiled.policy(world.schema(), guarded, env)?;
        let found =
            self.ask(async |compiler| compiler.check_never_errors_with_counterexample_opt(&compiled).await)?;
        let Some(found) = found else { return Ok(None) };
        let errs = |request: &Request, entities: &Entities| found::errs(policy, request, entities);
        let seen = found::believe(world, found.request, found.entities, errs)?;
        let found::Seen { request, entities, situation, outcome } = seen;
        Ok(Some(Example { request, entities, situation, by: vec![outcome] }))
    }

    /// How much time is left for one query.
    fn left(&self) -> Result<Duration, Why> {
        let left = self.bounds.budget.saturating_sub(self.elapsed());
        if left.is_zero() {
            Err(Why::Budget(self.bounds.budget))
        } else {
            Ok(left.min(self.bounds.query_max))
        }
    }

    /// One query, answered by a process of its own.
    fn ask<T>(
        &mut self,
        query: impl AsyncFnOnce(&mut CedarSymCompiler<Query>) -> Result<T, Error>,
    ) -> Result<T, Why> {
        let left = self.left()?;
        self.queries += 1;
        let speaks = Query::new(&self.program, self.bounds.memory_bytes_max, left);
        let compiler = CedarSymCompiler::new(speaks).map_err(|e| Why::Failed(e.to_string()))?;
        let mut compiler = compiler.with_reset_mode(ResetMode::Comment);
        let runtime = process::runtime().map_err(Why::Failed)?;
        // The future goes at the time-out, and the process with it.
        let asked = runtime.block_on(async { tokio::time::timeout(left, query(&mut compiler)).await });
        match asked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(why(&e)),
            Err(_) if left < self.bounds.query_max => Err(Why::Budget(self.bounds.budget)),
            Err(_) => Err(Why::Time(left)),
        }
    }
}

impl std::fmt::Debug for Solver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Solver");
        out.field("program", &self.program).field("bounds", &self.bounds);
        out.field("queries", &self.queries).finish_non_exhaustive()
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
