//! What an error of the server means for whoever runs the gateway.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::error::{StoreError, Where};

/// Why something asked of the server was not done.
pub(super) enum Fault {
    /// The server or the connection says so.
    Said(tokio_postgres::Error),
    /// What the server has is not what it should have.
    Store(StoreError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Said(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// As an error of the store `url`.
    pub(super) fn explain(self, url: &str, doing: &'static str) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Said(error) => error,
        };
        let server = url.to_owned();
        let why = told(&error);
        let Some(said) = error.as_db_error() else {
            return without_a_word(&error, server, doing, why);
        };
        let file = Where::Server(server.clone());
        match said.code() {
            code if code.code().starts_with("28") => StoreError::Refused { server, why },
            &SqlState::INVALID_CATALOG_NAME => StoreError::Refused { server, why },
            &SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly { server, why },
            &SqlState::LOCK_NOT_AVAILABLE => StoreError::Busy { file },
            &SqlState::DISK_FULL => StoreError::Full { file },
            &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => {
                StoreError::Corrupt { file, found: why }
            }
            // It starts, ends, or has no room for one more connection.
            code if code.code().starts_with("57P") || code.code().starts_with("53") => {
                StoreError::Unreachable { server, why }
            }
            _ => StoreError::Database { file, doing, message: why },
        }
    }
}

/// An error that the server did not send.
fn without_a_word(
    error: &tokio_postgres::Error,
    server: String,
    doing: &'static str,
    why: String,
) -> StoreError {
    // The kind of an error is only told in words.
    let kind = error.to_string();
    if kind.contains("TLS") {
        StoreError::Untrusted { server, why }
    } else if kind.contains("authentication") || kind.contains("invalid configuration") {
        StoreError::Refused { server, why }
    } else if kind.contains("connect") || kind.contains("communicating") || kind.contains("timeout") {
        StoreError::Unreachable { server, why }
    } else if kind.contains("deserializing") || kind.contains("column") {
        StoreError::Corrupt { file: Where::Server(server), found: why }
    } else {
        StoreError::Database { file: Where::Server(server), doing, message: why }
    }
}

/// The message without details: those may repeat what is in a row.
fn told(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        if !why.contains(&cause_said) {
            why = format!("{why}: {cause_said}");
        }
        source = cause.source();
    }
    why
}

pub(super) fn corrupt(url: &str, found: String) -> StoreError {
    StoreError::Corrupt { file: Where::Server(url.to_owned()), found }
}
