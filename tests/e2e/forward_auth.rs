//! Other proxies ask whether a request may pass, in both manners, by a client of our own. Real ones ask in `suites`.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "forward_auth/asker.rs"]
mod asker;
#[path = "forward_auth/calls.rs"]
mod calls;
#[expect(dead_code, reason = "this house is that of `browser_sessions`, which has more rooms")]
#[path = "browser_sessions/house.rs"]
mod house;
#[path = "forward_auth/verdicts.rs"]
mod verdicts;
