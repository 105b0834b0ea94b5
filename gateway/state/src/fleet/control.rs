//! The thread of a control node that takes the directory to Redis.
//!
//! It publishes what is committed, blesses a Redis server that it has compared with the directory,
//! shortens the log, and asks the fleet how far it has come. Several control nodes may do so at
//! once: publishing twice changes nothing, and only one at a time reconciles.

mod asking;
mod outgoing;
mod reconcile;
mod tidy;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::RedisError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::config::RedisConfig;
use crate::error::StoreError;
use crate::fleet::courier::{Committed, Waiting};
use crate::fleet::ledger::Ledger;
use crate::fleet::link::{Link, Trouble, connect};
use crate::fleet::script::{Answer, Question, Scripts, Written};
use crate::fleet::status::Status;
use crate::fleet::{NodeReport, Position, Published};
use crate::records::Version;
use crate::revocations::lease::Lease;
use crate::revocations::queue::{Distribution, Saved};
use crate::revocations::shared::Shared;
use crate::store::{Reach, Seq, Store};

use asking::Asking;
use outgoing::{Beside, Outgoing, covers, furthest};

/// How often it looks whether all is well, and whether another control node left something.
const TICK: Duration = Duration::from_millis(250);
/// How often the ends of the log are looked at, and the roll is tidied.
const TIDY_EVERY: Duration = Duration::from_secs(2);
/// How long a caller waits for Redis before it is told that its change goes out later.
const PATIENCE: Duration = Duration::from_secs(3);
/// Whoever died while it reconciled holds up the others for so long.
const LOCK_MILLIS: u64 = 5_000;
/// How long a primary waits for a replica to have an entry. Not needed for the promise: it lowers
/// what a failover loses, and so how often everything is read anew.
const REPLICA_WAIT_MILLIS: u64 = 50;
/// How many may wait for the fleet at once; others wait for them.
const ASKING_MAX: usize = 16;

impl Control {
    /// So many may ask the fleet at once.
    pub(crate) fn turns() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(ASKING_MAX))
    }
}

/// What a caller wants of the fleet.
pub(crate) enum Request {
    /// Which nodes have come so far.
    Reached {
        position: Position,
        deadline: Duration,
        answer: oneshot::Sender<Result<Vec<NodeReport>, String>>,
    },
}

/// Everything that the thread needs.
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) status: Arc<Status>,
    pub(crate) config: RedisConfig,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) store: Option<Store>,
    pub(crate) committed: mpsc::UnboundedReceiver<Committed>,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    pub(crate) waiting: Waiting,
    /// What it wrote into the lock last.
    pub(crate) token: String,
    /// Who may ask the fleet.
    pub(crate) turns: Arc<Semaphore>,
    /// The epoch of the log, and since when it is known here.
    pub(crate) epoch: Option<(Uuid, Duration)>,
    /// The directory is published so far: a log that does not go so far has lost something, whatever the
    /// server says of itself.
    pub(crate) floor: Reach,
    /// Between what is published and this write there are only records that are not to be.
    pub(crate) idle: Version,
}

/// Why a session with Redis ended.
enum End {
    Redis(Trouble),
    Directory(StoreError),
    /// The thread that works on the directory died.
    Gone,
    Closed,
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Redis(trouble)
    }
}

