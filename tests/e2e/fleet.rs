//! Many gateways, one Redis, and everything that can happen to them: real processes, a light load on
//! every node all the time, and revocations at seeded moments.
//!
//! Each test is a row of the table and prints its line: how many seeds and requests, how many
//! revocations (acknowledged + promised), for how long a node refused as stale, how late after its
//! acknowledgment somebody was let in at the latest, and what must be nothing: admissions after the
//! bound, and sessions that were destroyed though nobody took them away. `DOORWARD_FLEET_SEEDS=20` runs each
//! row with more than three seeds.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests, which own a clock"
)]

// The harness, in the order in which a run meets it.
#[path = "fleet/crowd.rs"]
mod crowd;
#[path = "fleet/fault.rs"]
mod fault;
#[path = "fleet/hammer.rs"]
mod hammer;
#[path = "fleet/random.rs"]
mod random;
#[path = "fleet/servers.rs"]
mod servers;
#[path = "fleet/streams.rs"]
mod streams;
#[path = "fleet/verdict.rs"]
mod verdict;
#[path = "fleet/witness.rs"]
mod witness;

// The rows.
#[path = "fleet/failovers.rs"]
mod failovers;
#[path = "fleet/lines.rs"]
mod lines;
#[path = "fleet/network.rs"]
mod network;
#[path = "fleet/nodes.rs"]
mod nodes;
#[path = "fleet/redis.rs"]
mod redis;

// What the nodes say.
#[path = "fleet/together.rs"]
mod together;

// Who people are.
#[expect(dead_code, reason = "shared with the tests of SCIM")]
#[path = "scim/client.rs"]
mod client;
#[path = "fleet/people.rs"]
mod people;
#[path = "fleet/town.rs"]
mod town;
