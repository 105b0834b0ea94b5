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
//! Every file is written as a whole or not at all. One that cannot be read counts as not there, loudly; but nothing
//! is removed for that, and nothing that is older is taken.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use doorward_model::limits::{POLICY_BUNDLE_BYTES_MAX, POLICY_MANIFEST_BYTES_MAX};
use doorward_workbench::release::{self, Attestation, Bundle, UnpackError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_DIR: u32 = 0o700;
/// How many changes are remembered.
const HISTORY_MAX: usize = 100;

/// The folder.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
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
    /// Takes the folder, and removes what somebody left in it who was killed.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let shelf = Self { dir: data_dir.join("policies") };
        DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIR).create(shelf.held_dir())?;
        let swept = release::sweep(&shelf.held_dir()).map_err(|e| io::Error::other(e.to_string()))?;
        let mut unknown = 0_usize;
        for entry in fs::read_dir(shelf.held_dir())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // What is there and cannot be read may be in force: only what was not held to the end is removed.
            if is_revision(&name) && !shelf.kept_file(&name).try_exists()? {
                fs::remove_dir_all(shelf.held_dir().join(&name))?;
                unknown += 1;
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

    fn kept_file(&self, revision: &str) -> PathBuf {
        self.held_dir().join(revision).join("kept.json")
    }

    /// Whether something is there of this revision, also where it cannot be read.
    pub(crate) fn has(&self, revision: &str) -> bool {
        is_revision(revision) && !matches!(self.held_dir().join(revision).try_exists(), Ok(false))
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
        write(&self.kept_file(&kept.revision), kept)
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
        if !is_revision(revision) {
            return None;
        }
        let kept: Kept = read(&self.kept_file(revision))?;
        (kept.revision == revision).then_some(kept)
    }

    /// All that are held, the last that came first.
    pub(crate) fn all(&self) -> Vec<Kept> {
        let names = fs::read_dir(self.held_dir()).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut all: Vec<_> = names.filter_map(|name| self.kept(&name)).collect();
        all.sort_by(|a, b| (b.at, &b.revision).cmp(&(a.at, &a.revision)));
        all
    }

    pub(crate) fn in_force(&self) -> Option<InForce> {
        read(&self.dir.join("in-force.json")).filter(|noted: &InForce| is_revision(&noted.revision))
    }

    pub(crate) fn note(&self, in_force: Option<&InForce>) -> io::Result<()> {
        put(&self.dir.join("in-force.json"), in_force)
    }

    pub(crate) fn history(&self) -> Vec<Change> {
        read(&self.dir.join("history.json")).unwrap_or_default()
    }

    pub(crate) fn add(&self, change: Change) -> io::Result<()> {
        let mut history = self.history();
        history.insert(0, change);
        history.truncate(HISTORY_MAX);
        write(&self.dir.join("history.json"), &history)
    }

    pub(crate) fn rollout(&self) -> Option<Rollout> {
        read(&self.dir.join("rollout.json")).filter(|rollout: &Rollout| is_revision(&rollout.revision))
    }

    pub(crate) fn set_rollout(&self, rollout: Option<&Rollout>) -> io::Result<()> {
        put(&self.dir.join("rollout.json"), rollout)
    }

    pub(crate) fn shadowed(&self) -> Option<Shadowed> {
        read(&self.dir.join("shadow.json")).filter(|shadowed: &Shadowed| is_revision(&shadowed.revision))
    }

    pub(crate) fn note_shadow(&self, shadowed: Option<&Shadowed>) -> io::Result<()> {
        put(&self.dir.join("shadow.json"), shadowed)
    }

    /// What was pulled last; nothing where nothing was.
    ///
    /// # Errors
    /// When that cannot be read: then nobody knows what is older.
    pub(crate) fn pulled(&self) -> io::Result<Pulled> {
        Ok(try_read(&self.dir.join("pulled.json"))?.unwrap_or_default())
    }

    pub(crate) fn set_pulled(&self, pulled: &Pulled) -> io::Result<()> {
        write(&self.dir.join("pulled.json"), pulled)
    }
}

// === files ===

fn bounded(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    try_read(file).unwrap_or_else(|error| {
        tracing::error!(file = %file.display(), %error, "what was noted of the policies cannot be read");
        None
    })
}

/// None where it is not there.
fn try_read<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match bounded(file, POLICY_MANIFEST_BYTES_MAX) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn put<T: Serialize>(file: &Path, value: Option<&T>) -> io::Result<()> {
    match value {
        Some(value) => write(file, value),
        None => match fs::remove_file(file) {
            Ok(()) => settle(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        },
    }
}

/// Writes a file as a whole, durably, or leaves it as it was.
fn write<T: Serialize>(file: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    let fresh = file.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&fresh)?;
        out.write_all(&bytes)?;
        out.sync_all()?;
        fs::rename(&fresh, file)?;
        settle(file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn settle(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(n: usize) -> Change {
        Change {
            revision: format!("{n:064x}"),
            previous: None,
            at: 0,
            by: String::new(),
            how: How::Folder,
            cause: None,
        }
    }

    #[test]
    fn what_is_noted_is_read_back_and_what_is_broken_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        assert!(shelf.in_force().is_none() && shelf.history().is_empty() && shelf.rollout().is_none());
        let note = InForce {
            revision: "0".repeat(64),
            at: 1,
            by: "operator".into(),
            how: How::Back,
            cause: None,
            folder: None,
        };
        shelf.note(Some(&note)).unwrap();
        assert_eq!(shelf.in_force(), Some(note));
        for n in 0..HISTORY_MAX + 5 {
            shelf.add(change(n)).unwrap();
        }
        assert_eq!(shelf.history().len(), HISTORY_MAX);
        assert_eq!(shelf.history()[0].revision, change(HISTORY_MAX + 4).revision);
        fs::write(dir.path().join("policies/in-force.json"), "{\"revision\":\"../..\"}").unwrap();
        assert!(shelf.in_force().is_none());
        shelf.note(None).unwrap();
        shelf.note(None).unwrap();
    }

    #[test]
    fn a_bundle_that_was_not_held_to_the_end_is_removed_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        let half = dir.path().join("policies/held").join("a".repeat(64));
        fs::create_dir_all(half.join("policies")).unwrap();
        fs::create_dir_all(dir.path().join("policies/held/.unfinished-x")).unwrap();
        assert!(shelf.all().is_empty());
        Shelf::open(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("policies/held")).unwrap().count(), 0);
    }

    /// To be unreadable for a moment must neither remove what is in force nor make what is older new.
    #[test]
    fn what_is_there_and_cannot_be_read_is_not_removed_and_not_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        let (one, held) = ("a".repeat(64), dir.path().join("policies/held"));
        fs::create_dir_all(held.join(&one)).unwrap();
        fs::write(held.join(&one).join("kept.json"), "{").unwrap();
        assert_eq!(shelf.pulled().unwrap(), Pulled::default());
        fs::write(dir.path().join("policies/pulled.json"), "{").unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        assert!(shelf.has(&one) && shelf.kept(&one).is_none() && held.join(&one).exists());
        assert!(shelf.pulled().is_err());
        assert!(!shelf.has(&"b".repeat(64)) && !shelf.has(".."));
    }

    #[test]
    fn nothing_but_a_revision_becomes_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        for bad in ["", "..", "../in-force.json", &"A".repeat(64), &"g".repeat(64)] {
            assert!(!is_revision(bad) && shelf.kept(bad).is_none() && shelf.remove(bad).is_err(), "{bad}");
        }
    }
}
