//! Policies as the solver takes them, each compiled once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet};
use serde_json::{Value, json};

use super::{Why, why};

/// How many compiled sets, and how many compiled policies, are remembered. One of a hundred policies takes
/// some hundred KiB.
const COMPILED_MAX: usize = 256;

/// What was compiled, by its text and the kind of request.
#[derive(Default)]
pub(super) struct Compiled {
    sets: HashMap<String, Arc<CompiledPolicySet>>,
    policies: HashMap<String, Arc<CompiledPolicy>>,
}

impl Compiled {
    pub(super) fn set(
        &mut self,
        schema: &Schema,
        set: &PolicySet,
        env: &RequestEnv,
    ) -> Result<Arc<CompiledPolicySet>, Why> {
        let policies: BTreeMap<String, &Policy> = set.policies().map(|p| (p.id().to_string(), p)).collect();
        let mut key = kind(env);
        policies.iter().for_each(|(id, p)| key.push_str(&format!("{id}\n{p}\n")));
        remembered(&mut self.sets, key, || CompiledPolicySet::compile(set, env, schema).map_err(|e| why(&e)))
    }

    pub(super) fn policy(
        &mut self,
        schema: &Schema,
        policy: &Policy,
        env: &RequestEnv,
    ) -> Result<Arc<CompiledPolicy>, Why> {
        let key = format!("{}{}\n{policy}", kind(env), policy.id());
        remembered(&mut self.policies, key, || {
            CompiledPolicy::compile(policy, env, schema).map_err(|e| why(&e))
        })
    }
}

fn kind(env: &RequestEnv) -> String {
    format!("{} {} {}\n", env.principal(), env.action(), env.resource())
}

fn remembered<T>(
    all: &mut HashMap<String, Arc<T>>,
    key: String,
    make: impl FnOnce() -> Result<T, Why>,
) -> Result<Arc<T>, Why> {
    if let Some(found) = all.get(&key) {
        return Ok(Arc::clone(found));
    }
    let made = Arc::new(make()?);
    if all.len() >= COMPILED_MAX {
        all.clear();
    }
    all.insert(key, Arc::clone(&made));
    Ok(made)
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
    let differs = |p: &Policy, other: &PolicySet| {
        other.policy(p.id()).is_none_or(|same| {
            same.effect() != p.effect() || same.to_json().ok().map(bare) != p.to_json().ok().map(bare)
        })
    };
    let mut all: Vec<&Policy> = first.policies().filter(|p| differs(p, second)).collect();
    all.extend(second.policies().filter(|p| differs(p, first)));
    all
}

/// A policy without what it says about itself.
fn bare(mut json: Value) -> Value {
    set(&mut json, "annotations", json!({}));
    json
}
