//! Other policies beside those in force: what would they have said of the same requests?
//!
//! ```text
//!   request ─► policies in force ─► answer            nothing waits for what is below
//!                     │ offer: question, verdict
//!                     ▼
//!               bounded queue ─► one thread ─► candidate decides ─► difference ─► tally
//! ```
//!
//! Two lanes share the queue and the thread. A *candidate* is a whole bundle that somebody wants to try
//! before it is put in force. *Report-only* is the bundle in force with those of its policies in force as well
//! that only report (`@mode("report")`).
//!
//! What holds:
//! * An offer never waits and never fails. What finds the queue full is counted as missed.
//! * A candidate that panics, fails or is slow touches nothing but its own tally.
//! * Both answers of a comparison are to one question, and the one in force is that which the request got.
//! * A tally compares with one bundle in force. When another is put in force it begins anew, and says so.
//! * Everything that is remembered has a bound.

mod difference;
mod lane;
mod sample;
mod tally;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use doorward_model::UnixMillis;
use doorward_model::limits::SHADOW_QUEUE_MAX;

pub use self::difference::{Change, Difference, Side};
use self::lane::{Item, Run};
pub use self::lane::{Lane, Report, Totals};
pub use self::sample::{NoSample, Sample};
pub use self::tally::{ByName, Counts, Example, Tally};
use crate::bundle::PolicyBundle;
use crate::question::{Question, Verdict};
use crate::revision::Revision;
use crate::situation::Situation;

/// How the bundle in force is asked for: the one that answers every request which no roll-out gives to another.
type InForce = Arc<dyn Fn() -> Arc<PolicyBundle> + Send + Sync>;

/// Where answered questions are offered to be asked of other policies.
pub struct Shadow {
    in_force: InForce,
    candidate: ArcSwapOption<Run>,
    report_only: ArcSwapOption<Run>,
    /// One change of what runs at a time.
    changing: Mutex<()>,
    queue: SyncSender<Box<Item>>,
    /// By weight.
    queued: Arc<AtomicUsize>,
    totals: [Arc<Totals>; 2],
}

/// The other end of the queue: what one thread of its own does.
pub struct Work {
    queue: Receiver<Box<Item>>,
    queued: Arc<AtomicUsize>,
}

