//! What happened, so that it can be shown: the audit log (NIST SP 800-92; events in the shape
//! of OCSF 1.8.0).
//!
//! ```text
//!   proxy ── Trail ──► Event ──► Audit::record ─────────► decisions ─┐  (bounded, dropped and counted)
//!   revocations, operators ────► Audit::record_durable ─► critical ──┤  (acknowledged when durable)
//!                                                                    ▼
//!                                            one writer thread: encode, append, fdatasync, acknowledge
//!                                                                    ▼
//!                            audit-<node>-<start>-<first>.jsonl   one JSON object a line   ◄── tail
//! ```
//!
//! The cast: a [`Trail`] is the story of one exchange, written by the stages that it passes.
//! An [`Event`] is anything that the log tells of. [`Audit`] takes events and hands them to the
//! writer. [`tail`] reads the files again, for people; [`files`] lists them for whoever reads all of them.
//!
//! What holds:
//! * an event that [`Audit::record_durable`] acknowledged is in a file that still has its name,
//!   and `fdatasync` has returned;
//! * every event has a sequence number that is unique within one run of one node, and a number
//!   that is missing from the files is counted in an `audit.gap` event;
//! * denials are dropped last, revocations never wait for decisions, and neither waits for a
//!   disk that is full or hangs: then [`Audit::accepts_grants`] is false and what is critical is
//!   printed to standard error. It is false too while something is lost that the log does not
//!   tell of;
//! * what is set aside for a full disk is spent on revocations only;
//! * refusals of whoever did not sign in are written up to a rate, and counted beyond it;
//! * a file is only ever appended to. The exceptions are a tail that was never acknowledged,
//!   cut off after a failed write, and a torn tail, which is kept aside. A file is removed only
//!   as a whole, only where the operator set a bound, and the log says which.
//!
//! What it never does: record a token, a cookie, a query, a body or the value of a header other
//! than `User-Agent`; block the thread of a request; decide anything.

pub mod config;
pub mod event;
pub mod files;
mod lanes;
pub mod log;
mod nameless;
mod pulse;
mod segment;
pub mod tail;
mod tally;
pub mod trail;
mod writer;

pub use config::{AuditConfig, AuditSection};
pub use event::{Actor, Event};
pub use log::{
    Audit, AuditError, AuditHealth, AuditState, Counts, DamagedSegment, Identity, Recorded, Sequence,
    StartReport,
};
pub use tally::{NotCounted, allowed_since};
pub use trail::{Arrival, Because, Ending, Outcome, Protocol, Ruling, TraceIds, Trail, Withdrawal};
