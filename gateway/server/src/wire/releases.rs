//! The bundles that this node holds: taken in, put in force, gone back to, forgotten.
//!
//! ```text
//!  upload, pull ─► hold: signature, whole, fit to load ─► held ─┬─ put in force ─► in force ─┬─► kept, to
//!  the folder  ─────────────────────── load ────────────────────┼────────────────►          │   go back to
//!                                                               └─ roll out ─► a share       └─► audit
//! ```
//!
//! The last change wins: what is put in force here stays, also over a restart, until the content of the folder
//! changes after that. `docs/decisions/` says why.

mod begin;
mod calls;
mod force;
mod held;
mod looked;
#[cfg(test)]
mod made;
mod pulled;
mod rollout;
mod shelf;
mod source;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use doorward_audit::Actor;
use doorward_model::limits::POLICY_KEY_BYTES_MAX;
use doorward_policy::{Candidate, Difference, Finding, LoadFailure};
use doorward_state::Board;
use doorward_workbench::release::{self, KeyRefused, PublicKey, Refused as BundleRefused, Trust};

use super::{Wired, reload};
use crate::config::Config;
pub(crate) use begin::Fallen;
pub(super) use calls::{answer, is_about, swap};
use shelf::Shelf;
pub(crate) use shelf::{Change, How, InForce, Kept, Origin, Shadowed};
pub(super) use source::keep_pulling;

/// The bundles that this node holds.
pub(crate) struct Releases {
    shelf: Shelf,
    keys: Vec<PublicKey>,
    /// One change at a time. Nothing that takes long is done meanwhile: whoever goes back waits for it.
    changing: Mutex<()>,
    /// One bundle at a time is looked at to be held.
    holding: Mutex<()>,
    /// Why the last pull came to nothing.
    pulling: Mutex<Option<String>>,
    /// What was in force could not be had at the start.
    fallen: Mutex<Option<Fallen>>,
    /// Where the nodes of a fleet find what is for all of them.
    board: Option<Board>,
}

/// Why there are no releases, at the start.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A key cannot be read.
    #[error("`policy.keys`: `{file}`: {why}")]
    Key {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder of bundles cannot be used.
    #[error("the bundles of policies in `gateway.data_dir` cannot be used: {0}")]
    Shelf(#[from] io::Error),
}

/// Why something was not done about a bundle. Nothing has changed then.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// No bundle of this revision is held.
    Unknown(String),
    /// It is no bundle, or nobody known signed it.
    Refused(BundleRefused),
    /// Its policies are not fit to be put in force.
    Unfit(LoadFailure),
    /// It must not be put in force without somebody answering for it: what stands against it.
    Blocked(Vec<String>),
    /// Things are not as whoever asked thinks.
    Conflict(String),
    /// The system, or the log, does not let it be done.
    Failed(String),
}

/// Who wants a change, and why.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) actor: Actor,
    pub(crate) how: How,
    /// In their own words.
    pub(crate) cause: Option<String>,
    /// What a trial of it had found: what the shadow saw.
    pub(crate) found: Option<String>,
    /// It is put in force though something stands against it. Somebody answers for that.
    pub(crate) anyway: bool,
}

/// What came of putting a bundle in force.
#[derive(Debug)]
pub(crate) struct Swapped {
    pub(crate) revision: String,
    /// None: it was in force already.
    pub(crate) previous: Option<String>,
    pub(crate) difference: Difference,
    pub(crate) hints: Vec<Finding>,
    /// What was being rolled out, and is not any more.
    pub(crate) rollout_ended: Option<String>,
}

// === impl Releases ===

impl Releases {
    /// Reads the keys, and takes what is held.
    ///
    /// # Errors
    /// When a key or the folder cannot be used.
    pub(super) fn open(config: &Config) -> Result<Self, ReleaseError> {
        let keys = config.policy.keys.iter().map(|file| public_key(file)).collect::<Result<_, _>>()?;
        Ok(Self {
            shelf: Shelf::open(&config.gateway.data_dir)?,
            keys,
            changing: Mutex::default(),
            holding: Mutex::default(),
            pulling: Mutex::default(),
            fallen: Mutex::default(),
            board: Board::of(&config.revocation),
        })
    }

