//! Where an address is, in the vocabulary of the house.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_geoip::{Atlas, FileStatus, Reload};
use doorward_model::{CountryCode, Location, Place, Presence, UnixMillis};

use crate::network::NamedNetworks;

/// GeoIP files and named networks.
#[derive(Clone, Debug)]
pub struct Places {
    atlas: Arc<Atlas>,
    named: NamedNetworks,
    age_max: Duration,
}

impl Places {
    /// From files that are open; older than `age_max` they are loud in [`status`](Self::status).
    #[must_use]
    pub const fn new(atlas: Arc<Atlas>, named: NamedNetworks, age_max: Duration) -> Self {
        Self { atlas, named, age_max }
    }

    /// Where the address is. No I/O, and it cannot fail: what is not known says so.
    #[must_use]
    pub fn locate(&self, ip: IpAddr) -> Place {
        let ip = ip.to_canonical();
        let facts = self.atlas.find(ip);
        Place {
            ip,
            networks: self.named.containing(ip),
            country: facts
                .country
                .and_then(|c| CountryCode::new(c.as_str()).ok())
                .unwrap_or(CountryCode::UNKNOWN),
            continent: facts.continent.map(|c| c.as_str().to_owned()),
            asn: facts.asn,
            anonymizer: match facts.anonymizer {
                Some(true) => Presence::Yes,
                Some(false) => Presence::No,
                None => Presence::Unknown,
            },
            location: facts.point.map(|point| Location {
                latitude_milli: point.latitude_milli,
                longitude_milli: point.longitude_milli,
                radius_km: point.radius_km,
            }),
        }
    }

    /// Opens the GeoIP files again; see [`Atlas::reload`]. Reads files: not for a thread that serves
    /// requests.
    pub fn reload(&self) -> Reload {
        self.atlas.reload()
    }

    /// What there is to know about each GeoIP file.
    #[must_use]
    pub fn status(&self, now: UnixMillis) -> Vec<FileStatus> {
        self.atlas.status(u64::try_from(now.seconds()).unwrap_or(0), self.age_max)
    }

    /// The files, shared.
    #[must_use]
    pub const fn atlas(&self) -> &Arc<Atlas> {
        &self.atlas
    }
}

#[cfg(test)]
mod tests;
