//! How odd a request looks, and why.
//!
//! A [`Risk`] is small and copied: a score, and of each [`RiskReason`] whether it holds and what it adds. Who
//! computes it is the crate `context`; who decides by it are the policies.

use std::fmt;

/// Reasons that add something, the first of [`RiskReason::ALL`].
const ADDING: usize = 12;

/// From 70 on a risk is high.
const HIGH: u8 = 70;
/// From 30 on a risk is medium.
const MEDIUM: u8 = 30;

/// How odd a request looks, as policies are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    /// Below 30.
    Low,
    /// From 30 to 69.
    Medium,
    /// 70 and more.
    High,
    /// Nobody computed a score.
    Unknown,
}

/// Why a risk is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RiskReason {
    /// Nobody travels that fast from where they were last.
    ImpossibleTravel,
    /// A country from which they did not come within 30 days.
    NewCountry,
    /// A network operator through which they did not come within 30 days.
    NewNetwork,
    /// A device, or a kind of browser, that they did not use within 30 days.
    NewDevice,
    /// No device is named, though theirs usually are.
    DeviceNotNamed,
    /// The same sign-in is used through a second network by another kind of browser.
    SecondPlace,
    /// The address belongs to a VPN, a proxy or Tor.
    Anonymizer,
    /// The address belongs to a hosting range.
    Hosting,
    /// Five failures or more within 15 minutes.
    Failures,
    /// A source of signals says that the risk is medium.
    ExternalMedium,
    /// A source of signals says that the risk is high.
    ExternalHigh,
    /// The issuer's claim is higher than what was computed here.
    Issuer,
    /// They proved since, with a factor that cannot be phished and on the same device, that it is they:
    /// what came before counts half.
    Proved,
    /// Too few sign-ins are known to call anything new.
    Learning,
    /// No database says where the address is.
    CountryUnknown,
    /// No database says where exactly, so that nobody can tell how fast they travelled.
    TravelUnknown,
    /// The address is one of the company's own exits: where it is says nothing.
    KnownNetwork,
    /// What is known of them could not be read, so that nothing was computed.
    HistoryUnavailable,
    /// What was known of them was damaged; it is being learned anew.
    HistoryUnreadable,
}

/// The reasons of a risk, and what each adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RiskReasons {
    held: u32,
    points: [u8; ADDING],
}

/// A score from 0 (nothing odd) to 100, whether anybody computed one, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Risk {
    score: Option<u8>,
    reasons: RiskReasons,
}

// === impl RiskLevel ===

impl RiskLevel {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Unknown];

    /// The word for it in policies, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Unknown => "unknown",
        }
    }

    /// The level of a score from 0 to 100.
    #[must_use]
    pub const fn of(score: u8) -> Self {
        match score {
            HIGH.. => Self::High,
            MEDIUM..HIGH => Self::Medium,
            0..MEDIUM => Self::Low,
        }
    }
}

// === impl RiskReason ===

impl RiskReason {
    /// Every reason; those that add something come first.
    pub const ALL: [Self; 19] = [
        Self::ImpossibleTravel,
        Self::NewCountry,
        Self::NewNetwork,
        Self::NewDevice,
        Self::DeviceNotNamed,
        Self::SecondPlace,
        Self::Anonymizer,
        Self::Hosting,
        Self::Failures,
        Self::ExternalMedium,
        Self::ExternalHigh,
        Self::Issuer,
        Self::Proved,
        Self::Learning,
        Self::CountryUnknown,
        Self::TravelUnknown,
        Self::KnownNetwork,
        Self::HistoryUnavailable,
        Self::HistoryUnreadable,
    ];

    /// The code, which never changes its meaning.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImpossibleTravel => "impossible_travel",
            Self::NewCountry => "new_country",
            Self::NewNetwork => "new_network",
            Self::NewDevice => "new_device",
            Self::DeviceNotNamed => "device_not_named",
            Self::SecondPlace => "second_place",
            Self::Anonymizer => "anonymizer",
            Self::Hosting => "hosting",
            Self::Failures => "failures",
            Self::ExternalMedium => "external_medium",
            Self::ExternalHigh => "external_high",
            Self::Issuer => "issuer",
            Self::Proved => "proved",
            Self::Learning => "learning",
            Self::CountryUnknown => "country_unknown",
            Self::TravelUnknown => "travel_unknown",
            Self::KnownNetwork => "known_network",
            Self::HistoryUnavailable => "history_unavailable",
            Self::HistoryUnreadable => "history_unreadable",
        }
    }

    /// What it means, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ImpossibleTravel => "nobody travels that fast from where they were last",
            Self::NewCountry => "a country from which they did not come within 30 days",
            Self::NewNetwork => "a network operator through which they did not come within 30 days",
            Self::NewDevice => "a device or a kind of browser that they did not use within 30 days",
            Self::DeviceNotNamed => "no device is named, though theirs usually are",
            Self::SecondPlace => {
                "the same sign-in is used through a second network by another kind of browser"
            }
            Self::Anonymizer => "the address belongs to a VPN, a proxy or Tor",
            Self::Hosting => "the address belongs to a hosting range",
            Self::Failures => "five failures or more within 15 minutes",
            Self::ExternalMedium => "a source of signals says that the risk is medium",
            Self::ExternalHigh => "a source of signals says that the risk is high",
            Self::Issuer => "the issuer's claim is higher than what was computed here",
            Self::Proved => {
                "they proved since, on the same device, that it is they: what came before is halved"
            }
            Self::Learning => "too few sign-ins are known to call anything new",
            Self::CountryUnknown => "no database says where the address is",
            Self::TravelUnknown => "no database says how far they travelled",
            Self::KnownNetwork => "the address is an exit of the company's own: where it is says nothing",
            Self::HistoryUnavailable => "what is known of them could not be read: nothing was computed",
            Self::HistoryUnreadable => "what was known of them was damaged: it is learned anew",
        }
    }

    const fn bit(self) -> u32 {
        1 << (self as u8)
    }
}

