//! The two lanes between the threads that record and the one that writes.
//!
//! One lock guards both, held for a push or a swap and never while something is encoded,
//! written or freed. Sequence numbers are given out under it, so every number is in a lane, in
//! the writer's hands, or counted as lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::limits::AUDIT_CRITICAL_EVENTS_MAX;
use tokio::sync::oneshot;

use crate::event::{Event, Weight};
use crate::log::{AuditError, Counts, Sequence};

/// How the writer answers whoever waits for durability.
pub(crate) type Ack = oneshot::Sender<Result<Sequence, AuditError>>;

/// One event on its way.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) sequence: Sequence,
    pub(crate) at: UnixMillis,
    pub(crate) event: Event,
    pub(crate) critical: bool,
    pub(crate) ack: Option<Ack>,
}

/// Some events, counted: how many of what, and between which numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    pub(crate) range: Option<(Sequence, Sequence)>,
}

impl Tally {
    /// One more.
    pub(crate) fn add(&mut self, sequence: Sequence, event: &Event) {
        self.counts.add(event.kind());
        self.range = Some(match self.range {
            None => (sequence, sequence),
            Some((first, last)) => (first.min(sequence), last.max(sequence)),
        });
    }

    /// Both together.
    pub(crate) fn join(&mut self, other: Self) {
        self.counts.join(other.counts);
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

/// What the writer takes away.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) items: Vec<Item>,
    pub(crate) lost: Tally,
    /// The number of the event that tells what was lost, if something was.
    pub(crate) gap: Option<Sequence>,
    /// How many had ever been lost by then. It is owed until [`Lanes::told`] has it.
    pub(crate) lost_ever: u64,
}

/// Why the writer woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Something critical waits.
    Critical,
    /// Many decisions wait.
    Pressed,
    /// The time is over.
    Time,
    /// No more will come.
    Closing,
}

#[derive(Debug)]
struct Inside {
    critical: VecDeque<Item>,
    heavy: VecDeque<Item>,
    light: VecDeque<Item>,
    lost: Tally,
    lost_ever: Counts,
    next: u64,
    closing: bool,
}

/// The lanes, shared between all who record and the writer.
#[derive(Debug)]
pub(crate) struct Lanes {
    inside: Mutex<Inside>,
    wake: Condvar,
    decisions_max: usize,
    pressed_at: usize,
    /// How many were ever lost, for whoever asks without the lock.
    lost_ever: AtomicU64,
    /// Of how many of them the durable log tells.
    told: AtomicU64,
}

/// What became of an event that was offered.
#[derive(Debug)]
pub(crate) enum Offered {
    /// It waits, and has this number.
    Queued(Sequence),
    /// There was no room for it. It is counted.
    Lost(Sequence, Box<Event>),
    /// The log is closed; nobody will count it.
    Closed,
}

