//! What is held comes, and is forgotten.

use std::sync::PoisonError;

use doorward_audit::Actor;
use doorward_model::UnixMillis;
use doorward_model::limits::{POLICY_HELD_MAX, POLICY_KEPT_MAX};
use doorward_policy::{Finding, PolicyBundle, PolicyFiles};
use doorward_workbench::release::{self, About, Attestation, Bundle, Manifest, Outcome, PublicKey, Trust};

use super::{Change, How, Kept, NotDone, Origin, Releases, Wired, name, short};

impl Releases {
    /// Holds a bundle: it is looked at as if it were put in force, and is not.
    ///
    /// # Errors
    /// Why it is not held.
    pub(crate) fn hold(
        &self,
        wired: &Wired,
        packed: &[u8],
        actor: &Actor,
        origin: Origin,
    ) -> Result<(Kept, Vec<Finding>), NotDone> {
        let _one_at_a_time = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        let bundle = release::open(packed, self.trust())?;
        self.hold_opened(wired, &bundle, packed, actor, origin)
    }

    fn hold_opened(
        &self,
        wired: &Wired,
        bundle: &Bundle,
        packed: &[u8],
        actor: &Actor,
        origin: Origin,
    ) -> Result<(Kept, Vec<Finding>), NotDone> {
        let (house, revision) = (&wired.house, bundle.manifest().revision.clone());
        if let Some(kept) = self.shelf.kept(&revision) {
            match self.again(&kept, bundle, origin) {
                Again::GivesWay => self.is_not_rolled_out_against(&kept, bundle)?,
                Again::Stays => return Ok((kept, Vec::new())),
                Again::Differs => {
                    let short = short(&revision);
                    return Err(NotDone::Conflict(format!(
                        "revision {short} is held with other results, and neither these nor those are left out: \
                         `doorward policy rollout forget {short}` first"
                    )));
                }
            }
        }
        let was_there = self.shelf.is_held(&revision);
        if !was_there
            && self.shelf.all().len() >= POLICY_HELD_MAX
            && !self.forget_one_that_was_never_in_force()
        {
            let why = format!(
                "{POLICY_HELD_MAX} bundles are held, and there is room for no more: `doorward policy rollout \
                 forget REVISION`"
            );
            return Err(NotDone::Conflict(why));
        }
        self.shelf.unpack(bundle, packed).map_err(|e| NotDone::Failed(e.to_string()))?;
        let now = (house.clock)();
        let loaded = self.load(&revision, &|at| house.policies.candidate(at, now));
        let kept = loaded.and_then(|candidate| {
            let sizes = (policies(&candidate.bundle), Some(candidate.cases));
            let kept = told(bundle, sizes, origin, now, actor);
            let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            self.shelf.keep(&kept).map_err(|e| NotDone::Failed(format!("it cannot be held: {e}")))?;
            Ok((kept, candidate.hints))
        });
        if kept.is_err() && !was_there {
            // Nothing is left of what is not held.
            let _ = self.shelf.remove(&revision);
        }
        kept
    }

    /// Makes room for one more: whoever tries many candidates leaves many that nobody needs.
    fn forget_one_that_was_never_in_force(&self) -> bool {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut used: Vec<String> = self.shelf.history().into_iter().map(|change| change.revision).collect();
        used.extend(self.shelf.in_force().map(|noted| noted.revision));
        used.extend(self.shelf.rollout().map(|rollout| rollout.revision));
        used.extend(self.shelf.shadowed().map(|shadowed| shadowed.revision));
        // The last is the one that came first.
        let all = self.shelf.all();
        let Some(old) = all.iter().rfind(|kept| !used.contains(&kept.revision)) else { return false };
        let (revision, author) = (short(&old.revision), &old.author);
        tracing::warn!(
            revision,
            author,
            "a bundle is forgotten that was never in force, for there was no room"
        );
        self.shelf.remove(&old.revision).is_ok()
    }

