//! What Doorward remembers: who was cut off, and since when.
//!
//! The only crate that speaks to a store. Issue after issue more moves in here (sessions, the
//! directory); today it holds the revocations, the "revoked" attribute of an access decision in
//! the words of NIST SP 800-162. `docs/life-of-a-revocation.md` tells the same story in prose.
//!
//! ```text
//!  operator ── apply(Change) ─┬─1─► replica (in memory) ◄── check(Presented) ── each request
//!                             ├─2─► subscribers: running exchanges end
//!                             └─3─► queue ─► writer thread ─► Store ─► disk ─4─► Receipt
//!                                                              ▲
//!  another process of this node (an upgrade) ── its own rows ──┘──► follower thread ─► 1, 2
//! ```
//!
//! The cast:
//! * [`Revocations`] is the handle: apply, check, list, close.
//! * [`Change`] is what someone asks for; [`Receipt`] is what they get once it is durable.
//! * [`Unrevoked`] is the proof that a request's credential stands. Only this crate builds it.
//! * [`Store`] is the closed set of backends; the embedded one is SQLite.
//!
//! Invariants:
//! * A mark only rises, and nothing that was dead ever lives again (rules R1, R2).
//! * A revocation bites before it is written; it is acknowledged only after.
//! * Giving access back is written before it is seen, and refused while writing fails.
//! * The log is the truth; the replica is the merge of its rows and of what is not saved yet.
//! * A lookup does no I/O and takes no lock.
//! * A store that cannot be read is not an empty store: opening fails, checking goes stale.
//! * A store that lacks what was acknowledged is not this store: opening fails.
//! * What is old is forgotten only while the clock can be believed.
//!
//! What it never does: decide who may do what, speak HTTP, create a store anew over one that is
//! broken, or lower a mark.

mod change;
mod config;
mod error;
mod revocations;
mod standing;
mod store;

pub use change::{Action, Applied, Change, Ended, Receipt};
pub use config::{EmbeddedConfig, RevocationConfig, RevocationSection, StoreConfig};
pub use error::{StateError, StoreError};
pub use revocations::{LateSubscriber, OpenReport, Revocations, StoreHealth, Subscriber};
pub use standing::{Refused, Unrevoked};
pub use store::{Appended, Handle, Lock, NewRow, Row, Seq, Store};
