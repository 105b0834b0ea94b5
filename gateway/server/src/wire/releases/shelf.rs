//! The bundles that this node holds, and what was in force when, on the disk.
//!
//! ```text
//!  <data_dir>/policies/
//!    held/<revision>/policies/…     as the folder would be
//!                    bundle.dwp     what they were unpacked from
//!                    kept.json      since when, from where, what is said about it
//!    in-force.json                  which of them is in force instead of the folder, if one is
//!    history.json                   what was in force when, the newest first
//!    shadow.json                    which of them is asked in the shadow, if one is
//!    rollout.json                   which of them a share is asked of, if one is
//!    pulled.json                    the highest sequence that was pulled
//! ```
//!
//! Every file is written as a whole or not at all. One that cannot be read is said to be so, loudly, and is not what
//! was never there: nothing is removed because of it, and no old bundle is taken.

mod files;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use doorward_model::limits::{POLICY_BUNDLE_BYTES_MAX, POLICY_HISTORY_MAX};
use doorward_workbench::release::{self, Attestation, Bundle, CaseCounts, UnpackError};
use serde::{Deserialize, Serialize};

use files::{bounded, damaged, known, put, read, write};

const OWNER_ONLY_DIR: u32 = 0o700;

/// The folder.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    /// The highest sequence that was pulled, as far as this process knows: no file can take that back.
    highest: Mutex<Option<Pulled>>,
}

/// Where a bundle came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// An operator sent it.
    Uploaded,
    /// It is a copy of the folder, which was in force.
    Folder,
    /// It was pulled.
    Pulled,
}

/// What is known of a bundle that is held.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) revision: String,
    pub(crate) sequence: u64,
    pub(crate) author: String,
    pub(crate) created_at: i64,
    #[serde(default)]
    pub(crate) note: Option<String>,
    pub(crate) origin: Origin,
    /// When it came.
    pub(crate) at: i64,
    /// Who sent it.
    pub(crate) by: String,
    pub(crate) policies: usize,
    /// How many held; not known of a copy of the folder.
    pub(crate) cases: Option<usize>,
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
    /// How many cases are others than in what it was made from.
    #[serde(default)]
    pub(crate) cases_differ: Option<CaseCounts>,
    pub(crate) results: Vec<Attestation>,
    pub(crate) signed_by: Vec<String>,
}

/// Which bundle is in force instead of the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) revision: String,
    pub(crate) at: i64,
    pub(crate) by: String,
    pub(crate) how: How,
    #[serde(default)]
    pub(crate) cause: Option<String>,
    /// What the folder held then; none where it could not be read. When it holds something else, it counts.
    pub(crate) folder: Option<String>,
}

/// What put a bundle in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// The folder holds it.
    Folder,
    /// It was promoted from the shadow.
    Promoted,
    /// A roll-out was finished.
    RolledOut,
    /// Somebody went back to it.
    Back,
    /// It was pulled.
    Pulled,
}

/// A change of what is in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) revision: String,
    pub(crate) previous: Option<String>,
    pub(crate) at: i64,
    pub(crate) by: String,
    pub(crate) how: How,
    #[serde(default)]
    pub(crate) cause: Option<String>,
}

/// A roll-out that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) revision: String,
    /// What draws the people, as 32 hexadecimal digits.
    pub(crate) key: String,
    /// How many people, in hundredths of a percent.
    pub(crate) hundredths: u16,
    /// At which apps; none: at all.
    #[serde(default)]
    pub(crate) apps: Option<Vec<String>>,
    pub(crate) at: i64,
    pub(crate) by: String,
    /// What was in force when it began; not known of one that began before this was noted.
    #[serde(default)]
    pub(crate) in_force: Option<String>,
}

/// Which bundle is asked in the shadow, beside the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shadowed {
    pub(crate) revision: String,
    /// About which share of the requests.
    pub(crate) sample: String,
    /// What was in force then.
    pub(crate) in_force: String,
    pub(crate) at: i64,
    pub(crate) by: String,
}

