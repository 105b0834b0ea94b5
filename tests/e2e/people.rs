//! People by an operator's hand, through the real process and the real commands.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[path = "scim/client.rs"]
mod client;
#[path = "people/commands.rs"]
mod commands;
#[path = "people/counts.rs"]
mod counts;
#[expect(dead_code, reason = "shared with the tests of the directory")]
#[path = "directory/house.rs"]
mod house;
#[path = "people/reviews.rs"]
mod reviews;
