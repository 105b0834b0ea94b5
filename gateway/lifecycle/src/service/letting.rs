//! Letting in again, and who is not let in by it: a sign-in that something else than the directory disabled
//! stays so, whatever becomes of the person, until an operator says otherwise. One that nobody ever cut off
//! is left alone: to let it in would end what its person has open.

use std::collections::BTreeSet;

use doorward_audit::event::{About, LifecycleCode, LifecycleOutcome};
use doorward_model::directory::MachineState;
use doorward_model::{LifecycleStage, Target, UserId};
use doorward_state::Action;

use super::Inner;
use super::answer::{Asker, Failed};
use super::ask::Stray;
use super::directory::Place;
use super::plan::{self, Plan};
use super::view::Holder;
use crate::machine::Actor;

/// How many rows of a sign-in's log are looked at. Of whom there are more since they were disabled it is not
/// known by whom, and they stay so.
const ROWS_MAX: usize = 200;

/// How a sign-in stands in the log of revocations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InLog {
    /// Nobody ever cut it off.
    Untouched,
    /// Whoever cut it off is the directory, or it was let in again since.
    Directory,
    /// Something else than the directory disabled it.
    Another,
}

impl Inner {
    /// Takes out of a plan whom it would let in and somebody else keeps out; an operator may: it is their
    /// word. And who needs no letting in.
    pub(super) async fn leave_out_whom_another_keeps_out(&self, plan: &mut Plan, asker: &Asker) {
        let may_lift = match &asker.actor {
            Actor::Operator(_) => true,
            Actor::Source(_) | Actor::Signal(_) | Actor::Person | Actor::System => false,
        };
        let (mut kept_out, mut untouched) = (BTreeSet::new(), BTreeSet::new());
        for target in plan.lets_in() {
            match self.in_log(&target).await {
                InLog::Untouched => _ = untouched.insert(target),
                InLog::Another if !may_lift => _ = kept_out.insert(target),
                InLog::Another | InLog::Directory => {}
            }
        }
        plan.leave_out(kept_out, &untouched);
    }

    /// Whether the directory is not the only one that disabled it.
    pub(super) async fn is_disabled_by_another(&self, target: &Target) -> bool {
        self.in_log(target).await == InLog::Another
    }

    /// Where the log cannot be read, it stays as it is.
    async fn in_log(&self, target: &Target) -> InLog {
        let rows = match self.ports.revocations.list(Some(target.clone()), ROWS_MAX, None).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%target, %error, "it is not known who disabled it, and it is not let in");
                return InLog::Another;
            }
        };
        if rows.is_empty() {
            return InLog::Untouched;
        }
        for row in &rows {
            if !row.entry.disabled {
                return InLog::Directory;
            }
            if row.action == Action::Disable && !plan::is_of_directory(&row.actor) {
                return InLog::Another;
            }
        }
        if rows.len() == ROWS_MAX { InLog::Another } else { InLog::Directory }
    }

    /// Whoever was cut off by a decision that was then made anew, and not to that end, is let in again:
    /// their not-before mark stays, so that nothing old comes back. That gives access, so it is on record
    /// first, or they stay out.
    pub(super) async fn let_in_again(&self, stray: Stray, asker: &Asker) {
        for target in stray.targets {
            let Target::User(user) = &target else { continue };
            let stays = |error: &dyn std::fmt::Display| {
                tracing::error!(%target, %error, "somebody was cut off by a change that was not made, and stays so");
            };
            let (about, stage) = match self.who_belongs(user).await {
                Ok(Some(known)) => known,
                Ok(None) => continue,
                Err(error) => {
                    stays(&error);
                    continue;
                }
            };
            if self.is_disabled_by_another(&target).await {
                continue;
            }
            let why = "it was cut off by a change that was not made in the end";
            let mut event = self.event(LifecycleCode::Intended, about, asker);
            event.command = "let_in_again";
            event.outcome = LifecycleOutcome::Intended;
            event.stage = Some(stage);
            event.why = Some(why.to_owned());
            if let Err(error) = self.must_record(vec![event]).await {
                stays(&error);
                continue;
            }
            let mut change = plan::change_of(target.clone(), Action::Reactivate, asker);
            why.clone_into(&mut change.cause);
            match self.ports.revocations.apply(change).await {
                Ok(receipt) => {
                    let event = self.revocation(&receipt, stage, asker);
                    let _on_record = self.record_events(vec![event]).await;
                }
                Err(error) => stays(&error),
            }
        }
    }

    /// Who signs in so, if they have access.
    async fn who_belongs(&self, user: &UserId) -> Result<Option<(About, LifecycleStage)>, Failed> {
        match self.holder(user, Place::Disk).await? {
            Some(Holder::Person(id)) => {
                let read = self.read(id, Place::Disk).await?.map(|read| read.person);
                let good = read.filter(|person| person.admitted() && person.links.contains(user));
                Ok(good.map(|person| (About::Person(Some(id.to_string().into())), person.stage())))
            }
            Some(Holder::Machine(id)) => {
                let machine = self.read_machine(id, Place::Disk).await?.map(|machine| machine.it);
                let good = machine.filter(|it| it.state == MachineState::Active && it.user == *user);
                let about = || About::Machine { id: id.to_string().into(), user: user.clone() };
                Ok(good.map(|it| (about(), it.stage((self.ports.clock)(), true))))
            }
            None => Ok(None),
        }
    }
}
