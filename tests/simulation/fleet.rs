//! A fleet in simulated milliseconds: several gateways and persons, and more faults and changes than the model can
//! exhaust; one random way through them per seed, and the same way for the same seed.
//!
//! Unlike the model it has clocks: entries get ids from the clock of their Redis process, which is off and steps;
//! leases run on the clocks of gateways, each of which is off and runs a little fast or slow. The directory, two
//! publishers and a reconciler share the time of the simulation; nothing is compared between clocks. In the end all
//! is calm, and everybody must be right again: a model that looks only for wrong permits does not notice a fleet
//! that is stuck.
//!
//! A run that breaks tells its last events; the same seed tells the same.

mod redis;

mod gateway;

mod run;

use crate::protocol::{Part, Protocol};
use run::{Broken, Run};

/// N and L of the product, and what a clock of a gateway may gain on it.
const LEASE_MILLIS: u64 = 1000;
const LAG_MILLIS: u64 = 2000;
const DRIFT_MILLIS: u64 = 1;

/// Seeds by which the whole protocol is tried.
const SEEDS: u64 = 10_000;
/// Seeds within which the lack of a part must show as a breach.
const SEEDS_TO_BREAK: u64 = 3000;

#[test]
fn no_seed_breaks_the_promise() {
    let mut sum = run::Tally::default();
    for seed in 0..SEEDS {
        match Run::new(seed, Protocol::WHOLE).finish() {
            Ok(tally) => sum.add(&tally),
            Err(_) => panic!("seed {seed}:\n  {}", Run::new(seed, Protocol::WHOLE).story()),
        }
    }
    println!("{SEEDS} seeds: {sum:?}");
    assert!(sum.acknowledged > 5 * SEEDS && sum.leases > 100 * SEEDS && sum.pushes > 5 * SEEDS);
    assert!(sum.failovers > SEEDS / 4 && sum.node_restarts > SEEDS / 4 && sum.gateway_restarts > SEEDS / 4);
    assert!(sum.lost_acknowledged > SEEDS / 20, "no acknowledged change was ever lost by redis");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..5 {
        let [once, twice] = [(); 2].map(|()| Run::new(seed, Protocol::WHOLE).finish());
        assert_eq!(once, twice);
    }
}

#[test]
fn without_a_part_some_seed_breaks_it() {
    let parts = [
        Part::Lease,
        Part::LeaseFromSend,
        Part::AcknowledgeAfterPublish,
        Part::WritablePoll,
        Part::Blessing,
        Part::Fence,
        Part::Predecessors,
        Part::VersionedFlag,
    ];
    let mut unseen = Vec::new();
    for part in parts {
        let protocol = Protocol::WHOLE.without(part);
        let broken = (0..SEEDS_TO_BREAK).find_map(|seed| match Run::new(seed, protocol).finish() {
            Err(Broken::Promise(_, how)) => Some((seed, how)),
            Err(Broken::Stuck(_)) | Ok(_) => None,
        });
        match broken {
            Some((seed, how)) => println!("without {part:?}, seed {seed}: {how}"),
            None => unseen.push(part),
        }
    }
    assert!(unseen.is_empty(), "{SEEDS_TO_BREAK} seeds do not miss {unseen:?}");
}
