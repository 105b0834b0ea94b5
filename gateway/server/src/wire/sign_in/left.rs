//! What is left of sessions that have ended: their records go, and the provider gets its refresh tokens back.
//!
//! ```text
//!  somebody is cut off, or a session of theirs ends ──► the person waits ──► after 3 s: what is over is cleared up
//!  a session of a provider or a device is cut off ────► a walk waits ──────► after 3 s: everybody is looked at
//! ```
//! Control nodes do it, one person after the other, however many there are: who signs in meanwhile needs the store,
//! too. While the store is away they wait. It is housekeeping: what has ended has ended without it.
//!
//! Nobody is cleared up after within three seconds: a receipt counts what there was when access was taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_model::limits::SESSION_STORE_MILLIS_MAX;
use doorward_model::{Target, UserId};
use doorward_proxy::{House, SignIn, Ticks};
use doorward_state::{Applied, Ended, SessionsError};
use tokio::sync::Notify;

/// How long after an end it is cleared up. Whoever counts what there was has the answer of the store by then.
const GRACE: Duration = Duration::from_millis(SESSION_STORE_MILLIS_MAX + 1000);
/// How long the store is left alone when it does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of how many people it is remembered that something of their sessions may be left.
const PEOPLE_MAX: usize = 100_000;
/// How often everybody is looked at, at most.
const WALK_EVERY: Duration = Duration::from_secs(300);
/// How many are looked at in one go, and how long the store then has for others.
const WALK_PEOPLE: usize = 100;
const WALK_PAUSE: Duration = Duration::from_millis(50);

/// People of whose sessions something may be left.
pub(crate) struct Left {
    ticks: Ticks,
    waiting: Mutex<Waiting>,
    more: Notify,
    /// Somebody is to be looked for among all.
    walk: Notify,
}

/// Each person once, and when it is their turn.
#[derive(Default)]
struct Waiting {
    due: BTreeMap<UserId, Duration>,
    order: BTreeSet<(Duration, UserId)>,
}

/// Whose turn it is.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Of(UserId),
    /// Nobody's before that.
    In(Duration),
    Nobodys,
}

// === impl Left ===

impl Left {
    pub(crate) fn new(ticks: Ticks) -> Self {
        Self { ticks, waiting: Mutex::default(), more: Notify::new(), walk: Notify::new() }
    }

    /// Something of this person's sessions has ended.
    pub(crate) fn put(&self, person: &UserId) {
        self.put_after(person, GRACE);
    }

