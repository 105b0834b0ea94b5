//! What runs is decided anew when what its decision rests on has changed, through the real process: it
//! ends with the word of its protocol, and whatever this does not concern goes on.
//!
//! ```text
//!  people      a role, a group, a nesting, an app goes, by an operator, by SCIM, by another process
//!  crowd       one change concerns many streams
//!  elsewhere   the same on a node of a fleet that has no directory of its own
//!  machines    an agent goes with what its person may; an account that is handed over goes on
//!  policies    other policies are in force, or were refused
//!  time        a token, a contract, working hours end
//!  untold      nobody can tell: it goes on for a while
//!  storm       a role goes while streams are opened and come again
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[path = "movers/crowd.rs"]
mod crowd;
#[path = "movers/elsewhere.rs"]
mod elsewhere;
#[path = "movers/house.rs"]
mod house;
#[path = "movers/machines.rs"]
mod machines;
#[path = "movers/people.rs"]
mod people;
#[path = "movers/policies.rs"]
mod policies;
#[path = "movers/storm.rs"]
mod storm;
#[path = "movers/time.rs"]
mod time;
#[path = "movers/untold.rs"]
mod untold;
