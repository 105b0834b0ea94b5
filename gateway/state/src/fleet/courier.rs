//! What is committed, and waits to go out.

use std::collections::VecDeque;
use std::time::Duration;

use crate::fleet::Published;
use crate::revocations::queue::{Distribution, Pending, Saved};
use crate::store::Reach;

/// Changes that the writer has committed, up to a row of the directory and a write of a record.
pub(crate) struct Committed {
    pub(crate) up_to: Reach,
    pub(crate) changes: Vec<(Pending, Saved)>,
}

/// Callers who wait until what is committed is published.
#[derive(Default)]
pub(crate) struct Waiting {
    /// In the order in which they were committed, so that none needs less than the one before.
    changes: VecDeque<(Reach, Duration, Pending, Saved)>,
}

impl Waiting {
    /// Takes changes that were committed at `now`.
    pub(crate) fn take(&mut self, committed: Committed, now: Duration) {
        for (pending, saved) in committed.changes {
            self.changes.push_back((committed.up_to, now, pending, saved));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whoever waits for nothing more than what went out.
    pub(crate) fn published(&mut self, up_to: Reach, published: Published) -> Vec<(Pending, Saved)> {
        let is_out = |needs: &Reach| needs.row <= up_to.row && needs.records <= up_to.records;
        let mut out = Vec::new();
        while self.changes.front().is_some_and(|(needs, ..)| is_out(needs)) {
            if let Some((_, _, pending, saved)) = self.changes.pop_front() {
                out.push((pending, Saved { distribution: Distribution::Published(published), ..saved }));
            }
        }
        out
    }

    /// Whoever has waited for longer than `patience` when it is `now`: the change goes out later.
    pub(crate) fn impatient(&mut self, now: Duration, patience: Duration) -> Vec<(Pending, Saved)> {
        let mut out = Vec::new();
        let late = |since: &Duration| now.saturating_sub(*since) >= patience;
        while self.changes.front().is_some_and(|(_, since, ..)| late(since)) {
            if let Some((_, _, pending, saved)) = self.changes.pop_front() {
                out.push((pending, saved));
            }
        }
        out
    }
}
