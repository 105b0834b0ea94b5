//! The binary `doorward`: the command line, the configuration file, and the wiring of the other
//! crates into one process. In the words of NIST SP 800-162 it holds the administration point of
//! the enforcement (what runs, where, with which files); the decision and its enforcement are
//! elsewhere.
//!
//! ```text
//!  main ─▶ cli ─▶ command/run ─▶ config ─▶ wire ─▶ proxy, console, audit, state, policy …
//!            ╰──▶ command/{check,policy,geoip,audit}      read files, answer, exit
//!            ╰──▶ command/{revoke,reactivate,inflight} ─▶ operator ─ HTTP ─▶ a running gateway
//! ```
//!
//! The cast: [`cli`] says what can be asked for; [`command`] does it; [`config`] turns the file
//! into what is in force; [`operator`] talks to a running gateway; [`clock`] owns the time;
//! [`watch`] notices changed files; [`shutdown`] gives signals a meaning; [`telemetry`] is the log
//! of the gateway itself.
//!
//! Invariants:
//! * all mistakes of a configuration file come in one report, and one mistake is enough not to start;
//! * only [`clock`] looks at a clock;
//! * a command that fails says what to do about it, and its exit code says of which kind it is.
//!
//! What this crate never does: hold a rule about who may do what, or print a secret.

pub mod cli;
pub mod clock;
pub mod color;
pub mod command;
pub mod config;
pub mod operator;
pub mod shutdown;
pub mod telemetry;
pub mod watch;
pub mod wire;
