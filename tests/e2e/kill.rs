//! The kill switch over real sockets: what is open when somebody is cut off ends, at once, with the
//! word that its protocol has for it; what belongs to others does not miss a byte.
//!
//! ```text
//!  endings       every kind of stream, plain and TLS, idle and busy
//!  backlog       a client that does not read gets little more, whatever was on its way
//!  siblings      streams of several people on one HTTP/2 connection
//!  targets       user, session, token, device, user at an app; an agent goes with its person
//!  afterwards    the next request, a new token, disable and reactivate
//!  crowd         1,000 streams of 100 people
//!  storm         revocations in the middle of connections that come and come again
//!  drain         a drain does not protect anybody
//!  websockets    thousands are opened and none is lost after its 101
//! ```
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "kill/afterwards.rs"]
mod afterwards;
#[path = "kill/backlog.rs"]
mod backlog;
#[path = "kill/crowd.rs"]
mod crowd;
#[path = "kill/drain.rs"]
mod drain;
#[path = "kill/endings.rs"]
mod endings;
#[path = "kill/siblings.rs"]
mod siblings;
#[path = "kill/storm.rs"]
mod storm;
#[path = "kill/targets.rs"]
mod targets;
#[path = "kill/websockets.rs"]
mod websockets;
