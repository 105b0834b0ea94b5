//! The whole protocol, with everything that can go wrong: no world breaks the promise.

use std::collections::BTreeSet;

use crate::acts::Act;
use crate::explore::{Exploration, explore};
use crate::promise::Sights;
use crate::protocol::{Bounds, Case, GoOn, Part, Protocol};

/// More than any of the explorations needs, and what still fits a minute.
const STATES_MAX: usize = 2_000_000;

/// Explores within these bounds; must find at least so many states, and exactly these acts beside those that always happen.
fn holds(name: &str, protocol: Protocol, bounds: Bounds, states_min: usize, also: &[&[Act]]) -> Sights {
    let case = Case { protocol, bounds };
    let Exploration { states, depth, taken, sights, violation } = explore(&case, STATES_MAX);
    println!("{name}: {states} states, the farthest after {depth} steps, {sights:?}");
    if let Some(trace) = violation {
        panic!("{name}: {trace}");
    }
    assert!(states >= states_min, "{name}: {states} states, {states_min} expected at least");
    let happened: BTreeSet<Act> = Act::ALL.into_iter().filter(|act| taken[*act as usize] > 0).collect();
    let expected: BTreeSet<Act> = ALWAYS.iter().chain(also.iter().copied().flatten()).copied().collect();
    assert_eq!(happened, expected, "{name}: other acts than expected");
    sights
}

const ALWAYS: [Act; 11] = [
    Act::Tick,
    Act::SwitchOff,
    Act::Take,
    Act::Publish,
    Act::Connect,
    Act::RestartGateway,
    Act::SendPoll,
    Act::Answer,
    Act::Reply,
    Act::Load,
    Act::Push,
];
const SIGN_OUT: &[Act] = &[Act::SignOut];
const BACK: &[Act] = &[Act::SignOut, Act::SwitchOn];
const LATE_PUBLISHER: &[Act] = &[Act::Straggle, Act::StragglerWrites];
const NEIGHBOR: &[Act] = &[Act::Neighbor];
const COMPACTION: &[Act] = &[Act::Compact, Act::CompactorTakesHead, Act::CompactorReads, Act::CompactorCuts];
const RECONCILED: &[Act] = &[Act::Reconcile, Act::Read, Act::Confirm, Act::Bless];
const GONE_ON: &[Act] = &[Act::GoOn];
const RESTART: &[Act] = &[Act::RestartNode];
const FAILOVER: &[Act] = &[Act::Replicate, Act::FailOver];

#[test]
fn holds_while_redis_is_up() {
    let bounds = Bounds { lease_ticks: 2, changes: 3, stragglers: 1, ..Bounds::CALM };
    let sights = holds("redis is up", Protocol::WHOLE, bounds, 190_000, &[BACK, LATE_PUBLISHER]);
    let expected = Sights { back_at_once: true, within_the_bound: true, stale: true, ..Sights::default() };
    assert_eq!(sights, expected);
}

#[test]
fn holds_when_the_log_is_cut_by_hand() {
    let bounds = Bounds { changes: 2, neighbors: 1, trims: 1, ..Bounds::CALM };
    let also = [BACK, NEIGHBOR, &[Act::Cut], RECONCILED];
    let sights = holds("the log is cut", Protocol::WHOLE, bounds, 140_000, &also);
    assert!(sights.back_at_once && sights.within_the_bound && sights.stale);
}

#[test]
fn holds_while_the_log_is_compacted_and_read_page_by_page() {
    let one = Bounds { changes: 1, sign_outs: false, ..Bounds::CALM };
    let bounds = Bounds { page_entries: 1, neighbors: 2, compactions: 2, ..one };
    let sights = holds("compaction", Protocol::WHOLE, bounds, 300_000, &[NEIGHBOR, COMPACTION]);
    assert!(sights.within_the_bound && sights.stale);
    let bounds = Bounds { neighbors: 1, compactions: 1, node_restarts: 1, ..one };
    let also = [NEIGHBOR, COMPACTION, RESTART, RECONCILED, GONE_ON];
    let sights = holds("compaction, restart", Protocol::WHOLE, bounds, 140_000, &also);
    assert!(sights.acknowledged_and_lost);
    let bounds = Bounds { compactions: 1, failovers: 1, ..one };
    let also = [COMPACTION, FAILOVER, RECONCILED, GONE_ON];
    let sights = holds("compaction, failover", Protocol::WHOLE, bounds, 140_000, &also);
    assert!(sights.acknowledged_and_lost && sights.two_primaries);
}

#[test]
fn holds_when_redis_restarts_and_forgets() {
    let bounds = Bounds { changes: 2, node_restarts: 1, lost_reconcilers: 1, ..Bounds::CALM };
    let also = [BACK, RESTART, RECONCILED, GONE_ON];
    let sights = holds("redis restarts", Protocol::WHOLE, bounds, 180_000, &also);
    assert!(sights.acknowledged_and_lost && sights.back_at_once && !sights.two_primaries);
    let bounds = Bounds { changes: 1, sign_outs: false, node_restarts: 2, ..bounds };
    let also = [RESTART, RECONCILED, GONE_ON];
    holds("redis restarts twice", Protocol::WHOLE, bounds, 100_000, &also);
    let bounds = Bounds { flushes: 1, node_restarts: 1, ..bounds };
    let also = [RESTART, &[Act::Flush], RECONCILED, GONE_ON];
    holds("redis is emptied", Protocol::WHOLE, bounds, 110_000, &also);
}

