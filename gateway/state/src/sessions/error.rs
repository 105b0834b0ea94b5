//! What can go wrong with the records of sessions.

use std::path::PathBuf;

/// Why a record could not be read or written. None of these says that a session is over: a store that
/// cannot be asked is not a store without the session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionsError {
    /// The store cannot be asked now. Whether what was asked for was done is not known.
    #[error("the records of sessions cannot be reached: {why}; see docs/operating/when-redis-is-down.md")]
    Unavailable {
        /// What the store said.
        why: String,
    },
    /// The store has no room.
    #[error("there is no room for records of sessions: {why}")]
    Full {
        /// What is full, and how to make room.
        why: String,
    },
    /// What lies in the store is no record, or one of a later version of Doorward.
    #[error(
        "the record {what} cannot be read; it goes away when the session ends, and the person can sign in anew"
    )]
    Damaged {
        /// Whose it is; nothing of what it holds.
        what: String,
    },
    /// What was to be kept is not what can be kept.
    #[error("`{field}` of what is kept of a session {rule}")]
    Unfit {
        /// Which part.
        field: &'static str,
        /// What it has to be.
        rule: String,
    },
    /// There is no fleet that could be asked: this node applies the change itself.
    #[error("there is no fleet to ask: this node has a directory, and takes the change itself")]
    NoFleet,
    /// The file can be neither opened nor made.
    #[error("cannot {doing} `{}`: {why}; see that the gateway's user may write in its folder", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        why: String,
    },
}
