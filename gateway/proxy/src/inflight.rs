//! Everything that runs now, and the hand that ends it.
//!
//! ```text
//!  exchange: register ──► check revocations ──► forward … ──► leave (drop)
//!  revoker:  write mark ──► find registered ──► cancel
//! ```
//! An exchange registers *before* it checks, a revoker writes the mark *before* it looks. Both
//! sides pass the same lock of the same shard, so one of them sees the other: there is no gap
//! between the check and the registration.
//!
//! Whether an exchange was over before it was told to end has one answer, its [`Fate`]: what was over
//! is in no receipt, and what is in one leaves it when it ends.

mod endings;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub use doorward_audit::Protocol;
use doorward_model::{Entry, Presented, Principal, RefusalCode, RouteId, Standing, Target, UnixMillis};
use tokio_util::sync::CancellationToken;

use crate::pipeline::Ticks;
use crate::review::{Held, Withdrawn};

pub use endings::{Ending, Endings, Newest, Slipped, Tally};

const SHARDS: usize = 64;

/// What is known of a running exchange.
pub struct Facts {
    /// Everything that could be cut off; nothing for a visitor.
    pub presented: Option<Presented>,
    /// Who acts.
    pub principal: Arc<Principal>,
    /// Where it goes.
    pub route: RouteId,
    /// The path in normal form.
    pub path: String,
    /// The client's address.
    pub client: IpAddr,
    /// The request's id.
    pub request_id: Arc<str>,
}

/// Why an exchange was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Which revocation: its id, as in its receipt.
    pub revocation: Arc<str>,
    /// [`RefusalCode::Revoked`] or [`RefusalCode::Disabled`].
    pub code: RefusalCode,
    /// Whom the revocation hits.
    pub target: Target,
    /// When it was applied here.
    pub at: UnixMillis,
    /// The same instant on the process's monotonic clock.
    pub ticks: Duration,
}

/// A revocation, as far as it concerns what runs.
#[derive(Clone, Debug)]
pub struct Cut<'a> {
    /// Its id.
    pub revocation: Arc<str>,
    /// Whom it hits.
    pub target: &'a Target,
    /// What now holds for the target.
    pub entry: Entry,
    /// When it was applied here.
    pub at: UnixMillis,
    /// The same instant on the process's monotonic clock.
    pub ticks: Duration,
}

/// Why the house itself ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HouseEnd {
    /// It stood still for too long.
    TimeUp,
    /// The time of the drain was over.
    Drained,
    /// It is not known any more who was cut off.
    Stale,
}

/// How a slot's time came to its end. What is written first stays.
#[derive(Clone, Debug)]
enum Fate {
    /// It was over, or refused, before anybody wanted it to end.
    Left,
    /// It was told to end.
    Told {
        cause: Cause,
        /// Who asked for it waits for its end: it was not at rest.
        counted: bool,
    },
    /// It was let in, and may not go on.
    Withdrawn(Withdrawn),
}

/// One running exchange.
pub struct Slot {
    id: u64,
    protocol: AtomicU8,
    resting: AtomicBool,
    started_at: UnixMillis,
    end: CancellationToken,
    fate: OnceLock<Fate>,
    house_end: OnceLock<HouseEnd>,
    facts: OnceLock<Facts>,
    /// What it is decided anew by, from when it is let in until it is over.
    held: Mutex<Option<Arc<Held>>>,
}

impl Slot {
    /// An exchange that has begun and is not registered yet.
    #[must_use]
    pub fn new(id: u64, protocol: Protocol, started_at: UnixMillis) -> Arc<Self> {
        Arc::new(Self {
            id,
            protocol: AtomicU8::new(place_of(protocol)),
            resting: AtomicBool::new(false),
            started_at,
            end: CancellationToken::new(),
            fate: OnceLock::new(),
            house_end: OnceLock::new(),
            facts: OnceLock::new(),
            held: Mutex::new(None),
        })
    }

