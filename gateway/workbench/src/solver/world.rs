//! What is quantified over: the requests that a schema admits, and what of them the gateway can make.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::{
    ActionConstraint, Entities, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    RequestEnv, ResourceConstraint, Schema,
};
use cedar_policy_symcc::SymEnv;
use doorward_model::{AppId, RouteFacts};
use doorward_policy::{PolicyBundle, Situation, Workshop};
use serde_json::Value;

use super::slice::Slice;

/// What the gateway guarantees and no schema can say. Each is a `forbid` of what cannot come to be.
const GUARANTEES: &str = include_str!("guarantees.cedar");
/// What stands before the names of guarantees; no policy of a folder can be called so.
const PREFIX: &str = "gateway/";

/// The requests that are asked about: all that a schema admits, and of these all that the gateway can make.
#[derive(Clone, Debug)]
pub struct World<'a> {
    schema: Arc<Schema>,
    /// Another one for each schema that was taken in.
    number: u64,
    doorward: Option<&'a PolicyBundle>,
    /// What the cases are about: a counterexample says what must differ from the first of them.
    usual: Vec<Situation>,
    /// The routes that the cases know.
    routes: Vec<RouteFacts>,
    guarantees: Vec<Policy>,
    actions: Entities,
}

impl<'a> World<'a> {
    /// The requests of the gateway, in the words of its policies.
    ///
    /// # Errors
    /// The schema does not have the words of the guarantees.
    pub fn of(workshop: &'a Workshop) -> Result<Self, String> {
        let plain = Self::plain(workshop.schema().clone())?;
        let usual = workshop.cases().iter().filter_map(|case| case.situation.ok()).collect();
        let routes = workshop.cases().routes().collect();
        Ok(Self { doorward: Some(workshop.bundle()), usual, routes, guarantees: guarantees()?, ..plain })
    }

    /// All requests of a schema, whoever asks and whatever they ask for.
    ///
    /// # Errors
    /// The actions of the schema cannot be told.
    pub fn plain(schema: Schema) -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let actions = schema.action_entities().map_err(|e| e.to_string())?;
        let (schema, number) = (Arc::new(schema), NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self {
            schema,
            number,
            doorward: None,
            usual: Vec::new(),
            routes: Vec::new(),
            guarantees: Vec::new(),
            actions,
        })
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The schema, for who outlives the world.
    pub(super) fn shared_schema(&self) -> Arc<Schema> {
        Arc::clone(&self.schema)
    }

    /// Which world it is: what was compiled for another one is not for this.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether the other one has the same words: kinds of request, entities and what is said of them.
    ///
    /// # Errors
    /// One of them cannot be put to a solver.
    pub fn speaks_like(&self, other: &Self) -> Result<bool, String> {
        let words = |world: &Self| -> Result<Vec<SymEnv>, String> {
            let mut envs: Vec<RequestEnv> = world.schema.request_envs().collect();
            envs.sort();
            envs.iter().map(|env| SymEnv::new(&world.schema, env).map_err(|e| e.to_string())).collect()
        };
        Ok(words(self)? == words(other)? && self.actions == other.actions)
    }

