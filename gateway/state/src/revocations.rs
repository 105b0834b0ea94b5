//! The handle on everything that was taken away.

pub(crate) mod replica;

mod follower;
mod forgetting;
mod halts;
mod marktime;
mod queue;
mod shared;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use doorward_model::limits::{REVOCATION_PAGE_ROWS_MAX, REVOCATION_WRITE_SECONDS_MAX};
use doorward_model::time::Clock;
use doorward_model::{Entry, Presented, Target, UnixMillis};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::change::{Action, Applied, Change, Ended, Receipt};
use crate::config::RevocationConfig;
use crate::error::{StateError, StoreError};
use crate::standing::{Refused, Unrevoked, judge};
use crate::store::{Handle, Row, Seq, Store};

use halts::flagged;
use marktime::MarkTime;
use queue::Pending;
use replica::Replica;
use shared::Shared;
pub use shared::{LateSubscriber, Subscriber};
use writer::Writer;

/// Who was cut off. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Revocations {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    bytes_max: u64,
    /// For listing; the writer and the follower have handles of their own.
    reader: Arc<Mutex<Store>>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    /// Dropping it stops the follower and the pulse.
    stop: Vec<mpsc::Sender<()>>,
    writer: Option<JoinHandle<usize>>,
    others: Vec<JoinHandle<()>>,
}

/// What was found on opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// The store.
    pub file: PathBuf,
    /// It did not exist: nobody is cut off yet.
    pub created: bool,
    /// Others than the owner could read or write the file, which was put right.
    pub tightened: bool,
    /// Another process of this node has it open: an upgrade is under way.
    pub shared: bool,
    /// It was there, and nothing beside it said how far its log went: it is taken as it is.
    pub unmarked: bool,
    /// Rows of the log.
    pub rows: u64,
    /// Targets that are remembered.
    pub entries: usize,
}

/// How the store does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHealth {
    /// The last write succeeded. While it is false, nobody is reactivated.
    pub writable: bool,
    /// The thread that writes lives. Once it is dead, nothing is saved until a restart.
    pub alive: bool,
    /// The store was read within the last few seconds. While it is false, requests are refused.
    pub fresh: bool,
    /// Every revocation that was acknowledged before this instant is known.
    pub as_of: UnixMillis,
    /// Changes that are in force and not on the disk yet.
    pub unsaved: usize,
    /// Targets that are remembered.
    pub entries: usize,
    /// How many changes this process has seen.
    pub generation: u64,
    /// Changes that this process wrote.
    pub saved_total: u64,
    /// Attempts to write that failed.
    pub write_failures_total: u64,
    /// The size of the store at the last write.
    pub bytes: u64,
    /// The bound of that size.
    pub bytes_max: u64,
    /// What the store said when writing or reading failed, until it works again.
    pub last_error: Option<String>,
}

