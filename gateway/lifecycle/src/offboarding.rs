//! An offboarding case: what must be shown before somebody counts as gone.
//!
//! A revocation says that access was taken away. A case asks whether it worked, and whether all that was not
//! in the gateway's hands was done as well: `open`, then `verified` once the gateway itself has seen that
//! nothing is left, then `closed` once every item has its evidence. A person who returns first ends it as
//! `returned`. Pure: what was seen is an argument, and so is the time.
//!
//! ```text
//!   person leaves ─► Case::open ─► open ◄──────────── something is seen again ─────┐
//!                                   │  verify(Seen): nodes, sessions, streams,     │
//!                                   │  allowances: nothing is left                 │
//!                                   ▼                                              │
//!   word of an app's owner ──────► verified ── verify(Seen) ───────────────────────┘
//!    (Case::say)                    │  close: every item has its evidence
//!                                   ▼
//!                                 closed            open, verified ─ person is back ─► returned
//! ```
//!
//! The cast: a [`Case`] has [`Item`]s, each of a kind ([`ItemKind`]) that says who can prove it. [`Seen`] is
//! what the gateway saw; [`Step`] what follows from it: the case after, its events, the debts that open and
//! those that are settled.
//!
//! What holds:
//! * what is not known is not done: a node that cannot be asked, a count that cannot be had, a log with a hole;
//! * a node that is silent has not acknowledged: it may live;
//! * evidence that is contradicted is evidence no more, and a case that is not closed falls back to open;
//! * nobody can say what the gateway sees for itself;
//! * every item that is still without evidence is owed by somebody until some day, and once at a time: what
//!   others must do, from the first look on; what the gateway sees for itself, when its patience is over;
//! * a case that is closed or returned does not change.
//!
//! What it never does: give access back, end anything, or look at a clock.

mod case;
mod items;
mod look;

pub use case::{BadCase, Case, CaseState, End, Opening};
pub use items::{Evidence, Item, ItemKind, Prover};
pub use look::{AppStanding, Count, Seen, SeenNode};

use doorward_model::UnixMillis;
use uuid::Uuid;

use crate::receipt::facts::DebtKind;
use crate::receipt::wire::words;

/// The most items of one case.
pub const CASE_ITEMS_MAX: usize = 250;
/// The longest text in a case, in bytes.
pub const CASE_TEXT_BYTES_MAX: usize = 512;
/// The largest case that is written or read, in bytes. A record of the directory holds as much.
pub const CASE_BYTES_MAX: usize = 64 * 1024;
/// The largest case that is opened: what is left is for its evidence.
pub const CASE_OPENING_BYTES_MAX: usize = 36 * 1024;
/// The largest case that somebody's word makes: what is left is for what the gateway sees.
pub const CASE_SAID_BYTES_MAX: usize = 48 * 1024;

words! {
    /// What happened to a case, as the audit log names it.
    pub enum CaseEvent {
        /// It was opened.
        Open = "offboarding.open",
        /// An item got evidence, or lost it.
        Item = "offboarding.item",
        /// Nothing of the person is left at the gateway.
        Verify = "offboarding.verify",
        /// Something was seen again.
        Reopen = "offboarding.reopen",
        /// Every item has its evidence.
        Close = "offboarding.close",
        /// The person is back.
        Return = "offboarding.return",
    }
}

/// Something to be done that was not: a control debt to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Names it: the same however often it is computed, another one when an item is owed again.
    pub id: Uuid,
    /// Of which kind it is.
    pub kind: DebtKind,
    /// What it is about.
    pub about: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is not done.
    pub cause: String,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// By when it is to be settled.
    pub due_at: UnixMillis,
}

/// What follows from an act on a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The case after it.
    pub case: Case,
    /// What is to be recorded, in order.
    pub events: Vec<CaseEvent>,
    /// Debts to open.
    pub owed: Vec<Owed>,
    /// Debts to settle, and how.
    pub settled: Vec<(Uuid, String)>,
}

/// Why something cannot be done with a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is over.
    #[error("the case is {}, and does not change any more: open another", .0.as_str())]
    Over(CaseState),
    /// It was looked before access was taken away.
    #[error("what was seen at {seen_at} is older than the revocation at {cut_at}: look again", seen_at = .seen_at.0, cut_at = .cut_at.0)]
    TooEarly {
        /// When it was looked.
        seen_at: UnixMillis,
        /// When access was taken away.
        cut_at: UnixMillis,
    },
    /// Something newer has been looked at before.
    #[error("what was seen at {seen_at} is older than what the case knows of {known_at}: look again", seen_at = .seen_at.0, known_at = .known_at.0)]
    Stale {
        /// When it was looked.
        seen_at: UnixMillis,
        /// When it was looked before.
        known_at: UnixMillis,
    },
    /// It is not verified.
    #[error("the gateway has not seen that nothing is left: verify the case first")]
    NotVerified,
    /// Items are without evidence.
    #[error("{} without evidence: {}", counted(.0.len()), .0.join(", "))]
    Unfinished(Vec<String>),
    /// There is no such item.
    #[error("the case has no item `{0}`: see its list")]
    NoItem(String),
    /// The item is proved by what the gateway sees.
    #[error("`{0}` is proved by what the gateway sees, and by nobody's word")]
    NotByWord(String),
    /// A text is empty, too long, or has control characters.
    #[error("`{0}` must have 1 to {CASE_TEXT_BYTES_MAX} bytes and no control characters")]
    BadText(&'static str),
    /// The case would have too many items, or say one twice.
    #[error("a case has at most {CASE_ITEMS_MAX} items, each once")]
    BadItems,
    /// The case would be too large to be kept.
    #[error(
        "the case would have {bytes} bytes, more than {bytes_max}: shorten the texts, or leave items out"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound, which leaves room for what comes later.
        bytes_max: usize,
    },
}

fn counted(items: usize) -> String {
    if items == 1 { "1 item is".to_owned() } else { format!("{items} items are") }
}