    /// The gateway's own bundle, where the schema is the gateway's.
    #[must_use]
    pub const fn doorward(&self) -> Option<&'a PolicyBundle> {
        self.doorward
    }

    /// Situations that nobody would wonder about, those of the cases.
    pub(super) fn usual(&self) -> &[Situation] {
        &self.usual
    }

    /// The routes that the cases know, as they know them.
    pub(super) fn routes(&self) -> &[RouteFacts] {
        &self.routes
    }

    /// Everything that is granted where these policies are asked about: the guarantees, and what follows
    /// from the names that the policies use.
    ///
    /// # Errors
    /// One of the names cannot be written down, which never happens with policies that were loaded.
    pub fn granted<'p>(&self, policies: impl IntoIterator<Item = &'p Policy>) -> Result<Vec<Policy>, String> {
        self.hypotheses(policies, &Slice::Whole)
    }

    /// The guarantees, and what follows from the names that `policies` use: which app a route is in, and
    /// that no route is in two.
    pub(super) fn hypotheses<'p>(
        &self,
        policies: impl IntoIterator<Item = &'p Policy>,
        slice: &Slice,
    ) -> Result<Vec<Policy>, String> {
        if self.doorward.is_none() {
            return Ok(Vec::new());
        }
        let mut all = self.guarantees.clone();
        all.extend(about_names(policies)?);
        all.extend(named(&slice.hypothesis())?);
        Ok(all)
    }

    /// That the routes which the cases name are as the cases say: no guarantee, only what is looked for
    /// first, because a case can be written about it.
    pub(super) fn preferences<'p>(
        &self,
        policies: impl IntoIterator<Item = &'p Policy>,
    ) -> Result<Vec<Policy>, String> {
        let literals = policies.into_iter().flat_map(Policy::entity_literals);
        let sets: BTreeSet<String> =
            literals.filter(|l| l.type_name().basename() == "AppGroup").map(|l| l.to_string()).collect();
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        for route in &self.routes {
            let mut facts = format!(
                "resource.tier == Tier::\"{}\" && resource.adminSurface == {} && resource.public == {}",
                route.tier.as_str(),
                route.admin_surface,
                route.public
            );
            for set in &sets {
                let within = route.app_groups.iter().any(|g| *set == format!("AppGroup::\"{g}\""));
                facts.push_str(&format!(" && {}(resource in {set})", if within { "" } else { "!" }));
            }
            let id = route.id.as_str();
            known.insert(
                id,
                format!("@id(\"usual:{id}\")\nforbid (principal, action, resource == Route::\"{id}\") unless {{ {facts} }};\n"),
            );
        }
        named(&known.into_values().collect::<String>())
    }

    /// The kinds of request that `concerns` admits, each class of actions that no policy of `told` tells
    /// apart by one of its actions.
    pub(super) fn environments<'p>(
        &self,
        told: impl IntoIterator<Item = &'p Policy>,
        concerns: impl Fn(&RequestEnv) -> bool,
    ) -> Result<Vec<RequestEnv>, String> {
        let mut named: BTreeSet<EntityUid> = BTreeSet::new();
        let mut alike = true;
        for policy in told {
            named.extend(policy.entity_literals());
            alike &= names_actions_only(&policy.to_json().map_err(|e| e.to_string())?);
        }
        let mut first: BTreeMap<String, RequestEnv> = BTreeMap::new();
        for env in self.schema.request_envs().filter(|env| concerns(env)) {
            let class = if alike { self.class(&env, &named)? } else { env.action().to_string() };
            let key = format!("{} {} {class}", env.principal(), env.resource());
            // The action that comes first in the alphabet stands for its class: GET, PATCH, UPGRADE.
            first
                .entry(key)
                .and_modify(|have| {
                    if env.action() < have.action() {
                        *have = env.clone();
                    }
                })
                .or_insert_with(|| env.clone());
        }
        Ok(first.into_values().collect())
    }

    /// What a policy that names `named` can tell of an action: which of them it is or is in, and what its
    /// requests say besides.
    fn class(&self, env: &RequestEnv, named: &BTreeSet<EntityUid>) -> Result<String, String> {
        let symbols = SymEnv::new(&self.schema, env).map_err(|e| e.to_string())?;
        let seen: Vec<String> =
            named.iter().filter(|n| self.within(env.action(), n)).map(|n| n.to_string()).collect();
        Ok(format!("{} {:?}", seen.join(" "), symbols.request.context))
    }

    fn within(&self, action: &EntityUid, of: &EntityUid) -> bool {
        action == of || self.actions.is_ancestor_of(of, action)
    }

    /// Whether the scope of a policy admits requests of this kind, as far as kinds go.
    pub(super) fn touches(&self, policy: &Policy, env: &RequestEnv) -> bool {
        let is = |name: &EntityTypeName, kind: &EntityTypeName| name == kind;
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::In(_) => true,
            PrincipalConstraint::Eq(uid) => is(uid.type_name(), env.principal()),
            PrincipalConstraint::Is(name) | PrincipalConstraint::IsIn(name, _) => is(&name, env.principal()),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::In(_) => true,
            ResourceConstraint::Eq(uid) => is(uid.type_name(), env.resource()),
            ResourceConstraint::Is(name) | ResourceConstraint::IsIn(name, _) => is(&name, env.resource()),
        };
        let action = match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid == *env.action(),
            ActionConstraint::In(any) => any.iter().any(|uid| self.within(env.action(), uid)),
        };
        principal && resource && action
    }
}

