//! What the solver found, before anybody believes it.
//!
//! A model of the solver is a claim. It counts when Cedar itself decides as claimed on it and, where the
//! gateway's own words are spoken, on a request that the gateway can make. It is made as plain as it can be:
//! what need not differ from the usual does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Decision as Cedar, Entities, Entity, EntityUid, EvalResult, Policy, PolicySet, Request,
};
use doorward_model::{Agent, Principal, ServiceAccount, User};
use doorward_policy::{Decision, PolicyBundle, Rounding, Situation};

use super::{Decided, Why, World, heard};

/// A request on which something was tried.
pub(super) struct Seen<T> {
    pub(super) request: Request,
    pub(super) entities: Entities,
    pub(super) situation: Option<Situation>,
    pub(super) outcome: T,
}

/// What Cedar decides; none if a policy cannot be evaluated, which the gateway refuses.
pub(crate) fn decide(set: &PolicySet, request: &Request, entities: &Entities) -> Option<Decided> {
    let response = Authorizer::new().is_authorized(request, set, entities);
    if response.diagnostics().errors().next().is_some() {
        return None;
    }
    let mut by: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    by.sort();
    let decision = match response.decision() {
        Cedar::Allow => Decision::Allow,
        Cedar::Deny => Decision::Deny,
    };
    Some(Decided { decision, by })
}

/// Whether the policy cannot be evaluated.
pub(super) fn errs(policy: &Policy, request: &Request, entities: &Entities) -> Option<String> {
    let set = PolicySet::from_policies([policy.clone()]).ok()?;
    let response = Authorizer::new().is_authorized(request, &set, entities);
    response.diagnostics().errors().next().map(ToString::to_string)
}

/// Whether the policy matches, whatever its effect.
pub(crate) fn matches(policy: &Policy, request: &Request, entities: &Entities) -> bool {
    let alone = PolicySet::from_policies([policy.clone()]);
    alone.is_ok_and(|set| {
        let response = Authorizer::new().is_authorized(request, &set, entities);
        response.diagnostics().reason().next().is_some()
    })
}

/// Tries what the solver claims. `holds` says what comes of a request if the claim is true of it.
pub(super) fn believe<T>(
    world: &World<'_>,
    request: Request,
    entities: Entities,
    holds: impl Fn(&Request, &Entities) -> Option<T>,
) -> Result<Seen<T>, Why> {
    let Some(outcome) = holds(&request, &entities) else {
        return Err(Why::NotReplayed("Cedar itself decides otherwise".to_owned()));
    };
    let Some(bundle) = world.doorward() else {
        let fewer = trimmed(&request, &entities);
        return Ok(match holds(&request, &fewer) {
            Some(outcome) => Seen { request, entities: fewer, situation: None, outcome },
            None => Seen { request, entities, situation: None, outcome },
        });
    };
    let mut why = "the gateway would say otherwise what the solver made up".to_owned();
    for rounding in Rounding::all() {
        let read = match Situation::read(&request, &entities, rounding) {
            Ok(read) => read,
            Err(e) => {
                why = e;
                continue;
            }
        };
        let same = |s: &Situation| {
            let (request, entities) = bundle.in_cedar(&s.question()).ok()?;
            Some((holds(&request, &entities)?, request, entities))
        };
        let heard = heard::as_heard(read);
        let mut somewhere = heard.iter().flat_map(Situation::somewhere);
        let Some(read) = somewhere.find(|s| same(s).is_some()) else {
            if heard.iter().any(|s| same(s).is_some()) {
                why = "it is only at a time that is on its day of the week nowhere".to_owned();
            }
            continue;
        };
        let plain = simplified(read, world, bundle, |s| same(s).is_some());
        if let Some((outcome, request, entities)) = same(&plain) {
            return Ok(Seen { request, entities, situation: Some(plain), outcome });
        }
    }
    Err(Why::NotReplayed(why))
}

/// With how many situations of cases a counterexample is compared.
const KNOWN_MAX: usize = 200;

/// A change to a situation.
type Change = fn(&mut Situation, &Situation);

/// What may be as usual, from what matters least to people on.
const CHANGES: [Change; 16] = [
    |s, usual| s.user_agent.clone_from(&usual.user_agent),
    |s, usual| s.path.clone_from(&usual.path),
    |s, usual| s.host.clone_from(&usual.host),
    |s, usual| s.device = usual.device.clone(),
    |s, usual| s.risk = usual.risk,
    |s, usual| s.place = usual.place.clone(),
    |s, usual| {
        // Together: an age is counted from the time.
        (s.now, s.local_time, s.weekday) = (usual.now, usual.local_time, usual.weekday);
        s.session = usual.session;
        s.device.asserted_at = usual.device.asserted_at;
    },
    |s, usual| {
        // Or as near to it as its day of the week lets it be, which may be what matters.
        s.moved_to(usual.now, s.local_time, s.weekday);
        let near = s.somewhere().next();
        *s = near.unwrap_or_else(|| s.clone());
    },
    |s, usual| s.local_time = usual.local_time,
    |s, usual| s.weekday = usual.weekday,
    |s, usual| s.session = usual.session,
    |s, _| s.granted = false,
    |s, usual| s.place.networks.clone_from(&usual.place.networks),
    |s, usual| {
        s.place.continent.clone_from(&usual.place.continent);
        s.place.asn = usual.place.asn;
        s.place.anonymizer = usual.place.anonymizer;
    },
    |s, usual| s.place.ip = usual.place.ip,
    |s, usual| s.place.country = usual.place.country,
];

