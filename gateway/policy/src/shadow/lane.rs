//! One set of policies that runs beside, and what it was asked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_model::UnixMillis;

use super::difference::{Change, Side};
use super::sample::Sample;
use super::tally::Tally;
use crate::bundle::PolicyBundle;
use crate::revision::Revision;
use crate::situation::Situation;

/// What for policies run beside those in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A bundle that somebody wants to try.
    Candidate,
    /// Those in force with what only reports in force as well.
    ReportOnly,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Candidate, Self::ReportOnly];

    /// The word for it in metrics, logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::ReportOnly => "report_only",
        }
    }
}

/// What was counted in a lane since the gateway was started.
#[derive(Debug, Default)]
pub struct Totals {
    decided: AtomicU64,
    failed: AtomicU64,
    missed: AtomicU64,
    changes: [AtomicU64; Change::ALL.len()],
}

impl Totals {
    /// Requests that both decided.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.decided.load(Ordering::Relaxed)
    }

    /// Requests where the attempt panicked.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Requests that found the queue full.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Requests that something changes.
    #[must_use]
    pub fn changes(&self, change: Change) -> u64 {
        self.changes.get(change as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// What was found so far.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which policies run beside.
    pub candidate: Revision,
    /// How many of them decide.
    pub policies: usize,
    /// Which of them only report in the bundle in force; empty for a candidate.
    pub reporting: Arc<[Arc<str>]>,
    /// Which policies they are compared with.
    pub in_force: Revision,
    /// Which were in force when they were started.
    pub in_force_at_start: Revision,
    /// When they were started.
    pub started_at: UnixMillis,
    /// Since when is counted: since then the same policies are in force.
    pub since: UnixMillis,
    /// How often counting began anew, because others were put in force.
    pub restarts: u64,
    /// Which share of the requests they are asked about.
    pub sample: Sample,
    /// How many requests were answered by the policies that are compared with.
    pub seen: u64,
    /// How many of these were not in the sample.
    pub passed_over: u64,
    /// How many of these found the queue full.
    pub missed: u64,
    /// How many were answered by others than those, which a roll-out had put in force for a share.
    pub elsewhere: u64,
    /// What was found different.
    pub tally: Tally,
}

impl Report {
    /// How many requests wait to be decided.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        let done = self.passed_over + self.missed + self.tally.decided + self.tally.failed;
        self.seen.saturating_sub(done)
    }
}

/// One set of policies that runs beside one in force.
pub(super) struct Run {
    candidate: Arc<PolicyBundle>,
    in_force: Revision,
    in_force_at_start: Revision,
    started_at: UnixMillis,
    since: UnixMillis,
    restarts: u64,
    sample: Sample,
    seen: AtomicU64,
    passed_over: AtomicU64,
    missed: AtomicU64,
    elsewhere: AtomicU64,
    tally: Mutex<Tally>,
    totals: Arc<Totals>,
    reporting: Arc<[Arc<str>]>,
}

impl Run {
    pub(super) fn new(
        candidate: Arc<PolicyBundle>,
        in_force: Revision,
        sample: Sample,
        now: UnixMillis,
        totals: Arc<Totals>,
    ) -> Self {
        Self {
            candidate,
            in_force,
            in_force_at_start: in_force,
            started_at: now,
            since: now,
            restarts: 0,
            sample,
            seen: AtomicU64::new(0),
            passed_over: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            tally: Mutex::default(),
            totals,
            reporting: Arc::default(),
        }
    }

    /// With the names of those that only report in the bundle in force.
    pub(super) fn naming(self, reporting: &Arc<[Arc<str>]>) -> Self {
        Self { reporting: Arc::clone(reporting), ..self }
    }

    /// Begun before, when these were in force.
    pub(super) fn begun(self, started_at: UnixMillis, in_force_at_start: Revision) -> Self {
        Self { started_at, in_force_at_start, ..self }
    }

    /// The same against other policies, with nothing counted.
    pub(super) fn anew(&self, in_force: Revision, now: UnixMillis) -> Self {
        Self {
            in_force_at_start: self.in_force_at_start,
            started_at: self.started_at,
            restarts: self.restarts + 1,
            ..Self::new(self.candidate(), in_force, self.sample, now, Arc::clone(&self.totals))
        }
    }

    pub(super) fn candidate(&self) -> Arc<PolicyBundle> {
        Arc::clone(&self.candidate)
    }

    pub(super) fn candidate_revision(&self) -> Revision {
        self.candidate.revision()
    }

    pub(super) const fn in_force(&self) -> Revision {
        self.in_force
    }

    /// Counts a request that these policies answered, and says whether it is to be asked about.
    pub(super) fn wants(&self, answered_by: Revision) -> bool {
        if answered_by != self.in_force {
            self.elsewhere.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let wanted = self.sample.takes(self.seen.fetch_add(1, Ordering::Relaxed));
        if !wanted {
            self.passed_over.fetch_add(1, Ordering::Relaxed);
        }
        wanted
    }

    pub(super) fn missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.totals.missed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> Report {
        // Before the others: what is decided meanwhile is not counted as waiting.
        let seen = self.seen.load(Ordering::Relaxed);
        Report {
            candidate: self.candidate.revision(),
            policies: self.candidate.policies(),
            reporting: Arc::clone(&self.reporting),
            in_force: self.in_force,
            in_force_at_start: self.in_force_at_start,
            started_at: self.started_at,
            since: self.since,
            restarts: self.restarts,
            sample: self.sample,
            seen,
            passed_over: self.passed_over.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            elsewhere: self.elsewhere.load(Ordering::Relaxed),
            tally: self.tally().clone(),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the policies that run beside.
    fn decide(&self, item: &Item) {
        self.compare(item, || Side::from(&self.candidate.decide(&item.situation.question())));
    }

    /// Compares with what `ask` answers. A panic in there stays in there.
    pub(super) fn compare(&self, item: &Item, ask: impl FnOnce() -> Side) {
        let Ok(candidate) = catch_unwind(AssertUnwindSafe(ask)) else {
            self.tally().failed += 1;
            self.totals.failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let change = self.tally().add(&item.request_id, &item.situation, &item.in_force, candidate);
        self.totals.decided.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = change.and_then(|change| self.totals.changes.get(change as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One answered question, for one lane or both.
pub(super) struct Item {
    pub(super) runs: [Option<Arc<Run>>; 2],
    pub(super) situation: Situation,
    pub(super) in_force: Side,
    pub(super) request_id: Arc<str>,
    /// What of the queue it takes.
    pub(super) weight: usize,
}

impl Item {
    pub(super) fn decide(&self) {
        self.runs.iter().flatten().for_each(|run| run.decide(self));
    }
}
