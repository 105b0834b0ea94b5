//! What Doorward remembers: who was cut off, and since when; and what the directory holds.
//!
//! The only crate that speaks to a store. It holds the revocations, the "revoked" attribute of an access
//! decision in the words of NIST SP 800-162, the records of the directory, and beside these, as no truth, what
//! browser sessions have besides their cookies. `docs/life-of-a-revocation.md` tells the story of a revocation in
//! prose.
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
//! * [`Batch`] is records and the changes that follow from them; [`Committed`] is its receipt, and
//!   [`Records`] what of them is in memory.
//! * [`Unrevoked`] is the proof that a request's credential stands. Only this crate builds it.
//! * [`directory::Directory`] says who people and machines are, to each request.
//! * [`Sessions`] keeps lists, refresh tokens and what is good once. No request waits for it.
//! * [`Store`] is the closed set of backends; the embedded one is SQLite.
//!
//! Invariants:
//! * A mark only rises, and nothing that was dead ever lives again (rules R1, R2).
//! * A revocation bites before it is written; it is acknowledged only after.
//! * Giving access back is written before it is seen, and refused while writing fails.
//! * The log is the truth; the replica is the merge of its rows and of what is not saved yet.
//! * A lookup does no I/O and takes no lock.
//! * Records and the rows of the log that follow from them are one transaction.
//! * A store that cannot be read is not an empty store: opening fails, checking goes stale.
//! * A store that lacks what was acknowledged is not this store: opening fails.
//! * What is old is forgotten only while the clock can be believed.
//!
//! What it never does: decide who may do what, speak HTTP, create a store anew over one that is
//! broken, or lower a mark.

mod board;
mod change;
mod config;
mod debt;
pub mod directory;
mod error;
mod fleet;
mod records;
mod revocations;
pub mod sessions;
mod standing;
mod store;

pub use board::{Board, BoardError};
pub use change::{Action, Applied, Change, Ended, Receipt};
pub use config::{
    Address, ClientCertificate, DebtTerms, EmbeddedConfig, Login, PostgresConfig, PostgresPlace,
    PostgresSection, RedisConfig, RedisMode, RedisSection, RevocationConfig, RevocationSection, Secret,
    StoreConfig, Tls,
};
pub use debt::{Debt, DebtKind, NewDebt};
pub use error::{StateError, StoreError, Where};
pub use fleet::{
    EntryId, FleetHealth, FleetRole, NODE_TOLD_BYTES_MAX, NodeAnswer, NodeReport, Position, Published,
    Telling,
};
pub use records::{
    BATCH_BYTES_MAX, BATCH_CHANGES_MAX, BATCH_WRITES_MAX, Batch, CommitError, Committed, Expected, Found,
    RECORD_BYTES_MAX, RECORD_ID_BYTES_MAX, RECORD_KEYS_MAX, Record, RecordGroup, RecordKind,
    RecordSubscriber, Records, RecordsAfter, RecordsHealth, Refusal, UNIQUE_KEY_BYTES_MAX, UniqueKey,
    Verdict, Version, Write,
};
pub use revocations::{LateSubscriber, OpenReport, Revocations, StoreHealth, Subscriber};
pub use sessions::{SessionRecord, Sessions, SessionsError};
pub use standing::{Refused, Unrevoked};
pub use store::{
    Appended, Decide, Generation, Handle, Held, Lock, NewRow, Provenance, Reach, Row, Seq, Store,
    Unpublished, Written,
};
