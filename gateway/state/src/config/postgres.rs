//! `[revocation.postgres]`: the database that several control nodes share.

use std::fmt;
use std::path::{Path, PathBuf};

use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

use super::address::Address;
use super::secret::{self, Secret};
use super::tls::{self, Tls};

const PORT: u16 = 5432;
/// PostgreSQL cuts longer names.
const NAME_BYTES_MAX: usize = 63;
/// The file beside which it is noted how far the log went.
const MARKED: &str = "revocations.postgres";

/// `[revocation.postgres]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PostgresSection {
    /// Host and port, or the folder of a Unix socket.
    pub address: Option<String>,
    /// The database; default: `doorward`.
    pub database: Option<String>,
    /// As whom to connect; default: `doorward`.
    pub user: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// Whether the connection is secured; default: true.
    pub tls: Option<bool>,
    /// The only authorities that are trusted; default: the system's.
    pub ca_file: Option<PathBuf>,
}

/// A database of a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    pub(crate) place: PostgresPlace,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) tls: Option<Tls>,
    /// What the mark lies beside.
    pub(crate) marked: PathBuf,
    /// What this node is called.
    pub(crate) node: String,
}

/// Where a PostgreSQL server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresPlace {
    /// A host and a port.
    Tcp(Address),
    /// A Unix socket in a folder, named after a port.
    Socket {
        /// The folder.
        folder: PathBuf,
        /// The port.
        port: u16,
    },
}

impl PostgresPlace {
    fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('/') {
            return Address::parse(text).map(Self::Tcp);
        }
        let (folder, port) = match text.rsplit_once(':') {
            None => (text, PORT),
            Some((folder, port)) => (folder, port.parse().ok().filter(|port| *port > 0)?),
        };
        Some(Self::Socket { folder: PathBuf::from(folder), port })
    }

    fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.is_loopback(),
            Self::Socket { .. } => true,
        }
    }
}

impl fmt::Display for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Socket { folder, port } => write!(f, "{}:{port}", folder.display()),
        }
    }
}

impl PostgresConfig {
    /// Where the server listens.
    #[must_use]
    pub const fn place(&self) -> &PostgresPlace {
        &self.place
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// As whom to connect.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// How the connection is secured. `None`: it does not leave this machine.
    #[must_use]
    pub const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

impl PostgresSection {
    pub(super) fn check(
        &self,
        at: &KeyPath,
        base_dir: &Path,
        data_dir: &Path,
        node: &str,
        complaints: &mut Vec<Complaint>,
    ) -> Option<PostgresConfig> {
        let before = complaints.len();
        let place = place(self.address.as_deref(), at, complaints);
        let database = name(self.database.as_ref(), "database", at, complaints);
        let user = name(self.user.as_ref(), "user", at, complaints);
        let password = self.password_file.as_ref().and_then(|file| {
            secret::password(&base_dir.join(file))
                .map_err(|e| {
                    complaints.push(Complaint::new(at.key("password_file"), e.to_string(), e.help()))
                })
                .ok()
        });
        let written =
            tls::Written { tls: self.tls, ca_file: self.ca_file.as_ref(), ..tls::Written::default() };
        let socket = matches!(place, Some(PostgresPlace::Socket { .. }));
        // A socket is never secured: it does not leave the machine.
        let written =
            if socket && self.tls.is_none() { tls::Written { tls: Some(false), ..written } } else { written };
        if socket && self.tls == Some(true) {
            complaints.push(Complaint::new(
                at.key("tls"),
                "PostgreSQL speaks no TLS over a Unix socket",
                "remove `tls`, or connect to a host and a port",
            ));
        }
        let local = place.as_ref().is_none_or(PostgresPlace::is_local);
        let tls = tls::check(written, local, at, base_dir, complaints);
        let marked = data_dir.join(MARKED);
        let place = place.filter(|_| complaints.len() == before)?;
        Some(PostgresConfig { place, database, user, password, tls, marked, node: node.to_owned() })
    }
}

fn place(written: Option<&str>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<PostgresPlace> {
    let help = "write host and port, such as `db.corp.example:5432`, or the folder of a Unix socket, such as \
                `/run/postgresql`";
    let Some(written) = written else {
        complaints.push(Complaint::new(at.clone(), "the key `address` is missing", help));
        return None;
    };
    let place = PostgresPlace::parse(written);
    if place.is_none() {
        let message = format!("`{}` is not the address of a server", written.escape_debug());
        complaints.push(Complaint::new(at.key("address"), message, help));
    }
    place
}

fn name(written: Option<&String>, key: &str, at: &KeyPath, complaints: &mut Vec<Complaint>) -> String {
    let Some(name) = written else { return "doorward".to_owned() };
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        complaints.push(Complaint::new(
            at.key(key),
            format!("`{}` is not a name of 1 to {NAME_BYTES_MAX} bytes", name.escape_debug()),
            "write it as PostgreSQL knows it, such as `doorward`",
        ));
    }
    name.clone()
}