    fn put_after(&self, person: &UserId, wait: Duration) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (self.ticks)().saturating_add(wait);
        if !waiting.put(person, due) {
            // The walk finds them.
            self.walk.notify_one();
        }
        drop(waiting);
        self.more.notify_one();
    }

    fn turn(&self) -> Turn {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.turn((self.ticks)())
    }

    /// A change took effect. The end of one session by its own name tells nothing: whoever ends it knows whose it is.
    fn applied(&self, target: &Target) {
        match target {
            Target::User(person) => self.put(person),
            Target::Session(_) | Target::Device(_) => self.walk.notify_one(),
            Target::Token(_) | Target::UserAtApp(..) => {}
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// False when there are too many.
    fn put(&mut self, person: &UserId, due: Duration) -> bool {
        let known = self.due.get(person).copied();
        if known.is_none() && self.due.len() >= PEOPLE_MAX {
            return false;
        }
        if let Some(known) = known {
            self.order.remove(&(known, person.clone()));
        }
        let due = known.map_or(due, |known| due.max(known));
        self.due.insert(person.clone(), due);
        self.order.insert((due, person.clone()));
        true
    }

    fn turn(&mut self, now: Duration) -> Turn {
        match self.order.first() {
            None => Turn::Nobodys,
            Some((due, _)) if *due > now => Turn::In(due.saturating_sub(now)),
            Some(_) => match self.order.pop_first() {
                Some((_, person)) => {
                    self.due.remove(&person);
                    Turn::Of(person)
                }
                None => Turn::Nobodys,
            },
        }
    }
}

/// From now on it is cleared up, until the process ends. Gateway nodes have enough to do.
pub(super) fn keep_clear(house: &Arc<House>, sign_in: &Arc<SignIn>, left: &Arc<Left>) {
    if !house.revocations.has_directory() {
        return;
    }
    tokio::spawn(clear_up(Arc::clone(house), Arc::clone(sign_in), Arc::clone(left)));
    tokio::spawn(keep_walking(Arc::clone(house), Arc::clone(sign_in), Arc::clone(left)));
    let left = Arc::clone(left);
    house.revocations.subscribe(Arc::new(move |applied: &Applied| {
        left.applied(&applied.target);
        Ended::default()
    }));
}

/// Clears up after one person at a time.
async fn clear_up(house: Arc<House>, sign_in: Arc<SignIn>, left: Arc<Left>) {
    let mut told = false;
    loop {
        let person = match left.turn() {
            Turn::Of(person) => person,
            Turn::In(wait) => {
                tokio::time::sleep(wait).await;
                continue;
            }
            Turn::Nobodys => {
                left.more.notified().await;
                continue;
            }
        };
        match sign_in.clear_up_after(&house, &person).await {
            Ok(()) => told = false,
            Err(error) => {
                tell(&error, &mut told);
                left.put_after(&person, PATIENCE);
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

/// Looks at everybody when somebody is looked for.
async fn keep_walking(house: Arc<House>, sign_in: Arc<SignIn>, left: Arc<Left>) {
    loop {
        left.walk.notified().await;
        tokio::time::sleep(GRACE).await;
        let mut told = false;
        while let Err(error) = walk(&house, &sign_in).await {
            tell(&error, &mut told);
            tokio::time::sleep(PATIENCE).await;
        }
        tokio::time::sleep(WALK_EVERY).await;
    }
}

async fn walk(house: &House, sign_in: &SignIn) -> Result<(), SessionsError> {
    let mut after = None;
    loop {
        let (people, next) = sign_in.sessions.people(after.as_deref(), WALK_PEOPLE).await?;
        for person in &people {
            sign_in.clear_up_after(house, person).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
        tokio::time::sleep(WALK_PAUSE).await;
    }
}

fn tell(error: &SessionsError, told: &mut bool) {
    if !*told {
        tracing::warn!(%error, "what is left of sessions that have ended cannot be cleared up yet");
    }
    *told = true;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use doorward_model::{DeviceId, IssuerId, TokenId};

    use super::*;

    fn person(name: &str) -> UserId {
        format!("corp:{name}").parse().unwrap()
    }

    fn left() -> (Left, Arc<AtomicU64>) {
        let now = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&now);
        (Left::new(Arc::new(move || Duration::from_millis(clock.load(Ordering::SeqCst)))), now)
    }

    fn at(now: &AtomicU64, wait: Duration) {
        now.fetch_add(u64::try_from(wait.as_millis()).unwrap(), Ordering::SeqCst);
    }

    #[test]
    fn each_person_waits_once_and_nobody_before_their_time() {
        let (left, now) = left();
        assert_eq!(left.turn(), Turn::Nobodys);
        left.put(&person("bob"));
        at(&now, Duration::from_millis(1));
        left.put(&person("alice"));
        left.put(&person("bob"));
        assert_eq!(left.turn(), Turn::In(GRACE));
        at(&now, GRACE);
        assert_eq!(left.turn(), Turn::Of(person("alice")));
        // It did not work: the others come first.
        left.put_after(&person("alice"), PATIENCE);
        assert_eq!(left.turn(), Turn::Of(person("bob")));
        assert_eq!(left.turn(), Turn::In(PATIENCE));
        at(&now, PATIENCE);
        assert_eq!(left.turn(), Turn::Of(person("alice")));
        assert_eq!(left.turn(), Turn::Nobodys);
    }

    #[tokio::test]
    async fn whom_nobody_can_remember_is_looked_for_among_all() {
        let (left, _now) = left();
        for n in 0..PEOPLE_MAX {
            left.put(&person(&format!("p{n}")));
        }
        assert!(!is_wanted(&left).await);
        left.put(&person("p0"));
        assert!(!is_wanted(&left).await, "they wait already");
        left.put(&person("one-more"));
        assert!(is_wanted(&left).await);
    }

    #[tokio::test]
    async fn what_names_nobody_is_looked_for_among_all() {
        let issuer = || IssuerId::new("corp").unwrap();
        let token = Target::Token(TokenId::new(issuer(), "dws-AAAAAAAAAAAAAAAAAAAAAA").unwrap());
        for (target, walks, waits) in [
            (Target::Session("corp:s-1".parse().unwrap()), true, false),
            (Target::Device(DeviceId::new("laptop-1").unwrap()), true, false),
            (token, false, false),
            (Target::User(person("alice")), false, true),
        ] {
            let (left, _now) = left();
            left.applied(&target);
            assert_eq!((is_wanted(&left).await, left.turn() != Turn::Nobodys), (walks, waits), "{target}");
        }
    }

    async fn is_wanted(left: &Left) -> bool {
        tokio::time::timeout(Duration::ZERO, left.walk.notified()).await.is_ok()
    }
}
