//! The handle that everybody records through.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use doorward_model::UnixMillis;
use doorward_model::time::Clock;
use tokio::sync::oneshot;

use crate::config::{AuditConfig, NAMELESS_REFUSALS_PER_SECOND_MAX, STALL_SECONDS_MAX};
use crate::event::{Event, Kind, TornTail};
use crate::lanes::{Lanes, Offered};
use crate::nameless::Nameless;
use crate::pulse::Pulse;
use crate::segment::Run;
use crate::writer::Writer;

/// The place of an event within one run of one node, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How many events, by what they tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were allowed.
    pub allowed: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Exchanges that ended.
    pub ended: u64,
    /// Everything else.
    pub other: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, kind: Kind) {
        let count = match kind {
            Kind::Allowed => &mut self.allowed,
            Kind::Denied => &mut self.denied,
            Kind::Ended => &mut self.ended,
            Kind::Other => &mut self.other,
        };
        *count = count.saturating_add(1);
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.denied = self.denied.saturating_add(other.denied);
        self.ended = self.ended.saturating_add(other.ended);
        self.other = self.other.saturating_add(other.other);
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.allowed.saturating_add(self.denied).saturating_add(self.ended).saturating_add(self.other)
    }
}

/// Whose log it is; stands in every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the node.
    pub node: String,
    /// The version of the gateway.
    pub version: String,
}

/// What became of a decision that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a route that requires the audit must refuse what was dropped"]
pub enum Recorded {
    /// It waits to be written.
    Queued,
    /// It is one of too many refusals of nobody in particular: it is counted, and told in one
    /// event with the others.
    Counted,
    /// There was no room, or the log is closed. It is counted.
    Dropped,
}

/// Why something is not in the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// The folder cannot be used.
    #[error("cannot use the audit folder `{path}`: {source}; make it a folder that the gateway may write to")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// A file of the log cannot be begun.
    #[error("cannot begin the audit file `{path}`: {source}; check the space and the rights of its folder")]
    Begin {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The space for revocations on a full disk cannot be set aside.
    #[error(
        "cannot set aside {bytes} bytes in `{path}`: {source}; free some space, or lower `audit.reserve_bytes`"
    )]
    Reserve {
        /// How much.
        bytes: u64,
        /// In which folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// A file of an earlier run ends in the middle of a line and cannot be mended.
    #[error("cannot mend the audit file `{path}`: {source}; move it aside")]
    Repair {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The writer cannot be started.
    #[error("cannot start the audit writer: {0}")]
    Thread(Arc<std::io::Error>),
    /// The event is not durable. It was printed to standard error, and is written later if that
    /// becomes possible.
    #[error("audit event {sequence} is not durable: {reason}")]
    NotDurable {
        /// Which event.
        sequence: Sequence,
        /// What the system said.
        reason: Arc<str>,
    },
    /// Too much waits to be written. The event was printed to standard error.
    #[error("audit event {0} found no room: too much waits to be written")]
    Full(Sequence),
    /// The log is closed.
    #[error("the audit log is closed")]
    Closed,
    /// The log was closed while it could not write.
    #[error("{0} audit events could not be written before the end")]
    Unwritten(u64),
}

/// How the log fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditState {
    /// It writes.
    Healthy,
    /// It cannot write, or the disk does not answer, or something was lost of which the log does
    /// not tell yet. Grants are refused, revocations are not.
    Failed,
    /// It was closed.
    Closed,
}

impl AuditState {
    /// The word for it in answers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

/// How the log fares, in numbers.
#[derive(Clone, Debug)]
pub struct AuditHealth {
    /// Whether it writes.
    pub state: AuditState,
    /// How many events wait.
    pub queued: usize,
    /// How many events were recorded since the start, the log's own among them.
    pub recorded: u64,
    /// How many are durable.
    pub written: u64,
    /// How many were lost.
    pub dropped: Counts,
    /// How often something was made durable.
    pub commits: u64,
    /// How many bytes are durable.
    pub bytes: u64,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// Free space where the log lies, in bytes.
    pub disk_free: Option<u64>,
}

/// What was found when the log was opened.
#[derive(Clone, Debug, Default)]
pub struct StartReport {
    /// The file that is written.
    pub segment: PathBuf,
    /// Files of earlier runs that were mended.
    pub repaired: Vec<TornTail>,
    /// The file that was written last, if lines of it are no events.
    pub damaged: Option<DamagedSegment>,
    /// Files that another process writes, left alone.
    pub in_use: Vec<PathBuf>,
}

/// A file with lines that are no events, in front of one that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSegment {
    /// The file.
    pub segment: String,
    /// How many of its lines are no events.
    pub lines: u64,
    /// Where the first of them begins, in bytes.
    pub first_at: u64,
}

