//! The solver: what it says is so, and nothing that a bad one says is believed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "a clock for the budget, and an end to waiting")]

mod fakes;
mod guarantees;
mod situations;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cedar_policy::{Policy, PolicyId, PolicySet};
use doorward_policy::{Decision, Workshop};
use doorward_workbench::solver::{Answer, Bounds, Clock, Program, Solver, Why, World};

/// The policies that come with Doorward.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// The shipped policies, read once; their cases are another test's.
pub(crate) fn workshop() -> &'static Workshop {
    static SHIPPED: OnceLock<Workshop> = OnceLock::new();
    SHIPPED.get_or_init(|| Workshop::untried(&shipped(), None).unwrap_or_else(|e| panic!("{}", e.plain())))
}

pub(crate) fn clock() -> Clock {
    let begun = Instant::now();
    Box::new(move || begun.elapsed())
}

/// Generous: another build may run beside, and the machine may stand still for a while.
pub(crate) const BOUNDS: Bounds = Bounds {
    query_max: Duration::from_secs(120),
    budget: Duration::from_secs(1200),
    memory_bytes_max: 2 << 30,
};

/// The solver of this machine, which the suite needs.
pub(crate) fn program() -> Program {
    let (named, path) = (std::env::var_os("DOORWARD_CVC5"), std::env::var_os("PATH"));
    Program::find(named.as_deref(), path.as_deref())
        .unwrap_or_else(|e| panic!("{e}; the tests of proofs need it: {}", e.help()))
}

pub(crate) fn solver() -> Solver {
    Solver::start(program(), BOUNDS, clock()).unwrap()
}

pub(crate) fn all(workshop: &Workshop) -> PolicySet {
    PolicySet::from_policies(workshop.policies().iter().map(|p| p.policy().clone())).unwrap()
}

fn policy(id: &str, text: &str) -> Policy {
    Policy::parse(Some(PolicyId::new(id)), text).unwrap()
}

/// The set with the policy of the same name replaced.
fn with(set: &PolicySet, policy: Policy) -> PolicySet {
    let rest = set.policies().filter(|p| p.id() != policy.id()).cloned();
    PolicySet::from_policies(rest.chain([policy.clone()])).unwrap()
}

#[test]
fn a_pattern_with_two_stars_is_no_riddle() {
    let workshop = workshop();
    let (world, mut solver) = (World::of(workshop).unwrap(), solver());
    let said = |bound: &str| {
        policy(
            "guard.session-age",
            &format!(
                "forbid (principal is User, action, resource) \
                 when {{ context.session.age > duration(\"{bound}\") || context.http.path like \"*..*\" }};"
            ),
        )
    };
    let (hours, minutes) = (with(&all(workshop), said("12h")), with(&all(workshop), said("720m")));
    assert!(matches!(solver.equivalent(&world, &hours, &minutes), Answer::Proved));
    let longer = with(&hours, said("721m"));
    assert!(matches!(solver.equivalent(&world, &hours, &longer), Answer::Found(_)));
}

#[test]
fn what_says_the_same_is_equivalent_and_what_does_not_is_told_apart_by_a_request() {
    let workshop = workshop();
    let (world, mut solver) = (World::of(workshop).unwrap(), solver());
    let original = all(workshop);
    let same = policy(
        "guard.session-age",
        "forbid (principal is User, action, resource) unless { context.session.age <= duration(\"720m\") };",
    );
    assert!(matches!(solver.equivalent(&world, &original, &with(&original, same)), Answer::Proved));
    // One second of difference, and only at the border.
    let strict = policy(
        "guard.session-age",
        "forbid (principal is User, action, resource) when { context.session.age >= duration(\"12h\") };",
    );
    let mutant = with(&original, strict);
    let Answer::Found(found) = solver.equivalent(&world, &original, &mutant) else {
        panic!("the border was not found");
    };
    assert_eq!((found.first.decision, found.second.decision), (Decision::Allow, Decision::Deny));
    assert_eq!(found.second.by, ["guard.session-age"]);
    let situation = found.situation.expect("the schema is Doorward's");
    assert!(workshop.bundle().decide(&situation.question()).is_allow(), "{situation:?}");
    let changed = workshop.with(mutant.policies().cloned().collect());
    assert!(!changed.decide(&situation.question()).is_allow(), "{situation:?}");
    let age = situation.now.since(situation.session.authenticated_at.unwrap());
    assert_eq!(age, Duration::from_secs(12 * 3600));
}