#[test]
fn holds_in_a_failover_that_loses_writes() {
    let bounds = Bounds { changes: 2, failovers: 1, ..Bounds::CALM };
    let also = [BACK, FAILOVER, RECONCILED, GONE_ON];
    let sights = holds("failover", Protocol::WHOLE, bounds, 320_000, &also);
    assert!(sights.acknowledged_and_lost && sights.back_at_once && sights.two_primaries);
}

#[test]
fn holds_when_a_deposed_primary_sleeps_and_wakes() {
    let bounds = Bounds { lag_ticks: 2, changes: 1, failovers: 1, sleeps: 1, ..Bounds::CALM };
    let also = [SIGN_OUT, FAILOVER, &[Act::Sleep, Act::Wake], RECONCILED, GONE_ON];
    let sights = holds("sleep", Protocol::WHOLE, bounds, 100_000, &also);
    assert!(sights.acknowledged_and_lost && sights.two_primaries);
}

#[test]
fn holds_when_a_deposed_primary_comes_back() {
    let one = Bounds { changes: 1, sign_outs: false, failovers: 2, ..Bounds::CALM };
    let rejoin: &[Act] = &[Act::Rejoin];
    let also = [FAILOVER, rejoin, RECONCILED, GONE_ON];
    let sights = holds("there and back", Protocol::WHOLE, one, 260_000, &also);
    assert!(sights.acknowledged_and_lost && sights.two_primaries);
    let late = Bounds { lost_reconcilers: 1, ..one };
    let also = [FAILOVER, rejoin, &[Act::BlessLate], RECONCILED];
    holds("there and back, late", Protocol::WHOLE.with(GoOn::Never), late, 500_000, &also);
}

#[test]
fn holds_when_control_nodes_do_not_agree_on_the_primary() {
    let one = Bounds { changes: 1, sign_outs: false, failovers: 1, misled_reconcilers: 1, ..Bounds::CALM };
    let announced: &[Act] = &[Act::Announce];
    let also = [FAILOVER, announced, RECONCILED, GONE_ON];
    let sights = holds("two views", Protocol::WHOLE, one, 400_000, &also);
    assert!(sights.acknowledged_and_lost && sights.two_primaries);
    let late = Bounds { lost_reconcilers: 1, ..one };
    let also = [FAILOVER, announced, &[Act::BlessLate], RECONCILED];
    holds("two views, late", Protocol::WHOLE.with(GoOn::Never), late, 1_000_000, &also);
}

#[test]
fn holds_when_all_of_it_comes_together() {
    let bounds = Bounds { changes: 1, node_restarts: 1, failovers: 1, ..Bounds::CALM };
    let also = [SIGN_OUT, RESTART, FAILOVER, RECONCILED, GONE_ON];
    let sights = holds("all together", Protocol::WHOLE, bounds, 600_000, &also);
    assert!(sights.acknowledged_and_lost && sights.two_primaries);
}

#[test]
fn strict_requests_are_never_behind() {
    let one = Bounds { strict: true, changes: 1, ..Bounds::CALM };
    let restart = Bounds { neighbors: 1, node_restarts: 1, ..one };
    let also = [SIGN_OUT, NEIGHBOR, RESTART, RECONCILED, GONE_ON];
    let sights = holds("strict, restart", Protocol::WHOLE, restart, 16_000, &also);
    assert!(sights.strictly);
    let failover = Bounds { lease_ticks: 2, failovers: 1, ..one };
    let also = [SIGN_OUT, FAILOVER, RECONCILED, GONE_ON];
    let sights = holds("strict, failover", Protocol::WHOLE, failover, 50_000, &also);
    assert!(sights.strictly && sights.two_primaries);
}

/// Other ways to bless a server that has a log, which hold as well.
#[test]
fn holds_however_a_log_goes_on() {
    let restart = Bounds { changes: 2, node_restarts: 1, lost_reconcilers: 1, ..Bounds::CALM };
    let failover = Bounds { changes: 1, failovers: 1, neighbors: 1, ..Bounds::CALM };
    let never = Protocol::WHOLE.with(GoOn::Never);
    holds("never, restart", never, restart, 90_000, &[BACK, RESTART, RECONCILED]);
    holds("never, failover", never, failover, 80_000, &[SIGN_OUT, NEIGHBOR, FAILOVER, RECONCILED]);
    let by_mark = Protocol::WHOLE.with(GoOn::ByMark);
    let noted: &[&[Act]] = &[&[Act::Note], RECONCILED, GONE_ON];
    holds("by mark, restart", by_mark, restart, 240_000, &[noted, &[BACK, RESTART]].concat());
    holds(
        "by mark, failover",
        by_mark,
        failover,
        160_000,
        &[noted, &[SIGN_OUT, NEIGHBOR, FAILOVER]].concat(),
    );
    // A part that only such a blessing needs.
    let spare = never.without(Part::PublishOnlyBlessed);
    holds("never, published anywhere", spare, restart, 110_000, &[BACK, RESTART, RECONCILED]);
}
