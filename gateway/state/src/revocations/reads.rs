//! How reading of a store goes.
//!
//! `missed` counts the beats of the pulse since the follower last *began* to read the store to its
//! end; no clock is asked, so that a clock that jumps makes nothing stale.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use doorward_model::UnixMillis;

/// What the log says. Whole lines, so that who looks for one finds it.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    /// What is read cannot be, and what comes of it.
    pub(crate) fails: &'static str,
    /// It can be again.
    pub(crate) works: &'static str,
}

pub(crate) struct Reads {
    lines: Lines,
    missed: AtomicU32,
    as_of: AtomicI64,
    last_error: Mutex<Option<String>>,
}

impl Reads {
    pub(crate) fn new(lines: Lines, as_of: UnixMillis) -> Self {
        Self {
            lines,
            missed: AtomicU32::new(0),
            as_of: AtomicI64::new(as_of.0),
            last_error: Mutex::default(),
        }
    }

    /// The follower is about to read. What it must hand to [`succeeded`](Self::succeeded): what is
    /// known counts from the question, as the answer may be long in coming.
    pub(crate) fn begins(&self) -> u32 {
        self.missed.load(Ordering::Acquire)
    }

    /// The follower has read everything that was there at `as_of`, when it had missed `asked` beats.
    pub(crate) fn succeeded(&self, as_of: UnixMillis, asked: u32) {
        self.as_of.store(as_of.0, Ordering::Release);
        // Only the follower subtracts, so there is never less than it saw.
        self.missed.fetch_sub(asked, Ordering::AcqRel);
        let error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        if error.is_some() {
            tracing::info!("{}", self.lines.works);
        }
    }

    pub(crate) fn failed(&self, error: String) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none() {
            tracing::error!(error, "{}", self.lines.fails);
        }
        *last = Some(error);
    }

    /// One beat of the pulse went by.
    pub(crate) fn beat(&self) {
        let _before = self.missed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_add(1));
    }

    /// Beats since the last reading began.
    pub(crate) fn missed(&self) -> u32 {
        self.missed.load(Ordering::Acquire)
    }

    pub(crate) fn as_of(&self) -> UnixMillis {
        UnixMillis(self.as_of.load(Ordering::Acquire))
    }

    pub(crate) fn error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
