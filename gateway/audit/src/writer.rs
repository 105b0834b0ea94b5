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
//!                       Failed: no grants; what is critical alone, revocations if need be    │
//!                       into the reserve, else standard error and an error to whoever        │
//!                       waits; try again ────────────────────────────────────────────────────┘
//! ```
//!
//! An event leaves [`Writer::backlog`] only when it is durable (or counted as lost), so a failed
//! write is repeated by encoding again, on another file. `fdatasync` is never asked twice about
//! the same bytes of one file. Before whatever may hang the writer takes a step of its pulse.

mod commit;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::limits::{AUDIT_COMMIT_BYTES_MAX, AUDIT_CRITICAL_EVENTS_MAX};
use doorward_model::time::Clock;

use crate::config::AuditConfig;
use crate::event::{Event, Gap, GapCause, RetiredSegment, TakesAway};
use crate::lanes::{Item, Lanes, Tally, Wake};
use crate::log::{AuditError, Counts, Gauges, Identity, Sequence, StartReport};
use crate::segment::{Reserve, Run, Segment, disk_free, make_dir, remove_all, repair_all, surplus};

/// The first wait after a failure, and the longest.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often the start time is moved on when a run of that name exists.
const RUN_TRIES_MAX: i64 = 16;

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
    /// What could not be encoded and is not yet told.
    garbled: Tally,
    /// How many had ever been lost when the lanes were last looked into.
    lost_ever: u64,
    /// A file was begun: others may have to go.
    begun: bool,
    /// Encoded lines, kept for their capacity.
    lines: Vec<u8>,
    /// None while all is well; else how long to wait before the next try.
    retry: Option<Duration>,
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
        let reserve = match Reserve::set_aside(dir, &run, bytes) {
            Ok(reserve) => reserve,
            Err(e) => {
                // A start that fails again and again must not leave a file each time.
                segment.abandon();
                return Err(AuditError::Reserve { bytes, path: dir.to_owned(), source: e.into() });
            }
        };
        let report = StartReport {
            segment: segment.path().to_owned(),
            repaired: found.repaired,
            damaged: found.damaged,
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
            garbled: Tally::default(),
            lost_ever: 0,
            begun: true,
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
        if let Some(damaged) = &report.damaged {
            let (segment, lines) = (&damaged.segment, damaged.lines);
            tracing::error!(
                segment,
                lines,
                first_at = damaged.first_at,
                "an audit file has lines that are no events"
            );
            let gap = Gap {
                cause: GapCause::SegmentDamaged,
                range: None,
                lost: Counts { other: lines, ..Counts::default() },
                detail: Some(format!("the first begins at byte {}", damaged.first_at)),
                segment: Some(segment.clone()),
            };
            writer.push_own(Event::AuditGap(Box::new(gap)), None);
        }
        if let Err(e) = writer.write_backlog() {
            if let Some(segment) = writer.segment.take() {
                segment.abandon();
            }
            return Err(AuditError::Begin { path: report.segment, source: e.into() });
        }
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
            self.gauges.pulse.rest();
            let wake = self.lanes.wait(longest, self.retry.is_some());
            self.gauges.pulse.step();
            match self.retry {
                None => self.healthy_round(wake == Wake::Closing),
                Some(waited) => self.failed_round(wake, waited),
            }
            if wake == Wake::Closing {
                return self.finish();
            }
            self.look_around();
        }
    }

    fn healthy_round(&mut self, last: bool) {
        if let Some(number) = self.take_all() {
            self.tell_lost(GapCause::Overflow, None, Some(number));
        }
        if let Some(summary) = self.gauges.nameless.take((self.clock)(), last) {
            tracing::warn!(
                total = summary.total(),
                "refusals of nobody in particular were counted, not written"
            );
            self.push_own(Event::RefusalsSummarized(Box::new(summary)), None);
        }
        if self.backlog.is_empty() {
            // Nobody writes; somebody may have taken the file away nevertheless.
            self.check_segment();
        }
        match self.write_backlog().and_then(|()| self.retire()) {
            Ok(()) => self.lanes.told(self.lost_ever),
            Err(error) => self.fall(&error),
        }
    }

    fn failed_round(&mut self, wake: Wake, waited: Duration) {
        let critical = self.lanes.take_critical();
        self.backlog.extend(critical);
        match self.come_back() {
            Ok(()) => self.retry = None,
            Err(error) => {
                self.note(&error);
                self.give_up_critical(&error);
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
            self.healthy_round(true);
        }
        let written = if self.retry.is_some() {
            let critical = self.lanes.take_critical();
            self.backlog.extend(critical);
            self.come_back()
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
        if let Err(error) = self.rescue() {
            self.note(&error);
        }
        self.give_up_critical(error);
        tracing::error!(%error, "the audit log cannot be written: grants are refused until it can");
    }

    /// Rescues what somebody waits for, and rises. Where not even the one works, the other need not be
    /// tried. What became critical while it was, and was taken with the rest, gets its rescue then: without,
    /// a revocation at that moment would be given up though there is room in the reserve.
    fn come_back(&mut self) -> io::Result<()> {
        self.rescue()?;
        self.rise().or_else(|error| self.rescue().and(Err(error)))
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
        if risen.is_err() {
            self.gauges.grants.store(false, Ordering::Release);
        } else {
            self.lanes.told(self.lost_ever);
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

    /// Gives free what was set aside, for what takes access away and for nothing else.
    fn release_reserve(&mut self, _why: TakesAway) {
        if let Some(reserve) = self.reserve.take() {
            reserve.release();
        }
    }

    /// Writes what somebody waits for, and only that; what takes access away if need be into the
    /// reserve. Once that is given free, all that is free is left to what takes access away.
    fn rescue(&mut self) -> io::Result<()> {
        let spare = self.reserve.is_some();
        let mut rest = self.set_apart(|item| item.ack.is_some() && (spare || takes_away(item)));
        let mut rescued = self.write_plainly();
        if spare && rescued.as_ref().is_err_and(is_full_disk) {
            rest.extend(self.set_apart(takes_away));
            if let Some(why) = self.backlog.iter().find_map(|item| item.event.takes_away()) {
                self.release_reserve(why);
                rescued = self.write_plainly();
            }
        }
        self.backlog.extend(rest);
        self.backlog.make_contiguous().sort_by_key(|item| (!item.critical, item.sequence));
        rescued
    }

    /// Leaves only these in the backlog, and comes back with the others.
    fn set_apart(&mut self, keep: impl Fn(&Item) -> bool) -> VecDeque<Item> {
        let (kept, others) = std::mem::take(&mut self.backlog).into_iter().partition(keep);
        self.backlog = kept;
        others
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

    /// Keeps the log to its bound, if the operator set one: the oldest files go, and the log says
    /// which before they do.
    fn retire(&mut self) -> io::Result<()> {
        let Some(total_bytes_max) = self.config.total_bytes_max() else { return Ok(()) };
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        let written = self.segment.as_ref().map(Segment::path);
        // The file that is written may grow to its full size, and stays until the next is begun.
        let others = total_bytes_max.saturating_sub(self.config.segment_bytes_max().saturating_mul(2));
        let surplus = match surplus(self.config.dir(), written, others) {
            Ok(surplus) => surplus,
            Err(error) => {
                self.note_kept(&error);
                return Ok(());
            }
        };
        if surplus.is_empty() {
            return Ok(());
        }
        for (segment, bytes) in &surplus {
            tracing::warn!(segment, bytes, "an audit file is removed: the log holds as much as it may");
            let retired = RetiredSegment { segment: segment.clone(), bytes: *bytes, total_bytes_max };
            self.push_own(Event::SegmentRetired(Box::new(retired)), None);
        }
        self.write_backlog()?;
        if let Err(error) = remove_all(self.config.dir(), surplus.iter().map(|(segment, _)| segment.as_str()))
        {
            self.note_kept(&error);
        }
        Ok(())
    }

    /// The log can be written, and that is what counts: it is tried again with the next file.
    fn note_kept(&self, error: &io::Error) {
        self.note(error);
        tracing::error!(%error, "an audit file that should go cannot be removed");
    }

    /// Comes back with the number for the event that must tell what was lost.
    fn take_all(&mut self) -> Option<Sequence> {
        let taken = self.lanes.take_all();
        self.backlog.extend(taken.items);
        self.lost.join(taken.lost);
        self.lost_ever = taken.lost_ever;
        taken.gap
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
            Err((_, e))
                if e.kind() == io::ErrorKind::AlreadyExists
                    && start.0 < now.0.saturating_add(RUN_TRIES_MAX) =>
            {
                start = start.plus(Duration::from_millis(1));
            }
            Err((path, e)) => return Err(AuditError::Begin { path, source: e.into() }),
        }
    }
}

fn takes_away(item: &Item) -> bool {
    item.event.takes_away().is_some()
}

fn is_full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The second device: one line of JSON on standard error.
pub(crate) fn print_last_resort(
    identity: &Identity,
    run: &Run,
    sequence: Sequence,
    at: UnixMillis,
    event: &Event,
) {
    if let Ok(line) = event.to_line(identity, run.id(), sequence, at) {
        // There is no third device.
        let _ = io::stderr().lock().write_all(line.as_bytes());
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
        self.gauges.pulse.rest();
        self.lanes.close();
        drop(self.lanes.take_critical());
    }
}
