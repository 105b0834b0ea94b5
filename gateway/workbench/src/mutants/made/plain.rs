//! What the solver found, as near to a case that is there as it can be.
//!
//! A solver takes any country, any device, anybody. Each part that need not be so is taken from a case: of all cases the
//! one with which the shortest text comes out.

use std::sync::Arc;

use doorward_model::principal::User;
use doorward_model::{Principal, UnixMillis};
use doorward_policy::{Decision, NewCase, Situation, Workshop};

/// A part of a situation: takes it from the second into the first.
type Part = fn(&mut Situation, &Situation);

/// The parts, the larger ones first: what is taken as a whole is not looked at again.
const PARTS: [Part; 22] = [
    |to, from| (to.principal, to.owner_stage) = (Arc::clone(&from.principal), from.owner_stage),
    |to, from| to.route = from.route.clone(),
    |to, from| to.action = from.action,
    // The first of these takes the time along, so that what was long ago is as long ago as it was.
    |to, from| moved(to, from.now),
    |to, from| to.session = aged(from, to).session,
    |to, from| to.device = aged(from, to).device,
    |to, from| to.place = from.place.clone(),
    |to, from| to.risk = from.risk,
    |to, from| to.local_time = from.local_time,
    |to, from| to.weekday = from.weekday,
    |to, from| to.granted = from.granted,
    |to, from| to.host.clone_from(&from.host),
    |to, from| to.path.clone_from(&from.path),
    |to, from| to.user_agent.clone_from(&from.user_agent),
    |to, from| to.place.country = from.place.country,
    |to, from| to.place.networks.clone_from(&from.place.networks),
    |to, from| people(to, from, |to, from| to.id.clone_from(&from.id)),
    |to, from| people(to, from, |to, from| to.roles.clone_from(&from.roles)),
    |to, from| people(to, from, |to, from| to.groups.clone_from(&from.groups)),
    |to, from| people(to, from, |to, from| (to.stage, to.employment) = (from.stage, from.employment)),
    |to, from| {
        people(to, from, |to, from| {
            (to.home_country, to.contract_end) = (from.home_country, from.contract_end)
        })
    },
    |to, from| {
        people(to, from, |to, from| {
            to.department.clone_from(&from.department);
            to.tags.clone_from(&from.tags);
        });
    },
];

/// The plainest situation that still is one for which `notices` says so. `found` is one.
pub(super) fn plainest(shop: &Workshop, found: Situation, notices: impl Fn(&Situation) -> bool) -> Situation {
    let near = |from: &Situation| {
        let mut plain = found.clone();
        for part in PARTS {
            let mut tried = plain.clone();
            part(&mut tried, from);
            if tried != plain && notices(&tried) {
                plain = tried;
            }
        }
        plain
    };
    let mut best = (length(shop, &found), found.clone());
    for situation in shop.cases().iter().filter_map(|case| case.situation.ok()) {
        let plain = near(&situation);
        let length = length(shop, &plain);
        if length < best.0 {
            best = (length, plain);
        }
    }
    best.1
}

/// How long a case of it would be; one that cannot be written is the longest.
pub(super) fn length(shop: &Workshop, situation: &Situation) -> usize {
    let case = NewCase { name: "", situation, expect: Decision::Deny, by: &[] };
    shop.cases().write(&case).map_or(usize::MAX, |text| text.len())
}

/// Another time, at which everything is as long ago as it was.
fn moved(situation: &mut Situation, now: UnixMillis) {
    let was = situation.now;
    let moved = |at: &mut Option<UnixMillis>| *at = at.map(|at| now.minus(was.since(at)));
    moved(&mut situation.session.authenticated_at);
    moved(&mut situation.session.mfa_at);
    moved(&mut situation.device.asserted_at);
    situation.now = now;
}

/// A situation at the time of another one.
fn aged(from: &Situation, at: &Situation) -> Situation {
    let mut aged = from.clone();
    moved(&mut aged, at.now);
    aged
}

/// Changes the person, or the one for whom an agent acts.
fn people(to: &mut Situation, from: &Situation, change: impl Fn(&mut User, &User)) {
    let Some(from) = person(&from.principal) else { return };
    let mut principal = Principal::clone(&to.principal);
    match &mut principal {
        Principal::User(user) => change(user, from),
        Principal::Agent(agent) => change(&mut agent.on_behalf_of, from),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => return,
    }
    to.principal = Arc::new(principal);
}

fn person(principal: &Principal) -> Option<&User> {
    match principal {
        Principal::User(user) => Some(user),
        Principal::Agent(agent) => Some(&agent.on_behalf_of),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
    }
}
