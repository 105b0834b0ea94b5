//! Policies as the solver takes them, each compiled once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, RequestEnv};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet};
use serde_json::{Value, json};

use super::{Why, World};

/// How many compiled sets, and how many compiled policies, are remembered. One of a hundred policies takes
/// some hundred KiB.
const COMPILED_MAX: usize = 256;

/// What was compiled, by the world, the kind of request and the text.
#[derive(Default)]
pub(super) struct Compiled {
    pub(super) sets: Remembered<CompiledPolicySet>,
    pub(super) policies: Remembered<CompiledPolicy>,
}

/// What is known by a name, until there is too much of it.
pub(super) struct Remembered<T>(HashMap<String, Arc<T>>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Remembered<T> {
    pub(super) fn get(&self, key: &str) -> Option<Arc<T>> {
        self.0.get(key).map(Arc::clone)
    }

    pub(super) fn keep(&mut self, key: String, made: T) -> Arc<T> {
        let made = Arc::new(made);
        if self.0.len() >= COMPILED_MAX {
            self.0.clear();
        }
        self.0.insert(key, Arc::clone(&made));
        made
    }
}

pub(super) fn set_key(world: &World<'_>, set: &PolicySet, env: &RequestEnv) -> String {
    let policies: BTreeMap<String, &Policy> = set.policies().map(|p| (p.id().to_string(), p)).collect();
    let mut key = kind(world, env);
    policies.iter().for_each(|(id, p)| key.push_str(&format!("{id}\n{p}\n")));
    key
}

pub(super) fn policy_key(world: &World<'_>, policy: &Policy, env: &RequestEnv) -> String {
    format!("{}{}\n{policy}", kind(world, env), policy.id())
}

/// The same types may be other ones in the schema of another world.
fn kind(world: &World<'_>, env: &RequestEnv) -> String {
    format!("{} {} {} {}\n", world.number(), env.principal(), env.action(), env.resource())
}

/// These policies as a set.
pub(super) fn set_of(policies: impl IntoIterator<Item = Policy>) -> Result<PolicySet, Why> {
    PolicySet::from_policies(policies).map_err(|e| Why::Unsupported(e.to_string()))
}

/// These policies as a set; one that two of them name counts once, as hypotheses do.
pub(super) fn joined(policies: impl IntoIterator<Item = Policy>) -> Result<PolicySet, Why> {
    let by_id: BTreeMap<String, Policy> = policies.into_iter().map(|p| (p.id().to_string(), p)).collect();
    set_of(by_id.into_values())
}

/// The policy as one that permits.
pub(super) fn as_permit(policy: &Policy) -> Result<Policy, Why> {
    match policy.effect() {
        Effect::Permit => Ok(policy.clone()),
        Effect::Forbid => changed_json(policy, |json| set(json, "effect", json!("permit"))),
    }
}

/// A policy that forbids what another one does not match.
pub(super) fn forbid_unless(policy: &Policy) -> Result<Policy, Why> {
    let anything = || json!({ "op": "All" });
    let negated = json!({
        "effect": "forbid", "principal": anything(), "action": anything(), "resource": anything(),
        "conditions": [{ "kind": "unless", "body": matches(policy)? }],
    });
    let id = PolicyId::new(format!("gateway/only:{}", policy.id()));
    Policy::from_json(Some(id), negated).map_err(unsupported)
}

/// The policy, evaluated only where none of `hypotheses` matches.
pub(super) fn under(policy: &Policy, hypotheses: &[Policy]) -> Result<Policy, Why> {
    let not = |h: &Policy| Ok(json!({ "kind": "unless", "body": matches(h)? }));
    let first = hypotheses.iter().map(not).collect::<Result<Vec<Value>, Why>>()?;
    changed_json(policy, |json| {
        let own = json.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        set(json, "conditions", first.into_iter().chain(own).collect());
    })
}

/// Scope and conditions of a policy as one condition.
fn matches(policy: &Policy) -> Result<Value, Why> {
    let json = policy.to_json().map_err(unsupported)?;
    let mut parts: Vec<Value> = ["principal", "action", "resource"]
        .into_iter()
        .filter_map(|var| scope(var, json.get(var)?))
        .collect();
    for condition in json.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let body = condition.get("body").cloned().unwrap_or(json!({ "Value": true }));
        parts.push(match condition.get("kind").and_then(Value::as_str) {
            Some("unless") => json!({ "!": { "arg": body } }),
            Some(_) | None => body,
        });
    }
    let all = parts.into_iter().reduce(|left, right| json!({ "&&": { "left": left, "right": right } }));
    Ok(all.unwrap_or(json!({ "Value": true })))
}

/// One part of a scope as a condition; none for the part that admits everything.
fn scope(var: &str, scope: &Value) -> Option<Value> {
    let var = json!({ "Var": var });
    let entity = |uid: &Value| json!({ "Value": { "__entity": uid } });
    match scope.get("op").and_then(Value::as_str)? {
        "is" => {
            let kind = scope.get("entity_type")?;
            let within = scope.get("in").and_then(|within| within.get("entity")).map(entity);
            Some(match within {
                Some(within) => json!({ "is": { "left": var, "entity_type": kind, "in": within } }),
                None => json!({ "is": { "left": var, "entity_type": kind } }),
            })
        }
        "==" => Some(json!({ "==": { "left": var, "right": entity(scope.get("entity")?) } })),
        "in" => {
            let right = match (scope.get("entity"), scope.get("entities").and_then(Value::as_array)) {
                (Some(one), _) => entity(one),
                (None, Some(many)) => json!({ "Set": many.iter().map(entity).collect::<Vec<_>>() }),
                (None, None) => return None,
            };
            Some(json!({ "in": { "left": var, "right": right } }))
        }
        _ => None,
    }
}

fn unsupported(e: impl ToString) -> Why {
    Why::Unsupported(e.to_string())
}

fn set(json: &mut Value, key: &str, value: Value) {
    if let Some(fields) = json.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

fn changed_json(policy: &Policy, change: impl FnOnce(&mut Value)) -> Result<Policy, Why> {
    let mut json = policy.to_json().map_err(unsupported)?;
    change(&mut json);
    Policy::from_json(Some(policy.id().clone()), json).map_err(unsupported)
}

/// The policies of either set that are not the same in the other, those of the first set first.
pub(super) fn changed<'p>(first: &'p PolicySet, second: &'p PolicySet) -> Vec<&'p Policy> {
    let mut all = differing(first, second);
    all.extend(differing(second, first));
    all
}

/// The policies of a set that are not the same in another one.
pub(crate) fn differing<'p>(set: &'p PolicySet, other: &PolicySet) -> Vec<&'p Policy> {
    // What cannot be told is another one.
    let alike = |one: &Policy, same: &Policy| match (one.to_json(), same.to_json()) {
        (Ok(first), Ok(second)) => one.effect() == same.effect() && bare(first) == bare(second),
        (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => false,
    };
    set.policies().filter(|p| other.policy(p.id()).is_none_or(|same| !alike(p, same))).collect()
}

/// A policy without what it says about itself.
fn bare(mut json: Value) -> Value {
    set(&mut json, "annotations", json!({}));
    json
}
