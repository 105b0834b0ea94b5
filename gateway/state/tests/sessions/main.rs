//! The records of browser sessions: one contract for the file and for Redis, however its servers are arranged, and
//! what happens when either fails.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod asks;
mod contract;
mod file;
mod fixture;
mod line;
mod model;
