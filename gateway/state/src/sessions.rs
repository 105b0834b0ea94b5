//! The records of browser sessions: what a session has besides its cookie.
//!
//! ```text
//!                        ┌─ file ── SQLite, `sessions.sqlite3`   one node, or processes of one node
//!  sign-in, own list ──► Sessions
//!  revalidation          └─ line ── Redis, beside the log        every node of a fleet
//! ```
//!
//! The cookie is sealed and holds everything that a request needs, so no request comes here. What is here is what
//! a cookie cannot hold: the list of a person's sessions, the sealed refresh token, what can be taken once, who
//! refreshes, what is remembered of a person for judging risk, and what nodes without a directory ask control nodes
//! to end.
//!
//! The cast: [`Sessions`] is the handle; [`SessionRecord`] is what is kept of one session; [`ToEnd`] says what is to end,
//! and [`Asked`] is that a gateway node wants it.
//!
//! Invariants:
//! * It is not the truth. Whether a session stands is said by its cookie and by the revocations; without this store
//!   nobody is let in who would not be with it, and nobody is put out.
//! * A store that cannot be asked is [`SessionsError::Unavailable`], within two seconds, and never "no session".
//! * A record changes as one: [`replace`](Sessions::replace) succeeds for one of those who read the same version.
//! * When a session was seen only rises.
//! * What is put to be taken once is taken by one.
//! * Everything is bounded and goes away by itself.
//! * What is asked for here only takes away.
//!
//! What it never does: open what is sealed, decide whether a session stands, end one.

mod asks;
mod error;
mod file;
mod line;
mod pack;
mod record;
mod status;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::limits::{SESSION_MEMORY_DAYS, SESSION_ONCE_SECONDS_MAX};
use doorward_model::time::{Clock, Clocks};
use doorward_model::{UnixMillis, UserId};

use crate::config::RevocationConfig;
use crate::fleet::EntryId;

pub use asks::{Asked, ToEnd};
pub use error::SessionsError;
pub use record::{Held, OnceKind, SessionRecord, Touch};

use file::File;
use line::Line;

/// The file, in `gateway.data_dir`.
const FILE: &str = "sessions.sqlite3";
const MEMORY: Duration = Duration::from_secs(SESSION_MEMORY_DAYS * 24 * 3600);
const LASTS_MAX: Duration = Duration::from_secs(SESSION_ONCE_SECONDS_MAX);

/// The records of sessions. Cheap to clone; all clones are one. No call blocks the runtime, and each is answered
/// within two seconds.
#[derive(Clone)]
pub struct Sessions {
    backend: Arc<Backend>,
    clock: Clock,
}

/// Where the records are. A closed set.
enum Backend {
    /// In a file of this node.
    File(File),
    /// In the Redis of the fleet.
    Line(Line),
}

/// How the store of sessions does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionsHealth {
    /// Where it is: `sqlite` or `redis`.
    pub store: &'static str,
    /// Why it cannot be used, while that is so.
    pub trouble: Option<String>,
    /// Calls that were not answered, or answered with an error of the store.
    pub failures_total: u64,
}

impl Sessions {
    /// Opens the store: Redis where `[revocation.redis]` is configured, else the file `sessions.sqlite3` in `data_dir`.
    /// Blocks: call it before the gateway takes requests, or on a thread that may block. A Redis that is away is not
    /// waited for. A file that is damaged is set aside, loudly, and a new one begun: what it held can be lost.
    ///
    /// # Errors
    /// [`SessionsError::Open`] when the file can be neither opened nor made.
    pub fn open(config: &RevocationConfig, data_dir: &Path, clocks: Clocks) -> Result<Self, SessionsError> {
        let clock = Arc::clone(&clocks.wall);
        let backend = match config.redis() {
            Some(redis) => Backend::Line(Line::open(redis)?),
            None => Backend::File(File::open(&data_dir.join(FILE), clocks.wall)?),
        };
        Ok(Self { backend: Arc::new(backend), clock })
    }

