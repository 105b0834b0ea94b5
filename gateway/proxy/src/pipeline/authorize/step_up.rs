//! Would another sign-in help against what the policies forbid?
//!
//! The policies say what a sign-in would have to prove. Whoever has proved that and is refused all the same would
//! be sent to sign in again and again, so they are told a plain no.

use std::time::Duration;

use doorward_model::limits::STEP_UP_ANEW_SECONDS;
use doorward_model::{Assurance, Demand, Principal, UnixMillis};

/// A sign-in that is no older than this is not asked for anew: it would prove the same.
const ANEW: Duration = Duration::from_secs(STEP_UP_ANEW_SECONDS);

/// The sign-in that would help `principal`, who has proved `proved`. Only people sign in.
pub(super) fn would_help(
    demand: Demand,
    principal: &Principal,
    proved: &Assurance,
    now: UnixMillis,
) -> Option<Demand> {
    match principal {
        Principal::User(_) => {}
        Principal::ServiceAccount(_) | Principal::Agent(_) | Principal::Visitor(_) => return None,
    }
    let strong = Demand { max_age: None, ..demand };
    if !strong.is_met(proved, now) {
        return Some(demand);
    }
    let anew = Demand { max_age: Some(Duration::ZERO), ..demand };
    let within = |max| Demand { max_age: Some(max), ..demand }.is_met(proved, now);
    match demand.max_age {
        // It does not say how old a sign-in may be, and it is not about strength.
        None | Some(Duration::ZERO) => (!within(ANEW)).then_some(anew),
        Some(max) => (!within(max)).then_some(demand),
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::{CountryCode, Employment, LifecycleStage, Strength, User, Visitor};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000_000);

    fn person() -> Principal {
        Principal::User(User {
            id: "corp:alice".parse().unwrap(),
            name: None,
            email: None,
            groups: Default::default(),
            roles: Default::default(),
            stage: LifecycleStage::Active,
            employment: Employment::Unknown,
            contract_end: None,
            home_country: CountryCode::UNKNOWN,
            department: None,
            tags: Default::default(),
        })
    }

    #[test]
    fn whoever_has_proved_it_is_not_sent_to_prove_it_again() {
        let demand =
            |strength, seconds: Option<u64>| Demand { strength, max_age: seconds.map(Duration::from_secs) };
        let proved = |mfa, key, seconds_ago: Option<i64>| {
            let at = seconds_ago.map(|s| UnixMillis(NOW.0 - s * 1000));
            Assurance { mfa, phishing_resistant: key, authenticated_at: at, mfa_at: at.filter(|_| mfa) }
        };
        let (any, mfa, key) = (Strength::Any, Strength::Mfa, Strength::PhishingResistant);
        for (asked, proved, helps) in [
            // Too weak.
            (demand(mfa, None), proved(false, false, Some(1)), Some(demand(mfa, None))),
            (demand(key, Some(900)), proved(true, false, Some(1)), Some(demand(key, Some(900)))),
            (demand(mfa, Some(0)), proved(false, false, Some(1)), Some(demand(mfa, Some(0)))),
            // Too old.
            (demand(key, Some(900)), proved(true, true, Some(901)), Some(demand(key, Some(900)))),
            (demand(any, Some(30)), proved(false, false, Some(31)), Some(demand(any, Some(30)))),
            (demand(any, Some(900)), proved(false, false, None), Some(demand(any, Some(900)))),
            (demand(any, Some(0)), proved(true, true, Some(61)), Some(demand(any, Some(0)))),
            // Strong enough, and no word of how old: perhaps that is it.
            (demand(mfa, None), proved(true, false, Some(61)), Some(demand(mfa, Some(0)))),
            (demand(mfa, None), proved(true, false, None), Some(demand(mfa, Some(0)))),
            // Nothing more can be proved.
            (demand(mfa, None), proved(true, false, Some(60)), None),
            (demand(any, Some(0)), proved(false, false, Some(60)), None),
            (demand(key, Some(900)), proved(true, true, Some(900)), None),
        ] {
            assert_eq!(would_help(asked, &person(), &proved, NOW), helps, "{asked:?} {proved:?}");
            assert_eq!(would_help(asked, &Principal::Visitor(Visitor), &proved, NOW), None);
        }
    }
}