    /// A number that no other exchange of this process has.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// How it speaks now.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        Protocol::ALL
            .get(usize::from(self.protocol.load(Ordering::Relaxed)))
            .copied()
            .unwrap_or(Protocol::Http1)
    }

    /// It turned out to speak another protocol: an upgrade, an event stream.
    pub fn becomes(&self, protocol: Protocol) {
        self.protocol.store(place_of(protocol), Ordering::Relaxed);
    }

    /// It is over; its connection waits for the next request and stays registered, so that a
    /// revocation closes it.
    pub(crate) fn rests(&self) {
        self.resting.store(true, Ordering::Relaxed);
        self.keeps(None);
    }

    /// What it is decided anew by from now on; nothing, when it is over.
    pub(crate) fn keeps(&self, held: Option<Arc<Held>>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// What it is decided anew by, while it runs.
    pub(crate) fn held(&self) -> Option<Arc<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }

    /// When it began.
    #[must_use]
    pub const fn started_at(&self) -> UnixMillis {
        self.started_at
    }

    /// What is known of it, once it is registered.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.get()
    }

    /// Why it was ended, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self.fate.get()? {
            Fate::Left | Fate::Withdrawn(_) => None,
            Fate::Told { cause, .. } => Some(cause),
        }
    }

    /// Why it may not go on, if it was decided anew.
    #[must_use]
    pub fn withdrawn(&self) -> Option<&Withdrawn> {
        match self.fate.get()? {
            Fate::Left | Fate::Told { .. } => None,
            Fate::Withdrawn(withdrawn) => Some(withdrawn),
        }
    }

    /// What its client is told of its end, with the code of why: nothing, where the house ended it, which
    /// says nothing of the client.
    pub(crate) fn last_word(&self) -> Option<(RefusalCode, &'static str)> {
        match self.fate.get()? {
            Fate::Left => None,
            Fate::Told { cause, .. } => Some((cause.code, cause.code.title())),
            Fate::Withdrawn(withdrawn) => Some((withdrawn.code, withdrawn.title())),
        }
    }

    /// Resolves when the exchange must end.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Whether it must end.
    pub(crate) fn is_ended(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Why the house ended it, if it did.
    #[must_use]
    pub fn house_end(&self) -> Option<HouseEnd> {
        self.house_end.get().copied()
    }

    /// Tells it to end, not because of a revocation.
    pub(crate) fn end_by_house(&self, why: HouseEnd) {
        // Only the first reason counts.
        let _ = self.house_end.set(why);
        self.end.cancel();
    }

    /// Tells it to end, unless it is over. Only the first cause counts; says whether this was it.
    fn end_because(&self, cause: Cause, counted: bool) -> bool {
        let first = self.fate.set(Fate::Told { cause, counted }).is_ok();
        if first {
            self.end.cancel();
        }
        first
    }

    /// Tells it to end, unless it is over or was told already: it may not go on.
    pub(crate) fn withdraw(&self, withdrawn: Withdrawn) {
        if self.fate.set(Fate::Withdrawn(withdrawn)).is_ok() {
            self.end.cancel();
        }
    }

    /// It is over. The cause that somebody waits for, if it was told to end before.
    fn leaves(&self) -> Option<&Cause> {
        match self.fate.get_or_init(|| Fate::Left) {
            Fate::Told { cause, counted: true } => Some(cause),
            Fate::Told { counted: false, .. } | Fate::Left | Fate::Withdrawn(_) => None,
        }
    }
}

const fn place_of(protocol: Protocol) -> u8 {
    protocol as u8
}

/// Counts of what was told to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminated {
    /// By protocol, in the order of [`Protocol::ALL`].
    pub by_protocol: [usize; Protocol::ALL.len()],
}

impl Terminated {
    /// All together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.by_protocol.iter().sum()
    }
}

/// What could end exchanges, hashed, and which those are, by their numbers: one person may have many
/// thousands, and each of them leaves by itself.
type Shard = HashMap<u64, BTreeMap<u64, Arc<Slot>>>;

/// Every running exchange, by everything that could end it.
pub struct Inflight {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    next: AtomicU64,
    ticks: Ticks,
    /// How the last terminations went, by target; read by whoever asked for them.
    outcomes: Mutex<HashMap<u64, Outcome>>,
    /// What each revocation ended, for its receipt.
    endings: Endings,
}