impl Revocations {
    /// Opens the store, checks it, reads the whole log and starts the threads. Blocks: call it
    /// before the gateway takes requests, or on a thread that may block.
    ///
    /// # Errors
    /// When the store is damaged, missing, newer than this version, of another gateway, or
    /// cannot be read. Nothing is ever created over something that is broken.
    pub fn open(config: &RevocationConfig, clock: Clock) -> Result<(Self, OpenReport), StateError> {
        let (mut store, handle) = Store::open(config.store())?;
        let Log { replica, seen, highest, newest, rows } = read_all(&mut store)?;
        let time = MarkTime::new(clock, highest);
        let report = OpenReport {
            file: handle.file.clone(),
            created: handle.created,
            tightened: handle.tightened,
            shared: handle.shared,
            unmarked: handle.unmarked,
            rows,
            entries: replica.len(),
        };
        let shared = Shared::new(replica, time, config.retention(), store.bytes()?);
        let reader = store.again()?;
        let follower = store.again()?;
        let bytes_max = handle.bytes_max;
        let threads = start(&shared, store, follower, (seen, newest), handle)?;
        let reader = Arc::new(Mutex::new(reader));
        let inner = Inner { shared, bytes_max, reader, threads: Mutex::new(threads) };
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// Makes a change. A revocation is in force, and what it ends has been told to end, before
    /// the first await; the answer comes when it is on the disk. Dropping the future takes
    /// nothing back. A grant is on the disk first.
    ///
    /// # Errors
    /// See [`StateError`]; [`StateError::enforced`] says whether the change is in force anyway.
    pub async fn apply(&self, change: Change) -> Result<Receipt, StateError> {
        change.check()?;
        let id = Uuid::new_v4();
        let target = change.target.clone();
        let (enforced_at, mut ended) = match change.action {
            Action::Revoke | Action::Disable => self.enforce(&change, id),
            Action::Reactivate => {
                if !self.inner.shared.writes.working() {
                    return Err(StateError::GrantsRefused { why: self.last_error() });
                }
                self.inner.shared.halts.overruled(&target);
                (None, Ended::default())
            }
        };
        let (action, enforced) = (change.action, enforced_at.is_some());
        let (ack, mut answer) = oneshot::channel();
        let pending = Pending { id, change, enforced_at, ack: Some(ack) };
        if !self.inner.shared.queue.push(pending) {
            if action == Action::Disable {
                self.inner.shared.halts.not_kept(&target);
            }
            let why = "too many changes wait for the disk, or the store is closed".to_owned();
            return Err(StateError::NotDurable { enforced, kept: false, why });
        }
        let seconds = REVOCATION_WRITE_SECONDS_MAX;
        let told = match tokio::time::timeout(Duration::from_secs(seconds), &mut answer).await {
            Ok(told) => told,
            // What is not answered by now is answered to those who are told of late receipts.
            Err(_) => {
                answer.close();
                match answer.try_recv() {
                    Ok(told) => Ok(told),
                    Err(_) => return Err(StateError::Unanswered { enforced, seconds }),
                }
            }
        };
        let saved = match told {
            Ok(Ok(saved)) => saved,
            Ok(Err(why)) => return Err(StateError::NotDurable { enforced, kept: enforced, why }),
            Err(_) => {
                let why = "the store is closed".to_owned();
                return Err(StateError::NotDurable { enforced, kept: false, why });
            }
        };
        ended += saved.ended;
        Ok(Receipt {
            id,
            target,
            entry: saved.entry,
            applied_at: saved.applied_at,
            durable_at: saved.durable_at,
            ended,
        })
    }

    /// Puts a revocation into force in this process.
    fn enforce(&self, change: &Change, id: Uuid) -> (Option<UnixMillis>, Ended) {
        let shared = &self.inner.shared;
        let now = shared.time.now();
        if change.action == Action::Disable {
            shared.halts.enter(&change.target, id);
        }
        let merged = shared.replica.change(&change.target, |known| {
            if change.action == Action::Disable {
                flagged(known, true, now)
            } else {
                Entry { not_before: known.not_before.max(now), ..known }
            }
        });
        let applied = Applied { id, target: change.target.clone(), entry: merged.entry, at: now };
        // Told even when nothing changed (twice in one millisecond): the caller asked for an end.
        (Some(now), shared.announce(&applied))
    }

    /// Whether everything that a request presents stands, where issuers' clocks may be off by
    /// `skew`. No I/O, no lock.
    ///
    /// # Errors
    /// When something of it was cut off, or when it cannot be known that nothing was.
    pub fn check(&self, presented: &Presented, skew: Duration) -> Result<Unrevoked, Refused> {
        let shared = &self.inner.shared;
        judge(&shared.replica, presented, skew, shared.freshness())
    }

    /// Counts the changes that this process has seen; 0 while nobody was ever cut off. As long as
    /// it stays the same, so does the answer of [`check`](Self::check).
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner.shared.replica.generation()
    }

    /// From now on `subscriber` is told of every change that takes effect here.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.inner.shared.subscribe(subscriber);
    }

    /// From now on `subscriber` is told of every change that is saved when nobody reads its
    /// receipt any more: its caller was told that it is not durable, or not known to be, or went
    /// away. So what an audit log lacks can be put on record.
    pub fn subscribe_late(&self, subscriber: LateSubscriber) {
        self.inner.shared.subscribe_late(subscriber);
    }

    /// What holds for one target, if it was ever touched.
    #[must_use]
    pub fn lookup(&self, target: &Target) -> Option<Entry> {
        self.inner.shared.replica.get(target)
    }

    /// Rows of the log, the newest first: of one target or of all, at most `limit`, and older
    /// than the row `after` when a former page ended there. Reads the disk, off the runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(
        &self,
        of: Option<Target>,
        limit: usize,
        after: Option<Seq>,
    ) -> Result<Vec<Row>, StateError> {
        let reader = Arc::clone(&self.inner.reader);
        let limit = limit.min(REVOCATION_PAGE_ROWS_MAX);
        let read = tokio::task::spawn_blocking(move || {
            let mut store = reader.lock().unwrap_or_else(PoisonError::into_inner);
            store.newest(of.as_ref(), after, limit)
        });
        match read.await {
            Ok(rows) => Ok(rows?),
            Err(_) => Err(StateError::Interrupted),
        }
    }

    /// How the store does.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        let shared = &self.inner.shared;
        let freshness = shared.freshness();
        StoreHealth {
            writable: shared.writes.working(),
            alive: !shared.writes.is_dead(),
            fresh: freshness.fresh,
            as_of: freshness.as_of,
            unsaved: shared.queue.len(),
            entries: shared.replica.len(),
            generation: shared.replica.generation(),
            saved_total: shared.writes.saved.load(Ordering::Relaxed),
            write_failures_total: shared.writes.failures.load(Ordering::Relaxed),
            bytes: shared.writes.bytes.load(Ordering::Relaxed),
            bytes_max: self.inner.bytes_max,
            last_error: shared.writes.last_error().or_else(|| shared.read_error()),
        }
    }

    /// For how long the store has not been read, whatever the clock says: near zero as long as all
    /// is well. After five seconds requests are refused; what runs goes on, and whoever carries it
    /// decides for how long.
    #[must_use]
    pub fn unread_for(&self) -> Duration {
        self.inner.shared.unread_for()
    }

    fn last_error(&self) -> String {
        self.inner.shared.writes.last_error().unwrap_or_default()
    }

    /// Saves what waits, stops the threads and closes the store. Other clones still check, and
    /// still enforce, but save nothing any more. Returns how many changes could not be saved.
    pub async fn close(self) -> usize {
        let (writer, others) = self.inner.stop();
        let shared = Arc::clone(&self.inner.shared);
        let join = tokio::task::spawn_blocking(move || {
            for thread in others {
                // A thread that panicked has said so; there is nothing left to stop.
                let _panicked = thread.join();
            }
            match writer.map(JoinHandle::join) {
                Some(Ok(unsaved)) => unsaved,
                Some(Err(_panicked)) => shared.queue.len(),
                None => 0,
            }
        });
        join.await.unwrap_or_default()
    }
}

