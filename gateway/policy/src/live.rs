//! The policies in force, and how others take their place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_model::UnixMillis;

use crate::bundle::PolicyBundle;
use crate::failure::{Finding, LoadFailure};
use crate::known::Known;
use crate::load;
use crate::revision::Revision;

/// The policies in force.
///
/// Reading is a pointer load. [`Policies::reload`] puts another bundle in force as a whole or
/// not at all.
#[derive(Debug)]
pub struct Policies {
    dir: PathBuf,
    known: Option<Known>,
    bundle: ArcSwap<PolicyBundle>,
    /// One load at a time, so that a slow old one cannot overtake a new one.
    loading: Mutex<()>,
}

/// What a reload came to.
#[derive(Debug)]
pub enum Outcome {
    /// Other policies are in force now.
    Swapped {
        /// The bundle before.
        from: Revision,
        /// The bundle now.
        to: Revision,
        /// How many of its own cases held.
        cases: usize,
        /// The policies that are not in it any more and forbade something: what they kept out
        /// gets in. By name, in order.
        lost_forbids: Vec<Arc<str>>,
        /// The policies that are not in it any more and permitted something.
        lost_permits: Vec<Arc<str>>,
        /// What could be better in it.
        hints: Vec<Finding>,
    },
    /// The files hold what is in force already.
    Unchanged,
    /// The files are not fit to be put in force; the bundle before stays.
    Rejected(LoadFailure),
}

/// How long a bundle that is out of force waits for the last request that was asked of it.
const RETIREMENT: Duration = Duration::from_secs(1);
/// How often it looks.
const RETIREMENT_LOOKS: u32 = 100;

/// Takes a bundle apart here, where nobody waits. Ten thousand policies take milliseconds to free,
/// and whoever lets go of them last pays: without this, a request.
fn retire(bundle: Arc<PolicyBundle>) {
    for _ in 0..RETIREMENT_LOOKS {
        if Arc::strong_count(&bundle) == 1 {
            break;
        }
        thread::sleep(RETIREMENT / RETIREMENT_LOOKS);
    }
    drop(bundle);
}

impl Policies {
    /// Loads the folder.
    ///
    /// # Errors
    /// Every mistake in it, at once.
    pub fn open(dir: &Path, known: Option<Known>, now: UnixMillis) -> Result<Self, LoadFailure> {
        let loaded = load::load(dir, known.as_ref(), now)?;
        Ok(Self {
            dir: dir.to_owned(),
            known,
            bundle: ArcSwap::from_pointee(loaded.bundle),
            loading: Mutex::new(()),
        })
    }

    /// Loads the folder again. The bundle before stays in force unless the new one passed
    /// everything, and the folder has stopped changing. Takes as long as validation takes: not for a thread that serves requests.
    pub fn reload(&self, now: UnixMillis) -> Outcome {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let from = self.bundle.load().revision();
        match load::load_settled(&self.dir, self.known.as_ref(), now, from) {
            Ok(None) => Outcome::Unchanged,
            Ok(Some(loaded)) => {
                let to = loaded.bundle.revision();
                let next = Arc::new(loaded.bundle);
                let before = self.bundle.swap(Arc::clone(&next));
                let (lost_forbids, lost_permits) = before.lost_to(&next);
                retire(before);
                Outcome::Swapped {
                    from,
                    to,
                    cases: loaded.cases,
                    lost_forbids,
                    lost_permits,
                    hints: loaded.hints,
                }
            }
            Err(failure) => Outcome::Rejected(failure),
        }
    }

    /// The bundle in force. One request uses one bundle from beginning to end.
    #[must_use]
    pub fn bundle(&self) -> Arc<PolicyBundle> {
        self.bundle.load_full()
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