/// The most outcomes that are kept. Whoever revokes reads theirs within a second.
const OUTCOMES_MAX: usize = 4096;

/// How a termination went so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exchanges that were told to end and have not yet.
    pub remaining: usize,
    /// From the change to the end of the last one that is over.
    pub slowest: Option<Duration>,
}

impl Inflight {
    /// Nothing runs yet. `ticks` measures how long endings take.
    #[must_use]
    pub fn new(ticks: Ticks) -> Self {
        Self {
            ticks,
            outcomes: Mutex::default(),
            endings: Endings::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            next: AtomicU64::new(1),
        }
    }
}

/// Keeps an exchange registered; it leaves when this is dropped, however it ends.
pub struct Registration {
    inflight: Arc<Inflight>,
    slot: Arc<Slot>,
    keys: Vec<u64>,
}

impl Registration {
    /// The exchange.
    #[must_use]
    pub const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(cause) = self.slot.leaves() {
            self.inflight.note_end(cause, self.slot.protocol());
        }
        for key in &self.keys {
            let mut shard = self.inflight.shard(*key);
            if let Some(slots) = shard.get_mut(key) {
                slots.remove(&self.slot.id);
                if slots.is_empty() {
                    shard.remove(key);
                }
            }
        }
    }
}

impl Inflight {
    /// A number for the next exchange.
    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        // `% SHARDS` is always in bounds; the first shard stands in to avoid a panic path.
        let i = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        let lock = match self.shards.get(i) {
            Some(lock) => lock,
            None => unreachable_shard(&self.shards),
        };
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, target: &Target) -> u64 {
        self.hasher.hash_one(target)
    }

    /// Registers an exchange under everything that could end it. Must come before the check of
    /// revocations. A slot is registered once.
    pub fn register(self: &Arc<Self>, slot: &Arc<Slot>, facts: Facts) -> Registration {
        let mut keys: Vec<u64> = match &facts.presented {
            Some(presented) => presented.targets().map(|t| self.key(&t)).collect(),
            // Nobody can cut a visitor off, but who lists what runs must see them.
            None => vec![slot.id],
        };
        keys.sort_unstable();
        keys.dedup();
        // The facts stand before the slot can be found, so a revoker never meets a blank.
        if slot.facts.set(facts).is_err() {
            keys.clear();
        }
        for key in &keys {
            self.shard(*key).entry(*key).or_default().insert(slot.id, Arc::clone(slot));
        }
        Registration { inflight: Arc::clone(self), slot: Arc::clone(slot), keys }
    }

    /// Ends what the target runs and does not stand before the entry. The mark must be visible to
    /// the check of revocations already.
    pub fn terminate(&self, cut: &Cut<'_>, skew: Duration) -> Terminated {
        // The other half of the fence in the check of revocations.
        std::sync::atomic::fence(Ordering::SeqCst);
        self.endings.switched(cut);
        let key = self.key(cut.target);
        let hit: Vec<Arc<Slot>> =
            self.shard(key).get(&key).into_iter().flat_map(BTreeMap::values).cloned().collect();
        self.end(&hit, cut, skew)
    }

    /// Ends those of `hit` that are not over. They were found a moment ago.
    fn end(&self, hit: &[Arc<Slot>], cut: &Cut<'_>, skew: Duration) -> Terminated {
        let &Cut { ref revocation, target, entry, at, ticks } = cut;
        let mut count = Terminated::default();
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if outcomes.len() >= OUTCOMES_MAX {
            // Somebody waits for the others. There are never more of them than exchanges.
            outcomes.retain(|_, outcome| outcome.remaining > 0);
        }
        let outcome = outcomes.entry(self.key(target)).or_default();
        // A change that came before may still be waited for: this one adds to it.
        if outcome.remaining == 0 {
            *outcome = Outcome::default();
        }
        for slot in hit {
            // Two targets may share a hash: the facts decide.
            let Some(presented) = slot.facts().and_then(|f| f.presented.as_ref()) else { continue };
            if !presented.targets().any(|t| t == *target) {
                continue;
            }
            let code = match entry.standing_of(target.kind(), presented.session.issued_at, skew) {
                Standing::Good => continue,
                Standing::MadeBefore(_) => RefusalCode::Revoked,
                Standing::Disabled => RefusalCode::Disabled,
            };
            // What rests is over: only its connection is closed, and nobody waits for that.
            let counted = !slot.is_resting();
            let cause = Cause { revocation: Arc::clone(revocation), code, target: target.clone(), at, ticks };
            // It may be over at once: the lock keeps `note_end` behind this.
            if !slot.end_because(cause, counted) || !counted {
                continue;
            }
            outcome.remaining += 1;
            self.endings.told(revocation, at, slot.protocol());
            if let Some(n) = count.by_protocol.get_mut(usize::from(place_of(slot.protocol()))) {
                *n += 1;
            }
        }
        count
    }

    fn note_end(&self, cause: &Cause, protocol: Protocol) {
        let took = (self.ticks)().saturating_sub(cause.ticks);
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = outcomes.get_mut(&self.key(&cause.target)) {
            outcome.remaining = outcome.remaining.saturating_sub(1);
            outcome.slowest = outcome.slowest.max(Some(took));
        }
        self.endings.over(&cause.revocation, protocol, took);
    }

    /// What each revocation ended, and who was let in whom one had switched off.
    #[must_use]
    pub const fn endings(&self) -> &Endings {
        &self.endings
    }

    /// How the termination of a target went so far.
    #[must_use]
    pub fn outcome(&self, target: &Target) -> Outcome {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.get(&self.key(target)).copied().unwrap_or_default()
    }

    /// What the target runs.
    pub(crate) fn of(&self, target: &Target) -> Vec<Arc<Slot>> {
        let key = self.key(target);
        let found = self.shard(key);
        let slots = found.get(&key).into_iter().flat_map(BTreeMap::values);
        slots.filter(|slot| !slot.is_resting()).cloned().collect()
    }

    /// Up to `max` exchanges that `wanted` likes, in the order in which they began.
    pub fn list(&self, max: usize, wanted: impl Fn(&Facts) -> bool) -> Vec<Arc<Slot>> {
        let mut found: HashMap<u64, Arc<Slot>> = HashMap::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for slot in shard.values().flat_map(BTreeMap::values) {
                if !slot.is_resting() && slot.facts().is_some_and(&wanted) {
                    found.insert(slot.id, Arc::clone(slot));
                }
            }
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by_key(|s| s.id);
        found.truncate(max);
        found
    }

    /// Tells everything that runs to end: the time of the drain is over. Says how much it was.
    pub fn end_all(&self) -> usize {
        let running = self.list(usize::MAX, |_| true);
        running.iter().for_each(|slot| slot.end_by_house(HouseEnd::Drained));
        running.len()
    }

    /// Tells what a revocation could hit to end, where `unknown` says of all that it presents and of
    /// where it goes that it is not known any more whether one does. Says how much that was, without
    /// what was told before.
    pub fn end_stale(&self, unknown: impl Fn(&Presented) -> bool) -> usize {
        let running = self.list(usize::MAX, |facts| facts.presented.as_ref().is_some_and(&unknown));
        let told = running.iter().filter(|slot| !slot.is_ended());
        told.map(|slot| slot.end_by_house(HouseEnd::Stale)).count()
    }

    /// How many exchanges run, by protocol.
    #[must_use]
    pub fn count(&self) -> Terminated {
        let mut count = Terminated::default();
        for slot in self.list(usize::MAX, |_| true) {
            if let Some(n) = count.by_protocol.get_mut(usize::from(place_of(slot.protocol()))) {
                *n += 1;
            }
        }
        count
    }
}

#[cold]
fn unreachable_shard<T>(shards: &[Mutex<T>]) -> &Mutex<T> {
    #[expect(clippy::indexing_slicing, reason = "the constructor makes 64 shards")]
    &shards[0]
}

#[cfg(test)]
mod tests;
