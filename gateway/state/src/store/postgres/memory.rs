//! What this gateway knows of the ends of the log and of the records, so that a server that lost it is noticed: another
//! one that took over without the newest rows, or a backup that was restored.

use std::sync::{Mutex, PoisonError};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::rows::{Head, read};
use crate::error::{StoreError, Where};
use crate::records::Version;
use crate::store::mark::{Mark, MarkFile};
use crate::store::{Row, Seq, checksum};

/// What ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Log,
    Records,
}

impl Of {
    /// Its last number, as the server has it.
    const fn end(self, head: &Head) -> Seq {
        match self {
            Self::Log => head.last,
            Self::Records => Seq(head.records.0),
        }
    }

    fn cut_off(self, end: Seq, missing: i64) -> String {
        match self {
            Self::Log => format!("its log ends at change {}, and {missing} more were acknowledged", end.0),
            Self::Records => {
                format!("its directory ends at write {}, and {missing} more were acknowledged", end.0)
            }
        }
    }
}

/// The furthest end that any connection of this process has seen, and the file that remembers it.
#[derive(Debug)]
pub(super) struct Memory {
    of: Of,
    file: MarkFile,
    known: Mutex<Option<Mark>>,
}

impl Memory {
    /// Reads the file.
    pub(super) fn read(of: Of, file: MarkFile) -> Result<Self, StoreError> {
        let known = Mutex::new(file.read()?);
        Ok(Self { of, file, known })
    }

    /// Whether anything is remembered.
    pub(super) fn is_blank(&self) -> bool {
        self.known().is_none()
    }

    /// What is known now. Whoever compares an answer with it takes it before asking: what another
    /// connection writes meanwhile is not in the answer.
    pub(super) fn known(&self) -> Option<Mark> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses a log that ends before what was known when it was asked for, or another one.
    pub(super) fn check(&self, known: Option<&Mark>, head: &Head, url: &str) -> Result<(), StoreError> {
        let Some(known) = known else { return Ok(()) };
        if head.epoch != known.epoch {
            return Err(self.rewound(url, "it is another store".to_owned()));
        }
        let end = self.of.end(head);
        if end < known.seq {
            let missing = known.seq.0.saturating_sub(end.0);
            return Err(self.rewound(url, self.of.cut_off(end, missing)));
        }
        Ok(())
    }

    /// The store is not there at all.
    pub(super) fn gone(&self, url: &str) -> StoreError {
        self.rewound(url, "it has no log".to_owned())
    }

    fn rewound(&self, url: &str, found: String) -> StoreError {
        StoreError::Rewound { file: Where::Server(url.to_owned()), mark: self.file.path().to_owned(), found }
    }

    /// Compares the server with what is known, wholly: with the last row too. Where nothing is
    /// known yet, the log is taken as it is.
    pub(super) async fn compare(&self, client: &Client, url: &str) -> Result<(), Fault> {
        let known = self.known();
        let end = Seq(i64::MAX);
        let seq = known.as_ref().map_or(end, |mark| mark.seq);
        let filter = "WHERE l.seq <= $1 ORDER BY l.seq DESC LIMIT 1";
        let found = read(client, url, filter, "r.seq", &[(&seq.0, Type::INT8)]).await?;
        self.check(known.as_ref(), &found.head, url)?;
        let row = found.rows.first();
        let Some(known) = known else {
            // A last row that was pruned has no checksum any more.
            let sum = row.filter(|row| row.seq == found.head.last).map_or(0, checksum::of_read);
            self.remember(&found.head.epoch, found.head.last, sum);
            self.flush()?;
            return Ok(());
        };
        match row {
            Some(row) if row.seq == known.seq && checksum::of_read(row) != known.checksum => {
                let found = format!("its change {} is not the one that was acknowledged", known.seq.0);
                Err(self.rewound(url, found).into())
            }
            // It may have been a session that was pruned since.
            Some(_) | None => Ok(()),
        }
    }

    /// Compares the end of the records with what is known. Where nothing is known yet, they are taken
    /// as they are.
    pub(super) async fn compare_records(&self, client: &Client, url: &str) -> Result<(), Fault> {
        let known = self.known();
        let seq = known.as_ref().map_or(0, |mark| mark.seq.0);
        let query = "SELECT h.epoch, h.last, h.records, h.records_held, r.checksum FROM doorward.head h
            LEFT JOIN doorward.record r ON r.version = $1 WHERE h.one";
        let row = client.query_typed_one(query, &[(&seq, Type::INT8)]).await?;
        let head = Head {
            epoch: row.try_get(0)?,
            last: Seq(row.try_get(1)?),
            records: Version(row.try_get(2)?),
            records_held: row.try_get(3)?,
        };
        self.check(known.as_ref(), &head, url)?;
        let Some(known) = known else {
            if head.records > Version::START {
                self.remember(&head.epoch, Seq(head.records.0), 0);
                self.flush()?;
            }
            return Ok(());
        };
        match row.try_get::<_, Option<i64>>(4)? {
            Some(sum) if known.checksum != 0 && sum != known.checksum => {
                let found =
                    format!("write {} of its directory is not the one that was acknowledged", known.seq.0);
                Err(self.rewound(url, found).into())
            }
            // It may have been written over since.
            Some(_) | None => Ok(()),
        }
    }

    /// Rows were read: the log went at least so far.
    pub(super) fn saw(&self, head: &Head, rows: &[Row]) {
        if let Some(row) = rows.iter().max_by_key(|row| row.seq) {
            self.remember(&head.epoch, row.seq, checksum::of_read(row));
        }
    }

    /// The log has grown. A file that lags notices less and harms nothing, so a failure here takes
    /// nothing back.
    pub(super) fn remember(&self, epoch: &str, seq: Seq, checksum: i64) {
        // Held while the file is written: two threads would write it at once.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| known.seq >= seq) {
            return;
        }
        let mark = Mark { epoch: epoch.to_owned(), seq, checksum };
        if let Err(error) = self.file.advance(&mark) {
            tracing::warn!(%error, "it is not noted how far the log of revocations goes");
        }
        *known = Some(mark);
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.file.flush()
    }
}
