//! The sections `[network]`, `[network.named]`, `[geoip]` and `[risk]`, and the key `gateway.time_zone`: as
//! written, and checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_geoip::Atlas;
use doorward_model::limits::{
    GEOIP_AGE_DAYS_MAX, GEOIP_DATABASES_MAX, NAMED_NETWORKS_MAX, TRUSTED_PROXIES_MAX,
};
use doorward_model::{Complaint, KeyPath};
use ipnet::{IpNet, Ipv6Net};
use serde::Deserialize;

use crate::calendar::Calendar;
use crate::network::{ClientAddressHeader, NamedNetworks, TrustedProxies};

mod risk;

pub use risk::{RiskSection, check_risk};

/// `[network]`, as written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NetworkSection {
    /// Addresses and ranges.
    pub trusted_proxies: Option<Vec<String>>,
    /// `x-forwarded-for` or `forwarded`.
    pub client_address_header: Option<String>,
    /// `[network.named]`: names to addresses and ranges.
    pub named: Option<BTreeMap<String, Vec<String>>>,
}

/// `[geoip]`, as written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct GeoipSection {
    /// The files, in the order in which they are asked.
    pub databases: Option<Vec<PathBuf>>,
    /// How old a file may be before it is loud.
    pub age_days_max: Option<u64>,
}

/// `[network]`, checked.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Whose word about the client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// What policies know as `context.zones`.
    pub named: NamedNetworks,
}

/// `[geoip]`, checked and open.
#[derive(Clone, Debug)]
pub struct Geoip {
    /// The files.
    pub atlas: Arc<Atlas>,
    /// How old a file may be before it is loud.
    pub age_max: Duration,
}

