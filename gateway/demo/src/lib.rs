//! What `doorward demo` needs and `doorward run` must never have: a development identity
//! provider that gives anybody a token for anybody (OpenID Connect Discovery, JWKS of
//! RFC 7517, access tokens of RFC 9068), three sample apps, and a guided tour.
//!
//! ```text
//!   you ── curl ──► gateway :8080 ──► wiki :9182  payroll :9183  build :9184      apps
//!    │                 │ keys
//!    └── /token/alice ─┴──────────► provider :9181                               provider
//!
//!   config   writes .demo/: the gateway's configuration and a copy of the policies
//!   tour     the commands to paste, with what they print: one list for the README,
//!            for the terminal and for the test that runs it
//!   watch    a WebSocket client of a few lines, as curl has none
//! ```
//!
//! Invariants:
//! * Nothing here is reachable from the network. A router is served only by a
//!   [`loopback::Loopback`], which cannot be made for any other address.
//! * Nothing here is reachable from `doorward run`. This crate imports the vocabulary only, no
//!   crate of the gateway imports it, and `server` names it in its `demo` command alone; a test
//!   reads the manifests and the sources for that.
//! * The provider's key is made when it starts, lives in memory, and is never written.
//!
//! It never holds a rule about access: the demo runs the gateway that production runs, with a
//! configuration file like any other.

pub mod apps;
pub mod client;
pub mod loopback;
pub mod provider;
pub mod watch;
