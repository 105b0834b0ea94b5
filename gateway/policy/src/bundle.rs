//! A set of policies that passed every check, ready to be asked.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cedar_policy::{Authorizer, Policy, PolicyId, PolicySet};
use doorward_model::limits::{POLICY_SCENES_WEIGHT_MAX, POLICY_SLICES_WEIGHT_MAX};
use doorward_model::principal::User;
use doorward_model::{LifecycleStage, Principal, RouteFacts, UnixMillis};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::circumstances::Circumstances;
use crate::compile;
use crate::entities::Scene;
use crate::index::{Index, SliceKey};
use crate::question::{Action, Question};
use crate::revision::Revision;
use crate::vocabulary::Vocabulary;

/// A set of policies that passed every check: schema, policies, index and revision.
///
/// Immutable but for what it remembers, which holds facts and selections of policies and never a
/// decision. What it remembers goes with it when another bundle takes its place.
pub struct PolicyBundle {
    pub(crate) words: Vocabulary,
    pub(crate) index: Index,
    pub(crate) notes: HashMap<PolicyId, Note>,
    pub(crate) authorizer: Authorizer,
    pub(crate) circumstances: Circumstances,
    scenes: Cache<SceneKey, Arc<Placed>, ByWeight>,
    slices: Cache<SliceKey, Arc<PolicySet>, ByWeight>,
    revision: Revision,
    loaded_at: UnixMillis,
}

/// What a policy says about itself.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) id: Arc<str>,
    /// The gravest is the smallest.
    pub(crate) severity: u8,
    /// What the person at the door reads.
    pub(crate) reason: Option<String>,
    /// What would help.
    pub(crate) advice: Option<String>,
}

impl Note {
    fn new(policy: &Policy) -> Self {
        let text = |key: &str| policy.annotation(key).filter(|t| !t.is_empty()).map(str::to_owned);
        let id: &str = policy.id().as_ref();
        Self {
            id: id.into(),
            severity: compile::severity(policy.annotation("severity")).unwrap_or(u8::MAX),
            reason: text("reason"),
            advice: text("advice"),
        }
    }
}

/// A scene, and where it stands in the index.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) scene: Scene,
    principal: Arc<[u32]>,
    resource: Arc<[u32]>,
}

impl PolicyBundle {
    pub(crate) fn new(
        words: Vocabulary,
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
            scenes: Cache::with_weighter(8192, POLICY_SCENES_WEIGHT_MAX, ByWeight),
            slices: Cache::with_weighter(1024, POLICY_SLICES_WEIGHT_MAX, ByWeight),
            revision,
            loaded_at,
        }
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

    /// How many policies there are.
    #[must_use]
    pub fn policies(&self) -> usize {
        self.notes.len()
    }

    /// Who asks and what is asked for, as entities.
    pub(crate) fn placed(&self, q: &Question<'_>) -> Result<Arc<Placed>, String> {
        let sought = SceneRef { principal: q.principal, owner_stage: q.owner_stage, route: q.route };
        if let Some(found) = self.scenes.get(&sought) {
            return Ok(found);
        }
        let scene = Scene::new(&self.words, q.principal, q.owner_stage, q.route)?;
        let [principal, resource] = self.index.bounds(&scene);
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

/// Only the names, which tell most keys apart; the comparison does the rest.
fn hash_names<H: Hasher>(principal: &Principal, route: &RouteFacts, state: &mut H) {
    principal.kind().hash(state);
    principal.id().hash(state);
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
        (1 + holds + key.route.app_groups.len()) as u64
    }
}

impl Weighter<SliceKey, Arc<PolicySet>> for ByWeight {
    fn weight(&self, _: &SliceKey, slice: &Arc<PolicySet>) -> u64 {
        1 + slice.num_of_policies() as u64
    }
}