    /// What becomes of a bundle whose policies are held already. Who made them, when, and what checks came to stays as
    /// it was first said; but for a bundle with results that are not known, for the word of somebody who signs, where
    /// nobody who is known signed before or it is a later one, and where what is held cannot be used any more. What
    /// was found against the policies, and that somebody tried to prove them, is not lost by any of these.
    fn again(&self, kept: &Kept, bundle: &Bundle, origin: Origin) -> Again {
        let (manifest, held) = (bundle.manifest(), &kept.results);
        let files = PolicyFiles::read(&self.shelf.policies_of(&kept.revision));
        let is_whole = files.is_ok_and(|files| files.revision().to_string() == kept.revision);
        let packed = self.shelf.packed(&kept.revision);
        let is_trusted = kept.origin == Origin::Folder
            || packed.is_ok_and(|packed| release::open(&packed, self.trust()).is_ok());
        let (is_usable, counts) = (is_whole && is_trusted, is_trusted || self.is_by_somebody_known(kept));
        let is_lost = counts && !goes_on(held, &manifest.results);
        // By its number it is known what was pulled, should that not be noted any more.
        let is_before = kept.origin == Origin::Pulled && manifest.sequence < kept.sequence;
        // Somebody known signed it, where that is asked for: it would not have been opened otherwise.
        let adds = !is_before && says_more(&manifest.results, held, weighs);
        if !is_lost && (!is_usable || is_signed_better(kept, bundle) || adds) {
            return Again::GivesWay;
        }
        // Nobody stands behind a pull who could forget what is held. What blocks is not passed over there, either.
        let matters: fn(&Attestation) -> bool = match origin {
            Origin::Pulled => is_against,
            Origin::Uploaded | Origin::Folder => weighs,
        };
        let differs = !is_usable || says_more(&manifest.results, held, matters);
        if differs { Again::Differs } else { Again::Stays }
    }

    /// What is being rolled out was answered for when that began. For what is found against it after that nobody did, and
    /// to finish asks for nothing.
    fn is_not_rolled_out_against(&self, kept: &Kept, bundle: &Bundle) -> Result<(), NotDone> {
        let is_rolled_out = self.shelf.rollout().is_some_and(|rollout| rollout.revision == kept.revision);
        if is_rolled_out && says_more(&bundle.manifest().results, &kept.results, is_against) {
            let why = "this stands against what is being rolled out: `doorward policy rollout stop` first";
            return Err(NotDone::Conflict(why.to_owned()));
        }
        Ok(())
    }

    /// Whether somebody whose key is known signed what is held, or nobody is asked for that.
    fn is_by_somebody_known(&self, kept: &Kept) -> bool {
        let signed = |key: &PublicKey| kept.signed_by.contains(&key.id().to_string());
        self.keys.is_empty() || self.keys.iter().any(signed)
    }

    /// Forgets a bundle.
    ///
    /// # Errors
    /// When it is not held, or in use.
    pub(crate) fn forget(&self, wired: &Wired, revision: &str) -> Result<(), NotDone> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.shelf.kept(revision).ok_or_else(|| NotDone::Unknown(revision.to_owned()))?;
        if wired.house.policies.bundle().revision().to_string() == revision {
            return Err(NotDone::Conflict("it is in force".to_owned()));
        }
        if self.shelf.rollout().is_some_and(|rollout| rollout.revision == revision) {
            return Err(NotDone::Conflict("it is being rolled out".to_owned()));
        }
        if self.shelf.shadowed().is_some_and(|shadowed| shadowed.revision == revision) {
            return Err(NotDone::Conflict("it is asked in the shadow".to_owned()));
        }
        self.shelf.remove(revision).map_err(|e| NotDone::Failed(e.to_string()))
    }

    /// Holds a copy of the folder that is in force.
    pub(super) fn keep_folder(&self, wired: &Wired) {
        let house = &wired.house;
        let loaded = house.policies.bundle();
        let revision = loaded.revision();
        if !house.policies.is_of_folder() || self.shelf.kept(&revision.to_string()).is_some() {
            return;
        }
        let Ok(files) = PolicyFiles::read(house.policies.dir()) else { return };
        if files.revision() != revision {
            // It changes right now; the next load keeps what it loads.
            return;
        }
        let about = About {
            sequence: 0,
            created_at: (house.clock)(),
            author: "the folder of policies".to_owned(),
            note: None,
            tool: concat!("doorward ", env!("CARGO_PKG_VERSION")).to_owned(),
            base: None,
            results: Vec::new(),
        };
        let kept = release::build(&files, about).map_err(|e| e.to_string()).and_then(|packed| {
            let bundle = release::open(&packed, Trust::Anyone).map_err(|e| e.to_string())?;
            self.make_room();
            self.shelf.unpack(&bundle, &packed).map_err(|e| e.to_string())?;
            // It has been loaded from the folder: these are the same bytes.
            let now = (house.clock)();
            let kept = told(&bundle, (policies(&loaded), None), Origin::Folder, now, &Actor::Gateway);
            self.shelf.keep(&kept).map_err(|e| e.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "no copy of the policies is kept: there is no way back to them but the folder");
        }
    }

    pub(super) fn remember(
        &self,
        revision: String,
        previous: Option<String>,
        at: UnixMillis,
        actor: &Actor,
        how: How,
        cause: Option<String>,
    ) {
        self.add(Change { revision, previous, at: at.0, by: name(actor), how, cause });
    }

    /// Adds a change to the history.
    pub(super) fn add(&self, change: Change) {
        if let Err(error) = self.shelf.add(change) {
            tracing::error!(%error, "what is in force cannot be noted in the history");
        }
        self.make_room();
    }

    /// Forgets what was in force so long ago that nobody goes back to it.
    fn make_room(&self) {
        let mut recent: Vec<String> = Vec::new();
        for change in self.shelf.history() {
            if !recent.contains(&change.revision) {
                recent.push(change.revision);
            }
        }
        let in_use = [
            self.shelf.rollout().map(|rollout| rollout.revision),
            self.shelf.shadowed().map(|shadowed| shadowed.revision),
        ];
        // The one in force, and those before it.
        for old in
            recent.iter().skip(POLICY_KEPT_MAX + 1).filter(|old| !in_use.contains(&Some((*old).clone())))
        {
            if self.shelf.kept(old).is_some()
                && let Err(error) = self.shelf.remove(old)
            {
                tracing::warn!(revision = old, %error, "an old bundle cannot be removed");
            }
        }
    }
}