// === impl Inner ===

impl Inner {
    /// Tells the threads to end, and hands them over for joining.
    fn stop(&self) -> (Option<JoinHandle<usize>>, Vec<JoinHandle<()>>) {
        self.shared.queue.close();
        self.shared.no_longer_current();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.stop.clear();
        (threads.writer.take(), std::mem::take(&mut threads.others))
    }
}

impl Drop for Inner {
    /// The threads end by themselves, the writer after what waits is saved.
    fn drop(&mut self) {
        let _not_joined = self.stop();
    }
}

/// What the log says.
struct Log {
    replica: Replica,
    /// The last row.
    seen: Seq,
    /// The highest time in it.
    highest: UnixMillis,
    /// When its newest row was recorded.
    newest: UnixMillis,
    rows: u64,
}

/// Reads the whole log.
fn read_all(store: &mut Store) -> Result<Log, StoreError> {
    let expected = store.count()?;
    let mut key = [0; 16];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| StoreError::NoRandomness)?;
    let replica = Replica::with_capacity(key, expected);
    let (highest, newest) = (UnixMillis::default(), UnixMillis::default());
    let mut log = Log { replica, seen: Seq::START, highest, newest, rows: 0 };
    loop {
        let rows = store.read_after(log.seen, REVOCATION_PAGE_ROWS_MAX)?;
        for row in &rows {
            log.replica.merge(&row.target, row.entry);
            log.newest = log.newest.max(row.recorded_at);
            log.highest = log.highest.max(row.recorded_at).max(row.entry.not_before);
            log.seen = row.seq;
            log.rows += 1;
        }
        if rows.len() < REVOCATION_PAGE_ROWS_MAX {
            return Ok(log);
        }
    }
}

/// Says that the writer died, when it does: a process that saves nothing must not look healthy.
struct LastWord(Arc<Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // First known, then told: whoever is told may ask for a grant the next moment.
            self.0.writes.died();
            self.0.queue.abandon();
        }
    }
}

fn start(
    shared: &Arc<Shared>,
    store: Store,
    follower: Store,
    (seen, newest): (Seq, UnixMillis),
    handle: Handle,
) -> Result<Threads, StoreError> {
    let (stop_follower, follower_stops) = mpsc::channel();
    let (stop_pulse, pulse_stops) = mpsc::channel();
    let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let failed = |source| StoreError::Io { file: handle.file.clone(), doing: "start a thread for", source };

    let all = Arc::clone(shared);
    let follow = move || follower::follow(&all, follower, seen, &follower_stops);
    let mut others = vec![spawn("rev-follower").spawn(follow).map_err(failed)?];
    let all = Arc::clone(shared);
    let pulse = move || follower::pulse(&all, &pulse_stops);
    others.push(spawn("rev-pulse").spawn(pulse).map_err(failed)?);

    let writer = Writer::new(Arc::clone(shared), store, seen, newest);
    let last_word = LastWord(Arc::clone(shared));
    let lock = handle.lock;
    let write = move || {
        // The lock on the file is held until the last row is written.
        let _lock = lock;
        let _last_word = last_word;
        writer.run()
    };
    let writer = spawn("rev-writer").spawn(write).map_err(failed)?;
    Ok(Threads { stop: vec![stop_follower, stop_pulse], writer: Some(writer), others })
}
