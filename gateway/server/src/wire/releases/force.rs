//! What is held comes into force, and others take its place.

use std::sync::PoisonError;

use doorward_audit::Actor;
use doorward_policy::{Candidate, Difference, Outcome, PolicyBundle, Revision, Softened};
use doorward_workbench::release;

use super::{
    How, InForce, Kept, NotDone, Releases, Swapped, Wired, Wish, name, reload, results, rollout, short,
};

impl Releases {
    /// Puts a bundle in force that is held: one swap, one event. `expected` is what must be in force until then,
    /// where that matters. Blocks until it is on record.
    ///
    /// # Errors
    /// Why it is not; what was in force stays so.
    pub(crate) fn put_in_force(
        &self,
        wired: &Wired,
        revision: &str,
        wish: &Wish,
        expected: Option<&str>,
    ) -> Result<Swapped, NotDone> {
        let (house, now) = (&wired.house, (wired.house.clock)());
        let kept = self.shelf.kept(revision).ok_or_else(|| NotDone::Unknown(revision.to_owned()))?;
        // Whatever comes into force from here on counts as later, and is not taken back by this.
        let in_force = house.policies.bundle();
        let (before, folder) = (in_force.revision(), house.policies.in_folder());
        if let Some(expected) = expected.filter(|expected| **expected != before.to_string()) {
            return Err(overtaken(&before.to_string(), expected));
        }
        // Of what is in force, or being rolled out, somebody answered for that before.
        let is_answered_for = || {
            let rolled_out = self.shelf.rollout().is_some_and(|rollout| rollout.revision == revision);
            rolled_out || revision == before.to_string()
        };
        let against = against(&kept);
        if !wish.anyway && !against.is_empty() && wish.how != How::Back && !is_answered_for() {
            return Err(NotDone::Blocked(against));
        }
        // This takes long: nothing waits for it.
        let candidate = match wish.how {
            How::Back => self.held_by(revision, &|at| house.policies.candidate_of_before(at, now))?,
            How::Folder | How::Promoted | How::RolledOut | How::Pulled => self.candidate(wired, revision)?,
        };
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // Meanwhile it may have been forgotten, or held with other results.
        let kept = self.shelf.kept(revision).ok_or_else(|| NotDone::Unknown(revision.to_owned()))?;
        if !is_answered_for() {
            let softened = match wish.how {
                How::Promoted | How::RolledOut => softened(&in_force, &candidate.bundle),
                // What is pulled is the word of whoever signs, and was looked at when it was published; the way back
                // asks for nothing.
                How::Pulled | How::Back | How::Folder => Vec::new(),
            };
            self.answered_for(wired, &kept, wish, &softened)?;
        }
        self.force(wired, &kept, candidate, (before, folder), wish)
    }

    fn force(
        &self,
        wired: &Wired,
        kept: &Kept,
        candidate: Candidate,
        (before, folder): (Revision, Option<Revision>),
        wish: &Wish,
    ) -> Result<Swapped, NotDone> {
        let (now, revision) = ((wired.house.clock)(), kept.revision.clone());
        let (hints, cases, policies) =
            (candidate.hints.clone(), candidate.cases, candidate.bundle.policies());
        // Before it is in force, so that no restart forgets it.
        let (noted, note) = (
            self.shelf.in_force(),
            InForce {
                revision: revision.clone(),
                at: now.0,
                by: name(&wish.actor),
                how: wish.how,
                cause: wish.cause.clone(),
                folder: folder.map(|folder| folder.to_string()),
            },
        );
        self.shelf.note(Some(&note)).map_err(|e| NotDone::Failed(format!("it cannot be noted: {e}")))?;
        let outcome = match wired.house.policies.install_over(candidate, folder, before) {
            Ok(outcome) => outcome,
            Err(in_force) => {
                let restored = self.shelf.note(noted.as_ref());
                restored.map_err(|e| NotDone::Failed(format!("it cannot be noted: {e}")))?;
                return Err(overtaken(&in_force.to_string(), &before.to_string()));
            }
        };
        let Outcome::Swapped { difference, lost_forbids, lost_permits, .. } = outcome else {
            let difference = Difference::default();
            return Ok(Swapped { revision, previous: None, difference, hints, rollout_ended: None });
        };
        let (previous, cause) = (Some(before.to_string()), wish.cause.clone());
        self.remember(revision.clone(), previous.clone(), now, &wish.actor, wish.how, cause.clone());
        let told = reload::Told {
            actor: wish.actor.clone(),
            revision: revision.clone(),
            previous: before.to_string(),
            policies,
            source: format!("bundle {} ({})", short(&revision), wish.how.as_str()),
            cases,
            hints: hints.len(),
            lost_forbids: &lost_forbids,
            lost_permits: &lost_permits,
            difference: &difference,
            author: Some(kept.author.clone()),
            cause,
            found: wish.found.clone(),
            results: results(kept, &difference),
        };
        reload::tell_swapped(wired, told);
        let rollout_ended = self.rollout_is_over(wired, &wish.actor);
        Ok(Swapped { revision, previous, difference: *difference, hints, rollout_ended })
    }