/// What the writer tells the others.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) failed: AtomicBool,
    pub(crate) closed: AtomicBool,
    /// False from a write that failed to the next that did not. Not the whole answer: see
    /// [`Audit::accepts_grants`].
    pub(crate) grants: AtomicBool,
    pub(crate) written: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// `u64::MAX` while it is not known.
    pub(crate) disk_free: AtomicU64,
    pub(crate) last_error: Mutex<Option<String>>,
    pub(crate) pulse: Pulse,
    pub(crate) nameless: Nameless,
}

/// The audit log of this process. Clones share one writer.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    lanes: Arc<Lanes>,
    gauges: Arc<Gauges>,
    clock: Clock,
    identity: Arc<Identity>,
    run: Arc<Run>,
    situations: bool,
    threads: Mutex<Option<Threads>>,
}

/// What runs until the log is closed.
struct Threads {
    writer: JoinHandle<u64>,
    pulse: JoinHandle<()>,
    /// Dropped, it ends the pulse.
    stop_pulse: Sender<()>,
}

/// Somebody waits for an event to be durable. Whoever gives up while the disk does not answer
/// leaves it on standard error.
struct Waiting<'a> {
    inner: &'a Inner,
    sequence: Sequence,
    at: UnixMillis,
    event: Option<Event>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("run", &self.inner.run).finish_non_exhaustive()
    }
}

// === impl Gauges ===

impl Gauges {
    fn new() -> Self {
        Self {
            failed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            grants: AtomicBool::new(false),
            written: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            disk_free: AtomicU64::new(u64::MAX),
            last_error: Mutex::new(None),
            pulse: Pulse::default(),
            nameless: Nameless::new(NAMELESS_REFUSALS_PER_SECOND_MAX),
        }
    }
}

// === impl Audit ===

