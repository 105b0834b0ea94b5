//! SCIM clients, recorded and hostile, against the core that has no HTTP.
//!
//! `okta.rs` has O1–O14, `entra.rs` E1–E20 and `own.rs` P1–P11: one test for each letter, with the
//! bodies that the clients send. What a letter says beyond documents needs the service and is not
//! shown here:
//!
//! * O4, O11, E12: which status goes with which answer; O13: the route;
//! * O7: that a hold stays is the state machine's; here, that PUT says no more than it should;
//! * O12: that nothing is skipped when somebody is added between two pages is the directory's;
//! * E10: that the members are not looked up; here, that the core says they need not be;
//! * E15, E18: DELETE, and that whoever is inactive is still found; E16: requests per second;
//!   E17: `Retry-After`; E19: the token;
//! * P2: that nothing was written; P3: the race itself; P5, P6, P11: store, tokens and sessions.
#![expect(clippy::panic, reason = "a test that cannot go on should stop with a message")]

mod world;

mod entra;
mod okta;
mod own;

mod bulk;
mod discovery;
mod documents;
mod filters;
mod hostile;
mod patches;
