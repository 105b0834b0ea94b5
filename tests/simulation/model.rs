//! The whole protocol, with everything that can go wrong: no world breaks the promise.

use std::collections::BTreeSet;

use crate::explore::{Exploration, explore};
use crate::promise::Sights;
use crate::protocol::{Bounds, Case, Protocol};
use crate::steps::Act;

/// More than any of the explorations needs, and what still fits a minute.
const STATES_MAX: usize = 2_000_000;

/// Explores within these bounds; must find at least so many states, and each act except those named.
fn holds(name: &str, bounds: Bounds, states_min: usize, never: &[Act]) -> Sights {
    let case = Case { protocol: Protocol::WHOLE, bounds };
    let Exploration { states, depth, taken, sights, violation } = explore(&case, STATES_MAX);
    println!("{name}: {states} states, the farthest after {depth} steps, {sights:?}");
    if let Some(trace) = violation {
        panic!("{name}: {trace}");
    }
    assert!(states >= states_min, "{name}: {states} states, {states_min} expected at least");
    let idle: BTreeSet<Act> = Act::ALL.into_iter().filter(|act| taken[*act as usize] == 0).collect();
    assert_eq!(idle, never.iter().copied().collect(), "{name}: these never happened");
    sights
}

const ONLY_FAILOVER: [Act; 2] = [Act::Replicate, Act::FailOver];
const ONLY_RESTART: [Act; 4] = [Act::RestartNode, Act::Reconcile, Act::Bless, Act::BlessLate];

#[test]
fn holds_while_redis_is_up() {
    let bounds = Bounds { lease_ticks: 2, changes: 3, stragglers: 1, ..Bounds::CALM };
    let never = [ONLY_FAILOVER.as_slice(), &ONLY_RESTART, &[Act::Neighbor, Act::Trim]].concat();
    let sights = holds("redis is up", bounds, 190_000, &never);
    let expected = Sights { back_at_once: true, within_the_bound: true, stale: true, ..Sights::default() };
    assert_eq!(sights, expected);
}

#[test]
fn holds_when_the_log_is_cut() {
    let bounds = Bounds { changes: 2, neighbors: 1, trims: 1, ..Bounds::CALM };
    let never = [ONLY_FAILOVER.as_slice(), &ONLY_RESTART, &[Act::Straggle, Act::StragglerWrites]].concat();
    let sights = holds("the log is cut", bounds, 20_000, &never);
    assert!(sights.back_at_once && sights.within_the_bound && sights.stale);
}

#[test]
fn holds_when_redis_restarts_and_forgets() {
    let bounds = Bounds { changes: 2, node_restarts: 1, lost_reconcilers: 1, ..Bounds::CALM };
    let never =
        [ONLY_FAILOVER.as_slice(), &[Act::Straggle, Act::StragglerWrites, Act::Neighbor, Act::Trim]].concat();
    let sights = holds("redis restarts", bounds, 150_000, &never);
    assert!(sights.acknowledged_and_lost && sights.back_at_once && !sights.two_primaries);
}

#[test]
fn holds_in_a_failover_that_loses_writes() {
    let bounds = Bounds { changes: 2, failovers: 1, neighbors: 1, ..Bounds::CALM };
    let never = [Act::Straggle, Act::StragglerWrites, Act::RestartNode, Act::Trim, Act::BlessLate];
    let sights = holds("failover", bounds, 1_100_000, &never);
    assert!(sights.acknowledged_and_lost && sights.back_at_once && sights.two_primaries);
}

#[test]
fn holds_when_all_of_it_comes_together() {
    let bounds = Bounds { changes: 1, node_restarts: 1, failovers: 1, ..Bounds::CALM };
    let never =
        [Act::SwitchOn, Act::Straggle, Act::StragglerWrites, Act::Neighbor, Act::Trim, Act::BlessLate];
    let sights = holds("all together", bounds, 270_000, &never);
    assert!(sights.acknowledged_and_lost && sights.two_primaries);
}
