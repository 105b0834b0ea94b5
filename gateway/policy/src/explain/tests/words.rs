//! What is told to change, read as somebody would who has nothing but the words.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::{
    Compliance, CountryCode, DeviceAssurance, DeviceId, Employment, LifecycleStage, Presence, Principal,
    UnixMillis, User, Weekday,
};

use super::dice::with_person;
use crate::situation::Situation;

/// The situation of somebody who did just this.
pub(super) fn done<'w>(from: &Situation, steps: impl Iterator<Item = &'w str>) -> Situation {
    let mut situation = from.clone();
    steps.for_each(|words| does(&mut situation, words));
    situation
}

/// What stands in backticks.
fn quoted(words: &str) -> Vec<String> {
    words.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn does(s: &mut Situation, words: &str) {
    if let Some(how) = words.strip_prefix("sign in ") {
        s.session.mfa |= how != "again";
        s.session.phishing_resistant |= how == "with a security key";
        s.session.authenticated_at = Some(s.now);
        s.session.mfa_at = s.session.mfa.then_some(s.now);
    } else if let Some(where_from) = words.strip_prefix("come from ") {
        let networks: BTreeSet<String> = quoted(words).into_iter().collect();
        match where_from.split(' ').next().unwrap() {
            "the" | "an" | "none" => s.place.networks = networks,
            ip if ip.starts_with('`') => {
                s.place.ip = quoted(words)[0].split('/').next().unwrap().parse().unwrap()
            }
            country => s.place.country = CountryCode::new(country).unwrap(),
        }
    } else if words == "come without an anonymizer" {
        s.place.anonymizer = Presence::No;
    } else if let Some(when) = words.strip_prefix("come on ") {
        at(s, when);
    } else if words == "use an enrolled device" {
        let device = &mut s.device;
        device.id = device.id.take().or_else(|| DeviceId::new("enrolled").ok());
        (device.managed, device.compliance) = (true, Compliance::Compliant);
        (device.assurance, device.owner_matches) = (DeviceAssurance::Mtls, true);
        device.asserted_at = Some(s.now);
    } else {
        given(s, words);
    }
}

/// `sun at 11:00`, and perhaps `, which is` the date.
fn at(s: &mut Situation, when: &str) {
    let (clock, date) = when.split_once(", which is ").map_or((when, None), |(c, d)| (c, Some(d)));
    let (day, time) = clock.split_once(" at ").unwrap();
    s.weekday = Weekday::ALL.into_iter().find(|weekday| weekday.as_str() == day).unwrap();
    let parts = time.split(':').zip([3600, 60, 1]);
    s.local_time = Duration::from_secs(parts.map(|(n, unit)| n.parse::<u64>().unwrap() * unit).sum());
    if let Some(date) = date {
        let now = UnixMillis(date.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let later = Duration::from_millis((now.0 - s.now.0).unsigned_abs());
        s.now = now;
        for at in [&mut s.session.authenticated_at, &mut s.session.mfa_at, &mut s.device.asserted_at] {
            *at = at.map(|at| at.plus(later));
        }
    }
}

/// What others give.
fn given(s: &mut Situation, words: &str) {
    let name = quoted(words).first().cloned().unwrap_or_default();
    if let Some(group) = words.strip_prefix("get Role::").or_else(|| words.strip_prefix("get Group::")) {
        let name = group.split('"').nth(1).unwrap().to_owned();
        let role = words.contains("Role::");
        let of = |user: &mut User| if role { user.roles.extend([name]) } else { user.groups.extend([name]) };
        return with_person(s, of);
    }
    if words.starts_with("be granted the app") {
        s.granted = true;
    } else if words.starts_with("get the scope") {
        match Arc::make_mut(&mut s.principal) {
            Principal::ServiceAccount(account) => account.scopes.extend([name]),
            Principal::Agent(agent) => agent.scopes.extend([name]),
            Principal::User(_) | Principal::Visitor(_) => panic!("{words}"),
        }
    } else if words == "the account must be active" {
        with_person(s, |user| user.stage = LifecycleStage::Active);
    } else if let Some(end) = words.strip_prefix("the contract in the account must end later, such as on ") {
        let end: jiff::Timestamp = format!("{end}T00:00:00Z").parse().unwrap();
        with_person(s, |user| user.contract_end = Some(UnixMillis(end.as_millisecond())));
    } else if let Some(country) = words.strip_prefix("the account must say that their country is ") {
        with_person(s, |user| user.home_country = CountryCode::new(country).unwrap());
    } else if words.starts_with("the account must say that the department is") {
        with_person(s, |user| user.department = Some(name));
    } else if words.starts_with("the account must say `") {
        let employment = Employment::ALL.into_iter().find(|e| e.as_str() == name).unwrap();
        with_person(s, |user| user.employment = employment);
    } else {
        panic!("nobody understands `{words}`");
    }
}
