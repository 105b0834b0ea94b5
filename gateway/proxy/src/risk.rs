//! How odd it looks what people do: their histories, held in memory and kept in the store.
//!
//! ```text
//!  a request of a person ─► seen here before? ─ yes ─► History::see ─► Risk     no I/O
//!                                  │ no                    ▲
//!                                  ╰─► what the store knows ─╯  merged; one read, bounded in time
//!  what was learned ─► waiting ─► keep_remembering ─► the store                 nobody waits for it
//! ```
//! The cast: [`Risks`] holds the histories; [`Seen`] is one request, or one sign-in, of a person;
//! [`keep_remembering`] writes what was learned. What is odd, and how odd, is said by `doorward_context::risk`.
//!
//! Invariants:
//! * machines and visitors have no risk; whatever an issuer claims of them stays;
//! * the higher of what the issuer claims and what is computed counts, and says so;
//! * of whom nothing could be read nothing is computed: their risk is unknown, and says why. Of whom something was
//!   read before, that is gone by: it knows fewer places, so that nothing looks less odd for it;
//! * a request waits for the store only where somebody was not seen before by that sign-in, there and by that
//!   device, and for no longer than [`RISK_READ_MILLIS_MAX`];
//! * everything is bounded: who has not been seen for longest gives way;
//! * what strangers fail at says nothing of an address where somebody known is at home: anybody there could else raise
//!   the risk of all.
//!
//! What it never does: refuse anything. Policies do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_context::risk::{Assessment, Change, History, Salt, Sighting, Terms};
use doorward_identity::seal::Sealer;
use doorward_model::limits::{RISK_ADDRESSES_MAX, RISK_PEOPLE_MAX, RISK_READ_MILLIS_MAX};
use doorward_model::{
    Assurance, AuthSession, DeviceId, Place, Risk, RiskLevel, RiskReason, UnixMillis, UserId,
};
use doorward_state::Sessions;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use quick_cache::sync::Cache;

mod kept;
mod memory;

use kept::{Envelope, Found};
pub use memory::{keep_remembering, remember};

/// For how long a failure counts.
const FAILURE: Duration = Duration::from_secs(15 * 60);
/// Failures of one address that are remembered; so many count.
const FAILURES: usize = 5;
/// For how long an address is somebody's home after they were last seen there.
const HOME: Duration = Duration::from_secs(7 * 24 * 3600);
/// It is noted again no more often than this.
const HOME_EVERY: Duration = Duration::from_secs(3600);
/// Whoever uses what is revoked fails no more often than this.
const REVOKED_EVERY: Duration = Duration::from_secs(60);
/// What was read a moment ago is not read again for a place that is new.
const READ_EVERY: Duration = Duration::from_secs(2);
/// What other nodes learned of somebody who is here is read so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A store that does not answer is left alone for so long.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// The histories of people.
pub struct Risks {
    terms: Terms,
    store: Option<Sessions>,
    /// Seals what is kept.
    sealer: Option<Sealer>,
    read_max: Duration,
    people: Cache<UserId, Arc<Person>>,
    /// Failures by address, of whomever.
    addresses: Cache<u128, Arc<Mutex<VecDeque<UnixMillis>>>>,
    /// Addresses at which somebody was seen of whom enough is known, with nothing odd, and when last.
    homes: Cache<u128, UnixMillis>,
    waiting: Mutex<BTreeMap<UserId, Waiting>>,
    /// Who was seen, and of whom the store may know more by now.
    stale: Mutex<BTreeSet<UserId>>,
    numbers: Numbers,
}

/// One request, or one sign-in, of a person.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Who.
    pub user: &'a UserId,
    /// By which sign-in.
    pub session: &'a AuthSession,
    /// What it has proved.
    pub assurance: &'a Assurance,
    /// From where.
    pub place: &'a Place,
    /// By which device, where somebody vouches for it.
    pub device: Option<&'a DeviceId>,
    /// `User-Agent`.
    pub agent: Option<&'a str>,
    /// How odd the issuer finds it.
    pub claim: Risk,
    /// When.
    pub now: UnixMillis,
}

