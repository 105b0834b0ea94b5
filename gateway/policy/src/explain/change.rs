//! What a hand could change in a situation: another network is one of those that the policies name, a role is the one
//! that a permit wants.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::Policy;
use cedar_policy_core::ast::Literal;
use doorward_model::limits::EXPLAIN_FACTS_MAX;
use doorward_model::{
    Compliance, CountryCode, DeviceAssurance, DeviceId, Employment, LifecycleStage, Presence, Principal,
    UnixMillis, User, Weekday,
};

use super::facts;
use super::hand::{Hand, hand, is_group};
use super::way::Step;
use crate::conditions::Condition;
use crate::situation::Situation;

/// How many networks or countries are tried.
const CANDIDATES_MAX: usize = 8;
/// The steps of a search for another time.
const HOUR: Duration = Duration::from_secs(3600);
/// An hour at which most things are open.
const NOON: Duration = Duration::from_secs(12 * 3600);

/// A change of a situation, and how it is told.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) step: Step,
    pub(super) made: Situation,
}

impl Change {
    fn new(hand: Hand, what: impl Into<String>, from: &Situation, make: impl FnOnce(&mut Situation)) -> Self {
        let mut made = from.clone();
        make(&mut made);
        Self { step: Step { hand, what: what.into() }, made }
    }
}

/// Conditions to be turned over, with the policy of each and what it came to.
pub(super) type Involved<'a> = [(&'a Policy, &'a Condition, Option<bool>)];

/// How a hand could change a situation.
pub(super) fn candidates(from: &Situation, by: Hand, involved: &Involved<'_>) -> Vec<Change> {
    let mine = involved.iter().filter(|(_, condition, _)| hand(condition) == by);
    let literals: Vec<&Literal> = mine.clone().flat_map(|(_, c, _)| facts::literals(c.expr())).collect();
    match by {
        Hand::SignInAgain | Hand::SecondFactor | Hand::SecurityKey => sign_ins(from, by),
        Hand::OtherNetwork => networks(from, &literals),
        Hand::OtherTime => times(from),
        Hand::EnrolledDevice => vec![Change::new(by, "use an enrolled device", from, |s| {
            let device = &mut s.device;
            device.id = device.id.take().or_else(|| DeviceId::new("enrolled").ok());
            (device.managed, device.compliance) = (true, Compliance::Compliant);
            (device.assurance, device.owner_matches) = (DeviceAssurance::Mtls, true);
            device.asserted_at = Some(s.now);
        })],
        Hand::Owner => {
            let owner =
                mine.clone().find_map(|(policy, ..)| policy.annotation("owner")).filter(|o| !o.is_empty());
            let of = owner.map_or_else(String::new, |owner| format!(" from its owner ({owner})"));
            grants(from, &literals, &of, mine.flat_map(|(_, c, _)| facts::names(c.expr())).collect())
        }
        Hand::Accounts => {
            vec![Change::new(by, "the account must say that they are an active employee here", from, |s| {
                let (country, next_year) = (s.place.country, s.now.plus(HOUR * 24 * 365));
                person(s, |user| {
                    (user.stage, user.employment) = (LifecycleStage::Active, Employment::Employee);
                    (user.home_country, user.contract_end) = (country, Some(next_year));
                });
            })]
        }
        Hand::Someone | Hand::Nobody => Vec::new(),
    }
}

fn sign_ins(from: &Situation, at_least: Hand) -> Vec<Change> {
    let ways = [
        (Hand::SignInAgain, "sign in again"),
        (Hand::SecondFactor, "sign in with a second factor"),
        (Hand::SecurityKey, "sign in with a security key"),
    ];
    ways.into_iter()
        .filter(|(hand, _)| *hand >= at_least)
        .map(|(hand, what)| {
            Change::new(hand, what, from, |s| {
                let session = &mut s.session;
                session.mfa |= hand >= Hand::SecondFactor;
                session.phishing_resistant |= hand == Hand::SecurityKey;
                session.authenticated_at = Some(s.now);
                session.mfa_at = session.mfa.then_some(s.now);
            })
        })
        .collect()
}

