//! How much a connection may take away at once: a sync that goes wrong takes everything away in minutes,
//! and each single step of it looks right.
//!
//! What a connection took is counted over a window. When more than its share would be gone, the connection
//! is stopped: it takes nothing more away until an operator lets it go on. What it gives is not hindered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_audit::event::{About, LifecycleCode, LifecycleOutcome};
use doorward_model::UnixMillis;
use doorward_model::directory::ConnectionId;
use doorward_state::DebtKind;
use uuid::Uuid;

use super::answer::{Asker, Failed};
use super::debts::{Debt, id_of};
use super::plan::connection;
use super::view::Reach;
use super::{Inner, Lifecycle};
use crate::machine::Actor;

/// The most entries of one connection's window. Beyond it the oldest count until the window is over.
const ENTRIES_MAX: usize = 4096;

/// What a connection may take away before somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardTerms {
    /// The share of its people, and of its memberships, in percent. 100 and more: anything.
    pub percent_max: u32,
    /// So many it may take away in any case.
    pub always: usize,
    /// Over which time that is counted.
    pub window: Duration,
}

impl Default for GuardTerms {
    fn default() -> Self {
        Self { percent_max: 20, always: 10, window: Duration::from_hours(1) }
    }
}

/// What was taken away, or is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// People who do not belong here any more.
    pub people: usize,
    /// Memberships that are no more.
    pub memberships: usize,
}

impl Took {
    const fn is_nothing(self) -> bool {
        self.people == 0 && self.memberships == 0
    }

    const fn and(self, more: Self) -> Self {
        Self {
            people: self.people.saturating_add(more.people),
            memberships: self.memberships.saturating_add(more.memberships),
        }
    }
}

/// A connection is stopped. It takes nothing away until an operator lets it go on with this id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "connection `{connection}` would have taken away {} of its {} people and {} of its {} memberships within {} s, \
     and is stopped: see whether that is right, and let it go on with `{id}`",
    took.people, of.people, took.memberships, of.memberships, window.as_secs()
)]
pub struct Halt {
    /// Which connection.
    pub connection: ConnectionId,
    /// Names the stop, and the control debt that it is. Who lets the connection go on says it.
    pub id: Uuid,
    /// What would be gone within the window.
    pub took: Took,
    /// What it had when the window began.
    pub of: Took,
    /// The window.
    pub window: Duration,
}

/// What is known of one connection.
#[derive(Default)]
struct Account {
    took: VecDeque<(UnixMillis, Took)>,
    halt: Option<Halt>,
    /// Somebody said that it is right, until then.
    free_until: Option<UnixMillis>,
}

/// The accounts of all connections.
pub(super) struct Guard {
    terms: GuardTerms,
    accounts: Mutex<BTreeMap<ConnectionId, Account>>,
}

/// Counted, and taken back when the batch is not saved.
pub(super) struct Reserved<'a> {
    guard: Option<(&'a Guard, ConnectionId, (UnixMillis, Took))>,
}

impl Reserved<'_> {
    /// It was saved.
    pub(super) fn keep(mut self) {
        self.guard = None;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some((guard, connection, entry)) = self.guard.take() {
            let mut accounts = guard.lock();
            let Some(account) = accounts.get_mut(&connection) else { return };
            if let Some(place) = account.took.iter().rposition(|known| *known == entry) {
                account.took.remove(place);
            }
        }
    }
}

/// Why nothing is taken.
enum No {
    /// It is stopped, as it was before.
    Halted(Halt),
    /// It is stopped from now on.
    Stops(Halt),
}

