//! The threads of a node in a fleet, and what the rest of the process holds of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::config::RedisConfig;
use crate::error::StateError;
use crate::fleet::control::{Control, Request};
use crate::fleet::courier::{Committed, Waiting};
use crate::fleet::follow::Follow;
use crate::fleet::script::{Keys, Scripts};
use crate::fleet::status::Status;
use crate::fleet::{FleetHealth, FleetRole, NodeReport, Position};
use crate::records::Version;
use crate::revocations::lease::Lease;
use crate::revocations::shared::Shared;
use crate::store::{Reach, Store};

/// How much later than its deadline a question to the fleet is given up.
const OVERTIME: Duration = Duration::from_secs(1);
/// How long the start of a process waits for Redis.
const FIRST_LEASE_MAX: Duration = Duration::from_secs(3);

/// A node's place in its fleet.
pub(crate) struct Fleet {
    role: FleetRole,
    instance: Uuid,
    status: Arc<Status>,
    lease: Arc<Lease>,
    requests: Option<mpsc::UnboundedSender<Request>>,
    stop: watch::Sender<bool>,
}

/// What a node brings into its fleet.
pub(crate) struct Given<'a> {
    pub(crate) config: &'a RedisConfig,
    pub(crate) node: &'a str,
    pub(crate) lease: Arc<Lease>,
    /// A connection to the directory, and what its writer commits. None on a gateway node.
    pub(crate) directory: Option<(Store, mpsc::UnboundedReceiver<Committed>)>,
}

impl Fleet {
    /// Starts the threads. The first of them ends when it is told to, the second, on a control node,
    /// after the writer.
    pub(crate) fn join(
        shared: &Arc<Shared>,
        given: Given<'_>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let Given { config, node, lease, directory } = given;
        let status = Arc::new(Status::default());
        let scripts = Arc::new(Scripts::new(
            Keys::new(config.namespace()),
            (config.replicas_min(), config.replica_lag().as_secs()),
        ));
        let (stop, stopped) = watch::channel(false);
        let wanted = Arc::new(Notify::new());
        let instance = Uuid::new_v4();
        if shared.lease.is_some() {
            let wakes = Arc::clone(&wanted);
            shared.looks.woken_by(Box::new(move || wakes.notify_one()));
        }
        let follow = Follow {
            shared: Arc::clone(shared),
            status: Arc::clone(&status),
            config: config.clone(),
            scripts: Arc::clone(&scripts),
            node: node.to_owned(),
            instance,
            has_directory: directory.is_some(),
            lease: Arc::clone(&lease),
            wanted,
        };
        let last_word = Last(Arc::clone(shared));
        let told = stopped.clone();
        let mut threads = vec![run("rev-line", async move {
            let _last_word = last_word;
            follow.run(told).await;
        })?];
        let (mut role, mut asked) = (FleetRole::Gateway, None);
        if let Some((store, committed)) = directory {
            let (requests, receives) = mpsc::unbounded_channel();
            let control = Control {
                shared: Arc::clone(shared),
                status: Arc::clone(&status),
                config: config.clone(),
                scripts,
                lease: Arc::clone(&lease),
                store: Some(store),
                committed,
                requests: receives,
                waiting: Waiting::default(),
                token: Uuid::new_v4().as_simple().to_string(),
                turns: Control::turns(),
                epoch: None,
                floor: Reach::default(),
                idle: Version::START,
            };
            threads.push(run("rev-control", control.run(stopped))?);
            (role, asked) = (FleetRole::Control, Some(requests));
        }
        Ok((Self { role, instance, status, lease, requests: asked, stop }, threads))
    }

    /// Waits for the first lease, as long as it can be expected: so the first request of a new process
    /// is not refused. Blocks.
    pub(crate) fn await_first_lease(&self) {
        let began = self.lease.now();
        let control = self.role == FleetRole::Control;
        while self.lease.left().is_zero() && !self.status.is_hopeless(control) {
            if self.lease.now().saturating_sub(began) >= FIRST_LEASE_MAX {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Tells the threads to end.
    pub(crate) fn leave(&self) {
        self.stop.send_replace(true);
    }

    /// Which nodes have come as far as `position`.
    pub(crate) async fn reached(
        &self,
        position: Position,
        deadline: Duration,
    ) -> Result<Vec<NodeReport>, StateError> {
        let requests = self.requests.as_ref().ok_or(StateError::NotHere)?;
        let (answer, told) = oneshot::channel();
        if requests.send(Request::Reached { position, deadline, answer }).is_err() {
            return Err(StateError::Interrupted);
        }
        match tokio::time::timeout(deadline.saturating_add(OVERTIME), told).await {
            Ok(Ok(Ok(reports))) => Ok(reports),
            Ok(Ok(Err(why))) => Err(StateError::FleetUnknown { why }),
            Ok(Err(_)) => Err(StateError::Interrupted),
            Err(_) => Err(StateError::FleetUnknown { why: self.status.why_unpublished() }),
        }
    }

    /// Where the newest of what was acknowledged here stands.
    pub(crate) fn last_published(&self) -> Option<Position> {
        self.status.last_published()
    }

    pub(crate) fn health(&self) -> FleetHealth {
        let status = &self.status;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let control = self.role == FleetRole::Control;
        let lease_left = self.lease.left();
        FleetHealth {
            role: self.role,
            instance: self.instance,
            server: status.server(),
            leased: !lease_left.is_zero(),
            lease_left,
            lease: self.lease.length(),
            lag: self.lease.age(),
            position: status.position(),
            generation: Some(load(&status.generation)).filter(|generation| *generation > 0),
            blessed: status.blessed.load(Ordering::Relaxed),
            polls_total: load(&status.polls),
            poll_failures_total: load(&status.poll_failures),
            pushes_total: load(&status.pushes),
            resyncs_total: load(&status.resyncs),
            connects_total: load(&status.connects),
            outbox: control.then(|| load(&status.outbox)),
            blessings_total: load(&status.blessings),
            published_total: load(&status.published),
            trouble: status.trouble(),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Without the line nothing is known to be current, however it ended.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        if self.0.lease.is_some() {
            self.0.no_longer_current();
        }
    }
}

/// Runs a task on a thread and a runtime of its own, so that no other load holds it up.
fn run(name: &str, task: impl Future<Output = ()> + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(task);
        // What still asks the fleet for somebody is cut off.
        runtime.shutdown_timeout(Duration::from_millis(100));
    })
}