/// With a policy that is overruled everywhere, the policies differ and what they allow does not.
#[test]
fn a_permit_that_is_always_overruled_changes_nothing() {
    let workshop = workshop();
    let (world, mut solver) = (World::of(workshop).unwrap(), solver());
    let original = all(workshop);
    let more = policy(
        "more",
        "permit (principal is Visitor, action, resource) when { resource.tier == Tier::\"internal\" };",
    );
    assert!(matches!(solver.equivalent(&world, &original, &with(&original, more)), Answer::Proved));
}

#[test]
fn no_time_is_no_proof() {
    let workshop = workshop();
    let world = World::of(workshop).unwrap();
    let mut solver = solver().renewed(Duration::ZERO);
    let line = policy("l", "forbid (principal is User, action, resource);");
    let answer = solver.never_allows(&world, &all(workshop), &line);
    assert!(matches!(answer, Answer::Unknown(Why::Budget(_))), "{answer:?}");
}

/// A policy that multiplies a score overflows for no score that there is; one that adds to the time of the
/// document does for some.
#[test]
fn a_policy_that_can_fail_is_found() {
    let workshop = workshop();
    let (world, mut solver) = (World::of(workshop).unwrap(), solver());
    for source in workshop.policies() {
        let answer = solver.never_errors(&world, source.policy());
        assert!(matches!(answer, Answer::Proved), "{}: {answer:?}", source.id());
    }
    let fails = policy(
        "f",
        "permit (principal, action, resource) when { context.risk.score * 9223372036854775807 > 5 };",
    );
    let Answer::Found(found) = solver.never_errors(&world, &fails) else {
        panic!("an overflow was not found")
    };
    assert!(found.by.join(" ").contains("overflow"), "{:?}", found.by);
}

/// Of more policies than one proof takes well, each app is asked about for itself, with the same answers.
#[test]
fn one_app_at_a_time_proves_and_finds_the_same() {
    let workshop = workshop();
    let (world, mut solver) = (World::of(workshop).unwrap(), solver());
    let permit = |n: usize, what: &str, more: &str| {
        let text = format!(
            "permit (principal is User, action, resource in App::\"app{n}\") when {{ {what} }} {more};"
        );
        policy(&format!("p{n}.{}", more.len()), &text)
    };
    let role = |n: usize| format!("principal in Role::\"r{n}\" && resource.tier == Tier::\"internal\"");
    // As few as it takes: each app is a question of its own.
    let few = 61 - workshop.policies().len().min(53);
    let many: Vec<Policy> = (0..few).map(|n| permit(n, &role(n), "")).collect();
    let set = PolicySet::from_policies(all(workshop).policies().cloned().chain(many)).unwrap();
    assert!(set.num_of_policies() > 60);
    let line = policy(
        "l",
        "forbid (principal is User, action, resource) when { resource in App::\"app7\" && resource.tier == Tier::\"restricted\" } unless { resource in AppGroup::\"engineering\" };",
    );
    assert!(matches!(solver.never_allows(&world, &set, &line), Answer::Proved));
    let hole = permit(7, "principal in Role::\"r7\"", "unless { resource.public }");
    let Answer::Found(found) = solver.never_allows(&world, &with(&set, hole.clone()), &line) else {
        panic!("the hole was not found")
    };
    assert!(found.by.contains(&hole.id().to_string()), "{:?}", found.by);
    assert_eq!(found.situation.unwrap().route.id.app().as_str(), "app7");
}