/// The situation with everything as usual that need not differ.
fn simplified(
    mut s: Situation,
    world: &World<'_>,
    bundle: &PolicyBundle,
    holds: impl Fn(&Situation) -> bool,
) -> Situation {
    let usual = world.usual();
    let keep = |s: &mut Situation, next: Situation| {
        if next != *s && next.is_somewhere() && bundle.in_cedar(&next.question()).is_ok() && holds(&next) {
            *s = next;
        }
    };
    // Somebody whom the cases know, and a route that they know, before somebody and something made up.
    for known in usual.iter().take(KNOWN_MAX) {
        let route = Situation { route: known.route.clone(), ..s.clone() };
        let who = Situation {
            principal: Arc::clone(&known.principal),
            owner_stage: known.owner_stage,
            ..s.clone()
        };
        for next in [Situation { route: known.route.clone(), ..who.clone() }, who, route] {
            if holds(&next) {
                s = next;
                break;
            }
        }
    }
    for route in world.routes() {
        if s.route.id == route.id {
            let as_known = Situation { route: route.clone(), ..s.clone() };
            keep(&mut s, as_known);
        }
    }
    if let Some(usual) = usual.first() {
        for change in CHANGES {
            let mut next = s.clone();
            change(&mut next, usual);
            keep(&mut s, next);
        }
    }
    for next in less_of_whom(&s) {
        let less = next(&s);
        keep(&mut s, less);
    }
    // A route that the cases know stays as they know it, so that a case can be written about it.
    if !world.routes().contains(&s.route) {
        for group in s.route.app_groups.clone() {
            let mut less = s.clone();
            less.route.app_groups.retain(|g| *g != group);
            keep(&mut s, less);
        }
    }
    s
}

/// A way to say less.
type Less = Box<dyn Fn(&Situation) -> Situation>;

/// Everything that could be left out of whoever asks, one by one.
fn less_of_whom(s: &Situation) -> Vec<Less> {
    let mut all: Vec<Less> = Vec::new();
    let mut of_user = |change: Box<dyn Fn(&mut User)>| {
        all.push(Box::new(move |s: &Situation| whom(s, |user| change(user), |_| {})));
    };
    let (person, scopes) = match &*s.principal {
        Principal::User(user) => (Some(user), None),
        Principal::Agent(agent) => (Some(&agent.on_behalf_of), Some(&agent.scopes)),
        Principal::ServiceAccount(account) => (None, Some(&account.scopes)),
        Principal::Visitor(_) => (None, None),
    };
    if let Some(user) = person {
        let names = user.roles.iter().chain(&user.groups).chain(user.tags.keys());
        for name in names.cloned().collect::<BTreeSet<String>>() {
            of_user(Box::new(move |user| {
                user.roles.remove(&name);
                user.groups.remove(&name);
                user.tags.remove(&name);
            }));
        }
        of_user(Box::new(|user| user.department = None));
        of_user(Box::new(|user| user.contract_end = None));
    }
    for scope in scopes.into_iter().flatten() {
        let scope = scope.clone();
        all.push(Box::new(move |s| {
            whom(
                s,
                |_| {},
                |scopes| {
                    scopes.remove(&scope);
                },
            )
        }));
    }
    all
}

/// The same with the person, or the scopes of the program, changed.
fn whom(
    s: &Situation,
    person: impl FnOnce(&mut User),
    scopes: impl FnOnce(&mut BTreeSet<String>),
) -> Situation {
    let mut principal = (*s.principal).clone();
    match &mut principal {
        Principal::User(user) => person(user),
        Principal::Agent(Agent { on_behalf_of, scopes: held, .. }) => {
            person(on_behalf_of);
            scopes(held);
        }
        Principal::ServiceAccount(ServiceAccount { scopes: held, .. }) => scopes(held),
        Principal::Visitor(_) => {}
    }
    Situation { principal: Arc::new(principal), ..s.clone() }
}

/// The entities that a policy can look into from the request on: no closed lists, nobody else.
fn trimmed(request: &Request, entities: &Entities) -> Entities {
    let by_name: BTreeMap<EntityUid, &Entity> = entities.iter().map(|e| (e.uid(), e)).collect();
    let mut wanted: Vec<EntityUid> =
        [request.principal(), request.action(), request.resource()].into_iter().flatten().cloned().collect();
    let named_here: BTreeSet<EntityUid> = wanted.iter().cloned().collect();
    if let Some(context) = request.context() {
        let said = context.clone().into_iter().filter_map(|(key, _)| context.get(&key));
        wanted.extend(said.flat_map(|value| names(&value)));
    }
    let mut kept: BTreeSet<EntityUid> = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let Some(entity) = by_name.get(&name) else { continue };
        let bare = entity.attrs().next().is_none() && entity.tags().next().is_none();
        let alone = entities.ancestors(&name).is_none_or(|mut above| above.next().is_none());
        // What has nothing in it and is in nothing says nothing.
        if bare && alone && !named_here.contains(&name) || !kept.insert(name.clone()) {
            continue;
        }
        wanted.extend(entities.ancestors(&name).into_iter().flatten().cloned());
        for (_, value) in entity.attrs().chain(entity.tags()) {
            wanted.extend(value.iter().flat_map(names));
        }
    }
    let rest = entities.iter().filter(|e| kept.contains(&e.uid())).cloned();
    Entities::from_entities(rest, None).unwrap_or_else(|_| entities.clone())
}

/// The entities that a value names.
fn names(value: &EvalResult) -> Vec<EntityUid> {
    match value {
        EvalResult::EntityUid(name) => vec![name.clone()],
        EvalResult::Set(set) => set.iter().flat_map(names).collect(),
        EvalResult::Record(record) => record.iter().flat_map(|(_, v)| names(v)).collect(),
        EvalResult::Bool(_) | EvalResult::Long(_) | EvalResult::String(_) | EvalResult::ExtensionValue(_) => {
            Vec::new()
        }
    }
}