    fn trust(&self) -> Trust<'_> {
        if self.keys.is_empty() { Trust::Anyone } else { Trust::Keys(&self.keys) }
    }

    /// Takes what begins with the gateway into the history, and asks the share again that was asked before.
    pub(super) fn begun(&self, wired: &Wired) {
        let now = (wired.house.clock)();
        self.keep_folder(wired);
        let in_force = wired.house.policies.bundle().revision().to_string();
        if self.shelf.history().first().is_none_or(|last| last.revision != in_force) {
            match self.untold(&wired.house.policies) {
                Some((noted, previous)) => self.tell_untold(wired, noted, previous),
                None => {
                    let (how, cause) = self.began_with(&wired.house.policies);
                    self.remember(in_force, None, now, &Actor::Gateway, how, cause);
                }
            }
        }
        self.tell_fallen(wired);
        self.stage_again(wired);
    }

    /// What is held, the last that came first.
    pub(crate) fn held(&self) -> Vec<Kept> {
        self.shelf.all()
    }

    /// The highest sequence that was pulled, if anything was.
    pub(crate) fn pulled(&self) -> Option<u64> {
        self.shelf.pulled().ok().map(|pulled| pulled.sequence).filter(|sequence| *sequence > 0)
    }

    /// Which bundle is asked in the shadow, if one is.
    pub(crate) fn shadowed(&self) -> Option<Shadowed> {
        self.shelf.shadowed()
    }

    /// Notes which bundle is asked in the shadow.
    ///
    /// # Errors
    /// When it cannot be written; then the one before is noted.
    pub(crate) fn note_shadow(&self, shadowed: Option<&Shadowed>) -> io::Result<()> {
        self.shelf.note_shadow(shadowed)
    }

    /// What was in force when, the newest first.
    pub(crate) fn history(&self) -> Vec<Change> {
        self.shelf.history()
    }

    /// Which bundle is in force instead of the folder, if one is.
    pub(crate) fn in_force(&self) -> Option<InForce> {
        self.shelf.in_force()
    }

    /// Loads a bundle that is held, as it would be to put it in force. It is in force nowhere by that.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) fn candidate(&self, wired: &Wired, revision: &str) -> Result<Candidate, NotDone> {
        let (policies, now) = (&wired.house.policies, (wired.house.clock)());
        self.held_by(revision, &|at| policies.candidate(at, now))
    }

    /// The same by another way to load. Its signature is asked for again: a key may have been taken away since.
    fn held_by(
        &self,
        revision: &str,
        load: &dyn Fn(&Path) -> Result<Candidate, LoadFailure>,
    ) -> Result<Candidate, NotDone> {
        let kept = self.shelf.kept(revision).ok_or_else(|| NotDone::Unknown(revision.to_owned()))?;
        // A copy of the folder is signed by nobody. It was in force here, and nobody else can write there.
        if kept.origin != Origin::Folder {
            let packed = self.shelf.packed(revision).map_err(|e| NotDone::Failed(e.to_string()))?;
            let opened = release::open(&packed, self.trust())?;
            if opened.manifest().revision != revision {
                return Err(NotDone::Failed("its file on the disk is that of another bundle".to_owned()));
            }
        }
        self.load(revision, load)
    }

    fn load(
        &self,
        revision: &str,
        load: &dyn Fn(&Path) -> Result<Candidate, LoadFailure>,
    ) -> Result<Candidate, NotDone> {
        let candidate = load(&self.shelf.policies_of(revision)).map_err(NotDone::Unfit)?;
        if candidate.bundle.revision().to_string() != revision {
            return Err(NotDone::Failed("its files on the disk are not those of the bundle".to_owned()));
        }
        Ok(candidate)
    }
}

/// What a check came to, in a line.
fn line(result: &release::Attestation) -> String {
    format!("{}: {}: {}", result.name, result.outcome.as_str(), result.detail)
}

/// What the checks of a bundle came to, a line each, and which cases are others by it: an edit that takes its case along
/// is none that was tried.
fn results(kept: &Kept, difference: &Difference) -> Vec<String> {
    kept.results.iter().map(line).chain(case_line(difference)).collect()
}

/// Which cases are others by a change, where any is.
pub(super) fn case_line(difference: &Difference) -> Option<String> {
    (!difference.cases.is_empty()).then(|| format!("cases: {}", difference.cases))
}

/// Who did something, for the notes.
pub(super) fn name(actor: &Actor) -> String {
    match actor {
        Actor::Operator { name, address: Some(address) } => format!("{name} ({address})"),
        Actor::Operator { name, address: None } => name.clone(),
        Actor::Person { user, .. } => user.to_string(),
        Actor::Gateway => "the gateway".to_owned(),
    }
}

/// The first 12 digits of a revision.
pub(super) fn short(revision: &str) -> String {
    revision.chars().take(12).collect()
}

fn public_key(file: &Path) -> Result<PublicKey, ReleaseError> {
    use std::io::Read as _;
    let wrong = |why: String| ReleaseError::Key { file: file.display().to_string(), why };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|f| f.take(POLICY_KEY_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|e| wrong(e.to_string()))?;
    PublicKey::from_pem(&bytes).map_err(|e: KeyRefused| wrong(e.to_string()))
}

// === impl NotDone ===

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(revision) => write!(f, "no bundle of revision `{}` is held", short(revision)),
            Self::Refused(refused) => refused.fmt(f),
            Self::Unfit(failure) if failure.findings.len() == 1 => f.write_str("its policies have 1 mistake"),
            Self::Unfit(failure) => write!(f, "its policies have {} mistakes", failure.findings.len()),
            Self::Blocked(against) => write!(f, "something stands against it: {}", against.join("; ")),
            Self::Conflict(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<BundleRefused> for NotDone {
    fn from(refused: BundleRefused) -> Self {
        Self::Refused(refused)
    }
}
