//! The one thread that writes.
//!
//! ```text
//!            ┌──────────── wait: something critical, many decisions, or the flush time ◄─────┐
//!            ▼                                                                               │
//!   take ─► encode ≤ 1 MiB ─► append + fdatasync ─► still our file? ─► acknowledge ──────────┤
//!                                   │ error                 │ no                             │
//!                                   ▼                       ▼                                │
//!                              new segment, same lines ─── works ────────────────────────────┤
//!                                   │ error                                                  │
//!                                   ▼                                                        │
//!                       Failed: no grants; reserve released; critical lines alone,           │
//!                       else standard error and an error to whoever waits; try again ────────┘
//! ```
//!
//! An event leaves [`Writer::backlog`] only when it is durable (or counted as lost), so a failed
//! write is repeated by encoding again, on another file. `fdatasync` is never asked twice about
//! the same bytes of one file.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::limits::{AUDIT_COMMIT_BYTES_MAX, AUDIT_CRITICAL_EVENTS_MAX};
use doorward_model::time::Clock;

use crate::config::AuditConfig;
use crate::event::{Event, Gap, GapCause, Head};
use crate::lanes::{Item, Lanes, Tally, Wake};
use crate::log::{AuditError, Gauges, Identity, Sequence, StartReport};
use crate::segment::{Reserve, Run, Segment, disk_free, make_dir, repair_all};

/// The first wait after a failure, and the longest.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often the start time is moved on when a run of that name exists.
const RUN_TRIES_MAX: i64 = 16;
/// How often a file may be taken away under one commit.
const COMMIT_TRIES_MAX: u32 = 3;

/// The writer: what it holds is nobody else's.
pub(crate) struct Writer {
    config: AuditConfig,
    identity: Arc<Identity>,
    clock: Clock,
    run: Arc<Run>,
    lanes: Arc<Lanes>,
    gauges: Arc<Gauges>,
    segment: Option<Segment>,
    reserve: Option<Reserve>,
    /// Taken and not yet durable, what is critical in front.
    backlog: VecDeque<Item>,
    /// What was lost and is not yet told.
    lost: Tally,
    /// Encoded lines, kept for their capacity.
    lines: Vec<u8>,
    /// None while all is well; else how long to wait before the next try.
    retry: Option<Duration>,
}

/// How much of the backlog one commit covers.
struct Chunk {
    /// From the front.
    events: usize,
    /// What they are.
    tally: Tally,
}

// === impl Writer ===

impl Writer {
    /// Mends, begins, sets aside, and writes what was mended.
    pub(crate) fn open(
        config: AuditConfig,
        identity: Arc<Identity>,
        clock: Clock,
        lanes: Arc<Lanes>,
        gauges: Arc<Gauges>,
    ) -> Result<(Self, StartReport), AuditError> {
        let dir = config.dir();
        make_dir(dir).map_err(|e| AuditError::Folder { path: dir.to_owned(), source: e.into() })?;
        let found = repair_all(dir)?;
        let (run, segment) = begin_run(&config, &identity, clock())?;
        let bytes = config.reserve_bytes();
        let reserve = Reserve::set_aside(dir, &run, bytes).map_err(|e| AuditError::Reserve {
            bytes,
            path: dir.to_owned(),
            source: e.into(),
        })?;
        let report = StartReport {
            segment: segment.path().to_owned(),
            repaired: found.repaired,
            in_use: found.in_use,
        };
        let mut writer = Self {
            config,
            identity,
            clock,
            run: Arc::new(run),
            lanes,
            gauges,
            segment: Some(segment),
            reserve: Some(reserve),
            backlog: VecDeque::new(),
            lost: Tally::default(),
            lines: Vec::new(),
            retry: None,
        };
        for torn in &report.repaired {
            tracing::warn!(
                segment = torn.segment,
                cut_bytes = torn.cut_bytes,
                aside = torn.aside,
                "a torn tail of the audit log was cut off"
            );
            writer.push_own(Event::TornTailRepaired(Box::new(torn.clone())), None);
        }
        writer
            .write_backlog()
            .map_err(|e| AuditError::Begin { path: report.segment.clone(), source: e.into() })?;
        writer.look_around();
        Ok((writer, report))
    }

    pub(crate) fn run(&self) -> Arc<Run> {
        Arc::clone(&self.run)
    }

