//! A set of policies that passed every check, ready to be asked.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use cedar_policy::{Authorizer, Effect, Policy, PolicyId, PolicySet};
use doorward_model::limits::{POLICY_SCENES_WEIGHT_MAX, POLICY_SLICES_WEIGHT_MAX};
use doorward_model::principal::User;
use doorward_model::{Demand, LifecycleStage, Principal, RouteFacts, UnixMillis};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use crate::advice;
use crate::circumstances::Circumstances;
use crate::compile;
use crate::conditions::Conditions;
use crate::entities::Scene;
use crate::index::{Index, SliceKey};
use crate::mode;
use crate::question::{Action, Question};
use crate::revision::Revision;
use crate::vocabulary::Vocabulary;

/// A set of policies that passed every check: schema, policies, index and revision.
///
/// Immutable but for what it remembers, which holds facts and selections of policies and never a
/// decision. What it remembers goes with it when another bundle takes its place.
pub struct PolicyBundle {
    pub(crate) words: Arc<Vocabulary>,
    pub(crate) index: Index,
    pub(crate) notes: HashMap<PolicyId, Note>,
    pub(crate) authorizer: Authorizer,
    pub(crate) circumstances: Circumstances,
    scenes: Cache<SceneKey, Arc<Placed>, ByWeight>,
    slices: Cache<SliceKey, Arc<PolicySet>, ByWeight>,
    revision: Revision,
    loaded_at: UnixMillis,
    only_report: Arc<[Arc<str>]>,
    /// The same with those that only report in force as well.
    reporting: Option<Arc<PolicyBundle>>,
    /// The red lines beside them, which nobody is asked of. What an edit changes of them is told.
    lines: Vec<Policy>,
    /// The names of the cases that it was tried by, and a print of what each says.
    cases: Vec<(String, u64)>,
}

/// What is written like a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// It is asked.
    Policy,
    /// A red line, which nobody is asked of.
    Line,
}

/// What a policy says about itself.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) id: Arc<str>,
    forbids: bool,
    /// The gravest is the smallest.
    pub(crate) severity: u8,
    /// What the person at the door reads.
    pub(crate) reason: Option<String>,
    /// What would help.
    pub(crate) advice: Option<String>,
    /// The sign-in that would help.
    pub(crate) demand: Option<Demand>,
    policy: Policy,
    /// Its conditions, once somebody has asked for them.
    conditions: OnceLock<Arc<Conditions>>,
}

impl Note {
    fn new(policy: &Policy) -> Self {
        let text = |key: &str| policy.annotation(key).filter(|t| !t.is_empty()).map(str::to_owned);
        let id: &str = policy.id().as_ref();
        Self {
            id: id.into(),
            forbids: policy.effect() == Effect::Forbid,
            severity: compile::severity(policy.annotation("severity")).unwrap_or(u8::MAX),
            reason: text("reason"),
            advice: text("advice"),
            demand: advice::demand(policy),
            policy: policy.clone(),
            conditions: OnceLock::new(),
        }
    }
}

/// A scene, and where it stands in the index.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) scene: Scene,
    pub(crate) principal: Arc<[u32]>,
    pub(crate) resource: Arc<[u32]>,
}

impl PolicyBundle {
    /// Those of the policies that decide, and beside them all of them, where some only report.
    pub(crate) fn new(
        words: impl Into<Arc<Vocabulary>>,
        policies: Vec<Policy>,
        revision: Revision,
        loaded_at: UnixMillis,
    ) -> Self {
        let words = words.into();
        let mut names: Vec<Arc<str>> = Vec::new();
        for policy in policies.iter().filter(|policy| mode::only_reports(policy)) {
            let id: &str = policy.id().as_ref();
            names.push(id.into());
        }
        names.sort();
        if names.is_empty() {
            return Self::enforcing(words, policies, revision, loaded_at);
        }
        let deciding = policies.iter().filter(|policy| !mode::only_reports(policy)).cloned().collect();
        let all = Self::enforcing(Arc::clone(&words), policies, revision, loaded_at);
        Self {
            only_report: names.into(),
            reporting: Some(Arc::new(all)),
            ..Self::enforcing(words, deciding, revision, loaded_at)
        }
    }

    /// Every one of these policies decides.
    fn enforcing(
        words: Arc<Vocabulary>,
        policies: Vec<Policy>,
        revision: Revision,
        loaded_at: UnixMillis,
    ) -> Self {
        let notes = policies.iter().map(|p| (p.id().clone(), Note::new(p))).collect();
        Self {
            index: Index::new(&words, policies),
            notes,
            words,
            authorizer: Authorizer::new(),
            circumstances: Circumstances::new(),
            scenes: cache(8192, POLICY_SCENES_WEIGHT_MAX, 32),
            slices: cache(1024, POLICY_SLICES_WEIGHT_MAX, 2),
            revision,
            loaded_at,
            only_report: Arc::default(),
            reporting: None,
            lines: Vec::new(),
            cases: Vec::new(),
        }
    }

