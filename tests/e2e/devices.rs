//! Devices with certificates, and what sources of posture say of them, through the real process.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "devices/door.rs"]
mod door;
#[expect(dead_code, reason = "shared with the tests of machines")]
#[path = "machines/hand.rs"]
mod hand;
#[path = "devices/handshakes.rs"]
mod handshakes;
#[expect(dead_code, reason = "shared with the tests of the directory")]
#[path = "directory/house.rs"]
mod house;
#[path = "devices/posture.rs"]
mod posture;
#[path = "devices/proof.rs"]
mod proof;
#[path = "devices/revoked.rs"]
mod revoked;
#[path = "devices/session.rs"]
mod session;
