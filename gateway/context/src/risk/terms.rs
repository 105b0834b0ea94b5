//! What counts, and how much.

use std::collections::BTreeSet;

use doorward_model::{Place, Presence, RiskReason};

/// What nobody travels faster than, in kilometers an hour.
pub(crate) const SPEED_KMH_MAX: u32 = 900;
/// What is too near for a speed to mean anything, in kilometers.
pub(crate) const DISTANCE_KM_MIN: u32 = 500;
/// From so many sign-ins on something can be new.
pub(crate) const SUCCESSES_MIN: u16 = 5;

/// What each reason adds, from 0 (it does not count) to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights([u8; Weights::ALL.len()]);

/// What counts, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What each reason adds.
    pub weights: Weights,
    /// Named networks that are exits of the company's own.
    pub known: BTreeSet<String>,
    /// Named networks of VPNs, proxies and Tor.
    pub anonymizers: BTreeSet<String>,
    /// Named networks of hosting ranges.
    pub hosting: BTreeSet<String>,
    /// Numbers of network operators that are VPNs or proxies.
    pub anonymizer_asns: BTreeSet<u32>,
    /// Numbers of network operators that let servers.
    pub hosting_asns: BTreeSet<u32>,
    /// Faster than this nobody travels, in kilometers an hour.
    pub speed_kmh_max: u32,
    /// A shorter way says nothing, in kilometers.
    pub distance_km_min: u32,
    /// From so many sign-ins on something can be new.
    pub successes_min: u16,
}

// === impl Weights ===

impl Weights {
    /// Every reason that has a weight, and what it usually is.
    pub const ALL: [(RiskReason, u8); 11] = [
        (RiskReason::ImpossibleTravel, 60),
        (RiskReason::NewCountry, 25),
        (RiskReason::NewNetwork, 10),
        (RiskReason::NewDevice, 20),
        (RiskReason::DeviceNotNamed, 40),
        (RiskReason::SecondPlace, 50),
        (RiskReason::Anonymizer, 30),
        (RiskReason::Hosting, 15),
        (RiskReason::Failures, 20),
        (RiskReason::ExternalMedium, 50),
        (RiskReason::ExternalHigh, 100),
    ];

    /// What a reason adds; nothing where it has no weight.
    #[must_use]
    pub fn of(&self, reason: RiskReason) -> u8 {
        self.0.get(usize::from(reason as u8)).copied().unwrap_or_default()
    }

    /// Has a reason add `points`, at most 100, if it is one that has a weight.
    pub fn set(&mut self, reason: RiskReason, points: u8) {
        if let Some(held) = self.0.get_mut(usize::from(reason as u8)) {
            *held = points.min(100);
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self(Self::ALL.map(|(_, points)| points))
    }
}

// === impl Terms ===

impl Default for Terms {
    fn default() -> Self {
        Self {
            weights: Weights::default(),
            known: BTreeSet::new(),
            anonymizers: BTreeSet::new(),
            hosting: BTreeSet::new(),
            anonymizer_asns: BTreeSet::new(),
            hosting_asns: BTreeSet::new(),
            speed_kmh_max: SPEED_KMH_MAX,
            distance_km_min: DISTANCE_KM_MIN,
            successes_min: SUCCESSES_MIN,
        }
    }
}

impl Terms {
    /// Whether an address is an exit of the company's own, so that where it is says nothing.
    #[must_use]
    pub fn is_known(&self, place: &Place) -> bool {
        !self.known.is_disjoint(&place.networks)
    }

    pub(crate) fn is_anonymizer(&self, place: &Place) -> bool {
        place.anonymizer == Presence::Yes
            || !self.anonymizers.is_disjoint(&place.networks)
            || place.asn.is_some_and(|asn| self.anonymizer_asns.contains(&asn))
    }

    pub(crate) fn is_hosting(&self, place: &Place) -> bool {
        !self.hosting.is_disjoint(&place.networks)
            || place.asn.is_some_and(|asn| self.hosting_asns.contains(&asn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is indexed by the reason.
    #[test]
    fn the_weights_stand_in_the_order_of_the_reasons() {
        for (i, (reason, points)) in Weights::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
            assert_eq!(Weights::default().of(reason), points);
        }
        let mut weights = Weights::default();
        weights.set(RiskReason::Hosting, 200);
        weights.set(RiskReason::Learning, 9);
        assert_eq!((weights.of(RiskReason::Hosting), weights.of(RiskReason::Learning)), (100, 0));
    }
}
