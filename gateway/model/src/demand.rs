//! What is demanded of a sign-in before something is let through.

use std::time::Duration;

use crate::assurance::Assurance;
use crate::time::UnixMillis;

/// How strong a sign-in must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Any sign-in.
    #[default]
    Any,
    /// More than one factor.
    Mfa,
    /// A factor that cannot be phished, besides another one.
    PhishingResistant,
}

/// What is demanded of a sign-in: OpenID Connect's `acr_values` and `max_age` (Core §3.1.2.1), RFC 9470 §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demand {
    /// How strong it must be.
    pub strength: Strength,
    /// How long ago the person may have signed in at most.
    pub max_age: Option<Duration>,
}

impl Strength {
    /// Every strength, the weakest first.
    pub const ALL: [Self; 3] = [Self::Any, Self::Mfa, Self::PhishingResistant];

    /// The word for it in logs, and in what is sealed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Mfa => "mfa",
            Self::PhishingResistant => "phishing-resistant",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strength| strength.as_str() == word)
    }
}

impl Demand {
    /// Whether a sign-in proves what is demanded. What it does not say it does not prove.
    #[must_use]
    pub fn is_met(&self, by: &Assurance, now: UnixMillis) -> bool {
        let strong = match self.strength {
            Strength::Any => true,
            Strength::Mfa => by.mfa,
            Strength::PhishingResistant => by.mfa && by.phishing_resistant,
        };
        let recent =
            self.max_age.is_none_or(|max| by.authenticated_at.is_some_and(|at| now.since(at) <= max));
        strong && recent
    }

    /// Both demands at once.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let max_age = match (self.max_age, other.max_age) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { strength: self.strength.max(other.strength), max_age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn signed_in(mfa: bool, phishing_resistant: bool, seconds_ago: Option<i64>) -> Assurance {
        let authenticated_at = seconds_ago.map(|s| UnixMillis(NOW.0 - s * 1000));
        Assurance { mfa, phishing_resistant, authenticated_at, mfa_at: authenticated_at.filter(|_| mfa) }
    }

    #[test]
    fn what_is_not_said_is_not_proved() {
        let fresh = Demand { strength: Strength::Any, max_age: Some(Duration::from_secs(60)) };
        let mfa = Demand { strength: Strength::Mfa, max_age: None };
        let key = Demand { strength: Strength::PhishingResistant, max_age: None };
        for (by, expect) in [
            (signed_in(false, false, None), [false, false, false]),
            (signed_in(false, false, Some(60)), [true, false, false]),
            (signed_in(false, false, Some(61)), [false, false, false]),
            (signed_in(true, false, Some(61)), [false, true, false]),
            (signed_in(true, true, Some(1)), [true, true, true]),
            (signed_in(false, true, Some(1)), [true, false, false]),
        ] {
            assert_eq!([fresh, mfa, key].map(|demand| demand.is_met(&by, NOW)), expect, "{by:?}");
        }
    }

    #[test]
    fn two_demands_are_the_stricter_of_each() {
        let a = Demand { strength: Strength::Mfa, max_age: None };
        let b = Demand { strength: Strength::Any, max_age: Some(Duration::from_secs(5)) };
        let both = Demand { strength: Strength::Mfa, max_age: Some(Duration::from_secs(5)) };
        assert_eq!(a.and(b), both);
        assert_eq!(b.and(a), both);
        for strength in Strength::ALL {
            assert_eq!(Strength::parse(strength.as_str()), Some(strength));
        }
    }
}