/// Checks `[network]`; an absent section is the default one.
pub fn check_network(
    section: &NetworkSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Network> {
    let before = complaints.len();
    let trusted_proxies = check_trusted(section, at, complaints);
    let named = check_named(section.named.as_ref(), &at.key("named"), complaints);
    (complaints.len() == before).then_some(Network { trusted_proxies, named })
}

/// Checks `[geoip]` and opens its files, relative to `base_dir`; an absent section is the default
/// one, with which no place is known.
pub fn check_geoip(
    section: &GeoipSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Geoip> {
    let before = complaints.len();
    let days = section.age_days_max.unwrap_or(GEOIP_AGE_DAYS_MAX);
    if !(1..=3650).contains(&days) {
        complaints.push(Complaint::new(
            at.key("age_days_max"),
            format!("`{days}` days is not between 1 and 3650"),
            format!("use {GEOIP_AGE_DAYS_MAX}, or how often you refresh the files with room to spare"),
        ));
    }
    let databases = at.key("databases");
    let written = section.databases.as_deref().unwrap_or_default();
    let paths: Vec<PathBuf> = written.iter().map(|p| base_dir.join(p)).collect();
    if paths.len() > GEOIP_DATABASES_MAX {
        complaints.push(Complaint::new(
            databases.clone(),
            format!("{} files are more than {GEOIP_DATABASES_MAX}", paths.len()),
            "one file each for country, ASN and anonymizers is enough",
        ));
        return None;
    }
    for (i, path) in paths.iter().enumerate() {
        if paths.iter().take(i).any(|earlier| earlier == path) {
            complaints.push(Complaint::new(
                databases.index(i),
                format!("`{}` is named twice", path.display()),
                "name each file once",
            ));
        }
    }
    let atlas = match Atlas::open(&paths) {
        Ok(atlas) => Some(Arc::new(atlas)),
        Err(errors) => {
            for e in errors {
                let i = paths.iter().position(|p| p == e.path()).unwrap_or(0);
                complaints.push(Complaint { at: databases.index(i), message: e.to_string(), help: None });
            }
            None
        }
    };
    let age_max = Duration::from_secs(days.saturating_mul(24 * 3600));
    atlas.filter(|_| complaints.len() == before).map(|atlas| Geoip { atlas, age_max })
}

/// Checks `gateway.time_zone`, whose path is `at`; without one it is UTC.
pub fn check_time_zone(
    name: Option<&str>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Calendar> {
    let Some(name) = name else { return Some(Calendar::utc()) };
    match Calendar::new(name) {
        Ok(calendar) => Some(calendar),
        Err(e) => {
            let help = match &e.similar {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => "use a name of the IANA time zone database, such as `Europe/Berlin`".to_owned(),
            };
            complaints.push(Complaint::new(at.clone(), e.to_string(), help));
            None
        }
    }
}

fn check_trusted(section: &NetworkSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> TrustedProxies {
    let written = section.trusted_proxies.as_deref().unwrap_or_default();
    let at_proxies = at.key("trusted_proxies");
    let at_header = at.key("client_address_header");
    let ranges = check_ranges(written, &at_proxies, TRUSTED_PROXIES_MAX, complaints);
    for (i, range) in &ranges {
        if is_too_wide(*range) {
            complaints.push(Complaint::new(
                at_proxies.index(*i),
                format!("`{range}` trusts so many addresses that anyone could claim to be anywhere"),
                "name the addresses of your own proxies, at most a /8 of IPv4 or a /16 of IPv6",
            ));
        }
    }
    let header = section.client_address_header.as_deref().map(|name| {
        let header = ClientAddressHeader::parse(name);
        if header.is_none() {
            complaints.push(Complaint::new(
                at_header.clone(),
                format!("`{name}` is not a header that this gateway reads"),
                "use `x-forwarded-for` or `forwarded`",
            ));
        }
        header
    });
    if header.is_some() && written.is_empty() {
        complaints.push(Complaint::new(
            at_header,
            "a header that tells the client's address is named, but no proxy is trusted to write it",
            "name your proxies in `trusted_proxies`, or take this key out",
        ));
    }
    let ranges: Vec<IpNet> = ranges.into_iter().map(|(_, range)| range).collect();
    TrustedProxies::new(&ranges, header.flatten().unwrap_or_default())
}

fn check_named(
    named: Option<&BTreeMap<String, Vec<String>>>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> NamedNetworks {
    let mut valid = BTreeMap::new();
    let mut left = NAMED_NETWORKS_MAX;
    for (name, written) in named.into_iter().flatten() {
        let at = at.key(name);
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            complaints.push(Complaint::new(
                at.clone(),
                format!("`{name}` cannot be the name of a network"),
                "use 1 to 64 of `a-z 0-9 - _`",
            ));
        }
        let ranges = check_ranges(written, &at, left, complaints);
        left = left.saturating_sub(written.len());
        valid.insert(name.clone(), ranges.into_iter().map(|(_, range)| range).collect());
    }
    NamedNetworks::new(&valid)
}

/// The ranges that are right, each with its place in the list.
fn check_ranges(
    written: &[String],
    at: &KeyPath,
    ranges_max: usize,
    complaints: &mut Vec<Complaint>,
) -> Vec<(usize, IpNet)> {
    if written.len() > ranges_max {
        complaints.push(Complaint::new(
            at.clone(),
            format!("{} ranges are more than the {ranges_max} that are left", written.len()),
            "join neighboring ranges into wider ones",
        ));
        return Vec::new();
    }
    let mut ranges = Vec::with_capacity(written.len());
    for (i, text) in written.iter().enumerate() {
        match range(text) {
            Ok(range) => ranges.push((i, range)),
            Err((message, help)) => complaints.push(Complaint::new(at.index(i), message, help)),
        }
    }
    ranges
}

/// An address or a range, or what is wrong with it and how to mend it.
fn range(text: &str) -> Result<IpNet, (String, String)> {
    let shown: String = text.chars().take(60).collect();
    let net: IpNet = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => match text.parse::<std::net::IpAddr>() {
            Ok(ip) => IpNet::from(ip),
            Err(_) => {
                return Err((
                    format!("`{shown}` is neither an address nor a range"),
                    "write `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`".to_owned(),
                ));
            }
        },
    };
    if let IpNet::V6(v6) = net
        && v6.addr().to_ipv4_mapped().is_some()
    {
        return Err((
            format!("`{shown}` is an IPv4 address inside an IPv6 one"),
            "write the IPv4 address; connections from `::ffff:…` count as IPv4".to_owned(),
        ));
    }
    if net.addr() != net.network() {
        return Err((
            format!("`{shown}` is an address inside a range, not a range"),
            format!("write `{}` for the range, or `{}` for the one address", net.trunc(), net.addr()),
        ));
    }
    Ok(net)
}

/// Whether a range holds so much of the Internet that it cannot be a company's own proxies. Private
/// IPv6 addresses (`fc00::/7`, RFC 4193) may be trusted as a whole.
fn is_too_wide(range: IpNet) -> bool {
    match range {
        IpNet::V4(v4) => v4.prefix_len() < 8,
        IpNet::V6(v6) => {
            let private = Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);
            v6.prefix_len() < 16 && !private.contains(&v6)
        }
    }
}

#[cfg(test)]
mod tests;
