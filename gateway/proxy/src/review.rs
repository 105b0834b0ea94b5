//! What runs is decided anew when what its decision rests on has changed.
//!
//! A decision rests on who somebody is, on the policies, on where an address is and on the time. All of
//! these change while a WebSocket runs that was let in by them. So whoever changes one of them says so
//! here, and each exchange that this may concern is asked about again, as its own request would be now.
//!
//! ```text
//!  the directory ─ whom it concerns ─┐
//!  policies, GeoIP ─ everybody ──────┼─► waiting, put together ─► one task ─► each exchange
//!  the clock ─ whose time has come ──┘                            a few at a time   │
//!                                          allowed: it goes on, and learns nothing ◄─┤
//!                     refused: it ends with the word of its protocol (`Withdrawn`) ◄─┤
//!           nobody can tell: it is asked about again, for as long as streams may be ◄─┘
//! ```
//! There is no gap. An exchange takes a [`Mark`] before it reads anything, registers, is decided, is kept
//! here, and then looks whether the mark still holds. A change is in force before the mark rises, and
//! what is registered is looked for after it rose. So whoever was decided by what was before is found, or
//! finds out.
//!
//! The cast:
//! * [`Review`] is where changes are told, and wait;
//! * [`keep_deciding`] is the task that works on them;
//! * [`Held`] is what of an exchange is kept for it: its permit, which it has anyway.
//!
//! Invariants:
//! * whoever tells of a change waits for nothing, and what waits is bounded: many names become everybody;
//! * what is asked is what a request of the same exchange would be asked at this moment;
//! * only an answer ends what runs, or that there was none for too long;
//! * nobody is let in here: what was ended stays so, whatever the next change says.

mod anew;
mod task;
mod waiting;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use doorward_audit::Because;
use doorward_audit::Ruling;
use doorward_model::{Refusal, RefusalCode};
use doorward_policy::Revision;
use doorward_state::directory::Moved;
use tokio::sync::Notify;

use crate::pipeline::House;
use crate::pipeline::authorize::Permit;
use anew::{Answer, Seen, Thoroughly};
pub use task::keep_deciding;
use waiting::{Named, Waiting, Work};

/// Where changes are told that concern what runs.
#[derive(Default)]
pub struct Review {
    changes: AtomicU64,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// What was in force at a moment, as far as it can be compared with what is in force now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// What is kept of an exchange that runs, so that it can be decided anew.
pub(crate) struct Held {
    permit: Arc<Permit>,
    seen: Mutex<Seen>,
}

/// Why what runs may not go on.
#[derive(Clone, Debug)]
pub struct Withdrawn {
    /// Why it was decided anew.
    pub because: Because,
    /// What its request would be told now.
    pub code: RefusalCode,
    /// What the policies said, if they were asked.
    pub ruling: Option<Ruling>,
    /// When the change was told, on the process's monotonic clock.
    pub changed_at: Duration,
}

/// What one look at some exchanges came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// They go on.
    pub(crate) stand: u64,
    /// They were told to end.
    pub(crate) withdrawn: u64,
    /// Nobody could tell.
    pub(crate) unknown: u64,
}

// === impl Review ===

impl Review {
    /// Something is in force that may concern everybody. `at` is now, on the process's monotonic clock.
    pub fn changed(&self, because: Because, at: Duration) {
        self.tell(|waiting| waiting.everybody(because, at));
    }

    /// The directory says something else of some.
    pub fn moved(&self, moved: &Moved, at: Duration) {
        self.tell(|waiting| waiting.some(moved, at));
    }

    fn tell(&self, add: impl FnOnce(&mut Waiting)) {
        // After what changed is in force, and before anybody looks whom it concerns.
        self.changes.fetch_add(1, Ordering::AcqRel);
        add(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// To be taken before anything is read that a decision rests on.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.changes.load(Ordering::Acquire))
    }

    /// Whether something changed since.
    pub(crate) fn is_past(&self, mark: Mark) -> bool {
        self.mark() != mark
    }

    fn take(&self) -> Option<Work> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn take_named(&self) -> Option<Named> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take_named()
    }
}

// === impl Withdrawn ===

impl Withdrawn {
    /// What the client reads. Of whom the policies refuse, it says no more than that it was otherwise.
    pub(crate) const fn title(&self) -> &'static str {
        match self.code {
            RefusalCode::PolicyForbids | RefusalCode::NoPermit | RefusalCode::StepUp => {
                "Your access has changed"
            }
            other => other.title(),
        }
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn new(permit: Arc<Permit>, revision: Revision, at: Duration) -> Arc<Self> {
        let seen = Mutex::new(Seen::new(permit.who().clone(), revision, at));
        Arc::new(Self { permit, seen })
    }
}

/// Asks once more about an exchange that was decided while something changed: what the policies say now, if
/// they were asked, and why it may not pass, if it may not. Nobody was answered yet, so what nobody can tell
/// refuses it.
pub(crate) fn ask_again(house: &House, held: &Held) -> (Option<Ruling>, Option<Refusal>) {
    match held.anew(house, Thoroughly::Yes) {
        Answer::Stands(ruling) => (ruling, None),
        Answer::Ends(refusal, ruling) | Answer::Unknown(refusal, ruling) => (ruling, Some(refusal)),
    }
}

/// Subscribes to what the directory says, so that [`keep_deciding`] hears of it.
pub fn follow(house: &Arc<House>) {
    let weak = Arc::downgrade(house);
    house.accounts.directory().subscribe(Arc::new(move |moved: &Moved| {
        if let Some(house) = weak.upgrade() {
            house.review.moved(moved, (house.ticks)());
        }
    }));
}

#[cfg(test)]
mod tests;
