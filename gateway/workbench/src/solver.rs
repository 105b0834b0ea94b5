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
//! * Nothing takes longer than it may: what nobody can interrupt is left behind ([`patience`]).
//!
//! To the solver a policy that cannot be evaluated is one that does not apply, and the gateway refuses then
//! (see [`Solver::never_errors`]). Of an agent the gateway asks about its person as well, which no question
//! here does. Both only take away: what is never allowed here never is. But who shows by this that something
//! *is* allowed (always, or where something else is) has to look at both; `prove` does.

mod answer;
mod ask;
mod canary;
mod compile;
pub(crate) mod found;
mod heard;
mod patience;
mod process;
mod slice;
mod world;

use std::time::Duration;

use cedar_policy::{Policy, PolicySet};
use doorward_policy::{Decision, on_policy_stack};

pub use self::answer::{Answer, Bounds, Decided, Difference, Example, Why};
pub(crate) use self::compile::differing;
use self::compile::{Compiled, as_permit, joined, set_of};
use self::patience::Patience;
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
    patience: Patience,
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
    /// among them; what that takes is not counted. The budget begins when it has.
    ///
    /// # Errors
    /// It answered one wrongly, or too late.
    pub fn start(program: Program, bounds: Bounds, clock: Clock) -> Result<Self, NoSolver> {
        let path = program.path().to_owned();
        let (compiled, patience) = (Compiled::default(), Patience::default());
        let begun = clock();
        let mut solver = Self { program, bounds: canary::TIME, begun, clock, compiled, patience, queries: 0 };
        canary::sing(&mut solver, &path)?;
        Ok(solver.bounded(bounds))
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
            solver.left()?;
            let hypotheses = world.hypotheses([policy], &Slice::Whole).map_err(Why::Unsupported)?;
            let guarded = compile::under(policy, &hypotheses)?;
            let envs = world.environments([&guarded], |env| world.touches(policy, env));
            let mut unknown = None;
            for env in envs.map_err(Why::Unsupported)? {
                match solver.never_errs_in(world, policy, &guarded, &env) {
                    Ok(None) => {}
                    Ok(Some(found)) => return Ok(Answer::Found(found)),
                    Err(why @ Why::Budget(_)) => return Err(unknown.unwrap_or(why)),
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
}

impl std::fmt::Debug for Solver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Solver");
        out.field("program", &self.program).field("bounds", &self.bounds);
        out.field("queries", &self.queries).finish_non_exhaustive()
    }
}