impl Control {
    /// Runs until the writer has ended and what it committed is out, or cannot be.
    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>) {
        let mut turn: usize = 0;
        loop {
            turn = turn.wrapping_add(1);
            let why = match self.session(&stop, turn).await {
                End::Closed => break,
                End::Redis(trouble) => {
                    self.count_what_waits().await;
                    trouble.to_string()
                }
                End::Directory(error) => format!("the directory: {error}"),
                End::Gone => "the thread that reads the directory died; restart the gateway".to_owned(),
            };
            self.status.control_trouble(why);
            if *stop.borrow() {
                break;
            }
            let pause = tokio::time::sleep(TICK);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    committed = self.committed.recv() => match committed {
                        Some(committed) => self.waiting.take(committed, self.lease.now()),
                        // The writer is gone, and nothing more is committed.
                        None => return,
                    },
                    Some(request) = self.requests.recv() => self.refuse(request),
                }
            }
            self.tell_the_impatient(PATIENCE);
        }
    }

    /// So that it is seen while nothing goes out.
    async fn count_what_waits(&mut self) {
        let idle = self.idle;
        if let Ok(outgoing) = self.directory(move |store| Outgoing::read(store, idle)).await {
            self.status.outbox.store(outgoing.count(), Ordering::Relaxed);
        }
    }

    fn refuse(&self, request: Request) {
        let Request::Reached { answer, .. } = request;
        // Nobody there to tell is no harm.
        let _gone = answer.send(Err(self.status.why_unpublished()));
    }

    fn tell_the_impatient(&mut self, patience: Duration) {
        let why = self.status.why_unpublished();
        for (pending, saved) in self.waiting.impatient(self.lease.now(), patience) {
            let distribution = Distribution::Waiting(why.clone());
            self.shared.answer(pending, Saved { distribution, ..saved });
        }
    }

    async fn session(&mut self, stop: &watch::Receiver<bool>, turn: usize) -> End {
        let link = match connect(&self.config, self.scripts.keys(), false, turn).await {
            Ok(link) => link,
            Err(trouble) => return trouble.into(),
        };
        let mut session =
            Session { control: self, stop, link, tidied_at: None, mended_at: None, damaged: false };
        loop {
            if let Err(end) = session.round().await {
                return end;
            }
            if let Err(end) = session.wait().await {
                return end;
            }
        }
    }

    /// Works on the directory, off this thread.
    async fn directory<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, End> {
        let Some(mut store) = self.store.take() else { return Err(End::Gone) };
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut store);
            (store, result)
        });
        let Ok((store, result)) = worked.await else { return Err(End::Gone) };
        self.store = Some(store);
        result.map_err(End::Directory)
    }
}

impl Drop for Control {
    /// However it ends, by a panic too: nobody waits for it in vain.
    fn drop(&mut self) {
        // What the writer sends from now on, it answers itself.
        self.committed.close();
        while let Ok(committed) = self.committed.try_recv() {
            self.waiting.take(committed, self.lease.now());
        }
        self.tell_the_impatient(Duration::ZERO);
    }
}

struct Session<'a> {
    control: &'a mut Control,
    stop: &'a watch::Receiver<bool>,
    link: Link,
    tidied_at: Option<Duration>,
    mended_at: Option<Duration>,
    /// Something is missing in Redis: what is there is not to be gone on from.
    damaged: bool,
}