    /// Goes back to a revision that was in force: this one, or the one before the one in force.
    ///
    /// # Errors
    /// Why not; what was in force stays so.
    pub(crate) fn back(&self, wired: &Wired, to: Option<&str>, wish: &Wish) -> Result<Swapped, NotDone> {
        let history = self.shelf.history();
        let revision = match to {
            // What was never in force had no checks then, and the way back asks for none.
            Some(revision) if history.iter().all(|change| change.revision != revision) => {
                self.shelf.kept(revision).ok_or_else(|| NotDone::Unknown(revision.to_owned()))?;
                let why = format!("revision {} was never in force here: roll it out", short(revision));
                return Err(NotDone::Conflict(why));
            }
            Some(revision) => revision.to_owned(),
            None => {
                let now = wired.house.policies.bundle().revision().to_string();
                let changes = history.iter().rev().map(|change| (change.revision.as_str(), change.how));
                // What was forgotten is passed over: there is no way back to that.
                let changes =
                    changes.filter(|(revision, _)| *revision == now || self.shelf.kept(revision).is_some());
                before(changes, &now)
                    .ok_or_else(|| NotDone::Conflict("nothing else was in force before".to_owned()))?
            }
        };
        // Whatever it is that goes wrong with what is in force, the way back is open: what was in force before
        // had its checks then.
        self.put_in_force(wired, &revision, &Wish { anyway: true, ..wish.clone() }, None)
    }

    /// The folder was put in force: a copy of it is kept, to go back to, and no note stands against it.
    pub(in crate::wire) fn folder_counts(&self, wired: &Wired, previous: Option<String>, actor: &Actor) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if previous.is_some() {
            self.rollout_is_over(wired, actor);
        }
        // The folder that stands in for what could not be had at the start counts for nothing by that.
        if !wired.house.policies.is_of_folder() || self.fallen(&wired.house.policies).is_some() {
            return;
        }
        if let Err(error) = self.shelf.note(None) {
            tracing::error!(%error, "it cannot be noted that the folder counts; after a restart another bundle may");
        }
        let in_force = wired.house.policies.bundle().revision().to_string();
        if let Some(previous) = previous {
            self.remember(in_force, Some(previous), (wired.house.clock)(), actor, How::Folder, None);
            self.keep_folder(wired);
        }
    }

    /// Whether somebody answers for what stands against a bundle, if anything does: what is said in it, and the red
    /// lines that it softens.
    pub(super) fn answered_for(
        &self,
        wired: &Wired,
        kept: &Kept,
        wish: &Wish,
        softened: &[String],
    ) -> Result<(), NotDone> {
        let mut against = against(kept);
        against.extend_from_slice(softened);
        if against.is_empty() || wish.how == How::Back {
            return Ok(());
        }
        match (&wish.cause, wish.anyway) {
            (Some(cause), true) => rollout::owe(wired, kept, &against, cause, &wish.actor),
            (None, true) => Err(NotDone::Conflict("an override needs a cause".to_owned())),
            (_, false) => Err(NotDone::Blocked(against)),
        }
    }
}

/// Others came into force than those that this was to take the place of.
pub(super) fn overtaken(in_force: &str, expected: &str) -> NotDone {
    NotDone::Conflict(format!("revision {} is in force, and not {}", short(in_force), short(expected)))
}

/// What stands against a bundle, by what is said in it.
pub(super) fn against(kept: &Kept) -> Vec<String> {
    let blocking = |result: &release::Attestation| {
        let all = result.blocking.iter().map(|what| format!("{}: {what}", result.name));
        all.collect::<Vec<_>>()
    };
    kept.results.iter().flat_map(blocking).collect()
}

/// Which of the red lines in force that must be known to hold are not there any more with `next`, or say something else:
/// whoever breaks a line can take it along, and then everything is proved.
pub(super) fn softened(in_force: &PolicyBundle, next: &PolicyBundle) -> Vec<String> {
    let told = |line: &Softened| format!("of the red lines in force {line}");
    in_force.softened_by(next).iter().map(told).collect()
}

/// What was in force before `now`, by the changes in their order: whoever goes back twice goes back two steps, and
/// not forth again.
fn before<'c>(changes: impl Iterator<Item = (&'c str, How)>, now: &str) -> Option<String> {
    let mut steps: Vec<&str> = Vec::new();
    for (revision, how) in changes {
        let known = steps.iter().rposition(|step| *step == revision);
        match (how, known) {
            (How::Back, Some(at)) => steps.truncate(at + 1),
            (How::Back | How::Folder | How::Promoted | How::RolledOut | How::Pulled, _) => {
                steps.push(revision)
            }
        }
    }
    let at = steps.iter().rposition(|step| *step == now).unwrap_or(steps.len());
    steps.get(..at)?.iter().rfind(|step| **step != now).map(|step| (*step).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_goes_back_twice_does_not_go_forth_again() {
        let (folder, out, back) = (How::Folder, How::RolledOut, How::Back);
        let before = |changes: &[(&'static str, How)]| {
            super::before(changes.iter().copied(), changes.last().unwrap().0)
        };
        assert_eq!(before(&[("a", folder)]), None);
        let mut changes = vec![("a", folder), ("b", out), ("c", out)];
        for expected in ["b", "a"] {
            assert_eq!(before(&changes).as_deref(), Some(expected));
            changes.push((expected, back));
        }
        assert_eq!(before(&changes), None, "there is nothing before the first");
        // What comes after that is a step like any other.
        changes.push(("d", out));
        assert_eq!(before(&changes).as_deref(), Some("a"));
        // By name over several, and to what is not remembered.
        assert_eq!(before(&[("a", folder), ("b", out), ("c", out), ("a", back)]), None);
        assert_eq!(before(&[("b", out), ("z", back)]).as_deref(), Some("b"));
        // The folder may come to hold again what it held.
        assert_eq!(before(&[("a", folder), ("b", out), ("a", folder)]).as_deref(), Some("b"));
        assert_eq!(super::before([("a", folder), ("b", out)].into_iter(), "x").as_deref(), Some("b"));
    }
}
