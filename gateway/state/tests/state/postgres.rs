//! What the store in PostgreSQL promises beyond the contract, with real servers.

mod access;
mod dying;
mod lost;
mod odd;
mod records;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use doorward_model::EntryKind;
use doorward_servers::{Postgres, PostgresSetup};
use doorward_state::{
    Handle, NewRow, PostgresSection, RevocationConfig, RevocationSection, Row, Seq, Store, StoreError,
};

use crate::contract::store::row;
use crate::fixture::{config, target};

/// A server for all tests that leave it as it is.
fn shared() -> &'static Postgres {
    static POSTGRES: OnceLock<Postgres> = OnceLock::new();
    POSTGRES.get_or_init(|| {
        // Many stores are open at a time, each with connections of its own.
        let lines = vec!["max_connections = 250".to_owned()];
        Postgres::with(&PostgresSetup { unsynced: true, lines, ..PostgresSetup::default() })
    })
}

/// A database of its own on the shared server.
pub(crate) struct Base {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) database: String,
}

impl Base {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let database = format!("d{}", COUNT.fetch_add(1, Ordering::Relaxed));
        shared().psql_as_admin(&format!("CREATE DATABASE {database} OWNER doorward")).unwrap();
        Self { dir: tempfile::tempdir().unwrap(), database }
    }

    pub(crate) fn section(&self) -> RevocationSection {
        section(shared(), self.dir.path(), &self.database)
    }

    pub(crate) fn config(&self, node: &str) -> RevocationConfig {
        config(&self.section(), self.dir.path(), node)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // Or the folder of the shared server grows by some megabytes with each test.
        let _kept = shared().psql_as_admin(&format!("DROP DATABASE {} WITH (FORCE)", self.database));
    }
}

/// A control node of this server, over TCP in plain text. `dir` gets the password.
fn section(postgres: &Postgres, dir: &Path, database: &str) -> RevocationSection {
    let file = dir.join("postgres.password");
    std::fs::write(&file, postgres.password()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    RevocationSection {
        directory: Some("postgres".to_owned()),
        postgres: Some(PostgresSection {
            address: Some(postgres.address().to_string()),
            database: Some(database.to_owned()),
            password_file: Some("postgres.password".into()),
            tls: Some(false),
            ..PostgresSection::default()
        }),
        ..RevocationSection::default()
    }
}

/// A server of its own, and the folder of a node.
struct House {
    postgres: Arc<Postgres>,
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self::with(&PostgresSetup::default())
    }

    fn with(setup: &PostgresSetup) -> Self {
        Self { postgres: Arc::new(Postgres::with(setup)), dir: tempfile::tempdir().unwrap() }
    }

    fn section(&self) -> RevocationSection {
        section(&self.postgres, self.dir.path(), "doorward")
    }

    fn config(&self) -> RevocationConfig {
        config(&self.section(), self.dir.path(), "gw-1")
    }

    fn open(&self) -> Result<(Store, Handle), StoreError> {
        Store::open(self.config().store())
    }

    fn store(&self) -> Store {
        self.open().unwrap().0
    }

    /// What the server says to a statement of the owner of the database.
    fn sql(&self, statements: &str) -> String {
        self.postgres.psql(statements).unwrap()
    }

    /// Why it is not opened.
    fn refused(&self) -> StoreError {
        let error = self.open().expect_err("it is not opened");
        self.secretless(&error);
        error
    }

    fn secretless(&self, error: &StoreError) {
        let told = format!("{error} {error:?}");
        assert!(!told.contains(self.postgres.password()), "{told}");
    }
}

fn users(range: std::ops::Range<i64>) -> Vec<NewRow> {
    range.map(|i| row(target(EntryKind::User, &format!("corp:u{i}")), i)).collect()
}

fn append(store: &mut Store, rows: &[NewRow]) -> Result<Seq, StoreError> {
    store.append(Seq::START, &mut |_| rows.to_vec()).map(|appended| appended.last)
}

fn ids(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.target.id()).collect()
}