/// Something that failed before our eyes, as it does for whoever is not whom they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// A code of a sign-in that is not good.
    Code,
    /// A token that is none.
    Token,
    /// A proof that was asked for and not given.
    StepUp,
    /// A sign-in that was revoked, used again.
    Revoked,
}

/// What is known of one person.
#[derive(Default)]
struct Person {
    kept: Mutex<Kept>,
    /// Held by whoever asks the store, so that it is asked once.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    history: History,
    /// The version in the store that it goes on from; 0 stands for nothing.
    version: u64,
    read: Read,
    revoked_at: Option<UnixMillis>,
}

/// Whether the store was asked.
#[derive(Clone, Copy, Default)]
enum Read {
    /// Not yet.
    #[default]
    Never,
    /// It answered then.
    At(UnixMillis),
    /// It never did, and was asked then.
    Failed(UnixMillis),
}

/// What is to be written of one person.
struct Waiting {
    person: Arc<Person>,
    change: Change,
}

#[derive(Default)]
struct Numbers {
    seen: Family<LevelLabels, Counter>,
    unread: Counter,
    unsaved: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    level: &'static str,
}

// === impl Risks ===

impl Risks {
    /// Nothing is known yet. Without a store all of it is forgotten when the process ends. What is kept is sealed by
    /// `sealer`, which all nodes share; without one whoever writes the store says what is known of people.
    #[must_use]
    pub fn new(
        terms: Terms,
        store: Option<Sessions>,
        sealer: Option<Sealer>,
        registry: &mut Registry,
    ) -> Arc<Self> {
        let numbers = Numbers::default();
        for level in RiskLevel::ALL {
            let _ = numbers.seen.get_or_create(&LevelLabels { level: level.as_str() });
        }
        registry.register(
            "doorward_risk_assessments",
            "Requests and sign-ins of people by how odd they look",
            numbers.seen.clone(),
        );
        registry.register(
            "doorward_risk_history_unread",
            "Histories that could not be read from the store",
            numbers.unread.clone(),
        );
        registry.register(
            "doorward_risk_history_unsaved",
            "Histories that could not be written to the store, and were tried again",
            numbers.unsaved.clone(),
        );
        Arc::new(Self {
            terms,
            store,
            sealer,
            read_max: Duration::from_millis(RISK_READ_MILLIS_MAX),
            people: Cache::new(RISK_PEOPLE_MAX),
            addresses: Cache::new(RISK_ADDRESSES_MAX),
            homes: Cache::new(RISK_ADDRESSES_MAX),
            waiting: Mutex::default(),
            stale: Mutex::default(),
            numbers,
        })
    }

    /// Sees somebody: how odd it looks. Waits for the store only where they were not seen like that before.
    pub async fn see(&self, seen: &Seen<'_>) -> Risk {
        let (person, name) = (self.person(seen.user), name(seen.session));
        let sighting = self.sighting(seen, &name);
        if let Some(store) = &self.store
            && self.is_to_be_read(&person, &sighting)
        {
            self.read(store, seen.user, &person, seen.now).await;
        }
        self.look_again(seen.user, &person, seen.now);
        let risk = self.take(seen, &person, &sighting);
        self.numbers.seen.get_or_create(&LevelLabels { level: risk.level().as_str() }).inc();
        risk
    }

    /// How odd somebody looks who was seen before, by what is in memory; nothing is learned. None where nothing is.
    pub fn look(&self, seen: &Seen<'_>) -> Option<Risk> {
        let (person, name) = (self.people.get(seen.user)?, name(seen.session));
        let sighting = self.sighting(seen, &name);
        let kept = person.kept();
        if self.store.is_some() && !matches!(kept.read, Read::At(_)) {
            return None;
        }
        Some(kept.history.assess(&sighting, &self.terms).risk().and_claimed(seen.claim))
    }