impl Audit {
    /// Opens the log: mends what an earlier run left, begins a file, sets space aside, and
    /// starts the writer.
    ///
    /// # Errors
    /// When nothing could be written: better no gateway than one that forgets.
    pub fn open(
        config: AuditConfig,
        identity: Identity,
        clock: Clock,
    ) -> Result<(Self, StartReport), AuditError> {
        let lanes = Arc::new(Lanes::new(config.queue_events_max()));
        let situations = config.situations();
        let gauges = Arc::new(Gauges::new());
        let identity = Arc::new(identity);
        let (writer, report) = Writer::open(
            config,
            Arc::clone(&identity),
            Arc::clone(&clock),
            Arc::clone(&lanes),
            Arc::clone(&gauges),
        )?;
        let run = writer.run();
        let failed = |e| AuditError::Thread(Arc::new(e));
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let (stop_pulse, pulse_stops) = channel();
        let watched = (Arc::clone(&gauges), Arc::clone(&lanes), Arc::clone(&identity), Arc::clone(&run));
        let pulse = spawn("audit-pulse")
            .spawn(move || {
                let (gauges, lanes, identity, run) = watched;
                gauges.pulse.watch(&pulse_stops, || answer_waiting(&lanes, &identity, &run));
            })
            .map_err(failed)?;
        let writer = spawn("audit").spawn(move || writer.work()).map_err(failed)?;
        gauges.grants.store(true, Ordering::Release);
        let threads = Mutex::new(Some(Threads { writer, pulse, stop_pulse }));
        let inner = Inner { lanes, gauges, clock, identity, run, situations, threads };
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// Records a decision. Never blocks, and never tells more than whether there was room.
    pub fn record(&self, event: Event) -> Recorded {
        if let Some(reason) = event.nameless_refusal()
            && !self.inner.gauges.nameless.admit(reason, (self.inner.clock)())
        {
            return Recorded::Counted;
        }
        let at = event.time().unwrap_or_else(|| (self.inner.clock)());
        match self.inner.lanes.offer(event, at) {
            Offered::Queued(_) => Recorded::Queued,
            Offered::Lost(..) | Offered::Closed => Recorded::Dropped,
        }
    }

    /// Records something critical, and comes back when it is durable. What is enforced must be
    /// enforced before this is called. The event is written even when nobody waits any longer.
    ///
    /// # Errors
    /// When it is not durable. It was then printed to standard error, unless the log is closed.
    pub async fn record_durable(&self, event: Event) -> Result<Sequence, AuditError> {
        let at = event.time().unwrap_or_else(|| (self.inner.clock)());
        let (ack, durable) = oneshot::channel();
        let copy = event.clone();
        let sequence = match self.inner.lanes.offer_critical(event, at, ack) {
            Offered::Queued(sequence) => sequence,
            Offered::Lost(sequence, event) => {
                crate::writer::print_last_resort(&self.inner.identity, &self.inner.run, sequence, at, &event);
                return Err(AuditError::Full(sequence));
            }
            Offered::Closed => return Err(AuditError::Closed),
        };
        let mut waiting = Waiting { inner: &self.inner, sequence, at, event: Some(copy) };
        let answer = durable.await;
        waiting.event = None;
        answer.unwrap_or(Err(AuditError::Closed))
    }

    /// The run: the node and when its log was begun, as every event has it in front of its number.
    #[must_use]
    pub fn run(&self) -> &str {
        self.inner.run.id()
    }

    /// Whether new access may be granted: false as long as it could not be recorded. That is so
    /// when a write failed, when the disk has not answered for [`STALL_SECONDS_MAX`] seconds, and
    /// from the first event that is lost until the log tells of it.
    #[must_use]
    pub fn accepts_grants(&self) -> bool {
        let gauges = &self.inner.gauges;
        gauges.grants.load(Ordering::Acquire) && !gauges.pulse.is_stalled() && self.inner.lanes.owed() == 0
    }

    /// Whether what the policies saw is to be recorded with each decision, in [`Ruling::situation`](crate::Ruling).
    #[must_use]
    pub fn keeps_situations(&self) -> bool {
        self.inner.situations
    }

    /// How the log fares.
    #[must_use]
    pub fn health(&self) -> AuditHealth {
        let gauges = &self.inner.gauges;
        let (queued, dropped) = self.inner.lanes.depth();
        let free = gauges.disk_free.load(Ordering::Relaxed);
        let state = if gauges.closed.load(Ordering::Acquire) {
            AuditState::Closed
        } else if gauges.failed.load(Ordering::Acquire) || !self.accepts_grants() {
            AuditState::Failed
        } else {
            AuditState::Healthy
        };
        let last_error = match (gauges.pulse.is_stalled(), self.inner.lanes.owed()) {
            (true, _) => Some(format!("the disk has not answered for {STALL_SECONDS_MAX} seconds")),
            (false, 0) => gauges.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            (false, owed) => Some(format!("{owed} events were lost, and the log does not tell of them yet")),
        };
        AuditHealth {
            state,
            queued,
            recorded: self.inner.lanes.given(),
            written: gauges.written.load(Ordering::Relaxed),
            dropped,
            commits: gauges.commits.load(Ordering::Relaxed),
            bytes: gauges.bytes.load(Ordering::Relaxed),
            last_error,
            disk_free: (free != u64::MAX).then_some(free),
        }
    }

    /// Writes everything that waits, makes it durable, and ends the writer. Blocks: call it from
    /// a thread that may. What is recorded later is dropped. A second call does nothing.
    ///
    /// # Errors
    /// When something could not be written to the end.
    pub fn close(&self) -> Result<(), AuditError> {
        self.inner.close()
    }
}

impl Inner {
    fn close(&self) -> Result<(), AuditError> {
        self.lanes.close();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Threads { writer, pulse, stop_pulse }) = threads else { return Ok(()) };
        let written = writer.join();
        drop(stop_pulse);
        let _ = pulse.join();
        match written {
            Ok(0) => Ok(()),
            Ok(unwritten) => Err(AuditError::Unwritten(unwritten)),
            // The writer panicked. Whatever it held is lost, and at least that.
            Err(_) => Err(AuditError::Unwritten(self.lanes.given())),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the audit log did not close well");
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Self { inner, sequence, at, ref mut event } = *self;
        if let Some(event) = event.take().filter(|_| inner.gauges.pulse.is_stalled()) {
            crate::writer::print_last_resort(&inner.identity, &inner.run, sequence, at, &event);
        }
    }
}

/// While the disk hangs: what waits goes to standard error, and whoever waits is told. It stays
/// in its lane, and is written if the disk comes back.
fn answer_waiting(lanes: &Lanes, identity: &Identity, run: &Run) {
    let reason: Arc<str> = format!("the disk has not answered for {STALL_SECONDS_MAX} seconds").into();
    for (sequence, at, event, ack) in lanes.take_waiting() {
        crate::writer::print_last_resort(identity, run, sequence, at, &event);
        // Nobody waits any more when the caller gave up; the line above is what counts.
        let _ = ack.send(Err(AuditError::NotDurable { sequence, reason: Arc::clone(&reason) }));
    }
}