// === impl RiskReasons ===

impl RiskReasons {
    /// The reason holds.
    pub const fn note(&mut self, reason: RiskReason) {
        self.held |= reason.bit();
    }

    /// The reason holds and adds `points`, where it is one that adds something.
    pub fn add(&mut self, reason: RiskReason, points: u8) {
        self.note(reason);
        if let Some(held) = self.points.get_mut(usize::from(reason as u8)) {
            *held = points;
        }
    }

    /// Whether it holds.
    #[must_use]
    pub const fn has(&self, reason: RiskReason) -> bool {
        self.held & reason.bit() != 0
    }

    /// Every reason that holds, and what it adds before anything is halved.
    pub fn iter(&self) -> impl Iterator<Item = (RiskReason, u8)> + '_ {
        RiskReason::ALL
            .into_iter()
            .filter(|reason| self.has(*reason))
            .map(|reason| (reason, self.points.get(usize::from(reason as u8)).copied().unwrap_or_default()))
    }

    /// Whether nothing is to be said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }
}

// === impl Risk ===

impl Risk {
    /// Nobody computed a score.
    pub const UNKNOWN: Self = Self { score: None, reasons: RiskReasons { held: 0, points: [0; ADDING] } };

    /// A score without reasons; what lies above 100 counts as 100.
    #[must_use]
    pub const fn scored(score: u8) -> Self {
        Self { score: Some(if score > 100 { 100 } else { score }), ..Self::UNKNOWN }
    }

    /// A score and why; what lies above 100 counts as 100.
    #[must_use]
    pub const fn explained(score: u8, reasons: RiskReasons) -> Self {
        Self { reasons, ..Self::scored(score) }
    }

    /// Nobody computed a score, and why not.
    #[must_use]
    pub const fn unknown_for(reason: RiskReason) -> Self {
        let mut risk = Self::UNKNOWN;
        risk.reasons.note(reason);
        risk
    }

    /// The higher of this and what the issuer claims. Where nothing was computed the claim stands alone.
    #[must_use]
    pub fn and_claimed(mut self, claim: Self) -> Self {
        if let Some(claimed) = claim.score.filter(|claimed| self.score.is_none_or(|own| *claimed > own)) {
            self.score = Some(claimed);
            self.reasons.add(RiskReason::Issuer, claimed);
        }
        self
    }

    /// The score, if there is one.
    #[must_use]
    pub const fn score(self) -> Option<u8> {
        self.score
    }

    /// The level.
    #[must_use]
    pub const fn level(self) -> RiskLevel {
        match self.score {
            Some(score) => RiskLevel::of(score),
            None => RiskLevel::Unknown,
        }
    }

    /// Why.
    #[must_use]
    pub const fn reasons(&self) -> &RiskReasons {
        &self.reasons
    }
}

impl fmt::Display for Risk {
    /// `45 medium (new_country 25, new_device 20)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.score {
            Some(score) => write!(f, "{score} {}", self.level().as_str())?,
            None => f.write_str(self.level().as_str())?,
        }
        for (i, (reason, points)) in self.reasons.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { ", " })?;
            f.write_str(reason.as_str())?;
            if points > 0 {
                write!(f, " {points}")?;
            }
        }
        if self.reasons.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_have_their_borders() {
        for (score, level) in
            [(0, "low"), (29, "low"), (30, "medium"), (69, "medium"), (70, "high"), (200, "high")]
        {
            assert_eq!(Risk::scored(score).level().as_str(), level, "{score}");
        }
        assert_eq!(Risk::UNKNOWN.level(), RiskLevel::Unknown);
        assert_eq!(Risk::scored(200).score(), Some(100));
    }

    #[test]
    fn every_reason_is_told_apart_and_those_that_add_come_first() {
        for (i, reason) in RiskReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
            let mut one = RiskReasons::default();
            one.add(reason, 7);
            assert_eq!(Vec::from_iter(one.iter()), [(reason, if i < ADDING { 7 } else { 0 })]);
            assert!(RiskReason::ALL.into_iter().filter(|other| one.has(*other)).eq([reason]));
        }
    }

    #[test]
    fn the_higher_of_both_counts_and_says_so() {
        let mut reasons = RiskReasons::default();
        reasons.add(RiskReason::NewCountry, 25);
        let own = Risk::explained(25, reasons);
        assert_eq!(own.and_claimed(Risk::UNKNOWN), own);
        assert_eq!(own.and_claimed(Risk::scored(25)), own);
        assert_eq!(own.and_claimed(Risk::scored(40)).to_string(), "40 medium (new_country 25, issuer 40)");
        assert_eq!(Risk::UNKNOWN.and_claimed(Risk::scored(40)).to_string(), "40 medium (issuer 40)");
        let none = Risk::unknown_for(RiskReason::HistoryUnavailable);
        assert_eq!((none.score(), none.to_string()), (None, "unknown (history_unavailable)".to_owned()));
    }
}
