//! What can go wrong, one variant for each thing that a caller does differently.

mod place;

use std::path::PathBuf;

use doorward_model::EntryKind;

pub use place::Where;

use crate::change::Receipt;

/// Why a change or a listing did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The change is not on the disk.
    #[error("the change could not be saved: {why}{}", after_failure(*enforced, *kept))]
    NotDurable {
        /// It is in force in this process all the same.
        enforced: bool,
        /// It is kept in memory and saved as soon as the store can be written.
        kept: bool,
        /// What the store said.
        why: String,
    },
    /// The store has not answered in time; it is not known whether the change is on the disk.
    #[error("the store has not answered in {seconds} s; look the target up before you ask again")]
    Unanswered {
        /// It is in force in this process.
        enforced: bool,
        /// How long the caller waited.
        seconds: u64,
    },
    /// Access is not given back while the store cannot be written.
    #[error("nobody is reactivated while revocations cannot be saved: {why}")]
    GrantsRefused {
        /// What the store said last.
        why: String,
    },
    /// A session or a token cannot be given back.
    #[error("a {} is never given back: the person signs in anew", kind.as_str())]
    NeverReturns {
        /// What was to be reactivated.
        kind: EntryKind,
    },
    /// A text is too long for the log, or has control characters.
    #[error("`{field}` must have at most {bytes_max} bytes and no control characters")]
    BadText {
        /// Which text.
        field: &'static str,
        /// How long it may be.
        bytes_max: usize,
    },
    /// It is on the disk and in force here, and the other nodes do not have it yet.
    #[error(
        "the change is saved and in force here, but not distributed yet: {why}; it is as soon as that is \
         possible, and a node that cannot be reached refuses every request when its lease is over, but for \
         apps with `stale_seconds_max`"
    )]
    NotPublished {
        /// What was saved.
        receipt: Box<Receipt>,
        /// What Redis said.
        why: String,
    },
    /// This node has no directory.
    #[error(
        "this node is a gateway (`revocation.directory = \"none\"`), which learns of changes and takes none; \
         ask a control node"
    )]
    NotHere,
    /// It is not known which nodes have applied a change.
    #[error("the fleet cannot be asked: {why}")]
    FleetUnknown {
        /// What Redis said.
        why: String,
    },
    /// Reading was cut short because the process ends.
    #[error("the store is closed")]
    Interrupted,
    /// The store said no to opening or reading.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const fn after_failure(enforced: bool, kept: bool) -> &'static str {
    match (enforced, kept) {
        (true, true) => " (it is in force here, and is saved as soon as that is possible)",
        (true, false) => " (it is in force here until this process ends; ask again)",
        (false, _) => "",
    }
}

