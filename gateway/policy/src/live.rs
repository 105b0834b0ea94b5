//! The policies in force, and how others take their place.
//!
//! What is in force comes from the folder, or from a bundle that somebody put in force ([`Policies::install`]).
//! The last change wins: what was installed stays until the content of the folder changes after that.
//!
//! Beside it another bundle may be *staged*: a share of the people, or some apps, are asked of that one, until
//! other policies come into force.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_model::{AppId, Principal, UnixMillis};

use crate::bundle::PolicyBundle;
use crate::difference::Difference;
use crate::failure::{self, Finding, LoadFailure};
use crate::known::Known;
use crate::load::{self, Wanted};
use crate::revision::Revision;
use crate::share::Share;
use crate::source;

/// The policies in force.
///
/// Reading is a pointer load. [`Policies::reload`] puts another bundle in force as a whole or
/// not at all.
#[derive(Debug)]
pub struct Policies {
    dir: PathBuf,
    loader: Loader,
    stand: ArcSwap<Stand>,
    /// Held while the folder is loaded, so that a slow old load cannot overtake a new one. Nobody else waits for it.
    loading: Mutex<()>,
    /// What the folder held when it was last decided which bundle is in force; none where it could not be
    /// read then. Held for a moment only: whoever stops a roll-out or goes back waits for it.
    folder: Mutex<Option<Revision>>,
}

/// Who is asked of which bundle, at one moment.
#[derive(Debug)]
pub struct Stand {
    /// The bundle in force.
    pub bundle: Arc<PolicyBundle>,
    /// What a share is asked of, if anything is staged.
    pub staged: Option<Staged>,
}

impl Stand {
    /// The bundle that somebody is asked of at an app. Nothing is counted.
    #[must_use]
    pub fn bundle_of(&self, principal: &Principal, app: &AppId) -> &Arc<PolicyBundle> {
        self.chosen(principal, app).0
    }

    /// Whether anybody is asked of exactly this bundle.
    fn asks(&self, bundle: &Arc<PolicyBundle>) -> bool {
        let staged = self.staged.as_ref().map(|staged| &staged.bundle);
        staged.into_iter().chain([&self.bundle]).any(|asked| Arc::ptr_eq(asked, bundle))
    }

    /// The bundle that somebody is asked of, and the counter of it; no counter while nothing is staged.
    fn chosen(&self, principal: &Principal, app: &AppId) -> (&Arc<PolicyBundle>, Option<&AtomicU64>) {
        let Some(staged) = &self.staged else { return (&self.bundle, None) };
        if staged.share.takes(principal, app) {
            return (&staged.bundle, Some(&staged.asked.staged));
        }
        (&self.bundle, Some(&staged.asked.in_force))
    }
}

/// A bundle that a share is asked of, beside the one in force.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The bundle.
    pub bundle: Arc<PolicyBundle>,
    /// Who.
    pub share: Share,
    asked: Arc<Asked>,
}

/// How often was asked while something is staged: of that, and of what is in force.
#[derive(Debug, Default)]
struct Asked {
    staged: AtomicU64,
    in_force: AtomicU64,
}

impl Staged {
    /// Asks `share` of `bundle`.
    #[must_use]
    pub fn new(bundle: Arc<PolicyBundle>, share: Share) -> Self {
        Self { bundle, share, asked: Arc::default() }
    }

    /// How often it was asked since it is staged so, and how often the one in force was.
    #[must_use]
    pub fn asked(&self) -> (u64, u64) {
        (self.asked.staged.load(Ordering::Relaxed), self.asked.in_force.load(Ordering::Relaxed))
    }
}

/// A bundle that passed every check, and is not in force by that.
#[derive(Debug)]
pub struct Candidate {
    /// The bundle.
    pub bundle: Arc<PolicyBundle>,
    /// How many of its own cases held.
    pub cases: usize,
    /// What could be better in it.
    pub hints: Vec<Finding>,
}

/// Tries a folder elsewhere, where it can harm nobody, and tells of which revision the folder was. It fails
/// when the trial came to no end; that the folder is not fit is found again, and told, by loading it.
pub type Vet = dyn Fn(&Path, Option<&Known>) -> Result<Revision, LoadFailure> + Send + Sync;

/// How folders are loaded: against which names, and whether each is tried elsewhere before.
#[derive(Default)]
pub struct Loader {
    known: Option<Known>,
    vet: Option<Box<Vet>>,
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("vetted", &self.vet.is_some()).finish_non_exhaustive()
    }
}

impl Loader {
    /// Loads folders here.
    #[must_use]
    pub const fn new(known: Option<Known>) -> Self {
        Self { known, vet: None }
    }

    /// Loads folders only after `vet` has tried the same bytes.
    #[must_use]
    pub fn vetted(known: Option<Known>, vet: Box<Vet>) -> Self {
        Self { known, vet: Some(vet) }
    }