impl Session<'_> {
    fn said(&self, error: &RedisError) -> End {
        Trouble::said(&self.link.address, error).into()
    }

    /// Nothing is published where too few replicas follow: another primary may have taken over, from
    /// which the nodes have their leases.
    fn alone(&self) -> End {
        Trouble::NoReplicas { server: self.link.address.clone() }.into()
    }

    /// Sees that the log is good, and publishes what waits.
    async fn round(&mut self) -> Result<(), End> {
        let answer = self.look().await?;
        if answer.alone {
            return Err(self.alone());
        }
        if let Some(ledger) = &answer.ledger
            && self.control.epoch.is_none_or(|(known, _)| known != ledger.epoch)
        {
            self.control.epoch = Some((ledger.epoch, self.control.lease.now()));
        }
        let mark = answer.ledger.as_ref().map(|ledger| ledger.mark);
        let beside = self.control.directory(move |store| Beside::read(store, mark)).await?;
        if answer.ledger.as_ref().is_some_and(|ledger| beside.was_put_back(ledger)) {
            tracing::warn!(
                "the directory was put back: what nodes know of people is replaced by what it has"
            );
            self.control.directory(Store::begin_history).await?;
            return self.reconcile().await;
        }
        let good = answer.ledger.as_ref().is_some_and(|ledger| {
            answer.blessed && beside.owns(ledger) && covers(ledger.reach(), self.control.floor)
        });
        if !good || self.damaged {
            return self.reconcile().await;
        }
        // What was published before the next look.
        self.control.floor = beside.published;
        self.publish().await?;
        let now = self.control.lease.now();
        if let Some(ledger) = &answer.ledger
            && self.tidied_at.is_none_or(|at| now.saturating_sub(at) >= TIDY_EVERY)
        {
            self.tidied_at = Some(now);
            self.tidy(ledger).await?;
        }
        self.control.status.control_well();
        Ok(())
    }

    /// What the log says of itself. Asked as the nodes ask, and without a lease to gain.
    async fn look(&mut self) -> Result<Answer, End> {
        let question = Question { position: None, limit: 1, report: None };
        match self.control.scripts.poll(&mut self.link.connection, &question).await {
            Ok(answer) => Ok(answer),
            // Somebody put something else there: a blessing replaces it.
            Err(e) if is_damage(&e) => Ok(Answer::default()),
            Err(e) => Err(self.said(&e)),
        }
    }

    /// Publishes what is committed, until nothing is left.
    async fn publish(&mut self) -> Result<(), End> {
        loop {
            while let Ok(committed) = self.control.committed.try_recv() {
                self.control.waiting.take(committed, self.control.lease.now());
            }
            // The generation is read with the rows, after they were committed.
            let idle = self.control.idle;
            let outgoing = self.control.directory(move |store| Outgoing::read(store, idle)).await?;
            let (waits, generation) = (outgoing.count(), outgoing.generation);
            self.control.status.outbox.store(waits, Ordering::Relaxed);
            if waits == 0 {
                self.control.idle = outgoing.up_to;
                return self.all_is_out(generation.0).await;
            }
            let added = outgoing.call();
            let (connection, follows) = (&mut self.link.connection, (generation.0, self.control.floor));
            let written = self.control.scripts.publish(connection, follows, &added).await;
            if written.as_ref().is_err_and(is_damage) {
                self.damaged = true;
                return self.reconcile().await;
            }
            let position = match written.map_err(|e| self.said(&e))? {
                Written::Done(position) => position,
                Written::Alone => return Err(self.alone()),
                Written::Unblessed | Written::Outdated | Written::ChunkLost => return self.reconcile().await,
            };
            if self.link.replicated {
                let mut command = redis::cmd("WAIT");
                command.arg(1).arg(REPLICA_WAIT_MILLIS);
                // Nothing rests on it, so what it says is not heard.
                let _waited = command.exec_async(&mut self.link.connection).await;
            }
            // Another generation began meanwhile: whoever began it may not have seen these rows.
            let reach = Reach { row: added.last.row, records: added.records };
            if !self.control.directory(move |store| store.published(reach, generation)).await? {
                return self.reconcile().await;
            }
            self.control.floor = furthest(self.control.floor, reach);
            self.control.status.published(position);
            let published = Published { at: self.control.shared.time.clock(), position };
            for (pending, saved) in self.control.waiting.published(self.control.floor, published) {
                self.control.shared.answer(pending, saved);
            }
            self.control.status.outbox.store(0, Ordering::Relaxed);
            self.control.status.published.fetch_add(waits, Ordering::Relaxed);
        }
    }

    /// Nothing is unpublished. Whoever still waits has a change that went out before its writer said
    /// that it was committed, or that another control node took along.
    async fn all_is_out(&mut self, generation: u64) -> Result<(), End> {
        if self.control.waiting.is_empty() {
            return Ok(());
        }
        let answer = self.look().await?;
        let good = answer.blessed && !answer.alone;
        // Otherwise the next round sees to it that it is, and then they are told.
        let has_all =
            |ledger: &Ledger| ledger.generation == generation && covers(ledger.reach(), self.control.floor);
        let Some(ledger) = answer.ledger.filter(|ledger| good && has_all(ledger)) else {
            return Ok(());
        };
        let position = Position { epoch: ledger.epoch, id: ledger.last };
        self.control.status.published(position);
        let published = Published { at: self.control.shared.time.clock(), position };
        let all = Reach { row: Seq(i64::MAX), records: Version(i64::MAX) };
        for (pending, saved) in self.control.waiting.published(all, published) {
            self.control.shared.answer(pending, saved);
        }
        Ok(())
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<(), End> {
        let control = &mut *self.control;
        let tick = tokio::time::sleep(TICK);
        tokio::pin!(tick);
        loop {
            control.tell_the_impatient(PATIENCE);
            tokio::select! {
                () = &mut tick => return Ok(()),
                committed = control.committed.recv() => {
                    let Some(committed) = committed else { return Err(End::Closed) };
                    control.waiting.take(committed, control.lease.now());
                    return Ok(());
                }
                Some(Request::Reached { position, deadline, answer }) = control.requests.recv() => {
                    let asking = Asking {
                        connection: self.link.connection.clone(),
                        scripts: Arc::clone(&control.scripts),
                        lease: Arc::clone(&control.lease),
                        turns: Arc::clone(&control.turns),
                        epoch: control.epoch,
                    };
                    tokio::spawn(async move {
                        let asked = asking.until_reached(position, deadline).await;
                        // Whoever asked may have gone away.
                        let _gone = answer.send(asked);
                    });
                }
            }
        }
    }
}

/// What lies there is not what a gateway writes, or cannot be written on.
fn is_damage(error: &RedisError) -> bool {
    let told = error.to_string();
    told.contains("WRONGTYPE") || told.contains("exhausted the last possible ID")
}
