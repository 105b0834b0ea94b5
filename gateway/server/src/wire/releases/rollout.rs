//! A bundle for a share of the people, or for some apps, before it is for everybody.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use doorward_audit::event::{ControlDebt, DebtStep, PolicyStage, StageStep};
use doorward_audit::{Actor, Event};
use doorward_model::AppId;
use doorward_model::limits::OPERATOR_DEBT_SECONDS_MAX;
use doorward_policy::{Difference, Share, Staged, Stand, WHOLE};
use doorward_proxy::review::Because;
use doorward_state::{DebtKind, NewDebt};
use uuid::Uuid;

use super::force::{overtaken, softened};
use super::shelf::Rollout;
use super::{How, Kept, NotDone, Releases, Swapped, Wired, Wish, line, name, results, short};
use crate::wire::reload::record;

/// How many hexadecimal digits the key of a roll-out has.
const KEY_DIGITS: usize = 32;

/// How a share is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) revision: String,
    /// In hundredths of a percent.
    pub(crate) hundredths: u16,
    /// At which apps; none: at all.
    pub(crate) apps: Option<BTreeSet<AppId>>,
}

impl Releases {
    /// The roll-out that is under way.
    pub(crate) fn rollout(&self) -> Option<Rollout> {
        self.shelf.rollout()
    }

    /// Asks a share of a bundle that is held. Of one that is rolled out already the share becomes another one,
    /// and whoever was in it stays in when it grows.
    ///
    /// # Errors
    /// Why not; then everything is as before.
    pub(crate) fn roll_out(&self, wired: &Wired, wanted: Wanted, wish: &Wish) -> Result<Difference, NotDone> {
        let (house, now) = (&wired.house, (wired.house.clock)());
        let revision = wanted.revision;
        self.shelf.kept(&revision).ok_or_else(|| NotDone::Unknown(revision.clone()))?;
        if let Some(app) = wanted.apps.iter().flatten().find(|app| !is_app(wired, app)) {
            return Err(NotDone::Conflict(format!("there is no app `{app}`: nobody would be asked of it")));
        }
        // What is asked already is asked on, by another share. To load what is not takes long: nothing waits for it.
        let staged = house.policies.staged().map(|staged| staged.bundle);
        let bundle = match staged.filter(|bundle| bundle.revision().to_string() == revision) {
            Some(bundle) => bundle,
            None => self.candidate(wired, &revision)?.bundle,
        };
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // Meanwhile it may have been forgotten, or held with other results.
        let kept = self.shelf.kept(&revision).ok_or_else(|| NotDone::Unknown(revision.clone()))?;
        let in_force = house.policies.bundle();
        if in_force.revision().to_string() == revision {
            return Err(NotDone::Conflict("it is in force for everybody already".to_owned()));
        }
        let before = self.shelf.rollout();
        if let Some(other) = before.as_ref().filter(|rollout| rollout.revision != revision) {
            let why = format!("revision {} is being rolled out; finish or stop that", short(&other.revision));
            return Err(NotDone::Conflict(why));
        }
        // The folder waits for nobody: it may have ended this, and that is noted in a moment. Nobody has compared it
        // with the red lines that are in force by now.
        let now_in_force = in_force.revision().to_string();
        let then = before.as_ref().and_then(|rollout| rollout.in_force.as_ref());
        if let Some(then) = then.filter(|then| **then != now_in_force) {
            return Err(overtaken(&now_in_force, then));
        }
        if before.is_none() {
            self.answered_for(wired, &kept, wish, &softened(&in_force, &bundle))?;
        }
        let rollout = Rollout {
            // The same at every node of a fleet, so that nobody is asked of one bundle here and of another there.
            key: before.as_ref().map_or_else(|| key_of(&revision), |rollout| rollout.key.clone()),
            hundredths: wanted.hundredths,
            apps: wanted.apps.map(|apps| apps.iter().map(ToString::to_string).collect()),
            at: before.as_ref().map_or(now.0, |rollout| rollout.at),
            by: name(&wish.actor),
            in_force: Some(now_in_force),
            revision,
        };
        let noted = self.shelf.set_rollout(Some(&rollout));
        noted.map_err(|e| NotDone::Failed(format!("it cannot be noted: {e}")))?;
        let difference = in_force.difference(&bundle);
        let share = share(&rollout).ok_or_else(|| NotDone::Failed("its key is broken".to_owned()))?;
        house.policies.stage(Some(Staged::new(bundle, share)));
        house.review.changed(Because::Policies, (house.ticks)());
        let step = if before.is_some() { StageStep::Advanced } else { StageStep::Started };
        tell(wired, &rollout, step, wish, Some(&difference));
        Ok(difference)
    }

    /// Puts what is rolled out in force for everybody.
    ///
    /// # Errors
    /// Why not; then everything is as before.
    pub(crate) fn finish(&self, wired: &Wired, wish: &Wish) -> Result<Swapped, NotDone> {
        let rollout = self.shelf.rollout().ok_or_else(nothing)?;
        // In the place of what it was tried beside, and of nothing else.
        self.put_in_force(wired, &rollout.revision, wish, rollout.in_force.as_deref())
    }

