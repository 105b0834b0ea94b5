//! What breaks around the gateway, and what it does then: disks that are full, processes that are
//! killed, files that are broken, keys that cannot be had. Each time: what is refused, what still
//! bites, what a person reads, and how it mends itself.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "faults/audit.rs"]
mod audit;
#[path = "faults/config.rs"]
mod config;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/geoip.rs"]
mod geoip;
#[path = "faults/jwks.rs"]
mod jwks;
#[path = "faults/killed.rs"]
mod killed;
#[path = "faults/patient.rs"]
mod patient;
#[path = "faults/policies.rs"]
mod policies;
#[path = "faults/seen.rs"]
mod seen;
#[path = "faults/standing.rs"]
mod standing;
#[path = "faults/store.rs"]
mod store;
#[path = "faults/unread.rs"]
mod unread;
#[path = "faults/vet.rs"]
mod vet;