    /// Keeps a new session, as version 1. When the person has 64 already, the one that began first gives way: its
    /// record is returned, and the caller ends it. Again with the same id changes nothing.
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Full`], [`SessionsError::Unavailable`].
    pub async fn create(&self, record: SessionRecord) -> Result<Option<SessionRecord>, SessionsError> {
        let (record, now) = (SessionRecord { version: 1, ..record.fit()? }, self.now());
        match &*self.backend {
            Backend::File(file) => file.create(record, now).await,
            Backend::Line(line) => line.create(record, now).await,
        }
    }

    /// One session of a person, if it has not ended and is known.
    ///
    /// # Errors
    /// [`SessionsError::Damaged`] when what is there is no record, [`SessionsError::Unavailable`].
    pub async fn get(&self, person: &UserId, id: &str) -> Result<Option<SessionRecord>, SessionsError> {
        record::fits_id("id", id)?;
        let (person, id, now) = (person.clone(), id.to_owned(), self.now());
        let found = match &*self.backend {
            Backend::File(file) => file.get(person, id).await?,
            Backend::Line(line) => line.get(person, id).await?,
        };
        Ok(found.filter(|record| record.expires_at > now))
    }

    /// All sessions of a person that have not ended, the one seen last first. What cannot be read is left out, and
    /// told.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`].
    pub async fn of(&self, person: &UserId) -> Result<Vec<SessionRecord>, SessionsError> {
        let now = self.now();
        let mut found = match &*self.backend {
            Backend::File(file) => file.of(person.clone()).await?,
            Backend::Line(line) => line.of(person.clone()).await?,
        };
        found.retain(|record| record.expires_at > now);
        found.sort_by(|a, b| b.seen_at.cmp(&a.seen_at).then_with(|| a.id.cmp(&b.id)));
        Ok(found)
    }

    /// Puts a record in the place of version `expected`, as version `expected + 1`; `record.version` does not count.
    /// False when the version is another one by now, or the session is not known, or has ended. Of those who read
    /// the same version one succeeds.
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Full`], [`SessionsError::Unavailable`].
    pub async fn replace(&self, record: SessionRecord, expected: u64) -> Result<bool, SessionsError> {
        let (record, now) = (record.fit()?, self.now());
        let record = SessionRecord { version: expected.saturating_add(1), ..record };
        match &*self.backend {
            Backend::File(file) => file.replace(record, expected, now).await,
            Backend::Line(line) => line.replace(record, expected, now).await,
        }
    }

    /// Notes when sessions were last seen, and where. An older instant never wins, and a session that is not known
    /// is left out. Not one change: after an error some may be noted.
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Full`], [`SessionsError::Unavailable`].
    pub async fn touch(&self, seen: &[Touch]) -> Result<(), SessionsError> {
        for touch in seen {
            record::fits_id("id", &touch.id)?;
            record::fits_time("seen_at", touch.seen_at)?;
        }
        let seen = seen.to_vec();
        match &*self.backend {
            Backend::File(file) => file.touch(seen).await,
            Backend::Line(line) => line.touch(seen).await,
        }
    }

    /// Forgets a session. False when it is not known. Ends nothing: that is a revocation's work.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`].
    pub async fn remove(&self, person: &UserId, id: &str) -> Result<bool, SessionsError> {
        record::fits_id("id", id)?;
        let (person, id) = (person.clone(), id.to_owned());
        match &*self.backend {
            Backend::File(file) => file.remove(person, id).await,
            Backend::Line(line) => line.remove(person, id).await,
        }
    }

    /// Forgets all sessions of a person, and says how many were known.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`].
    pub async fn remove_all(&self, person: &UserId) -> Result<u64, SessionsError> {
        match &*self.backend {
            Backend::File(file) => file.remove_all(person.clone()).await,
            Backend::Line(line) => line.remove_all(person.clone()).await,
        }
    }

    /// Those of whom something is kept, some at a time: of whom sessions have ended may be still among them, and nobody
    /// is left out who was there all the time. Begins with `None`, and goes on with what came with the people before,
    /// until that is `None`. About `limit` of them at a time, at most ten times as many, and some may come twice.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`].
    pub async fn people(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<UserId>, Option<String>), SessionsError> {
        let after = after.map(str::to_owned);
        match &*self.backend {
            Backend::File(file) => file.people(after, limit).await,
            Backend::Line(line) => line.people(after, limit).await,
        }
    }

    /// Puts something that can be taken once, at most 8 KiB, for at most an hour. False when there is something of
    /// this kind and name already, which then stays.
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Full`], [`SessionsError::Unavailable`].
    pub async fn put_once(
        &self,
        kind: OnceKind,
        id: &str,
        bytes: Vec<u8>,
        ttl: Duration,
    ) -> Result<bool, SessionsError> {
        record::fits_id("id", id)?;
        record::fits_once(&bytes)?;
        let (id, ttl, now) = (id.to_owned(), lasts(ttl), self.now());
        match &*self.backend {
            Backend::File(file) => file.put_once((kind, id), bytes, now.plus(ttl), now).await,
            Backend::Line(line) => line.put_once((kind, id), bytes, ttl).await,
        }
    }

    /// Takes it. One of all who try gets it, on whichever node; after [`SessionsError::Unavailable`] nobody may.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`].
    pub async fn take_once(&self, kind: OnceKind, id: &str) -> Result<Option<Vec<u8>>, SessionsError> {
        record::fits_id("id", id)?;
        let (id, now) = (id.to_owned(), self.now());
        match &*self.backend {
            Backend::File(file) => file.take_once((kind, id), now).await,
            Backend::Line(line) => line.take_once((kind, id)).await,
        }
    }

    /// Takes the lock `name` for `holder`, a word that nobody else uses, for at most an hour. `None` while somebody
    /// has it, `holder` included. A lock says who works; what must not be done twice is held by
    /// [`replace`](Self::replace).
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Full`], [`SessionsError::Unavailable`].
    pub async fn lock(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Held>, SessionsError> {
        let (name, holder) = lock_of(name, holder)?;
        let (ttl, now) = (lasts(ttl), self.now());
        match &*self.backend {
            Backend::File(file) => file.lock(name, holder, now.plus(ttl), now).await,
            Backend::Line(line) => line.lock(name, holder, ttl).await,
        }
    }

    /// Keeps the lock for `ttl` from now on. False when `holder` has it no more.
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Unavailable`].
    pub async fn renew(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionsError> {
        let (name, holder) = lock_of(name, holder)?;
        let (ttl, now) = (lasts(ttl), self.now());
        match &*self.backend {
            Backend::File(file) => file.renew(name, holder, now.plus(ttl), now).await,
            Backend::Line(line) => line.renew(name, holder, ttl).await,
        }
    }

    /// Gives the lock back. False when `holder` has it no more.
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Unavailable`].
    pub async fn unlock(&self, name: &str, holder: &str) -> Result<bool, SessionsError> {
        let ((name, holder), now) = (lock_of(name, holder)?, self.now());
        match &*self.backend {
            Backend::File(file) => file.unlock(name, holder, now).await,
            Backend::Line(line) => line.unlock(name, holder).await,
        }
    }

    /// What is remembered of a person, and its version.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`].
    pub async fn memory(&self, person: &UserId) -> Result<Option<(u64, Vec<u8>)>, SessionsError> {
        let now = self.now();
        match &*self.backend {
            Backend::File(file) => file.memory(person.clone(), now).await,
            Backend::Line(line) => line.memory(person.clone()).await,
        }
    }

    /// Remembers something of a person, at most 4 KiB, in the place of version `expected`; 0 stands for nothing. It
    /// is version `expected + 1` then, and forgotten 90 days after. False when the version is another one by now.
    ///
    /// # Errors
    /// [`SessionsError::Unfit`], [`SessionsError::Full`], [`SessionsError::Unavailable`].
    pub async fn put_memory(
        &self,
        person: &UserId,
        bytes: &[u8],
        expected: u64,
    ) -> Result<bool, SessionsError> {
        record::fits_memory(bytes)?;
        let (person, bytes, now) = (person.clone(), bytes.to_vec(), self.now());
        match &*self.backend {
            Backend::File(file) => file.put_memory(person, bytes, expected, (now.plus(MEMORY), now)).await,
            Backend::Line(line) => line.put_memory(person, bytes, expected, MEMORY).await,
        }
    }

    /// Asks the control nodes to revoke something: for a node that has no directory. It is in force when one of them
    /// has done it, not before, and no later than it does. A control node with the same store need not ask.
    ///
    /// # Errors
    /// [`SessionsError::NoFleet`] without Redis; [`SessionsError::Full`] while 10,000 wait;
    /// [`SessionsError::Unfit`], [`SessionsError::Unavailable`].
    pub async fn ask_to_end(&self, end: &ToEnd) -> Result<(), SessionsError> {
        let fields = asks::fields(end)?;
        match &*self.backend {
            Backend::File(_) => Err(SessionsError::NoFleet),
            Backend::Line(line) => line.ask(fields).await,
        }
    }

    /// What gateway nodes asked for and nobody has [acknowledged](Self::acknowledge), the oldest first, at most
    /// `limit`. For control nodes. As long as one of them asks, at least every ten seconds, the others get nothing, so
    /// that mostly one of them does it; but each may come twice. What makes no sense is dropped and told.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`]. Without Redis there is never anything.
    pub async fn asked_to_end(&self, limit: usize) -> Result<Vec<Asked>, SessionsError> {
        match &*self.backend {
            Backend::File(_) => Ok(Vec::new()),
            Backend::Line(line) => line.asked(limit).await,
        }
    }

    /// What is durable now, and need not come again.
    ///
    /// # Errors
    /// [`SessionsError::Unavailable`]: then it comes again.
    pub async fn acknowledge(&self, done: &[EntryId]) -> Result<(), SessionsError> {
        match &*self.backend {
            Backend::File(_) => Ok(()),
            Backend::Line(line) => line.acknowledge(done.to_vec()).await,
        }
    }

    /// How the store does.
    #[must_use]
    pub fn health(&self) -> SessionsHealth {
        match &*self.backend {
            Backend::File(file) => file.health(),
            Backend::Line(line) => line.health(),
        }
    }

    fn now(&self) -> UnixMillis {
        (self.clock)()
    }
}

fn lasts(ttl: Duration) -> Duration {
    ttl.clamp(Duration::from_millis(1), LASTS_MAX)
}

fn lock_of(name: &str, holder: &str) -> Result<(String, String), SessionsError> {
    record::fits_id("name", name)?;
    record::fits_id("holder", holder)?;
    Ok((name.to_owned(), holder.to_owned()))
}

/// A record of a list that is none.
fn left_out(id: &str) {
    tracing::warn!(id = %id.escape_debug(), "a record of a session cannot be read: it is left out");
}
