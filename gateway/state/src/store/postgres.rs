//! The store that several control nodes share: PostgreSQL.
//!
//! Whoever appends locks the one row that holds the log's last number, so that numbers rise
//! without gaps in the order of commits, and a reader that has seen a number has seen every one
//! before it. A commit returns when the server has it on its disk, and, where it has synchronous
//! standbys, when they have it too.
//!
//! No call waits for ever, however the server hangs: each has a bound on this side, and after it
//! the connection is given up. What an error leaves open is given up too; the next call connects
//! anew, and compares the server with what is known of the log's end first.

mod debts;
mod engine;
mod fault;
mod memory;
mod outbox;
mod records;
mod rows;
mod schema;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::{Target, UnixMillis};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::config::PostgresConfig;
use crate::error::{StoreError, Where};
use crate::records::{RecordGroup, Version, plan};
use crate::store::embedded::Lock;
use crate::store::mark::MarkFile;
use crate::store::{Appended, Decide, Handle, Row, Seq, Written};

use engine::Engine;
use fault::{Fault, corrupt};
use memory::{Memory, Of};
use rows::{Head, Numbered, Param, bound, damaged, read, target};
use schema::Found;
use session::{Session, Way};

/// How long the server may take to answer: longer than its own bounds, so that it can say why it
/// does not do what it was asked for, and shorter than anybody waits for a change.
const ANSWER: Duration = Duration::from_secs(5);
/// For what goes over the whole log.
const WHOLE_LOG: Duration = Duration::from_secs(120);
/// How many rows are asked for at once.
const ROWS: i64 = 1000;
/// The rows behind a number. With a limit, so that the planner takes the index whatever it believes.
const BEHIND: &str = "WHERE l.seq > $1 ORDER BY l.seq LIMIT $2";
/// The pauses between attempts to connect, while they fail.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One connection, made when it is needed.
pub struct Postgres {
    server: Arc<Server>,
    session: Option<Session>,
    /// How long to wait before the next attempt to connect.
    pause: Duration,
}

