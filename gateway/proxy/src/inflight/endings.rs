//! What revocations ended in this process, and whether anybody was let in whom one had switched off.
//!
//! The receipt of a revocation says, by protocol, how much was ended, what still says goodbye, and how long
//! the slowest took. The first is known when an exchange is told, the rest when it leaves. Nothing here
//! decides anything: it counts what others did, so that it can be shown.
//!
//! What holds:
//! * an ending that is not over is never forgotten; of those that are, the oldest go first, and from when on
//!   nothing was forgotten is known;
//! * whoever is switched off is watched before the revocation is acknowledged;
//! * what could not be watched is not said to have been.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use doorward_audit::Protocol;
use doorward_model::{Target, UnixMillis, UserId};

use super::{Cut, place_of};

/// The most revocations whose endings are remembered, without those that are not over.
const ENDINGS_MAX: usize = 4096;
/// The most sign-ins that are watched.
const WATCHED_MAX: usize = 100_000;
/// What was allowed so long after somebody was switched off counts: an exchange that was decided in the same
/// moment is ended, and was allowed before.
const SAME_MOMENT: Duration = Duration::from_secs(2);

/// Exchanges of one protocol that one revocation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many were told to end.
    pub ended: u64,
    /// How many of them still say goodbye.
    pub open: u64,
    /// From the change to the end of the slowest one that is over.
    pub slowest: Option<Duration>,
}

/// What one revocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its id, as in its receipt.
    pub revocation: Arc<str>,
    /// When it was applied here.
    pub at: UnixMillis,
    /// In the order of [`Protocol::ALL`].
    pub by_protocol: [Tally; Protocol::ALL.len()],
}

impl Ending {
    /// Whether something of it still says goodbye.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.by_protocol.iter().any(|tally| tally.open > 0)
    }
}

/// Somebody who is switched off.
struct Off {
    /// By which revocation, if it came while this process ran.
    revocation: Option<Arc<str>>,
    since: UnixMillis,
    allowed: AtomicU64,
}

/// Somebody who was let in although they were switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slipped {
    /// By which revocation they had been switched off.
    pub revocation: Arc<str>,
    /// How often.
    pub allowed: u64,
}

/// What a node tells its fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// What is open first, then the newest.
    pub endings: Vec<Ending>,
    /// Up to here endings may be missing.
    pub missing_until: Option<UnixMillis>,
    /// Up to here endings that are open are missing.
    pub open_missing_until: Option<UnixMillis>,
    /// Who slipped in.
    pub slipped: Vec<Slipped>,
    /// Nobody is left out of them, and everybody was watched.
    pub slipped_whole: bool,
}

#[derive(Default)]
struct Book {
    by_revocation: HashMap<Arc<str>, Ending>,
    /// In the order in which they came.
    order: VecDeque<Arc<str>>,
    /// Endings of revocations that were applied later than this are all there.
    forgotten_until: Option<UnixMillis>,
}

/// Counts endings, and what should not happen after them.
#[derive(Default)]
pub struct Endings {
    book: Mutex<Book>,
    watched: RwLock<HashMap<UserId, Off>>,
    watches: AtomicUsize,
    /// Somebody who was switched off could not be watched.
    unwatched: AtomicBool,
}

