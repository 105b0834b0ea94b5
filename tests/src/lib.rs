//! The testbed: everything around a running `doorward`, in one test process.
//!
//! ```text
//!   h1 · h2 · frames · ws · grpc          gateway                    raw · h2_upstream
//!   clients that see every byte  ───►  the real binary, a child  ───►  upstreams that keep
//!   (plain, or TLS by `tls`)              │ keys     │ /api/v1         what they were sent
//!                                         ▼          ▼
//!                                       issuer     gateway::Gateway::{revoke, api, signal, …}
//! ```
//!
//! The cast: [`gateway`] writes a configuration and starts the binary; [`issuer`] is an identity
//! provider whose claims, keys and faults the test chooses; [`raw`] and [`h2_upstream`] stand where
//! apps stand and record; [`transmitter`] tells of people; [`h1`], [`h2`], [`frames`], [`ws`] and [`grpc`] are clients; [`tls`] makes
//! certificates; [`openid`] is a quick OpenID provider; [`audit_log`] reads what was written down;
//! [`company`] puts the demo's people and apps
//! around it; [`demo`] is all of that as a visitor starts it, with a shell; [`pauses`] knows when the machine stood still; [`fleet`] starts several gateways that share a Redis; [`privileged`] says whether what
//! needs root is tested; [`provider`] is a real OpenID provider, [`browser`] a real Chromium, [`front_door`] the house that they find, [`front_fleet`] the same with several nodes, and [`visitor`] a small browser by plain
//! HTTP, with [`node`] to run what they are made of; [`wire`] holds what all share: a connection, and a bound on every wait.
//!
//! Invariants:
//! * A test ends. Every wait of the testbed has a bound, and says what it waited for.
//! * A test leaves nothing: processes are ended by their own id, folders are temporary, addresses
//!   are of this machine only.
//! * What goes wrong here ends the test with a sentence; so functions answer values, not results,
//!   except where the other side's refusal is what a test wants to see.
//!
//! It never judges: what is right stands in the tests that use it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a testbed owns a clock, and what goes wrong in it must end the test"
)]

pub mod audit_log;
pub mod browser;
pub mod company;
pub mod demo;
pub mod devices;
pub mod fleet;
pub mod frames;
pub mod front_door;
pub mod front_fleet;
pub mod gateway;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod h2_upstream;
pub mod issuer;
pub mod keys;
pub mod live;
mod message;
pub mod node;
pub mod openid;
pub mod pauses;
pub mod privileged;
pub mod provider;
pub mod raw;
pub mod tls;
pub mod transmitter;
pub mod visitor;
pub mod wire;
pub mod ws;