    /// Asks everybody of the bundle in force again.
    ///
    /// # Errors
    /// When nothing is rolled out.
    pub(crate) fn stop(&self, wired: &Wired, wish: &Wish) -> Result<String, NotDone> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let rollout = self.shelf.rollout().ok_or_else(nothing)?;
        self.unstage(wired);
        wired.house.review.changed(Because::Policies, (wired.house.ticks)());
        tell(wired, &rollout, StageStep::Stopped, wish, None);
        Ok(rollout.revision)
    }

    fn unstage(&self, wired: &Wired) {
        wired.house.policies.stage(None);
        if let Err(error) = self.shelf.set_rollout(None) {
            tracing::error!(%error, "the end of a roll-out cannot be noted; after a restart it goes on");
        }
    }

    /// Other policies came into force, for everybody: with that a roll-out is over. Which one it was. One that began
    /// beside those goes on.
    pub(super) fn rollout_is_over(&self, wired: &Wired, actor: &Actor) -> Option<String> {
        let rollout = self.shelf.rollout()?;
        let (policies, review) = (&wired.house.policies, &wired.house.review);
        if is_beside(&rollout, &policies.stand()) {
            return None;
        }
        // What comes into force takes what is staged away. But the folder waits for nobody: an advance that was under
        // way may have staged it after that.
        let is_asked = policies.staged().is_some();
        self.unstage(wired);
        if is_asked {
            review.changed(Because::Policies, (wired.house.ticks)());
        }
        if wired.house.policies.bundle().revision().to_string() != rollout.revision {
            let cause = Some("other policies came into force".to_owned());
            let wish = Wish { actor: actor.clone(), how: How::RolledOut, cause, found: None, anyway: false };
            tracing::warn!(revision = rollout.revision, "a roll-out is over: other policies came into force");
            tell(wired, &rollout, StageStep::Stopped, &wish, None);
        }
        Some(rollout.revision)
    }

    /// After a restart the same people are asked of the same bundle.
    pub(super) fn stage_again(&self, wired: &Wired) {
        let Some(rollout) = self.shelf.rollout() else { return };
        let in_force = wired.house.policies.bundle().revision().to_string();
        if rollout.in_force.as_ref().is_some_and(|then| *then != in_force) || rollout.revision == in_force {
            // The folder changed while nothing ran, or the process ended in the middle of a change.
            self.rollout_is_over(wired, &Actor::Gateway);
            return;
        }
        let candidate = self.candidate(wired, &rollout.revision);
        match (candidate, share(&rollout)) {
            (Ok(candidate), Some(share)) => {
                tracing::info!(revision = rollout.revision, "a roll-out goes on");
                wired.house.policies.stage(Some(Staged::new(candidate.bundle, share)));
            }
            (Ok(_), None) => tracing::error!("a roll-out cannot go on: its key is broken"),
            (Err(error), _) => {
                tracing::error!(revision = rollout.revision, %error, "a roll-out cannot go on")
            }
        }
    }
}

/// Whether a share is asked of it, beside the very policies that it was compared with.
fn is_beside(rollout: &Rollout, stand: &Stand) -> bool {
    let in_force = stand.bundle.revision().to_string();
    let is_asked = |staged: &Staged| staged.bundle.revision().to_string() == rollout.revision;
    stand.staged.as_ref().is_some_and(is_asked) && rollout.in_force.as_ref() == Some(&in_force)
}

fn is_app(wired: &Wired, app: &AppId) -> bool {
    wired.config.apps.iter().any(|known| known.id == *app)
}

/// What draws the people of a roll-out: the beginning of its revision, which is even, and another one for others.
fn key_of(revision: &str) -> String {
    revision.chars().take(KEY_DIGITS).collect()
}

fn nothing() -> NotDone {
    NotDone::Conflict("nothing is being rolled out".to_owned())
}

fn share(rollout: &Rollout) -> Option<Share> {
    let key = Uuid::try_parse(&rollout.key).ok()?.into_bytes();
    let apps = rollout.apps.as_ref().map(|apps| apps.iter().filter_map(|app| AppId::new(app).ok()).collect());
    Some(Share::new(key, rollout.hundredths, apps))
}

fn tell(wired: &Wired, rollout: &Rollout, step: StageStep, wish: &Wish, difference: Option<&Difference>) {
    let percent = f64::from(rollout.hundredths) / 100.0;
    let apps = rollout.apps.as_ref().map_or_else(|| "all".to_owned(), |apps| apps.join(", "));
    tracing::info!(revision = rollout.revision, percent, apps, step = step.as_str(), "a roll-out");
    let difference = difference.cloned().unwrap_or_default();
    let kept = wired.releases.shelf.kept(&rollout.revision);
    let stage = PolicyStage {
        actor: wish.actor.clone(),
        step,
        revision: rollout.revision.as_str().into(),
        in_force: wired.house.policies.bundle().revision().to_string().into(),
        hundredths: rollout.hundredths,
        apps: rollout.apps.clone().unwrap_or_default(),
        author: kept.as_ref().map(|kept| kept.author.clone()),
        cause: wish.cause.clone(),
        results: kept.as_ref().map(|kept| results(kept, &difference)).unwrap_or_default(),
        added: difference.added,
        removed: difference.removed,
        changed: difference.changed,
    };
    record(wired, Event::PolicyStaged(Box::new(stage)));
}