impl Book {
    /// Forgets what is over, the oldest first.
    fn make_room(&mut self) {
        let mut looked_at = 0;
        while self.by_revocation.len() >= ENDINGS_MAX && looked_at < self.order.len() {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.by_revocation.get(&oldest) {
                Some(ending) if ending.is_open() => {
                    looked_at += 1;
                    self.order.push_back(oldest);
                }
                Some(ending) => {
                    self.forgotten_until = self.forgotten_until.max(Some(ending.at));
                    self.by_revocation.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

impl Endings {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An exchange was told to end.
    pub(super) fn told(&self, revocation: &Arc<str>, at: UnixMillis, protocol: Protocol) {
        let mut book = self.book();
        if !book.by_revocation.contains_key(revocation) {
            book.make_room();
            book.order.push_back(Arc::clone(revocation));
        }
        let ending = book.by_revocation.entry(Arc::clone(revocation)).or_insert_with(|| Ending {
            revocation: Arc::clone(revocation),
            at,
            by_protocol: [Tally::default(); Protocol::ALL.len()],
        });
        if let Some(tally) = ending.by_protocol.get_mut(usize::from(place_of(protocol))) {
            tally.ended += 1;
            tally.open += 1;
        }
    }

    /// It is over. It may have come to speak another protocol since it was told.
    pub(super) fn over(&self, revocation: &str, protocol: Protocol, took: Duration) {
        let mut book = self.book();
        let Some(ending) = book.by_revocation.get_mut(revocation) else { return };
        let place = usize::from(place_of(protocol));
        let there = ending.by_protocol.get(place).is_some_and(|tally| tally.open > 0);
        let place = if there { Some(place) } else { ending.by_protocol.iter().position(|t| t.open > 0) };
        if let Some(tally) = place.and_then(|place| ending.by_protocol.get_mut(place)) {
            tally.open = tally.open.saturating_sub(1);
            tally.slowest = tally.slowest.max(Some(took));
        }
    }

    /// Begins or ends to watch whoever a change switches off or on.
    pub(super) fn switched(&self, cut: &Cut<'_>) {
        let Target::User(user) = cut.target else { return };
        let mut watched = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        if !cut.entry.disabled {
            watched.remove(user);
        } else if watched.len() >= WATCHED_MAX && !watched.contains_key(user) {
            self.unwatched.store(true, Ordering::Relaxed);
        } else if !watched.contains_key(user) {
            let revocation = Some(Arc::clone(&cut.revocation));
            watched.insert(user.clone(), Off { revocation, since: cut.at, allowed: AtomicU64::new(0) });
        }
        self.watches.store(watched.len(), Ordering::Relaxed);
    }

    /// Watches sign-ins that were switched off before this process began.
    pub fn watch(&self, users: &[UserId], now: UnixMillis) {
        let mut watched = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        for user in users {
            if !watched.contains_key(user) && watched.len() < WATCHED_MAX {
                let off = Off { revocation: None, since: now, allowed: AtomicU64::new(0) };
                watched.insert(user.clone(), off);
            }
        }
        self.watches.store(watched.len(), Ordering::Relaxed);
    }

    /// A request was allowed. Costs one load while nobody is watched.
    pub(crate) fn allowed<'u>(&self, users: impl FnOnce() -> Vec<&'u UserId>, now: UnixMillis) {
        if self.watches.load(Ordering::Relaxed) == 0 {
            return;
        }
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        for off in users().into_iter().filter_map(|user| watched.get(user)) {
            if off.revocation.is_none() || now.since(off.since) > SAME_MOMENT {
                off.allowed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many requests of these sign-ins were allowed since they are watched, and since when all of them
    /// are. None when one is not.
    #[must_use]
    pub fn allowed_of(&self, users: &[UserId]) -> Option<(u64, UnixMillis)> {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        users.iter().try_fold((0_u64, UnixMillis::default()), |(allowed, since), user| {
            let off = watched.get(user)?;
            Some((allowed.saturating_add(off.allowed.load(Ordering::Relaxed)), since.max(off.since)))
        })
    }

    /// What these revocations ended, and whether that is all of it: none of them was applied before something
    /// was forgotten. `applied_at` is when the first of them was.
    #[must_use]
    pub fn of(&self, revocations: &[Arc<str>], applied_at: UnixMillis) -> (Vec<Ending>, bool) {
        let book = self.book();
        let found = revocations.iter().filter_map(|id| book.by_revocation.get(id)).cloned().collect();
        (found, book.forgotten_until.is_none_or(|until| until < applied_at))
    }

    /// The endings that are open or the newest, at most `max`, with since when none is missing among them; and
    /// who slipped in, at most as many.
    #[must_use]
    pub fn newest(&self, max: usize) -> Newest {
        let book = self.book();
        let mut all: Vec<Ending> = book.by_revocation.values().cloned().collect();
        let (mut missing_until, mut open_missing_until) = (book.forgotten_until, None);
        drop(book);
        all.sort_by_key(|ending| (!ending.is_open(), std::cmp::Reverse(ending.at)));
        for left_out in all.iter().skip(max) {
            missing_until = missing_until.max(Some(left_out.at));
            open_missing_until = open_missing_until.max(left_out.is_open().then_some(left_out.at));
        }
        all.truncate(max);
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let slipped = watched.values().filter_map(|off| {
            let allowed = off.allowed.load(Ordering::Relaxed);
            let revocation = off.revocation.clone().filter(|_| allowed > 0)?;
            Some(Slipped { revocation, allowed })
        });
        let mut slipped: Vec<Slipped> = slipped.collect();
        let slipped_whole = slipped.len() <= max && !self.unwatched.load(Ordering::Relaxed);
        slipped.truncate(max);
        Newest { endings: all, missing_until, open_missing_until, slipped, slipped_whole }
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::{Entry, IssuerId, SubjectId};

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(IssuerId::new("corp").unwrap(), SubjectId::new(name).unwrap())
    }

    fn id(text: &str) -> Arc<str> {
        text.into()
    }

    fn switch(endings: &Endings, name: &str, disabled: bool, at: i64) {
        let target = Target::User(user(name));
        let entry = Entry { disabled, ..Entry::default() };
        let (revocation, at) = (id("r"), UnixMillis(at));
        endings.switched(&Cut { revocation, target: &target, entry, at, ticks: Duration::ZERO });
    }

    #[test]
    fn what_is_told_is_open_until_it_is_over() {
        let endings = Endings::default();
        let of = |ids: &[&str]| endings.of(&ids.iter().map(|i| id(i)).collect::<Vec<_>>(), UnixMillis(0)).0;
        endings.told(&id("a"), UnixMillis(1), Protocol::WebSocket);
        endings.told(&id("a"), UnixMillis(1), Protocol::Http1);
        let tallies = of(&["a", "b"])[0].by_protocol;
        assert_eq!((tallies[0].open, tallies[2].open), (1, 1));
        // One that was told as HTTP has become an event stream since.
        endings.over("a", Protocol::EventStream, Duration::from_millis(3));
        endings.over("a", Protocol::WebSocket, Duration::from_millis(9));
        let ending = &of(&["a"])[0];
        assert!(!ending.is_open());
        assert_eq!(ending.by_protocol.iter().map(|t| t.ended).sum::<u64>(), 2);
        assert_eq!(ending.by_protocol[2].slowest, Some(Duration::from_millis(9)));
        endings.over("a", Protocol::WebSocket, Duration::from_millis(9));
        endings.over("unheard-of", Protocol::WebSocket, Duration::ZERO);
    }

    #[test]
    fn what_is_forgotten_is_said_and_what_is_open_is_not_forgotten() {
        let endings = Endings::default();
        endings.told(&id("open"), UnixMillis(0), Protocol::Http2);
        for n in 1..=ENDINGS_MAX {
            let name = id(&n.to_string());
            endings.told(&name, UnixMillis(i64::try_from(n).unwrap()), Protocol::Http1);
            endings.over(&name, Protocol::Http1, Duration::ZERO);
        }
        let (found, whole) = endings.of(&[id("open"), id("1")], UnixMillis(0));
        assert_eq!((found.len(), whole), (1, false));
        assert!(endings.of(&[id("2")], UnixMillis(2)).1, "of later ones all are there");
        let newest = endings.newest(3);
        assert_eq!(&*newest.endings[0].revocation, "open");
        assert_eq!(newest.missing_until, Some(UnixMillis(i64::try_from(ENDINGS_MAX - 2).unwrap())));
        assert_eq!(newest.open_missing_until, None);
        endings.told(&id("open too"), UnixMillis(0), Protocol::Http2);
        assert_eq!(endings.newest(1).open_missing_until, Some(UnixMillis(0)));
    }

    #[test]
    fn whoever_is_let_in_after_the_moment_is_counted() {
        let endings = Endings::default();
        let (alice, bob) = (user("alice"), user("bob"));
        endings.allowed(|| panic!("nobody is watched"), UnixMillis(0));
        switch(&endings, "alice", true, 1_000);
        let allowed = |at: i64| endings.allowed(|| vec![&alice, &bob], UnixMillis(at));
        allowed(2_000);
        assert_eq!(endings.allowed_of(&[user("alice")]), Some((0, UnixMillis(1_000))));
        allowed(3_001);
        assert_eq!(endings.allowed_of(&[user("alice")]), Some((1, UnixMillis(1_000))));
        assert_eq!(endings.allowed_of(&[user("alice"), user("bob")]), None, "bob is not watched");
        let newest = endings.newest(9);
        assert_eq!(newest.slipped, [Slipped { revocation: id("r"), allowed: 1 }]);
        assert!(newest.slipped_whole && !endings.newest(0).slipped_whole);
        endings.watch(&[user("bob")], UnixMillis(4_000));
        allowed(4_000);
        let both = endings.allowed_of(&[user("alice"), user("bob")]);
        assert_eq!(both, Some((3, UnixMillis(4_000))));
        switch(&endings, "alice", false, 5_000);
        assert_eq!(endings.allowed_of(&[user("alice")]), None);
    }
}
