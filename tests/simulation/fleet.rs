//! A fleet in simulated milliseconds: several gateways and persons, two control nodes, three servers with a Sentinel
//! each, and more faults and changes than the model can exhaust; one random way through them per seed, and the same
//! way for the same seed.
//!
//! Unlike the model it has clocks: entries get ids from the clock of their Redis process, which is off and steps;
//! leases run on the clocks of gateways, each of which is off and runs a little fast or slow. It has networks that
//! split, electors that hear of a new primary late, and replicas that are counted by the age of what they said last.
//! The directory and the control nodes share the time of the simulation; nothing is compared between clocks. In the
//! end all is calm, and everybody must be right again: a model that looks only for wrong permits does not notice a
//! fleet that is stuck.
//!
//! A run that breaks tells its last events; the same seed tells the same.

mod store;

mod server;

mod gateway;

mod control;

mod run;

use crate::protocol::{Part, Protocol};
use run::{Broken, Run};

/// N and L of the product, and what a clock of a gateway may gain on it.
const LEASE_MILLIS: u64 = 1000;
const LAG_MILLIS: u64 = 2000;
const DRIFT_MILLIS: u64 = 1;
/// How long an acknowledgement of a replica is under way at most.
const ACK_MILLIS: u64 = 5;

const GATEWAYS: usize = 4;
const PERSONS: usize = 3;
const SERVERS: usize = 3;
const CONTROLS: usize = 2;
/// `replicas_min`: with one of two on its side, no other primary can have one.
const REPLICAS_MIN: usize = 1;

/// Seeds by which the whole protocol is tried.
const SEEDS: u64 = 10_000;
/// Seeds within which the lack of a part must show as a breach. Parts that matter only when things come together
/// within milliseconds are left to the model.
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
    for (what, count, at_least) in [
        ("acknowledged", sum.acknowledged, 5 * SEEDS),
        ("leases", sum.leases, 100 * SEEDS),
        ("pushes", sum.pushes, 5 * SEEDS),
        ("snapshots", sum.snapshots, SEEDS),
        ("snapshots gone while read", sum.snapshots_gone, SEEDS / 100),
        ("compactions", sum.compactions, SEEDS / 10),
        ("blessings", sum.blessings, SEEDS / 4),
        ("logs that went on", sum.gone_on, SEEDS / 4),
        ("places kept", sum.places_kept, SEEDS / 4),
        ("failovers", sum.failovers, SEEDS / 4),
        ("servers restarted", sum.server_restarts, SEEDS / 4),
        ("gateways restarted", sum.gateway_restarts, SEEDS / 4),
        ("acknowledged and lost", sum.lost_acknowledged, SEEDS / 20),
    ] {
        assert!(count > at_least, "{what}: only {count}");
    }
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
        Part::LeaseAtHead,
        Part::AcknowledgeAfterPublish,
        Part::CountedReplicas,
        Part::Blessing,
        Part::LineageOfPromotion,
        Part::Predecessors,
        Part::TruncationCheck,
        Part::MergeAtResync,
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