/// The guarantees, each a policy of its own name.
///
/// # Errors
/// Never with the file that is compiled in, which a test reads.
pub fn guarantees() -> Result<Vec<Policy>, String> {
    named(GUARANTEES)
}

/// Policies of a text, under the names that they give themselves.
fn named(text: &str) -> Result<Vec<Policy>, String> {
    let set = PolicySet::from_str(text).map_err(|e| e.to_string())?;
    let name = |p: &Policy| {
        let id = p.annotation("id").ok_or("a guarantee has no `@id`")?;
        Ok(p.new_id(PolicyId::new(format!("{PREFIX}{id}"))))
    };
    set.policies().map(name).collect()
}

/// What the names of routes and apps mean: a route is in the app before its `/`, and in no other.
fn about_names<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Result<Vec<Policy>, String> {
    let (mut apps, mut routes) = (BTreeSet::new(), BTreeSet::new());
    for literal in policies.into_iter().flat_map(Policy::entity_literals) {
        let (kind, name) = (literal.type_name().to_string(), literal.id().unescaped().to_owned());
        match kind.as_str() {
            "App" if AppId::new(&name).is_ok() => {
                apps.insert(name);
            }
            "Route" => {
                let Some((app, route)) = name.split_once('/') else { continue };
                if AppId::new(app).is_ok() && AppId::new(route).is_ok() {
                    apps.insert(app.to_owned());
                    routes.insert((app.to_owned(), name));
                }
            }
            _ => {}
        }
    }
    let mut text = String::new();
    for (app, route) in &routes {
        text.push_str(&format!(
            "@id(\"app-of:{route}\")\nforbid (principal, action, resource == Route::\"{route}\") unless {{ resource in App::\"{app}\" }};\n"
        ));
    }
    for (at, app) in apps.iter().enumerate() {
        for other in apps.iter().skip(at + 1) {
            text.push_str(&format!(
                "@id(\"one-app:{app}:{other}\")\nforbid (principal, action, resource in App::\"{app}\") when {{ resource in App::\"{other}\" }};\n"
            ));
        }
    }
    named(&text)
}

/// Whether a policy asks of the action only whether it is one that it names, or in one: then two actions
/// that are in the same named ones are one to it.
fn names_actions_only(json: &Value) -> bool {
    let is_action = |v: &Value| v.get("Var").and_then(Value::as_str) == Some("action");
    let literal = |v: &Value| match v.get("Set").and_then(Value::as_array) {
        Some(members) => members.iter().all(|m| m.get("Value").is_some()),
        None => v.get("Value").is_some(),
    };
    match json {
        Value::Object(fields) => fields.iter().all(|(key, value)| match key.as_str() {
            // A record may have a field of this name.
            "Var" if value.is_string() => value.as_str() != Some("action"),
            "==" | "!=" | "in"
                if value.get("left").is_some_and(is_action) && value.get("right").is_some_and(literal) =>
            {
                true
            }
            _ => names_actions_only(value),
        }),
        Value::Array(members) => members.iter().all(names_actions_only),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