impl Guard {
    pub(super) const fn new(terms: GuardTerms) -> Self {
        Self { terms, accounts: Mutex::new(BTreeMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(
        &self,
        connection: &ConnectionId,
        more: Took,
        has: Reach,
        now: UnixMillis,
    ) -> Result<Reserved<'_>, No> {
        let mut accounts = self.lock();
        let account = accounts.entry(connection.clone()).or_default();
        if let Some(halt) = &account.halt {
            return Err(No::Halted(halt.clone()));
        }
        let since = now.minus(self.terms.window);
        while account.took.front().is_some_and(|(at, _)| *at < since) {
            account.took.pop_front();
        }
        let took = account.took.iter().fold(Took::default(), |sum, (_, took)| sum.and(*took));
        let of = Took { people: has.people, memberships: has.memberships }.and(took);
        let would = took.and(more);
        let free = account.free_until.is_some_and(|until| now < until);
        if !free && (self.is_much(would.people, of.people) || self.is_much(would.memberships, of.memberships))
        {
            let id = id_of(DebtKind::MassChange, connection.as_str(), &now.0.to_string());
            let (connection, window) = (connection.clone(), self.terms.window);
            let halt = Halt { connection, id, took: would, of, window };
            account.halt = Some(halt.clone());
            return Err(No::Stops(halt));
        }
        let entry = (now, more);
        if account.took.len() < ENTRIES_MAX {
            account.took.push_back(entry);
        } else if let Some((_, last)) = account.took.back_mut() {
            *last = last.and(more);
        }
        drop(accounts);
        Ok(Reserved { guard: Some((self, connection.clone(), entry)) })
    }

    fn is_much(&self, took: usize, of: usize) -> bool {
        let share = of.saturating_mul(self.terms.percent_max as usize) / 100;
        took > share.max(self.terms.always)
    }

    /// Takes up a stop of an earlier run.
    pub(super) fn stop(&self, halt: Halt) {
        let connection = halt.connection.clone();
        self.lock().entry(connection).or_default().halt = Some(halt);
    }

    fn release(&self, connection: &ConnectionId, id: Uuid, now: UnixMillis) -> bool {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(connection) else { return false };
        if account.halt.as_ref().is_none_or(|halt| halt.id != id) {
            return false;
        }
        account.halt = None;
        account.took.clear();
        account.free_until = Some(now.plus(self.terms.window));
        true
    }

    fn halted(&self) -> Vec<Halt> {
        self.lock().values().filter_map(|account| account.halt.clone()).collect()
    }

    /// What a stop says that is known of by its debt alone.
    pub(super) fn remembered(&self, connection: ConnectionId, id: Uuid) -> Halt {
        Halt { connection, id, took: Took::default(), of: Took::default(), window: self.terms.window }
    }
}

impl Inner {
    /// Counts what a connection takes away. Whoever else takes something away is not counted.
    pub(super) async fn take_from(&self, asker: &Asker, more: Took) -> Result<Reserved<'_>, Failed> {
        let free = Reserved { guard: None };
        let Some(connection) = connection(&asker.actor) else { return Ok(free) };
        if more.is_nothing() {
            return Ok(free);
        }
        let now = (self.ports.clock)();
        match self.guard.take(connection, more, self.view.reach(connection), now) {
            Ok(reserved) => Ok(reserved),
            Err(No::Halted(halt)) => Err(Failed::Halted(Box::new(halt))),
            Err(No::Stops(halt)) => {
                self.stopped(&halt, asker).await;
                Err(Failed::Halted(Box::new(halt)))
            }
        }
    }

    async fn stopped(&self, halt: &Halt, asker: &Asker) {
        let mut event = self.event(LifecycleCode::SyncHalted, about(&halt.connection), asker);
        event.command = "halt";
        event.why = Some(halt.to_string());
        let debt = Debt {
            id: halt.id,
            kind: DebtKind::MassChange,
            about: debt_about(&halt.connection),
            cause: halt.to_string(),
        };
        let (_told, ()) = tokio::join!(self.tell(vec![event]), self.open_debts(vec![debt], asker));
    }
}

impl Lifecycle {
    /// The connections that are stopped.
    #[must_use]
    pub fn halted(&self) -> Vec<Halt> {
        self.inner.guard.halted()
    }

    /// Lets a connection go on that was stopped: for one window it may take away what it likes. Only an
    /// operator may say so.
    ///
    /// # Errors
    /// [`Failed::NotFound`] when it is not stopped under this id, [`Failed::NotOnRecord`] when the audit log
    /// cannot have it first.
    pub async fn release(&self, connection: ConnectionId, id: Uuid, asker: Asker) -> Result<(), Failed> {
        let inner = std::sync::Arc::clone(&self.inner);
        self.on_its_own(async move { inner.release(&connection, id, &asker).await }).await
    }
}

impl Inner {
    async fn release(&self, connection: &ConnectionId, id: Uuid, asker: &Asker) -> Result<(), Failed> {
        if !matches!(asker.actor, Actor::Operator(_)) {
            let help = "an operator sees whether it is right, and says so";
            return Err(Failed::Refused { what: "only an operator lets a connection go on", help });
        }
        if !self.guard.halted().iter().any(|halt| halt.connection == *connection && halt.id == id) {
            return Err(super::ask::not_found("stopped connection", &format!("{connection} {id}")));
        }
        let mut event = self.event(LifecycleCode::SyncReleased, about(connection), asker);
        event.command = "release";
        event.outcome = LifecycleOutcome::Done;
        self.must_record(vec![event]).await?;
        self.guard.release(connection, id, (self.ports.clock)());
        let how = format!("{} let the connection go on", asker.actor.name());
        self.settle_debt(id, how, asker).await;
        Ok(())
    }
}

fn about(connection: &ConnectionId) -> About {
    About::Connection(connection.as_str().into())
}

/// How the debt of a stop begins, by which it is found again.
pub(super) fn debt_about(connection: &ConnectionId) -> String {
    format!("connection {connection}: it would take away too much at once, and is stopped")
}
