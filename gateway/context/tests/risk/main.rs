//! What a person's history says of the next request: traces with exact scores and reasons, and properties.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop with a message"
)]

mod properties;
mod traces;
mod world;
