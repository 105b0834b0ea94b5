//! What a gateway begins with: what was in force last, or, loudly, what comes nearest to that.
//!
//! Where what was in force cannot be had (its files are damaged, the key that signed it is gone, its cases do not hold
//! any more), the last good bundle before it is taken, and the folder where there is none: the folder may be as old as
//! the machine. That stands in the log, in the audit log and in `/readyz` until somebody puts something in force, and
//! a source that still has the missed one gives it again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::PoisonError;

use doorward_audit::event::PolicyRejection;
use doorward_audit::{Actor, Event};
use doorward_model::UnixMillis;
use doorward_policy::{LoadFailure, Loader, Policies, PolicyFiles, Revision};

use super::shelf::{Change, How};
use super::{Releases, short};
use crate::wire::Wired;
use crate::wire::reload::record;

/// What was in force could not be had at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fallen {
    /// What was in force, where that is known.
    pub(crate) missed: Option<String>,
    /// Why it is not.
    pub(crate) why: String,
    /// What is in its place.
    pub(crate) taken: String,
}

impl Releases {
    /// Begins with what was in force last: what is held, or the folder where that has changed since.
    ///
    /// # Errors
    /// Every mistake of the folder, where it counts and nothing else can be had.
    pub(in crate::wire) fn begin(
        &self,
        dir: &Path,
        loader: Loader,
        now: UnixMillis,
    ) -> Result<Policies, LoadFailure> {
        let in_folder = || PolicyFiles::read(dir).ok().map(|files| files.revision());
        let noted = match self.shelf.noted() {
            Ok(None) => return Policies::load(dir, loader, now),
            Ok(Some(noted)) => noted,
            Err(error) => {
                let why = format!("which policies were in force cannot be read: {error}");
                let missed = Missed { revision: self.last_bundle(), why, folder: in_folder() };
                return self.begin_near(dir, loader, now, missed);
            }
        };
        let mut folder = in_folder();
        if folder.is_some() && folder.map(|f| f.to_string()) != noted.folder {
            match loader.load(dir, now) {
                Ok(candidate) => {
                    let folder = Some(candidate.bundle.revision());
                    return Ok(Policies::with(dir, loader, candidate, folder));
                }
                Err(failure) => tracing::error!(
                    "the folder of policies changed and is not fit; what was in force before is taken\n{}",
                    failure.plain().trim_end()
                ),
            }
            // Nothing has been decided about it: the next load says so again.
            folder = None;
        }
        match self.held_by(&noted.revision, &|at| loader.load(at, now)) {
            Ok(candidate) => {
                let (revision, how, by) = (noted.revision, noted.how.as_str(), noted.by);
                tracing::info!(revision, how, by, "policies that are held are in force");
                Ok(Policies::with(dir, loader, candidate, folder))
            }
            Err(error) => {
                let missed = Missed { revision: Some(noted.revision), why: error.to_string(), folder };
                self.begin_near(dir, loader, now, missed)
            }
        }
    }

    /// Begins with the last good one before what cannot be had, and with the folder where there is none.
    fn begin_near(
        &self,
        dir: &Path,
        loader: Loader,
        now: UnixMillis,
        missed: Missed,
    ) -> Result<Policies, LoadFailure> {
        let Missed { revision, why, folder } = missed;
        let missing = revision.as_deref().map(short).unwrap_or_default();
        tracing::error!(
            missing,
            why,
            "the policies that were in force cannot be had; the last good ones are sought"
        );
        // Where nobody knows of a bundle the folder spoke, and does.
        let near = revision.as_ref().map_or_else(Vec::new, |_| near(&self.shelf.history()));
        // Where only the note of it is broken, it is there; else it has been tried.
        let itself = revision.clone().filter(|_| self.shelf.noted().is_err());
        let before = near.into_iter().filter(|near| Some(near) != revision.as_ref());
        for candidate in itself.into_iter().chain(before) {
            match self.held_by(&candidate, &|at| loader.load(at, now)) {
                Ok(loaded) => {
                    tracing::error!(taken = short(&candidate), "policies of before are in force");
                    self.fell(Fallen { missed: revision, why, taken: candidate });
                    return Ok(Policies::with(dir, loader, loaded, folder));
                }
                Err(error) => tracing::error!(revision = short(&candidate), %error, "nor can these be had"),
            }
        }
        let policies = Policies::load(dir, loader, now)?;
        let taken = policies.bundle().revision().to_string();
        tracing::error!(taken = short(&taken), "the policies of the folder are in force");
        self.fell(Fallen { missed: revision, why, taken });
        Ok(policies)
    }

