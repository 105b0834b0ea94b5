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

use super::shelf::{Change, How, InForce};
use super::{Releases, results, short};
use crate::wire::Wired;
use crate::wire::reload::{Told, record, tell_swapped};

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

    /// Whose change it was that put what is in force there, and what was in force until then, where the process ended
    /// after that was noted and before it was told.
    pub(super) fn untold(&self, policies: &Policies) -> Option<(InForce, String)> {
        let noted = self.shelf.in_force().filter(|_| !policies.is_of_folder())?;
        let in_force = policies.bundle().revision().to_string();
        let previous = untold(&noted, &self.shelf.history(), &in_force)?;
        Some((noted, previous))
    }

    /// Tells it now. Blocks until that is on the disk.
    pub(super) fn tell_untold(&self, wired: &Wired, noted: InForce, previous: String) {
        let (policies, now) = (&wired.house.policies, (wired.house.clock)());
        let (in_force, kept) = (policies.bundle(), self.shelf.kept(&noted.revision));
        let InForce { revision, at, by, how, cause, folder: _ } = noted;
        let before = self.held_by(&previous, &|at| policies.candidate_of_before(at, now)).ok();
        let difference = before.map(|before| before.bundle.difference(&in_force)).unwrap_or_default();
        let (change, words) = (cause.clone(), cause.map(|cause| format!("{cause}; ")).unwrap_or_default());
        self.add(Change {
            revision: revision.clone(),
            previous: Some(previous.clone()),
            at,
            by: by.clone(),
            how,
            cause: change,
        });
        let told = Told {
            actor: Actor::Gateway,
            policies: in_force.policies(),
            previous,
            source: format!("bundle {} ({})", short(&revision), how.as_str()),
            revision,
            cases: kept.as_ref().and_then(|kept| kept.cases).unwrap_or_default(),
            hints: 0,
            lost_forbids: &[],
            lost_permits: &[],
            difference: &difference,
            author: kept.as_ref().map(|kept| kept.author.clone()),
            cause: Some(format!("{words}by {by}, and the process ended in the middle of it")),
            found: None,
            results: kept.as_ref().map(|kept| results(kept, &difference)).unwrap_or_default(),
        };
        tell_swapped(wired, told);
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

/// What was in force until `noted` was, where the history does not know of that: it is written after the note.
fn untold(noted: &InForce, history: &[Change], in_force: &str) -> Option<String> {
    let previous = &history.first()?.revision;
    let is_told = history.iter().any(|change| change.revision == noted.revision && change.at == noted.at);
    (noted.revision == in_force && *previous != noted.revision && !is_told).then(|| previous.clone())
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

    #[test]
    fn a_change_that_was_noted_and_not_told_is_known_by_the_history() {
        let change = |revision: &str, at| Change {
            revision: revision.to_owned(),
            previous: None,
            at,
            by: String::new(),
            how: How::RolledOut,
            cause: None,
        };
        let noted = InForce {
            revision: "b".to_owned(),
            at: 7,
            by: "ann".to_owned(),
            how: How::RolledOut,
            cause: None,
            folder: None,
        };
        let previous = |history: &[Change], in_force| untold(&noted, history, in_force);
        assert_eq!(previous(&[change("a", 3)], "b").as_deref(), Some("a"));
        // It was in force before as well, and that was told.
        assert_eq!(previous(&[change("a", 3), change("b", 2)], "b").as_deref(), Some("a"));
        // This one was told; since then there was a start without it.
        assert_eq!(previous(&[change("a", 9), change("b", 7)], "b"), None);
        assert_eq!(previous(&[change("b", 7), change("a", 3)], "b"), None);
        // Something else is in force, and nothing is known of what was.
        assert_eq!(previous(&[change("a", 3)], "a"), None);
        assert_eq!(previous(&[], "b"), None);
    }
}