/// Puts on record that every node of the fleet can take a bundle.
pub(super) fn tell_published(wired: &Wired, kept: &Kept, wish: &Wish) {
    let (revision, sequence) = (&kept.revision, kept.sequence);
    tracing::info!(revision, sequence, author = kept.author, "policies are published for every node");
    let stage = PolicyStage {
        actor: wish.actor.clone(),
        step: StageStep::Published,
        revision: kept.revision.as_str().into(),
        in_force: wired.house.policies.bundle().revision().to_string().into(),
        hundredths: WHOLE,
        apps: Vec::new(),
        author: Some(kept.author.clone()),
        cause: wish.cause.clone(),
        results: kept.results.iter().map(line).collect(),
        added: kept.added.clone(),
        removed: kept.removed.clone(),
        changed: kept.changed.clone(),
    };
    record(wired, Event::PolicyStaged(Box::new(stage)));
}

/// Opens the debt of whoever puts something in force that is not proved: somebody is to look at it.
pub(super) fn owe(
    wired: &Wired,
    kept: &Kept,
    against: &[String],
    cause: &str,
    actor: &Actor,
) -> Result<(), NotDone> {
    let (house, terms) = (&wired.house, wired.config.revocation.debt());
    let opened_at = (house.clock)();
    let about = format!("policies {} are in force against: {}", short(&kept.revision), against.join("; "));
    let debt = NewDebt {
        id: Uuid::now_v7(),
        kind: DebtKind::UnprovenPolicies,
        about: about.chars().take(1000).collect(),
        owner: terms.owner.clone(),
        cause: format!("{}: {cause}", name(actor)),
        opened_at,
        due_at: opened_at.plus(terms.due),
    };
    let (id, owner, due_at) = (debt.id.to_string(), debt.owner.clone(), debt.due_at);
    let (about, cause, kind) = (debt.about.clone(), debt.cause.clone(), debt.kind.as_str());
    let opened = wired.runtime.block_on(async {
        tokio::time::timeout(
            Duration::from_secs(OPERATOR_DEBT_SECONDS_MAX),
            house.revocations.open_debt(debt),
        )
        .await
    });
    match opened {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(NotDone::Failed(format!("nobody can be named who answers for it: {error}")));
        }
        Err(_) => return Err(NotDone::Failed("the store of debts does not answer".to_owned())),
    }
    let step = DebtStep::Opened { kind, about, owner, cause, due_at };
    let event = ControlDebt { id: id.into(), actor: actor.clone(), request_id: None, step };
    record(wired, Event::ControlDebt(Box::new(event)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use doorward_model::UnixMillis;
    use doorward_policy::{Outcome, Policies};

    use super::*;

    const SCHEMA: &str = include_str!("../../../../../policies/schema.cedarschema");
    const NOW: UnixMillis = UnixMillis(5);

    fn write(folder: &Path, id: &str) {
        fs::create_dir_all(folder.join("apps")).unwrap();
        fs::write(folder.join("schema.cedarschema"), SCHEMA).unwrap();
        let text = format!("@id(\"{id}\") permit (principal, action, resource);");
        fs::write(folder.join("apps/test.cedar"), text).unwrap();
    }

    fn rollout(revision: &str, in_force: &str) -> Rollout {
        Rollout {
            revision: revision.to_owned(),
            key: key_of(revision),
            hundredths: WHOLE,
            apps: None,
            at: 0,
            by: String::new(),
            in_force: Some(in_force.to_owned()),
        }
    }

    /// The folder comes into force while an advance is under way, which then stages its share beside others than it was
    /// compared with: that is over, and what is begun beside them is not.
    #[test]
    fn a_share_beside_others_than_it_was_compared_with_does_not_go_on() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(folder.path(), "open");
        write(other.path(), "other");
        let policies = Policies::open(folder.path(), None, NOW).unwrap();
        let bundle = policies.candidate(other.path(), NOW).unwrap().bundle;
        let (in_force, staged) = (policies.bundle().revision().to_string(), bundle.revision().to_string());
        let (noted, is_beside) =
            (rollout(&staged, &in_force), |rollout: &Rollout| is_beside(rollout, &policies.stand()));
        let stage = || {
            let share = share(&noted).unwrap();
            policies.stage(Some(Staged::new(bundle.clone(), share)));
        };
        assert!(!is_beside(&noted), "nobody is asked of it");
        stage();
        assert!(is_beside(&noted));

        write(folder.path(), "mended");
        assert!(matches!(policies.reload(NOW), Outcome::Swapped { .. }));
        assert!(!is_beside(&noted));
        stage();
        assert!(!is_beside(&noted));
        let mended = policies.bundle().revision().to_string();
        assert!(is_beside(&rollout(&staged, &mended)) && !is_beside(&rollout(&in_force, &mended)));
    }
}