/// The networks and the countries that the conditions name, and the person's own country.
fn networks(from: &Situation, literals: &[&Literal]) -> Vec<Change> {
    let by = Hand::OtherNetwork;
    let mut all = Vec::new();
    let known = |s: &mut Situation| s.place.anonymizer = Presence::No;
    for literal in literals.iter().take(CANDIDATES_MAX) {
        match literal {
            Literal::String(text) => match text.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok()) {
                Some(ip) => {
                    all.push(Change::new(by, format!("come from `{text}`"), from, |s| s.place.ip = ip))
                }
                None => {
                    let network = text.to_string();
                    all.push(Change::new(by, format!("come from the network `{text}`"), from, |s| {
                        known(s);
                        s.place.networks.insert(network);
                    }));
                }
            },
            Literal::EntityUID(uid) if uid.entity_type().to_string() == "Country" => {
                let code: &str = uid.eid().as_ref();
                if let Some(country) = CountryCode::new(code).ok().filter(|c| *c != CountryCode::UNKNOWN) {
                    all.push(Change::new(by, format!("come from {country}"), from, |s| {
                        known(s);
                        s.place.country = country;
                    }));
                }
            }
            Literal::EntityUID(_) | Literal::Bool(_) | Literal::Long(_) => {}
        }
    }
    let home = match &*from.principal {
        Principal::User(user) => user.home_country,
        Principal::Agent(agent) => agent.on_behalf_of.home_country,
        Principal::ServiceAccount(_) | Principal::Visitor(_) => CountryCode::UNKNOWN,
    };
    if home != CountryCode::UNKNOWN {
        all.push(Change::new(by, format!("come from {home}, without an anonymizer"), from, |s| {
            known(s);
            s.place.country = home;
        }));
    }
    all.push(Change::new(by, "come without an anonymizer", from, known));
    all
}

/// The hours of the next week, noon first. Everything but the time stays as it is, and as old as it is.
fn times(from: &Situation) -> Vec<Change> {
    let noon = (NOON + HOUR * 24).saturating_sub(from.local_time).as_secs() / 3600 % 24;
    let hours = (1..=7 * 24_u64).filter(|h| h % 24 == noon).chain(1..=7 * 24);
    hours
        .map(|hours| {
            let later = HOUR * u32::try_from(hours).unwrap_or(1);
            let since_midnight = from.local_time + later;
            let days = since_midnight.as_secs() / 86_400;
            let local = Duration::from_secs(since_midnight.as_secs() % 86_400);
            let today = Weekday::ALL.iter().position(|day| *day == from.weekday).unwrap_or(0);
            let day = Weekday::ALL.into_iter().cycle().nth(today + usize::try_from(days).unwrap_or(0));
            let weekday = day.unwrap_or(from.weekday);
            let told = format!("come on {} at {:02}:00", weekday.as_str(), local.as_secs() / 3600);
            Change::new(Hand::OtherTime, told, from, |s| {
                (s.now, s.local_time, s.weekday) = (s.now.plus(later), local, weekday);
                for at in [&mut s.session.authenticated_at, &mut s.session.mfa_at, &mut s.device.asserted_at]
                {
                    *at = at.map(|at: UnixMillis| at.plus(later));
                }
            })
        })
        .collect()
}

/// What an owner can give: a role, a group, the app, a scope.
fn grants(from: &Situation, literals: &[&Literal], of: &str, names: Vec<String>) -> Vec<Change> {
    let by = Hand::Owner;
    let mut all = Vec::new();
    for literal in literals.iter().take(EXPLAIN_FACTS_MAX) {
        let Literal::EntityUID(uid) = literal else { continue };
        let (kind, id): (String, &str) = (uid.entity_type().to_string(), uid.eid().as_ref());
        if is_group(&kind) {
            all.push(Change::new(by, format!("get {uid}{of}"), from, |s| {
                person(s, |user| {
                    let held = if kind == "Role" { &mut user.roles } else { &mut user.groups };
                    held.insert(id.to_owned());
                });
            }));
        }
    }
    if names.iter().any(|name| name == "context.granted") {
        all.push(Change::new(by, format!("be granted the app{of}"), from, |s| s.granted = true));
    }
    if names.iter().any(|name| name == "principal.scopes") && !from.route.scope.is_empty() {
        let scope = from.route.scope.clone();
        all.push(Change::new(by, format!("get the scope `{scope}`{of}"), from, |s| {
            match Arc::make_mut(&mut s.principal) {
                Principal::ServiceAccount(account) => drop(account.scopes.insert(scope)),
                Principal::Agent(agent) => drop(agent.scopes.insert(scope)),
                Principal::User(_) | Principal::Visitor(_) => {}
            }
        }));
    }
    all
}

/// Changes the person in a situation: whoever asks, or whoever an agent acts for.
fn person(situation: &mut Situation, change: impl FnOnce(&mut User)) {
    match Arc::make_mut(&mut situation.principal) {
        Principal::User(user) => change(user),
        Principal::Agent(agent) => change(&mut agent.on_behalf_of),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => {}
    }
}
