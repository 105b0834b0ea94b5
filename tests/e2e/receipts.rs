//! Whatever takes access away leads to a receipt that is genuine and true, through the real process: with
//! streams that run, over a crash, and in a fleet of which one node stands still.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[expect(dead_code, reason = "shared with the tests of provisioning")]
#[path = "scim/client.rs"]
mod client;
#[path = "receipts/crashes.rs"]
mod crashes;
#[path = "receipts/desk.rs"]
mod desk;
#[path = "receipts/fleet.rs"]
mod fleet;
#[path = "receipts/leaving.rs"]
mod leaving;
