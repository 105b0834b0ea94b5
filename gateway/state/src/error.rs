//! What can go wrong, one variant for each thing that a caller does differently.

use std::path::PathBuf;

use doorward_model::EntryKind;

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
            Self::GrantsRefused { .. }
            | Self::NeverReturns { .. }
            | Self::BadText { .. }
            | Self::Interrupted
            | Self::Store(_) => false,
        }
    }
}

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The content is damaged.
    #[error(
        "`{}` is damaged: {found}; keep the file, stop the gateway, and restore a backup or rescue what can \
         be read with `sqlite3 {} .recover`; an empty store would let everyone in who was cut off",
        file.display(), file.display()
    )]
    Corrupt {
        /// The store.
        file: PathBuf,
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
    #[error(
        "`{}` is not the store that this gateway left: {found}; if `{}-wal` was moved away, put it back; if \
         this is a backup that you restored, or the newer state is lost, revoke once more whom the audit log \
         names since then and delete `{}` to go on with this one; whoever was cut off in between is let in",
        file.display(), file.display(), mark.display()
    )]
    Rewound {
        /// The store.
        file: PathBuf,
        /// The file beside it that remembers how far the log went.
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
        "`{}` has format {found}, and this version of Doorward knows formats up to {known}; run the version \
         that wrote it, or a later one",
        file.display()
    )]
    Newer {
        /// The store.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// The newest one that is known here.
        known: i64,
    },
    /// It is a database of something else.
    #[error("`{}` is not a store of revocations; set revocation.store_file to another path", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
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
    #[error(
        "`{}` is full: it has reached revocation.store_bytes_max, or the disk has no room; make room, or \
         raise the bound",
        file.display()
    )]
    Full {
        /// The store.
        file: PathBuf,
    },
    /// Someone else holds the lock for writing.
    #[error("`{}` is locked by another program; end that program's transaction", file.display())]
    Busy {
        /// The store.
        file: PathBuf,
    },
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
    #[error("cannot {doing} `{}`: {message}", file.display())]
    Database {
        /// The store.
        file: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the database said.
        message: String,
    },
}