    /// Something failed. `whom` only where it is sure whose it is: nobody raises the risk of somebody else.
    pub fn failed(&self, failure: Failure, whom: Option<&UserId>, from: IpAddr, now: UnixMillis) {
        let Some(whom) = whom else {
            let make = || Ok::<_, std::convert::Infallible>(Arc::default());
            let Ok(failures) = self.addresses.get_or_insert_with(&block(from), make);
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push_back(now);
            if failures.len() > FAILURES {
                failures.pop_front();
            }
            return;
        };
        let person = self.person(whom);
        {
            let mut kept = person.kept();
            if failure == Failure::Revoked {
                // A page that was left open asks again and again.
                if kept.revoked_at.is_some_and(|at| now.since(at) < REVOKED_EVERY && at <= now) {
                    return;
                }
                kept.revoked_at = Some(now);
            }
            kept.history.failed(now);
        }
        self.wait(whom, &person, Change::Learned);
    }

    /// A source of signals said how risky somebody looks (CAEP 1.0 §3.8), as of `at`.
    pub fn told(&self, whom: &UserId, level: RiskLevel, at: UnixMillis) {
        let person = self.person(whom);
        person.kept().history.told(at, level);
        self.wait(whom, &person, Change::Learned);
    }

    fn person(&self, whom: &UserId) -> Arc<Person> {
        let new = || Ok::<_, std::convert::Infallible>(Arc::new(Person::new(self.envelope(whom).salt())));
        let Ok(person) = self.people.get_or_insert_with(whom, new);
        person
    }

    fn envelope<'a>(&'a self, whom: &'a UserId) -> Envelope<'a> {
        Envelope { sealer: self.sealer.as_ref(), whom }
    }

    /// How often anybody failed at an address lately, where nobody is at home.
    fn failures_at(&self, ip: IpAddr, now: UnixMillis) -> usize {
        let Some(failures) = self.addresses.get(&block(ip)) else { return 0 };
        if self.homes.get(&block(ip)).is_some_and(|at| now.since(at) <= HOME) {
            return 0;
        }
        let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().filter(|at| now.since(**at) <= FAILURE).count()
    }

    /// Notes that somebody is at home at an address, if that is so: enough is known of them, and nothing is odd but
    /// what anybody else failed at there.
    fn at_home(&self, history: &History, sighting: &Sighting<'_>, came_to: Assessment) {
        let block = block(sighting.place.ip);
        if self.homes.get(&block).is_some_and(|at| sighting.at.since(at) < HOME_EVERY) {
            return;
        }
        let came_to = if sighting.failures_here == 0 {
            came_to
        } else {
            history.assess(&Sighting { failures_here: 0, ..*sighting }, &self.terms)
        };
        let learning = came_to.reasons.iter().any(|(reason, _)| reason == RiskReason::Learning);
        if came_to.score == 0 && !learning {
            self.homes.insert(block, sighting.at);
        }
    }

    fn sighting<'a>(&self, seen: &Seen<'a>, name: &'a str) -> Sighting<'a> {
        let failures_here = self.failures_at(seen.place.ip, seen.now);
        Sighting {
            at: seen.now,
            session: name,
            place: seen.place,
            device: seen.device,
            agent: seen.agent,
            assurance: seen.assurance,
            failures_here: u8::try_from(failures_here).unwrap_or(u8::MAX),
        }
    }

    fn is_to_be_read(&self, person: &Person, sighting: &Sighting<'_>) -> bool {
        let kept = person.kept();
        match kept.read {
            Read::Never => true,
            Read::Failed(at) => sighting.at.since(at) >= LEFT_ALONE,
            Read::At(at) => sighting.at.since(at) >= READ_EVERY && !kept.history.knows(sighting, &self.terms),
        }
    }

    fn take(&self, seen: &Seen<'_>, person: &Arc<Person>, sighting: &Sighting<'_>) -> Risk {
        let (assessment, change) = {
            let mut kept = person.kept();
            if self.store.is_some() && !matches!(kept.read, Read::At(_)) {
                return Risk::unknown_for(RiskReason::HistoryUnavailable).and_claimed(seen.claim);
            }
            let (assessment, change) = kept.history.see(sighting, &self.terms);
            self.at_home(&kept.history, sighting, assessment);
            (assessment, change)
        };
        if change > Change::Nothing {
            self.wait(seen.user, person, change);
        }
        assessment.risk().and_claimed(seen.claim)
    }

