//! Somebody asks whom the directory does not know: do they join?
//!
//! A token proves a sign-in, and the directory knows nobody who signs in so. Where people may join, those who
//! change lives are asked once, and the request is then judged anew, by the directory as by everything else.
//! What is decided here is only who is asked, how often, and how long it is waited.
//!
//! ```text
//!  unknown_principal ─┬─ no person, or nobody joins here ─────────────────► as it was
//!                     ├─ the credential was revoked ──────────────────────► as it was
//!                     ├─ it cannot be, by what the token says ────────────► as it was, and why
//!                     ├─ it could not be a moment ago ────────────────────► as it was, and why
//!                     ├─ too many ask at once ────────────────────────────► overloaded        503
//!                     └─ asked ─┬─ joined ────────────────────────────────► judged anew
//!                               ├─ no ────────────────────────────────────► as it was, and why
//!                               └─ it cannot be written, or not recorded ─► stale_directory,
//!                                                                           audit_unavailable 503
//! ```
//!
//! Invariants:
//! * Nobody is let in here: whoever has joined is judged as everybody is.
//! * Of one sign-in one question is under way at a time, whatever it sends; a no is remembered for a moment.
//! * Of all of them at most [`JOINS_AT_ONCE_MAX`] are under way, and [`JOINS_PER_SECOND_MAX`] begin in a
//!   second: people who are known wait for none of it.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use doorward_model::limits::{
    JOIN_MILLIS_MAX, JOIN_NO_MAX, JOIN_NO_MILLIS, JOINS_AT_ONCE_MAX, JOINS_PER_SECOND_MAX,
};
use doorward_model::{Principal, Refusal, RefusalCode, UnixMillis, User, UserId};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

/// For how long a no is remembered.
const NO_FOR: Duration = Duration::from_millis(JOIN_NO_MILLIS);

/// Why somebody does not join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotJoined {
    /// They cannot: what stands in the way, for the log.
    Cannot(String),
    /// They may, and it could not be written: what stands in the way, for the log.
    NotSaved(String),
    /// They may, and the audit log could not have it first.
    NotOnRecord(String),
}

/// The answer to whether somebody joins.
pub type Answer = Pin<Box<dyn Future<Output = Result<(), NotJoined>> + Send>>;

/// Says what stands in the way of somebody, if anything does.
pub type Look = Box<dyn Fn(&User) -> Result<(), String> + Send + Sync>;

/// Those who make people known. `server` fills this in.
pub struct Registrar {
    /// Whether it is possible at all, by what their issuer says of them. No I/O.
    pub may: Look,
    /// Makes them known, on the word of the request of this id. Done once it is told: the directory
    /// of this process knows them then.
    pub join: Box<dyn Fn(User, Arc<str>) -> Answer + Send + Sync>,
}

/// Where people join.
pub enum Where {
    /// Here.
    Here(Registrar),
    /// At another node: this one learns who people are, and does not make them known.
    Elsewhere,
}

/// Whether and where people join. Nobody does until it is [opened](Self::open).
pub struct Joining {
    open: OnceLock<Where>,
    /// Who could not join, since when it is known, and why.
    noes: Cache<UserId, (UnixMillis, Arc<str>)>,
    /// Sign-ins of which it is being asked.
    asked: Mutex<HashMap<UserId, Arc<tokio::sync::Mutex<()>>>>,
    turns: Semaphore,
    pace: Mutex<Pace>,
    patience: Duration,
}

/// How many may begin in this second.
#[derive(Default)]
struct Pace {
    second: i64,
    begun: u64,
}

/// A sign-in of which it is being asked, until this is dropped.
struct Asked<'a> {
    joining: &'a Joining,
    sign_in: &'a UserId,
    alone: Arc<tokio::sync::Mutex<()>>,
}

// === impl Joining ===

impl Default for Joining {
    fn default() -> Self {
        Self {
            open: OnceLock::new(),
            noes: Cache::new(JOIN_NO_MAX),
            asked: Mutex::default(),
            turns: Semaphore::new(JOINS_AT_ONCE_MAX),
            pace: Mutex::default(),
            patience: Duration::from_millis(JOIN_MILLIS_MAX),
        }
    }
}

