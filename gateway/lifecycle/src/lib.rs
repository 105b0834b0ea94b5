//! A life changes: whoever joins, moves, leaves or returns, and what follows for their access.
//!
//! Provisioning by SCIM (RFC 7643, RFC 7644), Shared Signals and logouts, what operators do, and dates that
//! come: all of them end in the same commands, and those in records, revocations and audit events.
//!
//! ```text
//!  provisioning client ─► intake::scim ────┐ scim: documents, PATCH, filters
//!  transmitter, tool ───► intake::signals ─┤ signals: events, and what each does
//!  operator ────────────► console ─────────┼─► service::Lifecycle ─► machine: one table, no I/O
//!  a date ──────────────► service ─────────┘        │                    │
//!                                                   ▼                    ▼
//!                              one batch: records + revocations ◄── what follows
//!                                                   │
//!                              audit events, control debts, offboarding case, receipt
//! ```
//!
//! The cast:
//! * [`machine`] is the rule: states, commands, the table of edges, and what follows from each. Pure.
//! * [`service`] is the only one that changes people, groups and machines: it reads, asks the table, and
//!   writes all that follows in one transaction.
//! * [`intake`] listens: SCIM over HTTP with its connections, signals, logouts, kill webhooks.
//! * [`scim`] is the standard without the network; [`signals`] what events mean and what they do.
//! * [`offboarding`] asks whether a leaving worked; [`receipt`] proves what was done, to whoever asks later.
//!
//! Invariants:
//! * what the table does not have does not happen, whoever asks;
//! * nothing is half-applied: records and the revocations that follow from them are one batch;
//! * a no bites before it is saved and before it is on record; a yes is saved and on record first;
//! * whoever returns has nothing that was given by hand, and no session of before;
//! * a source never lifts what somebody here said; an older yes never beats a newer no of the same hand;
//! * every change, and every change that is refused, is in the audit log with whose hand it was.
//!
//! What it never does: decide whether a request gets in (that is for policies, at the door), keep a store
//! of its own, or look at a clock that it was not given.

pub mod intake;
pub mod machine;
pub mod offboarding;
pub mod receipt;
pub mod scim;
pub mod service;
pub mod signals;