    /// Has the store asked, beside the request, about somebody of whom another node may have learned something.
    fn look_again(&self, whom: &UserId, person: &Person, now: UnixMillis) {
        let is_old = matches!(person.kept().read, Read::At(at) if now.since(at) >= LOOK_AGAIN);
        if is_old && self.store.is_some() {
            let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
            if stale.len() < RISK_PEOPLE_MAX && !stale.contains(whom) {
                stale.insert(whom.clone());
            }
        }
    }

    /// Reads what the store knows, and puts it together with what is known here. What cannot be read is told.
    async fn read(&self, store: &Sessions, whom: &UserId, person: &Person, now: UnixMillis) {
        let _one_at_a_time = person.reading.lock().await;
        if let Read::At(at) | Read::Failed(at) = person.kept().read
            && now.since(at) < READ_EVERY
        {
            return;
        }
        let asked = tokio::time::timeout(self.read_max, store.memory(whom));
        match asked.await {
            Ok(Ok(found)) => self.learn(whom, person, found, now),
            Ok(Err(e)) => self.unread(person, &e.to_string(), now),
            Err(_) => self.unread(person, "it did not answer in time", now),
        }
    }

    /// Takes over what the store has.
    fn learn(&self, whom: &UserId, person: &Person, found: Option<(u64, Vec<u8>)>, now: UnixMillis) {
        if !person.kept().learn(found, &self.envelope(whom), now) {
            self.unread(person, "it is sealed, and this node has no `[sign_in]`", now);
        }
    }

    fn unread(&self, person: &Person, why: &str, now: UnixMillis) {
        self.numbers.unread.inc();
        let mut kept = person.kept();
        kept.read = match kept.read {
            Read::At(_) => Read::At(now),
            Read::Never | Read::Failed(_) => Read::Failed(now),
        };
        tracing::debug!(error = why, "what is known of somebody's risk could not be read");
    }

    fn wait(&self, whom: &UserId, person: &Arc<Person>, change: Change) {
        if self.store.is_none() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = waiting.len() < RISK_PEOPLE_MAX;
        match waiting.get_mut(whom) {
            Some(held) => held.change = held.change.max(change),
            None if has_room => {
                waiting.insert(whom.clone(), Waiting { person: Arc::clone(person), change });
            }
            // It is in memory all the same, and waits again with the next thing that is learned of them.
            None => drop(self.numbers.unsaved.inc()),
        }
    }
}

// === impl Person ===

impl Person {
    fn new(salt: Salt) -> Self {
        let kept = Kept { history: History::new(salt), ..Kept::default() };
        Self { kept: Mutex::new(kept), ..Self::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Kept ===

impl Kept {
    /// Takes over what the store has; false where that cannot be opened here.
    fn learn(&mut self, found: Option<(u64, Vec<u8>)>, envelope: &Envelope<'_>, now: UnixMillis) -> bool {
        let Some((version, bytes)) = found else {
            (self.read, self.version) = (Read::At(now), 0);
            return true;
        };
        if version == self.version {
            self.read = Read::At(now);
            return true;
        }
        let is_first = self.version == 0 && self.history.is_blank();
        match envelope.open(&bytes) {
            Found::History(theirs) if is_first => self.history = *theirs,
            Found::History(theirs) => self.history = self.history.merged(&theirs),
            Found::Nothing => {}
            Found::Shut => return false,
        }
        (self.read, self.version) = (Read::At(now), version);
        true
    }
}

/// What names a sign-in: the session at the issuer, or else the token, or else when it was made.
fn name(session: &AuthSession) -> String {
    match (&session.session, &session.token) {
        (Some(session), _) => session.as_str().to_owned(),
        (None, Some(token)) => token.as_str().to_owned(),
        (None, None) => session.issued_at.0.to_string(),
    }
}

/// An address as far as it tells one household from another: of IPv6 the /64.
pub(crate) fn block(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).to_bits(),
    }
}

#[cfg(test)]
mod tests;