/// Why no candidate was started, or none can be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is no candidate.
    NothingRuns,
    /// There is one already.
    Runs(Revision),
    /// These policies are in force.
    InForce(Revision),
    /// When the candidate was started others were in force, from which it may have been made.
    OthersInForce {
        /// When it was started.
        then: Revision,
        /// Now.
        now: Revision,
    },
    /// No request was decided by both, so that nothing is known.
    NothingDecided,
    /// At so many requests it could not be asked without a panic, which only the shadow contains.
    Panicked(u64),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NothingRuns => f.write_str("no candidate runs in the shadow"),
            Self::Runs(revision) => {
                write!(f, "revision {} runs in the shadow already", revision.short())
            }
            Self::InForce(revision) => write!(f, "revision {} is in force", revision.short()),
            Self::OthersInForce { then, now } => write!(
                f,
                "revision {} was in force when the candidate was started, and now {} is",
                then.short(),
                now.short()
            ),
            Self::NothingDecided => f.write_str("the candidate was asked about no request yet"),
            Self::Panicked(times) => write!(f, "asking the candidate ended in a panic {times} times"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Shadow {
    /// Nothing runs yet. `in_force` tells the bundle in force; [`Work::go_on`] is for a thread of its own.
    #[must_use]
    pub fn new(in_force: InForce) -> (Self, Work) {
        let (queue, receiver) = sync_channel(SHADOW_QUEUE_MAX);
        let queued = Arc::new(AtomicUsize::new(0));
        let shadow = Self {
            in_force,
            candidate: ArcSwapOption::empty(),
            report_only: ArcSwapOption::empty(),
            changing: Mutex::new(()),
            queue,
            queued: Arc::clone(&queued),
            totals: [Arc::default(), Arc::default()],
        };
        (shadow, Work { queue: receiver, queued })
    }

    /// Offers a question that `answered` answered so. Returns at once, whatever becomes of it.
    pub fn offer(
        &self,
        asked: &Question<'_>,
        verdict: &Verdict,
        answered: &PolicyBundle,
        request_id: &Arc<str>,
    ) {
        // Mostly nothing runs, and then this is all that it costs.
        let nothing_runs = self.candidate.load().is_none() && self.report_only.load().is_none();
        if nothing_runs && answered.reporting().is_none() {
            return;
        }
        self.renew(asked.now);
        let by = answered.revision();
        let wants = |slot: &ArcSwapOption<Run>| slot.load_full().filter(|run| run.wants(by));
        let runs = [wants(&self.candidate), wants(&self.report_only)];
        if runs.iter().all(Option::is_none) {
            return;
        }
        let in_force = Side::from(verdict);
        let weight = in_force.weight();
        // What finds no place is not copied either.
        let placed = self.queued.fetch_add(weight, Ordering::AcqRel) + weight <= SHADOW_QUEUE_MAX;
        let sent = placed && {
            let (situation, request_id) = (Situation::from(asked), Arc::clone(request_id));
            let item = Item { runs: runs.clone(), situation, in_force, request_id, weight };
            self.queue.try_send(Box::new(item)).is_ok()
        };
        if !sent {
            self.queued.fetch_sub(weight, Ordering::AcqRel);
            runs.iter().flatten().for_each(|run| run.missed());
        }
    }

    /// Starts a candidate. From now on it is asked about this share of the requests.
    ///
    /// # Errors
    /// Another one runs, or it is in force.
    pub fn start(&self, candidate: Arc<PolicyBundle>, sample: Sample, now: UnixMillis) -> Result<(), Unfit> {
        self.begin(candidate, sample, now, None)
    }

    /// Starts a candidate once more that ran before the gateway was started again: since `started_at`, when
    /// `in_force_then` was in force. What it had found is gone.
    ///
    /// # Errors
    /// Another one runs, or it is in force.
    pub fn resume(
        &self,
        candidate: Arc<PolicyBundle>,
        sample: Sample,
        (started_at, in_force_then): (UnixMillis, Revision),
        now: UnixMillis,
    ) -> Result<(), Unfit> {
        self.begin(candidate, sample, now, Some((started_at, in_force_then)))
    }

    fn begin(
        &self,
        candidate: Arc<PolicyBundle>,
        sample: Sample,
        now: UnixMillis,
        before: Option<(UnixMillis, Revision)>,
    ) -> Result<(), Unfit> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = &*self.candidate.load() {
            return Err(Unfit::Runs(run.candidate_revision()));
        }
        let in_force = (self.in_force)().revision();
        if candidate.revision() == in_force {
            return Err(Unfit::InForce(in_force));
        }
        let run = Run::new(candidate, in_force, sample, now, Arc::clone(self.totals(Lane::Candidate)));
        let run = match before {
            Some((at, in_force_then)) => run.begun(at, in_force_then),
            None => run,
        };
        self.candidate.store(Some(Arc::new(run)));
        Ok(())
    }

    /// Ends the candidate; what it had found. None where there is none.
    pub fn stop(&self, now: UnixMillis) -> Option<Report> {
        let report = self.report(Lane::Candidate, now);
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.candidate.swap(None).map(|run| report.unwrap_or_else(|| run.report()))
    }

    /// What was found so far. None where nothing runs in the lane.
    #[must_use]
    pub fn report(&self, lane: Lane, now: UnixMillis) -> Option<Report> {
        self.renew(now);
        self.slot(lane).load().as_ref().map(|run| run.report())
    }

    /// Whether something runs in the lane.
    #[must_use]
    pub fn runs(&self, lane: Lane, now: UnixMillis) -> bool {
        self.renew(now);
        self.slot(lane).load().is_some()
    }

    /// The candidate, if it may be put in force by what is known: what was found, and the bundle. `force` asks
    /// for no more than that there is one.
    ///
    /// # Errors
    /// Why not.
    pub fn promotable(&self, force: bool, now: UnixMillis) -> Result<(Arc<PolicyBundle>, Report), Unfit> {
        self.renew(now);
        let run = self.candidate.load_full().ok_or(Unfit::NothingRuns)?;
        let report = run.report();
        if report.candidate == report.in_force {
            return Err(Unfit::InForce(report.in_force));
        }
        if !force && report.in_force_at_start != report.in_force {
            return Err(Unfit::OthersInForce { then: report.in_force_at_start, now: report.in_force });
        }
        if !force && report.tally.decided == 0 {
            return Err(Unfit::NothingDecided);
        }
        if !force && report.tally.failed > 0 {
            return Err(Unfit::Panicked(report.tally.failed));
        }
        Ok((run.candidate(), report))
    }

    /// What was counted in a lane since the gateway was started, over all that ran in it.
    #[must_use]
    pub const fn totals(&self, lane: Lane) -> &Arc<Totals> {
        let [candidate, report_only] = &self.totals;
        match lane {
            Lane::Candidate => candidate,
            Lane::ReportOnly => report_only,
        }
    }

    const fn slot(&self, lane: Lane) -> &ArcSwapOption<Run> {
        match lane {
            Lane::Candidate => &self.candidate,
            Lane::ReportOnly => &self.report_only,
        }
    }

    /// Begins to count anew where another bundle is in force than the one that was compared with.
    fn renew(&self, now: UnixMillis) {
        if self.compares_with(&(self.in_force)()) {
            return;
        }
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked once more: whoever held the lock may have seen newer ones than this thread had.
        let in_force = (self.in_force)();
        let with = in_force.revision();
        if let Some(run) = self.candidate.load_full().filter(|run| run.in_force() != with) {
            self.candidate.store(Some(Arc::new(run.anew(with, now))));
        }
        if self.report_only.load().as_ref().map(|run| run.in_force()) != in_force.reporting().map(|_| with) {
            let run = |all: &Arc<PolicyBundle>| {
                let totals = Arc::clone(self.totals(Lane::ReportOnly));
                let run = Run::new(Arc::clone(all), with, Sample::ALL, now, totals);
                Arc::new(run.naming(in_force.only_report()))
            };
            self.report_only.store(in_force.reporting().map(run));
        }
    }

    /// Whether everything that runs is compared with these, and what should run does.
    fn compares_with(&self, in_force: &PolicyBundle) -> bool {
        let with = in_force.revision();
        self.candidate.load().as_ref().is_none_or(|run| run.in_force() == with)
            && self.report_only.load().as_ref().map(|run| run.in_force())
                == in_force.reporting().map(|_| with)
    }
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = |lane| self.slot(lane).load().as_ref().map(|run| run.candidate_revision().short());
        let mut out = f.debug_struct("Shadow");
        out.field("candidate", &runs(Lane::Candidate)).field("report_only", &runs(Lane::ReportOnly));
        out.finish_non_exhaustive()
    }
}

// === impl Work ===

impl Work {
    /// Asks the other policies about whatever is offered, until the [`Shadow`] is gone.
    pub fn go_on(self) {
        while let Ok(item) = self.queue.recv() {
            self.done(*item);
        }
    }

    /// The same for what is offered already.
    pub fn catch_up(&self) {
        let offered = self.queued.load(Ordering::Acquire);
        self.queue.try_iter().take(offered).for_each(|item| self.done(*item));
    }

    fn done(&self, item: Item) {
        item.decide();
        self.queued.fetch_sub(item.weight, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("queued", &self.queued).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
