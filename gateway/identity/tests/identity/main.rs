//! Tokens, good and hostile, against the whole verifier with real keys.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop with a message"
)]

mod mint;
mod provider;
mod site;
mod world;

mod accepted;
mod attacks;
mod key_changes;
mod key_sets;
mod key_sources;
mod messages;
mod remembered;
mod return_targets;
mod sign_in;
mod sign_in_attacks;
mod sign_in_faults;
