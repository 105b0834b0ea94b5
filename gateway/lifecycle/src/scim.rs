//! SCIM 2.0 without HTTP: from the parts of a request and a stored document to a new document or
//! an answer (RFC 7643, RFC 7644).
//!
//! ```text
//!  body ─► json ─► values ─┬─ write::create ──┐
//!                          ├─ write::replace ─┼─► Written { document, membership, asserted }
//!                          └─ patch ──────────┘
//!  query ─► list ─► filter ─► lookup (which index?) ─► matches (is it one?)
//!  document + envelope ─► resource ─► projection ─► answer;  errors ─► error
//! ```
//!
//! Nothing here reads a store, a clock or a socket: the service on top brings the stored document,
//! looks up who is meant, and writes what comes out in one transaction.
//!
//! Invariants:
//! * one table ([`schema`]) says what an attribute is; what it does not name is not stored;
//! * a [`Document`] holds canonical names and accepted values only, and never a password;
//! * a request is applied as a whole or not at all;
//! * the members of a group are never part of its document, only what changes about them is
//!   ([`Membership`]), so that a group of ten thousand is not one value;
//! * everything that comes from outside is bounded ([`bounds`]), and no recursion is deeper than
//!   such a bound;
//! * a message names the attribute and the cure, never the value.

pub mod bounds;
pub mod bulk;
pub mod discovery;
pub mod document;
pub mod error;
pub mod etag;
pub mod filter;
pub mod json;
pub mod list;
pub mod membership;
pub mod patch;
pub mod projection;
pub mod schema;
pub mod write;

mod names;
mod values;

pub use document::{Document, Envelope};
pub use error::{ErrorKind, ScimError};
pub use filter::{Filter, Lookup};
pub use membership::{Member, Membership};
pub use patch::PatchRequest;
pub use projection::Projection;
pub use schema::ResourceType;
pub use write::{Asserted, Written};
