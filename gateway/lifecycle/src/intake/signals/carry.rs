//! Doing what a message asks for: what was decided becomes holds, revocations and notes.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::Target;
use doorward_model::directory::{HoldOrigin, PersonId, StreamName};
use doorward_state::{Action, Ended, Receipt, Write};

use super::Signals;
use crate::machine::Command;
use crate::service::{Asker, CutOff, Done, Failed, Whom};
use crate::signals::decide::Act;
use crate::signals::resolve::{self, About};

/// What is told where a hold is to be lifted that is no hold.
const BARE: &str = "a sign-in that the directory does not know stays disabled, because an operator may have \
                    disabled it: reactivate it by hand";

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) revocations: Vec<Arc<str>>,
    pub(super) ended: Ended,
    pub(super) unpublished: Option<String>,
    /// What was asked for and has no effect yet, or could not be done.
    pub(super) not_done: Vec<String>,
    /// What an operator must look at.
    pub(super) alarms: Vec<String>,
    /// Access was taken away.
    pub(super) takes_away: bool,
}

/// The acts, sorted.
#[derive(Default)]
struct Sorted {
    ends: BTreeSet<Target>,
    hold: Option<resolve::Whom>,
    lift: Option<resolve::Whom>,
    carried: Carried,
}

impl Carried {
    fn cut(&mut self, receipts: &[Receipt], ended: Ended, unpublished: Option<String>) {
        self.revocations.extend(receipts.iter().map(|receipt| Arc::from(receipt.id.to_string())));
        self.ended += ended;
        self.unpublished = self.unpublished.take().or(unpublished);
        self.takes_away |= !receipts.is_empty();
    }

    fn cut_off(mut self, cut: CutOff) -> Self {
        self.cut(&cut.receipts, cut.ended, cut.unpublished);
        self
    }

    fn done(mut self, done: Done) -> Self {
        self.cut(&done.receipts, done.ended, done.unpublished);
        self
    }
}

impl Sorted {
    fn of(acts: &[Act], remembers_risk: bool) -> Self {
        let mut sorted = Self::default();
        let not_done = |sorted: &mut Self, why: &str| sorted.carried.not_done.push(why.to_owned());
        for act in acts {
            match act {
                Act::End(target) => {
                    sorted.ends.insert(target.clone());
                }
                Act::StepUp(about) => sorted.ends.extend(about.targets()),
                Act::Hold(whom) => sorted.hold = Some(whom.clone()),
                Act::Lift(whom) => sorted.lift = Some(whom.clone()),
                Act::Refresh(_) => not_done(&mut sorted, "the person is not read anew from the source yet"),
                Act::Posture(..) => not_done(&mut sorted, "the state of a device is not kept yet"),
                Act::Risk(About::Person(_), _) if remembers_risk => {}
                Act::Risk(About::Person(_), _) => {
                    not_done(&mut sorted, "how risky people look is not kept without `[risk]`");
                }
                Act::Risk(..) => not_done(&mut sorted, "how risky it looks is kept of people only"),
                Act::Alert(why) => sorted.carried.alarms.push((*why).to_owned()),
            }
        }
        sorted
    }
}

impl Signals {
    /// Does it, and keeps `papers` in the same transaction. `stream` is whose holds they are.
    ///
    /// # Errors
    /// [`Failed::Changed`] and [`Failed::NotFound`]: decide anew. Any other: nothing is durable, or not all.
    pub(super) async fn carry_out(
        &self,
        acts: &[Act],
        stream: &StreamName,
        asker: &Asker,
        papers: Vec<Write>,
    ) -> Result<Carried, Failed> {
        let Sorted { ends, hold, lift, carried } = Sorted::of(acts, self.risks.is_some());
        let carried = match (hold, lift) {
            (Some(whom), _) => self.hold(whom, ends, carried, asker, papers).await,
            (None, Some(whom)) => self.lift(whom, stream, carried, asker, papers).await,
            (None, None) => self.cut(ends, Action::Revoke, carried, asker, papers).await,
        }?;
        self.tell_risks(acts, asker);
        Ok(carried)
    }

