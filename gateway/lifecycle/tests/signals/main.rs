//! Signals, from the request to what is done, with real keys.
//!
//! The vectors of the research page are named by number: S1 to S8 and what concerns a token's form are in
//! `gateway/identity/tests/identity/messages.rs`; here are the rest of S and L. Tests that need an HTTP
//! server do not exist yet: a body that is too large is refused here, but who stops reading it is the
//! listener's to show.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop with a message"
)]

mod town;

mod configured;
mod documented;
mod effects;
mod hostile;
mod kills;
mod logouts;
mod order;
mod polled;
mod pushed;
mod subjects;
