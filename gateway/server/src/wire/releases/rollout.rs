//! A bundle for a share of the people, or for some apps, before it is for everybody.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use doorward_audit::event::{ControlDebt, DebtStep, PolicyStage, StageStep};
use doorward_audit::{Actor, Event};
use doorward_model::AppId;
use doorward_model::limits::OPERATOR_DEBT_SECONDS_MAX;
use doorward_policy::{Difference, Share, Staged, WHOLE};
use doorward_proxy::review::Because;
use doorward_state::{DebtKind, NewDebt};
use uuid::Uuid;

use super::force::softened;
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
        let kept = self.shelf.kept(&revision).ok_or_else(|| NotDone::Unknown(revision.clone()))?;
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
        let in_force = house.policies.bundle();
        if in_force.revision().to_string() == revision {
            return Err(NotDone::Conflict("it is in force for everybody already".to_owned()));
        }
        let before = self.shelf.rollout();
        if let Some(other) = before.as_ref().filter(|rollout| rollout.revision != revision) {
            let why = format!("revision {} is being rolled out; finish or stop that", short(&other.revision));
            return Err(NotDone::Conflict(why));
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
            in_force: Some(in_force.revision().to_string()),
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
        self.forget_rollout();
    }

    fn forget_rollout(&self) {
        if let Err(error) = self.shelf.set_rollout(None) {
            tracing::error!(%error, "the end of a roll-out cannot be noted; after a restart it goes on");
        }
    }

    /// Other policies came into force, for everybody: with that a roll-out is over. Which one it was.
    pub(super) fn rollout_is_over(&self, wired: &Wired, actor: &Actor) -> Option<String> {
        let rollout = self.shelf.rollout()?;
        self.forget_rollout();
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
