//! Tries everything once before it is put in force.
//!
//! First the words: the gateway says everything that it can say, and the schema checks it, so
//! that a schema which does not fit is found now and not in a request. Then the policies: each
//! is evaluated for each kind of principal that its scope admits, on a stack half the size of
//! a worker's. A policy that is too deep fails here with "recursion limit reached"; in a request
//! it would have been passed over.

mod unsaid;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityUid, Policy, PolicySet, PrincipalConstraint, Request,
    ResourceConstraint,
};
use doorward_model::principal::{Agent, ServiceAccount, User, UserId, Visitor};
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceAssurance, DeviceId, DevicePosture, Employment,
    IssuerId, LifecycleStage, Place, Presence, Principal, Risk, RiskLevel, RiskReason, RiskReasons,
    RouteFacts, RouteId, SubjectId, Tier, UnixMillis, Weekday,
};

use crate::circumstances::Circumstances;
use crate::compile::Compiled;
use crate::entities::Scene;
use crate::failure::Finding;
use crate::question::{Action, Question};
use crate::rule::Rule;
use crate::vocabulary::{Kind, Vocabulary, whole};

/// A time that every calendar has: 2026-01-01.
const SOME_TIME: UnixMillis = UnixMillis(1_767_225_600_000);

/// Says everything that the gateway can say; returns what the schema `text` does not take, and
/// what is in it that the gateway never says.
pub(crate) fn words(words: &Vocabulary, text: &str) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for full in [false, true] {
        for principal in principals(full) {
            for stage in LifecycleStage::ALL {
                if let Err(e) = Rehearsal::new(Arc::clone(&principal), full).say(words, stage) {
                    wrong.insert(e);
                }
            }
        }
    }
    for user in every_user() {
        let principal = Arc::new(Principal::User(user));
        if let Err(e) = Rehearsal::new(principal, true).say(words, LifecycleStage::Unknown) {
            wrong.insert(e);
        }
    }
    if wrong.is_empty() {
        match everything(words).and_then(|said| unsaid::compare(text, words, &said)) {
            Ok(unsaid) => wrong.extend(unsaid),
            Err(e) => drop(wrong.insert(e)),
        }
    }
    wrong.into_iter().collect()
}

/// Everything that the gateway says when all of it is known.
fn everything(words: &Vocabulary) -> Result<unsaid::Said, String> {
    let mut said = unsaid::Said::default();
    let circumstances = Circumstances::new();
    for principal in principals(true) {
        let rehearsal = Rehearsal::new(principal, true);
        let route = &rehearsal.route;
        let scene = Scene::new(words, &rehearsal.principal, LifecycleStage::Active, route)?;
        said.entities(&scene.entities);
        let question = rehearsal.question(Action::Get, route, Weekday::Wed);
        said.context(&circumstances.context(words, &question)?);
    }
    Ok(said)
}

/// Evaluates every policy on this thread's stack; adds a finding for each that fails.
pub(crate) fn policies(words: &Vocabulary, policies: &[Compiled], findings: &mut Vec<Finding>) {
    let stands = match Stands::new(words) {
        Ok(stands) => stands,
        Err(e) => {
            return findings
                .push(Finding::new(format!("no policy could be tried: {e}")).rule_is(Rule::NotEvaluated));
        }
    };
    for compiled in policies {
        if let Err(e) = stands.attempt(words, &compiled.policy) {
            let id = compiled.policy.id();
            let finding = compiled.finding(format!("`{id}` cannot be evaluated: {e}"));
            let finding = finding.rule_is(Rule::NotEvaluated);
            findings
                .push(finding.help("in a request it would count as an error, and errors refuse the request"));
        }
    }
}

// === what the gateway can say ===

/// One request with nothing or everything that is optional in it.
struct Rehearsal {
    principal: Arc<Principal>,
    route: RouteFacts,
    place: Place,
    device: DevicePosture,
    session: Assurance,
    full: bool,
}