    /// Loads a folder. What comes of it is in force nowhere.
    ///
    /// # Errors
    /// Every mistake in it, at once; or why it could not be tried.
    pub fn load(&self, dir: &Path, now: UnixMillis) -> Result<Candidate, LoadFailure> {
        let known = self.known.as_ref();
        let loaded = match &self.vet {
            None => load::load(dir, known, now, Wanted::default())?,
            Some(vet) => {
                let load = |only| load::load(dir, known, now, Wanted { have: None, only: Some(only) });
                load::load_vetted(dir, || vet(dir, known), load)?
            }
        };
        Ok(loaded.into())
    }

    /// Loads a folder unless it holds `have`, once it has stopped changing.
    fn load_unless(
        &self,
        dir: &Path,
        now: UnixMillis,
        have: Option<Revision>,
    ) -> Result<Option<Candidate>, LoadFailure> {
        let known = self.known.as_ref();
        let settled = |only| load::load_settled(dir, known, now, Wanted { have, only });
        let loaded = match &self.vet {
            None => settled(None),
            // To compare bytes is safe, and most often there is nothing new.
            Some(_) if have.is_some() && source::revision(dir) == have => Ok(None),
            Some(vet) => load::load_vetted(dir, || vet(dir, known), |only| settled(Some(only))),
        };
        Ok(loaded?.map(Candidate::from))
    }
}

