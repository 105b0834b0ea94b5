//! Two hundred browsers whose sessions run while everything that can fails: nobody valid is signed out, and
//! nobody revoked gets in.
//!
//! ```text
//!  crowd    200 browsers with a session each, got at the provider's own forms; what each may be answered, and when
//!  faults   the provider is down, slow or has other keys; the store is restarted; the keys of cookies are exchanged
//!  runs     the two together, once for each seed, on a node with a file and on one with Redis
//!  nodes    the crowd at three nodes, each of its requests at any of them: nodes are killed, Redis is killed or stands still,
//!           and the keys of cookies are exchanged node by node
//!  desk     a provider whose refresh tokens are good once, and which fails
//!  renewals whether sign-ins stand is asked of it, by all nodes at once
//! ```
//!
//! Each test prints its line. `DOORWARD_CHAOS_SEEDS=10` runs more seeds than usual.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests, which own a clock"
)]

#[path = "chaos_sessions/crowd.rs"]
mod crowd;
#[path = "chaos_sessions/desk.rs"]
mod desk;
#[path = "chaos_sessions/faults.rs"]
mod faults;
#[path = "chaos_sessions/nodes.rs"]
mod nodes;
#[expect(dead_code, reason = "shared with the tests of fleets")]
#[path = "fleet/random.rs"]
mod random;
#[path = "chaos_sessions/renewals.rs"]
mod renewals;
#[path = "chaos_sessions/runs.rs"]
mod runs;
