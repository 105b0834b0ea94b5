//! Who connects: the client behind the proxies that are trusted, and the named networks that hold
//! an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use doorward_model::limits::FORWARDED_HOPS_MAX;
use doorward_model::{Refusal, RefusalCode};
use ipnet::IpNet;

use crate::forwarded::FromRight;

/// Which header tells the addresses before a trusted proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddressHeader {
    /// `X-Forwarded-For`: addresses with commas between them.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), its parameter `for`.
    Forwarded,
}

/// The proxies whose word about the client's address is taken. Nobody by default.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    ranges: RangeTable<()>,
    header: ClientAddressHeader,
}

/// Networks with the names that policies know them by: `context.zones.contains("corp")`.
#[derive(Clone, Debug, Default)]
pub struct NamedNetworks {
    names: BTreeSet<String>,
    ranges: RangeTable<Arc<str>>,
}

/// Ranges by prefix length, so that a lookup costs one binary search for each length that occurs,
/// however many ranges there are.
#[derive(Clone, Debug)]
struct RangeTable<T> {
    v4: Vec<SamePrefix<T>>,
    v6: Vec<SamePrefix<T>>,
}

#[derive(Clone, Debug)]
struct SamePrefix<T> {
    mask: u128,
    /// First address and what belongs to it, sorted by address; one address may occur often.
    ranges: Vec<(u128, T)>,
}

// === impl ClientAddressHeader ===

impl ClientAddressHeader {
    /// The name of the header, in lower case, as in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// Reads the name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::XForwardedFor, Self::Forwarded].into_iter().find(|h| name.eq_ignore_ascii_case(h.name()))
    }
}

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Nobody: the peer of the connection is the client.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// These, by this header.
    #[must_use]
    pub fn new(ranges: &[IpNet], header: ClientAddressHeader) -> Self {
        Self { ranges: RangeTable::new(ranges.iter().map(|net| (*net, ()))), header }
    }

    /// Which header the values for [`client_address`](Self::client_address) come from.
    #[must_use]
    pub const fn header(&self) -> ClientAddressHeader {
        self.header
    }

    /// Whether anybody is trusted at all.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether this address belongs to a trusted proxy.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.ranges.containing(ip.to_canonical()).next().is_some()
    }

    /// The client of a request that came from `peer` with these lines of the header, in the order of
    /// the request.
    ///
    /// The walk goes from right to left, because each proxy appends what it saw: as long as the one
    /// who speaks is trusted, the element before counts; the first address that is not trusted is
    /// the client. Where all are trusted it is the leftmost: a proxy's own request.
    ///
    /// An address may carry a port (`192.0.2.1:4711`, `[2001:db8::1]:443`), which is dropped, and
    /// an IPv6 address may stand in brackets.
    ///
    /// # Errors
    /// `client_address`, when a trusted proxy sends no such header, or when the walk meets an
    /// element that is not an address (empty, a name, `unknown`, with an IPv6 zone) or more than
    /// [`FORWARDED_HOPS_MAX`] proxies.
    pub fn client_address(&self, peer: IpAddr, header_values: &[&[u8]]) -> Result<IpAddr, Refusal> {
        let peer = peer.to_canonical();
        if self.is_nobody() || !self.trusts(peer) {
            return Ok(peer);
        }
        let name = self.header.name();
        let refuse = |detail: String| Refusal::new(RefusalCode::ClientAddress, detail);
        if header_values.is_empty() {
            return Err(refuse(format!(
                "the trusted proxy `{peer}` sent no `{name}`; let it add the header, or take it out of \
                 network.trusted_proxies"
            )));
        }
        let mut client = peer;
        let mut hops = 0_usize;
        for value in header_values.iter().rev() {
            let elements = FromRight::new(self.header, value)
                .map_err(|why| refuse(format!("the trusted proxy `{client}` sent a `{name}` that {why}")))?;
            for element in elements {
                hops += 1;
                if hops > FORWARDED_HOPS_MAX {
                    return Err(refuse(format!("`{name}` names more than {FORWARDED_HOPS_MAX} proxies")));
                }
                let before = element.map_err(|why| {
                    refuse(format!("the trusted proxy `{client}` sent a `{name}` in which an element {why}"))
                })?;
                client = before;
                if !self.trusts(client) {
                    return Ok(client);
                }
            }
        }
        Ok(client)
    }
}

// === impl NamedNetworks ===

impl NamedNetworks {
    /// From names to their ranges.
    #[must_use]
    pub fn new(named: &BTreeMap<String, Vec<IpNet>>) -> Self {
        let entries = named.iter().flat_map(|(name, nets)| {
            let name: Arc<str> = name.as_str().into();
            nets.iter().map(move |net| (*net, Arc::clone(&name)))
        });
        Self { names: named.keys().cloned().collect(), ranges: RangeTable::new(entries) }
    }

    /// Every name, also of a network that holds no address yet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The names of all networks that hold the address. Allocates only when there is one.
    #[must_use]
    pub fn containing(&self, ip: IpAddr) -> BTreeSet<String> {
        self.ranges.containing(ip.to_canonical()).map(|name| name.as_ref().to_owned()).collect()
    }
}

// === impl RangeTable ===

impl<T> Default for RangeTable<T> {
    fn default() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }
}

impl<T> RangeTable<T> {
    fn new(entries: impl Iterator<Item = (IpNet, T)>) -> Self {
        let mut v4: BTreeMap<u8, SamePrefix<T>> = BTreeMap::new();
        let mut v6: BTreeMap<u8, SamePrefix<T>> = BTreeMap::new();
        for (net, what) in entries {
            let family = if matches!(net, IpNet::V4(_)) { &mut v4 } else { &mut v6 };
            let same = family
                .entry(net.prefix_len())
                .or_insert_with(|| SamePrefix { mask: bits(net.netmask()), ranges: Vec::new() });
            same.ranges.push((bits(net.network()), what));
        }
        let sorted = |family: BTreeMap<u8, SamePrefix<T>>| {
            family
                .into_values()
                .map(|mut same| {
                    same.ranges.sort_by_key(|(start, _)| *start);
                    same
                })
                .collect()
        };
        Self { v4: sorted(v4), v6: sorted(v6) }
    }

    fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// What belongs to the ranges that hold a canonical address.
    fn containing(&self, ip: IpAddr) -> impl Iterator<Item = &T> {
        let family = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        let wanted = bits(ip);
        family.iter().flat_map(move |same| {
            let start = wanted & same.mask;
            let first = same.ranges.partition_point(|(s, _)| *s < start);
            let from = same.ranges.get(first..).unwrap_or_default();
            from.iter().take_while(move |(s, _)| *s == start).map(|(_, what)| what)
        })
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests;
