//! The audit log from outside: its events, its promises, and what happens when things break.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops"
)]

mod catalogue;
mod crash;
mod disk;
mod files;
mod follow;
mod hostile;
mod lanes;
mod samples;
mod stall;
