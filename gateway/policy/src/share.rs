//! Who is asked of a staged bundle.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hasher as _;

use doorward_model::{AppId, Principal};
use siphasher::sip::SipHasher24;

/// A hundred percent, in hundredths of one.
pub const WHOLE: u16 = 10_000;

/// A share of the people, at some apps or at all of them.
///
/// Whether somebody is in it depends on who they are, on the key of the roll-out, and on nothing else: not on
/// the request, the session, the node or the time. Whoever is in a share is in every greater share of the same
/// key, and another key draws others.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    key: [u8; 16],
    hundredths: u16,
    apps: Option<BTreeSet<AppId>>,
}

impl Share {
    /// So many hundredths of a percent of the people, at these apps, or at all where none are named. More than
    /// all are all.
    #[must_use]
    pub fn new(key: [u8; 16], hundredths: u16, apps: Option<BTreeSet<AppId>>) -> Self {
        Self { key, hundredths: hundredths.min(WHOLE), apps }
    }

    /// How many, in hundredths of a percent.
    #[must_use]
    pub const fn hundredths(&self) -> u16 {
        self.hundredths
    }

    /// At which apps; none: at all.
    #[must_use]
    pub const fn apps(&self) -> Option<&BTreeSet<AppId>> {
        self.apps.as_ref()
    }

    /// Whether this one is in it, at this app. Visitors cannot be told from each other, so a part of them is
    /// none of them: they are in it when everybody is.
    #[must_use]
    pub fn takes(&self, principal: &Principal, app: &AppId) -> bool {
        if self.apps.as_ref().is_some_and(|apps| !apps.contains(app)) {
            return false;
        }
        if self.hundredths >= WHOLE {
            return true;
        }
        // An agent is asked about as the person it acts for: what one person sees is of one bundle.
        let who = match principal {
            Principal::User(user) => &user.id,
            Principal::ServiceAccount(account) => &account.id,
            Principal::Agent(agent) => &agent.on_behalf_of.id,
            Principal::Visitor(_) => return false,
        };
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(who.to_string().as_bytes());
        // The high half of a product is as even as the hash, which a remainder is not.
        let drawn = (u128::from(hasher.finish()) * u128::from(WHOLE)) >> 64;
        drawn < u128::from(self.hundredths)
    }
}

impl fmt::Debug for Share {
    /// Without the key: whoever knows it knows who is drawn.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("hundredths", &self.hundredths).field("apps", &self.apps).finish()
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::LifecycleStage;
    use doorward_model::principal::{ServiceAccount, Visitor};

    use super::*;

    const PEOPLE: u32 = 10_000;

    fn somebody(n: u32) -> Principal {
        Principal::ServiceAccount(ServiceAccount {
            id: format!("corp:{n}").parse().unwrap(),
            owner: "corp:owner".parse().unwrap(),
            scopes: Default::default(),
            stage: LifecycleStage::Active,
        })
    }

    fn app(name: &str) -> AppId {
        AppId::new(name).unwrap()
    }

    fn drawn(share: &Share) -> BTreeSet<u32> {
        (0..PEOPLE).filter(|n| share.takes(&somebody(*n), &app("wiki"))).collect()
    }

    /// Of 10,000 people a share of p percent are 100 p, give or take five standard deviations of drawing each
    /// by itself; with these keys, which are always the same.
    #[test]
    fn a_percentage_of_ten_thousand_people_is_that_many() {
        for key in 0..20_u8 {
            for hundredths in [0, 1, 100, 500, 2500, 5000, 9900, 10_000] {
                let p = f64::from(hundredths) / f64::from(WHOLE);
                let (want, spread) = (f64::from(PEOPLE) * p, (f64::from(PEOPLE) * p * (1.0 - p)).sqrt());
                let got = drawn(&Share::new([key; 16], hundredths, None)).len() as f64;
                assert!((got - want).abs() <= 5.0 * spread, "key {key}, {hundredths}: {got}, and not {want}");
            }
        }
    }

    #[test]
    fn whoever_is_in_stays_in_when_the_share_grows_and_another_roll_out_draws_others() {
        let of = |key, hundredths| drawn(&Share::new([key; 16], hundredths, None));
        let (few, more) = (of(1, 500), of(1, 2500));
        assert!(!few.is_empty() && few.is_subset(&more));
        assert_eq!(few, of(1, 500));
        let others = of(2, 500);
        assert!(few.intersection(&others).count() * 4 < few.len(), "the same people are always first");
    }

    #[test]
    fn an_app_is_in_it_or_it_is_not() {
        let share = Share::new([0; 16], WHOLE, Some(BTreeSet::from([app("wiki")])));
        let visitor = Principal::Visitor(Visitor);
        assert!(share.takes(&visitor, &app("wiki")) && share.takes(&somebody(1), &app("wiki")));
        assert!(!share.takes(&visitor, &app("payroll")) && !share.takes(&somebody(1), &app("payroll")));
        assert!(!Share::new([0; 16], WHOLE - 1, None).takes(&visitor, &app("wiki")));
    }
}