impl StateError {
    /// Whether the change is in force in this process although this error was returned.
    #[must_use]
    pub const fn enforced(&self) -> bool {
        match self {
            Self::NotDurable { enforced, .. } | Self::Unanswered { enforced, .. } => *enforced,
            Self::NotPublished { .. } => true,
            Self::NotHere
            | Self::GrantsRefused { .. }
            | Self::NeverReturns { .. }
            | Self::BadText { .. }
            | Self::FleetUnknown { .. }
            | Self::Interrupted
            | Self::Store(_) => false,
        }
    }
}

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The content is damaged.
    #[error("`{file}` is damaged: {found}; {}", file.mend_damage())]
    Corrupt {
        /// The store.
        file: Where,
        /// What is wrong in it.
        found: String,
    },
    /// A store was here, and the file is gone.
    #[error(
        "`{}` is missing, though a gateway kept revocations there before; restore it, or, if nobody who was \
         cut off can still hold a credential, delete `{}` to begin with an empty store",
        file.display(), lock.display()
    )]
    Missing {
        /// The store.
        file: PathBuf,
        /// The file beside it that remembers.
        lock: PathBuf,
    },
    /// It opens, but it does not have everything that was ever acknowledged.
    #[error("`{file}` is not the store that this gateway left: {found}; {}", file.mend_rewinding(mark))]
    Rewound {
        /// The store.
        file: Where,
        /// The file that remembers how far the log went.
        mark: PathBuf,
        /// What is missing in it.
        found: String,
    },
    /// The file that remembers how far the log went makes no sense.
    #[error(
        "`{}` is damaged, so it is not known whether the store beside it is whole; compare the store with the \
         audit log, then delete `{}` to go on with the store as it is",
        mark.display(), mark.display()
    )]
    MarkDamaged {
        /// The file.
        mark: PathBuf,
    },
    /// A later version of Doorward wrote it.
    #[error(
        "`{file}` has format {found}, and this version of Doorward knows formats up to {known}; run the version \
         that wrote it, or a later one"
    )]
    Newer {
        /// The store.
        file: Where,
        /// Its format.
        found: i64,
        /// The newest one that is known here.
        known: i64,
    },
    /// It is a database of something else.
    #[error("`{file}` {}", file.mend_foreign())]
    Foreign {
        /// The store.
        file: Where,
    },
    /// Another gateway, not an older process of this one, has it open.
    #[error(
        "`{}` is in use by {owner}; two gateways cannot share one file: give each its own data_dir, or the \
         same gateway.node if this is an upgrade",
        file.display()
    )]
    InUse {
        /// The store.
        file: PathBuf,
        /// Who has it.
        owner: String,
    },
    /// The file was moved away or replaced under a running gateway.
    #[error("`{}` was moved or replaced while in use; restart the gateway", file.display())]
    Replaced {
        /// The store.
        file: PathBuf,
    },
    /// It has no room: the configured bound, or the disk.
    #[error("`{file}` is full: {}", file.mend_full())]
    Full {
        /// The store.
        file: Where,
    },
    /// Someone else holds the lock for writing.
    #[error("`{file}` is locked by another program; end that program's transaction")]
    Busy {
        /// The store.
        file: Where,
    },
    /// This node keeps none: it learns from Redis.
    #[error("this node keeps no directory (`revocation.directory` is `none`); ask a control node")]
    NoDirectory,
    /// The system gave no random bytes for the keys of the replica.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The operating system said no.
    #[error("cannot {doing} `{}`: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database said no.
    #[error("cannot {doing} `{file}`: {message}")]
    Database {
        /// The store.
        file: Where,
        /// What was tried.
        doing: &'static str,
        /// What the database said.
        message: String,
    },
    /// There is no answer at the server's address.
    #[error(
        "PostgreSQL at `{server}` cannot be reached: {why}; see that it runs, and that \
         revocation.postgres.address is right"
    )]
    Unreachable {
        /// The database, as a URL.
        server: String,
        /// What the system said.
        why: String,
    },
    /// It is not certain that the server is ours.
    #[error(
        "no secure connection to PostgreSQL at `{server}`: {why}; see that the server has `ssl = on`, that its \
         certificate names the host in revocation.postgres.address, and that revocation.postgres.ca_file has \
         the authority that signed it"
    )]
    Untrusted {
        /// The database, as a URL.
        server: String,
        /// What was wrong with the answer.
        why: String,
    },
    /// The server does not let this gateway in.
    #[error(
        "PostgreSQL at `{server}` refuses this gateway: {why}; see that user, database and password_file in \
         revocation.postgres are right, and that pg_hba.conf of the server lets this host in"
    )]
    Refused {
        /// The database, as a URL.
        server: String,
        /// What the server said.
        why: String,
    },
    /// The server can be read only: a hot standby, for one. What it says may be old.
    #[error(
        "PostgreSQL at `{server}` can only be read: {why}; connect to the primary, as a standby may not know \
         yet who was cut off"
    )]
    ReadOnly {
        /// The database, as a URL.
        server: String,
        /// What tells so.
        why: String,
    },
    /// The server hangs, or the way to it does.
    #[error("PostgreSQL at `{server}` has not answered within {seconds} s when asked to {doing}")]
    Silent {
        /// The database, as a URL.
        server: String,
        /// What was tried.
        doing: &'static str,
        /// How long it was waited.
        seconds: u64,
    },
}
