//! Tokens, good and hostile, against the whole verifier with real keys.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop with a message"
)]

mod mint;
mod site;
mod world;

mod accepted;
mod attacks;
mod key_changes;
mod key_sets;
mod key_sources;
mod remembered;