impl Rehearsal {
    fn new(principal: Arc<Principal>, full: bool) -> Self {
        let text = |t: &str| full.then(|| t.to_owned());
        Self {
            principal,
            route: RouteFacts {
                id: route_id(),
                app_groups: text("probe").into_iter().collect(),
                tier: Tier::Internal,
                scope: text("probe").unwrap_or_default(),
                admin_surface: full,
                public: full,
            },
            place: Place {
                ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                networks: text("probe").into_iter().collect(),
                country: CountryCode::UNKNOWN,
                continent: text("EU"),
                asn: full.then_some(64_496),
                anonymizer: if full { Presence::Yes } else { Presence::Unknown },
                location: None,
            },
            device: DevicePosture {
                id: DeviceId::new("probe").ok().filter(|_| full),
                managed: full,
                compliance: if full { Compliance::Compliant } else { Compliance::Unknown },
                platform: text("probe"),
                assurance: if full { DeviceAssurance::Mtls } else { DeviceAssurance::None },
                owner_matches: full,
                asserted_at: full.then_some(SOME_TIME),
            },
            session: Assurance {
                mfa: full,
                phishing_resistant: full,
                authenticated_at: full.then_some(SOME_TIME),
                mfa_at: full.then_some(SOME_TIME),
            },
            full,
        }
    }

    fn question<'a>(&'a self, action: Action, route: &'a RouteFacts, weekday: Weekday) -> Question<'a> {
        Question {
            principal: &self.principal,
            owner_stage: LifecycleStage::Unknown,
            granted: self.full,
            action,
            route,
            session: &self.session,
            device: &self.device,
            place: &self.place,
            risk: if self.full { some_risk() } else { Risk::UNKNOWN },
            now: SOME_TIME,
            local_time: Duration::from_secs(12 * 3600),
            weekday,
            host: "probe.example",
            path: "/",
            user_agent: self.full.then_some("probe"),
        }
    }

    /// Everything with this principal: each action, tier and weekday at least once.
    fn say(&self, words: &Vocabulary, owner_stage: LifecycleStage) -> Result<(), String> {
        let said = Circumstances::new();
        for (tier, risk) in Tier::ALL.into_iter().zip(every_risk()) {
            let route = RouteFacts { tier, ..self.route.clone() };
            let scene = Scene::new(words, &self.principal, owner_stage, &route)?;
            for (action, weekday) in Action::ALL.into_iter().zip(Weekday::ALL.into_iter().cycle()) {
                let question = Question { risk, ..self.question(action, &route, weekday) };
                let context = said.context(words, &question)?;
                let action = words.action(action).clone();
                let (principal, resource) = (scene.principal.clone(), scene.resource.clone());
                Request::new(principal, action, resource, context, Some(&words.schema))
                    .map_err(|e| whole(&e))?;
            }
        }
        Ok(())
    }
}

fn route_id() -> RouteId {
    let made = AppId::new("probe").and_then(|app| RouteId::new(app, "probe"));
    #[expect(clippy::unwrap_used, reason = "a constant that fits the rule of names")]
    made.unwrap()
}

/// A medium risk, with a reason.
fn some_risk() -> Risk {
    let mut reasons = RiskReasons::default();
    reasons.add(RiskReason::NewCountry, 50);
    Risk::explained(50, reasons)
}

/// A risk of every level.
fn every_risk() -> [Risk; RiskLevel::ALL.len()] {
    [Risk::scored(0), some_risk(), Risk::scored(100), Risk::UNKNOWN]
}

fn user_id() -> UserId {
    let made = IssuerId::new("probe").and_then(|i| Ok(UserId::new(i, SubjectId::new("probe")?)));
    #[expect(clippy::unwrap_used, reason = "a constant that fits the rule of names")]
    made.unwrap()
}

fn user(full: bool) -> User {
    let text = |t: &str| full.then(|| t.to_owned());
    User {
        id: user_id(),
        name: None,
        email: None,
        groups: text("probe").into_iter().collect(),
        roles: text("probe").into_iter().collect(),
        stage: LifecycleStage::Active,
        employment: Employment::Employee,
        contract_end: full.then_some(SOME_TIME),
        home_country: CountryCode::UNKNOWN,
        department: text("probe"),
        tags: text("probe").map(|t| (t.clone(), t)).into_iter().collect::<BTreeMap<_, _>>(),
    }
}

/// A user for every word that can stand in one.
fn every_user() -> impl Iterator<Item = User> {
    let stages = LifecycleStage::ALL.into_iter().map(|stage| User { stage, ..user(true) });
    stages.chain(Employment::ALL.into_iter().map(|employment| User { employment, ..user(true) }))
}

