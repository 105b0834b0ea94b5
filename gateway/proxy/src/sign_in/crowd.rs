//! How many browsers may have codes taken to a provider at once, and how many codes of them may be refused.
//!
//! ```text
//!  a browser
//!   ├─ its address, or its network, brought too much that was refused ──► not now
//!   └─ else waits, a little, for three places:
//!        of its address (of IPv6 the /64) ─► of its network (of IPv6 the /48; of IPv4 there is none)
//!          ─► of those from whose address nobody has signed in yet, at this provider
//! ```
//! What this holds is one address and one network, and a share of the places for addresses from which people sign in.
//! Whoever has many networks is not held by it. It is of one node, and bounded.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_model::limits::{
    FAILED_CODES_MAX, FAILED_CODES_PER_NETWORK_MAX, FAILED_CODES_SECONDS, OIDC_CALLS_OF_STRANGERS_MAX,
    OIDC_CALLS_PER_ADDRESS_MAX, OIDC_CALLS_PER_NETWORK_MAX, OIDC_PLACE_SECONDS_MAX, SIGN_IN_ADDRESSES_MAX,
};
use doorward_model::{IssuerId, Refusal, RefusalCode, UnixMillis};
use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::risk::block;

/// How long somebody waits for others.
const WAIT_MAX: Duration = Duration::from_secs(OIDC_PLACE_SECONDS_MAX);
/// For how long a code that was refused counts.
pub(super) const FAILURE: Duration = Duration::from_secs(FAILED_CODES_SECONDS);

/// Where the browsers come from.
pub(super) struct Crowd {
    addresses: Cache<u128, Arc<Origin>>,
    networks: Cache<u128, Arc<Origin>>,
    /// The places of those from whose address nobody has signed in yet, by provider.
    strangers: Mutex<HashMap<IssuerId, Arc<Semaphore>>>,
}

/// One address, or one network.
struct Origin {
    places: Arc<Semaphore>,
    failures_max: usize,
    /// When codes of theirs were refused.
    failures: Mutex<VecDeque<UnixMillis>>,
    /// Whether a code of theirs was good.
    known: AtomicBool,
}

/// A place among those who call a provider.
pub(super) struct Place {
    /// The address, and the network if there is one.
    origins: Vec<Arc<Origin>>,
    _permits: Vec<OwnedSemaphorePermit>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowded {
    /// Too many codes of this address or network were refused.
    Failures,
    /// Those who came before take too long.
    Waiting,
}

// === impl Crowd ===

impl Default for Crowd {
    fn default() -> Self {
        let [addresses, networks] = [SIGN_IN_ADDRESSES_MAX; 2].map(Cache::new);
        Self { addresses, networks, strangers: Mutex::default() }
    }
}

impl Crowd {
    /// Waits for a place.
    pub(super) async fn place(
        &self,
        from: IpAddr,
        provider: &IssuerId,
        now: UnixMillis,
    ) -> Result<Place, Crowded> {
        let address = origin(&self.addresses, block(from), (OIDC_CALLS_PER_ADDRESS_MAX, FAILED_CODES_MAX));
        let network = network(from).map(|bits| {
            origin(&self.networks, bits, (OIDC_CALLS_PER_NETWORK_MAX, FAILED_CODES_PER_NETWORK_MAX))
        });
        let stranger = (!address.is_known()).then(|| self.strangers(provider));
        let origins: Vec<_> = [Some(address), network].into_iter().flatten().collect();
        let admits = || origins.iter().try_for_each(|origin| origin.admits(now));
        admits()?;
        let all = origins.iter().map(|origin| Arc::clone(&origin.places)).chain(stranger);
        let permits = tokio::time::timeout(WAIT_MAX, places(all)).await.unwrap_or(Err(Crowded::Waiting))?;
        // What those brought who were waited for counts.
        admits()?;
        Ok(Place { origins, _permits: permits })
    }

    fn strangers(&self, provider: &IssuerId) -> Arc<Semaphore> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(OIDC_CALLS_OF_STRANGERS_MAX));
        Arc::clone(strangers.entry(provider.clone()).or_insert_with(new))
    }
}

/// One of each, in this order: whoever waits for a wider one holds the narrower ones, and nobody waits in a circle.
async fn places(of: impl Iterator<Item = Arc<Semaphore>>) -> Result<Vec<OwnedSemaphorePermit>, Crowded> {
    let mut permits = Vec::with_capacity(3);
    for places in of {
        permits.push(places.acquire_owned().await.map_err(|_| Crowded::Waiting)?);
    }
    Ok(permits)
}

fn origin(
    known: &Cache<u128, Arc<Origin>>,
    bits: u128,
    (places, failures_max): (usize, usize),
) -> Arc<Origin> {
    let make = || Ok::<_, Infallible>(Arc::new(Origin::new(places, failures_max)));
    let Ok(origin) = known.get_or_insert_with(&bits, make);
    origin
}

/// What one customer of a network gets at most: of IPv6 the /48. Of IPv4 it cannot be told.
fn network(ip: IpAddr) -> Option<u128> {
    match ip.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).to_bits()),
    }
}

// === impl Origin ===

impl Origin {
    fn new(places: usize, failures_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(places));
        Self { places, failures_max, failures: Mutex::default(), known: AtomicBool::new(false) }
    }

    fn failures(&self) -> MutexGuard<'_, VecDeque<UnixMillis>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admits(&self, now: UnixMillis) -> Result<(), Crowded> {
        let mut failures = self.failures();
        failures.retain(|at| now.since(*at) < FAILURE);
        if failures.len() < self.failures_max { Ok(()) } else { Err(Crowded::Failures) }
    }

    fn failed(&self, now: UnixMillis) {
        let mut failures = self.failures();
        if failures.len() >= self.failures_max {
            failures.pop_front();
        }
        failures.push_back(now);
    }

    fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}

