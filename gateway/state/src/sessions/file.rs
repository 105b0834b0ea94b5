//! The records in a file of this node: SQLite, on a thread of its own.
//!
//! The file is not the truth. So a commit does not wait for the disk (`synchronous = NORMAL`: what a process committed
//! survives its death, and a power cut may take the last of it); a file that is damaged is set aside and a new one begun;
//! and a file that somebody took away is made anew.
//!
//! Processes of one node share it while one takes over from the other. Each looks at each call whether the file is
//! still the one that it has open.

mod desk;
mod rows;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use doorward_model::limits::{SESSION_STORE_MILLIS_MAX, SESSION_STORE_WAITING_MAX};
use doorward_model::time::Clock;
use doorward_model::{UnixMillis, UserId};
use tokio::sync::oneshot;

use super::record::{Held, OnceKind, SessionRecord, Touch};
use super::status::Status;
use super::{SessionsError, SessionsHealth};

use desk::Desk;

/// How often what is over is deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const BOUND: Duration = Duration::from_millis(SESSION_STORE_MILLIS_MAX);

type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// The thread that has the file open.
pub(super) struct File {
    jobs: SyncSender<Job>,
    status: Status,
}

impl File {
    /// Opens or makes the file, and starts the thread. It ends with this handle.
    pub(super) fn open(file: &Path, clock: Clock) -> Result<Self, SessionsError> {
        let mut desk = Desk::open(file)?;
        desk.sweep(clock())?;
        let (jobs, receives) = sync_channel(SESSION_STORE_WAITING_MAX);
        let run = move || work(desk, &receives, &clock);
        std::thread::Builder::new().name("sessions".to_owned()).spawn(run).map_err(|e| {
            SessionsError::Open { file: file.to_owned(), doing: "start a thread for", why: e.to_string() }
        })?;
        Ok(Self { jobs, status: Status::default() })
    }

    /// Has the thread do something.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Desk) -> Result<T, SessionsError> + Send + 'static,
    ) -> Result<T, SessionsError> {
        let (answer, told) = oneshot::channel();
        let job = move |desk: &mut Desk| {
            // Whoever was told that it is not answered has gone.
            if !answer.is_closed() {
                let _gone = answer.send(work(desk));
            }
        };
        let result = match self.jobs.try_send(Box::new(job)) {
            Ok(()) => match tokio::time::timeout(BOUND, told).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(unavailable("the thread that has the file died; restart the gateway")),
                Err(_) => Err(unavailable("the disk has not answered in time")),
            },
            Err(TrySendError::Full(_)) => Err(unavailable("too many calls wait for the disk")),
            Err(TrySendError::Disconnected(_)) => {
                Err(unavailable("the thread that has the file died; restart the gateway"))
            }
        };
        self.status.note(result.as_ref().err());
        result
    }

    pub(super) fn health(&self) -> SessionsHealth {
        self.status.health("sqlite")
    }

    pub(super) async fn create(
        &self,
        record: SessionRecord,
        now: UnixMillis,
    ) -> Result<Option<SessionRecord>, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::create(tx, &record, now))).await
    }

    pub(super) async fn get(
        &self,
        person: UserId,
        id: String,
    ) -> Result<Option<SessionRecord>, SessionsError> {
        let whose = id.clone();
        match self.call(move |desk| desk.read(|c| rows::get(c, &person, &id))).await? {
            None => Ok(None),
            Some(Some(record)) => Ok(Some(record)),
            Some(None) => Err(SessionsError::Damaged { what: whose }),
        }
    }

    pub(super) async fn of(&self, person: UserId) -> Result<Vec<SessionRecord>, SessionsError> {
        self.call(move |desk| desk.read(|c| rows::of(c, &person))).await
    }

    pub(super) async fn replace(
        &self,
        record: SessionRecord,
        expected: u64,
        now: UnixMillis,
    ) -> Result<bool, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::replace(tx, &record, expected, now))).await
    }

    pub(super) async fn touch(&self, seen: Vec<Touch>) -> Result<(), SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::touch(tx, &seen))).await
    }

    pub(super) async fn remove(&self, person: UserId, id: String) -> Result<bool, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::remove(tx, &person, &id))).await
    }

    pub(super) async fn remove_all(&self, person: UserId) -> Result<u64, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::remove_all(tx, &person))).await
    }

    pub(super) async fn people(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<UserId>, Option<String>), SessionsError> {
        let names = self.call(move |desk| desk.read(|c| rows::people(c, after.as_deref(), limit))).await?;
        let next = names.last().cloned();
        // What is no name is nobody of ours.
        Ok((names.iter().filter_map(|name| name.parse().ok()).collect(), next))
    }

    pub(super) async fn put_once(
        &self,
        (kind, id): (OnceKind, String),
        bytes: Vec<u8>,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<bool, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::put_once(tx, (kind, &id), &bytes, (until, now)))).await
    }

    pub(super) async fn take_once(
        &self,
        (kind, id): (OnceKind, String),
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::take_once(tx, (kind, &id), now))).await
    }

    pub(super) async fn lock(
        &self,
        name: String,
        holder: String,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<Option<Held>, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::lock(tx, (&name, &holder), until, now))).await
    }

    pub(super) async fn renew(
        &self,
        name: String,
        holder: String,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<bool, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::renew(tx, (&name, &holder), until, now))).await
    }

    pub(super) async fn unlock(
        &self,
        name: String,
        holder: String,
        now: UnixMillis,
    ) -> Result<bool, SessionsError> {
        self.call(move |desk| desk.write(|tx| rows::unlock(tx, (&name, &holder), now))).await
    }

    pub(super) async fn memory(
        &self,
        person: UserId,
        now: UnixMillis,
    ) -> Result<Option<(u64, Vec<u8>)>, SessionsError> {
        self.call(move |desk| desk.read(|c| rows::memory(c, &person, now))).await
    }

    pub(super) async fn put_memory(
        &self,
        person: UserId,
        bytes: Vec<u8>,
        expected: u64,
        (until, now): (UnixMillis, UnixMillis),
    ) -> Result<bool, SessionsError> {
        self.call(move |desk| {
            desk.write(|tx| rows::put_memory(tx, (&person, &bytes), expected, (until, now)))
        })
        .await
    }
}

fn work(mut desk: Desk, jobs: &Receiver<Job>, clock: &Clock) {
    let mut swept = clock();
    loop {
        match jobs.recv_timeout(SWEEP_EVERY) {
            Ok(job) => job(&mut desk),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = clock();
        // Also where the clock was set back.
        if now.0.abs_diff(swept.0) >= u64::try_from(SWEEP_EVERY.as_millis()).unwrap_or(u64::MAX) {
            swept = now;
            if let Err(error) = desk.sweep(now) {
                tracing::warn!(%error, "sessions that are over are not deleted");
            }
        }
    }
}

fn unavailable(why: &str) -> SessionsError {
    SessionsError::Unavailable { why: why.to_owned() }
}
