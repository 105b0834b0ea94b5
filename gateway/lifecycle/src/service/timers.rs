//! Dates that come: a lock is over, an invitation runs out, the first day, the end of a contract.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::directory::{Person, PersonId, PersonState, StateKind};

use super::Lifecycle;
use super::answer::{Asker, Whom};
use super::directory::Place;
use crate::machine::{Actor, Command};

/// The most people whose dates are looked at in one round.
pub const DUE_ROUND_MAX: usize = 256;
/// How long whoever could not be changed waits for another attempt.
const PUT_OFF: Duration = Duration::from_mins(1);

/// A date that has come for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// For whom.
    pub person: PersonId,
    /// What is to be done.
    pub command: Command,
}

/// Who waits for another attempt, and until when.
#[derive(Default)]
pub(super) struct PutOff(Mutex<BTreeMap<PersonId, UnixMillis>>);

impl PutOff {
    fn waiting(&self, now: UnixMillis) -> BTreeSet<PersonId> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, until| now < *until);
        waiting.keys().copied().collect()
    }

    fn add(&self, person: PersonId, until: UnixMillis) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(person, until);
    }
}

/// Every date of a person, and what it asks for.
fn dates(person: &Person) -> Vec<(UnixMillis, Command)> {
    let mut dates = Vec::new();
    let kind = person.state.kind();
    match &person.state {
        PersonState::Locked { until } => dates.push((*until, Command::LockExpires)),
        PersonState::Invited | PersonState::PendingVerification => {
            dates.extend(person.expires_at.map(|at| (at, Command::Expire)));
        }
        PersonState::Staged if person.source_active => {
            dates.push((person.profile.starts_at.unwrap_or_default(), Command::Start));
        }
        PersonState::Staged
        | PersonState::Active
        | PersonState::Suspended(_)
        | PersonState::Deactivated
        | PersonState::Deleted => {}
    }
    let hired = match kind {
        StateKind::Staged | StateKind::Active | StateKind::Locked | StateKind::Suspended => true,
        StateKind::Invited | StateKind::PendingVerification | StateKind::Deactivated | StateKind::Deleted => {
            false
        }
    };
    if let Some(end) = person.profile.contract_end.filter(|_| hired) {
        dates.push((end, Command::ContractEnd));
    }
    dates
}

/// When the next date of a person comes.
pub(super) fn due_at(person: &Person) -> Option<UnixMillis> {
    dates(person).into_iter().map(|(at, _)| at).min()
}

/// What is to be done now: the end of a contract before a first day or the end of a lock.
fn due_now(person: &Person, now: UnixMillis) -> Option<Command> {
    dates(person).into_iter().rev().find(|(at, _)| *at <= now).map(|(_, command)| command)
}

impl Lifecycle {
    /// Whom a date has come for, the oldest first, at most [`DUE_ROUND_MAX`]. Who could not be changed a moment
    /// ago is left out for a while, so that nobody holds up the others.
    pub async fn due(&self, now: UnixMillis) -> Vec<Due> {
        let waiting = self.inner.put_off.waiting(now);
        let mut due = Vec::new();
        for person in self.inner.view.due(now, DUE_ROUND_MAX, &waiting) {
            match self.inner.read(person, Place::Memory).await {
                Ok(read) => {
                    let command = read.and_then(|read| due_now(&read.person, now));
                    due.extend(command.map(|command| Due { person, command }));
                }
                Err(error) => {
                    self.inner.put_off.add(person, now.plus(PUT_OFF));
                    tracing::error!(%person, %error, "a date has come, and the person cannot be read");
                }
            }
        }
        due
    }

    /// Does what is due now, one round of it. How much was done. What fails for one person is logged, and
    /// tried again later.
    pub async fn run_due(&self, now: UnixMillis) -> usize {
        let mut done = 0;
        for Due { person, command } in self.due(now).await {
            let kind = command.kind();
            let asker = Asker {
                actor: Actor::System,
                asserted_at: None,
                cause: "its date has come".into(),
                request_id: format!("due-{person}").into(),
                if_version: None,
            };
            match self.ask(Whom::Person(person), command, asker).await {
                Ok(answer) if answer.changed => done += 1,
                Ok(_) => self.inner.put_off.add(person, now.plus(PUT_OFF)),
                Err(error) => {
                    self.inner.put_off.add(person, now.plus(PUT_OFF));
                    tracing::warn!(%person, command = kind.as_str(), %error, "a date has come, and nothing could be done");
                }
            }
        }
        done
    }

    /// Does what is due, for ever, and looks every `period`. Drop the future to end it.
    pub async fn keep_time(&self, period: Duration) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = (self.inner.ports.clock)();
            self.run_due(now).await;
        }
    }
}