    /// The bundle that was in force last, if it was not the folder, by what else is noted than that.
    fn last_bundle(&self) -> Option<String> {
        match self.shelf.history().into_iter().next() {
            Some(last) => Some(last.revision).filter(|_| last.how != How::Folder),
            None => self.shelf.pulled().ok().map(|pulled| pulled.revision).filter(|r| !r.is_empty()),
        }
    }

    fn fell(&self, fallen: Fallen) {
        *self.fallen.lock().unwrap_or_else(PoisonError::into_inner) = Some(fallen);
    }

    /// What is in force in the place of what should be: until somebody puts something in force.
    pub(in crate::wire) fn fallen(&self, policies: &Policies) -> Option<Fallen> {
        let mut fallen = self.fallen.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = &fallen.as_ref()?.taken;
        let is_in_force = policies.bundle().revision().to_string() == *taken;
        let is_wanted = || self.shelf.noted().is_ok_and(|noted| noted.is_some_and(|n| n.revision == *taken));
        if !is_in_force || is_wanted() {
            *fallen = None;
        }
        fallen.clone()
    }

    /// What to write into the history of what the gateway begins with.
    pub(super) fn began_with(&self, policies: &Policies) -> (How, Option<String>) {
        let how = if policies.is_of_folder() { How::Folder } else { How::Back };
        let cause = self.fallen(policies).map(|fallen| {
            let missed = fallen.missed.as_deref().map_or_else(|| "what was in force".to_owned(), short);
            format!("{missed} cannot be had: {}", fallen.why)
        });
        (how, cause)
    }

    /// Puts on record that something else is in force than what was. Blocks until that is on the disk.
    pub(super) fn tell_fallen(&self, wired: &Wired) {
        let Some(fallen) = self.fallen(&wired.house.policies) else { return };
        let source = fallen.missed.as_deref().map_or_else(
            || "the note of what is in force".to_owned(),
            |missed| format!("bundle {} (held)", short(missed)),
        );
        let rejection = PolicyRejection {
            actor: Actor::Gateway,
            in_force: Some(fallen.taken.into()),
            source,
            mistakes: vec![fallen.why],
        };
        record(wired, Event::PolicyRejected(Box::new(rejection)));
    }
}

/// What cannot be had.
struct Missed {
    revision: Option<String>,
    why: String,
    /// What the folder holds, as far as something has been decided about that.
    folder: Option<Revision>,
}

/// What was in force before, the last first, each once. What somebody went back from is not good, unless it was put in
/// force again after that.
fn near(history: &[Change]) -> Vec<String> {
    let (mut near, mut out) = (Vec::new(), BTreeSet::new());
    for change in history {
        if out.insert(change.revision.clone()) {
            near.push(change.revision.clone());
        }
        if change.how == How::Back
            && let Some(left) = &change.previous
        {
            out.insert(left.clone());
        }
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_one_is_not_one_that_somebody_went_back_from() {
        let change = |revision: &str, previous: Option<&str>, how| Change {
            revision: revision.to_owned(),
            previous: previous.map(str::to_owned),
            at: 0,
            by: String::new(),
            how,
            cause: None,
        };
        // The newest first: the folder f, then a, then b was bad and a came back, then c.
        let mut history = vec![
            change("c", Some("a"), How::Pulled),
            change("a", Some("b"), How::Back),
            change("b", Some("a"), How::Pulled),
            change("a", Some("f"), How::Pulled),
            change("f", None, How::Folder),
        ];
        assert_eq!(near(&history), ["c", "a", "f"]);
        // It was mended elsewhere, and put in force again.
        history.insert(0, change("b", Some("c"), How::Promoted));
        assert_eq!(near(&history), ["b", "c", "a", "f"]);
        assert_eq!(near(&[]), Vec::<String>::new());
    }
}
