//! Where changes of lives come in over the network.
//!
//! ```text
//!  operator ─► connection ─ tokens ──┐
//!  provisioning client ─────────────► scim ─────► the directory
//!  transmitter, provider, tool ─────► signals ──► the directory, and who is cut off
//! ```
//!
//! A [`connection`] is who may provision people, and [`scim`] the service that it calls (RFC 7644);
//! [`signals`] takes what others say of people: security events, logouts, kill webhooks.
//!
//! Invariants:
//! * nobody without a token learns anything, not even whether a path exists;
//! * a token is shown once and kept as a hash; revoked, it is refused at its next use by every process.

pub mod connection;
pub mod scim;
pub mod signals;
