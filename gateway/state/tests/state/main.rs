//! Tests of the crate from outside: what `docs/life-of-a-revocation.md` promises.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod backup;
mod contract;
mod docs;
mod dying;
mod failing_writes;
mod fixture;
mod fleet;
mod kill;
mod many_at_once;
mod opening;
mod postgres;
mod records;
mod rules;
mod upgrade;