    /// The thread. Comes back when the log is closed, with how many events could not be written.
    pub(crate) fn work(mut self) -> u64 {
        let _last = LastWord { lanes: Arc::clone(&self.lanes), gauges: Arc::clone(&self.gauges) };
        loop {
            // Half of the flush time to gather; the other half for the disk.
            let longest = self.retry.unwrap_or(self.config.flush() / 2);
            let wake = self.lanes.wait(longest, self.retry.is_some());
            match self.retry {
                None => self.healthy_round(),
                Some(waited) => self.failed_round(wake, waited),
            }
            if wake == Wake::Closing {
                return self.finish();
            }
            self.look_around();
        }
    }

    fn healthy_round(&mut self) {
        if let Some(number) = self.take_all() {
            self.tell_lost(GapCause::Overflow, None, Some(number));
        }
        if self.backlog.is_empty() {
            // Nobody writes; somebody may have taken the file away nevertheless.
            self.check_segment();
        }
        if let Err(error) = self.write_backlog() {
            self.fall(&error);
        }
    }

    fn failed_round(&mut self, wake: Wake, waited: Duration) {
        let critical = self.lanes.take_critical();
        self.backlog.extend(critical);
        // Where not even that works, coming back need not be tried.
        let risen = self.rescue_critical().and_then(|()| self.rise());
        match risen {
            Ok(()) => self.retry = None,
            Err(error) => {
                self.note(&error);
                self.bound_backlog();
                if wake == Wake::Time {
                    self.retry = Some((waited * 2).min(RETRY_MAX));
                }
            }
        }
    }

    /// The last round: what waits is written, if the disk lets us.
    fn finish(mut self) -> u64 {
        if self.retry.is_none() {
            self.healthy_round();
        }
        let written = if self.retry.is_some() {
            let critical = self.lanes.take_critical();
            self.backlog.extend(critical);
            self.rescue_critical().and_then(|()| self.rise())
        } else {
            Ok(())
        };
        let Err(error) = written else { return 0 };
        self.note(&error);
        // What is lost, and the event that would have told of it.
        let untold = u64::from(self.take_all().is_some());
        self.give_up_critical(&error);
        let left = u64::try_from(self.backlog.len()).unwrap_or(u64::MAX);
        left.saturating_add(self.lost.counts.total()).saturating_add(untold)
    }

    // --- down and up again

    /// From healthy to failed: grants are refused from here on, revocations are rescued.
    fn fall(&mut self, error: &io::Error) {
        self.gauges.grants.store(false, Ordering::Release);
        self.gauges.failed.store(true, Ordering::Release);
        self.note(error);
        self.retry = Some(RETRY_MIN);
        if let Err(error) = self.rescue_critical() {
            self.note(&error);
        }
        tracing::error!(%error, "the audit log cannot be written: grants are refused until it can");
    }

    /// From failed to healthy, if everything that waits can be written.
    fn rise(&mut self) -> io::Result<()> {
        make_dir(self.config.dir())?;
        if self.reserve.is_none() {
            // First the reserve: what is not critical must never eat the room of what is.
            self.reserve = Some(self.set_aside()?);
        }
        let risen = self.write_backlog().and_then(|()| {
            let number = self.take_all();
            let detail = self.gauges.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.tell_lost(GapCause::WriteFailed, detail, number);
            self.write_backlog()
        });
        if let Err(error) = &risen {
            self.gauges.grants.store(false, Ordering::Release);
            if is_full_disk(error) {
                self.release_reserve();
            }
        } else {
            self.gauges.failed.store(false, Ordering::Release);
            self.gauges.grants.store(true, Ordering::Release);
            tracing::info!("the audit log is written again");
        }
        risen
    }