    /// The same, with these red lines and cases beside it.
    pub(crate) fn beside(self, lines: Vec<Policy>, cases: Vec<(String, u64)>) -> Self {
        Self { lines, cases, ..self }
    }

    /// The red lines beside it.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Policy> {
        self.lines.iter()
    }

    /// The names of the cases beside it, and a print of what each says.
    pub(crate) fn cases(&self) -> &[(String, u64)] {
        &self.cases
    }

    /// Every policy, also those that only report, and every red line, by its name. No name stands for two; in another
    /// bundle it may stand for the other kind.
    pub(crate) fn by_name(&self) -> BTreeMap<(&str, Kind), &Policy> {
        let all = self.reporting.as_deref().unwrap_or(self);
        let policies = all.index.policies().map(|policy| ((policy.id().as_ref(), Kind::Policy), policy));
        let lines = self.lines.iter().map(|line| ((line.id().as_ref(), Kind::Line), line));
        policies.chain(lines).collect()
    }

    /// Which policies these are.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// When they were loaded.
    #[must_use]
    pub const fn loaded_at(&self) -> UnixMillis {
        self.loaded_at
    }

    /// How many policies decide.
    #[must_use]
    pub fn policies(&self) -> usize {
        self.notes.len()
    }

    /// The names of the policies that only report (`@mode("report")`), in order. They decide nothing.
    #[must_use]
    pub const fn only_report(&self) -> &Arc<[Arc<str>]> {
        &self.only_report
    }

    /// The bundle in which those that only report decide as well: the one behind [`Self::reporting`], or this.
    #[must_use]
    pub fn enforcing_all(&self) -> &Self {
        self.reporting.as_deref().unwrap_or(self)
    }

    /// The same bundle with those that only report in force as well. None where every policy decides.
    #[must_use]
    pub const fn reporting(&self) -> Option<&Arc<Self>> {
        self.reporting.as_ref()
    }

    /// All of them, in no order.
    pub(crate) fn every_policy(&self) -> impl Iterator<Item = &Policy> {
        self.notes.values().map(|note| &note.policy)
    }

    /// In which order policies are told that decided: the gravest first.
    pub(crate) fn rank(&self, policy: &Policy) -> (u8, Arc<str>) {
        let id: &str = policy.id().as_ref();
        self.notes.get(policy.id()).map_or((u8::MAX, id.into()), |note| (note.severity, Arc::clone(&note.id)))
    }

    /// The conditions of one of its policies.
    pub(crate) fn conditions_of(&self, policy: &Policy) -> Arc<Conditions> {
        match self.notes.get(policy.id()) {
            Some(note) => Arc::clone(note.conditions.get_or_init(|| Arc::new(Conditions::new(&note.policy)))),
            None => Arc::new(Conditions::new(policy)),
        }
    }

    /// The names of the policies that are not in `next`: those that forbade, and those that permitted.
    /// One that forbade and now permits has been lost as well.
    pub(crate) fn lost_to(&self, next: &Self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let lost = |forbids: bool| {
            let mine = self.notes.iter().filter(|(_, note)| note.forbids == forbids);
            let gone = mine.filter(|(id, _)| next.notes.get(id).is_none_or(|n| n.forbids != forbids));
            let mut names: Vec<_> = gone.map(|(_, note)| Arc::clone(&note.id)).collect();
            names.sort();
            names
        };
        (lost(true), lost(false))
    }

    /// Who asks and what is asked for, as entities.
    pub(crate) fn placed(&self, q: &Question<'_>) -> Result<Arc<Placed>, String> {
        let sought = SceneRef { principal: q.principal, owner_stage: q.owner_stage, route: q.route };
        if let Some(found) = self.scenes.get(&sought) {
            return Ok(found);
        }
        let mut scene = Scene::new(&self.words, q.principal, q.owner_stage, q.route)?;
        let [principal, resource] = self.index.bounds(&scene);
        // All that was needed of them is in the bounds, and they are remembered for long.
        (scene.principal_in, scene.resource_in) = (Vec::new(), Vec::new());
        let placed = Arc::new(Placed { scene, principal, resource });
        self.scenes.insert(sought.key(), Arc::clone(&placed));
        Ok(placed)
    }

    /// The policies that can matter to these entities and this action.
    pub(crate) fn slice(&self, placed: &Placed, action: Action) -> Result<Arc<PolicySet>, String> {
        let key = SliceKey {
            kind: placed.scene.kind,
            action: action.number(),
            principal: Arc::clone(&placed.principal),
            resource: Arc::clone(&placed.resource),
        };
        if let Some(found) = self.slices.get(&key) {
            return Ok(found);
        }
        let slice = Arc::new(self.index.slice(&key)?);
        self.slices.insert(key, Arc::clone(&slice));
        Ok(slice)
    }
}

