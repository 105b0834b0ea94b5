//! Situations at random.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::{
    Compliance, CountryCode, Employment, LifecycleStage, Presence, Principal, Risk, UnixMillis, User, Weekday,
};

use super::CASES;
use crate::question::Action;
use crate::situation::Situation;

pub(super) fn with_person(situation: &mut Situation, change: impl FnOnce(&mut User)) {
    match Arc::make_mut(&mut situation.principal) {
        Principal::User(user) => change(user),
        Principal::Agent(agent) => change(&mut agent.on_behalf_of),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => {}
    }
}

/// A small number leaves it as the case has it.
fn pick(die: u8, of: usize) -> Option<usize> {
    (die >= 100).then(|| usize::from(die) % of)
}

pub(super) type Dice = [u8; 14];

/// A case, and any number of facts of it others.
pub(super) fn situation(case: usize, dice: Dice) -> Situation {
    let mut s = CASES[case % CASES.len()].clone();
    let [
        route,
        action,
        session,
        ages,
        device,
        posture,
        zones,
        country,
        person,
        roles,
        risk,
        time,
        granted,
        home,
    ] = dice;
    if let Some(n) = pick(route, CASES.len()) {
        s.route = CASES[n].route.clone();
    }
    if let Some(n) = pick(action, Action::ALL.len()) {
        s.action = Action::ALL[n];
    }
    if let Some(n) = pick(session, 4) {
        (s.session.mfa, s.session.phishing_resistant) = (n & 1 != 0, n & 2 != 0);
    }
    if let Some(n) = pick(ages, 5) {
        let at = [None, Some(0), Some(840), Some(1000), Some(50_000)][n];
        let at = at.map(|seconds| UnixMillis(s.now.0 - seconds * 1000));
        (s.session.authenticated_at, s.session.mfa_at) = (at, at);
    }
    if let Some(n) = pick(device, 4) {
        s.device.managed = n & 1 != 0;
        s.device.compliance = if n & 2 != 0 { Compliance::Compliant } else { Compliance::NotCompliant };
    }
    if let Some(n) = pick(posture, 2) {
        s.device.asserted_at = (n == 0).then_some(s.now);
    }
    if let Some(n) = pick(zones, 3) {
        s.place.networks = [vec![], vec!["corp"], vec!["vpn"]][n].iter().map(|z| (*z).to_owned()).collect();
    }
    if let Some(n) = pick(country, 4) {
        s.place.country = CountryCode::new(["ZZ", "DE", "FR", "KP"][n]).unwrap();
        s.place.anonymizer = if n == 2 { Presence::Yes } else { Presence::No };
    }
    of_person(&mut s, [person, roles, home]);
    if let Some(n) = pick(risk, 4) {
        s.risk = [Risk::UNKNOWN, Risk::scored(10), Risk::scored(50), Risk::scored(90)][n];
    }
    if let Some(n) = pick(time, 24) {
        (s.local_time, s.weekday) = (std::time::Duration::from_secs(n as u64 * 3600), Weekday::ALL[n % 7]);
    }
    s.granted = granted % 2 == 0;
    s
}

fn of_person(s: &mut Situation, [person, roles, home]: [u8; 3]) {
    if let Some(n) = pick(person, 12) {
        let (stage, employment) = (LifecycleStage::ALL[n % 6], Employment::ALL[n % 4]);
        let end = (n % 3 == 0).then(|| s.now.plus(std::time::Duration::from_secs(99)));
        with_person(s, |user| (user.stage, user.employment, user.contract_end) = (stage, employment, end));
    }
    if let Some(n) = pick(roles, 5) {
        let roles: BTreeSet<String> =
            [vec![], vec!["hr"], vec!["engineer"], vec!["platform-admin"], vec!["payroll-admin", "hr"]][n]
                .iter()
                .map(|role| (*role).to_owned())
                .collect();
        with_person(s, |user| user.roles = roles);
    }
    if let Some(n) = pick(home, 3) {
        let home = CountryCode::new(["ZZ", "DE", "FR"][n]).unwrap();
        with_person(s, |user| user.home_country = home);
    }
}