    fn set_aside(&self) -> io::Result<Reserve> {
        let bytes = self.config.reserve_bytes();
        let room = bytes.saturating_add(u64::try_from(AUDIT_COMMIT_BYTES_MAX).unwrap_or(u64::MAX));
        // Asked first, so that the tries to come back do not fill the disk again and again.
        if disk_free(self.config.dir()).is_some_and(|free| free < room) {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        Reserve::set_aside(self.config.dir(), &self.run, bytes)
    }

    fn release_reserve(&mut self) -> bool {
        self.reserve.take().map(Reserve::release).is_some()
    }

    /// Writes what somebody waits for, and only that, if need be into the reserve. Where even
    /// that fails, it goes to standard error and whoever waits is told.
    fn rescue_critical(&mut self) -> io::Result<()> {
        let (urgent, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.backlog).into_iter().partition(|item| item.ack.is_some());
        self.backlog = urgent;
        let mut rescued = self.write_plainly();
        if rescued.as_ref().is_err_and(is_full_disk) && self.release_reserve() {
            rescued = self.write_plainly();
        }
        if let Err(error) = &rescued {
            self.give_up_critical(error);
        }
        self.backlog.extend(rest);
        self.backlog.make_contiguous().sort_by_key(|item| (!item.critical, item.sequence));
        rescued
    }

    fn give_up_critical(&mut self, error: &io::Error) {
        let reason: Arc<str> = error.to_string().into();
        for item in &mut self.backlog {
            let Some(ack) = item.ack.take() else { continue };
            print_last_resort(&self.identity, &self.run, item.sequence, item.at, &item.event);
            // Nobody waits any more when the caller gave up; the line above is what counts.
            let _ = ack.send(Err(AuditError::NotDurable { sequence: item.sequence, reason: reason.clone() }));
        }
    }

    /// While the disk fails, only so many critical events are kept to be written later.
    fn bound_backlog(&mut self) {
        let critical = self.backlog.iter().filter(|item| item.critical).count();
        let Some(mut excess) = critical.checked_sub(AUDIT_CRITICAL_EVENTS_MAX).filter(|e| *e > 0) else {
            return;
        };
        let (kept, given_up): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.backlog).into_iter().partition(|item| {
                let give_up = item.critical && excess > 0;
                excess -= usize::from(give_up);
                !give_up
            });
        self.backlog = kept;
        self.lanes.lose(given_up.iter());
    }

    // --- what is written

    /// Comes back with the number for the event that must tell what was lost.
    fn take_all(&mut self) -> Option<Sequence> {
        let taken = self.lanes.take_all();
        self.backlog.extend(taken.items);
        self.lost.join(taken.lost);
        taken.gap
    }

    /// Puts an event of the log itself behind what is already there.
    fn push_own(&mut self, event: Event, number: Option<Sequence>) {
        let sequence = number.unwrap_or_else(|| self.lanes.take_number());
        let at = (self.clock)();
        self.backlog.push_back(Item { sequence, at, event, critical: false, ack: None });
    }

    fn tell_lost(&mut self, cause: GapCause, detail: Option<String>, number: Option<Sequence>) {
        let lost = std::mem::take(&mut self.lost);
        tracing::error!(cause = cause.as_str(), lost = lost.counts.total(), "a gap in the audit log");
        let gap = Gap { cause, range: lost.range, lost: lost.counts, detail, segment: None };
        self.push_own(Event::AuditGap(Box::new(gap)), number);
    }

    fn tell_segment(&mut self, cause: GapCause, segment: &Segment) {
        let name = segment.name();
        let message = "an audit file is not what was written";
        self.note(&io::Error::other(format!("{message}: {} {name}", cause.as_str())));
        tracing::error!(cause = cause.as_str(), segment = name, "{message}");
        let gap =
            Gap { cause, range: segment.range, lost: segment.counts, detail: None, segment: Some(name) };
        self.push_own(Event::AuditGap(Box::new(gap)), None);
    }

