//! Machines and devices, through the real process: service accounts that show tokens of ours, agents that may no
//! more than the person, devices that are blocked, and sign-ins that are ended by hand.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[path = "machines/agents.rs"]
mod agents;
#[expect(dead_code, reason = "shared with the tests of SCIM")]
#[path = "scim/client.rs"]
mod client;
#[path = "machines/devices.rs"]
mod devices;
#[path = "machines/hand.rs"]
mod hand;
#[expect(dead_code, reason = "shared with the tests of the directory")]
#[path = "directory/house.rs"]
mod house;
#[path = "machines/tokens.rs"]
mod tokens;