// === impl Place ===

impl Place {
    /// The provider refused the code.
    pub(super) fn failed(self, now: UnixMillis) {
        self.origins.iter().for_each(|origin| origin.failed(now));
    }

    /// The provider took the code.
    pub(super) fn succeeded(self) {
        // Not of the network: the next /64 of it may be anybody's.
        if let Some(address) = self.origins.first() {
            address.known.store(true, Ordering::Relaxed);
        }
    }
}

// === impl Crowded ===

impl Crowded {
    pub(super) fn refusal(self) -> Refusal {
        let detail = match self {
            Self::Failures => "too many codes of this address or its network were refused by the provider",
            Self::Waiting => "too many wait for the provider",
        };
        let reason = match self {
            Self::Failures => {
                "Too many sign-ins from your network failed. Try again in a quarter of an hour, or from another network."
            }
            Self::Waiting => "Too many people sign in at this moment.",
        };
        Refusal { reason: Some(reason.to_owned()), ..Refusal::new(RefusalCode::Overloaded, detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn provider(id: &str) -> IssuerId {
        IssuerId::new(id).unwrap()
    }

    async fn place(crowd: &Crowd, from: &str) -> Result<Place, Crowded> {
        crowd.place(address(from), &provider("corp"), NOW).await
    }

    /// Somebody who must have a place.
    async fn gets(crowd: &Crowd, from: &str) -> Place {
        place(crowd, from).await.unwrap_or_else(|why| panic!("{from}: {why:?}"))
    }

    /// Somebody for whom there is no place; the clock of the tests need not wait.
    async fn waits(crowd: &Crowd, from: &str) {
        let tried = tokio::time::timeout(Duration::from_millis(50), place(crowd, from)).await;
        assert!(tried.is_err(), "{from} waits");
    }

    #[tokio::test]
    async fn an_address_whose_codes_are_refused_brings_no_more_for_a_while() {
        let crowd = Crowd::default();
        for _ in 0..FAILED_CODES_MAX {
            gets(&crowd, "2001:db8::1").await.failed(NOW);
        }
        for same in ["2001:db8::1", "2001:db8::ffff"] {
            assert_eq!(place(&crowd, same).await.err(), Some(Crowded::Failures));
        }
        for other in ["2001:db8:0:1::1", "192.0.2.7"] {
            gets(&crowd, other).await;
        }
        let later = crowd.place(address("2001:db8::1"), &provider("corp"), NOW.plus(FAILURE)).await;
        assert!(later.is_ok(), "it counts no more");
    }

    /// A /48 has 65,536 networks of the kind that counts as one address.
    #[tokio::test]
    async fn a_network_of_many_addresses_brings_no_more_either() {
        let crowd = Crowd::default();
        for n in 0..FAILED_CODES_PER_NETWORK_MAX {
            gets(&crowd, &format!("2001:db8:1:{n:x}::1")).await.failed(NOW);
        }
        let fresh = "2001:db8:1:ffff::1";
        assert_eq!(place(&crowd, fresh).await.err(), Some(Crowded::Failures));
        gets(&crowd, "2001:db8:2::1").await;
        // Of IPv4 each address is for itself.
        for n in 0..FAILED_CODES_PER_NETWORK_MAX {
            gets(&crowd, &format!("10.0.{}.{}", n / 200, n % 200)).await.failed(NOW);
        }
        gets(&crowd, "10.0.99.1").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_has_so_many_places_and_strangers_leave_some_to_who_signed_in_before() {
        let crowd = Crowd::default();
        gets(&crowd, "192.0.2.7").await.succeeded();
        let mut held = Vec::new();
        for n in 0..OIDC_CALLS_PER_NETWORK_MAX {
            held.push(gets(&crowd, &format!("2001:db8:1:{n:x}::1")).await);
        }
        waits(&crowd, "2001:db8:1:ffff::1").await;
        for n in OIDC_CALLS_PER_NETWORK_MAX..OIDC_CALLS_OF_STRANGERS_MAX {
            held.push(gets(&crowd, &format!("10.0.0.{n}")).await);
        }
        waits(&crowd, "10.0.1.1").await;
        held.push(gets(&crowd, "192.0.2.7").await);
        // At another provider there are others.
        let there = crowd.place(address("10.0.1.1"), &provider("lab"), NOW).await;
        assert!(there.is_ok());
        drop(held.pop());
        drop(held.pop());
        gets(&crowd, "10.0.1.1").await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_of_one_address_who_bring_what_is_good_wait_for_each_other_and_all_come() {
        let crowd = Arc::new(Crowd::default());
        let mut held = Vec::new();
        for _ in 0..OIDC_CALLS_PER_ADDRESS_MAX {
            held.push(gets(&crowd, "192.0.2.7").await);
        }
        let later: Vec<_> = (0..10 * OIDC_CALLS_PER_ADDRESS_MAX)
            .map(|_| {
                let crowd = Arc::clone(&crowd);
                tokio::spawn(async move { place(&crowd, "192.0.2.7").await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(later.iter().all(|one| !one.is_finished()), "there is no place");
        gets(&crowd, "192.0.2.8").await;
        drop(held);
        for one in later {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
    }
}
