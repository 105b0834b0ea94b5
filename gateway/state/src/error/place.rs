//! Which store an error speaks of, and how to mend what is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A store: a file, or a database of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// The file of an embedded store.
    File(PathBuf),
    /// The database, as a URL without user and password.
    Server(String),
}

impl Where {
    /// To be shown.
    #[must_use]
    pub const fn display(&self) -> &Self {
        self
    }

    pub(super) fn mend_damage(&self) -> String {
        let end = "an empty store would let everyone in who was cut off";
        match self {
            Self::File(file) => format!(
                "keep the file, stop the gateway, and restore a backup or rescue what can be read with \
                 `sqlite3 {} .recover`; {end}",
                file.display()
            ),
            Self::Server(_) => format!(
                "stop the control nodes, keep a copy of the schema `doorward`, and restore a backup; {end}"
            ),
        }
    }

    pub(super) fn mend_rewinding(&self, mark: &Path) -> String {
        let mark = mark.display();
        match self {
            Self::File(file) => format!(
                "if `{}-wal` was moved away, put it back; if this is a backup that you restored, or the newer \
                 state is lost, revoke once more whom the audit log names since then and delete `{mark}` to go \
                 on with this one; whoever was cut off in between is let in",
                file.display()
            ),
            Self::Server(_) => format!(
                "if another server took over, make sure that it is the one with the newest state; if this is a \
                 backup that you restored, or the newer state is lost, revoke once more whom the audit log names \
                 since then, delete `{mark}` and restart, on every control node, to go on with this one; \
                 whoever was cut off in between is let in"
            ),
        }
    }

    pub(super) const fn mend_foreign(&self) -> &'static str {
        match self {
            Self::File(_) => "is not a store of revocations; set revocation.store_file to another path",
            Self::Server(_) => {
                "has a schema `doorward` that is not a store of revocations; set revocation.postgres.database \
                 to another database"
            }
        }
    }

    pub(super) const fn mend_full(&self) -> &'static str {
        match self {
            Self::File(_) => {
                "it has reached revocation.store_bytes_max, or the disk has no room; make room, or raise the \
                 bound"
            }
            Self::Server(_) => "the server's disk has no room; make room",
        }
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Server(url) => f.write_str(url),
        }
    }
}

impl From<PathBuf> for Where {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

impl From<&Path> for Where {
    fn from(file: &Path) -> Self {
        Self::File(file.to_owned())
    }
}
