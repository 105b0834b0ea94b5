//! The handle on everything that was taken away.

pub(crate) mod replica;

mod follower;
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

use marktime::MarkTime;
use queue::Pending;
use replica::Replica;
use shared::Shared;
pub use shared::Subscriber;
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
        let (replica, seen, highest, rows) = read_all(&mut store)?;
        let time = MarkTime::new(clock, highest);
        let report = OpenReport {
            file: handle.file.clone(),
            created: handle.created,
            tightened: handle.tightened,
            shared: handle.shared,
            rows,
            entries: replica.len(),
        };
        let shared = Shared::new(replica, time, config.retention(), store.bytes()?);
        let reader = store.again()?;
        let follower = store.again()?;
        let bytes_max = handle.bytes_max;
        let threads = start(&shared, store, follower, seen, handle)?;
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
            Action::Revoke | Action::Disable => self.enforce(&change),
            Action::Reactivate => {
                if !self.inner.shared.writes.working() {
                    return Err(StateError::GrantsRefused { why: self.last_error() });
                }
                (None, Ended::default())
            }
        };
        let enforced = enforced_at.is_some();
        let (ack, answer) = oneshot::channel();
        let pending = Pending { id, change, enforced_at, ack: Some(ack) };
        if !self.inner.shared.queue.push(pending) {
            let why = "too many changes wait for the disk, or the store is closed".to_owned();
            return Err(StateError::NotDurable { enforced, kept: false, why });
        }
        let seconds = REVOCATION_WRITE_SECONDS_MAX;
        let saved = match tokio::time::timeout(Duration::from_secs(seconds), answer).await {
            Ok(Ok(Ok(saved))) => saved,
            Ok(Ok(Err(why))) => return Err(StateError::NotDurable { enforced, kept: enforced, why }),
            Ok(Err(_)) => {
                let why = "the store is closed".to_owned();
                return Err(StateError::NotDurable { enforced, kept: false, why });
            }
            Err(_) => return Err(StateError::Unanswered { enforced, seconds }),
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
    fn enforce(&self, change: &Change) -> (Option<UnixMillis>, Ended) {
        let shared = &self.inner.shared;
        let now = shared.time.now();
        let merged = shared.replica.change(&change.target, |known| {
            if change.action == Action::Disable {
                writer::next(known, true, now)
            } else {
                Entry { not_before: known.not_before.max(now), ..known }
            }
        });
        let applied = Applied { target: change.target.clone(), entry: merged.entry, at: now };
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

    fn last_error(&self) -> String {
        self.inner.shared.writes.last_error().unwrap_or_default()
    }

    /// Saves what waits, stops the threads and closes the store. Other clones still check, and
    /// still enforce, but save nothing any more. Returns how many changes could not be saved.
    pub async fn close(self) -> usize {
        let (writer, others) = self.inner.stop();
        let join = tokio::task::spawn_blocking(move || {
            for thread in others {
                // A thread that panicked has said so; there is nothing left to stop.
                let _panicked = thread.join();
            }
            writer.and_then(|thread| thread.join().ok()).unwrap_or_default()
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

/// Reads the whole log. Also returns the last row, the highest time in it and how many there are.
fn read_all(store: &mut Store) -> Result<(Replica, Seq, UnixMillis, u64), StoreError> {
    let expected = store.count()?;
    let mut key = [0; 16];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| StoreError::NoRandomness)?;
    let replica = Replica::with_capacity(key, expected);
    let (mut seen, mut highest, mut count) = (Seq::START, UnixMillis::default(), 0_u64);
    loop {
        let rows = store.read_after(seen, REVOCATION_PAGE_ROWS_MAX)?;
        for row in &rows {
            replica.merge(&row.target, row.entry);
            highest = highest.max(row.recorded_at).max(row.entry.not_before);
            seen = row.seq;
            count += 1;
        }
        if rows.len() < REVOCATION_PAGE_ROWS_MAX {
            return Ok((replica, seen, highest, count));
        }
    }
}

fn start(
    shared: &Arc<Shared>,
    store: Store,
    follower: Store,
    seen: Seq,
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

    let writer = Writer::new(Arc::clone(shared), store, seen);
    let lock = handle.lock;
    let write = move || {
        // The lock on the file is held until the last row is written.
        let _lock = lock;
        writer.run()
    };
    let writer = spawn("rev-writer").spawn(write).map_err(failed)?;
    Ok(Threads { stop: vec![stop_follower, stop_pulse], writer: Some(writer), others })
}
