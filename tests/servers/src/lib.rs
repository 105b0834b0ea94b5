//! Real Redis and PostgreSQL servers for tests, started on loopback and ended with the test.
//!
//! ```text
//!                      ┌── Redis ──── redis-server       one server, or a primary and replicas
//!   test ── handles ───┼── Sentinels  3 × --sentinel     who watch a primary and its replicas
//!                      ├── Cluster ── 3 or 6 servers     who share the slots
//!                      ├── Postgres ─ postgres           as user `postgres` when root
//!                      └── Wire ───── a forwarder        between a client and any of them
//! ```
//!
//! The cast: [`Redis`], [`Sentinels`], [`Cluster`] and [`Postgres`] are handles on processes;
//! [`Setup`] says how a Redis server is configured; [`Wire`] stands before one and can be cut;
//! [`Authority`] and [`Tls`] make certificates; [`Port`] is a port that tests in parallel do not
//! fight over; [`Reply`] is what a command answered; [`missing`] says what is not installed.
//!
//! A command of [`Redis::command`] goes over a socket in the server's own folder, as a user of its
//! own that may do everything. So it works whatever the test asked for (TLS, passwords, users that
//! may little), and however the wire to the server is cut.
//!
//! Invariants:
//! * A server ends with its handle, and with the test's process whatever that dies of: a small
//!   shell, the warden, waits for the end of a pipe that this process holds, and ends what is left.
//! * Every wait has a bound, and says what it waited for and what the server wrote.
//! * What goes wrong here ends the test with a sentence; so functions answer values, not results,
//!   except where the server's refusal is what a test wants to see.
//! * Folders are temporary, addresses are of this machine only, processes are ended by their id.
//!
//! It never speaks to a server that it did not start, and knows nothing of Doorward.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a testbed owns a clock, and what goes wrong in it must end the test"
)]

mod cluster;
mod install;
mod port;
mod postgres;
mod process;
mod redis;
mod resp;
mod sentinel;
mod tls;
mod wire;

pub use cluster::{Cluster, ClusterSetup};
pub use install::missing;
pub use port::Port;
pub use postgres::{Postgres, PostgresSetup};
pub use redis::{Disk, Fsync, Memory, MinReplicas, Redis, Setup};
pub use resp::{Failed, Reply};
pub use sentinel::{SentinelSetup, Sentinels};
pub use tls::{Authority, Clients, Tls, TlsFiles};
pub use wire::Wire;