/// What all connections of a process share.
struct Server {
    engine: Engine,
    way: Way,
    /// Of the log's end.
    memory: Memory,
    /// Of the records' end.
    records: Memory,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Postgres {
    pub(super) fn open(config: &PostgresConfig) -> Result<(Self, Handle), StoreError> {
        let memory = Memory::read(Of::Log, MarkFile::beside(&config.marked))?;
        let records = Memory::read(Of::Records, MarkFile::of_records(&config.marked))?;
        let way = Way::new(config)?;
        let engine = Engine::start().map_err(|source| StoreError::Io {
            file: PathBuf::from(way.url()),
            doing: "start a thread for",
            source,
        })?;
        let known = !memory.is_blank();
        let server = Arc::new(Server { engine, way, memory, records });
        let url = server.way.url().to_owned();
        // Looked at before anything is compared: there may be nothing yet.
        let session = server.way.connect(&server.engine, ANSWER)?;
        let mut store = Self { server, session: Some(session), pause: Duration::ZERO };
        let created = store.run("open", schema::LIMIT, async |client, server| {
            let there = schema::look(client, &url).await?;
            if known && matches!(there, Found::Nothing | Found::Empty) {
                return Err(server.memory.gone(&url).into());
            }
            let created = schema::prepare(client, &url).await?;
            server.memory.compare(client, &url).await?;
            server.records.compare_records(client, &url).await?;
            Ok(created)
        })?;
        let handle = Handle {
            file: PathBuf::from(store.url()),
            created,
            tightened: false,
            shared: false,
            unmarked: !created && !known,
            bytes_max: u64::MAX,
            lock: Lock::none(),
        };
        Ok((store, handle))
    }

    pub(super) fn again(&self) -> Result<Self, StoreError> {
        let mut again = Self { server: Arc::clone(&self.server), session: None, pause: Duration::ZERO };
        again.connect()?;
        Ok(again)
    }

    fn url(&self) -> &str {
        self.server.way.url()
    }

    /// Makes sure that there is a connection, to a server that has all that is known.
    fn connect(&mut self) -> Result<(), StoreError> {
        if self.session.as_ref().is_some_and(|session| !session.is_over()) {
            return Ok(());
        }
        self.session = None;
        let server = Arc::clone(&self.server);
        if !self.pause.is_zero() {
            // So that a server that says no is not asked all the time.
            server.engine.wait(self.pause, std::future::pending::<()>());
        }
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        let session = server.way.connect(&server.engine, ANSWER)?;
        let url = server.way.url();
        let compare = async {
            server.memory.compare(&session.client, url).await?;
            server.records.compare_records(&session.client, url).await
        };
        match server.engine.wait(ANSWER, compare) {
            Some(Ok(())) => {}
            Some(Err(fault)) => return Err(fault.explain(url, "read")),
            None => return Err(silent(url, "read", ANSWER)),
        }
        self.session = Some(session.worked());
        self.pause = Duration::ZERO;
        Ok(())
    }

    /// Does something with the server, within `limit`. Whatever goes wrong, the connection is given
    /// up: nobody knows what is open on it.
    fn run<T>(
        &mut self,
        doing: &'static str,
        limit: Duration,
        work: impl AsyncFnOnce(&Client, &Server) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.connect()?;
        let server = Arc::clone(&self.server);
        let url = server.way.url();
        let Some(mut session) = self.session.take() else { return Err(silent(url, doing, limit)) };
        session.asked();
        let done = match server.engine.wait(limit, work(&session.client, &server)) {
            Some(Ok(done)) => done,
            Some(Err(fault)) => return Err(fault.explain(url, doing)),
            None => return Err(silent(url, doing, limit)),
        };
        if session.has_warned() {
            let message = "the server warned, so it is not sure that it is done".to_owned();
            return Err(StoreError::Database { file: Where::Server(url.to_owned()), doing, message });
        }
        self.session = Some(session.worked());
        Ok(done)
    }

    pub(super) fn commit(
        &mut self,
        seen: Seq,
        groups: &[RecordGroup<'_>],
        decide: &mut Decide<'_>,
    ) -> Result<Written, StoreError> {
        self.run("write", ANSWER, async |client, server| {
            let (url, known) = (server.way.url(), server.memory.known());
            let known_records = server.records.known();
            let behind: [Param<'_>; 2] = [(&seen.0, Type::INT8), (&ROWS, Type::INT8)];
            // Sent together and in this order, so that the rows are read under the lock.
            let (begun, head, others) = tokio::join!(
                biased;
                client.batch_execute("BEGIN"),
                lock_end(client, url),
                read(client, url, BEHIND, "r.seq", &behind),
            );
            // In this order: what follows a failure fails for that reason, and says another.
            begun?;
            let (head, mut others) = (head?, others?.rows);
            server.memory.check(known.as_ref(), &head, url)?;
            server.records.check(known_records.as_ref(), &head, url)?;
            let mut end = others.last().map_or(seen, |row| row.seq);
            while end < head.last && !others.is_empty() {
                let behind: [Param<'_>; 2] = [(&end.0, Type::INT8), (&ROWS, Type::INT8)];
                let more = read(client, url, BEHIND, "r.seq", &behind).await?.rows;
                let Some(last) = more.last() else { break };
                end = last.seq;
                others.extend(more);
            }
            let planned = plan(records::present(client, &head, groups).await?, groups);
            let new = decide(&others, &planned.verdicts);
            let new = Numbered::new(client, head.last, &new).await?;
            let written = new.end();
            let bytes = match written {
                None => size(client).await?,
                Some((last, _)) => {
                    let last: [Param<'_>; 1] = [(&last.0, Type::INT8)];
                    let update = "UPDATE doorward.head SET last = $1";
                    let (rows, end, bytes) =
                        tokio::join!(biased; new.write(client), client.execute_typed(update, &last), size(client));
                    rows?;
                    end?;
                    bytes?
                }
            };
            let grown = records::write(client, &planned).await?;
            client.batch_execute("COMMIT").await?;
            server.memory.saw(&head, &others);
            if let Some((last, sum)) = grown {
                server.records.remember(&head.epoch, last, sum);
            }
            if let Some((last, sum)) = written {
                server.memory.remember(&head.epoch, last, sum);
            }
            let appended = Appended { last: written.map_or(end, |(last, _)| last), bytes };
            Ok(Written { appended, verdicts: planned.verdicts })
        })
    }

    /// Reads rows of this store, of which the end is where it should be.
    fn select(&mut self, filter: &str, order: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.run("read", ANSWER, async |client, server| {
            let (url, known) = (server.way.url(), server.memory.known());
            let found = read(client, url, filter, order, params).await?;
            server.memory.check(known.as_ref(), &found.head, url)?;
            server.memory.saw(&found.head, &found.rows);
            Ok(found.rows)
        })
    }

    pub(super) fn read_after(&mut self, seen: Seq, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.select(BEHIND, "r.seq", &[(&seen.0, Type::INT8), (&bound(limit), Type::INT8)])
    }

    pub(super) fn newest(
        &mut self,
        of: Option<&Target>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (before, limit) = (before.map_or(i64::MAX, |seq| seq.0), bound(limit));
        let page: [Param<'_>; 2] = [(&before, Type::INT8), (&limit, Type::INT8)];
        let Some(target) = of else {
            return self.select("WHERE l.seq < $1 ORDER BY l.seq DESC LIMIT $2", "r.seq DESC", &page);
        };
        let (kind, id) = (target.kind().as_str(), target.id());
        let [before, limit] = page;
        let params = [before, limit, (&kind, Type::TEXT), (&id, Type::TEXT)];
        let filter = "WHERE l.kind = $3 AND l.id = $4 AND l.seq < $1 ORDER BY l.seq DESC LIMIT $2";
        self.select(filter, "r.seq DESC", &params)
    }

    pub(super) fn prune(&mut self, than: UnixMillis, limit: usize) -> Result<Vec<Target>, StoreError> {
        self.run("write", ANSWER, async |client, server| {
            // Another node may do the same: each deletes what the other does not.
            let delete = "DELETE FROM doorward.rev_log WHERE seq IN (
                    SELECT seq FROM doorward.rev_log
                    WHERE kind IN ('session', 'token') AND recorded_at < $1
                    ORDER BY recorded_at LIMIT $2 FOR UPDATE SKIP LOCKED
                ) RETURNING kind, id";
            let params: [Param<'_>; 2] = [(&than.0, Type::INT8), (&bound(limit), Type::INT8)];
            let mut targets = Vec::new();
            for row in client.query_typed(delete, &params).await? {
                let (kind, id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
                let found = target(kind, id);
                targets.push(
                    found.ok_or_else(|| damaged(server.way.url(), &format!("a row of {kind} `{id}`")))?,
                );
            }
            Ok(targets)
        })
    }

    pub(super) fn probe(&mut self) -> Result<(), StoreError> {
        self.run("write", ANSWER, async |client, _| {
            client.execute_typed("UPDATE doorward.probe SET writes = writes + 1", &[]).await?;
            Ok(())
        })
    }

    /// A server has its own backups: only what this node remembers is brought to the disk.
    pub(super) fn settle(&self) -> Result<bool, StoreError> {
        self.server.memory.flush()?;
        self.server.records.flush()?;
        Ok(true)
    }

    pub(super) fn count(&mut self) -> Result<usize, StoreError> {
        self.run("read", WHOLE_LOG, async |client, _| {
            client.batch_execute("BEGIN READ ONLY; SET LOCAL statement_timeout = 0").await?;
            let row = client.query_typed_one("SELECT count(*) FROM doorward.rev_log", &[]).await?;
            client.batch_execute("COMMIT").await?;
            Ok(usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
        })
    }

    pub(super) fn bytes(&mut self) -> Result<u64, StoreError> {
        self.run("read", ANSWER, async |client, _| Ok(size(client).await?))
    }
}

/// The log's end, locked until the transaction ends.
async fn lock_end(client: &Client, url: &str) -> Result<Head, Fault> {
    let query = "SELECT epoch, last, records, records_held FROM doorward.head FOR UPDATE";
    let rows = client.query_typed(query, &[]).await?;
    let [row] = rows.as_slice() else {
        return Err(corrupt(url, format!("`doorward.head` has {} rows", rows.len())).into());
    };
    Ok(Head {
        epoch: row.try_get(0)?,
        last: Seq(row.try_get(1)?),
        records: Version(row.try_get(2)?),
        records_held: row.try_get(3)?,
    })
}

async fn size(client: &Client) -> Result<u64, tokio_postgres::Error> {
    let query =
        "SELECT pg_total_relation_size('doorward.rev_log') + pg_total_relation_size('doorward.record')
        + pg_total_relation_size('doorward.record_key')";
    let row = client.query_typed_one(query, &[]).await?;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}

fn silent(url: &str, doing: &'static str, limit: Duration) -> StoreError {
    StoreError::Silent { server: url.to_owned(), doing, seconds: limit.as_secs() }
}
