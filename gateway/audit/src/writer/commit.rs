//! From the backlog to the disk: encode, append, make durable, acknowledge.

use std::io;
use std::sync::atomic::Ordering;

use doorward_model::limits::AUDIT_COMMIT_BYTES_MAX;

use super::Writer;
use crate::event::{Event, Gap, GapCause, Head};
use crate::lanes::{Item, Tally};
use crate::log::{AuditError, Identity, Sequence};
use crate::segment::{Run, Segment};

/// How often a file may be taken away under one commit.
const COMMIT_TRIES_MAX: u32 = 3;

/// How much of the backlog one commit covers.
struct Chunk {
    /// From the front.
    events: usize,
    /// What they are.
    tally: Tally,
}

impl Writer {
    /// Puts an event of the log itself behind what is already there.
    pub(super) fn push_own(&mut self, event: Event, number: Option<Sequence>) {
        let sequence = number.unwrap_or_else(|| self.lanes.take_number());
        let at = (self.clock)();
        self.backlog.push_back(Item { sequence, at, event, critical: false, ack: None });
    }

    pub(super) fn tell_lost(&mut self, cause: GapCause, detail: Option<String>, number: Option<Sequence>) {
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

    pub(super) fn check_segment(&mut self) {
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
    pub(super) fn write_backlog(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            // Not in front of what is critical itself: that keeps its order.
            if !self.backlog.front().is_some_and(|item| item.critical) {
                for item in self.lanes.take_critical().into_iter().rev() {
                    self.backlog.push_front(item);
                }
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
    pub(super) fn write_plainly(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            let chunk = self.encode();
            self.commit(&chunk)?;
            self.acknowledge(chunk.events);
        }
        Ok(())
    }

    /// Encodes the front of the backlog into `lines`. What cannot be encoded leaves the backlog:
    /// whoever waits for it is told, and a gap event at the end of the backlog tells everybody.
    fn encode(&mut self) -> Chunk {
        self.lines.clear();
        let mut chunk = Chunk { events: 0, tally: Tally::default() };
        while self.lines.len() < AUDIT_COMMIT_BYTES_MAX {
            let Some(item) = self.backlog.get(chunk.events) else { break };
            match write_item(&self.identity, &self.run, item, &mut self.lines) {
                Ok(()) => {
                    chunk.tally.add(item.sequence, &item.event);
                    chunk.events += 1;
                }
                Err(error) => {
                    let garbled = self.backlog.remove(chunk.events);
                    garbled.into_iter().for_each(|item| self.give_up_garbled(item, &error));
                }
            }
        }
        self.tell_garbled();
        chunk
    }

    fn give_up_garbled(&mut self, item: Item, error: &serde_json::Error) {
        let (sequence, code) = (item.sequence, item.event.code());
        tracing::error!(%error, %sequence, code, "an audit event cannot be encoded");
        // A gap that cannot be told is not told again: that would never end.
        if !matches!(item.event, Event::AuditGap(_)) {
            self.garbled.add(sequence, &item.event);
        }
        self.lanes.lose_told(&item.event);
        if let Some(ack) = item.ack {
            let reason = format!("it cannot be encoded: {error}").into();
            // Nobody waits any more when the caller gave up; the line above is what counts.
            let _ = ack.send(Err(AuditError::NotDurable { sequence, reason }));
        }
    }

    fn tell_garbled(&mut self) {
        let garbled = std::mem::take(&mut self.garbled);
        if garbled.range.is_some() {
            let (range, lost) = (garbled.range, garbled.counts);
            let gap = Gap { cause: GapCause::NotEncodable, range, lost, detail: None, segment: None };
            self.push_own(Event::AuditGap(Box::new(gap)), None);
        }
    }

    /// Makes `lines` durable in a file that is still ours.
    fn commit(&mut self, chunk: &Chunk) -> io::Result<()> {
        let Some((first, last)) = chunk.tally.range else { return Ok(()) };
        for _ in 0..COMMIT_TRIES_MAX {
            self.gauges.pulse.step();
            let mut segment = match self.segment.take() {
                Some(segment) if !self.is_full(&segment) => segment,
                Some(_) | None => {
                    self.begun = true;
                    Segment::begin(self.config.dir(), &self.run, first)?
                }
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
}

/// Encodes one event; nothing is left of it when it cannot be.
fn write_item(
    identity: &Identity,
    run: &Run,
    item: &Item,
    lines: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let start = lines.len();
    let head =
        Head { identity, run: run.id(), sequence: item.sequence, code: item.event.code(), time: item.at };
    item.event.write(&head, lines).inspect_err(|_| lines.truncate(start))
}
