//! The handle on everything that was taken away.

pub(crate) mod replica;

mod commit;
mod follower;
pub(crate) mod forgetting;
mod halts;
pub(crate) mod lease;
mod looks;
mod marktime;
pub(crate) mod queue;
pub(crate) mod reads;
pub(crate) mod shared;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use doorward_model::limits::REVOCATION_PAGE_ROWS_MAX;
use doorward_model::time::{Clock, Clocks};
use doorward_model::{Entry, Presented, Target, UnixMillis};
use uuid::Uuid;

use crate::config::{RevocationConfig, StoreConfig};
use crate::debt::{Debt, NewDebt};
use crate::error::{StateError, StoreError};
use crate::fleet::{Fleet, FleetHealth, Given, NodeReport, Position, Telling};
use crate::records::{RecordMemory, Version};
use crate::standing::{Refused, Unrevoked, judge};
use crate::store::{Lock, Row, Seq, Store};

use lease::Lease;
use marktime::MarkTime;
use replica::Replica;
use shared::Shared;
pub use shared::{LateSubscriber, Subscriber};
use writer::Writer;

/// How often it is looked whether something is out, while somebody waits for it.
const LOOKS_OUT_EVERY: Duration = Duration::from_millis(10);

/// Who was cut off. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Revocations {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    bytes_max: u64,
    /// For listing; the writer and the follower have handles of their own. A gateway node has none.
    reader: Option<Arc<tokio::sync::Mutex<Store>>>,
    fleet: Option<Fleet>,
    /// What keeps other gateways out of the store, until the last row is written. A gateway node has none.
    lock: Weak<Lock>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    /// Wakes the follower and the pulse, which look whether the process is over.
    stop: Vec<mpsc::SyncSender<()>>,
    writer: Option<JoinHandle<usize>>,
    others: Vec<JoinHandle<()>>,
    /// What speaks to Redis.
    fleet: Vec<JoinHandle<()>>,
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
    pub fn open(config: &RevocationConfig, clocks: Clocks) -> Result<(Self, OpenReport), StateError> {
        let lease = config.redis().map(|redis| Arc::new(Lease::new(clocks.uptime, redis.lease())));
        match config.store() {
            StoreConfig::None => Self::open_gateway(config, clocks.wall, lease),
            StoreConfig::Embedded(_) => Self::open_directory(config, clocks.wall, lease, None),
            // The database may be deposed without knowing it; the lease may not.
            StoreConfig::Postgres(_) => {
                let currency = lease.clone();
                Self::open_directory(config, clocks.wall, lease, currency)
            }
        }
    }

    /// Opens a node that has the directory. What is known to be current rests on `currency`, or on
    /// reading the directory.
    fn open_directory(
        config: &RevocationConfig,
        wall: Clock,
        lease: Option<Arc<Lease>>,
        currency: Option<Arc<Lease>>,
    ) -> Result<(Self, OpenReport), StateError> {
        let (mut store, handle) = Store::open(config.store())?;
        let Log { replica, seen, highest, newest, rows } = read_all(&mut store)?;
        let time = MarkTime::new(wall, highest);
        let report = OpenReport {
            file: handle.file.clone(),
            created: handle.created,
            tightened: handle.tightened,
            shared: handle.shared,
            unmarked: handle.unmarked,
            rows,
            entries: replica.len(),
        };
        let follows_store = currency.is_none();
        let shared = Shared::new(replica, time, config.retention(), store.bytes()?, currency);
        let records = read_records(&mut store, &shared.records)?;
        let reader = store.again()?;
        let bytes_max = handle.bytes_max;
        let mut threads = Threads::default();
        let failed =
            |source| StoreError::Io { file: report.file.clone(), doing: "start a thread for", source };
        let mut courier = None;
        let mut fleet = None;
        if let (Some(redis), Some(lease)) = (config.redis(), lease) {
            let (sender, committed) = tokio::sync::mpsc::unbounded_channel();
            let directory = Some((store.again()?, committed));
            let given = Given { config: redis, node: config.node(), lease, directory };
            let (joined, running) = Fleet::join(&shared, given).map_err(failed)?;
            (fleet, courier) = (Some(joined), Some(sender));
            threads.fleet = running;
        }
        // Where a lease is rested on, the log comes through Redis; records come both ways.
        let seen_here = follows_store.then_some(seen);
        follow_store(&shared, &mut threads, store.again()?, (seen_here, records)).map_err(failed)?;
        start_pulse(&shared, &mut threads).map_err(failed)?;
        let writer = Writer::new(Arc::clone(&shared), store, (seen, newest), courier);
        let held = Arc::new(handle.lock);
        let lock = Arc::downgrade(&held);
        start_writer(&shared, &mut threads, writer, held).map_err(failed)?;
        if let Some(fleet) = fleet.as_ref().filter(|_| !follows_store) {
            fleet.await_first_lease();
        }
        let reader = Some(Arc::new(tokio::sync::Mutex::new(reader)));
        let inner = Inner { shared, bytes_max, reader, fleet, lock, threads: Mutex::new(threads) };
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// Opens a node that learns from Redis what the directory holds. It knows nothing at first, and
    /// refuses everything until it does.
    fn open_gateway(
        config: &RevocationConfig,
        wall: Clock,
        lease: Option<Arc<Lease>>,
    ) -> Result<(Self, OpenReport), StateError> {
        let (Some(redis), Some(lease)) = (config.redis(), lease) else { return Err(StateError::NotHere) };
        let time = MarkTime::new(wall, UnixMillis::default());
        let replica = Replica::with_capacity(new_key()?, 0);
        let shared = Shared::new(replica, time, config.retention(), 0, Some(Arc::clone(&lease)));
        let mut threads = Threads::default();
        let given = Given { config: redis, node: config.node(), lease, directory: None };
        let failed =
            |source| StoreError::Io { file: PathBuf::from("Redis"), doing: "start a thread for", source };
        let (fleet, running) = Fleet::join(&shared, given).map_err(failed)?;
        threads.fleet = running;
        start_pulse(&shared, &mut threads).map_err(failed)?;
        fleet.await_first_lease();
        let threads = Mutex::new(threads);
        let inner =
            Inner { shared, bytes_max: 0, reader: None, fleet: Some(fleet), lock: Weak::new(), threads };
        let report = OpenReport {
            file: PathBuf::new(),
            created: false,
            tightened: false,
            shared: false,
            unmarked: false,
            rows: 0,
            entries: 0,
        };
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// Whether everything that a request presents stands, where issuers' clocks may be off by
    /// `skew`. No I/O, no lock.
    ///
    /// # Errors
    /// When something of it was cut off, or when it cannot be known that nothing was.
    pub fn check(&self, presented: &Presented, skew: Duration) -> Result<Unrevoked, Refused> {
        let shared = &self.inner.shared;
        judge(&shared.replica, presented, skew, (shared.freshness(), Duration::ZERO))
    }

    /// [`check`](Self::check) for an app that goes on for less than `stale_max` when it cannot be
    /// known that nothing was cut off; [`Unrevoked::stale_for`] says by how much it did. What is
    /// known to be cut off is refused all the same.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_within(
        &self,
        presented: &Presented,
        skew: Duration,
        stale_max: Duration,
    ) -> Result<Unrevoked, Refused> {
        let shared = &self.inner.shared;
        judge(&shared.replica, presented, skew, (shared.freshness(), stale_max))
    }

    /// Waits until everything is known that was acknowledged anywhere before this call, for apps
    /// for which a lease is not enough. Requests that wait at the same time share one read.
    ///
    /// # Errors
    /// When no read succeeded within `bound`.
    pub async fn read_index(&self, bound: Duration) -> Result<(), Refused> {
        let shared = &self.inner.shared;
        if shared.looks.next(bound).await {
            return Ok(());
        }
        Err(Refused::Stale { as_of: shared.freshness().as_of })
    }

    /// Asks every node of the fleet whether it has applied what stands at a position, until all
    /// have or `deadline` has passed. Empty where there is no fleet.
    ///
    /// # Errors
    /// On a gateway node, and when Redis cannot be asked.
    pub async fn fleet(&self, position: Position, deadline: Duration) -> Result<Vec<NodeReport>, StateError> {
        match &self.inner.fleet {
            Some(fleet) => fleet.reached(position, deadline).await,
            None => Ok(Vec::new()),
        }
    }

    /// Where the newest of what this process has acknowledged stands: a node that has come so far has all of it,
    /// records too. `None` before the first, and where there is no fleet.
    #[must_use]
    pub fn last_published(&self) -> Option<Position> {
        self.inner.fleet.as_ref()?.last_published()
    }

    /// From now on every report of this node to its fleet has this text beside it
    /// ([`NodeReport::told`](crate::NodeReport)). Only the first counts; nothing where there is no fleet.
    pub fn tell_with(&self, telling: Telling) {
        self.inner.shared.tell_with(telling);
    }

    /// Whether every change that was committed before this call is out to the fleet. True where there is
    /// none. Reads the directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn all_is_published(&self) -> Result<bool, StateError> {
        if self.inner.fleet.is_none() {
            return Ok(true);
        }
        let is_out = |store: &mut Store| {
            let wanted = store.reach()?;
            store.is_published(wanted)
        };
        self.with_reader(is_out).await
    }

    /// The same, and waits until it is so, at most for `bound`. What is committed meanwhile is not waited for.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn await_published(&self, bound: Duration) -> Result<bool, StateError> {
        if self.inner.fleet.is_none() {
            return Ok(true);
        }
        let wanted = self.with_reader(Store::reach).await?;
        let out = async {
            while !self.with_reader(move |store| store.is_published(wanted)).await? {
                tokio::time::sleep(LOOKS_OUT_EVERY).await;
            }
            Ok(true)
        };
        tokio::time::timeout(bound, out).await.unwrap_or(Ok(false))
    }

    /// How this node stands to its fleet. `None` where there is none.
    #[must_use]
    pub fn fleet_health(&self) -> Option<FleetHealth> {
        self.inner.fleet.as_ref().map(Fleet::health)
    }

    /// Whether this is the only process that decides by this directory: there is no fleet, the directory is a
    /// file, and no other process has it open at this moment. False also where that is not known, as of a
    /// database server. One that comes later reads first what was written before.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.inner.fleet.is_none() && self.inner.lock.upgrade().is_some_and(|lock| lock.is_alone())
    }

    /// Opens a control debt: an exception that somebody has to settle. Again with the same id
    /// changes nothing.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub async fn open_debt(&self, debt: NewDebt) -> Result<(), StateError> {
        self.with_reader(move |store| store.open_debt(&debt)).await
    }

    /// Settles a control debt. False when there is no open one of this id.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub async fn settle_debt(&self, id: Uuid, at: UnixMillis, how: String) -> Result<bool, StateError> {
        self.with_reader(move |store| store.settle_debt(id, at, &how)).await
    }

    /// Control debts, the newest first, at most `limit`, and older than `before` when a former
    /// page ended there.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn debts(
        &self,
        open_only: bool,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Debt>, StateError> {
        let limit = limit.min(REVOCATION_PAGE_ROWS_MAX);
        self.with_reader(move |store| store.debts(open_only, before, limit)).await
    }

    /// Works on the directory, off the runtime. Whoever waits for another to be done holds no thread
    /// meanwhile, and is forgotten when it goes away: a directory that hangs must not use them up.
    async fn with_reader<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StateError> {
        let reader = self.inner.reader.clone().ok_or(StateError::NotHere)?;
        let mut store = reader.lock_owned().await;
        let done = tokio::task::spawn_blocking(move || work(&mut store));
        match done.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(StateError::Interrupted),
        }
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
        let limit = limit.min(REVOCATION_PAGE_ROWS_MAX);
        self.with_reader(move |store| store.newest(of.as_ref(), after, limit)).await
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
        let Threads { writer, others, fleet, .. } = self.inner.stop();
        let shared = Arc::clone(&self.inner.shared);
        let join = tokio::task::spawn_blocking(move || {
            for thread in others {
                // A thread that panicked has said so; there is nothing left to stop.
                let _panicked = thread.join();
            }
            let unsaved = match writer.map(JoinHandle::join) {
                Some(Ok(unsaved)) => unsaved,
                Some(Err(_panicked)) => shared.queue.len(),
                None => 0,
            };
            // They end after the writer, when what it committed is out or cannot be.
            for thread in fleet {
                let _panicked = thread.join();
            }
            unsaved
        });
        join.await.unwrap_or_default()
    }
}