impl From<load::Loaded> for Candidate {
    fn from(mut loaded: load::Loaded) -> Self {
        // Ten thousand policies may have ten thousand hints, which nobody reads in an answer or a log.
        failure::bound(&mut loaded.hints, "hints");
        Self { bundle: Arc::new(loaded.bundle), cases: loaded.cases, hints: loaded.hints }
    }
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
        /// Which policies came, went, and say something else.
        difference: Box<Difference>,
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
        Self::load(dir, Loader::new(known), now)
    }

    /// Loads the folder, and from now on by `loader`. This once it is tried nowhere before: nobody is served
    /// yet, and there is nothing else to begin with.
    ///
    /// # Errors
    /// Every mistake in it, at once.
    pub fn load(dir: &Path, loader: Loader, now: UnixMillis) -> Result<Self, LoadFailure> {
        let candidate = Candidate::from(load::load(dir, loader.known.as_ref(), now, Wanted::default())?);
        let folder = Some(candidate.bundle.revision());
        Ok(Self::with(dir, loader, candidate, folder))
    }

    /// Begins with a bundle that was installed before, while the folder holds `folder`.
    #[must_use]
    pub fn with(dir: &Path, loader: Loader, candidate: Candidate, folder: Option<Revision>) -> Self {
        let stand = ArcSwap::from_pointee(Stand { bundle: candidate.bundle, staged: None });
        let (loading, folder) = (Mutex::new(()), Mutex::new(folder));
        Self { dir: dir.to_owned(), loader, stand, loading, folder }
    }

    /// Loads the folder again. The bundle before stays in force unless the new one passed
    /// everything, and the folder has stopped changing. Takes as long as validation takes: not for a thread that serves requests.
    pub fn reload(&self, now: UnixMillis) -> Outcome {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *self.held();
        let candidate = match self.loader.load_unless(&self.dir, now, before) {
            Ok(None) => return Outcome::Unchanged,
            Ok(Some(candidate)) => candidate,
            Err(failure) => return Outcome::Rejected(failure),
        };
        let mut held = self.held();
        if *held == Some(candidate.bundle.revision()) {
            // Meanwhile somebody put another bundle in force and knew of this folder: theirs is the last change.
            return Outcome::Unchanged;
        }
        *held = Some(candidate.bundle.revision());
        self.swap(held, candidate)
    }

    fn held(&self) -> MutexGuard<'_, Option<Revision>> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads another folder as this one is. It is in force nowhere.
    ///
    /// # Errors
    /// Every mistake in it, at once; or why it could not be tried.
    pub fn candidate(&self, dir: &Path, now: UnixMillis) -> Result<Candidate, LoadFailure> {
        self.loader.load(dir, now)
    }

    /// Loads a folder that was in force here before, as it was then: it is tried nowhere first, for it was, and
    /// whoever goes back must not wait for that.
    ///
    /// # Errors
    /// Every mistake in it, at once.
    pub fn candidate_of_before(&self, dir: &Path, now: UnixMillis) -> Result<Candidate, LoadFailure> {
        Ok(load::load(dir, self.loader.known.as_ref(), now, Wanted::default())?.into())
    }

    /// Puts a bundle in force that does not come from the folder. It stays until the folder holds something
    /// else than `folder`, which is what it held when this was asked for ([`Policies::in_folder`]).
    /// [`Outcome::Unchanged`] when it is in force already.
    pub fn install(&self, candidate: Candidate, folder: Option<Revision>) -> Outcome {
        let mut held = self.held();
        *held = folder;
        self.swap(held, candidate)
    }

    /// The same in the place of exactly these.
    ///
    /// # Errors
    /// The revision that is in force by now, where that is another one. Nothing has changed then.
    pub fn install_over(
        &self,
        candidate: Candidate,
        folder: Option<Revision>,
        expected: Revision,
    ) -> Result<Outcome, Revision> {
        let mut held = self.held();
        let now = self.stand.load().bundle.revision();
        if now != expected {
            return Err(now);
        }
        *held = folder;
        Ok(self.swap(held, candidate))
    }

    fn swap(&self, held: MutexGuard<'_, Option<Revision>>, candidate: Candidate) -> Outcome {
        let Candidate { bundle: next, cases, hints } = candidate;
        let stand = self.stand.load_full();
        let (before, staged) =
            (Arc::clone(&stand.bundle), stand.staged.as_ref().map(|s| Arc::clone(&s.bundle)));
        drop(stand);
        let (from, to) = (before.revision(), next.revision());
        if from == to {
            return Outcome::Unchanged;
        }
        // In one step with what is staged: a share that goes on being asked of something else would not be
        // reached by what may be a mend in an emergency.
        self.stand.rcu(|_| Stand { bundle: Arc::clone(&next), staged: None });
        drop(held);
        let (lost_forbids, lost_permits) = before.lost_to(&next);
        let difference = Box::new(before.difference(&next));
        retire(before);
        staged.into_iter().for_each(retire);
        Outcome::Swapped { from, to, cases, lost_forbids, lost_permits, difference, hints }
    }

    /// Asks a share of another bundle than the one in force, or nobody any more.
    pub fn stage(&self, staged: Option<Staged>) {
        let held = self.held();
        let before = self.staged().map(|before| before.bundle);
        self.stand.rcu(|stand| Stand { bundle: Arc::clone(&stand.bundle), staged: staged.clone() });
        // Of another share of the same bundle there is no last request to wait for.
        let out_of_use = before.filter(|bundle| !self.stand.load().asks(bundle));
        drop(held);
        drop(staged);
        out_of_use.into_iter().for_each(retire);
    }

    /// The bundle in force: what is displayed. One request uses one bundle from beginning to end.
    #[must_use]
    pub fn bundle(&self) -> Arc<PolicyBundle> {
        Arc::clone(&self.stand.load().bundle)
    }

    /// The bundle that somebody is asked of at an app: the one in force, or the staged one for its share.
    #[must_use]
    pub fn bundle_for(&self, principal: &Principal, app: &AppId) -> Arc<PolicyBundle> {
        let stand = self.stand.load();
        let (bundle, asked) = stand.chosen(principal, app);
        if let Some(asked) = asked {
            asked.fetch_add(1, Ordering::Relaxed);
        }
        Arc::clone(bundle)
    }

    /// What [`Policies::bundle_for`] answers, for those who only want to know: nothing is counted.
    #[must_use]
    pub fn bundle_of(&self, principal: &Principal, app: &AppId) -> Arc<PolicyBundle> {
        Arc::clone(self.stand.load().bundle_of(principal, app))
    }

    /// Who is asked of which bundle now: for those who look at many and want one moment.
    #[must_use]
    pub fn stand(&self) -> Arc<Stand> {
        self.stand.load_full()
    }

    /// What is staged.
    #[must_use]
    pub fn staged(&self) -> Option<Staged> {
        self.stand.load().staged.clone()
    }

    /// Whether what is in force is what the folder held when it was last looked at.
    #[must_use]
    pub fn is_of_folder(&self) -> bool {
        *self.held() == Some(self.stand.load().bundle.revision())
    }

    /// The revision of what the folder holds now; none if some of it cannot be read. Reads all of it.
    #[must_use]
    pub fn in_folder(&self) -> Option<Revision> {
        source::revision(&self.dir)
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;

    const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
    const POLICY: &str = "@id(\"open\") permit (principal, action, resource);";
    const NOW: UnixMillis = UnixMillis(5);
    const STEPS: u16 = 8;

    /// It goes on being asked: to wait for its last request would take the whole wait, and hold up whoever goes back.
    #[test]
    fn a_bundle_of_which_another_share_is_asked_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("schema.cedarschema"), SCHEMA).unwrap();
        fs::create_dir(dir.path().join("apps")).unwrap();
        fs::write(dir.path().join("apps/test.cedar"), POLICY).unwrap();
        let policies = Arc::new(Policies::open(dir.path(), None, NOW).unwrap());
        let bundle = policies.candidate(dir.path(), NOW).unwrap().bundle;
        let (staging, (tell, told)) = (Arc::clone(&policies), channel());
        thread::spawn(move || {
            for hundredths in 1..=STEPS {
                let share = Share::new([1; 16], hundredths, None);
                staging.stage(Some(Staged::new(Arc::clone(&bundle), share)));
            }
            let _ = tell.send(());
        });
        told.recv_timeout(RETIREMENT * u32::from(STEPS / 2)).expect("nobody waits for what goes on");
        assert_eq!(policies.staged().unwrap().share.hundredths(), STEPS);
    }
}