fn principals(full: bool) -> [Arc<Principal>; 4] {
    let scopes: BTreeSet<String> = full.then(|| "probe".to_owned()).into_iter().collect();
    let stage = LifecycleStage::Active;
    let account = ServiceAccount { id: user_id(), owner: user_id(), scopes: scopes.clone(), stage };
    [
        Principal::User(user(full)),
        Principal::ServiceAccount(account),
        Principal::Agent(Agent { id: user_id(), on_behalf_of: user(full), scopes }),
        Principal::Visitor(Visitor),
    ]
    .map(Arc::new)
}

// === every policy once ===

/// A scene and a context for each kind of principal, in which a policy's own bounds are put.
struct Stands {
    all: HashMap<Kind, (Scene, Context)>,
    authorizer: Authorizer,
}

impl Stands {
    fn new(words: &Vocabulary) -> Result<Self, String> {
        let said = Circumstances::new();
        let mut all = HashMap::new();
        for principal in principals(true) {
            let rehearsal = Rehearsal::new(principal, true);
            let route = &rehearsal.route;
            let scene = Scene::new(words, &rehearsal.principal, LifecycleStage::Active, route)?;
            let context = said.context(words, &rehearsal.question(Action::Get, route, Weekday::Wed))?;
            all.insert(scene.kind, (scene, context));
        }
        Ok(Self { all, authorizer: Authorizer::new() })
    }

    fn attempt(&self, words: &Vocabulary, policy: &Policy) -> Result<(), String> {
        let (kind, principal_in) = match policy.principal_constraint() {
            PrincipalConstraint::Any => (None, None),
            PrincipalConstraint::In(by) => (None, Some(by)),
            PrincipalConstraint::Eq(by) => (Some(by.type_name().clone()), Some(by)),
            PrincipalConstraint::Is(name) => (Some(name), None),
            PrincipalConstraint::IsIn(name, by) => (Some(name), Some(by)),
        };
        let resource_in = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
            ResourceConstraint::In(by) | ResourceConstraint::Eq(by) | ResourceConstraint::IsIn(_, by) => {
                Some(by)
            }
        };
        let set = PolicySet::from_policies([policy.clone()]).map_err(|e| whole(&e))?;
        for (of, (scene, context)) in &self.all {
            if kind.as_ref().is_some_and(|k| k != words.kind(*of)) {
                continue;
            }
            let (principal, entities) = within(&scene.entities, &scene.principal, principal_in.as_ref())?;
            let (resource, entities) = within(&entities, &scene.resource, resource_in.as_ref())?;
            // Any action that the scope admits; if it admits none the validator has said so.
            let action = Action::ALL.into_iter().find(|a| crate::index::admits(words, policy, *a));
            let Some(action) = action.map(|a| words.action(a).clone()) else { return Ok(()) };
            let request = Request::new(principal, action, resource, context.clone(), None);
            let request = request.map_err(|e| whole(&e))?;
            let response = self.authorizer.is_authorized(&request, &set, &entities);
            if let Some(e) = response.diagnostics().errors().next() {
                return Err(match e {
                    cedar_policy::AuthorizationError::PolicyEvaluationError(e) => e.inner().to_string(),
                });
            }
        }
        Ok(())
    }
}

/// The entities with `who` placed in `by`; or renamed to it, if they are of one type.
fn within(
    entities: &Entities,
    who: &EntityUid,
    by: Option<&EntityUid>,
) -> Result<(EntityUid, Entities), String> {
    // Whoever is meant already is left alone: nobody is in themselves.
    let (Some(by), Some(entity)) = (by.filter(|by| *by != who), entities.get(who)) else {
        return Ok((who.clone(), entities.clone()));
    };
    let (_, attributes, mut parents) = entity.clone().into_inner();
    let name = if by.type_name() == who.type_name() { by } else { who };
    if name == who {
        parents.insert(by.clone());
    }
    let placed = Entity::new(name.clone(), attributes, parents).map_err(|e| whole(&e))?;
    let entities = entities.clone().upsert_entities([placed], None).map_err(|e| whole(&e))?;
    Ok((name.clone(), entities))
}