impl std::fmt::Debug for PolicyBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("PolicyBundle");
        out.field("revision", &self.revision.short()).field("policies", &self.notes.len());
        out.field("loaded_at", &self.loaded_at).finish_non_exhaustive()
    }
}

// === what is remembered ===

/// Everything that the entities are made of. Compared as a whole: two people with one id and
/// different groups are two keys.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SceneKey {
    principal: Arc<Principal>,
    owner_stage: LifecycleStage,
    route: RouteFacts,
}

#[derive(Debug)]
struct SceneRef<'a> {
    principal: &'a Arc<Principal>,
    owner_stage: LifecycleStage,
    route: &'a RouteFacts,
}

/// Only the names, which tell most keys apart; the comparison does the rest. One agent acts for
/// many people, so the person behind it is among them ([`Principal::answerable`], without a list).
fn hash_names<H: Hasher>(principal: &Principal, route: &RouteFacts, state: &mut H) {
    principal.kind().hash(state);
    principal.id().hash(state);
    match principal {
        Principal::ServiceAccount(account) => account.owner.hash(state),
        Principal::Agent(agent) => agent.on_behalf_of.id.hash(state),
        Principal::User(_) | Principal::Visitor(_) => {}
    }
    route.id.hash(state);
}

impl SceneRef<'_> {
    fn key(&self) -> SceneKey {
        let principal = Arc::clone(self.principal);
        SceneKey { principal, owner_stage: self.owner_stage, route: self.route.clone() }
    }
}

impl Hash for SceneKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_names(&self.principal, &self.route, state);
    }
}

impl Hash for SceneRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_names(self.principal, self.route, state);
    }
}

impl Equivalent<SceneKey> for SceneRef<'_> {
    fn equivalent(&self, key: &SceneKey) -> bool {
        // `Arc` of an `Eq` type compares pointers first.
        *self.principal == key.principal && self.owner_stage == key.owner_stage && *self.route == key.route
    }
}

/// A cache of about so many entries in so many shards. The weight is divided among the shards, and
/// what weighs more than its shard is never remembered: with a shard for each core, a machine with
/// many of them would put together every large set of policies anew for each request.
fn cache<K: Eq + Hash, V: Clone>(entries: usize, weight: u64, shards: usize) -> Cache<K, V, ByWeight>
where
    ByWeight: Weighter<K, V>,
{
    let (weighter, hash, lifecycle) = (ByWeight, DefaultHashBuilder::default(), DefaultLifecycle::default());
    let mut options = OptionsBuilder::new();
    options.shards(shards).estimated_items_capacity(entries).weight_capacity(weight);
    match options.build() {
        Ok(options) => Cache::with_options(options, weighter, hash, lifecycle),
        // Only a capacity that is not set is refused.
        Err(_) => Cache::with(entries, weight, weighter, hash, lifecycle),
    }
}

/// What a set of entities weighs before there is a group or a role in it: it takes some 12 KiB, and
/// each group a fraction of one. Counted as one like a group, the sets of many people at many apps
/// took a gigabyte.
const SCENE_WEIGHT: usize = 24;

/// Bounds a cache by what its entries hold, not by their number.
#[derive(Debug, Clone)]
struct ByWeight;

impl Weighter<SceneKey, Arc<Placed>> for ByWeight {
    fn weight(&self, key: &SceneKey, _: &Arc<Placed>) -> u64 {
        let of = |user: &User| user.groups.len() + user.roles.len() + user.tags.len();
        let holds = match &*key.principal {
            Principal::User(user) => of(user),
            Principal::ServiceAccount(account) => account.scopes.len(),
            Principal::Agent(agent) => agent.scopes.len() + of(&agent.on_behalf_of),
            Principal::Visitor(_) => 0,
        };
        (SCENE_WEIGHT + holds + key.route.app_groups.len()) as u64
    }
}

