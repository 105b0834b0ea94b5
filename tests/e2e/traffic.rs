//! Traffic through the real binary, from every kind of client to every kind of app: what passes
//! unharmed, what is refused and how, what an app is told, what is written down, and what happens
//! to all of it while certificates, keys and processes are replaced.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "traffic/bodies.rs"]
mod bodies;
#[path = "traffic/clients.rs"]
mod clients;
#[path = "traffic/drain.rs"]
mod drain;
#[path = "traffic/given.rs"]
mod given;
#[path = "traffic/keys.rs"]
mod keys;
#[path = "traffic/limits.rs"]
mod limits;
#[path = "traffic/listen.rs"]
mod listen;
#[path = "traffic/records.rs"]
mod records;
#[path = "traffic/refusals.rs"]
mod refusals;
#[path = "traffic/rest.rs"]
mod rest;
#[path = "traffic/start.rs"]
mod start;
#[path = "traffic/streams.rs"]
mod streams;
#[path = "traffic/tls.rs"]
mod tls;
#[path = "traffic/told.rs"]
mod told;
#[path = "traffic/upgrade.rs"]
mod upgrade;
#[path = "traffic/upstreams.rs"]
mod upstreams;