    fn check_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            match segment.check() {
                Ok(()) => self.segment = Some(segment),
                Err(cause) => self.tell_segment(cause, &segment),
            }
        }
    }

    /// Writes the whole backlog, chunk by chunk; what is critical and comes meanwhile goes first.
    /// After one failure a chunk is tried on a new file; grants are refused from the failure to
    /// the success.
    fn write_backlog(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            for item in self.lanes.take_critical().into_iter().rev() {
                self.backlog.push_front(item);
            }
            let chunk = self.encode();
            let Err(error) = self.commit(&chunk) else {
                self.acknowledge(chunk.events);
                continue;
            };
            self.gauges.grants.store(false, Ordering::Release);
            self.note(&error);
            self.commit(&chunk)?;
            self.acknowledge(chunk.events);
            self.gauges.grants.store(true, Ordering::Release);
            self.tell_lost(GapCause::WriteFailed, Some(error.to_string()), None);
        }
        Ok(())
    }

    /// Writes the whole backlog without a second try.
    fn write_plainly(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            let chunk = self.encode();
            self.commit(&chunk)?;
            self.acknowledge(chunk.events);
        }
        Ok(())
    }

    /// Encodes the front of the backlog into `lines`.
    fn encode(&mut self) -> Chunk {
        self.lines.clear();
        let mut chunk = Chunk { events: 0, tally: Tally::default() };
        for item in &self.backlog {
            if self.lines.len() >= AUDIT_COMMIT_BYTES_MAX {
                break;
            }
            chunk.events += 1;
            if write_item(&self.identity, &self.run, item, &mut self.lines) {
                chunk.tally.add(item.sequence, &item.event);
            } else {
                self.lost.add(item.sequence, &item.event);
            }
        }
        chunk
    }

    /// Makes `lines` durable in a file that is still ours.
    fn commit(&mut self, chunk: &Chunk) -> io::Result<()> {
        let Some((first, last)) = chunk.tally.range else { return Ok(()) };
        for _ in 0..COMMIT_TRIES_MAX {
            let mut segment = match self.segment.take() {
                Some(segment) if !self.is_full(&segment) => segment,
                Some(_) | None => Segment::begin(self.config.dir(), &self.run, first)?,
            };
            if let Err(error) = segment.commit(&self.lines) {
                segment.abandon();
                return Err(error);
            }
            if let Err(cause) = segment.check() {
                // What is durable in a file that nobody finds is not recorded. Write it again.
                self.tell_segment(cause, &segment);
                continue;
            }
            segment.counts.join(chunk.tally.counts);
            let range = segment.range.map_or((first, last), |(f, l)| (f.min(first), l.max(last)));
            segment.range = Some(range);
            self.segment = Some(segment);
            let bytes = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
            self.gauges.written.fetch_add(chunk.tally.counts.total(), Ordering::Relaxed);
            self.gauges.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.gauges.commits.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        Err(io::Error::other("the audit file is taken away again and again"))
    }

    fn is_full(&self, segment: &Segment) -> bool {
        let more = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
        segment.bytes() > 0 && segment.bytes().saturating_add(more) > self.config.segment_bytes_max()
    }

    fn acknowledge(&mut self, events: usize) {
        for item in self.backlog.drain(..events) {
            if let Some(ack) = item.ack {
                // Nobody waits any more when the caller gave up. The event is durable all the same.
                let _ = ack.send(Ok(item.sequence));
            }
        }
    }

    fn note(&self, error: &io::Error) {
        *self.gauges.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn look_around(&self) {
        let free = disk_free(self.config.dir()).unwrap_or(u64::MAX);
        self.gauges.disk_free.store(free, Ordering::Relaxed);
    }
}

/// Begins the first file. Another process of this node may have begun at the same millisecond.
fn begin_run(
    config: &AuditConfig,
    identity: &Identity,
    now: UnixMillis,
) -> Result<(Run, Segment), AuditError> {
    let mut start = now;
    loop {
        let run = Run::new(&identity.node, start);
        match Segment::begin_run(config.dir(), &run) {
            Ok(segment) => return Ok((run, segment)),
            Err((_, e)) if e.kind() == io::ErrorKind::AlreadyExists && start.0 < now.0 + RUN_TRIES_MAX => {
                start = start.plus(Duration::from_millis(1));
            }
            Err((path, e)) => return Err(AuditError::Begin { path, source: e.into() }),
        }
    }
}

fn is_full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Encodes one event; false, and nothing is left of it, when it cannot be.
fn write_item(identity: &Identity, run: &Run, item: &Item, lines: &mut Vec<u8>) -> bool {
    let start = lines.len();
    let head =
        Head { identity, run: run.id(), sequence: item.sequence, code: item.event.code(), time: item.at };
    match item.event.write(&head, lines) {
        Ok(()) => true,
        Err(error) => {
            lines.truncate(start);
            tracing::error!(%error, code = item.event.code(), "an audit event cannot be encoded");
            false
        }
    }
}

/// The second device: one line of JSON on standard error.
pub(crate) fn print_last_resort(
    identity: &Identity,
    run: &Run,
    sequence: Sequence,
    at: UnixMillis,
    event: &Event,
) {
    let mut line = Vec::new();
    let head = Head { identity, run: run.id(), sequence, code: event.code(), time: at };
    if event.write(&head, &mut line).is_ok() {
        // There is no third device.
        let _ = io::stderr().lock().write_all(&line);
    }
}

/// Whatever ends the thread, a panic too: nobody waits for it for ever, and nothing is granted.
struct LastWord {
    lanes: Arc<Lanes>,
    gauges: Arc<Gauges>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.gauges.grants.store(false, Ordering::Release);
        self.gauges.closed.store(true, Ordering::Release);
        self.lanes.close();
        drop(self.lanes.take_critical());
    }
}
