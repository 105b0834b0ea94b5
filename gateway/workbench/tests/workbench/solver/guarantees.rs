//! What proofs take for granted is so: of everything that the gateway can say, and nothing is granted twice.

use std::cell::Cell;

use cedar_policy::{Authorizer, PolicySet, Request};
use doorward_model::UnixMillis;
use doorward_policy::{Rounding, Situation, Workshop};
use doorward_workbench::solver::{Answer, World, guarantees};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::situations::situation;
use super::{policy, solver, workshop};

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Everything that the gateway says of a situation; none for what it refuses before it says anything.
fn said(workshop: &Workshop, s: &Situation) -> Option<(Request, cedar_policy::Entities)> {
    workshop.bundle().in_cedar(&s.question()).ok()
}

#[test]
fn no_situation_breaks_a_guarantee() {
    let workshop = workshop();
    // With what is granted because of the names that policies use, and those of the routes that are tried.
    let names = policy(
        "names",
        "permit (principal, action, resource) when {
            [Route::\"payroll/admin\", Route::\"wiki/all\", Route::\"wiki/welcome\", Route::\"a.b_c-d/e\"]
                .contains(resource) || resource in App::\"payroll\" || resource in App::\"build\" };",
    );
    let named = workshop.policies().iter().map(|p| p.policy()).chain([&names]);
    let granted = World::of(workshop).unwrap().granted(named).unwrap();
    for name in ["app-of:wiki/welcome", "one-app:payroll:wiki", "one-visitor"] {
        assert!(granted.iter().any(|p| p.id().to_string().contains(name)), "{name} is not granted");
    }
    let granted = PolicySet::from_policies(granted).unwrap();
    let cedar = Authorizer::new();
    let tried = Cell::new(0);
    runner(4000)
        .run(&situation(), |s| {
            let Some((request, entities)) = said(workshop, &s) else { return Ok(()) };
            tried.set(tried.get() + 1);
            let response = cedar.is_authorized(&request, &granted, &entities);
            let broken: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
            prop_assert!(broken.is_empty(), "{broken:?}");
            let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
            prop_assert!(errors.is_empty(), "{errors:?}");
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(tried.get() > 2000, "only {} situations can be said", tried.get());
}

/// The last time that is granted is the last one that the gateway says. A solver likes to take it.
#[test]
fn what_is_granted_of_the_time_the_gateway_can_say() {
    let workshop = workshop();
    let first = workshop.cases().iter().find_map(|case| case.situation.ok()).unwrap();
    let said_at = |seconds: i64| {
        let now = UnixMillis::from_seconds(seconds);
        said(workshop, &Situation { now, ..first.clone() }).is_some()
    };
    // 0000-01-01T00:00:00Z and 9999-12-30T22:00:00Z.
    let (begin, end) = (-62_167_219_200, 253_402_207_200);
    assert_eq!([begin - 1, begin, end, end + 1].map(said_at), [false, true, true, false]);
    let granted = World::of(workshop).unwrap().granted([]).unwrap();
    let year =
        granted.iter().find(|p| p.id().to_string().contains("a-year-of-four-digits")).unwrap().to_string();
    assert!(year.contains("9999-12-30T22:00:00Z") && year.contains("0000-01-01"), "{year}");
}

/// One that forbids nothing says nothing, and would hide that what it was written for is not granted.
#[test]
fn each_guarantee_rules_something_out() {
    let workshop = workshop();
    let plain = World::plain(workshop.schema().clone()).unwrap();
    let everything =
        PolicySet::from_policies([policy("all", "permit (principal, action, resource);")]).unwrap();
    let mut solver = solver();
    for guarantee in guarantees().unwrap() {
        let answer = solver.never_allows(&plain, &everything, &guarantee);
        assert!(matches!(answer, Answer::Found(_)), "{}: {answer:?}", guarantee.id());
    }
}

/// Together they leave somebody of each kind who can ask: from what contradicts itself everything follows.
#[test]
fn the_guarantees_do_not_contradict_each_other() {
    let workshop = workshop();
    let world = World::of(workshop).unwrap();
    let everything =
        PolicySet::from_policies([policy("all", "permit (principal, action, resource);")]).unwrap();
    let mut solver = solver();
    for kind in ["User", "ServiceAccount", "Agent", "Visitor"] {
        for action in ["GET", "POST", "UPGRADE"] {
            let somebody = policy(
                "p",
                &format!("permit (principal is {kind}, action == Action::\"{action}\", resource);"),
            );
            let answer = solver.never_allows(&world, &everything, &somebody);
            assert!(matches!(answer, Answer::Found(_)), "{kind} {action}: {answer:?}");
        }
    }
}

#[test]
fn a_situation_that_is_said_and_read_says_the_same() {
    let workshop = workshop();
    let tried = Cell::new(0);
    runner(600)
        .run(&situation(), |s| {
            let Some((request, entities)) = said(workshop, &s) else { return Ok(()) };
            tried.set(tried.get() + 1);
            // The gateway says whole seconds, so that each way to round is the same: one after the other.
            let rounding = Rounding::all().nth(tried.get() % Rounding::all().count()).unwrap();
            let read = Situation::read(&request, &entities, rounding).map_err(TestCaseError::fail)?;
            let (again, same) = said(workshop, &read).ok_or_else(|| TestCaseError::fail("not said"))?;
            prop_assert_eq!(request.to_string(), again.to_string());
            prop_assert!(entities == same, "{entities:?} {same:?}");
            prop_assert_eq!(&read.action, &s.action);
            prop_assert_eq!(&read.route.id, &s.route.id);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(tried.get() > 300, "only {} situations can be said", tried.get());
}