/// What becomes of a bundle whose policies are held already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// They are held as they were.
    Stays,
    /// They are held as this bundle from now on.
    GivesWay,
    /// Each of the two has results that must not be lost.
    Differs,
}

/// Whether a bundle is signed by more, by the key that comes after the old one, too; or is a later one.
fn is_signed_better(kept: &Kept, bundle: &Bundle) -> bool {
    let signers: Vec<String> = bundle.signed_by().iter().map(ToString::to_string).collect();
    let by_more = signers.len() > kept.signed_by.len() && kept.signed_by.iter().all(|k| signers.contains(k));
    by_more || (!signers.is_empty() && bundle.manifest().sequence > kept.sequence)
}

/// Whether a result stands against the policies.
fn is_against(result: &Attestation) -> bool {
    result.outcome == Outcome::Failed || !result.blocking.is_empty()
}

/// Whether a result says something that is not known without it. The check is done anew here, and every bundle has it.
fn weighs(result: &Attestation) -> bool {
    result.name != "check" || is_against(result)
}

/// Whether everything that blocks by `one` does by `other`.
fn blocks_as(other: &Attestation, one: &Attestation) -> bool {
    one.blocking.iter().all(|what| other.blocking.contains(what))
}

/// Whether no result that stands against the policies, and no proof, is lost when `next` is said in the place of `held`.
/// What failed stays failed, for these are the same policies; what nobody could tell may be known by now.
fn goes_on(held: &[Attestation], next: &[Attestation]) -> bool {
    let is_said = |one: &Attestation| {
        next.iter().filter(|other| other.name == one.name).any(|other| match one.outcome {
            Outcome::Unknown => true,
            Outcome::Held => blocks_as(other, one),
            Outcome::Failed => other.outcome == Outcome::Failed && blocks_as(other, one),
        })
    };
    held.iter().filter(|one| one.name == "prove" || is_against(one)).all(is_said)
}

/// Whether `next` has a result, of those that matter, that `held` does not have.
fn says_more(next: &[Attestation], held: &[Attestation], matters: fn(&Attestation) -> bool) -> bool {
    let is_known = |one: &Attestation| {
        let as_much = |other: &Attestation| match one.outcome {
            Outcome::Unknown => true,
            Outcome::Held | Outcome::Failed => other.outcome == one.outcome,
        };
        held.iter().any(|other| other.name == one.name && as_much(other) && blocks_as(other, one))
    };
    next.iter().filter(|one| matters(one)).any(|one| !is_known(one))
}

/// How many policies there are, with those that only report.
fn policies(bundle: &PolicyBundle) -> usize {
    bundle.policies() + bundle.only_report().len()
}

/// What is known of a bundle: what it says, and how many policies and cases it has.
fn told(
    bundle: &Bundle,
    (policies, cases): (usize, Option<usize>),
    origin: Origin,
    now: UnixMillis,
    actor: &Actor,
) -> Kept {
    let manifest: &Manifest = bundle.manifest();
    Kept {
        revision: manifest.revision.clone(),
        sequence: manifest.sequence,
        author: manifest.author.clone(),
        created_at: manifest.created_at,
        note: manifest.note.clone(),
        origin,
        at: now.0,
        by: name(actor),
        policies,
        cases,
        added: manifest.added.clone(),
        removed: manifest.removed.clone(),
        changed: manifest.changed.clone(),
        cases_differ: manifest.cases,
        results: manifest.results.clone(),
        signed_by: bundle.signed_by().iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests;
