//! The service that changes lives, with a real store and a real audit log.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod cases;
mod debts;
mod devices;
mod events;
mod failing;
mod fixture;
mod groups;
mod guard;
mod joining;
mod kill;
mod lives;
mod machines;
mod many;
mod people;
mod races;
mod receipts;
mod strangers;
mod timers;
mod tokens;
mod witness;