/// The highest sequence that was pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pulled {
    pub(crate) sequence: u64,
    pub(crate) revision: String,
}

/// Whether this is how a revision is written: nothing else may become part of a path.
pub(crate) fn is_revision(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl How {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Promoted => "promoted",
            Self::RolledOut => "rolled_out",
            Self::Back => "back",
            Self::Pulled => "pulled",
        }
    }
}

// === impl Shelf ===

impl Shelf {
    /// Takes the folder, and removes what somebody left in it who was killed: what has no note of what it is.
    /// A note that cannot be read is one; what it is about stays, and is there again when it is held again.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let shelf = Self { dir: data_dir.join("policies"), highest: Mutex::default() };
        DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIR).create(shelf.held_dir())?;
        let swept = release::sweep(&shelf.held_dir()).map_err(|e| io::Error::other(e.to_string()))?;
        let mut unknown = 0_usize;
        for entry in fs::read_dir(shelf.held_dir())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !is_revision(&name) {
                continue;
            }
            match shelf.noted_of(&name) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    fs::remove_dir_all(shelf.held_dir().join(&name))?;
                    unknown += 1;
                }
                Err(error) => tracing::error!(
                    revision = name,
                    %error,
                    "what is known of a bundle cannot be read: it is left where it is, and cannot be used before it is held again"
                ),
            }
        }
        if swept + unknown > 0 {
            tracing::warn!(unfinished = swept, unknown, "bundles of policies were not whole and are removed");
        }
        Ok(shelf)
    }

    fn held_dir(&self) -> PathBuf {
        self.dir.join("held")
    }

    /// Where the policies of a bundle are.
    pub(crate) fn policies_of(&self, revision: &str) -> PathBuf {
        release::policies_in(&self.held_dir().join(revision))
    }

    /// The bundle itself.
    pub(crate) fn packed(&self, revision: &str) -> io::Result<Vec<u8>> {
        bounded(&release::bundle_in(&self.held_dir().join(revision)), POLICY_BUNDLE_BYTES_MAX)
    }

    /// Unpacks a bundle. It is not held before [`Shelf::keep`].
    pub(crate) fn unpack(&self, bundle: &Bundle, packed: &[u8]) -> Result<PathBuf, UnpackError> {
        release::unpack(bundle, packed, &self.held_dir(), &bundle.manifest().revision)
    }

    /// Holds what was unpacked.
    pub(crate) fn keep(&self, kept: &Kept) -> io::Result<()> {
        write(&self.held_dir().join(&kept.revision).join("kept.json"), kept)
    }

    /// Forgets a bundle.
    pub(crate) fn remove(&self, revision: &str) -> io::Result<()> {
        if !is_revision(revision) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        fs::remove_dir_all(self.held_dir().join(revision))
    }

    /// What is known of a bundle that is held.
    pub(crate) fn kept(&self, revision: &str) -> Option<Kept> {
        self.noted_of(revision).unwrap_or_else(|error| {
            tracing::error!(revision, %error, "what is known of a bundle cannot be read");
            None
        })
    }

    /// Whether a bundle is held, also one of which nothing can be read.
    pub(crate) fn is_held(&self, revision: &str) -> bool {
        self.noted_of(revision).map_or(true, |kept| kept.is_some())
    }

    fn noted_of(&self, revision: &str) -> io::Result<Option<Kept>> {
        if !is_revision(revision) {
            return Ok(None);
        }
        let kept: Option<Kept> = read(&self.held_dir().join(revision).join("kept.json"))?;
        match kept {
            Some(kept) if kept.revision != revision => Err(damaged("it is about another bundle")),
            kept => Ok(kept),
        }
    }

    /// All that are held, the last that came first.
    pub(crate) fn all(&self) -> Vec<Kept> {
        let names = fs::read_dir(self.held_dir()).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut all: Vec<_> = names.filter_map(|name| self.kept(&name)).collect();
        all.sort_by(|a, b| (b.at, &b.revision).cmp(&(a.at, &a.revision)));
        all
    }

    /// Which bundle is in force instead of the folder, if one is.
    pub(crate) fn in_force(&self) -> Option<InForce> {
        self.noted().unwrap_or_else(|error| {
            tracing::error!(%error, "which policies are in force cannot be read");
            None
        })
    }

    /// The same for whom it makes a difference that nobody can tell.
    pub(crate) fn noted(&self) -> io::Result<Option<InForce>> {
        match read::<InForce>(&self.dir.join("in-force.json"))? {
            Some(noted) if !is_revision(&noted.revision) => Err(damaged("it names no revision")),
            noted => Ok(noted),
        }
    }

    pub(crate) fn note(&self, in_force: Option<&InForce>) -> io::Result<()> {
        put(&self.dir.join("in-force.json"), in_force)
    }

    pub(crate) fn history(&self) -> Vec<Change> {
        known(&self.dir.join("history.json")).unwrap_or_default()
    }

    pub(crate) fn add(&self, change: Change) -> io::Result<()> {
        let file = self.dir.join("history.json");
        let mut history: Vec<Change> = match read(&file) {
            Ok(history) => history.unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(%error, "the history of policies cannot be understood; another one begins beside it");
                fs::rename(&file, file.with_extension("damaged"))?;
                Vec::new()
            }
            // It is there, and will be read again.
            Err(error) => return Err(error),
        };
        history.insert(0, change);
        history.truncate(POLICY_HISTORY_MAX);
        write(&file, &history)
    }

    pub(crate) fn rollout(&self) -> Option<Rollout> {
        known(&self.dir.join("rollout.json")).filter(|rollout: &Rollout| is_revision(&rollout.revision))
    }

    pub(crate) fn set_rollout(&self, rollout: Option<&Rollout>) -> io::Result<()> {
        put(&self.dir.join("rollout.json"), rollout)
    }

    pub(crate) fn shadowed(&self) -> Option<Shadowed> {
        known(&self.dir.join("shadow.json")).filter(|shadowed: &Shadowed| is_revision(&shadowed.revision))
    }

    pub(crate) fn note_shadow(&self, shadowed: Option<&Shadowed>) -> io::Result<()> {
        put(&self.dir.join("shadow.json"), shadowed)
    }

    /// The highest sequence that was pulled: as it is noted, as this process knows it, and as the history says.
    ///
    /// # Errors
    /// When it is noted and cannot be read: then nobody can tell what is older.
    pub(crate) fn pulled(&self) -> io::Result<Pulled> {
        let noted: Option<Pulled> = read(&self.dir.join("pulled.json"))?;
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if highest.is_none() {
            // Without a note, what was put in force by a pull is what is left to know it by.
            let history: io::Result<Option<Vec<Change>>> = read(&self.dir.join("history.json"));
            let history = if noted.is_some() { history.unwrap_or_default() } else { history? };
            let pulled = history.into_iter().flatten().filter(|change| change.how == How::Pulled);
            let kept = pulled.filter_map(|change| self.noted_of(&change.revision).ok().flatten());
            *highest = kept
                .map(|kept| Pulled { sequence: kept.sequence, revision: kept.revision })
                .max_by_key(|pulled| pulled.sequence)
                .or_else(|| Some(Pulled::default()));
        }
        let known = highest.clone().unwrap_or_default();
        let highest = highest.insert(match noted {
            Some(noted) if noted.sequence >= known.sequence => noted,
            Some(_) | None => known,
        });
        Ok(highest.clone())
    }

    /// Notes what was pulled. This process knows it from now on, whatever becomes of the note.
    pub(crate) fn set_pulled(&self, pulled: &Pulled) -> io::Result<()> {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if highest.as_ref().is_none_or(|highest| highest.sequence <= pulled.sequence) {
            *highest = Some(pulled.clone());
        }
        let file = self.dir.join("pulled.json");
        if read(&file).is_ok_and(|noted: Option<Pulled>| noted.as_ref() == Some(pulled)) {
            return Ok(());
        }
        write(&file, pulled)
    }
}

#[cfg(test)]
mod tests;
