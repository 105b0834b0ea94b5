//! Signals over HTTP, with a real store, a real audit log and real keys: what each endpoint does, that a
//! message counts once, in which order messages count, what strangers are told, and how streams are looked
//! after and fetched from.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[expect(dead_code, reason = "shared with the tests of the service")]
#[path = "../service/fixture.rs"]
mod fixture;
#[expect(dead_code, reason = "shared with the tests of the decisions")]
#[path = "../signals/town.rs"]
mod town;

#[expect(unreachable_pub, reason = "shared with the tests of the real process")]
#[path = "../../../../tests/src/transmitter.rs"]
mod transmitter;

mod ends;
mod envelope;
mod fetched;
mod order;
mod store;
mod vectors;
mod watched;
mod world;
