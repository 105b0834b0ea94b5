//! Finds the few policies that can matter to a question, however many there are.
//!
//! A policy whose scope does not match evaluates to false, without an error, and so changes
//! neither decision nor reasons nor errors. It may therefore be left out (Cedar's formal model
//! proves it: `isAuthorized_eq_for_scope_based_policy_slice`). A policy without a scope is in
//! every slice. The scopes are turned into numbers once, and a question into two lists of such
//! numbers, so that everyone in the same roles shares one slice.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint, ResourceConstraint,
};

use crate::entities::Scene;
use crate::question::Action;
use crate::vocabulary::{Kind, Vocabulary};

/// The number of an entity that bounds the scope of some policy.
type Bound = u32;

/// Everything that decides which policies can matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SliceKey {
    pub(crate) kind: Kind,
    pub(crate) action: u8,
    /// Of the entities that bound scopes, those that the principal is or is in; in order.
    pub(crate) principal: Arc<[Bound]>,
    /// The same for the route.
    pub(crate) resource: Arc<[Bound]>,
}

/// A policy and its scope in numbers.
#[derive(Debug)]
struct Entry {
    policy: Policy,
    /// The principals' type that the scope asks for. A type that nobody has is in no slice.
    kind: Type,
    principal: Option<Bound>,
    resource: Option<Bound>,
    /// One bit for each action.
    actions: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Any,
    Only(Kind),
    Nobody,
}

impl Type {
    fn named(name: &EntityTypeName) -> Self {
        Kind::of_type(name).map_or(Self::Nobody, Self::Only)
    }
}

/// The policies by their scopes.
#[derive(Debug)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    bounds: HashMap<EntityUid, Bound>,
    /// Entries without a bound on the resource.
    anywhere: Vec<usize>,
    /// Entries by the bound on the resource.
    somewhere: HashMap<Bound, Vec<usize>>,
}

impl Index {
    /// Every policy.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.entries.iter().map(|entry| &entry.policy)
    }

    pub(crate) fn new(words: &Vocabulary, policies: impl IntoIterator<Item = Policy>) -> Self {
        let mut index = Self {
            entries: Vec::new(),
            bounds: HashMap::new(),
            anywhere: Vec::new(),
            somewhere: HashMap::new(),
        };
        for policy in policies {
            index.add(words, policy);
        }
        index
    }

    fn bound(&mut self, by: EntityUid) -> Option<Bound> {
        let next = Bound::try_from(self.bounds.len()).ok()?;
        Some(*self.bounds.entry(by).or_insert(next))
    }

    fn add(&mut self, words: &Vocabulary, policy: Policy) {
        let (kind, principal) = match policy.principal_constraint() {
            PrincipalConstraint::Any => (Type::Any, None),
            PrincipalConstraint::In(by) => (Type::Any, Some(by)),
            PrincipalConstraint::Eq(by) => (Type::named(by.type_name()), Some(by)),
            PrincipalConstraint::Is(name) => (Type::named(&name), None),
            PrincipalConstraint::IsIn(name, by) => (Type::named(&name), Some(by)),
        };
        // Every resource is a route: a policy for another type is in no slice.
        let (is_route, resource) = match policy.resource_constraint() {
            ResourceConstraint::Any => (true, None),
            ResourceConstraint::In(by) => (true, Some(by)),
            ResourceConstraint::Eq(by) => (*by.type_name() == words.route, Some(by)),
            ResourceConstraint::Is(name) => (name == words.route, None),
            ResourceConstraint::IsIn(name, by) => (name == words.route, Some(by)),
        };
        let kind = if is_route { kind } else { Type::Nobody };
        let admitted = Action::ALL.into_iter().filter(|a| admits(words, &policy, *a));
        let actions = admitted.fold(0, |bits, a| bits | 1 << a.number());
        let principal = principal.and_then(|by| self.bound(by));
        let resource = resource.and_then(|by| self.bound(by));
        let at = self.entries.len();
        match resource {
            None => self.anywhere.push(at),
            Some(bound) => self.somewhere.entry(bound).or_default().push(at),
        }
        self.entries.push(Entry { policy, kind, principal, resource, actions });
    }

    /// Of the entities that bound scopes, those that the principal and the route are or are in.
    pub(crate) fn bounds(&self, scene: &Scene) -> [Arc<[Bound]>; 2] {
        let bounds = |of: &[EntityUid]| -> Arc<[Bound]> {
            let found: BTreeSet<Bound> = of.iter().filter_map(|e| self.bounds.get(e).copied()).collect();
            found.into_iter().collect()
        };
        [bounds(&scene.principal_in), bounds(&scene.resource_in)]
    }

    /// The policies that can matter.
    pub(crate) fn slice(&self, key: &SliceKey) -> Result<PolicySet, String> {
        let candidates = self.candidates(key).map(|(_, e)| e);
        let matching = candidates.filter(|e| e.matches(key)).map(|e| e.policy.clone());
        PolicySet::from_policies(matching).map_err(|e| e.to_string())
    }

    /// The same for every action: the places of the policies in [`Self::policies`], and a bit for each action.
    pub(crate) fn in_scope(&self, key: &SliceKey) -> impl Iterator<Item = (usize, u8)> {
        self.candidates(key).filter(|(_, e)| e.holds(key)).map(|(at, e)| (at, e.actions))
    }

    fn candidates(&self, key: &SliceKey) -> impl Iterator<Item = (usize, &Entry)> {
        let here = key.resource.iter().filter_map(|b| self.somewhere.get(b)).flatten();
        self.anywhere.iter().chain(here).filter_map(|at| Some((*at, self.entries.get(*at)?)))
    }
}

impl Entry {
    fn matches(&self, key: &SliceKey) -> bool {
        self.actions >> key.action & 1 == 1 && self.holds(key)
    }

    /// Whether the scope holds the principal and the route.
    fn holds(&self, key: &SliceKey) -> bool {
        let kind = match self.kind {
            Type::Any => true,
            Type::Only(kind) => kind == key.kind,
            Type::Nobody => false,
        };
        let within = |bound: Option<Bound>, of: &[Bound]| bound.is_none_or(|b| of.binary_search(&b).is_ok());
        kind && within(self.principal, &key.principal) && within(self.resource, &key.resource)
    }
}

/// Whether the scope of a policy admits an action.
pub(crate) fn admits(words: &Vocabulary, policy: &Policy, action: Action) -> bool {
    let uid = words.action(action);
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(by) => by == *uid,
        ActionConstraint::In(by) => {
            by.iter().any(|b| b == uid || words.action_entities.is_ancestor_of(b, uid))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
