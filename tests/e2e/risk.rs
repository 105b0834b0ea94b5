//! How odd it looks what people do, through the real process: what is refused, what is asked for, what the log
//! says, and what is remembered.
//!
//! ```text
//!  house   a gateway with a city database, and people who ask from there
//!  travel  somebody is in two places at once; somebody is on a journey
//!  kept    what was learned outlives the process
//! ```
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "risk/house.rs"]
mod house;
#[path = "risk/kept.rs"]
mod kept;
#[path = "../../geoip/tests/mmdb/mod.rs"]
mod mmdb;
#[path = "risk/travel.rs"]
mod travel;
