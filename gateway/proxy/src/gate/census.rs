//! How many connections there are, and from where.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::Limits;

/// The part of an IPv6 address that one household or machine is given (RFC 6177 §2). Whoever has it
/// has all addresses that begin with it.
const IPV6_SHARE: u128 = !(u64::MAX as u128);

/// How many connections there are, and from where.
pub(crate) struct Census {
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Addresses that are not listened on yet.
    awaited: AtomicUsize,
    /// No new connection is wanted any more.
    draining: AtomicBool,
    max: usize,
    per_address_max: usize,
}

impl Census {
    pub(crate) fn new(limits: &Limits, listeners: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            awaited: AtomicUsize::new(listeners),
            draining: AtomicBool::new(false),
            max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
        })
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// One more address is listened on.
    pub(crate) fn listens(&self) {
        self.awaited.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether every address is listened on.
    pub(crate) fn is_accepting(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) == 0
    }

    /// No new connection is wanted any more.
    pub(crate) fn drains(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether no new connection is wanted any more.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts a connection, wherever it comes from. None when there are too many.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Counted> {
        let counted = Counted { census: Arc::clone(self), from: OnceLock::new() };
        (self.open.fetch_add(1, Ordering::Relaxed) < self.max).then_some(counted)
    }
}

/// One connection that was counted; it leaves when this is dropped.
pub(crate) struct Counted {
    census: Arc<Census>,
    from: OnceLock<IpAddr>,
}

impl Counted {
    /// Counts it for its address too, once that is known: behind a proxy it stands in the header of
    /// the PROXY protocol. False when there are too many from there.
    pub(crate) fn comes_from(&self, address: IpAddr) -> bool {
        let share = share(address);
        let mut by_address = self.census.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let n = by_address.entry(share).or_insert(0);
        if *n >= self.census.per_address_max {
            return false;
        }
        if self.from.set(share).is_ok() {
            *n += 1;
        }
        true
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.open.fetch_sub(1, Ordering::Relaxed);
        let Some(from) = self.from.get() else { return };
        let mut by_address = self.census.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = by_address.get_mut(from) {
            *n -= 1;
            if *n == 0 {
                by_address.remove(from);
            }
        }
    }
}

/// What is counted as one address: of IPv6 the first half.
fn share(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & IPV6_SHARE)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn census(max: usize, per_address_max: usize) -> Arc<Census> {
        let some = Duration::from_secs(1);
        let limits = Limits {
            header_bytes_max: 1,
            header_count_max: 1,
            header_max: some,
            keepalive_max: some,
            h2_idle_max: some,
            h2_streams_max: 1,
            body_idle_max: some,
            stream_idle_max: some,
            connections_max: max,
            connections_per_address_max: per_address_max,
            drain_max: some,
        };
        Census::new(&limits, 1)
    }

    #[test]
    fn who_leaves_makes_room_for_its_address_and_for_all() {
        let census = census(3, 2);
        let from = |text: &str| {
            let counted = census.enter()?;
            counted.comes_from(text.parse().unwrap()).then_some(counted)
        };
        let (one, two) = (from("192.0.2.1").unwrap(), from("::ffff:192.0.2.1").unwrap());
        assert!(from("192.0.2.1").is_none(), "the third of one address, however it is written");
        assert_eq!(census.open(), 2, "who was refused is not counted");
        let three = from("192.0.2.2").unwrap();
        assert!(census.enter().is_none(), "the fourth in all");
        assert_eq!(census.open(), 3);
        drop(one);
        let again = from("192.0.2.1").unwrap();
        drop((two, three, again));
        assert_eq!(census.open(), 0);
        assert!(census.by_address.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let census = census(10, 2);
        let counted: Vec<_> = (0..5).map(|_| census.enter().unwrap()).collect();
        let may = |i: usize, text: &str| counted[i].comes_from(text.parse().unwrap());
        assert!(may(0, "2001:db8:0:1::1"));
        assert!(may(1, "2001:db8:0:1:ffff::2"));
        assert!(!may(2, "2001:db8:0:1:abcd::3"));
        assert!(may(3, "2001:db8:0:2::1"), "the next network");
    }

    #[test]
    fn behind_a_proxy_only_the_source_counts() {
        // The balancer itself is never told: a connection waits for its header uncounted by address.
        let census = census(10, 1);
        let counted: Vec<_> = (0..4).map(|_| census.enter().unwrap()).collect();
        let clients = ["198.51.100.1", "198.51.100.2", "198.51.100.1"].map(|a| a.parse().unwrap());
        let may: Vec<bool> = counted.iter().zip(clients).map(|(c, a)| c.comes_from(a)).collect();
        assert_eq!(may, [true, true, false]);
        assert_eq!(census.open(), 4);
    }
}