    /// Says how risky people look, by each of their sign-ins.
    fn tell_risks(&self, acts: &[Act], asker: &Asker) {
        let at = asker.asserted_at.unwrap_or_else(|| (self.clock)());
        for act in acts {
            if let (Act::Risk(About::Person(whom), level), Some(told)) = (act, &self.risks) {
                whom.links.iter().for_each(|link| told(link, level.told(), at));
            }
        }
    }

    /// Ends what is open, without keeping anything: for when the store cannot be read. To end is harmless
    /// twice, and whoever was to be held is held when the sender comes again. True when it is in force here.
    pub(super) async fn bite(&self, acts: &[Act], asker: &Asker) -> bool {
        let Sorted { mut ends, hold, .. } = Sorted::of(acts, self.risks.is_some());
        ends.extend(hold.into_iter().flat_map(|whom| whom.links).map(Target::User));
        if ends.is_empty() {
            return false;
        }
        let targets = ends.into_iter().collect();
        match self.lives.cut_off(targets, Action::Revoke, asker.clone(), Vec::new()).await {
            Ok(_) => true,
            Err(failed) => failed.enforced(),
        }
    }

    async fn cut(
        &self,
        targets: BTreeSet<Target>,
        action: Action,
        carried: Carried,
        asker: &Asker,
        papers: Vec<Write>,
    ) -> Result<Carried, Failed> {
        let targets = targets.into_iter().collect();
        Ok(carried.cut_off(self.lives.cut_off(targets, action, asker.clone(), papers).await?))
    }

    /// Holds a person, whose sign-ins that disables. A sign-in that the directory does not know is disabled
    /// itself.
    async fn hold(
        &self,
        whom: resolve::Whom,
        mut ends: BTreeSet<Target>,
        mut carried: Carried,
        asker: &Asker,
        papers: Vec<Write>,
    ) -> Result<Carried, Failed> {
        ends.extend(whom.links.iter().cloned().map(Target::User));
        let Some(id) = whom.person else {
            return self.cut(ends, Action::Disable, carried, asker, papers).await;
        };
        let strangers: BTreeSet<Target> =
            ends.iter().filter(|target| !self.is_of(id, target)).cloned().collect();
        carried = self.cut(strangers, Action::Disable, carried, asker, Vec::new()).await?;
        let asked =
            self.lives.ask_all(Whom::Person(id), vec![Command::HoldSet], asker.clone(), papers.clone());
        match asked.await {
            Ok(done) => {
                carried.takes_away = true;
                Ok(carried.done(done))
            }
            // Nobody stays in because a hold cannot be set.
            Err(Failed::Denied(denied)) => {
                carried.alarms.push(format!("no hold was set, and the sign-ins are disabled: {denied}"));
                self.cut(ends, Action::Disable, carried, asker, papers).await
            }
            Err(failed) => Err(failed),
        }
    }

    fn is_of(&self, id: PersonId, target: &Target) -> bool {
        let Target::User(user) = target else { return false };
        self.lives.in_memory(id).is_some_and(|person| person.links.contains(user))
    }

    async fn lift(
        &self,
        whom: resolve::Whom,
        stream: &StreamName,
        mut carried: Carried,
        asker: &Asker,
        papers: Vec<Write>,
    ) -> Result<Carried, Failed> {
        let Some(id) = whom.person else {
            let disabled = |link| self.store.lookup(&Target::User(link)).is_some_and(|entry| entry.disabled);
            if whom.links.into_iter().any(disabled) {
                carried.alarms.push(BARE.to_owned());
            }
            return self.cut(BTreeSet::new(), Action::Revoke, carried, asker, papers).await;
        };
        let clear = Command::HoldClear(HoldOrigin::Signal(stream.clone()));
        match self.lives.ask_all(Whom::Person(id), vec![clear], asker.clone(), papers.clone()).await {
            Ok(done) => Ok(carried.done(done)),
            Err(Failed::Denied(denied)) => {
                carried.not_done.push(denied.to_string());
                self.cut(BTreeSet::new(), Action::Revoke, carried, asker, papers).await
            }
            Err(failed) => Err(failed),
        }
    }
}
