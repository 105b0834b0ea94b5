//! The policies as they would be for somebody of whom one fact is another one.
//!
//! Two requests cannot be compared in one question to the solver. But whether a request would be allowed if
//! its principal were an employee is whether policies allow it in which `Employment::"employee"` stands
//! wherever they ask for the principal's employment.

use cedar_policy::{EntityUid, Policy, PolicySet};
use doorward_policy::Changed;
use serde_json::{Value, json};

/// All policies of a set, with the fact changed.
pub(super) fn everywhere(set: &PolicySet, changed: &Changed) -> Result<PolicySet, String> {
    let [root, .., last] = changed.path.as_slice() else {
        return Err("a fact has a name".to_owned());
    };
    let above = changed.path.iter().skip(1).take(changed.path.len().saturating_sub(2));
    let owner =
        above.fold(json!({ "Var": root }), |left, attr| json!({ ".": { "left": left, "attr": attr } }));
    let fact = json!({ ".": { "left": owner, "attr": last } });
    let asked = json!({ "has": { "left": owner, "attr": last } });
    let value = entity(&changed.value);
    let one = |policy: &Policy| {
        let mut json = policy.to_json().map_err(|e| e.to_string())?;
        replace(&mut json, &fact, &value);
        replace(&mut json, &asked, &json!({ "Value": true }));
        Policy::from_json(Some(policy.id().clone()), json).map_err(|e| e.to_string())
    };
    let policies = set.policies().map(one).collect::<Result<Vec<_>, String>>()?;
    PolicySet::from_policies(policies).map_err(|e| e.to_string())
}

fn entity(uid: &EntityUid) -> Value {
    let (kind, id) = (uid.type_name().to_string(), uid.id().unescaped());
    json!({ "Value": { "__entity": { "type": kind, "id": id } } })
}

fn replace(json: &mut Value, from: &Value, to: &Value) {
    if json == from {
        *json = to.clone();
        return;
    }
    match json {
        Value::Object(fields) => fields.values_mut().for_each(|v| replace(v, from, to)),
        Value::Array(members) => members.iter_mut().for_each(|v| replace(v, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