impl Lanes {
    pub(crate) fn new(decisions_max: usize) -> Self {
        Self {
            inside: Mutex::new(Inside {
                critical: VecDeque::new(),
                heavy: VecDeque::new(),
                light: VecDeque::new(),
                lost: Tally::default(),
                lost_ever: Counts::default(),
                next: 1,
                closing: false,
            }),
            wake: Condvar::new(),
            decisions_max,
            pressed_at: (decisions_max / 4).clamp(1, 8192),
            lost_ever: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing inside can be half done: each change is one push, pop or swap.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a decision. Never blocks: when the lane is full an allowance is given up, the
    /// newest first, and only when none waits, a denial.
    pub(crate) fn offer(&self, event: Event, at: UnixMillis) -> Offered {
        let weight = event.weight();
        // Whatever has to go is freed after the lock is.
        let given_up: Option<Item>;
        let offered;
        let pressed;
        {
            let mut inside = self.lock();
            if inside.closing {
                return Offered::Closed;
            }
            let sequence = inside.take_number();
            let waiting = inside.heavy.len() + inside.light.len();
            if waiting >= self.decisions_max {
                let victim = if weight == Weight::Heavy { inside.light.pop_back() } else { None };
                let Some(victim) = victim else {
                    self.lose_one(&mut inside, sequence, &event);
                    return Offered::Lost(sequence, Box::new(event));
                };
                self.lose_one(&mut inside, victim.sequence, &victim.event);
                given_up = Some(victim);
            } else {
                given_up = None;
            }
            let item = Item { sequence, at, event, critical: false, ack: None };
            match weight {
                Weight::Light => inside.light.push_back(item),
                Weight::Heavy => inside.heavy.push_back(item),
            }
            pressed = waiting + 1 == self.pressed_at;
            offered = Offered::Queued(sequence);
        }
        if pressed {
            self.wake.notify_one();
        }
        drop(given_up);
        offered
    }

    /// Offers something critical.
    pub(crate) fn offer_critical(&self, event: Event, at: UnixMillis, ack: Ack) -> Offered {
        let sequence;
        {
            let mut inside = self.lock();
            if inside.closing {
                return Offered::Closed;
            }
            sequence = inside.take_number();
            if inside.critical.len() >= AUDIT_CRITICAL_EVENTS_MAX {
                self.lose_one(&mut inside, sequence, &event);
                return Offered::Lost(sequence, Box::new(event));
            }
            inside.critical.push_back(Item { sequence, at, event, critical: true, ack: Some(ack) });
        }
        self.wake.notify_one();
        Offered::Queued(sequence)
    }

    /// Waits until there is something to do, or the time is over. While `patient`, decisions
    /// alone are no reason to wake: the disk is failing.
    pub(crate) fn wait(&self, longest: Duration, patient: bool) -> Wake {
        let mut inside = self.lock();
        loop {
            if !inside.critical.is_empty() {
                return Wake::Critical;
            }
            if inside.closing {
                return Wake::Closing;
            }
            if !patient && inside.heavy.len() + inside.light.len() >= self.pressed_at {
                return Wake::Pressed;
            }
            let (again, timeout) =
                self.wake.wait_timeout(inside, longest).unwrap_or_else(PoisonError::into_inner);
            inside = again;
            if timeout.timed_out() {
                return Wake::Time;
            }
        }
    }

    /// Takes everything that waits, and what was lost: first what is critical, then the decisions,
    /// each in the order of the sequence numbers.
    pub(crate) fn take_all(&self) -> Taken {
        let (critical, heavy, light, lost, gap, lost_ever) = {
            let mut inside = self.lock();
            let lost_ever = inside.lost_ever.total();
            let gap = inside.lost.range.is_some().then(|| inside.take_number());
            let Inside { critical, heavy, light, lost, .. } = &mut *inside;
            let room = |lane: &VecDeque<Item>| VecDeque::with_capacity(lane.len());
            let (c, h, l) = (room(critical), room(heavy), room(light));
            (
                std::mem::replace(critical, c),
                std::mem::replace(heavy, h),
                std::mem::replace(light, l),
                std::mem::take(lost),
                gap,
                lost_ever,
            )
        };
        let mut items: Vec<Item> = Vec::with_capacity(critical.len() + heavy.len() + light.len());
        items.extend(critical);
        items.extend(heavy);
        items.extend(light);
        // Three sorted runs: the sort finds them and merges.
        items.sort_by_key(|item| (!item.critical, item.sequence));
        Taken { items, lost, gap, lost_ever }
    }

    /// Takes only what is critical.
    pub(crate) fn take_critical(&self) -> Vec<Item> {
        std::mem::take(&mut self.lock().critical).into()
    }

    /// Counts events that were taken and cannot be written; the next gap event tells of them.
    pub(crate) fn lose<'a>(&self, items: impl Iterator<Item = &'a Item>) {
        let mut inside = self.lock();
        for item in items {
            self.lose_one(&mut inside, item.sequence, &item.event);
        }
    }

    /// Counts an event of which the writer tells itself.
    pub(crate) fn lose_told(&self, event: &Event) {
        let mut inside = self.lock();
        inside.lost_ever.add(event.kind());
        self.lost_ever.store(inside.lost_ever.total(), Ordering::Release);
    }

    fn lose_one(&self, inside: &mut Inside, sequence: Sequence, event: &Event) {
        inside.lost.add(sequence, event);
        inside.lost_ever.add(event.kind());
        self.lost_ever.store(inside.lost_ever.total(), Ordering::Release);
    }

    /// The durable log tells of so many that were lost.
    pub(crate) fn told(&self, lost_ever: u64) {
        self.told.store(lost_ever, Ordering::Release);
    }

    /// How many were lost of which the durable log does not tell yet.
    pub(crate) fn owed(&self) -> u64 {
        // What was told is read first: it never runs ahead.
        let told = self.told.load(Ordering::Acquire);
        self.lost_ever.load(Ordering::Acquire).saturating_sub(told)
    }

    /// Takes the answers that somebody waits for away from what is critical, which stays: the
    /// disk hangs, and nobody shall wait for it any longer.
    pub(crate) fn take_waiting(&self) -> Vec<(Sequence, UnixMillis, Event, Ack)> {
        let mut inside = self.lock();
        let waiting = inside.critical.iter_mut();
        waiting
            .filter_map(|item| Some((item.sequence, item.at, item.event.clone(), item.ack.take()?)))
            .collect()
    }

    /// A number for an event of the log itself, which goes through no lane.
    pub(crate) fn take_number(&self) -> Sequence {
        self.lock().take_number()
    }

    /// How many wait, and how many were ever lost.
    pub(crate) fn depth(&self) -> (usize, Counts) {
        let inside = self.lock();
        (inside.critical.len() + inside.heavy.len() + inside.light.len(), inside.lost_ever)
    }

    /// How many numbers have been given out.
    pub(crate) fn given(&self) -> u64 {
        self.lock().next.saturating_sub(1)
    }

    /// No more will come. The writer writes what waits and ends.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }
}

impl Inside {
    fn take_number(&mut self) -> Sequence {
        let number = Sequence(self.next);
        self.next = self.next.saturating_add(1);
        number
    }
}

#[cfg(test)]
mod tests;