impl Joining {
    /// Says where people join. The first word counts.
    pub fn open(&self, place: Where) {
        let _first = self.open.set(place);
    }

    /// Asks whether whoever was `refused` joins. `Ok`: they are known now, judge them anew. `is_known`
    /// tells whether they have become known meanwhile.
    pub(crate) async fn ask(
        &self,
        token: &Principal,
        refused: Refusal,
        (now, request_id): (UnixMillis, &Arc<str>),
        is_known: impl Fn() -> bool,
    ) -> Result<(), Refusal> {
        let Principal::User(user) = token else { return Err(refused) };
        let registrar = match self.open.get() {
            None => return Err(refused),
            Some(Where::Elsewhere) => {
                return Err(because(refused, "people join at a node that has the directory"));
            }
            Some(Where::Here(registrar)) => registrar,
        };
        if let Err(why) = (registrar.may)(user) {
            return Err(because(refused, &why));
        }
        let asking = async {
            let asked = Asked::of(self, &user.id);
            let _alone = asked.alone.lock().await;
            if is_known() {
                return Ok(());
            }
            if let Some(why) = self.no(&user.id, now) {
                return Err(because(refused, &why));
            }
            let _turn = self.turn(now)?;
            match (registrar.join)(user.clone(), Arc::clone(request_id)).await {
                Ok(()) => Ok(()),
                Err(NotJoined::Cannot(why)) => {
                    self.noes.insert(user.id.clone(), (now, why.as_str().into()));
                    Err(because(refused, &why))
                }
                Err(NotJoined::NotSaved(why)) => Err(Refusal::new(RefusalCode::StaleDirectory, why)),
                Err(NotJoined::NotOnRecord(why)) => Err(Refusal::new(RefusalCode::AuditUnavailable, why)),
            }
        };
        let late = || {
            let detail = format!("it took more than {} s to make somebody known", self.patience.as_secs());
            Refusal::new(RefusalCode::StaleDirectory, detail)
        };
        tokio::time::timeout(self.patience, asking).await.unwrap_or_else(|_| Err(late()))
    }

    /// Why they could not join a moment ago. A clock that was set back makes nothing last.
    fn no(&self, sign_in: &UserId, now: UnixMillis) -> Option<Arc<str>> {
        let (since, why) = self.noes.get(sign_in)?;
        let holds = since <= now && now.since(since) < NO_FOR;
        holds.then_some(why)
    }

    fn turn(&self, now: UnixMillis) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let busy = |what: &str| {
            let detail = format!("{what}, and the directory knows nobody who signs in so yet");
            Refusal::new(RefusalCode::Overloaded, detail)
        };
        let turn = self.turns.try_acquire().map_err(|_| busy("too many join at once"))?;
        let second = now.0.div_euclid(1000);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.second != second {
            *pace = Pace { second, begun: 0 };
        }
        if pace.begun >= JOINS_PER_SECOND_MAX {
            return Err(busy("too many ask to join"));
        }
        pace.begun += 1;
        Ok(turn)
    }
}

impl fmt::Debug for Joining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = match self.open.get() {
            None => "nowhere",
            Some(Where::Here(_)) => "here",
            Some(Where::Elsewhere) => "elsewhere",
        };
        f.debug_struct("Joining").field("open", &open).finish_non_exhaustive()
    }
}

// === impl Asked ===

impl<'a> Asked<'a> {
    fn of(joining: &'a Joining, sign_in: &'a UserId) -> Self {
        let mut asked = joining.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = Arc::clone(asked.entry(sign_in.clone()).or_default());
        Self { joining, sign_in, alone }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut asked = self.joining.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // This one, and the one in the map.
        if Arc::strong_count(&self.alone) <= 2 {
            asked.remove(self.sign_in);
        }
    }
}

fn because(refused: Refusal, why: &str) -> Refusal {
    Refusal { detail: format!("{}; {why}", refused.detail), ..refused }
}

#[cfg(test)]
mod tests;