impl Weighter<SliceKey, Arc<PolicySet>> for ByWeight {
    fn weight(&self, _: &SliceKey, slice: &Arc<PolicySet>) -> u64 {
        1 + slice.num_of_policies() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use doorward_model::Tier;
    use doorward_model::principal::{Agent, ServiceAccount, Visitor};

    use super::*;

    const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");

    fn bundle(policies: usize) -> PolicyBundle {
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
        let words = Vocabulary::new(schema, SCHEMA).unwrap();
        let one = Policy::parse(None, "permit (principal, action, resource);").unwrap();
        let all = (0..policies).map(|i| one.new_id(PolicyId::new(format!("p{i}")))).collect();
        PolicyBundle::new(words, all, Revision::of([]), UnixMillis(0))
    }

    fn route() -> RouteFacts {
        RouteFacts {
            id: "wiki/all"
                .split_once('/')
                .map(|(a, r)| {
                    doorward_model::RouteId::new(doorward_model::AppId::new(a).unwrap(), r).unwrap()
                })
                .unwrap(),
            app_groups: Vec::new(),
            tier: Tier::Internal,
            scope: String::new(),
            admin_surface: false,
            public: false,
        }
    }

    fn user(name: &str) -> User {
        User {
            id: name.parse().unwrap(),
            name: None,
            email: None,
            groups: Default::default(),
            roles: Default::default(),
            stage: LifecycleStage::Active,
            employment: doorward_model::Employment::Employee,
            contract_end: None,
            home_country: doorward_model::CountryCode::UNKNOWN,
            department: None,
            tags: Default::default(),
        }
    }

    /// On every machine: how much a shard holds does not depend on the number of cores.
    #[test]
    fn a_large_slice_is_remembered() {
        let bundle = bundle(10_000);
        assert_eq!((bundle.slices.num_shards(), bundle.scenes.num_shards()), (2, 32));
        let scene =
            Scene::new(&bundle.words, &Principal::Visitor(Visitor), LifecycleStage::Unknown, &route());
        let scene = scene.unwrap();
        let [principal, resource] = bundle.index.bounds(&scene);
        let placed = Placed { scene, principal, resource };
        let first = bundle.slice(&placed, Action::Get).unwrap();
        assert_eq!(first.num_of_policies(), 10_000);
        assert!(Arc::ptr_eq(&first, &bundle.slice(&placed, Action::Get).unwrap()));
    }

    /// What is remembered stays within bounds however many people ask for however many routes.
    #[test]
    fn scenes_are_bounded_by_what_they_hold() {
        let bundle = bundle(1);
        let question = |principal: &Arc<Principal>| {
            let (session, device) = (Default::default(), Default::default());
            let place = doorward_model::Place {
                ip: [127, 0, 0, 1].into(),
                networks: Default::default(),
                country: doorward_model::CountryCode::UNKNOWN,
                continent: None,
                asn: None,
                anonymizer: doorward_model::Presence::Unknown,
                location: None,
            };
            let route = route();
            let placed = bundle.placed(&Question {
                principal,
                owner_stage: LifecycleStage::Unknown,
                granted: false,
                action: Action::Get,
                route: &route,
                session: &session,
                device: &device,
                place: &place,
                risk: doorward_model::Risk::UNKNOWN,
                now: UnixMillis(0),
                local_time: std::time::Duration::ZERO,
                weekday: doorward_model::Weekday::Mon,
                host: "",
                path: "/",
                user_agent: None,
            });
            placed.unwrap()
        };
        let user = |n: usize| Arc::new(Principal::User(user(&format!("corp:{n}"))));
        let again = user(0);
        assert!(Arc::ptr_eq(&question(&again), &question(&again)));
        for n in 0..15_000 {
            let _ = question(&user(n));
        }
        let most = POLICY_SCENES_WEIGHT_MAX / SCENE_WEIGHT as u64;
        assert!(bundle.scenes.weight() <= POLICY_SCENES_WEIGHT_MAX);
        assert!((5_000..=most).contains(&(bundle.scenes.len() as u64)), "{}", bundle.scenes.len());
    }

    #[test]
    fn people_behind_one_agent_and_owners_of_accounts_are_told_apart_by_the_hash() {
        let id = || "corp:machine".parse().unwrap();
        let agent = |person: &str| {
            Principal::Agent(Agent { id: id(), on_behalf_of: user(person), scopes: Default::default() })
        };
        let account = |owner: &str| {
            let owner = owner.parse().unwrap();
            let stage = LifecycleStage::Active;
            Principal::ServiceAccount(ServiceAccount { id: id(), owner, scopes: Default::default(), stage })
        };
        let hasher = DefaultHashBuilder::default();
        let hash = |principal: Principal| {
            let (principal, route) = (Arc::new(principal), route());
            let sought =
                SceneRef { principal: &principal, owner_stage: LifecycleStage::Unknown, route: &route };
            assert_eq!(hasher.hash_one(&sought), hasher.hash_one(sought.key()));
            hasher.hash_one(&sought)
        };
        assert_ne!(hash(agent("corp:alice")), hash(agent("corp:bob")));
        assert_ne!(hash(account("corp:alice")), hash(account("corp:bob")));
        assert_eq!(hash(agent("corp:alice")), hash(agent("corp:alice")));
    }
}