// === impl Inner ===

impl Inner {
    /// Tells the threads to end, and hands them over for joining.
    fn stop(&self) -> Threads {
        self.shared.queue.close();
        self.shared.no_longer_current();
        if let Some(fleet) = &self.fleet {
            fleet.leave();
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.stop.drain(..) {
            // One that is over hears nothing, and one that is woken already looks.
            let _waits = thread.try_send(());
        }
        std::mem::take(&mut *threads)
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
    let replica = Replica::with_capacity(new_key()?, expected);
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

/// Reads every published record, and returns up to which version.
fn read_records(store: &mut Store, memory: &RecordMemory) -> Result<Version, StoreError> {
    store.check_records()?;
    let mut seen = Version::START;
    loop {
        let page = store.records_after(seen, REVOCATION_PAGE_ROWS_MAX)?;
        memory.merge(page.records);
        memory.has_followed(page.up_to);
        seen = page.up_to;
        if !page.more {
            return Ok(seen);
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

/// A key for the hashes of one process.
fn new_key() -> Result<[u8; 16], StoreError> {
    let mut key = [0; 16];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| StoreError::NoRandomness)?;
    Ok(key)
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Starts the thread that reads what others wrote: of the log, if it is read here, and of the records.
fn follow_store(
    shared: &Arc<Shared>,
    threads: &mut Threads,
    store: Store,
    (seen, records): (Option<Seq>, Version),
) -> std::io::Result<()> {
    // One that waits is enough: it looks once for all who asked until then.
    let (wake, woken) = mpsc::sync_channel(1);
    threads.stop.push(wake.clone());
    let all = Arc::clone(shared);
    let thread = match seen {
        Some(seen) => {
            shared.looks.woken_by(Box::new(move || {
                let _waits = wake.try_send(());
            }));
            spawn("rev-follower", move || follower::follow(&all, store, (seen, records), &woken))?
        }
        None => spawn("rec-follower", move || follower::follow_records(&all, store, records, &woken))?,
    };
    threads.others.push(thread);
    Ok(())
}

fn start_pulse(shared: &Arc<Shared>, threads: &mut Threads) -> std::io::Result<()> {
    let (wake, woken) = mpsc::sync_channel(1);
    threads.stop.push(wake);
    let all = Arc::clone(shared);
    threads.others.push(spawn("rev-pulse", move || follower::pulse(&all, &woken))?);
    Ok(())
}

fn start_writer(
    shared: &Arc<Shared>,
    threads: &mut Threads,
    writer: Writer,
    lock: Arc<Lock>,
) -> std::io::Result<()> {
    let last_word = LastWord(Arc::clone(shared));
    let write = move || {
        // The lock on the store is held until the last row is written.
        let _lock = lock;
        let _last_word = last_word;
        writer.run()
    };
    threads.writer = Some(spawn("rev-writer", write)?);
    Ok(())
}
