//! Policies beside those in force, on the real binary: what they would have changed is told exactly, nobody at
//! the door notices, and putting them in force is one step.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "shadow/house.rs"]
mod house;
#[path = "shadow/lasting.rs"]
mod lasting;
#[path = "shadow/live.rs"]
mod live;
#[path = "shadow/report_only.rs"]
mod report_only;
