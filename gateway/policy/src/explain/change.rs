//! A change of a situation: what is said of it, and what it does.
//!
//! What is said must be enough: whoever does just that passes. So a change does what its words say and nothing
//! besides, and a way is decided again with its changes made in the order in which they are told.

mod candidates;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::{
    Compliance, CountryCode, DeviceAssurance, DeviceId, Employment, LifecycleStage, Presence, Principal,
    UnixMillis, User, Weekday,
};

pub(super) use self::candidates::candidates;
use super::hand::Hand;
use super::way::Step;
use crate::situation::Situation;

/// A change, and how it is told. It holds nothing of the situation: thousands of them may be thought of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) step: Step,
    edit: Edit,
}

/// What becomes otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Edit {
    /// A sign-in of this strength, just now. Who had a second factor has it again.
    SignIn(Hand),
    /// Exactly these networks.
    Networks(BTreeSet<String>),
    Address(IpAddr),
    Country(CountryCode),
    NoAnonymizer,
    /// Another time; everything else is as old then as it is now.
    Time {
        now: UnixMillis,
        local: Duration,
        weekday: Weekday,
        /// The date is told, too.
        dated: bool,
    },
    Device,
    Role(String),
    Group(String),
    App,
    Scope(String),
    Active,
    Employment(Employment),
    ContractEnd(UnixMillis),
    HomeCountry(CountryCode),
    Department(String),
}

/// What is taken for granted of another time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calendar {
    /// The date goes on with it.
    Moves,
    /// Nothing but what is told: the time of day and the day of the week.
    Stands,
}

impl Change {
    fn new(hand: Hand, what: impl Into<String>, edit: Edit) -> Self {
        Self { step: Step { hand, what: what.into() }, edit }
    }

    /// Whether its words leave the date open, which goes on all the same.
    pub(super) const fn is_undated(&self) -> bool {
        matches!(self.edit, Edit::Time { dated: false, .. })
    }

    fn make(&self, s: &mut Situation, calendar: Calendar) {
        match &self.edit {
            Edit::SignIn(hand) => {
                let session = &mut s.session;
                session.mfa |= *hand >= Hand::SecondFactor;
                session.phishing_resistant |= *hand == Hand::SecurityKey;
                session.authenticated_at = Some(s.now);
                session.mfa_at = session.mfa.then_some(s.now);
            }
            Edit::Networks(networks) => s.place.networks.clone_from(networks),
            Edit::Address(ip) => s.place.ip = *ip,
            Edit::Country(country) => s.place.country = *country,
            Edit::NoAnonymizer => s.place.anonymizer = Presence::No,
            Edit::Time { now, local, weekday, dated } => {
                let now = if *dated || calendar == Calendar::Moves { *now } else { s.now };
                s.moved_to(now, *local, *weekday);
            }
            Edit::Device => {
                let device = &mut s.device;
                device.id = device.id.take().or_else(|| DeviceId::new("enrolled").ok());
                (device.managed, device.compliance) = (true, Compliance::Compliant);
                (device.assurance, device.owner_matches) = (DeviceAssurance::Mtls, true);
                device.asserted_at = Some(s.now);
            }
            Edit::App => s.granted = true,
            Edit::Scope(scope) => match Arc::make_mut(&mut s.principal) {
                Principal::ServiceAccount(account) => account.scopes.extend([scope.clone()]),
                Principal::Agent(agent) => agent.scopes.extend([scope.clone()]),
                Principal::User(_) | Principal::Visitor(_) => {}
            },
            Edit::Role(role) => person(s, |user| user.roles.extend([role.clone()])),
            Edit::Group(group) => person(s, |user| user.groups.extend([group.clone()])),
            Edit::Active => person(s, |user| user.stage = LifecycleStage::Active),
            Edit::Employment(employment) => person(s, |user| user.employment = *employment),
            Edit::ContractEnd(end) => person(s, |user| user.contract_end = Some(*end)),
            Edit::HomeCountry(country) => person(s, |user| user.home_country = *country),
            Edit::Department(name) => person(s, |user| user.department = Some(name.clone())),
        }
    }

    /// Whether the two cannot both be so, or need not: of two sign-ins the stronger is enough, and nobody comes from
    /// two countries.
    fn replaces(&self, other: &Self) -> bool {
        match (&self.edit, &other.edit) {
            (Edit::SignIn(one), Edit::SignIn(other)) => one >= other,
            (Edit::Networks(_), Edit::Networks(_))
            | (Edit::Address(_), Edit::Address(_))
            | (Edit::Country(_), Edit::Country(_))
            | (Edit::Time { .. }, Edit::Time { .. })
            | (Edit::Employment(_), Edit::Employment(_))
            | (Edit::ContractEnd(_), Edit::ContractEnd(_))
            | (Edit::HomeCountry(_), Edit::HomeCountry(_))
            | (Edit::Department(_), Edit::Department(_)) => true,
            (one, other) => one == other,
        }
    }
}

/// Changes as they are told: the easiest first, none that another one makes vain.
pub(super) fn told<'c>(changes: impl IntoIterator<Item = &'c Change>) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    for change in changes {
        if all.iter().any(|kept| matches!(kept.edit, Edit::SignIn(_)) && kept.replaces(change)) {
            continue;
        }
        all.retain(|kept| !change.replaces(kept));
        all.push(change.clone());
    }
    all.sort_by(|a, b| (a.step.hand, &a.step.what).cmp(&(b.step.hand, &b.step.what)));
    all
}

/// The situation with these changes.
pub(super) fn made(from: &Situation, changes: &[Change], calendar: Calendar) -> Situation {
    let mut made = from.clone();
    for change in changes {
        change.make(&mut made, calendar);
    }
    made
}

/// Changes the person in a situation: whoever asks, or whoever an agent acts for.
fn person(situation: &mut Situation, change: impl FnOnce(&mut User)) {
    match Arc::make_mut(&mut situation.principal) {
        Principal::User(user) => change(user),
        Principal::Agent(agent) => change(&mut agent.on_behalf_of),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => {}
    }
}

#[cfg(test)]
mod tests;
